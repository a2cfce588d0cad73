/* SPDX-License-Identifier: Apache-2.0 */
/*
 * listen.c - the listening socket: binding, the address that peers are told,
 * and accepting, with bounds that strangers cannot use to exhaust descriptors.
 */
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "drivers/tcp/tcp.h"
#include "transport/log.h"

/* accept(2) calls per poll. */
#define ACCEPT_BATCH 16

static int listen_error(const struct slu_driver_config *config, int error, const char *what,
                        const char *text)
{
	snprintf(config->error, SLU_DRIVER_ERROR_MAX, "tcp: %s \"%s\": %s", what, text,
	         error == -ENOENT   ? "no such host"
	         : error == -EINVAL ? "not HOST:PORT"
	                            : strerrordesc_np(-error));
	return error == -ENOENT ? -EINVAL : error;
}

static int listen_bind(struct slu_driver *driver, const struct tcp_address *address)
{
	struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.ptr = NULL};
	int family = address->storage.ss_family;
	int yes = 1, no = 0;
	int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int rcvbuf_bytes = (int)driver->options.rcvbuf_bytes;

	if (fd < 0)
		return -errno;
	driver->listen_fd = fd; /* closed by the driver's close */
	/* A restarted agent gets its port back while old connections time out. */
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) < 0)
		return -errno;
	/* [::] takes IPv4 peers too, whatever the host's default is. */
	if (family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &no, sizeof no) < 0)
		return -errno;
	/* The window scale is fixed in the SYN, before accept. */
	if (rcvbuf_bytes &&
	    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &rcvbuf_bytes, sizeof rcvbuf_bytes) < 0)
		return -errno;
	if (bind(fd, (const struct sockaddr *)&address->storage, address->size_bytes) < 0 ||
	    listen(fd, SOMAXCONN) < 0 || epoll_ctl(driver->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
		return -errno;
	return 0;
}

int tcp_listen_open(struct slu_driver *driver, const struct slu_driver_config *config)
{
	const char *text = slu_driver_option(config, "listen", "127.0.0.1:0");
	const char *advertise = slu_driver_option(config, "advertise", NULL);
	struct tcp_address address;
	char port[8];
	int r;

	if (*text == '\0') {
		driver->listen_fd = -1;
		return 0;
	}
	r = tcp_address_parse(text, true, NULL, &address);
	if (r == 0)
		r = listen_bind(driver, &address);
	if (r < 0)
		return listen_error(config, r, "cannot listen on", text);
	address.size_bytes = sizeof address.storage;
	if (getsockname(driver->listen_fd, (struct sockaddr *)&address.storage,
	                &address.size_bytes) < 0)
		return listen_error(config, -errno, "cannot listen on", text);
	if (advertise) {
		snprintf(port, sizeof port, "%u", tcp_address_port(&address));
		r = tcp_address_parse(advertise, true, port, &address);
		if (r < 0)
			return listen_error(config, r, "cannot advertise", advertise);
	} else if (tcp_address_is_wildcard(&address)) {
		tcp_address_reachable(&address);
	}
	tcp_address_format(&address, driver->address);
	return 0;
}

/* Out of descriptors or memory: not the peer's fault, and not to be retried at
 * once. Connections wait in the backlog meanwhile. */
static void listen_rest(struct slu_driver *driver, int error)
{
	uint64_t now_ns = driver->host->now_ns(driver->host->ctx);

	driver->accept_rest_until_ns = now_ns + TCP_ACCEPT_REST_NS;
	if (now_ns < driver->accept_log_next_ns)
		return;
	driver->accept_log_next_ns = now_ns + SLU_NS_PER_S;
	log_event(LOG_LEVEL_ERROR, "tcp_accept", "listen=%s error=\"%s\"", driver->address,
	          strerrordesc_np(error));
}

void tcp_listen_accept(struct slu_driver *driver)
{
	for (int i = 0; i < ACCEPT_BATCH; i++) {
		struct tcp_address peer = {.size_bytes = sizeof peer.storage};
		int r, fd = accept4(driver->listen_fd, (struct sockaddr *)&peer.storage,
		                    &peer.size_bytes, SOCK_NONBLOCK | SOCK_CLOEXEC);

		driver->stats.system_calls++;
		if (fd < 0 && errno == EAGAIN) {
			driver->listen_ready = false;
			return;
		}
		if (fd < 0 &&
		    (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)) {
			listen_rest(driver, errno);
			return;
		}
		if (fd < 0)
			continue; /* that connection ended in the backlog, accept(2) */
		if (driver->waiting_count == TCP_WAITING_MAX)
			tcp_session_fail(TAILQ_FIRST(&driver->waiting), -ECONNABORTED,
			                 "dropped for a newer connection before its hello");
		if (!tcp_session_create(driver, fd, TCP_WAITING, &peer, &r)) {
			listen_rest(driver, -r);
			return;
		}
	}
}
