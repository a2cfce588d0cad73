/* SPDX-License-Identifier: Apache-2.0 */
/*
 * peerlink_rig.h - several agents' peerlinks in one process, over loopback, with a
 * clock that only the test moves. Sockets are real: rig_until() waits, on their
 * descriptors, for something to become true, and fails after RIG_PATIENCE_MS.
 */
#ifndef TESTS_UNIT_PEERLINK_RIG_H
#define TESTS_UNIT_PEERLINK_RIG_H

#include "transport/agent/peerlink.h"
#include "transport/clock.h"

#include "tests/unit/unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define RIG_PATIENCE_MS 20000
#define RIG_NODES_MAX   3
#define RIG_CLUSTER     7
#define RIG_MESSAGE_MAX 64

struct rig_node {
	struct config config;
	struct config_peer peers[RIG_NODES_MAX];
	struct peerlink *link;
	int ups, resumes, downs, deaths, messages;
	struct peer_hello hello; /* of the last peer_up */
	char reason[512];        /* of the last peer_down or peer_dead */
	uint8_t message[RIG_MESSAGE_MAX];
	size_t message_bytes;
	bool drop_next; /* answer the next message with peerlink_drop */
};

/* Moved by rig_advance() alone. */
static uint64_t rig_now_ns = 1000 * SLU_NS_PER_S;
static struct rig_node *rig_nodes[RIG_NODES_MAX];
static char rig_error[CONFIG_ERROR_MAX];

static inline void rig_advance(uint64_t ns)
{
	rig_now_ns += ns;
}

static inline void rig_peer_up(uint32_t peer, const struct peer_hello *hello, bool resumed,
                               void *ctx)
{
	struct rig_node *node = ctx;

	node->ups++;
	node->resumes += resumed;
	node->hello = *hello;
}

static inline void rig_peer_down(uint32_t peer, const char *reason, void *ctx)
{
	struct rig_node *node = ctx;

	node->downs++;
	snprintf(node->reason, sizeof(node->reason), "%s", reason);
}

static inline void rig_peer_dead(uint32_t peer, const char *reason, void *ctx)
{
	struct rig_node *node = ctx;

	node->deaths++;
	snprintf(node->reason, sizeof(node->reason), "%s", reason);
}

static inline void rig_message(uint32_t peer, const void *data, size_t size_bytes, void *ctx)
{
	struct rig_node *node = ctx;

	node->messages++;
	node->message_bytes = size_bytes;
	memcpy(node->message, data, size_bytes < RIG_MESSAGE_MAX ? size_bytes : RIG_MESSAGE_MAX);
	if (node->drop_next)
		peerlink_drop(node->link, peer, "the engine does not follow");
	node->drop_next = false;
}

/* A node that listens on a free loopback port and knows nobody, auth=none. */
static inline void rig_node_init(struct rig_node *node, const char *name)
{
	memset(node, 0, sizeof(*node));
	node->config.agent.node = (char *)name;
	node->config.agent.cluster_id = RIG_CLUSTER;
	node->config.agent.poller_count = 1;
	node->config.agent.peer_timeout_ns = 5 * SLU_NS_PER_S;
	node->config.agent.keepalive_ns = SLU_NS_PER_S;
	node->config.arena.frame_size_bytes = 65536;
	strcpy(node->config.control.listen.host, "127.0.0.1");
	strcpy(node->config.control.listen.port, "0");
	node->config.control.auth = CONFIG_AUTH_NONE;
	node->config.peers = node->peers;
}

static inline void rig_node_knows(struct rig_node *node, const char *name, const char *host,
                                  const char *port)
{
	struct config_peer *peer = &node->peers[node->config.peer_count++];

	memset(peer, 0, sizeof(*peer));
	snprintf(peer->name, sizeof(peer->name), "%s", name);
	snprintf(peer->address.host, sizeof(peer->address.host), "%s", host);
	snprintf(peer->address.port, sizeof(peer->address.port), "%s", port);
}

static inline const char *rig_port(const struct rig_node *node)
{
	return strrchr(peerlink_address(node->link), ':') + 1;
}

static inline int rig_node_try_start(struct rig_node *node, uint64_t generation)
{
	const struct peer_rail rail = {.driver = "tcp", .address = "127.0.0.1:9999"};
	const struct peerlink_options options = {
	        .config = &node->config,
	        .generation = generation,
	        .rails = &rail,
	        .rail_count = 1,
	};
	const struct peerlink_callbacks callbacks = {
	        rig_peer_up, rig_peer_down, rig_peer_dead, rig_message, node,
	};
	int rc = peerlink_create(&options, &callbacks, rig_now_ns, &node->link, rig_error);

	for (int i = 0; !rc && i < RIG_NODES_MAX; i++) {
		if (!rig_nodes[i]) {
			rig_nodes[i] = node;
			break;
		}
	}
	return rc;
}

static inline void rig_node_start(struct rig_node *node, uint64_t generation)
{
	if (rig_node_try_start(node, generation)) {
		fprintf(stderr, "start: %s\n", rig_error);
		abort();
	}
}

static inline void rig_node_stop(struct rig_node *node)
{
	for (int i = 0; i < RIG_NODES_MAX; i++)
		if (rig_nodes[i] == node)
			rig_nodes[i] = NULL;
	peerlink_destroy(node->link);
	node->link = NULL;
}

static inline void rig_process(void)
{
	for (int i = 0; i < RIG_NODES_MAX; i++)
		if (rig_nodes[i])
			peerlink_process(rig_nodes[i]->link, rig_now_ns);
}

/* Wait until a node has something to do, or foreign_fd (-1: none) is readable.
 * False when nothing happens for RIG_PATIENCE_MS. */
static inline bool rig_wait(int foreign_fd)
{
	struct pollfd fds[RIG_NODES_MAX + 1];
	nfds_t count = 0;
	bool busy = false;

	for (int i = 0; i < RIG_NODES_MAX; i++) {
		if (!rig_nodes[i])
			continue;
		busy |= peerlink_deadline(rig_nodes[i]->link) <= rig_now_ns;
		fds[count++] = (struct pollfd){peerlink_fd(rig_nodes[i]->link), POLLIN, 0};
	}
	if (foreign_fd >= 0)
		fds[count++] = (struct pollfd){foreign_fd, POLLIN, 0};
	return poll(fds, count, busy ? 0 : RIG_PATIENCE_MS) > 0 || busy;
}

#define RIG_UNTIL(condition)                                                                       \
	do {                                                                                       \
		bool rig_alive = true;                                                             \
		for (rig_process(); !(condition) && rig_alive; rig_process())                      \
			rig_alive = rig_wait(-1);                                                  \
		CU_ASSERT_TRUE(condition);                                                         \
		if (!rig_alive)                                                                    \
			fprintf(stderr, "line %d: nothing happens any more\n", __LINE__);          \
	} while (0)

/* alpha connects to bravo; both are started with these generations. */
static inline void rig_pair_init(struct rig_node *alpha, struct rig_node *bravo)
{
	rig_node_init(alpha, "alpha");
	rig_node_init(bravo, "bravo");
	rig_node_knows(bravo, "alpha", "127.0.0.1", "1");
}

static inline void rig_pair_start(struct rig_node *alpha, struct rig_node *bravo)
{
	rig_node_start(bravo, 200);
	rig_node_knows(alpha, "bravo", "127.0.0.1", rig_port(bravo));
	rig_node_start(alpha, 100);
}

static inline void rig_pair_stop(struct rig_node *alpha, struct rig_node *bravo)
{
	rig_node_stop(alpha);
	rig_node_stop(bravo);
}

/* ---- a stranger: a bare socket that speaks whatever the test likes ------- */

static inline int rig_stranger(const struct rig_node *node)
{
	struct sockaddr_in address = {
	        .sin_family = AF_INET,
	        .sin_port = htons((uint16_t)atoi(rig_port(node))),
	        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)))
		abort();
	return fd;
}

static inline void rig_stranger_send(int fd, uint16_t type, const void *payload, size_t size_bytes)
{
	uint8_t message[PEER_HEADER_BYTES + PEER_PAYLOAD_MAX];

	peer_header_encode(type, (uint32_t)size_bytes, message);
	if (size_bytes)
		memcpy(message + PEER_HEADER_BYTES, payload, size_bytes);
	size_bytes += PEER_HEADER_BYTES;
	CU_ASSERT_EQUAL(send(fd, message, size_bytes, MSG_NOSIGNAL), (ssize_t)size_bytes);
}

/* What alpha would say. */
static inline struct peer_hello rig_stranger_hello(void)
{
	struct peer_hello hello = {
	        .version = PEER_PROTOCOL_VERSION,
	        .poller_count = 1,
	        .cluster_id = RIG_CLUSTER,
	        .generation = 100,
	        .frame_size_bytes = 65536,
	        .node = "alpha",
	};

	return hello;
}

static inline void rig_stranger_greet(int fd, const struct peer_hello *hello)
{
	uint8_t payload[PEER_PAYLOAD_HELLO_MAX];

	rig_stranger_send(fd, PEER_HELLO, payload, peer_hello_encode(hello, payload));
}

/* Wait for size_bytes; false at the end of the stream, or when nothing happens. */
static inline bool rig_stranger_read(int fd, void *ret_data, size_t size_bytes)
{
	for (size_t used = 0; used < size_bytes;) {
		ssize_t n;

		rig_process();
		n = recv(fd, (uint8_t *)ret_data + used, size_bytes - used, MSG_DONTWAIT);
		if (n > 0)
			used += (size_t)n;
		else if (n == 0 || errno != EAGAIN || !rig_wait(fd))
			return false;
	}
	return true;
}

/* The type of the next message, 0 at the end. payload: PEER_PAYLOAD_MAX. */
static inline uint16_t rig_stranger_next(int fd, void *ret_payload, uint32_t *ret_size_bytes)
{
	uint8_t header[PEER_HEADER_BYTES];
	uint16_t type = 0;

	if (!rig_stranger_read(fd, header, sizeof(header)) ||
	    peer_header_decode(header, sizeof(header), PEER_PAYLOAD_MAX, &type, ret_size_bytes,
	                       rig_error) ||
	    !rig_stranger_read(fd, ret_payload, *ret_size_bytes))
		return 0;
	return type;
}

/* The stranger is told REFUSE with code and words, then the connection ends.
 * Takes fd. */
static inline void rig_assert_refused(int fd, uint16_t code, const char *words)
{
	uint8_t payload[PEER_PAYLOAD_MAX];
	struct peer_refuse refuse = {0};
	uint32_t size_bytes = 0;
	uint16_t type;

	while ((type = rig_stranger_next(fd, payload, &size_bytes)) && type != PEER_REFUSE)
		;
	CU_ASSERT_EQUAL(type, PEER_REFUSE);
	CU_ASSERT_EQUAL(peer_refuse_decode(payload, size_bytes, &refuse, rig_error), 0);
	CU_ASSERT_EQUAL(refuse.code, code);
	CU_ASSERT_PTR_NOT_NULL(strstr(refuse.text, words));
	if (!strstr(refuse.text, words))
		fprintf(stderr, "expected '%s' in '%s'\n", words, refuse.text);
	CU_ASSERT_EQUAL(rig_stranger_next(fd, payload, &size_bytes), 0);
	close(fd);
}

#endif
