/* SPDX-License-Identifier: Apache-2.0 */
/* server_files.c - see server_files.h. */
#include "cluster/server_files.h"

#include "cluster/agents.h"
#include "cluster/mirrors.h"
#include "cluster/run.h"
#include "cluster/servers.h"
#include "cluster/tls.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* Sessions of clients on the coordinator; each has one QE per segment. */
#define SESSIONS_MAX 100

static FILE *open_text(char **ret_text, size_t *length)
{
	FILE *out = open_memstream(ret_text, length);

	if (!out) {
		fputs("sluice: out of memory\n", stderr);
		exit(1);
	}
	return out;
}

static void put_addresses(FILE *out, const struct cluster *cluster,
                          const struct cluster_server *server)
{
	const struct cluster_host *host = cluster_host_of(cluster, server);
	bool is_coordinator = server->content == CLUSTER_COORDINATOR;

	fprintf(out, "port = %d\n", server->port);
	fprintf(out, "unix_socket_directories = '%s/socket'\n", cluster->directory);
	if (!tls_is_used(cluster)) {
		fprintf(out, "listen_addresses = '%s'\n", is_coordinator ? "localhost" : "");
		return;
	}
	fprintf(out, "listen_addresses = '%s%s'\n", is_coordinator ? "localhost, " : "",
	        host->address);
	fprintf(out,
	        "ssl = on\n"
	        "ssl_cert_file = '%s/tls/%s.crt'\n"
	        "ssl_key_file = '%s/tls/%s.key'\n"
	        "ssl_ca_file = '%s/tls/ca.crt'\n",
	        cluster->directory, host->name, cluster->directory, host->name, cluster->directory);
}

/* Where a standby or mirror gets its WAL. */
static void put_upstream(FILE *out, const struct cluster *cluster,
                         const struct cluster_server *mirror)
{
	const struct cluster_server *primary = mirror_primary(cluster, mirror);
	const struct cluster_host *own = cluster_host_of(cluster, mirror);
	const char *host = own->name;
	char *address = server_address_from(cluster, primary, own), *name = mirror_name(mirror);

	fprintf(out, "primary_conninfo = 'host=%s port=%d user=%s application_name=%s", address,
	        primary->port, cluster->user, name);
	if (tls_is_used(cluster))
		fprintf(out,
		        " sslcert=%s/tls/%s.crt sslkey=%s/tls/%s.key sslrootcert=%s/tls/ca.crt",
		        cluster->directory, host, cluster->directory, host, cluster->directory);
	fprintf(out, "'\nprimary_slot_name = '%s'\n", name);
	free(name);
	free(address);
}

static char *settings_text(const struct cluster *cluster, const struct cluster_server *server)
{
	bool is_coordinator = server->content == CLUSTER_COORDINATOR;
	char *text, *socket = agent_socket(cluster, cluster_host_of(cluster, server));
	size_t length;
	FILE *out = open_text(&text, &length);

	fputs("# Written by sluice init. Change settings with `sluice config`, which goes\n"
	      "# to postgresql.auto.conf and wins over this file.\n",
	      out);
	put_addresses(out, cluster, server);
	fprintf(out,
	        "shared_preload_libraries = 'sluice, sluice_walstream'\n"
	        "dynamic_library_path = '$libdir/sluice:$libdir'\n"
	        "sluice.walstream_socket = '%s'\n"
	        "sluice.walstream_cluster_id = '%" PRIu64 "'\n",
	        socket, cluster->id);
	fprintf(out,
	        "sluice.role = '%s'\n"
	        "sluice.content = %d\n"
	        "sluice.cluster_id = '%" PRIu64 "'\n"
	        "sluice.agent_socket = '%s'\n",
	        is_coordinator ? "coordinator" : "segment", server->content, cluster->id, socket);
	/* A QE of a session is a connection, and its readers are parallel workers; a
	 * prepared transaction per session; room for sluice itself and superusers. */
	fprintf(out,
	        "max_connections = %d\n"
	        "max_prepared_transactions = %d\n"
	        "max_worker_processes = %d\n"
	        "max_parallel_workers = %d\n",
	        is_coordinator ? SESSIONS_MAX : SESSIONS_MAX + 20, SESSIONS_MAX + 20,
	        is_coordinator ? 16 : 2 * SESSIONS_MAX, is_coordinator ? 8 : 2 * SESSIONS_MAX - 8);
	if (server->role == 'm')
		put_upstream(out, cluster, server);
	fputs("logging_collector = on\n"
	      "log_directory = 'log'\n"
	      "log_line_prefix = '%m [%p] %q%u@%d '\n",
	      out);
	fclose(out);
	free(socket);
	return text;
}

/* A name stands alone, an address with the bits that count. */
static void put_host_access(FILE *out, const char *address)
{
	uint8_t bytes[16];
	const char *bits = inet_pton(AF_INET, address, bytes) == 1    ? "/32"
	                   : inet_pton(AF_INET6, address, bytes) == 1 ? "/128"
	                                                              : "";

	fprintf(out, "hostssl all,replication all %s%s trust clientcert=verify-ca\n", address,
	        bits);
}

static char *access_text(const struct cluster *cluster, const struct cluster_server *server)
{
	char *text;
	size_t length;
	FILE *out = open_text(&text, &length);

	fputs("# Written by sluice init. The directory of the Unix socket lets in nobody but\n"
	      "# the cluster's own user (and root).\n"
	      "local all all trust\n"
	      "local replication all trust\n",
	      out);
	if (tls_is_used(cluster)) {
		fputs("# Servers of this cluster: they have certificates of its authority.\n", out);
		for (size_t i = 0; i < cluster->host_count; i++)
			put_host_access(out, cluster->hosts[i].address);
	}
	if (server->content == CLUSTER_COORDINATOR)
		fputs("# Clients on this machine; add lines for others.\n"
		      "host all all 127.0.0.1/32 scram-sha-256\n"
		      "host all all ::1/128 scram-sha-256\n",
		      out);
	fclose(out);
	return text;
}

int server_secret_write(const struct cluster *cluster, const struct cluster_server *server,
                        const char *secret)
{
	char *path = cluster_text("%s/sluice_cluster_secret", server->data_directory);
	int result = run_write_file(cluster, cluster_host_of(cluster, server), path, "600", secret);

	free(path);
	return result < 0 ? -1 : 0;
}

int server_files_write(const struct cluster *cluster, const struct cluster_server *server)
{
	static const char include_script[] =
	        "printf \"\\ninclude = 'sluice.conf'\\n\" >>\"$1/postgresql.conf\"";
	const struct cluster_host *host = cluster_host_of(cluster, server);
	const char *const words[] = {server->data_directory, NULL};
	char *settings_path = cluster_text("%s/sluice.conf", server->data_directory);
	char *access_path = cluster_text("%s/pg_hba.conf", server->data_directory);
	char *settings = settings_text(cluster, server), *access = access_text(cluster, server);
	int result = 0;

	if (run_write_file(cluster, host, settings_path, "600", settings) < 0 ||
	    run_write_file(cluster, host, access_path, "600", access) < 0)
		result = -1;
	/* A mirror's postgresql.conf came with the clone. */
	else if (server->role == 'p' && run_script(cluster, host, "editing postgresql.conf",
	                                           include_script, words, NULL) != 0)
		result = -1;
	free(access);
	free(settings);
	free(access_path);
	free(settings_path);
	return result;
}
