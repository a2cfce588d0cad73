/* SPDX-License-Identifier: Apache-2.0 */
/*
 * port.h - one member of an arena: an attached process, or a poller of the
 * agent. It has a process slot, a ready set, a doorbell to sleep on, and the
 * doorbells of those it may have to wake.
 *
 * No wake-up is lost: a publisher changes the channel, fences, marks the ready
 * bit, then looks at `sleeping`; a sleeper sets `sleeping`, fences, then looks
 * at the ready set. One of them sees the other. A publisher killed after it
 * cleared `sleeping` and before it rang is repaired by the agent, which rings
 * every neighbour of a dead process whatever `sleeping` says.
 */
#ifndef TRANSPORT_PORT_H
#define TRANSPORT_PORT_H

#include "transport/arena.h"
#include "transport/readyset.h"

struct port {
	struct arena *arena; /* borrowed */
	uint32_t slot;
	int doorbell_fd; /* own eventfd; borrowed */
	struct proc_shm *self;
	struct readyset ready;
	int *doorbells; /* by slot; -1: not known yet. Owned array, borrowed fds. */
	/* The doorbell of a slot that is not known yet, for good; -1: nobody was there. */
	int (*doorbell_find)(uint32_t slot, void *ctx);
	void *doorbell_ctx;
};

/* -ENOMEM. arena and doorbell_fd are borrowed until port_fini. */
int port_init(struct port *port, struct arena *arena, uint32_t slot, int doorbell_fd,
              int (*doorbell_find)(uint32_t slot, void *ctx), void *ctx);
void port_fini(struct port *port);

/* Tell the process whose slot is in *slot, if there is one, that something
 * happened on channel chan_idx; the caller has made the change visible with a
 * release store and not yet fenced. *slot is read after the fence: who sees no
 * slot yet is seen by the agent's ring when it writes one (tests/model/join.pml). */
void port_notify(struct port *port, const _Atomic uint32_t *slot, uint32_t chan_idx);

/* As port_notify, ringing whether or not the process says it sleeps. Agent. */
void port_notify_always(struct port *port, uint32_t slot, uint32_t chan_idx);

/* Wake every process there is: one that was killed may have cleared somebody's
 * `sleeping` and not rung. Agent. */
void port_ring_all(struct port *port);

/* Begin to sleep: true if nothing is marked and the caller may block on
 * doorbell_fd; then it calls port_wake() when it has woken. */
bool port_try_sleep(struct port *port);
/* Wake: clears `sleeping` and drains the doorbell. */
void port_wake(struct port *port);
/* The same by who knows that the doorbell was not rung: one system call less. Should
 * it ring just now, the next sleep ends at once. */
void port_wake_unrung(struct port *port);

#endif
