/* SPDX-License-Identifier: Apache-2.0 */
/* run.c - brings the members of a run to life, leads and watches them; see run.h. */
#include "bench/run.h"

#include "bench/member.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define READY_TIMEOUT_NS UINT64_C(60000000000)

static volatile sig_atomic_t interrupted;

void bench_run_interrupt(void)
{
	interrupted = 1;
}

uint32_t bench_run_member_count(const struct bench_options *options)
{
	if (bench_run_is_idle(options))
		return options->process_count;
	return options->sender_count + options->receiver_count;
}

uint32_t bench_run_channel_count(const struct bench_options *options)
{
	uint32_t lane_count = options->sender_count * options->receiver_count;

	if (bench_run_is_idle(options))
		return options->channel_count;
	return options->mode == BENCH_LATENCY || options->mode == BENCH_WAL ? 2 * lane_count
	                                                                    : lane_count;
}

static int shared_create(struct bench_run *run, char *error)
{
	run->shared_bytes =
	        sizeof(*run->shared) + run->member_count * sizeof(run->shared->histograms[0]);
	run->shared = mmap(NULL, run->shared_bytes, PROT_READ | PROT_WRITE,
	                   MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (run->shared == MAP_FAILED) {
		run->shared = NULL;
		snprintf(error, BENCH_ERROR_BYTES, "cannot map %zu bytes: %s", run->shared_bytes,
		         strerror(errno));
		return -ENOMEM;
	}
	if (!bench_run_has_latency(run->options))
		return 0;
	for (uint32_t i = 0; i < run->member_count; i++)
		bench_histogram_reset(&run->shared->histograms[i]);
	return 0;
}

static int members_fork(struct bench_run *run, char *error)
{
	pid_t parent = getpid();

	/* What is buffered here must not be written once more by each child. */
	fflush(NULL);
	for (uint32_t i = 0; i < run->member_count; i++) {
		run->pids[i] = fork();
		if (run->pids[i] < 0) {
			run->pids[i] = 0;
			snprintf(error, BENCH_ERROR_BYTES, "fork: %s", strerror(errno));
			return -EAGAIN;
		}
		if (run->pids[i] == 0) {
			close(run->exit_fd[1]);
			if (getppid() != parent)
				_exit(1);
			bench_member_main(run, i);
		}
	}
	return 0;
}

int bench_run_begin(const struct bench_options *options, struct bench_run *ret_run, char *error)
{
	struct bench_run *run = ret_run;
	int rc;

	memset(run, 0, sizeof(*run));
	run->options = options;
	run->member_count = bench_run_member_count(options);
	run->exit_fd[0] = run->exit_fd[1] = -1;
	if (getentropy(&run->token, sizeof(run->token)) ||
	    getentropy(&run->query, sizeof(run->query)) || pipe2(run->exit_fd, O_CLOEXEC)) {
		snprintf(error, BENCH_ERROR_BYTES, "cannot begin: %s", strerror(errno));
		return -errno;
	}
	rc = bench_agents_start(options, bench_run_channel_count(options), &run->agents, error);
	if (rc == 0 && bench_run_is_idle(options) && run->agents.count == 2 &&
	    run->member_count % 2) {
		snprintf(error, BENCH_ERROR_BYTES, "two agents need an even number of processes");
		rc = -EINVAL;
	}
	if (rc == 0)
		rc = shared_create(run, error);
	if (rc == 0)
		rc = members_fork(run, error);
	if (rc == 0)
		rc = bench_run_await(run, BENCH_READY, READY_TIMEOUT_NS, error);
	return rc;
}

void bench_run_phase_set(struct bench_run *run, enum bench_phase phase)
{
	atomic_store(&run->shared->phase, phase);
	syscall(SYS_futex, &run->shared->phase, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

uint32_t bench_run_state_count(const struct bench_run *run, enum bench_member_state state)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < run->member_count; i++)
		count += atomic_load_explicit(&run->shared->members[i].state,
		                              memory_order_acquire) >= (uint32_t)state;
	return count;
}

static void member_describe(const struct bench_run *run, uint32_t member_idx, char *ret_name,
                            size_t size)
{
	uint32_t sender_count = run->options->sender_count;

	if (bench_run_is_idle(run->options))
		snprintf(ret_name, size, "process %u", member_idx);
	else if (member_idx < sender_count)
		snprintf(ret_name, size, "sender %u", member_idx);
	else
		snprintf(ret_name, size, "receiver %u", member_idx - sender_count);
}

static int member_watch(struct bench_run *run, uint32_t member_idx, char *error)
{
	struct bench_member *member = &run->shared->members[member_idx];
	bool ended;
	char name[32];
	int status;

	ended = run->pids[member_idx] &&
	        waitpid(run->pids[member_idx], &status, WNOHANG) == run->pids[member_idx];
	if (ended)
		run->pids[member_idx] = 0;
	member_describe(run, member_idx, name, sizeof(name));
	if (atomic_load_explicit(&member->state, memory_order_acquire) == BENCH_FAILED) {
		snprintf(error, BENCH_ERROR_BYTES, "%s: %.440s", name, member->error);
		return -ECHILD;
	}
	if (ended) {
		snprintf(error, BENCH_ERROR_BYTES, "%s ended unasked (%s %d)", name,
		         WIFSIGNALED(status) ? "signal" : "status",
		         WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
		return -ECHILD;
	}
	return 0;
}

int bench_run_watch(struct bench_run *run, char *error)
{
	int rc;

	if (interrupted) {
		snprintf(error, BENCH_ERROR_BYTES, "interrupted");
		return -EINTR;
	}
	/* An agent that died takes its members along: name the agent. */
	rc = bench_agents_check(&run->agents, error);
	for (uint32_t i = 0; i < run->member_count && rc == 0; i++)
		rc = member_watch(run, i, error);
	return rc;
}

int bench_run_await(struct bench_run *run, enum bench_member_state state, uint64_t timeout_ns,
                    char *error)
{
	uint64_t deadline_ns = slu_now_ns() + timeout_ns;
	struct timespec pause = {0, 2000000};
	int rc;

	while ((rc = bench_run_watch(run, error)) == 0) {
		uint32_t count = bench_run_state_count(run, state);

		if (count == run->member_count)
			return 0;
		if (slu_now_ns() > deadline_ns) {
			snprintf(error, BENCH_ERROR_BYTES, "only %u of %u processes %s in time",
			         count, run->member_count,
			         state == BENCH_READY ? "were ready" : "ended");
			return -ETIMEDOUT;
		}
		nanosleep(&pause, NULL);
	}
	return rc;
}

void bench_run_end(struct bench_run *run)
{
	bool all_done = run->shared && bench_run_state_count(run, BENCH_DONE) == run->member_count;

	if (all_done)
		bench_run_phase_set(run, BENCH_PHASE_EXIT);
	for (uint32_t i = 0; i < run->member_count; i++) {
		if (!run->pids[i])
			continue;
		if (!all_done)
			kill(run->pids[i], SIGKILL);
		waitpid(run->pids[i], NULL, 0);
		run->pids[i] = 0;
	}
	bench_agents_stop(&run->agents);
	for (int i = 0; i < 2; i++)
		if (run->exit_fd[i] >= 0)
			close(run->exit_fd[i]);
	if (run->shared)
		munmap(run->shared, run->shared_bytes);
	run->shared = NULL;
	free(run->samples);
	run->samples = NULL;
}
