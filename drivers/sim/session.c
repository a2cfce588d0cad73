/* SPDX-License-Identifier: Apache-2.0 */
/*
 * session.c - sessions of the simulated network. A message leaves its sender
 * piece by piece, is read from the sender's frame meanwhile, travels, and
 * arrives at the receiver's inbox; what the receiver has not polled holds the
 * sender back. Each end finds out by itself, and late, that a session is over.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "drivers/sim/net.h"

static struct sim_timers *timers_of(struct slu_session *session)
{
	return &session->driver->sim->timers;
}

static void message_free(struct sim_message *message)
{
	free(message->item);
	free(message);
}

static void messages_free(struct sim_messages *messages)
{
	struct sim_message *message;

	while ((message = STAILQ_FIRST(messages))) {
		STAILQ_REMOVE_HEAD(messages, link);
		message_free(message);
	}
}

/* This end finds out later that the session is over, unless it is about to. */
static void down_later(struct slu_session *session, uint64_t at_ns, int error, const char *text)
{
	if (sim_timer_is_set(&session->down_timer) || session->inbox.down)
		return;
	session->down_error = error;
	session->down_text = text;
	sim_timer_set(timers_of(session), &session->down_timer, at_ns);
}

/* The other end, if there is one, is on its own from here. */
static struct slu_session *peer_unlink(struct slu_session *session)
{
	struct slu_session *peer = session->peer;

	if (peer)
		peer->peer = NULL;
	session->peer = NULL;
	return peer;
}

/* It carries nothing any more. */
static void session_stop(struct slu_session *session)
{
	if (session->up)
		session->driver->stats.sessions_down++;
	session->up = false;
	sim_timer_cancel(timers_of(session), &session->connect_timer);
	sim_timer_cancel(timers_of(session), &session->leave_timer);
	sim_timer_cancel(timers_of(session), &session->arrive_timer);
	sim_timer_cancel(timers_of(session), &session->down_timer);
	messages_free(&session->outbound);
	messages_free(&session->inbound);
}

static void on_down(void *ctx)
{
	struct slu_session *session = ctx;
	struct slu_driver *driver = session->driver;
	struct slu_sim *sim = driver->sim;
	struct slu_session *peer = peer_unlink(session);

	sim_trace(sim, "down", driver->id, session->peer_node, (uint64_t)-session->down_error);
	/* The other end's host answers the next packet with a reset; what cannot
	 * pass is found out by the other end's own timeout. */
	if (peer && sim_reaches(sim, driver->node, session->peer_node))
		down_later(peer, sim_after_delay(sim), -ECONNRESET,
		           "the peer does not know the session any more");
	session_stop(session);
	if (slu_inbox_down(&driver->inbox, &session->inbox, session->down_error, "%s",
	                   session->down_text))
		sim_session_destroy(session);
}

/* ---- connecting ---------------------------------------------------------- */

static void on_connect(void *ctx)
{
	struct slu_session *session = ctx, *acceptor;
	struct slu_driver *driver = session->driver, *target;
	struct slu_sim *sim = driver->sim;

	if (!sim_reaches(sim, driver->node, session->peer_node)) {
		down_later(session, sim->now_ns + sim->params.session_timeout_ns, -ETIMEDOUT,
		           "connect: no answer");
		return;
	}
	TAILQ_FOREACH (target, &sim->drivers, link) {
		if (target->id == session->target_id && target->node == session->peer_node &&
		    !target->dead)
			break;
	}
	if (!target || slu_random_chance(&sim->random, sim->params.connect_refuse_per_million)) {
		down_later(session, sim_after_delay(sim), -ECONNREFUSED, "connect: refused");
		return;
	}
	sim_trace(sim, "connect", driver->id, target->id, 0);
	acceptor = sim_session_create(target, driver->node, NULL);
	acceptor->peer = session;
	session->peer = acceptor;
	if (slu_inbox_accept(&target->inbox, &acceptor->inbox, session->hello) < 0)
		abort(); /* as sim_alloc */
}

void sim_session_connect(struct slu_session *session, uint64_t target_id, const void *hello)
{
	session->target_id = target_id;
	memcpy(session->hello, hello, sizeof(session->hello));
	sim_timer_set(timers_of(session), &session->connect_timer,
	              sim_after_delay(session->driver->sim));
}

static void session_up(struct slu_session *session)
{
	session->up = true;
	session->driver->stats.sessions_up++;
	slu_inbox_up(&session->driver->inbox, &session->inbox);
}

/* ---- messages on their way ------------------------------------------------ */

static void on_arrive(void *ctx)
{
	struct slu_session *session = ctx;
	struct sim_message *message = STAILQ_FIRST(&session->inbound);
	struct slu_driver *driver = session->driver;
	struct slu_sim *sim = driver->sim;
	uint64_t next_ns;

	if (!sim_reaches(sim, session->peer_node, driver->node))
		return; /* until it heals */
	STAILQ_REMOVE_HEAD(&session->inbound, link);
	sim_trace(sim, "arrive", driver->id, message->kind, message->size_bytes);
	if (message->kind == SIM_UP) {
		session_up(session);
	} else {
		sim->stats.messages_delivered++;
		slu_inbox_push(&driver->inbox, &session->inbox, message->item);
		message->item = NULL;
	}
	message_free(message);
	message = STAILQ_FIRST(&session->inbound);
	if (message) {
		next_ns = message->arrival_ns > sim->now_ns ? message->arrival_ns : sim->now_ns;
		sim_timer_set(timers_of(session), &session->arrive_timer, next_ns);
	}
}

/* Takes message. */
static void travel(struct slu_session *receiver, struct sim_message *message)
{
	message->arrival_ns = sim_after_delay(receiver->driver->sim);
	if (STAILQ_EMPTY(&receiver->inbound))
		sim_timer_set(timers_of(receiver), &receiver->arrive_timer, message->arrival_ns);
	STAILQ_INSERT_TAIL(&receiver->inbound, message, link);
}

void sim_session_accept(struct slu_session *session)
{
	struct sim_message *message;

	if (!session->peer)
		return; /* gone meanwhile; DOWN comes */
	session_up(session);
	message = sim_alloc(sizeof(*message));
	message->kind = SIM_UP;
	travel(session->peer, message);
}

/* All of it has left; the sender's frame is free. */
static void message_left(struct slu_session *session, struct sim_message *message)
{
	struct slu_driver *driver = session->driver;
	struct slu_sim *sim = driver->sim;
	struct slu_inbox_item *sent;

	STAILQ_REMOVE_HEAD(&session->outbound, link);
	sim_trace(sim, "leave", driver->id, message->kind, message->size_bytes);
	if (message->kind == SIM_FRAME) {
		session->outbound_bytes -= message->size_bytes;
		session->window_bytes += message->size_bytes;
		sent = slu_inbox_item_create(SLU_DRIVER_SENT, 0);
		if (!sent)
			abort(); /* as sim_alloc */
		sent->cookie = message->cookie;
		slu_inbox_push(&driver->inbox, &session->inbox, sent);
		if (session->wants_frame) {
			session->wants_frame = false;
			slu_inbox_writable(&driver->inbox, &session->inbox);
		}
	}
	if (slu_random_chance(&sim->random, sim->params.session_loss_per_million))
		sim_session_break(session);
	if (session->peer) {
		travel(session->peer, message);
	} else {
		sim->stats.messages_dropped++;
		message_free(message);
	}
}

static void on_leave(void *ctx)
{
	struct slu_session *session = ctx;
	struct sim_message *message = STAILQ_FIRST(&session->outbound);
	struct slu_sim *sim = session->driver->sim;
	uint32_t piece_bytes;

	if (message->kind == SIM_FRAME && message->left_bytes == 0 && session->window_bytes > 0 &&
	    session->window_bytes + message->size_bytes > sim->params.queue_bytes_max) {
		session->paused = true;
		return;
	}
	piece_bytes = 1 + (uint32_t)slu_random_upto(&sim->random, sim->params.piece_bytes_max - 1);
	if (piece_bytes > message->size_bytes - message->left_bytes)
		piece_bytes = message->size_bytes - message->left_bytes;
	if (message->kind == SIM_FRAME)
		memcpy(message->item->bytes + message->left_bytes,
		       message->frame + message->left_bytes, piece_bytes);
	message->left_bytes += piece_bytes;
	if (message->left_bytes == message->size_bytes)
		message_left(session, message);
	sim_session_flush(session);
}

void sim_session_send(struct slu_session *session, struct sim_message *message)
{
	if (message->kind == SIM_FRAME)
		session->outbound_bytes += message->size_bytes;
	else
		session->small_count++;
	STAILQ_INSERT_TAIL(&session->outbound, message, link);
}

void sim_session_flush(struct slu_session *session)
{
	struct slu_sim *sim = session->driver->sim;

	if (!STAILQ_EMPTY(&session->outbound) && !session->paused &&
	    !sim_timer_is_set(&session->leave_timer))
		sim_timer_set(&sim->timers, &session->leave_timer,
		              sim_after(sim, 0, sim->params.piece_ns_max));
}

void sim_session_taken(struct slu_inbox_session *session, enum slu_driver_event_type type,
                       uint32_t size_bytes)
{
	struct slu_session *receiver = (struct slu_session *)session;
	struct slu_session *sender = receiver->peer;
	struct slu_driver_stats *stats = &receiver->driver->stats;

	stats->messages_received++;
	stats->bytes_received += size_bytes;
	if (type == SLU_DRIVER_RECV_FRAME)
		stats->rx_copied_bytes += size_bytes;
	if (!sender)
		return;
	if (type == SLU_DRIVER_RECV_SMALL) {
		sender->small_count--;
		if (sender->wants_small) {
			sender->wants_small = false;
			slu_inbox_writable(&sender->driver->inbox, &sender->inbox);
		}
		return;
	}
	sender->window_bytes -= size_bytes;
	if (sender->paused) {
		sender->paused = false;
		sim_timer_set(timers_of(sender), &sender->leave_timer,
		              sim_after_delay(sender->driver->sim));
	}
}

/* ---- ends ----------------------------------------------------------------- */

struct slu_session *sim_session_create(struct slu_driver *driver, uint32_t peer_node, void *user)
{
	struct slu_session *session = sim_alloc(sizeof(*session));

	slu_inbox_session_init(&session->inbox);
	session->inbox.user = user;
	session->driver = driver;
	session->peer_node = peer_node;
	STAILQ_INIT(&session->outbound);
	STAILQ_INIT(&session->inbound);
	session->connect_timer.fire = on_connect;
	session->leave_timer.fire = on_leave;
	session->arrive_timer.fire = on_arrive;
	session->down_timer.fire = on_down;
	session->connect_timer.ctx = session->leave_timer.ctx = session;
	session->arrive_timer.ctx = session->down_timer.ctx = session;
	TAILQ_INSERT_TAIL(&driver->sessions, session, link);
	return session;
}

void sim_session_destroy(struct slu_session *session)
{
	session_stop(session);
	slu_inbox_session_fini(&session->driver->inbox, &session->inbox);
	TAILQ_REMOVE(&session->driver->sessions, session, link);
	free(session);
}

void sim_session_leave(struct slu_session *session)
{
	struct slu_sim *sim = session->driver->sim;
	struct slu_session *peer = peer_unlink(session);

	sim_trace(sim, "close", session->driver->id, session->peer_node, 0);
	if (peer && sim_reaches(sim, session->driver->node, session->peer_node))
		down_later(peer, sim_after_delay(sim), 0, "the peer closed the session");
	sim_session_destroy(session);
}

void sim_session_break(struct slu_session *session)
{
	struct slu_sim *sim = session->driver->sim;
	struct slu_session *ends[2] = {session, session->peer};
	struct sim_message *message;
	int idx;

	if (!peer_unlink(session))
		return;
	sim_trace(sim, "break", session->driver->id, session->peer_node, 0);
	sim->stats.sessions_lost++;
	for (idx = 0; idx < 2; idx++) {
		STAILQ_FOREACH (message, &ends[idx]->inbound, link)
			sim->stats.messages_dropped++;
		messages_free(&ends[idx]->inbound);
		sim_timer_cancel(&sim->timers, &ends[idx]->arrive_timer);
		down_later(ends[idx], sim_after(sim, 0, sim->params.down_skew_ns_max), -ECONNRESET,
		           "the network lost the session");
	}
}

void sim_session_partition(struct slu_session *session)
{
	struct slu_sim *sim = session->driver->sim;

	if (!session->peer || sim_timer_is_set(&session->down_timer))
		return; /* a connect finds out by itself; others know or will */
	session->timing_out = true;
	down_later(session,
	           sim_after(sim, sim->params.session_timeout_ns,
	                     sim->params.session_timeout_ns + sim->params.down_skew_ns_max),
	           -ETIMEDOUT, "nothing was heard from the peer");
}

void sim_session_heal(struct slu_session *session)
{
	struct slu_sim *sim = session->driver->sim;
	struct sim_message *message = STAILQ_FIRST(&session->inbound);

	if (message)
		sim_timer_set(&sim->timers, &session->arrive_timer, sim_after_delay(sim));
	if (!session->timing_out)
		return;
	session->timing_out = false;
	sim_timer_cancel(&sim->timers, &session->down_timer);
	if (!session->peer)
		down_later(session, sim_after_delay(sim), -ECONNRESET,
		           "the peer does not know the session any more");
}

void sim_session_die(struct slu_session *session, enum slu_sim_death death)
{
	struct slu_sim *sim = session->driver->sim;
	struct slu_session *peer = peer_unlink(session);

	session_stop(session);
	if (!peer)
		return;
	if (death == SLU_SIM_PROCESS_DIES) {
		if (sim_reaches(sim, session->driver->node, session->peer_node))
			down_later(peer, sim_after_delay(sim), -ECONNRESET, "the peer died");
	} else {
		down_later(peer,
		           sim_after(sim, sim->params.session_timeout_ns,
		                     sim->params.session_timeout_ns + sim->params.down_skew_ns_max),
		           -ETIMEDOUT, "nothing was heard from the peer");
	}
}
