/* SPDX-License-Identifier: Apache-2.0 */
/* conformance_messages.c - tests of the suite: messages, back-pressure, sizes,
 * statistics. Content, order and SENT are checked by the rig's monitor. */
#include <errno.h>
#include <string.h>

#include <CUnit/CUnit.h>
#include <sluice/sluice.h>

#include "tests/driver/conformance_tests.h"

/* More than any queue below a session holds, when the receiver takes nothing. */
#define FRAMES_UNTIL_AGAIN 4000
#define SMALL_UNTIL_AGAIN  1000000

/* A sender with work left, for rig_until. */
struct stream {
	struct rig_side *from;
	int left;
};

static void stream_push(struct stream *stream)
{
	int budget = 16;

	while (stream->left > 0 && budget-- > 0 && rig_send_any(stream->from) == 0)
		stream->left--;
}

struct streams {
	struct stream stream[8];
	int count;
};

static bool streams_done(void *ctx)
{
	struct streams *streams = ctx;
	bool done = true;
	int idx;

	for (idx = 0; idx < streams->count; idx++) {
		stream_push(&streams->stream[idx]);
		if (streams->stream[idx].left > 0 ||
		    !rig_side_has_all(streams->stream[idx].from->other))
			done = false;
	}
	return done;
}

void delivers_messages_whole_in_order_and_once(void)
{
	struct rig *rig = conformance_rig(2);
	struct streams streams = {.count = 1};

	streams.stream[0] = (struct stream){rig_session(rig, 0, 1, NULL), 500};
	CU_ASSERT(rig_until(rig, streams_done, &streams));
	rig_settle(rig);
	CU_ASSERT(streams_done(&streams));
	rig_destroy(rig);
}

void delivers_the_shortest_and_the_longest(void)
{
	struct rig *rig = conformance_rig(2);
	struct rig_side *side, *acceptor;

	side = rig_session(rig, 0, 1, &acceptor);
	CU_ASSERT(rig_put(side, RIG_MESSAGE_BYTES_MAX) == 0);
	CU_ASSERT(rig_put_small(side, 1) == 0);
	CU_ASSERT(rig_put(side, 1) == 0);
	CU_ASSERT(rig_put_small(side, SLU_DRIVER_SMALL_MAX) == 0);
	CU_ASSERT(rig_put(side, RIG_MESSAGE_BYTES_MAX) == 0);
	CU_ASSERT(rig_until(rig, rig_side_has_all, acceptor));
	rig_destroy(rig);
}

void moves_both_directions_at_once(void)
{
	struct rig *rig = conformance_rig(2);
	struct streams streams = {.count = 2};
	struct rig_side *acceptor;

	streams.stream[0] = (struct stream){rig_session(rig, 0, 1, &acceptor), 300};
	streams.stream[1] = (struct stream){acceptor, 300};
	CU_ASSERT(rig_until(rig, streams_done, &streams));
	rig_destroy(rig);
}

void keeps_sessions_apart(void)
{
	struct rig *rig = conformance_rig(2);
	struct streams streams = {.count = 8};
	struct rig_side *acceptor;
	int idx;

	for (idx = 0; idx < 8; idx += 2) {
		streams.stream[idx] = (struct stream){
		        rig_session(rig, idx / 2 % 2, 1 - idx / 2 % 2, &acceptor), 60};
		streams.stream[idx + 1] = (struct stream){acceptor, 60};
	}
	CU_ASSERT(rig_until(rig, streams_done, &streams));
	rig_destroy(rig);
}

void joins_three_instances(void)
{
	struct rig *rig = conformance_rig(3);
	struct streams streams = {.count = 6};
	struct rig_side *acceptor;
	int idx;

	for (idx = 0; idx < 3; idx++) {
		streams.stream[2 * idx] =
		        (struct stream){rig_session(rig, idx, (idx + 1) % 3, &acceptor), 80};
		streams.stream[2 * idx + 1] = (struct stream){acceptor, 80};
	}
	CU_ASSERT(rig_until(rig, streams_done, &streams));
	rig_destroy(rig);
}

/* Send frames to a receiver without buffers until the driver takes no more. */
static bool fill_with_frames(struct rig *rig, struct rig_side *side)
{
	uint64_t again_count = side->instance->again_count;
	int count;

	for (count = 0; count < FRAMES_UNTIL_AGAIN; count++) {
		rig_send(side, RIG_MESSAGE_BYTES_MAX);
		if (side->instance->again_count > again_count)
			return true;
		if (rig_round(rig) == 0)
			rig_wait(rig, 0);
	}
	return false;
}

static bool was_writable(void *ctx)
{
	struct rig_side *side = ctx;

	return !side->wants_writable;
}

void pushes_frames_back_and_becomes_writable(void)
{
	struct rig *rig = conformance_rig(2);
	struct rig_side *side, *acceptor;
	size_t sent;

	side = rig_session(rig, 0, 1, &acceptor);
	rig->instances[1].starved = true;
	CU_ASSERT(fill_with_frames(rig, side));
	sent = side->record_count;
	rig_settle(rig);
	CU_ASSERT(acceptor->received == 0);
	rig->instances[1].starved = false;
	CU_ASSERT(rig_until(rig, was_writable, side));
	CU_ASSERT(rig_put(side, 100) == 0);
	CU_ASSERT(rig_until(rig, rig_side_has_all, acceptor));
	CU_ASSERT(acceptor->received == sent + 1);
	rig_destroy(rig);
}

void pushes_small_messages_back_and_becomes_writable(void)
{
	struct rig *rig = conformance_rig(2);
	struct rig_side *side, *acceptor;
	int count, r = 0;

	side = rig_session(rig, 0, 1, &acceptor);
	for (count = 0; r == 0 && count < SMALL_UNTIL_AGAIN; count++) {
		r = rig_send_small(side, SLU_DRIVER_SMALL_MAX);
		if (count % 16 == 0) { /* the receiver is not polled */
			rig->instances[0].ops->flush(rig->instances[0].driver);
			rig_poll(&rig->instances[0]);
		}
	}
	CU_ASSERT(r == SLU_AGAIN);
	CU_ASSERT(rig_until(rig, was_writable, side));
	CU_ASSERT(rig_put_small(side, 1) == 0);
	CU_ASSERT(rig_until(rig, rig_side_has_all, acceptor));
	rig_destroy(rig);
}

void takes_small_messages_while_frames_are_pushed_back(void)
{
	struct rig *rig = conformance_rig(2);
	struct rig_side *side, *acceptor;

	side = rig_session(rig, 0, 1, &acceptor);
	rig->instances[1].starved = true;
	CU_ASSERT(fill_with_frames(rig, side));
	CU_ASSERT(rig_send_small(side, SLU_DRIVER_SMALL_MAX) == 0);
	CU_ASSERT(rig_send_small(side, 8) == 0);
	/* The other direction is not concerned. */
	CU_ASSERT(rig_send(acceptor, 1000) == 0);
	CU_ASSERT(rig_until(rig, rig_side_has_all, side));
	rig->instances[1].starved = false;
	CU_ASSERT(rig_until(rig, rig_side_has_all, acceptor));
	rig_destroy(rig);
}

void stops_reading_while_there_is_no_buffer(void)
{
	struct rig *rig = conformance_rig(2);
	struct rig_side *side, *acceptor;
	int idx;

	side = rig_session(rig, 0, 1, &acceptor);
	CU_ASSERT(rig_send_small(side, 20) == 0);
	CU_ASSERT(rig_until(rig, rig_side_has_all, acceptor));
	rig->instances[1].starved = true;
	CU_ASSERT(rig_send(side, 3000) == 0);
	for (idx = 0; idx < 5; idx++) {
		rig_send(side, 3000); /* not all are taken where queues are short */
		rig_send_small(side, 20);
	}
	rig_settle(rig);
	CU_ASSERT(acceptor->received == 1); /* small ones do not overtake frames */
	CU_ASSERT(side->state == RIG_UP && acceptor->state == RIG_UP);
	rig->instances[1].starved = false;
	CU_ASSERT(rig_until(rig, rig_side_has_all, acceptor));
	rig_destroy(rig);
}

void reads_no_frame_after_close(void)
{
	struct rig *rig = conformance_rig(2);
	struct rig_side *side, *acceptor;
	int round, idx;

	/* The rig scribbles over the frames once the session is closed: a message
	 * that still arrives must have its own bytes. */
	for (round = 0; round < 12; round++) {
		side = rig_session(rig, 0, 1, &acceptor);
		for (idx = 0; idx < 40; idx++)
			rig_send(side, RIG_MESSAGE_BYTES_MAX);
		for (idx = 0; idx < round; idx++)
			rig_round(rig);
		rig_close(round % 2 ? side : acceptor);
		CU_ASSERT(rig_until(rig, rig_side_is_down, round % 2 ? acceptor : side));
		rig_close(round % 2 ? acceptor : side);
	}
	rig_destroy(rig);
}

void refuses_messages_that_are_too_long(void)
{
	struct rig *rig = conformance_rig(2);
	struct rig_side *side, *acceptor;

	side = rig_session(rig, 0, 1, &acceptor);
	CU_ASSERT(rig_send(side, RIG_MESSAGE_BYTES_MAX + 1) == -EMSGSIZE);
	CU_ASSERT(rig_send_small(side, SLU_DRIVER_SMALL_MAX + 1) == -EMSGSIZE);
	CU_ASSERT(rig_send_any(side) == 0);
	CU_ASSERT(rig_until(rig, rig_side_has_all, acceptor));
	rig_destroy(rig);
}

static bool is_offered(void *ctx)
{
	struct rig_side *side = ctx;

	return side->other != NULL;
}

void refuses_messages_while_it_is_not_up(void)
{
	struct rig *rig = conformance_rig(2);
	struct rig_side *side;
	int error = 0;

	rig->instances[1].policy = RIG_HOLD;
	side = rig_connect(&rig->instances[0], rig->instances[1].address, &error);
	CU_ASSERT_FATAL(side != NULL);
	CU_ASSERT(rig_put(side, 100) == -ENOTCONN);
	CU_ASSERT(rig_put_small(side, 10) == -ENOTCONN);
	CU_ASSERT_FATAL(rig_until(rig, is_offered, side));
	rig_settle(rig);
	CU_ASSERT(side->state == RIG_CONNECTING);
	CU_ASSERT(rig_put(side, 100) == -ENOTCONN);
	CU_ASSERT(rig_put(side->other, 100) == -ENOTCONN);
	rig_accept(side->other);
	CU_ASSERT(rig_until(rig, rig_side_is_up, side));
	CU_ASSERT(rig_put(side, 100) == 0);
	CU_ASSERT(rig_until(rig, rig_side_has_all, side->other));
	rig_close(side->other);
	CU_ASSERT(rig_until(rig, rig_side_is_down, side));
	CU_ASSERT(rig_put(side, 100) == -ENOTCONN);
	CU_ASSERT(rig_put_small(side, 10) == -ENOTCONN);
	rig_destroy(rig);
}

static uint64_t records_bytes(const struct rig_side *side)
{
	uint64_t bytes = 0;
	size_t idx;

	for (idx = 0; idx < side->record_count; idx++)
		bytes += side->records[idx].size_bytes;
	return bytes;
}

void its_statistics_add_up(void)
{
	struct rig *rig = conformance_rig(2);
	struct rig_instance *from = &rig->instances[0], *to = &rig->instances[1];
	struct slu_driver_stats from_stats, to_stats;
	struct streams streams = {.count = 2};
	struct rig_side *side, *acceptor;

	side = rig_session(rig, 0, 1, &acceptor);
	streams.stream[0] = (struct stream){side, 200};
	streams.stream[1] = (struct stream){acceptor, 100};
	CU_ASSERT(rig_until(rig, streams_done, &streams));
	from->ops->stats(from->driver, &from_stats);
	to->ops->stats(to->driver, &to_stats);
	CU_ASSERT(from_stats.messages_sent == 200);
	CU_ASSERT(from_stats.messages_received == 100);
	CU_ASSERT(to_stats.messages_sent == 100);
	CU_ASSERT(to_stats.messages_received == 200);
	CU_ASSERT(from_stats.bytes_sent == records_bytes(side));
	CU_ASSERT(to_stats.bytes_received == records_bytes(side));
	CU_ASSERT(to_stats.bytes_sent == records_bytes(acceptor));
	CU_ASSERT(from_stats.bytes_received == records_bytes(acceptor));
	/* Who promises zero copy has copied no payload. */
	if (from->ops->caps & SLU_DRIVER_ZERO_COPY_TX)
		CU_ASSERT(from_stats.tx_copied_bytes == 0 && to_stats.tx_copied_bytes == 0);
	if (from->ops->caps & SLU_DRIVER_ZERO_COPY_RX)
		CU_ASSERT(from_stats.rx_copied_bytes == 0 && to_stats.rx_copied_bytes == 0);
	CU_ASSERT(from_stats.again_count == from->again_count);
	CU_ASSERT(to_stats.again_count == to->again_count);
	CU_ASSERT(from_stats.sessions_up == 1 && from_stats.sessions_down == 0);
	CU_ASSERT(to_stats.sessions_up == 1 && to_stats.sessions_down == 0);
	rig_close(side);
	CU_ASSERT(rig_until(rig, rig_side_is_down, acceptor));
	from->ops->stats(from->driver, &from_stats);
	to->ops->stats(to->driver, &to_stats);
	CU_ASSERT(from_stats.sessions_up == 1 && from_stats.sessions_down == 1);
	CU_ASSERT(to_stats.sessions_up == 1 && to_stats.sessions_down == 1);
	rig_destroy(rig);
}

/* Sessions that are made again when they end, until enough has arrived. */
struct soak {
	struct rig *rig;
	struct rig_side *sides[4];
	size_t received; /* by sides that are over */
	int connect_count;
};

#define SOAK_MESSAGES 2000u

static void soak_side(struct soak *soak, int idx)
{
	struct rig *rig = soak->rig;
	struct rig_side *side = soak->sides[idx];
	struct rig_side *other = side ? side->other : NULL;
	int error = 0, budget;

	if (side && (side->state == RIG_DOWN || (other && other->state == RIG_DOWN))) {
		/* One end may know earlier; closing tells the other. */
		soak->received += side->received + (other ? other->received : 0);
		rig_close(side);
		if (other && other->state != RIG_CLOSED)
			rig_close(other);
		side = NULL;
	}
	if (!side) {
		side = rig_connect(&rig->instances[idx % 2], rig->instances[1 - idx % 2].address,
		                   &error);
		CU_ASSERT_FATAL(side != NULL);
		soak->sides[idx] = side;
		soak->connect_count++;
	}
	for (budget = 8; budget > 0 && side->state == RIG_UP && rig_send_any(side) == 0;)
		budget--;
	other = side->other;
	for (budget = 8; budget > 0 && other && other->state == RIG_UP && rig_send_any(other) == 0;)
		budget--;
}

static bool soak_done(void *ctx)
{
	struct soak *soak = ctx;
	size_t received;
	int idx;

	for (idx = 0; idx < 4; idx++)
		soak_side(soak, idx);
	received = soak->received;
	for (idx = 0; idx < 4; idx++) {
		received += soak->sides[idx]->received;
		if (soak->sides[idx]->other)
			received += soak->sides[idx]->other->received;
	}
	return received >= SOAK_MESSAGES;
}

void loses_nothing_but_what_was_in_flight(void)
{
	struct rig *rig = conformance_rig(2);
	struct soak soak = {.rig = rig};

	CU_ASSERT(rig_until(rig, soak_done, &soak));
	CU_ASSERT(conformance_current()->faults || soak.connect_count == 4);
	rig_destroy(rig);
}
