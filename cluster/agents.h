/* SPDX-License-Identifier: Apache-2.0 */
/*
 * agents.h - the agents (sluiced) of a cluster, one per host, each with a
 * directory DIRECTORY/agent-HOST: sluiced.conf, key, log, pid, and the socket that
 * the host's servers attach to.
 */
#ifndef CLUSTER_AGENTS_H
#define CLUSTER_AGENTS_H

#include "cluster/description.h"

/* Write the files of all agents, with a new key. 0, or -1 after a message. */
int agents_write_files(const struct cluster *cluster);

/* Start those that do not run, and wait until they serve. 0, or -1 after a message. */
int agents_start(const struct cluster *cluster);

/* Stop those that run. */
int agents_stop(const struct cluster *cluster);

/* Process id of the host's agent; 0: it does not run. */
int agent_pid(const struct cluster *cluster, const struct cluster_host *host);

/* Of the socket. Returned owned. */
char *agent_socket(const struct cluster *cluster, const struct cluster_host *host);

#endif
