/* SPDX-License-Identifier: Apache-2.0 */
/* arena_create.c - make an arena; see arena.h. Where its memory comes from is in
 * arena_memory.c. Only the agent links this: clients need neither hwloc nor
 * libnuma. */
#include "transport/arena_layout.h"
#include "transport/arena_memory.h"
#include "transport/frame_pool.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void header_counts(const struct arena_config *config, struct arena_header_shm *header)
{
	header->magic = ARENA_MAGIC;
	header->layout_version = ARENA_LAYOUT_VERSION;
	header->counter_count = ARENA_COUNTERS;
	header->generation = config->generation;
	header->cluster = config->cluster;
	header->frame_bytes = config->frame_bytes;
	header->max_channels = config->max_channels;
	header->receive_frames = config->receive_frames;
	header->max_processes = config->max_processes;
	header->window_slots = config->window_slots;
	header->pollers = config->pollers;
}

uint64_t arena_size_min(const struct arena_config *config)
{
	struct arena_header_shm header = {0};
	uint64_t size_bytes;

	header_counts(config, &header);
	size_bytes = arena_frames_min(&header) * header.frame_bytes;
	/* the layout grows a little with the size, through the bitmaps */
	for (int i = 0; i < 4; i++) {
		arena_layout(&header, size_bytes);
		size_bytes = header.frames_offset + arena_frames_min(&header) * header.frame_bytes;
	}
	return size_bytes;
}

static void contents_init(struct arena *arena)
{
	arena_view_init(arena);
	for (uint32_t i = 0; i < arena->max_channels; i++) {
		atomic_store(&arena_chan(arena, i)->tx_slot, SLOT_NONE);
		atomic_store(&arena_chan(arena, i)->rx_slot, SLOT_NONE);
	}
	frame_pool_init(arena);
}

int arena_create(const struct arena_config *config, char *error, struct arena **ret_arena)
{
	struct arena_header_shm header = {0};
	struct arena *arena;
	int r;

	header_counts(config, &header);
	header.size_bytes = config->size_bytes;
	if (!arena_header_sane(&header)) {
		snprintf(error, ARENA_ERROR_BYTES, "arena: a size or count is out of range");
		return -EINVAL;
	}
	arena_layout(&header, config->size_bytes);
	if (header.frame_count < arena_frames_min(&header)) {
		snprintf(error, ARENA_ERROR_BYTES,
		         "arena: size %llu is too small: %u channels and %u receive frames of %u "
		         "bytes "
		         "need at least %llu",
		         (unsigned long long)config->size_bytes, config->max_channels,
		         config->receive_frames, config->frame_bytes,
		         (unsigned long long)arena_size_min(config));
		return -EINVAL;
	}
	arena = calloc(1, sizeof(*arena));
	if (!arena)
		return -ENOMEM;
	r = arena_memory_create(config, error, arena->note, &arena->fd, &arena->base,
	                        &header.page_bytes);
	if (r < 0) {
		free(arena);
		return r;
	}
	snprintf(header.node, sizeof(header.node), "%s", config->node);
	header.agent_pid = (int32_t)getpid();
	arena->size_bytes = config->size_bytes;
	arena->header = (struct arena_header_shm *)(void *)arena->base;
	memcpy(arena->base, &header, sizeof(header));
	contents_init(arena);
	*ret_arena = arena;
	return 0;
}
