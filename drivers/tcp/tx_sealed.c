/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tx_sealed.c - sending on an encrypted session: messages become records in a
 * buffer, and the socket takes them from there. A frame may be read by others and
 * sent again on another session, so it is never encrypted where it lies; as soon as
 * its record is made, its sender may have it back.
 *
 * A buffer belongs to a session only while the socket is still to take something
 * of it: memory grows with what is blocked, not with the sessions there are.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "drivers/tcp/tcp.h"

uint32_t tcp_sealed_bytes_max(uint32_t message_bytes_max)
{
	uint32_t record_bytes = TCP_WIRE_HEADER_BYTES + message_bytes_max + TCP_WIRE_TAG_BYTES;

	return record_bytes > TCP_SEALED_BYTES ? record_bytes : TCP_SEALED_BYTES;
}

static struct tcp_sealed *sealed_take(struct slu_driver *driver)
{
	struct tcp_sealed *sealed = driver->sealed_spare;

	driver->sealed_spare = NULL;
	if (!sealed)
		sealed = malloc(sizeof *sealed + driver->sealed_bytes_max);
	if (sealed)
		sealed->begin = sealed->end = 0;
	return sealed;
}

void tcp_sealed_drop(struct slu_session *session)
{
	struct slu_driver *driver = session->driver;

	if (driver->sealed_spare)
		free(session->tx.sealed);
	else
		driver->sealed_spare = session->tx.sealed;
	session->tx.sealed = NULL;
}

static uint32_t slot_record_bytes(const struct tcp_tx_slot *slot)
{
	return slot->wire_bytes + slot->frame_bytes + TCP_WIRE_TAG_BYTES;
}

/* 0, or what tcp_cipher_seal says. */
static int slot_seal(struct slu_session *session, const struct tcp_tx_slot *slot)
{
	struct tcp_sealed *sealed = session->tx.sealed;
	uint8_t *record = sealed->bytes + sealed->end;
	bool small = !slot->frame;
	uint32_t size_bytes = small ? slot->wire_bytes - TCP_WIRE_HEADER_BYTES : slot->frame_bytes;

	memcpy(record, slot->wire, TCP_WIRE_HEADER_BYTES);
	sealed->end += slot_record_bytes(slot);
	return tcp_cipher_seal(&session->sealer, record,
	                       small ? slot->wire + TCP_WIRE_HEADER_BYTES : slot->frame, size_bytes,
	                       record + TCP_WIRE_HEADER_BYTES);
}

/* Queued messages to records, as many as there is room for. */
static int sealed_fill(struct slu_session *session)
{
	struct tcp_tx *tx = &session->tx;
	uint32_t unsent = tx->unsent;
	int r = 0;

	if (tx->unsent != tx->tail && !tx->sealed) {
		tx->sealed = sealed_take(session->driver);
		if (!tx->sealed)
			return -ENOMEM;
	}
	while (r == 0 && tx->unsent != tx->tail) {
		const struct tcp_tx_slot *slot = &tx->slots[tx->unsent & tx->mask];

		if (slot_record_bytes(slot) > session->driver->sealed_bytes_max - tx->sealed->end)
			break;
		r = slot_seal(session, slot);
		tcp_tx_slot_sent(session);
	}
	if (tx->unsent != unsent)
		tcp_tx_sent(session);
	return r;
}

void tcp_sealed_write(struct slu_session *session)
{
	struct tcp_tx *tx = &session->tx;

	while (!tx->blocked && !tx->error) {
		struct tcp_sealed *sealed;
		ssize_t written;
		uint32_t bytes;
		int r = sealed_fill(session);

		sealed = tx->sealed;
		if (r < 0) {
			tcp_tx_fail(session, -r);
			return;
		}
		if (!sealed)
			return;
		bytes = sealed->end - sealed->begin;
		written = send(session->fd, sealed->bytes + sealed->begin, bytes,
		               MSG_NOSIGNAL | MSG_DONTWAIT);
		tcp_tx_written(session, written, bytes);
		if (written > 0)
			sealed->begin += (uint32_t)written;
		if (sealed->begin == sealed->end)
			tcp_sealed_drop(session);
	}
}
