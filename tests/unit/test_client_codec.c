/* SPDX-License-Identifier: Apache-2.0 */
/* test_client_codec.c - the messages of the agent's Unix socket: what passes the
 * check, what does not and with which words, and descriptors on the way. */
#include "tests/unit/unit.h"
#include "transport/client_codec.h"

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

static char error[CLIENT_TEXT_BYTES];

static union client_message make(enum client_type type)
{
	union client_message message;

	client_message_init(&message, type);
	return message;
}

static union client_message make_attach(void)
{
	union client_message message = make(CLIENT_ATTACH);

	message.attach.magic = CLIENT_MAGIC;
	message.attach.cluster = 7;
	message.attach.layout_version = ARENA_LAYOUT_VERSION;
	strcpy(message.attach.name, "seg2 slice3");
	return message;
}

static union client_message make_open(void)
{
	union client_message message = make(CLIENT_OPEN);

	message.open.request_id = 1;
	message.open.direction = SLU_SEND;
	message.open.key = (struct slu_key){.cluster = 7, .query = 8, .motion = 9};
	strcpy(message.open.peer, "host-b");
	return message;
}

static union client_message make_attached(void)
{
	union client_message message = make(CLIENT_ATTACHED);

	message.attached.slot = 3;
	message.attached.generation = 99;
	return message;
}

static int decode(const union client_message *message, enum client_side from, unsigned fd_count,
                  union client_message *ret_message)
{
	error[0] = '\0';
	return client_decode(message, message->header.size_bytes, fd_count, from, ret_message,
	                     error);
}

/* Is refused with -EPROTO and these words. */
static void assert_refused(const union client_message *message, enum client_side from,
                           unsigned fd_count, const char *words)
{
	union client_message out;

	CU_ASSERT_EQUAL(decode(message, from, fd_count, &out), -EPROTO);
	if (!strstr(error, words))
		fprintf(stderr, "\nsaid \"%s\", not \"%s\"\n", error, words);
	CU_ASSERT_PTR_NOT_NULL(strstr(error, words));
}

static void passes_what_processes_say(void)
{
	union client_message messages[] = {make_attach(), make_open(), make(CLIENT_CLOSE),
	                                   make(CLIENT_DETACH)};
	union client_message out;

	messages[2].close.direction = SLU_RECV;
	for (size_t i = 0; i < sizeof(messages) / sizeof(messages[0]); i++) {
		CU_ASSERT_EQUAL(decode(&messages[i], CLIENT_SIDE_PROCESS, 0, &out), 0);
		CU_ASSERT_EQUAL(memcmp(&out, &messages[i], messages[i].header.size_bytes), 0);
	}
}

static void passes_what_the_agent_says(void)
{
	union client_message attached = make_attached(), opened = make(CLIENT_OPENED);
	union client_message refusal = make(CLIENT_ERROR), out;
	union client_message neighbour = make(CLIENT_NEIGHBOUR);

	opened.opened.request_id = 5;
	refusal.error.error = EACCES;
	strcpy(refusal.error.text, "wrong token");
	CU_ASSERT_EQUAL(decode(&attached, CLIENT_SIDE_AGENT, 2, &out), 0);
	CU_ASSERT_EQUAL(decode(&opened, CLIENT_SIDE_AGENT, 0, &out), 0);
	CU_ASSERT_EQUAL(decode(&refusal, CLIENT_SIDE_AGENT, 0, &out), 0);
	CU_ASSERT_STRING_EQUAL(out.error.text, "wrong token");
	CU_ASSERT_EQUAL(decode(&neighbour, CLIENT_SIDE_AGENT, 1, &out), 0);
	attached.attached.slot = SLOT_NONE; /* an observer has no doorbell */
	CU_ASSERT_EQUAL(decode(&attached, CLIENT_SIDE_AGENT, 1, &out), 0);
}

static void refuses_every_truncation(void)
{
	union client_message message = make_open(), out;

	for (size_t size = 0; size < message.header.size_bytes; size++)
		CU_ASSERT_EQUAL(client_decode(&message, size, 0, CLIENT_SIDE_PROCESS, &out, error),
		                -EPROTO);
}

static void refuses_sizes_that_are_not_the_types(void)
{
	union client_message message = make_attach(), out;

	CU_ASSERT_EQUAL(client_decode(&message, sizeof(message.attach) + 1, 0, CLIENT_SIDE_PROCESS,
	                              &out, error),
	                -EPROTO);
	message.header.size_bytes++;
	CU_ASSERT_EQUAL(client_decode(&message, sizeof(message.attach), 0, CLIENT_SIDE_PROCESS,
	                              &out, error),
	                -EPROTO);
	CU_ASSERT_PTR_NOT_NULL(strstr(error, "ATTACH of 80 bytes"));
}

static void names_both_versions_when_they_differ(void)
{
	union client_message message = make_attach(), out;

	message.header.version = 77;
	message.header.type = 0x4711; /* of another version nothing else is known */
	CU_ASSERT_EQUAL(decode(&message, CLIENT_SIDE_PROCESS, 0, &out), -EPROTONOSUPPORT);
	CU_ASSERT_PTR_NOT_NULL(strstr(error, "version 77"));
}

static void understands_a_refusal_of_any_version(void)
{
	union client_message message = make(CLIENT_ERROR), out;

	message.header.version = 77;
	message.error.error = EPROTONOSUPPORT;
	CU_ASSERT_EQUAL(decode(&message, CLIENT_SIDE_AGENT, 0, &out), 0);
	CU_ASSERT_EQUAL(out.error.error, EPROTONOSUPPORT);
}

static void refuses_messages_of_the_other_side(void)
{
	union client_message attach = make_attach(), attached = make_attached();

	assert_refused(&attach, CLIENT_SIDE_AGENT, 0, "unexpected message type 1");
	assert_refused(&attached, CLIENT_SIDE_PROCESS, 2, "unexpected message type 65");
	attach.header.type = 0;
	assert_refused(&attach, CLIENT_SIDE_PROCESS, 0, "unexpected message type 0");
}

static void refuses_descriptors_nobody_asked_for(void)
{
	union client_message attach = make_attach(), attached = make_attached();
	union client_message neighbour = make(CLIENT_NEIGHBOUR);

	assert_refused(&attach, CLIENT_SIDE_PROCESS, 1, "1 descriptors");
	assert_refused(&attached, CLIENT_SIDE_AGENT, 1, "1 descriptors in place of 2");
	assert_refused(&neighbour, CLIENT_SIDE_AGENT, 0, "0 descriptors");
}

static void refuses_an_attach_that_is_none(void)
{
	union client_message message = make_attach();

	message.attach.magic++;
	assert_refused(&message, CLIENT_SIDE_PROCESS, 0, "magic");
	message = make_attach();
	message.attach.reserved = 1;
	assert_refused(&message, CLIENT_SIDE_PROCESS, 0, "reserved");
	message = make_attach();
	memset(message.attach.name, 'x', sizeof(message.attach.name));
	assert_refused(&message, CLIENT_SIDE_PROCESS, 0, "not terminated");
}

static void refuses_an_open_out_of_range(void)
{
	union client_message message = make_open();

	message.open.request_id = 0;
	assert_refused(&message, CLIENT_SIDE_PROCESS, 0, "request 0");
	message = make_open();
	message.open.direction = 3;
	assert_refused(&message, CLIENT_SIDE_PROCESS, 0, "direction 3");
	message = make_open();
	message.open.key.reserved = 1;
	assert_refused(&message, CLIENT_SIDE_PROCESS, 0, "reserved");
	message = make_open();
	message.open.flags = 4;
	assert_refused(&message, CLIENT_SIDE_PROCESS, 0, "flags 0x4");
	message = make_open();
	memset(message.open.peer, 'x', sizeof(message.open.peer));
	assert_refused(&message, CLIENT_SIDE_PROCESS, 0, "not terminated");
}

static void refuses_a_close_out_of_range(void)
{
	union client_message message = make(CLIENT_CLOSE);

	assert_refused(&message, CLIENT_SIDE_PROCESS, 0, "direction 0");
	message.close.direction = SLU_SEND;
	message.close.flags = 1;
	assert_refused(&message, CLIENT_SIDE_PROCESS, 0, "flags 0x1");
}

static void refuses_answers_that_answer_nothing(void)
{
	union client_message opened = make(CLIENT_OPENED), refusal = make(CLIENT_ERROR);
	union client_message attached = make_attached();

	assert_refused(&opened, CLIENT_SIDE_AGENT, 0, "request 0");
	assert_refused(&refusal, CLIENT_SIDE_AGENT, 0, "without an errno");
	refusal.error.error = UINT32_MAX; /* its negative would be no errno */
	assert_refused(&refusal, CLIENT_SIDE_AGENT, 0, "without an errno");
	attached.attached.generation = 0;
	assert_refused(&attached, CLIENT_SIDE_AGENT, 2, "generation 0");
}

static void makes_names_fit_for_a_log(void)
{
	union client_message message = make_attach(), out;

	memcpy(message.attach.name, "a\nb\x1b[2J\x7f\0tail", 14);
	CU_ASSERT_EQUAL(decode(&message, CLIENT_SIDE_PROCESS, 0, &out), 0);
	CU_ASSERT_STRING_EQUAL(out.attach.name, "a?b?[2J?");
	CU_ASSERT_EQUAL(out.attach.name[10], '\0'); /* and nothing behind the end */
}

/* ---- over a socket ----------------------------------------------------- */

static int open_fd_count(void)
{
	DIR *directory = opendir("/proc/self/fd");
	int count = 0;

	while (directory && readdir(directory))
		count++;
	closedir(directory);
	return count;
}

static void make_sockets(int sockets[2])
{
	CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets), 0);
}

static void carries_descriptors(void)
{
	union client_message message = make_attached(), out;
	int sockets[2], fds[CLIENT_FDS_MAX], sent[2];
	unsigned fd_count = 0;
	uint64_t value = 41;

	make_sockets(sockets);
	sent[0] = eventfd(0, 0);
	sent[1] = eventfd(0, 0);
	CU_ASSERT_EQUAL(client_send(sockets[0], &message, sent, 2), 0);
	CU_ASSERT_EQUAL_FATAL(
	        client_recv(sockets[1], CLIENT_SIDE_AGENT, &out, fds, &fd_count, error), 0);
	CU_ASSERT_EQUAL_FATAL(fd_count, 2);
	CU_ASSERT_EQUAL(write(fds[1], &value, sizeof(value)), sizeof(value));
	value = 0;
	CU_ASSERT_EQUAL(read(sent[1], &value, sizeof(value)), sizeof(value));
	CU_ASSERT_EQUAL(value, 41);
	for (int i = 0; i < 2; i++) {
		close(fds[i]);
		close(sent[i]);
		close(sockets[i]);
	}
}

/* More than a message may have: the kernel drops some, and none may stay. */
static void send_many_fds(int socket_fd, const union client_message *message)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(8 * sizeof(int))];
	} control = {.bytes = {0}};
	struct iovec part = {(void *)(uintptr_t)message, message->header.size_bytes};
	struct msghdr packet = {.msg_iov = &part,
	                        .msg_iovlen = 1,
	                        .msg_control = control.bytes,
	                        .msg_controllen = sizeof(control.bytes)};
	int fds[8];

	for (int i = 0; i < 8; i++)
		fds[i] = socket_fd;
	control.header.cmsg_level = SOL_SOCKET;
	control.header.cmsg_type = SCM_RIGHTS;
	control.header.cmsg_len = CMSG_LEN(sizeof(fds));
	memcpy(CMSG_DATA(&control.header), fds, sizeof(fds));
	CU_ASSERT_TRUE(sendmsg(socket_fd, &packet, 0) > 0);
}

static void keeps_no_descriptor_of_a_refused_packet(void)
{
	union client_message attached = make_attached(), attach = make_attach(), out;
	int sockets[2], fds[CLIENT_FDS_MAX], before;
	unsigned fd_count = 0;

	make_sockets(sockets);
	before = open_fd_count();
	CU_ASSERT_EQUAL(client_send(sockets[0], &attached, sockets, 1), 0);
	CU_ASSERT_EQUAL(client_recv(sockets[1], CLIENT_SIDE_AGENT, &out, fds, &fd_count, error),
	                -EPROTO);
	CU_ASSERT_EQUAL(open_fd_count(), before);
	send_many_fds(sockets[0], &attach);
	CU_ASSERT_EQUAL(client_recv(sockets[1], CLIENT_SIDE_PROCESS, &out, fds, &fd_count, error),
	                -EMFILE);
	CU_ASSERT_EQUAL(open_fd_count(), before);
	close(sockets[0]);
	close(sockets[1]);
}

static void tells_nothing_there_from_closed(void)
{
	union client_message out;
	int sockets[2], fds[CLIENT_FDS_MAX];
	unsigned fd_count;

	make_sockets(sockets);
	CU_ASSERT_EQUAL(client_recv(sockets[1], CLIENT_SIDE_AGENT, &out, fds, &fd_count, error),
	                -EAGAIN);
	close(sockets[0]);
	CU_ASSERT_EQUAL(client_recv(sockets[1], CLIENT_SIDE_AGENT, &out, fds, &fd_count, error),
	                -ENOTCONN);
	CU_ASSERT_EQUAL(client_send(sockets[1], &out, NULL, 0), -EPIPE);
	close(sockets[1]);
}

static void refuses_an_oversized_packet(void)
{
	char bytes[sizeof(union client_message) + 64] = {0};
	union client_message attach = make_attach(), out;
	int sockets[2], fds[CLIENT_FDS_MAX];
	unsigned fd_count;

	make_sockets(sockets);
	memcpy(bytes, &attach, sizeof(attach));
	CU_ASSERT_EQUAL(send(sockets[0], bytes, sizeof(bytes), 0), (ssize_t)sizeof(bytes));
	CU_ASSERT_EQUAL(client_recv(sockets[1], CLIENT_SIDE_PROCESS, &out, fds, &fd_count, error),
	                -EPROTO);
	CU_ASSERT_PTR_NOT_NULL(strstr(error, "more than"));
	close(sockets[0]);
	close(sockets[1]);
}

static void does_not_block_on_a_full_socket(void)
{
	union client_message message = make_open();
	int sockets[2], result = 0;

	make_sockets(sockets);
	for (int i = 0; i < 100000 && result == 0; i++)
		result = client_send(sockets[0], &message, NULL, 0);
	CU_ASSERT_EQUAL(result, -EAGAIN);
	close(sockets[0]);
	close(sockets[1]);
}

int main(void)
{
	static const struct unit_test tests[] = {
	        UNIT_TEST(passes_what_processes_say),
	        UNIT_TEST(passes_what_the_agent_says),
	        UNIT_TEST(refuses_every_truncation),
	        UNIT_TEST(refuses_sizes_that_are_not_the_types),
	        UNIT_TEST(names_both_versions_when_they_differ),
	        UNIT_TEST(understands_a_refusal_of_any_version),
	        UNIT_TEST(refuses_messages_of_the_other_side),
	        UNIT_TEST(refuses_descriptors_nobody_asked_for),
	        UNIT_TEST(refuses_an_attach_that_is_none),
	        UNIT_TEST(refuses_an_open_out_of_range),
	        UNIT_TEST(refuses_a_close_out_of_range),
	        UNIT_TEST(refuses_answers_that_answer_nothing),
	        UNIT_TEST(makes_names_fit_for_a_log),
	        UNIT_TEST(carries_descriptors),
	        UNIT_TEST(keeps_no_descriptor_of_a_refused_packet),
	        UNIT_TEST(tells_nothing_there_from_closed),
	        UNIT_TEST(refuses_an_oversized_packet),
	        UNIT_TEST(does_not_block_on_a_full_socket),
	        {NULL, NULL},
	};

	return unit_run("client_codec", tests);
}
