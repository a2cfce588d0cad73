/* SPDX-License-Identifier: Apache-2.0 */
/* drift.h - `sluice check`: do all servers know the same objects? */
#ifndef CLUSTER_DRIFT_H
#define CLUSTER_DRIFT_H

int check_main(int argc, char **argv);

#endif
