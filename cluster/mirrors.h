/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mirrors.h - the standby of the coordinator and the mirrors of segments: servers
 * that stream the WAL of their primary, over Sluice where that can be had.
 */
#ifndef CLUSTER_MIRRORS_H
#define CLUSTER_MIRRORS_H

#include "cluster/description.h"

#include <stdbool.h>

/* How one of them gets its WAL. */
struct mirror_status {
	bool streams;
	char driver[16];     /* of sluice.stat_walstream: "shm", "network"; "tcp": by libpq */
	char sync_state[16]; /* of pg_stat_replication */
	long long lag_bytes; /* behind the primary, replayed */
};

/* The primary that this one copies. */
const struct cluster_server *mirror_primary(const struct cluster *cluster,
                                            const struct cluster_server *mirror);

/* Clone all of them from their running primaries, in parallel, with a slot each.
 * They are not started. 0, or -1 after a message. */
int mirrors_create(const struct cluster *cluster);

/* Ask the primary. 0, or -1 after a message; does not stream when it is not there. */
int mirror_look(const struct cluster *cluster, const struct cluster_server *mirror,
                struct mirror_status *ret_status);

/* Wait until all stream. False: they do not within that time. */
bool mirrors_wait(const struct cluster *cluster, uint64_t timeout_ns);

/* "standby", "mirror3": its slot, and its application_name. Returned owned. */
char *mirror_name(const struct cluster_server *mirror);

#endif
