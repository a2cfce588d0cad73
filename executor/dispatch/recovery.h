/* SPDX-License-Identifier: Apache-2.0 */
/*
 * recovery.h - the processes that finish what a crash left of distributed
 * transactions: one launcher on the coordinator, and a worker per database.
 */
#ifndef EXECUTOR_DISPATCH_RECOVERY_H
#define EXECUTOR_DISPATCH_RECOVERY_H

#include <postgres.h>

extern void recovery_init(void);

/* Entry points of the background workers. */
extern PGDLLEXPORT void mpp_recovery_launcher(Datum arg);
extern PGDLLEXPORT void mpp_recovery_worker(Datum database);

/* In the worker, without a transaction: whether all is finished in this database. */
extern bool recovery_run(void);

#endif
