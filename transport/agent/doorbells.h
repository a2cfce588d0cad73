/* SPDX-License-Identifier: Apache-2.0 */
/*
 * doorbells.h - one eventfd per process slot, for as long as the agent lives.
 * Whoever once learnt a slot's doorbell may keep it: it wakes whoever is in the
 * slot now, and a ring meant for the last one is a wake-up too many. With a
 * doorbell per process, a notifier that was slow between reading the slot and
 * ringing would ring the dead and leave the living asleep (tests/model/slots.pml).
 *
 * Threads: the conductor makes them, all threads of the agent find them.
 */
#ifndef TRANSPORT_AGENT_DOORBELLS_H
#define TRANSPORT_AGENT_DOORBELLS_H

#include <stdatomic.h>
#include <stdint.h>

struct doorbells {
	_Atomic int *fds; /* by slot; -1: nobody was there yet */
	uint32_t count;
};

int doorbells_init(struct doorbells *doorbells, uint32_t slot_count); /* -ENOMEM */
void doorbells_fini(struct doorbells *doorbells);

/* The doorbell of a slot, made if need be; borrowed. -EMFILE, -ENFILE, -ENOMEM. */
int doorbells_make(struct doorbells *doorbells, uint32_t slot);

/* For port.h: that of a slot; -1: there is none. ctx: the doorbells. */
int doorbells_find(uint32_t slot, void *ctx);

#endif
