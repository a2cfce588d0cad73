/* SPDX-License-Identifier: Apache-2.0 */
/* arena_layout.h - what arena_create.c and arena.c agree on: where things are. */
#ifndef TRANSPORT_ARENA_LAYOUT_H
#define TRANSPORT_ARENA_LAYOUT_H

#include "transport/arena.h"

/* Fills the sizes and offsets of a header that has the counts. */
void arena_layout(struct arena_header_shm *header, uint64_t size_bytes);

/* Home frames, receive frames, and one to share. */
uint64_t arena_frames_min(const struct arena_header_shm *header);

/* Whether the counts keep every product of the layout below 2^63 and every id in
 * its bits. */
bool arena_header_sane(const struct arena_header_shm *header);

/* Fill a view whose base and header are set. */
void arena_view_init(struct arena *arena);

#endif
