/* SPDX-License-Identifier: Apache-2.0 */
/*
 * router.c - the plan of a statement that lives on one segment: its SQL, with
 * parameters in place of what the QD has to evaluate (now(), nextval(), parameters
 * of the client) and of the values of the key, so that many statements share one
 * text, which the segment keeps prepared.
 */
#include <postgres.h>

#include <access/transam.h>
#include <access/xact.h>
#include <catalog/namespace.h>
#include <catalog/pg_proc.h>
#include <catalog/pg_type.h>
#include <miscadmin.h>
#include <nodes/makefuncs.h>
#include <nodes/nodeFuncs.h>
#include <optimizer/optimizer.h>
#include <optimizer/planmain.h>
#include <parser/parsetree.h>
#include <utils/lsyscache.h>
#include <utils/plancache.h>
#include <utils/ruleutils.h>

#include "executor/catalog/cluster.h"
#include "executor/catalog/node.h"
#include "executor/dispatch/router.h"
#include "executor/dispatch/router_exec.h"
#include "executor/dispatch/router_keys.h"

bool router_enabled = true;

typedef struct Texts {
	List *params; /* expressions of $1 ... */
	List *keys;   /* values of the distribution key */
	bool failed;  /* the segment could not know the type of a parameter */
} Texts;

/* ---- parameters ---- */

static Node *param_for(Texts *texts, Node *value)
{
	Param *param;
	int number = 0;
	ListCell *cell;

	foreach (cell, texts->params)
		if (equal(lfirst(cell), value))
			number = foreach_current_index(cell) + 1;
	if (number == 0) {
		texts->params = lappend(texts->params, value);
		number = list_length(texts->params);
	}
	param = makeNode(Param);
	param->paramkind = PARAM_EXTERN;
	param->paramid = number;
	param->paramtype = exprType(value);
	param->paramtypmod = exprTypmod(value);
	param->paramcollid = exprCollation(value);
	param->location = -1;
	return (Node *)param;
}

/* For the text of a SELECT the type must have the same OID on the segment. */
static Node *typed_param_for(Texts *texts, Node *value)
{
	Oid type = exprType(value);

	if (type >= FirstNormalObjectId || type == UNKNOWNOID ||
	    get_typtype(type) == TYPTYPE_PSEUDO)
		texts->failed = true;
	return param_for(texts, value);
}

/* A mutator also meets nodes that walkers do not know (CaseWhen). */
static bool is_stable_value(Node *node)
{
	switch (nodeTag(node)) {
	case T_FuncExpr:
	case T_OpExpr:
	case T_ScalarArrayOpExpr:
	case T_SQLValueFunction:
	case T_CoerceViaIO:
	case T_ArrayCoerceExpr:
	case T_MinMaxExpr:
		return contain_mutable_functions(node) && router_is_value(node) &&
		       !contain_volatile_functions(node) && !expression_returns_set(node);
	default:
		return false;
	}
}

/* key = constant: the constant becomes a parameter. */
static Node *replace_key(Node *node, Texts *texts)
{
	RelabelType *relabel;

	if (IsA(node, Const) && list_member(texts->keys, node))
		return typed_param_for(texts, node);
	if (!IsA(node, RelabelType) || !IsA(((RelabelType *)node)->arg, Const))
		return node;
	relabel = copyObject((RelabelType *)node);
	relabel->arg = (Expr *)replace_key((Node *)relabel->arg, texts);
	return (Node *)relabel;
}

static bool is_var(Node *node)
{
	while (IsA(node, RelabelType))
		node = (Node *)((RelabelType *)node)->arg;
	return IsA(node, Var);
}

static Node *replace(Node *node, void *context)
{
	Texts *texts = context;

	if (node == NULL)
		return NULL;
	if (IsA(node, Query))
		return (Node *)query_tree_mutator((Query *)node, replace, context, 0);
	if (IsA(node, Param) && ((Param *)node)->paramkind == PARAM_EXTERN)
		return typed_param_for(texts, node);
	if (is_stable_value(node))
		return typed_param_for(texts, node);
	if (IsA(node, OpExpr) && list_length(((OpExpr *)node)->args) == 2) {
		OpExpr *operator= copyObject((OpExpr *)node);

		if (is_var(linitial(operator->args)))
			lsecond(operator->args) = replace_key(lsecond(operator->args), texts);
		else if (is_var(lsecond(operator->args)))
			linitial(operator->args) = replace_key(linitial(operator->args), texts);
		/* New parameters must not be replaced again: they are no Params of the client. */
		if (!equal(operator, node))
			return (Node *)operator;
	}
	return expression_tree_mutator(node, replace, context);
}

/* ---- what may not be shipped ---- */

/* A function of a user may read tables, of which a segment has only its part. */
static bool function_reads_tables(Oid function, void *context)
{
	return function >= FirstNormalObjectId && func_volatile(function) != PROVOLATILE_IMMUTABLE;
}

static bool is_unsafe(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (check_functions_in_node(node, function_reads_tables, context))
		return true;
	if (IsA(node, RangeTblEntry)) {
		const RangeTblEntry *entry = (RangeTblEntry *)node;

		/* The segment checks the permissions of the user, not of a view's owner. */
		if (OidIsValid(entry->checkAsUser) && entry->checkAsUser != GetUserId())
			return true;
		return false; /* what is in it is walked on its own */
	}
	if (IsA(node, Query))
		return query_tree_walker((Query *)node, is_unsafe, context,
		                         QTW_EXAMINE_RTES_BEFORE);
	return expression_tree_walker(node, is_unsafe, context);
}

/* ---- the plan ---- */

static char *deparse(Query *query)
{
	OverrideSearchPath path = {.schemas = NIL, .addCatalog = true, .addTemp = false};
	char *sql;

	PushOverrideSearchPath(&path);
	sql = pg_get_querydef(query, false);
	PopOverrideSearchPath();
	return sql;
}

static bool collect_tables(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, RangeTblEntry)) {
		RangeTblEntry *entry = (RangeTblEntry *)node;
		List **tables = context;

		if (entry->rtekind == RTE_RELATION) {
			entry = copyObject(entry);
			entry->securityQuals = NIL;
			*tables = lappend(*tables, entry);
		}
		return false;
	}
	if (IsA(node, Query))
		return query_tree_walker((Query *)node, collect_tables, context,
		                         QTW_EXAMINE_RTES_BEFORE);
	return expression_tree_walker(node, collect_tables, context);
}

/* One entry per result column: what it is called, and of which type it is. */
static List *result_columns(const List *targets, bool for_scan)
{
	List *columns = NIL;
	ListCell *cell;

	foreach (cell, targets) {
		const TargetEntry *target = lfirst(cell);
		Node *expression = (Node *)target->expr;
		AttrNumber number = list_length(columns) + 1;
		Expr *column;

		if (target->resjunk)
			continue;
		if (for_scan)
			column = (Expr *)makeNullConst(exprType(expression), exprTypmod(expression),
			                               exprCollation(expression));
		else
			column = (Expr *)makeVar(INDEX_VAR, number, exprType(expression),
			                         exprTypmod(expression), exprCollation(expression),
			                         0);
		columns = lappend(columns,
		                  makeTargetEntry(column, number,
		                                  target->resname ? pstrdup(target->resname) : NULL,
		                                  false));
		((TargetEntry *)llast(columns))->resorigtbl = target->resorigtbl;
		((TargetEntry *)llast(columns))->resorigcol = target->resorigcol;
	}
	return columns;
}

static List *plan_expressions(const List *expressions)
{
	List *planned = NIL;
	ListCell *cell;

	foreach (cell, expressions)
		planned = lappend(planned, expression_planner(copyObject(lfirst(cell))));
	return planned;
}

/* Also in a subquery. */
static bool locks_rows(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, Query))
		return ((Query *)node)->rowMarks != NIL ||
		       query_tree_walker((Query *)node, locks_rows, context, 0);
	return expression_tree_walker(node, locks_rows, context);
}

static PlannedStmt *make_plan(const Query *query, const Texts *texts, const RouterKeys *keys,
                              const char *sql)
{
	PlannedStmt *plan = makeNode(PlannedStmt);
	CustomScan *scan = makeNode(CustomScan);
	bool is_insert = query->commandType == CMD_INSERT;
	const List *targets = is_insert ? query->returningList : query->targetList;
	bool has_row_security;

	scan->methods = &router_scan_methods;
	scan->flags = CUSTOMPATH_SUPPORT_BACKWARD_SCAN;
	scan->scan.plan.targetlist = result_columns(targets, false);
	scan->custom_scan_tlist = result_columns(targets, true);
	scan->custom_exprs =
	        list_concat(plan_expressions(texts->params), plan_expressions(keys->values));
	scan->custom_private = router_private_make(sql, keys, is_insert,
	                                           is_insert || locks_rows((Node *)query, NULL));
	scan->scan.plan.plan_rows = 1;
	scan->scan.plan.total_cost = 1;

	plan->commandType = query->commandType;
	plan->queryId = query->queryId;
	plan->hasReturning = query->returningList != NIL;
	plan->canSetTag = query->canSetTag;
	plan->planTree = (Plan *)scan;
	(void)collect_tables((Node *)query, &plan->rtable);
	extract_query_dependencies((Node *)query, &plan->relationOids, &plan->invalItems,
	                           &has_row_security);
	plan->dependsOnRole = true;
	plan->stmt_location = query->stmt_location;
	plan->stmt_len = query->stmt_len;
	return plan;
}

static PlannedStmt *route_select(const Query *original)
{
	Query *query = copyObject((Query *)original);
	Texts texts = {0};
	RouterKeys keys;

	if (!router_keys_find(query, &keys) || contain_volatile_functions((Node *)query))
		return NULL;
	/* A row lock on one copy of a replicated row protects nothing. */
	if (keys.any_replicated && locks_rows((Node *)query, NULL))
		return NULL;
	texts.keys = keys.values;
	query = (Query *)replace((Node *)query, &texts);
	if (texts.failed || is_unsafe((Node *)query, NULL))
		return NULL;
	return make_plan(original, &texts, &keys, deparse(query));
}

/* ---- INSERT of one row ---- */

static bool changes_key(const List *targets, const MppDistribution *distribution)
{
	ListCell *cell;

	foreach (cell, targets)
		for (int i = 0; i < distribution->key_count; i++)
			if (((TargetEntry *)lfirst(cell))->resno == distribution->keys[i])
				return true;
	return false;
}

static bool is_special(Node *node, void *context)
{
	if (node == NULL)
		return false;
	return router_is_special(node) || expression_tree_walker(node, is_special, context);
}

static bool is_one_row(const Query *query)
{
	ListCell *cell;

	if (query->jointree->fromlist != NIL || query->jointree->quals != NULL ||
	    query->hasSubLinks || query->cteList != NIL || query->withCheckOptions != NIL ||
	    query->hasRowSecurity)
		return false;
	foreach (cell, query->targetList)
		if (!router_is_value((Node *)((TargetEntry *)lfirst(cell))->expr))
			return false;
	return true;
}

/* An expression of RETURNING or ON CONFLICT. Sets failed when it cannot be sent. */
static Node *insert_clause(Node *clause, Texts *texts)
{
	if (is_special(clause, NULL) || contain_volatile_functions(clause)) {
		texts->failed = true;
		return clause;
	}
	clause = replace(clause, texts);
	texts->failed = texts->failed || is_unsafe(clause, NULL);
	return clause;
}

/* Every value of the row becomes a parameter. False: it cannot be sent. */
static bool insert_text(Query *query, Texts *texts)
{
	OnConflictExpr *conflict = query->onConflict;
	ListCell *cell;

	query->returningList = (List *)insert_clause((Node *)query->returningList, texts);
	if (conflict != NULL) {
		conflict->onConflictSet =
		        (List *)insert_clause((Node *)conflict->onConflictSet, texts);
		conflict->onConflictWhere = insert_clause(conflict->onConflictWhere, texts);
	}
	foreach (cell, query->targetList) {
		TargetEntry *target = lfirst(cell);

		target->expr = (Expr *)param_for(texts, (Node *)target->expr);
	}
	query->override = OVERRIDING_SYSTEM_VALUE; /* the values are decided */
	return !texts->failed;
}

static PlannedStmt *route_insert(const Query *original)
{
	Query *query = copyObject((Query *)original);
	const RangeTblEntry *entry = rt_fetch(query->resultRelation, query->rtable);
	const MppDistribution *distribution = mpp_distribution_get(entry->relid);
	Texts texts = {0};
	RouterKeys keys = {0};

	if (distribution == NULL || distribution->policy == MPP_POLICY_REPLICATED ||
	    !is_one_row(query) ||
	    (OidIsValid(entry->checkAsUser) && entry->checkAsUser != GetUserId()))
		return NULL;
	if (distribution->policy == MPP_POLICY_HASH &&
	    !router_keys_of_row(query, distribution, &keys))
		return NULL;
	/* With a random distribution no unique index can decide about a conflict. */
	if (query->onConflict != NULL &&
	    (!keys.any_hashed || changes_key(query->onConflict->onConflictSet, distribution)))
		return NULL;
	if (!insert_text(query, &texts))
		return NULL;
	return make_plan(original, &texts, &keys, deparse(query));
}

/* Rows come back as values; a row type without a name has no input. */
static bool has_readable_results(const Query *query)
{
	const List *targets =
	        query->commandType == CMD_SELECT ? query->targetList : query->returningList;
	ListCell *cell;

	foreach (cell, targets) {
		const TargetEntry *target = lfirst(cell);
		Oid type = exprType((Node *)target->expr);

		if (!target->resjunk &&
		    (get_typtype(type) == TYPTYPE_PSEUDO || type == RECORDARRAYOID))
			return false;
	}
	return true;
}

PlannedStmt *mpp_router_plan(const Query *query, const char *query_string, int cursor_options,
                             ParamListInfo params)
{
	if (!router_enabled || !has_readable_results(query))
		return NULL;
	if (query->commandType == CMD_SELECT)
		return query->rtable == NIL ? NULL : route_select(query);
	if (query->commandType == CMD_INSERT)
		return route_insert(query);
	return NULL;
}
