/* SPDX-License-Identifier: Apache-2.0 */
/*
 * join.h - between join.c, which makes the paths of a join, and join_search.c,
 * which decides what joins to look at.
 */
#ifndef EXECUTOR_PLAN_JOIN_H
#define EXECUTOR_PLAN_JOIN_H

#include <postgres.h>

#include <nodes/pathnodes.h>

extern void mpp_join_search_init(void);

/* What the rows would cost in another place: the cheapest partitioned variant, moved.
 * A dearer variant wins nowhere. Infinite when there is none yet. */
extern Cost mpp_cost_anywhere(const RelOptInfo *joinrel);

#endif
