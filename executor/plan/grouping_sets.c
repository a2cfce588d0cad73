/* SPDX-License-Identifier: Apache-2.0 */
/*
 * grouping_sets.c - GROUPING SETS, ROLLUP and CUBE where all sets have columns in common
 * that keep the rows of each group together, or can be made to. Core's own path, which
 * knows how the sets share sorts and hashes, is put on a variant.
 */
#include "executor/plan/upper.h"

#include <optimizer/cost.h>
#include <optimizer/optimizer.h>
#include <optimizer/pathnode.h>
#include <optimizer/paths.h>
#include <optimizer/tlist.h>

static GroupingSetsPath *core_path(const RelOptInfo *grouped_rel)
{
	ListCell *lc;

	foreach (lc, grouped_rel->pathlist)
		if (IsA(lfirst(lc), GroupingSetsPath))
			return lfirst(lc);
	return NULL;
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

static void add_variant(PlannerInfo *root, RelOptInfo *grouped_rel, const MppLocus *locus,
                        Path *path, const GroupingSetsPath *core)
{
	RelOptInfo *scratch = mpp_scratch_rel(grouped_rel);
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
	scratch->reltarget = sets->path.pathtarget;
	scratch->rows = sets->path.rows;
	add_path(scratch, &sets->path);
	set_cheapest(scratch);
	mpp_variants_add(grouped_rel, locus, scratch);
}

void mpp_grouping_sets_paths(PlannerInfo *root, RelOptInfo *input_rel, RelOptInfo *grouped_rel,
                             const GroupPathExtraData *extra)
{
	List *inputs = mpp_upper_inputs(root, input_rel);
	const GroupingSetsPath *core = core_path(grouped_rel);
	List *clauses;
	List *exprs;
	List *hashable;
	ListCell *lc;

	if (inputs == NIL || core == NULL || mpp_target_has_sets(core->path.pathtarget) ||
	    !mpp_shippable(root, (Node *)core->path.pathtarget->exprs) ||
	    !mpp_shippable(root, extra->havingQual))
		return;
	clauses = common_clauses(root->parse, core);
	exprs = get_sortgrouplist_exprs(clauses, root->processed_tlist);
	hashable = mpp_hashable_exprs(root, clauses);
	foreach (lc, inputs) {
		const MppVariant *variant = lfirst(lc);
		Path *path = variant->rel->cheapest_total_path;
		MppLocus locus;

		if (mpp_locus_groups_in_place(root, &variant->locus, exprs)) {
			add_variant(root, grouped_rel, &variant->locus, path, core);
		} else if (hashable != NIL) {
			path = mpp_hash_move(variant->rel, path, &variant->locus, hashable, &locus);
			add_variant(root, grouped_rel, &locus, path, core);
		}
	}
	mpp_variants_gather(root, grouped_rel);
}
