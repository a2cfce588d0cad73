/* SPDX-License-Identifier: Apache-2.0 */
/*
 * insert.c - INSERT: the ModifyTable that core has put on the coordinator's rows
 * moves to the segments, and the rows to it. Rows that are on segments already, and
 * need nothing of the coordinator, go from there, or stay.
 */
#include "executor/plan/upper.h"

#include <nodes/makefuncs.h>
#include <nodes/nodeFuncs.h>
#include <optimizer/cost.h>
#include <optimizer/optimizer.h>
#include <optimizer/pathnode.h>
#include <optimizer/paths.h>
#include <optimizer/tlist.h>
#include <parser/parsetree.h>
#include <utils/lsyscache.h>

#include "executor/catalog/distribution.h"
#include "executor/catalog/node.h"

typedef struct Insertion {
	PlannerInfo *root;
	RelOptInfo *final_rel;
	const MppDistribution *distribution;
	List *columns;         /* distribution key, as columns of the rows from 1 */
	List *collations;      /* of them */
	ModifyTablePath *core; /* what core would do */
} Insertion;

static List *key_columns(Oid relid, const MppDistribution *distribution)
{
	List *columns = NIL;

	for (int i = 0; i < distribution->key_count; i++) {
		if (get_attgenerated(relid, distribution->keys[i]) != '\0')
			ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			                errmsg("table \"%s\" is distributed by a generated column",
			                       get_rel_name(relid))));
		columns = lappend_int(columns, distribution->keys[i]);
	}
	return columns;
}

/* ---- the rows' way ---- */

static CustomPath *move_rows(const Insertion *insertion, Path *subpath, List *senders, double rows)
{
	MppMotionKind kind = MPP_MOTION_REDISTRIBUTE;
	CustomPath *motion;

	if (insertion->distribution->policy == MPP_POLICY_RANDOM)
		kind = MPP_MOTION_RANDOM;
	else if (insertion->distribution->policy == MPP_POLICY_REPLICATED)
		kind = MPP_MOTION_BROADCAST;
	motion = mpp_motion_path(subpath->parent, subpath, kind, senders, mpp_all_segments(), rows);
	if (kind == MPP_MOTION_REDISTRIBUTE)
		mpp_motion_path_key_columns(motion, insertion->columns, insertion->collations);
	return motion;
}

/* Rows the coordinator has, by core's path. */
static Path *move_own_rows(const Insertion *insertion)
{
	Path *subpath = insertion->core->subpath;
	CustomPath *motion =
	        move_rows(insertion, subpath, list_make1_int(MPP_COORDINATOR), subpath->rows);

	if (!mpp_query_alone(insertion->root))
		mpp_motion_path_made_first(motion);
	return &motion->path;
}

/* Whether a row's place by the locus is its place in the table. */
static bool hashed_alike(const Insertion *insertion, const MppLocus *locus)
{
	const MppDistribution *distribution = insertion->distribution;
	ListCell *lc;
	int i = 0;

	if (locus->kind != MPP_LOCUS_HASHED || list_length(locus->keys) != distribution->key_count)
		return false;
	foreach (lc, locus->keys) {
		const MppLocusKey *key = lfirst(lc);
		TargetEntry *tle = list_nth_node(TargetEntry, insertion->root->processed_tlist,
		                                 distribution->keys[i] - 1);

		if (key->opfamily != distribution->opfamilies[i] ||
		    mpp_hash_family(tle->expr) != key->opfamily ||
		    !mpp_same_collation_hash(key->collation, distribution->collations[i]) ||
		    !mpp_same_value(insertion->root, key->expr, tle->expr))
			return false;
		i++;
	}
	return true;
}

static bool stays(const Insertion *insertion, const MppLocus *locus)
{
	switch (insertion->distribution->policy) {
	case MPP_POLICY_REPLICATED:
		return locus->kind == MPP_LOCUS_REPLICATED;
	case MPP_POLICY_RANDOM:
		return mpp_locus_partitioned(locus) && locus->single == MPP_NOT_SINGLE;
	case MPP_POLICY_HASH:
		return hashed_alike(insertion, locus);
	}
	return false;
}

/* ---- the insertion ---- */

/* A RETURNING list segments may not compute: they return what it is made of. */
static List *returning_vars(List *returning)
{
	List *vars = NIL;
	List *tlist = NIL;
	ListCell *lc;

	foreach (lc, pull_var_clause((Node *)returning, PVC_RECURSE_PLACEHOLDERS))
		vars = list_append_unique(vars, lfirst(lc));
	foreach (lc, vars)
		tlist = lappend(tlist,
		                makeTargetEntry(lfirst(lc), list_length(tlist) + 1, NULL, false));
	/* The number of rows counts, too. */
	if (tlist == NIL)
		tlist = list_make1(
		        makeTargetEntry((Expr *)makeBoolConst(true, false), 1, NULL, false));
	return tlist;
}

/* What views and policies demand of a row is checked where it is stored. */
static void check_checks(PlannerInfo *root, List *lists)
{
	const WithCheckOption *check;

	if (mpp_shippable(root, (Node *)lists))
		return;
	check = linitial_node(WithCheckOption, linitial_node(List, lists));
	ereport(ERROR,
	        (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
	         check->kind == WCO_VIEW_CHECK
	                 ? errmsg("WITH CHECK OPTION of view \"%s\" cannot be checked on segments",
	                          check->relname)
	                 : errmsg("a policy of table \"%s\" cannot be checked on segments",
	                          check->relname),
	         errdetail("It reads tables, or asks for what only the coordinator knows, as "
	                   "current_user.")));
}

static void add_insertion(const Insertion *insertion, Path *rows, const MppLocus *place)
{
	PlannerInfo *root = insertion->root;
	ModifyTablePath *modify = makeNode(ModifyTablePath);
	List *returning = NIL;
	CustomPath *gather;

	*modify = *insertion->core;
	modify->subpath = rows;
	modify->path.startup_cost = rows->startup_cost;
	modify->path.total_cost = rows->total_cost;
	if (modify->returningLists != NIL) {
		modify->path.rows = rows->rows;
		returning = linitial(modify->returningLists);
		if (!mpp_shippable(root, (Node *)returning))
			modify->returningLists = list_make1(returning_vars(returning));
	}
	check_checks(root, modify->withCheckOptionLists);
	gather = mpp_motion_path(insertion->final_rel, &modify->path, MPP_MOTION_GATHER,
	                         mpp_locus_senders(place), list_make1_int(MPP_COORDINATOR),
	                         modify->path.rows * mpp_plan_state->segment_count);
	mpp_motion_path_returning(gather, returning);
	add_path(insertion->final_rel, &gather->path);
}

static void from_segments(const Insertion *insertion, const MppVariant *variant)
{
	MppLocus everywhere = {.kind = MPP_LOCUS_STREWN, .single = MPP_NOT_SINGLE};
	Path *path = variant->rel->cheapest_total_path;
	List *senders = mpp_locus_senders(&variant->locus);
	double rows = path->rows;

	if (variant->locus.kind == MPP_LOCUS_GENERAL)
		return;
	if (stays(insertion, &variant->locus)) {
		add_insertion(insertion, path, &variant->locus);
		return;
	}
	if (mpp_locus_partitioned(&variant->locus))
		rows *= list_length(senders);
	else
		senders = list_make1_int(linitial_int(senders));
	add_insertion(insertion, &move_rows(insertion, path, senders, rows)->path, &everywhere);
}

void mpp_insert_paths(PlannerInfo *root, RelOptInfo *input_rel, RelOptInfo *final_rel)
{
	RangeTblEntry *rte = planner_rt_fetch(root->parse->resultRelation, root);
	Insertion insertion = {.root = root,
	                       .final_rel = final_rel,
	                       .distribution = mpp_distribution_get(rte->relid)};
	MppLocus everywhere = {.kind = MPP_LOCUS_STREWN, .single = MPP_NOT_SINGLE};
	List *core_paths = final_rel->pathlist;
	ListCell *lc;

	if (insertion.distribution == NULL)
		return;
	insertion.columns = key_columns(rte->relid, insertion.distribution);
	for (int i = 0; i < insertion.distribution->key_count; i++)
		insertion.collations =
		        lappend_oid(insertion.collations, insertion.distribution->collations[i]);
	mpp_plan_state->returning = root->parse->returningList;
	final_rel->pathlist = NIL;
	foreach (lc, core_paths) {
		insertion.core = lfirst_node(ModifyTablePath, lc);
		add_insertion(&insertion, move_own_rows(&insertion), &everywhere);
	}
	if (root->parse->limitCount != NULL || root->parse->limitOffset != NULL ||
	    root->parse->hasTargetSRFs)
		return;
	foreach (lc, mpp_upper_inputs(root, input_rel))
		from_segments(&insertion, lfirst(lc));
}
