/* SPDX-License-Identifier: Apache-2.0 */
/*
 * decorrelate.h - between decorrelate.c and apply.c, which both make groups of the rows
 * that belong to a row outside.
 */
#ifndef EXECUTOR_PLAN_DECORRELATE_H
#define EXECUTOR_PLAN_DECORRELATE_H

#include <postgres.h>

#include <nodes/parsenodes.h>

/* inner = outer */
typedef struct MppCorrelation {
	OpExpr *clause;
	Expr *inner;
	Expr *outer; /* as seen from outside */
	bool inner_is_left;
} MppCorrelation;

/* A query that is one row of aggregates over what its FROM and WHERE give. */
extern bool mpp_plain_aggregate(const Query *query);
/* Splits the WHERE clause into equalities with the row outside and the rest, which becomes
 * the WHERE clause; false: it is correlated in another way, or not at all. */
extern bool mpp_split_correlations(Query *subquery, List **ret_correlations);
/* Clauses that find the group of a row outside. The groups are made: the columns they are
 * of are added to the subquery, which is number rti of the query outside. */
extern List *mpp_group_by_correlations(Query *subquery, Index rti, const List *correlations);
/* Whether a built-in aggregate is NULL when it sees no rows. */
extern bool mpp_null_of_nothing(const Aggref *aggref);

#endif
