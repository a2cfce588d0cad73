/* SPDX-License-Identifier: Apache-2.0 */
/*
 * main.c - sluiced, the agent of a host: reads its options and configuration,
 * then serves in the foreground until SIGTERM or SIGINT.
 */
#include "transport/agent/conductor.h"
#include "transport/agent/config_value.h"
#include "transport/agent/poller.h"
#include "transport/agent/probe.h"
#include "transport/arena.h"
#include "transport/clock.h"
#include "transport/log.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <sluice/sluice.h>

#define SLUICED_CONFIG "/etc/sluice/sluiced.conf"

struct options {
	const char *config_path; /* NULL: not given */
	bool check_config;
	bool probe, json;
};

static void usage(FILE *out)
{
	fputs("usage: sluiced [options]\n"
	      "\n"
	      "The Sluice agent of this host: it makes the shared memory that local processes\n"
	      "exchange rows through, lets them find each other, and moves frames to and from\n"
	      "other hosts. It stays in the foreground and logs to standard error; standard\n"
	      "output gets one line, \"sluiced ready ...\", once it serves.\n"
	      "\n"
	      "  -c, --config FILE   configuration; default " SLUICED_CONFIG "\n"
	      "      --check-config  read the configuration, print what it comes to, and exit\n"
	      "                      with 0 if sluiced would start with it, else 1\n"
	      "      --probe         list the devices that drivers can use, say which of them\n"
	      "                      they would and why, and exit with 0 if there is one, else 1;\n"
	      "                      with --config for the driver that is configured\n"
	      "      --json          with --probe: as a JSON object\n"
	      "  -h, --help          print this and exit\n"
	      "  -V, --version       print versions and exit\n"
	      "\n"
	      "signals: SIGTERM and SIGINT stop it; every channel is then reset with a reason.\n"
	      "exit status: 0 stopped by a signal, 1 could not start, 2 wrong usage\n",
	      out);
}

static void version(void)
{
	printf("sluiced %d.%d (arena layout %u)\n", SLU_VERSION_MAJOR, SLU_VERSION_MINOR,
	       ARENA_LAYOUT_VERSION);
}

/* Returns -1 to go on, else the exit status. */
static int options_read(int argc, char **argv, struct options *ret_options)
{
	static const struct option long_options[] = {
	        {"config", required_argument, NULL, 'c'}, {"check-config", no_argument, NULL, 'k'},
	        {"help", no_argument, NULL, 'h'},         {"version", no_argument, NULL, 'V'},
	        {"foreground", no_argument, NULL, 'f'},   {"probe", no_argument, NULL, 'p'},
	        {"json", no_argument, NULL, 'j'},         {NULL, 0, NULL, 0},
	};
	int option;

	*ret_options = (struct options){0};
	while ((option = getopt_long(argc, argv, "c:hV", long_options, NULL)) != -1) {
		switch (option) {
		case 'c':
			ret_options->config_path = optarg;
			break;
		case 'k':
			ret_options->check_config = true;
			break;
		case 'p':
			ret_options->probe = true;
			break;
		case 'j':
			ret_options->json = true;
			break;
		case 'f': /* the default, for those who say it anyway */
			break;
		case 'h':
			usage(stdout);
			return 0;
		case 'V':
			version();
			return 0;
		default:
			usage(stderr);
			return 2;
		}
	}
	if (optind != argc)
		fprintf(stderr, "sluiced: unexpected argument '%s'\n", argv[optind]);
	else if (ret_options->json && !ret_options->probe)
		fputs("sluiced: --json goes with --probe\n", stderr);
	else
		return -1;
	return 2;
}

static void print_size(const char *name, uint64_t size_bytes)
{
	char text[24];

	config_value_size_text(size_bytes, text);
	printf("  %-28s %12s\n", name, text);
}

/* What the arena's memory goes to, in the order in which it lies there. */
static void print_arena(const struct config *config)
{
	const struct config_arena *arena = &config->arena;
	struct arena_config layout = {
	        .frame_bytes = (uint32_t)arena->frame_size_bytes,
	        .max_channels = arena->max_channels,
	        .receive_frames = arena->receive_frames,
	        .max_processes = arena->max_processes + config->agent.poller_count,
	        .window_slots = arena->window_max_frames,
	        .pollers = config->agent.poller_count,
	};
	uint64_t least_bytes = arena_size_min(&layout);
	uint64_t home_bytes = arena->max_channels * arena->frame_size_bytes;
	uint64_t receive_bytes = arena->receive_frames * arena->frame_size_bytes;

	printf("arena\n");
	print_size("size", arena->size_bytes);
	print_size("frame size", arena->frame_size_bytes);
	print_size("one per channel, guaranteed", home_bytes);
	print_size("to receive from peers", receive_bytes);
	print_size("tables", least_bytes - home_bytes - receive_bytes - arena->frame_size_bytes);
	print_size("shared by all channels",
	           arena->size_bytes - least_bytes + arena->frame_size_bytes);
	printf("  %u channels, window at most %u frames; %u processes, %u pollers\n",
	       arena->max_channels, arena->window_max_frames, arena->max_processes,
	       config->agent.poller_count);
}

static void print_config(const struct config *config)
{
	static const char *const auth_names[] = {"none", "psk", "cert"};
	const struct config_control *control = &config->control;

	printf("node %s of cluster %" PRIu64 "\n", config->agent.node, config->agent.cluster_id);
	printf("socket %s, mode %04o, users", config->agent.socket_path, config->agent.socket_mode);
	for (size_t i = 0; i < config->agent.allow_uid_count; i++)
		printf(" %u", (unsigned)config->agent.allow_uids[i]);
	printf("\n");
	print_arena(config);
	printf("driver %s, %u sessions per peer and poller, crc32c %s, encrypt %s\n",
	       config->driver.name, config->driver.session_count,
	       config->driver.crc32c ? "on" : "off", config->driver.encrypt ? "on" : "off");
	if (control->listen.host[0])
		printf("control %s port %s, auth %s\n", control->listen.host, control->listen.port,
		       auth_names[control->auth]);
	for (size_t i = 0; i < config->peer_count; i++)
		printf("peer %s%s%s%s%s\n", config->peers[i].name,
		       config->peers[i].address.host[0] ? " at " : "",
		       config->peers[i].address.host,
		       config->peers[i].address.host[0] ? " port " : "",
		       config->peers[i].address.port);
	printf("timeouts: rendezvous %.3f s, peer %.3f s, keepalive %.3f s\n",
	       (double)config->agent.rendezvous_timeout_ns / (double)SLU_NS_PER_S,
	       (double)config->agent.peer_timeout_ns / (double)SLU_NS_PER_S,
	       (double)config->agent.keepalive_ns / (double)SLU_NS_PER_S);
	printf("configuration is good\n");
}

static int serve(const struct config *config)
{
	struct conductor *conductor;
	char error[CONFIG_ERROR_MAX] = "";

	log_set_level((enum log_level)config->agent.log_level);
	if (conductor_create(config, &conductor, error) < 0) {
		fprintf(stderr, "sluiced: %s\n", error);
		return 1;
	}
	conductor_print_ready(conductor, stdout);
	conductor_run(conductor);
	conductor_destroy(conductor);
	return 0;
}

int main(int argc, char **argv)
{
	struct options options;
	struct config *config;
	char error[CONFIG_ERROR_MAX] = "";
	int status = options_read(argc, argv, &options);

	if (status >= 0)
		return status;
	if (options.probe && !options.config_path)
		return probe_run(NULL, options.json, stdout);
	if (!options.config_path)
		options.config_path = SLUICED_CONFIG;
	if (config_load(options.config_path, &config, error) < 0) {
		fprintf(stderr, "sluiced: %s\n", error);
		return 1;
	}
	if (options.probe) {
		status = probe_run(config, options.json, stdout);
	} else if (config_check(config, error) < 0 || poller_config_check(config, error) < 0) {
		fprintf(stderr, "sluiced: %s: %s\n", options.config_path, error);
		status = 1;
	} else if (options.check_config) {
		print_config(config);
		status = 0;
	} else {
		status = serve(config);
	}
	config_free(config);
	return status;
}
