/* SPDX-License-Identifier: Apache-2.0 */
/*
 * peer.c - the engines of other hosts, as the conductor reports them: up, down,
 * dead; and the control messages that come from them.
 */
#include "transport/engine/engine_state.h"

#include "transport/clock.h"
#include "transport/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *peer_label(const struct peer *peer)
{
	return peer->name[0] ? peer->name : "(unknown)";
}

static struct peer *peer_create(struct engine *engine, uint32_t number)
{
	struct peer *peer = calloc(1, sizeof(*peer));

	if (!peer)
		return NULL;
	peer->engine = engine;
	peer->number = number;
	peer->rails = 1;
	peer->bulk_sessions = engine->bulk_sessions;
	peer->lost_ns = ENGINE_NEVER;
	TAILQ_INIT(&peer->lanes);
	TAILQ_INIT(&peer->pendings);
	TAILQ_INIT(&peer->tombstones);
	for (uint8_t i = 0; i < ENGINE_SESSIONS_MAX; i++)
		session_init(&peer->sessions[i], peer, i);
	return peer;
}

struct peer *peer_get(struct engine *engine, uint32_t number)
{
	if (number > ENGINE_PEER_MAX)
		return NULL;
	if (number >= engine->peer_room) {
		uint32_t room =
		        number + 1 > 2 * engine->peer_room ? number + 1 : 2 * engine->peer_room;
		struct peer **peers = realloc(engine->peers, room * sizeof(*peers));

		if (!peers)
			return NULL;
		memset(peers + engine->peer_room, 0, (room - engine->peer_room) * sizeof(*peers));
		engine->peers = peers;
		engine->peer_room = room;
	}
	if (!engine->peers[number])
		engine->peers[number] = peer_create(engine, number);
	return engine->peers[number];
}

void peer_destroy(struct peer *peer)
{
	while (!TAILQ_EMPTY(&peer->lanes))
		lane_free(TAILQ_FIRST(&peer->lanes));
	rendezvous_drop(peer, true);
	free(peer);
}

void peer_control_send(struct peer *peer, const void *message, size_t size_bytes)
{
	struct engine_callbacks *callbacks = &peer->engine->callbacks;

	if (!peer->control_up)
		return;
	/* What is lost with a connection is said again on the next. */
	if (callbacks->control_send(peer->number, message, size_bytes, callbacks->ctx) < 0)
		peer->control_up = false;
}

void peer_joined_add(struct peer *peer)
{
	peer->joined++;
	if (!peer->sessions_up && peer->lost_ns == ENGINE_NEVER) {
		peer->lost_ns = peer->engine->now_ns;
		engine_timer_at(peer->engine, peer->lost_ns + peer->engine->peer_timeout_ns);
	}
}

static void peer_unreachable(struct peer *peer)
{
	double seconds = (double)peer->engine->peer_timeout_ns / SLU_NS_PER_S;
	struct lane *lane;

	log_event(LOG_LEVEL_WARNING, "peer_unreachable", "peer=%s channels=%u", peer_label(peer),
	          peer->joined);
	TAILQ_FOREACH (lane, &peer->lanes, peer_link)
		if (lane_joined(lane) && !lane->finished)
			lane_reset(lane, EHOSTUNREACH, "no session with host %s for %.1f s%s%s",
			           peer_label(peer), seconds, *peer->lost_reason ? ": " : "",
			           peer->lost_reason);
}

void peer_timers(struct peer *peer, uint64_t now_ns)
{
	uint64_t timeout_ns = peer->engine->peer_timeout_ns;

	for (unsigned i = 0; i < ENGINE_SESSIONS_MAX; i++)
		session_timers(&peer->sessions[i], now_ns);
	rendezvous_timers(peer, now_ns);
	if (peer->lost_ns == ENGINE_NEVER)
		return;
	if (!peer->joined) {
		peer->lost_ns = ENGINE_NEVER;
	} else if (now_ns >= peer->lost_ns + timeout_ns) {
		peer->lost_ns = ENGINE_NEVER;
		peer_unreachable(peer);
	} else {
		engine_timer_at(peer->engine, peer->lost_ns + timeout_ns);
	}
}

/* ---- what the conductor tells -------------------------------------------- */

/* Cannot fail but for want of memory, and then the peer stays down. */
static struct peer *peer_named(struct engine *engine, uint32_t number, const char *name)
{
	struct peer *peer = peer_get(engine, number);

	if (peer)
		snprintf(peer->name, sizeof(peer->name), "%s", name);
	else
		log_event(LOG_LEVEL_ERROR, "peer_refused", "peer=%s number=%u", name, number);
	return peer;
}

void engine_peer_name(struct engine *engine, uint32_t number, const char *name)
{
	peer_named(engine, number, name);
}

static void peer_address_set(struct peer *peer, const char *address)
{
	snprintf(peer->address, sizeof(peer->address), "%s", address);
	peer->rails = 1;
	for (const char *comma = peer->address; (comma = strchr(comma, ',')); comma++)
		peer->rails++;
	peer->bulk_sessions = peer->engine->bulk_sessions;
	if (peer->bulk_sessions < peer->rails)
		peer->bulk_sessions = peer->rails;
	if (peer->bulk_sessions > ENGINE_SESSIONS_MAX - 1)
		peer->bulk_sessions = ENGINE_SESSIONS_MAX - 1;
}

void engine_peer_up(struct engine *engine, uint32_t number, const char *name, const char *address,
                    bool connects, bool encrypted, uint64_t now_ns)
{
	struct peer *peer = peer_named(engine, number, name);
	struct lane *lane;

	engine->now_ns = now_ns;
	if (!peer)
		return;
	peer_address_set(peer, address);
	peer->control_up = true;
	peer->connects = connects;
	peer->encrypted = encrypted;
	rendezvous_drop(peer, false); /* those still open are told again */
	TAILQ_FOREACH (lane, &peer->lanes, peer_link) {
		if (lane->peer_ended || lane->end_acked)
			continue;
		lane_open_send(lane);
		if (lane->finished)
			lane_end_send(lane);
	}
	for (unsigned i = 0; connects && i <= peer->bulk_sessions; i++) {
		peer->sessions[i].attempts = 0;
		if (peer->sessions[i].state > SESSION_REQUESTED)
			continue;
		peer->sessions[i].state = SESSION_NONE; /* what was asked for is lost */
		peer->sessions[i].retry_ns = now_ns;
	}
	engine_timer_at(engine, now_ns);
	engine_reap(engine);
}

void engine_peer_down(struct engine *engine, uint32_t number, uint64_t now_ns)
{
	struct peer *peer = peer_get(engine, number);

	engine->now_ns = now_ns;
	if (!peer)
		return;
	peer->control_up = false;
	rendezvous_drop(peer, false);
	/* Ends that wait to tell a peer that never met them, watch their deadline. */
	engine_timer_at(engine, now_ns);
}

void engine_peer_dead(struct engine *engine, uint32_t number, int error, const char *reason,
                      uint64_t now_ns)
{
	struct peer *peer = peer_get(engine, number);
	struct lane *lane;

	engine->now_ns = now_ns;
	if (!peer)
		return;
	peer->control_up = false;
	rendezvous_drop(peer, true);
	for (unsigned i = 0; i < ENGINE_SESSIONS_MAX; i++)
		session_drop(&peer->sessions[i]);
	TAILQ_FOREACH (lane, &peer->lanes, peer_link) {
		lane->peer_ended = true;
		lane_reset(lane, error, "%s", reason);
		lane_done_maybe(lane);
	}
	engine_reap(engine);
}

int engine_control_message(struct engine *engine, uint32_t number, const void *message,
                           size_t size_bytes, uint64_t now_ns, char *error)
{
	struct peer *peer = peer_get(engine, number);
	struct wire_control control;
	const char *problem;
	struct lane *lane;

	engine->now_ns = now_ns;
	/* What was on its way when the connection broke is said again later. */
	if (!peer || !peer->control_up)
		return 0;
	problem = wire_control_decode(message, size_bytes, &control);
	if (!problem) {
		switch (control.type) {
		case WIRE_OPEN:
			problem = rendezvous_open(peer, &control);
			break;
		case WIRE_END:
			problem = rendezvous_end(peer, &control);
			break;
		case WIRE_END_ACK:
			lane = lane_find(engine, control.end_ack.lane);
			if (lane && lane->peer == peer && lane->finished) {
				lane->end_acked = true;
				lane_done_maybe(lane);
			}
			break;
		case WIRE_SESSION_REQUEST:
			problem = session_request_received(peer, control.session_request.index);
			break;
		case WIRE_SESSION_GRANT:
			problem = session_grant_received(peer, &control.session_grant);
			break;
		}
	}
	engine_reap(engine);
	if (!problem)
		return 0;
	engine->stats.protocol_errors++;
	snprintf(error, ARENA_ERROR_BYTES, "host %s sent %s", peer_label(peer), problem);
	return -EPROTO;
}
