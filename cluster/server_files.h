/* SPDX-License-Identifier: Apache-2.0 */
/*
 * server_files.h - the configuration of a server: DATA/sluice.conf, which
 * postgresql.conf includes last, and pg_hba.conf, by which only the coordinator
 * gets into a segment.
 */
#ifndef CLUSTER_SERVER_FILES_H
#define CLUSTER_SERVER_FILES_H

#include "cluster/description.h"

/* 0, or -1 after a message. */
int server_files_write(const struct cluster *cluster, const struct cluster_server *server);

/* What the cluster's servers know each other by (executor/dispatch/proof.c); a clone has
 * it of its original. 0, or -1 after a message. */
int server_secret_write(const struct cluster *cluster, const struct cluster_server *server,
                        const char *secret);

#endif
