/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_refusals.c - hosts that must not talk to each other: both say why in their
 * logs, channels between them are reset when their time is up, and other hosts
 * are not disturbed. The host that is wrong is "b", to which "a" connects and
 * which connects to "c", so that each case is seen from both sides.
 */
#include "tests/net/credentials.h"
#include "tests/net/flow.h"
#include "tests/net/suite.h"
#include "transport/agent/peer_codec.h"
#include "transport/clock.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RENDEZVOUS_NS SLU_NS_PER_S

enum { A, B, C, HOSTS };

struct refusal {
	struct host_options options[HOSTS];
	/* what the log must have: of a, of b about a and about c, and of c */
	const char *a_says, *b_says_of_a, *b_says_of_c, *c_says;
};

/* a and c each have two processes that wait for one on b. a, which connects, is
 * told why it cannot. */
static void channels_to_b_end_in_time(const struct hosts *hosts)
{
	const struct flow_options options = {.rows = FLOW_ON,
	                                     .rendezvous_timeout_ns = RENDEZVOUS_NS};
	struct flow *flows = flows_begin();
	uint64_t until_ns = clock_now_ns() + RENDEZVOUS_NS + 3 * SLU_NS_PER_S;

	flow_start_end(&flows[0], hosts, A, B, &options, SLU_SEND);
	flow_start_end(&flows[1], hosts, B, A, &options, SLU_RECV);
	flow_start_end(&flows[2], hosts, C, B, &options, SLU_SEND);
	flow_start_end(&flows[3], hosts, B, C, &options, SLU_RECV);
	actor_check_told(&flows[0].sender, until_ns, -ETIMEDOUT, "not connected to node b (");
	actor_check_told(&flows[1].receiver, until_ns, -ETIMEDOUT, "not connected to node b (");
	actor_check_told(&flows[2].sender, until_ns, -ETIMEDOUT, "not connected to node b");
	actor_check_told(&flows[3].receiver, until_ns, -ETIMEDOUT, "not connected to node b");
	flows_end(flows);
}

static void refusal_run(const struct refusal *refusal)
{
	struct flow *flows = flows_begin();
	struct hosts hosts;
	bool up = hosts_begin(&hosts, HOSTS, false);

	for (unsigned host = 0; up && host < HOSTS; host++)
		up = host_start(&hosts, host, &refusal->options[host]) == 0;
	CU_ASSERT_TRUE(up);
	if (up) {
		flow_start(&flows[0], &hosts, A, C, &(struct flow_options){.rows = FLOW_ON});
		CU_ASSERT_TRUE(flow_moves(&flows[0], 1));
		channels_to_b_end_in_time(&hosts);
		CU_ASSERT_TRUE(host_logs(&hosts, A, refusal->a_says));
		CU_ASSERT_TRUE(host_logs(&hosts, B, refusal->b_says_of_a));
		CU_ASSERT_TRUE(host_logs(&hosts, B, refusal->b_says_of_c));
		CU_ASSERT_TRUE(host_logs(&hosts, C, refusal->c_says));
		CU_ASSERT_FALSE(agent_fixture_logged(&hosts.agents[B], "peer_up"));
		CU_ASSERT_TRUE(flow_moves(&flows[0], 1));
		flow_enough(&flows[0]);
		flow_check_whole(&flows[0]);
	}
	hosts_end(&hosts);
	flows_end(flows);
}

static void a_host_with_another_key_is_refused(void)
{
	struct credentials credentials;
	char right[512], wrong[512];

	credentials_begin(&credentials);
	credentials_psk(&credentials, 0, right, sizeof(right));
	credentials_psk(&credentials, 1, wrong, sizeof(wrong));
	refusal_run(&(struct refusal){
	        .options = {{.auth = right}, {.auth = wrong}, {.auth = right}},
	        .a_says = "peer=b address=10.77.0.2:7400 reason=\"TLS: sslv3 alert illegal "
	                  "parameter; auth, psk_identity and the key in psk_file must be the same "
	                  "on both sides",
	        .b_says_of_a = "binder does not verify; auth, psk_identity and the key in psk_file",
	        .b_says_of_c = "peer=c address=10.77.0.3:7400 reason=\"TLS: sslv3 alert illegal "
	                       "parameter; auth",
	        .c_says = "binder does not verify; auth, psk_identity and the key in psk_file",
	});
	credentials_end(&credentials);
}

/* With certificates for a and c, and another for b. */
static void refusal_run_cert(const char *b_node, unsigned b_authority, struct refusal *refusal)
{
	struct credentials credentials;
	char auth[HOSTS][512];

	credentials_begin(&credentials);
	credentials_cert(&credentials, "a", 0, auth[A], sizeof(auth[A]));
	credentials_cert(&credentials, b_node, b_authority, auth[B], sizeof(auth[B]));
	credentials_cert(&credentials, "c", 0, auth[C], sizeof(auth[C]));
	for (unsigned host = 0; host < HOSTS; host++)
		refusal->options[host].auth = auth[host];
	refusal_run(refusal);
	credentials_end(&credentials);
}

static void a_host_of_another_authority_is_refused(void)
{
	struct refusal refusal = {
	        .a_says = "peer=b address=10.77.0.2:7400 reason=\"TLS: certificate: ",
	        .b_says_of_a = "event=peer_refused address=10.77.0.1:",
	        .b_says_of_c = "peer=c address=10.77.0.3:7400 reason=\"TLS: certificate: ",
	        .c_says = "event=peer_refused address=10.77.0.2:",
	};

	refusal_run_cert("b", 1, &refusal);
}

static void a_host_with_the_certificate_of_another_is_refused(void)
{
	struct refusal refusal = {
	        .a_says = "the certificate is not that of node b",
	        .b_says_of_a = "the certificate is not that of node b",
	        .b_says_of_c = "refused by the other side: the certificate or address is not that "
	                       "of node b",
	        .c_says = "the certificate or address is not that of node b",
	};

	refusal_run_cert("c", 0, &refusal);
}

static void a_host_of_another_cluster_is_refused(void)
{
	refusal_run(&(struct refusal){
	        .options = {[B] = {.cluster_id = 43}},
	        .a_says = "refused by the other side: cluster id 42; node b belongs to cluster 43",
	        .b_says_of_a = "cluster id 42; node b belongs to cluster 43",
	        .b_says_of_c =
	                "refused by the other side: cluster id 43; node c belongs to cluster 42",
	        .c_says = "cluster id 43; node c belongs to cluster 42",
	});
}

static void a_host_with_other_frames_is_refused(void)
{
	refusal_run(&(struct refusal){
	        .options = {[B] = {.arena = "size = 16M\nframe_size = 32k\nmax_channels = 64\n"
	                                    "receive_frames = 64\nwindow_max = 32"}},
	        .a_says = "refused by the other side: [arena] frame_size is 16384 on node a, 32768 "
	                  "on node b",
	        .b_says_of_a = "frame_size is 16384 on node a, 32768 on node b",
	        .b_says_of_c = "refused by the other side: [arena] frame_size is 32768 on node b, "
	                       "16384 on node c",
	        .c_says = "frame_size is 32768 on node b, 16384 on node c",
	});
}

/* TLS meets none, and none meets TLS. */
static void a_host_that_authenticates_otherwise_is_refused(void)
{
	struct credentials credentials;
	char right[512];

	credentials_begin(&credentials);
	credentials_psk(&credentials, 0, right, sizeof(right));
	refusal_run(&(struct refusal){
	        .options = {{.auth = right}, {.auth = NULL}, {.auth = right}},
	        .a_says = "peer=b address=10.77.0.2:7400 reason=\"TLS: wrong version number; auth, "
	                  "psk",
	        .b_says_of_a = "not a message header",
	        .b_says_of_c = "event=peer_connect_failed peer=c",
	        .c_says = "TLS: wrong version number; auth, psk",
	});
	credentials_end(&credentials);
}

/* ---- another version of the protocol ------------------------------------------ */

/* A HELLO of a version that is not out yet, from that node. */
static void hello_send_v2(int fd, const char *node)
{
	struct peer_hello hello = {
	        .poller_count = 1,
	        .cluster_id = AGENT_FIXTURE_CLUSTER,
	        .generation = 1,
	        .frame_size_bytes = 16384,
	        .rail_count = 1,
	        .rails = {{.driver = "tcp", .address = "10.77.0.9:1"}},
	};
	uint8_t message[PEER_HEADER_BYTES + PEER_PAYLOAD_HELLO_MAX];
	uint8_t *payload = message + PEER_HEADER_BYTES;
	size_t size_bytes;

	snprintf(hello.node, sizeof(hello.node), "%s", node);
	size_bytes = peer_hello_encode(&hello, payload);
	payload[offsetof(struct peer_hello_wire, version)] = PEER_PROTOCOL_VERSION + 1;
	peer_header_encode(PEER_HELLO, (uint32_t)size_bytes, message);
	size_bytes += PEER_HEADER_BYTES;
	CU_ASSERT_EQUAL(send(fd, message, size_bytes, MSG_NOSIGNAL), (ssize_t)size_bytes);
}

/* The next message must be REFUSE for the version. */
static void refuse_expect(int fd)
{
	uint8_t header[PEER_HEADER_BYTES], payload[PEER_PAYLOAD_HELLO_MAX];
	char error[PEER_TEXT_MAX] = "";
	struct peer_refuse refuse = {0};
	uint32_t size_bytes = 0;
	uint16_t type = 0;

	CU_ASSERT_EQUAL(recv(fd, header, sizeof(header), MSG_WAITALL), (ssize_t)sizeof(header));
	peer_header_decode(header, sizeof(header), sizeof(payload), &type, &size_bytes, error);
	CU_ASSERT_EQUAL(type, PEER_REFUSE);
	CU_ASSERT_EQUAL(recv(fd, payload, size_bytes, MSG_WAITALL), (ssize_t)size_bytes);
	CU_ASSERT_EQUAL(peer_refuse_decode(payload, size_bytes, &refuse, error), 0);
	CU_ASSERT_EQUAL(refuse.code, PEER_REFUSE_VERSION);
	CU_ASSERT_PTR_NOT_NULL(strstr(refuse.text, "version"));
}

/* The middle one of three hosts, b, is played by the test. */
static void a_host_of_another_version_is_refused(void)
{
	struct flow *flows = flows_begin();
	struct hosts hosts;
	uint8_t hello[16];
	int listen_fd = -1, from_a, to_c;

	if (hosts_begin(&hosts, HOSTS, false))
		listen_fd = network_listen(&hosts.network, B, HOSTS_CONTROL_PORT);
	CU_ASSERT_TRUE(listen_fd >= 0);
	CU_ASSERT_EQUAL(host_start(&hosts, A, &(struct host_options){0}), 0);
	CU_ASSERT_EQUAL(host_start(&hosts, C, &(struct host_options){0}), 0);
	flow_start(&flows[0], &hosts, A, C, &(struct flow_options){.rows = FLOW_ON});
	from_a = network_accept(listen_fd);
	to_c = network_connect(&hosts.network, B, C, HOSTS_CONTROL_PORT);
	CU_ASSERT_EQUAL(recv(from_a, hello, sizeof(hello), MSG_WAITALL), (ssize_t)sizeof(hello));
	hello_send_v2(from_a, "b");
	hello_send_v2(to_c, "b");
	refuse_expect(to_c);
	CU_ASSERT_TRUE(host_logs(&hosts, A, "version 2"));
	CU_ASSERT_TRUE(host_logs(&hosts, C, "version 2"));
	CU_ASSERT_TRUE(flow_moves(&flows[0], 1));
	flow_enough(&flows[0]);
	flow_check_whole(&flows[0]);
	close(from_a);
	close(to_c);
	close(listen_fd);
	hosts_end(&hosts);
	flows_end(flows);
}

/* ---- no authentication -------------------------------------------------------- */

static void an_agent_without_authentication_serves_only_loopback(void)
{
	struct hosts hosts;

	CU_ASSERT_TRUE_FATAL(hosts_begin(&hosts, 2, false));
	CU_ASSERT_EQUAL(host_start(&hosts, A, &(struct host_options){.auth = "auth = none"}), 1);
	CU_ASSERT_TRUE(
	        host_logs(&hosts, A, "auth = none and listen = 10.77.0.1, which is not loopback"));
	agent_fixture_end(&hosts.agents[A]);
	CU_ASSERT_EQUAL(
	        host_start(&hosts, A,
	                   &(struct host_options){.auth = "auth = none\nauth_none_anywhere = yes"}),
	        0);
	hosts_end(&hosts);
}

int main(void)
{
	static const struct unit_test tests[] = {
	        UNIT_TEST(a_host_with_another_key_is_refused),
	        UNIT_TEST(a_host_of_another_authority_is_refused),
	        UNIT_TEST(a_host_with_the_certificate_of_another_is_refused),
	        UNIT_TEST(a_host_of_another_cluster_is_refused),
	        UNIT_TEST(a_host_with_other_frames_is_refused),
	        UNIT_TEST(a_host_that_authenticates_otherwise_is_refused),
	        UNIT_TEST(a_host_of_another_version_is_refused),
	        UNIT_TEST(an_agent_without_authentication_serves_only_loopback),
	        {NULL, NULL},
	};

	return suite_run("net refusals", tests);
}
