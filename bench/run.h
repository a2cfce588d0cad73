/* SPDX-License-Identifier: Apache-2.0 */
/*
 * run.h - one measurement: the processes that take part (members), the memory
 * they share with their parent, and what came out.
 *
 * The parent forks every member before anything of Sluice is touched; each
 * attaches on its own. Phases lead them all through the run; the parent only
 * watches counters, so it takes no part in what it measures.
 */
#ifndef BENCH_RUN_H
#define BENCH_RUN_H

#include "bench/agents.h"
#include "bench/histogram.h"
#include "bench/options.h"
#include "bench/process.h"

#include <stdalign.h>
#include <stdatomic.h>

#include <sluice/sluice.h>

enum bench_phase {
	BENCH_PHASE_ATTACH, /* members attach and open their channels */
	BENCH_PHASE_RUN,
	BENCH_PHASE_STOP, /* senders end their channels */
	BENCH_PHASE_EXIT, /* the parent has seen what it wanted */
};

enum bench_member_state { BENCH_STARTING, BENCH_READY, BENCH_DONE, BENCH_FAILED };

/*
 * One member's part of the shared memory; only that member writes it.
 *
 * field        readers  ordering
 * row_count    parent   relaxed: a figure of progress
 * error_count  parent   relaxed until state is DONE
 * state        parent   release -> acquire; everything below is written before
 */
struct bench_member {
	alignas(128) _Atomic uint64_t row_count; /* sent by a sender, checked by a receiver */
	_Atomic uint64_t error_count;            /* rows that were not as expected */
	_Atomic uint32_t state;                  /* enum bench_member_state */
	uint64_t end_ns;                         /* when its work was done */
	uint64_t stall_count, blocked_ns;        /* of its channels */
	struct slu_endpoint_stats endpoint;
	char error[BENCH_ERROR_BYTES];
};

/*
 * field        only writer  readers  ordering
 * phase        parent       members  seq_cst; a futex
 * start_ns     parent       members  before phase RUN
 * lane_*       the member   parent   before its state is DONE
 */
struct bench_shared {
	_Atomic uint32_t phase;
	uint64_t start_ns; /* when the run's clock begins, CLOCK_MONOTONIC */
	struct bench_member members[BENCH_PROCESSES_MAX];
	uint64_t lane_sent[BENCH_LANES_MAX];
	uint64_t lane_received[BENCH_LANES_MAX];
	struct bench_histogram histograms[]; /* of each member, where the mode has them */
};

/* Cumulative figures at one moment of the run. */
struct bench_sample {
	uint64_t time_ns; /* since start_ns */
	uint64_t row_count;
};

struct bench_run {
	const struct bench_options *options;
	struct bench_agents agents;
	struct bench_shared *shared;
	size_t shared_bytes;
	uint32_t member_count;
	uint64_t query; /* in the keys of all channels of this run */
	struct slu_token token;
	int exit_fd[2]; /* a pipe: readable when idle members are to end */
	pid_t pids[BENCH_PROCESSES_MAX];
	struct bench_sample *samples;
	size_t sample_count, sample_room;
};

struct bench_result {
	double seconds;         /* measured, without warm-up */
	uint64_t row_count;     /* received in that time */
	uint64_t row_count_all; /* with warm-up */
	uint64_t error_count;   /* rows lost, doubled or harmed, of all */
	double rows_per_s;
	double gigabytes_per_s;           /* 10^9 bytes of rows */
	double member_cpu_s, agent_cpu_s; /* in the measured time */
	bool agent_cpu_known;
	double cpu_s_per_gigabyte;
	uint64_t stall_count, blocked_ns;
	uint64_t spin_count, sleep_count, wakeup_count;
	struct bench_histogram *latency; /* owned; NULL: the mode has none */
	double idle_core_percent;
	struct bench_memory memory_attached, memory; /* before and with the channels */
	uint32_t fd_count;
};

static inline bool bench_run_is_idle(const struct bench_options *options)
{
	return options->mode == BENCH_IDLE || options->mode == BENCH_IDLE_CHANNELS;
}

/* Whether each member has a histogram. */
static inline bool bench_run_has_latency(const struct bench_options *options)
{
	return options->mode == BENCH_LATENCY || options->mode == BENCH_WAL ||
	       options->mode == BENCH_OFFERED;
}

/* Members that take part, and channels that the run opens at each agent. */
uint32_t bench_run_member_count(const struct bench_options *options);
uint32_t bench_run_channel_count(const struct bench_options *options);

/*
 * Start the agents and fork the members. *ret_run is to be ended with
 * bench_run_end(), after failure too. 0 when every member is ready, or a
 * negative errno with error (BENCH_ERROR_BYTES).
 */
int bench_run_begin(const struct bench_options *options, struct bench_run *ret_run, char *error);

/*
 * Let the members do their part and measure it. The samples are in run,
 * *ret_result is to be ended with bench_result_free(), after failure too.
 * Rows that went wrong are not a failure of the run: see error_count.
 */
int bench_run_measure(struct bench_run *run, struct bench_result *ret_result, char *error);

/* Stops members and agents that still are; takes what run holds. */
void bench_run_end(struct bench_run *run);
void bench_result_free(struct bench_result *result);

/* Whether all is well: -EINTR after bench_run_interrupt(), -ECHILD when a member
 * failed or died or an agent is gone, with error. */
int bench_run_watch(struct bench_run *run, char *error);

/* Move all members on. */
void bench_run_phase_set(struct bench_run *run, enum bench_phase phase);

/* How many members have come to that state, or beyond. */
uint32_t bench_run_state_count(const struct bench_run *run, enum bench_member_state state);

/* Wait until all have, watching. -ETIMEDOUT after timeout_ns. */
int bench_run_await(struct bench_run *run, enum bench_member_state state, uint64_t timeout_ns,
                    char *error);

/* Ask a run that is under way to end with -EINTR. For signal handlers. */
void bench_run_interrupt(void);

#endif
