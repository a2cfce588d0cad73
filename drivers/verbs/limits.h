/* SPDX-License-Identifier: Apache-2.0 */
/*
 * limits.h - what an instance asks of a device, held against what the device says it
 * has. Arithmetic only: nothing is opened, so a test can be any device.
 */
#ifndef DRIVERS_VERBS_LIMITS_H
#define DRIVERS_VERBS_LIMITS_H

#include <infiniband/verbs.h>
#include <stddef.h>
#include <stdint.h>

#include "transport/driver.h"

struct verbs_wants {
	uint32_t window;        /* messages a session keeps receives for */
	uint32_t sessions_max;  /* as configured */
	uint32_t message_bytes; /* of the largest message */
	size_t arena_bytes;     /* one registration */
};

/* Places in a session's send queue: a power of two that holds a window each way and
 * the words of credit. */
uint32_t verbs_limits_sends(uint32_t window);
/* Receives that one session, or so many, keep posted; the latter with the spares. */
uint32_t verbs_limits_session_receives(uint32_t window);
uint32_t verbs_limits_receives(uint32_t window, uint32_t sessions);
/* Completions that can wait to be polled: of every send, if each asked for one, and
 * of every receive. */
uint32_t verbs_limits_completions(uint32_t window, uint32_t sessions);

/*
 * How many sessions the device is enough for: *ret_sessions, at least 1. Else
 * -EMSGSIZE, -ENOMEM or -ENODEV with error (SLU_DRIVER_ERROR_MAX bytes), which names
 * what there is too little of, in words that go behind the device's name.
 */
int verbs_limits_fit(const struct verbs_wants *wants, const struct ibv_device_attr *device,
                     const struct ibv_port_attr *port, uint32_t *ret_sessions, char *error);

#endif
