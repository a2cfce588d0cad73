/* SPDX-License-Identifier: Apache-2.0 */
/*
 * peerlink_listen.c - the listening socket. While too many connections without
 * HELLO are open, further ones wait in the kernel's queue: when a cluster starts,
 * hundreds of honest peers come at once, and to reset them would only make them
 * come again.
 */
#include "transport/agent/peerlink_internal.h"

#include "transport/clock.h"
#include "transport/log.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

/* How long to leave the queue alone when no descriptor or memory was left. */
#define LISTENER_RETRY_NS (100 * SLU_NS_PER_MS)

void peerlink_address_text(const struct sockaddr *address, socklen_t size, char *ret_text,
                           size_t text_size)
{
	char host[256], port[16];

	if (getnameinfo(address, size, host, sizeof(host), port, sizeof(port),
	                NI_NUMERICHOST | NI_NUMERICSERV)) {
		snprintf(ret_text, text_size, "unknown");
		return;
	}
	snprintf(ret_text, text_size, strchr(host, ':') ? "[%s]:%s" : "%s:%s", host, port);
}

static int listener_fail(const struct config_address *address, char *error)
{
	int rc = -errno;

	snprintf(error, CONFIG_ERROR_MAX, "cannot listen on %s:%s: %s", address->host,
	         address->port, strerror(-rc));
	return rc;
}

static int listener_bind(const struct addrinfo *address)
{
	int one = 1, zero = 0, saved_errno;
	int fd = socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (address->ai_family == AF_INET6) /* [::] is also every IPv4 address */
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof(zero));
	if (bind(fd, address->ai_addr, address->ai_addrlen) == 0 && listen(fd, SOMAXCONN) == 0)
		return fd;
	saved_errno = errno;
	close(fd);
	errno = saved_errno;
	return -1;
}

int peerlink_listen_open(struct peerlink *pl, char *error)
{
	const struct config_address *address = &pl->config->control.listen;
	const struct addrinfo hints = {
	        .ai_family = AF_UNSPEC,
	        .ai_socktype = SOCK_STREAM,
	        .ai_flags = AI_PASSIVE | AI_NUMERICSERV,
	};
	struct epoll_event event = {.events = 0, .data.ptr = &pl->listener.source};
	struct sockaddr_storage bound;
	socklen_t size = sizeof(bound);
	struct addrinfo *list;
	int rc = getaddrinfo(address->host, address->port, &hints, &list);

	if (rc) {
		snprintf(error, CONFIG_ERROR_MAX, "cannot listen on %s:%s: %s", address->host,
		         address->port, gai_strerror(rc));
		return -EINVAL;
	}
	pl->listener.fd = listener_bind(list);
	rc = pl->listener.fd < 0 ? listener_fail(address, error) : 0;
	freeaddrinfo(list);
	if (rc)
		return rc;
	if (getsockname(pl->listener.fd, (struct sockaddr *)&bound, &size) ||
	    epoll_ctl(pl->epoll_fd, EPOLL_CTL_ADD, pl->listener.fd, &event))
		return listener_fail(address, error);
	peerlink_address_text((struct sockaddr *)&bound, size, pl->listener.address,
	                      sizeof(pl->listener.address));
	return 0;
}

void peerlink_listen_close(struct peerlink *pl)
{
	if (pl->listener.fd >= 0)
		close(pl->listener.fd);
	pl->listener.fd = -1;
}

static void listener_interest(struct peerlink *pl, bool armed)
{
	struct epoll_event event = {
	        .events = armed ? EPOLLIN : 0,
	        .data.ptr = &pl->listener.source,
	};

	if (armed == pl->listener.armed)
		return;
	epoll_ctl(pl->epoll_fd, EPOLL_CTL_MOD, pl->listener.fd, &event);
	pl->listener.armed = armed;
}

void peerlink_listen_arm(struct peerlink *pl, uint64_t now_ns)
{
	if (pl->listener.fd < 0)
		return;
	if (now_ns >= pl->listener.retry_ns)
		pl->listener.retry_ns = UINT64_MAX;
	listener_interest(pl, pl->stats.half_open < PEERLINK_HALF_OPEN_MAX &&
	                              pl->listener.retry_ns == UINT64_MAX);
	peerlink_timer(pl, pl->listener.retry_ns);
}

/* EMFILE, ENFILE, ENOBUFS, ENOMEM: the connection stays in the queue and the
 * descriptor readable, so looking again at once would be a busy loop. */
static void listener_pause(struct peerlink *pl, int error, uint64_t now_ns)
{
	pl->listener.retry_ns = now_ns + LISTENER_RETRY_NS;
	if (refusals_line_new(&pl->refusals, now_ns))
		log_event(LOG_LEVEL_ERROR, "peer_accept_failed", "listen=%s reason=\"%s\"",
		          pl->listener.address, strerror(error));
}

void peerlink_listen_accept(struct peerlink *pl, uint64_t now_ns)
{
	while (pl->stats.half_open < PEERLINK_HALF_OPEN_MAX) {
		struct sockaddr_storage from;
		socklen_t size = sizeof(from);
		struct conn *conn;
		char text[300];
		int one = 1;
		int fd = accept4(pl->listener.fd, (struct sockaddr *)&from, &size,
		                 SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd < 0) {
			/* EAGAIN: all are taken. Errors of one connection are its own. */
			if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS ||
			    errno == ENOMEM)
				listener_pause(pl, errno, now_ns);
			else if (errno == EINTR || errno == ECONNABORTED)
				continue;
			break;
		}
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		peerlink_address_text((struct sockaddr *)&from, size, text, sizeof(text));
		conn = peerlink_conn_add(pl, fd, false, CONN_HANDSHAKE, text, now_ns);
		if (!conn) {
			listener_pause(pl, ENOMEM, now_ns);
			break;
		}
		conn->half_open = true;
		pl->stats.half_open++;
		pl->stats.accepted++;
	}
	peerlink_listen_arm(pl, now_ns);
}
