/* SPDX-License-Identifier: Apache-2.0 */
/* attach.h - joining the agent of this host as the settings say. */
#ifndef WALSTREAM_PG_ATTACH_H
#define WALSTREAM_PG_ATTACH_H

#include "walstream/pg/walpg.h"

#include <sluice/walstream.h>

/* How long an agent, or the other side on another host, may take to answer. */
#define WALPG_ANSWER_NS UINT64_C(5000000000)

/* NULL: it could not be had; the reason is in ret_reason, of WALPG_REASON_BYTES. The
 * endpoint is returned owned. */
slu_endpoint *walpg_attach(const struct walpg_settings *settings, const char *name,
                           uint64_t *ret_cluster, char *ret_reason);

/* Of a stream, for the statistics. */
static inline const char *walpg_driver(bool remote)
{
	return remote ? "network" : "shm";
}

#endif
