/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_sim.c - sessions of the simulated network, beyond what every driver must
 * do: what a seed decides, and what partitions, cuts and deaths look like from
 * each end.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <sluice/sluice.h>

#include "drivers/sim/sim.h"
#include "tests/driver/rig.h"
#include "tests/unit/unit.h"
#include "transport/clock.h"

#define SEED 11u

static struct rig *rig_of(const char *fixture, int instance_count, uint64_t seed)
{
	return rig_create(conformance_fixture_find(fixture), NULL, instance_count, seed);
}

static struct slu_sim *sim_of(struct rig *rig)
{
	return rig->environment->network;
}

/* Let the network run for some time, with everybody polling. */
static void run_for(struct rig *rig, uint64_t ns)
{
	uint64_t until_ns = slu_sim_now_ns(sim_of(rig)) + ns;

	while (slu_sim_next_ns(sim_of(rig)) <= until_ns && slu_sim_step(sim_of(rig)))
		rig_round(rig);
	slu_sim_advance(sim_of(rig), until_ns);
	while (rig_round(rig) > 0)
		;
}

static void reads_a_frame_while_it_leaves_and_no_longer(void)
{
	struct rig *rig = rig_of("sim", 2, SEED);
	struct rig_side *side, *acceptor;
	uint8_t *frame = rig->instances[0].arena;
	struct slu_driver_event event;
	int steps = 0;

	side = rig_session(rig, 0, 1, &acceptor);
	CU_ASSERT(rig_send(side, RIG_MESSAGE_BYTES_MAX) == 0);
	rig->instances[0].ops->flush(rig->instances[0].driver);
	CU_ASSERT(rig->instances[0].ops->poll(rig->instances[0].driver, &event, 1) == 0);
	/* The last byte is read last: a change before SENT is seen by the peer. */
	frame[RIG_MESSAGE_BYTES_MAX - 1] ^= 1;
	while (rig->instances[0].ops->poll(rig->instances[0].driver, &event, 1) == 0) {
		CU_ASSERT_FATAL(slu_sim_step(sim_of(rig)));
		steps++;
	}
	CU_ASSERT(event.type == SLU_DRIVER_SENT);
	CU_ASSERT(steps >= 4); /* 64 KiB in pieces of at most 16 KiB */
	frame[0] ^= 1;         /* too late to be seen */
	while (rig->instances[1].ops->poll(rig->instances[1].driver, &event, 1) == 0)
		CU_ASSERT_FATAL(slu_sim_step(sim_of(rig)));
	CU_ASSERT_FATAL(event.type == SLU_DRIVER_RECV_FRAME);
	frame[0] ^= 1;
	CU_ASSERT(memcmp(event.message, frame, RIG_MESSAGE_BYTES_MAX) == 0);
	rig->instances[1].host.rx_put(&rig->instances[1], (void *)(uintptr_t)event.message);
	side->cookie_sent++;
	rig->instances[0].tx_busy[0] = false;
	rig->instances[0].tx_free_count++;
	rig_destroy(rig);
}

static void sessions_overtake_each_other(void)
{
	struct rig *rig = rig_of("sim-rough", 2, SEED);
	struct rig_side *first, *second;
	unsigned overtaken = 0;
	int round;

	first = rig_session(rig, 0, 1, NULL);
	second = rig_session(rig, 0, 1, NULL);
	for (round = 0; round < 40; round++) {
		size_t received = first->other->received;

		CU_ASSERT(rig_put_small(first, 10) == 0);
		CU_ASSERT(rig_put_small(second, 10) == 0);
		CU_ASSERT(rig_until(rig, rig_side_has_all, second->other));
		overtaken += first->other->received == received;
		CU_ASSERT(rig_until(rig, rig_side_has_all, first->other));
	}
	CU_ASSERT(overtaken > 5 && overtaken < 35);
	rig_destroy(rig);
}

static void a_cut_is_found_out_by_each_end_in_its_time(void)
{
	struct rig *rig = rig_of("sim", 2, SEED);
	uint64_t from_ns, other_ns = 0, own_ns = 0;
	struct rig_side *side, *acceptor;
	struct slu_sim_params params;
	struct slu_sim_stats stats;
	int idx;

	slu_sim_params_init(&params, SEED);
	side = rig_session(rig, 0, 1, &acceptor);
	for (idx = 0; idx < 10; idx++)
		CU_ASSERT(rig_put_small(side, 10) == 0);
	from_ns = slu_sim_now_ns(sim_of(rig));
	CU_ASSERT(slu_sim_cut_sessions(sim_of(rig), 1, 0) == 1);
	CU_ASSERT(slu_sim_cut_sessions(sim_of(rig), 0, 1) == 0);
	while (own_ns == 0 || other_ns == 0) {
		rig_round(rig);
		if (own_ns == 0 && rig_side_is_down(side))
			own_ns = slu_sim_now_ns(sim_of(rig));
		if (other_ns == 0 && rig_side_is_down(acceptor))
			other_ns = slu_sim_now_ns(sim_of(rig));
		if (!slu_sim_step(sim_of(rig)))
			break;
	}
	CU_ASSERT(own_ns > 0 && other_ns > 0 && own_ns != other_ns);
	CU_ASSERT(own_ns <= from_ns + params.down_skew_ns_max);
	CU_ASSERT(other_ns <= from_ns + params.down_skew_ns_max);
	CU_ASSERT(side->down_error == -ECONNRESET && acceptor->down_error == -ECONNRESET);
	CU_ASSERT(acceptor->received < 10);
	slu_sim_stats(sim_of(rig), &stats);
	CU_ASSERT(stats.sessions_lost == 1);
	rig_destroy(rig);
}

static void a_short_partition_only_stalls(void)
{
	struct rig *rig = rig_of("sim", 3, SEED);
	struct rig_side *side, *acceptor, *other;
	int idx;

	side = rig_session(rig, 0, 1, &acceptor);
	other = rig_session(rig, 0, 2, NULL);
	slu_sim_partition(sim_of(rig), 0, 1);
	for (idx = 0; idx < 40; idx++)
		rig_send(side, RIG_MESSAGE_BYTES_MAX);
	CU_ASSERT(rig_send(other, 1000) == 0);
	CU_ASSERT(rig_until(rig, rig_side_has_all, other->other));
	run_for(rig, SLU_NS_PER_S); /* what has left makes room once, not twice */
	for (idx = 0; idx < 40; idx++)
		rig_send(side, RIG_MESSAGE_BYTES_MAX);
	run_for(rig, SLU_NS_PER_S);
	CU_ASSERT(acceptor->received == 0 && side->state == RIG_UP);
	CU_ASSERT(rig_send(side, RIG_MESSAGE_BYTES_MAX) == SLU_AGAIN); /* it pushes back */
	slu_sim_heal(sim_of(rig), 0, 1);
	CU_ASSERT(rig_until(rig, rig_side_has_all, acceptor));
	run_for(rig, 10 * SLU_NS_PER_S);
	CU_ASSERT(side->state == RIG_UP && acceptor->state == RIG_UP);
	CU_ASSERT(side->writable_count > 0);
	rig_destroy(rig);
}

static void a_long_partition_times_out_at_both_ends(void)
{
	struct rig *rig = rig_of("sim", 2, SEED);
	struct rig_side *side, *acceptor, *late;
	int error = 0;

	side = rig_session(rig, 0, 1, &acceptor);
	slu_sim_partition(sim_of(rig), 0, 1);
	late = rig_connect(&rig->instances[1], rig->instances[0].address, &error);
	run_for(rig, 2 * SLU_NS_PER_S);
	CU_ASSERT(side->state == RIG_UP && acceptor->state == RIG_UP);
	run_for(rig, 2 * SLU_NS_PER_S);
	CU_ASSERT(rig_side_is_down(side) && side->down_error == -ETIMEDOUT);
	CU_ASSERT(rig_side_is_down(acceptor) && acceptor->down_error == -ETIMEDOUT);
	CU_ASSERT(rig_side_is_down(late) && late->down_error == -ETIMEDOUT);
	slu_sim_heal(sim_of(rig), 0, 1);
	rig_session(rig, 0, 1, NULL);
	rig_destroy(rig);
}

static void an_end_that_was_closed_meanwhile_is_told_after_the_heal(void)
{
	struct rig *rig = rig_of("sim", 2, SEED);
	struct rig_side *side, *acceptor;

	side = rig_session(rig, 0, 1, &acceptor);
	slu_sim_partition(sim_of(rig), 0, 1);
	rig_close(side);
	run_for(rig, SLU_NS_PER_S);
	CU_ASSERT(acceptor->state == RIG_UP);
	slu_sim_heal(sim_of(rig), 0, 1);
	run_for(rig, SLU_NS_PER_MS);
	CU_ASSERT(rig_side_is_down(acceptor));
	rig_destroy(rig);
}

static void a_dead_process_is_known_at_once_and_a_dead_host_later(void)
{
	static const enum slu_sim_death deaths[] = {SLU_SIM_PROCESS_DIES, SLU_SIM_HOST_DIES};
	static const int errors[] = {-ECONNRESET, -ETIMEDOUT};
	static const int connect_errors[] = {-ECONNREFUSED, -ETIMEDOUT};
	struct rig_side *side, *acceptor, *late;
	int idx, error = 0;

	for (idx = 0; idx < 2; idx++) {
		struct rig *rig = rig_of("sim", 2, SEED);

		side = rig_session(rig, 0, 1, &acceptor);
		slu_sim_kill(sim_of(rig), 1, deaths[idx]);
		rig_send(side, 100);
		run_for(rig, SLU_NS_PER_MS);
		CU_ASSERT(rig_side_is_down(side) == (deaths[idx] == SLU_SIM_PROCESS_DIES));
		late = rig_connect(&rig->instances[0], rig->instances[1].address, &error);
		run_for(rig, 4 * SLU_NS_PER_S);
		CU_ASSERT(rig_side_is_down(side) && side->down_error == errors[idx]);
		CU_ASSERT(rig_side_is_down(late) && late->down_error == connect_errors[idx]);
		CU_ASSERT(acceptor->state == RIG_UP && acceptor->received == 0);
		CU_ASSERT(rig_send(acceptor, 100) == -ENOTCONN);
		rig_instance_close(&rig->instances[1]);
		rig_destroy(rig);
	}
}

/* Two nodes send what they can, connect anew when they lose each other, and
 * meet everything that can happen. Returns the hash of the run. */
static uint64_t storm(uint64_t seed)
{
	struct rig *rig = rig_of("sim-lossy", 2, seed);
	struct rig_side *side = NULL;
	int round, error = 0;
	uint64_t hash;

	for (round = 0; round < 120; round++) {
		uint64_t random = rig_random(rig);

		if (!side || side->state == RIG_DOWN) {
			if (side)
				rig_close(side);
			side = rig_connect(&rig->instances[0], rig->instances[1].address, &error);
			CU_ASSERT_FATAL(side != NULL);
		}
		if (side->other && side->other->state == RIG_DOWN)
			rig_close(side->other);
		if (side->state == RIG_UP)
			rig_send_any(side);
		if (side->other && side->other->state == RIG_UP)
			rig_send_any(side->other);
		if (random % 16 == 0)
			slu_sim_partition(sim_of(rig), 0, 1);
		else if (random % 16 < 4)
			slu_sim_heal(sim_of(rig), 0, 1);
		else if (random % 16 == 4)
			slu_sim_cut_sessions(sim_of(rig), 0, 1);
		run_for(rig, (random >> 8) % (random % 32 ? 2 * SLU_NS_PER_MS : 5 * SLU_NS_PER_S));
	}
	hash = slu_sim_trace_hash(sim_of(rig));
	rig_destroy(rig);
	return hash;
}

static void keeps_the_contract_in_any_storm_and_replays_it(void)
{
	unsigned failures = CU_get_number_of_failures();
	uint64_t seed, hash, last_hash = 0;

	for (seed = 1; seed <= 100; seed++) {
		hash = storm(seed);
		CU_ASSERT(hash != last_hash);
		last_hash = hash;
		if (seed % 10 == 0)
			CU_ASSERT(storm(seed) == hash);
		if (CU_get_number_of_failures() != failures) {
			fprintf(stderr, "failed with seed %llu\n", (unsigned long long)seed);
			return;
		}
	}
}

static void writes_its_trace(void)
{
	struct rig *rig = rig_of("sim", 2, SEED);
	char text[4096] = "";
	FILE *file = fmemopen(text, sizeof(text), "w");

	CU_ASSERT_FATAL(file != NULL);
	slu_sim_trace_to(sim_of(rig), file);
	rig_session(rig, 0, 1, NULL);
	slu_sim_trace_to(sim_of(rig), NULL);
	fclose(file);
	CU_ASSERT(strstr(text, " connect ") != NULL);
	rig_destroy(rig);
}

static void needs_a_network_and_a_node_that_lives(void)
{
	const struct slu_driver_ops *ops = slu_driver_find("sim");
	struct rig *rig = rig_of("sim", 1, SEED);
	struct slu_driver_option option = {"node", "64"};
	char error[SLU_DRIVER_ERROR_MAX] = "";
	struct slu_driver_config config = {.options = &option, .option_count = 1, .error = error};
	struct slu_driver *driver;

	CU_ASSERT(ops->open(&config, &rig->instances[0].host, &driver) == -EINVAL);
	CU_ASSERT(strstr(error, "environment") != NULL);
	config.environment = sim_of(rig);
	CU_ASSERT(ops->open(&config, &rig->instances[0].host, &driver) == -EINVAL);
	CU_ASSERT(strstr(error, "node") != NULL);
	option.value = "5";
	slu_sim_kill(sim_of(rig), 5, SLU_SIM_HOST_DIES);
	CU_ASSERT(ops->open(&config, &rig->instances[0].host, &driver) == -ENETDOWN);
	slu_sim_restart(sim_of(rig), 5);
	CU_ASSERT(ops->open(&config, &rig->instances[0].host, &driver) == 0);
	ops->close(driver);
	rig_destroy(rig);
}

int main(void)
{
	static const struct unit_test tests[] = {
	        UNIT_TEST(reads_a_frame_while_it_leaves_and_no_longer),
	        UNIT_TEST(sessions_overtake_each_other),
	        UNIT_TEST(a_cut_is_found_out_by_each_end_in_its_time),
	        UNIT_TEST(a_short_partition_only_stalls),
	        UNIT_TEST(a_long_partition_times_out_at_both_ends),
	        UNIT_TEST(an_end_that_was_closed_meanwhile_is_told_after_the_heal),
	        UNIT_TEST(a_dead_process_is_known_at_once_and_a_dead_host_later),
	        UNIT_TEST(keeps_the_contract_in_any_storm_and_replays_it),
	        UNIT_TEST(writes_its_trace),
	        UNIT_TEST(needs_a_network_and_a_node_that_lives),
	        {NULL, NULL},
	};

	return unit_run("sim", tests);
}
