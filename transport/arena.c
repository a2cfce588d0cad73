/* SPDX-License-Identifier: Apache-2.0 */
/* arena.c - see arena.h: layout, memory, mapping. Where the memory comes from
 * is in arena_memory.c. */
#include "transport/arena.h"

#include "transport/arena_memory.h"
#include "transport/frame_pool.h"
#include "transport/readyset.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static uint64_t align_up(uint64_t value, uint64_t to)
{
	return (value + to - 1) / to * to;
}

/* Fills the sizes and offsets of a header that has the counts. */
static void layout(struct arena_header_shm *header, uint64_t size_bytes)
{
	uint64_t at = align_up(sizeof(*header), ARENA_CACHE_LINE);
	/* as if all memory were frames: a bit too many costs nothing */
	uint64_t bitmap_bytes =
	        align_up(size_bytes / header->frame_bytes / 8 + 8, ARENA_CACHE_LINE);

	header->size_bytes = size_bytes;
	header->procs_offset = at;
	header->proc_stride_bytes =
	        align_up(sizeof(struct proc_shm) + readyset_size_bytes(header->max_channels),
	                 ARENA_CACHE_LINE);
	at += header->proc_stride_bytes * header->max_processes;
	header->chans_offset = at;
	header->chan_stride_bytes =
	        align_up(sizeof(struct chan_shm) + header->window_slots * sizeof(uint64_t),
	                 ARENA_CACHE_LINE);
	at += header->chan_stride_bytes * header->max_channels;
	header->shared_free_offset = at;
	at += bitmap_bytes;
	header->receive_free_offset = at;
	at += bitmap_bytes;
	header->frames_offset = align_up(at, header->frame_bytes);
	header->frame_count =
	        size_bytes > header->frames_offset
	                ? (uint32_t)((size_bytes - header->frames_offset) / header->frame_bytes)
	                : 0;
}

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

static uint64_t frames_min(const struct arena_header_shm *header)
{
	return (uint64_t)header->max_channels + header->receive_frames + 1;
}

uint64_t arena_size_min(const struct arena_config *config)
{
	struct arena_header_shm header = {0};
	uint64_t size_bytes;

	header_counts(config, &header);
	size_bytes = frames_min(&header) * header.frame_bytes;
	/* the layout grows a little with the size, through the bitmaps */
	for (int i = 0; i < 4; i++) {
		layout(&header, size_bytes);
		size_bytes = header.frames_offset + frames_min(&header) * header.frame_bytes;
	}
	return size_bytes;
}

static bool power_of_two(uint64_t value)
{
	return value && !(value & (value - 1));
}

/* Limits that keep every product above below 2^63 and every id in its bits. */
static bool header_sane(const struct arena_header_shm *header)
{
	return power_of_two(header->frame_bytes) && header->frame_bytes >= 4096 &&
	       header->frame_bytes <= (16u << 20) && power_of_two(header->window_slots) &&
	       header->window_slots <= 65536 && header->max_channels &&
	       header->max_channels <= (1u << 20) && header->receive_frames <= (1u << 24) &&
	       header->max_processes > header->pollers && header->max_processes <= 65536 &&
	       header->size_bytes <= (UINT64_C(1) << 46);
}

static void view_init(struct arena *arena)
{
	struct arena_header_shm *header = arena->header;

	arena->procs = arena->base + header->procs_offset;
	arena->chans = arena->base + header->chans_offset;
	arena->frames = arena->base + header->frames_offset;
	arena->shared_free = (_Atomic uint64_t *)(void *)(arena->base + header->shared_free_offset);
	arena->receive_free =
	        (_Atomic uint64_t *)(void *)(arena->base + header->receive_free_offset);
	arena->frame_bytes = header->frame_bytes;
	arena->frame_shift = (uint32_t)__builtin_ctz(header->frame_bytes);
	arena->frame_count = header->frame_count;
	arena->frame_capacity = header->frame_bytes - FRAME_HEADER_BYTES;
	arena->max_channels = header->max_channels;
	arena->receive_frames = header->receive_frames;
	arena->max_processes = header->max_processes;
	arena->window_slots = header->window_slots;
	arena->pollers = header->pollers;
	arena->proc_stride_bytes = header->proc_stride_bytes;
	arena->chan_stride_bytes = header->chan_stride_bytes;
	arena->generation = header->generation;
}

static void contents_init(struct arena *arena)
{
	view_init(arena);
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
	if (!header_sane(&header)) {
		snprintf(error, ARENA_ERROR_BYTES, "arena: a size or count is out of range");
		return -EINVAL;
	}
	layout(&header, config->size_bytes);
	if (header.frame_count < frames_min(&header)) {
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

/* The header as another process wrote it: believe nothing that would lead a
 * pointer out of the mapping. */
static int header_check(const struct arena_header_shm *header, uint64_t mapped_bytes)
{
	struct arena_header_shm expected;

	if (header->magic != ARENA_MAGIC)
		return -EBADMSG;
	if (header->layout_version != ARENA_LAYOUT_VERSION ||
	    header->counter_count != ARENA_COUNTERS)
		return -EPROTONOSUPPORT;
	if (!header_sane(header) || header->size_bytes > mapped_bytes)
		return -EBADMSG;
	expected = *header;
	layout(&expected, header->size_bytes);
	if (expected.procs_offset != header->procs_offset ||
	    expected.chans_offset != header->chans_offset ||
	    expected.proc_stride_bytes != header->proc_stride_bytes ||
	    expected.chan_stride_bytes != header->chan_stride_bytes ||
	    expected.shared_free_offset != header->shared_free_offset ||
	    expected.receive_free_offset != header->receive_free_offset ||
	    expected.frames_offset != header->frames_offset ||
	    expected.frame_count != header->frame_count || header->frame_count < frames_min(header))
		return -EBADMSG;
	return 0;
}

int arena_map(int fd, bool writable, struct arena **ret_arena)
{
	struct arena *arena;
	struct stat st;
	int prot = PROT_READ | (writable ? PROT_WRITE : 0);
	int r;

	if (fstat(fd, &st) < 0)
		return -errno;
	if ((size_t)st.st_size < sizeof(struct arena_header_shm))
		return -EBADMSG;
	arena = calloc(1, sizeof(*arena));
	if (!arena)
		return -ENOMEM;
	arena->fd = -1;
	arena->size_bytes = (size_t)st.st_size;
	/* The pages are there; populate makes the page tables now, not tuple by tuple. */
	arena->base = mmap(NULL, arena->size_bytes, prot, MAP_SHARED | MAP_POPULATE, fd, 0);
	if (arena->base == MAP_FAILED) {
		r = -errno;
		free(arena);
		return r;
	}
	arena->header = (struct arena_header_shm *)(void *)arena->base;
	r = header_check(arena->header, arena->size_bytes);
	if (r < 0) {
		munmap(arena->base, arena->size_bytes);
		free(arena);
		return r;
	}
	/* A core dump of an executor should not carry everybody's tuples. */
	madvise(arena->base, arena->size_bytes, MADV_DONTDUMP);
	view_init(arena);
	*ret_arena = arena;
	return 0;
}

void arena_destroy(struct arena *arena)
{
	if (!arena)
		return;
	munmap(arena->base, arena->size_bytes);
	if (arena->fd >= 0)
		close(arena->fd);
	free(arena);
}
