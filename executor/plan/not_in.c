/* SPDX-License-Identifier: Apache-2.0 */
/*
 * not_in.c - x NOT IN (SELECT y ...) is NOT EXISTS (SELECT ... WHERE y = x) when neither
 * can be NULL, and so an anti join, which can be distributed. With NULLs it is true of
 * those rows of the anti join only for which
 *
 *   x is not NULL and no y is NULL, or nothing is selected
 *
 * Whether a y is NULL, and whether anything is selected, are two more questions, asked once
 * each, and so only of a subquery that gives the same rows again.
 */
#include "executor/plan/rewrite.h"

#include <access/htup_details.h>
#include <catalog/pg_attribute.h>
#include <catalog/pg_class.h>
#include <catalog/pg_inherits.h>
#include <catalog/pg_type.h>
#include <nodes/makefuncs.h>
#include <nodes/nodeFuncs.h>
#include <optimizer/clauses.h>
#include <optimizer/optimizer.h>
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

/* Tables that inherit columns may have NULLs in them all the same; partitions may not. */
static bool has_heirs(const RangeTblEntry *rte)
{
	return rte->inh && rte->relkind == RELKIND_RELATION && has_subclass(rte->relid);
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
	if (var->varlevelsup != 0 || var->varattno <= 0)
		return false;
	rte = rt_fetch(var->varno, query->rtable);
	return rte->rtekind == RTE_RELATION && !has_heirs(rte) &&
	       column_not_null(rte->relid, var->varattno) &&
	       !has_outer_join((Node *)query->jointree);
}

/* The column a comparison is with, as the subquery has it; NULL: not of that kind. */
static Node *compared_column(const Query *subquery, Node *test)
{
	OpExpr *op = (OpExpr *)test;
	Node *parameter;

	if (!IsA(test, OpExpr) || list_length(op->args) != 2 || !op_strict(op->opno) ||
	    !op_hashjoinable(op->opno, exprType(linitial(op->args))))
		return NULL;
	parameter = lsecond(op->args);
	while (IsA(parameter, RelabelType))
		parameter = (Node *)((RelabelType *)parameter)->arg;
	if (!IsA(parameter, Param) || ((Param *)parameter)->paramkind != PARAM_SUBLINK)
		return NULL;
	return (Node *)list_nth_node(TargetEntry, subquery->targetList,
	                             ((Param *)parameter)->paramid - 1)
	        ->expr;
}

static bool column_never_null(const Query *subquery, Node *column)
{
	return subquery->setOperations == NULL && never_null(subquery, column);
}

static bool all_never_null(const Query *query, const Query *subquery, Node *test)
{
	Node *column;
	ListCell *lc;

	if (is_andclause(test)) {
		foreach (lc, ((BoolExpr *)test)->args)
			if (!all_never_null(query, subquery, lfirst(lc)))
				return false;
		return true;
	}
	column = compared_column(subquery, test);
	return column != NULL && never_null(query, linitial(((OpExpr *)test)->args)) &&
	       column_never_null(subquery, column);
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

/* EXISTS (SELECT true FROM (subquery) WHERE test), in which test sees the columns of the
 * subquery where it has parameters for them. */
static Node *exists(const SubLink *any, Node *test)
{
	Query *exists = makeNode(Query);
	Query *subquery = copyObject((Query *)any->subselect);
	RangeTblRef *ref = makeNode(RangeTblRef);
	SubLink *sublink = makeNode(SubLink);

	IncrementVarSublevelsUp((Node *)subquery, 1, 1);
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
	return (Node *)sublink;
}

static Node *not_exists(const SubLink *any, Node *test)
{
	return (Node *)make_notclause((Expr *)exists(any, test));
}

static Node *anti_join(const SubLink *any)
{
	Node *test = copyObject(any->testexpr);

	IncrementVarSublevelsUp(test, 1, 0);
	return not_exists(any, test);
}

static Node *null_test(Node *arg, NullTestType type)
{
	NullTest *test = makeNode(NullTest);

	test->arg = (Expr *)copyObject(arg);
	test->nulltesttype = type;
	test->location = -1;
	return (Node *)test;
}

/* What more must be true where there may be NULLs. In one clause that is about a row:
 * core shows the joins of a query with a condition that is not to no extension. */
static Node *null_rule(const Query *query, const SubLink *any)
{
	const OpExpr *op = (const OpExpr *)any->testexpr;
	const Query *subquery = (const Query *)any->subselect;
	Node *rule = null_test(linitial(op->args), IS_NOT_NULL);

	if (!column_never_null(subquery, compared_column(subquery, any->testexpr)))
		rule = (Node *)make_andclause(
		        list_make2(rule, not_exists(any, null_test(lsecond(op->args), IS_NULL))));
	return (Node *)make_orclause(list_make2(rule, not_exists(any, NULL)));
}

/* Whether it can be asked three questions instead of one. */
static bool may_be_repeated(const SubLink *any)
{
	return compared_column((Query *)any->subselect, any->testexpr) != NULL &&
	       !mpp_refers_outside(any->subselect) && !mpp_may_vary(any->subselect) &&
	       !contain_volatile_functions(any->subselect) &&
	       !contain_volatile_functions(linitial(((OpExpr *)any->testexpr)->args)) &&
	       !checkExprHasSubLink(linitial(((OpExpr *)any->testexpr)->args));
}

/* Clauses to stand for this one. */
static List *rewrite_clause(const Query *query, Node *clause)
{
	SubLink *sublink;

	if (!is_notclause(clause))
		return list_make1(clause);
	sublink = (SubLink *)get_notclausearg((Expr *)clause);
	if (!IsA(sublink, SubLink) || sublink->subLinkType != ANY_SUBLINK)
		return list_make1(clause);
	if (all_never_null(query, (Query *)sublink->subselect, sublink->testexpr))
		return list_make1(anti_join(sublink));
	if (!may_be_repeated(sublink))
		return list_make1(clause);
	return list_make2(anti_join(sublink), null_rule(query, sublink));
}

void mpp_rewrite_not_in(Query *query)
{
	List *quals = NIL;
	ListCell *lc;

	if (!query->hasSubLinks || query->jointree == NULL || query->jointree->quals == NULL ||
	    query->setOperations != NULL)
		return;
	foreach (lc, make_ands_implicit((Expr *)query->jointree->quals))
		quals = list_concat(quals, rewrite_clause(query, lfirst(lc)));
	query->jointree->quals = (Node *)make_ands_explicit(quals);
}
