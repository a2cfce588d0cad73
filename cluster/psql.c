/* SPDX-License-Identifier: Apache-2.0 */
/* psql.c - see psql.h. */
#include "cluster/psql.h"

#include "cluster/options.h"
#include "cluster/run.h"
#include "cluster/servers.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char usage[] =
        "usage: sluice psql [-d DIR] [--content N] [--] [PSQL ARGUMENTS]\n"
        "\n"
        "psql on the coordinator, as the cluster's superuser.\n"
        "\n"
        "  -c, --content N      on that segment instead, in utility mode: this server\n"
        "                       alone; -1 is the coordinator in utility mode\n"
        "  -d, --directory DIR  of the cluster; default $SLUICE_CLUSTER\n"
        "  -h, --help           print this and exit\n"
        "\n"
        "Arguments for psql come after --, e.g. sluice psql -d DIR -- -c 'select 1' mydb\n";

static const struct cluster_server *find_server(const struct cluster *cluster, int content)
{
	for (size_t i = 0; i < cluster->server_count; i++)
		if (cluster->servers[i].content == content && cluster->servers[i].role == 'p')
			return &cluster->servers[i];
	fprintf(stderr, "sluice psql: there is no segment %d\n", content);
	return NULL;
}

static int psql_exec(const struct cluster *cluster, const struct cluster_server *server,
                     bool utility, char **arguments)
{
	char *psql = cluster_text("%s/psql", cluster->pg_bin);
	char *address = server_address(cluster, server), *port = cluster_text("%d", server->port);

	setenv("PGHOST", address, 1);
	setenv("PGPORT", port, 1);
	setenv("PGUSER", cluster->user, 1);
	if (!getenv("PGDATABASE"))
		setenv("PGDATABASE", "postgres", 1);
	if (utility)
		setenv("PGOPTIONS", "-c sluice.session_role=utility", 1);
	/* The caller keeps its own user: files that \i reads and \o writes are its. */
	arguments[0] = psql;
	execv(psql, arguments);
	fprintf(stderr, "sluice psql: %s: %s\n", psql, strerror(errno));
	free(port);
	free(address);
	free(psql);
	return 1;
}

int psql_main(int argc, char **argv)
{
	static const struct option long_options[] = {{"content", required_argument, NULL, 'c'},
	                                             CLUSTER_LONG_OPTIONS,
	                                             {NULL, 0, NULL, 0}};
	struct cluster_options options = {0};
	const struct cluster_server *server;
	struct cluster cluster;
	int option, status, content = CLUSTER_COORDINATOR;
	bool utility = false;

	/* "+": the first word that is no option begins psql's. */
	while ((option = getopt_long(argc, argv, "+c:d:h", long_options, NULL)) != -1) {
		if (option == 'c') {
			content = atoi(optarg);
			utility = true;
			continue;
		}
		status = cluster_option(option, &options, usage);
		if (status >= 0)
			return status;
	}
	status = cluster_open(argv[0], &options, &cluster);
	if (status > 0)
		return status;
	server = find_server(&cluster, content);
	status = server ? psql_exec(&cluster, server, utility, argv + optind - 1) : 1;
	cluster_free(&cluster);
	return status;
}
