/* SPDX-License-Identifier: Apache-2.0 */
/*
 * peerlink_conn.h - one control connection: its bytes in and out, cut into
 * messages. It knows no peers and calls nobody back; peerlink.c decides.
 */
#ifndef TRANSPORT_AGENT_PEERLINK_CONN_H
#define TRANSPORT_AGENT_PEERLINK_CONN_H

#include "transport/agent/peer_codec.h"
#include "transport/agent/peerlink_tls.h"

#include <sys/queue.h>

/* Bytes that may wait for a peer that does not read. */
#define CONN_QUEUE_BYTES_MAX (4u << 20)

#define CONN_PEER_NONE UINT32_MAX

enum conn_state {
	CONN_CONNECTING, /* outgoing: TCP */
	CONN_HANDSHAKE,  /* TLS */
	CONN_HELLO,      /* waits for the other side's HELLO */
	CONN_UP,         /* the peer's connection */
	CONN_LINGER,     /* said REFUSE, waits until the other side has read it */
	CONN_CLOSED,     /* freed at the end of the round */
};

/* What an epoll event points to; the first member of each source. */
enum source_kind { SOURCE_LISTENER, SOURCE_RESOLVE, SOURCE_CONN };
struct source {
	enum source_kind kind;
};

struct conn {
	struct source source;
	TAILQ_ENTRY(conn) link;
	TAILQ_ENTRY(conn) ready_link;
	bool ready;      /* on the list of those to serve without an event */
	bool read_again; /* stopped reading to be fair, not for want of bytes */
	bool half_open;  /* counts against the limit of connections without HELLO */
	bool outgoing;
	bool shut; /* LINGER: all is written */
	enum conn_state state;
	uint32_t peer;        /* index; CONN_PEER_NONE: not known yet */
	int connect_error;    /* errno of connect(), once it has failed */
	uint64_t deadline_ns; /* of the state; UINT64_MAX: none */
	uint32_t interest;    /* epoll events asked for */
	struct peer_stream stream;
	char address[300]; /* of the other side, for the log */
	/* Set: end the connection at the next chance, because ... */
	char failure[PEER_STREAM_ERROR_MAX];
	uint16_t failure_code; /* enum peer_refuse_code to tell the peer; 0: none */

	uint8_t *in; /* bytes read and not yet handed on */
	size_t in_pos, in_used, in_capacity;
	uint8_t *out; /* bytes to write: out[out_pos, out_used) */
	size_t out_pos, out_used, out_capacity;
};

TAILQ_HEAD(conn_list, conn);

struct conn_message {
	uint16_t type;
	const void *payload; /* borrowed until the next peerlink_conn_read or peerlink_conn_next */
	uint32_t size_bytes;
};

/* Takes fd, also on failure. *ret_conn is returned owned. -ENOMEM. */
int peerlink_conn_create(struct peer_tls *tls, int fd, bool outgoing, struct conn **ret_conn);
void peerlink_conn_destroy(struct conn *conn); /* takes conn */

/* Queue a message; copied. -ENOBUFS: CONN_QUEUE_BYTES_MAX would be exceeded;
 * -ENOMEM. */
int peerlink_conn_queue(struct conn *conn, uint16_t type, const void *payload, size_t size_bytes);
static inline size_t conn_queued_bytes(const struct conn *conn)
{
	return conn->out_used - conn->out_pos;
}

/* Write what is queued as far as it goes. 0 or SLU_AGAIN; negative: over, with
 * words in error (PEER_STREAM_ERROR_MAX). */
int peerlink_conn_flush(struct conn *conn, char *error);

/* Read once. 0: got bytes; SLU_AGAIN: none; negative: over, with words. */
int peerlink_conn_read(struct conn *conn, char *error);

/* The next whole message. 0; SLU_AGAIN: not there yet; -EPROTO with words. */
int peerlink_conn_next(struct conn *conn, struct conn_message *ret_message, char *error);

/* LINGER: read and forget. False when the other side has closed. */
bool peerlink_conn_discard(struct conn *conn);

#endif
