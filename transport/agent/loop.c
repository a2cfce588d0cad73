/* SPDX-License-Identifier: Apache-2.0 */
/* loop.c - see loop.h. */
#include "transport/agent/loop.h"

#include "transport/clock.h"
#include "transport/log.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define LOOP_BATCH 64

int loop_init(struct loop *loop)
{
	*loop = (struct loop){.epoll_fd = epoll_create1(EPOLL_CLOEXEC), .now_ns = clock_now_ns()};
	deadlines_init(&loop->deadlines);
	return loop->epoll_fd < 0 ? -errno : 0;
}

void loop_fini(struct loop *loop)
{
	deadlines_fini(&loop->deadlines);
	close(loop->epoll_fd);
}

static int loop_control(struct loop *loop, int op, struct loop_source *source, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.ptr = source};

	return epoll_ctl(loop->epoll_fd, op, source->fd, &event) < 0 ? -errno : 0;
}

int loop_watch(struct loop *loop, struct loop_source *source, int fd, uint32_t epoll_events)
{
	int result;

	source->fd = fd;
	result = loop_control(loop, EPOLL_CTL_ADD, source, epoll_events);
	if (result < 0)
		source->fd = -1;
	return result;
}

int loop_rewatch(struct loop *loop, struct loop_source *source, uint32_t epoll_events)
{
	return loop_control(loop, EPOLL_CTL_MOD, source, epoll_events);
}

void loop_unwatch(struct loop *loop, struct loop_source *source)
{
	if (source->fd < 0)
		return;
	loop_control(loop, EPOLL_CTL_DEL, source, 0);
	source->fd = -1;
}

/* Rounded up: waking before the deadline would only mean to wait again. */
static int loop_timeout_ms(uint64_t now_ns, uint64_t deadline_ns)
{
	uint64_t ms;

	if (deadline_ns == UINT64_MAX)
		return -1;
	if (deadline_ns <= now_ns)
		return 0;
	ms = (deadline_ns - now_ns + SLU_NS_PER_MS - 1) / SLU_NS_PER_MS;
	return ms > INT_MAX ? INT_MAX : (int)ms;
}

void loop_round(struct loop *loop)
{
	struct epoll_event events[LOOP_BATCH];
	uint64_t deadline_ns = deadlines_next_ns(&loop->deadlines);
	int count = epoll_wait(loop->epoll_fd, events, LOOP_BATCH,
	                       loop_timeout_ms(clock_now_ns(), deadline_ns));

	if (count < 0 && errno != EINTR) {
		log_event(LOG_LEVEL_ERROR, "loop_failed", "error=\"%s\"", strerror(errno));
		loop->stopped = true;
		return;
	}
	loop->now_ns = clock_now_ns();
	for (int i = 0; i < count; i++) {
		struct loop_source *source = events[i].data.ptr;

		if (source->fd >= 0)
			source->ready(source, events[i].events);
	}
	deadlines_run(&loop->deadlines, loop->now_ns);
}
