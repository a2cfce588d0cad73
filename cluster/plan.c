/* SPDX-License-Identifier: Apache-2.0 */
/* plan.c - see plan.h. */
#include "cluster/plan.h"

#include "cluster/run.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* ".../socket/.s.PGSQL.65535" and ".../agent-NAME/socket" must fit sun_path. */
#define DIRECTORY_BYTES_MAX 80
#define NAME_BYTES_MAX      18

/* A name of letters, digits, '.', '_', '-', as the agent wants it, and no other's. */
static char *host_name(const struct cluster *cluster, const char *wanted)
{
	char *name = cluster_text("%.*s", NAME_BYTES_MAX - 4, wanted);

	for (char *c = name; *c; c++)
		if (!isalnum((unsigned char)*c) && *c != '.' && *c != '_')
			*c = '-';
	for (size_t i = 0; i < cluster->host_count; i++)
		if (strcasecmp(cluster->hosts[i].name, name) == 0) {
			char *other = cluster_text("%.*s-%zu", NAME_BYTES_MAX - 4, name,
			                           cluster->host_count);

			free(name);
			return other;
		}
	return name;
}

static void add_host(struct cluster *cluster, const char *name, const char *target,
                     const char *address)
{
	struct cluster_host *host = &cluster->hosts[cluster->host_count];

	*host = (struct cluster_host){
	        .name = host_name(cluster, name),
	        .target = cluster_text("%s", target),
	        .address = cluster_text("%s", address),
	};
	cluster->host_count++;
}

static void add_server(struct cluster *cluster, int content, char role, size_t host, int port)
{
	struct cluster_server *server = &cluster->servers[cluster->server_count++];
	const char *kind = role == 'p' ? "segment" : "mirror";

	*server = (struct cluster_server){
	        .dbid = (int)cluster->server_count,
	        .content = content,
	        .role = role,
	        .host = (int)host,
	        .port = port,
	        .data_directory = content != CLUSTER_COORDINATOR
	                                  ? cluster_path(cluster, "%s%d", kind, content)
	                                  : cluster_path(cluster, "%s",
	                                                 role == 'p' ? "coordinator" : "standby"),
	};
}

/* "user@host=10.0.0.2": reached by ssh user@host; its address is 10.0.0.2. */
static int add_remote_host(struct cluster *cluster, const char *text)
{
	const char *equals = strchr(text, '='), *at = strchr(text, '@');
	char *target =
	        cluster_text("%.*s", equals ? (int)(equals - text) : (int)strlen(text), text);
	const char *name = at && (!equals || at < equals) ? target + (at - text) + 1 : target;

	if (target[0] == '\0' || target[0] == '-' || (equals && equals[1] == '\0')) {
		fprintf(stderr, "sluice init: --host %s: not TARGET[=ADDRESS]\n", text);
		free(target);
		return -1;
	}
	add_host(cluster, name, target, equals ? equals + 1 : name);
	free(target);
	return 0;
}

/* Each on the host after its primary's, so that a host's loss is not both. */
static void add_mirrors(const struct plan_options *options, struct cluster *cluster, int *port)
{
	size_t primaries = cluster->server_count;

	for (size_t i = 0; i < primaries; i++) {
		const struct cluster_server *primary = &cluster->servers[i];
		size_t host = ((size_t)primary->host + 1) % cluster->host_count;

		if (primary->content == CLUSTER_COORDINATOR ? options->standby : options->mirrors)
			add_server(cluster, primary->content, 'm', host, (*port)++);
	}
}

static int lay_out(const struct plan_options *options, struct cluster *cluster)
{
	char own_name[64] = "localhost";
	bool local = options->host_count == 0;
	size_t segment_hosts = local ? 1 : options->host_count;
	int segment_count = (int)segment_hosts * options->segments_per_host;
	size_t agents = options->own_agents ? (size_t)segment_count + 1 : segment_hosts + 1;
	int port = options->port;

	cluster->hosts = calloc(agents, sizeof(*cluster->hosts));
	cluster->servers = calloc(2 * (size_t)segment_count + 2, sizeof(*cluster->servers));
	if (!cluster->hosts || !cluster->servers)
		return -1;
	if (gethostname(own_name, sizeof(own_name) - 1) < 0)
		perror("sluice init: gethostname");
	add_host(cluster, own_name, "",
	         options->address      ? options->address
	         : options->own_agents ? "127.0.0.1"
	                               : "");
	for (size_t i = 0; i < options->host_count; i++)
		if (add_remote_host(cluster, options->hosts[i]) < 0)
			return -1;
	add_server(cluster, CLUSTER_COORDINATOR, 'p', 0, port++);
	for (int content = 0; content < segment_count; content++) {
		size_t host = local ? 0 : 1 + (size_t)content % options->host_count;

		if (options->own_agents) {
			char name[24];

			snprintf(name, sizeof(name), "segment%d", content);
			add_host(cluster, name, "", cluster->hosts[0].address);
			host = cluster->host_count - 1;
		}
		add_server(cluster, content, 'p', host, port++);
	}
	add_mirrors(options, cluster, &port);
	for (size_t i = 0; i < cluster->host_count; i++)
		cluster->hosts[i].agent_port = port++;
	return 0;
}

static int check_port(int port)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
	                              .sin_addr.s_addr = htonl(INADDR_ANY),
	                              .sin_port = htons((uint16_t)port)};
	int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), result;

	if (port < 1 || port > 65535) {
		fprintf(stderr, "sluice init: port %d is none; choose another with --port\n", port);
		if (fd >= 0)
			close(fd);
		return -1;
	}
	/* As servers do: what is left of closed connections is no hindrance. */
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	result = bind(fd, (struct sockaddr *)&address, sizeof(address));
	if (result < 0)
		fprintf(stderr,
		        "sluice init: port %d: %s; choose a range that is free with --port\n", port,
		        strerror(errno));
	close(fd);
	return result;
}

static int check_ports(const struct cluster *cluster)
{
	for (size_t i = 0; i < cluster->server_count; i++)
		if (cluster_is_local(cluster_host_of(cluster, &cluster->servers[i])) &&
		    check_port(cluster->servers[i].port) < 0)
			return -1;
	for (size_t i = 0; i < cluster->host_count && cluster->host_count > 1; i++)
		if (cluster_is_local(&cluster->hosts[i]) &&
		    check_port(cluster->hosts[i].agent_port) < 0)
			return -1;
	return 0;
}

/* An empty directory, the user's and nobody else's, on every host; and programs
 * of the right version there. */
static int prepare_hosts(const struct cluster *cluster)
{
	static const char script[] =
	        "umask 077 && mkdir -p \"$1/socket\" && chmod 700 \"$1\" && "
	        "case $(\"$2/postgres\" --version) in *' 15.'*) ;; "
	        "*) echo \"$2/postgres: PostgreSQL 15 is needed\"; exit 1 ;; esac && "
	        "\"$3\" --version >/dev/null";
	const char *const words[] = {cluster->directory, cluster->pg_bin, cluster->agent, NULL};

	for (size_t i = 0; i < cluster->host_count; i++) {
		char *what = cluster_text("preparing host %s", cluster->hosts[i].name);
		int status = run_script(cluster, &cluster->hosts[i], what, script, words, NULL);

		free(what);
		if (status != 0)
			return -1;
	}
	return 0;
}

/* Made as the caller, who may be root, then given to the cluster's user, who need
 * not be allowed to write beside it. Returned owned; NULL after a message. */
static char *make_directory(const char *directory, const char *user)
{
	const struct passwd *owner = getpwnam(user);
	char *path;

	if (!owner) {
		fprintf(stderr, "sluice init: there is no user '%s' here\n", user);
		return NULL;
	}
	if (mkdir(directory, 0700) < 0 && errno != EEXIST) {
		fprintf(stderr, "sluice init: %s: %s\n", directory, strerror(errno));
		return NULL;
	}
	/* rmdir() succeeds for an empty directory alone. */
	if (rmdir(directory) < 0 || mkdir(directory, 0700) < 0 ||
	    (geteuid() == 0 && chown(directory, owner->pw_uid, owner->pw_gid) < 0)) {
		fprintf(stderr, "sluice init: %s: %s\n", directory, strerror(errno));
		return NULL;
	}
	path = realpath(directory, NULL);
	if (path && strlen(path) > DIRECTORY_BYTES_MAX) {
		fprintf(stderr,
		        "sluice init: %s: more than %d bytes: paths of sockets would be too long\n",
		        path, DIRECTORY_BYTES_MAX);
		free(path);
		path = NULL;
	}
	return path;
}

int plan_make(const struct plan_options *options, struct cluster *ret_cluster)
{
	struct cluster cluster = {
	        .user = cluster_text("%s", options->user),
	        .pg_bin = cluster_text("%s", options->pg_bin),
	        .agent = cluster_text("%s", options->agent),
	        .ssh = cluster_text("%s", options->ssh),
	        .arena_size = cluster_text("%s", options->arena_size),
	        .encrypt = options->host_count && !options->no_encryption,
	};

	/* JSON and PostgreSQL have no unsigned 64 bits: 62 are random enough. */
	if (getrandom(&cluster.id, sizeof(cluster.id), 0) != sizeof(cluster.id)) {
		fprintf(stderr, "sluice init: no random numbers: %s\n", strerror(errno));
		goto err;
	}
	cluster.id = (cluster.id >> 2) | 1;
	if (options->host_count && !options->address) {
		fputs("sluice init: --host needs --address: where this host is for the others\n",
		      stderr);
		goto err;
	}
	cluster.directory = make_directory(options->directory, options->user);
	if (!cluster.directory || lay_out(options, &cluster) < 0 || check_ports(&cluster) < 0 ||
	    prepare_hosts(&cluster) < 0)
		goto err;
	*ret_cluster = cluster;
	return 0;
err:
	cluster_free(&cluster);
	return -1;
}
