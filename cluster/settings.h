/* SPDX-License-Identifier: Apache-2.0 */
/* settings.h - `sluice config`: settings of all servers of a cluster. */
#ifndef CLUSTER_SETTINGS_H
#define CLUSTER_SETTINGS_H

int config_main(int argc, char **argv);

#endif
