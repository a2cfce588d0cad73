/* SPDX-License-Identifier: Apache-2.0 */
/*
 * decorrelate.c - a scalar aggregate over the rows that belong to a row outside,
 *
 *   WHERE x < (SELECT avg(y) FROM t WHERE t.k = outer.k)
 *
 * is evaluated by core once for each row outside. As a join it is evaluated once:
 *
 *   FROM ..., (SELECT avg(y) AS a, k FROM t GROUP BY k) s
 *   WHERE x < s.a AND s.k = outer.k
 *
 * Where no row belongs, the first compares with NULL, which is not true when all from
 * the aggregate to the clause is strict; the second has no row to join. So count(),
 * which is 0 and not NULL then, is left alone. Each row outside meets one group at
 * most, as the correlation is the equality that groups are made by.
 */
#include "executor/plan/decorrelate.h"
#include "executor/plan/rewrite.h"

#include <access/stratnum.h>
#include <access/transam.h>
#include <nodes/makefuncs.h>
#include <nodes/nodeFuncs.h>
#include <optimizer/clauses.h>
#include <optimizer/optimizer.h>
#include <parser/parse_oper.h>
#include <rewrite/rewriteManip.h>
#include <utils/lsyscache.h>
#include <utils/typcache.h>

#include "executor/plan/plan.h"

/* ---- what is strict ---- */

bool mpp_null_of_nothing(const Aggref *aggref)
{
	static const char *const names[] = {"sum",        "avg",       "min",      "max",
	                                    "stddev",     "variance",  "bool_and", "bool_or",
	                                    "string_agg", "array_agg", "jsonb_agg"};
	const char *name = get_func_name(aggref->aggfnoid);

	if (name == NULL || aggref->aggfnoid >= FirstNormalObjectId || aggref->agglevelsup != 0)
		return false;
	for (int i = 0; i < (int)lengthof(names); i++)
		if (strcmp(name, names[i]) == 0)
			return true;
	return false;
}

static bool null_with(Node *node, const Node *leaf);

static bool any_null_with(List *args, const Node *leaf)
{
	ListCell *lc;

	foreach (lc, args)
		if (null_with(lfirst(lc), leaf))
			return true;
	return false;
}

/* Whether node is NULL if leaf is; leaf NULL: if the aggregates in it see no rows. */
static bool null_with(Node *node, const Node *leaf)
{
	if (node == leaf && node != NULL)
		return true;
	switch (nodeTag(node)) {
	case T_Aggref:
		return leaf == NULL && mpp_null_of_nothing((Aggref *)node);
	case T_OpExpr:
		return op_strict(((OpExpr *)node)->opno) &&
		       any_null_with(((OpExpr *)node)->args, leaf);
	case T_FuncExpr:
		return func_strict(((FuncExpr *)node)->funcid) &&
		       any_null_with(((FuncExpr *)node)->args, leaf);
	case T_RelabelType:
		return null_with((Node *)((RelabelType *)node)->arg, leaf);
	default:
		return false;
	}
}

/* ---- what is correlated ---- */

static bool has_level(Node *node, int level)
{
	return contain_vars_of_level(node, level);
}

static bool is_inner(Node *node)
{
	return has_level(node, 0) && !contain_vars_of_level(node, 1);
}

static bool is_outer(Node *node)
{
	return has_level(node, 1) && !has_level(node, 0) && !has_level(node, 2);
}

/* The operator must be the equality of the type's groups. */
static bool groups_by(const OpExpr *op, Expr *inner)
{
	TypeCacheEntry *type = lookup_type_cache(exprType((Node *)inner), TYPECACHE_BTREE_OPFAMILY);

	return OidIsValid(type->btree_opf) &&
	       get_op_opfamily_strategy(op->opno, type->btree_opf) == BTEqualStrategyNumber &&
	       mpp_same_collation_hash(op->inputcollid, exprCollation((Node *)inner));
}

/* Whether a query refers to anything of the queries around it; ctx: levels down. */
static bool refers_outside(Node *node, void *ctx)
{
	int level = *(int *)ctx;

	if (node == NULL)
		return false;
	if (IsA(node, Query)) {
		level++;
		return query_tree_walker((Query *)node, refers_outside, &level,
		                         QTW_EXAMINE_RTES_BEFORE);
	}
	if (IsA(node, RangeTblEntry))
		return ((RangeTblEntry *)node)->rtekind == RTE_CTE &&
		       (int)((RangeTblEntry *)node)->ctelevelsup > level;
	if (IsA(node, Var))
		return (int)((Var *)node)->varlevelsup > level;
	if (IsA(node, Aggref) && (int)((Aggref *)node)->agglevelsup > level)
		return true;
	if (IsA(node, GroupingFunc) && (int)((GroupingFunc *)node)->agglevelsup > level)
		return true;
	return expression_tree_walker(node, refers_outside, ctx);
}

bool mpp_refers_outside(Node *query)
{
	return refers_outside(query, &(int){-1});
}

static bool simple_expr(Node *node)
{
	return !contain_subplans(node) && !checkExprHasSubLink(node) &&
	       !contain_volatile_functions(node) && !contain_agg_clause(node);
}

static MppCorrelation *as_correlation(Node *clause)
{
	OpExpr *op = (OpExpr *)clause;
	MppCorrelation *correlation;
	Node *left;
	Node *right;

	if (!IsA(clause, OpExpr) || list_length(op->args) != 2 || !simple_expr(clause))
		return NULL;
	left = linitial(op->args);
	right = lsecond(op->args);
	correlation = palloc0(sizeof(MppCorrelation));
	correlation->clause = op;
	correlation->inner_is_left = is_inner(left) && is_outer(right);
	if (!correlation->inner_is_left && !(is_inner(right) && is_outer(left)))
		return NULL;
	correlation->inner = (Expr *)(correlation->inner_is_left ? left : right);
	correlation->outer = copyObject((Expr *)(correlation->inner_is_left ? right : left));
	IncrementVarSublevelsUp((Node *)correlation->outer, -1, 1);
	return groups_by(op, correlation->inner) ? correlation : NULL;
}

bool mpp_split_correlations(Query *subquery, List **ret_correlations)
{
	List *rest = NIL;
	ListCell *lc;

	*ret_correlations = NIL;
	foreach (lc, make_ands_implicit((Expr *)subquery->jointree->quals)) {
		MppCorrelation *correlation = as_correlation(lfirst(lc));

		if (correlation != NULL)
			*ret_correlations = lappend(*ret_correlations, correlation);
		else
			rest = lappend(rest, lfirst(lc));
	}
	subquery->jointree->quals = rest == NIL ? NULL : (Node *)make_ands_explicit(rest);
	return *ret_correlations != NIL;
}

bool mpp_plain_aggregate(const Query *query)
{
	return query->commandType == CMD_SELECT && query->hasAggs && query->groupClause == NIL &&
	       query->groupingSets == NIL && query->havingQual == NULL && !query->hasWindowFuncs &&
	       !query->hasTargetSRFs && query->setOperations == NULL && query->cteList == NIL &&
	       query->distinctClause == NIL && query->sortClause == NIL &&
	       query->limitCount == NULL && query->limitOffset == NULL && query->rowMarks == NIL &&
	       query->jointree != NULL;
}

/* ---- the rewrite ---- */

static Var *add_group_column(Query *subquery, Index rti, Expr *inner)
{
	AttrNumber resno = list_length(subquery->targetList) + 1;
	TargetEntry *tle = makeTargetEntry(inner, resno, psprintf("group%d", resno - 1), false);
	SortGroupClause *group = makeNode(SortGroupClause);

	get_sort_group_operators(exprType((Node *)inner), false, true, false, &group->sortop,
	                         &group->eqop, NULL, &group->hashable);
	group->tleSortGroupRef = resno;
	tle->ressortgroupref = resno;
	subquery->targetList = lappend(subquery->targetList, tle);
	subquery->groupClause = lappend(subquery->groupClause, group);
	return makeVarFromTargetEntry(rti, tle);
}

static Node *join_clause(const MppCorrelation *correlation, Var *column)
{
	OpExpr *op = copyObject(correlation->clause);

	op->args = correlation->inner_is_left ? list_make2(column, correlation->outer)
	                                      : list_make2(correlation->outer, column);
	return (Node *)op;
}

List *mpp_group_by_correlations(Query *subquery, Index rti, const List *correlations)
{
	List *clauses = NIL;
	ListCell *lc;

	foreach (lc, correlations) {
		const MppCorrelation *correlation = lfirst(lc);
		Var *group = add_group_column(subquery, rti, correlation->inner);

		clauses = lappend(clauses, join_clause(correlation, group));
	}
	return clauses;
}

static Node *replace_node(Node *node, void *ctx)
{
	void **pair = ctx;

	if (node == NULL)
		return NULL;
	if (node == pair[0])
		return pair[1];
	return expression_tree_mutator(node, replace_node, ctx);
}

/* The clause with the subquery as a column; clauses to add go to *quals. NULL: not of
 * that kind. */
static Node *as_join(Query *query, Node *clause, SubLink *sublink, List **quals)
{
	Query *subquery = copyObject((Query *)sublink->subselect);
	Index rti = list_length(query->rtable) + 1;
	List *correlations;
	TargetEntry *result;
	Var *column;
	RangeTblRef *ref;

	if (!mpp_plain_aggregate(subquery) || !mpp_split_correlations(subquery, &correlations))
		return NULL;
	result = linitial_node(TargetEntry, subquery->targetList);
	if (mpp_refers_outside((Node *)subquery) || contain_volatile_functions((Node *)subquery) ||
	    !null_with((Node *)result->expr, NULL))
		return NULL;
	column = makeVarFromTargetEntry(rti, result);
	*quals = list_concat(*quals, mpp_group_by_correlations(subquery, rti, correlations));
	query->rtable = lappend(query->rtable, mpp_make_subquery_rte(subquery));
	ref = makeNode(RangeTblRef);
	ref->rtindex = rti;
	query->jointree->fromlist = lappend(query->jointree->fromlist, ref);
	return replace_node(clause, (void *[]){sublink, column});
}

static bool find_sublink(Node *node, void *ctx)
{
	if (node == NULL)
		return false;
	if (IsA(node, SubLink)) {
		*(SubLink **)ctx = (SubLink *)node;
		return true;
	}
	return expression_tree_walker(node, find_sublink, ctx);
}

void mpp_decorrelate(Query *query)
{
	List *quals = NIL;
	ListCell *lc;

	if (!mpp_enable_decorrelation || !query->hasSubLinks || query->jointree == NULL ||
	    query->jointree->quals == NULL || query->setOperations != NULL ||
	    (query->commandType != CMD_SELECT && query->commandType != CMD_INSERT) ||
	    query->rowMarks != NIL)
		return;
	foreach (lc, make_ands_implicit((Expr *)query->jointree->quals)) {
		Node *clause = lfirst(lc);
		Node *joined = NULL;
		SubLink *sublink = NULL;

		if (IsA(clause, OpExpr) && find_sublink(clause, &sublink) &&
		    sublink->subLinkType == EXPR_SUBLINK && null_with(clause, (Node *)sublink))
			joined = as_join(query, clause, sublink, &quals);
		quals = lappend(quals, joined != NULL ? joined : clause);
	}
	query->jointree->quals = (Node *)make_ands_explicit(quals);
}
