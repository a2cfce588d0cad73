/* SPDX-License-Identifier: Apache-2.0 */
/* test_wal_parts.c - messages, lag and quorum of a WAL stream, each alone. */
#include "tests/unit/unit.h"
#include "walstream/wal_codec.h"
#include "walstream/wal_lag.h"

#include <errno.h>
#include <string.h>

/* ---- messages -------------------------------------------------------------------- */

static int decode(const struct wal_message *message, size_t extra_bytes,
                  struct wal_message *ret_message)
{
	uint8_t bytes[WAL_MESSAGE_MAX + 64] = {0};
	char error[WAL_TEXT_MAX];
	size_t size_bytes = wal_message_encode(message, bytes);

	return wal_message_decode(message->type, bytes, size_bytes + extra_bytes, ret_message,
	                          error);
}

static void every_message_survives_the_wire(void)
{
	struct wal_message start = {.type = WAL_START, .start = {.timeline = 3, .name = "seg2"}};
	struct wal_message status = {
	        .type = WAL_STATUS,
	        .status = {.positions = {3, 2, 1}, .hold_ns = 9, .wall_ns = -7, .flags = 1}};
	struct wal_message welcome = {.type = WAL_WELCOME,
	                              .welcome = {.start_lsn = 5, .end_lsn = 6, .timeline = 7}};
	struct wal_message data = {.type = WAL_DATA,
	                           .data = {.lsn = 10, .end_lsn = 12, .timeline = 4}};
	struct wal_message again;

	CU_ASSERT_EQUAL(decode(&start, 0, &again), 0);
	CU_ASSERT_EQUAL(again.start.timeline, 3);
	CU_ASSERT_STRING_EQUAL(again.start.name, "seg2");
	CU_ASSERT_EQUAL(decode(&status, 0, &again), 0);
	CU_ASSERT_EQUAL(again.status.positions.write_lsn, 3);
	CU_ASSERT_EQUAL(again.status.positions.apply_lsn, 1);
	CU_ASSERT_EQUAL(again.status.hold_ns, 9);
	CU_ASSERT_EQUAL(again.status.wall_ns, -7);
	CU_ASSERT_EQUAL(decode(&welcome, 0, &again), 0);
	CU_ASSERT_EQUAL(again.welcome.end_lsn, 6);
	CU_ASSERT_EQUAL(decode(&data, 2, &again), 0);
	CU_ASSERT_EQUAL(again.data.lsn, 10);
	CU_ASSERT_EQUAL(again.data.size_bytes, 2);
}

static void refuses_log_beyond_its_own_end(void)
{
	struct wal_message data = {.type = WAL_DATA, .data = {.lsn = 10, .end_lsn = 12}};
	struct wal_message wraps = {.type = WAL_DATA,
	                            .data = {.lsn = UINT64_MAX, .end_lsn = UINT64_MAX}};
	struct wal_message again;

	CU_ASSERT_EQUAL(decode(&data, 3, &again), -EPROTO);
	CU_ASSERT_EQUAL(decode(&wraps, 1, &again), -EPROTO);
	CU_ASSERT_EQUAL(decode(&data, 0, &again), -EPROTO); /* no log at all */
}

static void refuses_messages_of_another_size_or_kind(void)
{
	struct wal_message finish = {.type = WAL_FINISH};
	struct wal_message again;
	char error[WAL_TEXT_MAX];

	CU_ASSERT_EQUAL(decode(&finish, 1, &again), -EPROTO);
	CU_ASSERT_EQUAL(wal_message_decode(99, "", 0, &again, error), -EPROTO);
	CU_ASSERT_EQUAL(wal_message_decode(WAL_START, "", 0, &again, error), -EPROTO);
}

static void another_version_is_told_from_garbage(void)
{
	struct wal_message start = {.type = WAL_START}, again;
	uint8_t bytes[WAL_MESSAGE_MAX];
	char error[WAL_TEXT_MAX];

	wal_message_encode(&start, bytes);
	bytes[4] = 200; /* version */
	CU_ASSERT_EQUAL(wal_message_decode(WAL_START, bytes, 8, &again, error), -EPROTONOSUPPORT);
	CU_ASSERT_EQUAL(again.start.version, 200);
	CU_ASSERT_PTR_NOT_NULL(strstr(error, "200"));
	bytes[0] ^= 1;
	CU_ASSERT_EQUAL(wal_message_decode(WAL_START, bytes, 8, &again, error), -EPROTO);
}

/* ---- lag -------------------------------------------------------------------------- */

static void lag_is_the_time_since_what_was_heard_of_was_sent(void)
{
	struct wal_lag lag;

	wal_lag_init(&lag);
	wal_lag_sent(&lag, 100, 1000);
	wal_lag_sent(&lag, 200, 2000);
	CU_ASSERT_EQUAL(wal_lag_heard(&lag, SLU_WAL_WRITE, 100, 1500), 500);
	CU_ASSERT_EQUAL(wal_lag_heard(&lag, SLU_WAL_WRITE, 200, 2100), 100);
	CU_ASSERT_EQUAL(wal_lag_heard(&lag, SLU_WAL_FLUSH, 200, 2400), 400);
}

static void lag_between_two_samples_is_interpolated(void)
{
	struct wal_lag lag;

	wal_lag_init(&lag);
	wal_lag_sent(&lag, 100, 1000);
	wal_lag_sent(&lag, 200, 2000);
	wal_lag_heard(&lag, SLU_WAL_APPLY, 100, 1100);
	CU_ASSERT_EQUAL(wal_lag_heard(&lag, SLU_WAL_APPLY, 150, 3000), 1500);
}

static void lag_of_an_idle_stream_is_unknown(void)
{
	struct wal_lag lag;

	wal_lag_init(&lag);
	CU_ASSERT_EQUAL(wal_lag_heard(&lag, SLU_WAL_WRITE, 0, 5), SLU_WAL_LAG_UNKNOWN);
	wal_lag_sent(&lag, 100, 1000);
	wal_lag_heard(&lag, SLU_WAL_WRITE, 100, 1500);
	CU_ASSERT_EQUAL(wal_lag_heard(&lag, SLU_WAL_WRITE, 100, 9000), SLU_WAL_LAG_UNKNOWN);
}

static void lag_grows_while_a_level_stands_still(void)
{
	struct wal_lag lag;

	wal_lag_init(&lag);
	for (uint64_t i = 1; i <= 3 * WAL_LAG_SAMPLES; i++)
		wal_lag_sent(&lag, i * 10, i * 100);
	CU_ASSERT_EQUAL(wal_lag_heard(&lag, SLU_WAL_APPLY, 0, 1000000), 1000000 - 100);
	/* of a full ring the newest sample was given up, again and again */
	CU_ASSERT_EQUAL(wal_lag_heard(&lag, SLU_WAL_APPLY, 30 * WAL_LAG_SAMPLES, 1000000),
	                1000000 - 300 * WAL_LAG_SAMPLES);
}

/* ---- quorum ------------------------------------------------------------------------ */

static bool at(slu_walquorum *quorum, unsigned member_idx, uint64_t lsn)
{
	struct slu_wal_positions positions = {lsn, lsn, lsn};

	return slu_walquorum_update(quorum, member_idx, &positions);
}

static uint64_t reached(const slu_walquorum *quorum)
{
	return slu_walquorum_lsn(quorum, SLU_WAL_FLUSH);
}

static void first_waits_for_the_slowest_of_the_first_k(void)
{
	slu_walquorum *quorum;

	CU_ASSERT_EQUAL_FATAL(slu_walquorum_create(SLU_WALQUORUM_FIRST, 2, 3, &quorum), 0);
	CU_ASSERT_FALSE(at(quorum, 0, 50));
	CU_ASSERT_TRUE(at(quorum, 2, 90)); /* the second that is present */
	CU_ASSERT_EQUAL(reached(quorum), 50);
	CU_ASSERT_FALSE(at(quorum, 1, 40)); /* takes its place, is behind */
	CU_ASSERT_EQUAL(reached(quorum), 50);
	CU_ASSERT_TRUE(slu_walquorum_decides(quorum, 1));
	CU_ASSERT_FALSE(slu_walquorum_decides(quorum, 2));
	CU_ASSERT_FALSE(at(quorum, 0, 80));
	CU_ASSERT_TRUE(at(quorum, 1, 70));
	CU_ASSERT_EQUAL(reached(quorum), 70);
	CU_ASSERT_TRUE(slu_walquorum_leave(quorum, 1));
	CU_ASSERT_EQUAL(reached(quorum), 80);
	slu_walquorum_destroy(quorum);
}

static void any_counts_the_kth_furthest(void)
{
	slu_walquorum *quorum;

	CU_ASSERT_EQUAL_FATAL(slu_walquorum_create(SLU_WALQUORUM_ANY, 2, 3, &quorum), 0);
	at(quorum, 0, 10);
	CU_ASSERT_EQUAL(reached(quorum), 0);
	at(quorum, 1, 90);
	CU_ASSERT_EQUAL(reached(quorum), 10);
	at(quorum, 2, 60);
	CU_ASSERT_EQUAL(reached(quorum), 60);
	CU_ASSERT_TRUE(slu_walquorum_decides(quorum, 2));
	slu_walquorum_destroy(quorum);
}

static void what_was_acknowledged_stays_so(void)
{
	slu_walquorum *quorum;

	CU_ASSERT_EQUAL_FATAL(slu_walquorum_create(SLU_WALQUORUM_ANY, 1, 2, &quorum), 0);
	at(quorum, 0, 100);
	slu_walquorum_leave(quorum, 0);
	CU_ASSERT_FALSE(at(quorum, 1, 30));
	CU_ASSERT_EQUAL(reached(quorum), 100);
	slu_walquorum_destroy(quorum);
}

static void levels_move_on_their_own(void)
{
	struct slu_wal_positions positions = {30, 20, 10};
	slu_walquorum *quorum;

	CU_ASSERT_EQUAL_FATAL(slu_walquorum_create(SLU_WALQUORUM_FIRST, 1, 1, &quorum), 0);
	CU_ASSERT_TRUE(slu_walquorum_update(quorum, 0, &positions));
	CU_ASSERT_EQUAL(slu_walquorum_lsn(quorum, SLU_WAL_WRITE), 30);
	CU_ASSERT_EQUAL(slu_walquorum_lsn(quorum, SLU_WAL_FLUSH), 20);
	CU_ASSERT_EQUAL(slu_walquorum_lsn(quorum, SLU_WAL_APPLY), 10);
	CU_ASSERT_FALSE(slu_walquorum_update(quorum, 7, &positions));
	slu_walquorum_destroy(quorum);
}

static void refuses_a_quorum_that_cannot_be(void)
{
	slu_walquorum *quorum;

	CU_ASSERT_EQUAL(slu_walquorum_create(SLU_WALQUORUM_ANY, 0, 2, &quorum), -EINVAL);
	CU_ASSERT_EQUAL(slu_walquorum_create(SLU_WALQUORUM_ANY, 3, 2, &quorum), -EINVAL);
	CU_ASSERT_EQUAL(slu_walquorum_create(SLU_WALQUORUM_FIRST, 1, 65, &quorum), -EINVAL);
}

int main(void)
{
	static const struct unit_test tests[] = {
	        UNIT_TEST(every_message_survives_the_wire),
	        UNIT_TEST(refuses_log_beyond_its_own_end),
	        UNIT_TEST(refuses_messages_of_another_size_or_kind),
	        UNIT_TEST(another_version_is_told_from_garbage),
	        UNIT_TEST(lag_is_the_time_since_what_was_heard_of_was_sent),
	        UNIT_TEST(lag_between_two_samples_is_interpolated),
	        UNIT_TEST(lag_of_an_idle_stream_is_unknown),
	        UNIT_TEST(lag_grows_while_a_level_stands_still),
	        UNIT_TEST(first_waits_for_the_slowest_of_the_first_k),
	        UNIT_TEST(any_counts_the_kth_furthest),
	        UNIT_TEST(what_was_acknowledged_stays_so),
	        UNIT_TEST(levels_move_on_their_own),
	        UNIT_TEST(refuses_a_quorum_that_cannot_be),
	        {NULL, NULL},
	};

	return unit_run("wal_parts", tests);
}
