/* SPDX-License-Identifier: Apache-2.0 */
/* init.c - see init.h: options, and the steps from a description to a cluster
 * that takes connections. */
#include "cluster/init.h"

#include "cluster/agents.h"
#include "cluster/control.h"
#include "cluster/mirrors.h"
#include "cluster/plan.h"
#include "cluster/progress.h"
#include "cluster/run.h"
#include "cluster/servers.h"
#include "cluster/tls.h"

#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DEFAULT_PG_BIN "/usr/lib/postgresql/15/bin"

struct init_options {
	struct plan_options plan;
	const char *locale;
	bool json;
};

static void init_usage(FILE *out)
{
	fputs("usage: sluice init --directory DIR [options]\n"
	      "\n"
	      "Makes a cluster of PostgreSQL 15 servers: a coordinator on this host, segments\n"
	      "here or on other hosts, an agent per host; starts it, and creates the extension\n"
	      "in every database there is.\n"
	      "\n"
	      "  -d, --directory DIR     for everything the cluster has, on every host; must be\n"
	      "                          empty, or not be there\n"
	      "  -n, --segments N        per host; default 2\n"
	      "  -H, --host TARGET[=ADDRESS]\n"
	      "                          segments on this host, reached by ssh TARGET (a user\n"
	      "                          who owns the servers there); may be repeated. Default:\n"
	      "                          segments on this host\n"
	      "  -a, --address ADDRESS   of this host, for the others\n"
	      "      --standby           of the coordinator\n"
	      "      --mirrors           one per segment, on the next host; they and the standby\n"
	      "                          stream WAL over Sluice. Nothing fails over to them yet\n"
	      "  -p, --port PORT         of the coordinator; segments and agents take the next\n"
	      "                          ones; default 7000\n"
	      "      --own-agents        an agent for each segment of this host, so that rows go\n"
	      "                          through the network driver (for tests and measurements)\n"
	      "  -u, --user USER         who runs the servers; default: the caller, or postgres\n"
	      "                          when that is root\n"
	      "      --pg-bin DIR        of PostgreSQL 15; default " DEFAULT_PG_BIN "\n"
	      "      --agent FILE        sluiced; default: beside this program, else in PATH\n"
	      "      --ssh COMMAND       default 'ssh -o BatchMode=yes'\n"
	      "      --no-encryption     of rows on their way between hosts: less CPU, where the\n"
	      "                          network is trusted. Mirrors then stream WAL by\n"
	      "                          PostgreSQL's connections, which stay encrypted\n"
	      "      --arena-size SIZE   of each host's shared memory; default 384M\n"
	      "      --locale LOCALE     of the databases; default C.UTF-8\n"
	      "  -j, --json              a JSON object per step\n"
	      "  -h, --help              print this and exit\n",
	      out);
}

enum {
	OPT_OWN_AGENTS = 256,
	OPT_STANDBY,
	OPT_MIRRORS,
	OPT_NO_ENCRYPTION,
	OPT_PG_BIN,
	OPT_AGENT,
	OPT_SSH,
	OPT_ARENA,
	OPT_LOCALE
};

static int bad_value(const char *option, const char *value)
{
	fprintf(stderr, "sluice init: %s: '%s' is not a good value\n", option, value);
	return 2;
}

static bool read_number(const char *text, int max, int *ret_number)
{
	char *end;
	long number = strtol(text, &end, 10);

	if (end == text || *end || number < 1 || number > max)
		return false;
	*ret_number = (int)number;
	return true;
}

static int init_option(int option, struct init_options *options, const char **hosts)
{
	struct plan_options *plan = &options->plan;

	switch (option) {
	case 'd':
		plan->directory = optarg;
		return -1;
	case 'n':
		return read_number(optarg, 1024, &plan->segments_per_host)
		               ? -1
		               : bad_value("--segments", optarg);
	case 'H':
		if (plan->host_count == PLAN_HOSTS_MAX)
			return bad_value("--host", optarg);
		hosts[plan->host_count++] = optarg;
		return -1;
	case 'a':
		plan->address = optarg;
		return -1;
	case 'p':
		return read_number(optarg, 65000, &plan->port) ? -1 : bad_value("--port", optarg);
	case OPT_OWN_AGENTS:
		plan->own_agents = true;
		return -1;
	case OPT_STANDBY:
		plan->standby = true;
		return -1;
	case OPT_MIRRORS:
		plan->mirrors = true;
		return -1;
	case OPT_NO_ENCRYPTION:
		plan->no_encryption = true;
		return -1;
	case 'u':
		plan->user = optarg;
		return -1;
	case OPT_PG_BIN:
		plan->pg_bin = optarg;
		return -1;
	case OPT_AGENT:
		plan->agent = optarg;
		return -1;
	case OPT_SSH:
		plan->ssh = optarg;
		return -1;
	case OPT_ARENA:
		plan->arena_size = optarg;
		return -1;
	case OPT_LOCALE:
		options->locale = optarg;
		return -1;
	case 'j':
		options->json = true;
		return -1;
	case 'h':
		init_usage(stdout);
		return 0;
	default:
		init_usage(stderr);
		return 2;
	}
}

/* Returns -1 to go on, else the exit status. */
static int init_options_read(int argc, char **argv, struct init_options *options,
                             const char **hosts)
{
	static const struct option long_options[] = {
	        {"directory", required_argument, NULL, 'd'},
	        {"segments", required_argument, NULL, 'n'},
	        {"host", required_argument, NULL, 'H'},
	        {"address", required_argument, NULL, 'a'},
	        {"port", required_argument, NULL, 'p'},
	        {"standby", no_argument, NULL, OPT_STANDBY},
	        {"mirrors", no_argument, NULL, OPT_MIRRORS},
	        {"own-agents", no_argument, NULL, OPT_OWN_AGENTS},
	        {"no-encryption", no_argument, NULL, OPT_NO_ENCRYPTION},
	        {"user", required_argument, NULL, 'u'},
	        {"pg-bin", required_argument, NULL, OPT_PG_BIN},
	        {"agent", required_argument, NULL, OPT_AGENT},
	        {"ssh", required_argument, NULL, OPT_SSH},
	        {"arena-size", required_argument, NULL, OPT_ARENA},
	        {"locale", required_argument, NULL, OPT_LOCALE},
	        {"json", no_argument, NULL, 'j'},
	        {"help", no_argument, NULL, 'h'},
	        {NULL, 0, NULL, 0},
	};
	int option, status;

	while ((option = getopt_long(argc, argv, "d:n:H:a:p:u:jh", long_options, NULL)) != -1) {
		status = init_option(option, options, hosts);
		if (status >= 0)
			return status;
	}
	if (optind < argc) {
		fprintf(stderr, "sluice init: unexpected argument '%s'\n", argv[optind]);
		return 2;
	}
	if (!options->plan.directory) {
		fputs("sluice init: --directory is needed\n", stderr);
		return 2;
	}
	if (options->plan.own_agents && options->plan.host_count) {
		fputs("sluice init: --own-agents is for segments of this host\n", stderr);
		return 2;
	}
	return -1;
}

/* As installed, or where a build has it. */
static char *find_agent(void)
{
	static const char *const places[] = {"sluiced", "../transport/agent/sluiced", NULL};
	char *agent = run_program_beside(places);

	return agent ? agent : cluster_text("sluiced");
}

static int add_configuration(const struct cluster *cluster, PGconn *connection)
{
	static const char sql[] =
	        "insert into sluice.segment_configuration (dbid, content, role, preferred_role, "
	        "mode, status, port, hostname, address, datadir, node) "
	        "values ($1, $2, $3, $3, 's', 'u', $4, $5, $6, $7, $8)";

	for (size_t i = 0; i < cluster->server_count; i++) {
		const struct cluster_server *server = &cluster->servers[i];
		const struct cluster_host *host = cluster_host_of(cluster, server);
		char *dbid = cluster_text("%d", server->dbid);
		char *content = cluster_text("%d", server->content);
		char role[2] = {server->role, '\0'}, *port = cluster_text("%d", server->port);
		char *address = server_address(cluster, server);
		const char *const values[] = {
		        dbid,      content, role, port, host->name, address, server->data_directory,
		        host->name};
		PGresult *result = server_query(connection, &cluster->servers[0], sql, 8, values);

		free(dbid);
		free(content);
		free(port);
		free(address);
		if (!result)
			return -1;
		PQclear(result);
	}
	return 0;
}

/* template1 hands the extensions to every database made later. */
static int create_extensions(const struct cluster *cluster, const struct cluster_server *server)
{
	static const char *const databases[] = {"template1", "postgres"};
	static const char *const statements[] = {"create extension sluice",
	                                         "create extension sluice_walstream"};

	for (size_t i = 0; i < 4; i++) {
		PGconn *connection = server_connect(cluster, server, databases[i / 2]);
		PGresult *created =
		        connection ? server_query(connection, server, statements[i % 2], 0, NULL)
		                   : NULL;
		bool done = created != NULL;

		PQclear(created);
		PQfinish(connection);
		if (!done)
			return -1;
	}
	return 0;
}

/* All databases of the coordinator see it. */
static int configure(const struct cluster *cluster)
{
	PGconn *connection = server_connect(cluster, &cluster->servers[0], "postgres");
	int result = connection ? add_configuration(cluster, connection) : -1;

	PQfinish(connection);
	return result;
}

static int init_mirrors(const struct cluster *cluster, struct progress *progress)
{
	size_t count = servers_count(cluster, SERVERS_MIRRORS);

	if (count > 0) {
		progress_step(progress, "cloning %zu mirrors", count);
		if (mirrors_create(cluster) < 0)
			return -1;
	}
	progress_end(progress, true);
	return control_start_mirrors(cluster, progress);
}

static int init_steps(const struct init_options *options, const struct cluster *cluster,
                      struct progress *progress)
{
	progress_step(progress, "writing the configuration of %zu hosts", cluster->host_count);
	if (cluster_save(cluster) < 0 || agents_write_files(cluster) < 0 ||
	    (tls_is_used(cluster) && tls_create(cluster) < 0))
		return -1;
	progress_step(progress, "making %zu servers",
	              cluster->server_count - servers_count(cluster, SERVERS_MIRRORS));
	if (servers_create(cluster, options->locale) < 0 ||
	    control_start_primaries(cluster, progress) < 0)
		return -1;
	progress_step(progress, "creating the extensions");
	for (size_t i = 0; i < cluster->server_count; i++)
		if (cluster->servers[i].role == 'p' &&
		    create_extensions(cluster, &cluster->servers[i]) < 0)
			return -1;
	if (configure(cluster) < 0)
		return -1;
	return init_mirrors(cluster, progress);
}

static void print_result(const struct cluster *cluster, bool json)
{
	char *address = server_address(cluster, &cluster->servers[0]);

	if (json)
		printf("{\"directory\": \"%s\", \"host\": \"%s\", \"port\": %d, \"segments\": "
		       "%zu}\n",
		       cluster->directory, address, cluster->servers[0].port,
		       servers_count(cluster, SERVERS_SEGMENTS));
	else
		printf("The cluster runs: %zu segments. Connect with\n"
		       "    sluice psql -d %s\n"
		       "or  psql -h %s -p %d -U %s postgres\n",
		       servers_count(cluster, SERVERS_SEGMENTS), cluster->directory, address,
		       cluster->servers[0].port, cluster->user);
	free(address);
}

static int init_run(struct init_options *options)
{
	struct progress progress = {.json = options->json};
	struct cluster cluster;
	int result;

	progress_step(&progress, "preparing");
	if (plan_make(&options->plan, &cluster) < 0) {
		progress_end(&progress, false);
		return 1;
	}
	result = init_steps(options, &cluster, &progress);
	if (result < 0) {
		progress_end(&progress, false);
		control_stop(&cluster, "immediate", &progress);
		fprintf(stderr,
		        "sluice init: no cluster was made; what there is of it, with its logs, is "
		        "in %s\n",
		        cluster.directory);
	} else {
		print_result(&cluster, options->json);
	}
	cluster_free(&cluster);
	return result < 0 ? 1 : 0;
}

/* *ret_agent is owned by the caller. */
static void set_defaults(struct init_options *options, const char **hosts, char **ret_agent)
{
	const struct passwd *caller = getpwuid(geteuid());

	*ret_agent = find_agent();
	*options = (struct init_options){
	        .plan = {.hosts = hosts,
	                 .segments_per_host = 2,
	                 .port = 7000,
	                 .user = geteuid() == 0 || !caller ? "postgres" : caller->pw_name,
	                 .pg_bin = DEFAULT_PG_BIN,
	                 .agent = *ret_agent,
	                 .ssh = "ssh -o BatchMode=yes",
	                 .arena_size = "384M"},
	        .locale = "C.UTF-8",
	};
}

int init_main(int argc, char **argv)
{
	static const char *hosts[PLAN_HOSTS_MAX];
	struct init_options options;
	char *agent, *user;
	int status;

	set_defaults(&options, hosts, &agent);
	user = cluster_text("%s", options.plan.user);
	options.plan.user = user;
	status = init_options_read(argc, argv, &options, hosts);
	if (status < 0)
		status = init_run(&options);
	free(user);
	free(agent);
	return status;
}
