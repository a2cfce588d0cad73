/* SPDX-License-Identifier: Apache-2.0 */
/* test_agent_clients.c - what the agent does with clients that may not, that say
 * what they must not, that are too many or too slow; each time somebody else is
 * served as before. */
#include "tests/agent/raw_client.h"
#include "tests/unit/unit.h"
#include "transport/arena.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static struct agent_fixture fixture;
static int witness; /* a client that is attached all the time */

static void start(const struct agent_fixture_options *options)
{
	union client_message answer;

	CU_ASSERT_EQUAL_FATAL(agent_fixture_start(&fixture, options), 0);
	witness = raw_attach(&fixture, "witness", &answer);
	CU_ASSERT_TRUE_FATAL(witness >= 0 && answer.header.type == CLIENT_ATTACHED);
}

static void start_plain(void)
{
	start(&(struct agent_fixture_options){.node = "a"});
}

/* The witness is served, and the agent ends in order. */
static void stop(void)
{
	static uint64_t query;
	union client_message message = raw_open_message(++query, SLU_RECV);

	CU_ASSERT_EQUAL(raw_send(witness, &message), 0);
	do {
		CU_ASSERT_EQUAL_FATAL(raw_receive(witness, &message), 0);
	} while (message.header.type == CLIENT_NEIGHBOUR);
	CU_ASSERT_EQUAL(message.header.type, CLIENT_OPENED);
	close(witness);
	CU_ASSERT_EQUAL(agent_fixture_stop(&fixture), 0);
	agent_fixture_end(&fixture);
}

static void assert_attach_works(void)
{
	union client_message answer = {.header = {0}};
	int fd = raw_attach(&fixture, "x", &answer);

	CU_ASSERT_TRUE(fd >= 0);
	CU_ASSERT_EQUAL(answer.header.type, CLIENT_ATTACHED);
	close(fd);
}

static void refuses_a_user_that_is_not_allowed(void)
{
	union client_message attach = raw_attach_message("stranger");
	union client_message observe = attach;
	int status;
	pid_t pid;

	if (geteuid() != 0) {
		fprintf(stderr, "skipped: needs root to come as another user\n");
		return;
	}
	observe.header.type = CLIENT_OBSERVE;
	start_plain();
	pid = fork();
	if (pid == 0) {
		bool refused =
		        setgid(65534) == 0 && setuid(65534) == 0 &&
		        raw_is_refused(&fixture, &attach, sizeof(attach.attach), EACCES, "user") &&
		        raw_is_refused(&fixture, &observe, sizeof(observe.attach), EACCES,
		                       "user") &&
		        raw_is_refused(&fixture, "?", 1, EACCES, "");

		_exit(refused ? 0 : 1);
	}
	CU_ASSERT_EQUAL(waitpid(pid, &status, 0), pid);
	CU_ASSERT_EQUAL(status, 0);
	CU_ASSERT_TRUE(agent_fixture_logged(&fixture, "uid=65534"));
	stop();
}

static void refuses_another_cluster_version_and_layout(void)
{
	union client_message message = raw_attach_message("x");

	start_plain();
	message.attach.cluster++;
	CU_ASSERT_TRUE(raw_is_refused(&fixture, &message, sizeof(message.attach), ESTALE,
	                              "cluster 43, the agent serves cluster 42"));
	message = raw_attach_message("x");
	message.header.version++;
	CU_ASSERT_TRUE(raw_is_refused(&fixture, &message, sizeof(message.attach), EPROTONOSUPPORT,
	                              "version 2"));
	message = raw_attach_message("x");
	message.attach.layout_version++;
	CU_ASSERT_TRUE(raw_is_refused(&fixture, &message, sizeof(message.attach), EPROTONOSUPPORT,
	                              "layout"));
	stop();
}

static void refuses_malformed_packets(void)
{
	char bytes[4096];
	union client_message attach = raw_attach_message("x");

	start_plain();
	memset(bytes, 0xa5, sizeof(bytes));
	CU_ASSERT_TRUE(raw_is_refused(&fixture, bytes, 1, EPROTO, "shorter than a header"));
	CU_ASSERT_TRUE(raw_is_refused(&fixture, bytes, sizeof(bytes), EPROTO, "more than"));
	CU_ASSERT_TRUE(raw_is_refused(&fixture, bytes, 64, EPROTONOSUPPORT, "version"));
	CU_ASSERT_TRUE(raw_is_refused(&fixture, &attach, 40, EPROTO, "ATTACH of 40 bytes"));
	attach.attach.magic = 0;
	CU_ASSERT_TRUE(raw_is_refused(&fixture, &attach, sizeof(attach.attach), EPROTO, "magic"));
	stop();
}

static void refuses_descriptors(void)
{
	union client_message attach = raw_attach_message("x"), answer;
	int fd;

	start_plain();
	fd = raw_connect(&fixture);
	CU_ASSERT_EQUAL(client_send(fd, &attach, &fd, 1), 0);
	CU_ASSERT_EQUAL(raw_receive(fd, &answer), 0);
	CU_ASSERT_EQUAL(answer.header.type, CLIENT_ERROR);
	CU_ASSERT_EQUAL(answer.error.error, EPROTO);
	CU_ASSERT_TRUE(raw_is_closed(fd));
	close(fd);
	stop();
}

static void refuses_messages_out_of_turn(void)
{
	union client_message open = raw_open_message(1, SLU_SEND), answer, close_message, detach;
	union client_message attach = raw_attach_message("x"), observe = attach;
	int fd;

	start_plain();
	CU_ASSERT_TRUE(raw_is_refused(&fixture, &open, sizeof(open.open), EPROTO, "before ATTACH"));
	client_message_init(&detach, CLIENT_DETACH);
	CU_ASSERT_TRUE(
	        raw_is_refused(&fixture, &detach, sizeof(detach.detach), EPROTO, "before ATTACH"));
	fd = raw_attach(&fixture, "replays", &answer);
	CU_ASSERT_TRUE(
	        raw_says_refused(fd, &attach, sizeof(attach.attach), EPROTO, "second ATTACH"));
	fd = raw_attach(&fixture, "echoes", &answer);
	CU_ASSERT_TRUE(raw_says_refused(fd, &answer, sizeof(answer.attached), EPROTO,
	                                "unexpected message"));
	client_message_init(&close_message, CLIENT_CLOSE);
	close_message.close.direction = SLU_SEND;
	fd = raw_attach(&fixture, "closes", &answer);
	CU_ASSERT_TRUE(raw_says_refused(fd, &close_message, sizeof(close_message.close), EPROTO,
	                                "CLOSE of a channel"));
	observe.header.type = CLIENT_OBSERVE;
	fd = raw_connect(&fixture);
	CU_ASSERT_EQUAL(raw_send(fd, &observe), 0);
	CU_ASSERT_TRUE(raw_says_refused(fd, &open, sizeof(open.open), EPROTO, "observer"));
	stop();
}

static void does_not_let_one_close_what_another_opened(void)
{
	union client_message open = raw_open_message(77, SLU_RECV), answer, close_message;
	int owner, thief;

	start_plain();
	owner = raw_attach(&fixture, "owner", &answer);
	CU_ASSERT_EQUAL(raw_send(owner, &open), 0);
	CU_ASSERT_EQUAL_FATAL(raw_receive(owner, &answer), 0);
	CU_ASSERT_EQUAL_FATAL(answer.header.type, CLIENT_OPENED);
	client_message_init(&close_message, CLIENT_CLOSE);
	close_message.close.chan_idx = answer.opened.chan_idx;
	close_message.close.open_count = answer.opened.open_count;
	close_message.close.direction = SLU_RECV;
	thief = raw_attach(&fixture, "thief", &answer);
	CU_ASSERT_TRUE(raw_says_refused(thief, &close_message, sizeof(close_message.close), EPROTO,
	                                "CLOSE"));
	/* and the owner still has it */
	CU_ASSERT_EQUAL(raw_send(owner, &close_message), 0);
	open = raw_open_message(78, SLU_RECV);
	CU_ASSERT_EQUAL(raw_send(owner, &open), 0);
	CU_ASSERT_EQUAL(raw_receive(owner, &answer), 0);
	CU_ASSERT_EQUAL(answer.header.type, CLIENT_OPENED);
	close(owner);
	stop();
}

/* More than it lets in without a word: they are dropped when their time to greet
 * is over, and those behind them are served. */
static void does_not_wait_for_who_says_nothing(void)
{
	int fds[200];

	start_plain();
	for (size_t i = 0; i < 200; i++)
		fds[i] = raw_connect(&fixture);
	assert_attach_works();
	CU_ASSERT_TRUE(raw_is_closed(fds[0]));
	for (size_t i = 0; i < 200; i++)
		close(fds[i]);
	stop();
}

static void serves_a_crowd(void)
{
	pid_t pids[100];
	int status, failed = 0;

	start(&(struct agent_fixture_options){
	        .arena = "size = 16M\nframe_size = 16k\nmax_channels = 64\nreceive_frames = 64\n"
	                 "max_processes = 101\nwindow_max = 32\nhugepages = never\n"});
	for (size_t i = 0; i < 100; i++) {
		pids[i] = fork();
		if (pids[i] == 0) {
			union client_message answer = {.header = {0}};

			_exit(raw_attach(&fixture, "x", &answer) >= 0 &&
			                      answer.header.type == CLIENT_ATTACHED
			              ? 0
			              : 1);
		}
	}
	for (size_t i = 0; i < 100; i++)
		failed += waitpid(pids[i], &status, 0) != pids[i] || status != 0;
	CU_ASSERT_EQUAL(failed, 0);
	stop();
}

static void says_when_all_slots_are_taken(void)
{
	struct agent_fixture_options options = {
	        .arena = "size = 8M\nframe_size = 16k\nmax_channels = 16\nreceive_frames = 16\n"
	                 "max_processes = 4\nwindow_max = 16\nhugepages = never\n"};
	union client_message answer, attach = raw_attach_message("too many"), detach;
	int fds[3];

	start(&options);
	for (int i = 0; i < 3; i++) {
		fds[i] = raw_attach(&fixture, "x", &answer);
		CU_ASSERT_EQUAL(answer.header.type, CLIENT_ATTACHED);
	}
	CU_ASSERT_TRUE(raw_is_refused(&fixture, &attach, sizeof(attach.attach), EUSERS,
	                              "all 4 process slots are taken"));
	/* One that detaches makes room; its connection ends when it has. */
	client_message_init(&detach, CLIENT_DETACH);
	CU_ASSERT_EQUAL(raw_send(fds[0], &detach), 0);
	CU_ASSERT_TRUE(raw_is_closed(fds[0]));
	assert_attach_works();
	for (int i = 0; i < 3; i++)
		close(fds[i]);
	stop();
}

static void serves_on_when_descriptors_run_out(void)
{
	struct agent_fixture_options options = {.descriptors_max = 40};
	union client_message answer;
	int fds[64], count = 0;

	start(&options);
	for (; count < 64; count++)
		CU_ASSERT_TRUE_FATAL((fds[count] = raw_connect(&fixture)) >= 0);
	while (!agent_fixture_logged(&fixture, "event=accept_failed"))
		sched_yield(); /* the timeout of the test is the limit */
	CU_ASSERT_TRUE(agent_fixture_logged(&fixture, "Too many open files"));
	while (count > 0)
		close(fds[--count]);
	/* Until it has seen them close it has none for anybody, and says so. */
	do {
		if (count)
			close(fds[--count]);
		fds[count] = raw_attach(&fixture, "late", &answer);
		CU_ASSERT_TRUE_FATAL(fds[count++] >= 0);
	} while (answer.header.type == CLIENT_ERROR && answer.error.error == EMFILE);
	CU_ASSERT_EQUAL(answer.header.type, CLIENT_ATTACHED);
	close(fds[0]);
	stop();
}

/* What comes of one more process: its answer's type; 0: the agent cannot even
 * accept, and says so in its log. */
static uint16_t attach_or_starve(int *ret_fd)
{
	union client_message message = raw_attach_message("x");
	struct pollfd poll_fd = {.fd = raw_connect(&fixture), .events = POLLIN};
	int result;

	*ret_fd = poll_fd.fd;
	/* an agent that could only just refuse has closed already */
	result = raw_send(poll_fd.fd, &message);
	CU_ASSERT_TRUE_FATAL(result == 0 || result == -EPIPE);
	while (poll(&poll_fd, 1, 10) == 0)
		if (agent_fixture_logged(&fixture, "event=accept_failed"))
			return 0;
	CU_ASSERT_EQUAL_FATAL(raw_receive(poll_fd.fd, &message), 0);
	if (message.header.type == CLIENT_ERROR)
		CU_ASSERT_EQUAL(message.error.error, EMFILE);
	return message.header.type;
}

static void says_that_it_has_no_descriptor_for_a_process(void)
{
	struct agent_fixture_options options = {.descriptors_max = 40};
	int fds[24], count = 0;

	start(&options);
	while (count < 24 && attach_or_starve(&fds[count++]) == CLIENT_ATTACHED)
		;
	CU_ASSERT_TRUE(count < 20);
	while (count > 0)
		close(fds[--count]);
	stop();
}

static void drops_who_does_not_read(void)
{
	union client_message open = raw_open_message(1, SLU_SEND), answer;
	int fd, result = 0;

	start_plain();
	fd = raw_attach(&fixture, "deaf", &answer);
	open.open.key.cluster++; /* each is answered with an error */
	for (int i = 0; i < 1000000 && result == 0; i++)
		result = raw_send(fd, &open);
	CU_ASSERT_TRUE(result == -EPIPE || result == -ECONNRESET);
	CU_ASSERT_TRUE(agent_fixture_logged(&fixture, "does not read"));
	close(fd);
	stop();
}

static void lets_observers_read_and_not_write(void)
{
	union client_message message = raw_attach_message("watcher");
	char error[CLIENT_TEXT_BYTES];
	int fds[CLIENT_FDS_MAX];
	unsigned fd_count = 0;
	struct arena *arena;
	int fd;

	start_plain();
	message.header.type = CLIENT_OBSERVE;
	message.attach.cluster = 0; /* any */
	fd = raw_connect(&fixture);
	CU_ASSERT_EQUAL(raw_send(fd, &message), 0);
	while (client_recv(fd, CLIENT_SIDE_AGENT, &message, fds, &fd_count, error) == -EAGAIN)
		;
	CU_ASSERT_EQUAL_FATAL(message.header.type, CLIENT_ATTACHED);
	CU_ASSERT_EQUAL(message.attached.slot, SLOT_NONE);
	CU_ASSERT_EQUAL_FATAL(fd_count, 1);
	CU_ASSERT_TRUE(arena_map(fds[0], true, &arena) < 0);
	CU_ASSERT_EQUAL_FATAL(arena_map(fds[0], false, &arena), 0);
	CU_ASSERT_EQUAL(arena->generation, message.attached.generation);
	CU_ASSERT_EQUAL(atomic_load(&arena->header->counters[ARENA_PROCESSES_ATTACHED]), 1);
	arena_destroy(arena);
	close(fds[0]);
	close(fd);
	stop();
}

/* Without a PID to name, the end of the socket is the end of the process. */
static void serves_processes_it_cannot_name(void)
{
	struct agent_fixture_options options = {.own_pid_namespace = true};
	union client_message answer = {.header = {0}};
	int fds[23];

	if (geteuid() != 0) {
		fprintf(stderr, "skipped: needs root to make a PID namespace\n");
		return;
	}
	start(&options);
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 23; i++) {
			fds[i] = raw_attach(&fixture, "x", &answer);
			CU_ASSERT_EQUAL_FATAL(answer.header.type, CLIENT_ATTACHED);
		}
		for (int i = 0; i < 23; i++)
			close(fds[i]);
	}
	stop();
}

/* The whole answer to GET path, owned. */
static char *http_get(uint16_t port, const char *path)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
	                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	                              .sin_port = htons(port)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char *text = calloc(1, 65536);
	size_t used = 0;
	ssize_t size;

	CU_ASSERT_EQUAL_FATAL(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	dprintf(fd, "GET %s HTTP/1.0\r\n\r\n", path);
	while (used < 65535 && (size = read(fd, text + used, 65535 - used)) > 0)
		used += (size_t)size;
	close(fd);
	return text;
}

static void counts_for_prometheus(void)
{
	struct agent_fixture_options options = {
	        .agent = "allow_users = 0\nmetrics_listen = 127.0.0.1:0"};
	union client_message attach = raw_attach_message("x");
	char *text;

	start(&options);
	attach.attach.cluster++;
	CU_ASSERT_TRUE(raw_is_refused(&fixture, &attach, sizeof(attach.attach), ESTALE, ""));
	text = http_get(fixture.metrics_port, "/metrics");
	CU_ASSERT_PTR_NOT_NULL(strstr(text, "\nsluice_processes_attached 1\n"));
	CU_ASSERT_PTR_NOT_NULL(strstr(text, "\nsluice_clients_refused_total 1\n"));
	CU_ASSERT_PTR_NOT_NULL(strstr(text, "\n# TYPE sluice_frames gauge\n"));
	CU_ASSERT_PTR_NOT_NULL(strstr(text, "\nsluice_frames{state=\"home\"} 64\n"));
	free(text);
	stop();
}

int main(void)
{
	static const struct unit_test tests[] = {
	        UNIT_TEST(refuses_a_user_that_is_not_allowed),
	        UNIT_TEST(refuses_another_cluster_version_and_layout),
	        UNIT_TEST(refuses_malformed_packets),
	        UNIT_TEST(refuses_descriptors),
	        UNIT_TEST(refuses_messages_out_of_turn),
	        UNIT_TEST(does_not_let_one_close_what_another_opened),
	        UNIT_TEST(does_not_wait_for_who_says_nothing),
	        UNIT_TEST(serves_a_crowd),
	        UNIT_TEST(says_when_all_slots_are_taken),
	        UNIT_TEST(serves_on_when_descriptors_run_out),
	        UNIT_TEST(says_that_it_has_no_descriptor_for_a_process),
	        UNIT_TEST(drops_who_does_not_read),
	        UNIT_TEST(lets_observers_read_and_not_write),
	        UNIT_TEST(serves_processes_it_cannot_name),
	        UNIT_TEST(counts_for_prometheus),
	        {NULL, NULL},
	};

	return unit_run("agent_clients", tests);
}
