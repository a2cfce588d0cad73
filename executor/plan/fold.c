/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fold.c - expressions like now() or current_user that say the same for each row of a
 * statement, but not on each server: as an uncorrelated subquery, (SELECT now()), they
 * are evaluated once, on the coordinator, and slices get the value.
 */
#include "executor/plan/rewrite.h"

#include <catalog/pg_type.h>
#include <nodes/makefuncs.h>
#include <nodes/nodeFuncs.h>
#include <optimizer/optimizer.h>
#include <utils/lsyscache.h>

#include "executor/plan/plan.h"

/* Bound to a row, or to the expression around. */
static bool is_bound(Node *node, void *ctx)
{
	if (node == NULL)
		return false;
	switch (nodeTag(node)) {
	case T_Var:
	case T_Aggref:
	case T_GroupingFunc:
	case T_WindowFunc:
	case T_SubLink:
	case T_CaseTestExpr:
	case T_CoerceToDomainValue:
	case T_SetToDefault:
	case T_CurrentOfExpr:
	case T_NextValueExpr:
	case T_Query:
		return true;
	default:
		return expression_tree_walker(node, is_bound, ctx);
	}
}

static bool foldable(Node *node)
{
	switch (nodeTag(node)) {
	case T_FuncExpr:
	case T_OpExpr:
	case T_SQLValueFunction:
	case T_CoerceViaIO:
		break;
	default:
		return false;
	}
	return !is_bound(node, NULL) && !expression_returns_set(node) &&
	       !contain_volatile_functions(node) && !mpp_shippable(NULL, node) &&
	       get_typtype(exprType(node)) != TYPTYPE_PSEUDO;
}

static Node *as_subquery(Node *expr)
{
	Query *query = makeNode(Query);
	SubLink *sublink = makeNode(SubLink);

	query->commandType = CMD_SELECT;
	query->canSetTag = true;
	query->jointree = makeFromExpr(NIL, NULL);
	query->targetList = list_make1(makeTargetEntry((Expr *)expr, 1, pstrdup("value"), false));
	sublink->subLinkType = EXPR_SUBLINK;
	sublink->subselect = (Node *)query;
	sublink->location = -1;
	return (Node *)sublink;
}

static Node *fold_mutator(Node *node, void *ctx)
{
	if (node == NULL)
		return NULL;
	if (IsA(node, Query) || IsA(node, SubLink))
		return node; /* had its turn */
	if (foldable(node)) {
		*(bool *)ctx = true;
		return as_subquery(node);
	}
	return expression_tree_mutator(node, fold_mutator, ctx);
}

void mpp_fold_stable(Query *query)
{
	bool folded = false;

	if (query->jointree == NULL || query->jointree->fromlist == NIL)
		return;
	query->targetList = (List *)fold_mutator((Node *)query->targetList, &folded);
	query->jointree = (FromExpr *)fold_mutator((Node *)query->jointree, &folded);
	query->havingQual = fold_mutator(query->havingQual, &folded);
	query->hasSubLinks |= folded;
}
