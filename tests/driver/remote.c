/* SPDX-License-Identifier: Apache-2.0 */
/* remote.c - see remote.h: the near end, driver ops that are done elsewhere. */
#include "tests/driver/remote.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <CUnit/CUnit.h>

#include "tests/driver/remote_wire.h"

struct slu_driver {
	int fd;
	const struct slu_driver_host *host;
	/* While it is polled: where events go. */
	struct slu_driver_event *events;
	int event_count;
	/* Of the last poll: hellos, small messages and texts. */
	uint8_t borrowed[REMOTE_EVENTS_MAX][REMOTE_TEXT_MAX];
};

static void connection_check(bool there)
{
	if (!there)
		CU_FAIL_FATAL("the far process ended");
}

static void head_put(struct slu_driver *driver, const struct remote_head *head, const void *bytes)
{
	connection_check(remote_put(driver->fd, head, bytes));
}

static void bytes_get(struct slu_driver *driver, void *bytes, size_t size_bytes)
{
	connection_check(remote_get(driver->fd, bytes, size_bytes));
}

static void *pointer(uint64_t number)
{
	return (void *)(uintptr_t)number;
}

static uint64_t position_of(const struct slu_driver *driver, const void *frame)
{
	return (uint64_t)((const uint8_t *)frame - driver->host->arena);
}

static void event_take(struct slu_driver *driver, const struct remote_head *head)
{
	int idx = driver->event_count++;
	struct slu_driver_event *event = &driver->events[idx];
	uint8_t *bytes = driver->borrowed[idx];

	*event = (struct slu_driver_event){
	        .type = (enum slu_driver_event_type)head->result,
	        .session = pointer(head->session),
	        .user = pointer(head->user),
	        .size_bytes = head->size_bytes,
	        .error = (int)head->error,
	        .cookie = head->cookie,
	};
	if (event->type == SLU_DRIVER_RECV_FRAME)
		bytes = driver->host->arena + head->position;
	else
		CU_ASSERT_FATAL(head->size_bytes <= REMOTE_TEXT_MAX);
	bytes_get(driver, bytes, head->size_bytes);
	if (event->type == SLU_DRIVER_DOWN)
		event->text = (const char *)bytes;
	else
		event->message = bytes;
}

static void buffer_give(struct slu_driver *driver)
{
	struct remote_head head = {.type = REMOTE_RX_GOT, .position = REMOTE_NOWHERE};
	void *buffer = driver->host->rx_get(driver->host->ctx);

	if (buffer)
		head.position = position_of(driver, buffer);
	head_put(driver, &head, NULL);
}

/* Has an op done; *head becomes that of the reply, whose bytes go to reply. Returns
 * the result. */
static int64_t call(struct slu_driver *driver, struct remote_head *head, const void *bytes,
                    void *reply, size_t reply_bytes_max)
{
	head_put(driver, head, bytes);
	for (;;) {
		bytes_get(driver, head, sizeof(*head));
		switch (head->type) {
		case REMOTE_REPLY:
			CU_ASSERT_FATAL(head->size_bytes <= reply_bytes_max);
			bytes_get(driver, reply, head->size_bytes);
			return head->result;
		case REMOTE_EVENT:
			event_take(driver, head);
			break;
		case REMOTE_RX_GET:
			buffer_give(driver);
			break;
		case REMOTE_RX_PUT:
			driver->host->rx_put(driver->host->ctx,
			                     driver->host->arena + head->position);
			break;
		case REMOTE_WAKE: /* before the op arrived there */
			break;
		default:
			CU_FAIL_FATAL("the far process says what nobody understands");
		}
	}
}

/* An op that has but a result, perhaps of a session. */
static int64_t call_plain(struct slu_driver *driver, enum remote_type type,
                          const struct slu_session *session)
{
	struct remote_head head = {.type = type, .session = (uintptr_t)session};

	return call(driver, &head, NULL, NULL, 0);
}

static size_t text_add(char *texts, size_t size_bytes, const char *text)
{
	size_t length = strlen(text) + 1;

	CU_ASSERT_FATAL(size_bytes + length <= REMOTE_TEXT_MAX);
	memcpy(texts + size_bytes, text, length);
	return size_bytes + length;
}

static int remote_open(const struct slu_driver_config *config, const struct slu_driver_host *host,
                       struct slu_driver **ret_driver)
{
	const struct remote_place *place = config->environment;
	struct remote_head head = {.type = REMOTE_OPEN,
	                           .position = host->arena_bytes,
	                           .cookie = host->message_bytes_max};
	struct slu_driver *driver = calloc(1, sizeof(*driver));
	char texts[REMOTE_TEXT_MAX];
	size_t idx, size_bytes;
	int r, on = 1;

	CU_ASSERT_FATAL(driver != NULL);
	driver->host = host;
	driver->fd = remote_attach(&place->address);
	CU_ASSERT_FATAL(driver->fd >= 0);
	setsockopt(driver->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	size_bytes = text_add(texts, 0, place->driver);
	for (idx = 0; idx < config->option_count; idx++) {
		size_bytes = text_add(texts, size_bytes, config->options[idx].name);
		size_bytes = text_add(texts, size_bytes, config->options[idx].value);
	}
	head.size_bytes = (uint32_t)size_bytes;
	r = (int)call(driver, &head, texts, config->error, SLU_DRIVER_ERROR_MAX);
	if (r == 0) {
		*ret_driver = driver;
		return 0;
	}
	close(driver->fd);
	free(driver);
	return r;
}

static void remote_close(struct slu_driver *driver)
{
	call_plain(driver, REMOTE_CLOSE, NULL);
	close(driver->fd);
	free(driver);
}

static int remote_address(struct slu_driver *driver, char *ret_address)
{
	struct remote_head head = {.type = REMOTE_ADDRESS};

	return (int)call(driver, &head, NULL, ret_address, SLU_DRIVER_ADDRESS_MAX);
}

static int remote_connect(struct slu_driver *driver, const char *address, const void *hello,
                          void *user, struct slu_session **ret_session)
{
	struct remote_head head = {.type = REMOTE_CONNECT, .user = (uintptr_t)user};
	char bytes[REMOTE_TEXT_MAX];

	memcpy(bytes, hello, SLU_DRIVER_HELLO_BYTES);
	head.size_bytes = (uint32_t)text_add(bytes, SLU_DRIVER_HELLO_BYTES, address);
	if (call(driver, &head, bytes, NULL, 0) == 0)
		*ret_session = pointer(head.session);
	return (int)head.result;
}

static int remote_session_accept(struct slu_driver *driver, struct slu_session *session, void *user)
{
	struct remote_head head = {.type = REMOTE_SESSION_ACCEPT,
	                           .session = (uintptr_t)session,
	                           .user = (uintptr_t)user};

	return (int)call(driver, &head, NULL, NULL, 0);
}

static void remote_session_close(struct slu_driver *driver, struct slu_session *session)
{
	call_plain(driver, REMOTE_SESSION_CLOSE, session);
}

static int remote_send(struct slu_driver *driver, struct slu_session *session, const void *message,
                       uint32_t size_bytes, uint64_t cookie)
{
	struct remote_head head = {.type = REMOTE_SEND,
	                           .size_bytes = size_bytes,
	                           .result = size_bytes,
	                           .session = (uintptr_t)session,
	                           .cookie = cookie,
	                           .position = position_of(driver, message)};

	if (head.size_bytes > driver->host->message_bytes_max)
		head.size_bytes = driver->host->message_bytes_max;
	return (int)call(driver, &head, message, NULL, 0);
}

static int remote_send_small(struct slu_driver *driver, struct slu_session *session,
                             const void *message, uint32_t size_bytes)
{
	struct remote_head head = {
	        .type = REMOTE_SEND_SMALL, .size_bytes = size_bytes, .session = (uintptr_t)session};

	return (int)call(driver, &head, message, NULL, 0);
}

static void remote_flush(struct slu_driver *driver)
{
	call_plain(driver, REMOTE_FLUSH, NULL);
}

static int remote_poll(struct slu_driver *driver, struct slu_driver_event *ret_events, int count)
{
	struct remote_head head = {.type = REMOTE_POLL, .result = count};

	CU_ASSERT_FATAL(count <= REMOTE_EVENTS_MAX);
	driver->events = ret_events;
	driver->event_count = 0;
	CU_ASSERT_FATAL(call(driver, &head, NULL, NULL, 0) == driver->event_count);
	return driver->event_count;
}

/* Readable when a WAKE has come: the far process says nothing else unasked. */
static int remote_fd(struct slu_driver *driver)
{
	return driver->fd;
}

static int remote_arm(struct slu_driver *driver)
{
	return (int)call_plain(driver, REMOTE_ARM, NULL);
}

static uint64_t remote_deadline(struct slu_driver *driver)
{
	int64_t from_now_ns = call_plain(driver, REMOTE_DEADLINE, NULL);

	if (from_now_ns == INT64_MAX)
		return UINT64_MAX;
	return driver->host->now_ns(driver->host->ctx) + (uint64_t)from_now_ns;
}

static uint32_t remote_rx_posted(struct slu_driver *driver)
{
	return (uint32_t)call_plain(driver, REMOTE_RX_POSTED, NULL);
}

static void remote_stats(struct slu_driver *driver, struct slu_driver_stats *ret_stats)
{
	struct remote_head head = {.type = REMOTE_STATS};

	call(driver, &head, NULL, ret_stats, sizeof(*ret_stats));
}

void remote_scribble(struct slu_driver *driver, const void *frame, uint32_t size_bytes)
{
	struct remote_head head = {.type = REMOTE_SCRIBBLE,
	                           .cookie = size_bytes,
	                           .position = position_of(driver, frame)};

	head_put(driver, &head, NULL);
}

const struct slu_driver_ops remote_ops = {
        .name = "remote",
        .open = remote_open,
        .close = remote_close,
        .address = remote_address,
        .connect = remote_connect,
        .session_accept = remote_session_accept,
        .session_close = remote_session_close,
        .send = remote_send,
        .send_small = remote_send_small,
        .flush = remote_flush,
        .poll = remote_poll,
        .fd = remote_fd,
        .arm = remote_arm,
        .deadline = remote_deadline,
        .rx_posted = remote_rx_posted,
        .stats = remote_stats,
};
