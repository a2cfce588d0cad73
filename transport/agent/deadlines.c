/* SPDX-License-Identifier: Apache-2.0 */
/* deadlines.c - see deadlines.h. A binary heap, root at 1. */
#include "transport/agent/deadlines.h"

#include <errno.h>
#include <stdlib.h>

void deadlines_init(struct deadlines *deadlines)
{
	*deadlines = (struct deadlines){0};
}

void deadlines_fini(struct deadlines *deadlines)
{
	free(deadlines->heap);
	deadlines_init(deadlines);
}

static void heap_place(struct deadlines *deadlines, struct deadline *deadline, uint32_t pos)
{
	deadlines->heap[pos] = deadline;
	deadline->heap_pos = pos;
}

/* Put deadline at pos or, while its parent is later, nearer to the root. */
static void heap_rise(struct deadlines *deadlines, struct deadline *deadline, uint32_t pos)
{
	while (pos > 1 && deadlines->heap[pos / 2]->at_ns > deadline->at_ns) {
		heap_place(deadlines, deadlines->heap[pos / 2], pos);
		pos /= 2;
	}
	heap_place(deadlines, deadline, pos);
}

static void heap_sink(struct deadlines *deadlines, struct deadline *deadline, uint32_t pos)
{
	for (;;) {
		uint32_t child = 2 * pos;

		if (child > deadlines->count)
			break;
		if (child < deadlines->count &&
		    deadlines->heap[child + 1]->at_ns < deadlines->heap[child]->at_ns)
			child++;
		if (deadlines->heap[child]->at_ns >= deadline->at_ns)
			break;
		heap_place(deadlines, deadlines->heap[child], pos);
		pos = child;
	}
	heap_place(deadlines, deadline, pos);
}

int deadlines_set(struct deadlines *deadlines, struct deadline *deadline, uint64_t at_ns)
{
	if (!deadline->heap_pos) {
		if (deadlines->count + 1 >= deadlines->room) {
			uint32_t room = deadlines->room ? 2 * deadlines->room : 64;
			struct deadline **heap = realloc(deadlines->heap, room * sizeof(*heap));

			if (!heap)
				return -ENOMEM;
			deadlines->heap = heap;
			deadlines->room = room;
		}
		deadline->heap_pos = ++deadlines->count;
	}
	deadline->at_ns = at_ns;
	heap_rise(deadlines, deadline, deadline->heap_pos);
	heap_sink(deadlines, deadline, deadline->heap_pos);
	return 0;
}

void deadlines_clear(struct deadlines *deadlines, struct deadline *deadline)
{
	uint32_t pos = deadline->heap_pos;
	struct deadline *last;

	if (!pos)
		return;
	deadline->heap_pos = 0;
	last = deadlines->heap[deadlines->count--];
	if (last == deadline)
		return;
	heap_rise(deadlines, last, pos);
	heap_sink(deadlines, last, last->heap_pos);
}

uint64_t deadlines_next_ns(const struct deadlines *deadlines)
{
	return deadlines->count ? deadlines->heap[1]->at_ns : UINT64_MAX;
}

void deadlines_run(struct deadlines *deadlines, uint64_t now_ns)
{
	while (deadlines->count && deadlines->heap[1]->at_ns <= now_ns) {
		struct deadline *deadline = deadlines->heap[1];

		deadlines_clear(deadlines, deadline);
		deadline->expire(deadline, now_ns);
	}
}
