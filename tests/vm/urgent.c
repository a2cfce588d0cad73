/* SPDX-License-Identifier: Apache-2.0 */
/*
 * urgent.c - does a small urgent message wait behind bulk? A process keeps many
 * bulk channels between two agents of this host full; another sends single
 * messages on one more channel and counts how many bulk frames are delivered
 * between its sending one and its receiving it. That number, and not a time, is
 * what the transport decides. Once with the channel urgent, and once not, to see
 * that there is something to wait for.
 *
 *   vm-urgent SOCKET-A SOCKET-B NODE-A NODE-B
 *
 * Prints both counts; exit status 0 when urgent messages waited for less than an
 * eighth of the frames that were there before them.
 */
#include <sluice/sluice.h>

#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define CLUSTER    UINT64_C(42)
#define BULKS      12u
#define WINDOW     64u
#define MESSAGES   60
#define SHARE      8u
#define GIVE_UP_NS (UINT64_C(60) * 1000 * 1000 * 1000)

struct ends {
	slu_endpoint *from, *to;
	slu_set *bulk;
	slu_channel *single_out, *single_in;
	uint64_t bulk_count; /* delivered */
};

/* Frames that the filler has published; shared with it. */
static _Atomic uint64_t *published_count;

static void die(const char *what, const char *why)
{
	printf("urgent: %s: %s\n", what, why);
	exit(1);
}

static slu_endpoint *attach(const char *socket_path)
{
	struct slu_attach_options options = {
	        .socket_path = socket_path, .cluster = CLUSTER, .name = "urgent"};
	slu_endpoint *endpoint;

	if (slu_endpoint_attach(&options, &endpoint) < 0)
		die(socket_path, slu_attach_error());
	return endpoint;
}

static slu_channel *channel_open(slu_endpoint *endpoint, const char *peer, uint64_t number,
                                 enum slu_direction direction, bool urgent)
{
	struct slu_open_options options = {
	        .key = {.cluster = CLUSTER, .query = number, .motion = 1},
	        .direction = direction,
	        .peer = peer,
	        .window_frames_max = WINDOW,
	        .urgent = urgent};
	slu_channel *channel;

	memcpy(options.token.bytes, &number, sizeof(number));
	if (slu_channel_open(endpoint, &options, &channel) < 0)
		die("open", slu_endpoint_error(endpoint));
	return channel;
}

/* A frame on each channel that takes one, in turn, for ever. */
static void bulk_fill(const char *socket_path, const char *peer, uint64_t number)
{
	slu_endpoint *endpoint = attach(socket_path);
	slu_channel *channels[BULKS];
	size_t capacity_bytes;
	bool filled = true;
	slu_set *set;
	void *data;

	slu_set_create(endpoint, &set);
	for (unsigned i = 0; i < BULKS; i++) {
		channels[i] = channel_open(endpoint, peer, number + i, SLU_SEND, false);
		slu_set_add(set, channels[i]);
	}
	for (;; filled = false) {
		for (unsigned i = 0; i < BULKS; i++) {
			if (slu_channel_acquire(channels[i], &data, &capacity_bytes) != SLU_OK)
				continue;
			slu_channel_commit(channels[i], capacity_bytes, 0);
			atomic_fetch_add(published_count, 1);
			filled = true;
		}
		if (!filled)
			slu_set_wait(set, UINT64_MAX, -1);
	}
}

/* One bulk frame, if there is any. */
static void bulk_take(struct ends *ends)
{
	struct slu_frame frame;
	int r = slu_set_recv(ends->bulk, &frame);

	if (r == SLU_OK) {
		slu_frame_release(&frame);
		ends->bulk_count++;
	} else if (r != SLU_AGAIN) {
		die("bulk", slu_channel_reason(frame.channel));
	}
}

static void bulk_take_until(struct ends *ends, uint64_t count)
{
	uint64_t deadline_ns = slu_now_ns() + GIVE_UP_NS;

	while (ends->bulk_count < count) {
		bulk_take(ends);
		if (slu_now_ns() > deadline_ns)
			die("bulk", "it does not move");
	}
}

static void single_send(struct ends *ends)
{
	size_t capacity_bytes;
	void *data;
	int r = slu_channel_acquire(ends->single_out, &data, &capacity_bytes);

	if (r != SLU_OK)
		die("single", slu_channel_reason(ends->single_out));
	memset(data, 7, 64);
	slu_channel_commit(ends->single_out, 64, 0);
}

/* One message; returns how many bulk frames came before it. */
static uint32_t single_wait(struct ends *ends)
{
	uint64_t deadline_ns = slu_now_ns() + GIVE_UP_NS, count = ends->bulk_count;
	struct slu_frame frame;

	single_send(ends);
	for (;;) {
		int r = slu_channel_recv(ends->single_in, &frame);

		if (r == SLU_OK)
			break;
		if (r != SLU_AGAIN || slu_now_ns() > deadline_ns)
			die("single", slu_channel_reason(ends->single_in));
		bulk_take(ends);
	}
	slu_frame_release(&frame);
	return (uint32_t)(ends->bulk_count - count);
}

static int compare(const void *a, const void *b)
{
	return (int)*(const uint32_t *)a - (int)*(const uint32_t *)b;
}

static void ends_open(struct ends *ends, char **arguments, uint64_t number, bool urgent)
{
	ends->from = attach(arguments[1]);
	ends->to = attach(arguments[2]);
	slu_set_create(ends->to, &ends->bulk);
	for (unsigned i = 0; i < BULKS; i++)
		slu_set_add(ends->bulk,
		            channel_open(ends->to, arguments[3], number + i, SLU_RECV, false));
	number += BULKS;
	ends->single_out = channel_open(ends->from, arguments[4], number, SLU_SEND, urgent);
	ends->single_in = channel_open(ends->to, arguments[3], number, SLU_RECV, urgent);
	ends->bulk_count = 0;
}

/* The medians of how many frames a message found there, and waited for. */
static void measure(char **arguments, bool urgent, uint32_t *ret_there, uint32_t *ret_waited)
{
	uint64_t number = urgent ? 1000 : 2000;
	uint32_t there[MESSAGES], waited[MESSAGES];
	struct ends ends;
	pid_t filler;

	atomic_store(published_count, 0);
	filler = fork();
	if (filler == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		bulk_fill(arguments[1], arguments[4], number);
	}
	ends_open(&ends, arguments, number, urgent);
	/* All channels are joined, and their windows have grown. */
	bulk_take_until(&ends, 100 * BULKS);
	single_wait(&ends);
	for (int i = 0; i < MESSAGES; i++) {
		there[i] = (uint32_t)(atomic_load(published_count) - ends.bulk_count);
		waited[i] = single_wait(&ends);
		bulk_take_until(&ends, ends.bulk_count + 100);
	}
	qsort(there, MESSAGES, sizeof(*there), compare);
	qsort(waited, MESSAGES, sizeof(*waited), compare);
	*ret_there = there[MESSAGES / 2];
	*ret_waited = waited[MESSAGES / 2];
	printf("%s message: found %u bulk frames, %u were delivered before it (medians of %d; "
	       "worst %u)\n",
	       urgent ? "urgent" : "other", *ret_there, *ret_waited, MESSAGES,
	       waited[MESSAGES - 1]);
	kill(filler, SIGKILL);
	waitpid(filler, NULL, 0);
	slu_endpoint_detach(ends.from);
	slu_endpoint_detach(ends.to);
}

int main(int argc, char **argv)
{
	uint32_t there, waited;

	if (argc != 5)
		return 2;
	setvbuf(stdout, NULL, _IONBF, 0);
	published_count = mmap(NULL, sizeof(*published_count), PROT_READ | PROT_WRITE,
	                       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (published_count == MAP_FAILED)
		die("mmap", "no memory");
	measure(argv, false, &there, &waited);
	measure(argv, true, &there, &waited);
	if (waited * SHARE > there)
		die("too long", "an urgent message waited behind bulk");
	return 0;
}
