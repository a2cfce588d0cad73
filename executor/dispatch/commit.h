/* SPDX-License-Identifier: Apache-2.0 */
/*
 * commit.h - the end of a distributed transaction, private to dispatch/.
 */
#ifndef EXECUTOR_DISPATCH_COMMIT_H
#define EXECUTOR_DISPATCH_COMMIT_H

#include <postgres.h>

extern void commit_init(void);
extern void dtx_init(void);

/* End all commands in flight, for an abort: nobody takes their results. */
extern void commit_stop_commands(void);

#endif
