/* SPDX-License-Identifier: Apache-2.0 */
/*
 * device.c - the device of a rail: its limits queried, and what all sessions of
 * the rail share made within them. A device refuses at open with words, not later
 * in the middle of a query.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "drivers/verbs/limits.h"
#include "drivers/verbs/verbs.h"

static int __attribute__((format(printf, 3, 4)))
open_error(char *error, int result, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(error, SLU_DRIVER_ERROR_MAX, format, args);
	va_end(args);
	return result;
}

/* Readable when there is something to do; never blocks. */
static int fd_watch(struct verbs_rail *rail, int fd)
{
	struct epoll_event event = {.events = EPOLLIN};
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ||
	    epoll_ctl(rail->driver->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
		return -errno;
	return 0;
}

/* As many sessions as the device has queue pairs, receives and completions for. */
static int limits_query(struct verbs_rail *rail, char *error)
{
	const struct slu_driver *driver = rail->driver;
	const struct verbs_wants wants = {.window = driver->window,
	                                  .sessions_max = driver->sessions_max,
	                                  .message_bytes = driver->host->message_bytes_max,
	                                  .arena_bytes = driver->host->arena_bytes};
	char words[SLU_DRIVER_ERROR_MAX];
	struct ibv_device_attr device;
	struct ibv_port_attr port;
	int r;

	if (ibv_query_device(rail->verbs, &device) != 0 ||
	    ibv_query_port(rail->verbs, (uint8_t)rail->port, &port) != 0)
		return open_error(error, -EIO, "%s port %u does not tell its limits", rail->device,
		                  rail->port);
	r = verbs_limits_fit(&wants, &device, &port, &rail->sessions_max, words);
	return r < 0 ? open_error(error, r, "%s port %u %s", rail->device, rail->port, words) : 0;
}

/* Once: they outlive a device that is removed, with what waits to be told. */
static int slots_create(struct verbs_rail *rail)
{
	uint32_t window = rail->driver->window;
	uint32_t count = verbs_limits_receives(window, rail->sessions_max);

	if (rail->slots) {
		/* Another device, with smaller limits, may have come. */
		while (verbs_limits_receives(window, rail->sessions_max) > rail->slot_count)
			rail->sessions_max--;
		return 0;
	}
	rail->slots = calloc(count, sizeof *rail->slots);
	if (!rail->slots)
		return -ENOMEM;
	rail->slot_count = count;
	for (uint32_t i = 0; i < count; i++)
		STAILQ_INSERT_TAIL(&rail->slots_free, &rail->slots[i], link);
	return 0;
}

int verbs_device_srq(struct verbs_rail *rail)
{
	struct ibv_srq_init_attr attr = {
	        .attr = {.max_wr = verbs_limits_receives(rail->driver->window, rail->sessions_max),
	                 .max_sge = 1}};

	rail->srq = ibv_create_srq(rail->pd, &attr);
	return rail->srq ? 0 : -errno;
}

static int queues_create(struct verbs_rail *rail, char *error)
{
	const struct slu_driver_host *host = rail->driver->host;
	uint32_t completions = verbs_limits_completions(rail->driver->window, rail->sessions_max);

	rail->pd = ibv_alloc_pd(rail->verbs);
	if (!rail->pd)
		return open_error(error, -errno, "%s: no protection domain: %s", rail->device,
		                  strerrordesc_np(errno));
	rail->arena_mr =
	        ibv_reg_mr(rail->pd, host->arena, host->arena_bytes, IBV_ACCESS_LOCAL_WRITE);
	if (!rail->arena_mr)
		return open_error(error, -errno, "%s: cannot register the arena, %zu bytes: %s%s",
		                  rail->device, host->arena_bytes, strerrordesc_np(errno),
		                  errno == ENOMEM ? " (see ulimit -l)" : "");
	rail->comp_channel = ibv_create_comp_channel(rail->verbs);
	if (!rail->comp_channel)
		return open_error(error, -errno, "%s: no completion channel: %s", rail->device,
		                  strerrordesc_np(errno));
	rail->cq = ibv_create_cq(rail->verbs, (int)completions, NULL, rail->comp_channel, 0);
	if (!rail->cq)
		return open_error(error, -errno, "%s: no completion queue: %s", rail->device,
		                  strerrordesc_np(errno));
	if (verbs_device_srq(rail) < 0)
		return open_error(error, -errno, "%s: no shared receive queue: %s", rail->device,
		                  strerrordesc_np(errno));
	return 0;
}

/* No attribute says how much a device sends inline: a queue pair does. */
static int inline_probe(struct verbs_rail *rail, char *error)
{
	struct ibv_qp_init_attr attr = {.send_cq = rail->cq,
	                                .recv_cq = rail->cq,
	                                .srq = rail->srq,
	                                .qp_type = IBV_QPT_RC,
	                                .cap = {.max_send_wr = 1,
	                                        .max_send_sge = 1,
	                                        .max_inline_data = SLU_DRIVER_SMALL_MAX}};
	struct ibv_qp *qp = ibv_create_qp(rail->pd, &attr);

	rail->inline_small = qp != NULL;
	if (!qp) {
		attr.cap.max_inline_data = 0;
		qp = ibv_create_qp(rail->pd, &attr);
	}
	if (!qp)
		return open_error(error, -errno, "%s: no queue pair: %s", rail->device,
		                  strerrordesc_np(errno));
	ibv_destroy_qp(qp);
	return 0;
}

int verbs_device_open(struct verbs_rail *rail, struct ibv_device *device, char *error)
{
	int r;

	rail->verbs = ibv_open_device(device);
	if (!rail->verbs)
		return open_error(error, -errno, "cannot open %s: %s", rail->device,
		                  strerrordesc_np(errno));
	r = limits_query(rail, error);
	if (r == 0)
		r = slots_create(rail);
	if (r == 0)
		r = queues_create(rail, error);
	if (r == 0)
		r = inline_probe(rail, error);
	if (r == 0 && (fd_watch(rail, rail->comp_channel->fd) < 0 ||
	               fd_watch(rail, rail->verbs->async_fd) < 0))
		r = open_error(error, -errno, "epoll: %s", strerrordesc_np(errno));
	return r;
}

void verbs_device_close(struct verbs_rail *rail)
{
	if (rail->srq)
		ibv_destroy_srq(rail->srq);
	if (rail->cq)
		ibv_destroy_cq(rail->cq);
	if (rail->comp_channel)
		ibv_destroy_comp_channel(rail->comp_channel);
	if (rail->arena_mr)
		ibv_dereg_mr(rail->arena_mr);
	if (rail->pd)
		ibv_dealloc_pd(rail->pd);
	if (rail->verbs)
		ibv_close_device(rail->verbs);
	rail->srq = NULL;
	rail->cq = NULL;
	rail->comp_channel = NULL;
	rail->arena_mr = NULL;
	rail->pd = NULL;
	rail->verbs = NULL;
	verbs_rx_unpost(rail);
}
