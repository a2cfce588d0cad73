/* SPDX-License-Identifier: Apache-2.0 */
/* demo.h - `sluice demo`: a cluster with data and queries to look at. */
#ifndef CLUSTER_DEMO_H
#define CLUSTER_DEMO_H

int demo_main(int argc, char **argv);

#endif
