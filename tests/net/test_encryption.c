/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_encryption.c - what someone on the network learns of rows, and what he can do
 * to them, where agents encrypt and where they do not; and channels that go over no
 * link that is not encrypted.
 */
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

enum { A, B, HOSTS };

#define ROWS       3000
#define PROXY_PORT 7402u

static const char encrypt[] = "name = tcp\nencrypt = yes";

/* ---- someone who listens --------------------------------------------------- */

struct capture {
	int fd;
	uint64_t bytes; /* in packets seen */
	bool rows_seen;
};

/* The rows of flow.h are words that count up: nothing else on this network does so
 * for eight words, at whatever byte they begin. */
static bool has_rows(const uint8_t *packet, size_t size)
{
	for (size_t pos = 0; pos + 64 <= size; pos++) {
		uint64_t words[8];
		int i = 1;

		memcpy(words, packet + pos, sizeof(words));
		while (i < 8 && words[i] == words[0] + (uint64_t)i)
			i++;
		if (i == 8)
			return true;
	}
	return false;
}

static void capture_begin(struct capture *capture, const struct hosts *hosts)
{
	*capture = (struct capture){
	        .fd = network_socket(&hosts->network, A, AF_PACKET, SOCK_RAW, htons(ETH_P_ALL)),
	};
	CU_ASSERT_FATAL(capture->fd >= 0);
}

/* Until both ends of the flow have ended. */
static void capture_flow(struct capture *capture, const struct flow *flow)
{
	static uint8_t packet[128 * 1024];
	struct pollfd readable = {.fd = capture->fd, .events = POLLIN};

	for (;;) {
		ssize_t size = recv(capture->fd, packet, sizeof(packet), MSG_DONTWAIT);

		if (size > 0) {
			capture->bytes += (uint64_t)size;
			capture->rows_seen |= has_rows(packet, (size_t)size);
		} else if (atomic_load(&flow->sender.ended_ns) &&
		           atomic_load(&flow->receiver.ended_ns)) {
			return;
		} else {
			poll(&readable, 1, 10);
		}
	}
}

/* Rows go from a to b and back; whether they were seen on the way. */
static void rows_are_seen(struct hosts *hosts, bool seen)
{
	const struct flow_options options = {.rows = ROWS};
	struct flow *flows = flows_begin();
	struct capture capture;

	capture_begin(&capture, hosts);
	for (unsigned way = 0; way < 2; way++) {
		uint64_t before = capture.bytes;

		capture.rows_seen = false;
		flow_start(&flows[way], hosts, way, !way, &options);
		capture_flow(&capture, &flows[way]);
		flow_check_whole(&flows[way]);
		CU_ASSERT_EQUAL(capture.rows_seen, seen);
		/* The kernel may drop what is captured too late, but not most of it. */
		CU_ASSERT_TRUE(capture.bytes - before > ROWS * 100);
	}
	close(capture.fd);
	flows_end(flows);
}

static void the_network_sees_rows_where_nobody_wants_them_encrypted(void)
{
	struct credentials credentials;
	struct hosts hosts;
	char auth[512];

	credentials_begin(&credentials);
	credentials_psk(&credentials, 0, auth, sizeof(auth));
	if (hosts_start(&hosts, HOSTS, false, &(struct host_options){.auth = auth})) {
		rows_are_seen(&hosts, true);
		CU_ASSERT_TRUE(host_logs(&hosts, A, "encrypted=no"));
		CU_ASSERT_TRUE(host_logs(&hosts, B, "encrypted=no"));
	} else {
		CU_FAIL("hosts");
	}
	hosts_end(&hosts);
	credentials_end(&credentials);
}

/* Each side alone, and both; with several pollers, sessions and check sums; with
 * certificates. */
static void the_network_sees_nothing_where_either_side_wants_that(void)
{
	static const char *const wanted = "name = tcp\nencrypt = yes\nsessions = 2\ncrc32c = yes";
	struct credentials credentials;
	char auth[HOSTS][512];

	credentials_begin(&credentials);
	for (unsigned host = 0; host < HOSTS; host++)
		credentials_cert(&credentials, host_name(host), 0, auth[host], sizeof(auth[host]));
	for (unsigned wants = 1; wants < 4; wants++) {
		struct hosts hosts;
		bool up = hosts_begin(&hosts, HOSTS, wants == 3);

		for (unsigned host = 0; up && host < HOSTS; host++)
			up = host_start(&hosts, host,
			                &(struct host_options){
			                        .auth = auth[host],
			                        .agent = wants == 3 ? "pollers = 2" : NULL,
			                        .driver = wants & 1u << host ? wanted : NULL,
			                }) == 0;
		CU_ASSERT_TRUE(up);
		if (up) {
			rows_are_seen(&hosts, false);
			CU_ASSERT_TRUE(host_logs(&hosts, A, "encrypted=yes"));
			CU_ASSERT_TRUE(host_logs(&hosts, B, "encrypted=yes"));
		}
		hosts_end(&hosts);
	}
	credentials_end(&credentials);
}

/* ---- someone who alters ---------------------------------------------------- */

#define PROXY_LINKS_MAX 16 /* at once */
/* A bit of a byte in so many is turned over. */
#define PROXY_ALTER_BYTES (2 << 20)

/* One way through the proxy: what was read and is not yet written. */
struct proxy_way {
	int from, to;
	size_t begin, end;
	uint8_t bytes[16 * 1024];
};

struct proxy {
	const struct network *network;
	int listen_fd;
	struct proxy_way *ways; /* two of a link; from is -1: not in use */
	uint64_t passed_bytes, altered_count;
};

static void proxy_begin(struct proxy *proxy, const struct hosts *hosts)
{
	*proxy = (struct proxy){
	        .network = &hosts->network,
	        .listen_fd = network_listen(&hosts->network, B, PROXY_PORT),
	        .ways = calloc(2 * PROXY_LINKS_MAX + 1, sizeof(struct proxy_way)),
	};
	CU_ASSERT_FATAL(proxy->listen_fd >= 0 && proxy->ways != NULL);
	for (int i = 0; i <= 2 * PROXY_LINKS_MAX; i++)
		proxy->ways[i].from = -1;
}

static void link_end(struct proxy_way *ways)
{
	if (ways[0].from >= 0) {
		close(ways[0].from);
		close(ways[1].from);
	}
	ways[0].from = ways[1].from = -1;
}

static void proxy_end(struct proxy *proxy)
{
	for (int i = 0; i < 2 * PROXY_LINKS_MAX; i += 2)
		link_end(&proxy->ways[i]);
	free(proxy->ways);
	close(proxy->listen_fd);
}

static void proxy_accept(struct proxy *proxy)
{
	struct proxy_way *ways = proxy->ways;
	int near = accept4(proxy->listen_fd, NULL, NULL, SOCK_CLOEXEC);
	int far = network_connect(proxy->network, B, B, HOSTS_DATA_PORT);

	CU_ASSERT_FATAL(near >= 0 && far >= 0);
	while (ways->from >= 0)
		ways += 2;
	CU_ASSERT_FATAL(ways != proxy->ways + 2 * PROXY_LINKS_MAX);
	memset(ways, 0, 2 * sizeof(*ways));
	ways[0].from = ways[1].to = near;
	ways[1].from = ways[0].to = far;
}

/* false: this link is over. */
static bool way_pass(struct proxy *proxy, struct proxy_way *way)
{
	ssize_t count;

	if (way->begin == way->end) {
		count = recv(way->from, way->bytes, sizeof(way->bytes), MSG_DONTWAIT);
		if (count <= 0)
			return count < 0 && errno == EAGAIN;
		way->begin = 0;
		way->end = (size_t)count;
		if ((proxy->passed_bytes + way->end) / PROXY_ALTER_BYTES !=
		    proxy->passed_bytes / PROXY_ALTER_BYTES) {
			way->bytes[way->end / 2] ^= 0x10;
			proxy->altered_count++;
		}
		proxy->passed_bytes += way->end;
	}
	count = send(way->to, way->bytes + way->begin, way->end - way->begin,
	             MSG_DONTWAIT | MSG_NOSIGNAL);
	if (count > 0)
		way->begin += (size_t)count;
	return count > 0 || errno == EAGAIN;
}

static void proxy_turn(struct proxy *proxy)
{
	struct pollfd fds[1 + 2 * PROXY_LINKS_MAX] = {{.fd = proxy->listen_fd, .events = POLLIN}};

	for (int i = 0; i < 2 * PROXY_LINKS_MAX; i++) {
		const struct proxy_way *way = &proxy->ways[i];
		bool full = way->begin < way->end;

		fds[1 + i].fd = way->from < 0 ? -1 : full ? way->to : way->from;
		fds[1 + i].events = full ? POLLOUT : POLLIN;
	}
	poll(fds, 1 + 2 * PROXY_LINKS_MAX, 10);
	for (int i = 0; i < 2 * PROXY_LINKS_MAX; i++)
		if (proxy->ways[i].from >= 0 && fds[1 + i].revents &&
		    !way_pass(proxy, &proxy->ways[i]))
			link_end(&proxy->ways[i & ~1]);
	if (fds[0].revents)
		proxy_accept(proxy);
}

static void whoever_alters_data_on_its_way_costs_sessions_and_not_a_row(void)
{
	const struct flow_options options = {.rows = 2 * ROWS, .encrypted = true};
	struct credentials credentials;
	struct flow *flows = flows_begin();
	struct proxy proxy;
	struct hosts hosts;
	char auth[512], driver[128];
	bool up;

	credentials_begin(&credentials);
	credentials_psk(&credentials, 0, auth, sizeof(auth));
	up = hosts_begin(&hosts, HOSTS, false);
	snprintf(driver, sizeof(driver), "%s\nadvertise = %s:%u", encrypt,
	         up ? network_address(&hosts.network, B) : "", PROXY_PORT);
	up = up &&
	     host_start(&hosts, A, &(struct host_options){.auth = auth, .driver = encrypt}) == 0 &&
	     host_start(&hosts, B,
	                &(struct host_options){
	                        .auth = auth, .driver = driver, .data_port = HOSTS_DATA_PORT}) == 0;
	CU_ASSERT_TRUE(up);
	if (up) {
		proxy_begin(&proxy, &hosts);
		flow_start(&flows[0], &hosts, A, B, &options);
		flow_start(&flows[1], &hosts, B, A, &options);
		while (!atomic_load(&flows[0].receiver.ended_ns) ||
		       !atomic_load(&flows[1].receiver.ended_ns) ||
		       !atomic_load(&flows[0].sender.ended_ns) ||
		       !atomic_load(&flows[1].sender.ended_ns))
			proxy_turn(&proxy);
		flow_check_whole(&flows[0]);
		flow_check_whole(&flows[1]);
		CU_ASSERT_TRUE(proxy.altered_count > 3);
		CU_ASSERT_TRUE(agent_fixture_logged(&hosts.agents[A], "a record is not what the "
		                                                      "peer has encrypted") ||
		               agent_fixture_logged(&hosts.agents[B], "a record is not what the "
		                                                      "peer has encrypted"));
		proxy_end(&proxy);
	}
	hosts_end(&hosts);
	flows_end(flows);
	credentials_end(&credentials);
}

static void sessions_that_are_lost_and_made_again_stay_encrypted(void)
{
	struct credentials credentials;
	struct hosts hosts;
	char auth[512];

	credentials_begin(&credentials);
	credentials_psk(&credentials, 0, auth, sizeof(auth));
	if (hosts_start(&hosts, HOSTS, false,
	                &(struct host_options){
	                        .auth = auth,
	                        .agent = "peer_timeout = 20s",
	                        .driver = "name = fault:tcp\nencrypt = yes\nsessions = 2\n"
	                                  "fault_session_loss_per_million = 3000\n"
	                                  "fault_connect_refuse_per_million = 100000",
	                })) {
		rows_are_seen(&hosts, false);
		CU_ASSERT_TRUE(host_logs(&hosts, A, "session_lost"));
	} else {
		CU_FAIL("hosts");
	}
	hosts_end(&hosts);
	credentials_end(&credentials);
}

/* ---- channels that are to be encrypted ------------------------------------- */

static const struct flow_options private_rows = {.rows = ROWS, .encrypted = true};

static void a_channel_that_is_to_be_encrypted_opens_where_links_are(void)
{
	struct credentials credentials;
	struct flow *flows = flows_begin();
	struct hosts hosts;
	char auth[512];

	credentials_begin(&credentials);
	credentials_psk(&credentials, 0, auth, sizeof(auth));
	CU_ASSERT_TRUE(hosts_begin(&hosts, HOSTS, false));
	CU_ASSERT_EQUAL(host_start(&hosts, A, &(struct host_options){.auth = auth}), 0);
	/* One end is there before its host knows how the link will be. */
	flow_start(&flows[0], &hosts, A, A, &private_rows);
	flow_check_whole(&flows[0]);
	flow_start_end(&flows[1], &hosts, A, B, &private_rows, SLU_SEND);
	CU_ASSERT_EQUAL(
	        host_start(&hosts, B, &(struct host_options){.auth = auth, .driver = encrypt}), 0);
	flow_start_end(&flows[1], &hosts, A, B, &private_rows, SLU_RECV);
	flow_check_whole(&flows[1]);
	flow_start(&flows[2], &hosts, B, A, &private_rows);
	flow_check_whole(&flows[2]);
	hosts_end(&hosts);
	flows_end(flows);
	credentials_end(&credentials);
}

static void a_channel_that_is_to_be_encrypted_opens_nowhere_else(void)
{
	const struct flow_options plain = {.rows = ROWS};
	struct credentials credentials;
	struct flow *flows = flows_begin();
	struct hosts hosts;
	char auth[512];
	uint64_t until_ns;

	credentials_begin(&credentials);
	credentials_psk(&credentials, 0, auth, sizeof(auth));
	CU_ASSERT_TRUE(hosts_begin(&hosts, HOSTS, false));
	CU_ASSERT_EQUAL(host_start(&hosts, A, &(struct host_options){.auth = auth}), 0);
	flow_start_end(&flows[0], &hosts, A, B, &private_rows, SLU_SEND);
	CU_ASSERT_EQUAL(host_start(&hosts, B, &(struct host_options){.auth = auth}), 0);
	until_ns = clock_now_ns() + 10 * SLU_NS_PER_S;
	actor_check_told(&flows[0].sender, until_ns, -ENOKEY,
	                 "what goes from a to node b is not encrypted ([driver] encrypt)");
	CU_ASSERT_TRUE(host_logs(&hosts, B, "peer_up"));
	flow_start_end(&flows[1], &hosts, B, A, &private_rows, SLU_SEND);
	actor_check_told(&flows[1].sender, until_ns, -ENOKEY,
	                 "what goes from b to node a is not encrypted ([driver] encrypt)");
	flow_start(&flows[2], &hosts, A, B, &plain);
	flow_check_whole(&flows[2]);
	hosts_end(&hosts);
	flows_end(flows);
	credentials_end(&credentials);
}

int main(void)
{
	static const struct unit_test tests[] = {
	        UNIT_TEST(the_network_sees_rows_where_nobody_wants_them_encrypted),
	        UNIT_TEST(the_network_sees_nothing_where_either_side_wants_that),
	        UNIT_TEST(whoever_alters_data_on_its_way_costs_sessions_and_not_a_row),
	        UNIT_TEST(sessions_that_are_lost_and_made_again_stay_encrypted),
	        UNIT_TEST(a_channel_that_is_to_be_encrypted_opens_where_links_are),
	        UNIT_TEST(a_channel_that_is_to_be_encrypted_opens_nowhere_else),
	        {NULL, NULL},
	};

	return suite_run("net encryption", tests);
}
