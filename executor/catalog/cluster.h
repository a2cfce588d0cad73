/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cluster.h - the servers of the cluster, from sluice.segment_configuration on
 * the coordinator.
 */
#ifndef EXECUTOR_CATALOG_CLUSTER_H
#define EXECUTOR_CATALOG_CLUSTER_H

#include <postgres.h>

typedef struct MppSegment {
	int content;
	char *address; /* for libpq: host name, address, or directory of a Unix socket */
	int port;
	char *node; /* of its host's agent (sluiced); channels name it as the peer */
} MppSegment;

typedef struct MppCluster {
	char *coordinator_node; /* of the coordinator's agent */
	int segment_count;
	MppSegment *segments; /* [segment_count], segments[i].content == i; primaries */
} MppCluster;

/* On the coordinator, in a transaction. Borrowed until the end of the
 * transaction. ERROR when the configuration has gaps or is empty. */
extern const MppCluster *mpp_cluster_get(void);

/* Segments of the cluster, 0 when none are configured. Cheap after the first call. */
extern int mpp_segment_count(void);

#endif
