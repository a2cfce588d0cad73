/* SPDX-License-Identifier: Apache-2.0 */
/*
 * session.c - the life of a session: the connection manager's address and route
 * resolution, request and answer with the private data of verbs_wire.h, and the
 * end. A failed session only takes note where it fails; its queue pair is
 * destroyed by verbs_session_reap, when nobody holds a completion or an event.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sluice/sluice.h>

#include "drivers/verbs/address.h"
#include "drivers/verbs/verbs.h"

#define RESOLVE_TIMEOUT_MS 2000
/* Rejections of the IB specification, table 108 (CM REJ reasons). */
#define REJECT_NO_SERVICE 8
#define REJECT_CONSUMER   28

void verbs_session_ready(struct slu_session *session)
{
	if (session->ready)
		return;
	session->ready = true;
	TAILQ_INSERT_TAIL(&session->driver->ready, session, ready_link);
}

static void session_timed(struct slu_session *session)
{
	struct slu_driver *driver = session->driver;

	session->deadline_ns = driver->host->now_ns(driver->host->ctx) + VERBS_CONNECT_TIMEOUT_NS;
	session->timed = true;
	TAILQ_INSERT_TAIL(&driver->timed, session, timer_link);
}

static void session_untime(struct slu_session *session)
{
	if (session->timed)
		TAILQ_REMOVE(&session->driver->timed, session, timer_link);
	session->timed = false;
}

static struct slu_session *session_create(struct slu_driver *driver, enum verbs_state state)
{
	struct slu_session *session = calloc(1, sizeof *session);

	if (!session)
		return NULL;
	session->driver = driver;
	session->state = state;
	STAILQ_INIT(&session->rx);
	TAILQ_INSERT_TAIL(&driver->all, session, all_link);
	return session;
}

/* The queue pair, its ring, and the receives of its window. */
static int session_queue(struct slu_session *session)
{
	struct slu_driver *driver = session->driver;
	struct ibv_qp_init_attr attr = {
	        .send_cq = driver->cq,
	        .recv_cq = driver->cq,
	        .srq = driver->srq,
	        .qp_type = IBV_QPT_RC,
	        .cap = {.max_send_sge = 1,
	                .max_inline_data = driver->inline_small ? SLU_DRIVER_SMALL_MAX : 0}};
	int r;

	if (session->id->verbs != driver->pd->context)
		return -ENETUNREACH;
	if (driver->session_count >= driver->sessions_max)
		return -EMFILE;
	r = verbs_tx_init(session);
	if (r < 0)
		return r;
	attr.cap.max_send_wr = session->tx.mask + 1;
	if (rdma_create_qp(session->id, driver->pd, &attr) != 0)
		return -errno;
	session->qp = session->id->qp;
	session->qp_num = session->qp->qp_num;
	HASH_ADD(hh, driver->by_qp_num, qp_num, sizeof session->qp_num, session);
	driver->session_count++;
	verbs_rx_refill(driver);
	return 0;
}

/* Off every list but `all`, the queue pair and the CM's id gone. What arrived
 * in full before stays to be told. */
static void session_shut(struct slu_session *session)
{
	struct slu_driver *driver = session->driver;

	session_untime(session);
	if (!session->id)
		return;
	if (session->tx.dirty)
		TAILQ_REMOVE(&driver->dirty, session, dirty_link);
	session->tx.dirty = false;
	if (session->qp) {
		/* Also moves the queue pair to the error state, which gives back
		 * the receives it holds. */
		rdma_disconnect(session->id);
		verbs_completions(driver, INT_MAX);
		rdma_destroy_qp(session->id);
		verbs_completions(driver, INT_MAX);
		HASH_DEL(driver->by_qp_num, session);
		driver->session_count--;
		session->qp = NULL;
	} else if (session->offered) {
		rdma_reject(session->id, NULL, 0);
	}
	rdma_destroy_id(session->id);
	session->id = NULL;
	verbs_tx_fini(session);
	if (session->was_up)
		driver->stats.sessions_down++;
}

void verbs_session_destroy(struct slu_session *session)
{
	struct slu_driver *driver = session->driver;

	session->state = VERBS_DOWN;
	session->closed = true;
	session_shut(session);
	verbs_rx_drop(session);
	if (session->ready)
		TAILQ_REMOVE(&driver->ready, session, ready_link);
	if (session->failed)
		TAILQ_REMOVE(&driver->failed, session, failed_link);
	TAILQ_REMOVE(&driver->all, session, all_link);
	TAILQ_INSERT_TAIL(&driver->closed, session, all_link);
}

void verbs_session_fail(struct slu_session *session, int error, const char *format, ...)
{
	struct slu_driver *driver = session->driver;
	char words[SLU_DRIVER_ERROR_MAX - 90];
	va_list args;

	if (session->state == VERBS_DOWN)
		return;
	va_start(args, format);
	vsnprintf(words, sizeof words, format, args);
	va_end(args);
	snprintf(session->text, sizeof session->text, "verbs %.16s port %u, peer %s: %.80s",
	         driver->device, driver->port, session->peer, words);
	session->error = error;
	session->state = VERBS_DOWN;
	session->failed = true;
	TAILQ_INSERT_TAIL(&driver->failed, session, failed_link);
}

void verbs_session_reap(struct slu_driver *driver)
{
	struct slu_session *session;

	while ((session = TAILQ_FIRST(&driver->failed))) {
		TAILQ_REMOVE(&driver->failed, session, failed_link);
		session->failed = false;
		session_shut(session);
		if (session->tell_accept) {
			verbs_session_destroy(session);
			continue;
		}
		session->tell_up = false;
		session->tell_down = true;
		verbs_session_ready(session);
	}
}

void verbs_session_expire(struct slu_driver *driver, uint64_t now_ns)
{
	struct slu_session *session;

	while ((session = TAILQ_FIRST(&driver->timed)) && session->deadline_ns <= now_ns) {
		session_untime(session);
		verbs_session_fail(session, -ETIMEDOUT, "no connection in time");
	}
}

int verbs_session_connect(struct slu_driver *driver, const char *address, const void *hello,
                          void *user, struct slu_session **ret_session)
{
	struct sockaddr_storage peer;
	struct slu_session *session;
	int r = verbs_address_parse(address, &peer);

	if (r < 0)
		return r;
	if (driver->gone || peer.ss_family != driver->source.ss_family)
		return -ENETUNREACH;
	if (driver->session_count >= driver->sessions_max)
		return -EMFILE;
	session = session_create(driver, VERBS_RESOLVING);
	if (!session)
		return -ENOMEM;
	session->user = user;
	memcpy(session->hello, hello, sizeof session->hello);
	verbs_address_format((struct sockaddr *)&peer, session->peer, sizeof session->peer);
	if (rdma_create_id(driver->channel, &session->id, session, RDMA_PS_TCP) != 0) {
		r = -errno;
		verbs_session_destroy(session);
		return r;
	}
	session_timed(session);
	if (rdma_resolve_addr(session->id, (struct sockaddr *)&driver->source,
	                      (struct sockaddr *)&peer, RESOLVE_TIMEOUT_MS) != 0)
		verbs_session_fail(session, -errno, "cannot resolve the address: %s",
		                   strerrordesc_np(errno));
	*ret_session = session;
	return 0;
}

/* Retries: of the transport 7, the most there are; for a receiver that is not
 * ready without end, for it is alive, and its credit says when to send. */
#define CONN_PARAM(data)                                                                           \
	{                                                                                          \
		.private_data = &(data), .private_data_len = sizeof(data), .flow_control = 1,      \
		.retry_count = 7, .rnr_retry_count = 7                                             \
	}

static void session_ask(struct slu_session *session)
{
	struct verbs_wire_request request = {.magic = htonl(VERBS_WIRE_MAGIC),
	                                     .version = htons(VERBS_WIRE_VERSION),
	                                     .window = htons((uint16_t)session->driver->window)};
	struct rdma_conn_param param = CONN_PARAM(request);
	int r = session_queue(session);

	memcpy(request.hello, session->hello, sizeof request.hello);
	session->state = VERBS_ASKING;
	if (r == 0 && rdma_connect(session->id, &param) != 0)
		r = -errno;
	if (r < 0)
		verbs_session_fail(session, r, "cannot connect: %s", strerrordesc_np(-r));
}

int verbs_session_accept(struct slu_session *session, void *user)
{
	struct verbs_wire_answer answer = {.magic = htonl(VERBS_WIRE_MAGIC),
	                                   .version = htons(VERBS_WIRE_VERSION),
	                                   .window = htons((uint16_t)session->driver->window)};
	struct rdma_conn_param param = CONN_PARAM(answer);
	int r;

	session->user = user;
	if (session->state != VERBS_OFFERED)
		return 0; /* down meanwhile */
	r = session_queue(session);
	session->state = VERBS_ANSWERED;
	session_timed(session);
	if (r == 0 && rdma_accept(session->id, &param) != 0)
		r = -errno;
	if (r < 0)
		verbs_session_fail(session, r, "cannot accept: %s", strerrordesc_np(-r));
	else
		session->offered = false;
	return 0;
}

static void session_up(struct slu_session *session, uint32_t window)
{
	session_untime(session);
	session->state = VERBS_UP;
	session->was_up = true;
	session->tell_up = true;
	session->driver->stats.sessions_up++;
	session->tx.window = window;
	session->tx.limit_count = window;
	verbs_session_ready(session);
}

/* A request: a session when it is one of ours. False: refuse it. */
static bool news_request(struct slu_driver *driver, const struct rdma_cm_event *event)
{
	const struct verbs_wire_request *request = event->param.conn.private_data;
	struct slu_session *session;

	if (event->param.conn.private_data_len < sizeof *request ||
	    request->magic != htonl(VERBS_WIRE_MAGIC) ||
	    request->version != htons(VERBS_WIRE_VERSION) ||
	    ntohs(request->window) <= VERBS_SMALL_CREDITS ||
	    driver->session_count >= driver->sessions_max)
		return false;
	session = session_create(driver, VERBS_OFFERED);
	if (!session)
		return false;
	session->id = event->id;
	session->id->context = session;
	session->offered = true;
	session->tx.window = ntohs(request->window);
	memcpy(session->hello, request->hello, sizeof session->hello);
	verbs_address_format(rdma_get_peer_addr(event->id), session->peer, sizeof session->peer);
	session->tell_accept = true;
	verbs_session_ready(session);
	return true;
}

static void news_established(struct slu_session *session, const struct rdma_cm_event *event)
{
	const struct verbs_wire_answer *answer = event->param.conn.private_data;
	uint32_t window = session->tx.window;

	if (session->state == VERBS_ASKING) {
		if (event->param.conn.private_data_len < sizeof *answer ||
		    answer->magic != htonl(VERBS_WIRE_MAGIC) ||
		    answer->version != htons(VERBS_WIRE_VERSION) ||
		    ntohs(answer->window) <= VERBS_SMALL_CREDITS) {
			verbs_session_fail(session, -EPROTO,
			                   "the peer answered in no words of ours");
			return;
		}
		window = ntohs(answer->window);
	}
	if (session->state == VERBS_ASKING || session->state == VERBS_ANSWERED)
		session_up(session, window);
}

static void news_rejected(struct slu_session *session, int reason)
{
	if (reason == REJECT_CONSUMER)
		verbs_session_fail(session, -ECONNRESET, "refused by the peer");
	else if (reason == REJECT_NO_SERVICE)
		verbs_session_fail(session, -ECONNREFUSED, "nobody listens there");
	else
		verbs_session_fail(session, -ECONNRESET, "rejected (CM reason %d)", reason);
}

static void news_session(struct slu_session *session, const struct rdma_cm_event *event)
{
	switch (event->event) {
	case RDMA_CM_EVENT_ADDR_RESOLVED:
		if (rdma_resolve_route(session->id, RESOLVE_TIMEOUT_MS) != 0)
			verbs_session_fail(session, -errno, "cannot resolve the route: %s",
			                   strerrordesc_np(errno));
		break;
	case RDMA_CM_EVENT_ROUTE_RESOLVED:
		session_ask(session);
		break;
	case RDMA_CM_EVENT_ESTABLISHED:
		news_established(session, event);
		break;
	case RDMA_CM_EVENT_REJECTED:
		news_rejected(session, event->status);
		break;
	case RDMA_CM_EVENT_DISCONNECTED:
		/* What the peer sent before it closed has arrived; that ours did
		 * not is no fault. */
		session->disconnected = true;
		verbs_completions(session->driver, INT_MAX);
		verbs_session_fail(session, 0, "closed by the peer");
		break;
	case RDMA_CM_EVENT_ADDR_ERROR:
	case RDMA_CM_EVENT_ROUTE_ERROR:
	case RDMA_CM_EVENT_CONNECT_ERROR:
	case RDMA_CM_EVENT_UNREACHABLE:
		verbs_session_fail(session, event->status < 0 ? event->status : -EHOSTUNREACH,
		                   "%s (status %d)", rdma_event_str(event->event), event->status);
		break;
	default:
		break;
	}
}

void verbs_session_news(struct slu_driver *driver)
{
	struct rdma_cm_event *event;

	while (rdma_get_cm_event(driver->channel, &event) == 0) {
		struct rdma_cm_id *id = event->id;
		bool refused = false;

		if (event->event == RDMA_CM_EVENT_CONNECT_REQUEST) {
			refused = !news_request(driver, event);
		} else if (event->event == RDMA_CM_EVENT_DEVICE_REMOVAL) {
			verbs_device_removed(driver);
		} else if (id->context) {
			struct slu_session *session = id->context;

			if (session->state != VERBS_DOWN)
				news_session(session, event);
		}
		rdma_ack_cm_event(event);
		if (refused) {
			rdma_reject(id, NULL, 0);
			rdma_destroy_id(id);
		}
	}
}
