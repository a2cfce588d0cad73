/* SPDX-License-Identifier: Apache-2.0 */
/*
 * device.c - the device of an instance: chosen by the address to listen on, its
 * limits queried, and what all sessions share made within them. A device refuses
 * at open with words, not later in the middle of a query.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "drivers/verbs/address.h"
#include "drivers/verbs/choose.h"
#include "drivers/verbs/verbs.h"

#define LISTEN_BACKLOG 64

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

/* Readable when there is something to do; never blocks. */
static int fd_watch(struct slu_driver *driver, int fd)
{
	struct epoll_event event = {.events = EPOLLIN};
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ||
	    epoll_ctl(driver->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
		return -errno;
	return 0;
}

/* Bind a new listener; -ENODEV: the address is not one of an RDMA port. */
static int listener_bind(struct slu_driver *driver, struct sockaddr *address)
{
	if (rdma_create_id(driver->channel, &driver->listener, NULL, RDMA_PS_TCP) != 0)
		return -errno;
	if (rdma_bind_addr(driver->listener, address) != 0)
		return errno == EADDRNOTAVAIL ? -ENODEV : -errno;
	return driver->listener->verbs ? 0 : -ENODEV;
}

/* Without an address: that of the best port, near the arena. */
static int listener_find(struct slu_driver *driver)
{
	struct verbs_port *ports;
	int node = verbs_memory_node(driver->host->arena, driver->host->arena_bytes);
	int count = verbs_ports_list(node, &ports);
	int r = count < 0 ? count : -ENODEV;

	for (int i = 0; i < count && r != 0 && ports[i].usable; i++) {
		r = listener_bind(driver, (struct sockaddr *)&ports[i].address);
		if (r != 0 && driver->listener) {
			rdma_destroy_id(driver->listener);
			driver->listener = NULL;
		}
	}
	if (count >= 0)
		free(ports);
	return r;
}

static int listener_open(struct slu_driver *driver, const struct slu_driver_config *config)
{
	const char *text = slu_driver_option(config, "listen", "");
	struct sockaddr_storage address;
	int r;

	driver->channel = rdma_create_event_channel();
	if (!driver->channel)
		return open_error(config, -errno,
		                  "no RDMA connection manager: %s (is rdma_ucm loaded?)",
		                  strerrordesc_np(errno));
	if (*text == '\0') {
		r = listener_find(driver);
		if (r < 0)
			return open_error(config, r,
			                  "no RDMA port that is active and has an address: %s",
			                  strerrordesc_np(-r));
	} else {
		if (verbs_address_parse(text, &address) < 0)
			return open_error(config, -EINVAL, "cannot listen on \"%s\": not HOST:PORT",
			                  text);
		r = listener_bind(driver, (struct sockaddr *)&address);
		if (r < 0)
			return open_error(config, r, "cannot listen on \"%s\": %s", text,
			                  r == -ENODEV ? "not the address of an RDMA port"
			                               : strerrordesc_np(-r));
	}
	memcpy(&driver->source, rdma_get_local_addr(driver->listener),
	       rdma_get_local_addr(driver->listener)->sa_family == AF_INET6
	               ? sizeof(struct sockaddr_in6)
	               : sizeof(struct sockaddr_in));
	verbs_address_format((struct sockaddr *)&driver->source, driver->address,
	                     sizeof driver->address);
	verbs_address_port_set(&driver->source, 0);
	return 0;
}

static uint32_t at_most(uint32_t value, int64_t limit)
{
	return limit < value ? (uint32_t)(limit < 0 ? 0 : limit) : value;
}

/* As many sessions as the device has queue pairs, receives and completions for. */
static int limits_query(struct slu_driver *driver, const struct slu_driver_config *config)
{
	uint32_t receives = driver->window + VERBS_CREDIT_SLOTS;
	struct ibv_device_attr device;
	struct ibv_port_attr port;

	if (ibv_query_device(driver->watch, &device) != 0 ||
	    ibv_query_port(driver->watch, (uint8_t)driver->port, &port) != 0)
		return open_error(config, -EIO, "%s port %u does not tell its limits",
		                  driver->device, driver->port);
	if (port.state != IBV_PORT_ACTIVE)
		return open_error(config, -ENETDOWN, "%s port %u is %s", driver->device,
		                  driver->port, ibv_port_state_str(port.state));
	if (port.max_msg_sz < driver->host->message_bytes_max)
		return open_error(config, -EMSGSIZE,
		                  "%s port %u takes messages of %u bytes, not %u", driver->device,
		                  driver->port, port.max_msg_sz, driver->host->message_bytes_max);
	if (device.max_mr_size < driver->host->arena_bytes)
		return open_error(config, -ENOMEM, "%s registers at most %llu bytes",
		                  driver->device, (unsigned long long)device.max_mr_size);
	driver->sessions_max = at_most(driver->sessions_max, device.max_qp);
	driver->sessions_max = at_most(driver->sessions_max, device.max_srq_wr / (int)receives);
	driver->sessions_max = at_most(driver->sessions_max, device.max_cqe / (int)(4 * receives));
	if (driver->sessions_max == 0 || device.max_qp_wr < (int)(2 * receives))
		return open_error(
		        config, -ENODEV,
		        "%s is too small for a window of %u: %d receives, %d completions, "
		        "%d sends",
		        driver->device, driver->window, device.max_srq_wr, device.max_cqe,
		        device.max_qp_wr);
	return 0;
}

static int slots_create(struct slu_driver *driver)
{
	driver->slot_count = driver->sessions_max * (driver->window + VERBS_CREDIT_SLOTS);
	driver->slots = calloc(driver->slot_count, sizeof *driver->slots);
	if (!driver->slots)
		return -ENOMEM;
	for (uint32_t i = 0; i < driver->slot_count; i++)
		STAILQ_INSERT_TAIL(&driver->slots_free, &driver->slots[i], link);
	return 0;
}

static int queues_create(struct slu_driver *driver, const struct slu_driver_config *config)
{
	struct ibv_context *verbs = driver->listener->verbs;
	uint32_t receives = driver->window + VERBS_CREDIT_SLOTS;
	struct ibv_srq_init_attr srq = {
	        .attr = {.max_wr = driver->sessions_max * receives, .max_sge = 1}};

	driver->pd = ibv_alloc_pd(verbs);
	if (!driver->pd)
		return open_error(config, -errno, "%s: no protection domain: %s", driver->device,
		                  strerrordesc_np(errno));
	driver->arena_mr = ibv_reg_mr(driver->pd, driver->host->arena, driver->host->arena_bytes,
	                              IBV_ACCESS_LOCAL_WRITE);
	if (!driver->arena_mr)
		return open_error(config, -errno, "%s: cannot register the arena, %zu bytes: %s%s",
		                  driver->device, driver->host->arena_bytes, strerrordesc_np(errno),
		                  errno == ENOMEM ? " (see ulimit -l)" : "");
	driver->comp_channel = ibv_create_comp_channel(verbs);
	if (!driver->comp_channel)
		return open_error(config, -errno, "%s: no completion channel: %s", driver->device,
		                  strerrordesc_np(errno));
	driver->cq = ibv_create_cq(verbs, (int)(driver->sessions_max * 4 * receives), NULL,
	                           driver->comp_channel, 0);
	if (!driver->cq)
		return open_error(config, -errno, "%s: no completion queue: %s", driver->device,
		                  strerrordesc_np(errno));
	driver->srq = ibv_create_srq(driver->pd, &srq);
	if (!driver->srq)
		return open_error(config, -errno, "%s: no shared receive queue: %s", driver->device,
		                  strerrordesc_np(errno));
	return 0;
}

/* No attribute says how much a device sends inline: a queue pair does. */
static int inline_probe(struct slu_driver *driver, const struct slu_driver_config *config)
{
	struct ibv_qp_init_attr attr = {.send_cq = driver->cq,
	                                .recv_cq = driver->cq,
	                                .srq = driver->srq,
	                                .qp_type = IBV_QPT_RC,
	                                .cap = {.max_send_wr = 1,
	                                        .max_send_sge = 1,
	                                        .max_inline_data = SLU_DRIVER_SMALL_MAX}};
	struct ibv_qp *qp = ibv_create_qp(driver->pd, &attr);

	driver->inline_small = qp != NULL;
	if (!qp) {
		attr.cap.max_inline_data = 0;
		qp = ibv_create_qp(driver->pd, &attr);
	}
	if (!qp)
		return open_error(config, -errno, "%s: no queue pair: %s", driver->device,
		                  strerrordesc_np(errno));
	ibv_destroy_qp(qp);
	return 0;
}

int verbs_device_open(struct slu_driver *driver, const struct slu_driver_config *config)
{
	int r = listener_open(driver, config);

	if (r < 0)
		return r;
	driver->port = driver->listener->port_num;
	driver->device = ibv_get_device_name(driver->listener->verbs->device);
	/* The connection manager shares one context with the whole process: its
	 * events would go to whoever reads first. */
	driver->watch = ibv_open_device(driver->listener->verbs->device);
	if (!driver->watch)
		return open_error(config, -errno, "cannot open %s: %s", driver->device,
		                  strerrordesc_np(errno));
	r = limits_query(driver, config);
	if (r == 0)
		r = queues_create(driver, config);
	if (r == 0)
		r = inline_probe(driver, config);
	if (r == 0)
		r = slots_create(driver);
	if (r < 0)
		return r;
	if (rdma_listen(driver->listener, LISTEN_BACKLOG) != 0)
		return open_error(config, -errno, "cannot listen on %s: %s", driver->address,
		                  strerrordesc_np(errno));
	if (fd_watch(driver, driver->channel->fd) < 0 ||
	    fd_watch(driver, driver->comp_channel->fd) < 0 ||
	    fd_watch(driver, driver->watch->async_fd) < 0)
		return open_error(config, -errno, "epoll: %s", strerrordesc_np(errno));
	return 0;
}

void verbs_device_close(struct slu_driver *driver)
{
	if (driver->listener)
		rdma_destroy_id(driver->listener);
	if (driver->srq)
		ibv_destroy_srq(driver->srq);
	if (driver->cq)
		ibv_destroy_cq(driver->cq);
	if (driver->comp_channel)
		ibv_destroy_comp_channel(driver->comp_channel);
	if (driver->arena_mr)
		ibv_dereg_mr(driver->arena_mr);
	if (driver->pd)
		ibv_dealloc_pd(driver->pd);
	if (driver->watch)
		ibv_close_device(driver->watch);
	if (driver->channel)
		rdma_destroy_event_channel(driver->channel);
	/* Also what a device swallowed with a queue pair that died amid a message. */
	for (uint32_t i = 0; i < driver->slot_count; i++) {
		if (driver->slots[i].buffer)
			driver->host->rx_put(driver->host->ctx, driver->slots[i].buffer);
	}
	free(driver->slots);
}

static void sessions_fail(struct slu_driver *driver, int error, const char *reason)
{
	struct slu_session *session;

	TAILQ_FOREACH (session, &driver->all, all_link)
		verbs_session_fail(session, error, "%s", reason);
}

void verbs_device_removed(struct slu_driver *driver)
{
	driver->gone = true;
	sessions_fail(driver, -ENODEV, "the device was removed");
}

void verbs_device_news(struct slu_driver *driver)
{
	struct ibv_async_event event;

	while (ibv_get_async_event(driver->watch, &event) == 0) {
		switch (event.event_type) {
		case IBV_EVENT_PORT_ERR:
			if (event.element.port_num == (int)driver->port)
				sessions_fail(driver, -ENETDOWN, "the port went down");
			break;
		case IBV_EVENT_DEVICE_FATAL:
			verbs_device_removed(driver);
			break;
		default:
			break;
		}
		ibv_ack_async_event(&event);
	}
}
