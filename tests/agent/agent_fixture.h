/* SPDX-License-Identifier: Apache-2.0 */
/*
 * agent_fixture.h - a real sluiced in a directory of its own, for tests: start
 * it with some configuration, stop, kill and restart it. The program is the one
 * named by $SLUICED. It dies with the test program, whatever becomes of that.
 */
#ifndef TESTS_AGENT_AGENT_FIXTURE_H
#define TESTS_AGENT_AGENT_FIXTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define AGENT_FIXTURE_CLUSTER UINT64_C(42)

/* Each text is lines of the section of that name; NULL: what the fixture thinks
 * fit for a test. What it gives itself: node, cluster_id, socket. */
struct agent_fixture_options {
	const char *node;         /* NULL: "a" */
	uint64_t cluster_id;      /* 0: AGENT_FIXTURE_CLUSTER */
	const char *agent;        /* NULL: root and the user of the test may attach */
	const char *arena;        /* NULL: 16 MiB of 16 KiB frames, 64 channels */
	const char *control;      /* NULL: no section */
	const char *driver;       /* NULL: no section */
	const char *peers;        /* whole sections; NULL: none */
	uint64_t descriptors_max; /* RLIMIT_NOFILE; 0: as it is */
	bool own_pid_namespace;   /* it then cannot name our processes; needs root */
	int network_fd;           /* network namespace to run in, borrowed until
	                             agent_fixture_end; 0: that of the test */
};

struct agent_fixture {
	struct agent_fixture_options options; /* texts borrowed until agent_fixture_end */
	pid_t pid;                            /* 0: does not run */
	char node[64];
	char directory[80];
	char socket_path[108];
	char config_path[108];
	char log_path[108];
	char control[80]; /* host:port it listens on; "": none */
	uint16_t metrics_port;
};

/*
 * Make the directory and start. 0 once it says that it is ready; else it has
 * ended: its exit status, or -1 for anything else. agent_fixture_log() says why.
 * agent_fixture_end() is owed in every case.
 */
int agent_fixture_start(struct agent_fixture *fixture, const struct agent_fixture_options *options);

/* Two agents, "a" and "b", that are each other's peers; options hold for both
 * (node, control and peers are not used). */
int agent_fixture_start_pair(struct agent_fixture fixtures[2],
                             const struct agent_fixture_options *options);

/* SIGTERM. Its exit status; -1: it had to be killed, or a signal ended it. */
int agent_fixture_stop(struct agent_fixture *fixture);
/* SIGKILL. */
void agent_fixture_kill(struct agent_fixture *fixture);
/* Start again with the same configuration, after stop or kill. As start. */
int agent_fixture_restart(struct agent_fixture *fixture);

/* Kill it if it runs, remove the directory. Prints the log if the agent ended in
 * another way than stop, kill and a failed start account for. */
void agent_fixture_end(struct agent_fixture *fixture);

/* What it logged so far; returns owned text. */
char *agent_fixture_log(const struct agent_fixture *fixture);
/* Whether the log has that text. */
bool agent_fixture_logged(const struct agent_fixture *fixture, const char *text);

const char *agent_fixture_socket(const struct agent_fixture *fixture);
const char *agent_fixture_node(const struct agent_fixture *fixture);

/* A TCP port of 127.0.0.1 that nobody listened on a moment ago. */
uint16_t agent_fixture_free_port(void);

/* Run sluiced with arguments (NULL-terminated, without argv[0]) to its end; its
 * output (both) is returned owned in *ret_output. Returns the exit status. */
int agent_fixture_run(const char *const *arguments, char **ret_output);

#endif
