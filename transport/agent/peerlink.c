/* SPDX-License-Identifier: Apache-2.0 */
/* peerlink.c - events, timers and public calls; see peerlink.h. */
#include "transport/agent/peerlink_internal.h"

#include "transport/clock.h"
#include "transport/log.h"

#include <sluice/sluice.h>

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define PROCESS_EVENTS 64

/* ---- connections -------------------------------------------------------- */

void peerlink_conn_ready(struct peerlink *pl, struct conn *conn)
{
	if (conn->ready || conn->state == CONN_CLOSED)
		return;
	conn->ready = true;
	TAILQ_INSERT_TAIL(&pl->ready, conn, ready_link);
}

static void conn_unready(struct peerlink *pl, struct conn *conn)
{
	if (conn->ready)
		TAILQ_REMOVE(&pl->ready, conn, ready_link);
	conn->ready = false;
}

struct conn *peerlink_conn_add(struct peerlink *pl, int fd, bool outgoing, enum conn_state state,
                               const char *address, uint64_t now_ns)
{
	struct epoll_event event = {.events = EPOLLIN | (outgoing ? EPOLLOUT : 0)};
	struct conn *conn;

	if (peerlink_conn_create(pl->tls, fd, outgoing, &conn))
		return NULL;
	event.data.ptr = conn;
	if (epoll_ctl(pl->epoll_fd, EPOLL_CTL_ADD, fd, &event)) {
		peerlink_conn_destroy(conn);
		return NULL;
	}
	conn->interest = event.events;
	conn->state = state;
	conn->deadline_ns = now_ns + PEERLINK_HANDSHAKE_NS;
	snprintf(conn->address, sizeof(conn->address), "%s", address);
	TAILQ_INSERT_TAIL(&pl->conns, conn, link);
	peerlink_timer(pl, conn->deadline_ns);
	return conn;
}

void peerlink_conn_close(struct peerlink *pl, struct conn *conn)
{
	conn_unready(pl, conn);
	if (conn->half_open)
		pl->stats.half_open--;
	conn->half_open = false;
	conn->state = CONN_CLOSED;
	peer_stream_close(&conn->stream); /* also leaves epoll */
	TAILQ_REMOVE(&pl->conns, conn, link);
	TAILQ_INSERT_TAIL(&pl->closed, conn, link);
}

/* A connection that never said who it is failed. */
static void conn_stranger_log(struct peerlink *pl, const struct conn *conn, const char *reason,
                              uint64_t now_ns)
{
	uint64_t again, others;

	/* Somebody saw whether this agent listens, as other agents do. */
	if (!peer_stream_heard(&conn->stream) && now_ns < conn->deadline_ns) {
		log_event(LOG_LEVEL_DEBUG, "peer_silent", "address=%s reason=\"%s\"", conn->address,
		          reason);
		return;
	}
	pl->stats.refused++;
	if (refusals_line(&pl->refusals, conn->address, reason, now_ns, &again, &others))
		log_event(LOG_LEVEL_WARNING, "peer_refused",
		          "address=%s reason=\"%s\" again=%" PRIu64 " left_out=%" PRIu64,
		          conn->address, reason, again, others);
}

/* Tell the peer's state, once, that the connection is no longer its own. */
static void conn_detach(struct peerlink *pl, struct conn *conn, const char *reason, uint64_t now_ns)
{
	uint32_t peer_idx = conn->peer;

	conn->peer = CONN_PEER_NONE;
	if (peer_idx != CONN_PEER_NONE && pl->peers[peer_idx].up == conn)
		peerlink_peer_went_down(pl, peer_idx, reason, now_ns);
	else if (peer_idx != CONN_PEER_NONE && pl->peers[peer_idx].dial == conn)
		peerlink_peer_dial_failed(pl, peer_idx, conn->connect_error, reason, now_ns);
	else if (conn->state != CONN_LINGER)
		conn_stranger_log(pl, conn, reason, now_ns);
}

void peerlink_conn_end(struct peerlink *pl, struct conn *conn, const char *reason, uint64_t now_ns)
{
	char copy[PEER_TEXT_MAX + PEER_STREAM_ERROR_MAX];

	/* reason may lie in what is freed. */
	snprintf(copy, sizeof(copy), "%s", reason);
	conn_detach(pl, conn, copy, now_ns);
	peerlink_conn_close(pl, conn);
	peerlink_listen_arm(pl, now_ns);
}

void peerlink_conn_refuse(struct peerlink *pl, struct conn *conn, uint16_t code, const char *text,
                          uint64_t now_ns)
{
	uint8_t payload[PEER_PAYLOAD_HELLO_MAX];
	size_t size_bytes = peer_refuse_encode(code, text, payload);

	conn_detach(pl, conn, text, now_ns);
	conn->state = CONN_LINGER;
	conn->failure[0] = '\0';
	conn->read_again = false;
	conn->deadline_ns = now_ns + PEERLINK_LINGER_NS;
	peerlink_timer(pl, conn->deadline_ns);
	if (peerlink_conn_queue(conn, PEER_REFUSE, payload, size_bytes)) {
		peerlink_conn_close(pl, conn);
		peerlink_listen_arm(pl, now_ns);
		return;
	}
	peerlink_conn_ready(pl, conn);
}

static void conn_handshake(struct peerlink *pl, struct conn *conn, uint64_t now_ns)
{
	char error[PEER_STREAM_ERROR_MAX];
	char text[PEER_TEXT_MAX];
	int rc = peer_stream_handshake(&conn->stream, error);

	if (rc == SLU_AGAIN)
		return;
	if (rc) {
		peerlink_conn_end(pl, conn, error, now_ns);
		return;
	}
	conn->state = CONN_HELLO;
	if (conn->outgoing) {
		const char *node = pl->peers[conn->peer].config->name;

		if (!peer_stream_is_node(&conn->stream, node)) {
			snprintf(text, sizeof(text), "the certificate is not that of node %s",
			         node);
			peerlink_conn_refuse(pl, conn, PEER_REFUSE_IDENTITY, text, now_ns);
			return;
		}
		if (peerlink_hello_send(pl, conn, conn->peer)) {
			peerlink_conn_end(pl, conn, "out of memory", now_ns);
			return;
		}
		peerlink_conn_ready(pl, conn);
	}
	/* TLS may have read the first message with the end of the handshake. */
	peerlink_conn_receive(pl, conn, now_ns);
}

static void conn_connected(struct peerlink *pl, struct conn *conn, uint64_t now_ns)
{
	socklen_t size = sizeof(int);
	int error = 0;

	getsockopt(conn->stream.fd, SOL_SOCKET, SO_ERROR, &error, &size);
	if (error) {
		conn->connect_error = error;
		peerlink_conn_end(pl, conn, strerror(error), now_ns);
		return;
	}
	if (!pl->peers[conn->peer].connects) {
		peerlink_peer_answered(pl, conn->peer, now_ns);
		return;
	}
	conn->state = CONN_HANDSHAKE;
	conn_handshake(pl, conn, now_ns);
}

/* Everything that waits is written: say so, then wait for the other side to close. */
static void conn_linger(struct peerlink *pl, struct conn *conn, uint64_t now_ns)
{
	if (!conn->shut && conn_queued_bytes(conn) == 0) {
		conn->shut = true;
		peer_stream_shutdown(&conn->stream);
	}
	if (!peerlink_conn_discard(conn)) {
		peerlink_conn_close(pl, conn);
		peerlink_listen_arm(pl, now_ns);
	}
}

static void conn_write(struct peerlink *pl, struct conn *conn, uint64_t now_ns)
{
	char error[PEER_STREAM_ERROR_MAX];

	if (conn->state < CONN_HELLO || conn->state == CONN_CLOSED ||
	    peerlink_conn_flush(conn, error) >= 0)
		return;
	peerlink_conn_end(pl, conn, error, now_ns);
}

/* Ask epoll for what the connection waits for. */
static void conn_interest(struct peerlink *pl, struct conn *conn)
{
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = conn};

	if (conn->state == CONN_CONNECTING || conn->stream.wants_write ||
	    (conn->state >= CONN_HELLO && conn_queued_bytes(conn)))
		event.events |= EPOLLOUT;
	if (event.events == conn->interest)
		return;
	conn->interest = event.events;
	epoll_ctl(pl->epoll_fd, EPOLL_CTL_MOD, conn->stream.fd, &event);
}

/* An event, or on the ready list: do all that the connection can do now. */
static void conn_serve(struct peerlink *pl, struct conn *conn, bool readable, uint64_t now_ns)
{
	conn_unready(pl, conn);
	if (conn->failure_code) {
		char text[PEER_STREAM_ERROR_MAX];

		strcpy(text, conn->failure);
		peerlink_conn_refuse(pl, conn, conn->failure_code, text, now_ns);
	} else if (conn->failure[0]) {
		peerlink_conn_end(pl, conn, conn->failure, now_ns);
	} else if (readable || conn->read_again) {
		conn->read_again = false;
		if (conn->state == CONN_CONNECTING)
			conn_connected(pl, conn, now_ns);
		else if (conn->state == CONN_HANDSHAKE)
			conn_handshake(pl, conn, now_ns);
		else if (conn->state == CONN_HELLO || conn->state == CONN_UP)
			peerlink_conn_receive(pl, conn, now_ns);
	}
	conn_write(pl, conn, now_ns);
	if (conn->state == CONN_LINGER)
		conn_linger(pl, conn, now_ns);
	if (conn->state == CONN_CLOSED)
		return;
	if (!conn->read_again && !conn->failure[0])
		conn_unready(pl, conn); /* what it became ready for is written */
	conn_interest(pl, conn);
}

/* ---- the loop ----------------------------------------------------------- */

static void process_event(struct peerlink *pl, const struct epoll_event *event, uint64_t now_ns)
{
	struct source *source = event->data.ptr;
	struct conn *conn;

	switch (source->kind) {
	case SOURCE_LISTENER:
		peerlink_listen_accept(pl, now_ns);
		break;
	case SOURCE_RESOLVE:
		peerlink_peer_resolved(pl, (struct peer *)source, now_ns);
		break;
	case SOURCE_CONN:
		conn = (struct conn *)source;
		if (conn->state != CONN_CLOSED)
			conn_serve(pl, conn, true, now_ns);
		break;
	}
}

static void process_ready(struct peerlink *pl, uint64_t now_ns)
{
	struct conn *conn;
	size_t count = 0;

	/* What becomes ready while these are served waits for the next round. */
	TAILQ_FOREACH (conn, &pl->ready, ready_link)
		count++;
	while (count-- && (conn = TAILQ_FIRST(&pl->ready)))
		conn_serve(pl, conn, false, now_ns);
}

static void process_timers(struct peerlink *pl, uint64_t now_ns)
{
	struct conn *conn, *next;

	if (now_ns < pl->timer_ns)
		return;
	pl->timer_ns = UINT64_MAX;
	peerlink_listen_arm(pl, now_ns);
	for (conn = TAILQ_FIRST(&pl->conns); conn; conn = next) {
		next = TAILQ_NEXT(conn, link);
		if (now_ns >= conn->deadline_ns)
			peerlink_conn_end(pl, conn, "no agreement within 5 s", now_ns);
		else
			peerlink_timer(pl, conn->deadline_ns);
	}
	/* All peers on one beat: a wake-up per keepalive, not one per peer. */
	if (now_ns >= pl->ping_ns) {
		pl->ping_ns = now_ns + pl->config->agent.keepalive_ns;
		for (size_t i = 0; i < pl->config->peer_count; i++)
			peerlink_peer_ping(pl, &pl->peers[i], now_ns);
	}
	peerlink_timer(pl, pl->ping_ns);
	for (size_t i = 0; i < pl->config->peer_count; i++)
		peerlink_peer_timers(pl, (uint32_t)i, now_ns);
}

void peerlink_process(struct peerlink *pl, uint64_t now_ns)
{
	struct epoll_event events[PROCESS_EVENTS];
	struct conn *conn;
	size_t rounds = pl->config->peer_count / PROCESS_EVENTS + 1;
	int count;

	/* First everything that arrived: after a long stop of this process it is what
	 * tells a living host from a dead one. */
	do {
		count = epoll_wait(pl->epoll_fd, events, PROCESS_EVENTS, 0);
		for (int i = 0; i < count; i++)
			process_event(pl, &events[i], now_ns);
	} while (count == PROCESS_EVENTS && --rounds);
	process_timers(pl, now_ns);
	process_ready(pl, now_ns);
	while ((conn = TAILQ_FIRST(&pl->closed))) {
		TAILQ_REMOVE(&pl->closed, conn, link);
		peerlink_conn_destroy(conn);
	}
}

uint64_t peerlink_deadline(const struct peerlink *pl)
{
	return TAILQ_EMPTY(&pl->ready) ? pl->timer_ns : 0;
}

int peerlink_fd(const struct peerlink *pl)
{
	return pl->epoll_fd;
}

/* ---- sending ------------------------------------------------------------ */

/* Not ended here: the caller may be a callback, and would be called back itself. */
static void conn_fail_later(struct peerlink *pl, struct conn *conn, uint16_t code, const char *text)
{
	snprintf(conn->failure, sizeof(conn->failure), "%s", text);
	conn->failure_code = code;
	peerlink_conn_ready(pl, conn);
}

int peerlink_send(struct peerlink *pl, uint32_t peer, const void *data, size_t size_bytes)
{
	struct conn *conn = peer < pl->config->peer_count ? pl->peers[peer].up : NULL;

	if (size_bytes == 0 || size_bytes > PEERLINK_MESSAGE_BYTES_MAX)
		return -EINVAL;
	if (!conn || conn->failure[0])
		return -ENOTCONN;
	if (peerlink_conn_queue(conn, PEER_ENGINE, data, size_bytes)) {
		conn_fail_later(pl, conn, 0, "it does not read what it is sent");
		return -ENOBUFS;
	}
	peerlink_conn_ready(pl, conn);
	return 0;
}

void peerlink_drop(struct peerlink *pl, uint32_t peer, const char *text)
{
	struct conn *conn = peer < pl->config->peer_count ? pl->peers[peer].up : NULL;

	if (conn && !conn->failure[0])
		conn_fail_later(pl, conn, PEER_REFUSE_ENGINE, text);
}

/* ---- asking ------------------------------------------------------------- */

int peerlink_peer_find(const struct peerlink *pl, const char *name)
{
	for (size_t i = 0; i < pl->config->peer_count; i++)
		if (strcmp(pl->config->peers[i].name, name) == 0)
			return (int)i;
	return -ENOENT;
}

bool peerlink_connects(const struct peerlink *pl, uint32_t peer)
{
	return pl->peers[peer].connects;
}

const char *peerlink_address(const struct peerlink *pl)
{
	return pl->listener.address;
}

void peerlink_peer_get(const struct peerlink *pl, uint32_t peer_idx, struct peerlink_peer *ret_peer)
{
	const struct peer *peer = &pl->peers[peer_idx];

	*ret_peer = (struct peerlink_peer){
	        .up = peer->up != NULL,
	        .known = peer->known,
	        .encrypted = peer->encrypted,
	        .generation = peer->generation,
	        .heard_ns = peer->heard_ns,
	        .rtt_ns = peer->rtt_ns,
	        .queued_bytes = peer->up ? conn_queued_bytes(peer->up) : 0,
	        .reason = peer->reason,
	};
}

void peerlink_stats(const struct peerlink *pl, struct peerlink_stats *ret_stats)
{
	*ret_stats = pl->stats;
}

/* ---- beginning and end -------------------------------------------------- */

static int peerlink_setup(struct peerlink *pl, const struct peerlink_options *options)
{
	const struct config *config = options->config;

	if (!options->generation || options->rail_count > PEER_RAILS_MAX)
		return -EINVAL;
	pl->hello.version = PEER_PROTOCOL_VERSION;
	pl->hello.poller_count = (uint16_t)config->agent.poller_count;
	pl->hello.cluster_id = config->agent.cluster_id;
	pl->hello.generation = options->generation;
	pl->hello.frame_size_bytes = (uint32_t)config->arena.frame_size_bytes;
	pl->hello.encrypt = config->driver.encrypt;
	snprintf(pl->hello.node, sizeof(pl->hello.node), "%s", config->agent.node);
	pl->hello.rail_count = options->rail_count;
	for (uint32_t i = 0; i < options->rail_count; i++)
		pl->hello.rails[i] = options->rails[i];

	pl->peers = calloc(config->peer_count + 1, sizeof(*pl->peers));
	if (!pl->peers)
		return -ENOMEM;
	for (size_t i = 0; i < config->peer_count; i++) {
		struct peer *peer = &pl->peers[i];

		peer->source.kind = SOURCE_RESOLVE;
		peer->config = &config->peers[i];
		peer->connects = strcmp(config->agent.node, peer->config->name) < 0;
		peer->redial_ns = peer->connects ? 0 : UINT64_MAX;
		peer->backoff_ns = PEERLINK_BACKOFF_NS_MIN;
	}
	pl->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	return pl->epoll_fd < 0 ? -errno : 0;
}

int peerlink_create(const struct peerlink_options *options,
                    const struct peerlink_callbacks *callbacks, uint64_t now_ns,
                    struct peerlink **ret_peerlink, char *error)
{
	struct peerlink *pl = calloc(1, sizeof(*pl));
	int rc;

	snprintf(error, CONFIG_ERROR_MAX, "out of memory");
	if (!pl)
		return -ENOMEM;
	pl->config = options->config;
	pl->callbacks = *callbacks;
	pl->epoll_fd = -1;
	pl->listener.fd = -1;
	pl->listener.retry_ns = UINT64_MAX;
	pl->ping_ns = now_ns + pl->config->agent.keepalive_ns;
	TAILQ_INIT(&pl->conns);
	TAILQ_INIT(&pl->closed);
	TAILQ_INIT(&pl->ready);
	rc = peerlink_setup(pl, options);
	if (rc) {
		snprintf(error, CONFIG_ERROR_MAX, "peer connections: %s", strerror(-rc));
		goto err_destroy;
	}
	rc = peer_tls_create(&pl->config->control, &pl->tls, error);
	if (rc)
		goto err_destroy;
	if (pl->config->control.listen.host[0]) {
		rc = peerlink_listen_open(pl, error);
		if (rc)
			goto err_destroy;
	}
	signal(SIGPIPE, SIG_IGN);
	peerlink_listen_arm(pl, now_ns);
	*ret_peerlink = pl;
	return 0;

err_destroy:
	peerlink_destroy(pl);
	return rc;
}

void peerlink_destroy(struct peerlink *pl)
{
	struct conn *conn;

	if (!pl)
		return;
	while ((conn = TAILQ_FIRST(&pl->conns)))
		peerlink_conn_close(pl, conn);
	while ((conn = TAILQ_FIRST(&pl->closed))) {
		TAILQ_REMOVE(&pl->closed, conn, link);
		peerlink_conn_destroy(conn);
	}
	for (size_t i = 0; pl->peers && i < pl->config->peer_count; i++)
		peerlink_peer_release(pl, &pl->peers[i]);
	free(pl->peers);
	peerlink_listen_close(pl);
	if (pl->epoll_fd >= 0)
		close(pl->epoll_fd);
	peer_tls_destroy(pl->tls);
	free(pl);
}
