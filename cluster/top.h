/* SPDX-License-Identifier: Apache-2.0 */
/* top.h - the command `sluice top`. */
#ifndef CLUSTER_TOP_H
#define CLUSTER_TOP_H

/* argv[0] is "top". Returns the exit status. */
int top_main(int argc, char **argv);

#endif
