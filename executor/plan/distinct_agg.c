/* SPDX-License-Identifier: Apache-2.0 */
/*
 * distinct_agg.c - SELECT count(DISTINCT x) FROM ... without groups is one aggregate
 * over all rows, in one place. Over a subquery, SELECT count(x) FROM (SELECT DISTINCT x
 * FROM ...), the removal of duplicates can be distributed. Not so where the order of
 * values shows in the result: DISTINCT aggregates sort them.
 */
#include "executor/plan/rewrite.h"

#include <catalog/pg_aggregate.h>
#include <nodes/makefuncs.h>
#include <nodes/nodeFuncs.h>
#include <optimizer/optimizer.h>
#include <rewrite/rewriteManip.h>

typedef struct DistinctAgg {
	const Aggref *first; /* the first aggregate seen */
	bool other;          /* there are aggregates over something else */
} DistinctAgg;

static const TargetEntry *argument(const Aggref *aggref)
{
	return linitial_node(TargetEntry, aggref->args);
}

static bool look_walker(Node *node, void *ctx)
{
	DistinctAgg *look = ctx;

	if (node == NULL)
		return false;
	if (IsA(node, Aggref)) {
		const Aggref *aggref = (const Aggref *)node;

		if (aggref->agglevelsup != 0 || aggref->aggkind != AGGKIND_NORMAL ||
		    list_length(aggref->aggdistinct) != 1 || list_length(aggref->args) != 1 ||
		    aggref->aggorder != NIL || aggref->aggfilter != NULL ||
		    !mpp_order_free(aggref) ||
		    (look->first != NULL &&
		     !equal(argument(aggref)->expr, argument(look->first)->expr)))
			look->other = true;
		else if (look->first == NULL)
			look->first = aggref;
		return look->other;
	}
	return expression_tree_walker(node, look_walker, ctx);
}

static Node *over_subquery(Node *node, void *ctx)
{
	if (node == NULL)
		return NULL;
	if (IsA(node, Aggref)) {
		Aggref *aggref = copyObject((Aggref *)node);

		linitial_node(TargetEntry, aggref->args)->expr = copyObject((Expr *)ctx);
		linitial_node(TargetEntry, aggref->args)->ressortgroupref = 0;
		aggref->aggdistinct = NIL;
		return (Node *)aggref;
	}
	return expression_tree_mutator(node, over_subquery, ctx);
}

/* The rows the query aggregates, each value of expr once. */
static Query *distinct_rows(const Query *query, const Aggref *aggref)
{
	Query *rows = makeNode(Query);
	SortGroupClause *clause = copyObject(linitial_node(SortGroupClause, aggref->aggdistinct));

	rows->commandType = CMD_SELECT;
	rows->canSetTag = true;
	rows->rtable = query->rtable;
	rows->jointree = query->jointree;
	rows->cteList = query->cteList;
	rows->hasRecursive = query->hasRecursive;
	rows->hasSubLinks = query->hasSubLinks;
	rows->hasRowSecurity = query->hasRowSecurity;
	rows->targetList = list_make1(
	        makeTargetEntry(copyObject(argument(aggref)->expr), 1, pstrdup("value"), false));
	clause->tleSortGroupRef = 1;
	linitial_node(TargetEntry, rows->targetList)->ressortgroupref = 1;
	rows->distinctClause = list_make1(clause);
	IncrementVarSublevelsUp((Node *)rows, 1, 1);
	return rows;
}

void mpp_rewrite_distinct_agg(Query *query)
{
	DistinctAgg look = {0};
	Query *rows;
	Var *value;
	RangeTblRef *ref;

	if (query->commandType != CMD_SELECT || !query->hasAggs || query->groupClause != NIL ||
	    query->groupingSets != NIL || query->hasWindowFuncs || query->hasTargetSRFs ||
	    query->distinctClause != NIL || query->setOperations != NULL ||
	    query->rowMarks != NIL || query->hasModifyingCTE || mpp_refers_outside((Node *)query) ||
	    checkExprHasSubLink((Node *)query->targetList) ||
	    checkExprHasSubLink(query->havingQual))
		return;
	look_walker((Node *)query->targetList, &look);
	look_walker(query->havingQual, &look);
	if (look.first == NULL || look.other ||
	    checkExprHasSubLink((Node *)argument(look.first)->expr) ||
	    contain_volatile_functions((Node *)argument(look.first)->expr))
		return;
	rows = distinct_rows(query, look.first);
	value = makeVarFromTargetEntry(1, linitial_node(TargetEntry, rows->targetList));
	ref = makeNode(RangeTblRef);
	ref->rtindex = 1;
	query->targetList = (List *)over_subquery((Node *)query->targetList, value);
	query->havingQual = over_subquery(query->havingQual, value);
	query->rtable = list_make1(mpp_make_subquery_rte(rows));
	query->jointree = makeFromExpr(list_make1(ref), NULL);
	query->cteList = NIL;
	query->hasRecursive = false;
	query->hasSubLinks = false;
}
