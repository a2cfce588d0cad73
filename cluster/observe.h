/* SPDX-License-Identifier: Apache-2.0 */
/*
 * observe.h - get at an arena to read it: from the agent, as an observer, or,
 * when the agent is dead or stuck, from any process that still maps it.
 */
#ifndef CLUSTER_OBSERVE_H
#define CLUSTER_OBSERVE_H

#include "transport/arena.h"

#include <sys/types.h>

#define OBSERVE_ERROR_BYTES 256u

struct observe {
	struct arena *arena; /* owned; read-only */
	int socket_fd;       /* of the agent; -1: without one */
};

/* Ask the agent behind the socket. error: OBSERVE_ERROR_BYTES. -errno. */
int observe_agent(const char *socket_path, struct observe *ret_observe, char *error);

/*
 * Take the arena from a process that has it open or mapped (the agent, or one
 * attached to it). What is only mapped, as in attached processes, can be opened
 * by root alone (CAP_SYS_ADMIN or CAP_CHECKPOINT_RESTORE): that is the kernel's
 * rule for /proc/PID/map_files.
 */
int observe_process(pid_t pid, struct observe *ret_observe, char *error);

/* Whether the agent that was asked is still there; false without one. */
bool observe_agent_lives(const struct observe *observe);

void observe_end(struct observe *observe);

#endif
