/* SPDX-License-Identifier: Apache-2.0 */
/*
 * apply.c - aggregates that core evaluates once for each row outside, in the select list,
 * as LATERAL subqueries, or in a WHERE clause that could be true where there are no rows,
 *
 *   SELECT (SELECT count(*) + 1 FROM t WHERE t.k = outer.k) FROM outer
 *   SELECT ... FROM outer, LATERAL (SELECT count(*) AS c FROM t WHERE t.k = outer.k) x
 *
 * become a join with groups, of which a row outside meets one or none:
 *
 *   ... FROM outer LEFT JOIN (SELECT count(*) AS a, k FROM t GROUP BY k) s ON s.k = outer.k
 *
 * The aggregates of no rows are NULL, or 0 for count(), and what is computed from them is
 * computed from coalesce(s.a, 0). A LATERAL subquery stays, without a FROM of its own.
 */
#include "executor/plan/decorrelate.h"
#include "executor/plan/rewrite.h"

#include <access/transam.h>
#include <catalog/pg_type.h>
#include <nodes/makefuncs.h>
#include <nodes/nodeFuncs.h>
#include <optimizer/optimizer.h>
#include <optimizer/prep.h>
#include <parser/parsetree.h>
#include <rewrite/rewriteManip.h>
#include <utils/fmgroids.h>
#include <utils/lsyscache.h>

#include "executor/plan/plan.h"

/* The groups of one subquery. */
typedef struct Groups {
	Query *query;
	Index rti;
	List *columns; /* its aggregates, as TargetEntries */
	bool failed;   /* there is an aggregate that no rows give something unknown for */
} Groups;

/* ---- aggregates as columns ---- */

static bool is_count(const Aggref *aggref)
{
	return aggref->aggfnoid == F_COUNT_ || aggref->aggfnoid == F_COUNT_ANY;
}

static TargetEntry *column_of(Groups *groups, Aggref *aggref)
{
	TargetEntry *tle;
	ListCell *lc;

	foreach (lc, groups->columns) {
		tle = lfirst_node(TargetEntry, lc);
		if (equal(tle->expr, aggref))
			return tle;
	}
	tle = makeTargetEntry((Expr *)aggref, list_length(groups->columns) + 1, pstrdup("value"),
	                      false);
	groups->columns = lappend(groups->columns, tle);
	return tle;
}

/* What the subquery computes, from the columns of the groups one level up. */
static Node *from_columns(Node *node, void *ctx)
{
	Groups *groups = ctx;
	Aggref *aggref = (Aggref *)node;
	Var *var;

	if (node == NULL)
		return NULL;
	if (!IsA(node, Aggref))
		return expression_tree_mutator(node, from_columns, ctx);
	if (aggref->agglevelsup != 0 || (!is_count(aggref) && !mpp_null_of_nothing(aggref))) {
		groups->failed = true;
		return node;
	}
	var = makeVarFromTargetEntry(groups->rti, column_of(groups, aggref));
	var->varlevelsup = 1;
	if (!is_count(aggref))
		return (Node *)var;
	CoalesceExpr *count = makeNode(CoalesceExpr);

	count->coalescetype = INT8OID;
	count->args = list_make2(var, makeConst(INT8OID, -1, InvalidOid, sizeof(int64),
	                                        Int64GetDatum(0), false, FLOAT8PASSBYVAL));
	count->location = -1;
	return (Node *)count;
}

/* The groups of a subquery and the clauses that find one of them; what the subquery computes
 * is its new target list. NULL: not of that kind. */
static Query *make_groups(const Query *subquery, Index rti, Node **ret_on, List **ret_targets)
{
	Groups groups = {.query = copyObject(unconstify(Query *, subquery)), .rti = rti};
	List *correlations;

	if (!mpp_plain_aggregate(subquery) || !mpp_reads_distributed((Node *)groups.query) ||
	    checkExprHasSubLink((Node *)subquery->targetList) ||
	    !mpp_split_correlations(groups.query, &correlations))
		return NULL;
	*ret_targets = (List *)from_columns((Node *)groups.query->targetList, &groups);
	groups.query->targetList = groups.columns;
	if (groups.failed || mpp_refers_outside((Node *)groups.query) ||
	    contain_volatile_functions((Node *)subquery))
		return NULL;
	*ret_on = (Node *)make_ands_explicit(
	        mpp_group_by_correlations(groups.query, rti, correlations));
	return groups.query;
}

static Node *left_join(Query *query, Node *left, Query *groups, Node *on)
{
	JoinExpr *join = makeNode(JoinExpr);
	RangeTblRef *ref = makeNode(RangeTblRef);

	query->rtable = lappend(query->rtable, mpp_make_subquery_rte(groups));
	ref->rtindex = list_length(query->rtable);
	join->jointype = JOIN_LEFT;
	join->larg = left;
	join->rarg = (Node *)ref;
	join->quals = on;
	return (Node *)join;
}

static Node *together(List *items)
{
	return list_length(items) == 1 ? linitial(items) : (Node *)makeFromExpr(items, NULL);
}

/* ---- LATERAL ---- */

/* The item with groups joined to it that stand for the subquery; NULL: there are none. */
static Node *join_groups(Query *query, Node *item, Node *subquery_ref)
{
	RangeTblEntry *rte;
	List *targets;
	Node *on;
	Query *groups;
	Query *computed;

	if (!IsA(subquery_ref, RangeTblRef))
		return NULL;
	rte = rt_fetch(((RangeTblRef *)subquery_ref)->rtindex, query->rtable);
	if (rte->rtekind != RTE_SUBQUERY || !rte->lateral || rte->security_barrier ||
	    rte->tablesample != NULL)
		return NULL;
	groups = make_groups(rte->subquery, list_length(query->rtable) + 1, &on, &targets);
	if (groups == NULL)
		return NULL;
	/* All it is compared with must be below the join. */
	if (!bms_is_subset(bms_del_member(pull_varnos(NULL, on), list_length(query->rtable) + 1),
	                   get_relids_in_jointree(item, true)))
		return NULL;
	computed = makeNode(Query);
	computed->commandType = CMD_SELECT;
	computed->canSetTag = true;
	computed->jointree = makeFromExpr(NIL, NULL);
	computed->targetList = targets;
	rte->subquery = computed;
	return left_join(query, item, groups, on);
}

static void apply_in_join(Query *query, Node *item);

static void apply_in_list(Query *query, FromExpr *from)
{
	List *items = NIL;
	ListCell *lc;

	foreach (lc, from->fromlist) {
		Node *joined = NULL;

		apply_in_join(query, lfirst(lc));
		if (items != NIL)
			joined = join_groups(query, together(items), lfirst(lc));
		if (joined != NULL)
			items = list_make1(joined);
		items = lappend(items, lfirst(lc));
	}
	from->fromlist = items;
}

static void apply_in_join(Query *query, Node *item)
{
	JoinExpr *join = (JoinExpr *)item;
	Node *joined = NULL;

	if (!IsA(item, JoinExpr))
		return;
	apply_in_join(query, join->larg);
	apply_in_join(query, join->rarg);
	if (join->jointype == JOIN_INNER || join->jointype == JOIN_LEFT)
		joined = join_groups(query, join->larg, join->rarg);
	if (joined != NULL)
		join->larg = joined;
}

/* ---- the select list and WHERE ---- */

static Node *apply_mutator(Node *node, void *ctx)
{
	Query *query = ctx;
	const SubLink *sublink = (const SubLink *)node;
	List *targets;
	Query *groups = NULL;
	Node *on;
	Node *value;

	if (node == NULL)
		return NULL;
	if (!IsA(node, SubLink))
		return expression_tree_mutator(node, apply_mutator, ctx);
	if (sublink->subLinkType == EXPR_SUBLINK)
		groups = make_groups((Query *)sublink->subselect, list_length(query->rtable) + 1,
		                     &on, &targets);
	if (groups == NULL)
		return node;
	query->jointree->fromlist =
	        list_make1(left_join(query, together(query->jointree->fromlist), groups, on));
	value = (Node *)linitial_node(TargetEntry, targets)->expr;
	IncrementVarSublevelsUp(value, -1, 1);
	return value;
}

/* After grouping a row is another: what is evaluated then cannot be joined before. */
static bool rows_are_kept(const Query *query)
{
	return !query->hasAggs && query->groupClause == NIL && query->groupingSets == NIL;
}

void mpp_apply(Query *query)
{
	if (!mpp_enable_decorrelation || query->jointree == NULL ||
	    query->jointree->fromlist == NIL || query->setOperations != NULL ||
	    query->rowMarks != NIL || query->commandType != CMD_SELECT)
		return;
	apply_in_list(query, query->jointree);
	if (!query->hasSubLinks)
		return;
	query->jointree->quals = apply_mutator(query->jointree->quals, query);
	if (rows_are_kept(query))
		query->targetList = (List *)apply_mutator((Node *)query->targetList, query);
}
