/* SPDX-License-Identifier: Apache-2.0 */
/* frame_pool.c - see frame_pool.h, and arena_shm.h for the owner word. */
#include "transport/frame_pool.h"

/* A region of frames with a bitmap of where free ones may be. */
struct region {
	_Atomic uint64_t *bitmap;
	uint32_t first;
	uint32_t count;
};

static struct region shared_region(const struct arena *arena)
{
	uint32_t first = arena->max_channels + arena->receive_frames;

	return (struct region){arena->shared_free, first, arena->frame_count - first};
}

static struct region receive_region(const struct arena *arena)
{
	return (struct region){arena->receive_free, arena->max_channels, arena->receive_frames};
}

static _Atomic uint32_t *owner_of(const struct arena *arena, uint32_t frame_idx)
{
	return &arena_frame(arena, frame_idx)->owner;
}

/* acquire: what the last holder did to the frame is over; pairs with the
 * release of every store of an owner word. */
static bool owner_change(_Atomic uint32_t *owner, uint32_t from, uint32_t to)
{
	return atomic_compare_exchange_strong_explicit(owner, &from, to, memory_order_acq_rel,
	                                               memory_order_relaxed);
}

static void region_mark(const struct region *region, uint32_t frame_idx)
{
	uint32_t bit = frame_idx - region->first;

	atomic_fetch_or_explicit(&region->bitmap[bit / 64], UINT64_C(1) << (bit % 64),
	                         memory_order_release);
}

static void region_free(const struct arena *arena, const struct region *region, uint32_t frame_idx)
{
	atomic_store_explicit(owner_of(arena, frame_idx), FRAME_OWNER(FRAME_FREE, 0),
	                      memory_order_release);
	region_mark(region, frame_idx);
}

/* A frame among the marked bits of one word that mask lets through. */
static uint32_t word_take(const struct arena *arena, const struct region *region, uint32_t word,
                          uint64_t mask, uint32_t slot)
{
	_Atomic uint64_t *bitmap = &region->bitmap[word];
	uint64_t bits;

	/* relaxed: a hint; the owner word decides */
	while ((bits = atomic_load_explicit(bitmap, memory_order_relaxed) & mask)) {
		uint32_t bit = (uint32_t)__builtin_ctzll(bits);
		uint64_t taken = UINT64_C(1) << bit;
		uint32_t frame_idx = region->first + word * 64 + bit;

		if (!(atomic_fetch_and_explicit(bitmap, ~taken, memory_order_acquire) & taken))
			continue;
		if (frame_idx < region->first + region->count &&
		    owner_change(owner_of(arena, frame_idx), FRAME_OWNER(FRAME_FREE, 0),
		                 FRAME_OWNER(FRAME_HELD, slot)))
			return frame_idx;
	}
	return FRAME_NONE;
}

/*
 * Round and round through the first ARENA_CACHE_BYTES: a frame just read lies in the
 * private cache of the reader's core, from where it is slow to get back; after a
 * rotation it has moved to the cache that all cores share. Not through the whole
 * region: that would go by way of memory. (Writing and reading 64 KiB frames from
 * two cores was two to three times as fast so than with the lowest free frame.)
 */
static uint32_t region_take(const struct arena *arena, const struct region *region, uint32_t slot)
{
	/* relaxed: a hint of the slot's own */
	_Atomic uint32_t *rotor = &arena_proc(arena, slot)->rotor;
	uint32_t bit = atomic_load_explicit(rotor, memory_order_relaxed);
	uint32_t words = (region->count + 63) / 64;
	uint32_t rotation = ARENA_CACHE_BYTES / arena->frame_bytes / 64;
	uint32_t frame_idx = FRAME_NONE;

	rotation = rotation < 1 ? 1 : rotation;
	rotation = rotation < words ? rotation : words;
	bit %= rotation * 64;
	/* the rest of a word, the other words, and what of the first was left out */
	for (uint32_t i = 0; frame_idx == FRAME_NONE && i <= rotation; i++)
		frame_idx = word_take(arena, region, (bit / 64 + i) % rotation,
		                      i ? UINT64_MAX : UINT64_MAX << bit % 64, slot);
	if (frame_idx != FRAME_NONE)
		atomic_store_explicit(rotor, frame_idx - region->first + 1, memory_order_relaxed);
	for (uint32_t w = rotation; frame_idx == FRAME_NONE && w < words; w++)
		frame_idx = word_take(arena, region, w, UINT64_MAX, slot);
	return frame_idx;
}

/* From the cache of process `from`, which may be the taker itself. */
static uint32_t cache_take(const struct arena *arena, uint32_t from, uint32_t slot)
{
	_Atomic uint32_t *cache = arena_proc(arena, from)->cache;

	for (uint32_t i = PROC_CACHE_FRAMES; i-- > 0;) {
		uint32_t entry;

		if (!atomic_load_explicit(&cache[i], memory_order_relaxed))
			continue;
		entry = atomic_exchange_explicit(&cache[i], 0, memory_order_acq_rel);
		if (entry && entry <= arena->frame_count &&
		    owner_change(owner_of(arena, entry - 1), FRAME_OWNER(FRAME_CACHED, from),
		                 FRAME_OWNER(FRAME_HELD, slot)))
			return entry - 1;
	}
	return FRAME_NONE;
}

static bool cache_give(const struct arena *arena, uint32_t slot, uint32_t frame_idx)
{
	_Atomic uint32_t *cache = arena_proc(arena, slot)->cache;

	for (uint32_t i = 0; i < PROC_CACHE_FRAMES; i++) {
		/* relaxed: only the owner makes an entry non-zero */
		if (atomic_load_explicit(&cache[i], memory_order_relaxed))
			continue;
		atomic_store_explicit(owner_of(arena, frame_idx), FRAME_OWNER(FRAME_CACHED, slot),
		                      memory_order_release);
		atomic_store_explicit(&cache[i], frame_idx + 1, memory_order_release);
		return true;
	}
	return false;
}

void frame_pool_init(const struct arena *arena)
{
	const struct region regions[] = {receive_region(arena), shared_region(arena)};

	for (uint32_t i = 0; i < arena->max_channels; i++)
		atomic_store(owner_of(arena, i), FRAME_OWNER(FRAME_HOME, i));
	for (size_t r = 0; r < 2; r++)
		for (uint32_t i = 0; i < regions[r].count; i++)
			region_free(arena, &regions[r], regions[r].first + i);
}

uint32_t frame_pool_take(const struct arena *arena, uint32_t slot)
{
	struct region region = shared_region(arena);
	uint32_t frame_idx = cache_take(arena, slot, slot);

	if (frame_idx == FRAME_NONE)
		frame_idx = region_take(arena, &region, slot);
	for (uint32_t other = 0; frame_idx == FRAME_NONE && other < arena->max_processes; other++)
		frame_idx = cache_take(arena, other, slot);
	return frame_idx;
}

bool frame_pool_take_home(const struct arena *arena, uint32_t chan_idx, uint32_t slot)
{
	return owner_change(owner_of(arena, chan_idx), FRAME_OWNER(FRAME_HOME, chan_idx),
	                    FRAME_OWNER(FRAME_HELD, slot));
}

uint32_t frame_pool_take_receive(const struct arena *arena, uint32_t slot)
{
	struct region region = receive_region(arena);

	return region_take(arena, &region, slot);
}

/* To where the frame belongs, past the caches. */
static void give_back(const struct arena *arena, uint32_t frame_idx)
{
	struct region region = receive_region(arena);

	if (frame_idx < arena->max_channels) {
		atomic_store_explicit(owner_of(arena, frame_idx),
		                      FRAME_OWNER(FRAME_HOME, frame_idx), memory_order_release);
		return;
	}
	if (frame_idx >= region.first + region.count)
		region = shared_region(arena);
	region_free(arena, &region, frame_idx);
}

void frame_pool_give(const struct arena *arena, uint32_t slot, uint32_t frame_idx)
{
	if (frame_idx < arena->max_channels + arena->receive_frames ||
	    !cache_give(arena, slot, frame_idx))
		give_back(arena, frame_idx);
}

void frame_pool_flush_cache(const struct arena *arena, uint32_t slot)
{
	uint32_t frame_idx;

	while ((frame_idx = cache_take(arena, slot, slot)) != FRAME_NONE)
		give_back(arena, frame_idx);
}

static bool ring_holds(const struct arena *arena, uint32_t chan_idx, uint32_t frame_idx)
{
	const struct chan_shm *chan = arena_chan(arena, chan_idx);

	for (uint32_t i = 0; i < arena->window_slots; i++) {
		uint64_t entry = atomic_load_explicit(&chan->slots[i], memory_order_acquire);

		if (entry && (uint32_t)entry == frame_idx)
			return true;
	}
	return false;
}

/* A sender marks a frame QUEUED and then publishes it; one killed in between
 * leaves it in no ring. */
static bool queued_by_dead_sender(const struct arena *arena, uint32_t slot, uint32_t owner,
                                  uint32_t frame_idx)
{
	uint32_t chan_idx = FRAME_ID(owner);

	return chan_idx < arena->max_channels &&
	       atomic_load(&arena_chan(arena, chan_idx)->tx_slot) == slot &&
	       !ring_holds(arena, chan_idx, frame_idx);
}

uint32_t frame_pool_reclaim_process(const struct arena *arena, uint32_t slot)
{
	uint32_t reclaimed = 0;

	/* The dead may have taken a cache entry or a bit and not yet the frame, of
	 * anybody: so caches are emptied and bits set for all. Both are hints, a
	 * live process that loses one looks elsewhere. */
	for (uint32_t i = 0; i < arena->frame_count; i++) {
		uint32_t owner = atomic_load_explicit(owner_of(arena, i), memory_order_acquire);
		bool lost = false;

		switch (FRAME_STATE(owner)) {
		case FRAME_HELD:
			lost = FRAME_ID(owner) == slot;
			break;
		case FRAME_QUEUED:
			lost = queued_by_dead_sender(arena, slot, owner, i);
			break;
		case FRAME_CACHED:
			if (owner_change(owner_of(arena, i), owner, FRAME_OWNER(FRAME_HELD, slot)))
				give_back(arena, i);
			break;
		case FRAME_FREE:
			if (i >= arena->max_channels) {
				struct region region =
				        i < arena->max_channels + arena->receive_frames
				                ? receive_region(arena)
				                : shared_region(arena);
				region_mark(&region, i);
			}
			break;
		default:
			break;
		}
		if (lost) {
			give_back(arena, i);
			reclaimed++;
		}
	}
	return reclaimed;
}

uint32_t frame_pool_reclaim_channel(const struct arena *arena, uint32_t chan_idx)
{
	struct chan_shm *chan = arena_chan(arena, chan_idx);
	uint32_t reclaimed = 0;

	for (uint32_t i = 0; i < arena->window_slots; i++) {
		uint64_t entry = atomic_load_explicit(&chan->slots[i], memory_order_acquire);
		uint32_t frame_idx = (uint32_t)entry;

		if (!entry || frame_idx >= arena->frame_count ||
		    atomic_load(owner_of(arena, frame_idx)) != FRAME_OWNER(FRAME_QUEUED, chan_idx))
			continue;
		give_back(arena, frame_idx);
		reclaimed++;
	}
	return reclaimed;
}

void frame_pool_count(const struct arena *arena, struct frame_pool_counts *ret_counts)
{
	struct frame_pool_counts counts = {0};

	for (uint32_t i = 0; i < arena->frame_count; i++) {
		uint32_t state = FRAME_STATE(atomic_load(owner_of(arena, i)));

		counts.free += state == FRAME_FREE;
		counts.cached += state == FRAME_CACHED;
		counts.held += state == FRAME_HELD;
		counts.queued += state == FRAME_QUEUED;
		counts.home += state == FRAME_HOME;
		if (state != FRAME_FREE)
			continue;
		if (i >= arena->max_channels + arena->receive_frames)
			counts.shared_free++;
		else if (i >= arena->max_channels)
			counts.receive_free++;
	}
	*ret_counts = counts;
}
