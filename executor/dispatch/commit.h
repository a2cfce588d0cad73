/* SPDX-License-Identifier: Apache-2.0 */
/*
 * commit.h - the end of a distributed transaction, private to dispatch/.
 */
#ifndef EXECUTOR_DISPATCH_COMMIT_H
#define EXECUTOR_DISPATCH_COMMIT_H

#include <postgres.h>

extern void commit_init(void);
extern void dtx_init(void);

/* For an abort: end the commands in flight on the connections that have reached this
 * nest level; nobody takes their results. 0: on all. */
extern void commit_stop_commands(int level);

#endif
