/* SPDX-License-Identifier: Apache-2.0 */
/*
 * member_wal.c - the roles of mode wal: a primary appends a record to the WAL
 * stream, waits until the standby has it in memory and has said so, then appends
 * the next. Recorded is the time from append to acknowledgement: what a commit
 * waits for when storage costs nothing.
 *
 * The log repeats a block of bytes, so a record is a pointer into two copies of it,
 * and the standby compares what arrives with the same.
 */
#include "bench/member.h"

#include <sluice/walstream.h>

#include <errno.h>
#include <string.h>

#define BLOCK_BYTES 65521u /* prime: no record size divides it */
#define PIECE_BYTES 65536u /* at most, from any place of the block */

static uint8_t block[BLOCK_BYTES + PIECE_BYTES];

static void block_fill(void)
{
	for (uint32_t i = 0; i < sizeof(block); i++)
		block[i] = (uint8_t)((i % BLOCK_BYTES) * 2654435761u >> 24);
}

static const uint8_t *log_at(uint64_t lsn)
{
	return block + lsn % BLOCK_BYTES;
}

static int log_read(void *context, uint32_t timeline, uint64_t lsn, void *data, size_t size_bytes,
                    size_t *ret_size_bytes)
{
	*ret_size_bytes = size_bytes < PIECE_BYTES ? size_bytes : PIECE_BYTES;
	memcpy(data, log_at(lsn), *ret_size_bytes);
	return SLU_OK;
}

static struct slu_wal_stream stream_of(const struct member *member)
{
	const struct bench_agents *agents = &member->run->agents;

	return (struct slu_wal_stream){
	        .cluster = member->options->cluster,
	        .stream = member->run->query,
	        .source = 0,
	        .destination = 1,
	        .token = member->run->token,
	        .peer = agents->count == 2 ? agents->node[!member_agent_idx(member)] : NULL,
	        .window_frames_max = member->options->window_frames,
	};
}

/* ---- primary -------------------------------------------------------------------- */

/* Drive the sender. false: it has ended in order. */
static bool primary_process(struct member *member, slu_walsender *sender)
{
	int rc = slu_walsender_process(sender, slu_now_ns());

	if (rc != SLU_OK && rc != SLU_EOS)
		member_fail(member, "WAL stream: %s",
		            rc < 0 ? slu_walsender_error(sender) : "the standby left");
	return rc == SLU_OK;
}

static void primary_wait(struct member *member, slu_walsender *sender)
{
	int rc = slu_walsender_wait(sender, UINT64_MAX, -1);

	if (rc < 0 && rc != -EINTR)
		member_fail(member, "wait: %s", strerror(-rc));
}

/* Until the standby has all of the log in memory. */
static void primary_await(struct member *member, slu_walsender *sender)
{
	const struct slu_walsender_status *status = slu_walsender_status(sender);

	primary_process(member, sender);
	while (status->positions.write_lsn < status->end_lsn) {
		primary_wait(member, sender);
		primary_process(member, sender);
	}
}

static void primary_run(struct member *member, slu_walsender *sender)
{
	const struct bench_options *options = member->options;
	uint64_t left = options->row_count ? options->row_count : UINT64_MAX;
	uint64_t measured_from = member->shared->start_ns + options->warmup_ns;
	uint64_t before = slu_now_ns(), lsn = 0;

	while (left-- && member_phase(member) == BENCH_PHASE_RUN) {
		uint64_t now;

		slu_walsender_append(sender, lsn, log_at(lsn), options->row_bytes);
		lsn += options->row_bytes;
		primary_await(member, sender);
		now = slu_now_ns();
		if (before >= measured_from)
			bench_histogram_record(member->histogram, now - before, 1);
		/* Its end is the next one's begin: one look at the clock per round. */
		before = now;
		member_count_rows(member, 1);
	}
	member->shared->lane_sent[0] = lsn / options->row_bytes;
}

void member_wal_primary(struct member *member)
{
	struct slu_walsender_options options = {
	        .stream = stream_of(member), .source = {.read = log_read}, .timeline = 1};
	const struct slu_walsender_status *status;
	slu_walsender *sender;
	int rc;

	block_fill();
	rc = slu_walsender_open(member->endpoint, &options, slu_now_ns(), &sender);
	if (rc)
		member_fail_channel(member, NULL, "open", rc);
	status = slu_walsender_status(sender);
	while (status->state != SLU_WALSENDER_STREAMING) {
		primary_wait(member, sender);
		primary_process(member, sender);
	}
	member_ready(member);
	primary_run(member, sender);
	slu_walsender_finish(sender);
	while (primary_process(member, sender))
		primary_wait(member, sender);
	member->report->stall_count = status->stalls;
	slu_walsender_close(sender);
}

/* ---- standby --------------------------------------------------------------------- */

static void chunk_check(struct member *member, const struct slu_wal_chunk *chunk)
{
	const uint8_t *data = chunk->data;
	uint64_t lsn = chunk->lsn, bad = 0;

	for (size_t left = chunk->size_bytes; left;) {
		size_t piece = left < PIECE_BYTES ? left : PIECE_BYTES;

		bad += memcmp(data, log_at(lsn), piece) != 0;
		data += piece;
		lsn += piece;
		left -= piece;
	}
	member_count_errors(member, bad);
}

/* Take a chunk and tell the primary. SLU_OK; SLU_AGAIN: there was none, wait;
 * SLU_EOS: all was told. */
static int standby_take(struct member *member, slu_walreceiver *receiver)
{
	struct slu_wal_chunk chunk;
	int taken = slu_walreceiver_next(receiver, slu_now_ns(), &chunk), rc;

	if (taken == SLU_OK) {
		uint64_t end_lsn = chunk.lsn + chunk.size_bytes;
		uint64_t row_bytes = member->options->row_bytes;

		chunk_check(member, &chunk);
		slu_walreceiver_report(receiver,
		                       &(struct slu_wal_positions){end_lsn, end_lsn, end_lsn});
		member_count_rows(member, end_lsn / row_bytes - chunk.lsn / row_bytes);
		member->shared->lane_received[0] = end_lsn / row_bytes;
	}
	rc = slu_walreceiver_process(receiver, slu_now_ns());
	if (taken < 0 || rc < 0)
		member_fail(member, "WAL stream: %s", slu_walreceiver_error(receiver));
	return rc == SLU_OK && taken != SLU_OK ? SLU_AGAIN : rc;
}

static void standby_wait(struct member *member, slu_walreceiver *receiver)
{
	int rc = slu_walreceiver_wait(receiver, UINT64_MAX, -1);

	if (rc < 0 && rc != -EINTR)
		member_fail(member, "wait: %s", strerror(-rc));
}

void member_wal_standby(struct member *member)
{
	struct slu_walreceiver_options options = {
	        .stream = stream_of(member), .name = "sluice-perf", .timeline = 1};
	slu_walreceiver *receiver;
	int rc;

	block_fill();
	rc = slu_walreceiver_open(member->endpoint, &options, slu_now_ns(), &receiver);
	if (rc)
		member_fail_channel(member, NULL, "open", rc);
	standby_take(member, receiver);
	while (!slu_walreceiver_status(receiver)->streaming) {
		standby_wait(member, receiver);
		standby_take(member, receiver);
	}
	member_ready(member);
	while ((rc = standby_take(member, receiver)) != SLU_EOS)
		if (rc == SLU_AGAIN)
			standby_wait(member, receiver);
	slu_walreceiver_close(receiver);
}
