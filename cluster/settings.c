/* SPDX-License-Identifier: Apache-2.0 */
/* settings.c - see settings.h: ALTER SYSTEM on every server, and a reload. */
#include "cluster/settings.h"

#include "cluster/options.h"
#include "cluster/servers.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const char usage[] =
        "usage: sluice config [options] NAME            show a setting on every server\n"
        "       sluice config [options] NAME=VALUE      change it, and reload\n"
        "       sluice config [options] --reset NAME    back to the configuration files'\n"
        "\n"
        "  -s, --segments       only on the segments\n"
        "  -c, --coordinator    only on the coordinator\n"
        "  -r, --reset          forget what was set here before\n" CLUSTER_OPTIONS_HELP;

struct config_options {
	struct cluster_options cluster;
	bool segments_only, coordinator_only, reset;
};

static bool is_wanted(const struct config_options *options, const struct cluster_server *server)
{
	bool is_coordinator = server->content == CLUSTER_COORDINATOR;

	return !(options->segments_only && is_coordinator) &&
	       !(options->coordinator_only && !is_coordinator);
}

/* Settings of PostgreSQL 15 that are lists of names (GUC_LIST_QUOTE, which no view shows): in
 * one literal they would be one name. */
static bool is_list(const char *name)
{
	static const char *const lists[] = {
	        "local_preload_libraries",  "search_path",      "session_preload_libraries",
	        "shared_preload_libraries", "temp_tablespaces", "unix_socket_directories",
	};

	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
		if (strcasecmp(name, lists[i]) == 0)
			return true;
	return false;
}

/* Ends the first name of a list, in double quotes or not, and gives back what is left of the
 * list, or NULL. */
static char *list_split(char *list, char **ret_name)
{
	char *from, *to = list;
	bool quoted = false;

	*ret_name = list += strspn(list, " ");
	for (from = to = list; *from && (quoted || *from != ','); from++)
		if (*from == '"')
			quoted = !quoted;
		else
			*to++ = *from;
	list = *from ? from + 1 : NULL;
	while (to > *ret_name && to[-1] == ' ')
		to--;
	*to = '\0';
	return list;
}

/* Literals with commas between. Returned owned; NULL: no memory, or not in the encoding. */
static char *value_literals(PGconn *connection, const char *name, const char *value)
{
	char *copy = cluster_text("%s", value), *rest = copy, *sql = cluster_text("%s", "");

	while (rest && sql) {
		char *word = rest, *literal, *longer = NULL;

		rest = is_list(name) ? list_split(rest, &word) : NULL;
		literal = PQescapeLiteral(connection, word, strlen(word));
		if (literal)
			longer = cluster_text("%s%s%s", sql, *sql ? ", " : "", literal);
		PQfreemem(literal);
		free(sql);
		sql = longer;
	}
	free(copy);
	return sql;
}

/* ALTER SYSTEM takes no parameters. Returned owned; NULL after a message. */
static char *alter_statement(PGconn *connection, const char *name, const char *value)
{
	char *identifier = PQescapeIdentifier(connection, name, strlen(name));
	char *literals = value ? value_literals(connection, name, value) : NULL, *sql = NULL;

	if (!identifier || (value && !literals))
		fprintf(stderr, "sluice config: %s", PQerrorMessage(connection));
	else if (value)
		sql = cluster_text("alter system set %s = %s", identifier, literals);
	else
		sql = cluster_text("alter system reset %s", identifier);
	free(literals);
	PQfreemem(identifier);
	return sql;
}

static int change(const struct cluster *cluster, const struct cluster_server *server,
                  const char *name, const char *value)
{
	PGconn *connection = server_connect(cluster, server, "postgres");
	char *sql = connection ? alter_statement(connection, name, value) : NULL;
	PGresult *result = sql ? server_query(connection, server, sql, 0, NULL) : NULL;
	int status = result ? 0 : -1;

	PQclear(result);
	free(sql);
	PQfinish(connection);
	return status;
}

static int show(const struct cluster *cluster, const struct cluster_server *server,
                const char *name, json_t *list)
{
	static const char sql[] =
	        "select current_setting($1), coalesce((select pending_restart from "
	        "pg_settings where name = lower($1)), false)";
	PGconn *connection = server_connect(cluster, server, "postgres");
	PGresult *result = connection ? server_query(connection, server, sql, 1, &name) : NULL;
	int status = result ? 0 : -1;

	if (result) {
		const char *value = PQgetvalue(result, 0, 0);
		bool pending = PQgetvalue(result, 0, 1)[0] == 't';

		if (list)
			json_array_append_new(list, json_pack("{s:i, s:i, s:s, s:b}", "dbid",
			                                      server->dbid, "content",
			                                      server->content, "value", value,
			                                      "pending_restart", pending));
		else
			printf("%-14s %s%s\n", cluster_server_name(server), value,
			       pending ? "  (another one takes effect at a restart)" : "");
	}
	PQclear(result);
	PQfinish(connection);
	return status;
}

static int config_run(const struct cluster *cluster, const struct config_options *options,
                      const char *name, const char *value)
{
	json_t *list = options->cluster.json ? json_array() : NULL;
	int result = 0;

	/* A server that refuses the value ends it before the others have taken it,
	 * unless it is the only one to refuse. */
	for (size_t i = 0; i < cluster->server_count && (value || options->reset); i++)
		if (is_wanted(options, &cluster->servers[i]) &&
		    change(cluster, &cluster->servers[i], name, value) < 0)
			return -1;
	if ((value || options->reset) && servers_reload(cluster) < 0)
		return -1;
	for (size_t i = 0; i < cluster->server_count; i++)
		if (is_wanted(options, &cluster->servers[i]) &&
		    show(cluster, &cluster->servers[i], name, list) < 0)
			result = -1;
	if (list) {
		json_dumpf(list, stdout, JSON_INDENT(2));
		putchar('\n');
		json_decref(list);
	}
	return result;
}

int config_main(int argc, char **argv)
{
	static const struct option long_options[] = {{"segments", no_argument, NULL, 's'},
	                                             {"coordinator", no_argument, NULL, 'c'},
	                                             {"reset", no_argument, NULL, 'r'},
	                                             CLUSTER_LONG_OPTIONS,
	                                             {NULL, 0, NULL, 0}};
	struct config_options options = {0};
	struct cluster cluster;
	char *name, *value;
	int option, status;

	while ((option = getopt_long(argc, argv, "scr" CLUSTER_SHORT_OPTIONS, long_options,
	                             NULL)) != -1) {
		if (option == 's')
			options.segments_only = true;
		else if (option == 'c')
			options.coordinator_only = true;
		else if (option == 'r')
			options.reset = true;
		else if ((status = cluster_option(option, &options.cluster, usage)) >= 0)
			return status;
	}
	value = optind + 1 == argc ? strchr(argv[optind], '=') : NULL;
	if (optind + 1 != argc || (options.reset && value) ||
	    (options.segments_only && options.coordinator_only)) {
		fputs(usage, stderr);
		return 2;
	}
	status = cluster_open(argv[0], &options.cluster, &cluster);
	if (status > 0)
		return status;
	name = value ? cluster_text("%.*s", (int)(value - argv[optind]), argv[optind])
	             : cluster_text("%s", argv[optind]);
	status = config_run(&cluster, &options, name, value ? value + 1 : NULL) < 0;
	free(name);
	cluster_free(&cluster);
	return status;
}
