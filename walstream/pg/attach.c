/* SPDX-License-Identifier: Apache-2.0 */
/* attach.c - see attach.h. */
#include <postgres.h>

#include "walstream/pg/attach.h"
#include "walstream/pg/terms.h"

slu_endpoint *walpg_attach(const struct walpg_settings *settings, const char *name,
                           uint64_t *ret_cluster, char *ret_reason)
{
	struct slu_attach_options options = {
	        .socket_path = settings->socket[0] ? settings->socket : NULL,
	        .name = name,
	        .spin_ns_max = SLU_SPIN_NEVER, /* spin.h decides */
	        .timeout_ns = WALPG_ANSWER_NS,
	};
	slu_endpoint *endpoint;
	int r;

	if (!terms_cluster_read(settings->cluster_id, &options.cluster)) {
		strlcpy(ret_reason, "sluice.walstream_cluster_id is not set", WALPG_REASON_BYTES);
		return NULL;
	}
	r = slu_endpoint_attach(&options, &endpoint);
	if (r < 0) {
		const char *why = slu_attach_error();

		snprintf(ret_reason, WALPG_REASON_BYTES, "could not attach to the agent: %s",
		         why[0] ? why : strerror(-r));
		return NULL;
	}
	*ret_cluster = options.cluster;
	return endpoint;
}
