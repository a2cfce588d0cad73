/* SPDX-License-Identifier: Apache-2.0 */
/*
 * arena.h - make the arena (agent) or map it (clients), and find things in it.
 * The memory is a sealed memfd, faulted in whole before anyone uses it: a start
 * that lacks memory fails with words, a run never gets SIGBUS.
 */
#ifndef TRANSPORT_ARENA_H
#define TRANSPORT_ARENA_H

#include "transport/arena_shm.h"

#include <stdbool.h>

enum arena_hugepages { ARENA_HUGEPAGES_AUTO, ARENA_HUGEPAGES_ALWAYS, ARENA_HUGEPAGES_NEVER };
#define ARENA_NUMA_AUTO (-1) /* the node of the network device, if there is one */
#define ARENA_NUMA_OFF  (-2)

struct arena_config {
	uint64_t cluster;
	uint64_t generation;
	const char *node; /* this host's name in the cluster */
	uint64_t size_bytes;
	uint32_t frame_bytes; /* power of two, 4 KiB .. 16 MiB */
	uint32_t max_channels;
	uint32_t receive_frames;
	uint32_t max_processes;
	uint32_t window_slots; /* power of two */
	uint32_t pollers;
	enum arena_hugepages hugepages;
	int numa_node;          /* a node, ARENA_NUMA_AUTO or ARENA_NUMA_OFF */
	const char *net_device; /* for ARENA_NUMA_AUTO: e.g. "eth0"; NULL: unknown */
};

/* What frames in motion may take of the cache that the cores of a host share,
 * about a quarter of it on the servers of the day: rows that leave it between
 * writer and reader go by way of memory. Measured, see docs/decisions/0007. */
#define ARENA_CACHE_BYTES (UINT32_C(8) << 20)

#define ARENA_ERROR_BYTES 256u

/* A process's view. Read-only after arena_create/arena_map: share it freely. */
struct arena {
	uint8_t *base;
	size_t size_bytes;
	int fd; /* agent: the memfd; client: -1 */
	struct arena_header_shm *header;
	uint8_t *procs, *chans, *frames;
	_Atomic uint64_t *shared_free, *receive_free;
	/* copies of the header's, so that a stray write there does no harm here */
	uint32_t frame_bytes, frame_shift, frame_count, frame_capacity;
	uint32_t max_channels, receive_frames, max_processes, window_slots, pollers;
	size_t proc_stride_bytes, chan_stride_bytes;
	uint64_t generation;
	char note[ARENA_ERROR_BYTES]; /* agent: what was chosen, e.g. "no hugepages: ..." */
};

/* Smallest size_bytes for which arena_create() would accept config, whose
 * frame_bytes is not 0. */
uint64_t arena_size_min(const struct arena_config *config);

/* Make and fault in an arena, all frames free. *ret_arena is returned owned.
 * -EINVAL, -ENOMEM (not enough memory or hugepages), -ENODEV (NUMA node), with
 * words in error (ARENA_ERROR_BYTES). */
int arena_create(const struct arena_config *config, char *error, struct arena **ret_arena);

/* Map the arena behind fd (borrowed), for reading only unless writable. Checks
 * the header against the size of fd.
 * -EPROTONOSUPPORT: another layout; -EBADMSG: not a sane arena; -ENOMEM. */
int arena_map(int fd, bool writable, struct arena **ret_arena);

/* Takes arena: unmaps, closes. */
void arena_destroy(struct arena *arena);

static inline struct frame_shm *arena_frame(const struct arena *arena, uint32_t frame_idx)
{
	return (struct frame_shm *)(void *)(arena->frames +
	                                    ((size_t)frame_idx << arena->frame_shift));
}

/* Index of the frame that contains a pointer into the frame region. */
static inline uint32_t arena_frame_idx(const struct arena *arena, const void *inside)
{
	return (uint32_t)((size_t)((const uint8_t *)inside - arena->frames) >> arena->frame_shift);
}

static inline struct chan_shm *arena_chan(const struct arena *arena, uint32_t chan_idx)
{
	return (struct chan_shm *)(void *)(arena->chans + chan_idx * arena->chan_stride_bytes);
}

static inline struct proc_shm *arena_proc(const struct arena *arena, uint32_t slot)
{
	return (struct proc_shm *)(void *)(arena->procs + slot * arena->proc_stride_bytes);
}

/* Add to a counter in shared memory that only the caller writes, so without a
 * locked add. relaxed: readers want a recent value only. */
static inline void counter_add(_Atomic uint64_t *counter, uint64_t n)
{
	atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n,
	                      memory_order_relaxed);
}

static inline void arena_count(const struct arena *arena, enum arena_counter counter, uint64_t n)
{
	counter_add(&arena->header->counters[counter], n);
}

static inline void arena_count_set(const struct arena *arena, enum arena_counter counter,
                                   uint64_t n)
{
	atomic_store_explicit(&arena->header->counters[counter], n, memory_order_relaxed);
}

#endif
