/* SPDX-License-Identifier: Apache-2.0 */
/*
 * loop.c - the loop driver: sessions between instances of one thread. A frame
 * is copied once, from the sender's arena to the receiver's, when the receiver
 * polls; until then it occupies one of the session's queue_frames places, so
 * that a receiver that does not keep up pushes back as a network does.
 */
#include "drivers/loop/loop.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sluice/sluice.h>

#include "drivers/inbox.h"

extern const struct slu_driver_ops slu_driver_loop;

#define QUEUE_FRAMES_DEFAULT 64u
#define QUEUE_SMALL_DEFAULT  64u
#define QUEUE_MAX            65536u

struct slu_loop {
	TAILQ_HEAD(, slu_driver) drivers;
	uint64_t last_id; /* never used again, so an old address reaches nobody */
};

struct slu_driver {
	struct slu_inbox inbox;
	TAILQ_ENTRY(slu_driver) link;
	TAILQ_HEAD(, slu_session) sessions;
	struct slu_loop *loop;
	const struct slu_driver_host *host;
	uint64_t id;
	uint64_t queue_frames_max, queue_small_max; /* per session and direction */
	struct slu_driver_stats stats;
};

struct slu_session {
	struct slu_inbox_session inbox; /* first: an inbox session is cast to ours */
	TAILQ_ENTRY(slu_session) link;
	struct slu_driver *driver;
	struct slu_session *peer; /* NULL: connected to nobody, or over */
	bool up;
	struct slu_inbox_items unflushed;  /* for the peer's inbox */
	struct slu_inbox_items in_flight;  /* SENT, one per frame the peer has not taken */
	uint64_t frame_count, small_count; /* sent and not taken */
	bool wants_frame, wants_small;     /* a send of the kind returned SLU_AGAIN */
};

struct slu_loop *slu_loop_create(void)
{
	struct slu_loop *loop = calloc(1, sizeof(*loop));

	if (loop)
		TAILQ_INIT(&loop->drivers);
	return loop;
}

void slu_loop_destroy(struct slu_loop *loop)
{
	free(loop);
}

static void items_free(struct slu_inbox_items *items)
{
	struct slu_inbox_item *item;

	while ((item = STAILQ_FIRST(items))) {
		STAILQ_REMOVE_HEAD(items, link);
		free(item);
	}
}

static struct slu_session *session_create(struct slu_driver *driver, void *user)
{
	struct slu_session *session = calloc(1, sizeof(*session));

	if (!session)
		return NULL;
	slu_inbox_session_init(&session->inbox);
	session->inbox.user = user;
	session->driver = driver;
	STAILQ_INIT(&session->unflushed);
	STAILQ_INIT(&session->in_flight);
	TAILQ_INSERT_TAIL(&driver->sessions, session, link);
	return session;
}

static void session_destroy(struct slu_session *session)
{
	slu_inbox_session_fini(&session->driver->inbox, &session->inbox);
	items_free(&session->unflushed);
	items_free(&session->in_flight);
	TAILQ_REMOVE(&session->driver->sessions, session, link);
	free(session);
}

static void session_up(struct slu_session *session)
{
	session->up = true;
	session->driver->stats.sessions_up++;
	slu_inbox_up(&session->driver->inbox, &session->inbox);
}

/* The session carries nothing any more, and reads no frame. */
static void session_end(struct slu_session *session)
{
	if (session->up)
		session->driver->stats.sessions_down++;
	session->up = false;
	session->peer = NULL;
	items_free(&session->unflushed);
	items_free(&session->in_flight);
}

/* End it on both sides; the peer is told. */
static void session_sever(struct slu_session *session, int error, const char *text)
{
	struct slu_session *peer = session->peer;

	session_end(session);
	if (!peer)
		return;
	session_end(peer);
	if (slu_inbox_down(&peer->driver->inbox, &peer->inbox, error, "%s", text))
		session_destroy(peer);
}

/* The receiver has polled a message of it: the sender gets the room back. */
static void loop_taken(struct slu_inbox_session *inbox_session, enum slu_driver_event_type type,
                       uint32_t size_bytes)
{
	struct slu_session *receiver = (struct slu_session *)inbox_session;
	struct slu_session *sender = receiver->peer;
	struct slu_driver_stats *stats = &receiver->driver->stats;
	struct slu_inbox_item *sent;

	stats->messages_received++;
	stats->bytes_received += size_bytes;
	if (type == SLU_DRIVER_RECV_FRAME) {
		stats->rx_copied_bytes += size_bytes;
		sender->frame_count--;
		sent = STAILQ_FIRST(&sender->in_flight);
		STAILQ_REMOVE_HEAD(&sender->in_flight, link);
		slu_inbox_push(&sender->driver->inbox, &sender->inbox, sent);
	} else {
		sender->small_count--;
	}
	if ((sender->wants_frame && type == SLU_DRIVER_RECV_FRAME) ||
	    (sender->wants_small && type == SLU_DRIVER_RECV_SMALL)) {
		sender->wants_frame = sender->wants_small = false;
		slu_inbox_writable(&sender->driver->inbox, &sender->inbox);
	}
}

static int loop_open(const struct slu_driver_config *config, const struct slu_driver_host *host,
                     struct slu_driver **ret_driver)
{
	static const char *const known[] = {"queue_frames", "queue_small", NULL};
	struct slu_driver *driver;
	int r;

	r = slu_driver_options_check(config, known);
	if (r < 0)
		return r;
	if (!config->environment) {
		snprintf(config->error, SLU_DRIVER_ERROR_MAX,
		         "the loop driver joins instances of one process, for tests: it needs "
		         "an environment");
		return -EINVAL;
	}
	driver = calloc(1, sizeof(*driver));
	if (!driver) {
		snprintf(config->error, SLU_DRIVER_ERROR_MAX, "out of memory");
		return -ENOMEM;
	}
	r = slu_driver_option_u64(config, "queue_frames", 1, QUEUE_MAX, QUEUE_FRAMES_DEFAULT,
	                          &driver->queue_frames_max);
	if (r < 0)
		goto err_free;
	r = slu_driver_option_u64(config, "queue_small", 1, QUEUE_MAX, QUEUE_SMALL_DEFAULT,
	                          &driver->queue_small_max);
	if (r < 0)
		goto err_free;
	r = slu_inbox_init(&driver->inbox, host);
	if (r < 0) {
		snprintf(config->error, SLU_DRIVER_ERROR_MAX, "eventfd: %s", strerror(-r));
		goto err_free;
	}
	driver->inbox.taken = loop_taken;
	driver->host = host;
	driver->loop = config->environment;
	driver->id = ++driver->loop->last_id;
	TAILQ_INIT(&driver->sessions);
	TAILQ_INSERT_TAIL(&driver->loop->drivers, driver, link);
	*ret_driver = driver;
	return 0;
err_free:
	free(driver);
	return r;
}

static void loop_session_close(struct slu_driver *driver, struct slu_session *session)
{
	session_sever(session, 0, "the peer closed the session");
	session_destroy(session);
}

static void loop_close(struct slu_driver *driver)
{
	struct slu_session *session;

	while ((session = TAILQ_FIRST(&driver->sessions)))
		loop_session_close(driver, session);
	TAILQ_REMOVE(&driver->loop->drivers, driver, link);
	slu_inbox_fini(&driver->inbox);
	free(driver);
}

static int loop_address(struct slu_driver *driver, char *ret_address)
{
	snprintf(ret_address, SLU_DRIVER_ADDRESS_MAX, "loop:%llu", (unsigned long long)driver->id);
	return 0;
}

static int address_parse(const char *address, uint64_t *ret_id)
{
	char *end;

	if (strncmp(address, "loop:", 5) != 0 || address[5] < '1' || address[5] > '9')
		return -EINVAL;
	*ret_id = strtoull(address + 5, &end, 10);
	return *end == '\0' ? 0 : -EINVAL;
}

static int loop_connect(struct slu_driver *driver, const char *address, const void *hello,
                        void *user, struct slu_session **ret_session)
{
	struct slu_session *session, *peer;
	struct slu_driver *target;
	uint64_t id;

	if (address_parse(address, &id) < 0)
		return -EINVAL;
	session = session_create(driver, user);
	if (!session)
		return -ENOMEM;
	TAILQ_FOREACH (target, &driver->loop->drivers, link) {
		if (target->id == id)
			break;
	}
	if (!target) {
		slu_inbox_down(&driver->inbox, &session->inbox, -ECONNREFUSED,
		               "connect to %s: nobody is there", address);
		*ret_session = session;
		return 0;
	}
	peer = session_create(target, NULL);
	if (!peer)
		goto err_session;
	if (slu_inbox_accept(&target->inbox, &peer->inbox, hello) < 0)
		goto err_peer;
	session->peer = peer;
	peer->peer = session;
	*ret_session = session;
	return 0;
err_peer:
	session_destroy(peer);
err_session:
	session_destroy(session);
	return -ENOMEM;
}

static int loop_session_accept(struct slu_driver *driver, struct slu_session *session, void *user)
{
	session->inbox.user = user;
	if (!session->peer)
		return 0; /* gone meanwhile; DOWN is queued */
	session_up(session);
	session_up(session->peer);
	return 0;
}

/* No memory to take a message: the session cannot keep its order, so it ends. */
static int session_fail(struct slu_session *session)
{
	session_sever(session, -ECONNRESET, "the peer ran out of memory");
	slu_inbox_down(&session->driver->inbox, &session->inbox, -ENOMEM, "out of memory");
	return 0;
}

static void session_queue(struct slu_session *session, struct slu_inbox_item *item)
{
	struct slu_driver_stats *stats = &session->driver->stats;

	STAILQ_INSERT_TAIL(&session->unflushed, item, link);
	stats->messages_sent++;
	stats->bytes_sent += item->size_bytes;
}

static int loop_send(struct slu_driver *driver, struct slu_session *session, const void *message,
                     uint32_t size_bytes, uint64_t cookie)
{
	struct slu_inbox_item *item, *sent;

	if (!session->up)
		return -ENOTCONN;
	if (size_bytes > driver->host->message_bytes_max)
		return -EMSGSIZE;
	if (session->frame_count >= driver->queue_frames_max) {
		session->wants_frame = true;
		driver->stats.again_count++;
		return SLU_AGAIN;
	}
	item = slu_inbox_item_create(SLU_DRIVER_RECV_FRAME, 0);
	sent = slu_inbox_item_create(SLU_DRIVER_SENT, 0);
	if (!item || !sent) {
		free(item);
		free(sent);
		return session_fail(session);
	}
	item->message = message;
	item->size_bytes = size_bytes;
	sent->cookie = cookie;
	STAILQ_INSERT_TAIL(&session->in_flight, sent, link);
	session->frame_count++;
	session_queue(session, item);
	return 0;
}

static int loop_send_small(struct slu_driver *driver, struct slu_session *session,
                           const void *message, uint32_t size_bytes)
{
	struct slu_inbox_item *item;

	if (!session->up)
		return -ENOTCONN;
	if (size_bytes > SLU_DRIVER_SMALL_MAX)
		return -EMSGSIZE;
	if (session->small_count >= driver->queue_small_max) {
		session->wants_small = true;
		driver->stats.again_count++;
		return SLU_AGAIN;
	}
	item = slu_inbox_item_create(SLU_DRIVER_RECV_SMALL, size_bytes);
	if (!item)
		return session_fail(session);
	memcpy(item->bytes, message, size_bytes);
	driver->stats.tx_copied_bytes += size_bytes;
	session->small_count++;
	session_queue(session, item);
	return 0;
}

static void loop_flush(struct slu_driver *driver)
{
	struct slu_session *session;
	struct slu_inbox_item *item;

	TAILQ_FOREACH (session, &driver->sessions, link) {
		while ((item = STAILQ_FIRST(&session->unflushed))) {
			STAILQ_REMOVE_HEAD(&session->unflushed, link);
			slu_inbox_push(&session->peer->driver->inbox, &session->peer->inbox, item);
		}
	}
}

static int loop_poll(struct slu_driver *driver, struct slu_driver_event *ret_events, int count)
{
	return slu_inbox_poll(&driver->inbox, ret_events, count);
}

static int loop_fd(struct slu_driver *driver)
{
	return driver->inbox.event_fd;
}

static int loop_arm(struct slu_driver *driver)
{
	return slu_inbox_arm(&driver->inbox);
}

static uint64_t loop_deadline(struct slu_driver *driver)
{
	return slu_inbox_deadline(&driver->inbox);
}

static void loop_stats(struct slu_driver *driver, struct slu_driver_stats *ret_stats)
{
	*ret_stats = driver->stats;
}

const struct slu_driver_ops slu_driver_loop = {
        .name = "loop",
        .caps = SLU_DRIVER_LINK_INTEGRITY,
        .open = loop_open,
        .close = loop_close,
        .address = loop_address,
        .connect = loop_connect,
        .session_accept = loop_session_accept,
        .session_close = loop_session_close,
        .send = loop_send,
        .send_small = loop_send_small,
        .flush = loop_flush,
        .poll = loop_poll,
        .fd = loop_fd,
        .arm = loop_arm,
        .deadline = loop_deadline,
        .stats = loop_stats,
};
