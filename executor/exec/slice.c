/* SPDX-License-Identifier: Apache-2.0 */
/*
 * slice.c - one walk over the plan finds the Motions, and which tables each
 * slice uses: the range table of a query over many partitions is mostly not for
 * one slice. Subplans are found in the text (MppTextRefs) and sent with the slice
 * that refers to them.
 */
#include "executor/exec/slice.h"

#include <libpq/pqformat.h>
#include <nodes/makefuncs.h>
#include <nodes/nodeFuncs.h>
#include <nodes/readfuncs.h>
#include <parser/parsetree.h>

/* ---- cutting --------------------------------------------------------------- */

typedef struct Cut {
	const PlannedStmt *statement;
	List *slices;
} Cut;

static void walk(Cut *cut, MppSlice *slice, Plan *plan);

static void walk_list(Cut *cut, MppSlice *slice, List *plans)
{
	ListCell *cell;

	foreach (cell, plans)
		walk(cut, slice, lfirst(cell));
}

static MppSlice *cut_slice(Cut *cut, CustomScan *scan)
{
	MppSlice *slice = palloc0(sizeof(*slice));

	mpp_motion_decode(scan, &slice->motion);
	slice->scan = scan;
	slice->plan = linitial(scan->custom_plans);
	slice->returns_rows = true;
	cut->slices = lappend(cut->slices, slice);
	/* What is below such a slice are trees of their own. */
	if (!slice->motion.made_first)
		walk(cut, slice, slice->plan);
	return slice;
}

static Bitmapset *add_all(Bitmapset *set, const List *numbers)
{
	ListCell *cell;

	foreach (cell, numbers)
		set = bms_add_member(set, lfirst_int(cell));
	return set;
}

static void walk_modify(MppSlice *slice, const ModifyTable *modify)
{
	slice->relations = add_all(slice->relations, modify->resultRelations);
	slice->relations = bms_add_member(slice->relations, (int)modify->nominalRelation);
	if (modify->rootRelation)
		slice->relations = bms_add_member(slice->relations, (int)modify->rootRelation);
	slice->writes = true;
	if (&modify->plan == slice->plan)
		slice->returns_rows = modify->returningLists != NIL;
}

static void walk(Cut *cut, MppSlice *slice, Plan *plan)
{
	if (!plan)
		return;
	if (mpp_is_motion(plan)) {
		slice->inbound = lappend(slice->inbound, plan);
		cut_slice(cut, (CustomScan *)plan);
		return;
	}
	switch (nodeTag(plan)) {
	case T_SeqScan:
	case T_SampleScan:
	case T_IndexScan:
	case T_IndexOnlyScan:
	case T_BitmapIndexScan:
	case T_BitmapHeapScan:
	case T_TidScan:
	case T_TidRangeScan:
	case T_ForeignScan:
	case T_FunctionScan:
	case T_TableFuncScan:
	case T_ValuesScan:
	case T_CteScan:
	case T_NamedTuplestoreScan:
	case T_WorkTableScan:
		slice->relations = bms_add_member(slice->relations, (int)((Scan *)plan)->scanrelid);
		break;
	case T_SubqueryScan:
		walk(cut, slice, ((SubqueryScan *)plan)->subplan);
		break;
	case T_CustomScan:
		walk_list(cut, slice, ((CustomScan *)plan)->custom_plans);
		break;
	case T_Append:
		slice->relations = bms_add_members(slice->relations, ((Append *)plan)->apprelids);
		walk_list(cut, slice, ((Append *)plan)->appendplans);
		break;
	case T_MergeAppend:
		slice->relations =
		        bms_add_members(slice->relations, ((MergeAppend *)plan)->apprelids);
		walk_list(cut, slice, ((MergeAppend *)plan)->mergeplans);
		break;
	case T_BitmapAnd:
		walk_list(cut, slice, ((BitmapAnd *)plan)->bitmapplans);
		break;
	case T_BitmapOr:
		walk_list(cut, slice, ((BitmapOr *)plan)->bitmapplans);
		break;
	case T_ModifyTable:
		walk_modify(slice, (ModifyTable *)plan);
		break;
	default:
		break;
	}
	walk(cut, slice, plan->lefttree);
	walk(cut, slice, plan->righttree);
}

List *mpp_slices_cut(const PlannedStmt *statement, CustomScan *motion)
{
	Cut cut = {.statement = statement};

	cut_slice(&cut, motion);
	return cut.slices;
}

/* ---- as a statement -------------------------------------------------------- */

/* The range table with what the slice does not use left empty. */
static List *prune_range_table(const List *table, const Bitmapset *used)
{
	List *pruned = NIL;
	ListCell *cell;
	int index = 0;

	foreach (cell, table) {
		RangeTblEntry *entry = lfirst_node(RangeTblEntry, cell);

		if (!bms_is_member(++index, used)) {
			entry = makeNode(RangeTblEntry);
			entry->rtekind = RTE_RESULT;
			entry->eref = makeAlias("", NIL);
		}
		pruned = lappend(pruned, entry);
	}
	return pruned;
}

static List *used_relations(const List *indexes, const Bitmapset *used)
{
	List *list = NIL;
	ListCell *cell;

	foreach (cell, indexes)
		if (bms_is_member(lfirst_int(cell), used))
			list = lappend_int(list, lfirst_int(cell));
	return list;
}

/* All of the statement but its plans. */
static PlannedStmt *make_shell(const PlannedStmt *statement, const MppSlice *slice)
{
	PlannedStmt *shell = makeNode(PlannedStmt);

	shell->commandType = slice->writes ? statement->commandType : CMD_SELECT;
	shell->hasReturning = slice->writes && slice->returns_rows;
	shell->canSetTag = statement->canSetTag;
	shell->jitFlags = statement->jitFlags;
	shell->resultRelations = used_relations(statement->resultRelations, slice->relations);
	shell->rewindPlanIDs = statement->rewindPlanIDs;
	shell->paramExecTypes = statement->paramExecTypes;
	shell->stmt_location = -1;
	shell->stmt_len = -1;
	return shell;
}

/* WITH queries that modify data are executed once, by the statement itself. */
static List *subplans_that_read(const List *subplans)
{
	List *reading = NIL;
	ListCell *cell;

	foreach (cell, subplans) {
		Plan *plan = lfirst(cell);

		reading = lappend(reading, plan && !IsA(plan, ModifyTable) ? plan : NULL);
	}
	return reading;
}

PlannedStmt *mpp_slice_statement(const PlannedStmt *statement, const MppSlice *slice)
{
	PlannedStmt *own = make_shell(statement, slice);

	own->planTree = slice->plan;
	own->rtable = statement->rtable;
	own->subplans = subplans_that_read(statement->subplans);
	return own;
}

/* ---- as text --------------------------------------------------------------- */

static void put_node(StringInfo out, const void *node, MppNames *names, MppTextRefs *refs)
{
	char *text = nodeToString(node);
	int length_at = out->len;
	uint32 length;

	pq_sendint32(out, 0);
	mpp_oid_text_write(out, text, names, refs);
	length = pg_hton32((uint32)(out->len - length_at - 4));
	memcpy(out->data + length_at, &length, sizeof(length));
	pfree(text);
}

/* Subplans referred to, and those that these refer to. */
static void put_subplans(StringInfo out, Cut *cut, MppSlice *slice, MppNames *names,
                         MppTextRefs *refs)
{
	int count_at = out->len, count = 0;
	Bitmapset *done = NULL;
	uint32 wire_count;

	pq_sendint32(out, 0);
	for (;;) {
		Bitmapset *left = bms_difference(refs->subplans, done);
		int id = bms_next_member(left, -1);
		Plan *plan;

		if (id < 0)
			break;
		done = bms_add_member(done, id);
		plan = list_nth(cut->statement->subplans, id - 1);
		walk(cut, slice, plan);
		pq_sendint32(out, (uint32)id);
		put_node(out, plan, names, refs);
		count++;
	}
	wire_count = pg_hton32((uint32)count);
	memcpy(out->data + count_at, &wire_count, sizeof(wire_count));
}

static void write_slice(StringInfo out, const PlannedStmt *statement, MppSlice *slice,
                        MppNames *names, MppTextRefs *refs)
{
	CustomScan motion = *slice->scan;
	Cut cut = {.statement = statement};
	MppTextRefs own = {0};
	PlannedStmt *shell;

	motion.custom_plans = NIL; /* the sender wants its rule, not its input */
	motion.custom_scan_tlist = NIL;
	motion.scan.plan.targetlist = NIL;
	motion.scan.plan.qual = NIL;
	motion.scan.plan.initPlan = NIL;
	put_node(out, &motion, names, &own);
	put_node(out, slice->plan, names, &own);
	put_subplans(out, &cut, slice, names, &own);
	if (cut.slices)
		elog(ERROR, "a subplan of slice %d receives rows of another slice",
		     slice->motion.number);
	shell = make_shell(statement, slice);
	shell->rtable = prune_range_table(statement->rtable, slice->relations);
	put_node(out, shell, names, &own);
	refs->exec_params =
	        bms_add_members(refs->exec_params, bms_difference(own.exec_params, own.set_params));
	refs->extern_params = bms_add_members(refs->extern_params, own.extern_params);
}

/* A receiver needs to know the types of its rows, not what they are made of, which may be
 * known to the sender alone. */
static void forget_input(CustomScan *motion)
{
	List *types = NIL;
	ListCell *cell;

	foreach (cell, motion->custom_scan_tlist) {
		const TargetEntry *entry = lfirst_node(TargetEntry, cell);
		Node *expr = (Node *)entry->expr;
		Const *null = makeNullConst(exprType(expr), exprTypmod(expr), exprCollation(expr));

		types = lappend(types,
		                makeTargetEntry((Expr *)null, entry->resno, entry->resname, false));
	}
	motion->custom_scan_tlist = types;
	motion->custom_plans = NIL;
}

void mpp_slice_write(StringInfo out, const PlannedStmt *statement, const MppSlice *slice,
                     MppNames *names, MppTextRefs *refs)
{
	List *whole = NIL;
	MppSlice mine = *slice;
	ListCell *cell, *other;

	mine.relations = bms_copy(slice->relations);
	/* The plan is shared: what is below its Motions is put back, come what may. */
	foreach (cell, slice->inbound) {
		CustomScan *copy = palloc(sizeof(*copy));

		*copy = *lfirst_node(CustomScan, cell);
		whole = lappend(whole, copy);
	}
	PG_TRY();
	{
		foreach (cell, slice->inbound)
			forget_input(lfirst_node(CustomScan, cell));
		write_slice(out, statement, &mine, names, refs);
	}
	PG_FINALLY();
	{
		forboth (cell, slice->inbound, other, whole)
			*lfirst_node(CustomScan, cell) = *lfirst_node(CustomScan, other);
	}
	PG_END_TRY();
}

static void *get_node(StringInfo in, const Oid *oids, int oid_count)
{
	int size = (int)pq_getmsgint(in, 4);
	char *text = mpp_oid_text_read(pq_getmsgbytes(in, size), size, oids, oid_count);
	void *node = stringToNode(text);

	pfree(text);
	return node;
}

static List *get_subplans(StringInfo in, const Oid *oids, int oid_count)
{
	int count = (int)pq_getmsgint(in, 4);
	List *plans = NIL;

	while (count-- > 0) {
		int id = (int)pq_getmsgint(in, 4);
		void *plan = get_node(in, oids, oid_count);

		while (list_length(plans) < id)
			plans = lappend(plans, NULL);
		lfirst(list_nth_cell(plans, id - 1)) = plan;
	}
	return plans;
}

PlannedStmt *mpp_slice_read(StringInfo in, const Oid *oids, int oid_count, CustomScan **ret_motion)
{
	PlannedStmt *statement;
	ListCell *cell;
	List *subplans;
	Plan *plan;

	*ret_motion = castNode(CustomScan, (Node *)get_node(in, oids, oid_count));
	plan = get_node(in, oids, oid_count);
	subplans = get_subplans(in, oids, oid_count);
	statement = castNode(PlannedStmt, (Node *)get_node(in, oids, oid_count));
	statement->planTree = plan;
	statement->subplans = subplans;
	/* Columns that are no result for the client are one for the next slice. */
	foreach (cell, plan->targetlist)
		lfirst_node(TargetEntry, cell)->resjunk = false;
	/* The coordinator has checked permissions, by its roles. */
	foreach (cell, statement->rtable) {
		lfirst_node(RangeTblEntry, cell)->requiredPerms = 0;
		lfirst_node(RangeTblEntry, cell)->checkAsUser = InvalidOid;
	}
	return statement;
}
