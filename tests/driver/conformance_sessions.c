/* SPDX-License-Identifier: Apache-2.0 */
/* conformance_sessions.c - tests of the suite: opening, connecting, accepting,
 * refusing, closing, and sleeping. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include <CUnit/CUnit.h>
#include <sluice/sluice.h>

#include "tests/driver/conformance_tests.h"

void says_what_option_it_does_not_know(void)
{
	const struct conformance_fixture *fixture = conformance_current();
	const struct slu_driver_ops *ops = slu_driver_find(fixture->driver);
	struct rig *rig = conformance_rig(1);
	struct slu_driver_option options[16];
	char error[SLU_DRIVER_ERROR_MAX] = "";
	struct slu_driver_config config = {
	        .options = options, .environment = rig->environment->network, .error = error};
	struct slu_driver *driver;

	CU_ASSERT_STRING_EQUAL(ops->name, fixture->driver);
	config.option_count = rig_options(fixture, 1, options, 15);
	options[config.option_count].name = "no_such_option";
	options[config.option_count++].value = "1";
	CU_ASSERT(ops->open(&config, &rig->instances[0].host, &driver) == -EINVAL);
	CU_ASSERT(strstr(error, "no_such_option") != NULL);
	rig_destroy(rig);
}

void delivers_the_hello_and_brings_both_ends_up(void)
{
	struct rig *rig = conformance_rig(2);
	struct rig_side *side, *acceptor;

	side = rig_session(rig, 0, 1, &acceptor); /* the monitor compares the hello */
	CU_ASSERT(acceptor->instance == &rig->instances[1]);
	CU_ASSERT(side->state == RIG_UP && acceptor->state == RIG_UP);
	rig_settle(rig);
	CU_ASSERT(side->state == RIG_UP && acceptor->state == RIG_UP);
	rig_destroy(rig);
}

static bool is_closed_error(int error)
{
	return error == 0 || error == -ECONNRESET;
}

void refuses_a_session_and_says_so(void)
{
	struct rig *rig = conformance_rig(2);
	struct rig_side *side;
	int error = 0;

	rig->instances[1].policy = RIG_REFUSE;
	side = rig_connect(&rig->instances[0], rig->instances[1].address, &error);
	CU_ASSERT_FATAL(side != NULL);
	CU_ASSERT(rig_until(rig, rig_side_is_down, side));
	CU_ASSERT(is_closed_error(side->down_error));
	rig_close(side);
	rig->instances[1].policy = RIG_ACCEPT;
	rig_session(rig, 0, 1, NULL);
	rig_destroy(rig);
}

void refuses_a_stranger_without_disturbing_others(void)
{
	struct rig *rig = conformance_rig(3);
	struct rig_side *side, *acceptor, *stranger;

	side = rig_session(rig, 0, 1, &acceptor);
	/* A hello from a user that speaks another language: the driver does not
	 * look into it. */
	stranger = rig_connect_hello(&rig->instances[2], rig->instances[1].address,
	                             "GET / HTTP/1.0\r\n");
	CU_ASSERT_FATAL(stranger != NULL);
	CU_ASSERT(rig_until(rig, rig_side_is_down, stranger));
	CU_ASSERT(rig->instances[1].stranger_count == 1);
	CU_ASSERT(rig_put(side, 1000) == 0);
	CU_ASSERT(rig_until(rig, rig_side_has_all, acceptor));
	rig_destroy(rig);
}

void goes_down_when_nobody_is_at_the_address(void)
{
	struct rig *rig = conformance_rig(2);
	struct rig_side *side;
	int error = 0;

	rig_instance_close(&rig->instances[1]);
	side = rig_connect(&rig->instances[0], rig->instances[1].address, &error);
	CU_ASSERT_FATAL(side != NULL);
	CU_ASSERT(rig_until(rig, rig_side_is_down, side));
	CU_ASSERT(side->down_error < 0);
	rig_close(side);
	rig_destroy(rig);
}

void refuses_what_is_not_an_address(void)
{
	static const char *const addresses[] = {
	        "",     "?",      "not an address", "loop:",           "loop:1x",
	        "sim:", "sim:1:", "999.1.1.1:5",    "127.0.0.1:99999", "[::1"};
	struct rig *rig = conformance_rig(1);
	size_t idx;
	int error;

	for (idx = 0; idx < sizeof(addresses) / sizeof(addresses[0]); idx++) {
		error = 0;
		CU_ASSERT(rig_connect(&rig->instances[0], addresses[idx], &error) == NULL);
		CU_ASSERT(error == -EINVAL);
	}
	rig_destroy(rig);
}

void closing_either_end_brings_the_other_down(void)
{
	struct rig *rig = conformance_rig(2);
	struct rig_side *side, *acceptor;
	int who;

	for (who = 0; who < 2; who++) {
		side = rig_session(rig, 0, 1, &acceptor);
		CU_ASSERT(rig_put(side, 5000) == 0);
		CU_ASSERT(rig_until(rig, rig_side_has_all, acceptor));
		rig_close(who == 0 ? side : acceptor);
		CU_ASSERT(rig_until(rig, rig_side_is_down, who == 0 ? acceptor : side));
		CU_ASSERT(is_closed_error(who == 0 ? acceptor->down_error : side->down_error));
		rig_close(who == 0 ? acceptor : side);
	}
	rig_settle(rig);
	rig_destroy(rig);
}

void has_no_events_after_session_close(void)
{
	struct rig *rig = conformance_rig(2);
	struct rig_side *side, *acceptor, *other;
	int idx, round;

	/* One event per poll, so that others of the session are queued in the
	 * driver when it is closed; the monitor fails on any that comes. */
	rig->instances[0].batch = rig->instances[1].batch = 1;
	other = rig_session(rig, 0, 1, NULL);
	for (round = 0; round < 8; round++) {
		side = rig_session(rig, 0, 1, &acceptor);
		for (idx = 0; idx < 10; idx++) {
			rig_send_any(side);
			rig_send_any(acceptor);
		}
		for (idx = 0; idx < round; idx++)
			rig_round(rig);
		rig_close(round % 2 ? side : acceptor);
		rig_settle(rig);
		CU_ASSERT(rig_side_is_down(round % 2 ? acceptor : side));
		rig_close(round % 2 ? acceptor : side);
	}
	rig_settle(rig);
	CU_ASSERT(rig_put(other, 1000) == 0);
	CU_ASSERT(rig_until(rig, rig_side_has_all, other->other));
	rig_destroy(rig);
}

static bool is_offered(void *ctx)
{
	struct rig_side *side = ctx;

	return side->other != NULL || side->state == RIG_DOWN;
}

void survives_a_close_before_the_answer(void)
{
	struct rig *rig = conformance_rig(2);
	struct rig_side *side;
	int error = 0, round;

	rig->instances[1].policy = RIG_HOLD;
	for (round = 0; round < 8; round++) {
		side = rig_connect(&rig->instances[0], rig->instances[1].address, &error);
		CU_ASSERT_FATAL(side != NULL);
		if (round % 2)
			CU_ASSERT(rig_until(rig, is_offered, side));
		rig_close(side);
		if (side->other && round % 4 == 1)
			rig_settle(rig);
		/* It may be down already, and the user be told later. */
		if (side->other && side->other->state == RIG_OFFERED)
			rig_accept(side->other);
		rig_settle(rig);
		if (side->other) {
			CU_ASSERT(rig_until(rig, rig_side_is_down, side->other));
			rig_close(side->other);
		}
	}
	rig_destroy(rig);
}

void closing_an_instance_brings_its_sessions_down(void)
{
	struct rig *rig = conformance_rig(3);
	struct rig_side *from[3], *to[3], *other;
	int idx, count;

	for (idx = 0; idx < 3; idx++)
		from[idx] = rig_session(rig, idx % 2 ? 2 : 0, 1, &to[idx]);
	other = rig_session(rig, 0, 2, NULL);
	for (count = 0; count < 20; count++) {
		for (idx = 0; idx < 3; idx++) {
			rig_send_any(from[idx]);
			rig_send_any(to[idx]);
		}
	}
	rig_round(rig);
	rig_instance_close(&rig->instances[1]); /* with messages in flight both ways */
	for (idx = 0; idx < 3; idx++) {
		CU_ASSERT(rig_until(rig, rig_side_is_down, from[idx]));
		CU_ASSERT(is_closed_error(from[idx]->down_error));
	}
	CU_ASSERT(rig_put(other, 1000) == 0);
	CU_ASSERT(rig_until(rig, rig_side_has_all, other->other));
	rig_destroy(rig);
}

void sessions_come_back_after_down(void)
{
	struct rig *rig = conformance_rig(2);
	struct rig_side *side, *acceptor;
	int round;

	for (round = 0; round < 10; round++) {
		side = rig_session(rig, round % 2, 1 - round % 2, &acceptor);
		CU_ASSERT(rig_put(side, 100) == 0);
		CU_ASSERT(rig_until(rig, rig_side_has_all, acceptor));
		rig_close(side);
		CU_ASSERT(rig_until(rig, rig_side_is_down, acceptor));
		rig_close(acceptor);
	}
	rig_destroy(rig);
}

void keeps_borrowed_messages_until_the_next_poll(void)
{
	struct rig *rig = conformance_rig(2);
	struct rig_instance *to = &rig->instances[1];
	struct rig_side *side, *acceptor;
	struct slu_driver_event event;
	int rounds = 0;

	side = rig_session(rig, 0, 1, &acceptor);
	CU_ASSERT(rig_send_small(side, SLU_DRIVER_SMALL_MAX) == 0);
	rig->instances[0].ops->flush(rig->instances[0].driver);
	while (to->ops->poll(to->driver, &event, 1) == 0 && rounds++ < 100000) {
		rig_poll(&rig->instances[0]);
		rig_wait(rig, UINT64_MAX);
	}
	CU_ASSERT_FATAL(event.type == SLU_DRIVER_RECV_SMALL);
	rig_close(acceptor);
	/* Checked like any other, though its session is gone. */
	acceptor->state = RIG_UP;
	rig_message_check(acceptor, &event);
	acceptor->state = RIG_CLOSED;
	rig_destroy(rig);
}

static bool is_readable(int fd, int timeout_ms)
{
	struct pollfd descriptor = {.fd = fd, .events = POLLIN};

	return poll(&descriptor, 1, timeout_ms) == 1;
}

void wakes_a_sleeper(void)
{
	struct rig *rig = conformance_rig(2);
	struct rig_instance *to = &rig->instances[1];
	struct rig_side *side, *acceptor;
	int round, idx, rounds;
	bool all;

	side = rig_session(rig, 0, 1, &acceptor);
	to->batch = 1;
	for (round = 0; round < 5; round++) {
		rig_settle(rig);
		CU_ASSERT(to->ops->arm(to->driver) == 0);
		if (to->ops->fd(to->driver) >= 0)
			CU_ASSERT(!is_readable(to->ops->fd(to->driver), 0));
		for (all = true, idx = 0; idx < 3; idx++)
			all = rig_send_small(side, 10) == 0 && all;
		side->instance->ops->flush(side->instance->driver);
		if (to->ops->fd(to->driver) >= 0) {
			CU_ASSERT(is_readable(to->ops->fd(to->driver), 10000));
		} else {
			CU_ASSERT(to->ops->deadline(to->driver) != UINT64_MAX);
		}
		for (rounds = 0; rig_poll(to) == 0 && rounds < 100000; rounds++)
			rig_wait(rig, UINT64_MAX);
		/* Two more are there, or under way. */
		CU_ASSERT(!all || to->ops->arm(to->driver) == SLU_AGAIN ||
		          to->ops->deadline(to->driver) != UINT64_MAX ||
		          is_readable(to->ops->fd(to->driver), 10000));
		CU_ASSERT(rig_until(rig, rig_side_has_all, acceptor));
	}
	rig_destroy(rig);
}
