/* SPDX-License-Identifier: Apache-2.0 */
/*
 * not_in.c - x NOT IN (SELECT y ...) is NOT EXISTS (SELECT ... WHERE y = x) when neither
 * can be NULL, and so an anti join, which can be distributed. With NULLs it is not, and
 * stays a subplan of the coordinator.
 */
#include "executor/plan/rewrite.h"

#include <access/htup_details.h>
#include <catalog/pg_attribute.h>
#include <catalog/pg_type.h>
#include <nodes/makefuncs.h>
#include <nodes/nodeFuncs.h>
#include <optimizer/clauses.h>
#include <parser/parsetree.h>
#include <rewrite/rewriteManip.h>
#include <utils/lsyscache.h>
#include <utils/syscache.h>

/* ---- what cannot be NULL ---- */

static bool has_outer_join(Node *node)
{
	ListCell *lc;

	if (node == NULL || IsA(node, RangeTblRef))
		return false;
	if (IsA(node, JoinExpr)) {
		JoinExpr *join = (JoinExpr *)node;

		return join->jointype != JOIN_INNER || has_outer_join(join->larg) ||
		       has_outer_join(join->rarg);
	}
	foreach (lc, ((FromExpr *)node)->fromlist)
		if (has_outer_join(lfirst(lc)))
			return true;
	return false;
}

static bool column_not_null(Oid relid, AttrNumber attno)
{
	HeapTuple tuple = SearchSysCache2(ATTNUM, ObjectIdGetDatum(relid), Int16GetDatum(attno));
	bool result;

	if (!HeapTupleIsValid(tuple))
		return false;
	result = ((FormData_pg_attribute *)GETSTRUCT(tuple))->attnotnull;
	ReleaseSysCache(tuple);
	return result;
}

static bool never_null(const Query *query, Node *expr)
{
	const RangeTblEntry *rte;
	const Var *var;

	while (IsA(expr, RelabelType))
		expr = (Node *)((RelabelType *)expr)->arg;
	if (IsA(expr, Const))
		return !((Const *)expr)->constisnull;
	if (!IsA(expr, Var) || query->groupingSets != NIL)
		return false;
	var = (const Var *)expr;
	rte = rt_fetch(var->varno, query->rtable);
	return var->varlevelsup == 0 && var->varattno > 0 && rte->rtekind == RTE_RELATION &&
	       column_not_null(rte->relid, var->varattno) &&
	       !has_outer_join((Node *)query->jointree);
}

static bool all_never_null(const Query *query, const Query *subquery, Node *test)
{
	OpExpr *op = (OpExpr *)test;
	Node *parameter;
	ListCell *lc;

	if (is_andclause(test)) {
		foreach (lc, ((BoolExpr *)test)->args)
			if (!all_never_null(query, subquery, lfirst(lc)))
				return false;
		return true;
	}
	if (!IsA(test, OpExpr) || list_length(op->args) != 2 ||
	    !op_hashjoinable(op->opno, exprType(linitial(op->args))))
		return false;
	parameter = lsecond(op->args);
	while (IsA(parameter, RelabelType))
		parameter = (Node *)((RelabelType *)parameter)->arg;
	if (!IsA(parameter, Param) || ((Param *)parameter)->paramkind != PARAM_SUBLINK)
		return false;
	return never_null(query, linitial(op->args)) &&
	       never_null(subquery, (Node *)list_nth_node(TargetEntry, subquery->targetList,
	                                                  ((Param *)parameter)->paramid - 1)
	                                    ->expr);
}

/* ---- the rewrite ---- */

static Node *use_columns(Node *node, void *ctx)
{
	if (node == NULL)
		return NULL;
	if (IsA(node, Param) && ((Param *)node)->paramkind == PARAM_SUBLINK)
		return (Node *)makeVarFromTargetEntry(
		        1, list_nth_node(TargetEntry, ((Query *)ctx)->targetList,
		                         ((Param *)node)->paramid - 1));
	return expression_tree_mutator(node, use_columns, ctx);
}

static Node *not_exists(SubLink *any)
{
	Query *exists = makeNode(Query);
	Query *subquery = copyObject((Query *)any->subselect);
	RangeTblRef *ref = makeNode(RangeTblRef);
	SubLink *sublink = makeNode(SubLink);
	Node *test = copyObject(any->testexpr);

	IncrementVarSublevelsUp((Node *)subquery, 1, 1);
	IncrementVarSublevelsUp(test, 1, 0);
	ref->rtindex = 1;
	exists->commandType = CMD_SELECT;
	exists->canSetTag = true;
	exists->rtable = list_make1(mpp_make_subquery_rte(subquery));
	exists->jointree = makeFromExpr(list_make1(ref), use_columns(test, subquery));
	exists->targetList =
	        list_make1(makeTargetEntry((Expr *)makeBoolConst(true, false), 1, NULL, false));
	sublink->subLinkType = EXISTS_SUBLINK;
	sublink->subselect = (Node *)exists;
	sublink->location = -1;
	return (Node *)make_notclause((Expr *)sublink);
}

static Node *rewrite_clause(const Query *query, Node *clause)
{
	SubLink *sublink;

	if (!is_notclause(clause))
		return clause;
	sublink = (SubLink *)get_notclausearg((Expr *)clause);
	if (!IsA(sublink, SubLink) || sublink->subLinkType != ANY_SUBLINK ||
	    ((Query *)sublink->subselect)->setOperations != NULL ||
	    !all_never_null(query, (Query *)sublink->subselect, sublink->testexpr))
		return clause;
	return not_exists(sublink);
}

void mpp_rewrite_not_in(Query *query)
{
	List *quals = NIL;
	ListCell *lc;

	if (!query->hasSubLinks || query->jointree == NULL || query->jointree->quals == NULL ||
	    query->setOperations != NULL)
		return;
	foreach (lc, make_ands_implicit((Expr *)query->jointree->quals))
		quals = lappend(quals, rewrite_clause(query, lfirst(lc)));
	query->jointree->quals = (Node *)make_ands_explicit(quals);
}
