/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_motion_rules.c - the five kinds of motion between processes, on one host
 * and between two: every row arrives once, where it should, as it was written.
 */
#include "tests/motion/crew.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MIB (UINT64_C(1) << 20)

static struct crew crews[2]; /* on one host, on two */

/* ---- members ----------------------------------------------------------------- */

enum { SENDERS = 4, RECEIVERS = 3, ROWS = 6000 };

/* Most rows go to the first receiver; some are larger than a frame. */
static size_t skewed_size(const struct member *member, uint64_t number)
{
	uint64_t random = crew_mix(member->crew->seed + number * SENDERS + member->idx);

	if (number == 100)
		return 9 * MIB + 5;
	if (random % 500 == 0)
		return 16 + random % 100000;
	return 16 + random % 600;
}

static int end_sender(struct member *member, slu_motion_sender *sender, int result)
{
	if (result == SLU_OK || (result == SLU_STOPPED && slu_motion_stopped(sender)))
		result = slu_motion_eos(sender) == SLU_OK ? result : -1;
	slu_motion_sender_stats(sender, SLU_MOTION_ALL, &member->stats);
	return result;
}

static int send_skewed(struct member *member)
{
	slu_motion_sender *sender =
	        member_sender(member, SLU_MOTION_REDISTRIBUTE, 1, member->idx, SENDERS, RECEIVERS);
	int r = SLU_OK;

	for (uint64_t number = 0; number < ROWS && r == SLU_OK; number++) {
		uint32_t to = number % 10 ? 0 : slu_motion_jump_hash(crew_mix(number), RECEIVERS);

		r = crew_send(sender, to, member->idx, number, skewed_size(member, number));
		if (r == SLU_OK)
			member->counts[to]++;
	}
	return end_sender(member, sender, r);
}

static int receive_any(struct member *member)
{
	return crew_receive_all(member, member_receiver(member, SLU_MOTION_REDISTRIBUTE, 1,
	                                                member->idx - SENDERS, 0, SENDERS));
}

static int send_broadcast(struct member *member)
{
	slu_motion_sender *sender =
	        member_sender(member, SLU_MOTION_BROADCAST, 1, member->idx, SENDERS, RECEIVERS);
	int r = SLU_OK;

	for (uint64_t number = 0; number < ROWS / 4 && r == SLU_OK; number++)
		r = crew_send(sender, SLU_MOTION_ALL, member->idx, number,
		              skewed_size(member, number));
	return end_sender(member, sender, r);
}

static int receive_broadcast(struct member *member)
{
	return crew_receive_all(member, member_receiver(member, SLU_MOTION_BROADCAST, 1,
	                                                member->idx - SENDERS, 0, SENDERS));
}

/* Sorted, with equal numbers in all senders; the first sends nothing, the second
 * few rows. */
static int send_sorted(struct member *member)
{
	slu_motion_sender *sender =
	        member_sender(member, SLU_MOTION_ORDERED_GATHER, 1, member->idx, SENDERS, 1);
	uint64_t rows = member->idx == 0 ? 0 : member->idx == 1 ? 10 : ROWS;
	int r = SLU_OK;

	for (uint64_t number = 0; number < rows && r == SLU_OK; number++)
		r = crew_send(sender, 0, member->idx, number * member->idx,
		              number % 1000 == 999 ? 40000 : 24);
	return end_sender(member, sender, r);
}

static int receive_sorted(struct member *member)
{
	slu_motion_receiver *receiver =
	        member_receiver(member, SLU_MOTION_ORDERED_GATHER, 1, 0, 0, SENDERS);
	uint64_t last_number = 0, last_source = 0;
	const void *data;
	int r;

	while ((r = slu_motion_receive(receiver, &data)) == SLU_OK) {
		const struct crew_row *row = data;

		member->bad_rows += !crew_row_is_good(row) ||
		                    row->source != slu_motion_source(receiver) ||
		                    row->number < last_number ||
		                    (row->number == last_number && row->source < last_source);
		last_number = row->number;
		last_source = row->source;
		member->counts[row->source]++;
	}
	slu_motion_receiver_stats(receiver, SLU_MOTION_ALL, &member->stats);
	return r;
}

static int send_until_stopped(struct member *member)
{
	slu_motion_sender *sender =
	        member_sender(member, SLU_MOTION_GATHER, 1, member->idx, SENDERS, 1);
	int r = SLU_OK;

	for (uint64_t number = 0; r == SLU_OK; number++)
		r = crew_send(sender, 0, member->idx, number, 200);
	return end_sender(member, sender, r);
}

static int receive_ten(struct member *member)
{
	slu_motion_receiver *receiver =
	        member_receiver(member, SLU_MOTION_GATHER, 1, 0, 0, SENDERS);
	const void *row;
	int r = SLU_OK;

	for (int i = 0; i < 10 && r == SLU_OK; i++)
		r = slu_motion_receive(receiver, &row);
	slu_motion_stop(receiver);
	if (r == SLU_OK && slu_motion_receive(receiver, &row) != SLU_EOS)
		r = -1;
	slu_motion_receiver_stats(receiver, SLU_MOTION_ALL, &member->stats);
	return r;
}

/* Every second row is for the one that the row before came from. */
static int send_explicit(struct member *member)
{
	slu_motion_sender *sender =
	        member_sender(member, SLU_MOTION_EXPLICIT, 1, member->idx, SENDERS, RECEIVERS);
	int r = SLU_OK;

	for (uint64_t number = 0; number < ROWS && r == SLU_OK; number++)
		r = crew_send(sender, (uint32_t)(number % RECEIVERS), member->idx, number, 16);
	return end_sender(member, sender, r);
}

static int receive_explicit(struct member *member)
{
	slu_motion_receiver *receiver =
	        member_receiver(member, SLU_MOTION_EXPLICIT, 1, member->idx - SENDERS, 0, SENDERS);
	const void *data;
	int r;

	while ((r = slu_motion_receive(receiver, &data)) == SLU_OK) {
		const struct crew_row *row = data;

		member->bad_rows += row->number % RECEIVERS != member->idx - SENDERS;
		member->counts[row->source]++;
	}
	return r;
}

/* ---- tests --------------------------------------------------------------------- */

static void start_all(struct crew *crew, int (*send)(struct member *),
                      int (*receive)(struct member *), uint32_t receivers)
{
	crew_query(crew);
	for (uint32_t i = 0; i < SENDERS + receivers; i++)
		crew_start(crew, i, i < SENDERS ? send : receive);
}

static void expect_results(struct crew *crew, uint32_t receivers, int of_sender)
{
	CU_ASSERT_TRUE(crew_wait_all(crew, SENDERS + receivers));
	for (uint32_t i = 0; i < SENDERS + receivers; i++) {
		struct member *member = crew_member(crew, i);

		if (member->result < 0)
			fprintf(stderr, "member %u: %d %s %s %s\n", i, member->result,
			        member->reason, member->error.sqlstate, member->error.text);
		CU_ASSERT_EQUAL(member->result, i < SENDERS ? of_sender : SLU_EOS);
		CU_ASSERT_EQUAL(member->bad_rows, 0);
	}
}

static void skewed_redistribution_delivers_every_row_once(void)
{
	for (size_t c = 0; c < 2; c++) {
		struct crew *crew = &crews[c];
		uint64_t rows_sent = 0, rows_received = 0;

		start_all(crew, send_skewed, receive_any, RECEIVERS);
		expect_results(crew, RECEIVERS, SLU_OK);
		for (uint32_t to = 0; to < RECEIVERS; to++) {
			struct member *receiver = crew_member(crew, SENDERS + to);

			rows_received += receiver->stats.rows;
			CU_ASSERT_EQUAL(receiver->stats.ended, SENDERS);
			for (uint32_t from = 0; from < SENDERS; from++)
				CU_ASSERT_EQUAL(receiver->counts[from],
				                crew_member(crew, from)->counts[to]);
		}
		for (uint32_t from = 0; from < SENDERS; from++)
			rows_sent += crew_member(crew, from)->stats.rows;
		CU_ASSERT_EQUAL(rows_sent, SENDERS * ROWS);
		CU_ASSERT_EQUAL(rows_received, SENDERS * ROWS);
		CU_ASSERT_EQUAL(crew_member(crew, 0)->stats.remote, c == 0 ? 0 : 1);
	}
}

static void broadcast_delivers_every_row_to_every_receiver(void)
{
	for (size_t c = 0; c < 2; c++) {
		start_all(&crews[c], send_broadcast, receive_broadcast, RECEIVERS);
		expect_results(&crews[c], RECEIVERS, SLU_OK);
		for (uint32_t to = 0; to < RECEIVERS; to++)
			for (uint32_t from = 0; from < SENDERS; from++)
				CU_ASSERT_EQUAL(crew_member(&crews[c], SENDERS + to)->counts[from],
				                ROWS / 4);
		CU_ASSERT_EQUAL(crew_member(&crews[c], 0)->stats.rows,
		                (uint64_t)ROWS / 4 * RECEIVERS);
	}
}

static void ordered_gather_merges_by_row_then_by_sender(void)
{
	for (size_t c = 0; c < 2; c++) {
		struct member *receiver = crew_member(&crews[c], SENDERS);

		start_all(&crews[c], send_sorted, receive_sorted, 1);
		expect_results(&crews[c], 1, SLU_OK);
		CU_ASSERT_EQUAL(receiver->counts[0], 0);
		CU_ASSERT_EQUAL(receiver->counts[1], 10);
		CU_ASSERT_EQUAL(receiver->counts[2], ROWS);
		CU_ASSERT_EQUAL(receiver->counts[3], ROWS);
		CU_ASSERT_EQUAL(receiver->stats.rows, 2 * ROWS + 10);
	}
}

static void explicit_motion_goes_where_the_sender_says(void)
{
	for (size_t c = 0; c < 2; c++) {
		start_all(&crews[c], send_explicit, receive_explicit, RECEIVERS);
		expect_results(&crews[c], RECEIVERS, SLU_OK);
		for (uint32_t to = 0; to < RECEIVERS; to++)
			CU_ASSERT_EQUAL(crew_member(&crews[c], SENDERS + to)->counts[1],
			                ROWS / RECEIVERS);
	}
}

static void stop_ends_every_sender(void)
{
	for (size_t c = 0; c < 2; c++) {
		crew_query(&crews[c]);
		for (uint32_t i = 0; i <= SENDERS; i++)
			crew_start(&crews[c], i, i < SENDERS ? send_until_stopped : receive_ten);
		CU_ASSERT_TRUE(crew_wait_all(&crews[c], SENDERS + 1));
		for (uint32_t i = 0; i < SENDERS; i++) {
			CU_ASSERT_EQUAL(crew_member(&crews[c], i)->result, SLU_STOPPED);
			CU_ASSERT_EQUAL(crew_member(&crews[c], i)->stats.stopped, 1);
		}
		CU_ASSERT_EQUAL(crew_member(&crews[c], SENDERS)->result, SLU_OK);
		CU_ASSERT_EQUAL(crew_member(&crews[c], SENDERS)->stats.rows, 10);
	}
}

static void stop_reaches_a_sender_that_comes_later(void)
{
	struct crew *crew = &crews[0];

	crew_query(crew);
	crew_start(crew, 0, send_until_stopped);
	crew_start(crew, SENDERS, receive_ten);
	CU_ASSERT_TRUE(crew_wait(crew_member(crew, SENDERS)));
	CU_ASSERT_TRUE(crew_wait(crew_member(crew, 0)));
	for (uint32_t i = 1; i < SENDERS; i++) {
		CU_ASSERT_TRUE(crew_wait(crew_start(crew, i, send_until_stopped)));
		CU_ASSERT_EQUAL(crew_member(crew, i)->result, SLU_STOPPED);
	}
}

/* Deadlines that pass all the time, also in the middle of large rows. */
static void soon(struct member *member, uint64_t number)
{
	uint64_t wait_ns = crew_mix(number + member->idx) % 50000;

	slu_motion_set_wait(member->context, slu_now_ns() + wait_ns, -1);
}

static int send_impatiently(struct member *member)
{
	slu_motion_sender *sender =
	        member_sender(member, SLU_MOTION_BROADCAST, 1, member->idx, SENDERS, RECEIVERS);
	int r = SLU_OK;

	for (uint64_t number = 0; number < ROWS / 4 && r == SLU_OK; number++) {
		do {
			soon(member, number);
			r = crew_send(sender, SLU_MOTION_ALL, member->idx, number,
			              number % 100 == 50 ? 300001
			                                 : skewed_size(member, number % 100));
			atomic_fetch_add(&member->progress, r == SLU_TIMEOUT);
		} while (r == SLU_TIMEOUT);
	}
	while (r == SLU_OK && (r = slu_motion_eos(sender)) == SLU_TIMEOUT)
		r = SLU_OK;
	return end_sender(member, sender, r);
}

static int receive_impatiently(struct member *member)
{
	slu_motion_receiver *receiver =
	        member_receiver(member, SLU_MOTION_BROADCAST, 1, member->idx - SENDERS, 0, SENDERS);
	int r;

	do {
		soon(member, atomic_load(&member->progress));
		r = crew_receive_all(member, receiver);
	} while (r == SLU_TIMEOUT);
	return r;
}

static void calls_that_ended_by_deadline_may_be_repeated(void)
{
	for (size_t c = 0; c < 2; c++) {
		uint64_t timeouts = 0;

		start_all(&crews[c], send_impatiently, receive_impatiently, RECEIVERS);
		expect_results(&crews[c], RECEIVERS, SLU_OK);
		for (uint32_t i = 0; i < SENDERS; i++) {
			timeouts += crew_member(&crews[c], i)->progress;
			for (uint32_t to = 0; to < RECEIVERS; to++)
				CU_ASSERT_EQUAL(crew_member(&crews[c], SENDERS + to)->counts[i],
				                ROWS / 4);
		}
		CU_ASSERT(timeouts > 0);
	}
}

/* Options and calls that cannot be right. */
static int misuse(struct member *member)
{
	const char *nodes[1];
	struct slu_motion_options good =
	        member_options(member, SLU_MOTION_GATHER, 1, 0, 1, 1, nodes);
	struct slu_motion_options bad = good;
	slu_motion_sender *sender;
	slu_motion_receiver *receiver;
	void *row;

	bad.peer_count = 0;
	if (slu_motion_open_receiver(member->context, &bad, &receiver) != -EINVAL)
		return 1;
	bad = good;
	bad.kind = SLU_MOTION_ORDERED_GATHER;
	if (slu_motion_open_receiver(member->context, &bad, &receiver) != -EINVAL)
		return 2;
	good.row_bytes_max = 1000;
	if (slu_motion_open_sender(member->context, &good, &sender) != 0)
		return 3;
	if (slu_motion_reserve(sender, 0, 3, &row) != -EINVAL ||
	    slu_motion_reserve(sender, 1, 8, &row) != -EINVAL ||
	    slu_motion_reserve(sender, SLU_MOTION_ALL, 8, &row) != -EINVAL)
		return 4;
	if (slu_motion_reserve(sender, 0, 100000, &row) != -EMSGSIZE)
		return 5;
	if (slu_motion_eos(sender) != SLU_OK || slu_motion_eos(sender) != SLU_OK ||
	    slu_motion_reserve(sender, 0, 8, &row) != -EPIPE)
		return 6;
	return 0;
}

static void misuse_is_refused_and_harms_nothing(void)
{
	crew_query(&crews[0]);
	CU_ASSERT_TRUE(crew_wait(crew_start(&crews[0], 0, misuse)));
	CU_ASSERT_EQUAL(crew_member(&crews[0], 0)->result, 0);
	CU_ASSERT_EQUAL(crew_member(&crews[0], 0)->error.error, 0);
}

int main(void)
{
	static const struct unit_test tests[] = {
	        UNIT_TEST(skewed_redistribution_delivers_every_row_once),
	        UNIT_TEST(broadcast_delivers_every_row_to_every_receiver),
	        UNIT_TEST(ordered_gather_merges_by_row_then_by_sender),
	        UNIT_TEST(explicit_motion_goes_where_the_sender_says),
	        UNIT_TEST(stop_ends_every_sender),
	        UNIT_TEST(stop_reaches_a_sender_that_comes_later),
	        UNIT_TEST(calls_that_ended_by_deadline_may_be_repeated),
	        UNIT_TEST(misuse_is_refused_and_harms_nothing),
	        {NULL, NULL},
	};
	const char *seed = getenv("MOTION_SEED");
	bool one_host = crew_begin(&crews[0], 1), two_hosts = crew_begin(&crews[1], 2);
	int status = 1;

	if (one_host && two_hosts) {
		crews[0].seed = crews[1].seed = seed ? strtoull(seed, NULL, 0) : 1;
		status = unit_run("motion rules", tests);
		if (status == 1)
			fprintf(stderr, "MOTION_SEED=%llu\n", (unsigned long long)crews[0].seed);
	}
	crew_end(&crews[0]);
	crew_end(&crews[1]);
	return status;
}
