/* SPDX-License-Identifier: Apache-2.0 */
/*
 * slots.h - the process slots of the arena: the first are the pollers', the rest
 * go to processes. The slot that has been free for longest goes first: a ring
 * or a ready bit meant for who was in it last then rarely disturbs the next.
 */
#ifndef TRANSPORT_AGENT_SLOTS_H
#define TRANSPORT_AGENT_SLOTS_H

#include "transport/arena.h"

struct slots {
	struct arena *arena;  /* borrowed */
	uint32_t *free_slots; /* ring of max_processes */
	uint32_t free_first, free_count;
};

/* The slots behind the pollers' are free. -ENOMEM. */
int slots_init(struct slots *slots, struct arena *arena);
void slots_fini(struct slots *slots);

/* SLOT_NONE: all are taken. */
uint32_t slots_take(struct slots *slots);
void slots_give(struct slots *slots, uint32_t slot);

/* Make the shared part of a slot anew for a process, or for a poller. */
void slot_attach(struct arena *arena, uint32_t slot, uint32_t pid, uint32_t uid, const char *name);
void slot_detach(struct arena *arena, uint32_t slot);

#endif
