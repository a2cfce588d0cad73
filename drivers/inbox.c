/* SPDX-License-Identifier: Apache-2.0 */
/*
 * inbox.c - see inbox.h. A session with events is on the ready list of its
 * instance; a poll takes one event of each in turn, so that a busy session does
 * not starve the others.
 */
#include "drivers/inbox.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <sluice/sluice.h>

/* A session that had no rx buffer is tried again after this time when nothing
 * else makes the caller poll. */
#define STALL_RETRY_NS UINT64_C(1000000)

static void items_free(const struct slu_driver_host *host, struct slu_inbox_items *items)
{
	struct slu_inbox_item *item;

	while ((item = STAILQ_FIRST(items))) {
		STAILQ_REMOVE_HEAD(items, link);
		if (item->from_rx_get)
			host->rx_put(host->ctx, (void *)(uintptr_t)item->message);
		free(item);
	}
}

int slu_inbox_init(struct slu_inbox *inbox, const struct slu_driver_host *host)
{
	memset(inbox, 0, sizeof(*inbox));
	inbox->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (inbox->event_fd < 0)
		return -errno;
	inbox->host = host;
	TAILQ_INIT(&inbox->ready);
	STAILQ_INIT(&inbox->spent);
	return 0;
}

void slu_inbox_fini(struct slu_inbox *inbox)
{
	items_free(inbox->host, &inbox->spent);
	close(inbox->event_fd);
}

void slu_inbox_session_init(struct slu_inbox_session *session)
{
	memset(session, 0, sizeof(*session));
	STAILQ_INIT(&session->rx);
	STAILQ_INIT(&session->tx);
}

static void session_drop(struct slu_inbox *inbox, struct slu_inbox_session *session)
{
	items_free(inbox->host, &session->rx);
	items_free(inbox->host, &session->tx);
	free(session->hello);
	session->hello = NULL;
	session->up_waits = session->down_waits = session->writable_waits = false;
	session->stalled = false;
}

static void session_unready(struct slu_inbox *inbox, struct slu_inbox_session *session)
{
	if (!session->ready)
		return;
	session->ready = false;
	inbox->ready_count--;
	TAILQ_REMOVE(&inbox->ready, session, ready_link);
}

void slu_inbox_session_fini(struct slu_inbox *inbox, struct slu_inbox_session *session)
{
	session_drop(inbox, session);
	session_unready(inbox, session);
}

struct slu_inbox_item *slu_inbox_item_create(enum slu_driver_event_type type, uint32_t size_bytes)
{
	struct slu_inbox_item *item = malloc(sizeof(*item) + size_bytes);

	if (!item)
		return NULL;
	memset(item, 0, sizeof(*item));
	item->type = type;
	item->size_bytes = size_bytes;
	item->message = item->bytes;
	return item;
}

/* The session has one more event. */
static void session_ready(struct slu_inbox *inbox, struct slu_inbox_session *session)
{
	if (!session->ready) {
		session->ready = true;
		inbox->ready_count++;
		TAILQ_INSERT_TAIL(&inbox->ready, session, ready_link);
	}
	if (inbox->armed && !inbox->signalled) {
		/* Cannot fail: the counter is 0 and one write is far from its limit. */
		inbox->signalled = eventfd_write(inbox->event_fd, 1) == 0;
	}
}

int slu_inbox_accept(struct slu_inbox *inbox, struct slu_inbox_session *session, const void *hello)
{
	struct slu_inbox_item *item =
	        slu_inbox_item_create(SLU_DRIVER_ACCEPT, SLU_DRIVER_HELLO_BYTES);

	if (!item)
		return -ENOMEM;
	memcpy(item->bytes, hello, SLU_DRIVER_HELLO_BYTES);
	session->hello = item;
	session_ready(inbox, session);
	return 0;
}

void slu_inbox_up(struct slu_inbox *inbox, struct slu_inbox_session *session)
{
	if (session->down)
		return;
	session->up_waits = true;
	session_ready(inbox, session);
}

void slu_inbox_writable(struct slu_inbox *inbox, struct slu_inbox_session *session)
{
	if (session->down)
		return;
	session->writable_waits = true;
	session_ready(inbox, session);
}

void slu_inbox_push(struct slu_inbox *inbox, struct slu_inbox_session *session,
                    struct slu_inbox_item *item)
{
	struct slu_inbox_items *items = item->type == SLU_DRIVER_SENT ? &session->tx : &session->rx;

	STAILQ_INSERT_TAIL(items, item, link);
	if (session->down)
		items_free(inbox->host, items);
	else
		session_ready(inbox, session);
}

bool slu_inbox_down(struct slu_inbox *inbox, struct slu_inbox_session *session, int error,
                    const char *format, ...)
{
	va_list args;

	if (session->down)
		return false;
	session->down = true;
	if (session->hello) {
		slu_inbox_session_fini(inbox, session);
		return true;
	}
	session_drop(inbox, session);
	session->error = error;
	va_start(args, format);
	vsnprintf(session->text, sizeof(session->text), format, args);
	va_end(args);
	session->down_waits = true;
	session_ready(inbox, session);
	return false;
}

/* The head of rx. False: no buffer to put it in. */
static bool deliver_message(struct slu_inbox *inbox, struct slu_inbox_session *session,
                            struct slu_driver_event *ret_event)
{
	const struct slu_driver_host *host = inbox->host;
	struct slu_inbox_item *item = STAILQ_FIRST(&session->rx);
	enum slu_driver_event_type type = item->type;
	void *buffer;

	ret_event->type = type;
	ret_event->size_bytes = item->size_bytes;
	ret_event->message = item->message;
	if (type == SLU_DRIVER_RECV_FRAME && !item->from_rx_get) {
		buffer = host->rx_get(host->ctx);
		session->stalled = !buffer;
		if (!buffer)
			return false;
		memcpy(buffer, item->message, item->size_bytes);
		ret_event->message = buffer;
	}
	STAILQ_REMOVE_HEAD(&session->rx, link);
	if (type == SLU_DRIVER_RECV_SMALL)
		STAILQ_INSERT_TAIL(&inbox->spent, item, link);
	else
		free(item);
	if (inbox->taken)
		inbox->taken(session, type, ret_event->size_bytes);
	return true;
}

static bool deliver_tx(struct slu_inbox_session *session, struct slu_driver_event *ret_event)
{
	struct slu_inbox_item *item = STAILQ_FIRST(&session->tx);

	if (item) {
		ret_event->type = SLU_DRIVER_SENT;
		ret_event->cookie = item->cookie;
		STAILQ_REMOVE_HEAD(&session->tx, link);
		free(item);
		return true;
	}
	if (!session->writable_waits)
		return false;
	session->writable_waits = false;
	ret_event->type = SLU_DRIVER_WRITABLE;
	return true;
}

static bool deliver_rx(struct slu_inbox *inbox, struct slu_inbox_session *session,
                       struct slu_driver_event *ret_event)
{
	if (session->hello) {
		ret_event->type = SLU_DRIVER_ACCEPT;
		ret_event->message = session->hello->bytes;
		ret_event->size_bytes = SLU_DRIVER_HELLO_BYTES;
		STAILQ_INSERT_TAIL(&inbox->spent, session->hello, link);
		session->hello = NULL;
		return true;
	}
	if (session->up_waits) {
		session->up_waits = false;
		ret_event->type = SLU_DRIVER_UP;
		return true;
	}
	if (!STAILQ_EMPTY(&session->rx))
		return deliver_message(inbox, session, ret_event);
	if (!session->down_waits)
		return false;
	session->down_waits = false;
	ret_event->type = SLU_DRIVER_DOWN;
	ret_event->error = session->error;
	ret_event->text = session->text;
	return true;
}

static bool deliver(struct slu_inbox *inbox, struct slu_inbox_session *session, uint64_t now_ns,
                    struct slu_driver_event *ret_event)
{
	memset(ret_event, 0, sizeof(*ret_event));
	ret_event->session = (struct slu_session *)session;
	ret_event->user = session->user;
	if (now_ns >= session->tx_hold_until_ns && !session->up_waits &&
	    deliver_tx(session, ret_event))
		return true;
	return now_ns >= session->rx_hold_until_ns && deliver_rx(inbox, session, ret_event);
}

static bool session_has_tx(const struct slu_inbox_session *session)
{
	return !STAILQ_EMPTY(&session->tx) || session->writable_waits;
}

static bool session_has_rx(const struct slu_inbox_session *session)
{
	return !STAILQ_EMPTY(&session->rx) || session->hello || session->up_waits ||
	       session->down_waits;
}

int slu_inbox_poll(struct slu_inbox *inbox, struct slu_driver_event *ret_events, int count)
{
	uint64_t now_ns = inbox->host->now_ns(inbox->host->ctx);
	struct slu_inbox_session *session;
	size_t quiet_count = 0;
	eventfd_t value;
	int done = 0;

	items_free(inbox->host, &inbox->spent);
	inbox->armed = false;
	if (inbox->signalled) {
		inbox->signalled = false;
		(void)eventfd_read(inbox->event_fd, &value); /* may be read already */
	}
	while (done < count && quiet_count < inbox->ready_count) {
		session = TAILQ_FIRST(&inbox->ready);
		if (deliver(inbox, session, now_ns, &ret_events[done])) {
			done++;
			quiet_count = 0;
		} else {
			quiet_count++;
		}
		if (session_has_tx(session) || session_has_rx(session)) {
			TAILQ_REMOVE(&inbox->ready, session, ready_link);
			TAILQ_INSERT_TAIL(&inbox->ready, session, ready_link);
		} else {
			session_unready(inbox, session);
		}
	}
	return done;
}

uint64_t slu_inbox_deadline(const struct slu_inbox *inbox)
{
	const struct slu_inbox_session *session;
	uint64_t deadline_ns = UINT64_MAX;
	uint64_t retry_ns;

	TAILQ_FOREACH (session, &inbox->ready, ready_link) {
		if (session_has_tx(session) && !session->up_waits &&
		    session->tx_hold_until_ns < deadline_ns)
			deadline_ns = session->tx_hold_until_ns;
		if (!session_has_rx(session))
			continue;
		retry_ns = session->rx_hold_until_ns;
		if (session->stalled)
			retry_ns = inbox->host->now_ns(inbox->host->ctx) + STALL_RETRY_NS;
		if (retry_ns < deadline_ns)
			deadline_ns = retry_ns;
	}
	return deadline_ns;
}

int slu_inbox_arm(struct slu_inbox *inbox)
{
	if (slu_inbox_deadline(inbox) <= inbox->host->now_ns(inbox->host->ctx))
		return SLU_AGAIN;
	inbox->armed = true;
	return 0;
}
