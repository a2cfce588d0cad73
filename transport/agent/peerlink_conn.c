/* SPDX-License-Identifier: Apache-2.0 */
/* peerlink_conn.c - see peerlink_conn.h. */
#include "transport/agent/peerlink_conn.h"

#include <sluice/sluice.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* A buffer larger than this is given back when it is empty. */
#define CONN_KEEP_BYTES 16384u

/* What one write hands to TLS: a record. */
#define CONN_WRITE_BYTES 16384u

int peerlink_conn_create(struct peer_tls *tls, int fd, bool outgoing, struct conn **ret_conn)
{
	struct conn *conn = calloc(1, sizeof(*conn));
	int rc;

	if (!conn) {
		struct peer_stream stream = {.fd = fd};

		peer_stream_close(&stream);
		return -ENOMEM;
	}
	rc = peer_stream_open(tls, fd, outgoing, &conn->stream);
	if (rc) {
		free(conn);
		return rc;
	}
	conn->source.kind = SOURCE_CONN;
	conn->outgoing = outgoing;
	conn->peer = CONN_PEER_NONE;
	conn->deadline_ns = UINT64_MAX;
	*ret_conn = conn;
	return 0;
}

void peerlink_conn_destroy(struct conn *conn)
{
	peer_stream_close(&conn->stream);
	free(conn->in);
	free(conn->out);
	free(conn);
}

/* Room for size_bytes behind out_used. */
static int conn_out_reserve(struct conn *conn, size_t size_bytes)
{
	size_t capacity = conn->out_capacity ? conn->out_capacity : 4096;
	uint8_t *grown;

	if (conn->out_pos && conn->out_used + size_bytes > conn->out_capacity) {
		memmove(conn->out, conn->out + conn->out_pos, conn_queued_bytes(conn));
		conn->out_used -= conn->out_pos;
		conn->out_pos = 0;
	}
	while (capacity < conn->out_used + size_bytes)
		capacity *= 2;
	if (capacity == conn->out_capacity)
		return 0;
	grown = realloc(conn->out, capacity);
	if (!grown)
		return -ENOMEM;
	conn->out = grown;
	conn->out_capacity = capacity;
	return 0;
}

int peerlink_conn_queue(struct conn *conn, uint16_t type, const void *payload, size_t size_bytes)
{
	size_t message_bytes = PEER_HEADER_BYTES + size_bytes;

	if (conn_queued_bytes(conn) + message_bytes > CONN_QUEUE_BYTES_MAX)
		return -ENOBUFS;
	if (conn_out_reserve(conn, message_bytes))
		return -ENOMEM;
	peer_header_encode(type, (uint32_t)size_bytes, conn->out + conn->out_used);
	memcpy(conn->out + conn->out_used + PEER_HEADER_BYTES, payload, size_bytes);
	conn->out_used += message_bytes;
	return 0;
}

int peerlink_conn_flush(struct conn *conn, char *error)
{
	while (conn->out_pos < conn->out_used) {
		size_t size_bytes = conn_queued_bytes(conn);
		size_t written_bytes;
		int rc;

		if (size_bytes > CONN_WRITE_BYTES)
			size_bytes = CONN_WRITE_BYTES;
		rc = peer_stream_write(&conn->stream, conn->out + conn->out_pos, size_bytes,
		                       &written_bytes, error);
		if (rc)
			return rc;
		conn->out_pos += written_bytes;
	}
	conn->out_pos = conn->out_used = 0;
	if (conn->out_capacity > CONN_KEEP_BYTES) {
		free(conn->out);
		conn->out = NULL;
		conn->out_capacity = 0;
	}
	return 0;
}

static uint32_t conn_payload_max(const struct conn *conn)
{
	return conn->state == CONN_UP ? PEER_PAYLOAD_MAX : PEER_PAYLOAD_HELLO_MAX;
}

/* Room to read into: the rest of the message at in_pos, or any small ones. */
static int conn_in_reserve(struct conn *conn)
{
	size_t needed_bytes = CONN_KEEP_BYTES;
	uint32_t payload_bytes;
	uint16_t type;
	char error[PEER_TEXT_MAX];
	uint8_t *grown;

	if (conn->in_pos) {
		memmove(conn->in, conn->in + conn->in_pos, conn->in_used - conn->in_pos);
		conn->in_used -= conn->in_pos;
		conn->in_pos = 0;
	}
	/* The header was checked by peerlink_conn_next, which asked for more. */
	if (peer_header_decode(conn->in, conn->in_used, conn_payload_max(conn), &type,
	                       &payload_bytes, error) == 0 &&
	    PEER_HEADER_BYTES + payload_bytes > needed_bytes)
		needed_bytes = PEER_HEADER_BYTES + payload_bytes;
	if (conn->in_capacity >= needed_bytes)
		return 0;
	grown = realloc(conn->in, needed_bytes);
	if (!grown)
		return -ENOMEM;
	conn->in = grown;
	conn->in_capacity = needed_bytes;
	return 0;
}

int peerlink_conn_read(struct conn *conn, char *error)
{
	size_t read_bytes;
	int rc;

	if (conn_in_reserve(conn)) {
		snprintf(error, PEER_STREAM_ERROR_MAX, "out of memory");
		return -ENOMEM;
	}
	rc = peer_stream_read(&conn->stream, conn->in + conn->in_used,
	                      conn->in_capacity - conn->in_used, &read_bytes, error);
	if (rc == SLU_AGAIN && conn->in_used == 0 && conn->in_capacity > CONN_KEEP_BYTES) {
		free(conn->in);
		conn->in = NULL;
		conn->in_capacity = 0;
	}
	if (!rc)
		conn->in_used += read_bytes;
	return rc;
}

int peerlink_conn_next(struct conn *conn, struct conn_message *ret_message, char *error)
{
	size_t size_bytes = conn->in_used - conn->in_pos;
	const uint8_t *data;
	uint32_t payload_bytes;
	uint16_t type;
	int rc;

	if (!size_bytes)
		return SLU_AGAIN;
	data = conn->in + conn->in_pos;
	rc = peer_header_decode(data, size_bytes, conn_payload_max(conn), &type, &payload_bytes,
	                        error);
	if (rc)
		return rc;
	if (size_bytes < PEER_HEADER_BYTES + payload_bytes)
		return SLU_AGAIN;
	ret_message->type = type;
	ret_message->payload = data + PEER_HEADER_BYTES;
	ret_message->size_bytes = payload_bytes;
	conn->in_pos += PEER_HEADER_BYTES + payload_bytes;
	return 0;
}

bool peerlink_conn_discard(struct conn *conn)
{
	uint8_t waste[4096];
	ssize_t n;

	/* Bounded: whoever sends on without end is cut off by the deadline. */
	for (int i = 0; i < 16; i++) {
		n = recv(conn->stream.fd, waste, sizeof(waste), 0);
		if (n == 0)
			return false;
		if (n < 0)
			return errno == EAGAIN || errno == EINTR;
	}
	return true;
}
