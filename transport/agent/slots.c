/* SPDX-License-Identifier: Apache-2.0 */
/* slots.c - see slots.h. */
#include "transport/agent/slots.h"

#include "transport/readyset.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

int slots_init(struct slots *slots, struct arena *arena)
{
	*slots = (struct slots){
	        .arena = arena,
	        .free_slots = malloc(arena->max_processes * sizeof(*slots->free_slots)),
	};
	if (!slots->free_slots)
		return -ENOMEM;
	for (uint32_t slot = arena->pollers; slot < arena->max_processes; slot++)
		slots->free_slots[slots->free_count++] = slot;
	return 0;
}

void slots_fini(struct slots *slots)
{
	free(slots->free_slots);
	slots->free_slots = NULL;
}

uint32_t slots_take(struct slots *slots)
{
	uint32_t slot;

	if (slots->free_count == 0)
		return SLOT_NONE;
	slot = slots->free_slots[slots->free_first];
	slots->free_first = (slots->free_first + 1) % slots->arena->max_processes;
	slots->free_count--;
	return slot;
}

void slots_give(struct slots *slots, uint32_t slot)
{
	uint32_t end = (slots->free_first + slots->free_count) % slots->arena->max_processes;

	slots->free_slots[end] = slot;
	slots->free_count++;
}

void slot_attach(struct arena *arena, uint32_t slot, uint32_t pid, uint32_t uid, const char *name)
{
	struct proc_shm *proc = arena_proc(arena, slot);
	size_t ready_words = readyset_size_bytes(arena->max_channels) / sizeof(uint64_t);

	proc->pid = pid;
	proc->uid = uid;
	snprintf(proc->name, sizeof(proc->name), "%s", name);
	atomic_store(&proc->sleeping, 0);
	atomic_store(&proc->spins, 0);
	atomic_store(&proc->sleeps, 0);
	atomic_store(&proc->wakeups_sent, 0);
	/* A late publisher may mark a bit for the last process: a look too many. */
	for (size_t i = 0; i < ready_words; i++)
		atomic_store_explicit(&proc->ready[i], 0, memory_order_relaxed);
	atomic_store_explicit(&proc->state, PROC_ATTACHED, memory_order_release);
}

void slot_detach(struct arena *arena, uint32_t slot)
{
	atomic_store_explicit(&arena_proc(arena, slot)->state, PROC_FREE, memory_order_release);
}
