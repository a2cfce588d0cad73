/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verbs.c - the driver over RDMA devices: opening, completions, the round of a
 * poll, sleeping, and the ops table.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <sluice/sluice.h>

#include "drivers/verbs/address.h"
#include "drivers/verbs/verbs.h"

#define COMPLETION_BATCH 16
/* Completions of one poll; more come with the next. */
#define COMPLETIONS_PER_POLL 64
/* While it spins, a poll asks the kernel for news of connections only this
 * often: every time would cost more system calls per round than data does. */
#define NEWS_NS (UINT64_C(1000) * 1000)

extern const struct slu_driver_ops slu_driver_verbs;

static void driver_reap(struct slu_driver *driver)
{
	struct slu_session *session;

	while ((session = TAILQ_FIRST(&driver->closed))) {
		TAILQ_REMOVE(&driver->closed, session, all_link);
		free(session);
	}
}

static void verbs_close(struct slu_driver *driver)
{
	struct slu_session *session;

	while ((session = TAILQ_FIRST(&driver->all)))
		verbs_session_destroy(session);
	driver_reap(driver);
	verbs_rails_close(driver);
	if (driver->epoll_fd >= 0)
		close(driver->epoll_fd);
	free(driver);
}

static int options_read(const struct slu_driver_config *config, uint64_t *ret_window,
                        uint64_t *ret_sessions)
{
	static const char *const known[] = {"listen", "rails", "window_messages", "sessions_max",
	                                    NULL};
	int r = slu_driver_options_check(config, known);

	if (r == 0)
		r = slu_driver_option_u64(config, "window_messages", 2 * VERBS_SMALL_CREDITS, 4096,
		                          32, ret_window);
	if (r == 0)
		r = slu_driver_option_u64(config, "sessions_max", 1, 4096, 64, ret_sessions);
	return r;
}

static int verbs_open(const struct slu_driver_config *config, const struct slu_driver_host *host,
                      struct slu_driver **ret_driver)
{
	uint64_t window, sessions_max;
	struct slu_driver *driver;
	int r = options_read(config, &window, &sessions_max);

	if (r < 0)
		return r;
	driver = calloc(1, sizeof *driver);
	if (!driver)
		return -ENOMEM;
	driver->host = host;
	driver->window = (uint32_t)window;
	driver->sessions_max = (uint32_t)sessions_max;
	TAILQ_INIT(&driver->all);
	TAILQ_INIT(&driver->ready);
	TAILQ_INIT(&driver->dirty);
	TAILQ_INIT(&driver->timed);
	TAILQ_INIT(&driver->failed);
	TAILQ_INIT(&driver->closed);
	driver->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (driver->epoll_fd < 0) {
		r = -errno;
		snprintf(config->error, SLU_DRIVER_ERROR_MAX, "verbs: epoll: %s",
		         strerrordesc_np(-r));
	} else {
		r = verbs_rails_open(driver, config);
	}
	if (r < 0) {
		verbs_close(driver);
		return r;
	}
	*ret_driver = driver;
	return 0;
}

static int verbs_address(struct slu_driver *driver, char *ret_address)
{
	size_t used = 0;

	for (unsigned i = 0; i < driver->rail_count; i++) {
		char address[VERBS_PEER_BYTES], number[16] = "";

		verbs_address_format((struct sockaddr *)&driver->rails[i].source, address,
		                     sizeof address);
		if (i > 0)
			snprintf(number, sizeof number, "/%u", i);
		used += (size_t)snprintf(ret_address + used, SLU_DRIVER_ADDRESS_MAX - used,
		                         "%s%s%s", i > 0 ? "," : "", address, number);
	}
	return 0;
}

static int verbs_connect(struct slu_driver *driver, const char *address, const void *hello,
                         void *user, struct slu_session **ret_session)
{
	return verbs_session_connect(driver, address, hello, user, ret_session);
}

static int verbs_accept(struct slu_driver *driver, struct slu_session *session, void *user)
{
	return verbs_session_accept(session, user);
}

static void verbs_session_close(struct slu_driver *driver, struct slu_session *session)
{
	verbs_session_destroy(session);
}

static int verbs_send(struct slu_driver *driver, struct slu_session *session, const void *message,
                      uint32_t size_bytes, uint64_t cookie)
{
	return verbs_tx_frame(session, message, size_bytes, cookie);
}

static int verbs_send_small(struct slu_driver *driver, struct slu_session *session,
                            const void *message, uint32_t size_bytes)
{
	return verbs_tx_small(session, message, size_bytes);
}

static void verbs_flush(struct slu_driver *driver)
{
	struct slu_session *session;

	/* First, for the sends tell how many receives are posted. */
	for (unsigned i = 0; i < driver->rail_count; i++)
		verbs_rx_refill(&driver->rails[i]);
	while ((session = TAILQ_FIRST(&driver->dirty)))
		verbs_tx_post(session); /* takes it off the list */
}

static void send_completed(const struct ibv_wc *wc)
{
	struct slu_session *session = (struct slu_session *)(uintptr_t)wc->wr_id;

	if (session->state != VERBS_UP)
		return;
	if (wc->status == IBV_WC_SUCCESS)
		verbs_tx_completed(session);
	else if (!session->disconnected)
		verbs_session_fail(session,
		                   wc->status == IBV_WC_RETRY_EXC_ERR  ? -ETIMEDOUT
		                   : wc->status == IBV_WC_WR_FLUSH_ERR ? -ECONNRESET
		                                                       : -EIO,
		                   "send failed: %s (status %d)", ibv_wc_status_str(wc->status),
		                   wc->status);
}

int verbs_completions(struct verbs_rail *rail, int count)
{
	struct ibv_wc wcs[COMPLETION_BATCH];
	int done = 0;

	while (done < count && rail->cq) {
		int got = ibv_poll_cq(rail->cq, COMPLETION_BATCH, wcs);

		for (int i = 0; i < got; i++) {
			if (wcs[i].wr_id & 1)
				verbs_rx_completed(rail, &wcs[i]);
			else
				send_completed(&wcs[i]);
		}
		if (got <= 0)
			break;
		done += got;
	}
	return done;
}

static bool session_has_events(const struct slu_session *session)
{
	if (session->tell_accept || session->tell_up || session->tell_down)
		return true;
	if (session->state != VERBS_UP)
		return false;
	return verbs_tx_has_events(session) || !STAILQ_EMPTY(&session->rx);
}

static bool session_tell(struct slu_session *session, struct slu_driver_event *ret_event)
{
	memset(ret_event, 0, sizeof *ret_event);
	ret_event->session = session;
	ret_event->user = session->user;
	if (session->tell_accept) {
		session->tell_accept = false;
		ret_event->type = SLU_DRIVER_ACCEPT;
		ret_event->message = session->hello;
		ret_event->size_bytes = sizeof session->hello;
		return true;
	}
	if (session->tell_up) {
		session->tell_up = false;
		ret_event->type = SLU_DRIVER_UP;
		return true;
	}
	if (session->state == VERBS_UP && verbs_tx_tell(session, ret_event))
		return true;
	if (session->was_up && verbs_rx_tell(session, ret_event))
		return true;
	if (!session->tell_down)
		return false;
	/* Of a session that is over, nothing waits for a buffer. */
	session->tell_down = false;
	verbs_rx_drop(session);
	ret_event->type = SLU_DRIVER_DOWN;
	ret_event->error = session->error;
	ret_event->text = session->text;
	return true;
}

/* One event of each ready session in turn. */
static int driver_tell(struct slu_driver *driver, struct slu_driver_event *ret_events, int count)
{
	struct slu_session *session, *last = TAILQ_LAST(&driver->ready, verbs_sessions);
	bool quiet = true;
	int done = 0;

	while (done < count && (session = TAILQ_FIRST(&driver->ready))) {
		bool is_last = session == last;

		TAILQ_REMOVE(&driver->ready, session, ready_link);
		session->ready = false;
		if (session_tell(session, &ret_events[done])) {
			quiet = false;
			done++;
			verbs_session_ready(session);
		} else if (session->starved) {
			verbs_session_ready(session);
		}
		if (is_last) {
			if (quiet)
				break;
			quiet = true;
			last = TAILQ_LAST(&driver->ready, verbs_sessions);
		}
	}
	return done;
}

/* What woke a sleeper. */
static void driver_disarm(struct slu_driver *driver)
{
	struct ibv_cq *cq;
	void *context;

	driver->armed = false;
	for (unsigned i = 0; i < driver->rail_count; i++) {
		const struct verbs_rail *rail = &driver->rails[i];

		while (rail->comp_channel &&
		       ibv_get_cq_event(rail->comp_channel, &cq, &context) == 0)
			ibv_ack_cq_events(cq, 1);
	}
}

static int verbs_poll(struct slu_driver *driver, struct slu_driver_event *ret_events, int count)
{
	uint64_t now_ns = driver->host->now_ns(driver->host->ctx);
	int done;

	driver_reap(driver);
	for (unsigned i = 0; i < driver->rail_count; i++)
		verbs_rx_release(&driver->rails[i]);
	if (driver->armed || now_ns >= driver->news_ns) {
		if (driver->armed)
			driver_disarm(driver);
		driver->news_ns = now_ns + NEWS_NS;
		driver->stats.system_calls += 1 + 2 * driver->rail_count;
		verbs_rails_news(driver);
		verbs_session_news(driver);
	}
	for (unsigned i = 0; i < driver->rail_count; i++)
		verbs_completions(&driver->rails[i], COMPLETIONS_PER_POLL);
	if (!TAILQ_EMPTY(&driver->timed))
		verbs_session_expire(driver, now_ns);
	verbs_session_reap(driver);
	verbs_rails_tend(driver);
	done = driver_tell(driver, ret_events, count);
	/* Receives for those just handed on, and the word of it. */
	verbs_flush(driver);
	return done;
}

static int verbs_fd(struct slu_driver *driver)
{
	return driver->epoll_fd;
}

static bool driver_has_events(const struct slu_driver *driver)
{
	const struct slu_session *session;

	TAILQ_FOREACH (session, &driver->ready, ready_link) {
		if (!session->starved && session_has_events(session))
			return true;
	}
	return !TAILQ_EMPTY(&driver->failed);
}

static int verbs_arm(struct slu_driver *driver)
{
	int completions;

	driver->armed = true;
	do {
		completions = 0;
		if (driver_has_events(driver))
			return SLU_AGAIN;
		for (unsigned i = 0; i < driver->rail_count; i++) {
			struct verbs_rail *rail = &driver->rails[i];

			if (!rail->cq)
				continue;
			driver->stats.system_calls++;
			/* Refused by a device that is gone: its removal wakes us too. */
			(void)ibv_req_notify_cq(rail->cq, 0);
			/* What completed before raises no event. */
			completions += verbs_completions(rail, COMPLETIONS_PER_POLL);
		}
	} while (completions > 0);
	return driver_has_events(driver) ? SLU_AGAIN : 0;
}

static uint64_t verbs_deadline(struct slu_driver *driver)
{
	const struct slu_session *session;
	uint64_t first_ns = verbs_rails_deadline(driver), retry_ns;

	if (!TAILQ_EMPTY(&driver->timed) && TAILQ_FIRST(&driver->timed)->deadline_ns < first_ns)
		first_ns = TAILQ_FIRST(&driver->timed)->deadline_ns;
	TAILQ_FOREACH (session, &driver->ready, ready_link) {
		if (!session->starved)
			continue;
		retry_ns = driver->host->now_ns(driver->host->ctx) + VERBS_STARVED_REST_NS;
		return retry_ns < first_ns ? retry_ns : first_ns;
	}
	return first_ns;
}

static uint32_t verbs_rx_posted(struct slu_driver *driver)
{
	uint32_t posted = 0;

	for (unsigned i = 0; i < driver->rail_count; i++)
		posted += verbs_rx_wanted(&driver->rails[i]);
	return posted;
}

static void verbs_stats(struct slu_driver *driver, struct slu_driver_stats *ret_stats)
{
	*ret_stats = driver->stats;
}

const struct slu_driver_ops slu_driver_verbs = {
        .name = "verbs",
        .caps = SLU_DRIVER_ZERO_COPY_TX | SLU_DRIVER_ZERO_COPY_RX | SLU_DRIVER_LINK_INTEGRITY,
        .open = verbs_open,
        .close = verbs_close,
        .address = verbs_address,
        .connect = verbs_connect,
        .session_accept = verbs_accept,
        .session_close = verbs_session_close,
        .send = verbs_send,
        .send_small = verbs_send_small,
        .flush = verbs_flush,
        .poll = verbs_poll,
        .fd = verbs_fd,
        .arm = verbs_arm,
        .deadline = verbs_deadline,
        .rx_posted = verbs_rx_posted,
        .stats = verbs_stats,
        .probe = verbs_probe,
};
