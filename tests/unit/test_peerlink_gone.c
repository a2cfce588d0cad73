/* SPDX-License-Identifier: Apache-2.0 */
/* test_peerlink_gone.c - an agent whose address refuses connections is known to be
 * gone at once, on both sides of the connection, and nobody else is. */
#include "tests/unit/peerlink_rig.h"

#include "transport/agent/peerlink_gone.h"

static struct rig_node alpha, bravo;

/* ---- the rule ------------------------------------------------------------- */

static void three_refused_rounds_over_half_a_second_are_needed(void)
{
	struct gone gone;

	gone_begin(&gone);
	CU_ASSERT_FALSE(gone_attempt(&gone, true, true, 1000));
	CU_ASSERT_FALSE(gone_attempt(&gone, true, true, 1000 + GONE_NS_MIN));
	CU_ASSERT_TRUE(gone_attempt(&gone, true, true, 1000 + GONE_NS_MIN));
	gone_begin(&gone);
	for (uint64_t at_ns = 1000; at_ns < 1000 + GONE_NS_MIN; at_ns += GONE_NS_MIN / 10)
		CU_ASSERT_FALSE(gone_attempt(&gone, true, true, at_ns));
	CU_ASSERT_TRUE(gone_attempt(&gone, true, true, 1000 + GONE_NS_MIN));
}

static void a_round_is_over_when_all_addresses_were_tried(void)
{
	struct gone gone;

	gone_begin(&gone);
	for (uint64_t round = 0; round < 3; round++) {
		CU_ASSERT_FALSE(gone_attempt(&gone, true, false, round * GONE_NS_MIN));
		CU_ASSERT_FALSE(gone_attempt(&gone, true, false, round * GONE_NS_MIN));
		CU_ASSERT_EQUAL(gone_attempt(&gone, true, true, round * GONE_NS_MIN), round == 2);
	}
}

static void one_address_that_does_not_refuse_spoils_the_round_and_those_before(void)
{
	struct gone gone;
	uint64_t at_ns = 0;

	gone_begin(&gone);
	for (int spoilt = 0; spoilt < 3; spoilt++) {
		for (int round = 0; round < 2; round++) {
			gone_attempt(&gone, true, false, at_ns);
			gone_attempt(&gone, true, false, at_ns);
			CU_ASSERT_FALSE(gone_attempt(&gone, true, true, at_ns));
			at_ns += GONE_NS_MIN;
		}
		for (int address = 0; address < 3; address++)
			CU_ASSERT_FALSE(
			        gone_attempt(&gone, address != spoilt, address == 2, at_ns));
		at_ns += GONE_NS_MIN;
	}
}

/* ---- two agents ----------------------------------------------------------- */

/* What a node that is not started yet will listen on. */
static void port_choose(struct rig_node *node)
{
	char port[8];

	rig_node_start(node, 1);
	strcpy(port, rig_port(node));
	rig_node_stop(node);
	strcpy(node->config.control.listen.port, port);
}

/* Both are up and know whether the other listens; each has the other's address. */
static void pair_up(void)
{
	struct peerlink_stats stats;

	rig_node_init(&alpha, "alpha");
	rig_node_init(&bravo, "bravo");
	port_choose(&alpha);
	port_choose(&bravo);
	rig_node_knows(&alpha, "bravo", "127.0.0.1", bravo.config.control.listen.port);
	rig_node_knows(&bravo, "alpha", "127.0.0.1", alpha.config.control.listen.port);
	rig_node_start(&alpha, 100);
	rig_node_start(&bravo, 200);
	rig_advance(PEERLINK_BACKOFF_NS_MAX); /* alpha may have been first */
	RIG_UNTIL(alpha.ups == 1 && bravo.ups == 1);
	/* bravo has seen by now that its connection is taken, or sees it in this round */
	RIG_UNTIL((peerlink_stats(alpha.link, &stats), stats.accepted == 1));
	rig_process();
}

/* Nothing came of attempts 50, 150 and 350 ms after the end of the connection. */
static void refusals_are_awaited(struct rig_node *survivor)
{
	for (uint64_t pause_ns = PEERLINK_BACKOFF_NS_MIN; pause_ns <= 4 * PEERLINK_BACKOFF_NS_MIN;
	     pause_ns *= 2) {
		rig_advance(pause_ns);
		rig_process();
		rig_process();
		CU_ASSERT_EQUAL(survivor->deaths, 0);
	}
}

static void assert_gone(struct rig_node *survivor, const char *reason)
{
	struct peerlink_peer peer;

	RIG_UNTIL(survivor->downs == 1);
	refusals_are_awaited(survivor);
	rig_advance(8 * PEERLINK_BACKOFF_NS_MIN);
	RIG_UNTIL(survivor->deaths == 1);
	CU_ASSERT_STRING_EQUAL(survivor->reason, reason);
	peerlink_peer_get(survivor->link, 0, &peer);
	CU_ASSERT_FALSE(peer.known);
	rig_advance(20 * SLU_NS_PER_S);
	rig_process();
	CU_ASSERT_EQUAL(survivor->deaths, 1);
}

static void the_side_that_connects_knows_that_the_other_is_gone(void)
{
	pair_up();
	rig_node_stop(&bravo);
	assert_gone(&alpha, "agent on bravo is gone: connection refused");
	rig_node_stop(&alpha);
}

static void the_side_that_listens_knows_that_the_other_is_gone(void)
{
	pair_up();
	rig_node_stop(&alpha);
	assert_gone(&bravo, "agent on alpha is gone: connection refused");
	CU_ASSERT(peerlink_deadline(bravo.link) > rig_now_ns); /* it does not spin */
	rig_node_stop(&bravo);
}

/* The agent that is probed neither counts nor keeps what closes without a word. */
static void looking_whether_an_agent_listens_leaves_no_trace_there(void)
{
	struct peerlink_stats stats;

	pair_up();
	RIG_UNTIL((peerlink_stats(alpha.link, &stats), stats.half_open == 0));
	CU_ASSERT_EQUAL(stats.refused, 0);
	CU_ASSERT_EQUAL(stats.accepted, 1);
	/* once: not again while it is up */
	for (int second = 0; second < 20; second++) {
		struct peerlink_peer peer;
		uint64_t sent_ns;

		rig_advance(SLU_NS_PER_S);
		sent_ns = rig_now_ns;
		RIG_UNTIL((peerlink_peer_get(alpha.link, 0, &peer), peer.heard_ns == sent_ns));
		RIG_UNTIL((peerlink_peer_get(bravo.link, 0, &peer), peer.heard_ns == sent_ns));
	}
	peerlink_stats(alpha.link, &stats);
	CU_ASSERT_EQUAL(stats.accepted, 1);
	CU_ASSERT_EQUAL(alpha.deaths + bravo.deaths + alpha.downs + bravo.downs, 0);
	rig_pair_stop(&alpha, &bravo);
}

/* An agent that only connects need not listen where the configuration says. */
static void an_address_that_never_answered_proves_nothing(void)
{
	rig_pair_init(&alpha, &bravo);
	rig_pair_start(&alpha, &bravo);
	RIG_UNTIL(alpha.ups == 1 && bravo.ups == 1);
	rig_process();
	rig_node_stop(&alpha);
	RIG_UNTIL(bravo.downs == 1);
	for (int i = 0; i < 49; i++) {
		rig_advance(100 * SLU_NS_PER_MS);
		rig_process();
	}
	CU_ASSERT_EQUAL(bravo.deaths, 0);
	rig_advance(100 * SLU_NS_PER_MS);
	rig_process();
	CU_ASSERT_EQUAL(bravo.deaths, 1);
	CU_ASSERT_PTR_NOT_NULL(strstr(bravo.reason, "host alpha not heard from for 5000 ms"));
	rig_node_stop(&bravo);
}

static void an_agent_that_restarts_meanwhile_is_known_for_another(void)
{
	pair_up();
	rig_node_stop(&bravo);
	RIG_UNTIL(alpha.downs == 1);
	refusals_are_awaited(&alpha);
	rig_node_start(&bravo, 201);
	rig_advance(8 * PEERLINK_BACKOFF_NS_MIN);
	RIG_UNTIL(alpha.ups == 2);
	CU_ASSERT_EQUAL(alpha.deaths, 1);
	CU_ASSERT_STRING_EQUAL(alpha.reason, "agent on bravo restarted");
	rig_pair_stop(&alpha, &bravo);
}

static int listen_at(const char *port)
{
	struct sockaddr_in address = {
	        .sin_family = AF_INET,
	        .sin_port = htons((uint16_t)atoi(port)),
	        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) ||
	    bind(fd, (struct sockaddr *)&address, sizeof(address)) || listen(fd, 4))
		abort();
	return fd;
}

/* Somebody takes the fourth connection: counting starts anew after it. */
static void a_connection_that_is_taken_ends_the_suspicion(struct rig_node *dead,
                                                          struct rig_node *survivor)
{
	int listen_fd, fd;

	pair_up();
	rig_node_stop(dead);
	RIG_UNTIL(survivor->downs == 1);
	refusals_are_awaited(survivor);
	listen_fd = listen_at(dead->config.control.listen.port);
	rig_advance(8 * PEERLINK_BACKOFF_NS_MIN);
	rig_process();
	CU_ASSERT_TRUE(rig_wait(listen_fd));
	fd = accept(listen_fd, NULL, NULL);
	CU_ASSERT_TRUE(fd >= 0);
	rig_process(); /* it is seen to be taken, */
	close(fd);
	close(listen_fd);
	rig_process(); /* and to have ended */
	for (int rounds = 0; rounds < 3; rounds++) {
		CU_ASSERT_EQUAL(survivor->deaths, 0);
		rig_advance(PEERLINK_BACKOFF_NS_MAX);
		rig_process();
		rig_process();
	}
	RIG_UNTIL(survivor->deaths == 1);
	CU_ASSERT_PTR_NOT_NULL(strstr(survivor->reason, "is gone: connection refused"));
	rig_node_stop(survivor);
}

static void whoever_takes_a_connection_ends_the_suspicion(void)
{
	a_connection_that_is_taken_ends_the_suspicion(&bravo, &alpha);
	a_connection_that_is_taken_ends_the_suspicion(&alpha, &bravo);
}

/* localhost: two addresses where there is IPv6. Lookups take real time. */
static void a_name_with_two_addresses_is_gone_when_both_refuse(void)
{
	rig_node_init(&alpha, "alpha");
	rig_node_init(&bravo, "bravo");
	rig_node_knows(&bravo, "alpha", "127.0.0.1", "1");
	rig_node_start(&bravo, 200);
	rig_node_knows(&alpha, "bravo", "localhost", rig_port(&bravo));
	alpha.config.agent.peer_timeout_ns = bravo.config.agent.peer_timeout_ns =
	        1000 * SLU_NS_PER_S;
	rig_node_start(&alpha, 100);
	RIG_UNTIL(alpha.ups == 1 && bravo.ups == 1); /* no pause before the second address */
	rig_node_stop(&bravo);
	RIG_UNTIL(alpha.downs == 1);
	for (int i = 0; i < 2000 && !alpha.deaths; i++) {
		rig_advance(10 * SLU_NS_PER_MS);
		rig_process();
		poll(&(struct pollfd){peerlink_fd(alpha.link), POLLIN, 0}, 1, 5);
	}
	CU_ASSERT_EQUAL(alpha.deaths, 1);
	CU_ASSERT_STRING_EQUAL(alpha.reason, "agent on bravo is gone: connection refused");
	rig_node_stop(&alpha);
}

int main(void)
{
	static const struct unit_test tests[] = {
	        UNIT_TEST(three_refused_rounds_over_half_a_second_are_needed),
	        UNIT_TEST(a_round_is_over_when_all_addresses_were_tried),
	        UNIT_TEST(one_address_that_does_not_refuse_spoils_the_round_and_those_before),
	        UNIT_TEST(the_side_that_connects_knows_that_the_other_is_gone),
	        UNIT_TEST(the_side_that_listens_knows_that_the_other_is_gone),
	        UNIT_TEST(looking_whether_an_agent_listens_leaves_no_trace_there),
	        UNIT_TEST(an_address_that_never_answered_proves_nothing),
	        UNIT_TEST(an_agent_that_restarts_meanwhile_is_known_for_another),
	        UNIT_TEST(whoever_takes_a_connection_ends_the_suspicion),
	        UNIT_TEST(a_name_with_two_addresses_is_gone_when_both_refuse),
	        {NULL, NULL},
	};

	return unit_run("peerlink gone", tests);
}
