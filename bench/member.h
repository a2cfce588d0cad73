/* SPDX-License-Identifier: Apache-2.0 */
/*
 * member.h - what happens in a member's process: attach, open the channels, do
 * the part of its role, say how it went. member.c has what all share;
 * member_stream.c the roles of throughput and offered rate, member_pingpong.c
 * those of latency, member_wal.c those of a WAL stream, member_idle.c those that do nothing.
 */
#ifndef BENCH_MEMBER_H
#define BENCH_MEMBER_H

#include "bench/rows.h"
#include "bench/run.h"

/* One channel of a member, and the rows on it. */
struct member_lane {
	slu_channel *channel;
	slu_channel *back; /* latency: the channel of the other direction */
	struct bench_rows rows, back_rows;
	uint32_t lane_idx; /* in bench_shared */
	uint32_t slot;     /* this lane's turn among those of its sender */
	bool ended;
};

struct member {
	struct bench_run *run;
	const struct bench_options *options;
	struct bench_shared *shared;
	struct bench_member *report;       /* this member's part of shared */
	struct bench_histogram *histogram; /* NULL: the mode has none */
	slu_endpoint *endpoint;
	slu_set *set;
	struct member_lane *lanes;
	uint32_t lane_count;
	uint32_t member_idx;
	bool sender;
	size_t frame_capacity_bytes;
};

/* A member's whole life. Does not return. */
void bench_member_main(struct bench_run *run, uint32_t member_idx) __attribute__((noreturn));

/* Say why and end the process. */
void member_fail(struct member *member, const char *format, ...)
        __attribute__((noreturn, format(printf, 2, 3)));

/* Fail because of a call on a channel, with the channel's or endpoint's reason. */
void member_fail_channel(struct member *member, slu_channel *channel, const char *call, int rc)
        __attribute__((noreturn));

/* Wait on a channel that said SLU_AGAIN, or on the member's set if NULL. */
void member_wait(struct member *member, slu_channel *channel);

/* Open one end. motion tells the channels of a run apart that have the same
 * source and destination. Fails the member if it cannot. */
slu_channel *member_open(struct member *member, uint32_t motion, uint32_t source,
                         uint32_t destination, enum slu_direction direction);

/* Which agent a member attaches to. */
unsigned member_agent_idx(const struct member *member);

/* Tell the parent that the channels are open, wait for it to begin. */
void member_ready(struct member *member);

static inline enum bench_phase member_phase(const struct member *member)
{
	return (enum bench_phase)atomic_load_explicit(&member->shared->phase, memory_order_relaxed);
}

/* Only this member writes the counters, so an add needs no locked instruction. */
static inline void member_count_rows(struct member *member, uint64_t row_count)
{
	uint64_t before = atomic_load_explicit(&member->report->row_count, memory_order_relaxed);

	atomic_store_explicit(&member->report->row_count, before + row_count, memory_order_relaxed);
}

static inline void member_count_errors(struct member *member, uint64_t error_count)
{
	if (__builtin_expect(error_count != 0, 0))
		atomic_fetch_add_explicit(&member->report->error_count, error_count,
		                          memory_order_relaxed);
}

void member_send_throughput(struct member *member);
void member_send_offered(struct member *member);
void member_receive(struct member *member); /* throughput and offered */
void member_ping(struct member *member);
void member_pong(struct member *member);
void member_wal_primary(struct member *member); /* opens its stream itself */
void member_wal_standby(struct member *member);
void member_idle(struct member *member); /* opens its channels itself */

#endif
