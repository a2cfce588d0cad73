/* SPDX-License-Identifier: Apache-2.0 */
/* options.c - see options.h. */
#include "cluster/options.h"

#include <stdio.h>

int cluster_option(int option, struct cluster_options *options, const char *usage)
{
	switch (option) {
	case 'd':
		options->directory = optarg;
		return -1;
	case 'j':
		options->json = true;
		return -1;
	case 'h':
		fputs(usage, stdout);
		return 0;
	default:
		fputs(usage, stderr);
		return 2;
	}
}

int cluster_open(const char *command, const struct cluster_options *options,
                 struct cluster *ret_cluster)
{
	const char *directory = cluster_directory(command, options->directory);

	if (!directory)
		return 2;
	return cluster_load(directory, ret_cluster) < 0 ? 1 : 0;
}
