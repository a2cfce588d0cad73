/* SPDX-License-Identifier: Apache-2.0 */
/*
 * motion_path.c - Motions while paths are compared, and the plan node they become.
 * A path is a CustomPath with one child; its cost is the child's, and what it takes
 * to move the rows. In the plan node keys stand as expressions over the child.
 */
#include "executor/plan/plan.h"

#include <math.h>

#include <catalog/pg_type.h>
#include <nodes/makefuncs.h>
#include <nodes/nodeFuncs.h>
#include <optimizer/cost.h>
#include <optimizer/optimizer.h>
#include <optimizer/pathnode.h>
#include <optimizer/paths.h>
#include <optimizer/restrictinfo.h>
#include <optimizer/tlist.h>
#include <utils/lsyscache.h>

#include "executor/catalog/node.h"

typedef struct MotionPath {
	CustomPath custom;
	MppMotionKind kind;
	List *senders;
	List *receivers;
	List *keys;        /* hash key expressions */
	List *key_columns; /* or columns of the child's output, from 1 */
	List *collations;  /* to hash these columns by */
	List *upper_quals; /* bare clauses */
	List *returning;   /* over a ModifyTable: what the receiver puts out */
	bool combines;     /* over grouping sets: they combine partial results */
	bool made_first;
} MotionPath;

static Plan *plan_motion(PlannerInfo *root, RelOptInfo *rel, CustomPath *path, List *tlist,
                         List *clauses, List *custom_plans);

static const CustomPathMethods motion_path_methods = {
        .CustomName = MPP_MOTION_NAME,
        .PlanCustomPath = plan_motion,
};

/* Moving a row costs the sender to form it and the receiver to take it; wide rows more. */
static void cost_motion(MotionPath *motion, const Path *subpath, double rows)
{
	Path *path = &motion->custom.path;
	double moved = rows;
	double width_factor = 1.0 + Max(subpath->pathtarget->width, 0) / 256.0;
	double senders = Max(list_length(motion->senders), 1);
	double receivers = Max(list_length(motion->receivers), 1);
	Cost send;
	Cost receive;

	if (motion->kind == MPP_MOTION_BROADCAST)
		moved = rows * receivers;
	send = moved / senders * mpp_motion_tuple_cost * width_factor;
	receive = moved / receivers * mpp_motion_tuple_cost * width_factor;
	if (motion->kind == MPP_MOTION_ORDERED)
		receive += moved * cpu_operator_cost * 2.0 * log2(senders + 1.0);
	path->rows = clamp_row_est(moved / receivers);
	path->startup_cost = subpath->startup_cost + mpp_motion_setup_cost;
	path->total_cost = subpath->total_cost + mpp_motion_setup_cost + send + receive;
}

CustomPath *mpp_motion_path(RelOptInfo *rel, Path *subpath, MppMotionKind kind, List *senders,
                            List *receivers, double rows)
{
	MotionPath *motion = (MotionPath *)newNode(sizeof(MotionPath), T_CustomPath);
	Path *path = &motion->custom.path;

	path->pathtype = T_CustomScan;
	path->parent = rel;
	path->pathtarget = subpath->pathtarget;
	path->param_info = NULL;
	path->pathkeys = kind == MPP_MOTION_ORDERED ? subpath->pathkeys : NIL;
	motion->custom.flags = CUSTOMPATH_SUPPORT_PROJECTION;
	motion->custom.custom_paths = list_make1(subpath);
	motion->custom.methods = &motion_path_methods;
	motion->kind = kind;
	motion->senders = senders;
	motion->receivers = receivers;
	cost_motion(motion, subpath, rows);
	return &motion->custom;
}

void mpp_motion_path_keys(CustomPath *path, List *exprs)
{
	((MotionPath *)path)->keys = exprs;
}

void mpp_motion_path_key_columns(CustomPath *path, List *columns, List *collations)
{
	((MotionPath *)path)->collations = collations;
	((MotionPath *)path)->key_columns = columns;
}

void mpp_motion_path_upper_quals(PlannerInfo *root, CustomPath *path, List *clauses,
                                 PathTarget *target)
{
	QualCost cost;

	cost_qual_eval(&cost, clauses, root);
	path->path.startup_cost += cost.startup;
	path->path.total_cost += cost.startup + cost.per_tuple * path->path.rows;
	((MotionPath *)path)->upper_quals = clauses;
	path->path.pathtarget = target;
}

void mpp_motion_path_returning(CustomPath *path, List *tlist)
{
	((MotionPath *)path)->returning = tlist;
}

void mpp_motion_path_combines(CustomPath *path)
{
	((MotionPath *)path)->combines = true;
}

void mpp_motion_path_made_first(CustomPath *path)
{
	((MotionPath *)path)->made_first = true;
}

bool mpp_path_is_motion(const Path *path)
{
	return IsA(path, CustomPath) && ((const CustomPath *)path)->methods == &motion_path_methods;
}

static bool any_has_motion(List *paths)
{
	ListCell *lc;

	foreach (lc, paths)
		if (mpp_path_has_motion(lfirst(lc)))
			return true;
	return false;
}

/* Path kinds not known here hold Motions for all we can tell. */
bool mpp_path_has_motion(Path *path)
{
	switch (nodeTag(path)) {
	case T_Path:
	case T_IndexPath:
	case T_BitmapHeapPath:
		return false;
	case T_NestPath:
	case T_MergePath:
	case T_HashPath:
		return mpp_path_has_motion(((JoinPath *)path)->outerjoinpath) ||
		       mpp_path_has_motion(((JoinPath *)path)->innerjoinpath);
	case T_AppendPath:
		return any_has_motion(((AppendPath *)path)->subpaths);
	case T_MergeAppendPath:
		return any_has_motion(((MergeAppendPath *)path)->subpaths);
	case T_MaterialPath:
		return mpp_path_has_motion(((MaterialPath *)path)->subpath);
	case T_MemoizePath:
		return mpp_path_has_motion(((MemoizePath *)path)->subpath);
	case T_UniquePath:
		return mpp_path_has_motion(((UniquePath *)path)->subpath);
	case T_SubqueryScanPath:
		return mpp_path_has_motion(((SubqueryScanPath *)path)->subpath);
	case T_ProjectSetPath:
		return mpp_path_has_motion(((ProjectSetPath *)path)->subpath);
	case T_ProjectionPath:
		return mpp_path_has_motion(((ProjectionPath *)path)->subpath);
	case T_SortPath:
	case T_IncrementalSortPath:
		return mpp_path_has_motion(((SortPath *)path)->subpath);
	case T_AggPath:
		return mpp_path_has_motion(((AggPath *)path)->subpath);
	default:
		return true;
	}
}

Path *mpp_gather_path(PlannerInfo *root, RelOptInfo *rel, Path *subpath, const MppLocus *locus,
                      bool ordered)
{
	double rows = subpath->rows;
	List *senders = mpp_locus_senders(locus);
	MppMotionKind kind = ordered ? MPP_MOTION_ORDERED : MPP_MOTION_GATHER;

	if (mpp_locus_partitioned(locus))
		rows *= list_length(senders);
	else
		senders = list_make1_int(linitial_int(senders));
	if (list_length(senders) == 1)
		kind = MPP_MOTION_GATHER; /* one sender: the order is kept anyway */
	CustomPath *path =
	        mpp_motion_path(rel, subpath, kind, senders, list_make1_int(MPP_COORDINATOR), rows);

	if (ordered)
		path->path.pathkeys = subpath->pathkeys;
	return &path->path;
}

/* ---- the plan node ---- */

static TargetEntry *find_sort_column(PlannerInfo *root, List *tlist, EquivalenceClass *ec,
                                     Relids relids, EquivalenceMember **ret_member)
{
	ListCell *lc;

	if (ec->ec_has_volatile) {
		TargetEntry *tle = get_sortgroupref_tle(ec->ec_sortref, tlist);

		*ret_member = linitial(ec->ec_members);
		return tle;
	}
	foreach (lc, tlist) {
		TargetEntry *tle = lfirst_node(TargetEntry, lc);
		EquivalenceMember *em = find_ec_member_matching_expr(ec, tle->expr, relids);

		if (em != NULL) {
			*ret_member = em;
			return tle;
		}
	}
	elog(ERROR, "could not find a sort column of an ordered Motion");
}

static void encode_order(PlannerInfo *root, MppMotion *motion, List *pathkeys, List *tlist,
                         Relids relids)
{
	ListCell *lc;

	foreach (lc, pathkeys) {
		PathKey *pathkey = lfirst_node(PathKey, lc);
		EquivalenceMember *em = NULL;
		TargetEntry *tle = find_sort_column(root, tlist, pathkey->pk_eclass, relids, &em);
		Oid type = em->em_datatype;
		Oid op =
		        get_opfamily_member(pathkey->pk_opfamily, type, type, pathkey->pk_strategy);

		if (!OidIsValid(op))
			elog(ERROR, "missing operator %d(%u,%u) in opfamily %u",
			     pathkey->pk_strategy, type, type, pathkey->pk_opfamily);
		motion->sort_columns = lappend_int(motion->sort_columns, tle->resno);
		motion->sort_operators = lappend_oid(motion->sort_operators, op);
		motion->sort_collations =
		        lappend_oid(motion->sort_collations, pathkey->pk_eclass->ec_collation);
		motion->sort_nulls_first =
		        lappend_int(motion->sort_nulls_first, pathkey->pk_nulls_first ? 1 : 0);
	}
}

/* Constants and the like have no collation where none was asked for. */
static Oid hash_collation(Node *key)
{
	Oid collation = exprCollation(key);

	return OidIsValid(collation) ? collation : get_typcollation(exprType(key));
}

static void encode_hash(MppMotion *motion, List *keys)
{
	ListCell *lc;

	foreach (lc, keys) {
		Node *key = lfirst(lc);

		motion->hash_types = lappend_oid(motion->hash_types, getBaseType(exprType(key)));
		motion->hash_collations = lappend_oid(motion->hash_collations, hash_collation(key));
	}
}

/* What the child puts out: of a ModifyTable its RETURNING list, which setrefs.c makes
 * its target list only later. */
static List *child_output(const Plan *child)
{
	if (IsA(child, ModifyTable)) {
		const ModifyTable *modify = (const ModifyTable *)child;

		return modify->returningLists == NIL ? NIL : linitial(modify->returningLists);
	}
	return child->targetlist;
}

/* The slice's rows cross processes whole: nothing is junk there any more. */
static List *visible_copy(List *tlist)
{
	List *copy = copyObject(tlist);
	ListCell *lc;

	foreach (lc, copy)
		lfirst_node(TargetEntry, lc)->resjunk = false;
	return copy;
}

/* Columns stand as constants of a type no expression has, until setrefs.c, which would
 * take equal volatile expressions for one column, is through. */
static List *column_marks(List *columns)
{
	List *marks = NIL;
	ListCell *lc;

	foreach (lc, columns)
		marks = lappend(marks, makeConst(INTERNALOID, -1, InvalidOid, sizeof(Datum),
		                                 Int32GetDatum(lfirst_int(lc)), false, true));
	return marks;
}

void mpp_motion_resolve_columns(CustomScan *scan)
{
	ListCell *lc;

	foreach (lc, scan->custom_exprs) {
		const Const *mark = lfirst(lc);

		if (!IsA(mark, Const) || mark->consttype != INTERNALOID)
			continue;
		TargetEntry *tle = list_nth_node(TargetEntry, scan->custom_scan_tlist,
		                                 DatumGetInt32(mark->constvalue) - 1);

		lfirst(lc) = makeVarFromTargetEntry(INDEX_VAR, tle);
	}
}

/* Core has no path for grouping sets of partial results, but what executes them can. */
static void combine(Agg *agg)
{
	ListCell *lc;

	agg->aggsplit = AGGSPLIT_FINAL_DESERIAL;
	foreach (lc, agg->chain)
		lfirst_node(Agg, lc)->aggsplit = AGGSPLIT_FINAL_DESERIAL;
}

static Plan *plan_motion(PlannerInfo *root, RelOptInfo *rel, CustomPath *path, List *tlist,
                         List *clauses, List *custom_plans)
{
	const MotionPath *source = (const MotionPath *)path;
	Path *subpath = linitial(path->custom_paths);
	Plan *child = linitial(custom_plans);
	CustomScan *scan = makeNode(CustomScan);
	List *output = child_output(child);
	MppMotion motion = {.kind = source->kind,
	                    .senders = source->senders,
	                    .receivers = source->receivers,
	                    .made_first = source->made_first};
	List *keys = source->keys;
	ListCell *lc;

	foreach (lc, source->key_columns)
		keys = lappend(keys, list_nth_node(TargetEntry, output, lfirst_int(lc) - 1)->expr);
	if (source->combines)
		combine(castNode(Agg, child));
	if (motion.kind == MPP_MOTION_REDISTRIBUTE)
		encode_hash(&motion, keys);
	if (source->key_columns != NIL)
		motion.hash_collations = source->collations;
	if (motion.kind == MPP_MOTION_ORDERED)
		encode_order(root, &motion, path->path.pathkeys, output, subpath->parent->relids);
	scan->scan.plan.targetlist =
	        IsA(child, ModifyTable) ? (List *)copyObject(source->returning) : tlist;
	scan->scan.plan.qual = copyObject(source->upper_quals);
	scan->flags = path->flags;
	scan->custom_plans = custom_plans;
	scan->custom_scan_tlist = visible_copy(output);
	scan->custom_exprs =
	        source->key_columns == NIL ? copyObject(keys) : column_marks(source->key_columns);
	scan->methods = &mpp_motion_scan_methods;
	mpp_motion_encode(scan, &motion);
	return &scan->scan.plan;
}
