/* SPDX-License-Identifier: Apache-2.0 */
/*
 * metrics.h - GET /metrics over HTTP: Prometheus text that a callback writes. For
 * counters that any thread may read; served by a thread of its own.
 */
#ifndef TRANSPORT_AGENT_METRICS_H
#define TRANSPORT_AGENT_METRICS_H

#include "transport/agent/config.h"

struct metrics;

/* Write the whole text; called on the server's thread, one call at a time. */
typedef void (*metrics_render)(FILE *out, void *ctx);

/*
 * Listen and serve. *ret_metrics is returned owned. Looks up the name in listen,
 * if it is one, and so may block. render and ctx are borrowed until metrics_stop
 * returns. -EINVAL (address), -EADDRINUSE, -EACCES, -ENOMEM ... with words in
 * error (CONFIG_ERROR_MAX bytes).
 */
int metrics_start(const struct config_address *listen, metrics_render render, void *ctx,
                  struct metrics **ret_metrics, char *error);

/* Takes metrics; NULL is allowed. Waits until no render runs. */
void metrics_stop(struct metrics *metrics);

/* The port it listens on: the real one where the configuration has 0. */
uint16_t metrics_port(const struct metrics *metrics);

#endif
