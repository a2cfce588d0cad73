/* SPDX-License-Identifier: Apache-2.0 */
/* test_sim_control.c - control connections of the simulated network: messages
 * in order and once over a bad wire, and who is told what when it breaks. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "drivers/sim/sim.h"
#include "tests/unit/unit.h"
#include "transport/clock.h"

#define NODES         3u
#define MESSAGE_BYTES 5000u /* several packets */

/* What a node heard from each other. */
struct listener {
	struct slu_sim *sim;
	unsigned up_count[NODES], down_count[NODES];
	bool up[NODES];
	uint32_t next_received[NODES], next_sent[NODES];
	uint64_t down_at_ns[NODES];
};

static struct listener listeners[NODES];

static void on_up(void *ctx, uint32_t node, uint32_t peer)
{
	struct listener *listener = ctx;

	CU_ASSERT(listener == &listeners[node] && !listener->up[peer]);
	listener->up[peer] = true;
	listener->up_count[peer]++;
	listener->next_received[peer] = listener->next_sent[peer] = 0;
}

static void on_down(void *ctx, uint32_t node, uint32_t peer)
{
	struct listener *listener = ctx;

	CU_ASSERT(listener->up[peer]);
	listener->up[peer] = false;
	listener->down_count[peer]++;
	listener->down_at_ns[peer] = slu_sim_now_ns(listener->sim);
}

static uint32_t message_make(uint8_t *bytes, uint32_t number)
{
	uint32_t size_bytes = (uint32_t)(sizeof(number) + number * 37 % MESSAGE_BYTES);

	memset(bytes, (int)(number & 0xff), size_bytes);
	memcpy(bytes, &number, sizeof(number));
	return size_bytes;
}

static void on_message(void *ctx, uint32_t node, uint32_t peer, const void *message,
                       uint32_t size_bytes)
{
	struct listener *listener = ctx;
	uint8_t expected[MESSAGE_BYTES + 4];

	CU_ASSERT(listener->up[peer]);
	CU_ASSERT(message_make(expected, listener->next_received[peer]) == size_bytes);
	CU_ASSERT(memcmp(expected, message, size_bytes) == 0);
	listener->next_received[peer]++;
}

static const struct slu_sim_control_ops ops = {.up = on_up, .down = on_down, .message = on_message};

static void listen_at(struct slu_sim *sim, uint32_t node)
{
	memset(&listeners[node], 0, sizeof(listeners[node]));
	listeners[node].sim = sim;
	slu_sim_control_listen(sim, node, &ops, &listeners[node]);
}

/* Three nodes, 0 joined to 1 and 2. */
static struct slu_sim *start(const struct slu_sim_params *params)
{
	struct slu_sim *sim = slu_sim_create(params);
	uint32_t node;

	for (node = 0; node < NODES; node++)
		listen_at(sim, node);
	slu_sim_control_connect(sim, 0, 1);
	slu_sim_control_connect(sim, 2, 0);
	slu_sim_advance(sim, slu_sim_now_ns(sim) + SLU_NS_PER_S);
	CU_ASSERT(listeners[0].up[1] && listeners[1].up[0]);
	CU_ASSERT(listeners[0].up[2] && listeners[2].up[0]);
	return sim;
}

static void send_some(struct slu_sim *sim, uint32_t from, uint32_t to, unsigned count)
{
	uint8_t bytes[MESSAGE_BYTES + 4];
	uint32_t size_bytes;

	for (; count > 0; count--) {
		size_bytes = message_make(bytes, listeners[from].next_sent[to]);
		if (slu_sim_control_send(sim, from, to, bytes, size_bytes) < 0)
			return;
		listeners[from].next_sent[to]++;
	}
}

static struct slu_sim_params bad_wire(uint64_t seed)
{
	struct slu_sim_params params;

	slu_sim_params_init(&params, seed);
	params.wire.loss_per_million = 100000;
	params.wire.duplicate_per_million = 50000;
	params.wire.corrupt_per_million = 50000;
	params.wire.reorder_per_million = 50000;
	return params;
}

static void delivers_in_order_and_once_over_a_bad_wire(void)
{
	struct slu_sim_params params = bad_wire(1);
	struct slu_sim *sim = start(&params);
	struct slu_sim_stats stats;
	unsigned round;

	for (round = 0; round < 50; round++) {
		send_some(sim, 0, 1, 3);
		send_some(sim, 1, 0, 3);
		send_some(sim, 2, 0, 2);
		slu_sim_advance(sim, slu_sim_now_ns(sim) + SLU_NS_PER_MS);
	}
	while (slu_sim_step(sim))
		;
	CU_ASSERT(listeners[1].next_received[0] == 150);
	CU_ASSERT(listeners[0].next_received[1] == 150);
	CU_ASSERT(listeners[0].next_received[2] == 100);
	CU_ASSERT(listeners[0].down_count[1] == 0 && listeners[0].down_count[2] == 0);
	slu_sim_stats(sim, &stats);
	CU_ASSERT(stats.control_resends > 0 && stats.control_discards > 0);
	CU_ASSERT(stats.control_messages == 400);
	slu_sim_destroy(sim);
}

static void a_quiet_wire_needs_no_resend(void)
{
	struct slu_sim_params params;
	struct slu_sim_stats stats;
	struct slu_sim *sim;

	slu_sim_params_init(&params, 1);
	sim = start(&params);
	send_some(sim, 0, 1, 20);
	while (slu_sim_step(sim))
		;
	slu_sim_stats(sim, &stats);
	CU_ASSERT(listeners[1].next_received[0] == 20);
	CU_ASSERT(stats.control_resends == 0 && stats.control_discards == 0);
	CU_ASSERT(slu_sim_control_send(sim, 1, 2, "x", 1) == -ENOTCONN);
	slu_sim_destroy(sim);
}

static void a_short_partition_only_delays(void)
{
	struct slu_sim_params params = bad_wire(2);
	struct slu_sim *sim = start(&params);

	send_some(sim, 0, 1, 10);
	slu_sim_partition(sim, 0, 1);
	send_some(sim, 0, 1, 10);
	slu_sim_advance(sim, slu_sim_now_ns(sim) + params.control_timeout_ns / 2);
	CU_ASSERT(listeners[1].next_received[0] == 0);
	slu_sim_heal(sim, 0, 1);
	while (slu_sim_step(sim))
		;
	CU_ASSERT(listeners[1].next_received[0] == 20);
	CU_ASSERT(listeners[1].down_count[0] == 0 && listeners[0].down_count[1] == 0);
	slu_sim_destroy(sim);
}

static bool is_after(uint64_t at_ns, uint64_t from_ns, const struct slu_sim_params *params)
{
	return at_ns >= from_ns + params->control_timeout_ns &&
	       at_ns <= from_ns + params->control_timeout_ns + params->down_skew_ns_max;
}

static void a_long_partition_tells_both_and_a_heal_brings_it_back(void)
{
	struct slu_sim_params params = bad_wire(3);
	struct slu_sim *sim = start(&params);
	uint64_t from_ns;

	send_some(sim, 0, 1, 5);
	from_ns = slu_sim_now_ns(sim);
	slu_sim_partition(sim, 0, 1);
	while (slu_sim_step(sim))
		;
	CU_ASSERT(listeners[0].down_count[1] == 1 && listeners[1].down_count[0] == 1);
	CU_ASSERT(is_after(listeners[0].down_at_ns[1], from_ns, &params));
	CU_ASSERT(is_after(listeners[1].down_at_ns[0], from_ns, &params));
	CU_ASSERT(listeners[0].up[2] && listeners[0].down_count[2] == 0);
	slu_sim_heal(sim, 1, 0);
	while (slu_sim_step(sim))
		;
	CU_ASSERT(listeners[0].up_count[1] == 2 && listeners[1].up_count[0] == 2);
	send_some(sim, 1, 0, 5);
	while (slu_sim_step(sim))
		;
	CU_ASSERT(listeners[0].next_received[1] == 5);
	slu_sim_destroy(sim);
}

static void deaths_are_told_and_a_restart_brings_it_back(void)
{
	static const enum slu_sim_death deaths[] = {SLU_SIM_PROCESS_DIES, SLU_SIM_HOST_DIES};
	struct slu_sim_params params = bad_wire(4);
	uint64_t from_ns;
	int idx;

	for (idx = 0; idx < 2; idx++) {
		struct slu_sim *sim = start(&params);

		send_some(sim, 0, 1, 5);
		from_ns = slu_sim_now_ns(sim);
		slu_sim_kill(sim, 1, deaths[idx]);
		while (slu_sim_step(sim))
			;
		CU_ASSERT(listeners[0].down_count[1] == 1);
		CU_ASSERT(listeners[1].down_count[0] == 0); /* the dead hear nothing */
		CU_ASSERT(is_after(listeners[0].down_at_ns[1], from_ns, &params) ==
		          (deaths[idx] == SLU_SIM_HOST_DIES));
		slu_sim_restart(sim, 1);
		listen_at(sim, 1);
		while (slu_sim_step(sim))
			;
		CU_ASSERT(listeners[0].up[1] && listeners[1].up[0]);
		slu_sim_destroy(sim);
	}
}

static void a_fast_restart_is_seen_as_down_and_up(void)
{
	struct slu_sim_params params;
	struct slu_sim *sim;

	/* The host is back before anyone missed it. */
	slu_sim_params_init(&params, 5);
	sim = start(&params);
	slu_sim_kill(sim, 0, SLU_SIM_HOST_DIES);
	slu_sim_advance(sim, slu_sim_now_ns(sim) + params.control_timeout_ns / 10);
	slu_sim_restart(sim, 0);
	listen_at(sim, 0);
	slu_sim_advance(sim, slu_sim_now_ns(sim) + params.control_timeout_ns / 10);
	CU_ASSERT(listeners[1].down_count[0] == 1 && listeners[1].up_count[0] == 2);
	CU_ASSERT(listeners[2].down_count[0] == 1 && listeners[2].up_count[0] == 2);
	CU_ASSERT(listeners[0].up[1] && listeners[0].up[2]);
	while (slu_sim_step(sim))
		;
	CU_ASSERT(listeners[1].down_count[0] == 1 && listeners[1].up[0]);
	slu_sim_destroy(sim);
}

/* Anything at any time: afterwards, with the network whole again, everybody is
 * joined and messages pass; order is checked in on_message. */
static void storm(uint64_t seed)
{
	struct slu_sim_params params = bad_wire(seed);
	struct slu_sim *sim = start(&params);
	bool dead = false;
	unsigned round;

	for (round = 0; round < 60; round++) {
		seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
		switch (seed >> 61) {
		case 0:
			slu_sim_partition(sim, 0, 1);
			break;
		case 1:
			slu_sim_heal(sim, 0, 1);
			break;
		case 2:
			if (!dead)
				slu_sim_kill(sim, 0,
				             (seed >> 40) & 1 ? SLU_SIM_HOST_DIES
				                              : SLU_SIM_PROCESS_DIES);
			dead = true;
			break;
		case 3:
			if (dead) {
				slu_sim_restart(sim, 0);
				listen_at(sim, 0);
			}
			dead = false;
			break;
		default:
			send_some(sim, 0, 1, 2);
			send_some(sim, 1, 0, 2);
		}
		slu_sim_advance(sim, slu_sim_now_ns(sim) + (seed >> 33) % (SLU_NS_PER_S / 2));
	}
	slu_sim_heal(sim, 0, 1);
	if (dead) {
		slu_sim_restart(sim, 0);
		listen_at(sim, 0);
	}
	while (slu_sim_step(sim))
		;
	CU_ASSERT(listeners[0].up[1] && listeners[1].up[0]);
	CU_ASSERT(listeners[0].up[2] && listeners[2].up[0]);
	send_some(sim, 0, 1, 3);
	while (slu_sim_step(sim))
		;
	CU_ASSERT(listeners[1].next_received[0] == listeners[0].next_sent[1]);
	slu_sim_destroy(sim);
}

static void survives_any_sequence_of_faults(void)
{
	unsigned failures = CU_get_number_of_failures();
	uint64_t seed;

	for (seed = 1; seed <= 300; seed++) {
		storm(seed);
		if (CU_get_number_of_failures() != failures) {
			fprintf(stderr, "failed with seed %llu\n", (unsigned long long)seed);
			return;
		}
	}
}

int main(void)
{
	static const struct unit_test tests[] = {
	        UNIT_TEST(delivers_in_order_and_once_over_a_bad_wire),
	        UNIT_TEST(a_quiet_wire_needs_no_resend),
	        UNIT_TEST(a_short_partition_only_delays),
	        UNIT_TEST(a_long_partition_tells_both_and_a_heal_brings_it_back),
	        UNIT_TEST(deaths_are_told_and_a_restart_brings_it_back),
	        UNIT_TEST(a_fast_restart_is_seen_as_down_and_up),
	        UNIT_TEST(survives_any_sequence_of_faults),
	        {NULL, NULL},
	};

	return unit_run("sim-control", tests);
}
