/* SPDX-License-Identifier: Apache-2.0 */
/* top_screen.h - the live view of `sluice top` on a terminal. */
#ifndef CLUSTER_TOP_SCREEN_H
#define CLUSTER_TOP_SCREEN_H

#include "cluster/observe.h"

/* Shows the arena until 'q' or SIGINT; 0 or -errno with words in error
 * (OBSERVE_ERROR_BYTES). */
int top_screen_run(const struct observe *observe, uint64_t interval_ns, char *error);

#endif
