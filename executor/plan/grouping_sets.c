/* SPDX-License-Identifier: Apache-2.0 */
/*
 * grouping_sets.c - GROUPING SETS, ROLLUP and CUBE. Core's own path, which knows how the
 * sets share sorts and hashes, is put on a variant: where all sets have columns in common
 * that keep the rows of each group together, or can be made to; or else on one segment,
 * over partial results in groups of all columns, made by each segment of its rows.
 */
#include "executor/plan/upper.h"

#include <miscadmin.h>
#include <optimizer/cost.h>
#include <optimizer/optimizer.h>
#include <optimizer/pathnode.h>
#include <optimizer/paths.h>
#include <optimizer/prep.h>
#include <optimizer/tlist.h>
#include <utils/selfuncs.h>

/* A copy: core frees its own when a better path is added. */
static bool core_path(const RelOptInfo *grouped_rel, GroupingSetsPath *ret_path)
{
	ListCell *lc;

	foreach (lc, grouped_rel->pathlist)
		if (IsA(lfirst(lc), GroupingSetsPath)) {
			*ret_path = *lfirst_node(GroupingSetsPath, lc);
			return true;
		}
	return false;
}

/* Grouping clauses that are of every set. */
static List *common_clauses(const Query *parse, const GroupingSetsPath *core)
{
	List *common = NIL;
	ListCell *lc;
	ListCell *lr;
	ListCell *ls;

	foreach (lc, parse->groupClause) {
		const SortGroupClause *clause = lfirst_node(SortGroupClause, lc);
		bool everywhere = true;

		foreach (lr, core->rollups)
			foreach (ls, lfirst_node(RollupData, lr)->gsets_data)
				if (!list_member_int(lfirst_node(GroupingSetData, ls)->set,
				                     clause->tleSortGroupRef))
					everywhere = false;
		if (everywhere)
			common = lappend(common, lfirst(lc));
	}
	return common;
}

/* Core's path on other input. */
static GroupingSetsPath *on_input(PlannerInfo *root, RelOptInfo *scratch, Path *path,
                                  const GroupingSetsPath *core)
{
	GroupingSetsPath *sets = makeNode(GroupingSetsPath);
	Cost own = core->path.total_cost - core->subpath->total_cost;
	double share = Min(1.0, path->rows / Max(core->subpath->rows, 1.0));

	if (core->aggstrategy != AGG_HASHED && core->subpath->pathkeys != NIL)
		path = mpp_sort(root, scratch, path, core->subpath->pathkeys, -1.0);
	*sets = *core;
	sets->subpath = path;
	sets->path.parent = scratch;
	sets->path.rows = clamp_row_est(core->path.rows * share);
	sets->path.startup_cost = path->startup_cost;
	sets->path.total_cost = path->total_cost + Max(own, 0.0) * share;
	sets->path.pathkeys = NIL;
	return sets;
}

static void add_variant(PlannerInfo *root, RelOptInfo *grouped_rel, const MppLocus *locus,
                        Path *path, const GroupingSetsPath *core)
{
	RelOptInfo *scratch = mpp_scratch_rel(grouped_rel);
	GroupingSetsPath *sets = on_input(root, scratch, path, core);

	scratch->reltarget = sets->path.pathtarget;
	scratch->rows = sets->path.rows;
	add_path(scratch, &sets->path);
	set_cheapest(scratch);
	mpp_variants_add(grouped_rel, locus, scratch);
}

/* Groups of all grouping columns, of each segment. */
static Path *partial_groups(PlannerInfo *root, RelOptInfo *scratch, Path *path, PathTarget *target)
{
	List *exprs = get_sortgrouplist_exprs(root->parse->groupClause, root->processed_tlist);
	double groups = estimate_num_groups(root, exprs, path->rows, NULL, NULL);
	AggClauseCosts costs = {0};

	if (root->parse->hasAggs)
		get_agg_clause_costs(root, AGGSPLIT_INITIAL_SERIAL, &costs);
	return (Path *)create_agg_path(root, scratch, path, target, AGG_HASHED,
	                               AGGSPLIT_INITIAL_SERIAL, root->parse->groupClause, NIL,
	                               &costs, groups);
}

/* The sets are made on one segment. Which one is of no account, but sessions differ. */
static void two_stages(PlannerInfo *root, RelOptInfo *grouped_rel, const MppVariant *variant,
                       const GroupingSetsPath *core, Node *having)
{
	MppLocus one = {.kind = MPP_LOCUS_STREWN,
	                .single = MyProcPid % mpp_plan_state->segment_count};
	PathTarget *target = mpp_partial_target(root, core->path.pathtarget, having);
	List *senders = mpp_locus_senders(&variant->locus);
	RelOptInfo *scratch = mpp_scratch_rel(grouped_rel);
	Path *path;

	if (!mpp_shippable(root, (Node *)target->exprs))
		return;
	scratch->reltarget = target;
	path = partial_groups(root, scratch, variant->rel->cheapest_total_path, target);
	path = &mpp_motion_path(scratch, path, MPP_MOTION_GATHER, senders,
	                        list_make1_int(one.single), path->rows * list_length(senders))
	                ->path;
	scratch = mpp_scratch_rel(grouped_rel);
	path = &on_input(root, scratch, path, core)->path;
	path = mpp_gather_path(root, grouped_rel, path, &one, false);
	mpp_motion_path_combines((CustomPath *)path);
	add_path(grouped_rel, path);
}

static bool can_be_partial(const PlannerInfo *root, const MppVariant *variant)
{
	return mpp_enable_two_stage_agg && !root->hasNonPartialAggs && !root->hasNonSerialAggs &&
	       root->parse->groupClause != NIL && grouping_is_hashable(root->parse->groupClause) &&
	       mpp_locus_partitioned(&variant->locus) && variant->locus.single == MPP_NOT_SINGLE;
}

void mpp_grouping_sets_paths(PlannerInfo *root, RelOptInfo *input_rel, RelOptInfo *grouped_rel,
                             const GroupPathExtraData *extra)
{
	List *inputs = mpp_upper_inputs(root, input_rel);
	GroupingSetsPath core;
	List *clauses;
	List *exprs;
	List *hashable;
	ListCell *lc;

	if (inputs == NIL || !core_path(grouped_rel, &core) ||
	    mpp_target_has_sets(core.path.pathtarget) ||
	    !mpp_shippable(root, (Node *)core.path.pathtarget->exprs) ||
	    !mpp_shippable(root, extra->havingQual))
		return;
	clauses = common_clauses(root->parse, &core);
	exprs = get_sortgrouplist_exprs(clauses, root->processed_tlist);
	hashable = mpp_hashable_exprs(root, clauses);
	foreach (lc, inputs) {
		const MppVariant *variant = lfirst(lc);
		Path *path = variant->rel->cheapest_total_path;
		MppLocus locus;

		if (mpp_locus_groups_in_place(root, &variant->locus, exprs)) {
			add_variant(root, grouped_rel, &variant->locus, path, &core);
		} else if (hashable != NIL) {
			path = mpp_hash_move(variant->rel, path, &variant->locus, hashable, &locus);
			add_variant(root, grouped_rel, &locus, path, &core);
		}
		if (can_be_partial(root, variant))
			two_stages(root, grouped_rel, variant, &core, extra->havingQual);
	}
	mpp_variants_gather(root, grouped_rel);
}
