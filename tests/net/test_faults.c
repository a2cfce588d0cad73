/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_faults.c - cables that are cut for a shorter or a longer time than
 * peer_timeout, receivers that do not read, agents that are killed: what is slow
 * is waited for, what is dead is reported in time - what is gone long before
 * peer_timeout - and all works again after.
 */
#include "tests/net/flow.h"
#include "tests/net/suite.h"
#include "transport/clock.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>

enum { A, B, C };

#define TIMEOUT_S     2
#define AGENT         "peer_timeout = 2s\nkeepalive = 200ms"
#define AGENT_PATIENT "peer_timeout = 5s\nkeepalive = 200ms"
#define AGENT_GONE    "peer_timeout = 60s\nkeepalive = 200ms\nlog_level = debug"
/* In which the processes have to know after a host died, see peer_timeout. */
#define TOLD_NS ((TIMEOUT_S + 3) * SLU_NS_PER_S)

static const struct flow_options on = {.rows = FLOW_ON};

/* For faults that are a duration. */
static void pass_ms(int duration_ms)
{
	uint64_t until_ns = clock_now_ns() + (uint64_t)duration_ms * SLU_NS_PER_MS;

	while (clock_now_ns() < until_ns)
		poll(NULL, 0, (int)((until_ns - clock_now_ns()) / SLU_NS_PER_MS) + 1);
}

static uint64_t moved(const struct flow *flow)
{
	return atomic_load(&flow->receiver.moved_rows);
}

/* Two flows between a and b, one each way. */
static void both_ways_start(struct flow *flows, const struct hosts *hosts)
{
	flow_start(&flows[0], hosts, A, B, &on);
	flow_start(&flows[1], hosts, B, A, &on);
	CU_ASSERT_TRUE(flow_moves(&flows[0], 100));
	CU_ASSERT_TRUE(flow_moves(&flows[1], 100));
}

static void both_ways_end(struct flow *flows)
{
	for (unsigned i = 0; i < 2; i++) {
		CU_ASSERT_TRUE(flow_moves(&flows[i], 100));
		flow_enough(&flows[i]);
	}
	for (unsigned i = 0; i < 2; i++)
		flow_check_whole(&flows[i]);
}

/* ---- cables --------------------------------------------------------------------- */

/* TCP tries again at growing intervals: what is cut for one time may need twice
 * that until it is found to be whole, which must be less than peer_timeout. */
static void short_cut(bool ipv6, enum network_cut how)
{
	struct flow *flows = flows_begin();
	struct hosts hosts;

	if (hosts_start(&hosts, 2, ipv6, &(struct host_options){.agent = AGENT_PATIENT})) {
		uint64_t moved_rows;

		both_ways_start(flows, &hosts);
		CU_ASSERT_EQUAL(network_cut(&hosts.network, B, how), 0);
		pass_ms(500); /* for what is in the buffers */
		moved_rows = moved(&flows[0]);
		pass_ms(1000);
		CU_ASSERT_EQUAL(moved(&flows[0]), moved_rows); /* it is cut indeed */
		CU_ASSERT_EQUAL(network_heal(&hosts.network, B, how), 0);
		both_ways_end(flows);
		CU_ASSERT_FALSE(agent_fixture_logged(&hosts.agents[A], "peer_dead"));
		CU_ASSERT_FALSE(agent_fixture_logged(&hosts.agents[B], "peer_dead"));
	} else {
		CU_FAIL("hosts");
	}
	hosts_end(&hosts);
	flows_end(flows);
}

static void transfers_go_on_after_a_link_was_down_for_a_moment(void)
{
	short_cut(false, NETWORK_CUT_LINK);
}

static void transfers_go_on_after_packets_were_lost_for_a_moment(void)
{
	short_cut(true, NETWORK_CUT_SILENT);
}

static void long_cut(bool ipv6, enum network_cut how)
{
	struct flow *flows = flows_begin();
	struct hosts hosts;

	if (hosts_start(&hosts, 3, ipv6, &(struct host_options){.agent = AGENT})) {
		uint64_t until_ns;

		both_ways_start(flows, &hosts);
		flow_start(&flows[2], &hosts, A, C, &on);
		CU_ASSERT_TRUE(flow_moves(&flows[2], 100));
		CU_ASSERT_EQUAL(network_cut(&hosts.network, B, how), 0);
		until_ns = clock_now_ns() + TOLD_NS;
		actor_check_told(&flows[0].sender, until_ns, 0, "host b");
		actor_check_told(&flows[0].receiver, until_ns, 0, "host a");
		actor_check_told(&flows[1].sender, until_ns, 0, "host a");
		actor_check_told(&flows[1].receiver, until_ns, 0, "host b");
		for (unsigned host = A; host <= C; host++)
			CU_ASSERT_FALSE(agent_fixture_logged(&hosts.agents[host], "is gone"));
		CU_ASSERT_TRUE(flow_moves(&flows[2], 100));
		CU_ASSERT_EQUAL(network_heal(&hosts.network, B, how), 0);
		both_ways_start(flows, &hosts);
		both_ways_end(flows);
		flow_enough(&flows[2]);
		flow_check_whole(&flows[2]);
	} else {
		CU_FAIL("hosts");
	}
	hosts_end(&hosts);
	flows_end(flows);
}

static void a_host_that_falls_silent_is_reported_and_comes_back(void)
{
	long_cut(false, NETWORK_CUT_SILENT);
}

static void a_host_without_link_is_reported_and_comes_back(void)
{
	long_cut(true, NETWORK_CUT_LINK);
}

/* ---- processes and agents --------------------------------------------------------- */

static void a_receiver_that_does_not_read_is_not_dead(void)
{
	struct flow *flows = flows_begin();
	struct hosts hosts;

	if (hosts_start(&hosts, 2, false, &(struct host_options){.agent = AGENT})) {
		uint64_t before_rows;

		both_ways_start(flows, &hosts);
		flow_start(&flows[2], &hosts, A, B, &on);
		CU_ASSERT_EQUAL(kill(flows[0].receiver.pid, SIGSTOP), 0);
		pass_ms(100);
		before_rows = moved(&flows[0]);
		pass_ms(3 * TIMEOUT_S * 1000);
		CU_ASSERT_EQUAL(moved(&flows[0]), before_rows); /* it does not read indeed */
		CU_ASSERT_EQUAL(kill(flows[0].receiver.pid, SIGCONT), 0);
		CU_ASSERT_TRUE(flow_moves(&flows[2], 100));
		both_ways_end(flows);
		flow_enough(&flows[2]);
		flow_check_whole(&flows[2]);
		CU_ASSERT_FALSE(agent_fixture_logged(&hosts.agents[A], "peer_d"));
		CU_ASSERT_FALSE(agent_fixture_logged(&hosts.agents[B], "peer_d"));
	} else {
		CU_FAIL("hosts");
	}
	hosts_end(&hosts);
	flows_end(flows);
}

/* told: what the ends on the other host are. restart_first: it is back at once. */
static void agent_killed(unsigned victim, bool ipv6, bool restart_first, const char *told)
{
	struct flow *flows = flows_begin();
	struct hosts hosts;

	if (hosts_start(&hosts, 2, ipv6, &(struct host_options){.agent = AGENT_GONE})) {
		struct flow *to = &flows[!victim], *from = &flows[victim];
		uint64_t until_ns;

		both_ways_start(flows, &hosts);
		/* b has seen that a listens */
		CU_ASSERT_TRUE(host_logs(&hosts, A, "event=peer_silent"));
		agent_fixture_kill(&hosts.agents[victim]);
		until_ns = clock_now_ns() + TOLD_NS;
		if (restart_first)
			CU_ASSERT_EQUAL(agent_fixture_restart(&hosts.agents[victim]), 0);
		actor_check_told(&to->receiver, until_ns, -ENOTCONN, "agent");
		actor_check_told(&from->sender, until_ns, -ENOTCONN, "agent");
		actor_check_told(&to->sender, until_ns, 0, told);
		actor_check_told(&from->receiver, until_ns, 0, told);
		if (!restart_first)
			CU_ASSERT_EQUAL(agent_fixture_restart(&hosts.agents[victim]), 0);
		both_ways_start(flows, &hosts);
		both_ways_end(flows);
	} else {
		CU_FAIL("hosts");
	}
	hosts_end(&hosts);
	flows_end(flows);
}

static void the_death_of_an_agent_is_reported_and_its_successor_works(void)
{
	agent_killed(B, false, false, "agent on b is gone: connection refused");
}

static void the_death_of_an_agent_that_connects_is_reported_as_well(void)
{
	agent_killed(A, true, false, "agent on a is gone: connection refused");
}

static void an_agent_that_restarts_at_once_is_known_for_another(void)
{
	/* "is gone", where the machine is too busy to start it in half a second */
	agent_killed(B, false, true, "agent on b ");
}

int main(void)
{
	static const struct unit_test tests[] = {
	        UNIT_TEST(transfers_go_on_after_a_link_was_down_for_a_moment),
	        UNIT_TEST(transfers_go_on_after_packets_were_lost_for_a_moment),
	        UNIT_TEST(a_host_that_falls_silent_is_reported_and_comes_back),
	        UNIT_TEST(a_host_without_link_is_reported_and_comes_back),
	        UNIT_TEST(a_receiver_that_does_not_read_is_not_dead),
	        UNIT_TEST(the_death_of_an_agent_is_reported_and_its_successor_works),
	        UNIT_TEST(the_death_of_an_agent_that_connects_is_reported_as_well),
	        UNIT_TEST(an_agent_that_restarts_at_once_is_known_for_another),
	        {NULL, NULL},
	};

	return suite_run("net faults", tests);
}
