/* SPDX-License-Identifier: Apache-2.0 */
/* receiver.c - rows of a motion, from any sender in turn or merged in order. */
#include "motion/receiver.h"

#include <errno.h>
#include <stdlib.h>

/* The rows given out by the inline function belong to the source they came from. */
static void settle_count(slu_motion_receiver *receiver)
{
	if (receiver->current)
		receiver->current->cursor.count += receiver->rows.count;
	receiver->rows.count = 0;
}

/* ---- from any ------------------------------------------------------------ */

static int any_end(slu_motion_receiver *receiver)
{
	for (uint32_t i = 0; i < receiver->source_count; i++) {
		struct source *source = &receiver->sources[i];

		if (!rows_complete(&source->rows))
			return context_fail_local(receiver->context, -EBADMSG);
	}
	return SLU_EOS;
}

/* One frame that arrived just now. */
static int any_arrived(slu_motion_receiver *receiver, struct source **ret_source)
{
	struct slu_frame frame = {0};
	struct source *source;
	int r = slu_set_recv(receiver->set, &frame);

	if (r == SLU_AGAIN)
		return r;
	if (!frame.channel)
		return context_fail_channel(receiver->context, NULL, r);
	source = slu_channel_user(frame.channel);
	*ret_source = source;
	if (r == SLU_OK)
		return source_take_frame(source, &frame, &receiver->rows);
	if (r != SLU_EOS)
		return context_fail_channel(receiver->context, frame.channel, r);
	source_end(source);
	return SLU_EOS;
}

static int any_attempt(void *operation)
{
	slu_motion_receiver *receiver = operation;

	for (;;) {
		struct source *source = TAILQ_FIRST(&receiver->backlogged);
		int r;

		if (source) {
			r = source_take_backlog(source, &receiver->rows);
		} else {
			if (receiver->open_count == 0)
				return any_end(receiver);
			r = any_arrived(receiver, &source);
			if (!source)
				return r;
		}
		if (r == SLU_OK)
			receiver->current = source;
		if (r == SLU_OK || r < 0)
			return r;
	}
}

static int any_receive(slu_motion_receiver *receiver, const void **ret_row)
{
	struct waited waited = {0};
	struct waiting waiting = {
	        .attempt = any_attempt,
	        .operation = receiver,
	        .set = receiver->set,
	        .drain_after_ns = receiver->context->receive_drain_after_ns,
	        .own_receiver = receiver,
	        .waited = &waited,
	};
	int r;

	if (receiver->rows.next < receiver->rows.end)
		return context_fail_local(receiver->context, -EBADMSG);
	settle_count(receiver);
	if (receiver->current)
		source_release(receiver->current);
	r = context_wait(receiver->context, &waiting);
	if (receiver->current) {
		receiver->current->waited.stalls += waited.stalls;
		receiver->current->waited.blocked_ns += waited.blocked_ns;
	}
	if (r != SLU_OK)
		return r;
	r = rows_next(&receiver->rows, ret_row);
	return r < 0 ? context_fail_local(receiver->context, r) : r;
}

/* ---- ordered --------------------------------------------------------------- */

static int source_attempt(void *operation)
{
	struct source *source = operation;

	return source_take(source, &source->cursor);
}

/* The next row of a source; *ret_row NULL: it has ended. */
static int ordered_next(struct source *source, const void **ret_row)
{
	slu_motion_context *context = source->receiver->context;
	struct waiting waiting = {
	        .attempt = source_attempt,
	        .operation = source,
	        .channel = source->channel,
	        .drain_after_ns = context->receive_drain_after_ns,
	        .waited = &source->waited,
	};
	int r = rows_next(&source->cursor, ret_row);

	if (r == SLU_AGAIN) {
		r = context_wait(context, &waiting);
		if (r == SLU_EOS)
			*ret_row = NULL;
		if (r != SLU_OK)
			return r == SLU_EOS ? SLU_OK : r;
		r = rows_next(&source->cursor, ret_row);
	}
	return r < 0 ? context_fail_local(context, r) : r;
}

static int ordered_receive(slu_motion_receiver *receiver, const void **ret_row)
{
	const struct merge_input *top;
	const void *row = NULL;
	int r;

	while (receiver->primed_count < receiver->source_count) {
		r = ordered_next(&receiver->sources[receiver->primed_count], &row);
		if (r != SLU_OK)
			return r;
		if (row)
			merge_push(&receiver->merge, receiver->primed_count, row);
		receiver->primed_count++;
	}
	if (receiver->top_spent) {
		r = ordered_next(receiver->current, &row);
		if (r != SLU_OK)
			return r;
		merge_replace_top(&receiver->merge, row);
		receiver->top_spent = false;
	}
	if (receiver->merge.count == 0)
		return SLU_EOS;
	top = merge_top(&receiver->merge);
	receiver->current = &receiver->sources[top->input];
	receiver->top_spent = true;
	*ret_row = top->row;
	return SLU_OK;
}

int slu_motion_receive_slow(slu_motion_receiver *receiver, const void **ret_row)
{
	if (receiver->context->error.error)
		return receiver->context->error.error;
	if (receiver->stopped)
		return SLU_EOS;
	return receiver->ordered ? ordered_receive(receiver, ret_row)
	                         : any_receive(receiver, ret_row);
}

uint32_t slu_motion_source(const slu_motion_receiver *receiver)
{
	return receiver->current ? (uint32_t)(receiver->current - receiver->sources) : 0;
}

/* ---- the whole side ---------------------------------------------------------- */

unsigned receiver_drain(slu_motion_receiver *receiver, unsigned frames_max)
{
	unsigned count = 0;

	while (count < frames_max && receiver->open_count && !receiver->stopped) {
		struct slu_frame frame = {0};
		int r = slu_set_recv(receiver->set, &frame);

		if (r == SLU_AGAIN)
			break;
		count++;
		if (r == SLU_OK)
			r = source_keep(slu_channel_user(frame.channel), &frame);
		else if (r == SLU_EOS)
			source_end(slu_channel_user(frame.channel));
		else
			r = context_fail_channel(receiver->context, frame.channel, r);
		if (r < 0)
			break;
	}
	return count;
}

void receiver_reset(slu_motion_receiver *receiver, int error, const char *text)
{
	settle_count(receiver);
	receiver->rows.next = receiver->rows.end = NULL; /* no more by the inline way */
	for (uint32_t i = 0; i < receiver->source_count; i++)
		if (!receiver->sources[i].ended)
			slu_channel_reset(receiver->sources[i].channel, error, text);
}

void slu_motion_stop(slu_motion_receiver *receiver)
{
	if (receiver->stopped)
		return;
	settle_count(receiver);
	receiver->stopped = true;
	receiver->rows.next = receiver->rows.end = NULL;
	for (uint32_t i = 0; i < receiver->source_count; i++) {
		struct source *source = &receiver->sources[i];

		source_release(source);
		backlog_clear(&source->backlog, &receiver->context->store);
		slu_set_remove(receiver->set, source->channel);
		if (!source->ended)
			slu_channel_stop(source->channel);
	}
}

static void add_stats(const struct source *source, struct slu_motion_stats *stats)
{
	struct slu_channel_stats channel;

	slu_channel_stats(source->channel, &channel);
	stats->rows += source->cursor.count;
	stats->bytes += channel.bytes;
	stats->frames += channel.frames;
	stats->stalls += source->waited.stalls;
	stats->blocked_ns += source->waited.blocked_ns;
	stats->drained_frames += source->backlog.drained_frames;
	stats->spilled_bytes += source->backlog.spilled_bytes;
	if (channel.window_frames > stats->window_frames)
		stats->window_frames = channel.window_frames;
	stats->remote += channel.remote;
	stats->stopped += !source->ended && source->receiver->stopped;
	stats->ended += source->ended;
}

int slu_motion_receiver_stats(const slu_motion_receiver *receiver, uint32_t peer,
                              struct slu_motion_stats *ret_stats)
{
	struct slu_motion_stats stats = {0};

	if (peer != SLU_MOTION_ALL && peer >= receiver->source_count)
		return -EINVAL;
	for (uint32_t i = 0; i < receiver->source_count; i++) {
		if (peer != SLU_MOTION_ALL && peer != i)
			continue;
		add_stats(&receiver->sources[i], &stats);
		if (receiver->current == &receiver->sources[i])
			stats.rows += receiver->rows.count;
	}
	*ret_stats = stats;
	return 0;
}
