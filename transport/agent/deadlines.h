/* SPDX-License-Identifier: Apache-2.0 */
/*
 * deadlines.h - what has to happen by when: a heap of deadlines that live inside
 * the objects they belong to. Time comes in as an argument.
 */
#ifndef TRANSPORT_AGENT_DEADLINES_H
#define TRANSPORT_AGENT_DEADLINES_H

#include <stdint.h>

struct deadline {
	uint64_t at_ns;
	uint32_t heap_pos; /* 0: not set, else place in the heap */
	/* Called once the time has come; the deadline is not set any more. */
	void (*expire)(struct deadline *deadline, uint64_t now_ns);
};

struct deadlines {
	struct deadline **heap; /* heap[1] is the earliest */
	uint32_t count, room;
};

void deadlines_init(struct deadlines *deadlines);
void deadlines_fini(struct deadlines *deadlines); /* borrows no deadline any more */

/* Set or move. deadline is borrowed until it expires or is cleared. Setting one
 * that is set already cannot fail; else -ENOMEM. */
int deadlines_set(struct deadlines *deadlines, struct deadline *deadline, uint64_t at_ns);
void deadlines_clear(struct deadlines *deadlines, struct deadline *deadline);

/* The earliest; UINT64_MAX: none. */
uint64_t deadlines_next_ns(const struct deadlines *deadlines);

/* Call expire of every deadline that has come; expire may set and clear others. */
void deadlines_run(struct deadlines *deadlines, uint64_t now_ns);

#endif
