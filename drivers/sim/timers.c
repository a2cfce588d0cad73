/* SPDX-License-Identifier: Apache-2.0 */
/* timers.c - see timers.h. */
#include "drivers/sim/timers.h"

#include <stdio.h>
#include <stdlib.h>

#define ROOM_FIRST 64u

static void out_of_memory(void)
{
	fprintf(stderr, "sim: out of memory\n");
	abort();
}

void *sim_alloc(size_t size_bytes)
{
	void *memory = calloc(1, size_bytes);

	if (!memory)
		out_of_memory();
	return memory;
}

void sim_timers_fini(struct sim_timers *timers)
{
	free(timers->heap);
}

static bool is_before(const struct sim_timer *a, const struct sim_timer *b)
{
	return a->at_ns != b->at_ns ? a->at_ns < b->at_ns : a->order < b->order;
}

static void place(struct sim_timers *timers, struct sim_timer *timer, size_t position)
{
	timers->heap[position] = timer;
	timer->position = position;
}

static void sift_up(struct sim_timers *timers, struct sim_timer *timer, size_t position)
{
	for (; position > 1 && is_before(timer, timers->heap[position / 2]); position /= 2)
		place(timers, timers->heap[position / 2], position);
	place(timers, timer, position);
}

static void sift_down(struct sim_timers *timers, struct sim_timer *timer, size_t position)
{
	size_t child;

	for (; (child = 2 * position) <= timers->count; position = child) {
		if (child < timers->count &&
		    is_before(timers->heap[child + 1], timers->heap[child]))
			child++;
		if (!is_before(timers->heap[child], timer))
			break;
		place(timers, timers->heap[child], position);
	}
	place(timers, timer, position);
}

void sim_timer_set(struct sim_timers *timers, struct sim_timer *timer, uint64_t at_ns)
{
	sim_timer_cancel(timers, timer);
	timer->at_ns = at_ns;
	timer->order = ++timers->last_order;
	if (timers->count + 2 > timers->room) {
		timers->room = timers->room ? 2 * timers->room : ROOM_FIRST;
		timers->heap = realloc(timers->heap, timers->room * sizeof(struct sim_timer *));
		if (!timers->heap)
			out_of_memory();
	}
	sift_up(timers, timer, ++timers->count);
}

void sim_timer_cancel(struct sim_timers *timers, struct sim_timer *timer)
{
	size_t position = timer->position;
	struct sim_timer *last;

	if (position == 0)
		return;
	timer->position = 0;
	last = timers->heap[timers->count--];
	if (last == timer)
		return;
	/* The last one fills the gap; it may belong above or below it. */
	if (position > 1 && is_before(last, timers->heap[position / 2]))
		sift_up(timers, last, position);
	else
		sift_down(timers, last, position);
}

struct sim_timer *sim_timers_first(const struct sim_timers *timers)
{
	return timers->count > 0 ? timers->heap[1] : NULL;
}
