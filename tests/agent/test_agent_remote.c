/* SPDX-License-Identifier: Apache-2.0 */
/* test_agent_remote.c - channels between two agents as conductors arrange them:
 * hosts that come later, stop, die and come back. */
#include "tests/agent/agent_fixture.h"
#include "tests/agent/byte_channel.h"
#include "tests/unit/unit.h"
#include "transport/clock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <sluice/sluice.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define AGENT_LINES "allow_users = 0\npeer_timeout = 2s\nkeepalive = 200ms\n"
/* By the time a test waits for this to pass it has failed. */
#define AGENT_PATIENT "allow_users = 0\npeer_timeout = 60s\nlog_level = debug\n"
#define GONE_NS       (10 * SLU_NS_PER_S) /* most of it for a busy machine */

static struct agent_fixture hosts[2]; /* a, b */
static char controls[2][96], peers[2][96];
static slu_endpoint *ends[2];
static uint64_t query;

/* Neither runs yet. */
static void prepare(void)
{
	unsigned ports[2] = {agent_fixture_free_port(), agent_fixture_free_port()};

	for (int i = 0; i < 2; i++) {
		snprintf(controls[i], sizeof(controls[i]), "listen = 127.0.0.1:%u\nauth = none\n",
		         ports[i]);
		snprintf(peers[i], sizeof(peers[i]), "[peer %s]\naddress = 127.0.0.1:%u\n",
		         i == 0 ? "b" : "a", ports[!i]);
		ends[i] = NULL;
	}
	memset(hosts, 0, sizeof(hosts));
	query++;
}

static void attach(int host)
{
	struct slu_attach_options options = {.socket_path = hosts[host].socket_path,
	                                     .cluster = AGENT_FIXTURE_CLUSTER,
	                                     .name = host == 0 ? "on a" : "on b"};

	CU_ASSERT_EQUAL_FATAL(slu_endpoint_attach(&options, &ends[host]), 0);
}

static void start(int host, const char *agent)
{
	struct agent_fixture_options options = {.node = host == 0 ? "a" : "b",
	                                        .agent = agent,
	                                        .control = controls[host],
	                                        .peers = peers[host]};

	CU_ASSERT_EQUAL_FATAL(agent_fixture_start(&hosts[host], &options), 0);
	attach(host);
}

static void start_both(void)
{
	prepare();
	start(0, AGENT_LINES);
	start(1, AGENT_LINES);
}

static void stop(void)
{
	for (int i = 0; i < 2; i++) {
		slu_endpoint_detach(ends[i]);
		if (hosts[i].pid)
			CU_ASSERT_EQUAL(agent_fixture_stop(&hosts[i]), 0);
		agent_fixture_end(&hosts[i]);
	}
}

/* Whether the agent's log has the text in time. */
static bool log_has(const struct agent_fixture *agent, const char *text)
{
	uint64_t until_ns = clock_now_ns() + 10 * SLU_NS_PER_S;

	while (!agent_fixture_logged(agent, text)) {
		if (clock_now_ns() > until_ns)
			return false;
		poll(NULL, 0, 5);
	}
	return true;
}

/* A connection to where the agent listens for others. */
static int control_connect(const struct agent_fixture *agent)
{
	struct sockaddr_in address = {
	        .sin_family = AF_INET,
	        .sin_port = htons((uint16_t)atoi(strrchr(agent->control, ':') + 1)),
	        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	CU_ASSERT_EQUAL_FATAL(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

/* One end on that host; the other is on the other. */
static slu_channel *open_end(int host, enum slu_direction direction, uint64_t timeout_ns)
{
	struct slu_open_options options = {
	        .key = {.cluster = AGENT_FIXTURE_CLUSTER, .query = query, .motion = 1},
	        .direction = direction,
	        .peer = host == 0 ? "b" : "a",
	        .rendezvous_timeout_ns = timeout_ns,
	};
	slu_channel *channel = NULL;

	CU_ASSERT_EQUAL_FATAL(slu_channel_open(ends[host], &options, &channel), 0);
	return channel;
}

/* One byte from host to host and its end. */
static void assert_moves(int from)
{
	slu_channel *tx, *rx;

	query++;
	tx = open_end(from, SLU_SEND, 0);
	rx = open_end(!from, SLU_RECV, 0);
	CU_ASSERT_EQUAL(send_byte(tx, 7), 0);
	CU_ASSERT_EQUAL(slu_channel_eos(tx), 0);
	CU_ASSERT_EQUAL(receive_byte(rx), 7);
	CU_ASSERT_EQUAL(receive_byte(rx), 1000 + SLU_EOS);
	slu_channel_close(rx);
	slu_channel_close(tx);
}

static void delivers_to_a_host_that_starts_after_the_sender_has_left(void)
{
	slu_channel *tx, *rx;

	prepare();
	start(0, AGENT_LINES);
	tx = open_end(0, SLU_SEND, 0);
	CU_ASSERT_EQUAL(send_byte(tx, 5), 0);
	CU_ASSERT_EQUAL(slu_channel_eos(tx), 0);
	slu_channel_close(tx);
	start(1, AGENT_LINES);
	rx = open_end(1, SLU_RECV, 0);
	CU_ASSERT_EQUAL(receive_byte(rx), 5);
	CU_ASSERT_EQUAL(receive_byte(rx), 1000 + SLU_EOS);
	stop();
}

static void stops_a_sender_on_a_host_that_starts_after_the_receiver_has_left(void)
{
	slu_channel *tx;

	prepare();
	start(0, AGENT_LINES);
	slu_channel_close(open_end(0, SLU_RECV, 0));
	start(1, AGENT_LINES);
	tx = open_end(1, SLU_SEND, 0);
	CU_ASSERT_EQUAL(sender_result(tx), SLU_STOPPED);
	stop();
}

static void moves_what_waited_for_its_host_on_both_sides(void)
{
	slu_channel *tx, *rx;

	prepare();
	start(1, AGENT_LINES);
	rx = open_end(1, SLU_RECV, 0);
	start(0, AGENT_LINES);
	tx = open_end(0, SLU_SEND, 0);
	CU_ASSERT_EQUAL(send_byte(tx, 5), 0);
	CU_ASSERT_EQUAL(receive_byte(rx), 5);
	stop();
}

static void gives_up_on_a_host_that_does_not_start(void)
{
	slu_channel *rx, *tx;

	prepare();
	start(0, AGENT_LINES);
	rx = open_end(0, SLU_RECV, 50000000);
	CU_ASSERT_EQUAL(receive_byte(rx), -ETIMEDOUT);
	assert_reason(rx, "a is not connected to node b");
	query++;
	tx = open_end(0, SLU_SEND, 50000000);
	CU_ASSERT_EQUAL(sender_result(tx), -ETIMEDOUT);
	stop();
}

static void gives_up_on_an_end_that_does_not_come(void)
{
	slu_channel *rx;

	start_both();
	assert_moves(0);
	query++;
	rx = open_end(1, SLU_RECV, 50000000);
	CU_ASSERT_EQUAL(receive_byte(rx), -ETIMEDOUT);
	assert_reason(rx, "sender");
	stop();
}

static void refuses_a_second_end_of_the_same_kind(void)
{
	struct slu_open_options options = {
	        .key = {.cluster = AGENT_FIXTURE_CLUSTER}, .direction = SLU_SEND, .peer = "b"};
	slu_channel *channel;

	start_both();
	assert_moves(0);
	CU_ASSERT_EQUAL(slu_channel_open(ends[0], &options, &channel), 0);
	CU_ASSERT_EQUAL(slu_channel_open(ends[0], &options, &channel), -EEXIST);
	CU_ASSERT_PTR_NOT_NULL(strstr(slu_endpoint_error(ends[0]), "to node b"));
	stop();
}

static void tells_the_other_host_that_it_stops(void)
{
	slu_channel *tx, *rx;

	start_both();
	tx = open_end(0, SLU_SEND, 0);
	rx = open_end(1, SLU_RECV, 0);
	CU_ASSERT_EQUAL(send_byte(tx, 5), 0);
	CU_ASSERT_EQUAL(receive_byte(rx), 5);
	CU_ASSERT_EQUAL(agent_fixture_stop(&hosts[0]), 0);
	CU_ASSERT_EQUAL(receive_byte(rx), -ENOTCONN);
	assert_reason(rx, "the agent on a is stopping");
	CU_ASSERT_EQUAL(sender_result(tx), -ENOTCONN);
	stop();
}

static void serves_again_after_the_other_host_was_killed_and_restarted(void)
{
	slu_channel *tx, *rx;

	start_both();
	tx = open_end(0, SLU_SEND, 0);
	rx = open_end(1, SLU_RECV, 0);
	CU_ASSERT_EQUAL(send_byte(tx, 5), 0);
	CU_ASSERT_EQUAL(receive_byte(rx), 5);
	agent_fixture_kill(&hosts[0]);
	CU_ASSERT_TRUE(receive_byte(rx) < 0);
	assert_reason(rx, "a");
	CU_ASSERT_EQUAL(sender_result(tx), -ENOTCONN);
	slu_channel_close(rx);
	slu_endpoint_detach(ends[0]);
	CU_ASSERT_EQUAL_FATAL(agent_fixture_restart(&hosts[0]), 0);
	attach(0);
	assert_moves(0);
	assert_moves(1);
	stop();
}

/* b connects to nobody: whether a is there it sees by connections of its own. */
static void tells_at_once_that_the_agent_of_the_other_host_is_gone(int victim)
{
	uint64_t killed_ns;
	slu_channel *tx, *rx;

	prepare();
	start(0, AGENT_PATIENT);
	start(1, AGENT_PATIENT);
	tx = open_end(victim, SLU_SEND, 0);
	rx = open_end(!victim, SLU_RECV, 0);
	CU_ASSERT_EQUAL(send_byte(tx, 5), 0);
	CU_ASSERT_EQUAL(receive_byte(rx), 5);
	CU_ASSERT_TRUE(log_has(&hosts[0], "event=peer_silent"));
	agent_fixture_kill(&hosts[victim]);
	killed_ns = clock_now_ns();
	CU_ASSERT_EQUAL(receive_byte(rx), -EHOSTUNREACH);
	CU_ASSERT(clock_now_ns() - killed_ns < GONE_NS);
	assert_reason(rx, victim ? "agent on b is gone: connection refused"
	                         : "agent on a is gone: connection refused");
	CU_ASSERT_EQUAL(sender_result(tx), -ENOTCONN);
	stop();
}

static void tells_at_once_that_the_agent_it_connects_to_is_gone(void)
{
	tells_at_once_that_the_agent_of_the_other_host_is_gone(1);
}

static void tells_at_once_that_the_agent_that_connects_to_it_is_gone(void)
{
	tells_at_once_that_the_agent_of_the_other_host_is_gone(0);
}

static void uses_as_many_pollers_as_both_hosts_have(void)
{
	prepare();
	start(0, AGENT_LINES "pollers = 3\n");
	start(1, AGENT_LINES "pollers = 2\n");
	for (int i = 0; i < 20; i++)
		assert_moves(i % 2);
	stop();
}

static void refuses_a_host_with_another_driver(void)
{
	struct agent_fixture_options options = {.node = "b", .agent = AGENT_LINES};

	prepare();
	start(0, AGENT_LINES);
	options.control = controls[1];
	options.peers = peers[1];
	options.driver = "name = loop\n";
	/* loop is for one process: an agent with it cannot start, or is refused */
	if (agent_fixture_start(&hosts[1], &options) == 0) {
		slu_channel *rx = open_end(0, SLU_RECV, 500000000);

		CU_ASSERT_EQUAL(receive_byte(rx), -ETIMEDOUT);
		CU_ASSERT_TRUE(agent_fixture_logged(&hosts[0], "loop"));
	}
	stop();
}

/* As an agent does that is configured wrongly, but more often: for longer than the
 * second in which there is at most one line of any kind. */
static void says_once_why_it_refuses_who_comes_again_and_again(void)
{
	static const char greeting[] = "not an agent";
	uint64_t until_ns = clock_now_ns() + 3 * SLU_NS_PER_S / 2;
	unsigned count = 0;
	char *log;

	prepare();
	start(0, AGENT_LINES);
	while (clock_now_ns() < until_ns) {
		int fd = control_connect(&hosts[0]);
		char waste[1024];

		CU_ASSERT_EQUAL(send(fd, greeting, sizeof(greeting), MSG_NOSIGNAL),
		                sizeof(greeting));
		while (recv(fd, waste, sizeof(waste), 0) > 0)
			; /* why, and then the end */
		close(fd);
		poll(NULL, 0, 20);
	}
	log = agent_fixture_log(&hosts[0]);
	for (const char *at = log; (at = strstr(at, "event=peer_refused")); at++)
		count++;
	CU_ASSERT_EQUAL(count, 1);
	free(log);
	stop();
}

int main(void)
{
	static const struct unit_test tests[] = {
	        UNIT_TEST(delivers_to_a_host_that_starts_after_the_sender_has_left),
	        UNIT_TEST(stops_a_sender_on_a_host_that_starts_after_the_receiver_has_left),
	        UNIT_TEST(moves_what_waited_for_its_host_on_both_sides),
	        UNIT_TEST(gives_up_on_a_host_that_does_not_start),
	        UNIT_TEST(gives_up_on_an_end_that_does_not_come),
	        UNIT_TEST(refuses_a_second_end_of_the_same_kind),
	        UNIT_TEST(tells_the_other_host_that_it_stops),
	        UNIT_TEST(serves_again_after_the_other_host_was_killed_and_restarted),
	        UNIT_TEST(tells_at_once_that_the_agent_it_connects_to_is_gone),
	        UNIT_TEST(tells_at_once_that_the_agent_that_connects_to_it_is_gone),
	        UNIT_TEST(uses_as_many_pollers_as_both_hosts_have),
	        UNIT_TEST(refuses_a_host_with_another_driver),
	        UNIT_TEST(says_once_why_it_refuses_who_comes_again_and_again),
	        {NULL, NULL},
	};

	return unit_run("agent_remote", tests);
}
