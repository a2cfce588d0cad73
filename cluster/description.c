/* SPDX-License-Identifier: Apache-2.0 */
/* description.c - see description.h: the file cluster.json. */
#include "cluster/description.h"

#include <errno.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#define DESCRIPTION_VERSION 1

static char *text_va(const char *format, va_list args)
{
	char *text;

	if (vasprintf(&text, format, args) < 0) {
		fputs("sluice: out of memory\n", stderr);
		exit(1);
	}
	return text;
}

char *cluster_text(const char *format, ...)
{
	va_list args;
	char *text;

	va_start(args, format);
	text = text_va(format, args);
	va_end(args);
	return text;
}

char *cluster_path(const struct cluster *cluster, const char *format, ...)
{
	va_list args;
	char *name, *path;

	va_start(args, format);
	name = text_va(format, args);
	va_end(args);
	path = cluster_text("%s/%s", cluster->directory, name);
	free(name);
	return path;
}

const char *cluster_directory(const char *command, const char *option)
{
	const char *directory = option ? option : getenv("SLUICE_CLUSTER");

	if (directory && directory[0])
		return directory;
	fprintf(stderr, "sluice %s: which cluster? give --directory DIR, or set SLUICE_CLUSTER\n",
	        command);
	return NULL;
}

const struct cluster_host *cluster_host_of(const struct cluster *cluster,
                                           const struct cluster_server *server)
{
	return &cluster->hosts[server->host];
}

bool cluster_is_local(const struct cluster_host *host)
{
	return host->target[0] == '\0';
}

const char *cluster_server_name(const struct cluster_server *server)
{
	static char name[32];

	if (server->content == CLUSTER_COORDINATOR)
		return server->role == 'p' ? "coordinator" : "standby";
	snprintf(name, sizeof(name), "%s %d", server->role == 'p' ? "segment" : "mirror",
	         server->content);
	return name;
}

/* ---- the file ---- */

static int read_host(json_t *json, struct cluster_host *ret_host)
{
	const char *name, *target, *address;

	if (json_unpack(json, "{s:s, s:s, s:s, s:i}", "name", &name, "target", &target, "address",
	                &address, "agent_port", &ret_host->agent_port) < 0)
		return -1;
	ret_host->name = cluster_text("%s", name);
	ret_host->target = cluster_text("%s", target);
	ret_host->address = cluster_text("%s", address);
	return 0;
}

static int read_server(json_t *json, size_t host_count, struct cluster_server *ret_server)
{
	const char *role, *data_directory;

	if (json_unpack(json, "{s:i, s:i, s:s, s:i, s:i, s:s}", "dbid", &ret_server->dbid,
	                "content", &ret_server->content, "role", &role, "host", &ret_server->host,
	                "port", &ret_server->port, "data_directory", &data_directory) < 0)
		return -1;
	if (ret_server->host < 0 || (size_t)ret_server->host >= host_count || strlen(role) != 1)
		return -1;
	ret_server->role = role[0];
	ret_server->data_directory = cluster_text("%s", data_directory);
	return 0;
}

static int read_lists(json_t *hosts, json_t *servers, struct cluster *cluster)
{
	size_t host_count = json_array_size(hosts), server_count = json_array_size(servers);

	cluster->hosts = calloc(host_count + 1, sizeof(*cluster->hosts));
	cluster->servers = calloc(server_count + 1, sizeof(*cluster->servers));
	if (!cluster->hosts || !cluster->servers)
		return -1;
	for (size_t i = 0; i < host_count; i++, cluster->host_count++)
		if (read_host(json_array_get(hosts, i), &cluster->hosts[i]) < 0)
			return -1;
	for (size_t i = 0; i < server_count; i++, cluster->server_count++)
		if (read_server(json_array_get(servers, i), host_count, &cluster->servers[i]) < 0)
			return -1;
	return host_count && server_count ? 0 : -1;
}

int cluster_load(const char *directory, struct cluster *ret_cluster)
{
	struct cluster cluster = {.directory = realpath(directory, NULL)};
	char *path = cluster_text("%s/cluster.json", directory);
	const char *user, *pg_bin, *agent, *ssh, *arena_size;
	json_t *root, *hosts, *servers;
	json_error_t error;
	json_int_t id;
	int version, result = -1;

	root = json_load_file(path, 0, &error);
	if (!root) {
		fprintf(stderr, "sluice: %s: %s\n", path,
		        cluster.directory ? error.text : strerror(errno));
		goto out;
	}
	if (json_unpack_ex(root, &error, 0, "{s:i, s:I, s:s, s:s, s:s, s:s, s:s, s?b, s:o, s:o}",
	                   "version", &version, "id", &id, "user", &user, "pg_bin", &pg_bin,
	                   "agent", &agent, "ssh", &ssh, "arena_size", &arena_size, "encrypt",
	                   &cluster.encrypt, "hosts", &hosts, "servers", &servers) < 0) {
		fprintf(stderr, "sluice: %s: %s\n", path, error.text);
		goto out;
	}
	if (version != DESCRIPTION_VERSION) {
		fprintf(stderr, "sluice: %s is of version %d; this program reads version %d\n",
		        path, version, DESCRIPTION_VERSION);
		goto out;
	}
	cluster.id = (uint64_t)id;
	cluster.user = cluster_text("%s", user);
	cluster.pg_bin = cluster_text("%s", pg_bin);
	cluster.agent = cluster_text("%s", agent);
	cluster.ssh = cluster_text("%s", ssh);
	cluster.arena_size = cluster_text("%s", arena_size);
	if (read_lists(hosts, servers, &cluster) < 0) {
		fprintf(stderr, "sluice: %s: hosts or servers are not described well\n", path);
		goto out;
	}
	*ret_cluster = cluster;
	cluster = (struct cluster){0};
	result = 0;
out:
	cluster_free(&cluster);
	json_decref(root);
	free(path);
	return result;
}

static json_t *description_json(const struct cluster *cluster)
{
	json_t *hosts = json_array(), *servers = json_array();

	for (size_t i = 0; i < cluster->host_count; i++) {
		const struct cluster_host *host = &cluster->hosts[i];

		json_array_append_new(hosts,
		                      json_pack("{s:s, s:s, s:s, s:i}", "name", host->name,
		                                "target", host->target, "address", host->address,
		                                "agent_port", host->agent_port));
	}
	for (size_t i = 0; i < cluster->server_count; i++) {
		const struct cluster_server *server = &cluster->servers[i];

		json_array_append_new(servers, json_pack("{s:i, s:i, s:s#, s:i, s:i, s:s}", "dbid",
		                                         server->dbid, "content", server->content,
		                                         "role", &server->role, 1, "host",
		                                         server->host, "port", server->port,
		                                         "data_directory", server->data_directory));
	}
	return json_pack("{s:i, s:I, s:s, s:s, s:s, s:s, s:s, s:b, s:o, s:o}", "version",
	                 DESCRIPTION_VERSION, "id", (json_int_t)cluster->id, "user", cluster->user,
	                 "pg_bin", cluster->pg_bin, "agent", cluster->agent, "ssh", cluster->ssh,
	                 "arena_size", cluster->arena_size, "encrypt", cluster->encrypt, "hosts",
	                 hosts, "servers", servers);
}

/* By a new file that takes the old one's place: a reader sees one or the other. */
int cluster_save(const struct cluster *cluster)
{
	char *path = cluster_path(cluster, "cluster.json");
	char *fresh = cluster_text("%s.new", path);
	json_t *root = description_json(cluster);
	int result = -1;

	if (json_dump_file(root, fresh, JSON_INDENT(2)) < 0 || rename(fresh, path) < 0)
		fprintf(stderr, "sluice: cannot write %s: %s\n", path, strerror(errno));
	else
		result = 0;
	json_decref(root);
	free(fresh);
	free(path);
	return result;
}

void cluster_free(struct cluster *cluster)
{
	for (size_t i = 0; i < cluster->host_count; i++) {
		free(cluster->hosts[i].name);
		free(cluster->hosts[i].target);
		free(cluster->hosts[i].address);
	}
	for (size_t i = 0; i < cluster->server_count; i++)
		free(cluster->servers[i].data_directory);
	free(cluster->hosts);
	free(cluster->servers);
	free(cluster->directory);
	free(cluster->user);
	free(cluster->pg_bin);
	free(cluster->agent);
	free(cluster->ssh);
	free(cluster->arena_size);
	*cluster = (struct cluster){0};
}

char *cluster_random_key(void)
{
	uint8_t key[32];
	char *text = calloc(2 * sizeof(key) + 2, 1);

	if (!text || getrandom(key, sizeof(key), 0) != sizeof(key)) {
		fprintf(stderr, "sluice: no random numbers: %s\n", strerror(errno));
		exit(1);
	}
	for (size_t i = 0; i < sizeof(key); i++)
		snprintf(text + 2 * i, 3, "%02x", key[i]);
	return strcat(text, "\n");
}
