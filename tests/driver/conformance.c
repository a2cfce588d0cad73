/* SPDX-License-Identifier: Apache-2.0 */
/* conformance.c - see conformance.h: the table of tests, and running it. */
#include "tests/driver/conformance.h"

#include <stdio.h>

#include "tests/driver/conformance_tests.h"
#include "tests/unit/unit.h"

/* CUnit's tests have no argument. */
static const struct conformance_fixture *current_fixture;
static const struct conformance_far *current_far;
static uint64_t current_seed;

struct conformance_test {
	const char *name;
	void (*run)(void);
	bool exact; /* needs sessions that do not end by themselves */
};

#define EXACT(test)                                                                                \
	{                                                                                          \
#test, test, true                                                                  \
	}
#define ALWAYS(test)                                                                               \
	{                                                                                          \
#test, test, false                                                                 \
	}

static const struct conformance_test tests[] = {
        ALWAYS(says_what_option_it_does_not_know),
        EXACT(delivers_the_hello_and_brings_both_ends_up),
        EXACT(refuses_a_session_and_says_so),
        EXACT(refuses_a_stranger_without_disturbing_others),
        ALWAYS(goes_down_when_nobody_is_at_the_address),
        ALWAYS(refuses_what_is_not_an_address),
        EXACT(closing_either_end_brings_the_other_down),
        EXACT(has_no_events_after_session_close),
        ALWAYS(survives_a_close_before_the_answer),
        EXACT(closing_an_instance_brings_its_sessions_down),
        EXACT(sessions_come_back_after_down),
        EXACT(keeps_borrowed_messages_until_the_next_poll),
        EXACT(wakes_a_sleeper),
        EXACT(delivers_messages_whole_in_order_and_once),
        EXACT(delivers_the_shortest_and_the_longest),
        EXACT(moves_both_directions_at_once),
        EXACT(keeps_sessions_apart),
        EXACT(joins_three_instances),
        EXACT(pushes_frames_back_and_becomes_writable),
        EXACT(pushes_small_messages_back_and_becomes_writable),
        EXACT(takes_small_messages_while_frames_are_pushed_back),
        EXACT(stops_reading_while_there_is_no_buffer),
        EXACT(reads_no_frame_after_close),
        EXACT(refuses_messages_that_are_too_long),
        EXACT(refuses_messages_while_it_is_not_up),
        EXACT(its_statistics_add_up),
        ALWAYS(loses_nothing_but_what_was_in_flight),
};

struct rig *conformance_rig(int instance_count)
{
	return rig_create(current_fixture, current_far, instance_count, current_seed);
}

const struct conformance_fixture *conformance_current(void)
{
	return current_fixture;
}

int conformance_run(const struct conformance_fixture *fixture, const struct conformance_far *far,
                    uint64_t seed)
{
	struct unit_test chosen[sizeof(tests) / sizeof(tests[0]) + 1] = {{NULL, NULL}};
	size_t idx, count = 0;
	int status;

	current_fixture = fixture;
	current_far = far;
	current_seed = seed;
	for (idx = 0; idx < sizeof(tests) / sizeof(tests[0]); idx++) {
		if (!fixture->faults || !tests[idx].exact)
			chosen[count++] = (struct unit_test){tests[idx].name, tests[idx].run};
	}
	status = unit_run(fixture->name, chosen);
	if (status != 0)
		fprintf(stderr, "replay: conformance %s %llu\n", fixture->name,
		        (unsigned long long)seed);
	return status;
}
