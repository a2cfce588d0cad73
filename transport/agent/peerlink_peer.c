/* SPDX-License-Identifier: Apache-2.0 */
/* peerlink_peer.c - what becomes of a peer; see peerlink.h and peerlink_internal.h. */
#include "transport/agent/peerlink_internal.h"

#include "transport/clock.h"
#include "transport/log.h"

#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

/* Attempts may fail for two reasons in turn, for ever: after some lines there are
 * no more for a while. The first is often only that the other agent starts later,
 * so it must not hide the second. */
#define PEER_LINES_MAX      4u
#define PEER_LINES_RESET_NS (60 * SLU_NS_PER_S)

/* A second line with the same reason tells nothing: true when it is a new one. */
static bool peer_reason_is_new(struct peer *peer, const char *reason, uint64_t now_ns)
{
	if (now_ns >= peer->line_reset_ns)
		peer->line_count = 0;
	if (strcmp(peer->logged, reason) == 0 || peer->line_count == PEER_LINES_MAX)
		return false;
	peer->line_count++;
	peer->line_reset_ns = now_ns + PEER_LINES_RESET_NS;
	return true;
}

/* What is logged in any case. */
static void peer_reason_set(struct peer *peer, const char *reason)
{
	snprintf(peer->reason, sizeof(peer->reason), "%s", reason);
	snprintf(peer->logged, sizeof(peer->logged), "%s", reason);
	peer->line_count = 0;
}

static void peer_redial_at(struct peerlink *pl, struct peer *peer, uint64_t at_ns)
{
	peer->redial_ns = at_ns;
	peerlink_timer(pl, at_ns);
}

/* After a pause, which grows. */
static void peer_redial(struct peerlink *pl, struct peer *peer, uint64_t now_ns)
{
	peer_redial_at(pl, peer, now_ns + peer->backoff_ns);
	peer->backoff_ns *= 2;
	if (peer->backoff_ns > PEERLINK_BACKOFF_NS_MAX)
		peer->backoff_ns = PEERLINK_BACKOFF_NS_MAX;
}

/* After connect() failed with error: where one address refuses, the next is tried
 * without a pause. */
static void peer_redial_after(struct peerlink *pl, struct peer *peer, int error, uint64_t now_ns)
{
	if (error == ECONNREFUSED && peer->address_next)
		peer_redial_at(pl, peer, now_ns);
	else
		peer_redial(pl, peer, now_ns);
}

/* ---- whether a peer that connects to us listens ---------------------------- */

static void peer_probe_stop(struct peerlink *pl, struct peer *peer)
{
	if (peer->dial)
		peerlink_conn_close(pl, peer->dial);
	peer->dial = NULL;
	peer->redial_ns = UINT64_MAX;
}

/* It is up: now a connection that is taken shows that its address leads to it. */
static void peer_probe_begin(struct peerlink *pl, struct peer *peer, uint64_t now_ns)
{
	peer_probe_stop(pl, peer);
	peer->address_next = NULL;
	if (!peer->answered && peer->config->address.host[0] && !peer->resolve)
		peer_redial_at(pl, peer, now_ns);
}

static bool peer_probe_is_needed(const struct peer *peer)
{
	return peer->known && (!peer->up || !peer->answered);
}

void peerlink_peer_answered(struct peerlink *pl, uint32_t peer_idx, uint64_t now_ns)
{
	struct peer *peer = &pl->peers[peer_idx];

	peer_probe_stop(pl, peer);
	peer->answered = true;
	peer->address_next = NULL;
	gone_begin(&peer->gone);
	if (!peer->up)
		peer_redial(pl, peer, now_ns);
}

/* One of its addresses was tried, in vain. */
static void peer_probe_failed(struct peerlink *pl, struct peer *peer, int error, const char *reason,
                              uint64_t now_ns)
{
	if (!peer_probe_is_needed(peer))
		return;
	if (peer->address_next || peer->answered)
		peer_redial_after(pl, peer, error, now_ns);
	else
		log_event(LOG_LEVEL_INFO, "peer_unprobed",
		          "peer=%s address=%s:%s reason=\"%s\" "
		          "note=\"its death will be known by peer_timeout alone\"",
		          peer->config->name, peer->config->address.host,
		          peer->config->address.port, reason);
}

/* ---- up, down, dead ------------------------------------------------------- */

void peerlink_peer_died(struct peerlink *pl, uint32_t peer_idx, const char *reason, uint64_t now_ns)
{
	struct peer *peer = &pl->peers[peer_idx];
	struct conn *up = peer->up;

	peer->known = false;
	peer->up = NULL;
	peer->rtt_ns = 0;
	if (up)
		peerlink_conn_close(pl, up);
	if (!peer->connects) {
		peer_probe_stop(pl, peer);
	} else if (up) {
		peer_redial(pl, peer, now_ns);
	} else if (peer->dial && peer->dial->state == CONN_HELLO) {
		/* Our HELLO on the way says that we still hold state: it does not hold
		 * now. */
		peerlink_conn_close(pl, peer->dial);
		peer->dial = NULL;
		peer_redial(pl, peer, now_ns);
	}
	pl->stats.deaths++;
	log_event(LOG_LEVEL_ERROR, "peer_dead", "peer=%s reason=\"%s\"", peer->config->name,
	          reason);
	peer_reason_set(peer, reason);
	pl->callbacks.peer_dead(peer_idx, reason, pl->callbacks.ctx);
}

void peerlink_peer_came_up(struct peerlink *pl, struct conn *conn, uint32_t peer_idx,
                           const struct peer_hello *hello, uint64_t now_ns)
{
	struct peer *peer = &pl->peers[peer_idx];
	struct conn *before = peer->up;
	bool resumed = peer->known && peer->generation == hello->generation &&
	               hello->known_generation == pl->hello.generation;
	char reason[PEER_TEXT_MAX];

	if (peer->dial == conn) /* or it would be closed with what is given up here */
		peer->dial = NULL;
	if (before) {
		peer->up = NULL;
		peerlink_conn_close(pl, before);
		if (resumed)
			peerlink_peer_went_down(pl, peer_idx, "replaced by a new connection",
			                        now_ns);
	}
	if (peer->known && !resumed) {
		snprintf(reason, sizeof(reason),
		         peer->generation != hello->generation ? "agent on %s restarted"
		                                               : "agent on %s gave this host up",
		         peer->config->name);
		peerlink_peer_died(pl, peer_idx, reason, now_ns);
	}
	conn->state = CONN_UP;
	conn->peer = peer_idx;
	conn->deadline_ns = UINT64_MAX;
	peer->up = conn;
	peer->known = true;
	peer->generation = hello->generation;
	/* Without authentication there is no secret to make keys of. */
	peer->encrypted = (hello->encrypt || pl->hello.encrypt) &&
	                  pl->config->control.auth != CONFIG_AUTH_NONE;
	peer->heard_ns = now_ns;
	peer->redial_ns = UINT64_MAX;
	peer->backoff_ns = PEERLINK_BACKOFF_NS_MIN;
	peer->answered = peer->connects || (resumed && peer->answered);
	if (!peer->connects)
		peer_probe_begin(pl, peer, now_ns);
	peer_reason_set(peer, "");
	peerlink_timer(pl, now_ns + pl->config->agent.peer_timeout_ns);
	pl->stats.ups++;
	log_event(LOG_LEVEL_INFO, "peer_up",
	          "peer=%s address=%s generation=%" PRIx64 " resumed=%s encrypted=%s",
	          peer->config->name, conn->address, hello->generation, resumed ? "yes" : "no",
	          peer->encrypted ? "yes" : "no");
	pl->callbacks.peer_up(peer_idx, hello, resumed, pl->callbacks.ctx);
}

void peerlink_peer_went_down(struct peerlink *pl, uint32_t peer_idx, const char *reason,
                             uint64_t now_ns)
{
	struct peer *peer = &pl->peers[peer_idx];

	peer->up = NULL;
	peer->address_next = NULL;
	gone_begin(&peer->gone);
	if (!peer->connects) {
		peer_probe_stop(pl, peer);
		peer->backoff_ns = PEERLINK_BACKOFF_NS_MIN;
	}
	/* A lookup still under way, for what was before, goes on with this. */
	if (peer->answered && !peer->resolve)
		peer_redial(pl, peer, now_ns);
	pl->stats.downs++;
	log_event(LOG_LEVEL_WARNING, "peer_down", "peer=%s reason=\"%s\"", peer->config->name,
	          reason);
	peer_reason_set(peer, reason);
	pl->callbacks.peer_down(peer_idx, reason, pl->callbacks.ctx);
}

/* What an attempt that failed tells of the next ones, and the reader of the log. */
static void peer_connect_failed(struct peerlink *pl, struct peer *peer, int error,
                                const char *reason, uint64_t now_ns)
{
	peer_redial_after(pl, peer, error, now_ns);
	pl->stats.refused++;
	snprintf(peer->reason, sizeof(peer->reason), "%s", reason);
	if (!peer_reason_is_new(peer, reason, now_ns))
		return;
	snprintf(peer->logged, sizeof(peer->logged), "%s", reason);
	log_event(LOG_LEVEL_WARNING, "peer_connect_failed", "peer=%s address=%s:%s reason=\"%s\"",
	          peer->config->name, peer->config->address.host, peer->config->address.port,
	          reason);
}

void peerlink_peer_dial_failed(struct peerlink *pl, uint32_t peer_idx, int error,
                               const char *reason, uint64_t now_ns)
{
	struct peer *peer = &pl->peers[peer_idx];
	bool gone = gone_attempt(&peer->gone, error == ECONNREFUSED, !peer->address_next, now_ns);
	char text[PEER_TEXT_MAX];

	peer->dial = NULL;
	if (peer->connects)
		peer_connect_failed(pl, peer, error, reason, now_ns);
	else
		peer_probe_failed(pl, peer, error, reason, now_ns);
	if (gone && peer->known && !peer->up) {
		snprintf(text, sizeof(text), "agent on %s is gone: connection refused",
		         peer->config->name);
		peerlink_peer_died(pl, peer_idx, text, now_ns);
	}
}

/* Connect to one address; failing at once is reported as a failed attempt. */
static void peer_dial_address(struct peerlink *pl, uint32_t peer_idx,
                              const struct addrinfo *address, uint64_t now_ns)
{
	struct peer *peer = &pl->peers[peer_idx];
	int one = 1;
	int fd = socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	char text[300];

	if (fd < 0) {
		peerlink_peer_dial_failed(pl, peer_idx, 0, strerror(errno), now_ns);
		return;
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (connect(fd, address->ai_addr, address->ai_addrlen) && errno != EINPROGRESS) {
		int saved_errno = errno;

		close(fd);
		peerlink_peer_dial_failed(pl, peer_idx, saved_errno, strerror(saved_errno), now_ns);
		return;
	}
	peerlink_address_text(address->ai_addr, address->ai_addrlen, text, sizeof(text));
	peer->dial = peerlink_conn_add(pl, fd, true, CONN_CONNECTING, text, now_ns);
	if (!peer->dial) {
		peerlink_peer_dial_failed(pl, peer_idx, 0, "out of memory", now_ns);
		return;
	}
	peer->dial->peer = peer_idx;
}

static void peer_resolve(struct peerlink *pl, uint32_t peer_idx, uint64_t now_ns)
{
	struct peer *peer = &pl->peers[peer_idx];
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = &peer->source};
	int rc;

	if (pl->resolve_count == PEERLINK_RESOLVES_MAX) {
		peer->redial_ns = now_ns + PEERLINK_BACKOFF_NS_MIN;
		peerlink_timer(pl, peer->redial_ns);
		return;
	}
	rc = peerlink_resolve_start(&peer->config->address, &peer->resolve);
	if (!rc &&
	    epoll_ctl(pl->epoll_fd, EPOLL_CTL_ADD, peerlink_resolve_fd(peer->resolve), &event)) {
		rc = -errno;
		peerlink_resolve_drop(peer->resolve);
	}
	if (rc) {
		peer->resolve = NULL;
		peerlink_peer_dial_failed(pl, peer_idx, 0, strerror(-rc), now_ns);
		return;
	}
	pl->resolve_count++;
}

/* Try the next known address; when all were tried, ask again what they are. */
static void peer_dial(struct peerlink *pl, uint32_t peer_idx, uint64_t now_ns)
{
	struct peer *peer = &pl->peers[peer_idx];
	const struct addrinfo *address = peer->address_next;

	peer->redial_ns = UINT64_MAX;
	/* As after a lookup that took longer than the need for it. */
	if (!peer->connects && !peer_probe_is_needed(peer))
		return;
	if (!address) {
		if (peer->addresses)
			freeaddrinfo(peer->addresses);
		peer->addresses = NULL;
		if (peerlink_resolve_numeric(&peer->config->address, &peer->addresses)) {
			peer->addresses = NULL;
			peer_resolve(pl, peer_idx, now_ns);
			return;
		}
		address = peer->addresses;
	}
	peer->address_next = address->ai_next;
	peer_dial_address(pl, peer_idx, address, now_ns);
}

void peerlink_peer_resolved(struct peerlink *pl, struct peer *peer, uint64_t now_ns)
{
	uint32_t peer_idx = (uint32_t)(peer - pl->peers);
	int rc;

	epoll_ctl(pl->epoll_fd, EPOLL_CTL_DEL, peerlink_resolve_fd(peer->resolve), NULL);
	rc = peerlink_resolve_finish(peer->resolve, &peer->addresses);
	peer->resolve = NULL;
	pl->resolve_count--;
	if (rc) {
		peer->addresses = NULL;
		peerlink_peer_dial_failed(pl, peer_idx, 0, gai_strerror(rc), now_ns);
		return;
	}
	peer->address_next = peer->addresses;
	peer_dial(pl, peer_idx, now_ns);
}

void peerlink_peer_timers(struct peerlink *pl, uint32_t peer_idx, uint64_t now_ns)
{
	struct peer *peer = &pl->peers[peer_idx];
	uint64_t timeout_ns = pl->config->agent.peer_timeout_ns;
	char reason[PEER_TEXT_MAX + PEER_STREAM_ERROR_MAX];

	if (peer->known && now_ns >= peer->heard_ns + timeout_ns) {
		snprintf(reason, sizeof(reason), "host %s not heard from for %" PRIu64 " ms%s%s",
		         peer->config->name, (now_ns - peer->heard_ns) / SLU_NS_PER_MS,
		         peer->up ? "" : "; ", peer->up ? "" : peer->reason);
		peerlink_peer_died(pl, peer_idx, reason, now_ns);
	}
	if (now_ns >= peer->redial_ns && !peer->dial && !peer->resolve)
		peer_dial(pl, peer_idx, now_ns);
	if (peer->known)
		peerlink_timer(pl, peer->heard_ns + timeout_ns);
	peerlink_timer(pl, peer->redial_ns);
}

void peerlink_peer_ping(struct peerlink *pl, struct peer *peer, uint64_t now_ns)
{
	uint8_t payload[sizeof(struct peer_ping_wire)];

	/* What waits to be written is a sign of life as good as a PING. */
	if (!peer->up || conn_queued_bytes(peer->up))
		return;
	peer->ping_ns = now_ns;
	if (peerlink_conn_queue(peer->up, PEER_PING, payload, peer_ping_encode(now_ns, payload)) ==
	    0)
		peerlink_conn_ready(pl, peer->up);
}

void peerlink_peer_release(struct peerlink *pl, struct peer *peer)
{
	if (peer->addresses)
		freeaddrinfo(peer->addresses);
	if (peer->resolve)
		epoll_ctl(pl->epoll_fd, EPOLL_CTL_DEL, peerlink_resolve_fd(peer->resolve), NULL);
	peerlink_resolve_drop(peer->resolve);
}
