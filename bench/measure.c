/* SPDX-License-Identifier: Apache-2.0 */
/*
 * measure.c - looks at the counters of a run while it goes on and turns them
 * into a result. Figures are differences between two looks, each with its own
 * time, so when the parent is woken late on a busy machine it shifts the window
 * but does not falsify the rate.
 */
#include "bench/run.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_S        UINT64_C(1000000000)
#define TICK_NS_MIN     UINT64_C(10000000)
#define TICK_NS_MAX     UINT64_C(250000000)
#define PROGRESS_NS_MIN (2 * NS_PER_S) /* shorter runs show none */
#define SETTLE_NS       (NS_PER_S / 2)
#define OPEN_TIMEOUT_NS (120 * NS_PER_S)

struct cpu_reading {
	uint64_t members_ns, agents_ns;
};

static void cpu_read(const struct bench_run *run, struct cpu_reading *ret_reading)
{
	memset(ret_reading, 0, sizeof(*ret_reading));
	for (uint32_t i = 0; i < run->member_count; i++)
		ret_reading->members_ns += bench_process_cpu_ns(run->pids[i]);
	for (unsigned i = 0; i < run->agents.count; i++)
		if (run->agents.pid[i])
			ret_reading->agents_ns += bench_process_cpu_ns(run->agents.pid[i]);
}

static void cpu_result(const struct bench_run *run, const struct cpu_reading *begin,
                       struct bench_result *result)
{
	struct cpu_reading end;

	cpu_read(run, &end);
	result->member_cpu_s = (double)(end.members_ns - begin->members_ns) / NS_PER_S;
	result->agent_cpu_s = (double)(end.agents_ns - begin->agents_ns) / NS_PER_S;
	result->agent_cpu_known = run->agents.pid[0] != 0;
}

static void sleep_until(uint64_t time_ns)
{
	struct timespec time = {(time_t)(time_ns / NS_PER_S), (long)(time_ns % NS_PER_S)};

	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, NULL);
}

/* Rows that have arrived. */
static uint64_t rows_received(const struct bench_run *run)
{
	uint64_t row_count = 0;

	for (uint32_t i = run->options->sender_count; i < run->member_count; i++)
		row_count += atomic_load_explicit(&run->shared->members[i].row_count,
		                                  memory_order_relaxed);
	return row_count;
}

static int sample_take(struct bench_run *run, struct bench_sample *ret_sample)
{
	struct bench_sample sample;

	if (run->sample_count == run->sample_room) {
		size_t room = run->sample_room ? 2 * run->sample_room : 256;
		struct bench_sample *grown = reallocarray(run->samples, room, sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		run->samples = grown;
		run->sample_room = room;
	}
	sample.row_count = rows_received(run);
	sample.time_ns = slu_now_ns() - run->shared->start_ns;
	run->samples[run->sample_count++] = sample;
	*ret_sample = sample;
	return 0;
}

/* ---- progress and stalls ----------------------------------------------- */

struct watcher {
	struct bench_sample shown; /* by the last line of progress */
	struct bench_sample moved; /* when a row arrived last */
	bool show, terminal;
};

static void watcher_init(struct watcher *watcher, const struct bench_options *options)
{
	bool by_time = !options->row_count;

	memset(watcher, 0, sizeof(*watcher));
	watcher->terminal = isatty(STDERR_FILENO);
	watcher->show = options->progress ||
	                (watcher->terminal &&
	                 (!by_time || options->duration_ns + options->warmup_ns > PROGRESS_NS_MIN));
}

static void watcher_show(struct watcher *watcher, const struct bench_sample *sample)
{
	double seconds = (double)(sample->time_ns - watcher->shown.time_ns) / NS_PER_S;

	if (!watcher->show || seconds < 1)
		return;
	fprintf(stderr, "%s%6.1f s  %12.0f rows/s%s", watcher->terminal ? "\r" : "",
	        (double)sample->time_ns / NS_PER_S,
	        (double)(sample->row_count - watcher->shown.row_count) / seconds,
	        watcher->terminal ? "" : "\n");
	watcher->shown = *sample;
}

static void watcher_end(const struct watcher *watcher)
{
	if (watcher->terminal && watcher->shown.time_ns)
		fputs("\r\033[K", stderr);
}

static int watcher_look(struct watcher *watcher, struct bench_run *run,
                        const struct bench_sample *sample, char *error)
{
	int rc = bench_run_watch(run, error);

	if (rc)
		return rc;
	watcher_show(watcher, sample);
	if (sample->row_count != watcher->moved.row_count)
		watcher->moved = *sample;
	if (sample->time_ns - watcher->moved.time_ns < run->options->stall_ns)
		return 0;
	snprintf(error, BENCH_ERROR_BYTES,
	         "no row has arrived for %.1f s (%llu before, %u of %u processes done)",
	         (double)run->options->stall_ns / NS_PER_S, (unsigned long long)sample->row_count,
	         bench_run_state_count(run, BENCH_DONE), run->member_count);
	return -ETIMEDOUT;
}

/* ---- throughput, latency, offered rate --------------------------------- */

static uint64_t tick_ns(const struct bench_options *options)
{
	uint64_t tick = options->row_count ? TICK_NS_MIN : options->duration_ns / 50;

	if (tick < TICK_NS_MIN)
		return TICK_NS_MIN;
	return tick > TICK_NS_MAX ? TICK_NS_MAX : tick;
}

/* Look every tick until end_ns (since start_ns) or until all members are done. */
static int watch_until(struct bench_run *run, struct watcher *watcher, uint64_t end_ns,
                       struct bench_sample *ret_last, char *error)
{
	uint64_t tick = tick_ns(run->options);
	int rc;

	for (;;) {
		bool done = bench_run_state_count(run, BENCH_DONE) == run->member_count;
		uint64_t next;

		rc = sample_take(run, ret_last);
		if (rc == 0)
			rc = watcher_look(watcher, run, ret_last, error);
		if (rc || done || ret_last->time_ns >= end_ns)
			return rc;
		next = ret_last->time_ns + tick;
		sleep_until(run->shared->start_ns + (next < end_ns ? next : end_ns));
	}
}

/* The last sample, when the run ended by itself: the time is the members' own. */
static void end_by_members(const struct bench_run *run, struct bench_sample *sample)
{
	uint64_t end_ns = 0;

	for (uint32_t i = 0; i < run->member_count; i++)
		if (run->shared->members[i].end_ns > end_ns)
			end_ns = run->shared->members[i].end_ns;
	sample->time_ns = end_ns - run->shared->start_ns;
}

static uint64_t errors_count(const struct bench_run *run)
{
	uint32_t lane_count = run->options->sender_count * run->options->receiver_count;
	uint64_t count = 0;

	for (uint32_t i = 0; i < run->member_count; i++)
		count += atomic_load_explicit(&run->shared->members[i].error_count,
		                              memory_order_relaxed);
	for (uint32_t i = 0; i < lane_count; i++) {
		uint64_t sent = run->shared->lane_sent[i];
		uint64_t received = run->shared->lane_received[i];

		count += sent > received ? sent - received : received - sent;
	}
	return count;
}

static int latency_merge(const struct bench_run *run, struct bench_result *result)
{
	if (!bench_run_has_latency(run->options))
		return 0;
	result->latency = malloc(sizeof(*result->latency));
	if (!result->latency)
		return -ENOMEM;
	bench_histogram_reset(result->latency);
	for (uint32_t i = 0; i < run->member_count; i++)
		bench_histogram_merge(result->latency, &run->shared->histograms[i]);
	return 0;
}

static int stream_result(const struct bench_run *run, const struct bench_sample *begin,
                         const struct bench_sample *end, struct bench_result *result)
{
	double bytes;
	int rc = latency_merge(run, result);

	if (rc)
		return rc;
	result->seconds = (double)(end->time_ns - begin->time_ns) / NS_PER_S;
	result->row_count = end->row_count - begin->row_count;
	result->row_count_all = rows_received(run);
	result->error_count = errors_count(run);
	result->rows_per_s = (double)result->row_count / result->seconds;
	bytes = (double)result->row_count * run->options->row_bytes;
	result->gigabytes_per_s = bytes / 1e9 / result->seconds;
	if (bytes > 0)
		result->cpu_s_per_gigabyte =
		        (result->member_cpu_s + result->agent_cpu_s) / (bytes / 1e9);
	for (uint32_t i = 0; i < run->member_count; i++) {
		const struct bench_member *member = &run->shared->members[i];

		result->stall_count += member->stall_count;
		result->blocked_ns += member->blocked_ns;
		result->spin_count += member->endpoint.spins;
		result->sleep_count += member->endpoint.sleeps;
		result->wakeup_count += member->endpoint.wakeups_sent;
	}
	return 0;
}

static int measure_stream(struct bench_run *run, struct bench_result *result, char *error)
{
	const struct bench_options *options = run->options;
	/* An offered run ends when its last row has arrived, a counted one too. */
	bool by_time = !options->row_count && options->mode != BENCH_OFFERED;
	struct bench_sample begin, end;
	struct cpu_reading cpu;
	struct watcher watcher;
	int rc;

	watcher_init(&watcher, options);
	cpu_read(run, &cpu);
	run->shared->start_ns = slu_now_ns();
	bench_run_phase_set(run, BENCH_PHASE_RUN);
	rc = watch_until(run, &watcher, options->warmup_ns, &begin, error);
	if (rc == 0 && options->warmup_ns)
		cpu_read(run, &cpu);
	if (rc == 0)
		rc = watch_until(run, &watcher,
		                 by_time ? begin.time_ns + options->duration_ns : UINT64_MAX, &end,
		                 error);
	if (rc == 0) {
		cpu_result(run, &cpu, result);
		bench_run_phase_set(run, BENCH_PHASE_STOP);
		rc = bench_run_await(run, BENCH_DONE, options->stall_ns, error);
	}
	watcher_end(&watcher);
	if (rc == 0 && !by_time)
		end_by_members(run, &end);
	return rc ? rc : stream_result(run, &begin, &end, result);
}

/* ---- idle -------------------------------------------------------------- */

static int memory_read(const struct bench_run *run, struct bench_memory *ret_memory)
{
	int rc = 0;

	memset(ret_memory, 0, sizeof(*ret_memory));
	for (uint32_t i = 0; i < run->member_count && rc == 0; i++)
		rc = bench_process_memory(run->pids[i], ret_memory);
	for (unsigned i = 0; i < run->agents.count && rc == 0; i++)
		if (run->agents.pid[i])
			rc = bench_process_memory(run->agents.pid[i], ret_memory);
	return rc;
}

static uint32_t fds_count(const struct bench_run *run)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < run->member_count; i++)
		count += bench_process_fd_count(run->pids[i]);
	for (unsigned i = 0; i < run->agents.count; i++)
		if (run->agents.pid[i])
			count += bench_process_fd_count(run->agents.pid[i]);
	return count;
}

/* Sleep, but end early when something goes wrong. */
static int watch_for(struct bench_run *run, uint64_t duration_ns, char *error)
{
	uint64_t end_ns = slu_now_ns() + duration_ns;
	uint64_t now;
	int rc;

	while ((rc = bench_run_watch(run, error)) == 0 && (now = slu_now_ns()) < end_ns)
		sleep_until(end_ns - now < NS_PER_S ? end_ns : now + NS_PER_S);
	return rc;
}

/* An idle member counts one row when its channels are open. */
static int await_open(struct bench_run *run, char *error)
{
	uint64_t deadline_ns = slu_now_ns() + OPEN_TIMEOUT_NS;
	int rc;

	while ((rc = bench_run_watch(run, error)) == 0) {
		uint32_t open_count = 0;

		for (uint32_t i = 0; i < run->member_count; i++)
			open_count += atomic_load(&run->shared->members[i].row_count) != 0;
		if (open_count == run->member_count)
			return 0;
		if (slu_now_ns() > deadline_ns) {
			snprintf(error, BENCH_ERROR_BYTES,
			         "only %u of %u processes opened their channels in time",
			         open_count, run->member_count);
			return -ETIMEDOUT;
		}
		sleep_until(slu_now_ns() + TICK_NS_MIN);
	}
	return rc;
}

static int measure_idle(struct bench_run *run, struct bench_result *result, char *error)
{
	struct cpu_reading cpu;
	uint64_t begin_ns;
	int rc = memory_read(run, &result->memory_attached);

	if (rc) {
		snprintf(error, BENCH_ERROR_BYTES, "cannot read /proc/PID/smaps: %s",
		         strerror(-rc));
		return rc;
	}
	run->shared->start_ns = slu_now_ns();
	bench_run_phase_set(run, BENCH_PHASE_RUN);
	rc = await_open(run, error);
	if (rc == 0)
		rc = watch_for(run, SETTLE_NS, error);
	if (rc)
		return rc;
	cpu_read(run, &cpu);
	begin_ns = slu_now_ns();
	rc = watch_for(run, run->options->duration_ns, error);
	if (rc)
		return rc;
	cpu_result(run, &cpu, result);
	result->seconds = (double)(slu_now_ns() - begin_ns) / NS_PER_S;
	result->idle_core_percent =
	        100 * (result->member_cpu_s + result->agent_cpu_s) / result->seconds;
	result->fd_count = fds_count(run);
	rc = memory_read(run, &result->memory);
	/* The closed pipe tells the members to go. */
	close(run->exit_fd[1]);
	run->exit_fd[1] = -1;
	return rc ? rc : bench_run_await(run, BENCH_DONE, run->options->stall_ns, error);
}

int bench_run_measure(struct bench_run *run, struct bench_result *ret_result, char *error)
{
	memset(ret_result, 0, sizeof(*ret_result));
	snprintf(error, BENCH_ERROR_BYTES, "out of memory");
	return bench_run_is_idle(run->options) ? measure_idle(run, ret_result, error)
	                                       : measure_stream(run, ret_result, error);
}

void bench_result_free(struct bench_result *result)
{
	free(result->latency);
	result->latency = NULL;
}
