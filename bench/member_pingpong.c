/* SPDX-License-Identifier: Apache-2.0 */
/*
 * member_pingpong.c - the roles of the closed-loop latency mode: a row goes
 * there, the same row comes back, then the next. Reported is half of the round
 * trip, as other tools do.
 *
 * A ping takes its receivers in turn. Both sides compare the row.
 */
#include "bench/member.h"

#include <errno.h>

static void send_row(struct member *member, struct bench_rows *rows, slu_channel *channel)
{
	uint64_t written;
	int rc;

	while ((rc = bench_rows_write(rows, channel, 1, &written)) == SLU_AGAIN)
		member_wait(member, channel);
	if (rc == SLU_OK)
		rc = slu_channel_flush(channel);
	if (rc != SLU_OK)
		member_fail_channel(member, channel, "send", rc);
}

static void check_row(struct member *member, struct bench_rows *rows, const struct slu_frame *frame)
{
	uint64_t row_count;

	member_count_errors(member,
	                    bench_rows_check(rows, frame->data, frame->size_bytes, &row_count));
	if (row_count != 1)
		member_count_errors(member, 1);
}

static void release_row(struct member *member, const struct slu_frame *frame)
{
	int rc = slu_frame_release(frame);

	if (rc)
		member_fail_channel(member, frame->channel, "release", rc);
}

static void await_row(struct member *member, struct bench_rows *rows, slu_channel *channel)
{
	struct slu_frame frame;
	int rc;

	while ((rc = slu_channel_recv(channel, &frame)) == SLU_AGAIN)
		member_wait(member, channel);
	if (rc != SLU_OK)
		member_fail_channel(member, channel, "receive", rc);
	check_row(member, rows, &frame);
	release_row(member, &frame);
}

void member_ping(struct member *member)
{
	const struct bench_options *options = member->options;
	uint64_t left = options->row_count ? options->row_count : UINT64_MAX;
	uint64_t measured_from = member->shared->start_ns + options->warmup_ns;
	uint64_t before = slu_now_ns();
	uint32_t turn = 0;

	while (left-- && member_phase(member) == BENCH_PHASE_RUN) {
		struct member_lane *lane = &member->lanes[turn];
		uint64_t now;

		send_row(member, &lane->rows, lane->channel);
		await_row(member, &lane->back_rows, lane->back);
		now = slu_now_ns();
		if (before >= measured_from)
			bench_histogram_record(member->histogram, (now - before) / 2, 1);
		/* Its end is the next one's begin: one look at the clock per round. */
		before = now;
		member_count_rows(member, 1);
		turn = turn + 1 == member->lane_count ? 0 : turn + 1;
	}
	for (uint32_t i = 0; i < member->lane_count; i++) {
		int rc = slu_channel_eos(member->lanes[i].channel);

		if (rc)
			member_fail_channel(member, member->lanes[i].channel, "eos", rc);
	}
}

static void pong_eos(struct member *member, struct member_lane *lane)
{
	int rc = slu_channel_eos(lane->back);

	if (rc)
		member_fail_channel(member, lane->back, "eos", rc);
}

void member_pong(struct member *member)
{
	struct member_lane *only = member->lane_count == 1 ? &member->lanes[0] : NULL;
	uint32_t open_count = member->lane_count;
	struct slu_frame frame;

	while (open_count) {
		int rc = only ? slu_channel_recv(only->channel, &frame)
		              : slu_set_recv(member->set, &frame);
		struct member_lane *lane;

		if (rc == SLU_AGAIN) {
			member_wait(member, only ? only->channel : NULL);
			continue;
		}
		lane = only ? only : slu_channel_user(frame.channel);
		if (rc == SLU_EOS) {
			pong_eos(member, lane);
			open_count--;
			continue;
		}
		if (rc != SLU_OK)
			member_fail_channel(member, lane->channel, "receive", rc);
		/* answers a row while it still has it, as who works on it would */
		check_row(member, &lane->rows, &frame);
		send_row(member, &lane->back_rows, lane->back);
		release_row(member, &frame);
		member_count_rows(member, 1);
	}
}
