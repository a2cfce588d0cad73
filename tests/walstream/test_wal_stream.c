/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_wal_stream.c - a sender and a receiver of a WAL stream in one thread, over
 * channels and a clock that the test moves.
 */
#include "tests/unit/unit.h"
#include "tests/walstream/fake_channel.h"
#include "walstream/wal_codec.h"

#include <errno.h>
#include <string.h>

#define LOG_BYTES 200000u
#define SECOND    UINT64_C(1000000000)
#define DATA      SLU_WAL_MOTION_DATA
#define FEEDBACK  SLU_WAL_MOTION_FEEDBACK

/* The log of the sending side: timeline 1 up to 5000, then 2. */
static uint8_t log_bytes[LOG_BYTES];
static uint8_t copy[LOG_BYTES];
static int read_result;
static uint64_t now_ns;
static slu_walsender *sender;
static slu_walreceiver *receiver;

static int log_read(void *context, uint32_t timeline, uint64_t lsn, void *data, size_t size_bytes,
                    size_t *ret_size_bytes)
{
	if (read_result)
		return read_result;
	memcpy(data, log_bytes + lsn, size_bytes);
	*ret_size_bytes = size_bytes;
	return SLU_OK;
}

static int log_timeline(void *context, uint32_t timeline, uint64_t *ret_end_lsn,
                        uint32_t *ret_next_timeline)
{
	if (timeline != 1)
		return -ESTALE;
	*ret_end_lsn = 5000;
	*ret_next_timeline = 2;
	return 0;
}

static struct slu_walsender_options sender_options(void)
{
	return (struct slu_walsender_options){
	        .source = {.read = log_read, .timeline = log_timeline},
	        .system_id = 77,
	        .timeline = 2,
	        .keepalive_ns = 10 * SECOND,
	        .timeout_ns = 60 * SECOND,
	};
}

static struct slu_walreceiver_options receiver_options(void)
{
	return (struct slu_walreceiver_options){
	        .name = "mirror0",
	        .system_id = 77,
	        .timeline = 2,
	        .status_ns = 10 * SECOND,
	        .timeout_ns = 60 * SECOND,
	};
}

static void open_with(const struct slu_walsender_options *s,
                      const struct slu_walreceiver_options *r)
{
	fake_start_over();
	now_ns = 1000 * SECOND;
	read_result = 0;
	memset(copy, 0, sizeof(copy));
	for (unsigned i = 0; i < LOG_BYTES; i++)
		log_bytes[i] = (uint8_t)(i * 7 + i / 251);
	CU_ASSERT_EQUAL_FATAL(slu_walsender_open(fake_endpoint(), s, now_ns, &sender), 0);
	CU_ASSERT_EQUAL_FATAL(slu_walreceiver_open(fake_endpoint(), r, now_ns, &receiver), 0);
}

static void open_at(uint64_t start_lsn, uint64_t end_lsn)
{
	struct slu_walsender_options s = sender_options();
	struct slu_walreceiver_options r = receiver_options();

	s.end_lsn = end_lsn;
	r.start_lsn = start_lsn;
	open_with(&s, &r);
}

static void close_both(void)
{
	slu_walsender_close(sender);
	slu_walreceiver_close(receiver);
}

/* Take what is there; copies it, and reports it at all levels. */
static int receive(struct slu_wal_chunk *chunk)
{
	int r;

	while ((r = slu_walreceiver_next(receiver, now_ns, chunk)) == SLU_OK) {
		uint64_t end_lsn = chunk->lsn + chunk->size_bytes;
		struct slu_wal_positions positions = {end_lsn, end_lsn, end_lsn};

		memcpy(copy + chunk->lsn, chunk->data, chunk->size_bytes);
		slu_walreceiver_report(receiver, &positions);
	}
	return r;
}

/* Until neither has anything to do; the receiver's last result. */
static int run(void)
{
	struct slu_wal_chunk chunk;
	int r = SLU_AGAIN;

	for (unsigned i = 0; i < 2000 && r == SLU_AGAIN; i++) {
		slu_walsender_process(sender, now_ns);
		r = receive(&chunk);
		slu_walreceiver_process(receiver, now_ns);
	}
	slu_walsender_process(sender, now_ns);
	return r;
}

static bool copied(uint64_t from_lsn, uint64_t to_lsn)
{
	return memcmp(copy + from_lsn, log_bytes + from_lsn, to_lsn - from_lsn) == 0;
}

static void append(uint64_t end_lsn)
{
	uint64_t lsn = slu_walsender_status(sender)->end_lsn;

	CU_ASSERT_EQUAL(slu_walsender_append(sender, lsn, log_bytes + lsn, end_lsn - lsn), 0);
}

/* ---- shipping --------------------------------------------------------------------- */

static void catches_up_from_the_source(void)
{
	const struct slu_walsender_status *status;

	open_at(1234, 150000);
	CU_ASSERT_EQUAL(run(), SLU_AGAIN);
	status = slu_walsender_status(sender);
	CU_ASSERT_EQUAL(status->state, SLU_WALSENDER_STREAMING);
	CU_ASSERT_EQUAL(status->positions.flush_lsn, 150000);
	CU_ASSERT_EQUAL(status->read_bytes, 150000 - 1234);
	CU_ASSERT_STRING_EQUAL(status->receiver, "mirror0");
	CU_ASSERT_TRUE(copied(1234, 150000));
	CU_ASSERT_TRUE(fake_all_urgent());
	close_both();
}

static void appended_log_is_not_read_again(void)
{
	open_at(0, 0);
	run();
	for (uint64_t lsn = 0; lsn < 20000; lsn += 400) {
		append(lsn + 400);
		run();
	}
	CU_ASSERT_TRUE(copied(0, 20000));
	CU_ASSERT_EQUAL(slu_walsender_status(sender)->appended_bytes, 20000);
	CU_ASSERT_EQUAL(slu_walsender_status(sender)->read_bytes, 0);
	close_both();
}

static void an_append_never_waits_for_a_slow_receiver(void)
{
	open_at(0, 0);
	run();
	for (unsigned i = 1; i <= 300; i++) {
		append(i * 500);
		slu_walsender_process(sender, now_ns);
	}
	CU_ASSERT_TRUE(fake_waiting(DATA) <= 8);
	CU_ASSERT_TRUE(slu_walsender_status(sender)->stalls > 0);
	CU_ASSERT_TRUE(slu_walsender_pending(sender));
	run(); /* the rest comes from the source */
	CU_ASSERT_FALSE(slu_walsender_pending(sender));
	CU_ASSERT_TRUE(slu_walsender_status(sender)->read_bytes > 0);
	CU_ASSERT_TRUE(copied(0, 150000));
	append(150100); /* and then by hand again */
	run();
	CU_ASSERT_TRUE(copied(0, 150100));
	close_both();
}

static void refuses_an_append_with_a_gap(void)
{
	open_at(0, 100);
	CU_ASSERT_EQUAL(slu_walsender_append(sender, 101, log_bytes, 1), -EINVAL);
	CU_ASSERT_EQUAL(slu_walsender_append(sender, 99, log_bytes, 1), -EINVAL);
	CU_ASSERT_EQUAL(slu_walsender_status(sender)->end_lsn, 100);
	close_both();
}

static void log_that_is_not_at_hand_is_asked_for_again(void)
{
	open_at(0, 100);
	read_result = SLU_AGAIN;
	run();
	CU_ASSERT_TRUE(slu_walsender_pending(sender));
	now_ns += 11 * SECOND; /* keeps alive meanwhile */
	run();
	CU_ASSERT_EQUAL(slu_walsender_status(sender)->keepalives, 1);
	CU_ASSERT_TRUE(slu_walsender_deadline(sender) > now_ns);
	read_result = 0;
	run();
	CU_ASSERT_TRUE(copied(0, 100));
	close_both();
}

static void reads_no_more_than_a_batch_at_once(void)
{
	struct slu_walsender_options s = sender_options();
	struct slu_walreceiver_options r = receiver_options();

	s.end_lsn = 100000;
	s.batch_bytes_max = 1000;
	open_with(&s, &r);
	slu_walsender_process(sender, now_ns);
	CU_ASSERT_TRUE(slu_walsender_status(sender)->read_bytes <= 1000 + FAKE_FRAME_BYTES);
	CU_ASSERT_EQUAL(slu_walsender_deadline(sender), 0);
	run();
	CU_ASSERT_TRUE(copied(0, 100000));
	close_both();
}

/* ---- positions ---------------------------------------------------------------------- */

/* Chunks that come; each ends at a multiple of 128 or where the log did. */
static void receive_cut(uint64_t end_lsn)
{
	struct slu_wal_chunk chunk = {.lsn = 0};
	int r = SLU_AGAIN;

	for (unsigned i = 0; i < 200; i++) {
		slu_walsender_process(sender, now_ns);
		while ((r = slu_walreceiver_next(receiver, now_ns, &chunk)) == SLU_OK) {
			uint64_t to_lsn = chunk.lsn + chunk.size_bytes;

			memcpy(copy + chunk.lsn, chunk.data, chunk.size_bytes);
			CU_ASSERT_TRUE(to_lsn % 128 == 0 || to_lsn == end_lsn);
		}
	}
	CU_ASSERT_EQUAL(r, SLU_AGAIN);
	CU_ASSERT_EQUAL(slu_walreceiver_status(receiver)->received_lsn, end_lsn);
}

static void log_is_cut_only_where_it_may_be(void)
{
	struct slu_walsender_options s = sender_options();
	struct slu_walreceiver_options r = receiver_options();

	s.cut_bytes = 128;
	s.end_lsn = 5003;
	r.start_lsn = 77;
	open_with(&s, &r);
	receive_cut(5003);
	append(5100);
	append(6001);
	append(9999);
	receive_cut(9999);
	CU_ASSERT_TRUE(copied(77, 9999));
	close_both();
}

static void frames_have_to_hold_what_may_not_be_cut(void)
{
	struct slu_walsender_options s = sender_options();

	fake_start_over();
	s.cut_bytes = 512;
	CU_ASSERT_EQUAL(slu_walsender_open(fake_endpoint(), &s, now_ns, &sender), -EMSGSIZE);
	s.cut_bytes = 480;
	CU_ASSERT_EQUAL(slu_walsender_open(fake_endpoint(), &s, now_ns, &sender), 0);
	slu_walsender_close(sender);
}

static void positions_are_told_one_by_one(void)
{
	struct slu_wal_positions positions = {100, 0, 0};
	const struct slu_walsender_status *status;
	struct slu_wal_chunk chunk;

	open_at(0, 100);
	slu_walsender_process(sender, now_ns);
	CU_ASSERT_EQUAL(slu_walreceiver_next(receiver, now_ns, &chunk), SLU_OK);
	status = slu_walsender_status(sender);
	for (unsigned level = 0; level < SLU_WAL_LEVELS; level++) {
		now_ns += 1000;
		slu_walreceiver_report(receiver, &positions);
		slu_walreceiver_process(receiver, now_ns);
		slu_walsender_process(sender, now_ns);
		CU_ASSERT_EQUAL(status->lag_ns[level], 1000 * (level + 1));
		CU_ASSERT_EQUAL(status->positions.flush_lsn, level >= SLU_WAL_FLUSH ? 100 : 0);
		CU_ASSERT_EQUAL(status->positions.apply_lsn, level >= SLU_WAL_APPLY ? 100 : 0);
		*(level == 0 ? &positions.flush_lsn : &positions.apply_lsn) = 100;
	}
	close_both();
}

static void a_receiver_cannot_vouch_for_what_it_was_not_sent(void)
{
	struct slu_wal_positions positions = {UINT64_MAX, UINT64_MAX, UINT64_MAX};

	open_at(0, 100);
	run();
	slu_walreceiver_report(receiver, &positions);
	slu_walreceiver_process(receiver, now_ns);
	slu_walsender_advance(sender, 200);
	slu_walsender_process(sender, now_ns);
	CU_ASSERT_EQUAL(slu_walsender_status(sender)->positions.flush_lsn, 100);
	close_both();
}

static void feedback_without_credit_is_merged(void)
{
	open_at(0, 0);
	run();
	fake_window_set(FEEDBACK, 0);
	for (unsigned i = 1; i <= 5; i++) {
		append(i * 100);
		run();
	}
	CU_ASSERT_EQUAL(slu_walsender_status(sender)->positions.flush_lsn, 0);
	CU_ASSERT_TRUE(slu_walreceiver_deadline(receiver) > now_ns);
	fake_window_set(FEEDBACK, 8);
	slu_walreceiver_process(receiver, now_ns);
	CU_ASSERT_EQUAL(fake_waiting(FEEDBACK), 1);
	slu_walsender_process(sender, now_ns);
	CU_ASSERT_EQUAL(slu_walsender_status(sender)->positions.flush_lsn, 500);
	close_both();
}

/* ---- time ----------------------------------------------------------------------------- */

static void an_idle_stream_is_kept_alive_from_both_sides(void)
{
	uint64_t feedbacks, end_ns;

	open_at(0, 100);
	run();
	feedbacks = slu_walsender_status(sender)->feedbacks;
	for (end_ns = now_ns + 300 * SECOND; now_ns < end_ns;) {
		uint64_t next_ns = slu_walsender_deadline(sender);

		if (slu_walreceiver_deadline(receiver) < next_ns)
			next_ns = slu_walreceiver_deadline(receiver);
		CU_ASSERT_FATAL(next_ns > now_ns); /* no busy loop */
		now_ns = next_ns;
		run();
	}
	CU_ASSERT_EQUAL(slu_walsender_status(sender)->state, SLU_WALSENDER_STREAMING);
	CU_ASSERT_TRUE(slu_walsender_status(sender)->keepalives >= 29);
	CU_ASSERT_TRUE(slu_walsender_status(sender)->feedbacks >= feedbacks + 29);
	CU_ASSERT_EQUAL(slu_walsender_status(sender)->round_trip_ns, 0); /* no time in transit */
	close_both();
}

static void a_silent_receiver_is_asked_and_then_given_up(void)
{
	open_at(0, 100);
	run();
	now_ns += 30 * SECOND;
	CU_ASSERT_EQUAL(slu_walsender_process(sender, now_ns), SLU_OK);
	CU_ASSERT_TRUE(fake_waiting(DATA) > 0);
	now_ns += 30 * SECOND;
	CU_ASSERT_EQUAL(slu_walsender_process(sender, now_ns), -ETIMEDOUT);
	CU_ASSERT_EQUAL(slu_walsender_process(sender, now_ns), -ETIMEDOUT);
	CU_ASSERT_PTR_NOT_NULL(strstr(slu_walsender_error(sender), "nothing heard"));
	CU_ASSERT_EQUAL(run(), -ETIMEDOUT);
	close_both();
}

static void a_receiver_that_only_answers_is_not_given_up(void)
{
	open_at(0, 100);
	run();
	for (unsigned i = 0; i < 20; i++) {
		now_ns += 30 * SECOND;
		CU_ASSERT_EQUAL(run(), SLU_AGAIN);
	}
	CU_ASSERT_EQUAL(slu_walsender_process(sender, now_ns), SLU_OK);
	close_both();
}

static void a_silent_sender_is_given_up(void)
{
	struct slu_wal_chunk chunk;

	open_at(0, 100);
	run();
	now_ns += 60 * SECOND;
	CU_ASSERT_EQUAL(slu_walreceiver_process(receiver, now_ns), -ETIMEDOUT);
	CU_ASSERT_EQUAL(slu_walreceiver_next(receiver, now_ns, &chunk), -ETIMEDOUT);
	close_both();
}

static void a_ping_is_answered(void)
{
	open_at(0, 0);
	run();
	slu_walreceiver_ping(receiver);
	run();
	CU_ASSERT_EQUAL(slu_walreceiver_status(receiver)->keepalives, 1);
	close_both();
}

/* ---- the end ---------------------------------------------------------------------------- */

static void a_question_of_the_sender_is_answered(void)
{
	uint64_t feedbacks;

	open_at(0, 100);
	run();
	feedbacks = slu_walsender_status(sender)->feedbacks;
	slu_walsender_ping(sender, false);
	run();
	CU_ASSERT_EQUAL(slu_walreceiver_status(receiver)->keepalives, 1);
	CU_ASSERT_EQUAL(slu_walreceiver_status(receiver)->reply_requests, 0);
	CU_ASSERT_EQUAL(slu_walsender_status(sender)->feedbacks, feedbacks);
	slu_walsender_ping(sender, true);
	run();
	CU_ASSERT_EQUAL(slu_walreceiver_status(receiver)->reply_requests, 1);
	CU_ASSERT_EQUAL(slu_walsender_status(sender)->feedbacks, feedbacks + 1);
	CU_ASSERT_TRUE(slu_walsender_status(sender)->told_wall_ns > 0);
	close_both();
}

static void positions_are_repeated_when_asked(void)
{
	uint64_t feedbacks;

	open_at(0, 100);
	run();
	feedbacks = slu_walsender_status(sender)->feedbacks;
	slu_walreceiver_repeat(receiver);
	run();
	CU_ASSERT_EQUAL(slu_walsender_status(sender)->feedbacks, feedbacks + 1);
	run();
	CU_ASSERT_EQUAL(slu_walsender_status(sender)->feedbacks, feedbacks + 1);
	close_both();
}

static void log_that_was_promised_and_never_came_does_not_hold_up_the_end(void)
{
	open_at(0, 300);
	run();
	read_result = SLU_AGAIN;
	slu_walsender_advance(sender, 500);
	CU_ASSERT_EQUAL(run(), SLU_AGAIN);
	slu_walsender_retreat(sender, 200); /* that was sent */
	CU_ASSERT_EQUAL(slu_walsender_status(sender)->end_lsn, 500);
	slu_walsender_retreat(sender, 300);
	slu_walsender_finish(sender);
	CU_ASSERT_EQUAL(run(), SLU_EOS);
	CU_ASSERT_EQUAL(slu_walsender_process(sender, now_ns), SLU_EOS);
	CU_ASSERT_TRUE(copied(0, 300));
	close_both();
}

static void a_sender_that_left_after_the_end_has_shipped_all(void)
{
	struct slu_wal_chunk chunk;

	open_at(0, 300);
	slu_walsender_process(sender, now_ns);
	slu_walsender_finish(sender);
	slu_walsender_process(sender, now_ns);
	slu_walsender_close(sender);
	CU_ASSERT_EQUAL(receive(&chunk), SLU_EOS);
	CU_ASSERT_TRUE(copied(0, 300));
	slu_walreceiver_close(receiver);
}

static void an_orderly_end_ships_the_last_byte(void)
{
	struct slu_wal_chunk chunk;

	open_at(0, 0);
	run();
	fake_window_set(DATA, 1);
	append(3000);
	slu_walsender_finish(sender);
	CU_ASSERT_EQUAL(slu_walsender_process(sender, now_ns), SLU_OK);
	CU_ASSERT_EQUAL(run(), SLU_EOS);
	CU_ASSERT_TRUE(copied(0, 3000));
	CU_ASSERT_EQUAL(slu_walsender_process(sender, now_ns), SLU_EOS);
	CU_ASSERT_EQUAL(slu_walsender_status(sender)->positions.flush_lsn, 3000);
	CU_ASSERT_EQUAL(slu_walreceiver_process(receiver, now_ns), SLU_EOS);
	CU_ASSERT_EQUAL(slu_walreceiver_next(receiver, now_ns, &chunk), SLU_EOS);
	close_both();
}

static void the_end_waits_for_the_flush(void)
{
	struct slu_wal_positions written = {100, 0, 0}, flushed = {100, 100, 0};
	struct slu_wal_chunk chunk;

	open_at(0, 100);
	slu_walsender_finish(sender);
	slu_walsender_process(sender, now_ns);
	CU_ASSERT_EQUAL(slu_walreceiver_next(receiver, now_ns, &chunk), SLU_OK);
	CU_ASSERT_EQUAL(slu_walreceiver_next(receiver, now_ns, &chunk), SLU_EOS);
	slu_walreceiver_report(receiver, &written);
	CU_ASSERT_EQUAL(slu_walreceiver_process(receiver, now_ns), SLU_OK);
	CU_ASSERT_EQUAL(slu_walsender_process(sender, now_ns), SLU_OK);
	slu_walreceiver_report(receiver, &flushed);
	CU_ASSERT_EQUAL(slu_walreceiver_process(receiver, now_ns), SLU_EOS);
	CU_ASSERT_EQUAL(slu_walsender_process(sender, now_ns), SLU_EOS);
	close_both();
}

static void an_end_after_all_was_flushed_is_told_too(void)
{
	struct slu_wal_chunk chunk;

	open_at(0, 100);
	run();
	slu_walsender_finish(sender);
	CU_ASSERT_EQUAL(slu_walsender_process(sender, now_ns), SLU_OK);
	CU_ASSERT_EQUAL(slu_walsender_process(sender, now_ns), SLU_EOS);
	slu_walsender_close(sender); /* before the receiver has looked */
	CU_ASSERT_EQUAL(slu_walreceiver_next(receiver, now_ns, &chunk), SLU_EOS);
	CU_ASSERT_EQUAL(slu_walreceiver_process(receiver, now_ns), SLU_EOS);
	slu_walreceiver_close(receiver);
}

static void what_comes_before_a_finish_is_shipped_to_a_late_receiver(void)
{
	struct slu_walsender_options s = sender_options();
	struct slu_walreceiver_options r = receiver_options();

	fake_start_over();
	memset(copy, 0, sizeof(copy));
	CU_ASSERT_EQUAL_FATAL(slu_walsender_open(fake_endpoint(), &s, now_ns, &sender), 0);
	append(700);
	slu_walsender_finish(sender);
	CU_ASSERT_EQUAL(slu_walsender_process(sender, now_ns), SLU_OK);
	CU_ASSERT_EQUAL_FATAL(slu_walreceiver_open(fake_endpoint(), &r, now_ns, &receiver), 0);
	CU_ASSERT_EQUAL(run(), SLU_EOS);
	CU_ASSERT_EQUAL(slu_walsender_process(sender, now_ns), SLU_EOS);
	CU_ASSERT_TRUE(copied(0, 700));
	close_both();
}

static void a_receiver_that_leaves_is_told_from_one_that_breaks(void)
{
	open_at(0, 100);
	run();
	slu_walreceiver_close(receiver);
	CU_ASSERT_EQUAL(slu_walsender_process(sender, now_ns), SLU_STOPPED);
	slu_walsender_close(sender);
	open_at(0, 100);
	run();
	fake_break(FEEDBACK, ECONNRESET);
	CU_ASSERT_EQUAL(slu_walsender_process(sender, now_ns), -ECONNRESET);
	CU_ASSERT_STRING_EQUAL(slu_walsender_error(sender), "the other end died");
	close_both();
}

static void a_sender_that_leaves_without_finishing_is_an_error(void)
{
	struct slu_wal_chunk chunk;

	open_at(0, 100);
	run();
	slu_walsender_close(sender);
	CU_ASSERT_EQUAL(slu_walreceiver_next(receiver, now_ns, &chunk), -ECANCELED);
	slu_walreceiver_close(receiver);
}

/* ---- timelines ---------------------------------------------------------------------------- */

static void an_older_timeline_ends_where_the_next_begins(void)
{
	struct slu_walsender_options s = sender_options();
	struct slu_walreceiver_options r = receiver_options();

	s.end_lsn = 9000;
	r.timeline = 1;
	r.start_lsn = 4000;
	open_with(&s, &r);
	CU_ASSERT_EQUAL(run(), SLU_WAL_TIMELINE_END);
	CU_ASSERT_TRUE(copied(4000, 5000));
	CU_ASSERT_EQUAL(copy[5000], 0);
	CU_ASSERT_EQUAL(slu_walsender_status(sender)->state, SLU_WALSENDER_WAITING);
	CU_ASSERT_EQUAL(slu_walreceiver_follow(receiver, 2, 5000), 0);
	CU_ASSERT_EQUAL(run(), SLU_AGAIN);
	CU_ASSERT_EQUAL(slu_walsender_status(sender)->timeline, 2);
	CU_ASSERT_EQUAL(slu_walsender_status(sender)->state, SLU_WALSENDER_STREAMING);
	CU_ASSERT_TRUE(copied(4000, 9000));
	close_both();
}

static void a_switch_while_streaming_ends_the_timeline(void)
{
	struct slu_walsender_options s = sender_options();
	struct slu_walreceiver_options r = receiver_options();

	s.timeline = r.timeline = 1;
	s.end_lsn = 4900;
	open_with(&s, &r);
	run();
	append(5100); /* of which 100 bytes belong to no history */
	slu_walsender_switch(sender, 5000, 2);
	slu_walsender_advance(sender, 6000);
	CU_ASSERT_EQUAL(run(), SLU_WAL_TIMELINE_END);
	CU_ASSERT_TRUE(copied(0, 5000));
	CU_ASSERT_EQUAL(copy[5000], 0);
	CU_ASSERT_EQUAL(slu_walreceiver_follow(receiver, 2, 5000), 0);
	CU_ASSERT_EQUAL(run(), SLU_AGAIN);
	CU_ASSERT_TRUE(copied(0, 6000));
	close_both();
}

static void a_timeline_can_end_before_what_was_sent(void)
{
	struct slu_walsender_options s = sender_options();
	struct slu_walreceiver_options r = receiver_options();
	struct slu_wal_chunk chunk;

	s.timeline = r.timeline = 1;
	s.end_lsn = 5400;
	open_with(&s, &r);
	run();
	slu_walsender_switch(sender, 5000, 2);
	slu_walsender_process(sender, now_ns);
	CU_ASSERT_EQUAL(receive(&chunk), SLU_WAL_TIMELINE_END);
	CU_ASSERT_EQUAL(chunk.lsn, 5000);
	CU_ASSERT_EQUAL(chunk.next_timeline, 2);
	CU_ASSERT_EQUAL(slu_walreceiver_status(receiver)->received_lsn, 5400);
	CU_ASSERT_EQUAL(slu_walreceiver_follow(receiver, 2, 5000), 0);
	CU_ASSERT_EQUAL(run(), SLU_AGAIN);
	CU_ASSERT_EQUAL(slu_walreceiver_follow(receiver, 2, 5000), -EINVAL);
	close_both();
}

/* ---- refusals -------------------------------------------------------------------------------- */

static void refused(int error, const char *words)
{
	CU_ASSERT_EQUAL(run(), -error);
	CU_ASSERT_EQUAL(slu_walsender_process(sender, now_ns), -error);
	CU_ASSERT_PTR_NOT_NULL(strstr(slu_walreceiver_error(receiver), words));
	CU_ASSERT_PTR_NOT_NULL(strstr(slu_walsender_error(sender), words));
	close_both();
}

static void another_database_is_refused(void)
{
	struct slu_walsender_options s = sender_options();
	struct slu_walreceiver_options r = receiver_options();

	r.system_id = 78;
	open_with(&s, &r);
	refused(EXDEV, "78");
}

static void an_unknown_timeline_is_refused(void)
{
	struct slu_walsender_options s = sender_options();
	struct slu_walreceiver_options r = receiver_options();

	r.timeline = 9;
	open_with(&s, &r);
	refused(ESTALE, "timeline 9");
}

static void a_start_beyond_the_end_is_refused(void)
{
	open_at(101, 100);
	refused(ERANGE, "65 is beyond the end 64");
}

static void log_that_is_gone_is_refused(void)
{
	open_at(0, 100);
	read_result = -ENODATA;
	refused(ENODATA, "removed");
}

static void a_receiver_of_another_version_is_refused(void)
{
	struct slu_walsender_options s = sender_options();
	struct wal_message start = {.type = WAL_START};
	uint8_t bytes[WAL_MESSAGE_MAX];
	size_t size_bytes = wal_message_encode(&start, bytes);

	fake_start_over();
	CU_ASSERT_EQUAL_FATAL(slu_walsender_open(fake_endpoint(), &s, now_ns, &sender), 0);
	bytes[4] = 99;
	fake_inject(FEEDBACK, WAL_START, bytes, size_bytes);
	CU_ASSERT_EQUAL(slu_walsender_process(sender, now_ns), -EPROTONOSUPPORT);
	CU_ASSERT_PTR_NOT_NULL(strstr(slu_walsender_error(sender), "version 99"));
	slu_walsender_close(sender);
}

static void log_that_leaves_a_gap_is_never_handed_out(void)
{
	struct wal_message data = {.type = WAL_DATA,
	                           .data = {.lsn = 200, .end_lsn = 300, .timeline = 2}};
	uint8_t bytes[WAL_MESSAGE_MAX] = {0};
	size_t size_bytes = wal_message_encode(&data, bytes);

	open_at(0, 100);
	run();
	fake_inject(DATA, WAL_DATA, bytes, size_bytes + 10);
	CU_ASSERT_EQUAL(run(), -EPROTO);
	CU_ASSERT_PTR_NOT_NULL(strstr(slu_walreceiver_error(receiver), "C8 came for that at 64"));
	close_both();
}

int main(void)
{
	static const struct unit_test tests[] = {
	        UNIT_TEST(catches_up_from_the_source),
	        UNIT_TEST(appended_log_is_not_read_again),
	        UNIT_TEST(an_append_never_waits_for_a_slow_receiver),
	        UNIT_TEST(refuses_an_append_with_a_gap),
	        UNIT_TEST(log_that_is_not_at_hand_is_asked_for_again),
	        UNIT_TEST(reads_no_more_than_a_batch_at_once),
	        UNIT_TEST(log_is_cut_only_where_it_may_be),
	        UNIT_TEST(frames_have_to_hold_what_may_not_be_cut),
	        UNIT_TEST(positions_are_told_one_by_one),
	        UNIT_TEST(a_receiver_cannot_vouch_for_what_it_was_not_sent),
	        UNIT_TEST(feedback_without_credit_is_merged),
	        UNIT_TEST(an_idle_stream_is_kept_alive_from_both_sides),
	        UNIT_TEST(a_silent_receiver_is_asked_and_then_given_up),
	        UNIT_TEST(a_receiver_that_only_answers_is_not_given_up),
	        UNIT_TEST(a_silent_sender_is_given_up),
	        UNIT_TEST(a_ping_is_answered),
	        UNIT_TEST(a_question_of_the_sender_is_answered),
	        UNIT_TEST(positions_are_repeated_when_asked),
	        UNIT_TEST(log_that_was_promised_and_never_came_does_not_hold_up_the_end),
	        UNIT_TEST(a_sender_that_left_after_the_end_has_shipped_all),
	        UNIT_TEST(an_orderly_end_ships_the_last_byte),
	        UNIT_TEST(the_end_waits_for_the_flush),
	        UNIT_TEST(an_end_after_all_was_flushed_is_told_too),
	        UNIT_TEST(what_comes_before_a_finish_is_shipped_to_a_late_receiver),
	        UNIT_TEST(a_receiver_that_leaves_is_told_from_one_that_breaks),
	        UNIT_TEST(a_sender_that_leaves_without_finishing_is_an_error),
	        UNIT_TEST(an_older_timeline_ends_where_the_next_begins),
	        UNIT_TEST(a_switch_while_streaming_ends_the_timeline),
	        UNIT_TEST(a_timeline_can_end_before_what_was_sent),
	        UNIT_TEST(another_database_is_refused),
	        UNIT_TEST(an_unknown_timeline_is_refused),
	        UNIT_TEST(a_start_beyond_the_end_is_refused),
	        UNIT_TEST(log_that_is_gone_is_refused),
	        UNIT_TEST(a_receiver_of_another_version_is_refused),
	        UNIT_TEST(log_that_leaves_a_gap_is_never_handed_out),
	        {NULL, NULL},
	};

	return unit_run("wal_stream", tests);
}
