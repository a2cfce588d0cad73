/* SPDX-License-Identifier: Apache-2.0 */
/* open.c - open and close the two sides of a motion. */
#include "motion/receiver.h"
#include "motion/sender.h"

#include <errno.h>
#include <stdlib.h>

static bool options_valid(const struct slu_motion_options *options, enum slu_direction direction)
{
	bool gather =
	        options->kind == SLU_MOTION_GATHER || options->kind == SLU_MOTION_ORDERED_GATHER;
	bool merges = options->kind == SLU_MOTION_ORDERED_GATHER && direction == SLU_RECV;

	return options->kind >= SLU_MOTION_GATHER && options->kind <= SLU_MOTION_EXPLICIT &&
	       options->peer_count > 0 && options->peer_count < SLU_MOTION_ALL &&
	       options->self < SLU_MOTION_ALL &&
	       !(gather && direction == SLU_SEND && options->peer_count != 1) &&
	       merges == (options->compare != NULL);
}

static int channel_open(slu_motion_context *context, const struct slu_motion_options *options,
                        enum slu_direction direction, uint32_t peer, slu_channel **ret_channel)
{
	bool sends = direction == SLU_SEND;
	struct slu_open_options open = {
	        .key = {.cluster = options->cluster,
	                .query = options->query,
	                .motion = options->motion,
	                .source = sends ? options->self : peer,
	                .destination = sends ? peer : options->self},
	        .token = options->token,
	        .direction = direction,
	        .peer = options->peer_nodes ? options->peer_nodes[peer] : NULL,
	        .rendezvous_timeout_ns = options->rendezvous_timeout_ns,
	        .window_frames_max = options->window_frames_max,
	};

	return slu_channel_open(context->endpoint, &open, ret_channel);
}

/* ---- senders --------------------------------------------------------------- */

static int open_lanes(slu_motion_sender *sender, const struct slu_motion_options *options)
{
	for (uint32_t i = 0; i < options->peer_count; i++) {
		struct lane *lane = &sender->lanes[i];
		int r = channel_open(sender->context, options, SLU_SEND, i, &lane->channel);

		if (r < 0)
			return r;
		lane->open = true;
		sender->open_count++;
		slu_set_add(sender->set, lane->channel);
		if (!sender->broadcast)
			sender->head.lanes[i].cursor = (struct slu_cursor *)(void *)lane->channel;
	}
	return 0;
}

int slu_motion_open_sender(slu_motion_context *context, const struct slu_motion_options *options,
                           slu_motion_sender **ret_sender)
{
	slu_motion_sender *sender;
	int r;

	if (context->error.error)
		return context->error.error;
	if (!options_valid(options, SLU_SEND))
		return -EINVAL;
	sender = calloc(1, sizeof(*sender));
	if (!sender)
		return -ENOMEM;
	sender->context = context;
	LIST_INSERT_HEAD(&context->senders, sender, entry);
	sender->broadcast = options->kind == SLU_MOTION_BROADCAST;
	sender->row_bytes_max =
	        options->row_bytes_max ? options->row_bytes_max : ROWS_BYTES_DEFAULT;
	sender->frame_room =
	        slu_endpoint_frame_capacity(context->endpoint) & ~(size_t)(ROWS_ALIGN_BYTES - 1);
	sender->box.destination = sender->broadcast ? SLU_MOTION_ALL : 0;
	sender->lanes = calloc(options->peer_count, sizeof(*sender->lanes));
	sender->head.lanes = calloc(options->peer_count, sizeof(*sender->head.lanes));
	r = -ENOMEM;
	if (sender->lanes && sender->head.lanes) {
		sender->head.lane_count = options->peer_count;
		r = slu_set_create(context->endpoint, &sender->set);
	}
	if (r == 0)
		r = open_lanes(sender, options);
	if (r < 0) {
		slu_motion_close_sender(sender);
		return r;
	}
	*ret_sender = sender;
	return 0;
}

void slu_motion_close_sender(slu_motion_sender *sender)
{
	if (!sender)
		return;
	for (uint32_t i = 0; i < sender->head.lane_count; i++)
		slu_channel_close(sender->lanes[i].channel);
	slu_set_destroy(sender->set);
	LIST_REMOVE(sender, entry);
	free(sender->box.data);
	free(sender->lanes);
	free(sender->head.lanes);
	free(sender);
}

/* ---- receivers --------------------------------------------------------------- */

static int open_sources(slu_motion_receiver *receiver, const struct slu_motion_options *options)
{
	for (uint32_t i = 0; i < options->peer_count; i++) {
		struct source *source = &receiver->sources[i];
		int r;

		source->receiver = receiver;
		backlog_init(&source->backlog);
		rows_init(&source->rows, options->row_bytes_max);
		r = channel_open(receiver->context, options, SLU_RECV, i, &source->channel);
		if (r < 0)
			return r;
		receiver->open_count++;
		receiver->source_count++;
		slu_channel_set_user(source->channel, source);
		slu_set_add(receiver->set, source->channel);
	}
	return 0;
}

int slu_motion_open_receiver(slu_motion_context *context, const struct slu_motion_options *options,
                             slu_motion_receiver **ret_receiver)
{
	slu_motion_receiver *receiver;
	int r;

	if (context->error.error)
		return context->error.error;
	if (!options_valid(options, SLU_RECV))
		return -EINVAL;
	receiver = calloc(1, sizeof(*receiver));
	if (!receiver)
		return -ENOMEM;
	receiver->context = context;
	LIST_INSERT_HEAD(&context->receivers, receiver, entry);
	TAILQ_INIT(&receiver->backlogged);
	receiver->ordered = options->kind == SLU_MOTION_ORDERED_GATHER;
	receiver->sources = calloc(options->peer_count, sizeof(*receiver->sources));
	r = receiver->sources ? slu_set_create(context->endpoint, &receiver->set) : -ENOMEM;
	if (r == 0 && receiver->ordered)
		r = merge_init(&receiver->merge, options->peer_count, options->compare,
		               options->compare_ctx);
	if (r == 0)
		r = open_sources(receiver, options);
	if (r < 0) {
		slu_motion_close_receiver(receiver);
		return r;
	}
	*ret_receiver = receiver;
	return 0;
}

void slu_motion_close_receiver(slu_motion_receiver *receiver)
{
	if (!receiver)
		return;
	for (uint32_t i = 0; i < receiver->source_count; i++) {
		struct source *source = &receiver->sources[i];

		source_release(source);
		backlog_clear(&source->backlog, &receiver->context->store);
		slu_channel_close(source->channel);
		rows_fini(&source->rows);
	}
	slu_set_destroy(receiver->set);
	LIST_REMOVE(receiver, entry);
	merge_fini(&receiver->merge);
	free(receiver->sources);
	free(receiver);
}
