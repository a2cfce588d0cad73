/* SPDX-License-Identifier: Apache-2.0 */
/*
 * timers.h - what is to happen when, in virtual time: a binary heap whose
 * entries lie in the objects they belong to. Entries of the same time fire in
 * the order they were set, so that a run is the same every time.
 */
#ifndef DRIVERS_SIM_TIMERS_H
#define DRIVERS_SIM_TIMERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* All zeros: not set. */
struct sim_timer {
	uint64_t at_ns;
	uint64_t order;
	size_t position; /* in the heap, from 1; 0: not set */
	void (*fire)(void *ctx);
	void *ctx;
};

struct sim_timers {
	struct sim_timer **heap; /* heap[0] is unused */
	size_t count, room;
	uint64_t last_order;
};

void sim_timers_fini(struct sim_timers *timers);
/* Set, or set anew. */
void sim_timer_set(struct sim_timers *timers, struct sim_timer *timer, uint64_t at_ns);
/* Also when it is not set. */
void sim_timer_cancel(struct sim_timers *timers, struct sim_timer *timer);
static inline bool sim_timer_is_set(const struct sim_timer *timer)
{
	return timer->position > 0;
}

/* The earliest, which stays; NULL: none. */
struct sim_timer *sim_timers_first(const struct sim_timers *timers);

/* Zeroed memory. The simulator is for tests, which cannot go on without: ends
 * the process when there is none. */
void *sim_alloc(size_t size_bytes);

#endif
