/* SPDX-License-Identifier: Apache-2.0 */
/* arena_fixture.h - a small arena with some ports in it, without an agent: the
 * fixture plays the agent's part where a test needs it. */
#ifndef TESTS_UNIT_ARENA_FIXTURE_H
#define TESTS_UNIT_ARENA_FIXTURE_H

#include "transport/channel.h"

#define FIXTURE_PORTS 4u

struct arena_fixture {
	struct arena *arena;
	struct port ports[FIXTURE_PORTS]; /* in slots 1.. */
	int doorbells[FIXTURE_PORTS];
};

struct arena_fixture_config {
	uint32_t frame_bytes, max_channels, shared_frames, window_slots;
};

/* Aborts the program when there is no memory: there is nothing to test then. */
void arena_fixture_start(struct arena_fixture *fixture, const struct arena_fixture_config *config);
void arena_fixture_stop(struct arena_fixture *fixture);

/* Open channel chan_idx between two ports, both there already. */
void arena_fixture_open(struct arena_fixture *fixture, uint32_t chan_idx, uint32_t sender,
                        uint32_t receiver);

/* Whether every frame is free, cached or at home. */
bool arena_fixture_full(const struct arena_fixture *fixture);

#endif
