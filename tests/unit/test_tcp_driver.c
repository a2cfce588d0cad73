/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_tcp_driver.c - what only the tcp driver has, beside the conformance
 * suite: strangers on its port, bytes that are not its protocol, descriptors
 * that run out, addresses. The peers are plain sockets; the clock is the test's.
 */
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <sluice/sluice.h>

#include "tests/unit/tcp_node.h"
#include "tests/unit/unit.h"

#define SECOND SLU_NS_PER_S

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
	        {TCP_WIRE_FRAME, NODE_MESSAGE_BYTES_MAX + 1, 0, "exceeds"},
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
