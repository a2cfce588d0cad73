/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rail.c - the rails of an instance: which ports, from the options or by choice;
 * where each listens; and what becomes of one whose port goes down or whose
 * device is removed while others carry on.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "drivers/verbs/address.h"
#include "drivers/verbs/choose.h"
#include "drivers/verbs/verbs.h"
#include "transport/log.h"

#define LISTEN_BACKLOG 64
/* Each poller has an instance with the same options: of a given port number the
 * next free one is taken. */
#define LISTEN_PORTS 64u

/* Whether the port can send now, as the device says. */
static bool rail_is_active(const struct verbs_rail *rail)
{
	struct ibv_port_attr port;

	return rail->verbs && ibv_query_port(rail->verbs, (uint8_t)rail->port, &port) == 0 &&
	       port.state == IBV_PORT_ACTIVE;
}

/* ---- one rail ------------------------------------------------------------------ */

static void listener_destroy(struct verbs_rail *rail)
{
	if (rail->listener)
		rdma_destroy_id(rail->listener);
	rail->listener = NULL;
}

/* -ENODEV: the address is not one of an RDMA port. */
static int listener_bind(struct verbs_rail *rail)
{
	if (rdma_create_id(rail->driver->channel, &rail->listener, rail, RDMA_PS_TCP) != 0)
		return -errno;
	if (rdma_bind_addr(rail->listener, (struct sockaddr *)&rail->source) != 0)
		return errno == EADDRNOTAVAIL ? -ENODEV : -errno;
	if (!rail->listener->verbs)
		return -ENODEV;
	return rdma_listen(rail->listener, LISTEN_BACKLOG) == 0 ? 0 : -errno;
}

static int listener_open(struct verbs_rail *rail, bool anew)
{
	unsigned first = verbs_address_port(&rail->source), port = first;
	int r;

	for (;;) {
		r = listener_bind(rail);
		if (r == 0)
			break;
		listener_destroy(rail);
		if (r != -EADDRINUSE || first == 0 || anew || ++port >= first + LISTEN_PORTS ||
		    port > UINT16_MAX)
			return r;
		verbs_address_port_set(&rail->source, port);
	}
	verbs_address_port_set(&rail->source, ntohs(rdma_get_src_port(rail->listener)));
	return 0;
}

static void rail_close(struct verbs_rail *rail)
{
	struct ibv_context *cm_verbs = rail->listener ? rail->listener->verbs : NULL;

	for (uint32_t i = 0; i < rail->parked_count; i++)
		rdma_destroy_id(rail->parked[i]);
	free(rail->parked);
	rail->parked = NULL;
	rail->parked_count = 0;
	verbs_device_close(rail);
	listener_destroy(rail);
	if (cm_verbs)
		verbs_cm_context_drop(cm_verbs, rail->removed);
	rail->removed = false;
	rail->state = VERBS_RAIL_AWAY;
}

/* anew: it was open before. error: as verbs_device_open. */
static int rail_open(struct verbs_rail *rail, bool anew, char *error)
{
	struct ibv_device *device;
	char address[VERBS_PEER_BYTES];
	int r = listener_open(rail, anew);

	if (r < 0) {
		verbs_address_format((struct sockaddr *)&rail->source, address, sizeof address);
		snprintf(error, SLU_DRIVER_ERROR_MAX, "cannot listen on \"%s\": %s", address,
		         r == -ENODEV ? "not the address of an RDMA port" : strerrordesc_np(-r));
		return r;
	}
	device = rail->listener->verbs->device;
	snprintf(rail->device, sizeof rail->device, "%s", ibv_get_device_name(device));
	rail->port = rail->listener->port_num;
	r = verbs_cm_context_hold(rail->listener->verbs);
	if (r < 0) {
		snprintf(error, SLU_DRIVER_ERROR_MAX, "%s", strerrordesc_np(-r));
		listener_destroy(rail);
		return r;
	}
	r = verbs_device_open(rail, device, error);
	if (r < 0) {
		rail_close(rail);
		return r;
	}
	rail->state = rail_is_active(rail) ? VERBS_RAIL_UP : VERBS_RAIL_DOWN;
	return 0;
}

/* ---- ids of connections ---------------------------------------------------------- */

/* Whoever ends a connection tells the peer, by a message of management. Soft-RoCE
 * (Linux 6.1) answers one that it cannot send, because the link is down, with the
 * end of the queue pair that receives them: no connection is ever made again on
 * that device. A link that goes down fails sessions before the port says so, thus
 * after a fault ids wait. */
void verbs_rail_id_destroy(struct verbs_rail *rail, struct rdma_cm_id *id, bool fault)
{
	const struct slu_driver_host *host = rail->driver->host;
	struct rdma_cm_id **parked = NULL;

	if (rail->state != VERBS_RAIL_LEAVING && (fault || !rail_is_active(rail)))
		parked = reallocarray(rail->parked, rail->parked_count + 1, sizeof *parked);
	if (!parked) {
		rdma_disconnect(id);
		rdma_destroy_id(id);
		return;
	}
	id->context = NULL;
	rail->parked = parked;
	parked[rail->parked_count++] = id;
	rail->parked_until_ns = host->now_ns(host->ctx) + VERBS_RAIL_GRACE_NS;
}

static void rail_unpark(struct verbs_rail *rail, uint64_t now_ns)
{
	if (now_ns < rail->parked_until_ns)
		return;
	rail->parked_until_ns = now_ns + VERBS_RAIL_GRACE_NS;
	while (rail_is_active(rail) && rail->parked_count > 0)
		rdma_destroy_id(rail->parked[--rail->parked_count]);
}

/* ---- what happens to it --------------------------------------------------------- */

static void sessions_fail(struct verbs_rail *rail, int error, const char *reason)
{
	struct slu_session *session;

	TAILQ_FOREACH (session, &rail->driver->all, all_link) {
		if (session->rail == rail)
			verbs_session_fail(session, error, "%s", reason);
	}
}

void verbs_rail_lost(struct verbs_rail *rail, int error, const char *reason)
{
	if (rail->state == VERBS_RAIL_AWAY || rail->state == VERBS_RAIL_LEAVING)
		return;
	log_event(LOG_LEVEL_WARNING, "rail_lost", "rail=%u device=%s port=%u reason=\"%s\"",
	          rail->number, rail->device, rail->port, reason);
	sessions_fail(rail, error, reason);
	rail->state = VERBS_RAIL_LEAVING;
	rail->removed = error == -ENODEV;
}

static void rail_port_changed(struct verbs_rail *rail, bool active)
{
	if (active && rail->state == VERBS_RAIL_DOWN) {
		rail->state = VERBS_RAIL_UP;
		log_event(LOG_LEVEL_INFO, "rail_up", "rail=%u device=%s port=%u", rail->number,
		          rail->device, rail->port);
	} else if (!active && rail->state == VERBS_RAIL_UP) {
		rail->state = VERBS_RAIL_DOWN;
		log_event(LOG_LEVEL_WARNING, "rail_down", "rail=%u device=%s port=%u", rail->number,
		          rail->device, rail->port);
		sessions_fail(rail, -ENETDOWN, "the port went down");
	}
}

static void rail_queue_pair_failed(struct verbs_rail *rail, const struct ibv_async_event *event)
{
	struct slu_session *session;
	uint32_t qp_num = event->element.qp->qp_num;

	HASH_FIND(hh, rail->by_qp_num, &qp_num, sizeof qp_num, session);
	if (session)
		verbs_session_fail(session, -EIO, "queue pair %u: %s", qp_num,
		                   ibv_event_type_str(event->event_type));
}

static void rail_event(struct verbs_rail *rail, const struct ibv_async_event *event)
{
	switch (event->event_type) {
	case IBV_EVENT_PORT_ERR:
	case IBV_EVENT_PORT_ACTIVE:
		if (event->element.port_num == (int)rail->port)
			rail_port_changed(rail, event->event_type == IBV_EVENT_PORT_ACTIVE);
		break;
	case IBV_EVENT_DEVICE_FATAL:
		verbs_rail_lost(rail, -ENODEV, "the device failed or was removed");
		break;
	case IBV_EVENT_CQ_ERR:
	case IBV_EVENT_SRQ_ERR:
		verbs_rail_lost(rail, -EIO, ibv_event_type_str(event->event_type));
		break;
	case IBV_EVENT_QP_FATAL:
	case IBV_EVENT_QP_REQ_ERR:
	case IBV_EVENT_QP_ACCESS_ERR:
		rail_queue_pair_failed(rail, event);
		break;
	default:
		break;
	}
}

void verbs_rails_news(struct slu_driver *driver)
{
	struct ibv_async_event event;

	for (unsigned i = 0; i < driver->rail_count; i++) {
		struct verbs_rail *rail = &driver->rails[i];

		while (rail->verbs && ibv_get_async_event(rail->verbs, &event) == 0) {
			rail_event(rail, &event);
			ibv_ack_async_event(&event);
		}
	}
}

static void rail_look_for(struct verbs_rail *rail, uint64_t now_ns)
{
	char error[SLU_DRIVER_ERROR_MAX];

	rail->retry_ns = now_ns + VERBS_RAIL_RETRY_NS;
	if (rail_open(rail, true, error) == 0)
		log_event(LOG_LEVEL_INFO, "rail_back", "rail=%u device=%s port=%u", rail->number,
		          rail->device, rail->port);
}

static void rail_tend(struct verbs_rail *rail, uint64_t now_ns)
{
	switch (rail->state) {
	case VERBS_RAIL_LEAVING:
		rail_close(rail);
		rail->retry_ns = now_ns + VERBS_RAIL_RETRY_NS;
		break;
	case VERBS_RAIL_AWAY:
		if (now_ns >= rail->retry_ns)
			rail_look_for(rail, now_ns);
		break;
	case VERBS_RAIL_UP:
		rail_unpark(rail, now_ns);
		break;
	case VERBS_RAIL_DOWN:
		break;
	}
}

static bool rail_is_quiet(const struct verbs_rail *rail)
{
	return rail->state == VERBS_RAIL_DOWN ||
	       (rail->state == VERBS_RAIL_UP && rail->parked_count == 0);
}

void verbs_rails_tend(struct slu_driver *driver)
{
	for (unsigned i = 0; i < driver->rail_count; i++) {
		if (!rail_is_quiet(&driver->rails[i]))
			rail_tend(&driver->rails[i], driver->host->now_ns(driver->host->ctx));
	}
}

uint64_t verbs_rails_deadline(const struct slu_driver *driver)
{
	uint64_t first_ns = UINT64_MAX;

	for (unsigned i = 0; i < driver->rail_count; i++) {
		const struct verbs_rail *rail = &driver->rails[i];
		uint64_t due_ns = rail->state == VERBS_RAIL_LEAVING ? 0
		                  : rail->state == VERBS_RAIL_AWAY  ? rail->retry_ns
		                                                    : rail->parked_until_ns;

		if (!rail_is_quiet(rail) && due_ns < first_ns)
			first_ns = due_ns;
	}
	return first_ns;
}

/* ---- all of them ------------------------------------------------------------------ */

static struct verbs_rail *rail_add(struct slu_driver *driver)
{
	struct verbs_rail *rail = &driver->rails[driver->rail_count];

	rail->driver = driver;
	rail->connect_timeout_ns = VERBS_CONNECT_TIMEOUT_NS;
	rail->number = driver->rail_count++;
	STAILQ_INIT(&rail->slots_free);
	STAILQ_INIT(&rail->slots_repost);
	STAILQ_INIT(&rail->spent);
	return rail;
}

static int __attribute__((format(printf, 3, 4)))
open_error(const struct slu_driver_config *config, int error, const char *format, ...)
{
	char words[SLU_DRIVER_ERROR_MAX - 8];
	va_list args;

	va_start(args, format);
	vsnprintf(words, sizeof words, format, args);
	va_end(args);
	snprintf(config->error, SLU_DRIVER_ERROR_MAX, "verbs: %s", words);
	return error;
}

/* "ADDRESS,ADDRESS": a rail on each. */
static int rails_by_address(struct slu_driver *driver, const char *listen,
                            const struct slu_driver_config *config)
{
	char text[SLU_DRIVER_ADDRESS_MAX], words[SLU_DRIVER_ERROR_MAX], *rest = text, *address;
	int r = 0;

	if (strlen(listen) >= sizeof text)
		return open_error(config, -EINVAL, "listen is too long");
	strcpy(text, listen);
	while (r == 0 && (address = strsep(&rest, ","))) {
		struct verbs_rail *rail;

		if (driver->rail_count == VERBS_RAILS_MAX)
			return open_error(config, -EINVAL, "more than %u addresses to listen on",
			                  VERBS_RAILS_MAX);
		rail = rail_add(driver);
		if (verbs_address_parse(address, &rail->source) < 0)
			return open_error(config, -EINVAL, "cannot listen on \"%s\": not HOST:PORT",
			                  address);
		r = rail_open(rail, false, words);
	}
	return r < 0 ? open_error(config, r, "%s", words) : 0;
}

/* Without addresses: the best ports, near the arena. */
static int rails_by_choice(struct slu_driver *driver, uint64_t count,
                           const struct slu_driver_config *config)
{
	int node = verbs_memory_node(driver->host->arena, driver->host->arena_bytes);
	char words[SLU_DRIVER_ERROR_MAX] = "no RDMA port that is active and has an address";
	struct verbs_port *ports;
	int found = verbs_ports_list(node, &ports), r = -ENODEV;

	if (found < 0)
		return open_error(config, found, "no RDMA devices (%s)", strerrordesc_np(-found));
	for (int i = 0; i < found && driver->rail_count < count && ports[i].usable; i++) {
		struct verbs_rail *rail = rail_add(driver);

		rail->source = ports[i].address;
		r = rail_open(rail, false, words);
		if (r < 0) {
			driver->rail_count--;
			free(rail->slots); /* nothing was posted yet */
			memset(rail, 0, sizeof *rail);
		}
	}
	free(ports);
	if (driver->rail_count == count)
		return 0;
	if (driver->rail_count > 0)
		return open_error(config, -ENODEV, "%llu rails wanted, %u RDMA ports found",
		                  (unsigned long long)count, driver->rail_count);
	return open_error(config, r, "%s", words);
}

int verbs_rails_open(struct slu_driver *driver, const struct slu_driver_config *config)
{
	const char *listen = slu_driver_option(config, "listen", "");
	struct epoll_event event = {.events = EPOLLIN};
	uint64_t count;
	int r = slu_driver_option_u64(config, "rails", 1, VERBS_RAILS_MAX, 1, &count);

	if (r < 0)
		return r;
	driver->channel = rdma_create_event_channel();
	if (!driver->channel)
		return open_error(config, -errno,
		                  "no RDMA connection manager: %s (is rdma_ucm loaded?)",
		                  strerrordesc_np(errno));
	if (fcntl(driver->channel->fd, F_SETFL, O_NONBLOCK) < 0 ||
	    epoll_ctl(driver->epoll_fd, EPOLL_CTL_ADD, driver->channel->fd, &event) < 0)
		return open_error(config, -errno, "epoll: %s", strerrordesc_np(errno));
	r = *listen ? rails_by_address(driver, listen, config)
	            : rails_by_choice(driver, count, config);
	if (r < 0)
		return r;
	for (unsigned i = 0; i < driver->rail_count; i++) {
		if (driver->rails[i].state == VERBS_RAIL_UP)
			return 0;
	}
	return open_error(config, -ENETDOWN, "%s port %u is not active", driver->rails[0].device,
	                  driver->rails[0].port);
}

void verbs_rails_close(struct slu_driver *driver)
{
	for (unsigned i = 0; i < driver->rail_count; i++) {
		struct verbs_rail *rail = &driver->rails[i];

		rail_close(rail);
		for (uint32_t k = 0; k < rail->slot_count; k++) {
			if (rail->slots[k].buffer)
				driver->host->rx_put(driver->host->ctx, rail->slots[k].buffer);
		}
		free(rail->slots);
	}
	if (driver->channel)
		rdma_destroy_event_channel(driver->channel);
}
