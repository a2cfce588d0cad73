/* SPDX-License-Identifier: Apache-2.0 */
/*
 * description.h - what a cluster consists of: hosts with their agents, and
 * servers. `sluice init` writes it to DIRECTORY/cluster.json on the coordinator's
 * host; every other command reads it there.
 */
#ifndef CLUSTER_DESCRIPTION_H
#define CLUSTER_DESCRIPTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CLUSTER_COORDINATOR (-1) /* its content id; segments count from 0 */

struct cluster_host {
	char *name;    /* for people, and the name of its agent */
	char *target;  /* what ssh connects to; "" for the coordinator's host */
	char *address; /* for agents and servers on other hosts; "" when there are none */
	int agent_port;
};

struct cluster_server {
	int dbid;    /* from 1 */
	int content; /* CLUSTER_COORDINATOR, or the segment's */
	char role;   /* 'p' primary, 'm' mirror or standby */
	int host;    /* index */
	int port;
	char *data_directory;
};

struct cluster {
	char *directory;            /* the same path on every host; absolute */
	uint64_t id;                /* of agents and channels */
	char *user;                 /* that runs all processes; also the database superuser */
	char *pg_bin;               /* directory of PostgreSQL's programs, on every host */
	char *agent;                /* path of sluiced, on every host */
	char *ssh;                  /* command, with options, that reaches other hosts */
	char *arena_size;           /* as in sluiced.conf */
	int encrypt;                /* whether agents encrypt what they move between hosts */
	struct cluster_host *hosts; /* [host_count], hosts[0] the coordinator's */
	size_t host_count;
	struct cluster_server *servers; /* [server_count], the coordinator first */
	size_t server_count;
};

/* Both print to standard error why they fail, and return -1. What load gives is
 * owned by the caller until cluster_free(). */
int cluster_load(const char *directory, struct cluster *ret_cluster);
int cluster_save(const struct cluster *cluster);
void cluster_free(struct cluster *cluster);

/* Directory of the cluster from the option, else $SLUICE_CLUSTER. NULL, after a
 * message, when neither names one. */
const char *cluster_directory(const char *command, const char *option);

const struct cluster_host *cluster_host_of(const struct cluster *cluster,
                                           const struct cluster_server *server);
bool cluster_is_local(const struct cluster_host *host);

/* DIRECTORY/a/b: returned owned. */
char *cluster_path(const struct cluster *cluster, const char *format, ...)
        __attribute__((format(printf, 2, 3)));

/* "coordinator", "segment 3", "mirror 3", "standby": borrowed until the next call. */
const char *cluster_server_name(const struct cluster_server *server);

/* A printf() that ends the program when memory is short; returned owned. */
char *cluster_text(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* 32 random bytes as a line of hexadecimal digits; returned owned. */
char *cluster_random_key(void);

#endif
