/* SPDX-License-Identifier: Apache-2.0 */
/*
 * setop.c - set operations in terms of what can be distributed. Core plans the arms of
 * a set operation apart and brings them together in one place; UNION ALL alone becomes
 * an append relation, which can be anywhere. So
 *
 *   a UNION b      SELECT DISTINCT * FROM (a UNION ALL b)
 *   a INTERSECT b  SELECT * FROM (a, 0 UNION ALL b, 1) GROUP BY * HAVING both
 *   a EXCEPT b     the same, HAVING only 0
 *
 * Groups take NULLs as equal, as set operations do. INTERSECT ALL and EXCEPT ALL count
 * the rows of each arm in a group, and make as many of it as are left:
 *
 *   SELECT *, generate_series(1, n) FROM (SELECT *, ... AS n FROM ... GROUP BY *)
 */
#include "executor/plan/rewrite.h"

#include <catalog/pg_aggregate.h>
#include <catalog/pg_operator.h>
#include <catalog/pg_type.h>
#include <nodes/makefuncs.h>
#include <nodes/nodeFuncs.h>
#include <parser/parse_coerce.h>
#include <parser/parsetree.h>
#include <rewrite/rewriteManip.h>
#include <utils/fmgroids.h>

/* ---- small queries ---- */

static Query *empty_query(void)
{
	Query *query = makeNode(Query);

	query->commandType = CMD_SELECT;
	query->canSetTag = true;
	query->jointree = makeFromExpr(NIL, NULL);
	return query;
}

static Index add_subquery(Query *query, Query *subquery)
{
	query->rtable = lappend(query->rtable, mpp_make_subquery_rte(subquery));
	return list_length(query->rtable);
}

static Index add_from(Query *query, Query *subquery)
{
	RangeTblRef *ref = makeNode(RangeTblRef);

	ref->rtindex = add_subquery(query, subquery);
	query->jointree->fromlist = lappend(query->jointree->fromlist, ref);
	return ref->rtindex;
}

static void add_column(Query *query, Expr *expr, const char *name)
{
	query->targetList =
	        lappend(query->targetList, makeTargetEntry(expr, list_length(query->targetList) + 1,
	                                                   name ? pstrdup(name) : NULL, false));
}

/* All columns of one of its subqueries, but the last `without`. */
static void add_columns_of(Query *query, Index rti, int without)
{
	Query *subquery = rt_fetch(rti, query->rtable)->subquery;
	int count = 0;
	ListCell *lc;

	foreach (lc, subquery->targetList)
		count += lfirst_node(TargetEntry, lc)->resjunk ? 0 : 1;
	foreach (lc, subquery->targetList) {
		TargetEntry *tle = lfirst_node(TargetEntry, lc);

		if (!tle->resjunk && tle->resno <= count - without)
			add_column(query, (Expr *)makeVarFromTargetEntry(rti, tle), tle->resname);
	}
}

/* ---- arms ---- */

/* A set operation's collation is decided over all its arms, its types too. */
static bool same_columns(const Query *arm, const SetOperationStmt *op)
{
	ListCell *lc;
	ListCell *lt = list_head(op->colTypes);
	ListCell *lm = list_head(op->colTypmods);
	ListCell *lo = list_head(op->colCollations);

	foreach (lc, arm->targetList) {
		const TargetEntry *tle = lfirst_node(TargetEntry, lc);

		if (tle->resjunk)
			continue;
		if (exprType((Node *)tle->expr) != lfirst_oid(lt) ||
		    exprTypmod((Node *)tle->expr) != lfirst_int(lm) ||
		    exprCollation((Node *)tle->expr) != lfirst_oid(lo))
			return false;
		lt = lnext(op->colTypes, lt);
		lm = lnext(op->colTypmods, lm);
		lo = lnext(op->colCollations, lo);
	}
	return true;
}

static Expr *with_type(Expr *expr, Oid type, int32 typmod, Oid collation)
{
	Node *node = (Node *)expr;

	if (exprType(node) != type)
		node = coerce_to_common_type(NULL, node, type, "UNION/INTERSECT/EXCEPT");
	return (Expr *)applyRelabelType(node, type, typmod, collation, COERCE_IMPLICIT_CAST, -1,
	                                false);
}

/* The arm with the operation's column types; flag, when not negative, is one more column. */
static Query *fit_arm(Query *arm, const SetOperationStmt *op, int flag)
{
	Query *query;
	Index rti;
	ListCell *lc;
	int i = 0;

	if (flag < 0 && same_columns(arm, op))
		return arm;
	query = empty_query();
	IncrementVarSublevelsUp((Node *)arm, 1, 1);
	rti = add_from(query, arm);
	add_columns_of(query, rti, 0);
	foreach (lc, query->targetList) {
		TargetEntry *tle = lfirst_node(TargetEntry, lc);

		tle->expr = with_type(tle->expr, list_nth_oid(op->colTypes, i),
		                      list_nth_int(op->colTypmods, i),
		                      list_nth_oid(op->colCollations, i));
		i++;
	}
	if (flag >= 0)
		add_column(query,
		           (Expr *)makeConst(INT4OID, -1, InvalidOid, sizeof(int32),
		                             Int32GetDatum(flag), false, true),
		           "arm");
	return query;
}

/* ---- operations ---- */

static Query *union_all(Query *left, Query *right, const SetOperationStmt *op, bool flagged)
{
	Query *query = empty_query();
	SetOperationStmt *all = makeNode(SetOperationStmt);
	RangeTblRef *larg = makeNode(RangeTblRef);
	RangeTblRef *rarg = makeNode(RangeTblRef);

	IncrementVarSublevelsUp((Node *)left, 1, 1);
	IncrementVarSublevelsUp((Node *)right, 1, 1);
	larg->rtindex = add_subquery(query, fit_arm(left, op, flagged ? 0 : -1));
	rarg->rtindex = add_subquery(query, fit_arm(right, op, flagged ? 1 : -1));
	rt_fetch(1, query->rtable)->inFromCl = false;
	rt_fetch(2, query->rtable)->inFromCl = false;
	add_columns_of(query, 1, 0);
	*all = *op;
	all->op = SETOP_UNION;
	all->all = true;
	all->larg = (Node *)larg;
	all->rarg = (Node *)rarg;
	all->groupClauses = NIL;
	if (flagged) {
		all->colTypes = lappend_oid(list_copy(op->colTypes), INT4OID);
		all->colTypmods = lappend_int(list_copy(op->colTypmods), -1);
		all->colCollations = lappend_oid(list_copy(op->colCollations), InvalidOid);
	}
	query->setOperations = (Node *)all;
	return query;
}

/* Clauses over the first columns of query, as the operation compares rows. */
static List *group_all(Query *query, const SetOperationStmt *op)
{
	List *clauses = NIL;
	ListCell *lc;
	int i = 0;

	foreach (lc, op->groupClauses) {
		SortGroupClause *clause = copyObject(lfirst_node(SortGroupClause, lc));
		TargetEntry *tle = list_nth_node(TargetEntry, query->targetList, i++);

		tle->ressortgroupref = i;
		clause->tleSortGroupRef = i;
		clauses = lappend(clauses, clause);
	}
	return clauses;
}

/* SELECT from it all columns, but the last `without`. */
static Query *around(Query *query, int without, Index *ret_rti)
{
	Query *outer = empty_query();

	IncrementVarSublevelsUp((Node *)query, 1, 1);
	*ret_rti = add_from(outer, query);
	add_columns_of(outer, *ret_rti, without);
	return outer;
}

static Query *distinct_of(Query *left, Query *right, const SetOperationStmt *op)
{
	Index rti;
	Query *query = around(union_all(left, right, op, false), 0, &rti);

	query->distinctClause = group_all(query, op);
	return query;
}

/* Over all rows when flag is NULL. */
static Aggref *aggregate(Oid aggfnoid, Oid type, Var *flag)
{
	Aggref *aggref = makeNode(Aggref);

	aggref->aggfnoid = aggfnoid;
	aggref->aggtype = type;
	aggref->aggstar = flag == NULL;
	if (flag != NULL) {
		aggref->aggargtypes = list_make1_oid(INT4OID);
		aggref->args =
		        list_make1(makeTargetEntry((Expr *)copyObject(flag), 1, NULL, false));
	}
	aggref->aggkind = AGGKIND_NORMAL;
	aggref->aggsplit = AGGSPLIT_SIMPLE;
	aggref->aggno = -1;
	aggref->aggtransno = -1;
	aggref->location = -1;
	return aggref;
}

static Node *flag_is(Oid aggfnoid, Var *flag, int value)
{
	return (Node *)make_opclause(Int4EqualOperator, BOOLOID, false,
	                             (Expr *)aggregate(aggfnoid, INT4OID, flag),
	                             (Expr *)makeConst(INT4OID, -1, InvalidOid, sizeof(int32),
	                                               Int32GetDatum(value), false, true),
	                             InvalidOid, InvalidOid);
}

/* The rows of both arms in groups; ret_flag tells the arm of a row. */
static Query *grouped(Query *left, Query *right, const SetOperationStmt *op, Var **ret_flag)
{
	Query *all = union_all(left, right, op, true);
	Index rti;
	Query *query = around(all, 1, &rti);

	*ret_flag = makeVarFromTargetEntry(rti, llast_node(TargetEntry, all->targetList));
	query->groupClause = group_all(query, op);
	query->hasAggs = true;
	return query;
}

static Query *groups_of(Query *left, Query *right, const SetOperationStmt *op)
{
	Var *column;
	Query *query = grouped(left, right, op, &column);

	/* The left arm's rows have 0, the right one's 1. */
	query->havingQual =
	        (Node *)list_make2(flag_is(F_MIN_INT4, column, 0),
	                           flag_is(F_MAX_INT4, column, op->op == SETOP_INTERSECT ? 1 : 0));
	query->havingQual = (Node *)make_ands_explicit((List *)query->havingQual);
	return query;
}

static Expr *call(Oid function, Expr *left, Expr *right, bool returns_set)
{
	FuncExpr *expr = makeFuncExpr(function, INT8OID, list_make2(left, right), InvalidOid,
	                              InvalidOid, COERCE_EXPLICIT_CALL);

	expr->funcretset = returns_set;
	return (Expr *)expr;
}

/* How many rows of a group are in the result; not more than 0: none. */
static Expr *copies(const SetOperationStmt *op, Var *flag)
{
	Expr *all = (Expr *)aggregate(F_COUNT_, INT8OID, NULL);
	Expr *right = (Expr *)aggregate(F_SUM_INT4, INT8OID, flag);
	Expr *left = call(F_INT8MI, all, right, false);
	MinMaxExpr *least = makeNode(MinMaxExpr);

	if (op->op == SETOP_EXCEPT)
		return call(F_INT8MI, left, copyObject(right), false);
	least->minmaxtype = INT8OID;
	least->op = IS_LEAST;
	least->args = list_make2(left, copyObject(right));
	least->location = -1;
	return (Expr *)least;
}

static Query *copies_of(Query *left, Query *right, const SetOperationStmt *op)
{
	Var *flag;
	Query *query = grouped(left, right, op, &flag);
	TargetEntry *number;
	Index rti;

	add_column(query, copies(op, flag), "n");
	number = llast_node(TargetEntry, query->targetList);
	query = around(query, 1, &rti);
	add_column(query,
	           call(F_GENERATE_SERIES_INT8_INT8,
	                (Expr *)makeConst(INT8OID, -1, InvalidOid, sizeof(int64), Int64GetDatum(1),
	                                  false, FLOAT8PASSBYVAL),
	                (Expr *)makeVarFromTargetEntry(rti, number), true),
	           "copy");
	query->hasTargetSRFs = true;
	return around(query, 1, &rti);
}

/* As core knows it, for what is not rewritten. */
static Query *as_before(Query *left, Query *right, const SetOperationStmt *op)
{
	Query *query = union_all(left, right, op, false);
	SetOperationStmt *same = (SetOperationStmt *)query->setOperations;

	same->op = op->op;
	same->all = op->all;
	same->groupClauses = op->groupClauses;
	return query;
}

static bool can_group(const SetOperationStmt *op)
{
	ListCell *lc;

	foreach (lc, op->groupClauses)
		if (!OidIsValid(lfirst_node(SortGroupClause, lc)->eqop))
			return false;
	return op->groupClauses != NIL;
}

/* A query for this part of the tree, as a child of the one the tree is of. */
static Query *build(const Query *query, Node *part)
{
	const SetOperationStmt *op;
	Query *left;
	Query *right;

	if (IsA(part, RangeTblRef))
		return copyObject(
		        rt_fetch(((RangeTblRef *)part)->rtindex, query->rtable)->subquery);
	op = castNode(SetOperationStmt, part);
	left = build(query, op->larg);
	right = build(query, op->rarg);
	if (op->op == SETOP_UNION && op->all)
		return union_all(left, right, op, false);
	if (!can_group(op))
		return as_before(left, right, op);
	if (op->all)
		return copies_of(left, right, op);
	return op->op == SETOP_UNION ? distinct_of(left, right, op) : groups_of(left, right, op);
}

static bool all_unions_all(Node *part)
{
	SetOperationStmt *op = (SetOperationStmt *)part;

	if (IsA(part, RangeTblRef))
		return true;
	return op->op == SETOP_UNION && op->all && all_unions_all(op->larg) &&
	       all_unions_all(op->rarg);
}

void mpp_rewrite_setops(Query *query)
{
	Query *source;
	ListCell *lc;

	if (query->setOperations == NULL || query->rowMarks != NIL ||
	    query->commandType != CMD_SELECT || all_unions_all(query->setOperations))
		return;
	source = build(query, query->setOperations);
	query->rtable = NIL;
	query->setOperations = NULL;
	query->jointree = makeFromExpr(NIL, NULL);
	add_from(query, source);
	/* Columns are those of the leftmost arm; ORDER BY refers to them by position. */
	foreach (lc, query->targetList) {
		TargetEntry *tle = lfirst_node(TargetEntry, lc);
		TargetEntry *column =
		        list_nth_node(TargetEntry, source->targetList, tle->resno - 1);

		tle->expr = (Expr *)makeVarFromTargetEntry(1, column);
	}
}
