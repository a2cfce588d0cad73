/* SPDX-License-Identifier: Apache-2.0 */
/*
 * servers.h - the PostgreSQL servers of a cluster: their files, starting and
 * stopping them, talking to them.
 */
#ifndef CLUSTER_SERVERS_H
#define CLUSTER_SERVERS_H

#include "cluster/description.h"

#include <libpq-fe.h>

/* initdb and the configuration of all primaries, in parallel. All calls: 0, or -1
 * after a message. */
int servers_create(const struct cluster *cluster, const char *locale);

enum servers_group {
	SERVERS_COORDINATOR,
	SERVERS_SEGMENTS, /* primaries */
	SERVERS_MIRRORS,  /* and the standby */
};
size_t servers_count(const struct cluster *cluster, enum servers_group group);

/* Start those of the group that do not run, in parallel. Returns when they take
 * connections. */
int servers_start(const struct cluster *cluster, enum servers_group group);

/* mode: smart, fast or immediate, as pg_ctl's. Those that do not run are left. */
int servers_stop(const struct cluster *cluster, enum servers_group group, const char *mode);

int servers_reload(const struct cluster *cluster);

/* Where clients on that host find it: directory of the Unix socket, or address. Owned. */
char *server_address_from(const struct cluster *cluster, const struct cluster_server *server,
                          const struct cluster_host *host);
/* As this, from the coordinator's host. */
char *server_address(const struct cluster *cluster, const struct cluster_server *server);

/* Whether it takes connections. */
PGPing server_ping(const struct cluster *cluster, const struct cluster_server *server);

/* A connection of the superuser in utility mode; NULL after a message. */
PGconn *server_connect(const struct cluster *cluster, const struct cluster_server *server,
                       const char *database);

/* Run one statement with text parameters; NULL after a message that names the
 * server. The result is owned by the caller. */
PGresult *server_query(PGconn *connection, const struct cluster_server *server, const char *sql,
                       int parameter_count, const char *const *parameters);

#endif
