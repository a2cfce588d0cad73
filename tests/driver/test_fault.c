/* SPDX-License-Identifier: Apache-2.0 */
/* test_fault.c - the fault-injecting wrapper: each fault alone, over loop, where
 * nothing else goes wrong. */
#include <errno.h>
#include <poll.h>
#include <string.h>

#include <sluice/sluice.h>

#include "tests/driver/rig.h"
#include "tests/unit/unit.h"
#include "transport/clock.h"

/* A rig over fault:loop with one option. */
static struct slu_driver_option option;

static struct rig *rig_with(const char *name, const char *value)
{
	static struct conformance_fixture fixture;

	fixture = *conformance_fixture_find("fault-loop");
	option.name = name;
	option.value = value;
	fixture.options = &option;
	fixture.option_count = 1;
	return rig_create(&fixture, NULL, 2, 3);
}

static void loses_sessions(void)
{
	struct rig *rig = rig_with("fault_session_loss_per_million", "1000000");
	struct rig_side *side, *acceptor;

	side = rig_session(rig, 0, 1, &acceptor);
	CU_ASSERT(rig_send(side, 100) == 0); /* taken, and lost */
	CU_ASSERT(rig_send(side, 100) == -ENOTCONN);
	CU_ASSERT(rig_until(rig, rig_side_is_down, side));
	CU_ASSERT(rig_until(rig, rig_side_is_down, acceptor));
	CU_ASSERT(side->down_error == -ECONNRESET && acceptor->down_error == 0);
	CU_ASSERT(strstr(side->down_text, "injected") != NULL);
	CU_ASSERT(acceptor->received == 0);
	rig_destroy(rig);
}

static void pushes_back_and_becomes_writable(void)
{
	struct rig *rig = rig_with("fault_again_per_million", "1000000");
	struct rig_side *side;
	struct slu_driver_stats stats;

	side = rig_session(rig, 0, 1, NULL);
	CU_ASSERT(rig_send(side, 100) == SLU_AGAIN);
	CU_ASSERT(rig_poll(side->instance) == 1 && side->writable_count == 1);
	CU_ASSERT(rig_send_small(side, 10) == SLU_AGAIN);
	CU_ASSERT(rig_poll(side->instance) == 1 && side->writable_count == 2);
	side->instance->ops->stats(side->instance->driver, &stats);
	CU_ASSERT(stats.again_count == 2);
	rig_destroy(rig);
}

static void refuses_connects(void)
{
	struct rig *rig = rig_with("fault_connect_refuse_per_million", "1000000");
	struct rig_side *side;
	int error = 0;

	side = rig_connect(&rig->instances[0], rig->instances[1].address, &error);
	CU_ASSERT_FATAL(side != NULL);
	CU_ASSERT(rig_until(rig, rig_side_is_down, side));
	CU_ASSERT(side->down_error == -ECONNREFUSED);
	rig_destroy(rig);
}

static unsigned bits_apart(const uint8_t *a, const uint8_t *b, uint32_t size_bytes)
{
	unsigned count = 0;
	uint32_t idx;

	for (idx = 0; idx < size_bytes; idx++)
		count += (unsigned)__builtin_popcount(a[idx] ^ b[idx]);
	return count;
}

static void flips_one_bit_of_what_is_received(void)
{
	struct rig *rig = rig_with("fault_corrupt_per_million", "1000000");
	struct rig_instance *to = &rig->instances[1];
	uint8_t *frame = rig->instances[0].arena;
	const uint8_t small[8] = "credits";
	struct slu_driver_event events[2];
	struct rig_side *side;

	side = rig_session(rig, 0, 1, NULL);
	CU_ASSERT(rig_send(side, 5000) == 0);
	CU_ASSERT(side->instance->ops->send_small(side->instance->driver, side->session, small,
	                                          sizeof(small)) == 0);
	side->instance->ops->flush(side->instance->driver);
	CU_ASSERT_FATAL(to->ops->poll(to->driver, events, 2) == 2);
	CU_ASSERT(bits_apart(events[0].message, frame, 5000) == 1);
	CU_ASSERT(bits_apart(events[1].message, small, sizeof(small)) == 1);
	to->host.rx_put(to, (void *)(uintptr_t)events[0].message);
	CU_ASSERT(!(to->ops->caps & SLU_DRIVER_LINK_INTEGRITY));
	rig_destroy(rig);
}

static bool is_up_at_both(void *ctx)
{
	struct rig_side *side = ctx;

	return rig_side_is_up(side) && side->other && rig_side_is_up(side->other);
}

static void holds_events_back_but_not_for_longer_than_told(void)
{
	struct rig *rig = rig_with("fault_delay_ns_max", "1000000");
	uint64_t from_ns, took_ns, longest_ns = 0;
	unsigned late = 0;
	struct rig_side *side;
	int error = 0, round;

	side = rig_connect(&rig->instances[0], rig->instances[1].address, &error);
	CU_ASSERT_FATAL(side && rig_until(rig, is_up_at_both, side));
	for (round = 0; round < 200; round++) {
		from_ns = rig->environment->now_ns;
		CU_ASSERT(rig_send_small(side, 10) == 0);
		CU_ASSERT(rig_until(rig, rig_side_has_all, side->other));
		took_ns = rig->environment->now_ns - from_ns;
		late += took_ns > 0;
		longest_ns = took_ns > longest_ns ? took_ns : longest_ns;
	}
	CU_ASSERT(late > 10 && late < 60); /* one event in eight */
	CU_ASSERT(longest_ns > SLU_NS_PER_MS / 2 && longest_ns <= SLU_NS_PER_MS);
	rig_destroy(rig);
}

static void tells_late_that_a_frame_was_sent(void)
{
	struct rig *rig = rig_with("fault_sent_late_ns_max", "1000000");
	struct rig_side *side;
	uint64_t from_ns;

	side = rig_session(rig, 0, 1, NULL);
	from_ns = rig->environment->now_ns;
	CU_ASSERT(rig_send(side, 100) == 0);
	while (side->other->received == 0)
		CU_ASSERT_FATAL(rig_round(rig) > 0);
	CU_ASSERT(side->cookie_sent == 0);
	CU_ASSERT(rig_until(rig, rig_side_has_all, side->other));
	CU_ASSERT(rig->environment->now_ns > from_ns);
	CU_ASSERT(rig->environment->now_ns <= from_ns + SLU_NS_PER_MS);
	rig_destroy(rig);
}

/* How long the first session lives, in messages, for a seed. */
static size_t life(const char *seed)
{
	static struct conformance_fixture fixture;
	struct slu_driver_option options[] = {{"fault_seed", seed},
	                                      {"fault_session_loss_per_million", "20000"}};
	struct rig_side *side;
	struct rig *rig;
	size_t count;

	fixture = *conformance_fixture_find("fault-loop");
	fixture.options = options;
	fixture.option_count = 2;
	rig = rig_create(&fixture, NULL, 2, 3);
	side = rig_session(rig, 0, 1, NULL);
	while (rig_send_small(side, 10) == 0)
		rig_round(rig);
	count = side->record_count;
	rig_destroy(rig);
	return count;
}

static void does_the_same_for_the_same_seed(void)
{
	CU_ASSERT(life("1") == life("1"));
	CU_ASSERT(life("12") == life("12"));
	CU_ASSERT(life("1") != life("12") || life("1") != life("13"));
}

static int open_with(const char *name, const char *value, char *error)
{
	struct rig *rig = rig_with("fault_seed", "1");
	struct slu_driver_option wrong = {name, value};
	struct slu_driver_config config = {.options = &wrong,
	                                   .option_count = 1,
	                                   .environment = rig->environment->network,
	                                   .error = error};
	struct slu_driver *driver;
	int r = slu_driver_find("fault:loop")->open(&config, &rig->instances[0].host, &driver);

	if (r == 0)
		slu_driver_find("fault:loop")->close(driver);
	rig_destroy(rig);
	return r;
}

static void passes_options_on_and_refuses_wrong_ones(void)
{
	char error[SLU_DRIVER_ERROR_MAX] = "";

	CU_ASSERT(open_with("fault_sesion_loss", "1", error) == -EINVAL);
	CU_ASSERT(strstr(error, "fault_sesion_loss") != NULL);
	CU_ASSERT(open_with("fault_again_per_million", "1000001", error) == -EINVAL);
	CU_ASSERT(strstr(error, "fault_again_per_million") != NULL);
	CU_ASSERT(open_with("queue_frames", "many", error) == -EINVAL);
	CU_ASSERT(strstr(error, "queue_frames") != NULL);
	CU_ASSERT(open_with("queue_frames", "1", error) == 0);
}

static void wakes_a_sleeper_for_its_own_events(void)
{
	struct rig *rig = rig_with("fault_session_loss_per_million", "1000000");
	struct rig_instance *from = &rig->instances[0];
	struct pollfd descriptor = {.events = POLLIN};
	struct rig_side *side;

	side = rig_session(rig, 0, 1, NULL);
	rig_settle(rig);
	CU_ASSERT(from->ops->arm(from->driver) == 0);
	descriptor.fd = from->ops->fd(from->driver);
	CU_ASSERT(poll(&descriptor, 1, 0) == 0);
	CU_ASSERT(rig_send(side, 10) == 0);
	CU_ASSERT(poll(&descriptor, 1, 0) == 1);
	CU_ASSERT(from->ops->arm(from->driver) == SLU_AGAIN);
	CU_ASSERT(rig_until(rig, rig_side_is_down, side));
	rig_destroy(rig);
}

int main(void)
{
	static const struct unit_test tests[] = {
	        UNIT_TEST(loses_sessions),
	        UNIT_TEST(pushes_back_and_becomes_writable),
	        UNIT_TEST(refuses_connects),
	        UNIT_TEST(flips_one_bit_of_what_is_received),
	        UNIT_TEST(holds_events_back_but_not_for_longer_than_told),
	        UNIT_TEST(tells_late_that_a_frame_was_sent),
	        UNIT_TEST(does_the_same_for_the_same_seed),
	        UNIT_TEST(passes_options_on_and_refuses_wrong_ones),
	        UNIT_TEST(wakes_a_sleeper_for_its_own_events),
	        {NULL, NULL},
	};

	return unit_run("fault", tests);
}
