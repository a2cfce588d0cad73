/* SPDX-License-Identifier: Apache-2.0 */
/* limits.c - see limits.h. */
#include "drivers/verbs/limits.h"

#include <errno.h>
#include <stdio.h>

#include "drivers/verbs/verbs.h"

uint32_t verbs_limits_session_receives(uint32_t window)
{
	return window + VERBS_CREDIT_SLOTS;
}

uint32_t verbs_limits_sends(uint32_t window)
{
	uint32_t sends = 1;

	while (sends < 2 * verbs_limits_session_receives(window))
		sends *= 2;
	return sends;
}

uint32_t verbs_limits_receives(uint32_t window, uint32_t sessions)
{
	return sessions * verbs_limits_session_receives(window) + VERBS_SPARES_MAX;
}

uint32_t verbs_limits_completions(uint32_t window, uint32_t sessions)
{
	return sessions * verbs_limits_sends(window) + verbs_limits_receives(window, sessions);
}

/* The most sessions whose share of a resource fits, beside what all have in common.
 * Attributes are signed, and drivers have been seen to say -1. */
static uint32_t share(uint32_t sessions, int64_t there, int64_t common, int64_t each)
{
	int64_t fit = there > common ? (there - common) / each : 0;

	return fit < sessions ? (uint32_t)fit : sessions;
}

int verbs_limits_fit(const struct verbs_wants *wants, const struct ibv_device_attr *device,
                     const struct ibv_port_attr *port, uint32_t *ret_sessions, char *error)
{
	uint32_t receives = verbs_limits_session_receives(wants->window);
	uint32_t sends = verbs_limits_sends(wants->window);
	uint32_t sessions = wants->sessions_max;

	if (port->max_msg_sz < wants->message_bytes) {
		snprintf(error, SLU_DRIVER_ERROR_MAX, "takes messages of %u bytes, not %u",
		         port->max_msg_sz, wants->message_bytes);
		return -EMSGSIZE;
	}
	if (device->max_mr_size < wants->arena_bytes) {
		snprintf(error, SLU_DRIVER_ERROR_MAX,
		         "registers at most %llu bytes, the arena has %zu",
		         (unsigned long long)device->max_mr_size, wants->arena_bytes);
		return -ENOMEM;
	}
	sessions = share(sessions, device->max_qp, 0, 1);
	/* One registration is the arena's; without inline sends each session has one. */
	sessions = share(sessions, device->max_mr, 1, 1);
	sessions = share(sessions, device->max_srq_wr, VERBS_SPARES_MAX, receives);
	sessions = share(sessions, device->max_cqe, VERBS_SPARES_MAX, sends + receives);
	if (sessions == 0 || device->max_qp_wr < (int64_t)sends || device->max_sge < 1 ||
	    device->max_srq < 1) {
		snprintf(error, SLU_DRIVER_ERROR_MAX,
		         "is too small for a window of %u: it has %d queue pairs of %d sends, "
		         "%d shared receives, %d completions, %d registrations",
		         wants->window, device->max_qp, device->max_qp_wr, device->max_srq_wr,
		         device->max_cqe, device->max_mr);
		return -ENODEV;
	}
	*ret_sessions = sessions;
	return 0;
}
