/* SPDX-License-Identifier: Apache-2.0 */
/* state.h - `sluice state`: which processes of a cluster run. */
#ifndef CLUSTER_STATE_H
#define CLUSTER_STATE_H

int state_main(int argc, char **argv);

#endif
