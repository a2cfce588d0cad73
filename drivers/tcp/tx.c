/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tx.c - sending: a bounded ring of messages per session, written by sendmsg
 * with many messages at once, frames straight from the arena. Frames leave
 * TCP_SMALL_SLOTS of the ring to small messages, so that credit moves when
 * data does not; the order is that of the sends all the same.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <sluice/sluice.h>

#include "drivers/tcp/tcp.h"

int tcp_tx_init(struct tcp_tx *tx, uint64_t queue_messages)
{
	uint32_t slots = 1;

	while (slots < queue_messages + TCP_SMALL_SLOTS)
		slots *= 2;
	tx->slots = malloc(slots * sizeof *tx->slots);
	if (!tx->slots)
		return -ENOMEM;
	tx->mask = slots - 1;
	tx->frames_max = (uint32_t)queue_messages;
	return 0;
}

void tcp_tx_fini(struct tcp_tx *tx)
{
	free(tx->slots);
	tx->slots = NULL;
}

static bool tx_has_room(const struct tcp_tx *tx, bool frame)
{
	uint32_t used = tx->tail - tx->done;

	return used < tx->frames_max + (frame ? 0 : TCP_SMALL_SLOTS);
}

/* A new slot at the tail, and the session on the list for flush. */
static struct tcp_tx_slot *tx_slot_add(struct slu_session *session)
{
	struct tcp_tx *tx = &session->tx;

	if (!tx->dirty) {
		tx->dirty = true;
		TAILQ_INSERT_TAIL(&session->driver->dirty, session, dirty_link);
	}
	return &tx->slots[tx->tail++ & tx->mask];
}

static unsigned tx_kind_flag(const struct tcp_tx *tx)
{
	return tx->seals ? TCP_WIRE_SEALED : 0;
}

int tcp_tx_frame(struct slu_session *session, const void *message, uint32_t size_bytes,
                 uint64_t cookie)
{
	struct tcp_tx *tx = &session->tx;
	struct tcp_tx_slot *slot;

	if (session->state != TCP_UP)
		return -ENOTCONN;
	if (size_bytes == 0 || size_bytes > session->driver->host->message_bytes_max)
		return -EMSGSIZE;
	if (!tx_has_room(tx, true)) {
		tx->wants_frame = true;
		session->driver->stats.again_count++;
		return SLU_AGAIN;
	}
	slot = tx_slot_add(session);
	tcp_header_encode(slot->wire, TCP_WIRE_FRAME | tx_kind_flag(tx), size_bytes);
	slot->wire_bytes = sizeof(struct tcp_wire_header);
	slot->frame = message;
	slot->frame_bytes = size_bytes;
	slot->cookie = cookie;
	return 0;
}

int tcp_tx_small(struct slu_session *session, const void *message, uint32_t size_bytes)
{
	struct tcp_tx *tx = &session->tx;
	struct tcp_tx_slot *slot;

	if (session->state != TCP_UP)
		return -ENOTCONN;
	if (size_bytes == 0 || size_bytes > SLU_DRIVER_SMALL_MAX)
		return -EMSGSIZE;
	if (!tx_has_room(tx, false)) {
		tx->wants_small = true;
		session->driver->stats.again_count++;
		return SLU_AGAIN;
	}
	slot = tx_slot_add(session);
	tcp_header_encode(slot->wire, TCP_WIRE_SMALL | tx_kind_flag(tx), size_bytes);
	memcpy(slot->wire + sizeof(struct tcp_wire_header), message, size_bytes);
	slot->wire_bytes = (uint32_t)sizeof(struct tcp_wire_header) + size_bytes;
	slot->frame = NULL;
	slot->frame_bytes = 0;
	session->driver->stats.tx_copied_bytes += size_bytes;
	return 0;
}

void tcp_tx_hello(struct slu_session *session, const void *hello)
{
	struct tcp_tx_slot *slot = tx_slot_add(session);

	tcp_hello_encode(slot->wire, tx_kind_flag(&session->tx), hello);
	slot->wire_bytes = sizeof(struct tcp_wire_header) + sizeof(struct tcp_wire_hello);
	slot->frame = NULL;
	slot->frame_bytes = 0;
}

void tcp_tx_begin(struct slu_session *session)
{
	session->tx.seals = session->sealer.context != NULL;
}

/* Messages from slot unsent on; returns the count of iov used. */
static int tx_gather(struct tcp_tx *tx, struct iovec *iov, size_t *ret_bytes)
{
	size_t skip = tx->head_bytes;
	size_t bytes = 0;
	int count = 0;

	for (uint32_t pos = tx->unsent; pos != tx->tail && count + 2 <= TCP_IOV_MAX; pos++) {
		struct tcp_tx_slot *slot = &tx->slots[pos & tx->mask];

		if (skip < slot->wire_bytes) {
			iov[count].iov_base = slot->wire + skip;
			iov[count].iov_len = slot->wire_bytes - skip;
			bytes += iov[count++].iov_len;
			skip = 0;
		} else {
			skip -= slot->wire_bytes;
		}
		if (slot->frame) {
			iov[count].iov_base = (uint8_t *)(uintptr_t)slot->frame + skip;
			iov[count].iov_len = slot->frame_bytes - skip;
			bytes += iov[count++].iov_len;
		}
		skip = 0;
	}
	*ret_bytes = bytes;
	return count;
}

void tcp_tx_slot_sent(struct slu_session *session)
{
	struct slu_driver_stats *stats = &session->driver->stats;
	struct tcp_tx *tx = &session->tx;
	const struct tcp_tx_slot *slot = &tx->slots[tx->unsent++ & tx->mask];
	size_t payload_bytes =
	        slot->wire_bytes - sizeof(struct tcp_wire_header) + slot->frame_bytes;
	unsigned kind = slot->wire[offsetof(struct tcp_wire_header, kind)];

	if ((kind & ~TCP_WIRE_SEALED) == TCP_WIRE_HELLO)
		return;
	stats->messages_sent++;
	stats->bytes_sent += payload_bytes;
	/* by the kernel, and before that to a record */
	stats->tx_copied_bytes += tx->seals ? 2 * payload_bytes : payload_bytes;
}

void tcp_tx_sent(struct slu_session *session)
{
	struct tcp_tx *tx = &session->tx;

	/* Small messages have nothing to be told. */
	while (tx->done != tx->unsent && !tx->slots[tx->done & tx->mask].frame)
		tx->done++;
	if (tx->done != tx->unsent || tx->wants_frame || tx->wants_small)
		tcp_session_notice(session);
}

/* The kernel took count bytes. */
static void tx_advance(struct slu_session *session, size_t count)
{
	struct tcp_tx *tx = &session->tx;
	size_t bytes = tx->head_bytes + count;

	while (tx->unsent != tx->tail) {
		const struct tcp_tx_slot *slot = &tx->slots[tx->unsent & tx->mask];
		size_t slot_bytes = (size_t)slot->wire_bytes + slot->frame_bytes;

		if (bytes < slot_bytes)
			break;
		bytes -= slot_bytes;
		tcp_tx_slot_sent(session);
	}
	tx->head_bytes = (uint32_t)bytes;
	tcp_tx_sent(session);
}

/* Whatever the peer sent before it went is still read: its end comes there. */
void tcp_tx_fail(struct slu_session *session, int error)
{
	session->tx.error = error == EPIPE ? -ECONNRESET : -error;
	session->ending = true;
	if (session->ready == TCP_QUIET)
		tcp_session_ready(session, TCP_READY);
}

void tcp_tx_written(struct slu_session *session, ssize_t count, size_t wanted_bytes)
{
	session->driver->stats.system_calls++;
	/* The socket that took a part has room again only after an edge. */
	if (count >= 0 ? (size_t)count < wanted_bytes : errno == EAGAIN)
		session->tx.blocked = true;
	else if (count < 0 && errno != EINTR)
		tcp_tx_fail(session, errno);
}

static void tx_write_plain(struct slu_session *session)
{
	struct tcp_tx *tx = &session->tx;

	while (tx->unsent != tx->tail && !tx->blocked && !tx->error) {
		struct iovec iov[TCP_IOV_MAX];
		size_t bytes;
		struct msghdr message = {.msg_iov = iov};
		ssize_t written;

		message.msg_iovlen = (size_t)tx_gather(tx, iov, &bytes);
		written = sendmsg(session->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
		tcp_tx_written(session, written, bytes);
		if (written > 0)
			tx_advance(session, (size_t)written);
	}
}

void tcp_tx_write(struct slu_session *session)
{
	struct tcp_tx *tx = &session->tx;

	if (tx->seals)
		tcp_sealed_write(session);
	else
		tx_write_plain(session);
	if (tx->dirty) {
		tx->dirty = false;
		TAILQ_REMOVE(&session->driver->dirty, session, dirty_link);
	}
}

bool tcp_tx_tell(struct slu_session *session, struct tcp_events *events)
{
	struct tcp_tx *tx = &session->tx;

	for (; tx->done != tx->unsent; tx->done++) {
		const struct tcp_tx_slot *slot = &tx->slots[tx->done & tx->mask];

		if (!slot->frame)
			continue;
		if (events->count == events->max)
			return false;
		tcp_event_add(events, session, SLU_DRIVER_SENT)->cookie = slot->cookie;
	}
	if (session->state == TCP_UP && ((tx->wants_frame && tx_has_room(tx, true)) ||
	                                 (tx->wants_small && tx_has_room(tx, false)))) {
		if (events->count == events->max)
			return false;
		tx->wants_frame = tx->wants_small = false;
		tcp_event_add(events, session, SLU_DRIVER_WRITABLE);
	}
	return true;
}
