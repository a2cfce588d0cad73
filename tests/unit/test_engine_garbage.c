/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_engine_garbage.c - what engines make of a local process that scribbles
 * over the arena, and of a peer that sends what no sound engine would: it is
 * ended in words, and nobody else notices.
 */
#include "tests/unit/engine_pair.h"
#include "tests/unit/unit.h"
#include "transport/log.h"

#include <errno.h>
#include <string.h>

static struct host *const STRANGER = &hosts.host[2];

static void three_start(void)
{
	hosts_start(&hosts, &(struct hosts_config){.count = 3,
	                                           .strangers = 1,
	                                           .receive_frames = 24,
	                                           .advertise_ns = 3600 * SLU_NS_PER_S});
}

/* ---- local processes that scribble --------------------------------------- */

static void a_frame_that_is_none_resets_its_channel_alone(void)
{
	const uint64_t entries[] = {(uint64_t)1 << 32 | 0xfffffff0u, (uint64_t)1 << 32 | 3};
	struct chan_tx tx;
	struct chan_rx rx;

	for (size_t i = 0; i < sizeof(entries) / sizeof(entries[0]); i++) {
		two_start();
		channel_open(&tx, &rx, 1);
		CU_ASSERT_EQUAL(host_open(A, 1, 1, SLU_SEND, 2, 2), 0);
		CU_ASSERT_EQUAL(host_open(B, 1, 0, SLU_RECV, 2, 2), 0);
		hosts_settle(&hosts);
		atomic_store(&arena_chan(A->arena, 1)->slots[0], entries[i]);
		port_notify(&A->ports[HOST_PROCESS], &arena_chan(A->arena, 1)->rx_slot, 1);
		hosts_settle(&hosts);
		CU_ASSERT_EQUAL(reset_error(A, 1), -EBADMSG);
		CU_ASSERT_EQUAL(reset_error(B, 1), -EBADMSG);
		CU_ASSERT_PTR_NOT_NULL(strstr(reset_text(B, 1), "\"seg0 slice1\" on host host0"));
		traffic_flows(&tx, &rx, 30);
		hosts_stop(&hosts);
	}
}

static void a_receiver_that_gives_back_too_much_is_reset(void)
{
	struct chan_tx tx;
	struct chan_rx rx;

	two_start();
	channel_open(&tx, &rx, 1);
	CU_ASSERT_TRUE(host_send(&tx, 0));
	hosts_settle(&hosts);
	atomic_store(&arena_chan(B->arena, 0)->released_pos, 1000);
	port_notify(&B->ports[HOST_PROCESS], &arena_chan(B->arena, 0)->tx_slot, 0);
	hosts_settle(&hosts);
	CU_ASSERT_EQUAL(reset_error(B, 0), -EBADMSG);
	CU_ASSERT_EQUAL(reset_error(A, 0), -EBADMSG);
	CU_ASSERT_TRUE(host_stats(B).receive_frames_promised <= 24);
	hosts_stop(&hosts);
}

/* ---- strangers ----------------------------------------------------------- */

static void a_secret_is_good_for_one_session(void)
{
	struct wire_hello hello = {.index = 1};

	three_start();
	stranger_connect(STRANGER, 0, 1);
	CU_ASSERT_TRUE(STRANGER->session_up);
	hello.peer = STRANGER->control.session_grant.peer;
	memcpy(hello.secret, STRANGER->control.session_grant.secret, sizeof(hello.secret));
	stranger_connect_with(STRANGER, 0, &hello);
	CU_ASSERT_FALSE(STRANGER->session_up);
	CU_ASSERT_TRUE(STRANGER->session_down);
	hosts_stop(&hosts);
}

static void a_wrong_secret_is_refused_and_an_old_one(void)
{
	const struct wire_session_grant *grant = &STRANGER->control.session_grant;
	uint8_t message[WIRE_CONTROL_MAX];
	struct wire_hello hello = {.index = 1};

	three_start();
	stranger_tell(STRANGER, 0, message, wire_session_request_encode(message, 1));
	hello.peer = grant->peer;
	memcpy(hello.secret, grant->secret, sizeof(hello.secret));
	hello.secret[31] ^= 1;
	stranger_connect_with(STRANGER, 0, &hello);
	CU_ASSERT_TRUE(STRANGER->session_down);
	hello.secret[31] ^= 1;
	hello.peer = 77;
	stranger_connect_with(STRANGER, 0, &hello);
	CU_ASSERT_TRUE(STRANGER->session_down);
	hello.peer = grant->peer;
	hello.index = 2;
	stranger_connect_with(STRANGER, 0, &hello);
	CU_ASSERT_TRUE(STRANGER->session_down);
	hello.index = 1;
	hosts_pass(&hosts, 11 * SLU_NS_PER_S);
	stranger_connect_with(STRANGER, 0, &hello);
	CU_ASSERT_TRUE(STRANGER->session_down);
	hosts_stop(&hosts);
}

/* A stranger's frames for a channel that A receives on, one wrong each. */
static void garbage_ends_the_strangers_session_alone(void)
{
	enum { LATE_IS_NO_CRIME = 7 };
	struct chan_tx tx;
	struct chan_rx rx;
	uint32_t number;

	three_start();
	channel_open(&tx, &rx, 1);
	for (int i = 0; i <= LATE_IS_NO_CRIME; i++) {
		uint64_t errors = host_stats(A).protocol_errors;
		struct frame_wire header = {.size_bytes = 4, .flags = WIRE_DATA_ACK};

		CU_ASSERT_EQUAL(host_open(A, 1, 2, SLU_RECV, 5, 5), 0);
		hosts_settle(&hosts);
		stranger_connect(STRANGER, 0, 1);
		CU_ASSERT_TRUE(STRANGER->session_up);
		header.channel = LANE(i + 1, 1);
		header.pos = i == 0 ? 1 : i == 1 ? 1000 : 0;
		if (i == 2)
			header.channel = LANE(1, 0); /* of A's channel with B */
		if (i == 3)
			header.channel = LANE(1, 5000);
		if (i == 4)
			header.flags = 0x80;
		if (i == 5)
			header.channel = 3;
		if (i == 6) {
			/* The whole window is fine, the next is too much. */
			for (; header.pos < 20 && !STRANGER->session_down; header.pos++)
				stranger_send_frame(STRANGER, &header);
			CU_ASSERT_TRUE(header.pos > 1 && header.pos < 20);
		} else {
			header.channel = i == LATE_IS_NO_CRIME ? LANE(1, 1) : header.channel;
			stranger_send_frame(STRANGER, &header);
		}
		CU_ASSERT_EQUAL(STRANGER->session_down, i != LATE_IS_NO_CRIME);
		CU_ASSERT_EQUAL(host_stats(A).protocol_errors - errors, i != LATE_IS_NO_CRIME);
		host_close(A, 1, ECONNRESET);
		engine_peer_dead(A->engine, 2, ECONNRESET, "mad", hosts.now_ns);
		hosts_peer_up(&hosts, 0, 2);
		hosts_settle(&hosts);
		CU_ASSERT_TRUE(A->done[1]);
	}
	CU_ASSERT_EQUAL(host_recv(&rx, &number), SLU_AGAIN);
	traffic_flows(&tx, &rx, 50);
	hosts_stop(&hosts);
}

static void garbage_in_small_messages_likewise(void)
{
	struct wire_small smalls[] = {
	        {.type = WIRE_EOS, .pos = 7},                  /* before what it ends */
	        {.type = WIRE_CREDIT},                         /* to a receiver */
	        {.type = WIRE_EOS, .lane = LANE(1, 0)},        /* somebody else's */
	        {.type = WIRE_PROBE, .lane = LANE(1, 0xffff)}, /* beyond all lanes */
	        {.type = WIRE_PROBE, .flags = 9},
	        {.type = 77},
	};

	three_start();
	CU_ASSERT_EQUAL(host_open(A, 0, 1, SLU_SEND, 1, 1), 0);
	for (size_t i = 0; i < sizeof(smalls) / sizeof(smalls[0]); i++) {
		CU_ASSERT_EQUAL(host_open(A, 1, 2, SLU_RECV, 5, 5), 0);
		hosts_settle(&hosts);
		stranger_connect(STRANGER, 0, 1);
		if (!smalls[i].lane)
			smalls[i].lane = LANE(i + 1, 1);
		stranger_send_small(STRANGER, &smalls[i]);
		CU_ASSERT_TRUE(STRANGER->session_down);
		CU_ASSERT_EQUAL(host_stats(A).protocol_errors, i + 1);
		engine_peer_dead(A->engine, 2, ECONNRESET, "mad", hosts.now_ns);
		host_close(A, 1, 0);
		hosts_peer_up(&hosts, 0, 2);
	}
	hosts_stop(&hosts);
}

static void credit_for_what_was_never_sent_is_garbage(void)
{
	struct wire_small credit = {.type = WIRE_CREDIT, .lane = LANE(1, 0), .pos = 1};

	three_start();
	CU_ASSERT_EQUAL(host_open(A, 0, 2, SLU_SEND, 1, 1), 0);
	stranger_connect(STRANGER, 0, 1);
	stranger_send_small(STRANGER, &credit);
	CU_ASSERT_TRUE(STRANGER->session_down);
	hosts_stop(&hosts);
}

/* The result of a control message from the stranger, and that it has words. */
static int told(const void *message, size_t size_bytes)
{
	A->error[0] = '\0';
	stranger_tell(STRANGER, 0, message, size_bytes);
	CU_ASSERT_EQUAL(A->error[0] != '\0', A->control_result < 0);
	return A->control_result;
}

static void control_messages_out_of_state_are_refused_in_words(void)
{
	struct slu_key key = host_key(1);
	struct wire_end end = {.direction = SLU_RECV, .lane = LANE(1, 9), .flags = 0};
	struct wire_session_grant grant = {.index = 1};
	uint8_t message[WIRE_CONTROL_MAX];

	three_start();
	CU_ASSERT_EQUAL(host_open(A, 0, 1, SLU_SEND, 1, 1), 0);
	CU_ASSERT_EQUAL(told("\xff", 1), -EPROTO);
	CU_ASSERT_EQUAL(told(message, wire_session_grant_encode(message, &grant)), -EPROTO);
	CU_ASSERT_EQUAL(told(message, wire_session_request_encode(message, 200)), -EPROTO);
	/* For a channel of A with B */
	end.peer_lane = LANE(1, 0);
	end.error = ECONNRESET;
	CU_ASSERT_EQUAL(told(message, wire_end_encode(message, &end, &key, "x")), -EPROTO);
	CU_ASSERT_EQUAL(reset_error(A, 0), 0);
	/* Of a lane that is no more: answered, since a connection may have broken. */
	end.peer_lane = LANE(4, 5);
	CU_ASSERT_EQUAL(told(message, wire_end_encode(message, &end, &key, "x")), 0);
	CU_ASSERT_EQUAL(STRANGER->control.type, WIRE_END_ACK);
	CU_ASSERT_EQUAL(STRANGER->control.end_ack.lane, LANE(1, 9));
	CU_ASSERT_EQUAL(host_stats(A).protocol_errors, 4);
	hosts_stop(&hosts);
}

static void an_end_finds_its_channel_when_the_name_is_anothers_by_then(void)
{
	struct wire_open open = {.direction = SLU_RECV, .lane = LANE(1, 3), .limit_pos = 4};
	struct wire_end end = {.direction = SLU_RECV, .lane = LANE(1, 3), .error = ECONNRESET};
	struct slu_token token = host_token(1);
	struct slu_key key = host_key(1);
	uint8_t message[WIRE_CONTROL_MAX];
	struct chan_tx tx;

	three_start();
	CU_ASSERT_EQUAL(host_open(A, 0, 2, SLU_SEND, 1, 1), 0);
	chan_tx_init(&tx, &A->ports[HOST_PROCESS], 0);
	memcpy(open.token, token.bytes, sizeof(open.token));
	CU_ASSERT_EQUAL(told(message, wire_open_encode(message, &open, &key)), 0);
	chan_tx_eos(&tx);
	host_close(A, 0, 0);
	CU_ASSERT_EQUAL(host_open(A, 1, 2, SLU_SEND, 1, 1), 0);
	/* The stranger wrote it before our OPEN came, so that it names no lane of ours. */
	CU_ASSERT_EQUAL(told(message, wire_end_encode(message, &end, &key, "it died")), 0);
	CU_ASSERT_TRUE(A->done[0]);
	CU_ASSERT_FALSE(A->done[1]);
	hosts_stop(&hosts);
}

static void an_end_in_order_before_anything_was_received_is_a_lie(void)
{
	struct wire_end end = {.direction = SLU_RECV, .peer_lane = LANE(1, 0)};
	struct slu_key key = host_key(1);
	uint8_t message[WIRE_CONTROL_MAX];

	three_start();
	end.lane = LANE(1, 1);
	end.flags = WIRE_END_COMPLETE;
	CU_ASSERT_EQUAL(host_open(A, 0, 2, SLU_SEND, 1, 1), 0);
	CU_ASSERT_EQUAL(told(message, wire_end_encode(message, &end, &key, "")), 0);
	CU_ASSERT_EQUAL(reset_error(A, 0), -EPROTO);
	end.direction = SLU_SEND;
	for (uint8_t flags = WIRE_END_COMPLETE; flags <= WIRE_END_STOPPED; flags++) {
		uint32_t entry = flags;

		end.peer_lane = LANE(1, entry);
		end.flags = flags;
		CU_ASSERT_EQUAL(host_open(A, entry, 2, SLU_RECV, entry, 1), 0);
		key = host_key(entry);
		CU_ASSERT_EQUAL(told(message, wire_end_encode(message, &end, &key, "")), 0);
		CU_ASSERT_EQUAL(reset_error(A, entry), -EPROTO);
	}
	hosts_stop(&hosts);
}

static void remembers_no_more_ends_than_it_can_have_channels(void)
{
	struct wire_open open = {.direction = SLU_SEND, .rendezvous_ms = 60000};
	struct wire_end end = {.direction = SLU_SEND, .error = ECONNRESET};
	uint8_t message[WIRE_CONTROL_MAX];

	three_start();
	for (uint32_t i = 0; i <= 4 * HOST_CHANNELS; i++) {
		struct slu_key key = host_key(i);

		open.lane = LANE(1, i);
		CU_ASSERT_EQUAL(told(message, wire_open_encode(message, &open, &key)), 0);
	}
	CU_ASSERT_EQUAL(host_stats(A).ends_waiting, 4 * HOST_CHANNELS);
	CU_ASSERT_EQUAL(STRANGER->control.type, WIRE_END);
	CU_ASSERT_EQUAL(STRANGER->control.end.error, ENOBUFS);
	CU_ASSERT_EQUAL(STRANGER->control.end.peer_lane, open.lane);
	for (uint32_t i = 0; i < 4 * HOST_CHANNELS; i++) {
		struct slu_key key = host_key(i);

		end.lane = LANE(1, i);
		CU_ASSERT_EQUAL(told(message, wire_end_encode(message, &end, &key, "x")), 0);
	}
	CU_ASSERT_EQUAL(host_stats(A).ends_waiting, HOST_CHANNELS);
	engine_peer_dead(A->engine, 2, ECONNRESET, "dead", hosts.now_ns);
	CU_ASSERT_EQUAL(host_stats(A).ends_waiting, 0);
	hosts_stop(&hosts);
}

int main(void)
{
	static const struct unit_test tests[] = {
	        UNIT_TEST(a_frame_that_is_none_resets_its_channel_alone),
	        UNIT_TEST(a_receiver_that_gives_back_too_much_is_reset),
	        UNIT_TEST(a_secret_is_good_for_one_session),
	        UNIT_TEST(a_wrong_secret_is_refused_and_an_old_one),
	        UNIT_TEST(garbage_ends_the_strangers_session_alone),
	        UNIT_TEST(garbage_in_small_messages_likewise),
	        UNIT_TEST(credit_for_what_was_never_sent_is_garbage),
	        UNIT_TEST(control_messages_out_of_state_are_refused_in_words),
	        UNIT_TEST(an_end_finds_its_channel_when_the_name_is_anothers_by_then),
	        UNIT_TEST(an_end_in_order_before_anything_was_received_is_a_lie),
	        UNIT_TEST(remembers_no_more_ends_than_it_can_have_channels),
	        {NULL, NULL},
	};

	log_set_level(LOG_LEVEL_ERROR); /* what is refused here is refused on purpose */
	return unit_run("engine_garbage", tests);
}
