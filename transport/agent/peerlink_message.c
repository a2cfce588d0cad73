/* SPDX-License-Identifier: Apache-2.0 */
/* peerlink_message.c - what a message means in each state of a connection. */
#include "transport/agent/peerlink_internal.h"

#include <sluice/sluice.h>

#include <errno.h>
#include <inttypes.h>
#include <string.h>

/* Reads of one connection in one round, so that a busy peer does not keep others
 * waiting. */
#define RECEIVE_READS_MAX 16

int peerlink_hello_send(struct peerlink *pl, struct conn *conn, uint32_t peer_idx)
{
	const struct peer *peer = &pl->peers[peer_idx];
	uint8_t payload[PEER_PAYLOAD_HELLO_MAX];
	struct peer_hello hello = pl->hello;

	hello.known_generation = peer->known ? peer->generation : 0;
	return peerlink_conn_queue(conn, PEER_HELLO, payload, peer_hello_encode(&hello, payload));
}

/* "fault:tcp" is tcp with faults. */
static const char *driver_kind(const char *name)
{
	const char *colon = strrchr(name, ':');

	return colon ? colon + 1 : name;
}

/* The first driver of theirs that ours does not speak with; NULL: none. */
static const struct peer_rail *rail_foreign(const struct peer_hello *ours,
                                            const struct peer_hello *theirs)
{
	for (uint32_t i = 0; i < ours->rail_count && i < theirs->rail_count; i++)
		if (strcmp(driver_kind(ours->rails[i].driver),
		           driver_kind(theirs->rails[i].driver)) != 0)
			return &theirs->rails[i];
	return NULL;
}

/*
 * Whether a HELLO is one to go on with: the code to refuse it with, and text for
 * the other side; 0 and *ret_peer_idx if it is.
 */
static uint16_t hello_judge(struct peerlink *pl, const struct conn *conn,
                            const struct peer_hello *hello, uint32_t *ret_peer_idx, char *ret_text)
{
	const struct peer_rail *foreign = rail_foreign(&pl->hello, hello);
	int idx = peerlink_peer_find(pl, hello->node);

	if (hello->cluster_id != pl->hello.cluster_id) {
		snprintf(ret_text, PEER_TEXT_MAX,
		         "cluster id %" PRIu64 "; node %s belongs to cluster %" PRIu64,
		         hello->cluster_id, pl->hello.node, pl->hello.cluster_id);
		return PEER_REFUSE_CLUSTER;
	}
	if (idx < 0) {
		snprintf(ret_text, PEER_TEXT_MAX, "node %s is not in the configuration of node %s",
		         hello->node, pl->hello.node);
		return PEER_REFUSE_UNKNOWN;
	}
	if (!peer_stream_is_node(&conn->stream, hello->node) ||
	    (conn->outgoing && conn->peer != (uint32_t)idx)) {
		snprintf(ret_text, PEER_TEXT_MAX,
		         "the certificate or address is not that of node %s", hello->node);
		return PEER_REFUSE_IDENTITY;
	}
	if (!conn->outgoing && pl->peers[idx].connects) {
		snprintf(ret_text, PEER_TEXT_MAX,
		         "node %s connects to node %s, not the other way round", pl->hello.node,
		         hello->node);
		return PEER_REFUSE_DIRECTION;
	}
	if (hello->frame_size_bytes != pl->hello.frame_size_bytes) {
		snprintf(ret_text, PEER_TEXT_MAX,
		         "[arena] frame_size is %u on node %s, %u on node %s",
		         hello->frame_size_bytes, hello->node, pl->hello.frame_size_bytes,
		         pl->hello.node);
		return PEER_REFUSE_FRAME_SIZE;
	}
	if (foreign) {
		snprintf(ret_text, PEER_TEXT_MAX, "[driver] name is %s on node %s, %s on node %s",
		         foreign->driver, hello->node, pl->hello.rails[0].driver, pl->hello.node);
		return PEER_REFUSE_DRIVER;
	}
	*ret_peer_idx = (uint32_t)idx;
	return 0;
}

static void receive_hello(struct peerlink *pl, struct conn *conn,
                          const struct conn_message *message, uint64_t now_ns)
{
	struct peer_hello hello;
	char text[PEER_TEXT_MAX];
	uint32_t peer_idx;
	uint16_t code;
	int rc = peer_hello_decode(message->payload, message->size_bytes, &hello, text);

	if (rc) {
		peerlink_conn_refuse(pl, conn,
		                     rc == -EPROTONOSUPPORT ? PEER_REFUSE_VERSION
		                                            : PEER_REFUSE_MALFORMED,
		                     text, now_ns);
		return;
	}
	code = hello_judge(pl, conn, &hello, &peer_idx, text);
	if (code) {
		peerlink_conn_refuse(pl, conn, code, text, now_ns);
		return;
	}
	if (!conn->outgoing) {
		/* Before peerlink_peer_came_up: it says what was known until now. */
		if (peerlink_hello_send(pl, conn, peer_idx)) {
			peerlink_conn_end(pl, conn, "out of memory", now_ns);
			return;
		}
		peerlink_conn_ready(pl, conn);
		conn->half_open = false;
		pl->stats.half_open--;
		peerlink_listen_arm(pl, now_ns);
	}
	peerlink_peer_came_up(pl, conn, peer_idx, &hello, now_ns);
}

static void receive_refuse(struct peerlink *pl, struct conn *conn,
                           const struct conn_message *message, uint64_t now_ns)
{
	struct peer_refuse refuse;
	char text[PEER_TEXT_MAX];
	char reason[PEER_STREAM_ERROR_MAX + 32];

	if (peer_refuse_decode(message->payload, message->size_bytes, &refuse, text))
		snprintf(reason, sizeof(reason), "%s", text);
	else
		snprintf(reason, sizeof(reason), "refused by the other side: %s", refuse.text);
	if (conn->peer != CONN_PEER_NONE && pl->peers[conn->peer].dial == conn)
		pl->peers[conn->peer].backoff_ns = PEERLINK_BACKOFF_NS_MAX;
	peerlink_conn_end(pl, conn, reason, now_ns);
}

static void receive_ping(struct peerlink *pl, struct conn *conn, const struct conn_message *message,
                         uint64_t now_ns)
{
	struct peer *peer = &pl->peers[conn->peer];
	char text[PEER_TEXT_MAX];
	uint64_t stamp;

	if (peer_ping_decode(message->payload, message->size_bytes, &stamp, text)) {
		peerlink_conn_refuse(pl, conn, PEER_REFUSE_MALFORMED, text, now_ns);
		return;
	}
	if (message->type == PEER_PONG) {
		if (stamp == peer->ping_ns)
			peer->rtt_ns = now_ns - stamp;
		return;
	}
	if (peerlink_conn_queue(conn, PEER_PONG, message->payload, message->size_bytes))
		peerlink_conn_end(pl, conn, "it does not read what it is sent", now_ns);
	else
		peerlink_conn_ready(pl, conn);
}

static void receive_message(struct peerlink *pl, struct conn *conn,
                            const struct conn_message *message, uint64_t now_ns)
{
	bool up = conn->state == CONN_UP;
	char text[PEER_TEXT_MAX];

	if (message->type == PEER_REFUSE) {
		receive_refuse(pl, conn, message, now_ns);
	} else if (message->type == PEER_HELLO && !up) {
		receive_hello(pl, conn, message, now_ns);
	} else if ((message->type == PEER_PING || message->type == PEER_PONG) && up) {
		receive_ping(pl, conn, message, now_ns);
	} else if (message->type == PEER_ENGINE && up && message->size_bytes) {
		pl->callbacks.message(conn->peer, message->payload, message->size_bytes,
		                      pl->callbacks.ctx);
	} else {
		snprintf(text, sizeof(text), "message type %u of %u bytes is out of place %s HELLO",
		         message->type, message->size_bytes, up ? "after" : "before");
		peerlink_conn_refuse(pl, conn, PEER_REFUSE_MALFORMED, text, now_ns);
	}
}

static bool conn_is_receiving(const struct conn *conn)
{
	return (conn->state == CONN_HELLO || conn->state == CONN_UP) && !conn->failure[0];
}

void peerlink_conn_receive(struct peerlink *pl, struct conn *conn, uint64_t now_ns)
{
	struct conn_message message;
	char error[PEER_STREAM_ERROR_MAX];

	for (int reads = 0; reads < RECEIVE_READS_MAX; reads++) {
		int rc = peerlink_conn_read(conn, error);

		if (rc == SLU_AGAIN)
			return;
		if (rc) {
			peerlink_conn_end(pl, conn, error, now_ns);
			return;
		}
		if (conn->state == CONN_UP)
			pl->peers[conn->peer].heard_ns = now_ns;
		while ((rc = peerlink_conn_next(conn, &message, error)) == 0) {
			receive_message(pl, conn, &message, now_ns);
			if (!conn_is_receiving(conn))
				return;
		}
		if (rc != SLU_AGAIN) {
			peerlink_conn_refuse(pl, conn, PEER_REFUSE_MALFORMED, error, now_ns);
			return;
		}
	}
	conn->read_again = true;
	peerlink_conn_ready(pl, conn);
}
