/* SPDX-License-Identifier: Apache-2.0 */
/* arena_fixture.c - see arena_fixture.h. */
#include "tests/unit/arena_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

static int doorbell_find(uint32_t slot, void *ctx)
{
	struct arena_fixture *fixture = ctx;

	return slot >= 1 && slot <= FIXTURE_PORTS ? fixture->doorbells[slot - 1] : -1;
}

void arena_fixture_start(struct arena_fixture *fixture, const struct arena_fixture_config *config)
{
	struct arena_config arena_config = {
	        .cluster = 7,
	        .generation = 1,
	        .node = "test",
	        .frame_bytes = config->frame_bytes,
	        .max_channels = config->max_channels,
	        .receive_frames = 4,
	        .max_processes = FIXTURE_PORTS + 1,
	        .window_slots = config->window_slots,
	        .pollers = 1,
	        .hugepages = ARENA_HUGEPAGES_NEVER,
	        .numa_node = ARENA_NUMA_OFF,
	};
	char error[ARENA_ERROR_BYTES];

	arena_config.size_bytes = arena_size_min(&arena_config) +
	                          (uint64_t)(config->shared_frames - 1) * config->frame_bytes;
	if (arena_create(&arena_config, error, &fixture->arena) < 0) {
		fprintf(stderr, "%s\n", error);
		abort();
	}
	for (uint32_t i = 0; i < FIXTURE_PORTS; i++) {
		fixture->doorbells[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
		if (fixture->doorbells[i] < 0 ||
		    port_init(&fixture->ports[i], fixture->arena, i + 1, fixture->doorbells[i],
		              doorbell_find, fixture) < 0)
			abort();
	}
}

void arena_fixture_stop(struct arena_fixture *fixture)
{
	for (uint32_t i = 0; i < FIXTURE_PORTS; i++) {
		port_fini(&fixture->ports[i]);
		close(fixture->doorbells[i]);
	}
	arena_destroy(fixture->arena);
}

void arena_fixture_open(struct arena_fixture *fixture, uint32_t chan_idx, uint32_t sender,
                        uint32_t receiver)
{
	struct chan_shm *shm = arena_chan(fixture->arena, chan_idx);
	uint32_t window = fixture->arena->window_slots;

	atomic_store(&shm->limit_pos, window < CHAN_WINDOW_INITIAL ? window : CHAN_WINDOW_INITIAL);
	atomic_store(&shm->tx_slot, fixture->ports[sender].slot);
	atomic_store(&shm->rx_slot, fixture->ports[receiver].slot);
	atomic_store(&shm->state, CHAN_OPEN);
	atomic_fetch_add(&fixture->arena->header->channels_open, 1);
}

bool arena_fixture_full(const struct arena_fixture *fixture)
{
	struct frame_pool_counts counts;

	frame_pool_count(fixture->arena, &counts);
	return counts.free + counts.cached + counts.home == fixture->arena->frame_count &&
	       counts.home == fixture->arena->max_channels;
}
