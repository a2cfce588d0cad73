/* SPDX-License-Identifier: Apache-2.0 */
/* counters.h - names and meanings of the arena's counters, for everything that
 * shows them. */
#ifndef TRANSPORT_AGENT_COUNTERS_H
#define TRANSPORT_AGENT_COUNTERS_H

#include "transport/arena.h"

struct counter_info {
	const char *name; /* without prefix and suffix: "channels_open" */
	const char *help;
	bool gauge; /* a value of now; else a total since start */
};

/* Of one counter; the table lives as long as the process. */
const struct counter_info *counter_info(enum arena_counter counter);

static inline uint64_t counter_get(const struct arena *arena, enum arena_counter counter)
{
	/* relaxed: a report */
	return atomic_load_explicit(&arena->header->counters[counter], memory_order_relaxed);
}

#endif
