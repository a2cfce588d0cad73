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
	struct slu_session *before;

	session->timed_ns = driver->host->now_ns(driver->host->ctx);
	session->deadline_ns = session->timed_ns + session->rail->connect_timeout_ns;
	session->timed = true;
	/* By deadline, which is that of the last one but where timeouts changed. */
	TAILQ_FOREACH_REVERSE(before, &driver->timed, verbs_sessions, timer_link)
	{
		if (before->deadline_ns <= session->deadline_ns)
			break;
	}
	if (before)
		TAILQ_INSERT_AFTER(&driver->timed, before, session, timer_link);
	else
		TAILQ_INSERT_HEAD(&driver->timed, session, timer_link);
}

static void timeout_set(struct verbs_rail *rail, uint64_t ns)
{
	rail->connect_timeout_ns = ns < VERBS_CONNECT_TIMEOUT_NS ? VERBS_CONNECT_TIMEOUT_NS
	                           : ns > VERBS_CONNECT_TIMEOUT_NS_MAX
	                                   ? VERBS_CONNECT_TIMEOUT_NS_MAX
	                                   : ns;
}

static void session_untime(struct slu_session *session)
{
	if (session->timed)
		TAILQ_REMOVE(&session->driver->timed, session, timer_link);
	session->timed = false;
}

static struct slu_session *session_create(struct verbs_rail *rail, enum verbs_state state)
{
	struct slu_session *session = calloc(1, sizeof *session);

	if (!session)
		return NULL;
	session->driver = rail->driver;
	session->rail = rail;
	session->state = state;
	STAILQ_INIT(&session->rx);
	TAILQ_INSERT_TAIL(&rail->driver->all, session, all_link);
	return session;
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
	verbs_qp_destroy(session);
	verbs_rail_id_destroy(session->rail, session->id, session->error != 0);
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
	         session->rail->device, session->rail->port, session->peer, words);
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
		timeout_set(session->rail, 2 * (session->deadline_ns - session->timed_ns));
		verbs_session_fail(session, -ETIMEDOUT, "no connection in %.1f s",
		                   (double)(now_ns - session->timed_ns) / 1e9);
	}
}

static void session_resolve(struct slu_session *session, struct sockaddr_storage *peer)
{
	struct sockaddr_storage source = session->rail->source;

	verbs_address_port_set(&source, 0);
	session_timed(session);
	if (rdma_create_id(session->driver->channel, &session->id, session, RDMA_PS_TCP) != 0)
		verbs_session_fail(session, -errno, "no connection manager's id: %s",
		                   strerrordesc_np(errno));
	else if (rdma_resolve_addr(session->id, (struct sockaddr *)&source, (struct sockaddr *)peer,
	                           RESOLVE_TIMEOUT_MS) != 0)
		verbs_session_fail(session, -errno, "cannot resolve the address: %s",
		                   strerrordesc_np(errno));
}

int verbs_session_connect(struct slu_driver *driver, const char *address, const void *hello,
                          void *user, struct slu_session **ret_session)
{
	struct sockaddr_storage peer;
	struct slu_session *session;
	struct verbs_rail *rail;
	unsigned number;
	int r = verbs_address_parse_rail(address, &peer, &number);

	if (r < 0)
		return r;
	rail = &driver->rails[number % driver->rail_count];
	if (peer.ss_family != rail->source.ss_family)
		return -ENETUNREACH;
	if (rail->state == VERBS_RAIL_UP && rail->session_count >= rail->sessions_max)
		return -EMFILE;
	session = session_create(rail, VERBS_RESOLVING);
	if (!session)
		return -ENOMEM;
	session->user = user;
	memcpy(session->hello, hello, sizeof session->hello);
	verbs_address_format((struct sockaddr *)&peer, session->peer, sizeof session->peer);
	*ret_session = session;
	if (rail->state != VERBS_RAIL_UP) {
		verbs_session_fail(session, -ENETDOWN,
		                   rail->state == VERBS_RAIL_DOWN ? "the port is not active"
		                                                  : "the device is not there");
		return 0;
	}
	session_resolve(session, &peer);
	return 0;
}

/* Of messages to come: none that reads or writes memory; retries as in qp.c. */
#define CONN_PARAM(session, data)                                                                  \
	{                                                                                          \
		.private_data = &(data), .private_data_len = sizeof(data), .flow_control = 1,      \
		.retry_count = 7, .rnr_retry_count = 7, .srq = 1, .qp_num = (session)->qp_num      \
	}

static void session_ask(struct slu_session *session)
{
	struct verbs_wire_request request = {.magic = htonl(VERBS_WIRE_MAGIC),
	                                     .version = htons(VERBS_WIRE_VERSION),
	                                     .window = htons((uint16_t)session->driver->window)};
	const struct verbs_rail *rail = session->rail;
	int r = -ENETUNREACH; /* another device than that of our address */

	if (session->id->verbs == rail->listener->verbs)
		r = verbs_qp_create(session);
	memcpy(request.hello, session->hello, sizeof request.hello);
	session->state = VERBS_ASKING;
	if (r == 0) {
		struct rdma_conn_param param = CONN_PARAM(session, request);

		r = rdma_connect(session->id, &param) == 0 ? 0 : -errno;
	}
	if (r < 0)
		verbs_session_fail(session, r, "cannot connect: %s", strerrordesc_np(-r));
}

int verbs_session_accept(struct slu_session *session, void *user)
{
	struct verbs_wire_answer answer = {.magic = htonl(VERBS_WIRE_MAGIC),
	                                   .version = htons(VERBS_WIRE_VERSION),
	                                   .window = htons((uint16_t)session->driver->window)};
	int r;

	session->user = user;
	if (session->state != VERBS_OFFERED)
		return 0; /* down meanwhile */
	r = verbs_qp_create(session);
	if (r == 0)
		r = verbs_qp_connect(session);
	session->state = VERBS_ANSWERED;
	session_timed(session);
	if (r == 0) {
		struct rdma_conn_param param = CONN_PARAM(session, answer);

		r = rdma_accept(session->id, &param) == 0 ? 0 : -errno;
	}
	if (r < 0)
		verbs_session_fail(session, r, "cannot accept: %s", strerrordesc_np(-r));
	return 0;
}

static void session_up(struct slu_session *session, uint32_t window)
{
	session_untime(session);
	timeout_set(session->rail, 2 * (session->driver->host->now_ns(session->driver->host->ctx) -
	                                session->timed_ns));
	session->state = VERBS_UP;
	session->was_up = true;
	session->tell_up = true;
	session->driver->stats.sessions_up++;
	session->tx.window = window;
	session->tx.limit_count = window;
	verbs_session_ready(session);
}

/* A request: a session when it is one of ours. False: refuse it. */
static bool news_request(const struct rdma_cm_event *event)
{
	const struct verbs_wire_request *request = event->param.conn.private_data;
	struct verbs_rail *rail = event->listen_id->context;
	struct slu_session *session;

	if (event->param.conn.private_data_len < sizeof *request ||
	    request->magic != htonl(VERBS_WIRE_MAGIC) ||
	    request->version != htons(VERBS_WIRE_VERSION) ||
	    ntohs(request->window) <= VERBS_SMALL_CREDITS || rail->state != VERBS_RAIL_UP ||
	    rail->session_count >= rail->sessions_max)
		return false;
	session = session_create(rail, VERBS_OFFERED);
	if (!session)
		return false;
	session->id = event->id;
	session->id->context = session;
	session->tx.window = ntohs(request->window);
	memcpy(session->hello, request->hello, sizeof session->hello);
	verbs_address_format(rdma_get_peer_addr(event->id), session->peer, sizeof session->peer);
	session->tell_accept = true;
	verbs_session_ready(session);
	return true;
}

/* The peer's answer to our request. */
static void news_answered(struct slu_session *session, const struct rdma_cm_event *event)
{
	const struct verbs_wire_answer *answer = event->param.conn.private_data;
	int r;

	if (session->state != VERBS_ASKING)
		return;
	if (event->param.conn.private_data_len < sizeof *answer ||
	    answer->magic != htonl(VERBS_WIRE_MAGIC) ||
	    answer->version != htons(VERBS_WIRE_VERSION) ||
	    ntohs(answer->window) <= VERBS_SMALL_CREDITS) {
		verbs_session_fail(session, -EPROTO, "the peer answered in no words of ours");
		return;
	}
	r = verbs_qp_connect(session);
	if (r == 0)
		r = rdma_establish(session->id) == 0 ? 0 : -errno;
	if (r < 0)
		verbs_session_fail(session, r, "cannot connect: %s", strerrordesc_np(-r));
	else
		session_up(session, ntohs(answer->window));
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
	case RDMA_CM_EVENT_CONNECT_RESPONSE:
		news_answered(session, event);
		break;
	case RDMA_CM_EVENT_ESTABLISHED:
		if (session->state == VERBS_ANSWERED)
			session_up(session, session->tx.window);
		break;
	case RDMA_CM_EVENT_REJECTED:
		news_rejected(session, event->status);
		break;
	case RDMA_CM_EVENT_DISCONNECTED:
		/* What the peer sent before it closed has arrived; that ours did
		 * not is no fault. */
		session->disconnected = true;
		verbs_completions(session->rail, INT_MAX);
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

static struct verbs_rail *rail_listening(struct slu_driver *driver, const struct rdma_cm_id *id)
{
	for (unsigned i = 0; i < driver->rail_count; i++) {
		if (driver->rails[i].listener == id)
			return &driver->rails[i];
	}
	return NULL;
}

/* Comes for every id of the device, the listener's among them. */
static void news_removal(struct slu_driver *driver, const struct rdma_cm_id *id)
{
	struct verbs_rail *rail = rail_listening(driver, id);

	if (rail)
		verbs_rail_lost(rail, -ENODEV, "the device was removed");
}

void verbs_session_news(struct slu_driver *driver)
{
	struct rdma_cm_event *event;

	while (rdma_get_cm_event(driver->channel, &event) == 0) {
		struct rdma_cm_id *id = event->id;
		struct verbs_rail *refusing = NULL;

		if (event->event == RDMA_CM_EVENT_CONNECT_REQUEST) {
			if (!news_request(event))
				refusing = event->listen_id->context;
		} else if (event->event == RDMA_CM_EVENT_DEVICE_REMOVAL) {
			news_removal(driver, id);
		} else if (id->context && !rail_listening(driver, id)) {
			struct slu_session *session = id->context;

			if (session->state != VERBS_DOWN)
				news_session(session, event);
		}
		rdma_ack_cm_event(event);
		if (refusing)
			verbs_rail_id_destroy(refusing, id, false);
	}
}
