/* SPDX-License-Identifier: Apache-2.0 */
/* conformance_tests.h - the tests of the suite, for the table in conformance.c. */
#ifndef TESTS_DRIVER_CONFORMANCE_TESTS_H
#define TESTS_DRIVER_CONFORMANCE_TESTS_H

#include "tests/driver/rig.h"

/* A rig of the fixture and seed that the suite runs with. */
struct rig *conformance_rig(int instance_count);
const struct conformance_fixture *conformance_current(void);

/* conformance_sessions.c */
void says_what_option_it_does_not_know(void);
void delivers_the_hello_and_brings_both_ends_up(void);
void refuses_a_session_and_says_so(void);
void refuses_a_stranger_without_disturbing_others(void);
void goes_down_when_nobody_is_at_the_address(void);
void refuses_what_is_not_an_address(void);
void closing_either_end_brings_the_other_down(void);
void has_no_events_after_session_close(void);
void survives_a_close_before_the_answer(void);
void closing_an_instance_brings_its_sessions_down(void);
void sessions_come_back_after_down(void);
void keeps_borrowed_messages_until_the_next_poll(void);
void wakes_a_sleeper(void);

/* conformance_messages.c */
void delivers_messages_whole_in_order_and_once(void);
void delivers_the_shortest_and_the_longest(void);
void moves_both_directions_at_once(void);
void keeps_sessions_apart(void);
void joins_three_instances(void);
void pushes_frames_back_and_becomes_writable(void);
void pushes_small_messages_back_and_becomes_writable(void);
void takes_small_messages_while_frames_are_pushed_back(void);
void stops_reading_while_there_is_no_buffer(void);
void reads_no_frame_after_close(void);
void refuses_messages_that_are_too_long(void);
void refuses_messages_while_it_is_not_up(void);
void its_statistics_add_up(void);
void loses_nothing_but_what_was_in_flight(void);

#endif
