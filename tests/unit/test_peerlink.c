/* SPDX-License-Identifier: Apache-2.0 */
/* test_peerlink.c - control connections between agents: coming up, being lost and
 * found, dying, and what happens to whoever does not keep to the protocol. */
#include "tests/unit/peerlink_rig.h"

#include <fcntl.h>
#include <sys/resource.h>

static struct rig_node alpha, bravo, charlie;

static void pair_up(void)
{
	rig_pair_init(&alpha, &bravo);
	rig_pair_start(&alpha, &bravo);
	RIG_UNTIL(alpha.ups == 1 && bravo.ups == 1);
}

static void two_agents_find_each_other_and_say_where_their_drivers_are(void)
{
	struct peerlink_peer peer;

	pair_up();
	CU_ASSERT_EQUAL(alpha.hello.generation, 200);
	CU_ASSERT_EQUAL(bravo.hello.generation, 100);
	CU_ASSERT_STRING_EQUAL(bravo.hello.node, "alpha");
	CU_ASSERT_EQUAL(bravo.hello.rail_count, 1);
	CU_ASSERT_STRING_EQUAL(bravo.hello.rails[0].driver, "tcp");
	CU_ASSERT_STRING_EQUAL(bravo.hello.rails[0].address, "127.0.0.1:9999");
	CU_ASSERT_EQUAL(alpha.resumes + bravo.resumes, 0);
	CU_ASSERT_TRUE(peerlink_connects(alpha.link, 0));
	CU_ASSERT_FALSE(peerlink_connects(bravo.link, 0));
	CU_ASSERT_EQUAL(peerlink_peer_find(alpha.link, "bravo"), 0);
	CU_ASSERT_EQUAL(peerlink_peer_find(alpha.link, "zulu"), -ENOENT);
	peerlink_peer_get(alpha.link, 0, &peer);
	CU_ASSERT_TRUE(peer.up && peer.known);
	CU_ASSERT_EQUAL(peer.generation, 200);
	rig_pair_stop(&alpha, &bravo);
}

static void three_agents_have_one_connection_per_pair(void)
{
	struct peerlink_stats stats;

	rig_pair_init(&alpha, &bravo);
	rig_node_init(&charlie, "charlie");
	rig_node_knows(&charlie, "alpha", "127.0.0.1", "1");
	rig_node_knows(&charlie, "bravo", "127.0.0.1", "1");
	rig_node_start(&charlie, 300);
	rig_node_knows(&bravo, "charlie", "127.0.0.1", rig_port(&charlie));
	rig_node_knows(&alpha, "charlie", "127.0.0.1", rig_port(&charlie));
	rig_pair_start(&alpha, &bravo);
	RIG_UNTIL(alpha.ups == 2 && bravo.ups == 2 && charlie.ups == 2);
	peerlink_stats(alpha.link, &stats);
	CU_ASSERT_EQUAL(stats.accepted, 0);
	peerlink_stats(charlie.link, &stats);
	CU_ASSERT_EQUAL(stats.accepted, 2);
	rig_pair_stop(&alpha, &bravo);
	rig_node_stop(&charlie);
}

static void messages_arrive_whole_in_both_directions(void)
{
	static uint8_t large[PEERLINK_MESSAGE_BYTES_MAX];

	pair_up();
	memset(large, 'x', sizeof(large));
	CU_ASSERT_EQUAL(peerlink_send(alpha.link, 0, large, sizeof(large)), 0);
	CU_ASSERT_EQUAL(peerlink_deadline(alpha.link), 0);
	CU_ASSERT_EQUAL(peerlink_send(alpha.link, 0, "tail", 4), 0);
	CU_ASSERT_EQUAL(peerlink_send(bravo.link, 0, "hi", 2), 0);
	RIG_UNTIL(bravo.messages == 2 && alpha.messages == 1);
	CU_ASSERT_EQUAL(bravo.message_bytes, 4);
	CU_ASSERT(memcmp(bravo.message, "tail", 4) == 0);
	CU_ASSERT(memcmp(alpha.message, "hi", 2) == 0);
	CU_ASSERT_EQUAL(peerlink_send(alpha.link, 0, large, 0), -EINVAL);
	CU_ASSERT_EQUAL(peerlink_send(alpha.link, 0, large, sizeof(large) + 1), -EINVAL);
	CU_ASSERT_EQUAL(peerlink_send(alpha.link, 1, "x", 1), -ENOTCONN);
	rig_pair_stop(&alpha, &bravo);
}

static void quiet_peers_ping_each_other_and_stay_up(void)
{
	struct peerlink_peer peer;

	pair_up();
	for (int second = 0; second < 20; second++) {
		uint64_t sent_ns;

		rig_advance(SLU_NS_PER_S);
		sent_ns = rig_now_ns;
		RIG_UNTIL((peerlink_peer_get(alpha.link, 0, &peer), peer.heard_ns == sent_ns));
		RIG_UNTIL((peerlink_peer_get(bravo.link, 0, &peer), peer.heard_ns == sent_ns));
	}
	CU_ASSERT_EQUAL(alpha.deaths + bravo.deaths + alpha.downs + bravo.downs, 0);
	rig_pair_stop(&alpha, &bravo);
}

static void a_peer_that_goes_silent_is_dead_after_peer_timeout(void)
{
	struct peer_hello hello = rig_stranger_hello();
	uint8_t payload[PEER_PAYLOAD_MAX];
	uint32_t size_bytes;
	int fd;

	rig_pair_init(&alpha, &bravo);
	rig_node_start(&bravo, 200);
	fd = rig_stranger(&bravo);
	rig_stranger_greet(fd, &hello);
	CU_ASSERT_EQUAL(rig_stranger_next(fd, payload, &size_bytes), PEER_HELLO);
	CU_ASSERT_EQUAL(bravo.ups, 1);
	CU_ASSERT(peerlink_deadline(bravo.link) <= rig_now_ns + 5 * SLU_NS_PER_S);
	rig_advance(5 * SLU_NS_PER_S - 1);
	rig_process();
	CU_ASSERT_EQUAL(bravo.deaths, 0);
	rig_advance(1);
	rig_process();
	CU_ASSERT_EQUAL(bravo.deaths, 1);
	CU_ASSERT_EQUAL(bravo.downs, 0);
	CU_ASSERT_STRING_EQUAL(bravo.reason, "host alpha not heard from for 5000 ms");
	CU_ASSERT_EQUAL(peerlink_send(bravo.link, 0, "x", 1), -ENOTCONN);
	close(fd);
	rig_node_stop(&bravo);
}

/* As after SIGSTOP and SIGCONT of this agent: the other's signs of life wait unread. */
static void what_waits_unread_counts_as_life_after_a_long_stop(void)
{
	struct peer_hello hello = rig_stranger_hello();
	uint8_t payload[PEER_PAYLOAD_MAX];
	uint32_t size_bytes;
	int fd;

	rig_pair_init(&alpha, &bravo);
	rig_node_start(&bravo, 200);
	fd = rig_stranger(&bravo);
	rig_stranger_greet(fd, &hello);
	CU_ASSERT_EQUAL(rig_stranger_next(fd, payload, &size_bytes), PEER_HELLO);
	rig_stranger_send(fd, PEER_PING, payload, peer_ping_encode(1, payload));
	CU_ASSERT(poll(&(struct pollfd){peerlink_fd(bravo.link), POLLIN, 0}, 1, RIG_PATIENCE_MS) ==
	          1);
	rig_advance(60 * SLU_NS_PER_S);
	rig_process();
	CU_ASSERT_EQUAL(bravo.deaths, 0);
	close(fd);
	rig_node_stop(&bravo);
}

static void a_lost_connection_comes_back_and_both_sides_resume(void)
{
	struct peer_hello hello = rig_stranger_hello();
	uint8_t payload[PEER_PAYLOAD_MAX];
	uint32_t size_bytes;
	int fd;

	rig_pair_init(&alpha, &bravo);
	rig_node_start(&bravo, 200);
	for (int i = 0; i < 3; i++) {
		hello.known_generation = i ? 200 : 0;
		fd = rig_stranger(&bravo);
		rig_stranger_greet(fd, &hello);
		CU_ASSERT_EQUAL(rig_stranger_next(fd, payload, &size_bytes), PEER_HELLO);
		close(fd);
		RIG_UNTIL(bravo.downs == i + 1);
		CU_ASSERT_EQUAL(peerlink_send(bravo.link, 0, "x", 1), -ENOTCONN);
		rig_advance(4 * SLU_NS_PER_S);
	}
	CU_ASSERT_EQUAL(bravo.ups, 3);
	CU_ASSERT_EQUAL(bravo.resumes, 2);
	CU_ASSERT_EQUAL(bravo.deaths, 0);
	rig_advance(SLU_NS_PER_S);
	rig_process();
	CU_ASSERT_EQUAL(bravo.deaths, 1);
	CU_ASSERT_PTR_NOT_NULL(
	        strstr(bravo.reason, "host alpha not heard from for 5000 ms; closed"));
	rig_node_stop(&bravo);
}

static void state_that_only_one_side_holds_is_not_resumed(void)
{
	struct peer_hello hello = rig_stranger_hello();
	uint8_t payload[PEER_PAYLOAD_MAX];
	struct peer_hello answer;
	uint32_t size_bytes;
	int fd;

	rig_pair_init(&alpha, &bravo);
	rig_node_start(&bravo, 200);
	fd = rig_stranger(&bravo);
	rig_stranger_greet(fd, &hello);
	CU_ASSERT_EQUAL(rig_stranger_next(fd, payload, &size_bytes), PEER_HELLO);
	CU_ASSERT_EQUAL(peer_hello_decode(payload, size_bytes, &answer, rig_error), 0);
	CU_ASSERT_EQUAL(answer.known_generation, 0);
	close(fd);
	RIG_UNTIL(bravo.downs == 1);

	fd = rig_stranger(&bravo); /* known_generation 0: it has declared bravo dead */
	rig_stranger_greet(fd, &hello);
	CU_ASSERT_EQUAL(rig_stranger_next(fd, payload, &size_bytes), PEER_HELLO);
	CU_ASSERT_EQUAL(peer_hello_decode(payload, size_bytes, &answer, rig_error), 0);
	CU_ASSERT_EQUAL(answer.known_generation, 100);
	CU_ASSERT_EQUAL(bravo.deaths, 1);
	CU_ASSERT_EQUAL(bravo.ups, 2);
	CU_ASSERT_EQUAL(bravo.resumes, 0);
	CU_ASSERT_STRING_EQUAL(bravo.reason, "agent on alpha gave this host up");
	close(fd);
	rig_node_stop(&bravo);
}

static void a_restarted_agent_is_dead_first_and_then_up(void)
{
	char port[8];

	pair_up();
	strcpy(port, rig_port(&bravo));
	rig_node_stop(&bravo);
	RIG_UNTIL(alpha.downs == 1);
	CU_ASSERT_EQUAL(alpha.deaths, 0);
	strcpy(bravo.config.control.listen.port, port);
	rig_node_start(&bravo, 201);
	rig_advance(PEERLINK_BACKOFF_NS_MAX);
	RIG_UNTIL(alpha.ups == 2);
	CU_ASSERT_EQUAL(alpha.deaths, 1);
	CU_ASSERT_EQUAL(alpha.resumes, 0);
	CU_ASSERT_EQUAL(alpha.hello.generation, 201);
	CU_ASSERT_STRING_EQUAL(alpha.reason, "agent on bravo restarted");
	rig_pair_stop(&alpha, &bravo);
}

static void the_connecting_side_tries_again_with_growing_pauses(void)
{
	struct peerlink_stats stats;
	char port[8];

	pair_up();
	strcpy(port, rig_port(&bravo));
	rig_node_stop(&bravo);
	RIG_UNTIL(alpha.downs == 1);
	for (uint64_t pause = PEERLINK_BACKOFF_NS_MIN, refused = 0; refused < 8; refused++) {
		rig_advance(pause - 1);
		rig_process();
		peerlink_stats(alpha.link, &stats);
		CU_ASSERT_EQUAL(stats.refused, refused);
		rig_advance(1);
		RIG_UNTIL((peerlink_stats(alpha.link, &stats), stats.refused == refused + 1));
		pause = 2 * pause < PEERLINK_BACKOFF_NS_MAX ? 2 * pause : PEERLINK_BACKOFF_NS_MAX;
	}
	rig_node_stop(&alpha);
}

/* Both agents live; only the connection is cut, by the accepting side. */
static void two_agents_resume_after_the_connection_was_dropped(void)
{
	pair_up();
	bravo.drop_next = true;
	CU_ASSERT_EQUAL(peerlink_send(alpha.link, 0, "bad", 3), 0);
	RIG_UNTIL(alpha.downs == 1 && bravo.downs == 1);
	CU_ASSERT_STRING_EQUAL(bravo.reason, "the engine does not follow");
	CU_ASSERT_STRING_EQUAL(alpha.reason,
	                       "refused by the other side: the engine does not follow");
	rig_advance(PEERLINK_BACKOFF_NS_MIN);
	RIG_UNTIL(alpha.ups == 2 && bravo.ups == 2);
	CU_ASSERT_EQUAL(alpha.resumes, 1);
	CU_ASSERT_EQUAL(bravo.resumes, 1);
	CU_ASSERT_EQUAL(alpha.deaths + bravo.deaths, 0);
	rig_pair_stop(&alpha, &bravo);
}

static void a_new_connection_of_the_same_node_replaces_the_old(void)
{
	struct peer_hello hello = rig_stranger_hello();
	uint8_t payload[PEER_PAYLOAD_MAX];
	uint32_t size_bytes;
	int old, new;

	rig_pair_init(&alpha, &bravo);
	rig_node_start(&bravo, 200);
	old = rig_stranger(&bravo);
	rig_stranger_greet(old, &hello);
	CU_ASSERT_EQUAL(rig_stranger_next(old, payload, &size_bytes), PEER_HELLO);
	new = rig_stranger(&bravo);
	hello.known_generation = 200;
	rig_stranger_greet(new, &hello);
	CU_ASSERT_EQUAL(rig_stranger_next(new, payload, &size_bytes), PEER_HELLO);
	CU_ASSERT_EQUAL(bravo.downs, 1);
	CU_ASSERT_EQUAL(bravo.ups, 2);
	CU_ASSERT_EQUAL(bravo.resumes, 1);
	CU_ASSERT_EQUAL(rig_stranger_next(old, payload, &size_bytes), 0);
	CU_ASSERT_EQUAL(peerlink_send(bravo.link, 0, "x", 1), 0);
	CU_ASSERT_EQUAL(rig_stranger_next(new, payload, &size_bytes), PEER_ENGINE);
	close(old);
	close(new);
	rig_node_stop(&bravo);
}

/* A bare listening socket in place of bravo; alpha is told its address. */
static int false_bravo_listen(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
	                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char port[6];

	if (fd < 0 || bind(fd, (struct sockaddr *)&address, size) || listen(fd, 4) ||
	    getsockname(fd, (struct sockaddr *)&address, &size))
		abort();
	snprintf(port, sizeof(port), "%u", ntohs(address.sin_port));
	rig_node_init(&alpha, "alpha");
	rig_node_knows(&alpha, "bravo", "127.0.0.1", port);
	rig_node_start(&alpha, 100);
	return fd;
}

/* Returns the connection, after alpha's HELLO. */
static int false_bravo_accept(int listen_fd, struct peer_hello *ret_hello)
{
	uint8_t payload[PEER_PAYLOAD_MAX];
	uint32_t size_bytes = 0;
	int fd;

	rig_process();
	fd = accept(listen_fd, NULL, NULL);
	CU_ASSERT_EQUAL(rig_stranger_next(fd, payload, &size_bytes), PEER_HELLO);
	CU_ASSERT_EQUAL(peer_hello_decode(payload, size_bytes, ret_hello, rig_error), 0);
	return fd;
}

/* Otherwise the other side would resume what this side has just forgotten. */
static void a_hello_on_its_way_is_withdrawn_when_the_peer_dies(void)
{
	struct peer_hello answer = rig_stranger_hello();
	int listen_fd = false_bravo_listen();
	struct peer_hello hello;
	uint8_t byte;
	int fd;

	strcpy(answer.node, "bravo");
	fd = false_bravo_accept(listen_fd, &hello);
	CU_ASSERT_EQUAL(hello.known_generation, 0);
	rig_stranger_greet(fd, &answer);
	RIG_UNTIL(alpha.ups == 1);
	close(fd);
	RIG_UNTIL(alpha.downs == 1);
	rig_advance(SLU_NS_PER_S);
	fd = false_bravo_accept(listen_fd, &hello);
	CU_ASSERT_EQUAL(hello.known_generation, 100);
	rig_advance(4 * SLU_NS_PER_S);
	rig_process();
	CU_ASSERT_EQUAL(alpha.deaths, 1);
	CU_ASSERT_FALSE(rig_stranger_read(fd, &byte, 1));
	close(fd);
	rig_advance(SLU_NS_PER_S);
	fd = false_bravo_accept(listen_fd, &hello);
	CU_ASSERT_EQUAL(hello.known_generation, 0);
	rig_stranger_greet(fd, &answer);
	RIG_UNTIL(alpha.ups == 2);
	CU_ASSERT_EQUAL(alpha.resumes, 0);
	CU_ASSERT_EQUAL(alpha.deaths, 1);
	close(fd);
	close(listen_fd);
	rig_node_stop(&alpha);
}

static void another_node_at_the_address_is_refused(void)
{
	struct peer_hello answer = rig_stranger_hello();
	int listen_fd = false_bravo_listen();
	struct peer_hello hello;
	int fd = false_bravo_accept(listen_fd, &hello);

	strcpy(answer.node, "charlie");
	rig_stranger_greet(fd, &answer);
	rig_assert_refused(fd, PEER_REFUSE_UNKNOWN,
	                   "node charlie is not in the configuration of node alpha");
	CU_ASSERT_EQUAL(alpha.ups, 0);
	close(listen_fd);
	rig_node_stop(&alpha);
}

static void assert_hello_refused(const struct peer_hello *hello, uint16_t code, const char *words)
{
	int fd;

	rig_pair_init(&alpha, &bravo);
	rig_node_knows(&bravo, "zulu", "127.0.0.1", "1");
	rig_node_start(&bravo, 200);
	fd = rig_stranger(&bravo);
	rig_stranger_greet(fd, hello);
	rig_assert_refused(fd, code, words);
	CU_ASSERT_EQUAL(bravo.ups, 0);
	rig_node_stop(&bravo);
}

static void agents_that_do_not_belong_are_told_why(void)
{
	struct peer_hello hello = rig_stranger_hello();

	hello.version = 9;
	assert_hello_refused(&hello, PEER_REFUSE_VERSION,
	                     "protocol version 9; this agent speaks 1");
	hello = rig_stranger_hello();
	hello.cluster_id = 8;
	assert_hello_refused(&hello, PEER_REFUSE_CLUSTER,
	                     "cluster id 8; node bravo belongs to cluster 7");
	hello = rig_stranger_hello();
	strcpy(hello.node, "nobody");
	assert_hello_refused(&hello, PEER_REFUSE_UNKNOWN,
	                     "node nobody is not in the configuration");
	hello = rig_stranger_hello();
	strcpy(hello.node, "zulu");
	assert_hello_refused(&hello, PEER_REFUSE_DIRECTION, "node bravo connects to node zulu");
	hello = rig_stranger_hello();
	hello.frame_size_bytes = 4096;
	assert_hello_refused(&hello, PEER_REFUSE_FRAME_SIZE,
	                     "frame_size is 4096 on node alpha, 65536");
	hello = rig_stranger_hello();
	hello.rail_count = 1;
	strcpy(hello.rails[0].driver, "verbs");
	strcpy(hello.rails[0].address, "10.0.0.1:7434");
	assert_hello_refused(&hello, PEER_REFUSE_DRIVER,
	                     "[driver] name is verbs on node alpha, tcp on node bravo");
}

/* Both sides of a real pair, and the refused one does not hammer the other. */
static void a_refused_agent_backs_off(void)
{
	struct peerlink_stats stats;

	rig_pair_init(&alpha, &bravo);
	alpha.config.agent.cluster_id = 8;
	rig_pair_start(&alpha, &bravo);
	RIG_UNTIL((peerlink_stats(alpha.link, &stats), stats.refused == 1));
	CU_ASSERT(peerlink_deadline(alpha.link) > rig_now_ns + 100 * SLU_NS_PER_MS);
	CU_ASSERT_EQUAL(alpha.ups + bravo.ups, 0);
	rig_pair_stop(&alpha, &bravo);
}

static void malformed_messages_before_hello_are_refused(void)
{
	static const uint8_t reserved[] = {0, 0, 0, 0, 1, 0, 7, 7};
	static const uint8_t oversized[] = {1, 32, 0, 0, 1, 0, 0, 0};
	uint8_t payload[PEER_PAYLOAD_HELLO_MAX];
	struct peer_hello hello = rig_stranger_hello();
	size_t size_bytes = peer_hello_encode(&hello, payload);
	int fd;

	rig_pair_init(&alpha, &bravo);
	rig_node_start(&bravo, 200);
	fd = rig_stranger(&bravo);
	CU_ASSERT_EQUAL(send(fd, "GET / HTTP/1.1\r\n\r\n", 18, 0), 18);
	rig_assert_refused(fd, PEER_REFUSE_MALFORMED, "not a message header");
	fd = rig_stranger(&bravo);
	CU_ASSERT_EQUAL(send(fd, reserved, sizeof(reserved), 0), 8);
	rig_assert_refused(fd, PEER_REFUSE_MALFORMED, "not a message header");
	fd = rig_stranger(&bravo);
	CU_ASSERT_EQUAL(send(fd, oversized, sizeof(oversized), 0), 8);
	rig_assert_refused(fd, PEER_REFUSE_MALFORMED, "a message of 8193 bytes; at most 8192");
	fd = rig_stranger(&bravo);
	rig_stranger_send(fd, PEER_HELLO, payload, size_bytes - 1);
	rig_assert_refused(fd, PEER_REFUSE_MALFORMED, "HELLO has no valid node name");
	payload[offsetof(struct peer_hello_wire, flags)] = 2;
	fd = rig_stranger(&bravo);
	rig_stranger_send(fd, PEER_HELLO, payload, size_bytes);
	rig_assert_refused(fd, PEER_REFUSE_MALFORMED, "HELLO is malformed");
	payload[offsetof(struct peer_hello_wire, flags)] = 0;
	fd = rig_stranger(&bravo);
	rig_stranger_send(fd, PEER_HELLO, payload, 20);
	rig_assert_refused(fd, PEER_REFUSE_MALFORMED, "HELLO is cut short");
	fd = rig_stranger(&bravo);
	rig_stranger_send(fd, PEER_HELLO, payload, size_bytes + 3);
	rig_assert_refused(fd, PEER_REFUSE_MALFORMED, "HELLO has 3 bytes too many");
	fd = rig_stranger(&bravo);
	rig_stranger_send(fd, PEER_ENGINE, payload, 8);
	rig_assert_refused(fd, PEER_REFUSE_MALFORMED,
	                   "message type 5 of 8 bytes is out of place before HELLO");
	fd = rig_stranger(&bravo);
	rig_stranger_send(fd, PEER_PING, payload, 8);
	rig_assert_refused(fd, PEER_REFUSE_MALFORMED, "out of place before HELLO");
	CU_ASSERT_EQUAL(bravo.ups, 0);
	rig_node_stop(&bravo);
}

static void assert_refused_after_hello(const void *bytes, size_t size_bytes, const char *words)
{
	struct peer_hello hello = rig_stranger_hello();
	int fd;

	rig_pair_init(&alpha, &bravo);
	rig_node_start(&bravo, 200);
	fd = rig_stranger(&bravo);
	rig_stranger_greet(fd, &hello);
	RIG_UNTIL(bravo.ups == 1);
	CU_ASSERT_EQUAL(send(fd, bytes, size_bytes, 0), (ssize_t)size_bytes);
	rig_assert_refused(fd, PEER_REFUSE_MALFORMED, words);
	CU_ASSERT_EQUAL(bravo.downs, 1);
	CU_ASSERT_PTR_NOT_NULL(strstr(bravo.reason, words));
	CU_ASSERT_EQUAL(bravo.messages, 0);
	rig_node_stop(&bravo);
}

static void malformed_messages_after_hello_end_that_connection_only(void)
{
	static const uint8_t oversized[] = {1, 0, 1, 0, 5, 0, 0, 0};
	static const uint8_t unknown[] = {1, 0, 0, 0, 99, 0, 0, 0, 'x'};
	static const uint8_t empty[] = {0, 0, 0, 0, 5, 0, 0, 0};
	static const uint8_t short_ping[] = {1, 0, 0, 0, 3, 0, 0, 0, 'x'};
	static const uint8_t hello[] = {0, 0, 0, 0, 1, 0, 0, 0};

	assert_refused_after_hello(oversized, sizeof(oversized),
	                           "a message of 65537 bytes; at most 65536");
	assert_refused_after_hello(unknown, sizeof(unknown),
	                           "message type 99 of 1 bytes is out of place after");
	assert_refused_after_hello(empty, sizeof(empty), "message type 5 of 0 bytes");
	assert_refused_after_hello(short_ping, sizeof(short_ping), "a PING or PONG of 1 bytes");
	assert_refused_after_hello(hello, sizeof(hello),
	                           "message type 1 of 0 bytes is out of place after");
}

/* A second peer goes on while the first is refused. */
static void a_bad_peer_does_not_disturb_a_good_one(void)
{
	int fd;

	pair_up();
	fd = rig_stranger(&bravo);
	CU_ASSERT_EQUAL(send(fd, "0123456789", 10, 0), 10);
	rig_assert_refused(fd, PEER_REFUSE_MALFORMED, "not a message header");
	CU_ASSERT_EQUAL(peerlink_send(alpha.link, 0, "on", 2), 0);
	RIG_UNTIL(bravo.messages == 1);
	CU_ASSERT_EQUAL(alpha.downs + bravo.downs, 0);
	rig_pair_stop(&alpha, &bravo);
}

static void messages_cut_into_single_bytes_are_put_together(void)
{
	uint8_t message[PEER_HEADER_BYTES + PEER_PAYLOAD_HELLO_MAX];
	struct peer_hello hello = rig_stranger_hello();
	size_t size_bytes = peer_hello_encode(&hello, message + PEER_HEADER_BYTES);
	int fd;

	rig_pair_init(&alpha, &bravo);
	rig_node_start(&bravo, 200);
	fd = rig_stranger(&bravo);
	peer_header_encode(PEER_HELLO, (uint32_t)size_bytes, message);
	for (size_t i = 0; i < PEER_HEADER_BYTES + size_bytes; i++) {
		CU_ASSERT_EQUAL(bravo.ups, 0);
		CU_ASSERT_EQUAL(send(fd, message + i, 1, 0), 1);
		rig_process();
	}
	RIG_UNTIL(bravo.ups == 1);
	close(fd);
	rig_node_stop(&bravo);
}

static void a_peer_that_does_not_read_loses_its_connection_not_our_memory(void)
{
	static uint8_t block[PEERLINK_MESSAGE_BYTES_MAX];
	struct peer_hello hello = rig_stranger_hello();
	struct peerlink_peer peer;
	int fd, rc, sent = 0;

	rig_pair_init(&alpha, &bravo);
	rig_node_start(&bravo, 200);
	fd = rig_stranger(&bravo);
	rig_stranger_greet(fd, &hello);
	RIG_UNTIL(bravo.ups == 1);
	while ((rc = peerlink_send(bravo.link, 0, block, sizeof(block))) == 0 && sent < 10000) {
		rig_process();
		peerlink_peer_get(bravo.link, 0, &peer);
		CU_ASSERT_FATAL(peer.queued_bytes <= 4u << 20);
		sent++;
	}
	CU_ASSERT_EQUAL(rc, -ENOBUFS);
	CU_ASSERT_EQUAL(bravo.downs, 0); /* not from inside the call */
	CU_ASSERT_EQUAL(peerlink_send(bravo.link, 0, "x", 1), -ENOTCONN);
	CU_ASSERT_EQUAL(peerlink_deadline(bravo.link), 0);
	rig_process();
	CU_ASSERT_EQUAL(bravo.downs, 1);
	CU_ASSERT_STRING_EQUAL(bravo.reason, "it does not read what it is sent");
	close(fd);
	rig_node_stop(&bravo);
}

static void half_open_connections_are_few_and_short(void)
{
	struct peer_hello hello = rig_stranger_hello();
	int fds[PEERLINK_HALF_OPEN_MAX + 1];
	uint8_t payload[PEER_PAYLOAD_MAX];
	struct peerlink_stats stats;
	uint32_t size_bytes;
	uint8_t byte;

	rig_pair_init(&alpha, &bravo);
	rig_node_start(&bravo, 200);
	for (size_t i = 0; i <= PEERLINK_HALF_OPEN_MAX; i++)
		fds[i] = rig_stranger(&bravo);
	RIG_UNTIL((peerlink_stats(bravo.link, &stats), stats.half_open == PEERLINK_HALF_OPEN_MAX));
	/* The 33rd waits in the kernel, and nobody spins over it. */
	rig_stranger_greet(fds[PEERLINK_HALF_OPEN_MAX], &hello);
	rig_process();
	CU_ASSERT_EQUAL(poll(&(struct pollfd){peerlink_fd(bravo.link), POLLIN, 0}, 1, 0), 0);
	CU_ASSERT_EQUAL(bravo.ups, 0);

	rig_advance(PEERLINK_HANDSHAKE_NS);
	CU_ASSERT_EQUAL(rig_stranger_next(fds[PEERLINK_HALF_OPEN_MAX], payload, &size_bytes),
	                PEER_HELLO);
	CU_ASSERT_EQUAL(bravo.ups, 1);
	for (size_t i = 0; i < PEERLINK_HALF_OPEN_MAX; i++)
		CU_ASSERT_FALSE(rig_stranger_read(fds[i], &byte, 1));
	peerlink_stats(bravo.link, &stats);
	CU_ASSERT_EQUAL(stats.half_open, 0);
	for (size_t i = 0; i <= PEERLINK_HALF_OPEN_MAX; i++)
		close(fds[i]);
	rig_node_stop(&bravo);
}

static void running_out_of_descriptors_neither_spins_nor_refuses_for_good(void)
{
	struct peer_hello hello = rig_stranger_hello();
	uint8_t payload[PEER_PAYLOAD_MAX];
	struct rlimit before, full;
	uint32_t size_bytes;
	int fd, highest;

	rig_pair_init(&alpha, &bravo);
	rig_node_start(&bravo, 200);
	fd = rig_stranger(&bravo);
	rig_stranger_greet(fd, &hello);
	getrlimit(RLIMIT_NOFILE, &before);
	highest = fcntl(0, F_DUPFD_CLOEXEC, 0); /* the lowest free one */
	full = before;
	full.rlim_cur = (rlim_t)highest;
	close(highest);
	setrlimit(RLIMIT_NOFILE, &full);
	rig_process();
	rig_process();
	CU_ASSERT_EQUAL(poll(&(struct pollfd){peerlink_fd(bravo.link), POLLIN, 0}, 1, 0), 0);
	CU_ASSERT(peerlink_deadline(bravo.link) > rig_now_ns);
	setrlimit(RLIMIT_NOFILE, &before);
	rig_advance(100 * SLU_NS_PER_MS);
	CU_ASSERT_EQUAL(rig_stranger_next(fd, payload, &size_bytes), PEER_HELLO);
	CU_ASSERT_EQUAL(bravo.ups, 1);
	close(fd);
	rig_node_stop(&bravo);
}

static void a_host_name_is_looked_up_beside_the_loop(void)
{
	rig_pair_init(&alpha, &bravo);
	rig_node_start(&bravo, 200);
	rig_node_knows(&alpha, "bravo", "localhost", rig_port(&bravo));
	rig_node_start(&alpha, 100);
	/* localhost may be ::1 first, where nobody listens: then the next address. */
	for (int attempt = 0; attempt < 4 && !alpha.ups; attempt++) {
		struct peerlink_stats stats;

		RIG_UNTIL((peerlink_stats(alpha.link, &stats),
		           stats.refused == (uint64_t)attempt + 1) ||
		          alpha.ups == 1);
		rig_advance(PEERLINK_BACKOFF_NS_MAX);
	}
	CU_ASSERT_EQUAL(alpha.ups, 1);
	rig_pair_stop(&alpha, &bravo);
}

static void an_agent_may_end_while_a_name_is_looked_up(void)
{
	rig_node_init(&alpha, "alpha");
	rig_node_knows(&alpha, "bravo", "name-that-is-not-there.invalid", "1");
	rig_node_start(&alpha, 100);
	rig_process();
	rig_node_stop(&alpha);
}

static void a_port_that_is_taken_is_named(void)
{
	rig_pair_init(&alpha, &bravo);
	rig_node_start(&bravo, 200);
	strcpy(alpha.config.control.listen.port, rig_port(&bravo));
	CU_ASSERT_EQUAL(rig_node_try_start(&alpha, 100), -EADDRINUSE);
	CU_ASSERT_PTR_NOT_NULL(strstr(rig_error, "cannot listen on 127.0.0.1:"));
	CU_ASSERT_PTR_NOT_NULL(strstr(rig_error, "Address already in use"));
	rig_node_stop(&bravo);
}

static void ipv6_works_as_well(void)
{
	rig_pair_init(&alpha, &bravo);
	strcpy(bravo.config.control.listen.host, "::1");
	if (rig_node_try_start(&bravo, 200)) {
		printf(" (no IPv6 loopback here: %s) ", rig_error);
		return;
	}
	CU_ASSERT(strncmp(peerlink_address(bravo.link), "[::1]:", 6) == 0);
	rig_node_knows(&alpha, "bravo", "::1", rig_port(&bravo));
	rig_node_start(&alpha, 100);
	RIG_UNTIL(alpha.ups == 1 && bravo.ups == 1);
	rig_pair_stop(&alpha, &bravo);
}

int main(void)
{
	static const struct unit_test tests[] = {
	        UNIT_TEST(two_agents_find_each_other_and_say_where_their_drivers_are),
	        UNIT_TEST(three_agents_have_one_connection_per_pair),
	        UNIT_TEST(messages_arrive_whole_in_both_directions),
	        UNIT_TEST(quiet_peers_ping_each_other_and_stay_up),
	        UNIT_TEST(a_peer_that_goes_silent_is_dead_after_peer_timeout),
	        UNIT_TEST(what_waits_unread_counts_as_life_after_a_long_stop),
	        UNIT_TEST(a_lost_connection_comes_back_and_both_sides_resume),
	        UNIT_TEST(state_that_only_one_side_holds_is_not_resumed),
	        UNIT_TEST(a_restarted_agent_is_dead_first_and_then_up),
	        UNIT_TEST(the_connecting_side_tries_again_with_growing_pauses),
	        UNIT_TEST(two_agents_resume_after_the_connection_was_dropped),
	        UNIT_TEST(a_new_connection_of_the_same_node_replaces_the_old),
	        UNIT_TEST(a_hello_on_its_way_is_withdrawn_when_the_peer_dies),
	        UNIT_TEST(another_node_at_the_address_is_refused),
	        UNIT_TEST(agents_that_do_not_belong_are_told_why),
	        UNIT_TEST(a_refused_agent_backs_off),
	        UNIT_TEST(malformed_messages_before_hello_are_refused),
	        UNIT_TEST(malformed_messages_after_hello_end_that_connection_only),
	        UNIT_TEST(a_bad_peer_does_not_disturb_a_good_one),
	        UNIT_TEST(messages_cut_into_single_bytes_are_put_together),
	        UNIT_TEST(a_peer_that_does_not_read_loses_its_connection_not_our_memory),
	        UNIT_TEST(half_open_connections_are_few_and_short),
	        UNIT_TEST(running_out_of_descriptors_neither_spins_nor_refuses_for_good),
	        UNIT_TEST(a_host_name_is_looked_up_beside_the_loop),
	        UNIT_TEST(an_agent_may_end_while_a_name_is_looked_up),
	        UNIT_TEST(a_port_that_is_taken_is_named),
	        UNIT_TEST(ipv6_works_as_well),
	        {NULL, NULL},
	};

	return unit_run("peerlink", tests);
}
