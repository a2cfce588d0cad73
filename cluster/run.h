/* SPDX-License-Identifier: Apache-2.0 */
/*
 * run.h - programs on the hosts of a cluster, as the user that owns it: here by
 * fork and exec, elsewhere through ssh.
 */
#ifndef CLUSTER_RUN_H
#define CLUSTER_RUN_H

#include "cluster/description.h"

#include <stdio.h>
#include <sys/types.h>

struct run_job {
	pid_t pid;
	FILE *output; /* standard output and error */
	char *what;   /* for messages */
};

/*
 * Start a program; argv ends in NULL. input, when not NULL, is its standard
 * input. what names the step for messages ("initdb of segment 1"). After 0 the
 * job must be finished.
 */
int run_start(const struct cluster *cluster, const struct cluster_host *host, const char *what,
              const char *const argv[], const char *input, struct run_job *ret_job);

/* Wait for it. Its exit status; 127 when it could not be started, 128 + signal.
 * *ret_output, when asked for, is what it printed, owned by the caller; else that
 * goes to standard error when the status is not 0. */
int run_finish(struct run_job *job, char **ret_output);

/* Both in one. */
int run(const struct cluster *cluster, const struct cluster_host *host, const char *what,
        const char *const argv[], const char *input, char **ret_output);

/* A shell script: as run(), with the words of argv as $1 and on. */
int run_script(const struct cluster *cluster, const struct cluster_host *host, const char *what,
               const char *script, const char *const words[], char **ret_output);

/* Write a file with the given mode bits ("600") on a host. */
int run_write_file(const struct cluster *cluster, const struct cluster_host *host, const char *path,
                   const char *mode, const char *content);

/* The first of these paths, relative to where this program lies and ended by NULL, that
 * is a program; owned by the caller. NULL: none is. */
char *run_program_beside(const char *const places[]);

/* This process becomes the cluster's user, when it is root. */
int run_become_user(const struct cluster *cluster);

#endif
