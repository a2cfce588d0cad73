/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rewrite.c - the order of rewrites, and the queries they are done to.
 */
#include "executor/plan/rewrite.h"

#include <access/transam.h>
#include <catalog/pg_type.h>
#include <nodes/makefuncs.h>
#include <nodes/nodeFuncs.h>
#include <utils/lsyscache.h>

#include "executor/catalog/distribution.h"

static bool reads_distributed(Node *node, void *ctx)
{
	if (node == NULL)
		return false;
	if (IsA(node, RangeTblEntry)) {
		const RangeTblEntry *rte = (const RangeTblEntry *)node;

		return rte->rtekind == RTE_RELATION && mpp_distribution_get(rte->relid) != NULL;
	}
	if (IsA(node, Query))
		return query_tree_walker((Query *)node, reads_distributed, ctx,
		                         QTW_EXAMINE_RTES_BEFORE);
	return expression_tree_walker(node, reads_distributed, ctx);
}

bool mpp_reads_distributed(Node *query)
{
	return reads_distributed(query, NULL);
}

RangeTblEntry *mpp_make_subquery_rte(Query *subquery)
{
	RangeTblEntry *rte = makeNode(RangeTblEntry);
	List *names = NIL;
	ListCell *lc;

	foreach (lc, subquery->targetList) {
		const TargetEntry *tle = lfirst_node(TargetEntry, lc);

		if (!tle->resjunk)
			names = lappend(names, makeString(pstrdup(tle->resname ? tle->resname
			                                                       : "?column?")));
	}
	rte->rtekind = RTE_SUBQUERY;
	rte->subquery = subquery;
	rte->eref = makeAlias("unnamed_subquery", names);
	rte->inFromCl = true;
	return rte;
}

bool mpp_order_free(const Aggref *aggref)
{
	static const char *const names[] = {"count", "sum",     "avg",   "min",
	                                    "max",   "bool_or", "every", "bool_and"};
	const char *name = get_func_name(aggref->aggfnoid);

	if (name == NULL || aggref->aggfnoid >= FirstNormalObjectId)
		return false;
	for (int i = 0; i < (int)lengthof(names); i++)
		if (strcmp(name, names[i]) == 0)
			return true;
	return false;
}

/* ---- common table expressions ---- */

static bool exact_aggregate(const Aggref *aggref)
{
	ListCell *lc;

	foreach (lc, aggref->aggargtypes)
		if (lfirst_oid(lc) == FLOAT4OID || lfirst_oid(lc) == FLOAT8OID)
			return false;
	return mpp_order_free(aggref);
}

static bool varies(Node *node, void *ctx)
{
	if (node == NULL)
		return false;
	if (IsA(node, Aggref) && !exact_aggregate((Aggref *)node))
		return true;
	if (IsA(node, WindowFunc))
		return true;
	if (IsA(node, RangeTblEntry))
		return ((RangeTblEntry *)node)->tablesample != NULL;
	if (IsA(node, Query)) {
		Query *query = (Query *)node;

		if (query->limitCount != NULL || query->limitOffset != NULL ||
		    query->hasDistinctOn || query->rowMarks != NIL ||
		    query->commandType != CMD_SELECT)
			return true;
		return query_tree_walker(query, varies, ctx, QTW_EXAMINE_RTES_BEFORE);
	}
	return expression_tree_walker(node, varies, ctx);
}

bool mpp_may_vary(Node *query)
{
	return varies(query, NULL);
}

/* A WITH query that is not inlined is evaluated on the coordinator. */
static void inline_ctes(Query *query)
{
	ListCell *lc;

	foreach (lc, query->cteList) {
		CommonTableExpr *cte = lfirst_node(CommonTableExpr, lc);

		if (cte->ctematerialized == CTEMaterializeDefault && !cte->cterecursive &&
		    cte->cterefcount > 1 && !mpp_may_vary(cte->ctequery) &&
		    mpp_reads_distributed(cte->ctequery))
			cte->ctematerialized = CTEMaterializeNever;
	}
}

/* ---- */

static bool rewrite_walker(Node *node, void *ctx)
{
	if (node == NULL)
		return false;
	if (IsA(node, CommonTableExpr) && ((CommonTableExpr *)node)->cterecursive)
		return false;
	if (IsA(node, Query)) {
		Query *query = (Query *)node;

		query_tree_walker(query, rewrite_walker, ctx, 0);
		inline_ctes(query);
		mpp_fold_stable(query);
		mpp_rewrite_setops(query);
		mpp_rewrite_distinct_agg(query);
		mpp_rewrite_not_in(query);
		mpp_decorrelate(query);
		mpp_apply(query);
		return false;
	}
	return expression_tree_walker(node, rewrite_walker, ctx);
}

void mpp_rewrite_query(Query *query)
{
	if (query->commandType == CMD_UTILITY || !mpp_reads_distributed((Node *)query))
		return;
	rewrite_walker((Node *)query, NULL);
}
