/* SPDX-License-Identifier: Apache-2.0 */
/* poller_internal.h - what poller.c and poller_command.c share. */
#ifndef TRANSPORT_AGENT_POLLER_INTERNAL_H
#define TRANSPORT_AGENT_POLLER_INTERNAL_H

#include "transport/agent/poller.h"

#include <semaphore.h>

struct poller {
	struct poller_config config;
	char name[PROC_NAME_BYTES];
	pthread_t thread;
	sem_t started;
	int start_result;
	char start_error[ARENA_ERROR_BYTES];

	struct mailbox in;
	struct port port;
	int doorbell_fd;
	struct engine *engine;
	const struct slu_driver_ops *ops;
	uint32_t *epochs; /* by peer: of the connection the engine knows */
	int epoll_fd;
	unsigned spin_failures; /* in a row */
	unsigned spin_skips;    /* sleeps without spinning before the next try */
	bool stopping;
};

/* ---- poller_command.c -------------------------------------------------- */

/* The engine's callbacks; ctx is the poller. */
int poller_control_send(uint32_t peer, const void *message, size_t size_bytes, void *ctx);
void poller_channel_done(uint32_t chan_idx, void *ctx);

/* Do what the conductor has said; returns how many things. On the thread. */
uint32_t poller_commands(struct poller *poller, uint64_t now_ns);

/* Ask the thread to end. */
void poller_post_stop(struct poller *poller);
/* After the thread has ended: nobody will take what is left. */
void poller_commands_discard(struct poller *poller);

#endif
