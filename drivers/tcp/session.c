/* SPDX-License-Identifier: Apache-2.0 */
/*
 * session.c - the life of a session: socket and options, connect and accept,
 * the hellos, the end. The lists of the instance that name a session are kept
 * here, so that none names one that is gone.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "drivers/tcp/tcp.h"
#include "transport/log.h"

/* A peer that vanished while nothing was under way is found after 10 + 3 * 3 s;
 * the kernel's default is two hours. */
#define KEEPALIVE_IDLE_S     10
#define KEEPALIVE_INTERVAL_S 3
#define KEEPALIVE_COUNT      3

/* Send buffer towards a peer on this host. The kernel grows it to megabytes,
 * for a round trip that is not there, and the data leaves the L2 cache before
 * it is received: half as much CPU per byte again (docs/decisions/0004). */
#define LOCAL_SNDBUF_BYTES (512 * 1024)

static int socket_set(int fd, int level, int option, int value)
{
	return setsockopt(fd, level, option, &value, sizeof value) == 0 ? 0 : -errno;
}

int tcp_session_options_set(int fd, const struct tcp_options *options)
{
	int r = socket_set(fd, SOL_SOCKET, SO_KEEPALIVE, 1);

	if (r == 0)
		r = socket_set(fd, IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_IDLE_S);
	if (r == 0)
		r = socket_set(fd, IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_INTERVAL_S);
	if (r == 0)
		r = socket_set(fd, IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_COUNT);
	if (r == 0)
		r = socket_set(fd, IPPROTO_TCP, TCP_NODELAY, (int)options->nodelay);
	if (r == 0 && options->sndbuf_bytes)
		r = socket_set(fd, SOL_SOCKET, SO_SNDBUF, (int)options->sndbuf_bytes);
	if (r == 0 && options->rcvbuf_bytes)
		r = socket_set(fd, SOL_SOCKET, SO_RCVBUF, (int)options->rcvbuf_bytes);
	if (r == 0 && options->user_timeout_ms)
		r = socket_set(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, (int)options->user_timeout_ms);
	if (r == 0 && options->busy_poll_us)
		r = socket_set(fd, SOL_SOCKET, SO_BUSY_POLL, (int)options->busy_poll_us);
	return r;
}

/* Both ends of the connection have the same address: the same host. */
static void socket_fit_local(int fd, const struct tcp_options *options)
{
	struct tcp_address here = {.size_bytes = sizeof here.storage};
	struct tcp_address there = {.size_bytes = sizeof there.storage};

	if (options->sndbuf_bytes == 0 &&
	    getsockname(fd, (struct sockaddr *)&here.storage, &here.size_bytes) == 0 &&
	    getpeername(fd, (struct sockaddr *)&there.storage, &there.size_bytes) == 0 &&
	    tcp_address_same_host(&here, &there))
		socket_set(fd, SOL_SOCKET, SO_SNDBUF, LOCAL_SNDBUF_BYTES);
}

static void session_timed(struct slu_session *session, struct tcp_sessions *list,
                          uint64_t timeout_ns)
{
	struct slu_driver *driver = session->driver;

	session->deadline_ns = driver->host->now_ns(driver->host->ctx) + timeout_ns;
	session->timed = true;
	TAILQ_INSERT_TAIL(list, session, timer_link);
	if (list == &driver->waiting)
		driver->waiting_count++;
}

void tcp_session_untime(struct slu_session *session)
{
	struct slu_driver *driver = session->driver;

	if (!session->timed)
		return;
	session->timed = false;
	if (session->state == TCP_WAITING) {
		TAILQ_REMOVE(&driver->waiting, session, timer_link);
		driver->waiting_count--;
	} else {
		TAILQ_REMOVE(&driver->connecting, session, timer_link);
	}
}

void tcp_session_ready(struct slu_session *session, enum tcp_ready ready)
{
	struct slu_driver *driver = session->driver;

	if (session->ready == TCP_READY)
		TAILQ_REMOVE(&driver->ready, session, ready_link);
	else if (session->ready == TCP_STARVED)
		TAILQ_REMOVE(&driver->starved, session, ready_link);
	session->ready = ready;
	/* At the tail: whoever was read is last to be read again. */
	if (ready == TCP_READY)
		TAILQ_INSERT_TAIL(&driver->ready, session, ready_link);
	else if (ready == TCP_STARVED)
		TAILQ_INSERT_TAIL(&driver->starved, session, ready_link);
}

void tcp_session_notice(struct slu_session *session)
{
	if (session->noticed)
		return;
	session->noticed = true;
	TAILQ_INSERT_TAIL(&session->driver->notices, session, notice_link);
}

struct slu_session *tcp_session_create(struct slu_driver *driver, int fd, enum tcp_state state,
                                       const struct tcp_address *peer, int *ret_error)
{
	struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET};
	struct slu_session *session = malloc(sizeof *session);
	int r = -ENOMEM;

	if (!session)
		goto err_fd;
	memset(session, 0, offsetof(struct slu_session, rx));
	session->driver = driver;
	session->fd = fd;
	session->state = state;
	tcp_stream_init(&session->rx, driver->host->message_bytes_max);
	tcp_address_format(peer, session->peer);
	r = tcp_tx_init(&session->tx, driver->options.queue_messages);
	if (r < 0)
		goto err_session;
	r = tcp_session_options_set(fd, &driver->options);
	if (r < 0)
		goto err_tx;
	event.data.ptr = session;
	if (epoll_ctl(driver->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0) {
		r = -errno;
		goto err_tx;
	}
	TAILQ_INSERT_TAIL(&driver->all, session, all_link);
	if (state == TCP_WAITING) {
		socket_fit_local(fd, &driver->options);
		session_timed(session, &driver->waiting, TCP_HELLO_TIMEOUT_NS);
	} else {
		session_timed(session, &driver->connecting, TCP_CONNECT_TIMEOUT_NS);
	}
	return session;

err_tx:
	tcp_tx_fini(&session->tx);
err_session:
	free(session);
err_fd:
	close(fd);
	*ret_error = r;
	return NULL;
}

/* Off every list but `all`; socket closed; its frame buffer given back. */
static void session_shut(struct slu_session *session)
{
	struct slu_driver *driver = session->driver;
	void *buffer = tcp_stream_reclaim(&session->rx);

	if (buffer)
		driver->host->rx_put(driver->host->ctx, buffer);
	if (session->fd < 0)
		return;
	tcp_session_untime(session);
	tcp_session_ready(session, TCP_QUIET);
	if (session->tx.dirty)
		TAILQ_REMOVE(&driver->dirty, session, dirty_link);
	session->tx.dirty = false;
	if (session->state == TCP_UP)
		driver->stats.sessions_down++;
	/* A message cut off in the middle would look to the peer as if it broke
	 * the protocol; a reset says what is the case. */
	if (session->tx.head_bytes || session->tx.sealed) {
		struct linger at_once = {.l_onoff = 1};

		setsockopt(session->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
	}
	tcp_sealed_drop(session);
	close(session->fd); /* leaves the epoll set with it */
	session->fd = -1;
	session->state = TCP_DOWN;
}

void tcp_session_destroy(struct slu_session *session)
{
	struct slu_driver *driver = session->driver;

	session_shut(session);
	if (session->noticed)
		TAILQ_REMOVE(&driver->notices, session, notice_link);
	TAILQ_REMOVE(&driver->all, session, all_link);
	TAILQ_INSERT_TAIL(&driver->closed, session, all_link);
}

/* At most one line per second, whatever strangers do. */
static void session_log_stranger(struct slu_session *session, const char *reason)
{
	struct slu_driver *driver = session->driver;
	uint64_t now_ns = driver->host->now_ns(driver->host->ctx);

	if (now_ns < driver->stranger_log_next_ns)
		return;
	driver->stranger_log_next_ns = now_ns + SLU_NS_PER_S;
	log_event(LOG_LEVEL_WARNING, "tcp_stranger", "peer=%s reason=\"%s\"", session->peer,
	          reason);
}

void tcp_session_fail(struct slu_session *session, int error, const char *reason)
{
	bool stranger = session->state == TCP_WAITING;

	if (!reason)
		reason = strerrordesc_np(-error);
	snprintf(session->text, sizeof session->text, "tcp %s: %s", session->peer, reason);
	session->error = error;
	session_shut(session);
	if (stranger) {
		if (error) /* one that merely looks whether we are there is normal */
			session_log_stranger(session, reason);
		tcp_session_destroy(session);
		return;
	}
	session->tell_down = true;
	tcp_session_notice(session);
}

int tcp_session_connect(struct slu_driver *driver, const struct tcp_address *peer,
                        const void *hello, void *user, struct slu_session **ret_session)
{
	struct slu_session *session;
	int fd, r;

	fd = socket(peer->storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return errno == EAFNOSUPPORT ? -ENETUNREACH : -errno;
	session = tcp_session_create(driver, fd, TCP_CONNECTING, peer, &r);
	if (!session)
		return r;
	session->user = user;
	session->tx.blocked = true;
	tcp_tx_hello(session, hello);
	/* The edge that tells the result is waited for even when there is one
	 * already: one way for both. */
	r = connect(fd, (const struct sockaddr *)&peer->storage, peer->size_bytes);
	if (r < 0 && errno != EINPROGRESS) {
		r = -errno;
		if (r == -ENETUNREACH) {
			tcp_session_destroy(session);
			return r;
		}
		tcp_session_fail(session, r, NULL);
	}
	*ret_session = session;
	return 0;
}

void tcp_session_connected(struct slu_session *session)
{
	int error = 0;
	socklen_t size = sizeof error;

	if (getsockopt(session->fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0)
		error = errno;
	if (error) {
		tcp_session_fail(session, -error, NULL);
		return;
	}
	session->state = TCP_ASKING;
	socket_fit_local(session->fd, &session->driver->options);
	session->tx.blocked = false;
	tcp_tx_write(session);
}

int tcp_session_protect(struct slu_session *session, const struct slu_driver_keys *keys)
{
	int r = tcp_cipher_init(&session->sealer, keys->send, true);

	if (r == 0)
		r = tcp_cipher_init(&session->opener, keys->receive, false);
	session->rx.cipher = &session->opener;
	return r;
}

void tcp_session_accept(struct slu_session *session, void *user)
{
	static const uint8_t nothing[SLU_DRIVER_HELLO_BYTES];

	session->user = user;
	session->state = TCP_UP;
	session->tell_up = true;
	session->drained = false;
	session->driver->stats.sessions_up++;
	tcp_tx_begin(session);
	tcp_tx_hello(session, nothing);
	tcp_session_ready(session, TCP_READY);
	tcp_session_notice(session);
}

static void sessions_expire(struct tcp_sessions *list, uint64_t now_ns, const char *reason)
{
	struct slu_session *session;

	while ((session = TAILQ_FIRST(list)) && session->deadline_ns <= now_ns)
		tcp_session_fail(session, -ETIMEDOUT, reason);
}

void tcp_session_expire(struct slu_driver *driver, uint64_t now_ns)
{
	sessions_expire(&driver->waiting, now_ns, "sent no hello in time");
	sessions_expire(&driver->connecting, now_ns,
	                "neither connected nor answered the hello in time");
}
