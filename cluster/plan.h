/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plan.h - what `sluice init` shall make: from its options to a description.
 */
#ifndef CLUSTER_PLAN_H
#define CLUSTER_PLAN_H

#include "cluster/description.h"

#define PLAN_HOSTS_MAX 1024

struct plan_options {
	const char *directory;
	const char *const *hosts; /* [host_count] "TARGET[=ADDRESS]" */
	size_t host_count;
	const char *address; /* of this host for others; NULL: none given */
	int segments_per_host;
	int port;           /* of the coordinator; segments and agents have the next ones */
	bool standby;       /* of the coordinator */
	bool mirrors;       /* one per segment, on the next host */
	bool own_agents;    /* each segment of this host with an agent of its own */
	bool no_encryption; /* of what agents move between hosts */
	const char *user;
	const char *pg_bin;
	const char *agent;
	const char *ssh;
	const char *arena_size;
};

/* Decide about everything; makes the directory. *ret_cluster is owned by the
 * caller. 0, or -1 after a message. */
int plan_make(const struct plan_options *options, struct cluster *ret_cluster);

#endif
