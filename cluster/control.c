/* SPDX-License-Identifier: Apache-2.0 */
/* control.c - see control.h. */
#include "cluster/control.h"

#include "cluster/agents.h"
#include "cluster/mirrors.h"
#include "cluster/options.h"
#include "cluster/servers.h"

#include <stdio.h>
#include <string.h>

#define MIRRORS_TIMEOUT_NS UINT64_C(30000000000)

int control_start_primaries(const struct cluster *cluster, struct progress *progress)
{
	progress_step(progress, "starting %zu agents", cluster->host_count);
	if (agents_start(cluster) < 0)
		return -1;
	progress_step(progress, "starting %zu segments", servers_count(cluster, SERVERS_SEGMENTS));
	if (servers_start(cluster, SERVERS_SEGMENTS) < 0)
		return -1;
	progress_step(progress, "starting the coordinator");
	if (servers_start(cluster, SERVERS_COORDINATOR) < 0)
		return -1;
	progress_end(progress, true);
	return 0;
}

int control_start_mirrors(const struct cluster *cluster, struct progress *progress)
{
	size_t count = servers_count(cluster, SERVERS_MIRRORS);

	if (count == 0)
		return 0;
	progress_step(progress, "starting %zu mirrors", count);
	if (servers_start(cluster, SERVERS_MIRRORS) < 0)
		return -1;
	/* The cluster serves without them: what `sluice state` shows is enough. */
	if (!mirrors_wait(cluster, MIRRORS_TIMEOUT_NS))
		fputs("sluice: not all mirrors stream yet; see sluice state\n", stderr);
	progress_end(progress, true);
	return 0;
}

int control_start(const struct cluster *cluster, struct progress *progress)
{
	if (control_start_primaries(cluster, progress) < 0)
		return -1;
	return control_start_mirrors(cluster, progress);
}

int control_stop(const struct cluster *cluster, const char *mode, struct progress *progress)
{
	size_t mirrors = servers_count(cluster, SERVERS_MIRRORS);
	int result = 0;

	progress_step(progress, "stopping the coordinator");
	if (servers_stop(cluster, SERVERS_COORDINATOR, mode) < 0)
		result = -1;
	progress_step(progress, "stopping %zu segments", servers_count(cluster, SERVERS_SEGMENTS));
	if (servers_stop(cluster, SERVERS_SEGMENTS, mode) < 0)
		result = -1;
	/* After their primaries, whose last checkpoint they shall have. */
	if (mirrors > 0) {
		progress_step(progress, "stopping %zu mirrors", mirrors);
		if (servers_stop(cluster, SERVERS_MIRRORS, mode) < 0)
			result = -1;
	}
	progress_step(progress, "stopping %zu agents", cluster->host_count);
	if (agents_stop(cluster) < 0)
		result = -1;
	progress_end(progress, result == 0);
	return result;
}

static const char start_usage[] = "usage: sluice start|reload [options]\n"
                                  "\n" CLUSTER_OPTIONS_HELP;

static const char stop_usage[] =
        "usage: sluice stop|restart [options]\n"
        "\n"
        "  -m, --mode MODE      smart: wait until clients have left; fast (the default);\n"
        "                       immediate: as a crash\n" CLUSTER_OPTIONS_HELP;

static bool is_mode(const char *mode)
{
	return strcmp(mode, "smart") == 0 || strcmp(mode, "fast") == 0 ||
	       strcmp(mode, "immediate") == 0;
}

typedef int (*control_action)(const struct cluster *cluster, const char *mode,
                              struct progress *progress);

static int control_main(int argc, char **argv, bool stops, control_action action)
{
	static const struct option long_options[] = {
	        {"mode", required_argument, NULL, 'm'}, CLUSTER_LONG_OPTIONS, {NULL, 0, NULL, 0}};
	struct cluster_options options = {0};
	const char *mode = "fast";
	struct progress progress = {0};
	struct cluster cluster;
	int option, status, result;

	while ((option = getopt_long(argc, argv, "m:" CLUSTER_SHORT_OPTIONS, long_options, NULL)) !=
	       -1) {
		if (option == 'm' && stops && is_mode(optarg)) {
			mode = optarg;
			continue;
		}
		status = cluster_option(option, &options, stops ? stop_usage : start_usage);
		if (status >= 0)
			return status;
	}
	if (optind < argc) {
		fprintf(stderr, "sluice %s: unexpected argument '%s'\n", argv[0], argv[optind]);
		return 2;
	}
	status = cluster_open(argv[0], &options, &cluster);
	if (status > 0)
		return status;
	progress.json = options.json;
	result = action(&cluster, mode, &progress);
	progress_end(&progress, result == 0);
	cluster_free(&cluster);
	return result == 0 ? 0 : 1;
}

static int start(const struct cluster *cluster, const char *mode, struct progress *progress)
{
	return control_start(cluster, progress);
}

static int restart(const struct cluster *cluster, const char *mode, struct progress *progress)
{
	if (control_stop(cluster, mode, progress) < 0)
		return -1;
	return control_start(cluster, progress);
}

static int reload(const struct cluster *cluster, const char *mode, struct progress *progress)
{
	progress_step(progress, "reloading %zu servers", cluster->server_count);
	return servers_reload(cluster);
}

int start_main(int argc, char **argv)
{
	return control_main(argc, argv, false, start);
}

int stop_main(int argc, char **argv)
{
	return control_main(argc, argv, true, control_stop);
}

int restart_main(int argc, char **argv)
{
	return control_main(argc, argv, true, restart);
}

int reload_main(int argc, char **argv)
{
	return control_main(argc, argv, false, reload);
}
