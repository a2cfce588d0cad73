/* SPDX-License-Identifier: Apache-2.0 */
/* init.h - `sluice init`: make a cluster. */
#ifndef CLUSTER_INIT_H
#define CLUSTER_INIT_H

int init_main(int argc, char **argv);

#endif
