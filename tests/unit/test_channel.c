/* SPDX-License-Identifier: Apache-2.0 */
/* test_channel.c - the two ends of a channel: order, credit, guarantee of one
 * frame, ends, bad memory; then two threads that sleep and wake each other. */
#include "tests/unit/arena_fixture.h"
#include "tests/unit/unit.h"

#include <CUnit/CUnit.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>

static const struct arena_fixture_config small = {
        .frame_bytes = 4096, .max_channels = 4, .shared_frames = 16, .window_slots = 16};

/* Publish one frame with a number in it; what acquire said. */
static int send_number(struct chan_tx *tx, uint64_t number)
{
	uint32_t frame_idx;
	int r = chan_tx_acquire(tx, &frame_idx);

	if (r == SLU_OK) {
		struct frame_shm *frame = arena_frame(tx->port->arena, frame_idx);

		memcpy(frame->payload, &number, sizeof(number));
		frame->wire.size_bytes = sizeof(number);
		frame->wire.tag = (uint16_t)number;
		chan_tx_publish(tx, frame_idx);
	}
	return r;
}

/* Take one frame and give it back; what next said. */
static int recv_number(struct chan_rx *rx, uint64_t *ret_number)
{
	uint32_t frame_idx;
	int r = chan_rx_next(rx, &frame_idx);

	if (r == SLU_OK) {
		memcpy(ret_number, arena_frame(rx->port->arena, frame_idx)->payload,
		       sizeof(*ret_number));
		chan_rx_release(rx, frame_idx);
	}
	return r;
}

static void delivers_in_order_and_ends(void)
{
	struct arena_fixture fixture;
	struct chan_tx tx;
	struct chan_rx rx;
	uint64_t number = 0;

	arena_fixture_start(&fixture, &small);
	arena_fixture_open(&fixture, 0, 0, 1);
	chan_tx_init(&tx, &fixture.ports[0], 0);
	chan_rx_init(&rx, &fixture.ports[1], 0, 0);
	CU_ASSERT_EQUAL(recv_number(&rx, &number), SLU_AGAIN);
	for (uint64_t i = 0; i < 1000; i++) {
		CU_ASSERT_EQUAL(send_number(&tx, i), SLU_OK);
		CU_ASSERT_EQUAL(send_number(&tx, i + 5000), SLU_OK);
		CU_ASSERT_EQUAL(recv_number(&rx, &number), SLU_OK);
		CU_ASSERT_EQUAL(number, i);
		CU_ASSERT_EQUAL(recv_number(&rx, &number), SLU_OK);
		CU_ASSERT_EQUAL(number, i + 5000);
	}
	CU_ASSERT_EQUAL(send_number(&tx, 77), SLU_OK);
	chan_tx_eos(&tx);
	CU_ASSERT_EQUAL(send_number(&tx, 78), -EPIPE);
	CU_ASSERT_EQUAL(recv_number(&rx, &number), SLU_OK);
	CU_ASSERT_EQUAL(recv_number(&rx, &number), SLU_EOS);
	CU_ASSERT_EQUAL(recv_number(&rx, &number), SLU_EOS);
	CU_ASSERT_TRUE(arena_fixture_full(&fixture));
	arena_fixture_stop(&fixture);
}

static void window_bounds_the_frames_in_flight(void)
{
	struct arena_fixture fixture;
	struct chan_tx tx;
	struct chan_rx rx;
	uint64_t number;
	uint32_t sent = 0;

	arena_fixture_start(&fixture, &small);
	arena_fixture_open(&fixture, 0, 0, 1);
	chan_tx_init(&tx, &fixture.ports[0], 0);
	while (send_number(&tx, sent) == SLU_OK)
		sent++;
	/* before the receiver has come */
	CU_ASSERT_EQUAL(sent, CHAN_WINDOW_INITIAL);
	chan_rx_init(&rx, &fixture.ports[1], 0, 0);
	for (uint32_t i = 0; i < sent; i++) {
		CU_ASSERT_EQUAL(recv_number(&rx, &number), SLU_OK);
		CU_ASSERT_EQUAL(number, i);
	}
	CU_ASSERT_EQUAL(recv_number(&rx, &number), SLU_AGAIN);
	CU_ASSERT_EQUAL(send_number(&tx, sent), SLU_OK);
	arena_fixture_stop(&fixture);
}

static void window_grows_when_both_wait(void)
{
	struct arena_fixture fixture;
	struct chan_tx tx;
	struct chan_rx rx;
	uint64_t number;

	arena_fixture_start(&fixture, &small);
	arena_fixture_open(&fixture, 0, 0, 1);
	chan_tx_init(&tx, &fixture.ports[0], 0);
	chan_rx_init(&rx, &fixture.ports[1], 0, 0);
	for (int round = 0; round < 8; round++) {
		while (send_number(&tx, 0) == SLU_OK)
			;
		while (recv_number(&rx, &number) == SLU_OK)
			;
	}
	CU_ASSERT_EQUAL(rx.window, small.window_slots);
	arena_fixture_stop(&fixture);
}

static void moves_by_its_home_frame_when_others_hold_all(void)
{
	struct arena_fixture fixture;
	struct chan_tx tx;
	struct chan_rx rx;
	uint64_t number;

	arena_fixture_start(&fixture, &small);
	arena_fixture_open(&fixture, 0, 0, 1);
	while (frame_pool_take(fixture.arena, fixture.ports[2].slot) != FRAME_NONE)
		;
	chan_tx_init(&tx, &fixture.ports[0], 0);
	chan_rx_init(&rx, &fixture.ports[1], 0, 0);
	for (uint64_t i = 0; i < 100; i++) {
		CU_ASSERT_EQUAL(send_number(&tx, i), SLU_OK);
		CU_ASSERT_EQUAL(send_number(&tx, i), SLU_AGAIN);
		CU_ASSERT_FALSE(readyset_any(&fixture.ports[0].ready));
		CU_ASSERT_EQUAL(recv_number(&rx, &number), SLU_OK);
		CU_ASSERT_EQUAL(number, i);
		/* the release of the home frame wakes the sender */
		CU_ASSERT_TRUE(readyset_any(&fixture.ports[0].ready));
		CU_ASSERT_TRUE(chan_tx_poll(&tx));
		atomic_store(fixture.ports[0].ready.summary, 0);
		atomic_store(fixture.ports[0].ready.words, 0);
	}
	arena_fixture_stop(&fixture);
}

static void releases_in_any_order(void)
{
	struct arena_fixture fixture;
	struct chan_tx tx;
	struct chan_rx rx;
	uint32_t held[4];

	arena_fixture_start(&fixture, &small);
	arena_fixture_open(&fixture, 0, 0, 1);
	chan_tx_init(&tx, &fixture.ports[0], 0);
	chan_rx_init(&rx, &fixture.ports[1], 0, 4);
	for (int round = 0; round < 50; round++) {
		for (uint64_t i = 0; i < 4; i++)
			CU_ASSERT_EQUAL(send_number(&tx, i), SLU_OK);
		for (int i = 0; i < 4; i++)
			CU_ASSERT_EQUAL(chan_rx_next(&rx, &held[i]), SLU_OK);
		for (int i = 3; i >= 0; i--)
			chan_rx_release(&rx, held[i]);
	}
	CU_ASSERT_TRUE(arena_fixture_full(&fixture));
	arena_fixture_stop(&fixture);
}

static void stop_is_sticky_and_told_at_once(void)
{
	struct arena_fixture fixture;
	struct chan_tx tx;
	struct chan_rx rx;

	arena_fixture_start(&fixture, &small);
	arena_fixture_open(&fixture, 0, 0, 1);
	chan_rx_init(&rx, &fixture.ports[1], 0, 0);
	chan_rx_stop(&rx);
	chan_tx_init(&tx, &fixture.ports[0], 0);
	CU_ASSERT_TRUE(readyset_any(&fixture.ports[0].ready));
	CU_ASSERT_EQUAL(send_number(&tx, 1), SLU_STOPPED);
	CU_ASSERT_EQUAL(send_number(&tx, 1), SLU_STOPPED);
	arena_fixture_stop(&fixture);
}

static void reset_comes_after_the_data_with_its_words(void)
{
	struct arena_fixture fixture;
	struct chan_tx tx;
	struct chan_rx rx;
	uint64_t number;

	arena_fixture_start(&fixture, &small);
	arena_fixture_open(&fixture, 0, 0, 1);
	chan_tx_init(&tx, &fixture.ports[0], 0);
	chan_rx_init(&rx, &fixture.ports[1], 0, 0);
	CU_ASSERT_EQUAL(send_number(&tx, 5), SLU_OK);
	chan_reset_write(&tx.shm->agent_reset, ECONNRESET, "first");
	chan_reset_write(&tx.shm->agent_reset, EIO, "second");
	CU_ASSERT_EQUAL(recv_number(&rx, &number), SLU_OK);
	CU_ASSERT_EQUAL(recv_number(&rx, &number), -ECONNRESET);
	CU_ASSERT_STRING_EQUAL(chan_reset_text(rx.shm), "first");
	CU_ASSERT_EQUAL(send_number(&tx, 6), -ECONNRESET);
	arena_fixture_stop(&fixture);
}

static void refuses_what_was_scribbled_over_the_ring(void)
{
	struct arena_fixture fixture;
	struct chan_tx tx;
	struct chan_rx rx;
	uint32_t frame_idx;

	arena_fixture_start(&fixture, &small);
	arena_fixture_open(&fixture, 0, 0, 1);
	chan_tx_init(&tx, &fixture.ports[0], 0);
	chan_rx_init(&rx, &fixture.ports[1], 0, 0);
	atomic_store(&rx.shm->slots[0], UINT64_C(1) << 32 | fixture.arena->frame_count);
	CU_ASSERT_EQUAL(chan_rx_next(&rx, &frame_idx), -EBADMSG);
	atomic_store(&rx.shm->slots[0], UINT64_C(1) << 32 | 0); /* a frame that was not sent */
	CU_ASSERT_EQUAL(chan_rx_next(&rx, &frame_idx), -EBADMSG);
	atomic_store(&rx.shm->slots[0], 0);
	CU_ASSERT_EQUAL(send_number(&tx, 5), SLU_OK);
	frame_idx = (uint32_t)atomic_load(&rx.shm->slots[0]);
	arena_frame(fixture.arena, frame_idx)->wire.size_bytes = fixture.arena->frame_capacity + 1;
	CU_ASSERT_EQUAL(chan_rx_next(&rx, &frame_idx), -EBADMSG);
	arena_fixture_stop(&fixture);
}

/* ---- two threads ---------------------------------------------------------- */

#define STREAM_FRAMES 20000u

struct stream {
	struct arena_fixture fixture;
	uint64_t failures;
	uint64_t lost_wakeups;
};

/* Sleep as a client does; a wake-up that does not come in ten seconds is lost. */
static void sleep_on(struct port *port, struct stream *stream)
{
	struct pollfd pfd = {.fd = port->doorbell_fd, .events = POLLIN};

	if (!port_try_sleep(port))
		return;
	if (poll(&pfd, 1, 10000) == 0)
		__atomic_fetch_add(&stream->lost_wakeups, 1, __ATOMIC_RELAXED);
	port_wake(port);
}

static void ignore_bit(uint32_t bit, void *ctx)
{
	(void)bit;
	(void)ctx;
}

static void *stream_sender(void *ctx)
{
	struct stream *stream = ctx;
	struct chan_tx tx;

	chan_tx_init(&tx, &stream->fixture.ports[0], 0);
	for (uint64_t i = 0; i < STREAM_FRAMES && !stream->lost_wakeups;) {
		int r;

		readyset_take(&tx.port->ready, ignore_bit, NULL);
		r = send_number(&tx, i);
		if (r == SLU_OK)
			i++;
		else if (r == SLU_AGAIN)
			sleep_on(tx.port, stream);
		else
			break;
	}
	chan_tx_eos(&tx);
	return NULL;
}

static void *stream_receiver(void *ctx)
{
	struct stream *stream = ctx;
	struct chan_rx rx;
	uint64_t expected = 0, number = 0;

	chan_rx_init(&rx, &stream->fixture.ports[1], 0, 0);
	for (;;) {
		int r;

		readyset_take(&rx.port->ready, ignore_bit, NULL);
		r = recv_number(&rx, &number);
		if (r == SLU_OK)
			stream->failures += number != expected++;
		else if (r == SLU_AGAIN && !stream->lost_wakeups)
			sleep_on(rx.port, stream);
		else
			break;
	}
	stream->failures += expected != STREAM_FRAMES;
	return NULL;
}

static void two_threads_never_lose_a_wakeup(void)
{
	/* few and many shared frames: with 1, the home frame carries the stream */
	static const uint32_t shared_frames[] = {1, 2, 64};

	for (size_t i = 0; i < sizeof(shared_frames) / sizeof(shared_frames[0]); i++) {
		struct arena_fixture_config config = small;
		struct stream stream = {.failures = 0};
		pthread_t threads[2];

		config.shared_frames = shared_frames[i];
		arena_fixture_start(&stream.fixture, &config);
		arena_fixture_open(&stream.fixture, 0, 0, 1);
		CU_ASSERT_EQUAL_FATAL(pthread_create(&threads[0], NULL, stream_sender, &stream), 0);
		CU_ASSERT_EQUAL_FATAL(pthread_create(&threads[1], NULL, stream_receiver, &stream),
		                      0);
		pthread_join(threads[0], NULL);
		pthread_join(threads[1], NULL);
		CU_ASSERT_EQUAL(stream.failures, 0);
		CU_ASSERT_EQUAL(stream.lost_wakeups, 0);
		CU_ASSERT_TRUE(arena_fixture_full(&stream.fixture));
		arena_fixture_stop(&stream.fixture);
	}
}

int main(void)
{
	static const struct unit_test tests[] = {
	        UNIT_TEST(delivers_in_order_and_ends),
	        UNIT_TEST(window_bounds_the_frames_in_flight),
	        UNIT_TEST(window_grows_when_both_wait),
	        UNIT_TEST(moves_by_its_home_frame_when_others_hold_all),
	        UNIT_TEST(releases_in_any_order),
	        UNIT_TEST(stop_is_sticky_and_told_at_once),
	        UNIT_TEST(reset_comes_after_the_data_with_its_words),
	        UNIT_TEST(refuses_what_was_scribbled_over_the_ring),
	        UNIT_TEST(two_threads_never_lose_a_wakeup),
	        {NULL, NULL},
	};

	return unit_run("channel", tests);
}
