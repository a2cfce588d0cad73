/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tcp.c - the driver over kernel sockets: one session is one TCP connection.
 * Opening, the round of a poll, and the ops table.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <sluice/sluice.h>

#include "drivers/tcp/tcp.h"

/* Sockets with news that one epoll_wait tells; more come with the next poll. */
#define EPOLL_BATCH 64

extern const struct slu_driver_ops slu_driver_tcp;

static int options_read(const struct slu_driver_config *config, struct tcp_options *ret_options)
{
	static const char *const known[] = {
	        "listen",         "advertise",       "sndbuf_bytes", "rcvbuf_bytes", "nodelay",
	        "queue_messages", "user_timeout_ms", "busy_poll_us", NULL,
	};
	struct tcp_options options;
	const struct {
		const char *name;
		uint64_t min, max, fallback;
		uint64_t *value;
	} numbers[] = {
	        {"sndbuf_bytes", 0, INT_MAX / 2, 0, &options.sndbuf_bytes},
	        {"rcvbuf_bytes", 0, INT_MAX / 2, 0, &options.rcvbuf_bytes},
	        {"queue_messages", 1, 65536, 64, &options.queue_messages},
	        {"nodelay", 0, 1, 1, &options.nodelay},
	        {"user_timeout_ms", 0, INT_MAX, 0, &options.user_timeout_ms},
	        {"busy_poll_us", 0, 1000000, 0, &options.busy_poll_us},
	};
	int r = slu_driver_options_check(config, known);

	for (size_t i = 0; r == 0 && i < sizeof numbers / sizeof numbers[0]; i++)
		r = slu_driver_option_u64(config, numbers[i].name, numbers[i].min, numbers[i].max,
		                          numbers[i].fallback, numbers[i].value);
	if (r == 0)
		*ret_options = options;
	return r;
}

/* An option that this host refuses (SO_BUSY_POLL wants CAP_NET_ADMIN) is told
 * now and not with the first connection. */
static int options_try(const struct tcp_options *options, const struct slu_driver_config *config)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int r;

	if (fd < 0 && errno == EAFNOSUPPORT)
		fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	r = fd < 0 ? -errno : tcp_session_options_set(fd, options);
	if (r < 0)
		snprintf(config->error, SLU_DRIVER_ERROR_MAX, "tcp: cannot set up a socket: %s",
		         strerrordesc_np(-r));
	if (fd >= 0)
		close(fd);
	return r;
}

static void driver_reap(struct slu_driver *driver)
{
	struct slu_session *session;

	while ((session = TAILQ_FIRST(&driver->closed))) {
		TAILQ_REMOVE(&driver->closed, session, all_link);
		tcp_tx_fini(&session->tx);
		tcp_cipher_fini(&session->sealer);
		tcp_cipher_fini(&session->opener);
		free(session);
	}
}

static void tcp_close(struct slu_driver *driver)
{
	struct slu_session *session;

	while ((session = TAILQ_FIRST(&driver->all)))
		tcp_session_destroy(session);
	driver_reap(driver);
	free(driver->sealed_spare);
	if (driver->listen_fd >= 0)
		close(driver->listen_fd);
	if (driver->epoll_fd >= 0)
		close(driver->epoll_fd);
	free(driver);
}

static int tcp_open(const struct slu_driver_config *config, const struct slu_driver_host *host,
                    struct slu_driver **ret_driver)
{
	struct tcp_options options;
	struct slu_driver *driver;
	int r = options_read(config, &options);

	if (r == 0)
		r = options_try(&options, config);
	if (r < 0)
		return r;
	driver = calloc(1, sizeof *driver);
	if (!driver)
		return -ENOMEM;
	driver->host = host;
	driver->options = options;
	driver->sealed_bytes_max = tcp_sealed_bytes_max(host->message_bytes_max);
	driver->listen_fd = -1;
	TAILQ_INIT(&driver->all);
	TAILQ_INIT(&driver->ready);
	TAILQ_INIT(&driver->starved);
	TAILQ_INIT(&driver->dirty);
	TAILQ_INIT(&driver->notices);
	TAILQ_INIT(&driver->connecting);
	TAILQ_INIT(&driver->waiting);
	TAILQ_INIT(&driver->closed);
	driver->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (driver->epoll_fd < 0) {
		r = -errno;
		snprintf(config->error, SLU_DRIVER_ERROR_MAX, "tcp: epoll: %s",
		         strerrordesc_np(-r));
	} else {
		r = tcp_listen_open(driver, config);
	}
	if (r < 0) {
		tcp_close(driver);
		return r;
	}
	*ret_driver = driver;
	return 0;
}

static int tcp_address(struct slu_driver *driver, char *ret_address)
{
	if (driver->listen_fd < 0)
		return -ENOTSUP;
	strcpy(ret_address, driver->address);
	return 0;
}

static int tcp_connect(struct slu_driver *driver, const char *address, const void *hello,
                       void *user, struct slu_session **ret_session)
{
	struct tcp_address peer;
	int r = tcp_address_parse(address, false, NULL, &peer);

	if (r < 0 || tcp_address_port(&peer) == 0)
		return -EINVAL;
	return tcp_session_connect(driver, &peer, hello, user, ret_session);
}

static int tcp_protect(struct slu_driver *driver, struct slu_session *session,
                       const struct slu_driver_keys *keys)
{
	return tcp_session_protect(session, keys);
}

static int tcp_accept(struct slu_driver *driver, struct slu_session *session, void *user)
{
	tcp_session_accept(session, user);
	return 0;
}

static void tcp_session_close(struct slu_driver *driver, struct slu_session *session)
{
	tcp_session_destroy(session);
}

static int tcp_send(struct slu_driver *driver, struct slu_session *session, const void *message,
                    uint32_t size_bytes, uint64_t cookie)
{
	return tcp_tx_frame(session, message, size_bytes, cookie);
}

static int tcp_send_small(struct slu_driver *driver, struct slu_session *session,
                          const void *message, uint32_t size_bytes)
{
	return tcp_tx_small(session, message, size_bytes);
}

static void tcp_flush(struct slu_driver *driver)
{
	struct slu_session *session;

	while ((session = TAILQ_FIRST(&driver->dirty)))
		tcp_tx_write(session); /* takes it off the list */
}

static void session_news(struct slu_session *session, uint32_t events)
{
	if (session->state == TCP_DOWN)
		return;
	if (session->state == TCP_CONNECTING) {
		tcp_session_connected(session);
		if (session->state == TCP_DOWN)
			return;
	} else if (session->tx.blocked && (events & EPOLLOUT)) {
		session->tx.blocked = false;
		tcp_tx_write(session);
	}
	if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		session->ending = true;
	if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) {
		session->drained = false;
		if (session->ready == TCP_QUIET)
			tcp_session_ready(session, TCP_READY);
	}
}

static void driver_news(struct slu_driver *driver)
{
	struct epoll_event news[EPOLL_BATCH];
	int count = epoll_wait(driver->epoll_fd, news, EPOLL_BATCH, 0);

	driver->stats.system_calls++;
	for (int i = 0; i < count; i++) {
		if (news[i].data.ptr)
			session_news(news[i].data.ptr, news[i].events);
		else
			driver->listen_ready = true;
	}
}

/* Tell what sessions have besides messages; those of which something is left,
 * because the array is full, keep their place. */
static void driver_tell(struct slu_driver *driver, struct tcp_events *events)
{
	struct slu_session *session;

	while ((session = TAILQ_FIRST(&driver->notices)) && events->count < events->max) {
		if (session->tell_up)
			tcp_event_add(events, session, SLU_DRIVER_UP);
		session->tell_up = false;
		if (!tcp_tx_tell(session, events))
			return;
		if (session->tell_down) {
			struct slu_driver_event *event;

			if (events->count == events->max)
				return;
			event = tcp_event_add(events, session, SLU_DRIVER_DOWN);
			event->error = session->error;
			event->text = session->text;
			session->tell_down = false;
		}
		TAILQ_REMOVE(&driver->notices, session, notice_link);
		session->noticed = false;
	}
}

/* Each ready session once: those that read go to the end of the list. */
static void driver_read(struct slu_driver *driver, struct tcp_events *events)
{
	struct slu_session *last, *session;

	while ((session = TAILQ_FIRST(&driver->starved)))
		tcp_session_ready(session, TCP_READY);
	last = TAILQ_LAST(&driver->ready, tcp_sessions);
	while (events->count < events->max && (session = TAILQ_FIRST(&driver->ready))) {
		tcp_rx_read(session, events);
		if (session == last)
			break;
	}
}

static bool driver_accepts(struct slu_driver *driver, uint64_t now_ns)
{
	return driver->listen_ready && now_ns >= driver->accept_rest_until_ns;
}

static int tcp_poll(struct slu_driver *driver, struct slu_driver_event *ret_events, int count)
{
	/* SENT leaves half of the array to what is received. */
	struct tcp_events events = {.events = ret_events, .max = (count + 1) / 2};

	driver->poll_number++;
	driver_reap(driver);
	driver_news(driver);
	if (driver->listen_ready || !TAILQ_EMPTY(&driver->waiting) ||
	    !TAILQ_EMPTY(&driver->connecting)) {
		uint64_t now_ns = driver->host->now_ns(driver->host->ctx);

		if (driver_accepts(driver, now_ns))
			tcp_listen_accept(driver);
		tcp_session_expire(driver, now_ns);
	}
	driver_tell(driver, &events);
	events.max = count;
	driver_read(driver, &events);
	driver_tell(driver, &events);
	return events.count;
}

static int tcp_fd(struct slu_driver *driver)
{
	return driver->epoll_fd;
}

static int tcp_arm(struct slu_driver *driver)
{
	if (!TAILQ_EMPTY(&driver->notices) || !TAILQ_EMPTY(&driver->ready))
		return SLU_AGAIN;
	if (driver->listen_ready && driver_accepts(driver, driver->host->now_ns(driver->host->ctx)))
		return SLU_AGAIN;
	return 0;
}

static uint64_t deadline_of(const struct tcp_sessions *list)
{
	return TAILQ_EMPTY(list) ? UINT64_MAX : TAILQ_FIRST(list)->deadline_ns;
}

static uint64_t tcp_deadline(struct slu_driver *driver)
{
	uint64_t waiting_ns = deadline_of(&driver->waiting);
	uint64_t connecting_ns = deadline_of(&driver->connecting);
	uint64_t first_ns = waiting_ns < connecting_ns ? waiting_ns : connecting_ns;

	if (driver->listen_ready && driver->accept_rest_until_ns < first_ns)
		first_ns = driver->accept_rest_until_ns;
	if (!TAILQ_EMPTY(&driver->starved)) {
		uint64_t retry_ns = driver->host->now_ns(driver->host->ctx) + TCP_STARVED_REST_NS;

		if (retry_ns < first_ns)
			first_ns = retry_ns;
	}
	return first_ns;
}

static void tcp_stats(struct slu_driver *driver, struct slu_driver_stats *ret_stats)
{
	*ret_stats = driver->stats;
}

const struct slu_driver_ops slu_driver_tcp = {
        .name = "tcp",
        /* TCP's own checksum. Who has seen it fail sets crc32c in the configuration. */
        .caps = SLU_DRIVER_LINK_INTEGRITY | SLU_DRIVER_ENCRYPTION,
        .open = tcp_open,
        .close = tcp_close,
        .address = tcp_address,
        .connect = tcp_connect,
        .session_protect = tcp_protect,
        .session_accept = tcp_accept,
        .session_close = tcp_session_close,
        .send = tcp_send,
        .send_small = tcp_send_small,
        .flush = tcp_flush,
        .poll = tcp_poll,
        .fd = tcp_fd,
        .arm = tcp_arm,
        .deadline = tcp_deadline,
        .stats = tcp_stats,
};
