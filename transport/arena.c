/* SPDX-License-Identifier: Apache-2.0 */
/* arena.c - see arena.h: the layout, and mapping what the agent made. */
#include "transport/arena_layout.h"
#include "transport/readyset.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static uint64_t align_up(uint64_t value, uint64_t to)
{
	return (value + to - 1) / to * to;
}

void arena_layout(struct arena_header_shm *header, uint64_t size_bytes)
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

uint64_t arena_frames_min(const struct arena_header_shm *header)
{
	return (uint64_t)header->max_channels + header->receive_frames + 1;
}

static bool power_of_two(uint64_t value)
{
	return value && !(value & (value - 1));
}

bool arena_header_sane(const struct arena_header_shm *header)
{
	return power_of_two(header->frame_bytes) && header->frame_bytes >= 4096 &&
	       header->frame_bytes <= (16u << 20) && power_of_two(header->window_slots) &&
	       header->window_slots <= 65536 && header->max_channels &&
	       header->max_channels <= (1u << 20) && header->receive_frames <= (1u << 24) &&
	       header->max_processes > header->pollers && header->max_processes <= 131072 &&
	       header->size_bytes <= (UINT64_C(1) << 46);
}

void arena_view_init(struct arena *arena)
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
	if (!arena_header_sane(header) || header->size_bytes > mapped_bytes)
		return -EBADMSG;
	expected = *header;
	arena_layout(&expected, header->size_bytes);
	if (expected.procs_offset != header->procs_offset ||
	    expected.chans_offset != header->chans_offset ||
	    expected.proc_stride_bytes != header->proc_stride_bytes ||
	    expected.chan_stride_bytes != header->chan_stride_bytes ||
	    expected.shared_free_offset != header->shared_free_offset ||
	    expected.receive_free_offset != header->receive_free_offset ||
	    expected.frames_offset != header->frames_offset ||
	    expected.frame_count != header->frame_count ||
	    header->frame_count < arena_frames_min(header))
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
	arena_view_init(arena);
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
