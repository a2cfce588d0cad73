/* SPDX-License-Identifier: Apache-2.0 */
/* member.c - the frame around every role of a run; see member.h. */
#include "bench/member.h"

#include <errno.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static void member_state_set(struct member *member, enum bench_member_state state)
{
	atomic_store_explicit(&member->report->state, state, memory_order_release);
}

void member_fail(struct member *member, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(member->report->error, sizeof(member->report->error), format, args);
	va_end(args);
	member_state_set(member, BENCH_FAILED);
	_exit(1);
}

void member_fail_channel(struct member *member, slu_channel *channel, const char *call, int rc)
{
	const char *reason = channel ? slu_channel_reason(channel) : "";

	if (!*reason)
		reason = slu_endpoint_error(member->endpoint);
	member_fail(member, "%s: %s (%s)", call, rc < 0 ? strerror(-rc) : "an unexpected result",
	            *reason ? reason : "no reason");
}

void member_wait(struct member *member, slu_channel *channel)
{
	int rc = channel ? slu_channel_wait(channel, UINT64_MAX, -1)
	                 : slu_set_wait(member->set, UINT64_MAX, -1);

	if (rc != SLU_OK && rc != -EINTR)
		member_fail_channel(member, channel, "wait", rc);
}

unsigned member_agent_idx(const struct member *member)
{
	if (member->run->agents.count == 1)
		return 0;
	if (bench_run_is_idle(member->options))
		return member->member_idx % 2;
	return member->sender ? BENCH_AGENT_SENDERS : BENCH_AGENT_RECEIVERS;
}

slu_channel *member_open(struct member *member, uint32_t motion, uint32_t source,
                         uint32_t destination, enum slu_direction direction)
{
	const struct bench_agents *agents = &member->run->agents;
	struct slu_open_options options = {
	        .key = {.cluster = member->options->cluster,
	                .query = member->run->query,
	                .motion = motion,
	                .source = source,
	                .destination = destination},
	        .token = member->run->token,
	        .direction = direction,
	        .window_frames_max = member->options->window_frames,
	        .urgent = member->options->urgent,
	};
	slu_channel *channel;
	int rc;

	if (agents->count == 2)
		options.peer = agents->node[!member_agent_idx(member)];
	rc = slu_channel_open(member->endpoint, &options, &channel);
	if (rc)
		member_fail_channel(member, NULL, "open", rc);
	return channel;
}

static void member_attach(struct member *member)
{
	char name[48];
	struct slu_attach_options options = {
	        .socket_path = member->run->agents.socket_path[member_agent_idx(member)],
	        .cluster = member->options->cluster,
	        .name = name,
	        .spin_ns_max = member->options->spin_ns,
	};
	int rc;

	snprintf(name, sizeof(name), "sluice-perf %u", member->member_idx);
	rc = slu_endpoint_attach(&options, &member->endpoint);
	if (rc)
		member_fail(member, "cannot attach to %s: %s (%s)", options.socket_path,
		            strerror(-rc), slu_attach_error());
	member->frame_capacity_bytes = slu_endpoint_frame_capacity(member->endpoint);
	rc = slu_set_create(member->endpoint, &member->set);
	if (rc)
		member_fail(member, "cannot create a set: %s", strerror(-rc));
}

/* Lanes go from every sender to every receiver; lane (s, r) is s * R + r. */
static void member_open_lanes(struct member *member)
{
	const struct bench_options *options = member->options;
	bool stream = options->mode == BENCH_THROUGHPUT;
	uint32_t own =
	        member->sender ? member->member_idx : member->member_idx - options->sender_count;

	member->lane_count = member->sender ? options->receiver_count : options->sender_count;
	member->lanes = calloc(member->lane_count, sizeof(*member->lanes));
	if (!member->lanes)
		member_fail(member, "out of memory");
	for (uint32_t i = 0; i < member->lane_count; i++) {
		struct member_lane *lane = &member->lanes[i];
		uint32_t source = member->sender ? own : i;
		uint32_t destination = member->sender ? i : own;

		lane->lane_idx = source * options->receiver_count + destination;
		lane->slot = destination;
		bench_rows_init(&lane->rows, options->row_bytes, lane->lane_idx, stream);
		bench_rows_init(&lane->back_rows, options->row_bytes, lane->lane_idx, stream);
		lane->channel = member_open(member, 0, source, destination,
		                            member->sender ? SLU_SEND : SLU_RECV);
		slu_channel_set_user(lane->channel, lane);
		if (slu_set_add(member->set, lane->channel))
			member_fail(member, "cannot add a channel to the set");
		if (options->mode != BENCH_LATENCY)
			continue;
		lane->back = member_open(member, 1, source, destination,
		                         member->sender ? SLU_RECV : SLU_SEND);
	}
	if (bench_rows_stride(&member->lanes[0].rows) > member->frame_capacity_bytes)
		member_fail(member, "a row of %u bytes does not fit a frame of %zu",
		            options->row_bytes, member->frame_capacity_bytes);
}

static void member_await_phase(struct member *member, enum bench_phase phase)
{
	uint32_t now;

	while ((now = atomic_load(&member->shared->phase)) < (uint32_t)phase)
		syscall(SYS_futex, &member->shared->phase, FUTEX_WAIT, now, NULL, NULL, 0);
}

void member_ready(struct member *member)
{
	member_state_set(member, BENCH_READY);
	member_await_phase(member, BENCH_PHASE_RUN);
}

static void member_pin(const struct member *member)
{
	cpu_set_t usable, chosen;
	int wanted, cpu = -1;

	if (!member->options->pin || sched_getaffinity(0, sizeof(usable), &usable))
		return;
	wanted = (int)member->member_idx % CPU_COUNT(&usable);
	do
		wanted -= CPU_ISSET(++cpu, &usable) ? 1 : 0;
	while (wanted >= 0);
	CPU_ZERO(&chosen);
	CPU_SET(cpu, &chosen);
	sched_setaffinity(0, sizeof(chosen), &chosen);
}

static void member_stats(struct member *member)
{
	struct bench_member *report = member->report;

	for (uint32_t i = 0; i < member->lane_count; i++) {
		struct member_lane *lane = &member->lanes[i];
		struct slu_channel_stats stats;

		slu_channel_stats(lane->channel, &stats);
		report->stall_count += stats.stalls;
		report->blocked_ns += stats.blocked_ns;
		if (member->sender)
			member->shared->lane_sent[lane->lane_idx] = bench_rows_count(&lane->rows);
		else
			member->shared->lane_received[lane->lane_idx] =
			        bench_rows_count(&lane->rows);
	}
	slu_endpoint_stats(member->endpoint, &report->endpoint);
}

static void member_role(struct member *member)
{
	switch (member->options->mode) {
	case BENCH_THROUGHPUT:
		member->sender ? member_send_throughput(member) : member_receive(member);
		break;
	case BENCH_OFFERED:
		member->sender ? member_send_offered(member) : member_receive(member);
		break;
	case BENCH_LATENCY:
		member->sender ? member_ping(member) : member_pong(member);
		break;
	case BENCH_WAL:
		member->sender ? member_wal_primary(member) : member_wal_standby(member);
		break;
	case BENCH_IDLE:
	case BENCH_IDLE_CHANNELS:
		member_idle(member);
		break;
	}
}

void bench_member_main(struct bench_run *run, uint32_t member_idx)
{
	struct member member = {
	        .run = run,
	        .options = run->options,
	        .shared = run->shared,
	        .report = &run->shared->members[member_idx],
	        .member_idx = member_idx,
	        .sender = member_idx < run->options->sender_count,
	};

	/* The parent ends its members itself when it is interrupted. */
	signal(SIGINT, SIG_IGN);
	signal(SIGTERM, SIG_DFL);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	member_pin(&member);
	if (bench_run_has_latency(run->options))
		member.histogram = &run->shared->histograms[member_idx];
	member_attach(&member);
	if (!bench_run_is_idle(run->options) && run->options->mode != BENCH_WAL) {
		member_open_lanes(&member);
		member_ready(&member);
	}
	member_role(&member);
	member.report->end_ns = slu_now_ns();
	member_stats(&member);
	member_state_set(&member, BENCH_DONE);
	member_await_phase(&member, BENCH_PHASE_EXIT);
	slu_endpoint_detach(member.endpoint);
	free(member.lanes);
	_exit(0);
}
