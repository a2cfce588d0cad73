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

/* Agents, segments, the coordinator, mirrors. 0, or -1 after a message. */
int control_start(const struct cluster *cluster, struct progress *progress);

/* Its two parts: what serves; and what copies that, until it streams. */
int control_start_primaries(const struct cluster *cluster, struct progress *progress);
int control_start_mirrors(const struct cluster *cluster, struct progress *progress);

/* Coordinator, segments, mirrors, agents. mode as pg_ctl's. */
int control_stop(const struct cluster *cluster, const char *mode, struct progress *progress);

#endif
