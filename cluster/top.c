/* SPDX-License-Identifier: Apache-2.0 */
/* top.c - see top.h: its options, and what they ask for. */
#include "cluster/top.h"

#include "cluster/observe.h"
#include "cluster/top_report.h"
#include "cluster/top_screen.h"
#include "transport/clock.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TOP_SOCKET "/run/sluice/sluiced.sock"

struct top_options {
	const char *socket_path;
	pid_t pid; /* 0: ask the agent */
	bool once, json;
	uint64_t interval_ns;
};

static void top_usage(FILE *out)
{
	fputs("usage: sluice top [options]\n"
	      "\n"
	      "Shows what happens in the arena of this host: frames, processes, channels and\n"
	      "what moves between hosts. On a terminal it is live: c shows channels, p\n"
	      "processes, arrows scroll, q ends.\n"
	      "\n"
	      "  -s, --socket PATH     the agent's socket; default $SLUICE_SOCKET, else\n"
	      "                        " TOP_SOCKET "\n"
	      "  -p, --pid PID         read the arena from this process, without the agent:\n"
	      "                        one attached to it, also after the agent has crashed\n"
	      "                        (root only), or the agent itself when it is stuck\n"
	      "  -i, --interval SEC    between two looks; default 1\n"
	      "  -1, --once            print once and exit\n"
	      "  -j, --json            print as JSON; implies --once\n"
	      "  -h, --help            print this and exit\n"
	      "\n"
	      "exit status: 0, 1 no arena to look at, 2 wrong usage\n",
	      out);
}

static int top_bad_value(const char *option, const char *value)
{
	fprintf(stderr, "sluice top: %s: '%s' is not a good value\n", option, value);
	return 2;
}

static int top_option(int option, struct top_options *options)
{
	char *end;

	switch (option) {
	case 's':
		options->socket_path = optarg;
		return -1;
	case 'p':
		options->pid = (pid_t)strtol(optarg, &end, 10);
		return *end || options->pid <= 0 ? top_bad_value("--pid", optarg) : -1;
	case 'i': {
		double seconds = strtod(optarg, &end);

		if (*end || end == optarg || !(seconds >= 0.05 && seconds <= 3600))
			return top_bad_value("--interval", optarg);
		options->interval_ns = (uint64_t)(seconds * (double)SLU_NS_PER_S);
		return -1;
	}
	case 'j':
		options->json = true;
		return -1;
	case '1':
		options->once = true;
		return -1;
	case 'h':
		top_usage(stdout);
		return 0;
	default:
		top_usage(stderr);
		return 2;
	}
}

/* Returns -1 to go on, else the exit status. */
static int top_options_read(int argc, char **argv, struct top_options *ret_options)
{
	static const struct option long_options[] = {
	        {"socket", required_argument, NULL, 's'},
	        {"pid", required_argument, NULL, 'p'},
	        {"interval", required_argument, NULL, 'i'},
	        {"once", no_argument, NULL, '1'},
	        {"json", no_argument, NULL, 'j'},
	        {"help", no_argument, NULL, 'h'},
	        {NULL, 0, NULL, 0},
	};
	const char *socket_path = getenv("SLUICE_SOCKET");
	int option, status = -1;

	*ret_options = (struct top_options){
	        .socket_path = socket_path && *socket_path ? socket_path : TOP_SOCKET,
	        .interval_ns = SLU_NS_PER_S,
	};
	while (status < 0 &&
	       (option = getopt_long(argc, argv, "s:p:i:1jh", long_options, NULL)) != -1)
		status = top_option(option, ret_options);
	if (status < 0 && optind < argc) {
		fprintf(stderr, "sluice top: unexpected argument '%s'\n", argv[optind]);
		return 2;
	}
	return status;
}

static int top_print(const struct observe *observe, bool json, char *error)
{
	struct snapshot *snapshot;
	int result = snapshot_take(observe->arena, clock_now_ns(), &snapshot);

	if (result == 0) {
		if (json)
			result = top_report_json(snapshot, observe_agent_lives(observe), stdout);
		else
			top_report_text(snapshot, observe_agent_lives(observe), stdout);
		snapshot_free(snapshot);
	}
	if (result < 0)
		snprintf(error, OBSERVE_ERROR_BYTES, "%s", strerror(-result));
	return result;
}

int top_main(int argc, char **argv)
{
	struct top_options options;
	struct observe observe;
	char error[OBSERVE_ERROR_BYTES] = "";
	int result, status = top_options_read(argc, argv, &options);

	if (status >= 0)
		return status;
	result = options.pid ? observe_process(options.pid, &observe, error)
	                     : observe_agent(options.socket_path, &observe, error);
	if (result == 0) {
		result = options.once || options.json
		                 ? top_print(&observe, options.json, error)
		                 : top_screen_run(&observe, options.interval_ns, error);
		observe_end(&observe);
	}
	if (result < 0)
		fprintf(stderr, "sluice top: %s\n", error);
	return result < 0 ? 1 : 0;
}
