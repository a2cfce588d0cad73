/* SPDX-License-Identifier: Apache-2.0 */
/* mirrors.c - see mirrors.h. */
#include "cluster/mirrors.h"

#include "cluster/run.h"
#include "cluster/server_files.h"
#include "cluster/servers.h"
#include "transport/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

char *mirror_name(const struct cluster_server *mirror)
{
	if (mirror->content == CLUSTER_COORDINATOR)
		return cluster_text("standby");
	return cluster_text("mirror%d", mirror->content);
}

const struct cluster_server *mirror_primary(const struct cluster *cluster,
                                            const struct cluster_server *mirror)
{
	const struct cluster_server *primary = &cluster->servers[0];

	for (size_t i = 0; i < cluster->server_count; i++)
		if (cluster->servers[i].role == 'p' &&
		    cluster->servers[i].content == mirror->content)
			primary = &cluster->servers[i];
	return primary;
}

static int clone_start(const struct cluster *cluster, const struct cluster_server *mirror,
                       struct run_job *ret_job)
{
	static const char script[] =
	        "export PGSSLCERT=\"$6/tls/$7.crt\" PGSSLKEY=\"$6/tls/$7.key\" "
	        "PGSSLROOTCERT=\"$6/tls/ca.crt\"; "
	        "\"$1/pg_basebackup\" -h \"$2\" -p \"$3\" -U \"$8\" -D \"$4\" -c fast "
	        "-X stream --create-slot --slot \"$5\" && touch \"$4/standby.signal\"";
	const struct cluster_server *primary = mirror_primary(cluster, mirror);
	const struct cluster_host *host = cluster_host_of(cluster, mirror);
	char *address = server_address_from(cluster, primary, host), *name = mirror_name(mirror);
	char *port = cluster_text("%d", primary->port), *what = cluster_text("cloning %s", name);
	const char *const argv[] = {"/bin/sh",
	                            "-c",
	                            script,
	                            "sluice",
	                            cluster->pg_bin,
	                            address,
	                            port,
	                            mirror->data_directory,
	                            name,
	                            cluster->directory,
	                            host->name,
	                            cluster->user,
	                            NULL};
	int result = run_start(cluster, host, what, argv, NULL, ret_job);

	free(what);
	free(port);
	free(name);
	free(address);
	return result;
}

int mirrors_create(const struct cluster *cluster)
{
	struct run_job *jobs = calloc(cluster->server_count, sizeof(*jobs));
	size_t started = 0;
	int result = jobs ? 0 : -1;

	for (size_t i = 0; i < cluster->server_count && result == 0; i++) {
		if (cluster->servers[i].role == 'p')
			continue;
		result = clone_start(cluster, &cluster->servers[i], &jobs[started]);
		started += result == 0;
	}
	for (size_t i = 0; i < started; i++)
		if (run_finish(&jobs[i], NULL) != 0)
			result = -1;
	for (size_t i = 0; i < cluster->server_count && result == 0; i++)
		if (cluster->servers[i].role != 'p')
			result = server_files_write(cluster, &cluster->servers[i]);
	free(jobs);
	return result;
}

int mirror_look(const struct cluster *cluster, const struct cluster_server *mirror,
                struct mirror_status *ret_status)
{
	static const char sql[] =
	        "select coalesce(s.driver, 'tcp'), r.sync_state, "
	        "coalesce(pg_wal_lsn_diff(pg_current_wal_lsn(), r.replay_lsn), 0)::bigint "
	        "from pg_stat_replication r left join sluice.stat_walstream s "
	        "on s.pid = r.pid and s.role = 'sender' "
	        "where r.application_name = $1 and r.state = 'streaming'";
	const struct cluster_server *primary = mirror_primary(cluster, mirror);
	PGconn *connection;
	char *name;
	PGresult *result;
	int status;

	*ret_status = (struct mirror_status){0};
	if (server_ping(cluster, primary) != PQPING_OK)
		return 0;
	connection = server_connect(cluster, primary, "postgres");
	name = mirror_name(mirror);
	result = connection ? server_query(connection, primary, sql, 1, (const char *const[]){name})
	                    : NULL;
	status = result ? 0 : -1;
	if (result && PQntuples(result) > 0) {
		ret_status->streams = true;
		snprintf(ret_status->driver, sizeof(ret_status->driver), "%s",
		         PQgetvalue(result, 0, 0));
		snprintf(ret_status->sync_state, sizeof(ret_status->sync_state), "%s",
		         PQgetvalue(result, 0, 1));
		ret_status->lag_bytes = atoll(PQgetvalue(result, 0, 2));
	}
	PQclear(result);
	PQfinish(connection);
	free(name);
	return status;
}

static bool all_stream(const struct cluster *cluster)
{
	struct mirror_status status;

	for (size_t i = 0; i < cluster->server_count; i++)
		if (cluster->servers[i].role != 'p' &&
		    (mirror_look(cluster, &cluster->servers[i], &status) < 0 || !status.streams))
			return false;
	return true;
}

bool mirrors_wait(const struct cluster *cluster, uint64_t timeout_ns)
{
	uint64_t deadline_ns = clock_now_ns() + timeout_ns;

	while (!all_stream(cluster)) {
		if (clock_now_ns() > deadline_ns)
			return false;
		usleep(100000);
	}
	return true;
}
