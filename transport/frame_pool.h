/* SPDX-License-Identifier: Apache-2.0 */
/*
 * frame_pool.h - take free frames and give them back. See arena_shm.h for
 * owners; every function leaves each frame with exactly one, whenever the
 * process is killed.
 */
#ifndef TRANSPORT_FRAME_POOL_H
#define TRANSPORT_FRAME_POOL_H

#include "transport/arena.h"

#define FRAME_NONE UINT32_MAX

/* Mark every frame free (home frames: at home). Agent, before clients attach. */
void frame_pool_init(const struct arena *arena);

/* Take a shared frame for process slot: from its cache, the bitmap, or, when
 * both are empty, another process's cache. FRAME_NONE: none is free. Owner is
 * then HELD(slot). */
uint32_t frame_pool_take(const struct arena *arena, uint32_t slot);

/* Take the home frame of a channel, if it is at home; only its sender may. */
bool frame_pool_take_home(const struct arena *arena, uint32_t chan_idx, uint32_t slot);

/* Take a receive frame; only pollers may. */
uint32_t frame_pool_take_receive(const struct arena *arena, uint32_t slot);

/* Give back a frame HELD(slot), wherever it belongs: home, receive frames, the
 * slot's cache or the shared bitmap. */
void frame_pool_give(const struct arena *arena, uint32_t slot, uint32_t frame_idx);

/* Give the cache of a process back to the bitmap (detach). */
void frame_pool_flush_cache(const struct arena *arena, uint32_t slot);

/* For the agent. Free what a process held that was seen dead, while the entries
 * of its channels still name it as their sender (that is how a frame is found that
 * it marked as queued and never published); and what lies in the ring of a channel
 * that is closed on both sides. Return how many. */
uint32_t frame_pool_reclaim_process(const struct arena *arena, uint32_t slot);
uint32_t frame_pool_reclaim_channel(const struct arena *arena, uint32_t chan_idx);

struct frame_pool_counts {
	uint32_t free, cached, held, queued, home; /* of all frames, by owner state */
	uint32_t shared_free, receive_free;        /* of these regions */
};
/* A walk over all frames: exact only when nothing moves. */
void frame_pool_count(const struct arena *arena, struct frame_pool_counts *ret_counts);

#endif
