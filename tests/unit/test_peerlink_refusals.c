/* SPDX-License-Identifier: Apache-2.0 */
/* test_peerlink_refusals.c - which refused connections get a line in the log. */
#include "transport/agent/peerlink_refusals.h"

#include "tests/unit/unit.h"

#include <stdio.h>
#include <string.h>

#define S UINT64_C(1000000000)

static struct refusals refusals;
static uint64_t again, others;

static bool line(const char *address, const char *reason, uint64_t now_ns)
{
	return refusals_line(&refusals, address, reason, now_ns, &again, &others);
}

static void begin(void)
{
	memset(&refusals, 0, sizeof(refusals));
}

/* One that comes every second for 10 h: at its beginning, after 1, 3, 7, 15, 31, 63
 * minutes, and then, the pause being an hour, 60 minutes later each time. */
static void an_agent_that_comes_again_for_ever_is_told_of_ever_more_seldom(void)
{
	static const uint64_t minutes[] = {0,   1,   3,   7,   15,  31,  63, 123,
	                                   183, 243, 303, 363, 423, 483, 543};
	unsigned lines = 0;
	uint64_t told = 0;
	char address[64];

	begin();
	for (uint64_t second = 0; second < 600 * 60; second++) {
		snprintf(address, sizeof(address), "10.0.0.1:%llu",
		         (unsigned long long)(1024 + second % 60000));
		if (!line(address, "another cluster", 5 * S + second * S))
			continue;
		CU_ASSERT_FATAL(lines < sizeof(minutes) / sizeof(minutes[0]));
		CU_ASSERT_EQUAL(second, minutes[lines] * 60);
		CU_ASSERT_EQUAL(again, lines ? second - told - 1 : 0);
		told = second;
		lines++;
	}
	CU_ASSERT_EQUAL(lines, sizeof(minutes) / sizeof(minutes[0]));
}

static void another_reason_or_host_is_told_of_at_once(void)
{
	begin();
	CU_ASSERT_TRUE(line("10.0.0.1:1024", "another cluster", 10 * S));
	CU_ASSERT_FALSE(line("10.0.0.1:1025", "another cluster", 11 * S));
	CU_ASSERT_TRUE(line("10.0.0.1:1026", "another key", 12 * S));
	CU_ASSERT_EQUAL(again, 0);
	CU_ASSERT_TRUE(line("10.0.0.2:1024", "another key", 13 * S));
	CU_ASSERT_TRUE(line("[fd77::1]:1024", "another key", 14 * S));
	CU_ASSERT_TRUE(line("[fd77::2]:1024", "another key", 15 * S));
	CU_ASSERT_FALSE(line("[fd77::1]:1025", "another key", 16 * S));
	CU_ASSERT_FALSE(line("10.0.0.1:1027", "another cluster", 17 * S));
}

/* Two agents in turn, ten times a second each: neither hides the other for ever. */
static void what_comes_often_does_not_hide_what_comes_besides(void)
{
	unsigned lines[2] = {0, 0};

	begin();
	for (uint64_t tenth = 0; tenth < 300; tenth++) {
		lines[0] += line("10.0.0.1:1", "another cluster", 10 * S + tenth * S / 10);
		lines[1] += line("10.0.0.2:1", "another cluster", 10 * S + tenth * S / 10);
	}
	CU_ASSERT_EQUAL(lines[0], 1);
	CU_ASSERT_EQUAL(lines[1], 1);
}

static void strangers_who_say_something_else_each_time_get_a_line_a_second(void)
{
	unsigned lines = 0;
	char reason[64];

	begin();
	for (uint64_t i = 0; i < 1000; i++) {
		snprintf(reason, sizeof(reason), "message type %u", (unsigned)i);
		lines += line("10.0.0.1:1", reason, 10 * S + i * S / 10);
	}
	CU_ASSERT_EQUAL(lines, 100);
	CU_ASSERT_EQUAL(others, 9);
}

static void one_that_was_away_for_a_minute_is_new_again(void)
{
	begin();
	CU_ASSERT_TRUE(line("10.0.0.1:1", "another cluster", 10 * S));
	CU_ASSERT_FALSE(line("10.0.0.1:1", "another cluster", 11 * S));
	CU_ASSERT_TRUE(line("10.0.0.1:1", "another cluster", 11 * S + REFUSALS_NS_MIN));
	CU_ASSERT_EQUAL(again, 0);
	CU_ASSERT_FALSE(line("10.0.0.1:1", "another cluster", 12 * S + REFUSALS_NS_MIN));
}

static void reasons_longer_than_there_is_room_for_are_told_apart_by_their_beginning(void)
{
	char reason[600];

	begin();
	memset(reason, 'x', sizeof(reason));
	reason[sizeof(reason) - 1] = '\0';
	CU_ASSERT_TRUE(line("10.0.0.1:1", reason, 10 * S));
	CU_ASSERT_FALSE(line("10.0.0.1:1", reason, 12 * S));
	reason[0] = 'y';
	CU_ASSERT_TRUE(line("10.0.0.1:1", reason, 13 * S));
	CU_ASSERT_TRUE(line("no port", "at all", 15 * S));
}

int main(void)
{
	static const struct unit_test tests[] = {
	        UNIT_TEST(an_agent_that_comes_again_for_ever_is_told_of_ever_more_seldom),
	        UNIT_TEST(another_reason_or_host_is_told_of_at_once),
	        UNIT_TEST(what_comes_often_does_not_hide_what_comes_besides),
	        UNIT_TEST(strangers_who_say_something_else_each_time_get_a_line_a_second),
	        UNIT_TEST(one_that_was_away_for_a_minute_is_new_again),
	        UNIT_TEST(reasons_longer_than_there_is_room_for_are_told_apart_by_their_beginning),
	        {NULL, NULL},
	};

	return unit_run("peerlink refusals", tests);
}
