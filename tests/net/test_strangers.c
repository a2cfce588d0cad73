/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_strangers.c - someone else on the network reaches the ports of two agents:
 * bytes that are nothing, connections that say nothing, a session's hello that
 * was overheard, and one that was made up. Transfers are not disturbed.
 *
 *   NET_SEED  sends the same bytes again
 */
#include "drivers/random.h"
#include "drivers/tcp/tcp_wire.h"
#include "tests/net/credentials.h"
#include "tests/net/flow.h"
#include "tests/net/suite.h"
#include "transport/clock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { A, B, STRANGER };

#define VISITS      100 /* connections with random bytes, per port */
#define SILENT      40  /* that say nothing: more than an agent takes at once */
#define HELLO_BYTES (sizeof(struct tcp_wire_header) + sizeof(struct tcp_wire_hello))
#define LISTEN_S    10

struct stage {
	struct credentials credentials;
	struct hosts hosts;
	struct flow *flows;
	struct slu_random random;
	uint64_t seed;
	uint8_t hello[HELLO_BYTES]; /* of a's first session with b */
	int silent_fds[2 * SILENT];
	unsigned silent_count;
};

static const unsigned ports[] = {HOSTS_CONTROL_PORT, HOSTS_DATA_PORT};

/* Find the hello in what arrives at b. */
static bool hello_overhear(struct stage *stage, int packet_fd)
{
	uint64_t until_ns = clock_now_ns() + LISTEN_S * SLU_NS_PER_S;
	struct pollfd ready = {.fd = packet_fd, .events = POLLIN};
	uint8_t packet[2048];

	while (clock_now_ns() < until_ns && poll(&ready, 1, 1000) >= 0) {
		ssize_t size = recv(packet_fd, packet, sizeof(packet), MSG_DONTWAIT);
		uint8_t *magic = size > 0 ? memmem(packet, (size_t)size, TCP_WIRE_MAGIC,
		                                   TCP_WIRE_MAGIC_BYTES)
		                          : NULL;

		if (!magic || magic - packet < (ptrdiff_t)sizeof(struct tcp_wire_header))
			continue;
		memcpy(stage->hello, magic - sizeof(struct tcp_wire_header), HELLO_BYTES);
		return true;
	}
	return false;
}

static bool stage_begin(struct stage *stage)
{
	const char *seed_text = getenv("NET_SEED");
	char auth[512];
	struct host_options options = {
	        .auth = auth,
	        .data_port = HOSTS_DATA_PORT,
	        .agent = "peer_timeout = 5s\nkeepalive = 200ms",
	};
	int packet_fd;
	bool heard;

	memset(stage, 0, sizeof(*stage));
	stage->seed = seed_text ? strtoull(seed_text, NULL, 0) : clock_now_ns();
	stage->random.state = stage->seed;
	stage->flows = flows_begin();
	credentials_begin(&stage->credentials);
	credentials_psk(&stage->credentials, 0, auth, sizeof(auth));
	if (!hosts_begin(&stage->hosts, 3, false))
		return false;
	packet_fd =
	        network_socket(&stage->hosts.network, B, AF_PACKET, SOCK_DGRAM, htons(ETH_P_IP));
	if (host_start(&stage->hosts, B, &options) != 0 ||
	    host_start(&stage->hosts, A, &options) != 0)
		return false;
	heard = hello_overhear(stage, packet_fd);
	close(packet_fd);
	return heard;
}

static void stage_end(struct stage *stage)
{
	for (unsigned i = 0; i < stage->silent_count; i++)
		close(stage->silent_fds[i]);
	hosts_end(&stage->hosts);
	flows_end(stage->flows);
	credentials_end(&stage->credentials);
}

static int visit(const struct stage *stage, unsigned port)
{
	int fd = network_connect(&stage->hosts.network, STRANGER, B, port);

	CU_ASSERT_TRUE(fd >= 0);
	return fd;
}

static void random_bytes(struct stage *stage)
{
	uint8_t bytes[512];

	for (unsigned i = 0; i < 2 * VISITS; i++) {
		int fd = visit(stage, ports[i % 2]);
		size_t size = 1 + (size_t)slu_random_upto(&stage->random, sizeof(bytes) - 1);

		for (size_t k = 0; k < size; k++)
			bytes[k] = (uint8_t)slu_random_upto(&stage->random, 255);
		/* begin as what is expected would */
		if (i % 4 < 2)
			memcpy(bytes, stage->hello, size < 8 ? size : 8);
		send(fd, bytes, size, MSG_NOSIGNAL);
		close(fd);
	}
}

/* Shown a hello that is not this connection's, b closes it at once. */
static void hello_is_turned_away(struct stage *stage, const uint8_t *hello)
{
	int fd = visit(stage, HOSTS_DATA_PORT);
	uint8_t answer[HELLO_BYTES];

	CU_ASSERT_EQUAL(send(fd, hello, HELLO_BYTES, MSG_NOSIGNAL), HELLO_BYTES);
	errno = 0;
	CU_ASSERT_TRUE(recv(fd, answer, sizeof(answer), 0) == 0 || errno == ECONNRESET);
	close(fd);
}

static void hellos(struct stage *stage)
{
	uint8_t made_up[HELLO_BYTES];
	uint8_t *secret = made_up + HELLO_BYTES - 32;

	for (unsigned i = 0; i < 10; i++) {
		memcpy(made_up, stage->hello, HELLO_BYTES);
		for (unsigned k = 0; k < 32; k++)
			secret[k] = (uint8_t)slu_random_upto(&stage->random, 255);
		hello_is_turned_away(stage, stage->hello);
		hello_is_turned_away(stage, made_up);
	}
	CU_ASSERT_TRUE(host_logs(&stage->hosts, B,
	                         "session_refused reason=\"a secret that was not granted\""));
}

/* Connections that stay, and say nothing, or half of something. */
static void silence(struct stage *stage)
{
	while (stage->silent_count < 2 * SILENT) {
		unsigned i = stage->silent_count;
		int fd = visit(stage, ports[i % 2]);

		if (i % 4 == 1)
			send(fd, stage->hello, HELLO_BYTES / 2, MSG_NOSIGNAL);
		stage->silent_fds[stage->silent_count++] = fd;
	}
}

static void flows_move(struct stage *stage)
{
	for (unsigned i = 0; i < 2; i++)
		CU_ASSERT_TRUE(flow_moves(&stage->flows[i], 100));
}

static void strangers_disturb_nobody(void)
{
	const struct flow_options on = {.rows = FLOW_ON}, some = {.rows = 1000};
	unsigned failures = CU_get_number_of_failures();
	struct stage stage;
	bool up = stage_begin(&stage);

	CU_ASSERT_TRUE(up);
	if (up) {
		flow_start(&stage.flows[0], &stage.hosts, A, B, &on);
		flow_start(&stage.flows[1], &stage.hosts, B, A, &on);
		flows_move(&stage);
		random_bytes(&stage);
		hellos(&stage);
		flows_move(&stage);
		silence(&stage);
		flows_move(&stage);
		flow_start(&stage.flows[2], &stage.hosts, A, B, &some);
		flow_check_whole(&stage.flows[2]);
		for (unsigned i = 0; i < 2; i++)
			flow_enough(&stage.flows[i]);
		for (unsigned i = 0; i < 2; i++)
			flow_check_whole(&stage.flows[i]);
		for (unsigned host = A; host <= B; host++) {
			CU_ASSERT_FALSE(agent_fixture_logged(&stage.hosts.agents[host], "peer_d"));
			CU_ASSERT_FALSE(
			        agent_fixture_logged(&stage.hosts.agents[host], "session_lost"));
		}
	}
	if (CU_get_number_of_failures() != failures)
		fprintf(stderr, "NET_SEED=%llu sends the same bytes\n",
		        (unsigned long long)stage.seed);
	stage_end(&stage);
}

/* The honest wait, at most until the silent have had their time. */
static void strangers_who_say_nothing_keep_nobody_out(void)
{
	struct stage stage;
	bool up = stage_begin(&stage);

	CU_ASSERT_TRUE(up);
	if (up) {
		agent_fixture_kill(&stage.hosts.agents[A]);
		silence(&stage);
		CU_ASSERT_EQUAL(agent_fixture_restart(&stage.hosts.agents[A]), 0);
		/* what is opened before would end with what b knew of a */
		CU_ASSERT_TRUE(host_logs(&stage.hosts, B, "peer_dead peer=a"));
		flow_start(&stage.flows[0], &stage.hosts, A, B,
		           &(struct flow_options){.rows = 1000});
		flow_check_whole(&stage.flows[0]);
	}
	stage_end(&stage);
}

int main(void)
{
	static const struct unit_test tests[] = {
	        UNIT_TEST(strangers_disturb_nobody),
	        UNIT_TEST(strangers_who_say_nothing_keep_nobody_out),
	        {NULL, NULL},
	};

	return suite_run("net strangers", tests);
}
