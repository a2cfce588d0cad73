/* SPDX-License-Identifier: Apache-2.0 */
/*
 * session.c - the sessions of the driver with a peer: one for urgent channels,
 * the others for bulk. One side asks for each over the control connection, gets
 * a secret that is good for once, and shows it in the hello. A session that is
 * lost is replaced; its channels meanwhile use another of the same peer.
 */
#include "transport/engine/engine_state.h"
#include "transport/engine/session_keys.h"

#include "transport/clock.h"
#include "transport/log.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define SESSION_GRANT_NS          (10 * SLU_NS_PER_S)
#define SESSION_BACKOFF_SHIFT_MAX 6u
/* How long to wait for a grant or for UP, and to stay up before a session counts
 * as one that works, in units of session_retry_ns. A wait that was in vain makes the
 * next one twice as long, as far as a grant is good for that. */
#define SESSION_PATIENCE           32u
#define SESSION_PATIENCE_SHIFT_MAX 2u

void session_init(struct session *session, struct peer *peer, uint8_t index)
{
	*session = (struct session){.peer = peer, .index = index};
	TAILQ_INIT(&session->lanes);
	TAILQ_INIT(&session->lanes_blocked);
	TAILQ_INIT(&session->credits_waiting);
	TAILQ_INIT(&session->credits_late);
}

/* ---- lanes on sessions --------------------------------------------------- */

static struct session *session_home(const struct lane *lane)
{
	uint32_t bulk = 1 + LANE_INDEX(lane->number) % lane->peer->bulk_sessions;

	return &lane->peer->sessions[lane->urgent ? SESSION_URGENT : bulk];
}

static struct session *session_pick(const struct lane *lane)
{
	struct session *home = session_home(lane);
	struct peer *peer = lane->peer;

	if (home->state == SESSION_UP)
		return home;
	/* Bulk stays off the urgent session while it has any other. */
	for (unsigned i = 1; i < ENGINE_SESSIONS_MAX; i++) {
		unsigned index = 1 + (home->index + i) % (ENGINE_SESSIONS_MAX - 1);

		if (peer->sessions[index].state == SESSION_UP)
			return &peer->sessions[index];
	}
	return peer->sessions[SESSION_URGENT].state == SESSION_UP ? &peer->sessions[SESSION_URGENT]
	                                                          : NULL;
}

void session_bind(struct lane *lane)
{
	struct session *session = session_pick(lane);

	if (lane->session || lane->finished || !lane_joined(lane) || !session)
		return;
	lane->session = session;
	TAILQ_INSERT_TAIL(&session->lanes, lane, session_link);
	if (lane_sends(lane)) {
		outgoing_wake(lane);
	} else {
		lane->in.credit_force = true;
		incoming_credit_due(lane);
	}
}

void session_unbind(struct lane *lane)
{
	TAILQ_REMOVE(&lane->session->lanes, lane, session_link);
	if (lane_sends(lane)) {
		if (lane->run == LANE_BLOCKED) {
			TAILQ_REMOVE(&lane->session->lanes_blocked, lane, run_link);
			lane->run = LANE_IDLE;
		}
		outgoing_unbound(lane);
	} else {
		incoming_credit_undue(lane);
	}
	lane->session = NULL;
}

void session_rebind_home(struct lane *lane)
{
	struct session *home = session_home(lane);

	if (lane->session == home || home->state != SESSION_UP || !lane->session)
		return;
	/* Two sessions keep no order: first everything arrives on the old one. */
	if (lane_sends(lane) && !outgoing_quiet(lane)) {
		outgoing_home_begin(lane);
		return;
	}
	session_unbind(lane);
	session_bind(lane);
}

static uint64_t session_patience_ns(const struct session *session)
{
	uint32_t shift = session->waits < SESSION_PATIENCE_SHIFT_MAX ? session->waits
	                                                             : SESSION_PATIENCE_SHIFT_MAX;

	return SESSION_PATIENCE * session->peer->engine->session_retry_ns << shift;
}

/* ---- up and down --------------------------------------------------------- */

static void session_retry_later(struct session *session)
{
	struct engine *engine = session->peer->engine;
	uint32_t shift = session->attempts < SESSION_BACKOFF_SHIFT_MAX ? session->attempts
	                                                               : SESSION_BACKOFF_SHIFT_MAX;

	session->state = SESSION_NONE;
	session->attempts++;
	session->retry_ns = engine->now_ns + (engine->session_retry_ns << shift);
	engine_timer_at(engine, session->retry_ns);
}

static void session_moved_off(struct session *session)
{
	struct lane *lane;

	/* Nobody is on his way to it any more. */
	TAILQ_FOREACH (lane, &session->peer->lanes, peer_link)
		if (lane_sends(lane) && session_home(lane) == session)
			outgoing_home_end(lane);

	while ((lane = TAILQ_FIRST(&session->lanes))) {
		session_unbind(lane);
		session_bind(lane);
		lane_done_maybe(lane);
	}
}

void session_drop(struct session *session)
{
	struct peer *peer = session->peer;
	struct engine *engine = peer->engine;
	bool was_up = session->state == SESSION_UP;

	session->granted = false;
	session->waits += session->state == SESSION_CONNECTING;
	if (session->driver_session)
		engine->ops->session_close(engine->driver, session->driver_session);
	session->driver_session = NULL;
	session->blocked = false;
	session->state = SESSION_NONE;
	session->retry_ns = ENGINE_NEVER;
	if (!was_up)
		return;
	engine->stats.sessions_lost++;
	engine->sessions_up--;
	engine_reserve(engine);
	peer->sessions_up--;
	if (!peer->sessions_up && peer->joined) {
		peer->lost_ns = engine->now_ns;
		engine_timer_at(engine, peer->lost_ns + engine->peer_timeout_ns);
	}
	session_moved_off(session);
}

void session_lost(struct session *session, const char *reason)
{
	struct peer *peer = session->peer;
	uint64_t worked_ns = SESSION_PATIENCE * peer->engine->session_retry_ns;

	snprintf(peer->lost_reason, sizeof(peer->lost_reason), "%s", reason);
	/* Attempts that fail one after the other are one event. */
	if (session->state == SESSION_UP || session->attempts == 0)
		log_event(LOG_LEVEL_WARNING, "session_lost", "peer=%s session=%u reason=\"%s\"",
		          peer_label(peer), session->index, reason);
	/* A link that loses its sessions under load still works: try again soon. */
	if (session->state == SESSION_UP &&
	    (session->worked || peer->engine->now_ns - session->up_ns >= worked_ns))
		session->attempts = 0;
	session_drop(session);
	if (peer->connects)
		session_retry_later(session);
}

void session_violated(struct session *session, const char *problem)
{
	session->peer->engine->stats.protocol_errors++;
	session_lost(session, problem);
}

void session_suspect(struct lane *lane)
{
	struct peer *peer = lane->peer;
	uint64_t timeout_ns = peer->engine->peer_timeout_ns;
	uint64_t now_ns = peer->engine->now_ns;
	const struct session *asked = lane->session;
	char reason[80];

	snprintf(reason, sizeof(reason), "no answer for %.1f s, and no sign of life on it",
	         (double)lane->out.unanswered_ns / SLU_NS_PER_S);
	/* The answer may be to come on another session than that of the question: one
	 * that merely rests is lost with it, for nothing but a connect. */
	for (unsigned i = 0; i < ENGINE_SESSIONS_MAX; i++) {
		struct session *session = &peer->sessions[i];

		if (session->state == SESSION_UP &&
		    (now_ns - session->heard_ns >= timeout_ns ||
		     (session == asked && now_ns - session->through_ns >= timeout_ns)))
			session_lost(session, reason);
	}
}

static void session_up(struct session *session)
{
	struct peer *peer = session->peer;
	struct engine *engine = peer->engine;
	struct lane *lane;

	if (session->state != SESSION_CONNECTING)
		return;
	session->state = SESSION_UP;
	session->up_ns = session->heard_ns = session->through_ns = engine->now_ns;
	session->worked = false;
	session->waits = 0;
	session->retry_ns = ENGINE_NEVER;
	engine->sessions_up++;
	engine_reserve(engine);
	peer->sessions_up++;
	peer->lost_ns = ENGINE_NEVER;
	log_event(LOG_LEVEL_DEBUG, "session_up", "peer=%s session=%u", peer_label(peer),
	          session->index);
	TAILQ_FOREACH (lane, &peer->lanes, peer_link) {
		if (lane->session)
			session_rebind_home(lane);
		else
			session_bind(lane);
	}
}

static void session_connecting(struct session *session, bool crc32c)
{
	struct engine *engine = session->peer->engine;

	session->state = SESSION_CONNECTING;
	session->crc32c = crc32c;
	session->retry_ns = engine->now_ns + session_patience_ns(session);
	engine_timer_at(engine, session->retry_ns);
}

/* hello: as it goes over the wire, or came. 0 too where nothing is encrypted. */
static int session_protect(struct peer *peer, struct slu_session *driver_session,
                           const uint8_t *secret, const void *hello)
{
	struct engine *engine = peer->engine;
	struct slu_driver_keys keys;
	int r;

	if (!peer->encrypted)
		return 0;
	r = session_keys_derive(secret, hello, peer->connects, &keys);
	if (r == 0)
		r = engine->ops->session_protect(engine->driver, driver_session, &keys);
	explicit_bzero(&keys, sizeof(keys));
	return r;
}

/* What the hello shows of the secret: itself, or where it gives the keys, a proof. */
static int session_shown(const struct peer *peer, const uint8_t *secret, uint8_t *ret_shown)
{
	if (peer->encrypted)
		return session_keys_proof(secret, ret_shown);
	memcpy(ret_shown, secret, WIRE_SECRET_BYTES);
	return 0;
}

/* ---- the connecting side ------------------------------------------------- */

static void session_request(struct session *session)
{
	struct engine *engine = session->peer->engine;
	uint8_t message[WIRE_CONTROL_MAX];

	session->state = SESSION_REQUESTED;
	session->retry_ns = engine->now_ns + session_patience_ns(session);
	engine_timer_at(engine, session->retry_ns);
	peer_control_send(session->peer, message,
	                  wire_session_request_encode(message, session->index));
}

/* Each bulk session has its rail: one that is dead takes its own sessions with it,
 * whose lanes use the others meanwhile, and return when it returns. The urgent
 * session tries one rail after the other: no other is as good for its lanes. */
static void session_address(const struct session *session, char *ret_address)
{
	const struct peer *peer = session->peer;
	uint32_t number =
	        session->index == SESSION_URGENT ? session->attempts : session->index - 1u;
	const char *address = peer->address;

	for (uint32_t i = number % peer->rails; i > 0; i--)
		address = strchr(address, ',') + 1;
	snprintf(ret_address, SLU_DRIVER_ADDRESS_MAX, "%.*s", (int)strcspn(address, ","), address);
}

void session_timers(struct session *session, uint64_t now_ns)
{
	struct peer *peer = session->peer;

	if (session->state == SESSION_UP ||
	    (session->state == SESSION_NONE &&
	     (!peer->connects || !peer->control_up || session->index > peer->bulk_sessions)))
		return;
	if (now_ns < session->retry_ns) {
		engine_timer_at(peer->engine, session->retry_ns);
		return;
	}
	if (session->state == SESSION_NONE) {
		session_request(session);
	} else if (session->state == SESSION_REQUESTED) {
		session->waits++;
		session_retry_later(session);
	} else {
		session_lost(session, "it did not come up in time");
	}
}

static int session_connect(struct session *session, const struct wire_session_grant *grant)
{
	struct engine *engine = session->peer->engine;
	struct wire_hello hello = {.index = grant->index, .peer = grant->peer};
	uint8_t message[SLU_DRIVER_HELLO_BYTES];
	char address[SLU_DRIVER_ADDRESS_MAX];
	int r = session_shown(session->peer, grant->secret, hello.secret);

	if (r < 0)
		return r;
	hello.flags = engine->crc32c ? WIRE_SESSION_CRC32C : 0;
	wire_hello_encode(message, &hello);
	session_address(session, address);
	r = engine->ops->connect(engine->driver, address, message, session,
	                         &session->driver_session);
	if (r < 0) {
		session->driver_session = NULL;
		return r;
	}
	return session_protect(session->peer, session->driver_session, grant->secret, message);
}

const char *session_grant_received(struct peer *peer, const struct wire_session_grant *grant)
{
	struct session *session;
	int r;

	if (!peer->connects || grant->index > peer->bulk_sessions)
		return "SESSION_GRANT that was not asked for";
	session = &peer->sessions[grant->index];
	if (session->state != SESSION_REQUESTED)
		return NULL; /* asked twice, when the first answer was late */
	r = session_connect(session, grant);
	if (r < 0)
		session_lost(session, strerror(-r));
	else
		session_connecting(session,
		                   peer->engine->crc32c || grant->flags & WIRE_SESSION_CRC32C);
	return NULL;
}

/* ---- the accepting side -------------------------------------------------- */

const char *session_request_received(struct peer *peer, uint8_t index)
{
	struct engine *engine = peer->engine;
	struct wire_session_grant grant = {
	        .index = index,
	        .flags = engine->crc32c ? WIRE_SESSION_CRC32C : 0,
	        .peer = peer->number,
	};
	uint8_t message[WIRE_CONTROL_MAX];
	struct session *session;

	if (peer->connects || index >= ENGINE_SESSIONS_MAX)
		return "SESSION_REQUEST out of turn";
	session = &peer->sessions[index];
	engine_random(engine, session->secret, sizeof(session->secret));
	session->granted = true;
	session->grant_ns = engine->now_ns + SESSION_GRANT_NS;
	memcpy(grant.secret, session->secret, sizeof(grant.secret));
	peer_control_send(peer, message, wire_session_grant_encode(message, &grant));
	return NULL;
}

/* Whose hello it is; NULL: nobody's. */
static struct session *session_by_hello(struct engine *engine, const struct wire_hello *hello)
{
	uint8_t expected[WIRE_SECRET_BYTES];
	struct session *session;

	if (hello->peer >= engine->peer_room || !engine->peers[hello->peer] ||
	    hello->index >= ENGINE_SESSIONS_MAX)
		return NULL;
	session = &engine->peers[hello->peer]->sessions[hello->index];
	if (!session->granted || engine->now_ns >= session->grant_ns ||
	    session_shown(session->peer, session->secret, expected) < 0 ||
	    !engine_secret_equal(expected, hello->secret, sizeof(expected)))
		return NULL;
	return session;
}

static void session_accept(struct engine *engine, const struct slu_driver_event *event)
{
	struct wire_hello hello;
	const char *problem = wire_hello_decode(event->message, &hello);
	struct session *session = problem ? NULL : session_by_hello(engine, &hello);
	int r;

	if (!session) {
		engine->ops->session_close(engine->driver, event->session);
		/* A line per second: who knocks all the time must not fill the disk. */
		if (engine->now_ns >= engine->refused_log_ns)
			log_event(LOG_LEVEL_WARNING, "session_refused", "reason=\"%s\"",
			          problem ? problem : "a secret that was not granted");
		engine->refused_log_ns = engine->now_ns + SLU_NS_PER_S;
		return;
	}
	/* The peer has lost the one before, though we have not seen that yet. */
	session_drop(session);
	r = session_protect(session->peer, event->session, session->secret, event->message);
	explicit_bzero(session->secret, sizeof(session->secret));
	if (r == 0)
		r = engine->ops->session_accept(engine->driver, event->session, session);
	if (r < 0) {
		engine->ops->session_close(engine->driver, event->session);
		return;
	}
	session->driver_session = event->session;
	session_connecting(session, engine->crc32c || hello.flags & WIRE_SESSION_CRC32C);
}

/* ---- events -------------------------------------------------------------- */

int session_small_send(struct session *session, const struct wire_small *small)
{
	struct engine *engine = session->peer->engine;
	uint8_t message[sizeof(struct wire_small)];
	int r;

	if (session->blocked)
		return SLU_AGAIN;
	wire_small_encode(message, small);
	r = engine->ops->send_small(engine->driver, session->driver_session, message,
	                            sizeof(message));
	session->blocked = r == SLU_AGAIN;
	return r;
}

static void session_small_received(struct session *session, const void *message,
                                   uint32_t size_bytes)
{
	struct engine *engine = session->peer->engine;
	struct wire_small small;
	const char *problem = wire_small_decode(message, size_bytes, &small);
	struct lane *lane = problem ? NULL : lane_find(engine, small.lane);

	if (problem) {
		engine->stats.crc_errors += size_bytes == sizeof(small);
	} else if (LANE_INDEX(small.lane) >= engine->arena->max_channels) {
		problem = "a small message to a lane that cannot be";
	} else if (lane && (lane->peer != session->peer ||
	                    lane_sends(lane) != (small.type == WIRE_CREDIT))) {
		problem = "a small message to a lane of somebody else";
	} else if (lane && !lane->finished) {
		problem = lane_sends(lane) ? outgoing_credit(lane, &small)
		                           : incoming_small(lane, &small);
	}
	session->worked |= !problem;
	if (problem)
		session_violated(session, problem);
}

static void session_writable(struct session *session)
{
	struct lane *lane;

	session->blocked = false;
	outgoing_unblock(session);
	while ((lane = TAILQ_FIRST(&session->credits_waiting))) {
		TAILQ_REMOVE(&session->credits_waiting, lane, in.credit_link);
		lane->in.credit = CREDIT_IDLE;
		incoming_credit_due(lane);
	}
}

void session_event(struct engine *engine, const struct slu_driver_event *event)
{
	struct session *session = event->user;

	if (event->type == SLU_DRIVER_ACCEPT) {
		session_accept(engine, event);
		return;
	}
	/* The events of one poll outlive a session that ended on one of them. */
	if (event->session != session->driver_session) {
		if (event->type == SLU_DRIVER_RECV_FRAME)
			engine->host.rx_put(engine->host.ctx, (void *)(uintptr_t)event->message);
		return;
	}
	switch (event->type) {
	case SLU_DRIVER_UP:
		session_up(session);
		break;
	case SLU_DRIVER_DOWN:
		session_lost(session,
		             event->text && *event->text ? event->text : "the peer closed it");
		break;
	case SLU_DRIVER_RECV_FRAME:
		session->heard_ns = engine->now_ns;
		incoming_frame(session, (void *)(uintptr_t)event->message, event->size_bytes);
		break;
	case SLU_DRIVER_RECV_SMALL:
		session->heard_ns = engine->now_ns;
		session_small_received(session, event->message, event->size_bytes);
		break;
	case SLU_DRIVER_SENT:
		session->through_ns = engine->now_ns;
		outgoing_sent(engine, event->cookie);
		break;
	case SLU_DRIVER_WRITABLE:
		session_writable(session);
		break;
	default:
		break;
	}
}
