/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_rows.c - rows between hosts, each received once, in order and unchanged:
 * over both families, with every way to authenticate, over several sessions and
 * pollers, with urgent channels, and over a driver that loses sessions, delays
 * and corrupts.
 *
 *   NET_SEED  replays the faults of a run (not its scheduling)
 */
#include "tests/net/credentials.h"
#include "tests/net/flow.h"
#include "tests/net/suite.h"
#include "transport/clock.h"

#include <stdlib.h>
#include <string.h>

#define ROWS UINT64_C(20000)

/* Between all pairs of hosts, both ways, at once. */
static void rows_move(const struct hosts *hosts, uint64_t rows)
{
	const struct flow_options options = {.rows = rows};
	struct flow *flows = flows_begin();
	unsigned count = 0;

	for (unsigned from = 0; from < hosts->network.hosts; from++)
		for (unsigned to = 0; to < hosts->network.hosts; to++)
			if (from != to)
				flow_start(&flows[count++], hosts, from, to, &options);
	for (unsigned i = 0; i < count; i++) {
		flow_check_whole(&flows[i]);
		CU_ASSERT_EQUAL(flows[i].receiver.moved_rows, rows);
	}
	flows_end(flows);
}

static unsigned log_count(const struct hosts *hosts, unsigned host, const char *text)
{
	char *log = agent_fixture_log(&hosts->agents[host]);
	unsigned count = 0;

	for (const char *at = log; (at = strstr(at, text)); at++)
		count++;
	free(log);
	return count;
}

static void rows_move_between_three_hosts_over_ipv4(void)
{
	struct hosts hosts;

	if (hosts_start(&hosts, 3, false, &(struct host_options){0})) {
		rows_move(&hosts, ROWS);
		CU_ASSERT_TRUE(host_logs(&hosts, 0, "address=10.77.0.2:7400"));
	} else {
		CU_FAIL("hosts");
	}
	hosts_end(&hosts);
}

static void rows_move_over_ipv6_with_a_shared_key(void)
{
	struct credentials credentials;
	struct hosts hosts;
	char auth[512];

	credentials_begin(&credentials);
	credentials_psk(&credentials, 0, auth, sizeof(auth));
	if (hosts_start(&hosts, 2, true, &(struct host_options){.auth = auth})) {
		rows_move(&hosts, ROWS);
		if (hosts.network.ipv6)
			CU_ASSERT_TRUE(host_logs(&hosts, 0, "address=[fd77::2]:7400"));
	} else {
		CU_FAIL("hosts");
	}
	hosts_end(&hosts);
	credentials_end(&credentials);
}

static void rows_move_with_certificates(void)
{
	struct credentials credentials;
	struct hosts hosts;
	bool up;

	credentials_begin(&credentials);
	up = hosts_begin(&hosts, 2, true);
	for (unsigned host = 0; up && host < 2; host++) {
		char auth[512];

		credentials_cert(&credentials, host_name(host), 0, auth, sizeof(auth));
		up = host_start(&hosts, host, &(struct host_options){.auth = auth}) == 0;
	}
	CU_ASSERT_TRUE(up);
	if (up)
		rows_move(&hosts, ROWS);
	hosts_end(&hosts);
	credentials_end(&credentials);
}

/* Hosts need not agree on the number of pollers, of sessions, or on check sums:
 * one that wants them gets them. */
static void rows_move_over_several_sessions_and_pollers_with_check_sums(void)
{
	const struct host_options many = {
	        .agent = "pollers = 2\nlog_level = debug",
	        .driver = "name = tcp\nsessions = 3\ncrc32c = yes",
	};
	const struct host_options few = {.agent = "log_level = debug"};
	struct hosts hosts;
	bool up = hosts_begin(&hosts, 3, false) && host_start(&hosts, 0, &many) == 0 &&
	          host_start(&hosts, 1, &many) == 0 && host_start(&hosts, 2, &few) == 0;

	CU_ASSERT_TRUE(up);
	if (up) {
		rows_move(&hosts, ROWS);
		/* one more than bulk sessions, for urgent channels, per poller */
		CU_ASSERT_EQUAL(log_count(&hosts, 0, "session_up peer=b"), 2 * (3 + 1));
	}
	hosts_end(&hosts);
}

/* All of the urgent channel moves while the bulk beside it has no end. */
static void urgent_rows_move_beside_bulk(void)
{
	const struct flow_options bulk = {.rows = FLOW_ON};
	const struct flow_options urgent = {.rows = 3000, .urgent = true};
	struct flow *flows = flows_begin();
	struct hosts hosts;

	if (hosts_start(&hosts, 2, false, &(struct host_options){0})) {
		for (unsigned i = 0; i < 3; i++)
			flow_start(&flows[i], &hosts, i % 2, !(i % 2), &bulk);
		CU_ASSERT_TRUE(flow_moves(&flows[0], 1000));
		flow_start(&flows[3], &hosts, 0, 1, &urgent);
		flow_start(&flows[4], &hosts, 1, 0, &urgent);
		flow_check_whole(&flows[3]);
		flow_check_whole(&flows[4]);
		for (unsigned i = 0; i < 3; i++) {
			CU_ASSERT_TRUE(flow_moves(&flows[i], 1));
			flow_enough(&flows[i]);
		}
		for (unsigned i = 0; i < 3; i++)
			flow_check_whole(&flows[i]);
	} else {
		CU_FAIL("hosts");
	}
	hosts_end(&hosts);
	flows_end(flows);
}

static void faults_of_the_driver_cost_no_row_and_double_none(void)
{
	const char *seed_text = getenv("NET_SEED");
	uint64_t seed = seed_text ? strtoull(seed_text, NULL, 0) : clock_now_ns();
	unsigned failures = CU_get_number_of_failures();
	struct hosts hosts;
	char driver[512];

	snprintf(driver, sizeof(driver),
	         "name = fault:tcp\nsessions = 3\ncrc32c = yes\nfault_seed = %llu\n"
	         "fault_session_loss_per_million = 500\nfault_corrupt_per_million = 4000\n"
	         "fault_again_per_million = 20000\nfault_connect_refuse_per_million = 100000\n"
	         "fault_delay_ns_max = 2000000\nfault_sent_late_ns_max = 2000000",
	         (unsigned long long)seed);
	if (hosts_start(&hosts, 2, false,
	                &(struct host_options){.driver = driver, .agent = "peer_timeout = 20s"})) {
		rows_move(&hosts, ROWS / 2);
		CU_ASSERT_TRUE(log_count(&hosts, 0, "with a wrong checksum") +
		                       log_count(&hosts, 1, "with a wrong checksum") >
		               0);
	} else {
		CU_FAIL("hosts");
	}
	if (CU_get_number_of_failures() != failures)
		fprintf(stderr, "NET_SEED=%llu makes the same faults\n", (unsigned long long)seed);
	hosts_end(&hosts);
}

int main(void)
{
	static const struct unit_test tests[] = {
	        UNIT_TEST(rows_move_between_three_hosts_over_ipv4),
	        UNIT_TEST(rows_move_over_ipv6_with_a_shared_key),
	        UNIT_TEST(rows_move_with_certificates),
	        UNIT_TEST(rows_move_over_several_sessions_and_pollers_with_check_sums),
	        UNIT_TEST(urgent_rows_move_beside_bulk),
	        UNIT_TEST(faults_of_the_driver_cost_no_row_and_double_none),
	        {NULL, NULL},
	};

	return suite_run("net rows", tests);
}
