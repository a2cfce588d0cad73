/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_limits.c - what a host does not have: a port, because it is taken, or
 * descriptors for another process. Whoever asks is told, the others run on.
 */
#include "tests/net/flow.h"
#include "tests/net/suite.h"
#include "transport/clock.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { A, B };

#define DESCRIPTORS   40u
#define ENDPOINTS_MAX 20u

static void port_taken(unsigned port, const char *says)
{
	const struct host_options options = {.data_port = HOSTS_DATA_PORT};
	struct hosts hosts;
	int fd;

	CU_ASSERT_TRUE_FATAL(hosts_begin(&hosts, 2, false));
	fd = network_listen(&hosts.network, A, port);
	CU_ASSERT_TRUE(fd >= 0);
	CU_ASSERT_EQUAL(host_start(&hosts, A, &options), 1);
	CU_ASSERT_TRUE(host_logs(&hosts, A, says));
	close(fd);
	CU_ASSERT_EQUAL(agent_fixture_restart(&hosts.agents[A]), 0);
	hosts_end(&hosts);
}

static void an_agent_whose_control_port_is_taken_says_so_and_ends(void)
{
	port_taken(HOSTS_CONTROL_PORT, "cannot listen on 10.77.0.1:7400: Address already in use");
}

static void an_agent_whose_data_port_is_taken_says_so_and_ends(void)
{
	port_taken(HOSTS_DATA_PORT, "cannot listen on \"10.77.0.1:7401\": Address already in use");
}

/* Attach until the agent has no descriptor left, and says so: to the process, or
 * in its log if it cannot even take its connection. Returns how many attached. */
static unsigned endpoints_attach(const struct hosts *hosts, slu_endpoint **endpoints)
{
	struct slu_attach_options options = {
	        .socket_path = agent_fixture_socket(&hosts->agents[B]),
	        .cluster = ACTOR_CLUSTER,
	        .timeout_ns = SLU_NS_PER_S,
	};
	unsigned count = 0;
	int result;

	while ((result = slu_endpoint_attach(&options, &endpoints[count])) == 0)
		if (++count == ENDPOINTS_MAX)
			break;
	if (result == -ETIMEDOUT) {
		CU_ASSERT_TRUE(host_logs(hosts, B, "event=accept_failed"));
		CU_ASSERT_TRUE(host_logs(hosts, B, "error=\"Too many open files\""));
	} else {
		CU_ASSERT_EQUAL(result, -EMFILE);
		CU_ASSERT_PTR_NOT_NULL(strstr(slu_attach_error(), "Too many open files"));
	}
	return count;
}

/* However many are left for the one that is one too many. */
static void descriptors_run_out(unsigned descriptors)
{
	const struct flow_options on = {.rows = FLOW_ON};
	struct flow *flows = flows_begin();
	slu_endpoint *endpoints[ENDPOINTS_MAX];
	unsigned count;
	struct hosts hosts;

	CU_ASSERT_TRUE_FATAL(hosts_begin(&hosts, 2, false));
	CU_ASSERT_EQUAL(host_start(&hosts, A, &(struct host_options){0}), 0);
	CU_ASSERT_EQUAL(
	        host_start(&hosts, B, &(struct host_options){.descriptors_max = descriptors}), 0);
	flow_start(&flows[0], &hosts, A, B, &on);
	flow_start(&flows[1], &hosts, B, A, &on);
	CU_ASSERT_TRUE(flow_moves(&flows[0], 100) && flow_moves(&flows[1], 100));
	count = endpoints_attach(&hosts, endpoints);
	CU_ASSERT_TRUE(flow_moves(&flows[0], 100) && flow_moves(&flows[1], 100));
	while (count)
		slu_endpoint_detach(endpoints[--count]);
	flow_start(&flows[2], &hosts, A, B, &(struct flow_options){.rows = 1000});
	flow_check_whole(&flows[2]);
	for (unsigned i = 0; i < 2; i++) {
		flow_enough(&flows[i]);
		flow_check_whole(&flows[i]);
	}
	hosts_end(&hosts);
	flows_end(flows);
}

static void a_process_for_which_no_descriptor_is_left_is_told(void)
{
	for (unsigned more = 0; more < 3; more++)
		descriptors_run_out(DESCRIPTORS + more);
}

int main(void)
{
	static const struct unit_test tests[] = {
	        UNIT_TEST(an_agent_whose_control_port_is_taken_says_so_and_ends),
	        UNIT_TEST(an_agent_whose_data_port_is_taken_says_so_and_ends),
	        UNIT_TEST(a_process_for_which_no_descriptor_is_left_is_told),
	        {NULL, NULL},
	};

	return suite_run("net limits", tests);
}
