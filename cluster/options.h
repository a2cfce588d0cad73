/* SPDX-License-Identifier: Apache-2.0 */
/*
 * options.h - what most commands on a cluster share: which cluster, and whether
 * to print JSON.
 */
#ifndef CLUSTER_OPTIONS_H
#define CLUSTER_OPTIONS_H

#include "cluster/description.h"

#include <getopt.h>

struct cluster_options {
	const char *directory;
	bool json;
};

/* The rows of every command's table of long options, and the letters for them. */
#define CLUSTER_LONG_OPTIONS                                                                       \
	{"directory", required_argument, NULL, 'd'}, {"json", no_argument, NULL, 'j'},             \
	{                                                                                          \
		"help", no_argument, NULL, 'h'                                                     \
	}
#define CLUSTER_SHORT_OPTIONS "d:jh"
#define CLUSTER_OPTIONS_HELP                                                                       \
	"  -d, --directory DIR  of the cluster; default $SLUICE_CLUSTER\n"                         \
	"  -j, --json           print JSON\n"                                                      \
	"  -h, --help           print this and exit\n"

/* Takes -d and -j, prints usage for -h and unknown ones. -1 to go on, else the
 * exit status. */
int cluster_option(int option, struct cluster_options *options, const char *usage);

/* Load the cluster that the options name. 0, or the exit status after a message. */
int cluster_open(const char *command, const struct cluster_options *options,
                 struct cluster *ret_cluster);

#endif
