/* SPDX-License-Identifier: Apache-2.0 */
/* remote_far.c - see remote.h: the far end, which does what near asks for. One
 * process for each instance: what it leaves behind is found when it exits. */
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <sluice/sluice.h>

#include "tests/driver/remote.h"
#include "tests/driver/remote_wire.h"
#include "transport/clock.h"

#define OPTIONS_MAX 16

/* A message that near borrows until the next poll, and how it was. */
struct lent {
	const void *message;
	uint32_t size_bytes;
	uint8_t bytes[SLU_DRIVER_SMALL_MAX];
};

struct far {
	int fd; /* of the connection */
	const struct slu_driver_ops *ops;
	struct slu_driver *driver; /* NULL: not open */
	struct slu_driver_host host;
	bool armed;
	struct lent lent[REMOTE_EVENTS_MAX];
	int lent_count;
};

/* Near sees that the connection is over, and its test has failed. */
static _Noreturn void give_up(const char *what)
{
	fprintf(stderr, "far instance: %s\n", what);
	exit(EXIT_FAILURE);
}

/* ---- what the driver asks of its host ------------------------------------ */

static uint64_t position_of(const struct far *far, const void *frame)
{
	return (uint64_t)((const uint8_t *)frame - far->host.arena);
}

static uint8_t *frame_at(const struct far *far, uint64_t position, uint64_t size_bytes)
{
	if (position > far->host.arena_bytes || size_bytes > far->host.arena_bytes - position)
		give_up("a frame that is not in the arena");
	return far->host.arena + position;
}

/* When near is gone nobody looks at what comes of it. */
static void *host_rx_get(void *ctx)
{
	struct far *far = ctx;
	struct remote_head head = {.type = REMOTE_RX_GET};

	if (!remote_put(far->fd, &head, NULL) || !remote_get(far->fd, &head, sizeof(head)))
		return NULL;
	if (head.type != REMOTE_RX_GOT)
		give_up("not the answer to rx_get");
	if (head.position == REMOTE_NOWHERE)
		return NULL;
	return frame_at(far, head.position, far->host.message_bytes_max);
}

static void host_rx_put(void *ctx, void *buffer)
{
	struct far *far = ctx;
	struct remote_head head = {.type = REMOTE_RX_PUT, .position = position_of(far, buffer)};

	remote_put(far->fd, &head, NULL);
}

static uint64_t host_now_ns(void *ctx)
{
	return clock_now_ns();
}

/* ---- ops ------------------------------------------------------------------- */

static void reply(struct far *far, int64_t result, const void *bytes, size_t size_bytes)
{
	struct remote_head head = {
	        .type = REMOTE_REPLY, .size_bytes = (uint32_t)size_bytes, .result = result};

	remote_put(far->fd, &head, bytes);
}

static void op_open(struct far *far, const struct remote_head *asked, const char *texts)
{
	struct slu_driver_option options[OPTIONS_MAX];
	char error[SLU_DRIVER_ERROR_MAX] = "";
	struct slu_driver_config config = {.options = options, .error = error};
	const char *end = texts + asked->size_bytes, *text = texts;
	int r;

	far->ops = slu_driver_find(text);
	if (!far->ops || far->driver)
		give_up("no such driver here, or it is open");
	for (text += strlen(text) + 1; text < end && config.option_count < OPTIONS_MAX;) {
		options[config.option_count].name = text;
		text += strlen(text) + 1;
		options[config.option_count++].value = text;
		text += strlen(text) + 1;
	}
	far->host = (struct slu_driver_host){
	        .ctx = far,
	        .arena = aligned_alloc(4096, asked->position),
	        .arena_bytes = asked->position,
	        .message_bytes_max = (uint32_t)asked->cookie,
	        .rx_get = host_rx_get,
	        .rx_put = host_rx_put,
	        .now_ns = host_now_ns,
	};
	if (!far->host.arena)
		give_up("no memory for the arena");
	r = far->ops->open(&config, &far->host, &far->driver);
	reply(far, r, error, r < 0 ? strlen(error) + 1 : 0);
}

/* What was lent must not have changed up to now. */
static void lent_check(struct far *far)
{
	for (int idx = 0; idx < far->lent_count; idx++) {
		const struct lent *lent = &far->lent[idx];

		if (memcmp(lent->message, lent->bytes, lent->size_bytes) != 0)
			give_up("a borrowed message changed before the next poll");
	}
	far->lent_count = 0;
}

static void event_put(struct far *far, const struct slu_driver_event *event)
{
	struct remote_head head = {.type = REMOTE_EVENT,
	                           .size_bytes = event->size_bytes,
	                           .result = event->type,
	                           .error = event->error,
	                           .session = (uintptr_t)event->session,
	                           .user = (uintptr_t)event->user,
	                           .cookie = event->cookie};
	const void *bytes = event->message;
	struct lent *lent;

	switch (event->type) {
	case SLU_DRIVER_ACCEPT:
	case SLU_DRIVER_RECV_SMALL:
		if (event->size_bytes > SLU_DRIVER_SMALL_MAX)
			give_up("a small message that is too long");
		lent = &far->lent[far->lent_count++];
		lent->message = event->message;
		lent->size_bytes = event->size_bytes;
		memcpy(lent->bytes, event->message, event->size_bytes);
		break;
	case SLU_DRIVER_RECV_FRAME:
		head.position = position_of(far, event->message);
		frame_at(far, head.position, event->size_bytes);
		break;
	case SLU_DRIVER_DOWN:
		if (!event->text)
			give_up("DOWN without a reason");
		bytes = event->text;
		head.size_bytes = (uint32_t)strlen(event->text) + 1;
		break;
	default:
		head.size_bytes = 0;
		break;
	}
	remote_put(far->fd, &head, bytes);
}

static void op_poll(struct far *far, int room)
{
	struct slu_driver_event events[REMOTE_EVENTS_MAX];
	int idx, count;

	lent_check(far);
	if (room < 0 || room > REMOTE_EVENTS_MAX)
		give_up("too many events asked for");
	count = far->ops->poll(far->driver, events, room);
	if (count < 0 || count > room)
		give_up("poll returned a number out of its range");
	for (idx = 0; idx < count; idx++)
		event_put(far, &events[idx]);
	reply(far, count, NULL, 0);
}

static void op_connect(struct far *far, const struct remote_head *asked, const char *bytes)
{
	struct remote_head head = {.type = REMOTE_REPLY};
	struct slu_session *session = NULL;

	head.result = far->ops->connect(far->driver, bytes + SLU_DRIVER_HELLO_BYTES, bytes,
	                                (void *)(uintptr_t)asked->user, &session);
	head.session = (uintptr_t)session;
	remote_put(far->fd, &head, NULL);
}

/* The message has been read into the arena. */
static int64_t op_send(struct far *far, const struct remote_head *asked)
{
	return far->ops->send(far->driver, (void *)(uintptr_t)asked->session,
	                      far->host.arena + asked->position, (uint32_t)asked->result,
	                      asked->cookie);
}

static int64_t op_deadline(struct far *far)
{
	uint64_t deadline_ns = far->ops->deadline(far->driver), now_ns = clock_now_ns();

	if (deadline_ns == UINT64_MAX)
		return INT64_MAX;
	return deadline_ns > now_ns ? (int64_t)(deadline_ns - now_ns) : 0;
}

/* Ops of one instance that is open, by their result alone. */
static int64_t op_plain(struct far *far, const struct remote_head *asked, const char *bytes)
{
	struct slu_session *session = (void *)(uintptr_t)asked->session;
	void *user = (void *)(uintptr_t)asked->user;
	int r;

	switch (asked->type) {
	case REMOTE_CLOSE:
		lent_check(far);
		far->ops->close(far->driver);
		far->driver = NULL;
		return 0;
	case REMOTE_SESSION_ACCEPT:
		return far->ops->session_accept(far->driver, session, user);
	case REMOTE_SESSION_CLOSE:
		far->ops->session_close(far->driver, session);
		return 0;
	case REMOTE_SEND:
		return op_send(far, asked);
	case REMOTE_SEND_SMALL:
		return far->ops->send_small(far->driver, session, bytes, asked->size_bytes);
	case REMOTE_FLUSH:
		far->ops->flush(far->driver);
		return 0;
	case REMOTE_ARM:
		r = far->ops->arm(far->driver);
		far->armed = r == 0 && far->ops->fd(far->driver) >= 0;
		return r;
	case REMOTE_DEADLINE:
		return op_deadline(far);
	case REMOTE_RX_POSTED:
		return far->ops->rx_posted(far->driver);
	default:
		give_up("near says what nobody understands");
	}
}

static void op_do(struct far *far, const struct remote_head *asked, char *bytes)
{
	struct slu_driver_stats stats;
	char address[SLU_DRIVER_ADDRESS_MAX];
	int r;

	if (asked->type != REMOTE_OPEN && !far->driver)
		give_up("it is not open");
	switch (asked->type) {
	case REMOTE_OPEN:
		op_open(far, asked, bytes);
		break;
	case REMOTE_ADDRESS:
		r = far->ops->address(far->driver, address);
		reply(far, r, address, r == 0 ? strlen(address) + 1 : 0);
		break;
	case REMOTE_CONNECT:
		op_connect(far, asked, bytes);
		break;
	case REMOTE_POLL:
		op_poll(far, (int)asked->result);
		break;
	case REMOTE_STATS:
		far->ops->stats(far->driver, &stats);
		reply(far, 0, &stats, sizeof(stats));
		break;
	case REMOTE_SCRIBBLE:
		memset(frame_at(far, asked->position, asked->cookie), 0xdd, asked->cookie);
		break;
	default:
		reply(far, op_plain(far, asked, bytes), NULL, 0);
		break;
	}
}

/* ---- the process -------------------------------------------------------------- */

/* Near says something or is gone. */
static void wait_for_near(struct far *far)
{
	struct remote_head head = {.type = REMOTE_WAKE};
	struct pollfd descriptors[2] = {{.fd = far->fd, .events = POLLIN},
	                                {.fd = -1, .events = POLLIN}};

	do {
		descriptors[1].fd = far->armed ? far->ops->fd(far->driver) : -1;
		if (poll(descriptors, 2, -1) < 0 && errno != EINTR)
			give_up("poll fails");
		if (descriptors[1].revents) {
			far->armed = false;
			remote_put(far->fd, &head, NULL);
			descriptors[1].revents = 0;
		}
	} while (!descriptors[0].revents);
}

static void instance_run(int fd)
{
	struct far far = {.fd = fd};
	char bytes[REMOTE_TEXT_MAX];
	struct remote_head head;
	char *where;
	int on = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	for (;;) {
		wait_for_near(&far);
		if (!remote_get(fd, &head, sizeof(head)))
			break;
		where = bytes;
		if (head.type == REMOTE_SEND)
			where = (char *)frame_at(&far, head.position, head.size_bytes);
		else if (head.size_bytes > sizeof(bytes))
			give_up("too long");
		if (!remote_get(fd, where, head.size_bytes))
			break;
		far.armed = false; /* until it is asked to again */
		op_do(&far, &head, where);
	}
	if (far.driver)
		far.ops->close(far.driver);
	free(far.host.arena);
	close(fd);
}

int remote_serve(int listener)
{
	int leash = accept(listener, NULL, NULL), failures = 0, status, fd;
	struct pollfd descriptors[2] = {{.fd = listener, .events = POLLIN},
	                                {.fd = leash, .events = POLLIN}};

	if (leash < 0) {
		perror("accept");
		return 1;
	}
	while (poll(descriptors, 2, -1) > 0 && !descriptors[1].revents) {
		fd = accept(listener, NULL, NULL);
		if (fd >= 0 && fork() == 0) {
			close(listener);
			close(leash);
			instance_run(fd);
			exit(EXIT_SUCCESS);
		}
		close(fd);
	}
	close(listener);
	close(leash);
	while (wait(&status) > 0)
		failures += status != 0;
	return failures;
}
