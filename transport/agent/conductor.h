/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conductor.h - the agent itself: it makes the arena, owns every part of it that
 * processes do not, and runs on the thread that calls it until it is told to
 * stop by SIGTERM or SIGINT.
 */
#ifndef TRANSPORT_AGENT_CONDUCTOR_H
#define TRANSPORT_AGENT_CONDUCTOR_H

#include "transport/agent/config.h"

#include <stdio.h>

struct conductor;

/*
 * Make everything that sluiced needs to serve; whoever fails says so in error
 * (CONFIG_ERROR_MAX bytes). config is borrowed until destroy. Blocks the signals
 * it handles, for all threads made later. *ret_conductor is returned owned.
 */
int conductor_create(const struct config *config, struct conductor **ret_conductor, char *error);

/* One line for whoever waits for the agent: where it can be reached. */
void conductor_print_ready(const struct conductor *conductor, FILE *out);

/* Serve. Returns when told to stop, all clients told. */
void conductor_run(struct conductor *conductor);

void conductor_destroy(struct conductor *conductor); /* takes conductor */

#endif
