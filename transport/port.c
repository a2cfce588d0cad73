/* SPDX-License-Identifier: Apache-2.0 */
/* port.c - see port.h. */
#include "transport/port.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

int port_init(struct port *port, struct arena *arena, uint32_t slot, int doorbell_fd,
              int (*doorbell_find)(uint32_t slot, void *ctx), void *ctx)
{
	int *doorbells = malloc(arena->max_processes * sizeof(*doorbells));

	if (!doorbells)
		return -ENOMEM;
	for (uint32_t i = 0; i < arena->max_processes; i++)
		doorbells[i] = -1;
	*port = (struct port){
	        .arena = arena,
	        .slot = slot,
	        .doorbell_fd = doorbell_fd,
	        .self = arena_proc(arena, slot),
	        .doorbells = doorbells,
	        .doorbell_find = doorbell_find,
	        .doorbell_ctx = ctx,
	};
	readyset_init(&port->ready, port->self->ready, arena->max_channels);
	return 0;
}

void port_fini(struct port *port)
{
	free(port->doorbells);
	port->doorbells = NULL;
}

static int doorbell_of(struct port *port, uint32_t slot)
{
	if (slot == port->slot)
		return port->doorbell_fd;
	if (port->doorbells[slot] < 0 && port->doorbell_find)
		port->doorbells[slot] = port->doorbell_find(slot, port->doorbell_ctx);
	return port->doorbells[slot];
}

static void ring(struct port *port, int doorbell_fd)
{
	uint64_t one = 1;

	/* EAGAIN: the counter is full, so the sleeper wakes anyway. */
	if (doorbell_fd < 0 || write(doorbell_fd, &one, sizeof(one)) < 0)
		return;
	counter_add(&port->self->wakeups_sent, 1);
}

/* Who cannot ring leaves it to others, who see that it still sleeps. */
static void wake(struct port *port, uint32_t slot)
{
	struct proc_shm *peer = arena_proc(port->arena, slot);
	int doorbell_fd = doorbell_of(port, slot);

	if (doorbell_fd >= 0 && atomic_exchange(&peer->sleeping, 0))
		ring(port, doorbell_fd);
}

void port_notify(struct port *port, const _Atomic uint32_t *slot_now, uint32_t chan_idx)
{
	struct proc_shm *peer;
	struct readyset ready;
	uint32_t slot;

	atomic_thread_fence(memory_order_seq_cst); /* the change before the looks below */
	slot = atomic_load(slot_now);
	/* A client may have scribbled over the slot number. */
	if (slot >= port->arena->max_processes)
		return;
	peer = arena_proc(port->arena, slot);
	readyset_init(&ready, peer->ready, port->arena->max_channels);
	readyset_mark(&ready, chan_idx);
	/* seq_cst: a relaxed load may pass mark's read-modify-writes on ARM */
	if (atomic_load(&peer->sleeping))
		wake(port, slot);
}

void port_notify_always(struct port *port, uint32_t slot, uint32_t chan_idx)
{
	struct readyset ready;

	if (slot >= port->arena->max_processes)
		return;
	readyset_init(&ready, arena_proc(port->arena, slot)->ready, port->arena->max_channels);
	atomic_thread_fence(memory_order_seq_cst);
	readyset_mark_always(&ready, chan_idx);
	atomic_store(&arena_proc(port->arena, slot)->sleeping, 0);
	ring(port, doorbell_of(port, slot));
}

void port_ring_all(struct port *port)
{
	for (uint32_t slot = 0; slot < port->arena->max_processes; slot++)
		if (atomic_load(&arena_proc(port->arena, slot)->state) == PROC_ATTACHED)
			ring(port, doorbell_of(port, slot));
}

bool port_try_sleep(struct port *port)
{
	atomic_store(&port->self->sleeping, 1);
	atomic_thread_fence(memory_order_seq_cst); /* saying so before the last look */
	if (!readyset_any(&port->ready))
		return true;
	atomic_store(&port->self->sleeping, 0);
	return false;
}

void port_wake_unrung(struct port *port)
{
	atomic_store(&port->self->sleeping, 0);
}

void port_wake(struct port *port)
{
	uint64_t count;

	port_wake_unrung(port);
	/* EAGAIN: something else woke us */
	if (read(port->doorbell_fd, &count, sizeof(count)) < 0)
		return;
}
