/* SPDX-License-Identifier: Apache-2.0 */
/* tcp_node.c - see tcp_node.h. */
#include "tests/unit/tcp_node.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <sluice/sluice.h>

#include "tests/unit/unit.h"

static void *node_rx_get(void *ctx)
{
	struct node *node = ctx;

	for (int i = 0; i < NODE_BUFFER_COUNT; i++)
		if (!(node->buffers_used & 1 << i)) {
			node->buffers_used |= 1 << i;
			return node->buffers[i];
		}
	return NULL;
}

static void node_rx_put(void *ctx, void *buffer)
{
	struct node *node = ctx;
	size_t i = (size_t)((uint8_t(*)[NODE_MESSAGE_BYTES_MAX])buffer - node->buffers);

	CU_ASSERT_FATAL(i < NODE_BUFFER_COUNT && (node->buffers_used & 1 << i));
	node->buffers_used &= ~(1 << i);
}

static uint64_t node_now_ns(void *ctx)
{
	return ((struct node *)ctx)->now_ns;
}

int node_open(struct node *node, const char *listen, const char *name, const char *value)
{
	struct slu_driver_option options[] = {{"listen", listen}, {name, value}};
	struct slu_driver_config config = {
	        .options = options, .option_count = name ? 2 : 1, .error = node->error};
	int r;

	memset(node, 0, sizeof *node);
	node->ops = slu_driver_find("tcp");
	node->now_ns = 1000 * SLU_NS_PER_S;
	node->host = (struct slu_driver_host){.ctx = node,
	                                      .arena = node->buffers[0],
	                                      .arena_bytes = sizeof node->buffers,
	                                      .message_bytes_max = NODE_MESSAGE_BYTES_MAX,
	                                      .rx_get = node_rx_get,
	                                      .rx_put = node_rx_put,
	                                      .now_ns = node_now_ns};
	r = node->ops->open(&config, &node->host, &node->driver);
	if (r == 0 && *listen)
		CU_ASSERT_FATAL(node->ops->address(node->driver, node->address) == 0);
	return r;
}

void node_close(struct node *node)
{
	node->ops->close(node->driver);
	CU_ASSERT(node->buffers_used == 0);
}

static void node_event(struct node *node, const struct slu_driver_event *event)
{
	switch (event->type) {
	case SLU_DRIVER_ACCEPT:
		node->accept_count++;
		node->offered = event->session;
		break;
	case SLU_DRIVER_UP:
		node->up_count++;
		break;
	case SLU_DRIVER_RECV_FRAME:
		node->frame_count++;
		node_rx_put(node, (void *)(uintptr_t)event->message);
		break;
	case SLU_DRIVER_RECV_SMALL:
		node->small_count++;
		break;
	case SLU_DRIVER_DOWN:
		node->down_count++;
		node->down = event->session;
		node->down_error = event->error;
		snprintf(node->down_text, sizeof node->down_text, "%s", event->text);
		break;
	default:
		break;
	}
}

void node_poll(struct node *node)
{
	struct slu_driver_event events[16];
	int count;

	do {
		node->ops->flush(node->driver);
		count = node->ops->poll(node->driver, events, 16);
		for (int i = 0; i < count; i++)
			node_event(node, &events[i]);
	} while (count > 0 || node->ops->arm(node->driver) == SLU_AGAIN);
}

bool node_until(struct node *node, const int *counter, int count)
{
	struct pollfd descriptor = {.fd = node->ops->fd(node->driver), .events = POLLIN};

	node_poll(node);
	while (*counter < count) {
		if (poll(&descriptor, 1, 10000) != 1)
			return false;
		node_poll(node);
	}
	return *counter == count;
}

int peer_connect(const struct node *node)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
	                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	address.sin_port = htons((uint16_t)atoi(strrchr(node->address, ':') + 1));
	CU_ASSERT_FATAL(fd >= 0);
	CU_ASSERT_FATAL(connect(fd, (struct sockaddr *)&address, sizeof address) == 0);
	return fd;
}

void peer_write(int fd, const void *bytes, size_t count)
{
	CU_ASSERT(send(fd, bytes, count, MSG_NOSIGNAL) == (ssize_t)count);
}

void peer_hello(int fd)
{
	uint8_t wire[TCP_WIRE_SMALL_BYTES], hello[SLU_DRIVER_HELLO_BYTES] = "peer";

	tcp_hello_encode(wire, 0, hello);
	peer_write(fd, wire, sizeof(struct tcp_wire_header) + sizeof(struct tcp_wire_hello));
}

void peer_message(int fd, enum tcp_wire_kind kind, uint32_t size_bytes)
{
	uint8_t wire[sizeof(struct tcp_wire_header) + NODE_MESSAGE_BYTES_MAX] = {0};

	tcp_header_encode(wire, kind, size_bytes);
	peer_write(fd, wire, sizeof(struct tcp_wire_header) + size_bytes);
}

bool peer_is_closed(struct node *node, int fd)
{
	struct pollfd news[2] = {{.fd = fd, .events = POLLIN},
	                         {.fd = node->ops->fd(node->driver), .events = POLLIN}};

	for (;;) {
		uint8_t bytes[256];
		ssize_t got;

		node_poll(node);
		got = recv(fd, bytes, sizeof bytes, MSG_DONTWAIT);
		if (got == 0 || (got < 0 && errno != EAGAIN))
			return got == 0 || errno == ECONNRESET;
		if (got < 0 && poll(news, 2, 10000) == 0)
			return false;
	}
}

int peer_up(struct node *node)
{
	int fd = peer_connect(node);

	peer_hello(fd);
	CU_ASSERT_FATAL(node_until(node, &node->accept_count, node->accept_count + 1));
	CU_ASSERT(node->ops->session_accept(node->driver, node->offered, NULL) == 0);
	CU_ASSERT_FATAL(node_until(node, &node->up_count, node->up_count + 1));
	return fd;
}
