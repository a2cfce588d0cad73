/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lane.c - one end of a channel with another host, from engine_channel_open()
 * to channel_done. An end goes through
 *
 *   open ---------> joined ---------> finished ---------> done
 *     told the peer   knows the        moves no more       the local process has
 *     (OPEN)          other end        data; END says so   closed, the peer knows,
 *                                                          the driver has no frame
 *
 * and may finish without having been joined. Every END is answered, so that what
 * was said when a connection broke is said again; only then is an end forgotten.
 */
#include "transport/engine/engine_state.h"

#include "transport/clock.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct lane *lane_find(struct engine *engine, uint32_t number)
{
	uint32_t chan_idx = LANE_INDEX(number);
	struct lane *lane = chan_idx < engine->arena->max_channels ? engine->lanes[chan_idx] : NULL;

	return lane && lane->number == number ? lane : NULL;
}

static uint32_t lane_local_slot(const struct lane *lane)
{
	return atomic_load(lane_sends(lane) ? &lane->shm->tx_slot : &lane->shm->rx_slot);
}

/* ---- messages ------------------------------------------------------------ */

static uint32_t lane_rendezvous_ms(const struct lane *lane)
{
	uint64_t now_ns = lane->engine->now_ns;
	uint64_t left_ms;

	if (lane->rendezvous_ns <= now_ns)
		return 0;
	left_ms = (lane->rendezvous_ns - now_ns) / SLU_NS_PER_MS;
	return left_ms < UINT32_MAX ? (uint32_t)left_ms : UINT32_MAX;
}

void lane_open_send(struct lane *lane)
{
	struct wire_open open = {
	        .direction = (uint8_t)lane->name.direction,
	        .flags = lane->urgent ? WIRE_OPEN_URGENT : 0,
	        .lane = lane->number,
	        .peer_lane = lane->peer_number,
	        .rendezvous_ms = lane_rendezvous_ms(lane),
	        .limit_pos = lane_sends(lane) ? 0 : lane->in.limit_pos,
	};
	uint8_t message[WIRE_CONTROL_MAX];

	memcpy(open.token, lane->token.bytes, sizeof(open.token));
	peer_control_send(lane->peer, message, wire_open_encode(message, &open, &lane->name.key));
}

void lane_end_send(struct lane *lane)
{
	struct wire_end end = {
	        .flags = lane->end_flags,
	        .direction = (uint8_t)lane->name.direction,
	        .lane = lane->number,
	        .peer_lane = lane->peer_number,
	        .error = (uint32_t)lane->end_error,
	};
	uint8_t message[WIRE_CONTROL_MAX];

	peer_control_send(lane->peer, message,
	                  wire_end_encode(message, &end, &lane->name.key,
	                                  lane->end_text ? lane->end_text : ""));
}

/* ---- timers -------------------------------------------------------------- */

void lane_timed(struct lane *lane, uint64_t at_ns)
{
	if (at_ns == ENGINE_NEVER)
		return;
	if (!lane->timed) {
		TAILQ_INSERT_TAIL(&lane->engine->timed, lane, timed_link);
		lane->timed = true;
	}
	engine_timer_at(lane->engine, at_ns);
}

static void lane_rendezvous_over(struct lane *lane)
{
	const struct engine *engine = lane->engine;

	if (!lane->finished)
		lane_reset(lane, ETIMEDOUT, "no %s on host %s within %.1f s",
		           lane_sends(lane) ? "receiver" : "sender", peer_label(lane->peer),
		           (double)(engine->now_ns - lane->opened_ns) / SLU_NS_PER_S);
	/* Whom END did not reach by now, it is of no use to. */
	if (!lane->peer->control_up) {
		lane->end_acked = true;
		lane_done_maybe(lane);
	}
}

uint64_t lane_timers(struct lane *lane, uint64_t now_ns)
{
	uint64_t next_ns = ENGINE_NEVER;

	if (!lane_joined(lane)) {
		if (now_ns >= lane->rendezvous_ns)
			lane_rendezvous_over(lane);
		/* With the connection up, END is on its way; without, look again. */
		if (now_ns < lane->rendezvous_ns)
			next_ns = lane->rendezvous_ns;
	}
	if (lane_sends(lane)) {
		uint64_t probe_ns = outgoing_timers(lane, now_ns);

		next_ns = probe_ns < next_ns ? probe_ns : next_ns;
	}
	return next_ns;
}

/* ---- open and join ------------------------------------------------------- */

static struct lane *lane_by_name(struct engine *engine, const struct lane_name *name)
{
	struct lane *lane;

	HASH_FIND(by_name, engine->by_name, name, sizeof(*name), lane);
	return lane;
}

static void lane_unname(struct lane *lane)
{
	if (lane->named)
		HASH_DELETE(by_name, lane->engine->by_name, lane);
	lane->named = false;
}

/* Returns owned; NULL: no memory. */
static struct lane *lane_create(struct engine *engine, struct peer *peer,
                                const struct engine_open *open, const struct lane_name *name)
{
	struct lane *lane = calloc(1, sizeof(*lane));
	uint16_t *epoch = &engine->epochs[open->chan_idx];

	if (!lane)
		return NULL;
	*epoch = *epoch < LANE_EPOCH_MAX ? *epoch + 1 : 1;
	lane->engine = engine;
	lane->peer = peer;
	lane->chan_idx = open->chan_idx;
	lane->number = LANE(*epoch, open->chan_idx);
	lane->name = *name;
	lane->token = open->token;
	lane->shm = arena_chan(engine->arena, open->chan_idx);
	lane->urgent = open->urgent;
	lane->opened_ns = engine->now_ns;
	lane->rendezvous_ns = open->rendezvous_deadline_ns;
	return lane;
}

static void lane_insert(struct lane *lane)
{
	struct engine *engine = lane->engine;

	engine->lanes[lane->chan_idx] = lane;
	TAILQ_INSERT_TAIL(&lane->peer->lanes, lane, peer_link);
	HASH_ADD(by_name, engine->by_name, name, sizeof(lane->name), lane);
	lane->named = true;
	engine->stats.channels++;
	lane_timed(lane, lane->rendezvous_ns);
}

void lane_join(struct lane *lane, uint32_t peer_number, uint64_t limit_pos)
{
	lane->peer_number = peer_number;
	peer_joined_add(lane->peer);
	session_bind(lane);
	if (lane_sends(lane)) {
		if (limit_pos > lane->out.limit_pos)
			lane->out.limit_pos = limit_pos;
		outgoing_wake(lane);
	} else {
		incoming_credit_due(lane);
	}
}

/* Meet what waits at the peer, if anything does. */
static void lane_meet(struct lane *lane, struct pending *pending)
{
	if (!pending) {
		lane_open_send(lane);
		return;
	}
	if (pending->expires_ns == ENGINE_NEVER) {
		lane_join(lane, pending->peer_lane, pending->limit_pos);
		lane_open_send(lane);
	} else {
		lane_peer_ended(lane, pending->error, pending->error ? 0 : WIRE_END_STOPPED,
		                pending->text ? pending->text : "");
	}
	rendezvous_take(lane->peer, pending);
}

/* What of the peer's waits for this end. With another token: it is somebody
 * else's. If it is over it is in nobody's way; if not, the peer refuses us when
 * our OPEN gets there, being the later. */
static struct pending *lane_expected(struct peer *peer, const struct lane_name *name,
                                     const struct slu_token *token)
{
	struct pending *pending = rendezvous_find(peer, name);

	if (!pending || token_equal(&pending->token, token))
		return pending;
	if (pending->expires_ns != ENGINE_NEVER)
		rendezvous_take(peer, pending);
	return NULL;
}

static int lane_open(struct engine *engine, const struct engine_open *open)
{
	struct lane_name name = {.key = open->key, .direction = open->direction};
	struct peer *peer = peer_get(engine, open->peer);
	struct lane *other = lane_by_name(engine, &name);
	struct lane *lane;
	int r;

	if (!peer)
		return -ENOMEM;
	if (other && !other->local_closed)
		return -EEXIST;
	lane = lane_create(engine, peer, open, &name);
	if (!lane)
		return -ENOMEM;
	r = lane_sends(lane) ? outgoing_init(lane) : incoming_init(lane);
	if (r < 0) {
		free(lane);
		return r;
	}
	if (other)
		lane_unname(other);
	lane_insert(lane);
	lane_meet(lane, lane_expected(peer, &name, &open->token));
	return 0;
}

int engine_channel_open(struct engine *engine, const struct engine_open *open, uint64_t now_ns)
{
	engine->now_ns = now_ns;
	if (open->chan_idx >= engine->arena->max_channels || engine->lanes[open->chan_idx] ||
	    open->peer > ENGINE_PEER_MAX ||
	    (open->direction != SLU_SEND && open->direction != SLU_RECV))
		return -EINVAL;
	return lane_open(engine, open);
}

/* ---- the end ------------------------------------------------------------- */

void lane_finish(struct lane *lane, int error, uint8_t flags, const char *text)
{
	if (lane->finished)
		return;
	lane->finished = true;
	lane->end_error = error < 0 ? -error : error;
	lane->end_flags = flags;
	if (error)
		lane->end_text = strdup(text);
	if (lane_joined(lane))
		lane->peer->joined--;
	if (lane_sends(lane))
		outgoing_finished(lane);
	else
		incoming_credit_undue(lane);
	if (!lane->peer_ended)
		lane_end_send(lane);
	lane_done_maybe(lane);
}

void lane_reset_text(struct lane *lane, int error, const char *text)
{
	if (lane->finished)
		return;
	if (!lane_sends(lane) && lane->in.eos) {
		/* Everything is here: what became of the sender does not matter. */
		lane_finish(lane, 0, WIRE_END_COMPLETE, "");
		return;
	}
	lane->engine->stats.channels_reset++;
	if (!lane->local_closed) {
		chan_reset_write(&lane->shm->agent_reset, error, text);
		port_notify_always(lane->engine->port, lane_local_slot(lane), lane->chan_idx);
	}
	lane_finish(lane, error, 0, text);
}

/* "channel Q/M S->D, sender "NAME" on host H: " */
static size_t lane_describe(const struct lane *lane, char *text, size_t room)
{
	const struct arena *arena = lane->engine->arena;
	const struct slu_key *key = &lane->name.key;
	const char *role = lane_sends(lane) ? "sender" : "receiver";
	uint32_t slot = lane_local_slot(lane);
	char process[PROC_NAME_BYTES + 1] = "";
	int size;

	/* The name lies in shared memory: copied bounded, not trusted to end. */
	if (slot < arena->max_processes)
		memcpy(process, arena_proc(arena, slot)->name, PROC_NAME_BYTES);
	size = snprintf(text, room, "channel %llu/%u %u->%u, %s \"%s\" on host %s: ",
	                (unsigned long long)key->query, key->motion, key->source, key->destination,
	                role, process, lane->engine->node);
	return size < 0 ? 0 : (size_t)size < room ? (size_t)size : room - 1;
}

void lane_reset(struct lane *lane, int error, const char *format, ...)
{
	char text[WIRE_TEXT_MAX + 1];
	size_t used = lane_describe(lane, text, sizeof(text));
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text + used, sizeof(text) - used, format, arguments);
	va_end(arguments);
	lane_reset_text(lane, error, text);
}

void lane_reset_by_local(struct lane *lane)
{
	int error = chan_reset_error(lane->shm);
	const char *why = chan_reset_text(lane->shm);
	char text[WIRE_TEXT_MAX + 1];
	size_t used = 0;

	/* What the agent wrote names everything already. */
	if (!atomic_load(&lane->shm->agent_reset.error))
		used = lane_describe(lane, text, sizeof(text));
	snprintf(text + used, sizeof(text) - used, "%.*s", (int)sizeof(lane->shm->tx_reset.text),
	         why);
	lane->engine->stats.channels_reset += !lane->finished;
	lane_finish(lane, error, 0, text);
}

void lane_peer_ended(struct lane *lane, int error, uint8_t flags, const char *text)
{
	lane->peer_ended = true;
	if (error)
		lane_reset_text(lane, error, text);
	else if (lane_sends(lane) && flags == WIRE_END_STOPPED)
		chan_rx_stop(&lane->out.rx);
	else if (lane_sends(lane) && !lane->out.eos)
		lane_reset(lane, EPROTO, "host %s says it has everything before EOS",
		           peer_label(lane->peer));
	else if (!lane_sends(lane) && flags == WIRE_END_STOPPED && lane->in.stopped)
		chan_tx_eos(&lane->in.tx);
	else if (!lane_sends(lane) && !lane->in.eos)
		lane_reset(lane, EPROTO, "host %s ended it before EOS", peer_label(lane->peer));
	lane_finish(lane, 0, flags, "");
	lane_done_maybe(lane);
}

void lane_done_maybe(struct lane *lane)
{
	if (lane->done || !lane->local_closed || !lane->finished)
		return;
	if (!lane->peer_ended && !lane->end_acked)
		return;
	if (lane_sends(lane) && lane->out.in_driver)
		return;
	lane->done = true;
	TAILQ_INSERT_TAIL(&lane->engine->done, lane, done_link);
}

void lane_free(struct lane *lane)
{
	struct engine *engine = lane->engine;

	lane_unname(lane);
	if (lane->session)
		session_unbind(lane);
	if (lane_sends(lane))
		outgoing_fini(lane);
	else
		incoming_fini(lane);
	if (lane->timed)
		TAILQ_REMOVE(&engine->timed, lane, timed_link);
	if (lane->done)
		TAILQ_REMOVE(&engine->done, lane, done_link);
	TAILQ_REMOVE(&lane->peer->lanes, lane, peer_link);
	engine->lanes[lane->chan_idx] = NULL;
	engine->stats.channels--;
	free(lane->end_text);
	free(lane);
}

static void lane_close(struct lane *lane, int error, const char *reason)
{
	lane->local_closed = true;
	if (error) {
		lane_reset_text(lane, error, reason);
	} else if (!lane_sends(lane)) {
		lane->in.stopped = !lane->in.eos;
		lane_finish(lane, 0, lane->in.eos ? WIRE_END_COMPLETE : WIRE_END_STOPPED, "");
	} else if (chan_reset_error(lane->shm)) {
		lane_reset_by_local(lane);
	} else if (atomic_load(&lane->shm->eos_pos)) {
		outgoing_wake(lane);
	} else {
		lane_reset(lane, ECANCELED, "closed before EOS");
	}
	lane_done_maybe(lane);
}

void engine_channel_close(struct engine *engine, uint32_t chan_idx, int error, const char *reason,
                          uint64_t now_ns)
{
	struct lane *lane = chan_idx < engine->arena->max_channels ? engine->lanes[chan_idx] : NULL;

	engine->now_ns = now_ns;
	if (lane && !lane->local_closed)
		lane_close(lane, error, reason ? reason : "");
	engine_reap(engine);
}
