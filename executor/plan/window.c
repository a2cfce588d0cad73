/* SPDX-License-Identifier: Apache-2.0 */
/*
 * window.c - window functions where the rows of each partition are together, or are
 * brought together by what all PARTITION BY clauses have in common. Core's own path
 * tells the order in which it evaluates the windows; it is built again on a variant.
 */
#include "executor/plan/upper.h"

#include <nodes/nodeFuncs.h>
#include <optimizer/cost.h>
#include <optimizer/optimizer.h>
#include <optimizer/pathnode.h>
#include <optimizer/paths.h>
#include <optimizer/tlist.h>

/* WindowAggPaths of core's path, the last evaluated first. */
static List *window_steps(Path *path)
{
	List *steps = NIL;

	for (;;) {
		if (IsA(path, WindowAggPath)) {
			steps = lappend(steps, path);
			path = ((WindowAggPath *)path)->subpath;
		} else if (IsA(path, SortPath) || IsA(path, IncrementalSortPath)) {
			path = ((SortPath *)path)->subpath;
		} else {
			return steps;
		}
	}
}

/* Expressions by which all windows are partitioned. */
static List *common_partition(PlannerInfo *root, List *steps)
{
	List *common = NIL;
	ListCell *lc;

	foreach (lc, steps) {
		WindowClause *clause = ((WindowAggPath *)lfirst(lc))->winclause;
		List *exprs =
		        get_sortgrouplist_exprs(clause->partitionClause, root->processed_tlist);

		common = lc == list_head(steps) ? exprs : list_intersection(common, exprs);
	}
	return common;
}

static bool steps_shippable(PlannerInfo *root, List *steps)
{
	ListCell *lc;

	foreach (lc, steps) {
		WindowAggPath *step = lfirst(lc);

		if (!mpp_shippable(root, (Node *)step->path.pathtarget->exprs) ||
		    !mpp_shippable(root, (Node *)step->qual) ||
		    !mpp_shippable(root, (Node *)step->winclause) ||
		    !mpp_shippable(root, (Node *)step->winclause->runCondition))
			return false;
	}
	return true;
}

/* All windows, evaluated on this path. */
static Path *on_path(PlannerInfo *root, RelOptInfo *rel, Path *path, List *steps)
{
	for (int i = list_length(steps) - 1; i >= 0; i--) {
		WindowAggPath *core = list_nth(steps, i);
		WindowAggPath *step = makeNode(WindowAggPath);
		List *order = list_concat_copy(core->winclause->partitionClause,
		                               core->winclause->orderClause);
		Cost own = core->path.total_cost - core->subpath->total_cost;
		double share;

		if (order != NIL)
			path = mpp_sort(
			        root, rel, path,
			        make_pathkeys_for_sortclauses(root, order, root->processed_tlist),
			        -1.0);
		share = path->rows / Max(core->subpath->rows, 1.0);
		*step = *core;
		step->subpath = path;
		step->path.parent = rel;
		step->path.rows = path->rows;
		step->path.pathkeys = path->pathkeys;
		step->path.startup_cost = path->startup_cost;
		step->path.total_cost = path->total_cost + own * Min(share, 1.0);
		step->path.parallel_workers = 0;
		path = &step->path;
	}
	return path;
}

static void add_variant(PlannerInfo *root, RelOptInfo *window_rel, const MppLocus *locus,
                        Path *path, List *steps)
{
	RelOptInfo *scratch = mpp_scratch_rel(window_rel);

	path = on_path(root, scratch, path, steps);
	scratch->reltarget = path->pathtarget;
	scratch->rows = path->rows;
	add_path(scratch, path);
	set_cheapest(scratch);
	mpp_variants_add(window_rel, locus, scratch);
}

void mpp_window_paths(PlannerInfo *root, RelOptInfo *input_rel, RelOptInfo *window_rel)
{
	List *inputs = mpp_upper_inputs(root, input_rel);
	List *steps;
	List *common;
	List *hashable = NIL;
	ListCell *lc;

	if (inputs == NIL || window_rel->pathlist == NIL)
		return;
	steps = window_steps(linitial(window_rel->pathlist));
	if (list_length(steps) != list_length(root->parse->windowClause) ||
	    !steps_shippable(root, steps))
		return;
	common = common_partition(root, steps);
	foreach (lc, mpp_hashable_exprs(
	                     root, ((WindowAggPath *)linitial(steps))->winclause->partitionClause))
		if (list_member(common, lfirst(lc)))
			hashable = lappend(hashable, lfirst(lc));
	foreach (lc, inputs) {
		const MppVariant *variant = lfirst(lc);
		Path *path = variant->rel->cheapest_total_path;
		MppLocus locus;

		if (mpp_locus_groups_in_place(root, &variant->locus, common)) {
			add_variant(root, window_rel, &variant->locus, path, steps);
		} else if (hashable != NIL) {
			path = mpp_hash_move(variant->rel, path, &variant->locus, hashable, &locus);
			add_variant(root, window_rel, &locus, path, steps);
		}
	}
	mpp_variants_gather(root, window_rel);
}
