/* SPDX-License-Identifier: Apache-2.0 */
/* channel_api.c - the calls of sluice.h that send, receive and end. */
#include "transport/endpoint.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct chan_shm *shm_of(const slu_channel *channel)
{
	return arena_chan(channel->endpoint->arena, channel->chan_idx);
}

static struct frame_shm *writing(const slu_channel *channel)
{
	return arena_frame(channel->endpoint->arena, channel->frame_idx);
}

/* Note that a call could not go on; counted once per stall. */
static int stall(slu_channel *channel)
{
	int r;

	channel->stalled = true;
	channel->event = false;
	set_dequeue(channel);
	r = endpoint_check(channel->endpoint);
	return r < 0 ? r : SLU_AGAIN;
}

/* ---- sending ------------------------------------------------------------- */

static void cursor_clear(slu_channel *channel)
{
	channel->cursor = (struct slu_cursor){NULL, NULL};
	channel->frame_idx = FRAME_NONE;
}

static size_t appended(const slu_channel *channel)
{
	return channel->frame_idx == FRAME_NONE
	               ? 0
	               : (size_t)(channel->cursor.next - writing(channel)->payload);
}

static void publish(slu_channel *channel, size_t size_bytes, uint16_t tag)
{
	struct frame_shm *frame = writing(channel);

	frame->wire.size_bytes = (uint32_t)size_bytes;
	frame->wire.tag = tag;
	chan_tx_publish(&channel->tx, channel->frame_idx);
	cursor_clear(channel);
}

/* Let go of a frame that nobody will get. */
static void discard(slu_channel *channel)
{
	if (channel->frame_idx == FRAME_NONE)
		return;
	frame_pool_give(channel->endpoint->arena, channel->endpoint->port.slot, channel->frame_idx);
	cursor_clear(channel);
}

static int frame_begin(slu_channel *channel)
{
	uint32_t frame_idx;
	int r = endpoint_check(channel->endpoint);

	if (r < 0)
		return r;
	if (channel->direction != SLU_SEND)
		return -EINVAL;
	r = chan_tx_acquire(&channel->tx, &frame_idx);
	if (r == SLU_AGAIN)
		return stall(channel);
	if (r != SLU_OK)
		return r;
	channel->stalled = false;
	channel->frame_idx = frame_idx;
	writing(channel)->holder = SLOT_NONE; /* it may have come on a channel once */
	channel->cursor.next = writing(channel)->payload;
	channel->cursor.end = channel->cursor.next + channel->endpoint->arena->frame_capacity;
	return SLU_OK;
}

int slu_channel_acquire(slu_channel *channel, void **ret_data, size_t *ret_capacity_bytes)
{
	int r = SLU_OK;

	if (appended(channel))
		publish(channel, appended(channel), 0);
	if (channel->frame_idx == FRAME_NONE)
		r = frame_begin(channel);
	if (r != SLU_OK)
		return r;
	*ret_data = channel->cursor.next;
	*ret_capacity_bytes = channel->endpoint->arena->frame_capacity;
	return SLU_OK;
}

int slu_channel_commit(slu_channel *channel, size_t size_bytes, uint16_t tag)
{
	if (channel->frame_idx == FRAME_NONE ||
	    size_bytes > channel->endpoint->arena->frame_capacity)
		return -EINVAL;
	publish(channel, size_bytes, tag);
	return SLU_OK;
}

int slu_channel_reserve_slow(slu_channel *channel, size_t size_bytes, void **ret_data)
{
	int r;

	if (size_bytes == 0)
		return -EINVAL;
	if (size_bytes > channel->endpoint->arena->frame_capacity)
		return -EMSGSIZE;
	if (appended(channel))
		publish(channel, appended(channel), 0);
	r = frame_begin(channel);
	if (r == SLU_OK)
		*ret_data = channel->cursor.next;
	return r;
}

int slu_channel_flush(slu_channel *channel)
{
	if (channel->direction != SLU_SEND)
		return -EINVAL;
	if (appended(channel))
		publish(channel, appended(channel), 0);
	return SLU_OK;
}

int slu_channel_eos(slu_channel *channel)
{
	int r = endpoint_check(channel->endpoint);

	if (r < 0)
		return r;
	if (channel->direction != SLU_SEND)
		return -EINVAL;
	r = slu_channel_flush(channel);
	discard(channel);
	chan_tx_eos(&channel->tx);
	return r;
}

/* ---- receiving ----------------------------------------------------------- */

/* Nothing comes any more: the set of the channel need not tell it again. */
static int ended(slu_channel *channel, int result)
{
	set_dequeue(channel);
	channel->ended = true;
	return result;
}

int slu_channel_recv(slu_channel *channel, struct slu_frame *ret_frame)
{
	const struct frame_shm *frame;
	uint32_t frame_idx;
	int r;

	if (channel->direction != SLU_RECV)
		return -EINVAL;
	if (endpoint_check(channel->endpoint) == -EPERM)
		return -EPERM;
	if (channel->rx.stopped)
		return ended(channel, SLU_EOS);
	r = chan_rx_next(&channel->rx, &frame_idx);
	if (r == SLU_AGAIN) {
		counter_add(&channel->rx.shm->rx_stalls, !channel->stalled);
		return stall(channel);
	}
	if (r == -EBADMSG)
		slu_channel_reset(channel, EBADMSG,
		                  "the ring or a frame in the arena was overwritten");
	if (r != SLU_OK)
		return ended(channel, r);
	channel->stalled = false;
	channel->held_frames++;
	frame = arena_frame(channel->endpoint->arena, frame_idx);
	*ret_frame = (struct slu_frame){
	        .data = frame->payload,
	        .size_bytes = frame->wire.size_bytes,
	        .tag = frame->wire.tag,
	        .frame_idx = frame_idx,
	        .channel = channel,
	};
	return SLU_OK;
}

int slu_frame_release(const struct slu_frame *frame)
{
	slu_channel *channel = frame->channel;
	slu_endpoint *endpoint = channel->endpoint;
	struct frame_shm *shm;

	if (endpoint_check(endpoint) == -EPERM)
		return -EPERM;
	if (frame->frame_idx >= endpoint->arena->frame_count)
		return -EINVAL;
	shm = arena_frame(endpoint->arena, frame->frame_idx);
	if (atomic_load_explicit(&shm->owner, memory_order_relaxed) !=
	            FRAME_OWNER(FRAME_HELD, endpoint->port.slot) ||
	    shm->holder != channel->chan_idx || !channel->held_frames)
		return -EINVAL;
	channel->held_frames--;
	chan_rx_release(&channel->rx, frame->frame_idx);
	return SLU_OK;
}

/* Frames on their way to a receiver that wants no more. */
static void drain(slu_channel *channel)
{
	uint32_t frame_idx;

	while (chan_rx_next(&channel->rx, &frame_idx) == SLU_OK)
		chan_rx_release(&channel->rx, frame_idx);
}

int slu_channel_stop(slu_channel *channel)
{
	int r = endpoint_check(channel->endpoint);

	if (r < 0)
		return r;
	if (channel->direction != SLU_RECV)
		return -EINVAL;
	chan_rx_stop(&channel->rx);
	drain(channel);
	return SLU_OK;
}

/* ---- ending -------------------------------------------------------------- */

int slu_channel_reset(slu_channel *channel, int error, const char *text)
{
	slu_endpoint *endpoint = channel->endpoint;
	struct chan_shm *shm = shm_of(channel);
	bool sends = channel->direction == SLU_SEND;
	char reason[CHAN_REASON_BYTES];

	if (endpoint_check(endpoint) == -EPERM)
		return -EPERM;
	snprintf(reason, sizeof(reason), "%s \"%s\" (pid %u) on %s: %.127s; channel %llu/%u %u->%u",
	         sends ? "sender" : "receiver", endpoint->port.self->name, endpoint->port.self->pid,
	         endpoint->arena->header->node, text ? text : strerror(error),
	         (unsigned long long)shm->query, shm->motion, shm->source, shm->destination);
	chan_reset_write(sends ? &shm->tx_reset : &shm->rx_reset, error ? error : ECONNRESET,
	                 reason);
	port_notify(&endpoint->port, sends ? &shm->rx_slot : &shm->tx_slot, channel->chan_idx);
	return SLU_OK;
}

const char *slu_channel_reason(slu_channel *channel)
{
	const char *text = chan_reset_text(shm_of(channel));

	return text[0] || !channel->endpoint->agent_gone ? text : channel->endpoint->error;
}

/* Frames that were received and never released. They are found by their owner:
 * a list of them would cost every receive something. */
static void release_held(slu_channel *channel)
{
	slu_endpoint *endpoint = channel->endpoint;

	for (uint32_t i = 0; channel->held_frames && i < endpoint->arena->frame_count; i++) {
		const struct frame_shm *frame = arena_frame(endpoint->arena, i);

		if (atomic_load_explicit(&frame->owner, memory_order_relaxed) !=
		            FRAME_OWNER(FRAME_HELD, endpoint->port.slot) ||
		    frame->holder != channel->chan_idx)
			continue;
		channel->held_frames--;
		chan_rx_release(&channel->rx, i);
	}
}

static void close_sender(slu_channel *channel)
{
	discard(channel);
	if (!channel->tx.eos_sent && !atomic_load(&shm_of(channel)->stop))
		slu_channel_reset(channel, ECANCELED, "closed without EOS");
	channel->endpoint->senders[channel->chan_idx] = NULL;
}

static void close_receiver(slu_channel *channel)
{
	chan_rx_stop(&channel->rx);
	drain(channel);
	release_held(channel);
	channel->endpoint->receivers[channel->chan_idx] = NULL;
}

void slu_channel_close(slu_channel *channel)
{
	slu_endpoint *endpoint;

	if (!channel)
		return;
	endpoint = channel->endpoint;
	if (endpoint_check(endpoint) != -EPERM) {
		if (channel->direction == SLU_SEND)
			close_sender(channel);
		else
			close_receiver(channel);
		endpoint_send_close(endpoint, channel);
	}
	set_forget(channel);
	LIST_REMOVE(channel, endpoint_entry);
	free(channel);
}

/* ---- small things -------------------------------------------------------- */

void slu_channel_set_user(slu_channel *channel, void *user)
{
	channel->user = user;
}

void *slu_channel_user(const slu_channel *channel)
{
	return channel->user;
}

void slu_channel_stats(const slu_channel *channel, struct slu_channel_stats *ret_stats)
{
	const struct chan_shm *shm = shm_of(channel);
	bool sends = channel->direction == SLU_SEND;
	/* relaxed: a report of what is moving */
	uint64_t published = atomic_load_explicit(&shm->published_pos, memory_order_relaxed);
	uint64_t released = sends ? atomic_load_explicit(&shm->released_pos, memory_order_relaxed)
	                          : channel->rx.released_pos;

	*ret_stats = (struct slu_channel_stats){
	        .frames = sends ? published : shm->rx_frames,
	        .bytes = sends ? shm->tx_bytes : shm->rx_bytes,
	        .stalls = sends ? shm->tx_stalls : shm->rx_stalls,
	        .blocked_ns = sends ? shm->tx_blocked_ns : shm->rx_blocked_ns,
	        .in_flight = published > released ? published - released : 0,
	        .window_frames = atomic_load_explicit(&shm->window, memory_order_relaxed),
	        .remote = shm->remote,
	};
}
