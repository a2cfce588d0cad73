/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rx.c - receiving: readv puts the rest of a frame's payload where it belongs
 * and what follows it in the staging, until the socket is empty or the session
 * had its share of the poll.
 */
#include <errno.h>
#include <string.h>

#include "drivers/tcp/tcp.h"

/* The first message came: an offer, or the answer to ours. */
static void rx_hello(struct slu_session *session, const struct tcp_stream_message *message,
                     struct tcp_events *events)
{
	struct slu_driver_event *event;

	tcp_session_untime(session);
	if (session->state == TCP_ASKING) {
		session->state = TCP_UP;
		tcp_tx_begin(session);
		session->driver->stats.sessions_up++;
		tcp_event_add(events, session, SLU_DRIVER_UP);
		return;
	}
	session->state = TCP_OFFERED;
	event = tcp_event_add(events, session, SLU_DRIVER_ACCEPT);
	event->message = message->data;
	event->size_bytes = message->size_bytes;
}

static void rx_message(struct slu_session *session, enum slu_driver_event_type type,
                       const struct tcp_stream_message *message, struct tcp_events *events)
{
	struct slu_driver_stats *stats = &session->driver->stats;
	struct slu_driver_event *event = tcp_event_add(events, session, type);

	event->message = message->data;
	event->size_bytes = message->size_bytes;
	stats->messages_received++;
	stats->bytes_received += message->size_bytes;
	stats->rx_copied_bytes += message->size_bytes; /* by the kernel */
}

/*
 * Tell the messages that were read. TCP_STREAM_MORE: all told, read on.
 * TCP_STREAM_BUFFER: none to be had. 0: stop for now (no room in events, an
 * offer that waits for its answer, an UP that has to come first). Negative: the peer breaks the
 * protocol.
 */
static int rx_tell(struct slu_session *session, struct tcp_events *events)
{
	struct slu_driver *driver = session->driver;
	struct tcp_stream_message message;
	void *buffer;
	int r;

	while (events->count < events->max && session->state != TCP_OFFERED && !session->tell_up) {
		r = tcp_stream_next(&session->rx, &message);
		switch (r) {
		case TCP_STREAM_BUFFER:
			buffer = driver->host->rx_get(driver->host->ctx);
			if (!buffer)
				return r;
			tcp_stream_give(&session->rx, buffer);
			break;
		case TCP_STREAM_HELLO:
			rx_hello(session, &message, events);
			break;
		case TCP_STREAM_SMALL:
			rx_message(session, SLU_DRIVER_RECV_SMALL, &message, events);
			break;
		case TCP_STREAM_FRAME:
			rx_message(session, SLU_DRIVER_RECV_FRAME, &message, events);
			break;
		default:
			return r;
		}
	}
	return 0;
}

/* The end of the stream. After a reset that a send has met, the kernel tells
 * reads an end as after an orderly close: a message cut off is no one's fault. */
static void rx_end(struct slu_session *session)
{
	if (session->tx.error)
		tcp_session_fail(session, session->tx.error, NULL);
	else if (tcp_stream_finish(&session->rx) < 0)
		tcp_session_fail(session, -EPROTO, session->rx.reason);
	else if (session->state == TCP_ASKING)
		tcp_session_fail(session, 0, "closed by the peer before it answered the hello");
	else
		tcp_session_fail(session, 0, "closed by the peer");
}

/* Read once. Bytes read; 0: none, then `drained` and `ending` say whether there
 * are more, and the session may be down. */
static size_t rx_fill(struct slu_session *session)
{
	struct iovec iov[2] = {{0}};
	int count = tcp_stream_room(&session->rx, iov);
	ssize_t got;

	if (count == 0)
		return 0; /* small messages of this poll fill the staging */
	do {
		got = readv(session->fd, iov, count);
		session->driver->stats.system_calls++;
	} while (got < 0 && errno == EINTR);
	if (got > 0) {
		tcp_stream_filled(&session->rx, (size_t)got);
		session->drained = (size_t)got < iov[0].iov_len + iov[1].iov_len;
		return (size_t)got;
	}
	if (got == 0) {
		rx_end(session);
	} else if (errno != EAGAIN) {
		tcp_session_fail(session, -errno, NULL);
	} else if (session->tx.error) {
		tcp_session_fail(session, session->tx.error, NULL);
	} else {
		session->drained = true;
		session->ending = false;
	}
	return 0;
}

/* Read and tell by turns; which list the session belongs on afterwards. */
static enum tcp_ready rx_run(struct slu_session *session, struct tcp_events *events)
{
	size_t bytes = 0;

	for (;;) {
		size_t got;
		int r = rx_tell(session, events);

		if (r < 0) {
			tcp_session_fail(session, r, session->rx.reason);
			return TCP_QUIET;
		}
		if (r == TCP_STREAM_BUFFER)
			return TCP_STARVED;
		if (session->state == TCP_OFFERED)
			return TCP_QUIET;
		if (r != TCP_STREAM_MORE || bytes >= TCP_READ_BYTES_PER_POLL)
			return TCP_READY;
		/* The end of a connection raises no second edge: look for it. */
		if (session->drained && !session->ending)
			return TCP_QUIET;
		got = rx_fill(session);
		if (got == 0)
			return session->drained && !session->ending ? TCP_QUIET : TCP_READY;
		bytes += got;
	}
}

void tcp_rx_read(struct slu_session *session, struct tcp_events *events)
{
	struct slu_driver *driver = session->driver;
	uint64_t copied_bytes = session->rx.copied_bytes;
	enum tcp_ready ready;

	if (session->poll_number != driver->poll_number) {
		session->poll_number = driver->poll_number;
		tcp_stream_rewind(&session->rx);
	}
	ready = rx_run(session, events);
	driver->stats.rx_copied_bytes += session->rx.copied_bytes - copied_bytes;
	if (session->state != TCP_DOWN)
		tcp_session_ready(session, ready);
}
