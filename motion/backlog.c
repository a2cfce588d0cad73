/* SPDX-License-Identifier: Apache-2.0 */
/* backlog.c - see backlog.h. */
#include "motion/backlog.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void backlog_init(struct backlog *backlog)
{
	*backlog = (struct backlog){0};
	STAILQ_INIT(&backlog->frames);
}

static uint64_t cost_bytes(const struct backlog_frame *frame)
{
	return sizeof(*frame) + (frame->block == BACKLOG_IN_MEMORY ? frame->size_bytes : 0);
}

static void charge(struct backlog_store *store, const struct backlog_frame *frame)
{
	store->stats.memory_bytes += cost_bytes(frame);
	if (store->stats.memory_bytes > store->stats.memory_bytes_max)
		store->stats.memory_bytes_max = store->stats.memory_bytes;
}

void backlog_frame_free(struct backlog_frame *frame, struct backlog_store *store)
{
	if (!frame)
		return;
	store->stats.memory_bytes -= cost_bytes(frame);
	if (frame->block != BACKLOG_IN_MEMORY)
		spill_free(&store->spill, frame->block);
	free(frame);
}

void backlog_clear(struct backlog *backlog, struct backlog_store *store)
{
	struct backlog_frame *frame;

	while ((frame = STAILQ_FIRST(&backlog->frames))) {
		STAILQ_REMOVE_HEAD(&backlog->frames, entry);
		backlog_frame_free(frame, store);
	}
}

bool backlog_empty(const struct backlog *backlog)
{
	return STAILQ_EMPTY(&backlog->frames);
}

static int spill_frame(struct backlog *backlog, struct backlog_store *store,
                       const struct slu_frame *frame, struct backlog_frame *copy)
{
	int r = spill_write(&store->spill, frame->data, frame->size_bytes, &copy->block);

	if (r < 0)
		return r;
	store->stats.spilled_frames++;
	store->stats.spilled_bytes += frame->size_bytes;
	store->stats.spill_file_bytes = spill_file_bytes(&store->spill);
	backlog->spilled_bytes += frame->size_bytes;
	return 0;
}

int backlog_push(struct backlog *backlog, struct backlog_store *store,
                 const struct slu_frame *frame)
{
	uint64_t needed = sizeof(struct backlog_frame) + frame->size_bytes;
	bool fits = frame->size_bytes == 0 ||
	            store->stats.memory_bytes + needed <= store->memory_bytes_max;
	struct backlog_frame *copy = malloc(sizeof(*copy) + (fits ? frame->size_bytes : 0));
	int r;

	if (!copy)
		return -ENOMEM;
	copy->block = BACKLOG_IN_MEMORY;
	copy->size_bytes = frame->size_bytes;
	copy->tag = frame->tag;
	if (fits) {
		memcpy(copy->data, frame->data, frame->size_bytes);
	} else {
		r = spill_frame(backlog, store, frame, copy);
		if (r < 0) {
			free(copy);
			return r;
		}
	}
	charge(store, copy);
	STAILQ_INSERT_TAIL(&backlog->frames, copy, entry);
	backlog->drained_frames++;
	store->stats.drained_frames++;
	return 0;
}

static int read_back(struct backlog_store *store, const struct backlog_frame *spilled,
                     struct backlog_frame **ret_frame)
{
	struct backlog_frame *frame = malloc(sizeof(*frame) + spilled->size_bytes);
	int r;

	if (!frame)
		return -ENOMEM;
	*frame = *spilled;
	frame->block = BACKLOG_IN_MEMORY;
	r = spill_read(&store->spill, spilled->block, frame->data, spilled->size_bytes);
	if (r < 0) {
		free(frame);
		return r;
	}
	charge(store, frame);
	*ret_frame = frame;
	return 0;
}

int backlog_pop(struct backlog *backlog, struct backlog_store *store,
                struct backlog_frame **ret_frame)
{
	struct backlog_frame *frame = STAILQ_FIRST(&backlog->frames);
	int r;

	if (frame->block == BACKLOG_IN_MEMORY) {
		STAILQ_REMOVE_HEAD(&backlog->frames, entry);
		*ret_frame = frame;
		return 0;
	}
	r = read_back(store, frame, ret_frame);
	if (r < 0)
		return r;
	STAILQ_REMOVE_HEAD(&backlog->frames, entry);
	backlog_frame_free(frame, store);
	return 0;
}
