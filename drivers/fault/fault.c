/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fault.c - see fault.h: options, and the ops. Faults are drawn on the way
 * through: a send may be refused or end its session, an event may be held back,
 * garbled, or end its session. The wrapper has its own session around the
 * wrapped driver's, and its own inbox, because an event may have to wait while
 * the wrapped driver is polled on.
 */
#include "drivers/fault/fault.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <sluice/sluice.h>

#include "drivers/inbox.h"
#include "drivers/random.h"

#define PER_MILLION    UINT64_C(1000000)
#define DELAY_NS_MAX   UINT64_C(60000000000)
#define BATCH          32
#define HOLD_EVENTS_IN 8 /* one event in so many is held back when delays are on */

struct slu_driver {
	struct slu_inbox inbox;
	const struct slu_driver_ops *ops; /* of the wrapped driver */
	struct slu_driver *inner;
	const struct slu_driver_host *host;
	TAILQ_HEAD(, slu_session) sessions;
	struct slu_random random;
	int epoll_fd; /* the inbox's and the wrapped driver's descriptors; -1: it has none */
	uint64_t again_count; /* of the wrapper's own making */
	uint64_t session_loss_per_million, again_per_million, corrupt_per_million;
	uint64_t connect_refuse_per_million;
	uint64_t delay_ns_max, sent_late_ns_max;
};

struct slu_session {
	struct slu_inbox_session inbox; /* first: an inbox session is cast to ours */
	TAILQ_ENTRY(slu_session) link;
	struct slu_session *inner; /* NULL: lost by a fault */
};

uint32_t slu_fault_caps(uint32_t inner_caps)
{
	return inner_caps & ~(uint32_t)SLU_DRIVER_LINK_INTEGRITY;
}

/* ---- sessions ------------------------------------------------------------ */

static struct slu_session *session_create(struct slu_driver *driver, void *user)
{
	struct slu_session *session = calloc(1, sizeof(*session));

	if (!session)
		return NULL;
	slu_inbox_session_init(&session->inbox);
	session->inbox.user = user;
	TAILQ_INSERT_TAIL(&driver->sessions, session, link);
	return session;
}

static void session_destroy(struct slu_driver *driver, struct slu_session *session)
{
	if (session->inner)
		driver->ops->session_close(driver->inner, session->inner);
	slu_inbox_session_fini(&driver->inbox, &session->inbox);
	TAILQ_REMOVE(&driver->sessions, session, link);
	free(session);
}

static void session_lose(struct slu_driver *driver, struct slu_session *session, int error,
                         const char *text)
{
	driver->ops->session_close(driver->inner, session->inner);
	session->inner = NULL;
	if (slu_inbox_down(&driver->inbox, &session->inbox, error, "%s", text))
		session_destroy(driver, session);
}

/* Before it is accepted the wrapped driver knows no user of ours. */
static struct slu_session *session_find(struct slu_driver *driver, const struct slu_session *inner)
{
	struct slu_session *session;

	TAILQ_FOREACH (session, &driver->sessions, link) {
		if (session->inner == inner)
			return session;
	}
	return NULL;
}

static uint64_t hold_until(struct slu_driver *driver, uint64_t delay_ns_max)
{
	return driver->host->now_ns(driver->host->ctx) +
	       slu_random_upto(&driver->random, delay_ns_max);
}

/* Everything of the session waits: its order stays. */
static void session_hold(struct slu_driver *driver, struct slu_session *session)
{
	if (driver->delay_ns_max > 0 && slu_random_upto(&driver->random, HOLD_EVENTS_IN - 1) == 0)
		session->inbox.rx_hold_until_ns = hold_until(driver, driver->delay_ns_max);
}

/* ---- events -------------------------------------------------------------- */

static void on_accept(struct slu_driver *driver, const struct slu_driver_event *event)
{
	struct slu_session *session = session_create(driver, NULL);

	if (session && slu_inbox_accept(&driver->inbox, &session->inbox, event->message) < 0) {
		session_destroy(driver, session);
		session = NULL;
	}
	if (!session) {
		driver->ops->session_close(driver->inner, event->session);
		return;
	}
	session->inner = event->session;
	session_hold(driver, session);
}

static void on_message(struct slu_driver *driver, struct slu_session *session,
                       const struct slu_driver_event *event)
{
	bool frame = event->type == SLU_DRIVER_RECV_FRAME;
	struct slu_inbox_item *item;
	uint64_t bit;
	uint8_t *bytes;

	item = slu_inbox_item_create(event->type, frame ? 0 : event->size_bytes);
	if (!item) {
		if (frame)
			driver->host->rx_put(driver->host->ctx, (void *)(uintptr_t)event->message);
		session_lose(driver, session, -ENOMEM, "out of memory");
		return;
	}
	item->size_bytes = event->size_bytes;
	if (frame) {
		item->message = event->message;
		item->from_rx_get = true;
	} else {
		memcpy(item->bytes, event->message, event->size_bytes);
	}
	if (slu_random_chance(&driver->random, driver->corrupt_per_million) &&
	    item->size_bytes > 0) {
		bit = slu_random_upto(&driver->random, (uint64_t)item->size_bytes * 8 - 1);
		bytes = (uint8_t *)(uintptr_t)item->message;
		bytes[bit / 8] ^= (uint8_t)(1u << (bit % 8));
	}
	slu_inbox_push(&driver->inbox, &session->inbox, item);
	if (slu_random_chance(&driver->random, driver->session_loss_per_million))
		session_lose(driver, session, -ECONNRESET, "injected fault: session lost");
}

static void on_sent(struct slu_driver *driver, struct slu_session *session, uint64_t cookie)
{
	struct slu_inbox_item *item = slu_inbox_item_create(SLU_DRIVER_SENT, 0);

	if (!item) {
		session_lose(driver, session, -ENOMEM, "out of memory");
		return;
	}
	item->cookie = cookie;
	if (driver->sent_late_ns_max > 0)
		session->inbox.tx_hold_until_ns = hold_until(driver, driver->sent_late_ns_max);
	slu_inbox_push(&driver->inbox, &session->inbox, item);
}

static void on_event(struct slu_driver *driver, const struct slu_driver_event *event)
{
	struct slu_session *session = event->user;

	if (event->type == SLU_DRIVER_ACCEPT) {
		on_accept(driver, event);
		return;
	}
	if (!session)
		session = session_find(driver, event->session);
	if (!session || !session->inner) {
		/* Lost to an event before this one in the same batch. */
		if (event->type == SLU_DRIVER_RECV_FRAME)
			driver->host->rx_put(driver->host->ctx, (void *)(uintptr_t)event->message);
		return;
	}
	session_hold(driver, session);
	switch (event->type) {
	case SLU_DRIVER_UP:
		slu_inbox_up(&driver->inbox, &session->inbox);
		break;
	case SLU_DRIVER_DOWN:
		if (slu_inbox_down(&driver->inbox, &session->inbox, event->error, "%s",
		                   event->text))
			session_destroy(driver, session);
		break;
	case SLU_DRIVER_SENT:
		on_sent(driver, session, event->cookie);
		break;
	case SLU_DRIVER_WRITABLE:
		slu_inbox_writable(&driver->inbox, &session->inbox);
		break;
	default:
		on_message(driver, session, event);
	}
}

/* ---- ops ----------------------------------------------------------------- */

static bool is_fault_option(const struct slu_driver_option *option)
{
	return strncmp(option->name, "fault_", 6) == 0;
}

static int options_read(struct slu_driver *driver, const struct slu_driver_config *config)
{
	const struct {
		const char *name;
		uint64_t max;
		uint64_t fallback;
		uint64_t *ret_value;
	} numbers[] = {
	        {"fault_seed", UINT64_MAX, 1, &driver->random.state},
	        {"fault_session_loss_per_million", PER_MILLION, 0,
	         &driver->session_loss_per_million},
	        {"fault_again_per_million", PER_MILLION, 0, &driver->again_per_million},
	        {"fault_corrupt_per_million", PER_MILLION, 0, &driver->corrupt_per_million},
	        {"fault_connect_refuse_per_million", PER_MILLION, 0,
	         &driver->connect_refuse_per_million},
	        {"fault_delay_ns_max", DELAY_NS_MAX, 0, &driver->delay_ns_max},
	        {"fault_sent_late_ns_max", DELAY_NS_MAX, 0, &driver->sent_late_ns_max},
	};
	size_t count = sizeof(numbers) / sizeof(numbers[0]);
	size_t idx, known;
	int r;

	for (idx = 0; idx < count; idx++) {
		r = slu_driver_option_u64(config, numbers[idx].name, 0, numbers[idx].max,
		                          numbers[idx].fallback, numbers[idx].ret_value);
		if (r < 0)
			return r;
	}
	for (idx = 0; idx < config->option_count; idx++) {
		for (known = 0; known < count; known++) {
			if (strcmp(config->options[idx].name, numbers[known].name) == 0)
				break;
		}
		if (known == count && is_fault_option(&config->options[idx])) {
			snprintf(config->error, SLU_DRIVER_ERROR_MAX, "unknown option \"%s\"",
			         config->options[idx].name);
			return -EINVAL;
		}
	}
	return 0;
}

/* The wrapped driver gets the options that are not ours. */
static int inner_open(struct slu_driver *driver, const struct slu_driver_config *config)
{
	struct slu_driver_config inner_config = *config;
	struct slu_driver_option *options;
	size_t idx;
	int r;

	options = calloc(config->option_count + 1, sizeof(*options));
	if (!options) {
		snprintf(config->error, SLU_DRIVER_ERROR_MAX, "out of memory");
		return -ENOMEM;
	}
	inner_config.options = options;
	inner_config.option_count = 0;
	for (idx = 0; idx < config->option_count; idx++) {
		if (!is_fault_option(&config->options[idx]))
			options[inner_config.option_count++] = config->options[idx];
	}
	r = driver->ops->open(&inner_config, driver->host, &driver->inner);
	free(options);
	return r;
}

/* One descriptor to sleep on for events of both. */
static int epoll_open(struct slu_driver *driver)
{
	struct epoll_event readable = {.events = EPOLLIN};
	int inner_fd = driver->ops->fd(driver->inner);
	int error;

	driver->epoll_fd = -1;
	if (inner_fd < 0)
		return 0;
	driver->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (driver->epoll_fd < 0)
		return -errno;
	if (epoll_ctl(driver->epoll_fd, EPOLL_CTL_ADD, inner_fd, &readable) < 0 ||
	    epoll_ctl(driver->epoll_fd, EPOLL_CTL_ADD, driver->inbox.event_fd, &readable) < 0) {
		error = errno;
		close(driver->epoll_fd);
		return -error;
	}
	return 0;
}

int slu_fault_open(const struct slu_driver_ops *inner, const struct slu_driver_config *config,
                   const struct slu_driver_host *host, struct slu_driver **ret_driver)
{
	struct slu_driver *driver = calloc(1, sizeof(*driver));
	int r;

	if (!driver) {
		snprintf(config->error, SLU_DRIVER_ERROR_MAX, "out of memory");
		return -ENOMEM;
	}
	driver->ops = inner;
	driver->host = host;
	TAILQ_INIT(&driver->sessions);
	r = options_read(driver, config);
	if (r < 0)
		goto err_free;
	r = slu_inbox_init(&driver->inbox, host);
	if (r < 0) {
		snprintf(config->error, SLU_DRIVER_ERROR_MAX, "eventfd: %s", strerror(-r));
		goto err_free;
	}
	r = inner_open(driver, config);
	if (r < 0)
		goto err_inbox;
	r = epoll_open(driver);
	if (r < 0) {
		snprintf(config->error, SLU_DRIVER_ERROR_MAX, "epoll: %s", strerror(-r));
		goto err_inner;
	}
	*ret_driver = driver;
	return 0;
err_inner:
	inner->close(driver->inner);
err_inbox:
	slu_inbox_fini(&driver->inbox);
err_free:
	free(driver);
	return r;
}

static void fault_close(struct slu_driver *driver)
{
	struct slu_session *session;

	while ((session = TAILQ_FIRST(&driver->sessions)))
		session_destroy(driver, session);
	if (driver->epoll_fd >= 0)
		close(driver->epoll_fd);
	driver->ops->close(driver->inner);
	slu_inbox_fini(&driver->inbox);
	free(driver);
}

static int fault_address(struct slu_driver *driver, char *ret_address)
{
	return driver->ops->address(driver->inner, ret_address);
}

static int fault_connect(struct slu_driver *driver, const char *address, const void *hello,
                         void *user, struct slu_session **ret_session)
{
	struct slu_session *session = session_create(driver, user);
	int r;

	if (!session)
		return -ENOMEM;
	r = driver->ops->connect(driver->inner, address, hello, session, &session->inner);
	if (r < 0) {
		session_destroy(driver, session);
		return r;
	}
	if (slu_random_chance(&driver->random, driver->connect_refuse_per_million))
		session_lose(driver, session, -ECONNREFUSED, "injected fault: refused");
	*ret_session = session;
	return 0;
}

static int fault_session_protect(struct slu_driver *driver, struct slu_session *session,
                                 const struct slu_driver_keys *keys)
{
	if (!session->inner)
		return 0; /* DOWN is queued */
	return driver->ops->session_protect(driver->inner, session->inner, keys);
}

static int fault_session_accept(struct slu_driver *driver, struct slu_session *session, void *user)
{
	session->inbox.user = user;
	if (!session->inner)
		return 0; /* DOWN is queued */
	return driver->ops->session_accept(driver->inner, session->inner, session);
}

static void fault_session_close(struct slu_driver *driver, struct slu_session *session)
{
	session_destroy(driver, session);
}

/* Whether a fault decides the send, and how. */
static bool send_fault(struct slu_driver *driver, struct slu_session *session, int *ret_result)
{
	if (!session->inner) {
		*ret_result = -ENOTCONN;
		return true;
	}
	if (slu_random_chance(&driver->random, driver->again_per_million)) {
		driver->again_count++;
		slu_inbox_writable(&driver->inbox, &session->inbox);
		*ret_result = SLU_AGAIN;
		return true;
	}
	return false;
}

/* The message that was just taken may be the session's last. */
static int send_done(struct slu_driver *driver, struct slu_session *session, int result)
{
	if (result == 0 && slu_random_chance(&driver->random, driver->session_loss_per_million))
		session_lose(driver, session, -ECONNRESET, "injected fault: session lost");
	return result;
}

static int fault_send(struct slu_driver *driver, struct slu_session *session, const void *message,
                      uint32_t size_bytes, uint64_t cookie)
{
	int r;

	if (send_fault(driver, session, &r))
		return r;
	r = driver->ops->send(driver->inner, session->inner, message, size_bytes, cookie);
	return send_done(driver, session, r);
}

static int fault_send_small(struct slu_driver *driver, struct slu_session *session,
                            const void *message, uint32_t size_bytes)
{
	int r;

	if (send_fault(driver, session, &r))
		return r;
	r = driver->ops->send_small(driver->inner, session->inner, message, size_bytes);
	return send_done(driver, session, r);
}

static void fault_flush(struct slu_driver *driver)
{
	driver->ops->flush(driver->inner);
}

static int fault_poll(struct slu_driver *driver, struct slu_driver_event *ret_events, int count)
{
	struct slu_driver_event events[BATCH];
	int idx, inner_count;

	inner_count = driver->ops->poll(driver->inner, events, BATCH);
	for (idx = 0; idx < inner_count; idx++)
		on_event(driver, &events[idx]);
	return slu_inbox_poll(&driver->inbox, ret_events, count);
}

static int fault_fd(struct slu_driver *driver)
{
	return driver->epoll_fd;
}

static int fault_arm(struct slu_driver *driver)
{
	if (slu_inbox_arm(&driver->inbox) == SLU_AGAIN)
		return SLU_AGAIN;
	return driver->ops->arm(driver->inner);
}

static uint64_t fault_deadline(struct slu_driver *driver)
{
	uint64_t own_ns = slu_inbox_deadline(&driver->inbox);
	uint64_t inner_ns = driver->ops->deadline(driver->inner);

	return own_ns < inner_ns ? own_ns : inner_ns;
}

static uint32_t fault_rx_posted(struct slu_driver *driver)
{
	return driver->ops->rx_posted(driver->inner);
}

static void fault_stats(struct slu_driver *driver, struct slu_driver_stats *ret_stats)
{
	driver->ops->stats(driver->inner, ret_stats);
	ret_stats->again_count += driver->again_count;
}

const struct slu_driver_ops slu_fault_ops = {
        .name = "fault",
        .close = fault_close,
        .address = fault_address,
        .connect = fault_connect,
        .session_protect = fault_session_protect,
        .session_accept = fault_session_accept,
        .session_close = fault_session_close,
        .send = fault_send,
        .send_small = fault_send_small,
        .flush = fault_flush,
        .poll = fault_poll,
        .fd = fault_fd,
        .arm = fault_arm,
        .deadline = fault_deadline,
        .rx_posted = fault_rx_posted,
        .stats = fault_stats,
};
