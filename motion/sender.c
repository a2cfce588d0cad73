/* SPDX-License-Identifier: Apache-2.0 */
/* sender.c - rows into the frames of their destinations. A row for one lane is
 * formed in its frame; what does not go that way goes through the box. */
#include "motion/sender.h"

#include <errno.h>
#include <stdlib.h>

/* ---- lanes --------------------------------------------------------------- */

static void lane_cursor_set(slu_motion_sender *sender, uint32_t i, bool usable)
{
	sender->head.lanes[i].cursor =
	        usable && sender->lanes[i].open && !sender->broadcast
	                ? (struct slu_cursor *)(void *)sender->lanes[i].channel
	                : NULL;
}

/* The receiver wants no more. */
static void lane_stop(slu_motion_sender *sender, struct lane *lane)
{
	lane->open = false;
	lane->stopped = true;
	sender->open_count--;
	if (lane->boxed) {
		lane->boxed = false;
		sender->box.lanes_left--;
	}
	lane_cursor_set(sender, (uint32_t)(lane - sender->lanes), false);
	slu_set_remove(sender->set, lane->channel);
	slu_channel_eos(lane->channel);
}

/* A result of the channel that is neither OK nor AGAIN. */
static int lane_result(slu_motion_sender *sender, struct lane *lane, int result)
{
	if (result == SLU_STOPPED)
		lane_stop(sender, lane);
	else if (result < 0)
		return context_fail_channel(sender->context, lane->channel, result);
	return result;
}

/* ---- the box ------------------------------------------------------------- */

static int box_room(struct box *box, size_t room)
{
	uint8_t *grown;

	if (box->room >= room)
		return 0;
	grown = realloc(box->data, room);
	if (!grown)
		return -ENOMEM;
	box->data = grown;
	box->room = room;
	return 0;
}

static void box_reset(slu_motion_sender *sender)
{
	struct box *box = &sender->box;

	if (box->destination != SLU_MOTION_ALL)
		lane_cursor_set(sender, box->destination, true);
	box->used = 0;
	box->rows = 0;
	box->large = box->sealed = false;
}

static void box_seal(slu_motion_sender *sender)
{
	struct box *box = &sender->box;

	box->sealed = true;
	box->lanes_left = 0;
	for (uint32_t i = 0; i < sender->head.lane_count; i++) {
		struct lane *lane = &sender->lanes[i];

		if (!lane->open || (box->destination != SLU_MOTION_ALL && box->destination != i))
			continue;
		lane->boxed = true;
		lane->boxed_bytes = 0;
		box->lanes_left++;
	}
}

/* Send what a lane is owed, or as much as it has credit for. */
static int box_send_lane(slu_motion_sender *sender, struct lane *lane)
{
	struct box *box = &sender->box;

	while (lane->boxed_bytes < box->used) {
		uint16_t tag = !box->large         ? ROWS_TAG_ROWS
		               : lane->boxed_bytes ? ROWS_TAG_MORE
		                                   : ROWS_TAG_FIRST;
		size_t size = box->used - lane->boxed_bytes, capacity;
		void *data;
		int r = slu_channel_acquire(lane->channel, &data, &capacity);

		if (r != SLU_OK)
			return r;
		if (size > capacity)
			size = capacity;
		memcpy(data, box->data + lane->boxed_bytes, size);
		slu_channel_commit(lane->channel, size, tag);
		lane->boxed_bytes += (uint32_t)size;
	}
	sender->head.lanes[lane - sender->lanes].rows += box->rows;
	lane->boxed = false;
	box->lanes_left--;
	return SLU_OK;
}

static int box_attempt(void *operation)
{
	slu_motion_sender *sender = operation;
	struct box *box = &sender->box;

	for (uint32_t i = 0; box->sealed && i < sender->head.lane_count && box->lanes_left; i++) {
		struct lane *lane = &sender->lanes[i];
		int r;

		if (!lane->boxed)
			continue;
		r = box_send_lane(sender, lane);
		if (r != SLU_OK && r != SLU_AGAIN && lane_result(sender, lane, r) < 0)
			return sender->context->error.error;
	}
	if (box->sealed && box->lanes_left)
		return SLU_AGAIN;
	if (box->sealed)
		box_reset(sender);
	return SLU_OK;
}

/* Wait until all of a sealed box is published. */
static int box_send(slu_motion_sender *sender)
{
	struct box *box = &sender->box;
	struct lane *lane =
	        box->destination == SLU_MOTION_ALL ? NULL : &sender->lanes[box->destination];
	struct waited waited = {0};
	struct waiting waiting = {
	        .attempt = box_attempt,
	        .operation = sender,
	        .set = lane ? NULL : sender->set,
	        .channel = lane ? lane->channel : NULL,
	        .drain_after_ns = sender->context->send_drain_after_ns,
	        .waited = &waited,
	};
	uint32_t owed = UINT32_MAX;
	int r;

	if (!box->sealed)
		return SLU_OK;
	for (uint32_t i = 0; i < sender->head.lane_count && owed == UINT32_MAX; i++)
		if (sender->lanes[i].boxed)
			owed = i;
	r = context_wait(sender->context, &waiting);
	if (owed != UINT32_MAX) { /* a broadcast waits for all: the first one stands for them */
		sender->lanes[owed].waited.stalls += waited.stalls;
		sender->lanes[owed].waited.blocked_ns += waited.blocked_ns;
	}
	return r;
}

static void box_seal_if_any(slu_motion_sender *sender)
{
	if (sender->broadcast && sender->box.used && !sender->box.sealed && !sender->box.large)
		box_seal(sender);
}

/* ---- reserve and append ---------------------------------------------------- */

struct reserving {
	slu_motion_sender *sender;
	struct lane *lane;
	size_t room;
	void *row;
};

static int reserve_attempt(void *operation)
{
	struct reserving *reserving = operation;
	int r = slu_channel_reserve(reserving->lane->channel, reserving->room, &reserving->row);

	return r == SLU_OK || r == SLU_AGAIN ? r
	                                     : lane_result(reserving->sender, reserving->lane, r);
}

static int reserve_in_frame(slu_motion_sender *sender, struct lane *lane, size_t room,
                            void **ret_row)
{
	struct reserving reserving = {.sender = sender, .lane = lane, .room = room};
	struct waiting waiting = {
	        .attempt = reserve_attempt,
	        .operation = &reserving,
	        .channel = lane->channel,
	        .drain_after_ns = sender->context->send_drain_after_ns,
	        .waited = &lane->waited,
	};
	int r = context_wait(sender->context, &waiting);

	if (r == SLU_OK)
		*ret_row = reserving.row;
	return r;
}

static int reserve_in_box(slu_motion_sender *sender, uint32_t destination, size_t room,
                          void **ret_row)
{
	struct box *box = &sender->box;
	bool large = room > sender->frame_room;
	int r = SLU_OK;

	if (box->used + room > sender->frame_room && box->used) {
		box_seal(sender);
		r = box_send(sender);
	}
	if (r != SLU_OK)
		return r;
	if (sender->open_count == 0)
		return SLU_STOPPED;
	r = box_room(box, room > sender->frame_room ? room : sender->frame_room);
	if (r < 0)
		return context_fail(sender->context, r, "53200", "no memory for a row to send");
	box->destination = destination;
	box->large = large;
	if (destination != SLU_MOTION_ALL)
		lane_cursor_set(sender, destination, false);
	*ret_row = box->data + box->used;
	return SLU_OK;
}

int slu_motion_reserve_slow(slu_motion_sender *sender, uint32_t destination, size_t size_bytes,
                            void **ret_row)
{
	size_t room = slu_motion_row_room(size_bytes);
	int r;

	if (sender->context->error.error)
		return sender->context->error.error;
	if (sender->ended)
		return -EPIPE;
	if (size_bytes < ROWS_LENGTH_BYTES ||
	    (sender->broadcast ? destination != SLU_MOTION_ALL
	                       : destination >= sender->head.lane_count))
		return -EINVAL;
	if (size_bytes > sender->row_bytes_max)
		return -EMSGSIZE;
	if (sender->box.large && !sender->box.sealed) /* was reserved and not appended */
		box_reset(sender);
	r = box_send(sender);
	if (r != SLU_OK)
		return r;
	if (sender->open_count == 0)
		return SLU_STOPPED;
	if (sender->broadcast)
		return reserve_in_box(sender, destination, room, ret_row);
	if (!sender->lanes[destination].open)
		return SLU_STOPPED;
	if (room > sender->frame_room)
		return reserve_in_box(sender, destination, room, ret_row);
	return reserve_in_frame(sender, &sender->lanes[destination], room, ret_row);
}

void slu_motion_append_slow(slu_motion_sender *sender, uint32_t destination, size_t size_bytes)
{
	struct box *box = &sender->box;
	uint8_t *row = box->data + box->used;
	uint32_t length = (uint32_t)size_bytes;
	size_t room = slu_motion_row_room(size_bytes);

	if (!row || box->sealed || destination != box->destination ||
	    box->used + room > box->room) /* nothing was reserved there */
		return;
	memcpy(row, &length, sizeof(length));
	memset(row + size_bytes, 0, room - size_bytes);
	box->rows++;
	box->used += room;
	/* A row smaller than was reserved may fit a frame, and is then sent as one. */
	if (!box->large)
		return;
	box->large = room > sender->frame_room;
	if (box->large)
		box->used = size_bytes;
	box_seal(sender);
	box_attempt(sender);
}

int slu_motion_send(slu_motion_sender *sender, uint32_t destination, const void *row,
                    size_t size_bytes)
{
	void *place;
	int r = slu_motion_reserve(sender, destination, size_bytes, &place);

	if (r != SLU_OK)
		return r;
	memcpy(place, row, size_bytes);
	slu_motion_append(sender, destination, size_bytes);
	return SLU_OK;
}

/* ---- flush and end ----------------------------------------------------------- */

static void lanes_flush(slu_motion_sender *sender)
{
	for (uint32_t i = 0; i < sender->head.lane_count; i++)
		if (sender->lanes[i].open)
			slu_channel_flush(sender->lanes[i].channel);
}

void sender_flush_some(slu_motion_sender *sender)
{
	if (sender->ended)
		return;
	box_seal_if_any(sender);
	box_attempt(sender);
	lanes_flush(sender);
}

int slu_motion_flush(slu_motion_sender *sender)
{
	int r;

	if (sender->context->error.error)
		return sender->context->error.error;
	if (sender->ended)
		return SLU_OK;
	if (sender->box.large && !sender->box.sealed)
		box_reset(sender);
	/* a box that was being sent, then what was begun since */
	r = box_send(sender);
	box_seal_if_any(sender);
	if (r == SLU_OK)
		r = box_send(sender);
	if (r == SLU_OK)
		lanes_flush(sender);
	return r;
}

int slu_motion_eos(slu_motion_sender *sender)
{
	int r = slu_motion_flush(sender);

	if (r != SLU_OK || sender->ended)
		return r;
	for (uint32_t i = 0; i < sender->head.lane_count; i++) {
		struct lane *lane = &sender->lanes[i];

		lane_cursor_set(sender, i, false);
		if (!lane->open)
			continue;
		r = slu_channel_eos(lane->channel);
		if (r < 0)
			return context_fail_channel(sender->context, lane->channel, r);
		lane->open = false;
	}
	sender->ended = true;
	return SLU_OK;
}

bool slu_motion_stopped(const slu_motion_sender *sender)
{
	return sender->open_count == 0;
}

void sender_reset(slu_motion_sender *sender, int error, const char *text)
{
	for (uint32_t i = 0; i < sender->head.lane_count; i++) {
		lane_cursor_set(sender, i, false);
		if (!sender->lanes[i].stopped)
			slu_channel_reset(sender->lanes[i].channel, error, text);
	}
}

static void add_stats(const slu_motion_sender *sender, uint32_t i, struct slu_motion_stats *stats)
{
	const struct lane *lane = &sender->lanes[i];
	struct slu_channel_stats channel;

	slu_channel_stats(lane->channel, &channel);
	stats->rows += sender->head.lanes[i].rows;
	stats->bytes += channel.bytes;
	stats->frames += channel.frames;
	stats->stalls += lane->waited.stalls;
	stats->blocked_ns += lane->waited.blocked_ns;
	if (channel.window_frames > stats->window_frames)
		stats->window_frames = channel.window_frames;
	stats->remote += channel.remote;
	stats->stopped += lane->stopped;
	stats->ended += !lane->open && !lane->stopped;
}

int slu_motion_sender_stats(const slu_motion_sender *sender, uint32_t peer,
                            struct slu_motion_stats *ret_stats)
{
	struct slu_motion_stats stats = {0};

	if (peer != SLU_MOTION_ALL && peer >= sender->head.lane_count)
		return -EINVAL;
	for (uint32_t i = 0; i < sender->head.lane_count; i++)
		if (peer == SLU_MOTION_ALL || peer == i)
			add_stats(sender, i, &stats);
	*ret_stats = stats;
	return 0;
}
