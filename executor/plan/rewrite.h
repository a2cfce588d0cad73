/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rewrite.h - what is done to a Query before core plans it: forms that core can only
 * evaluate row by row, or in one place, become forms that can be distributed. All keep
 * the result; a query that reads no distributed table is not touched.
 */
#ifndef EXECUTOR_PLAN_REWRITE_H
#define EXECUTOR_PLAN_REWRITE_H

#include <postgres.h>

#include <nodes/parsenodes.h>

/* rewrite.c: the query and all below it. */
extern void mpp_rewrite_query(Query *query);

/* ---- one query each, not those below ---- */

/* decorrelate.c: correlated scalar aggregates in WHERE become joins with groups. */
extern void mpp_decorrelate(Query *query);
/* apply.c: such aggregates in the select list, and LATERAL ones, too. */
extern void mpp_apply(Query *query);
/* not_in.c: NOT IN becomes NOT EXISTS, and a rule for NULLs. */
extern void mpp_rewrite_not_in(Query *query);
/* distinct_agg.c: DISTINCT aggregates without groups aggregate a SELECT DISTINCT. */
extern void mpp_rewrite_distinct_agg(Query *query);
/* setop.c: UNION, INTERSECT and EXCEPT become DISTINCT and GROUP BY over UNION ALL. */
extern void mpp_rewrite_setops(Query *query);
/* fold.c: what depends on this session and not on a row is computed once, here. */
extern void mpp_fold_stable(Query *query);

/* ---- what a query is like ---- */

extern bool mpp_reads_distributed(Node *query);
/* Whether the aggregate of rows is the same in any order of them, but for the rounding of
 * floating point numbers. */
extern bool mpp_order_free(const Aggref *aggref);
/* Whether it could give other rows when evaluated again in the same snapshot. Volatile
 * functions are not looked for. */
extern bool mpp_may_vary(Node *query);
/* decorrelate.c: whether it refers to anything of the queries around it. */
extern bool mpp_refers_outside(Node *query);

/* A subquery for the FROM of a query, its columns named as its target list. */
extern RangeTblEntry *mpp_make_subquery_rte(Query *subquery);

#endif
