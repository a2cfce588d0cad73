/* SPDX-License-Identifier: Apache-2.0 */
/* actors.c - see actors.h. */
#include "tests/kill/actors.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#define ROW_BYTES_MAX 3000u

/* splitmix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators) */
static uint64_t mix(uint64_t value)
{
	value += UINT64_C(0x9e3779b97f4a7c15);
	value = (value ^ (value >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	value = (value ^ (value >> 27)) * UINT64_C(0x94d049bb133111eb);
	return value ^ (value >> 31);
}

/* A row is its length in words and then words made from its number. */
static size_t row_words(uint64_t seed, uint64_t number)
{
	return 2 + mix(seed ^ number) % (ROW_BYTES_MAX / 8 - 2);
}

static void row_write(uint64_t *row, uint64_t seed, uint64_t number)
{
	size_t words = row_words(seed, number);

	row[0] = words;
	for (size_t i = 1; i < words; i++)
		row[i] = mix(number) + i;
}

static bool row_is(const uint64_t *row, size_t words_left, uint64_t seed, uint64_t number)
{
	size_t words = row_words(seed, number);

	if (words > words_left || row[0] != words)
		return false;
	for (size_t i = 1; i < words; i++)
		if (row[i] != mix(number) + i)
			return false;
	return true;
}

static int send_rows(struct actor *actor, slu_channel *channel)
{
	const struct actor_task *task = &actor->task;

	for (uint64_t number = 0; number < task->rows && !atomic_load(&actor->enough); number++) {
		size_t size = row_words(task->seed, number) * 8;
		void *row;
		int r;

		while ((r = slu_channel_reserve(channel, size, &row)) == SLU_AGAIN) {
			r = slu_channel_wait(channel, UINT64_MAX, -1);
			if (r < 0)
				return r;
		}
		if (r != SLU_OK)
			return r;
		row_write(row, task->seed, number);
		slu_channel_append(channel, size);
		if (mix(~number) % 64 == 0)
			slu_channel_flush(channel);
		atomic_store_explicit(&actor->moved_rows, number + 1, memory_order_relaxed);
	}
	return slu_channel_eos(channel);
}

static void check_frame(struct actor *actor, const struct slu_frame *frame, uint64_t *number)
{
	const uint64_t *row = frame->data, *end = row + frame->size_bytes / 8;

	while (row < end) {
		if (!row_is(row, (size_t)(end - row), actor->task.seed, *number)) {
			atomic_fetch_add(&actor->bad_rows, 1);
			return;
		}
		row += row[0];
		++*number;
	}
	atomic_store_explicit(&actor->moved_rows, *number, memory_order_relaxed);
}

/* Takes nothing while the rows of a whole window wait. */
static void rest(uint64_t pause_ns)
{
	struct timespec pause = {.tv_sec = (time_t)(pause_ns / 1000000000),
	                         .tv_nsec = (long)(pause_ns % 1000000000)};

	nanosleep(&pause, NULL);
}

static int receive_rows(struct actor *actor, slu_channel *channel)
{
	uint64_t number = 0;
	bool rested = false;

	for (;;) {
		struct slu_frame frame;
		int r = slu_channel_recv(channel, &frame);

		if (r == SLU_AGAIN) {
			r = slu_channel_wait(channel, UINT64_MAX, -1);
			if (r < 0)
				return r;
			continue;
		}
		if (r == SLU_EOS) {
			if (actor->task.rows != UINT64_MAX)
				atomic_fetch_add(&actor->bad_rows, number != actor->task.rows);
			return SLU_OK;
		}
		if (r != SLU_OK)
			return r;
		check_frame(actor, &frame, &number);
		slu_frame_release(&frame);
		if (actor->task.pause_ns && !rested)
			rest(actor->task.pause_ns);
		rested = true;
	}
}

static int act(struct actor *actor)
{
	char name[48];
	struct slu_attach_options attach = {
	        .socket_path = actor->task.socket_path, .cluster = ACTOR_CLUSTER, .name = name};
	struct slu_open_options open = {
	        .key = actor->task.key,
	        .token = actor->task.token,
	        .direction = actor->task.direction,
	        .peer = actor->task.peer,
	        .rendezvous_timeout_ns = actor->task.rendezvous_timeout_ns
	                                         ? actor->task.rendezvous_timeout_ns
	                                         : UINT64_C(20000000000),
	        .urgent = actor->task.urgent,
	        .encrypted = actor->task.encrypted,
	};
	bool sends = actor->task.direction == SLU_SEND;
	slu_endpoint *endpoint;
	slu_channel *channel;
	int r;

	snprintf(name, sizeof(name), "%s %llu", sends ? "writer" : "reader",
	         (unsigned long long)actor->task.key.query);
	r = slu_endpoint_attach(&attach, &endpoint);
	if (r < 0) {
		snprintf(actor->reason, sizeof(actor->reason), "attach: %s", slu_attach_error());
		return r;
	}
	r = slu_channel_open(endpoint, &open, &channel);
	if (r < 0) {
		snprintf(actor->reason, sizeof(actor->reason), "open: %s",
		         slu_endpoint_error(endpoint));
		return r;
	}
	r = sends ? send_rows(actor, channel) : receive_rows(actor, channel);
	snprintf(actor->reason, sizeof(actor->reason), "%s", slu_channel_reason(channel));
	slu_endpoint_detach(endpoint);
	return r;
}

void actor_start(struct actor *actor)
{
	pid_t pid;

	atomic_store(&actor->ended_ns, 0);
	actor->reaped = false;
	pid = fork();
	if (pid != 0) { /* actor is shared: the child must not write its 0 */
		actor->pid = pid;
		return;
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	actor->result = act(actor);
	atomic_store(&actor->ended_ns, slu_now_ns());
	_exit(0);
}
