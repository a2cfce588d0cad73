/* SPDX-License-Identifier: Apache-2.0 */
/* test_engine_turns.c - channels that share a session which takes less than they have
 * all come to their turn, however little it takes at a time. */
#include "tests/unit/engine_pair.h"
#include "tests/unit/unit.h"

#include <stdio.h>

#define CHANNELS 3u
#define ROUNDS   600u

struct stream {
	struct chan_tx tx;
	struct chan_rx rx;
	uint32_t sent, received;
};

static struct stream streams[CHANNELS];

/* Channels of every second entry are at home on the same one of two bulk sessions. */
static void streams_start(const char *queue_frames)
{
	hosts_start(&hosts, &(struct hosts_config){.count = 2,
	                                           .receive_frames = 192,
	                                           .frames = 400,
	                                           .advertise_ns = 3600 * SLU_NS_PER_S,
	                                           .queue_frames = queue_frames});
	for (uint32_t i = 0; i < CHANNELS; i++) {
		uint32_t entry = 2 * i;

		CU_ASSERT_EQUAL_FATAL(host_open(A, entry, 1, SLU_SEND, i + 1, i + 1), 0);
		CU_ASSERT_EQUAL_FATAL(host_open(B, entry, 0, SLU_RECV, i + 1, i + 1), 0);
		streams[i] = (struct stream){0};
		chan_tx_init(&streams[i].tx, &A->ports[HOST_PROCESS], entry);
		chan_rx_init(&streams[i].rx, &B->ports[HOST_PROCESS], entry, 0);
	}
	hosts_settle(&hosts);
}

/* Senders that never run out, receivers that never wait; the session is writable again
 * at each poll. */
static void streams_run(void)
{
	for (uint32_t round = 0; round < ROUNDS; round++) {
		for (struct stream *stream = streams; stream < streams + CHANNELS; stream++)
			while (host_send(&stream->tx, stream->sent))
				stream->sent++;
		engine_poll(A->engine, hosts.now_ns);
		engine_poll(B->engine, hosts.now_ns);
		for (struct stream *stream = streams; stream < streams + CHANNELS; stream++) {
			uint32_t number;

			while (host_recv(&stream->rx, &number) == SLU_OK)
				CU_ASSERT_EQUAL(number, stream->received++);
		}
		engine_poll(B->engine, hosts.now_ns);
	}
}

static void every_channel_has_its_share(const char *queue_frames)
{
	uint32_t all = 0;

	streams_start(queue_frames);
	streams_run();
	for (uint32_t i = 0; i < CHANNELS; i++)
		all += streams[i].received;
	CU_ASSERT_TRUE(all >= ROUNDS / 2);
	for (uint32_t i = 0; i < CHANNELS; i++) {
		bool fair = streams[i].received * CHANNELS >= all / 10 * 9;

		CU_ASSERT_TRUE(fair);
		if (!fair)
			printf("channel %u has %u of %u frames\n", i, streams[i].received, all);
	}
	hosts_stop(&hosts);
}

static void channels_share_a_session_that_takes_one_frame_at_a_time(void)
{
	every_channel_has_its_share("1");
}

static void channels_share_a_session_that_takes_a_few(void)
{
	every_channel_has_its_share("5");
}

static void channels_share_a_session_that_takes_more_than_one_turn(void)
{
	every_channel_has_its_share("11");
}

int main(void)
{
	static const struct unit_test tests[] = {
	        UNIT_TEST(channels_share_a_session_that_takes_one_frame_at_a_time),
	        UNIT_TEST(channels_share_a_session_that_takes_a_few),
	        UNIT_TEST(channels_share_a_session_that_takes_more_than_one_turn),
	        {NULL, NULL},
	};

	return unit_run("engine turns", tests);
}
