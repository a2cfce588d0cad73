/* SPDX-License-Identifier: Apache-2.0 */
/*
 * loop.h - the conductor's event loop: descriptors to watch and deadlines to
 * keep, on one thread. Without events and deadlines it sleeps for good.
 */
#ifndef TRANSPORT_AGENT_LOOP_H
#define TRANSPORT_AGENT_LOOP_H

#include "transport/agent/deadlines.h"

#include <stdbool.h>
#include <stdint.h>

/* Lives inside the object that watches; at most one descriptor each. */
struct loop_source {
	int fd; /* -1: not watched */
	void (*ready)(struct loop_source *source, uint32_t epoll_events);
};

struct loop {
	int epoll_fd;
	uint64_t now_ns; /* CLOCK_MONOTONIC at the start of the round */
	struct deadlines deadlines;
	bool stopped;
};

int loop_init(struct loop *loop); /* 0 or -errno */
void loop_fini(struct loop *loop);

/* Watch fd (borrowed until loop_unwatch). A source that is removed during a
 * round may still be called in it, with fd -1: it must then live until the
 * round ends, and do nothing. */
int loop_watch(struct loop *loop, struct loop_source *source, int fd, uint32_t epoll_events);
int loop_rewatch(struct loop *loop, struct loop_source *source, uint32_t epoll_events);
void loop_unwatch(struct loop *loop, struct loop_source *source);

/* Wait for events or the next deadline, and call who is concerned. */
void loop_round(struct loop *loop);

#endif
