/* SPDX-License-Identifier: Apache-2.0 */
/* source.c - one sender as its receiver sees it: frames from the backlog first,
 * then from the channel, and the rows in them. */
#include "motion/receiver.h"

#include <errno.h>

void source_release(struct source *source)
{
	if (source->frame_held)
		slu_frame_release(&source->frame);
	source->frame_held = false;
	backlog_frame_free(source->taken, &source->receiver->context->store);
	source->taken = NULL;
}

static void queue_update(struct source *source)
{
	bool wanted = !backlog_empty(&source->backlog);

	if (source->queued)
		TAILQ_REMOVE(&source->receiver->backlogged, source, queue_entry);
	if (wanted)
		TAILQ_INSERT_TAIL(&source->receiver->backlogged, source, queue_entry);
	source->queued = wanted;
}

static int decode(struct source *source, uint16_t tag, const void *data, uint32_t size_bytes,
                  struct slu_motion_rows *ret_rows)
{
	int r = rows_take(&source->rows, tag, data, size_bytes, ret_rows);

	if (r < 0)
		return context_fail_local(source->receiver->context, r);
	if (r == SLU_OK && ret_rows->next == ret_rows->end)
		r = SLU_AGAIN;
	if (r == SLU_AGAIN)
		source_release(source);
	return r;
}

int source_take_backlog(struct source *source, struct slu_motion_rows *ret_rows)
{
	slu_motion_context *context = source->receiver->context;
	int r;

	source_release(source);
	r = backlog_pop(&source->backlog, &context->store, &source->taken);
	if (r < 0)
		return context_fail_local(context, r);
	queue_update(source);
	return decode(source, source->taken->tag, source->taken->data, source->taken->size_bytes,
	              ret_rows);
}

int source_take_frame(struct source *source, const struct slu_frame *frame,
                      struct slu_motion_rows *ret_rows)
{
	source_release(source);
	source->frame = *frame;
	source->frame_held = true;
	return decode(source, frame->tag, frame->data, frame->size_bytes, ret_rows);
}

void source_end(struct source *source)
{
	if (source->ended)
		return;
	source->ended = true;
	source->receiver->open_count--;
}

static int take_channel(struct source *source, struct slu_motion_rows *ret_rows)
{
	struct slu_frame frame;
	int r;

	while ((r = slu_channel_recv(source->channel, &frame)) == SLU_OK) {
		r = source_take_frame(source, &frame, ret_rows);
		if (r != SLU_AGAIN)
			return r;
	}
	if (r == SLU_EOS)
		source_end(source);
	else if (r < 0)
		return context_fail_channel(source->receiver->context, source->channel, r);
	return r;
}

int source_take(struct source *source, struct slu_motion_rows *ret_rows)
{
	int r;

	source_release(source); /* first: it may be all of the window */
	while (!backlog_empty(&source->backlog)) {
		r = source_take_backlog(source, ret_rows);
		if (r != SLU_AGAIN)
			return r;
	}
	r = source->ended ? SLU_EOS : take_channel(source, ret_rows);
	if (r == SLU_EOS && !rows_complete(&source->rows))
		return context_fail_local(source->receiver->context, -EBADMSG);
	return r;
}

int source_keep(struct source *source, const struct slu_frame *frame)
{
	slu_motion_context *context = source->receiver->context;
	int r = backlog_push(&source->backlog, &context->store, frame);

	slu_frame_release(frame);
	if (r < 0)
		return context_fail_local(context, r);
	if (!source->queued)
		queue_update(source);
	return SLU_OK;
}
