/* SPDX-License-Identifier: Apache-2.0 */
/* state.c - see state.h. */
#include "cluster/state.h"

#include "cluster/agents.h"
#include "cluster/mirrors.h"
#include "cluster/options.h"
#include "cluster/servers.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

static const char usage[] =
        "usage: sluice state [options]\n"
        "\n"
        "Shows every agent and server of a cluster, and whether it serves. Exit status 0:\n"
        "all do; 1: some do not, or the cluster could not be read.\n"
        "\n"
        "  -e, --errors         only what does not serve\n" CLUSTER_OPTIONS_HELP;

static const char *status_text(PGPing ping)
{
	switch (ping) {
	case PQPING_OK:
		return "up";
	case PQPING_REJECT:
		return "starting or stopping";
	default:
		return "down";
	}
}

struct report {
	json_t *agents, *servers; /* NULL: print a table */
	bool errors_only;
	bool all_up;
};

static void report_agent(struct report *report, const struct cluster *cluster,
                         const struct cluster_host *host)
{
	int pid = agent_pid(cluster, host);
	const char *status = pid ? "up" : "down";

	report->all_up &= pid != 0;
	if (pid && report->errors_only)
		return;
	if (report->agents)
		json_array_append_new(report->agents,
		                      json_pack("{s:s, s:s, s:i}", "host", host->name, "status",
		                                status, "pid", pid));
	else
		printf("%-14s %-18s %6s  %-6s pid %d\n", "agent", host->name, "", status, pid);
}

/* "streams over shm, async, 0 bytes behind". Returned owned; NULL: a primary. */
static char *mirror_text(const struct cluster *cluster, const struct cluster_server *server,
                         bool *ret_streams)
{
	struct mirror_status status;

	*ret_streams = true;
	if (server->role == 'p')
		return NULL;
	*ret_streams = mirror_look(cluster, server, &status) == 0 && status.streams;
	if (!*ret_streams)
		return cluster_text("does not stream");
	return cluster_text("streams over %s, %s, %lld bytes behind", status.driver,
	                    status.sync_state, status.lag_bytes);
}

static void report_server(struct report *report, const struct cluster *cluster,
                          const struct cluster_server *server)
{
	const struct cluster_host *host = cluster_host_of(cluster, server);
	PGPing ping = server_ping(cluster, server);
	const char *status = status_text(ping);
	bool streams, is_up = ping == PQPING_OK;
	char *mirror = mirror_text(cluster, server, &streams);

	report->all_up &= is_up && streams;
	if (is_up && streams && report->errors_only) {
		free(mirror);
		return;
	}
	if (report->servers)
		json_array_append_new(
		        report->servers,
		        json_pack("{s:i, s:i, s:s#, s:s, s:i, s:s, s:s, s:s?}", "dbid",
		                  server->dbid, "content", server->content, "role", &server->role,
		                  1, "host", host->name, "port", server->port, "data_directory",
		                  server->data_directory, "status", status, "replication", mirror));
	else
		printf("%-14s %-18s %6d  %-6s %s\n", cluster_server_name(server), host->name,
		       server->port, status, mirror ? mirror : server->data_directory);
	free(mirror);
}

int state_main(int argc, char **argv)
{
	static const struct option long_options[] = {
	        {"errors", no_argument, NULL, 'e'}, CLUSTER_LONG_OPTIONS, {NULL, 0, NULL, 0}};
	struct cluster_options options = {0};
	struct report report = {.all_up = true};
	struct cluster cluster;
	int option, status;

	while ((option = getopt_long(argc, argv, "e" CLUSTER_SHORT_OPTIONS, long_options, NULL)) !=
	       -1) {
		if (option == 'e') {
			report.errors_only = true;
			continue;
		}
		status = cluster_option(option, &options, usage);
		if (status >= 0)
			return status;
	}
	status = cluster_open(argv[0], &options, &cluster);
	if (status > 0)
		return status;
	if (options.json) {
		report.agents = json_array();
		report.servers = json_array();
	} else if (!report.errors_only) {
		printf("%-14s %-18s %6s  %-6s\n", "what", "host", "port", "status");
	}
	for (size_t i = 0; i < cluster.host_count; i++)
		report_agent(&report, &cluster, &cluster.hosts[i]);
	for (size_t i = 0; i < cluster.server_count; i++)
		report_server(&report, &cluster, &cluster.servers[i]);
	if (options.json) {
		json_t *all = json_pack("{s:s, s:o, s:o, s:b}", "directory", cluster.directory,
		                        "agents", report.agents, "servers", report.servers,
		                        "all_up", report.all_up);

		json_dumpf(all, stdout, JSON_INDENT(2));
		putchar('\n');
		json_decref(all);
	}
	cluster_free(&cluster);
	return report.all_up ? 0 : 1;
}
