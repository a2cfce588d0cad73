/* SPDX-License-Identifier: Apache-2.0 */
/*
 * join.h - between join.c, which makes the paths of a join, and join_search.c,
 * which decides what joins to look at.
 */
#ifndef EXECUTOR_PLAN_JOIN_H
#define EXECUTOR_PLAN_JOIN_H

extern void mpp_join_search_init(void);

#endif
