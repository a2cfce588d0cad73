/* SPDX-License-Identifier: Apache-2.0 */
/*
 * outgoing.c - channels whose local process sends. The engine is the receiver
 * of the local ring: it takes a frame when the peer has room for it, sends it
 * from where it lies, and keeps it until the peer has it and the driver reads
 * it no more. What it does not take fills the ring, and the local sender waits.
 *
 * When the session is lost everything not acknowledged is sent again on another
 * one; the receiver drops by position what it has already.
 */
#include "transport/engine/engine_state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define OUTGOING_TURN         16u /* messages, then the next channel has its turn */
#define OUTGOING_FRAMES_FIRST 8u
#define PROBE_WAIT_FACTOR_MAX 16u
#define ACK_LATE_PART         4u /* of the window may be kept for want of an ACK */

int outgoing_init(struct lane *lane)
{
	struct outgoing *out = &lane->out;

	out->frames = malloc(OUTGOING_FRAMES_FIRST * sizeof(*out->frames));
	if (!out->frames)
		return -ENOMEM;
	out->frame_room = OUTGOING_FRAMES_FIRST;
	out->probe_ns = ENGINE_NEVER;
	out->probe_wait_ns = lane->engine->advertise_ns;
	chan_rx_init(&out->rx, lane->engine->port, lane->chan_idx, lane->shm->window_max);
	return 0;
}

static void outgoing_unqueue(struct lane *lane)
{
	if (lane->run == LANE_RUNNABLE) {
		TAILQ_REMOVE(&lane->engine->runnable, lane, run_link);
		lane->engine->runnable_count--;
	} else if (lane->run == LANE_BLOCKED) {
		TAILQ_REMOVE(&lane->session->lanes_blocked, lane, run_link);
	}
	lane->run = LANE_IDLE;
}

static void outgoing_runnable(struct lane *lane)
{
	lane->run = LANE_RUNNABLE;
	lane->engine->runnable_count++;
}

void outgoing_wake(struct lane *lane)
{
	if (lane->run != LANE_IDLE)
		return;
	outgoing_runnable(lane);
	/* Urgent channels do not wait for the turn of bulk ones. */
	if (lane->urgent)
		TAILQ_INSERT_HEAD(&lane->engine->runnable, lane, run_link);
	else
		TAILQ_INSERT_TAIL(&lane->engine->runnable, lane, run_link);
}

static void outgoing_block(struct lane *lane)
{
	lane->run = LANE_BLOCKED;
	TAILQ_INSERT_TAIL(&lane->session->lanes_blocked, lane, run_link);
}

/* They go ahead of those that have had a turn in the meantime: else a session that takes
 * less than all turns need serves the same channels again and again. */
void outgoing_unblock(struct session *session)
{
	struct lane *behind = TAILQ_FIRST(&session->peer->engine->runnable);
	struct lane *lane;

	while (behind && behind->urgent)
		behind = TAILQ_NEXT(behind, run_link);
	while ((lane = TAILQ_FIRST(&session->lanes_blocked))) {
		outgoing_unqueue(lane);
		if (!behind || lane->urgent) {
			outgoing_wake(lane);
			continue;
		}
		outgoing_runnable(lane);
		TAILQ_INSERT_BEFORE(behind, lane, run_link);
	}
}

/* ---- frames that are kept ------------------------------------------------ */

static struct outgoing_frame *outgoing_frame(const struct outgoing *out, uint64_t pos)
{
	return &out->frames[pos & (out->frame_room - 1)];
}

static int outgoing_grow(struct outgoing *out)
{
	uint32_t room = out->frame_room * 2;
	struct outgoing_frame *frames = malloc(room * sizeof(*frames));

	if (!frames)
		return -ENOMEM;
	for (uint64_t pos = out->released_pos; pos < out->rx.pos; pos++)
		frames[pos & (room - 1)] = *outgoing_frame(out, pos);
	free(out->frames);
	out->frames = frames;
	out->frame_room = room;
	return 0;
}

/* Give back what neither peer nor driver needs. */
static void outgoing_release(struct lane *lane)
{
	struct outgoing *out = &lane->out;
	uint64_t end_pos = lane->finished ? out->rx.pos : out->acked_pos;

	if (out->in_driver && out->driver_pos < end_pos)
		end_pos = out->driver_pos;
	while (out->released_pos < end_pos)
		chan_rx_release(&out->rx, outgoing_frame(out, out->released_pos++)->frame_idx);
}

/* SLU_OK: a frame was taken from the local ring and is at rx.pos - 1. SLU_AGAIN,
 * SLU_EOS; negative: the channel was reset hereby. */
static int outgoing_take(struct lane *lane)
{
	struct outgoing *out = &lane->out;
	struct frame_shm *frame;
	uint32_t frame_idx;
	int r;

	if (out->rx.pos - out->released_pos == out->frame_room && outgoing_grow(out) < 0) {
		lane_reset(lane, ENOMEM, "no memory");
		return -ENOMEM;
	}
	r = chan_rx_next(&out->rx, &frame_idx);
	if (r == SLU_EOS)
		out->eos = true;
	if (r == -EBADMSG)
		lane_reset(lane, EBADMSG, "it published what is not a frame");
	else if (r < 0)
		lane_reset_by_local(lane);
	if (r != SLU_OK)
		return r;
	frame = arena_frame(lane->engine->arena, frame_idx);
	*outgoing_frame(out, out->rx.pos - 1) = (struct outgoing_frame){
	        .frame_idx = frame_idx,
	        .size_bytes = frame->wire.size_bytes,
	        .tag = frame->wire.tag,
	};
	/* Read a second time, from memory that others can write. */
	if (outgoing_frame(out, out->rx.pos - 1)->size_bytes > lane->engine->arena->frame_capacity)
		lane_reset(lane, EBADMSG, "it published what is not a frame");
	return lane->finished ? -EBADMSG : SLU_OK;
}

/* Whether the local sender has published more than was taken. relaxed: a hint */
static bool outgoing_more(const struct outgoing *out)
{
	const _Atomic uint64_t *slot = &out->rx.shm->slots[out->rx.pos & out->rx.slot_mask];

	return (uint32_t)(atomic_load_explicit(slot, memory_order_relaxed) >> 32) ==
	       (uint32_t)(out->rx.pos + 1);
}

/* Of a channel that moves no more data: nobody will receive what comes now. */
static void outgoing_drain(struct lane *lane)
{
	uint32_t frame_idx;

	outgoing_release(lane);
	if (lane->out.in_driver)
		return;
	while (chan_rx_next(&lane->out.rx, &frame_idx) == SLU_OK)
		chan_rx_release(&lane->out.rx, frame_idx);
	lane->out.released_pos = lane->out.rx.pos;
}

void outgoing_finished(struct lane *lane)
{
	lane->out.probe_ns = ENGINE_NEVER;
	lane->out.homing = false;
	outgoing_unqueue(lane);
	outgoing_drain(lane);
}

void outgoing_fini(struct lane *lane)
{
	outgoing_unqueue(lane);
	outgoing_release(lane);
	free(lane->out.frames);
}

/* ---- sending ------------------------------------------------------------- */

/*
 * Whether the peer is to say at once what it has, when nothing follows. Not on an
 * urgent channel that keeps few frames: there an answer is likely to come anyway.
 */
static bool outgoing_wants_ack(const struct lane *lane)
{
	const struct outgoing *out = &lane->out;

	return !lane->urgent || ACK_LATE_PART * (out->rx.pos - out->released_pos) > out->rx.window;
}

static int outgoing_frame_send(struct lane *lane)
{
	struct engine *engine = lane->engine;
	struct outgoing *out = &lane->out;
	const struct outgoing_frame *kept = outgoing_frame(out, out->send_pos);
	struct frame_shm *frame = arena_frame(engine->arena, kept->frame_idx);
	bool last = out->send_pos + 1 == out->rx.pos && !outgoing_more(out);
	bool closes = out->send_pos + 1 == out->limit_pos;
	struct frame_wire header = {
	        .channel = lane->peer_number,
	        .size_bytes = kept->size_bytes,
	        .pos = out->send_pos,
	        .tag = kept->tag,
	        .flags = (uint8_t)((lane->session->crc32c ? WIRE_DATA_CRC32C : 0) |
	                           (last && outgoing_wants_ack(lane) ? WIRE_DATA_ACK : 0) |
	                           (closes && !last ? WIRE_DATA_MORE : 0)),
	};
	int r;

	wire_data_encode(&frame->wire, &header);
	r = engine->ops->send(engine->driver, lane->session->driver_session, &frame->wire,
	                      kept->size_bytes + (uint32_t)sizeof(frame->wire),
	                      (uint64_t)lane->number << 32 | (uint32_t)out->send_pos);
	if (r != SLU_OK)
		return r;
	incoming_credits_along(lane->session);
	engine->stats.tx_frames++;
	engine->stats.tx_bytes += kept->size_bytes;
	if (!out->in_driver++)
		out->driver_pos = out->send_pos;
	if (out->send_pos++ < out->sent_max_pos)
		engine->stats.resent_frames++;
	else
		out->sent_max_pos = out->send_pos;
	return SLU_OK;
}

static int outgoing_eos_send(struct lane *lane)
{
	struct wire_small eos = {
	        .lane = lane->peer_number, .type = WIRE_EOS, .pos = lane->out.send_pos};
	int r = session_small_send(lane->session, &eos);

	lane->out.eos_sent = r == SLU_OK;
	return r;
}

/* One message. SLU_OK: sent; SLU_AGAIN: nothing to send; -EAGAIN: the session
 * takes no more now; any other negative: the channel was reset. */
static int outgoing_step(struct lane *lane)
{
	struct outgoing *out = &lane->out;
	bool credit = out->send_pos < out->limit_pos;
	int r = SLU_OK;

	if (out->homing)
		return SLU_AGAIN;
	/* Without credit only to see EOS, which needs none, and to tell the local
	 * sender what was released. */
	if (!out->eos && out->send_pos == out->rx.pos && (credit || !outgoing_more(out)))
		r = outgoing_take(lane);
	if (r < 0)
		return r;
	if (out->send_pos < out->rx.pos) {
		if (!credit)
			return SLU_AGAIN;
		r = outgoing_frame_send(lane);
	} else if (out->eos && !out->eos_sent) {
		r = outgoing_eos_send(lane);
	} else {
		return SLU_AGAIN;
	}
	if (r == -EMSGSIZE)
		lane_reset(lane, EMSGSIZE, "a frame is larger than the driver takes");
	/* -ENOTCONN: DOWN follows, and moves us */
	return r == SLU_AGAIN || r == -ENOTCONN ? -EAGAIN : r;
}

static bool outgoing_outstanding(const struct outgoing *out)
{
	return out->acked_pos < out->sent_max_pos || (out->eos_sent && !out->eos_acked) ||
	       (out->send_pos == out->limit_pos &&
	        (out->send_pos < out->rx.pos || outgoing_more(out)));
}

static void outgoing_probe_arm(struct lane *lane)
{
	struct outgoing *out = &lane->out;

	if (lane->finished || !outgoing_outstanding(out)) {
		out->probe_ns = ENGINE_NEVER;
	} else if (out->probe_ns == ENGINE_NEVER) {
		out->probe_ns = lane->engine->now_ns + out->probe_wait_ns;
		lane_timed(lane, out->probe_ns);
	}
}

uint32_t outgoing_run(struct lane *lane)
{
	uint32_t sent = 0;
	int r = SLU_OK;

	outgoing_unqueue(lane);
	if (!lane->finished && chan_reset_error(lane->shm))
		lane_reset_by_local(lane);
	if (lane->finished) {
		outgoing_drain(lane);
		return 0;
	}
	outgoing_release(lane);
	if (!lane->session) {
		/* Only to see a process that ends without having been met. */
		return 0;
	}
	if (lane->session->blocked)
		r = -EAGAIN;
	while (r == SLU_OK && lane->out.turn_sent < OUTGOING_TURN) {
		r = outgoing_step(lane);
		lane->out.turn_sent += r == SLU_OK;
		sent += r == SLU_OK;
	}
	if (lane->finished)
		return sent;
	if (r == -EAGAIN)
		outgoing_block(lane); /* the turn goes on after that */
	else
		lane->out.turn_sent = 0;
	if (r == SLU_OK)
		outgoing_wake(lane);
	outgoing_probe_arm(lane);
	return sent;
}

void outgoing_unbound(struct lane *lane)
{
	struct outgoing *out = &lane->out;

	out->in_driver = 0;
	out->homing = false;
	out->unanswered_ns = 0;
	out->send_pos = out->acked_pos;
	out->eos_sent = out->eos_acked;
	outgoing_release(lane);
}

bool outgoing_quiet(const struct lane *lane)
{
	const struct outgoing *out = &lane->out;

	/* Not sent_max_pos: what went on a session before this one and was lost is not
	 * on the way, and who waits for it before it was sent again waits for ever. */
	return !out->in_driver && out->acked_pos == out->send_pos &&
	       out->eos_sent == out->eos_acked;
}

static void outgoing_probe_send(struct lane *lane)
{
	struct wire_small probe = {
	        .lane = lane->peer_number, .type = WIRE_PROBE, .pos = lane->out.send_pos};

	session_small_send(lane->session, &probe);
}

/* A busy lane is never quiet by itself. */
void outgoing_home_begin(struct lane *lane)
{
	if (!lane->out.homing)
		outgoing_probe_send(lane);
	lane->out.homing = true;
}

void outgoing_home_end(struct lane *lane)
{
	if (!lane->out.homing)
		return;
	lane->out.homing = false;
	outgoing_wake(lane);
}

/* ---- what comes back ----------------------------------------------------- */

void outgoing_sent(struct engine *engine, uint64_t cookie)
{
	struct lane *lane = lane_find(engine, (uint32_t)(cookie >> 32));
	struct outgoing *out;

	if (!lane || !lane_sends(lane) || !lane->out.in_driver)
		return;
	out = &lane->out;
	out->in_driver--;
	/* In order of send: none of a lower position is left. */
	out->driver_pos += (uint32_t)((uint32_t)cookie - (uint32_t)out->driver_pos) + 1u;
	if (lane->finished) {
		outgoing_drain(lane);
		lane_done_maybe(lane);
	} else if (out->acked_pos > out->released_pos) {
		outgoing_release(lane);
		outgoing_wake(lane); /* the local sender may wait for what was released */
	}
	if (out->homing && outgoing_quiet(lane))
		session_rebind_home(lane);
}

static void outgoing_progress(struct lane *lane)
{
	struct outgoing *out = &lane->out;

	/* Received on the session before, so not to be sent on this one. */
	if (out->send_pos < out->acked_pos)
		out->send_pos = out->acked_pos;
	out->probe_ns = ENGINE_NEVER;
	out->probe_wait_ns = lane->engine->advertise_ns;
	outgoing_probe_arm(lane);
	outgoing_release(lane);
	outgoing_wake(lane);
	if (outgoing_quiet(lane))
		session_rebind_home(lane);
}

const char *outgoing_credit(struct lane *lane, const struct wire_small *credit)
{
	struct outgoing *out = &lane->out;
	uint64_t received_pos = credit->pos;
	bool progress = false;

	out->unanswered_ns = 0;
	if (lane->session)
		lane->session->through_ns = lane->engine->now_ns;
	if (credit->flags & WIRE_CREDIT_STOP) {
		chan_rx_stop(&out->rx);
		lane_finish(lane, 0, WIRE_END_STOPPED, "");
		return NULL;
	}
	if (out->eos && received_pos == out->rx.pos + 1) {
		progress = !out->eos_acked;
		out->eos_sent = out->eos_acked = true;
		received_pos--;
	}
	if (received_pos > out->sent_max_pos)
		return "CREDIT for what was never sent";
	if (received_pos > out->acked_pos) {
		out->acked_pos = received_pos;
		progress = true;
	}
	if (credit->limit_pos > out->limit_pos) {
		out->limit_pos = credit->limit_pos;
		progress = true;
	}
	if (progress)
		outgoing_progress(lane);
	if (out->eos_acked)
		lane_finish(lane, 0, WIRE_END_COMPLETE, "");
	return NULL;
}

uint64_t outgoing_timers(struct lane *lane, uint64_t now_ns)
{
	struct outgoing *out = &lane->out;

	if (now_ns < out->probe_ns)
		return out->probe_ns;
	out->probe_ns = ENGINE_NEVER;
	if (!outgoing_outstanding(out) || lane->finished || !lane->session)
		return ENGINE_NEVER;
	if (out->unanswered_ns >= lane->engine->peer_timeout_ns) {
		session_suspect(lane);
		out->unanswered_ns = 0;
		if (!lane->session)
			return ENGINE_NEVER;
	}
	outgoing_probe_send(lane);
	if (out->probe_wait_ns < PROBE_WAIT_FACTOR_MAX * lane->engine->advertise_ns)
		out->probe_wait_ns *= 2;
	out->probe_ns = now_ns + out->probe_wait_ns;
	/* Not by the clock: this process may have been stopped for a while. Of a peer
	 * whose control connection is lost the conductor decides. */
	if (lane->peer->control_up)
		out->unanswered_ns += out->probe_wait_ns;
	return out->probe_ns;
}
