/* SPDX-License-Identifier: Apache-2.0 */
/*
 * control.h - `sluice start`, `sluice stop`, `sluice restart`, `sluice reload`:
 * agents and servers of a cluster in the right order.
 */
#ifndef CLUSTER_CONTROL_H
#define CLUSTER_CONTROL_H

#include "cluster/description.h"
#include "cluster/progress.h"

int start_main(int argc, char **argv);
int stop_main(int argc, char **argv);
int restart_main(int argc, char **argv);
int reload_main(int argc, char **argv);

/* Agents, then segments, then the coordinator. 0, or -1 after a message. */
int control_start(const struct cluster *cluster, struct progress *progress);

/* The other way round. mode as pg_ctl's. */
int control_stop(const struct cluster *cluster, const char *mode, struct progress *progress);

#endif
