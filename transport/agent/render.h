/* SPDX-License-Identifier: Apache-2.0 */
/* render.h - the arena's counters as Prometheus text. Reads shared memory alone,
 * from any thread. */
#ifndef TRANSPORT_AGENT_RENDER_H
#define TRANSPORT_AGENT_RENDER_H

#include "transport/arena.h"

#include <stdio.h>

struct render {
	const struct arena *arena; /* borrowed */
};

/* A metrics_render; ctx is a struct render. */
void render_metrics(FILE *out, void *ctx);

#endif
