/* SPDX-License-Identifier: Apache-2.0 */
/*
 * router_exec.h - the plan node of the router, private to dispatch/.
 */
#ifndef EXECUTOR_DISPATCH_ROUTER_EXEC_H
#define EXECUTOR_DISPATCH_ROUTER_EXEC_H

#include <postgres.h>

#include <nodes/extensible.h>

#include "executor/dispatch/router_keys.h"

extern const CustomScanMethods router_scan_methods;

extern bool router_enabled; /* GUC sluice.enable_router */

extern void router_exec_init(void);

/* custom_private of the node. custom_exprs are the parameters of sql, then the values
 * of the keys. in_transaction: it must run in a transaction with what follows. */
extern List *router_private_make(const char *sql, const RouterKeys *keys, bool writes,
                                 bool in_transaction);

#endif
