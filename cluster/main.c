/* SPDX-License-Identifier: Apache-2.0 */
/*
 * main.c - sluice, the command for whoever runs a cluster: picks the command
 * named by its first argument.
 */
#include "cluster/control.h"
#include "cluster/demo.h"
#include "cluster/drift.h"
#include "cluster/init.h"
#include "cluster/psql.h"
#include "cluster/settings.h"
#include "cluster/state.h"
#include "cluster/top.h"

#include <sluice/sluice.h>
#include <stdio.h>
#include <string.h>

struct command {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *help;
};

static const struct command commands[] = {
        {"init", init_main, "make a cluster: coordinator, segments, agents"},
        {"start", start_main, "start a cluster"},
        {"stop", stop_main, "stop a cluster"},
        {"restart", restart_main, "stop and start it"},
        {"reload", reload_main, "make all servers read their configuration again"},
        {"state", state_main, "show which agents and servers run"},
        {"config", config_main, "show or change a setting on all servers"},
        {"check", check_main, "compare the catalogs of all servers"},
        {"psql", psql_main, "psql on the coordinator"},
        {"demo", demo_main, "make a cluster on this host with data and queries to look at"},
        {"top", top_main, "show what happens in the arena of this host"},
};

static void usage(FILE *out)
{
	fputs("usage: sluice COMMAND [options]\n"
	      "\n",
	      out);
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		fprintf(out, "  %-10s %s\n", commands[i].name, commands[i].help);
	fputs("\n"
	      "  --help     print this; after a command, print its options\n"
	      "  --version  print the version\n",
	      out);
}

int main(int argc, char **argv)
{
	if (argc < 2) {
		usage(stderr);
		return 2;
	}
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
		usage(stdout);
		return 0;
	}
	if (strcmp(argv[1], "--version") == 0) {
		printf("sluice %d.%d\n", SLU_VERSION_MAJOR, SLU_VERSION_MINOR);
		return 0;
	}
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (strcmp(argv[1], commands[i].name) == 0)
			return commands[i].run(argc - 1, argv + 1);
	fprintf(stderr, "sluice: no command '%s'; see sluice --help\n", argv[1]);
	return 2;
}
