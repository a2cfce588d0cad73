/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rendezvous.c - OPEN and END from peers: ends of other hosts meet local ones,
 * or wait here for one that comes later. Of an end that was over before it met
 * anybody a tombstone is kept for the time it would have waited, so that a late
 * sender learns of the STOP and a late receiver of the death.
 */
#include "transport/engine/engine_state.h"

#include "transport/clock.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Per peer, in units of max_channels: an honest peer has no more ends open than
 * channels, and some that ended a moment ago. */
#define PENDINGS_PER_CHANNEL   4u
#define TOMBSTONES_PER_CHANNEL 1u

static uint32_t opposite(uint32_t direction)
{
	return direction == SLU_SEND ? SLU_RECV : SLU_SEND;
}

/* ---- who waits ----------------------------------------------------------- */

static struct pending *pending_find(struct peer *peer, const struct lane_name *remote)
{
	struct pending_key key = {.name = *remote, .peer = peer->number};
	struct pending *pending;

	HASH_FIND(hh, peer->engine->pendings, &key, sizeof(key), pending);
	return pending;
}

struct pending *rendezvous_find(struct peer *peer, const struct lane_name *name)
{
	struct lane_name remote = *name;

	remote.direction = opposite(name->direction);
	return pending_find(peer, &remote);
}

static void pending_unlist(struct peer *peer, struct pending *pending)
{
	if (pending->expires_ns == ENGINE_NEVER) {
		TAILQ_REMOVE(&peer->pendings, pending, link);
		peer->pending_count--;
	} else {
		TAILQ_REMOVE(&peer->tombstones, pending, link);
		peer->tombstone_count--;
	}
}

void rendezvous_take(struct peer *peer, struct pending *pending)
{
	pending_unlist(peer, pending);
	HASH_DEL(peer->engine->pendings, pending);
	free(pending->text);
	free(pending);
}

void rendezvous_drop(struct peer *peer, bool tombstones_too)
{
	while (!TAILQ_EMPTY(&peer->pendings))
		rendezvous_take(peer, TAILQ_FIRST(&peer->pendings));
	while (tombstones_too && !TAILQ_EMPTY(&peer->tombstones))
		rendezvous_take(peer, TAILQ_FIRST(&peer->tombstones));
}

void rendezvous_timers(struct peer *peer, uint64_t now_ns)
{
	struct pending *next;

	for (struct pending *t = TAILQ_FIRST(&peer->tombstones); t; t = next) {
		next = TAILQ_NEXT(t, link);
		if (now_ns >= t->expires_ns)
			rendezvous_take(peer, t);
		else
			engine_timer_at(peer->engine, t->expires_ns);
	}
}

/* 0, -ENOBUFS, -ENOMEM */
static int pending_add(struct peer *peer, const struct lane_name *remote,
                       const struct wire_open *open)
{
	struct pending *pending = pending_find(peer, remote);

	if (pending)
		rendezvous_take(peer, pending); /* of a former use of the name */
	if (peer->pending_count >= PENDINGS_PER_CHANNEL * peer->engine->arena->max_channels)
		return -ENOBUFS;
	pending = calloc(1, sizeof(*pending));
	if (!pending)
		return -ENOMEM;
	pending->key.name = *remote;
	pending->key.peer = peer->number;
	pending->peer_lane = open->lane;
	memcpy(pending->token.bytes, open->token, sizeof(open->token));
	pending->limit_pos = open->limit_pos;
	pending->rendezvous_ms = open->rendezvous_ms;
	pending->expires_ns = ENGINE_NEVER;
	HASH_ADD(hh, peer->engine->pendings, key, sizeof(pending->key), pending);
	TAILQ_INSERT_TAIL(&peer->pendings, pending, link);
	peer->pending_count++;
	return 0;
}

static void pending_bury(struct peer *peer, struct pending *pending, int error, const char *text)
{
	struct engine *engine = peer->engine;

	if (peer->tombstone_count >= TOMBSTONES_PER_CHANNEL * engine->arena->max_channels)
		rendezvous_take(peer, TAILQ_FIRST(&peer->tombstones));
	pending_unlist(peer, pending);
	pending->error = error;
	pending->text = error ? strdup(text) : NULL;
	pending->expires_ns = engine->now_ns + pending->rendezvous_ms * SLU_NS_PER_MS;
	TAILQ_INSERT_TAIL(&peer->tombstones, pending, link);
	peer->tombstone_count++;
	engine_timer_at(engine, pending->expires_ns);
}

/* ---- OPEN ---------------------------------------------------------------- */

static void open_refuse(struct peer *peer, const struct wire_control *control, int error,
                        const char *what)
{
	const struct slu_key *key = &control->key;
	const struct wire_open *open = &control->open;
	struct wire_end end = {
	        .direction = (uint8_t)opposite(open->direction),
	        .peer_lane = open->lane,
	        .error = (uint32_t)error,
	};
	uint8_t message[WIRE_CONTROL_MAX];
	char text[WIRE_TEXT_MAX + 1];

	snprintf(text, sizeof(text), "channel %llu/%u %u->%u: refused by host %s: %s",
	         (unsigned long long)key->query, key->motion, key->source, key->destination,
	         peer->engine->node, what);
	peer_control_send(peer, message, wire_end_encode(message, &end, key, text));
}

/* The local end that the peer's names by number. */
static struct lane *open_lane_by_number(struct peer *peer, const struct wire_control *control)
{
	struct lane *lane = lane_find(peer->engine, control->open.peer_lane);

	if (!lane || lane->peer != peer || lane->name.direction == control->open.direction ||
	    memcmp(&lane->name.key, &control->key, sizeof(control->key)) != 0 ||
	    (lane_joined(lane) && lane->peer_number != control->open.lane))
		return NULL;
	return lane;
}

/* The local end that waits for the peer's, has met it already, or has ended
 * without having met it. */
static struct lane *open_lane_by_name(struct peer *peer, const struct wire_control *control)
{
	struct lane_name name = {
	        .key = control->key,
	        .direction = opposite(control->open.direction),
	};
	struct slu_token token;
	struct lane *lane;

	memcpy(token.bytes, control->open.token, sizeof(token.bytes));
	HASH_FIND(by_name, peer->engine->by_name, &name, sizeof(name), lane);
	if (!lane || lane->peer != peer ||
	    (lane_joined(lane) && lane->peer_number != control->open.lane) ||
	    /* Whose end is over has no say in who uses the name next. */
	    ((lane->local_closed || lane->finished) && !token_equal(&lane->token, &token)))
		return NULL;
	return lane;
}

static void open_meet(struct lane *lane, const struct wire_control *control)
{
	const struct wire_open *open = &control->open;
	struct slu_token token;

	memcpy(token.bytes, open->token, sizeof(token.bytes));
	if (!token_equal(&lane->token, &token)) {
		open_refuse(lane->peer, control, EACCES, "the other end has another token");
	} else if (lane->finished) {
		/* Our END named no lane, or was lost, or we took the peer for dead. */
		lane->peer_number = open->lane;
		lane_end_send(lane);
	} else if (!lane_joined(lane)) {
		lane_join(lane, open->lane, open->limit_pos);
	}
}

const char *rendezvous_open(struct peer *peer, const struct wire_control *control)
{
	const struct wire_open *open = &control->open;
	struct lane_name remote = {.key = control->key, .direction = open->direction};
	struct lane *lane;
	int r;

	if (open->peer_lane) {
		lane = open_lane_by_number(peer, control);
		if (lane)
			open_meet(lane, control);
		else
			open_refuse(peer, control, ECONNRESET, "the other end is gone");
		return NULL;
	}
	lane = open_lane_by_name(peer, control);
	if (lane) {
		open_meet(lane, control);
		return NULL;
	}
	r = pending_add(peer, &remote, open);
	if (r < 0)
		open_refuse(peer, control, -r, "too many channels wait for their other end");
	return NULL;
}

/* ---- END ----------------------------------------------------------------- */

/* The peer had met nobody when it wrote END. */
static const char *end_unmet(struct peer *peer, const struct wire_control *control)
{
	const struct wire_end *end = &control->end;
	struct lane_name remote = {.key = control->key, .direction = end->direction};
	struct pending *pending = pending_find(peer, &remote);
	struct lane *lane;

	if (pending && pending->peer_lane == end->lane) {
		if (!end->error && (end->direction == SLU_SEND || end->flags != WIRE_END_STOPPED))
			return "END in order of a channel that met nobody";
		if (pending->expires_ns == ENGINE_NEVER)
			pending_bury(peer, pending, (int)end->error, control->text);
		return NULL;
	}
	/* It met one of ours meanwhile, and our OPEN that says so was on the way:
	 * that waits at the peer now, until our own END comes. By number: ours may be
	 * closed, and its name another's. */
	TAILQ_FOREACH (lane, &peer->lanes, peer_link) {
		if (lane->peer_number == end->lane && lane->name.direction != end->direction)
			break;
	}
	if (lane && !lane->finished) {
		lane_peer_ended(lane, (int)end->error, end->flags, control->text);
		lane->peer_ended = false;
		lane_end_send(lane);
	}
	return NULL;
}

static const char *end_met(struct peer *peer, const struct wire_control *control)
{
	const struct wire_end *end = &control->end;
	struct lane_name remote = {.key = control->key, .direction = end->direction};
	struct pending *pending = pending_find(peer, &remote);
	struct lane *lane = lane_find(peer->engine, end->peer_lane);

	/* Its first OPEN came when ours was over already. */
	if (pending && pending->peer_lane == end->lane)
		rendezvous_take(peer, pending);
	if (lane && (lane->peer != peer || lane->name.direction == end->direction))
		return "END for a channel of somebody else";
	if (lane && (!end->lane || !lane_joined(lane) || lane->peer_number == end->lane))
		lane_peer_ended(lane, (int)end->error, end->flags, control->text);
	return NULL;
}

const char *rendezvous_end(struct peer *peer, const struct wire_control *control)
{
	const struct wire_end *end = &control->end;
	uint8_t message[WIRE_CONTROL_MAX];
	const char *problem;

	problem = end->peer_lane ? end_met(peer, control) : end_unmet(peer, control);
	if (!problem && end->lane)
		peer_control_send(peer, message, wire_end_ack_encode(message, end->lane));
	return problem;
}
