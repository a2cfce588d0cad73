/* SPDX-License-Identifier: Apache-2.0 */
/*
 * probe.h - what `sluiced --probe` tells of RDMA: devices with their limits, ports,
 * GIDs, and which of them an instance would use. Private to probe.c, which looks and
 * writes text, and probe_json.c.
 */
#ifndef DRIVERS_VERBS_PROBE_H
#define DRIVERS_VERBS_PROBE_H

#include <infiniband/verbs.h>
#include <netinet/in.h>
#include <stdio.h>

#include "drivers/verbs/choose.h"
#include "transport/driver.h"

#define PROBE_TEXT_MAX 192u

struct probe_gid {
	unsigned port, idx;
	const char *type;               /* in words; "?" */
	char address[INET6_ADDRSTRLEN]; /* IPv4 where it stands for one */
	char interface[IF_NAMESIZE];    /* "": none */
};

struct probe_device {
	char name[64];
	int error; /* of opening it, positive errno; then nothing below is set */
	struct ibv_device_attr attr;
	struct probe_gid *gids; /* owned */
	size_t gid_count;
};

struct probe {
	struct probe_device *devices; /* owned */
	size_t device_count;
	struct verbs_port *ports; /* owned; in the order of choice */
	size_t port_count;
	int cm_error;          /* positive errno: no connection manager */
	uint64_t locked_bytes; /* RLIMIT_MEMLOCK; UINT64_MAX: no limit */

	bool usable;                 /* an instance would open, as far as a look can tell */
	char choice[PROBE_TEXT_MAX]; /* what it would use and why, or why nothing */
};

const char *probe_link_text(const struct verbs_port *port);
/* -ENOMEM, -EIO. */
int probe_write_json(const struct probe *probe, FILE *out);

#endif
