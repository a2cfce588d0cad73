/* SPDX-License-Identifier: Apache-2.0 */
/* servers.c - see servers.h. What is in their files: server_files.c. */
#include "cluster/servers.h"

#include "cluster/run.h"
#include "cluster/server_files.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

char *server_address_from(const struct cluster *cluster, const struct cluster_server *server,
                          const struct cluster_host *host)
{
	const struct cluster_host *own = cluster_host_of(cluster, server);

	if (cluster_is_local(own) && cluster_is_local(host))
		return cluster_path(cluster, "socket");
	return cluster_text("%s", own->address);
}

char *server_address(const struct cluster *cluster, const struct cluster_server *server)
{
	return server_address_from(cluster, server, &cluster->hosts[0]);
}

/* ---- one program for many servers, in parallel ---- */

/* The words of a command for one server; returned owned, each of them too. */
typedef char **(*server_command)(const struct cluster *cluster, const struct cluster_server *server,
                                 const char *argument);

static void words_free(char **words)
{
	for (char **word = words; *word; word++)
		free(*word);
	free(words);
}

#define ALL_SERVERS (-1)

static bool is_in_group(const struct cluster_server *server, int group)
{
	bool is_coordinator = server->content == CLUSTER_COORDINATOR;

	switch (group) {
	case SERVERS_COORDINATOR:
		return server->role == 'p' && is_coordinator;
	case SERVERS_SEGMENTS:
		return server->role == 'p' && !is_coordinator;
	case SERVERS_MIRRORS:
		return server->role == 'm';
	default:
		return true;
	}
}

size_t servers_count(const struct cluster *cluster, enum servers_group group)
{
	size_t count = 0;

	for (size_t i = 0; i < cluster->server_count; i++)
		count += is_in_group(&cluster->servers[i], (int)group);
	return count;
}

static int for_all(const struct cluster *cluster, int group, const char *what,
                   server_command command, const char *argument)
{
	struct run_job *jobs = calloc(cluster->server_count, sizeof(*jobs));
	size_t started = 0;
	int result = jobs ? 0 : -1;

	for (size_t i = 0; i < cluster->server_count && result == 0; i++) {
		const struct cluster_server *server = &cluster->servers[i];
		char **words, *step;

		if (!is_in_group(server, group))
			continue;
		words = command(cluster, server, argument);
		step = cluster_text("%s %s", what, cluster_server_name(server));
		result = run_start(cluster, cluster_host_of(cluster, server), step,
		                   (const char *const *)words, NULL, &jobs[started]);
		started += result == 0;
		free(step);
		words_free(words);
	}
	for (size_t i = 0; i < started; i++)
		if (run_finish(&jobs[i], NULL) != 0)
			result = -1;
	free(jobs);
	return result;
}

static char **words_of(const char *const *words)
{
	size_t count = 0;
	char **copy;

	while (words[count])
		count++;
	copy = calloc(count + 1, sizeof(*copy));
	for (size_t i = 0; copy && i < count; i++)
		copy[i] = cluster_text("%s", words[i]);
	if (!copy)
		exit(1);
	return copy;
}

static char **program_words(const struct cluster *cluster, const char *program,
                            const char *const *rest)
{
	char **words = words_of(rest);
	char *path = cluster_text("%s/%s", cluster->pg_bin, program);

	free(words[0]);
	words[0] = path;
	return words;
}

static char **initdb_command(const struct cluster *cluster, const struct cluster_server *server,
                             const char *locale)
{
	char *locale_word = cluster_text("--locale=%s", locale);
	const char *const words[] = {"",
	                             "--pgdata",
	                             server->data_directory,
	                             "--username",
	                             cluster->user,
	                             "--auth=trust", /* pg_hba.conf is written anew */
	                             "--data-checksums",
	                             "--encoding=UTF8",
	                             locale_word,
	                             "--no-instructions",
	                             NULL};
	char **command = program_words(cluster, "initdb", words);

	free(locale_word);
	return command;
}

int servers_create(const struct cluster *cluster, const char *locale)
{
	char *secret;
	int result = 0;

	if (for_all(cluster, SERVERS_COORDINATOR, "initdb of", initdb_command, locale) < 0 ||
	    for_all(cluster, SERVERS_SEGMENTS, "initdb of", initdb_command, locale) < 0)
		return -1;
	secret = cluster_random_key();
	for (size_t i = 0; i < cluster->server_count && result == 0; i++)
		if (cluster->servers[i].role == 'p' &&
		    (server_files_write(cluster, &cluster->servers[i]) < 0 ||
		     server_secret_write(cluster, &cluster->servers[i], secret) < 0))
			result = -1;
	free(secret);
	return result;
}

/* pg_ctl fails for a server that runs already (start) or does not (stop): asked
 * first, so that the commands can be repeated. A postmaster that was killed counts
 * as running until the init process has reaped it, for pg_ctl and for a new one. */
static char **start_command(const struct cluster *cluster, const struct cluster_server *server,
                            const char *argument)
{
	static const char script[] =
	        "n=0; while read pid <\"$2/postmaster.pid\" && "
	        "grep -q '^State:.Z' \"/proc/$pid/status\" && [ $n -lt 200 ]; do "
	        "  n=$((n + 1)); sleep 0.05; "
	        "done 2>/dev/null; "
	        "\"$1\" -D \"$2\" status >/dev/null 2>&1 && exit 0; "
	        "export PGSSLCERT=\"$3/tls/$4.crt\" PGSSLKEY=\"$3/tls/$4.key\" "
	        "PGSSLROOTCERT=\"$3/tls/ca.crt\"; "
	        "\"$1\" -D \"$2\" -l \"$2/startup.log\" -t 120 -s -w start || "
	        "{ tail -n 10 \"$2/startup.log\"; exit 1; }";
	char *pg_ctl = cluster_text("%s/pg_ctl", cluster->pg_bin);
	const char *const words[] = {"/bin/sh",
	                             "-c",
	                             script,
	                             "sluice",
	                             pg_ctl,
	                             server->data_directory,
	                             cluster->directory,
	                             cluster_host_of(cluster, server)->name,
	                             NULL};
	char **command = words_of(words);

	free(pg_ctl);
	return command;
}

static char **stop_command(const struct cluster *cluster, const struct cluster_server *server,
                           const char *mode)
{
	static const char script[] = "\"$1\" -D \"$2\" status >/dev/null 2>&1 || exit 0; "
	                             "\"$1\" -D \"$2\" -m \"$3\" -t 300 -s -w stop";
	char *pg_ctl = cluster_text("%s/pg_ctl", cluster->pg_bin);
	const char *const words[] = {
	        "/bin/sh", "-c", script, "sluice", pg_ctl, server->data_directory, mode, NULL};
	char **command = words_of(words);

	free(pg_ctl);
	return command;
}

static char **reload_command(const struct cluster *cluster, const struct cluster_server *server,
                             const char *argument)
{
	const char *const words[] = {"", "-D", server->data_directory, "-s", "reload", NULL};

	return program_words(cluster, "pg_ctl", words);
}

int servers_start(const struct cluster *cluster, enum servers_group group)
{
	return for_all(cluster, (int)group, "starting", start_command, NULL);
}

int servers_stop(const struct cluster *cluster, enum servers_group group, const char *mode)
{
	return for_all(cluster, (int)group, "stopping", stop_command, mode);
}

int servers_reload(const struct cluster *cluster)
{
	return for_all(cluster, ALL_SERVERS, "reloading", reload_command, NULL);
}

/* ---- SQL ---- */

PGPing server_ping(const struct cluster *cluster, const struct cluster_server *server)
{
	char *address = server_address(cluster, server), *port = cluster_text("%d", server->port);
	const char *const keywords[] = {"host", "port", "connect_timeout", NULL};
	const char *const values[] = {address, port, "5", NULL};
	PGPing ping = PQpingParams(keywords, values, 0);

	free(port);
	free(address);
	return ping;
}

PGconn *server_connect(const struct cluster *cluster, const struct cluster_server *server,
                       const char *database)
{
	char *address = server_address(cluster, server), *port = cluster_text("%d", server->port);
	char *certificate = cluster_path(cluster, "tls/%s.crt", cluster->hosts[0].name);
	char *key = cluster_path(cluster, "tls/%s.key", cluster->hosts[0].name);
	char *authority = cluster_path(cluster, "tls/ca.crt");
	const char *const keywords[] = {"host",
	                                "port",
	                                "dbname",
	                                "user",
	                                "options",
	                                "sslcert",
	                                "sslkey",
	                                "sslrootcert",
	                                "connect_timeout",
	                                "application_name",
	                                NULL};
	const char *const values[] = {
	        address,     port, database,  cluster->user, "-c sluice.session_role=utility",
	        certificate, key,  authority, "10",          "sluice",
	        NULL};
	PGconn *connection = PQconnectdbParams(keywords, values, 0);

	free(address);
	free(port);
	free(certificate);
	free(key);
	free(authority);
	if (PQstatus(connection) == CONNECTION_OK)
		return connection;
	fprintf(stderr, "sluice: %s: %s", cluster_server_name(server), PQerrorMessage(connection));
	PQfinish(connection);
	return NULL;
}

PGresult *server_query(PGconn *connection, const struct cluster_server *server, const char *sql,
                       int parameter_count, const char *const *parameters)
{
	PGresult *result =
	        PQexecParams(connection, sql, parameter_count, NULL, parameters, NULL, NULL, 0);
	ExecStatusType status = PQresultStatus(result);

	if (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK)
		return result;
	fprintf(stderr, "sluice: %s: %s", cluster_server_name(server), PQerrorMessage(connection));
	PQclear(result);
	return NULL;
}
