/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_engine.c - engines over the loop driver, one promise at a time: what the
 * simulation sees only from afar, or only with luck.
 */
#include "tests/unit/engine_pair.h"
#include "tests/unit/unit.h"
#include "transport/log.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static void channel_close(struct chan_tx *tx)
{
	chan_tx_eos(tx);
	host_close(A, 0, 0);
	hosts_settle(&hosts);
	host_close(B, 0, 0);
	hosts_settle(&hosts);
	CU_ASSERT_TRUE(A->done[0]);
	CU_ASSERT_TRUE(B->done[0]);
}

/* ---- sound engines ------------------------------------------------------- */

static void moves_frames_without_anybody_asking_again(void)
{
	struct chan_tx tx;
	struct chan_rx rx;
	uint32_t number;

	two_start();
	channel_open(&tx, &rx, 1);
	traffic_flows(&tx, &rx, 500);
	CU_ASSERT_EQUAL(host_stats(A).resent_frames, 0);
	/* Credit is told a part of the window at a time, not frame by frame. */
	CU_ASSERT_TRUE(host_stats(B).credits_sent < 400);
	chan_tx_eos(&tx);
	hosts_settle(&hosts);
	CU_ASSERT_EQUAL(host_recv(&rx, &number), SLU_EOS);
	channel_close(&tx);
	CU_ASSERT_TRUE(host_full(A));
	CU_ASSERT_TRUE(host_full(B));
	CU_ASSERT_EQUAL(host_stats(B).receive_frames_promised, 0);
	hosts_stop(&hosts);
}

/* An urgent channel each way; what A sends is answered by B. Returns how many CREDITs B
 * has sent by then. */
static uint64_t urgent_pair_start(struct chan_tx tx[2], struct chan_rx rx[2])
{
	two_start();
	A->urgent = B->urgent = true;
	channel_open(&tx[0], &rx[0], 1);
	CU_ASSERT_EQUAL_FATAL(host_open(B, 1, 0, SLU_SEND, 2, 2), 0);
	CU_ASSERT_EQUAL_FATAL(host_open(A, 1, 1, SLU_RECV, 2, 2), 0);
	chan_tx_init(&tx[1], &B->ports[HOST_PROCESS], 1);
	chan_rx_init(&rx[1], &A->ports[HOST_PROCESS], 1, 0);
	hosts_settle(&hosts);
	return host_stats(B).credits_sent;
}

static void send_and_take(struct chan_tx *tx, struct chan_rx *rx, uint32_t sent)
{
	uint32_t number;

	CU_ASSERT_TRUE_FATAL(host_send(tx, sent));
	hosts_settle(&hosts);
	CU_ASSERT_EQUAL_FATAL(host_recv(rx, &number), SLU_OK);
	CU_ASSERT_EQUAL(number, sent);
	hosts_settle(&hosts);
}

static void sends_credit_of_urgent_channels_with_the_answer(void)
{
	struct chan_tx tx[2];
	struct chan_rx rx[2];
	uint64_t credits = urgent_pair_start(tx, rx);

	send_and_take(&tx[0], &rx[0], 0);
	CU_ASSERT_EQUAL(host_stats(B).credits_sent, credits);
	send_and_take(&tx[1], &rx[1], 0);
	CU_ASSERT_EQUAL(host_stats(B).credits_sent, credits + 1);
	for (uint32_t i = 1; i < 100; i++) {
		send_and_take(&tx[0], &rx[0], i);
		send_and_take(&tx[1], &rx[1], i);
	}
	CU_ASSERT_EQUAL(host_stats(B).credits_sent, credits + 100);
	hosts_stop(&hosts);
}

static void sends_credit_of_urgent_channels_soon_without_an_answer(void)
{
	struct chan_tx tx[2];
	struct chan_rx rx[2];
	uint64_t credits = urgent_pair_start(tx, rx);

	send_and_take(&tx[0], &rx[0], 0);
	CU_ASSERT_TRUE(engine_deadline(B->engine) <= hosts.now_ns + SLU_NS_PER_MS);
	hosts_pass(&hosts, SLU_NS_PER_MS);
	CU_ASSERT_EQUAL(host_stats(B).credits_sent, credits + 1);
	/* Who sends much without an answer is not kept waiting. */
	traffic_flows(&tx[0], &rx[0], 500);
	chan_tx_eos(&tx[1]);
	host_close(B, 1, 0);
	hosts_settle(&hosts);
	host_close(A, 1, 0);
	hosts_settle(&hosts);
	channel_close(&tx[0]);
	CU_ASSERT_TRUE(host_full(A));
	CU_ASSERT_TRUE(host_full(B));
	hosts_stop(&hosts);
}

static void leaves_frames_in_the_ring_that_the_peer_has_no_room_for(void)
{
	struct chan_tx tx;
	struct chan_rx rx;
	uint32_t sent = 0;

	two_start();
	channel_open(&tx, &rx, 1);
	for (int i = 0; i < 10; i++) {
		while (host_send(&tx, sent))
			sent++;
		hosts_settle(&hosts);
	}
	/* The receiver took nothing: its window and ours are full, and no more. */
	CU_ASSERT_TRUE(sent <= 2 * A->arena->window_slots);
	CU_ASSERT_TRUE(host_stats(B).receive_frames_promised <= 24);
	channel_close(&tx);
	hosts_stop(&hosts);
}

static void refuses_what_cannot_be_guaranteed_a_frame(void)
{
	hosts_start(&hosts, &(struct hosts_config){
	                            .count = 2, .receive_frames = 8, .advertise_ns = SLU_NS_PER_S});
	/* 8 frames less 3 sessions and 2 of reserve */
	CU_ASSERT_EQUAL(host_open(B, 0, 0, SLU_RECV, 0, 0), 0);
	CU_ASSERT_EQUAL(host_open(B, 1, 0, SLU_RECV, 1, 1), 0);
	CU_ASSERT_EQUAL(host_open(B, 2, 0, SLU_RECV, 2, 2), 0);
	CU_ASSERT_EQUAL(host_open(B, 3, 0, SLU_RECV, 3, 3), -ENOSPC);
	CU_ASSERT_EQUAL(host_open(B, 3, 0, SLU_SEND, 3, 3), 0);
	hosts_stop(&hosts);
}

static void refuses_a_second_end_of_the_same_name(void)
{
	two_start();
	CU_ASSERT_EQUAL(host_open(A, 0, 1, SLU_SEND, 1, 1), 0);
	CU_ASSERT_EQUAL(host_open(A, 1, 1, SLU_SEND, 1, 1), -EEXIST);
	CU_ASSERT_EQUAL(host_open(A, 1, 1, SLU_RECV, 1, 1), 0);
	CU_ASSERT_EQUAL(host_open(A, 1, 1, SLU_RECV, 2, 2), -EINVAL);
	CU_ASSERT_EQUAL(host_open(A, 2, ENGINE_PEER_MAX + 1, SLU_RECV, 2, 2), -EINVAL);
	hosts_stop(&hosts);
}

static void of_two_tokens_the_later_is_refused(void)
{
	struct chan_tx tx;
	struct chan_rx rx;

	two_start();
	CU_ASSERT_EQUAL(host_open(A, 0, 1, SLU_SEND, 1, 1), 0);
	hosts_settle(&hosts);
	CU_ASSERT_EQUAL(host_open(B, 1, 0, SLU_RECV, 1, 666), 0);
	hosts_settle(&hosts);
	CU_ASSERT_EQUAL(reset_error(B, 1), -EACCES);
	CU_ASSERT_PTR_NOT_NULL(strstr(reset_text(B, 1), "another token"));
	CU_ASSERT_PTR_NOT_NULL(strstr(reset_text(B, 1), "host0"));
	CU_ASSERT_EQUAL(reset_error(A, 0), 0);
	host_close(B, 1, 0);
	hosts_settle(&hosts);
	CU_ASSERT_TRUE(B->done[1]);
	/* The right one comes after all. */
	CU_ASSERT_EQUAL(host_open(B, 0, 0, SLU_RECV, 1, 1), 0);
	chan_tx_init(&tx, &A->ports[HOST_PROCESS], 0);
	chan_rx_init(&rx, &B->ports[HOST_PROCESS], 0, 0);
	hosts_settle(&hosts);
	traffic_flows(&tx, &rx, 20);
	hosts_stop(&hosts);
}

static void a_closed_sender_that_met_nobody_does_not_keep_its_name(void)
{
	struct chan_tx tx;
	struct chan_rx rx;

	two_start();
	CU_ASSERT_EQUAL(host_open(A, 1, 1, SLU_SEND, 1, 1), 0);
	chan_tx_init(&tx, &A->ports[HOST_PROCESS], 1);
	CU_ASSERT_TRUE(host_send(&tx, 0));
	chan_tx_eos(&tx);
	host_close(A, 1, 0);
	hosts_settle(&hosts);
	/* The name again, for something else, the receiver first. */
	CU_ASSERT_EQUAL(host_open(B, 0, 0, SLU_RECV, 1, 2), 0);
	hosts_settle(&hosts);
	CU_ASSERT_EQUAL(host_open(A, 0, 1, SLU_SEND, 1, 2), 0);
	chan_tx_init(&tx, &A->ports[HOST_PROCESS], 0);
	chan_rx_init(&rx, &B->ports[HOST_PROCESS], 0, 0);
	hosts_settle(&hosts);
	traffic_flows(&tx, &rx, 20);
	hosts_pass(&hosts, 6 * SLU_NS_PER_S);
	CU_ASSERT_TRUE(A->done[1]);
	CU_ASSERT_EQUAL(reset_error(A, 0), 0);
	hosts_stop(&hosts);
}

static void a_sender_alone_is_told_in_time(void)
{
	two_start();
	CU_ASSERT_EQUAL(host_open(A, 0, 1, SLU_SEND, 1, 1), 0);
	hosts_pass(&hosts, 4 * SLU_NS_PER_S);
	CU_ASSERT_EQUAL(reset_error(A, 0), 0);
	hosts_pass(&hosts, 2 * SLU_NS_PER_S);
	CU_ASSERT_EQUAL(reset_error(A, 0), -ETIMEDOUT);
	CU_ASSERT_PTR_NOT_NULL(strstr(reset_text(A, 0), "no receiver on host host1 within 5.0 s"));
	CU_ASSERT_PTR_NOT_NULL(strstr(reset_text(A, 0), "\"seg0 slice1\" on host host0"));
	CU_ASSERT_PTR_NOT_NULL(strstr(reset_text(A, 0), "channel 4/1 0->3"));
	hosts_stop(&hosts);
}

static void names_a_host_that_was_never_up(void)
{
	two_start();
	engine_peer_name(A->engine, 2, "sdw9");
	CU_ASSERT_EQUAL(host_open(A, 0, 2, SLU_RECV, 1, 1), 0);
	hosts_pass(&hosts, 6 * SLU_NS_PER_S);
	CU_ASSERT_EQUAL(reset_error(A, 0), -ETIMEDOUT);
	CU_ASSERT_PTR_NOT_NULL(strstr(reset_text(A, 0), "no sender on host sdw9"));
	host_close(A, 0, 0);
	CU_ASSERT_TRUE(A->done[0]);
	hosts_stop(&hosts);
}

static void a_stop_waits_for_a_sender_that_comes_later(void)
{
	struct chan_tx tx;
	uint32_t frame_idx;

	two_start();
	CU_ASSERT_EQUAL(host_open(B, 0, 0, SLU_RECV, 1, 1), 0);
	atomic_store(&arena_chan(B->arena, 0)->stop, 1);
	host_close(B, 0, 0);
	hosts_settle(&hosts);
	CU_ASSERT_TRUE(B->done[0]);
	CU_ASSERT_EQUAL(host_open(A, 0, 1, SLU_SEND, 1, 1), 0);
	chan_tx_init(&tx, &A->ports[HOST_PROCESS], 0);
	CU_ASSERT_EQUAL(chan_tx_acquire(&tx, &frame_idx), SLU_STOPPED);
	host_close(A, 0, 0);
	CU_ASSERT_TRUE(A->done[0]);
	CU_ASSERT_EQUAL(host_stats(A).ends_waiting, 0);
	hosts_stop(&hosts);
}

static void a_death_waits_for_a_receiver_that_comes_later(void)
{
	two_start();
	CU_ASSERT_EQUAL(host_open(A, 0, 1, SLU_SEND, 1, 1), 0);
	host_close(A, 0, ECONNRESET);
	hosts_settle(&hosts);
	CU_ASSERT_EQUAL(host_open(B, 0, 0, SLU_RECV, 1, 1), 0);
	CU_ASSERT_EQUAL(reset_error(B, 0), -ECONNRESET);
	CU_ASSERT_STRING_EQUAL(reset_text(B, 0), "it died");
	/* A token is never used again: the name may be, for something else. */
	CU_ASSERT_EQUAL(host_open(A, 1, 1, SLU_SEND, 2, 2), 0);
	host_close(A, 1, ECONNRESET);
	hosts_settle(&hosts);
	CU_ASSERT_EQUAL(host_open(B, 1, 0, SLU_RECV, 2, 3), 0);
	CU_ASSERT_EQUAL(reset_error(B, 1), 0);
	hosts_stop(&hosts);
}

static void forgets_who_ended_unmet_after_its_rendezvous_time(void)
{
	two_start();
	CU_ASSERT_EQUAL(host_open(A, 0, 1, SLU_SEND, 1, 1), 0);
	host_close(A, 0, ECONNRESET);
	hosts_settle(&hosts);
	CU_ASSERT_EQUAL(host_stats(B).ends_waiting, 1);
	hosts_pass(&hosts, 6 * SLU_NS_PER_S);
	CU_ASSERT_EQUAL(host_stats(B).ends_waiting, 0);
	CU_ASSERT_EQUAL(engine_deadline(B->engine), UINT64_MAX);
	hosts_stop(&hosts);
}

static void says_again_what_was_lost_with_the_control_connection(void)
{
	struct chan_tx tx;
	struct chan_rx rx;

	two_start();
	A->control_broken = true;
	CU_ASSERT_EQUAL(host_open(A, 0, 1, SLU_SEND, 1, 1), 0);
	hosts_peer_down(&hosts, 0, 1);
	CU_ASSERT_EQUAL(host_open(B, 0, 0, SLU_RECV, 1, 1), 0);
	hosts_settle(&hosts);
	A->control_broken = false;
	hosts_peer_up(&hosts, 0, 1);
	chan_tx_init(&tx, &A->ports[HOST_PROCESS], 0);
	chan_rx_init(&rx, &B->ports[HOST_PROCESS], 0, 0);
	hosts_settle(&hosts);
	/* Sessions live on without it. */
	hosts_peer_down(&hosts, 0, 1);
	traffic_flows(&tx, &rx, 50);
	chan_tx_eos(&tx);
	host_close(A, 0, 0);
	hosts_settle(&hosts);
	CU_ASSERT_FALSE(A->done[0]);
	hosts_peer_up(&hosts, 0, 1);
	hosts_settle(&hosts);
	CU_ASSERT_TRUE(A->done[0]);
	hosts_stop(&hosts);
}

static void a_peer_without_sessions_is_unreachable_in_time(void)
{
	struct chan_tx tx;
	struct chan_rx rx;

	two_start();
	channel_open(&tx, &rx, 1);
	/* B's engine is no more, and nobody says so. */
	engine_destroy(B->engine);
	B->engine = NULL;
	STAILQ_INIT(&hosts.letters);
	hosts.config.count = 1;
	hosts_pass(&hosts, 1 * SLU_NS_PER_S);
	CU_ASSERT_EQUAL(reset_error(A, 0), 0);
	hosts_pass(&hosts, 2 * SLU_NS_PER_S);
	CU_ASSERT_EQUAL(reset_error(A, 0), -EHOSTUNREACH);
	CU_ASSERT_PTR_NOT_NULL(strstr(reset_text(A, 0), "no session with host host1 for 2.0 s"));
	engine_peer_dead(A->engine, 1, ECONNRESET, "dead", hosts.now_ns);
	host_close(A, 0, 0);
	CU_ASSERT_TRUE(A->done[0]);
	port_fini(&B->ports[0]);
	port_fini(&B->ports[1]);
	arena_destroy(B->arena);
	hosts_stop(&hosts);
}

static void a_dead_peer_resets_every_channel_with_the_reason(void)
{
	struct chan_tx tx;
	struct chan_rx rx;

	two_start();
	channel_open(&tx, &rx, 1);
	CU_ASSERT_EQUAL(host_open(A, 1, 1, SLU_RECV, 2, 2), 0);
	engine_peer_dead(A->engine, 1, ECONNRESET, "host1 was restarted", hosts.now_ns);
	for (uint32_t i = 0; i < 2; i++) {
		CU_ASSERT_EQUAL(reset_error(A, i), -ECONNRESET);
		CU_ASSERT_PTR_NOT_NULL(strstr(reset_text(A, i), "host1 was restarted"));
	}
	hosts_stop(&hosts);
}

/* ---- rails --------------------------------------------------------------- */

#define RAILS               3u
#define FABRIC_SESSIONS_MAX 64

/* The loop driver with three rails, any of which may be dead for connects. */
static struct {
	bool dead;
	unsigned tried, connected;
} rails[RAILS];

/* What all of them do together: what is sent on the sessions that there are is lost on
 * its way, and then, with or without a word, are they. */
static struct {
	bool swallow, cut;
	struct slu_driver *driver; /* that connects */
	struct slu_driver_event downs[FABRIC_SESSIONS_MAX];
	int count;
} fabric;

static int rails_address(struct slu_driver *driver, char *ret_address)
{
	char one[SLU_DRIVER_ADDRESS_MAX];
	int r = slu_driver_find("loop")->address(driver, one);

	snprintf(ret_address, SLU_DRIVER_ADDRESS_MAX, "0/%.60s,1/%.60s,2/%.60s", one, one, one);
	return r;
}

static int rails_connect(struct slu_driver *driver, const char *address, const void *hello,
                         void *user, struct slu_session **ret_session)
{
	unsigned rail = (unsigned)(address[0] - '0');
	int r;

	CU_ASSERT_FATAL(rail < RAILS && address[1] == '/');
	CU_ASSERT_PTR_NULL(strchr(address, ','));
	rails[rail].tried++;
	if (rails[rail].dead)
		return -ENETDOWN;
	rails[rail].connected++;
	r = slu_driver_find("loop")->connect(driver, address + 2, hello, user, ret_session);
	CU_ASSERT_FATAL(r == 0 && fabric.count < FABRIC_SESSIONS_MAX);
	fabric.swallow = false;
	fabric.driver = driver;
	fabric.downs[fabric.count++] = (struct slu_driver_event){.type = SLU_DRIVER_DOWN,
	                                                         .session = *ret_session,
	                                                         .user = user,
	                                                         .error = -ENETDOWN,
	                                                         .text = "the fabric is cut"};
	return 0;
}

static int rails_send(struct slu_driver *driver, struct slu_session *session, const void *message,
                      uint32_t size_bytes, uint64_t cookie)
{
	return fabric.swallow ? 0
	                      : slu_driver_find("loop")->send(driver, session, message, size_bytes,
	                                                      cookie);
}

static int rails_send_small(struct slu_driver *driver, struct slu_session *session,
                            const void *message, uint32_t size_bytes)
{
	return fabric.swallow
	               ? 0
	               : slu_driver_find("loop")->send_small(driver, session, message, size_bytes);
}

static int rails_poll(struct slu_driver *driver, struct slu_driver_event *ret_events, int count)
{
	int downs = fabric.count;

	if (!fabric.cut || driver != fabric.driver)
		return slu_driver_find("loop")->poll(driver, ret_events, count);
	CU_ASSERT_FATAL(downs <= count);
	memcpy(ret_events, fabric.downs, (size_t)downs * sizeof(*ret_events));
	memset(&fabric, 0, sizeof(fabric));
	return downs;
}

static void rails_start_asking(unsigned dead, uint64_t advertise_ns)
{
	static struct slu_driver_ops ops;

	ops = *slu_driver_find("loop");
	ops.address = rails_address;
	ops.connect = rails_connect;
	ops.send = rails_send;
	ops.send_small = rails_send_small;
	ops.poll = rails_poll;
	memset(rails, 0, sizeof(rails));
	memset(&fabric, 0, sizeof(fabric));
	if (dead < RAILS)
		rails[dead].dead = true;
	hosts_start(&hosts, &(struct hosts_config){.count = 2,
	                                           .receive_frames = 24,
	                                           .advertise_ns = advertise_ns,
	                                           .ops = &ops});
}

static void rails_start(unsigned dead)
{
	rails_start_asking(dead, 3600 * SLU_NS_PER_S);
}

static void has_a_session_on_every_rail(void)
{
	rails_start(RAILS);
	hosts_settle(&hosts);
	/* Two bulk sessions are configured. Here also goes the urgent one. */
	CU_ASSERT_EQUAL(rails[0].connected, 2);
	CU_ASSERT_EQUAL(rails[1].connected, 1);
	CU_ASSERT_EQUAL(rails[2].connected, 1);
	hosts_stop(&hosts);
}

static void carries_on_without_a_dead_rail_and_returns_to_it(void)
{
	struct chan_tx tx;
	struct chan_rx rx;

	rails_start(1);
	channel_open(&tx, &rx, 1);
	hosts_pass(&hosts, 1 * SLU_NS_PER_S);
	traffic_flows(&tx, &rx, 100);
	CU_ASSERT_TRUE(rails[1].tried > 1);
	CU_ASSERT_EQUAL(rails[0].tried, 2);
	CU_ASSERT_EQUAL(rails[2].tried, 1);
	rails[1].dead = false;
	hosts_pass(&hosts, 1 * SLU_NS_PER_S);
	CU_ASSERT_EQUAL(rails[1].connected, 1);
	traffic_flows(&tx, &rx, 100);
	channel_close(&tx);
	hosts_stop(&hosts);
}

/* As many as fit; returns how many. */
static uint32_t frames_publish(struct chan_tx *tx)
{
	uint32_t count = 0;

	while (host_send(tx, count))
		count++;
	hosts_settle(&hosts);
	CU_ASSERT_TRUE(host_stats(A).tx_frames > 0);
	return count;
}

/* In order, from 0; returns how many. */
static uint32_t frames_receive(struct chan_rx *rx)
{
	uint32_t count = 0, number;

	for (int idle = 0; idle < 3; idle++) {
		while (host_recv(rx, &number) == SLU_OK) {
			CU_ASSERT_EQUAL(number, count);
			count++;
			idle = 0;
		}
		hosts_settle(&hosts);
	}
	return count;
}

/* Its home comes up right behind the session that it found first. */
static void goes_home_before_it_has_sent_again_what_was_lost(void)
{
	struct chan_tx tx;
	struct chan_rx rx;
	uint32_t sent;

	rails_start(RAILS);
	channel_open(&tx, &rx, 1);
	fabric.swallow = true;
	sent = frames_publish(&tx);
	fabric.cut = true;
	hosts_settle(&hosts);
	hosts_pass(&hosts, SLU_NS_PER_S);
	CU_ASSERT_EQUAL(rails[0].connected, 3);
	CU_ASSERT_EQUAL(frames_receive(&rx), sent);
	CU_ASSERT_TRUE(host_stats(A).resent_frames > 0);
	channel_close(&tx);
	hosts_stop(&hosts);
}

static void replaces_sessions_that_hang(void)
{
	struct chan_tx tx;
	struct chan_rx rx;
	uint32_t sent;

	rails_start_asking(RAILS, 100 * SLU_NS_PER_MS);
	channel_open(&tx, &rx, 1);
	fabric.swallow = true;
	sent = frames_publish(&tx);
	/* peer_timeout is 2 s. */
	hosts_pass(&hosts, 1900 * SLU_NS_PER_MS);
	CU_ASSERT_EQUAL(host_stats(A).sessions_lost, 0);
	CU_ASSERT_EQUAL(frames_receive(&rx), 0);
	hosts_pass(&hosts, 3 * SLU_NS_PER_S);
	CU_ASSERT_TRUE(host_stats(A).sessions_lost > 0);
	CU_ASSERT_EQUAL(frames_receive(&rx), sent);
	channel_close(&tx);
	hosts_stop(&hosts);
}

static void waits_for_who_rests_without_losing_a_session(void)
{
	struct chan_tx tx;
	struct chan_rx rx;
	uint32_t sent;

	rails_start_asking(RAILS, 100 * SLU_NS_PER_MS);
	channel_open(&tx, &rx, 1);
	sent = frames_publish(&tx);
	hosts_pass(&hosts, 60 * SLU_NS_PER_S);
	/* The whole host for less than peer_timeout, and this one for long. */
	B->stopped = true;
	hosts_pass(&hosts, 1900 * SLU_NS_PER_MS);
	B->stopped = false;
	hosts_settle(&hosts);
	hosts.now_ns += 60 * SLU_NS_PER_S;
	hosts_settle(&hosts);
	CU_ASSERT_EQUAL(frames_receive(&rx), sent);
	CU_ASSERT_EQUAL(host_stats(A).sessions_lost, 0);
	CU_ASSERT_EQUAL(host_stats(B).sessions_lost, 0);
	channel_close(&tx);
	hosts_stop(&hosts);
}

static void is_ever_more_patient_with_a_host_that_is_slow_to_accept(void)
{
	unsigned before;

	rails_start(RAILS);
	hosts_settle(&hosts);
	before = rails[2].tried;
	B->stopped = true;
	fabric.cut = true;
	/* 24 times, were each attempt given the same time. */
	hosts_pass(&hosts, 20 * SLU_NS_PER_S);
	CU_ASSERT_TRUE(rails[2].tried - before > 5);
	CU_ASSERT_TRUE(rails[2].tried - before < 20);
	B->stopped = false;
	hosts_pass(&hosts, 2 * SLU_NS_PER_S);
	before = rails[2].tried;
	hosts_pass(&hosts, 20 * SLU_NS_PER_S);
	CU_ASSERT_EQUAL(rails[2].tried, before);
	hosts_stop(&hosts);
}

static void urgent_channels_find_a_rail_that_lives(void)
{
	rails_start(0);
	hosts_pass(&hosts, 1 * SLU_NS_PER_S);
	CU_ASSERT_EQUAL(rails[0].connected, 0);
	CU_ASSERT_EQUAL(rails[1].connected, 2);
	CU_ASSERT_EQUAL(rails[2].connected, 1);
	hosts_stop(&hosts);
}

static void asks_not_to_sleep_while_there_is_work(void)
{
	struct chan_tx tx;
	struct chan_rx rx;

	two_start();
	hosts_pass(&hosts, SLU_NS_PER_S); /* what was set for connecting runs out */
	CU_ASSERT_EQUAL(engine_arm(A->engine), 0);
	CU_ASSERT_EQUAL(engine_deadline(A->engine), UINT64_MAX);
	channel_open(&tx, &rx, 1);
	CU_ASSERT_EQUAL(engine_arm(A->engine), 0);
	/* Closing gives the channel a turn. */
	chan_tx_eos(&tx);
	host_close(A, 0, 0);
	CU_ASSERT_EQUAL(engine_arm(A->engine), SLU_AGAIN);
	CU_ASSERT_TRUE(engine_deadline(A->engine) <= hosts.now_ns);
	hosts_stop(&hosts);
}

static void says_in_words_why_it_cannot_start(void)
{
	struct engine_callbacks callbacks = {0};
	struct slu_driver_option wrong = {"no_such_option", "1"};
	struct slu_driver_config driver = {.options = &wrong, .option_count = 1};
	struct engine_config config = {.ops = slu_driver_find("loop"), .driver = &driver};
	struct engine *engine = NULL;
	char error[ARENA_ERROR_BYTES] = "";

	two_start();
	config.port = &A->ports[0];
	config.node = "host0";
	CU_ASSERT_EQUAL(engine_create(&config, &callbacks, 0, error, &engine), -EINVAL);
	CU_ASSERT_PTR_NOT_NULL(strstr(error, "bulk_sessions 0"));
	config.bulk_sessions = 1;
	CU_ASSERT_EQUAL(engine_create(&config, &callbacks, 0, error, &engine), -EINVAL);
	CU_ASSERT_PTR_NOT_NULL(strstr(error, "no_such_option"));
	CU_ASSERT_PTR_NULL(engine);
	hosts_stop(&hosts);
}

int main(void)
{
	static const struct unit_test tests[] = {
	        UNIT_TEST(moves_frames_without_anybody_asking_again),
	        UNIT_TEST(sends_credit_of_urgent_channels_with_the_answer),
	        UNIT_TEST(sends_credit_of_urgent_channels_soon_without_an_answer),
	        UNIT_TEST(leaves_frames_in_the_ring_that_the_peer_has_no_room_for),
	        UNIT_TEST(refuses_what_cannot_be_guaranteed_a_frame),
	        UNIT_TEST(refuses_a_second_end_of_the_same_name),
	        UNIT_TEST(of_two_tokens_the_later_is_refused),
	        UNIT_TEST(a_closed_sender_that_met_nobody_does_not_keep_its_name),
	        UNIT_TEST(a_sender_alone_is_told_in_time),
	        UNIT_TEST(names_a_host_that_was_never_up),
	        UNIT_TEST(a_stop_waits_for_a_sender_that_comes_later),
	        UNIT_TEST(a_death_waits_for_a_receiver_that_comes_later),
	        UNIT_TEST(forgets_who_ended_unmet_after_its_rendezvous_time),
	        UNIT_TEST(says_again_what_was_lost_with_the_control_connection),
	        UNIT_TEST(a_peer_without_sessions_is_unreachable_in_time),
	        UNIT_TEST(a_dead_peer_resets_every_channel_with_the_reason),
	        UNIT_TEST(has_a_session_on_every_rail),
	        UNIT_TEST(carries_on_without_a_dead_rail_and_returns_to_it),
	        UNIT_TEST(goes_home_before_it_has_sent_again_what_was_lost),
	        UNIT_TEST(replaces_sessions_that_hang),
	        UNIT_TEST(waits_for_who_rests_without_losing_a_session),
	        UNIT_TEST(is_ever_more_patient_with_a_host_that_is_slow_to_accept),
	        UNIT_TEST(urgent_channels_find_a_rail_that_lives),
	        UNIT_TEST(asks_not_to_sleep_while_there_is_work),
	        UNIT_TEST(says_in_words_why_it_cannot_start),
	        {NULL, NULL},
	};

	log_set_level(LOG_LEVEL_ERROR); /* what is refused here is refused on purpose */
	return unit_run("engine", tests);
}
