/* SPDX-License-Identifier: Apache-2.0 */
/* agents.c - see agents.h. */
#include "cluster/agents.h"

#include "cluster/run.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

char *agent_socket(const struct cluster *cluster, const struct cluster_host *host)
{
	return cluster_path(cluster, "agent-%s/socket", host->name);
}

/* An IPv6 address stands in brackets before a port. */
static void put_address(FILE *out, const char *key, const char *address, int port)
{
	bool brackets = strchr(address, ':') != NULL;

	fprintf(out, "%s = %s%s%s:%d\n", key, brackets ? "[" : "", address, brackets ? "]" : "",
	        port);
}

static char *agent_config(const struct cluster *cluster, const struct cluster_host *host)
{
	char *text = NULL, *socket = agent_socket(cluster, host);
	size_t length;
	FILE *out = open_memstream(&text, &length);

	if (!out)
		exit(1);
	fprintf(out,
	        "; Written by sluice init.\n"
	        "[agent]\nnode = %s\ncluster_id = %" PRIu64 "\nsocket = %s\n"
	        "[arena]\nsize = %s\nframe_size = 32k\nmax_channels = 2048\n"
	        "max_processes = 1024\n",
	        host->name, cluster->id, socket, cluster->arena_size);
	if (cluster->host_count > 1) {
		fputs("[control]\nauth = psk\n", out);
		fprintf(out, "psk_file = %s/agent-%s/key\n", cluster->directory, host->name);
		put_address(out, "listen", host->address, host->agent_port);
		fputs("[driver]\n", out);
		put_address(out, "listen", host->address, 0); /* any port; peers are told */
		fprintf(out, "encrypt = %s\n", cluster->encrypt ? "yes" : "no");
	}
	for (size_t i = 0; i < cluster->host_count; i++) {
		const struct cluster_host *peer = &cluster->hosts[i];

		if (peer == host)
			continue;
		fprintf(out, "[peer %s]\n", peer->name);
		put_address(out, "address", peer->address, peer->agent_port);
	}
	fclose(out);
	free(socket);
	return text;
}

int agents_write_files(const struct cluster *cluster)
{
	char *key = cluster_random_key();
	int result = 0;

	for (size_t i = 0; i < cluster->host_count && result == 0; i++) {
		const struct cluster_host *host = &cluster->hosts[i];
		char *directory = cluster_path(cluster, "agent-%s", host->name);
		char *config_path = cluster_text("%s/sluiced.conf", directory);
		char *key_path = cluster_text("%s/key", directory);
		char *config = agent_config(cluster, host);
		const char *const words[] = {directory, NULL};

		if (run_script(cluster, host, "making the agent's directory",
		               "umask 077 && mkdir -p \"$1\"", words, NULL) != 0 ||
		    run_write_file(cluster, host, config_path, "600", config) < 0 ||
		    run_write_file(cluster, host, key_path, "600", key) < 0)
			result = -1;
		free(config);
		free(key_path);
		free(config_path);
		free(directory);
	}
	free(key);
	return result;
}

/* The process whose id is in the file, when it is that agent: a process id may
 * have gone to another program since. */
static const char find_agent[] = "pid=$(cat \"$1/pid\" 2>/dev/null) && [ -n \"$pid\" ] && "
                                 "tr '\\0' ' ' 2>/dev/null <\"/proc/$pid/cmdline\" | "
                                 "grep -qF -- \"--config $1/sluiced.conf\" && echo \"$pid\"";

int agent_pid(const struct cluster *cluster, const struct cluster_host *host)
{
	char *directory = cluster_path(cluster, "agent-%s", host->name), *output;
	const char *const words[] = {directory, NULL};
	int pid = 0;

	if (run_script(cluster, host, "looking for the agent", find_agent, words, &output) == 0)
		pid = atoi(output);
	free(output);
	free(directory);
	return pid;
}

static int agent_start(const struct cluster *cluster, const struct cluster_host *host)
{
	/* setsid: a Ctrl-C in the terminal of `sluice start` is not for it. */
	static const char script[] =
	        "cd \"$1\" && : >ready && "
	        "{ setsid \"$2\" --config \"$1/sluiced.conf\" >ready 2>>log </dev/null & } && "
	        "echo $! >pid && n=0 && "
	        "while ! grep -qs '^sluiced ready' ready; do "
	        "  kill -0 $! 2>/dev/null && [ $n -lt 600 ] || { tail -n 5 log; exit 1; }; "
	        "  n=$((n + 1)); sleep 0.05; "
	        "done";
	char *directory = cluster_path(cluster, "agent-%s", host->name);
	char *what = cluster_text("starting the agent of host %s", host->name);
	const char *const words[] = {directory, cluster->agent, NULL};
	int status = run_script(cluster, host, what, script, words, NULL);

	free(what);
	free(directory);
	return status == 0 ? 0 : -1;
}

int agents_start(const struct cluster *cluster)
{
	for (size_t i = 0; i < cluster->host_count; i++)
		if (agent_pid(cluster, &cluster->hosts[i]) == 0 &&
		    agent_start(cluster, &cluster->hosts[i]) < 0)
			return -1;
	return 0;
}

int agents_stop(const struct cluster *cluster)
{
	static const char script[] = "kill \"$2\" && n=0 && "
	                             "while kill -0 \"$2\" 2>/dev/null; do "
	                             "  [ $n -lt 200 ] || exit 1; n=$((n + 1)); sleep 0.05; "
	                             "done; rm -f \"$1/pid\"";
	int result = 0;

	for (size_t i = 0; i < cluster->host_count; i++) {
		const struct cluster_host *host = &cluster->hosts[i];
		char *directory = cluster_path(cluster, "agent-%s", host->name);
		char pid[16];
		const char *const words[] = {directory, pid, NULL};

		snprintf(pid, sizeof(pid), "%d", agent_pid(cluster, host));
		if (strcmp(pid, "0") != 0 &&
		    run_script(cluster, host, "stopping the agent", script, words, NULL) != 0)
			result = -1;
		free(directory);
	}
	return result;
}
