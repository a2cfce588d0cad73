/* SPDX-License-Identifier: Apache-2.0 */
/*
 * member_stream.c - the roles of the modes in which rows go one way: throughput
 * (as fast as it goes) and offered (each row is due at a fixed time).
 *
 * Offered: row n of a sender is due at start + n / rate, whatever became of the
 * rows before it. The receiver knows n from its place in the stream and counts
 * latency from when the row was due, so a sender that was held up makes every
 * row late that was due meanwhile (no coordinated omission). The time of
 * receipt is taken once per frame, after its rows were compared.
 */
#include "bench/member.h"

#include <errno.h>
#include <sys/prctl.h>
#include <time.h>

/* A sleep shorter than that is not worth its wake-up; woken that much early,
 * the rest is spun. */
#define SLEEP_NS_MIN   UINT64_C(100000)
#define SLEEP_NS_EARLY UINT64_C(60000)

static void lane_end(struct member *member, struct member_lane *lane)
{
	int rc = slu_channel_eos(lane->channel);

	if (rc)
		member_fail_channel(member, lane->channel, "eos", rc);
}

/* Writes rows until all are in, waiting for credit. */
static void lane_write(struct member *member, struct member_lane *lane, uint64_t row_count)
{
	while (row_count) {
		uint64_t written;
		int rc = bench_rows_write(&lane->rows, lane->channel, row_count, &written);

		row_count -= written;
		if (rc == SLU_AGAIN)
			member_wait(member, lane->channel);
		else if (rc)
			member_fail_channel(member, lane->channel, "reserve", rc);
	}
}

/* Rows of one frame to the next receiver that has credit; returns how many. */
static uint64_t send_frame_in_turn(struct member *member, uint64_t row_count, uint32_t *turn)
{
	for (uint32_t tried = 0; tried < member->lane_count; tried++) {
		struct member_lane *lane = &member->lanes[*turn];
		uint64_t written;
		int rc = bench_rows_write(&lane->rows, lane->channel, row_count, &written);

		*turn = (*turn + 1) % member->lane_count;
		if (rc != SLU_OK && rc != SLU_AGAIN)
			member_fail_channel(member, lane->channel, "reserve", rc);
		if (written)
			return written;
	}
	member_wait(member, NULL);
	return 0;
}

/* One row to each receiver in turn, as a hash motion spreads them. */
static uint64_t send_rows_in_turn(struct member *member, uint64_t row_count, uint32_t *turn)
{
	for (uint64_t i = 0; i < row_count; i++) {
		lane_write(member, &member->lanes[*turn], 1);
		*turn = *turn + 1 == member->lane_count ? 0 : *turn + 1;
	}
	return row_count;
}

void member_send_throughput(struct member *member)
{
	const struct bench_options *options = member->options;
	uint64_t left = options->row_count ? options->row_count : UINT64_MAX;
	uint64_t frame_rows =
	        member->frame_capacity_bytes / bench_rows_stride(&member->lanes[0].rows);
	uint32_t turn = member->member_idx % member->lane_count;

	while (left && member_phase(member) == BENCH_PHASE_RUN) {
		uint64_t batch = left < frame_rows ? left : frame_rows;

		if (member->lane_count == 1)
			lane_write(member, &member->lanes[0], batch);
		else if (options->spread_frames)
			batch = send_frame_in_turn(member, batch, &turn);
		else
			send_rows_in_turn(member, batch, &turn);
		left -= batch;
		member_count_rows(member, batch);
	}
	for (uint32_t i = 0; i < member->lane_count; i++)
		lane_end(member, &member->lanes[i]);
}

/* ---- offered rate ------------------------------------------------------ */

/* ns between two rows of one sender. */
static double due_interval_ns(const struct bench_options *options)
{
	return 1e9 * options->sender_count / options->rate;
}

/* When row n of a sender is due. Senders are shifted against each other, so
 * that together they offer an even rate. */
static uint64_t due_ns(const struct member *member, uint32_t sender_idx, uint64_t n)
{
	double interval_ns = due_interval_ns(member->options);
	double shift = (double)sender_idx / member->options->sender_count;

	return member->shared->start_ns + (uint64_t)(((double)n + shift) * interval_ns);
}

static void relax(void)
{
#if defined(__x86_64__)
	__builtin_ia32_pause();
#endif
}

static uint64_t await_due(const struct member *member, uint64_t due)
{
	bool never_spin = member->options->spin_ns == SLU_SPIN_NEVER;
	uint64_t now = slu_now_ns();

	if (now < due && (never_spin || due - now > SLEEP_NS_MIN)) {
		uint64_t until = never_spin ? due : due - SLEEP_NS_EARLY;
		struct timespec time = {(time_t)(until / 1000000000u), (long)(until % 1000000000u)};

		while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, NULL) == EINTR)
			;
		now = slu_now_ns();
	}
	while (now < due) {
		relax();
		now = slu_now_ns();
	}
	return now;
}

static void flush_lanes(struct member *member)
{
	for (uint32_t i = 0; i < member->lane_count; i++) {
		int rc = slu_channel_flush(member->lanes[i].channel);

		if (rc)
			member_fail_channel(member, member->lanes[i].channel, "flush", rc);
	}
}

void member_send_offered(struct member *member)
{
	const struct bench_options *options = member->options;
	uint64_t end_ns = member->shared->start_ns + options->warmup_ns + options->duration_ns;
	uint64_t now = 0, due;

	/* The default slack of 50 us would be part of every latency. */
	prctl(PR_SET_TIMERSLACK, 1UL);
	/* Every row that was due is sent, however late: to leave out the late ones
	 * would make the figures better than they are. */
	for (uint64_t n = 0; (due = due_ns(member, member->member_idx, n)) < end_ns; n++) {
		if (now < due) {
			if (!options->flush_each_row)
				flush_lanes(member);
			now = await_due(member, due);
		}
		lane_write(member, &member->lanes[n % member->lane_count], 1);
		if (options->flush_each_row)
			flush_lanes(member);
		member_count_rows(member, 1);
	}
	for (uint32_t i = 0; i < member->lane_count; i++)
		lane_end(member, &member->lanes[i]);
}

/* ---- receiving --------------------------------------------------------- */

/* The rows of the frame just compared, from row first of its lane on. */
static void record_offered(struct member *member, const struct member_lane *lane, uint64_t first,
                           uint64_t row_count)
{
	uint32_t receiver_count = member->options->receiver_count;
	uint32_t sender_idx = lane->lane_idx / receiver_count;
	uint64_t measured_from = member->shared->start_ns + member->options->warmup_ns;
	uint64_t now = slu_now_ns();

	for (uint64_t i = first; i < first + row_count; i++) {
		uint64_t due = due_ns(member, sender_idx, i * receiver_count + lane->slot);

		if (due >= measured_from)
			bench_histogram_record(member->histogram, now > due ? now - due : 0, 1);
	}
}

static void receive_frame(struct member *member, struct member_lane *lane,
                          const struct slu_frame *frame)
{
	uint64_t first = bench_rows_count(&lane->rows);
	uint64_t row_count;
	int rc;

	member_count_errors(
	        member, bench_rows_check(&lane->rows, frame->data, frame->size_bytes, &row_count));
	rc = slu_frame_release(frame);
	if (rc)
		member_fail_channel(member, lane->channel, "release", rc);
	if (member->histogram)
		record_offered(member, lane, first, row_count);
	member_count_rows(member, row_count);
}

void member_receive(struct member *member)
{
	struct member_lane *only = member->lane_count == 1 ? &member->lanes[0] : NULL;
	uint32_t open_count = member->lane_count;
	struct slu_frame frame;

	while (open_count) {
		int rc = only ? slu_channel_recv(only->channel, &frame)
		              : slu_set_recv(member->set, &frame);

		if (rc == SLU_OK)
			receive_frame(member, only ? only : slu_channel_user(frame.channel),
			              &frame);
		else if (rc == SLU_AGAIN)
			member_wait(member, only ? only->channel : NULL);
		else if (rc == SLU_EOS)
			open_count--;
		else
			member_fail_channel(member, only ? only->channel : frame.channel, "receive",
			                    rc);
	}
}
