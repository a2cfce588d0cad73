/* SPDX-License-Identifier: Apache-2.0 */
/*
 * last_pass.c - what remains to be done to a finished plan. Motions are numbered,
 * what a slice may not hold is moved out of it or taken away, and a plan that would
 * read or write a distributed table in the wrong place is refused: better an error
 * than a wrong answer.
 */
#include "executor/plan/plan.h"

#include <access/sysattr.h>
#include <catalog/pg_type.h>
#include <nodes/makefuncs.h>
#include <nodes/nodeFuncs.h>
#include <parser/parsetree.h>
#include <utils/lsyscache.h>

#include "executor/catalog/distribution.h"
#include "executor/catalog/node.h"
#include "executor/plan/planner.h"

typedef struct LastPass {
	PlannedStmt *stmt;
	int motion_count;
	Bitmapset *init_plans; /* plan ids */
	bool initial;          /* only collects init_plans */
} LastPass;

/* Where a node runs. */
typedef struct Place {
	bool on_segments;
	bool rescan;    /* it may be run again within its slice */
	Plan *gather;   /* below a Motion: the topmost one, on the coordinator */
	Plan *receiver; /* the Motion directly above this slice */
} Place;

static void visit(LastPass *pass, Plan *plan, Place place);

static void visit_list(LastPass *pass, List *plans, Place place)
{
	ListCell *lc;

	foreach (lc, plans)
		visit(pass, lfirst(lc), place);
}

/* ---- rows in the right place ---- */

static bool is_distributed(const LastPass *pass, Index rti)
{
	const RangeTblEntry *rte = rt_fetch(rti, pass->stmt->rtable);

	return rte->rtekind == RTE_RELATION && mpp_distribution_get(rte->relid) != NULL;
}

static void refuse_place(const LastPass *pass, Index rti, const Place *place)
{
	const RangeTblEntry *rte = rt_fetch(rti, pass->stmt->rtable);

	if (is_distributed(pass, rti) == place->on_segments)
		return;
	ereport(ERROR,
	        (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
	         errmsg("cannot plan access to table \"%s\" in this statement",
	                get_rel_name(rte->relid)),
	         place->on_segments ? errdetail("The table is of the coordinator, and would be "
	                                        "accessed on segments.")
	                            : errdetail("The table is distributed, and would be accessed "
	                                        "on the coordinator.")));
}

static Index scanned_relation(const Plan *plan)
{
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
	case T_CustomScan:
		return ((const Scan *)plan)->scanrelid;
	default:
		return 0;
	}
}

static void check_place(const LastPass *pass, const Plan *plan, const Place *place)
{
	Index rti = scanned_relation(plan);
	ListCell *lc;

	if (rti != 0)
		refuse_place(pass, rti, place);
	if (IsA(plan, ModifyTable))
		foreach (lc, ((const ModifyTable *)plan)->resultRelations)
			refuse_place(pass, lfirst_int(lc), place);
	if (IsA(plan, LockRows))
		foreach (lc, ((const LockRows *)plan)->rowMarks) {
			const PlanRowMark *mark = lfirst(lc);

			if (mark->markType < ROW_MARK_REFERENCE)
				refuse_place(pass, mark->rti, place);
		}
	if (place->on_segments && (IsA(plan, CteScan) || IsA(plan, WorkTableScan) ||
	                           IsA(plan, RecursiveUnion) || IsA(plan, LockRows)))
		elog(ERROR, "a node of type %d is in a slice of segments", (int)nodeTag(plan));
}

/* ---- what a slice may not hold ---- */

static Node *tableoid_mutator(Node *node, void *ctx)
{
	const RangeTblEntry *rte = ctx;

	if (node == NULL)
		return NULL;
	if (IsA(node, Var) && ((Var *)node)->varattno == TableOidAttributeNumber &&
	    !IS_SPECIAL_VARNO(((Var *)node)->varno))
		return (Node *)makeConst(OIDOID, -1, InvalidOid, sizeof(Oid),
		                         ObjectIdGetDatum(rte->relid), false, true);
	return expression_tree_mutator(node, tableoid_mutator, ctx);
}

/* The coordinator's OID of a table is the one that users see. */
static void name_tables_here(LastPass *pass, Plan *plan)
{
	Index rti = scanned_relation(plan);

	if (rti == 0 || IsA(plan, BitmapIndexScan))
		return;
	RangeTblEntry *rte = rt_fetch(rti, pass->stmt->rtable);

	plan->targetlist = (List *)tableoid_mutator((Node *)plan->targetlist, rte);
	plan->qual = (List *)tableoid_mutator((Node *)plan->qual, rte);
}

/* Each is evaluated once, before slices are sent; they get the value. To core it was a
 * matter of this node, and the nodes above did not depend on it; now the slice does. */
static void move_init_plans(Plan *plan, const Place *place)
{
	Plan *top = linitial(castNode(CustomScan, place->receiver)->custom_plans);
	ListCell *lc;
	ListCell *lp;

	foreach (lc, plan->initPlan)
		foreach (lp, lfirst_node(SubPlan, lc)->setParam)
			top->allParam = bms_add_member(top->allParam, lfirst_int(lp));
	place->gather->initPlan = list_concat(place->gather->initPlan, plan->initPlan);
	plan->initPlan = NIL;
}

static void prepare_for_segments(LastPass *pass, Plan *plan)
{
	/* Names partitions by OID; what it would save is a scan that finds nothing. */
	if (IsA(plan, Append))
		((Append *)plan)->part_prune_info = NULL;
	if (IsA(plan, MergeAppend))
		((MergeAppend *)plan)->part_prune_info = NULL;
	/* Statistics of the outer side, of a table that may be the coordinator's alone. */
	if (IsA(plan, Hash) && OidIsValid(((Hash *)plan)->skewTable) &&
	    mpp_distribution_get(((Hash *)plan)->skewTable) == NULL)
		((Hash *)plan)->skewTable = InvalidOid;
	name_tables_here(pass, plan);
}

/* ---- Motions ---- */

static void visit_motion(LastPass *pass, CustomScan *scan, Place place)
{
	Place below = {0};
	MppMotion motion;

	mpp_motion_decode(scan, &motion);
	below.on_segments = linitial_int(motion.senders) != MPP_COORDINATOR;
	below.gather = place.gather != NULL ? place.gather : &scan->scan.plan;
	below.receiver = &scan->scan.plan;
	if (!pass->initial) {
		motion.number = ++pass->motion_count;
		motion.rescan = place.rescan;
		mpp_motion_encode(scan, &motion);
		mpp_motion_resolve_columns(scan);
	}
	visit_list(pass, scan->custom_plans, below);
}

static void visit_children(LastPass *pass, Plan *plan, Place place)
{
	Place inner = place;

	switch (nodeTag(plan)) {
	case T_Append:
		visit_list(pass, ((Append *)plan)->appendplans, place);
		break;
	case T_MergeAppend:
		visit_list(pass, ((MergeAppend *)plan)->mergeplans, place);
		break;
	case T_BitmapAnd:
		visit_list(pass, ((BitmapAnd *)plan)->bitmapplans, place);
		break;
	case T_BitmapOr:
		visit_list(pass, ((BitmapOr *)plan)->bitmapplans, place);
		break;
	case T_SubqueryScan:
		visit(pass, ((SubqueryScan *)plan)->subplan, place);
		break;
	case T_CustomScan:
		visit_list(pass, ((CustomScan *)plan)->custom_plans, place);
		break;
	case T_NestLoop:
	case T_RecursiveUnion:
		inner.rescan = true;
		break;
	default:
		break;
	}
	visit(pass, plan->lefttree, place);
	visit(pass, plan->righttree, inner);
}

static void visit(LastPass *pass, Plan *plan, Place place)
{
	ListCell *lc;

	if (plan == NULL)
		return;
	foreach (lc, plan->initPlan)
		pass->init_plans =
		        bms_add_member(pass->init_plans, lfirst_node(SubPlan, lc)->plan_id);
	if (!pass->initial) {
		check_place(pass, plan, &place);
		if (place.gather != NULL)
			move_init_plans(plan, &place);
		if (place.on_segments)
			prepare_for_segments(pass, plan);
	}
	if (mpp_is_motion(plan))
		visit_motion(pass, (CustomScan *)plan, place);
	else
		visit_children(pass, plan, place);
}

static void visit_all(LastPass *pass)
{
	Place top = {0};
	ListCell *lc;
	int plan_id = 0;

	visit(pass, pass->stmt->planTree, top);
	foreach (lc, pass->stmt->subplans) {
		plan_id++;
		top.rescan = !bms_is_member(plan_id, pass->init_plans);
		visit(pass, lfirst(lc), top);
	}
}

/* Core has named the top node's columns as it would the rows to be inserted. */
static void name_returned_columns(List *tlist, const List *returning)
{
	ListCell *lt;
	ListCell *lr;

	forboth (lt, tlist, lr, returning) {
		TargetEntry *tle = lfirst_node(TargetEntry, lt);
		const TargetEntry *source = lfirst_node(TargetEntry, lr);

		tle->resname = source->resname;
		tle->ressortgroupref = source->ressortgroupref;
		tle->resorigtbl = source->resorigtbl;
		tle->resorigcol = source->resorigcol;
		tle->resjunk = source->resjunk;
	}
}

void mpp_last_pass(PlannedStmt *stmt, List *returning)
{
	LastPass pass = {.stmt = stmt, .initial = true};

	visit_all(&pass);
	pass.initial = false;
	visit_all(&pass);
	if (returning != NIL)
		name_returned_columns(stmt->planTree->targetlist, returning);
}

/* ---- */

static bool any_motion(Plan *plan);

static bool any_motion_in(List *plans)
{
	ListCell *lc;

	foreach (lc, plans)
		if (any_motion(lfirst(lc)))
			return true;
	return false;
}

static bool any_motion(Plan *plan)
{
	if (plan == NULL)
		return false;
	if (mpp_is_motion(plan))
		return true;
	switch (nodeTag(plan)) {
	case T_Append:
		return any_motion_in(((Append *)plan)->appendplans);
	case T_MergeAppend:
		return any_motion_in(((MergeAppend *)plan)->mergeplans);
	case T_SubqueryScan:
		return any_motion(((SubqueryScan *)plan)->subplan);
	case T_CustomScan:
		return any_motion_in(((CustomScan *)plan)->custom_plans);
	default:
		return any_motion(plan->lefttree) || any_motion(plan->righttree);
	}
}

bool mpp_plan_is_distributed(const PlannedStmt *plan)
{
	return any_motion(plan->planTree) || any_motion_in(plan->subplans);
}
