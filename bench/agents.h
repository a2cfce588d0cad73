/* SPDX-License-Identifier: Apache-2.0 */
/*
 * agents.h - the one or two agents that a run uses: started in a temporary
 * directory and stopped at the end, or running already.
 */
#ifndef BENCH_AGENTS_H
#define BENCH_AGENTS_H

#include "bench/options.h"

#include <sys/types.h>

/* Index of the agent that senders, and that receivers attach to. */
enum { BENCH_AGENT_SENDERS = 0, BENCH_AGENT_RECEIVERS = 1 };

struct bench_agents {
	unsigned count;           /* 1: everybody is on one host */
	char socket_path[2][108]; /* as long as sun_path */
	char node[2][64];
	pid_t pid[2];       /* 0: not started here */
	char directory[96]; /* ""; else where the files of ours are */
	bool keep_files;
};

/*
 * Start the agents, or note those that options name. channel_count: how many
 * channels the run opens at each agent. On failure error (BENCH_ERROR_BYTES)
 * holds the reason, the end of the agent's log included, and nothing is left
 * running. -ENOENT: no sluiced; -ETIMEDOUT: it does not answer; -EIO, ...
 */
int bench_agents_start(const struct bench_options *options, uint32_t channel_count,
                       struct bench_agents *ret_agents, char *error);

/* Stop those started and remove their files. Idempotent. */
void bench_agents_stop(struct bench_agents *agents);

/* 0, or -ECHILD with error when an agent that was started is gone. */
int bench_agents_check(struct bench_agents *agents, char *error);

/* Bytes of arena for that many channels, at one of so many agents. For tests. */
uint64_t bench_agents_arena_bytes(uint64_t frame_bytes, uint32_t channel_count,
                                  unsigned agent_count);

#endif
