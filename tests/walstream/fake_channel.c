/* SPDX-License-Identifier: Apache-2.0 */
/* fake_channel.c - see fake_channel.h. */
#include "tests/walstream/fake_channel.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LANES       4u
#define LANE_FRAMES 256u

struct lane {
	uint32_t motion; /* 0: free */
	unsigned window;
	unsigned published, received, released; /* frames, ever */
	bool eos, stopped, sender_open, receiver_open;
	int error; /* negative errno of a reset */
	char reason[256];
	struct {
		uint16_t tag;
		size_t size_bytes;
		_Alignas(32) uint8_t data[FAKE_FRAME_BYTES];
	} frames[LANE_FRAMES];
};

struct slu_channel {
	struct lane *lane;
	bool sends;
	bool writing;
};

static struct lane lanes[LANES];
static bool all_urgent = true;

static struct lane *lane_of(uint32_t motion)
{
	for (unsigned i = 0; i < LANES; i++) {
		if (lanes[i].motion == motion)
			return &lanes[i];
		if (!lanes[i].motion) {
			lanes[i].motion = motion;
			lanes[i].window = 8;
			return &lanes[i];
		}
	}
	abort();
}

void fake_start_over(void)
{
	for (unsigned i = 0; i < LANES; i++)
		if (lanes[i].sender_open || lanes[i].receiver_open) {
			fprintf(stderr, "a channel was left open\n");
			abort();
		}
	memset(lanes, 0, sizeof(lanes));
	all_urgent = true;
}

void fake_window_set(uint32_t motion, unsigned frames)
{
	lane_of(motion)->window = frames;
}

slu_endpoint *fake_endpoint(void)
{
	return (slu_endpoint *)lanes;
}

static void publish(struct lane *lane, uint16_t tag, size_t size_bytes)
{
	lane->frames[lane->published % LANE_FRAMES].tag = tag;
	lane->frames[lane->published % LANE_FRAMES].size_bytes = size_bytes;
	lane->published++;
}

void fake_inject(uint32_t motion, uint16_t tag, const void *data, size_t size_bytes)
{
	struct lane *lane = lane_of(motion);

	memcpy(lane->frames[lane->published % LANE_FRAMES].data, data, size_bytes);
	publish(lane, tag, size_bytes);
}

void fake_break(uint32_t motion, int error)
{
	struct lane *lane = lane_of(motion);

	lane->error = -error;
	snprintf(lane->reason, sizeof(lane->reason), "the other end died");
}

unsigned fake_waiting(uint32_t motion)
{
	return lane_of(motion)->published - lane_of(motion)->received;
}

bool fake_all_urgent(void)
{
	return all_urgent;
}

/* ---- sluice.h -------------------------------------------------------------------- */

size_t slu_endpoint_frame_capacity(const slu_endpoint *endpoint)
{
	return FAKE_FRAME_BYTES;
}

int slu_channel_open(slu_endpoint *endpoint, const struct slu_open_options *options,
                     slu_channel **ret_channel)
{
	struct lane *lane = lane_of(options->key.motion);
	bool sends = options->direction == SLU_SEND;
	slu_channel *channel;

	if (sends ? lane->sender_open : lane->receiver_open)
		return -EEXIST;
	channel = calloc(1, sizeof(*channel));
	if (!channel)
		return -ENOMEM;
	channel->lane = lane;
	channel->sends = sends;
	*(sends ? &lane->sender_open : &lane->receiver_open) = true;
	all_urgent = all_urgent && options->urgent;
	*ret_channel = channel;
	return 0;
}

void slu_channel_close(slu_channel *channel)
{
	struct lane *lane = channel->lane;

	if (channel->sends) {
		if (!lane->eos && !lane->stopped && !lane->error)
			fake_break(lane->motion, ECANCELED);
		lane->sender_open = false;
	} else {
		lane->stopped = true;
		lane->receiver_open = false;
	}
	free(channel);
}

const char *slu_channel_reason(slu_channel *channel)
{
	return channel->lane->reason;
}

int slu_channel_reset(slu_channel *channel, int error, const char *text)
{
	if (!channel->lane->error) {
		channel->lane->error = -error;
		snprintf(channel->lane->reason, sizeof(channel->lane->reason), "%s", text);
	}
	return SLU_OK;
}

int slu_channel_acquire(slu_channel *channel, void **ret_data, size_t *ret_capacity_bytes)
{
	struct lane *lane = channel->lane;

	if (lane->error)
		return lane->error;
	if (lane->stopped)
		return SLU_STOPPED;
	if (lane->eos)
		return -EPIPE;
	if (!channel->writing && lane->published - lane->released >= lane->window)
		return SLU_AGAIN;
	channel->writing = true;
	*ret_data = lane->frames[lane->published % LANE_FRAMES].data;
	*ret_capacity_bytes = FAKE_FRAME_BYTES;
	return SLU_OK;
}

int slu_channel_commit(slu_channel *channel, size_t size_bytes, uint16_t tag)
{
	if (!channel->writing || size_bytes > FAKE_FRAME_BYTES)
		abort();
	channel->writing = false;
	publish(channel->lane, tag, size_bytes);
	return SLU_OK;
}

int slu_channel_eos(slu_channel *channel)
{
	channel->lane->eos = true;
	return SLU_OK;
}

int slu_channel_recv(slu_channel *channel, struct slu_frame *ret_frame)
{
	struct lane *lane = channel->lane;
	unsigned idx = lane->received % LANE_FRAMES;

	if (lane->error)
		return lane->error;
	if (lane->received == lane->published)
		return lane->eos ? SLU_EOS : SLU_AGAIN;
	lane->received++;
	*ret_frame = (struct slu_frame){
	        .data = lane->frames[idx].data,
	        .size_bytes = (uint32_t)lane->frames[idx].size_bytes,
	        .tag = lane->frames[idx].tag,
	        .frame_idx = idx,
	        .channel = channel,
	};
	return SLU_OK;
}

int slu_frame_release(const struct slu_frame *frame)
{
	frame->channel->lane->released++;
	return SLU_OK;
}

void slu_channel_stats(const slu_channel *channel, struct slu_channel_stats *ret_stats)
{
	memset(ret_stats, 0, sizeof(*ret_stats));
}

int slu_set_create(slu_endpoint *endpoint, slu_set **ret_set)
{
	*ret_set = NULL;
	return 0;
}

void slu_set_destroy(slu_set *set)
{
}

int slu_set_add(slu_set *set, slu_channel *channel)
{
	return 0;
}

int slu_set_wait(slu_set *set, uint64_t deadline_ns, int foreign_fd)
{
	return SLU_TIMEOUT;
}
