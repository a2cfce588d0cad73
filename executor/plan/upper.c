/* SPDX-License-Identifier: Apache-2.0 */
/*
 * upper.c - create_upper_paths_hook: what stands on scans and joins, stage by stage.
 */
#include "executor/plan/upper.h"

#include <nodes/nodeFuncs.h>
#include <optimizer/cost.h>
#include <optimizer/optimizer.h>
#include <optimizer/pathnode.h>
#include <optimizer/paths.h>
#include <optimizer/planner.h>
#include <optimizer/tlist.h>
#include <utils/lsyscache.h>

static create_upper_paths_hook_type next_upper_paths;

bool mpp_target_has_sets(const PathTarget *target)
{
	return expression_returns_set((Node *)target->exprs);
}

Path *mpp_project(PlannerInfo *root, RelOptInfo *rel, Path *path, PathTarget *target)
{
	if (path->pathtarget == target)
		return path;
	return (Path *)create_projection_path(root, rel, path, target);
}

/* As core does: set returning functions stand in levels of their own. */
static Path *project_sets(PlannerInfo *root, RelOptInfo *rel, Path *path, PathTarget *target)
{
	List *targets;
	List *have_sets;
	ListCell *lt;
	ListCell *lh;

	split_pathtarget_at_srfs(root, target, path->pathtarget, &targets, &have_sets);
	forboth (lt, targets, lh, have_sets) {
		if (lfirst_int(lh))
			path = (Path *)create_set_projection_path(root, rel, path,
			                                          lfirst_node(PathTarget, lt));
		else
			path = mpp_project(root, rel, path, lfirst_node(PathTarget, lt));
	}
	return path;
}

/* Paths of a variant under another target. add_path() would free what it drops. */
static MppVariant *with_target(PlannerInfo *root, const MppVariant *variant, PathTarget *target)
{
	MppVariant *projected = palloc0(sizeof(MppVariant));
	RelOptInfo *scratch = mpp_scratch_rel(variant->rel);
	ListCell *lc;

	scratch->reltarget = target;
	foreach (lc, variant->rel->pathlist) {
		Path *path = lfirst(lc);

		if (path->param_info == NULL)
			scratch->pathlist =
			        lappend(scratch->pathlist,
			                mpp_target_has_sets(target)
			                        ? project_sets(root, scratch, path, target)
			                        : mpp_project(root, scratch, path, target));
	}
	set_cheapest(scratch);
	projected->locus = variant->locus;
	projected->rel = scratch;
	return projected;
}

List *mpp_upper_inputs(PlannerInfo *root, RelOptInfo *input_rel)
{
	PathTarget *target = input_rel->reltarget;
	List *inputs = NIL;
	ListCell *lc;

	/* Core leaves the targets of upper relations empty; their variants have them. */
	if (!IS_UPPER_REL(input_rel) && !mpp_shippable(root, (Node *)target->exprs))
		return NIL;
	foreach (lc, mpp_variants_get(input_rel)) {
		MppVariant *variant = lfirst(lc);

		inputs = lappend(
		        inputs,
		        with_target(root, variant,
		                    IS_UPPER_REL(input_rel) ? variant->rel->reltarget : target));
	}
	return inputs;
}

Path *mpp_sort(PlannerInfo *root, RelOptInfo *rel, Path *path, List *pathkeys, double limit_tuples)
{
	if (pathkeys_contained_in(pathkeys, path->pathkeys))
		return path;
	return (Path *)create_sort_path(root, rel, path, pathkeys, limit_tuples);
}

List *mpp_hashable_exprs(PlannerInfo *root, List *clauses)
{
	List *exprs = NIL;
	ListCell *lc;

	foreach (lc, clauses) {
		SortGroupClause *clause = lfirst_node(SortGroupClause, lc);
		Expr *expr = (Expr *)get_sortgroupclause_expr(clause, root->processed_tlist);
		Oid family = mpp_hash_family(expr);

		if (OidIsValid(family) && op_in_opfamily(clause->eqop, family) &&
		    !IsA(expr, Const) && mpp_shippable(root, (Node *)expr))
			exprs = lappend(exprs, expr);
	}
	return exprs;
}

Path *mpp_hash_move(RelOptInfo *rel, Path *path, const MppLocus *from, List *exprs,
                    MppLocus *ret_locus)
{
	List *senders = mpp_locus_senders(from);
	double rows = path->rows;
	CustomPath *motion;
	ListCell *lc;

	if (mpp_locus_partitioned(from))
		rows *= list_length(senders);
	else
		senders = list_make1_int(linitial_int(senders));
	motion = mpp_motion_path(rel, path, MPP_MOTION_REDISTRIBUTE, senders, mpp_all_segments(),
	                         rows);
	mpp_motion_path_keys(motion, exprs);
	*ret_locus = (MppLocus){.kind = MPP_LOCUS_HASHED, .single = MPP_NOT_SINGLE, .fed = true};
	foreach (lc, exprs) {
		Expr *expr = lfirst(lc);

		ret_locus->keys =
		        lappend(ret_locus->keys, mpp_locus_key(expr, mpp_hash_family(expr),
		                                               exprCollation((Node *)expr)));
	}
	return &motion->path;
}

/* Set returning functions are evaluated by scans and joins on segments, too; but what
 * is evaluated after grouping, and between other stages, is in core's paths alone. */
static bool sets_in_between(const PlannerInfo *root, UpperRelationKind stage,
                            const RelOptInfo *input_rel)
{
	if (!root->parse->hasTargetSRFs || root->parse->commandType != CMD_SELECT)
		return false;
	return stage != UPPERREL_GROUP_AGG && (stage == UPPERREL_WINDOW || IS_UPPER_REL(input_rel));
}

static void upper_paths(PlannerInfo *root, UpperRelationKind stage, RelOptInfo *input_rel,
                        RelOptInfo *output_rel, void *extra)
{
	if (next_upper_paths)
		next_upper_paths(root, stage, input_rel, output_rel, extra);
	if (mpp_plan_state == NULL || IS_DUMMY_REL(output_rel))
		return;
	if (sets_in_between(root, stage, input_rel))
		return;
	if (input_rel != NULL && IS_OTHER_REL(input_rel))
		return;
	switch (stage) {
	case UPPERREL_GROUP_AGG:
		if (root->parse->groupingSets != NIL)
			mpp_grouping_sets_paths(root, input_rel, output_rel, extra);
		else
			mpp_group_paths(root, input_rel, output_rel, extra);
		break;
	case UPPERREL_WINDOW:
		mpp_window_paths(root, input_rel, output_rel);
		break;
	case UPPERREL_DISTINCT:
		mpp_distinct_paths(root, input_rel, output_rel);
		break;
	case UPPERREL_ORDERED:
		mpp_ordered_paths(root, input_rel, output_rel);
		break;
	case UPPERREL_FINAL:
		if (root->parse->commandType == CMD_INSERT)
			mpp_insert_paths(root, input_rel, output_rel);
		else if (root->parse->commandType == CMD_SELECT)
			mpp_final_paths(root, input_rel, output_rel, extra);
		break;
	default:
		break;
	}
}

void mpp_upper_init(void)
{
	next_upper_paths = create_upper_paths_hook;
	create_upper_paths_hook = upper_paths;
}
