/* SPDX-License-Identifier: Apache-2.0 */
/*
 * drift.c - see drift.h. Every server describes its objects, one row each, by
 * sluice.catalog_fingerprint(): kind, name, and a fingerprint that is equal when
 * the definitions are. Both lists come sorted, and are compared as by merging.
 */
#include "cluster/drift.h"

#include "cluster/options.h"
#include "cluster/servers.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
        "usage: sluice check [options]\n"
        "\n"
        "Compares what the catalogs of all segments say with the coordinator's, in every\n"
        "database. Exit status 0: all agree; 1: they differ, or could not be compared.\n"
        "\n" CLUSTER_OPTIONS_HELP;

struct report {
	json_t *list; /* NULL: print lines */
	size_t count;
};

static void report_difference(struct report *report, const struct cluster_server *server,
                              const char *database, const char *kind, const char *name,
                              const char *what)
{
	report->count++;
	if (report->list)
		json_array_append_new(report->list,
		                      json_pack("{s:s, s:i, s:s, s:s, s:s}", "database", database,
		                                "content", server->content, "kind", kind, "name",
		                                name, "difference", what));
	else
		printf("%s, database %s: %s %s: %s\n", cluster_server_name(server), database, kind,
		       name, what);
}

/* The objects of a database on a server; NULL after a message. */
static PGresult *objects(const struct cluster *cluster, const struct cluster_server *server,
                         const char *database)
{
	static const char sql[] = "select kind, name, fingerprint from "
	                          "sluice.catalog_fingerprint() order by kind collate \"C\", "
	                          "name collate \"C\"";
	PGconn *connection = server_connect(cluster, server, database);
	PGresult *result = connection ? server_query(connection, server, sql, 0, NULL) : NULL;

	PQfinish(connection);
	return result;
}

static int compare_names(const PGresult *left, int left_row, const PGresult *right, int right_row)
{
	int order;

	if (left_row == PQntuples(left))
		return 1;
	if (right_row == PQntuples(right))
		return -1;
	order = strcmp(PQgetvalue(left, left_row, 0), PQgetvalue(right, right_row, 0));
	return order ? order
	             : strcmp(PQgetvalue(left, left_row, 1), PQgetvalue(right, right_row, 1));
}

static void compare(struct report *report, const struct cluster_server *server,
                    const char *database, const PGresult *wanted, const PGresult *found)
{
	int i = 0, j = 0;

	while (i < PQntuples(wanted) || j < PQntuples(found)) {
		int order = compare_names(wanted, i, found, j);
		const PGresult *source = order > 0 ? found : wanted;
		int row = order > 0 ? j : i;
		const char *what = order < 0   ? "is missing"
		                   : order > 0 ? "is not on the coordinator"
		                               : "is another than on the coordinator";

		if (order != 0 || strcmp(PQgetvalue(wanted, i, 2), PQgetvalue(found, j, 2)) != 0)
			report_difference(report, server, database, PQgetvalue(source, row, 0),
			                  PQgetvalue(source, row, 1), what);
		i += order <= 0;
		j += order >= 0;
	}
}

static int check_database(const struct cluster *cluster, const char *database,
                          struct report *report)
{
	PGresult *wanted = objects(cluster, &cluster->servers[0], database);
	int result = wanted ? 0 : -1;

	for (size_t i = 1; i < cluster->server_count && wanted; i++) {
		const struct cluster_server *server = &cluster->servers[i];
		PGresult *found;

		if (server->role != 'p' || server->content == CLUSTER_COORDINATOR)
			continue;
		found = objects(cluster, server, database);
		if (found)
			compare(report, server, database, wanted, found);
		else
			result = -1;
		PQclear(found);
	}
	PQclear(wanted);
	return result;
}

static int check_cluster(const struct cluster *cluster, struct report *report)
{
	static const char sql[] = "select datname from pg_database where datallowconn order by 1";
	PGconn *connection = server_connect(cluster, &cluster->servers[0], "postgres");
	PGresult *databases =
	        connection ? server_query(connection, &cluster->servers[0], sql, 0, NULL) : NULL;
	int result = databases ? 0 : -1;

	PQfinish(connection);
	for (int i = 0; databases && i < PQntuples(databases); i++)
		if (check_database(cluster, PQgetvalue(databases, i, 0), report) < 0)
			result = -1;
	PQclear(databases);
	return result;
}

int check_main(int argc, char **argv)
{
	static const struct option long_options[] = {CLUSTER_LONG_OPTIONS, {NULL, 0, NULL, 0}};
	struct cluster_options options = {0};
	struct report report = {0};
	struct cluster cluster;
	int option, status, result;

	while ((option = getopt_long(argc, argv, CLUSTER_SHORT_OPTIONS, long_options, NULL)) !=
	       -1) {
		status = cluster_option(option, &options, usage);
		if (status >= 0)
			return status;
	}
	status = cluster_open(argv[0], &options, &cluster);
	if (status > 0)
		return status;
	report.list = options.json ? json_array() : NULL;
	result = check_cluster(&cluster, &report);
	if (options.json) {
		json_dumpf(report.list, stdout, JSON_INDENT(2));
		putchar('\n');
		json_decref(report.list);
	} else if (result == 0 && report.count == 0) {
		printf("the catalogs of %zu servers agree\n",
		       servers_count(&cluster, SERVERS_SEGMENTS) + 1);
	}
	cluster_free(&cluster);
	return result == 0 && report.count == 0 ? 0 : 1;
}
