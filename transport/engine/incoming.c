/* SPDX-License-Identifier: Apache-2.0 */
/*
 * incoming.c - channels whose local process receives. A frame has landed in a
 * receive frame of the arena; it is checked and put on the local ring as it
 * lies. What the local receiver gives back becomes credit for the peer, as far
 * as the receive budget and the local ring allow.
 */
#include "transport/engine/engine_state.h"

#include "transport/clock.h"

#include <errno.h>

#define CREDIT_LATE_NS SLU_NS_PER_MS

int incoming_init(struct lane *lane)
{
	struct engine *engine = lane->engine;
	struct incoming *in = &lane->in;

	if (!receive_budget_admit(&engine->budget, &in->share, engine->arena->window_slots))
		return -ENOSPC;
	chan_tx_init(&in->tx, engine->port, lane->chan_idx);
	chan_tx_watch(&in->tx, true);
	in->local_limit_pos = atomic_load_explicit(&lane->shm->limit_pos, memory_order_acquire);
	in->limit_pos =
	        receive_budget_settle(&engine->budget, &in->share, 0, 0, in->local_limit_pos,
	                              engine->arena->window_slots, false);
	return 0;
}

void incoming_fini(struct lane *lane)
{
	incoming_credit_undue(lane);
	receive_budget_leave(&lane->engine->budget, &lane->in.share);
}

/* ---- credit -------------------------------------------------------------- */

void incoming_credit_due(struct lane *lane)
{
	if (lane->finished)
		return;
	if (lane->in.credit == CREDIT_LATE)
		incoming_credit_undue(lane);
	if (lane->in.credit != CREDIT_IDLE)
		return;
	lane->in.credit = CREDIT_LISTED;
	TAILQ_INSERT_TAIL(&lane->engine->credits, lane, in.credit_link);
}

void incoming_credit_undue(struct lane *lane)
{
	if (lane->in.credit == CREDIT_LISTED)
		TAILQ_REMOVE(&lane->engine->credits, lane, in.credit_link);
	else if (lane->in.credit == CREDIT_BLOCKED)
		TAILQ_REMOVE(&lane->session->credits_waiting, lane, in.credit_link);
	else if (lane->in.credit == CREDIT_LATE)
		TAILQ_REMOVE(&lane->session->credits_late, lane, in.credit_link);
	lane->in.credit = CREDIT_IDLE;
}

/* An answer to what came is likely to follow: then there is one message and one wake-up
 * of the other agent for both. */
static void incoming_credit_late(struct lane *lane)
{
	struct engine *engine = lane->engine;
	struct session *session = lane->session;

	if (TAILQ_EMPTY(&session->credits_late)) {
		session->late_ns = engine->now_ns + CREDIT_LATE_NS;
		if (session->late_ns < engine->late_ns)
			engine->late_ns = session->late_ns;
	}
	lane->in.credit = CREDIT_LATE;
	TAILQ_INSERT_TAIL(&session->credits_late, lane, in.credit_link);
}

void incoming_credits_along(struct session *session)
{
	struct lane *lane;

	while ((lane = TAILQ_FIRST(&session->credits_late))) {
		lane->in.ack_asked = true;
		incoming_credit_due(lane);
	}
}

/* What the local receiver says: its word only, so it is held against what can
 * be. false: the channel was reset hereby. */
static bool incoming_look(struct lane *lane)
{
	struct incoming *in = &lane->in;
	/* acquire: pairs with the releases in rx_publish_limit */
	uint64_t limit_pos = atomic_load_explicit(&lane->shm->limit_pos, memory_order_acquire);
	uint64_t released_pos =
	        atomic_load_explicit(&lane->shm->released_pos, memory_order_acquire);

	if (released_pos < in->released_pos || released_pos > in->tx.pos ||
	    limit_pos > released_pos + lane->engine->arena->window_slots) {
		/* The limit is written after released_pos: ours may be the older. */
		released_pos = atomic_load_explicit(&lane->shm->released_pos, memory_order_acquire);
		if (released_pos < in->released_pos || released_pos > in->tx.pos ||
		    limit_pos > released_pos + lane->engine->arena->window_slots) {
			lane_reset(lane, EBADMSG, "it gave back frames that it never had");
			return false;
		}
	}
	in->released_pos = released_pos;
	if (limit_pos > in->local_limit_pos)
		in->local_limit_pos = limit_pos;
	return true;
}

static uint64_t incoming_limit(struct lane *lane)
{
	struct incoming *in = &lane->in;
	uint64_t limit_pos = receive_budget_settle(
	        &lane->engine->budget, &in->share, in->released_pos, in->limit_pos,
	        in->local_limit_pos, lane->engine->arena->window_slots, in->wants_more);

	/* The local ring is what holds it back: that adapts to stalls of its sender. */
	if (in->wants_more && in->local_limit_pos < in->released_pos + in->share.window)
		counter_add(&lane->shm->tx_stalls, 1);
	in->wants_more = false;
	return limit_pos;
}

/* Whether the peer has to hear of limit_pos and received_pos now, or it can wait
 * until there is more to say. */
static bool incoming_credit_needed(const struct lane *lane, uint64_t limit_pos,
                                   uint64_t received_pos)
{
	const struct incoming *in = &lane->in;
	uint64_t quantum = in->share.window / (lane->urgent ? 2 : 4);
	uint64_t more = limit_pos - in->limit_pos;

	quantum = quantum ? quantum : 1;
	if (in->credit_force || more >= quantum || received_pos - in->received_told >= quantum)
		return true;
	if (in->ack_asked && received_pos != in->received_told)
		return true;
	return more && in->tx.pos >= in->limit_pos;
}

static void session_credits_late(struct session *session)
{
	struct engine *engine = session->peer->engine;

	if (TAILQ_EMPTY(&session->credits_late))
		return;
	if (engine->now_ns >= session->late_ns)
		incoming_credits_along(session);
	else if (session->late_ns < engine->late_ns)
		engine->late_ns = session->late_ns;
}

void incoming_credits_late(struct engine *engine)
{
	if (engine->now_ns < engine->late_ns)
		return;
	engine->late_ns = ENGINE_NEVER;
	for (uint32_t i = 0; i < engine->peer_room; i++)
		for (unsigned index = 0; engine->peers[i] && index < ENGINE_SESSIONS_MAX; index++)
			session_credits_late(&engine->peers[i]->sessions[index]);
}

void incoming_credit_send(struct lane *lane)
{
	struct incoming *in = &lane->in;
	struct wire_small credit = {
	        .lane = lane->peer_number,
	        .type = WIRE_CREDIT,
	        .flags = in->stopped ? WIRE_CREDIT_STOP : 0,
	        .pos = in->tx.pos + in->eos,
	};
	int r;

	incoming_credit_undue(lane);
	if (lane->finished || !lane->session || !incoming_look(lane))
		return;
	credit.limit_pos = incoming_limit(lane);
	if (!incoming_credit_needed(lane, credit.limit_pos, credit.pos)) {
		if (lane->urgent && credit.pos != in->received_told)
			incoming_credit_late(lane);
		return;
	}
	r = session_small_send(lane->session, &credit);
	if (r == SLU_AGAIN) {
		in->credit = CREDIT_BLOCKED;
		TAILQ_INSERT_TAIL(&lane->session->credits_waiting, lane, in.credit_link);
	}
	if (r != SLU_OK)
		return; /* -ENOTCONN: DOWN follows, and the next session begins with it */
	in->limit_pos = credit.limit_pos;
	in->received_told = credit.pos;
	in->credit_force = false;
	in->ack_asked = false;
	lane->engine->stats.credits_sent++;
}

void incoming_ready(struct lane *lane)
{
	struct incoming *in = &lane->in;

	if (lane->finished)
		return;
	if (chan_reset_error(lane->shm)) {
		lane_reset_by_local(lane);
		return;
	}
	if (!in->stopped && !in->eos && atomic_load(&lane->shm->stop))
		in->stopped = in->credit_force = true;
	incoming_credit_due(lane);
}

/* ---- what arrives -------------------------------------------------------- */

/* NULL: it is the peer's to send it here; *ret_lane: to whom, NULL: to nobody
 * any more. */
static const char *incoming_address(const struct session *session, const struct frame_wire *wire,
                                    struct lane **ret_lane)
{
	struct engine *engine = session->peer->engine;
	struct lane *lane = lane_find(engine, wire->channel);

	*ret_lane = NULL;
	if (LANE_INDEX(wire->channel) >= engine->arena->max_channels)
		return "a frame to a lane that cannot be";
	if (!lane)
		return NULL;
	if (lane->peer != session->peer || lane_sends(lane))
		return "a frame to a lane of somebody else";
	if (lane->finished || lane->in.stopped)
		return NULL;
	if (wire->pos > lane->in.tx.pos)
		return "a frame out of order";
	if (wire->pos >= lane->in.limit_pos)
		return "a frame beyond its credit";
	if (wire->pos == lane->in.tx.pos && lane->in.eos)
		return "a frame after EOS";
	*ret_lane = lane;
	return NULL;
}

static void incoming_accept(struct lane *lane, uint32_t frame_idx, const struct frame_wire *wire)
{
	struct engine *engine = lane->engine;
	struct incoming *in = &lane->in;

	if (wire->pos < in->tx.pos) {
		/* Sent again after a session was lost: it does not know that we have it. */
		engine->stats.duplicate_frames++;
		in->credit_force = true;
		frame_pool_give(engine->arena, engine->port->slot, frame_idx);
	} else {
		engine->stats.rx_frames++;
		engine->stats.rx_bytes += wire->size_bytes;
		in->ack_asked |= (wire->flags & WIRE_DATA_ACK) != 0;
		in->wants_more |= (wire->flags & WIRE_DATA_MORE) != 0;
		chan_tx_publish(&in->tx, frame_idx);
	}
	incoming_credit_due(lane);
}

void incoming_frame(struct session *session, void *message, uint32_t size_bytes)
{
	struct engine *engine = session->peer->engine;
	uint32_t frame_idx = arena_frame_idx(engine->arena, message);
	struct frame_wire *wire = message;
	struct lane *lane = NULL;
	bool corrupt;
	const char *problem = wire_data_decode(wire, size_bytes, session->crc32c, &corrupt);

	engine->stats.crc_errors += corrupt;
	if (!problem)
		problem = incoming_address(session, wire, &lane);
	session->worked |= !problem;
	if (lane)
		incoming_accept(lane, frame_idx, wire);
	else
		frame_pool_give(engine->arena, engine->port->slot, frame_idx);
	if (problem)
		session_violated(session, problem);
}

static const char *incoming_eos(struct lane *lane, uint64_t final_pos)
{
	struct incoming *in = &lane->in;

	if (final_pos != in->tx.pos)
		return "EOS out of order";
	in->credit_force = true;
	incoming_credit_due(lane);
	if (in->eos)
		return NULL;
	in->eos = true;
	chan_tx_eos(&in->tx);
	return NULL;
}

const char *incoming_small(struct lane *lane, const struct wire_small *small)
{
	if (!lane->in.stopped && small->type == WIRE_EOS)
		return incoming_eos(lane, small->pos);
	lane->in.credit_force = true;
	incoming_credit_due(lane);
	return NULL;
}
