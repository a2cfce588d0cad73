/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_tcp_driver.c - what only the tcp driver has, beside the conformance
 * suite: strangers on its port, bytes that are not its protocol, descriptors
 * that run out, addresses. The peers are plain sockets; the clock is the test's.
 */
#include <dirent.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <sluice/sluice.h>

#include "drivers/tcp/framing.h"
#include "tests/unit/unit.h"
#include "transport/clock.h"
#include "transport/driver.h"

#define MESSAGE_BYTES_MAX 4096u
#define BUFFER_COUNT      8
#define SECOND            SLU_NS_PER_S

/* An instance, and what its events said. */
struct node {
	const struct slu_driver_ops *ops;
	struct slu_driver_host host;
	struct slu_driver *driver;
	char address[SLU_DRIVER_ADDRESS_MAX];
	char error[SLU_DRIVER_ERROR_MAX];
	uint64_t now_ns;
	uint8_t buffers[BUFFER_COUNT][MESSAGE_BYTES_MAX];
	int buffers_used; /* a bit each */
	struct slu_session *offered, *down;
	int accept_count, up_count, small_count, frame_count, down_count;
	int down_error;
	char down_text[512];
};

static void *node_rx_get(void *ctx)
{
	struct node *node = ctx;

	for (int i = 0; i < BUFFER_COUNT; i++)
		if (!(node->buffers_used & 1 << i)) {
			node->buffers_used |= 1 << i;
			return node->buffers[i];
		}
	return NULL;
}

static void node_rx_put(void *ctx, void *buffer)
{
	struct node *node = ctx;
	size_t i = (size_t)((uint8_t(*)[MESSAGE_BYTES_MAX])buffer - node->buffers);

	CU_ASSERT_FATAL(i < BUFFER_COUNT && (node->buffers_used & 1 << i));
	node->buffers_used &= ~(1 << i);
}

static uint64_t node_now_ns(void *ctx)
{
	return ((struct node *)ctx)->now_ns;
}

/* Returns what open said; the node is to be closed in any case. */
static int node_open(struct node *node, const char *listen, const char *name, const char *value)
{
	struct slu_driver_option options[] = {{"listen", listen}, {name, value}};
	struct slu_driver_config config = {
	        .options = options, .option_count = name ? 2 : 1, .error = node->error};
	int r;

	memset(node, 0, sizeof *node);
	node->ops = slu_driver_find("tcp");
	node->now_ns = 1000 * SECOND;
	node->host = (struct slu_driver_host){.ctx = node,
	                                      .arena = node->buffers[0],
	                                      .arena_bytes = sizeof node->buffers,
	                                      .message_bytes_max = MESSAGE_BYTES_MAX,
	                                      .rx_get = node_rx_get,
	                                      .rx_put = node_rx_put,
	                                      .now_ns = node_now_ns};
	r = node->ops->open(&config, &node->host, &node->driver);
	if (r == 0 && *listen)
		CU_ASSERT_FATAL(node->ops->address(node->driver, node->address) == 0);
	return r;
}

static void node_close(struct node *node)
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

static void node_poll(struct node *node)
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

/* Poll until *counter is count; false after ten seconds without news. */
static bool node_until(struct node *node, const int *counter, int count)
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

/* A plain socket, connected to the node. */
static int peer_connect(const struct node *node)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
	                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	address.sin_port = htons((uint16_t)atoi(strrchr(node->address, ':') + 1));
	CU_ASSERT_FATAL(fd >= 0);
	CU_ASSERT_FATAL(connect(fd, (struct sockaddr *)&address, sizeof address) == 0);
	return fd;
}

static void peer_write(int fd, const void *bytes, size_t count)
{
	CU_ASSERT(send(fd, bytes, count, MSG_NOSIGNAL) == (ssize_t)count);
}

static void peer_hello(int fd)
{
	uint8_t wire[TCP_WIRE_SMALL_BYTES], hello[SLU_DRIVER_HELLO_BYTES] = "peer";

	tcp_hello_encode(wire, hello);
	peer_write(fd, wire, sizeof(struct tcp_wire_header) + sizeof(struct tcp_wire_hello));
}

static void peer_message(int fd, enum tcp_wire_kind kind, uint32_t size_bytes)
{
	uint8_t wire[sizeof(struct tcp_wire_header) + MESSAGE_BYTES_MAX] = {0};

	tcp_header_encode(wire, kind, size_bytes);
	peer_write(fd, wire, sizeof(struct tcp_wire_header) + size_bytes);
}

/* The node closes it, within ten seconds without other news. */
static bool peer_is_closed(struct node *node, int fd)
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

/* A peer whose session is up. */
static int peer_up(struct node *node)
{
	int fd = peer_connect(node);

	peer_hello(fd);
	CU_ASSERT_FATAL(node_until(node, &node->accept_count, node->accept_count + 1));
	CU_ASSERT(node->ops->session_accept(node->driver, node->offered, NULL) == 0);
	CU_ASSERT_FATAL(node_until(node, &node->up_count, node->up_count + 1));
	return fd;
}

static void drops_a_stranger_that_says_nothing_in_time(void)
{
	struct node node;
	struct pollfd quiet;
	int fd;

	CU_ASSERT_FATAL(node_open(&node, "127.0.0.1:0", NULL, NULL) == 0);
	CU_ASSERT(node.ops->deadline(node.driver) == UINT64_MAX);
	fd = peer_connect(&node);
	peer_write(fd, "SLU", 3);
	node_poll(&node);
	node.now_ns += 5 * SECOND - 1;
	node_poll(&node);
	quiet = (struct pollfd){.fd = fd, .events = POLLIN};
	CU_ASSERT(poll(&quiet, 1, 0) == 0);
	CU_ASSERT(node.ops->deadline(node.driver) == node.now_ns + 1);
	node.now_ns += 1;
	CU_ASSERT(peer_is_closed(&node, fd));
	CU_ASSERT(node.accept_count == 0 && node.down_count == 0);
	CU_ASSERT(node.ops->deadline(node.driver) == UINT64_MAX);
	close(fd);
	node_close(&node);
}

static void drops_the_oldest_of_too_many_strangers(void)
{
	struct node node;
	int fds[70];

	CU_ASSERT_FATAL(node_open(&node, "127.0.0.1:0", NULL, NULL) == 0);
	for (int i = 0; i < 70; i++) {
		fds[i] = peer_connect(&node);
		node_poll(&node);
	}
	for (int i = 0; i < 6; i++)
		CU_ASSERT(peer_is_closed(&node, fds[i]));
	for (int i = 6; i < 70; i++)
		peer_hello(fds[i]);
	CU_ASSERT(node_until(&node, &node.accept_count, 64));
	for (int i = 0; i < 70; i++)
		close(fds[i]);
	node_close(&node);
}

/* What a peer may do wrong once its session is up. */
struct violation {
	enum tcp_wire_kind kind;
	uint32_t size_bytes;
	size_t payload_bytes; /* then the connection ends if they are too few */
	const char *reason;
};

static void ends_only_the_session_that_breaks_the_protocol(void)
{
	static const struct violation violations[] = {
	        {TCP_WIRE_FRAME, MESSAGE_BYTES_MAX + 1, 0, "exceeds"},
	        {TCP_WIRE_SMALL, 0, 0, "zero length"},
	        {TCP_WIRE_HELLO, 56, 0, "second hello"},
	        {(enum tcp_wire_kind)9, 10, 0, "unknown kind"},
	        {TCP_WIRE_FRAME, 1000, 500, "ended after 500 of 1000 bytes"},
	        {TCP_WIRE_SMALL, 20, 10, "ended inside a message"},
	};
	struct node node;
	int good, bad;

	CU_ASSERT_FATAL(node_open(&node, "127.0.0.1:0", NULL, NULL) == 0);
	good = peer_up(&node);
	for (int i = 0; i < (int)(sizeof violations / sizeof violations[0]); i++) {
		const struct violation *violation = &violations[i];
		uint8_t wire[8 + 1000] = {0};

		bad = peer_up(&node);
		peer_message(bad, TCP_WIRE_FRAME, 100);
		tcp_header_encode(wire, violation->kind, violation->size_bytes);
		peer_write(bad, wire, 8 + violation->payload_bytes);
		if (violation->payload_bytes)
			shutdown(bad, SHUT_WR);
		CU_ASSERT(node_until(&node, &node.down_count, i + 1));
		CU_ASSERT(node.frame_count == i + 1); /* what came before counts */
		CU_ASSERT(node.down_error == -EPROTO);
		CU_ASSERT(strncmp(node.down_text, "tcp 127.0.0.1:", 14) == 0);
		CU_ASSERT(strstr(node.down_text, violation->reason) != NULL);
		CU_ASSERT(peer_is_closed(&node, bad));
		node.ops->session_close(node.driver, node.down);
		close(bad);
		peer_message(good, TCP_WIRE_SMALL, 30);
		CU_ASSERT(node_until(&node, &node.small_count, i + 1));
	}
	close(good);
	node_close(&node);
}

static void ignores_a_first_message_that_is_no_hello(void)
{
	struct node node;
	int fd;

	CU_ASSERT_FATAL(node_open(&node, "127.0.0.1:0", NULL, NULL) == 0);
	fd = peer_connect(&node);
	peer_write(fd, "GET / HTTP/1.0\r\n\r\n", 18);
	CU_ASSERT(peer_is_closed(&node, fd));
	close(fd);
	fd = peer_connect(&node);
	peer_message(fd, TCP_WIRE_FRAME, 100);
	CU_ASSERT(peer_is_closed(&node, fd));
	close(fd);
	CU_ASSERT(node.accept_count == 0 && node.down_count == 0);
	node_close(&node);
}

static void tells_how_a_session_ended(void)
{
	static const uint8_t hello[SLU_DRIVER_HELLO_BYTES];
	struct linger at_once = {.l_onoff = 1};
	struct slu_session *session;
	struct node node, gone;
	char text[300];
	int fd;

	CU_ASSERT_FATAL(node_open(&node, "127.0.0.1:0", NULL, NULL) == 0);
	fd = peer_up(&node);
	close(fd);
	CU_ASSERT(node_until(&node, &node.down_count, 1));
	CU_ASSERT(node.down_error == -ECONNRESET || node.down_error == 0);
	fd = peer_up(&node);
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
	close(fd);
	CU_ASSERT(node_until(&node, &node.down_count, 2));
	CU_ASSERT(node.down_error == -ECONNRESET);
	CU_ASSERT(strstr(node.down_text, ": Connection reset by peer") != NULL);

	CU_ASSERT_FATAL(node_open(&gone, "127.0.0.1:0", NULL, NULL) == 0);
	node_close(&gone);
	CU_ASSERT(node.ops->connect(node.driver, gone.address, hello, NULL, &session) == 0);
	CU_ASSERT(node_until(&node, &node.down_count, 3));
	snprintf(text, sizeof text, "tcp %s: Connection refused", gone.address);
	CU_ASSERT_STRING_EQUAL(node.down_text, text);
	CU_ASSERT(node.down_error == -ECONNREFUSED);
	node_close(&node);
}

static void does_not_blame_a_peer_that_was_reset_inside_a_message(void)
{
	struct linger at_once = {.l_onoff = 1};
	uint8_t wire[8 + 500] = {0};
	struct node node;
	int fd;

	CU_ASSERT_FATAL(node_open(&node, "127.0.0.1:0", NULL, NULL) == 0);
	fd = peer_up(&node);
	tcp_header_encode(wire, TCP_WIRE_FRAME, 1000);
	peer_write(fd, wire, sizeof wire);
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
	close(fd);
	/* The send meets the reset, and reads then see an orderly end. */
	CU_ASSERT(node.ops->send_small(node.driver, node.offered, "x", 1) == 0);
	CU_ASSERT(node_until(&node, &node.down_count, 1));
	CU_ASSERT(node.down_error == -ECONNRESET);
	CU_ASSERT(node.frame_count == 0);
	node_close(&node);
}

static void gives_up_on_a_listener_that_never_answers(void)
{
	static const uint8_t hello[SLU_DRIVER_HELLO_BYTES];
	struct slu_session *session;
	struct node node, silent;

	CU_ASSERT_FATAL(node_open(&node, "127.0.0.1:0", NULL, NULL) == 0);
	CU_ASSERT_FATAL(node_open(&silent, "127.0.0.1:0", NULL, NULL) == 0);
	CU_ASSERT(node.ops->connect(node.driver, silent.address, hello, NULL, &session) == 0);
	node_poll(&node);
	CU_ASSERT(node.ops->deadline(node.driver) == node.now_ns + 10 * SECOND);
	node.now_ns += 10 * SECOND;
	node_poll(&node);
	CU_ASSERT(node.down_count == 1 && node.down_error == -ETIMEDOUT);
	CU_ASSERT(strstr(node.down_text, "in time") != NULL);
	node_close(&node);
	node_close(&silent);
}

static int descriptors_open(void)
{
	DIR *directory = opendir("/proc/self/fd");
	int count = 0;

	while (readdir(directory))
		count++;
	closedir(directory);
	return count;
}

static void rests_when_descriptors_run_out_and_then_accepts(void)
{
	struct rlimit before, none;
	struct node node;
	int fd, next;

	CU_ASSERT_FATAL(node_open(&node, "127.0.0.1:0", NULL, NULL) == 0);
	fd = peer_connect(&node);
	peer_hello(fd);
	next = dup(0);
	close(next);
	CU_ASSERT_FATAL(getrlimit(RLIMIT_NOFILE, &before) == 0);
	none = before;
	none.rlim_cur = (rlim_t)next;
	CU_ASSERT_FATAL(setrlimit(RLIMIT_NOFILE, &none) == 0);
	node_poll(&node); /* ends: it does not say that there is more to do now */
	CU_ASSERT(node.accept_count == 0);
	CU_ASSERT(node.ops->deadline(node.driver) == node.now_ns + SECOND / 10);
	CU_ASSERT(setrlimit(RLIMIT_NOFILE, &before) == 0);
	node_poll(&node);
	CU_ASSERT(node.accept_count == 0);
	node.now_ns += SECOND / 10;
	CU_ASSERT(node_until(&node, &node.accept_count, 1));
	close(fd);
	node_close(&node);
}

static void leaks_no_descriptor(void)
{
	int before = descriptors_open();

	for (int round = 0; round < 3; round++) {
		struct node node;
		int up, stranger, offered, bad;

		CU_ASSERT_FATAL(node_open(&node, "127.0.0.1:0", NULL, NULL) == 0);
		CU_ASSERT(node_open(&(struct node){0}, node.address, NULL, NULL) == -EADDRINUSE);
		up = peer_up(&node);
		bad = peer_up(&node);
		stranger = peer_connect(&node);
		offered = peer_connect(&node);
		peer_hello(offered);
		CU_ASSERT(node_until(&node, &node.accept_count, 3));
		peer_write(bad, "nonsense", 8);
		CU_ASSERT(node_until(&node, &node.down_count, 1));
		peer_message(up, TCP_WIRE_FRAME, 1000);
		CU_ASSERT(node_until(&node, &node.frame_count, 1));
		node_close(&node);
		close(up);
		close(bad);
		close(stranger);
		close(offered);
	}
	CU_ASSERT(descriptors_open() == before);
}

static void gives_the_buffer_of_an_unfinished_frame_back(void)
{
	uint8_t wire[8 + 1000] = {0};
	struct node node;
	int fd;

	CU_ASSERT_FATAL(node_open(&node, "127.0.0.1:0", NULL, NULL) == 0);
	fd = peer_up(&node);
	tcp_header_encode(wire, TCP_WIRE_FRAME, 2000);
	peer_write(fd, wire, sizeof wire);
	peer_message(fd, TCP_WIRE_SMALL, 10); /* 18 bytes more of the same frame */
	shutdown(fd, SHUT_WR);
	CU_ASSERT(node_until(&node, &node.down_count, 1));
	CU_ASSERT(node.buffers_used == 0);
	close(fd);
	node_close(&node);
}

static void tells_an_address_that_peers_can_use(void)
{
	struct node node;
	char *port;

	CU_ASSERT_FATAL(node_open(&node, "0.0.0.0:0", NULL, NULL) == 0);
	CU_ASSERT(strncmp(node.address, "0.0.0.0", 7) != 0);
	port = strrchr(node.address, ':');
	CU_ASSERT(atoi(port + 1) > 0);
	node_close(&node);
	CU_ASSERT_FATAL(node_open(&node, "localhost:0", "advertise", "192.0.2.7") == 0);
	CU_ASSERT(strncmp(node.address, "192.0.2.7:", 10) == 0);
	CU_ASSERT(atoi(node.address + 10) > 0);
	node_close(&node);
	CU_ASSERT_FATAL(node_open(&node, "127.0.0.1:0", "advertise", "[2001:db8::1]:7433") == 0);
	CU_ASSERT_STRING_EQUAL(node.address, "[2001:db8::1]:7433");
	node_close(&node);
	CU_ASSERT_FATAL(node_open(&node, "", NULL, NULL) == 0);
	CU_ASSERT(node.ops->address(node.driver, node.address) == -ENOTSUP);
	node_close(&node);
}

static void says_why_it_cannot_open(void)
{
	static const char *const bad[] = {"127.0.0.1", "127.0.0.1:x", "::1:5", "127.0.0.1:65536",
	                                  "[::1]5"};
	struct node node;

	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		CU_ASSERT(node_open(&node, bad[i], NULL, NULL) == -EINVAL);
		CU_ASSERT(strstr(node.error, bad[i]) != NULL);
	}
	CU_ASSERT(node_open(&node, "no-such-host.invalid:1", NULL, NULL) == -EINVAL);
	CU_ASSERT(strstr(node.error, "no such host") != NULL);
	CU_ASSERT(node_open(&node, "192.0.2.1:0", NULL, NULL) == -EADDRNOTAVAIL);
	CU_ASSERT(strstr(node.error, "192.0.2.1:0") != NULL);
	CU_ASSERT(node_open(&node, "127.0.0.1:0", "nodelay", "2") == -EINVAL);
	CU_ASSERT(strstr(node.error, "nodelay") != NULL);
}

int main(void)
{
	static const struct unit_test tests[] = {
	        UNIT_TEST(drops_a_stranger_that_says_nothing_in_time),
	        UNIT_TEST(drops_the_oldest_of_too_many_strangers),
	        UNIT_TEST(ends_only_the_session_that_breaks_the_protocol),
	        UNIT_TEST(ignores_a_first_message_that_is_no_hello),
	        UNIT_TEST(tells_how_a_session_ended),
	        UNIT_TEST(does_not_blame_a_peer_that_was_reset_inside_a_message),
	        UNIT_TEST(gives_up_on_a_listener_that_never_answers),
	        UNIT_TEST(rests_when_descriptors_run_out_and_then_accepts),
	        UNIT_TEST(leaks_no_descriptor),
	        UNIT_TEST(gives_the_buffer_of_an_unfinished_frame_back),
	        UNIT_TEST(tells_an_address_that_peers_can_use),
	        UNIT_TEST(says_why_it_cannot_open),
	        {NULL, NULL},
	};

	return unit_run("tcp_driver", tests);
}
