/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_tcp_encrypted.c - sessions of the tcp driver that are encrypted, with peers
 * that are plain sockets: some have the keys, others alter, repeat and invent.
 */
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/tcp_node.h"
#include "tests/unit/unit.h"

#define HELLO_BYTES (TCP_WIRE_HEADER_BYTES + sizeof(struct tcp_wire_hello))

/* Of the node; a peer has them the other way round. */
static const struct slu_driver_keys keys = {
        .send = "the node sends by these bytes ..",
        .receive = "and by these it receives .......",
};
static const uint8_t pattern[] = "rows of somebody's table, which are nobody else's business";

/* A peer that has the keys. */
struct peer {
	int fd;
	struct tcp_cipher sealer, opener;
};

static void peer_ciphers(struct peer *peer)
{
	CU_ASSERT_FATAL(tcp_cipher_init(&peer->sealer, keys.receive, true) == 0);
	CU_ASSERT_FATAL(tcp_cipher_init(&peer->opener, keys.send, false) == 0);
}

static void peer_end(struct peer *peer)
{
	tcp_cipher_fini(&peer->sealer);
	tcp_cipher_fini(&peer->opener);
	close(peer->fd);
}

static size_t peer_seal(struct peer *peer, unsigned kind, uint32_t size_bytes, uint8_t *ret_wire)
{
	uint8_t payload[NODE_MESSAGE_BYTES_MAX] = {1, 2, 3};

	tcp_header_encode(ret_wire, kind | TCP_WIRE_SEALED, size_bytes);
	CU_ASSERT(tcp_cipher_seal(&peer->sealer, ret_wire, payload, size_bytes,
	                          ret_wire + TCP_WIRE_HEADER_BYTES) == 0);
	return TCP_WIRE_HEADER_BYTES + size_bytes + TCP_WIRE_TAG_BYTES;
}

static void peer_send(struct peer *peer, unsigned kind, uint32_t size_bytes)
{
	uint8_t wire[TCP_WIRE_HEADER_BYTES + NODE_MESSAGE_BYTES_MAX + TCP_WIRE_TAG_BYTES];

	peer_write(peer->fd, wire, peer_seal(peer, kind, size_bytes, wire));
}

/* Reads whole what the node writes, while the node is polled. */
static void peer_read(struct peer *peer, struct node *node, uint8_t *ret_bytes, size_t count)
{
	struct pollfd news[2] = {{.fd = peer->fd, .events = POLLIN},
	                         {.fd = node->ops->fd(node->driver), .events = POLLIN}};

	while (count > 0) {
		ssize_t got;

		node_poll(node);
		CU_ASSERT_FATAL(poll(news, 2, 10000) > 0);
		got = recv(peer->fd, ret_bytes, count, MSG_DONTWAIT);
		if (got < 0 && errno == EAGAIN)
			continue;
		CU_ASSERT_FATAL(got > 0);
		ret_bytes += got;
		count -= (size_t)got;
	}
}

/* The next record of the node, opened: its payload's size. */
static uint32_t peer_receive(struct peer *peer, struct node *node, unsigned kind, uint8_t *ret_wire)
{
	uint8_t *payload = ret_wire + TCP_WIRE_HEADER_BYTES;
	struct tcp_wire_header header;

	peer_read(peer, node, ret_wire, sizeof header);
	memcpy(&header, ret_wire, sizeof header);
	CU_ASSERT_FATAL(header.size_bytes <= NODE_MESSAGE_BYTES_MAX);
	CU_ASSERT(header.kind == (kind | TCP_WIRE_SEALED));
	peer_read(peer, node, payload, header.size_bytes + TCP_WIRE_TAG_BYTES);
	CU_ASSERT(memmem(ret_wire, sizeof header + header.size_bytes, pattern, 16) == NULL);
	CU_ASSERT(tcp_cipher_open(&peer->opener, ret_wire, payload, header.size_bytes,
	                          payload + header.size_bytes) == 0);
	return header.size_bytes;
}

/* Connects to the node, and the session is up at both ends. */
static void peer_begin(struct peer *peer, struct node *node)
{
	uint8_t wire[TCP_WIRE_HEADER_BYTES + NODE_MESSAGE_BYTES_MAX + TCP_WIRE_TAG_BYTES];

	peer_ciphers(peer);
	peer->fd = peer_connect(node);
	peer_hello(peer->fd);
	CU_ASSERT_FATAL(node_until(node, &node->accept_count, node->accept_count + 1));
	CU_ASSERT(node->ops->session_protect(node->driver, node->offered, &keys) == 0);
	CU_ASSERT(node->ops->session_accept(node->driver, node->offered, NULL) == 0);
	CU_ASSERT_FATAL(node_until(node, &node->up_count, node->up_count + 1));
	CU_ASSERT(peer_receive(peer, node, TCP_WIRE_HELLO, wire) == sizeof(struct tcp_wire_hello));
	CU_ASSERT(memcmp(wire + TCP_WIRE_HEADER_BYTES, TCP_WIRE_MAGIC, TCP_WIRE_MAGIC_BYTES) == 0);
}

static void sends_and_takes_records_that_show_nothing(void)
{
	uint8_t wire[TCP_WIRE_HEADER_BYTES + NODE_MESSAGE_BYTES_MAX + TCP_WIRE_TAG_BYTES];
	struct slu_driver_stats stats;
	struct node node;
	struct peer peer;
	uint8_t *frame = node.buffers[NODE_BUFFER_COUNT - 1];

	CU_ASSERT_FATAL(node_open(&node, "127.0.0.1:0", NULL, NULL) == 0);
	peer_begin(&peer, &node);
	memcpy(frame, pattern, sizeof pattern);
	CU_ASSERT(node.ops->send_small(node.driver, node.offered, pattern, sizeof pattern) == 0);
	CU_ASSERT(node.ops->send(node.driver, node.offered, frame, 3000, 7) == 0);
	node_poll(&node);
	CU_ASSERT(memcmp(frame, pattern, sizeof pattern) == 0); /* it may be sent again */
	CU_ASSERT(peer_receive(&peer, &node, TCP_WIRE_SMALL, wire) == sizeof pattern);
	CU_ASSERT(memcmp(wire + TCP_WIRE_HEADER_BYTES, pattern, sizeof pattern) == 0);
	CU_ASSERT(peer_receive(&peer, &node, TCP_WIRE_FRAME, wire) == 3000);
	CU_ASSERT(memcmp(wire + TCP_WIRE_HEADER_BYTES, pattern, sizeof pattern) == 0);
	peer_send(&peer, TCP_WIRE_SMALL, 20);
	peer_send(&peer, TCP_WIRE_FRAME, NODE_MESSAGE_BYTES_MAX);
	CU_ASSERT(node_until(&node, &node.small_count, 1));
	CU_ASSERT(node_until(&node, &node.frame_count, 1));
	node.ops->stats(node.driver, &stats);
	CU_ASSERT(stats.messages_sent == 2 && stats.bytes_sent == 3000 + sizeof pattern);
	/* To the record and to the kernel; a small message to its place in the queue, too. */
	CU_ASSERT(stats.tx_copied_bytes == 2 * 3000 + 3 * sizeof pattern);
	CU_ASSERT(stats.messages_received == 2);
	peer_end(&peer);
	node_close(&node);
}

/* What may happen to a record on its way. */
enum meddling { ALTERED, REPEATED, LEFT_OUT, NOT_ENCRYPTED, OF_ANOTHER_SESSION, MEDDLINGS };

static void meddle(struct peer *peer, enum meddling meddling)
{
	uint8_t wire[TCP_WIRE_HEADER_BYTES + NODE_MESSAGE_BYTES_MAX + TCP_WIRE_TAG_BYTES];
	size_t count = peer_seal(peer, TCP_WIRE_FRAME, 1000, wire);

	switch (meddling) {
	case ALTERED:
		wire[500] ^= 1;
		break;
	case REPEATED:
		peer_write(peer->fd, wire, count);
		break;
	case LEFT_OUT:
		count = peer_seal(peer, TCP_WIRE_FRAME, 1000, wire);
		break;
	case NOT_ENCRYPTED:
		tcp_header_encode(wire, TCP_WIRE_FRAME, 1000);
		break;
	default:
		/* by the key of the other direction: reflected */
		tcp_cipher_fini(&peer->sealer);
		CU_ASSERT(tcp_cipher_init(&peer->sealer, keys.send, true) == 0);
		count = peer_seal(peer, TCP_WIRE_FRAME, 1000, wire);
	}
	peer_write(peer->fd, wire, count);
}

static void ends_only_the_session_whose_records_were_meddled_with(void)
{
	struct peer good, bad;
	struct node node;

	CU_ASSERT_FATAL(node_open(&node, "127.0.0.1:0", NULL, NULL) == 0);
	peer_begin(&good, &node);
	for (int meddling = 0; meddling < MEDDLINGS; meddling++) {
		int before = node.frame_count;

		peer_begin(&bad, &node);
		meddle(&bad, (enum meddling)meddling);
		CU_ASSERT(node_until(&node, &node.down_count, meddling + 1));
		CU_ASSERT(node.down_error == -EPROTO);
		CU_ASSERT(strstr(node.down_text, meddling == NOT_ENCRYPTED
		                                         ? "a message that is not encrypted"
		                                         : "not what the peer has encrypted") !=
		          NULL);
		CU_ASSERT(node.frame_count == before + (meddling == REPEATED));
		CU_ASSERT(node.buffers_used == 0);
		CU_ASSERT(peer_is_closed(&node, bad.fd));
		node.ops->session_close(node.driver, node.down);
		peer_end(&bad);
		peer_send(&good, TCP_WIRE_SMALL, 30);
		CU_ASSERT(node_until(&node, &node.small_count, meddling + 1));
	}
	peer_end(&good);
	node_close(&node);
}

/* A listener to which the node connects, with its hello read. */
static void peer_listen(struct peer *peer, struct node *node)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
	                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	uint8_t hello[SLU_DRIVER_HELLO_BYTES] = "the node's", wire[HELLO_BYTES];
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	socklen_t size = sizeof address;
	struct slu_session *session;
	char text[32];

	CU_ASSERT_FATAL(fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof address) == 0);
	CU_ASSERT_FATAL(listen(fd, 1) == 0);
	CU_ASSERT_FATAL(getsockname(fd, (struct sockaddr *)&address, &size) == 0);
	snprintf(text, sizeof text, "127.0.0.1:%u", ntohs(address.sin_port));
	CU_ASSERT_FATAL(node->ops->connect(node->driver, text, hello, NULL, &session) == 0);
	CU_ASSERT(node->ops->session_protect(node->driver, session, &keys) == 0);
	node->offered = session;
	peer->fd = accept(fd, NULL, NULL);
	close(fd);
	CU_ASSERT_FATAL(peer->fd >= 0);
	peer_ciphers(peer);
	/* The hello of who connects is to be read without the keys. */
	peer_read(peer, node, wire, sizeof wire);
	CU_ASSERT(memmem(wire, sizeof wire, hello, sizeof hello) != NULL);
}

static void peer_answer(struct peer *peer)
{
	uint8_t plain[HELLO_BYTES], wire[HELLO_BYTES + TCP_WIRE_TAG_BYTES];

	tcp_hello_encode(plain, TCP_WIRE_SEALED, (uint8_t[SLU_DRIVER_HELLO_BYTES]){0});
	memcpy(wire, plain, TCP_WIRE_HEADER_BYTES);
	CU_ASSERT(tcp_cipher_seal(&peer->sealer, wire, plain + TCP_WIRE_HEADER_BYTES,
	                          sizeof(struct tcp_wire_hello),
	                          wire + TCP_WIRE_HEADER_BYTES) == 0);
	peer_write(peer->fd, wire, sizeof wire);
}

static void is_up_only_with_a_listener_that_has_the_keys(void)
{
	uint8_t wire[TCP_WIRE_HEADER_BYTES + NODE_MESSAGE_BYTES_MAX + TCP_WIRE_TAG_BYTES];
	struct node node;
	struct peer peer;

	CU_ASSERT_FATAL(node_open(&node, "127.0.0.1:0", NULL, NULL) == 0);
	peer_listen(&peer, &node);
	peer_hello(peer.fd); /* as where nothing is encrypted */
	CU_ASSERT(node_until(&node, &node.down_count, 1));
	CU_ASSERT(node.down_error == -EPROTO && node.up_count == 0);
	CU_ASSERT(strstr(node.down_text, "a message that is not encrypted") != NULL);
	peer_end(&peer);

	peer_listen(&peer, &node);
	tcp_cipher_fini(&peer.sealer);
	CU_ASSERT(tcp_cipher_init(&peer.sealer, keys.send, true) == 0);
	peer_answer(&peer);
	CU_ASSERT(node_until(&node, &node.down_count, 2));
	CU_ASSERT(node.down_error == -EPROTO && node.up_count == 0);
	peer_end(&peer);

	peer_listen(&peer, &node);
	peer_answer(&peer);
	CU_ASSERT(node_until(&node, &node.up_count, 1));
	CU_ASSERT(node.ops->send_small(node.driver, node.offered, pattern, 10) == 0);
	CU_ASSERT(peer_receive(&peer, &node, TCP_WIRE_SMALL, wire) == 10);
	peer_end(&peer);
	node_close(&node);
}

/* More than sockets hold, in turns: records that are cut by a full socket go on where
 * they were cut. */
static void goes_on_with_a_record_that_a_full_socket_has_cut(void)
{
	uint8_t wire[TCP_WIRE_HEADER_BYTES + NODE_MESSAGE_BYTES_MAX + TCP_WIRE_TAG_BYTES];
	struct node node;
	struct peer peer;
	uint8_t *frame = node.buffers[NODE_BUFFER_COUNT - 1];
	int sent = 0;

	CU_ASSERT_FATAL(node_open(&node, "127.0.0.1:0", "sndbuf_bytes", "8192") == 0);
	peer_begin(&peer, &node);
	for (int round = 0; round < 5; round++) {
		int received = 0;

		for (; node.ops->send(node.driver, node.offered, frame, 4001, 0) == 0; sent++)
			node_poll(&node);
		for (; received < 20; received++)
			CU_ASSERT(peer_receive(&peer, &node, TCP_WIRE_FRAME, wire) == 4001);
		sent -= received;
	}
	for (; sent > 0; sent--)
		CU_ASSERT(peer_receive(&peer, &node, TCP_WIRE_FRAME, wire) == 4001);
	peer_end(&peer);
	node_close(&node);
}

int main(void)
{
	static const struct unit_test tests[] = {
	        UNIT_TEST(sends_and_takes_records_that_show_nothing),
	        UNIT_TEST(ends_only_the_session_whose_records_were_meddled_with),
	        UNIT_TEST(is_up_only_with_a_listener_that_has_the_keys),
	        UNIT_TEST(goes_on_with_a_record_that_a_full_socket_has_cut),
	        {NULL, NULL},
	};

	return unit_run("tcp_encrypted", tests);
}
