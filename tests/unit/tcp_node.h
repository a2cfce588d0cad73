/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tcp_node.h - an instance of the tcp driver under the test's clock, and peers of it
 * that are plain sockets.
 */
#ifndef TESTS_UNIT_TCP_NODE_H
#define TESTS_UNIT_TCP_NODE_H

#include <stdbool.h>

#include "drivers/tcp/framing.h"
#include "transport/clock.h"
#include "transport/driver.h"

#define NODE_MESSAGE_BYTES_MAX 4096u
#define NODE_BUFFER_COUNT      8

/* An instance, and what its events said. */
struct node {
	const struct slu_driver_ops *ops;
	struct slu_driver_host host;
	struct slu_driver *driver;
	char address[SLU_DRIVER_ADDRESS_MAX];
	char error[SLU_DRIVER_ERROR_MAX];
	uint64_t now_ns;
	uint8_t buffers[NODE_BUFFER_COUNT][NODE_MESSAGE_BYTES_MAX];
	int buffers_used; /* a bit each */
	struct slu_session *offered, *down;
	int accept_count, up_count, small_count, frame_count, down_count;
	int down_error;
	char down_text[512];
};

/* Returns what open said; the node is to be closed in any case. name: of one more
 * option, or NULL. */
int node_open(struct node *node, const char *listen, const char *name, const char *value);
void node_close(struct node *node);
/* Until there is nothing to do. */
void node_poll(struct node *node);
/* Poll until *counter is count; false after ten seconds without news. */
bool node_until(struct node *node, const int *counter, int count);

/* A plain socket, connected to the node. */
int peer_connect(const struct node *node);
void peer_write(int fd, const void *bytes, size_t count);
void peer_hello(int fd);
void peer_message(int fd, enum tcp_wire_kind kind, uint32_t size_bytes);
/* The node closes it, within ten seconds without other news. */
bool peer_is_closed(struct node *node, int fd);
/* A peer whose session is up. */
int peer_up(struct node *node);

#endif
