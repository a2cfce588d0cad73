/* SPDX-License-Identifier: Apache-2.0 */
/*
 * router.h - statements that live on one segment. Their SQL is sent there
 * (pg_get_querydef()), before planning, and the rows come back over libpq.
 */
#ifndef EXECUTOR_DISPATCH_ROUTER_H
#define EXECUTOR_DISPATCH_ROUTER_H

#include <postgres.h>

#include <nodes/params.h>
#include <nodes/plannodes.h>

/* A plan that sends the statement to its one segment, or NULL when it is not of
 * that kind: all distribution keys fixed to one segment, or replicated tables
 * only. query is not changed. */
extern PlannedStmt *mpp_router_plan(const Query *query, const char *query_string,
                                    int cursor_options, ParamListInfo params);

#endif
