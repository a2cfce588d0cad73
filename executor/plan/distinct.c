/* SPDX-License-Identifier: Apache-2.0 */
/*
 * distinct.c - SELECT DISTINCT: where equal rows are together, or once on each segment
 * and once more where they have been brought together. DISTINCT ON keeps the first row
 * in an order: rows that are equal under it must be together before they are sorted.
 */
#include "executor/plan/upper.h"

#include <optimizer/cost.h>
#include <optimizer/optimizer.h>
#include <optimizer/pathnode.h>
#include <optimizer/paths.h>
#include <optimizer/tlist.h>
#include <utils/selfuncs.h>

static Path *unique(PlannerInfo *root, RelOptInfo *rel, Path *path, double groups)
{
	return (Path *)create_agg_path(root, rel, path, path->pathtarget, AGG_HASHED,
	                               AGGSPLIT_SIMPLE, root->parse->distinctClause, NIL, NULL,
	                               groups);
}

static void add_variant(RelOptInfo *distinct_rel, const MppLocus *locus, Path *path)
{
	RelOptInfo *scratch = mpp_scratch_rel(distinct_rel);

	scratch->reltarget = path->pathtarget;
	scratch->rows = path->rows;
	add_path(scratch, path);
	set_cheapest(scratch);
	mpp_variants_add(distinct_rel, locus, scratch);
}

static void distinct_variant(PlannerInfo *root, RelOptInfo *distinct_rel, const MppVariant *variant,
                             double groups, List *exprs, List *hashable)
{
	Path *path = variant->rel->cheapest_total_path;
	double share = clamp_row_est(groups / mpp_plan_state->segment_count);
	MppLocus locus;
	Path *local;
	Path *moved;

	if (mpp_locus_groups_in_place(root, &variant->locus, exprs)) {
		bool divided = mpp_locus_partitioned(&variant->locus) &&
		               variant->locus.single == MPP_NOT_SINGLE;

		add_variant(distinct_rel, &variant->locus,
		            unique(root, distinct_rel, path, divided ? share : groups));
		return;
	}
	local = unique(root, distinct_rel, path,
	               estimate_num_groups(root, exprs, path->rows, NULL, NULL));
	add_path(distinct_rel,
	         unique(root, distinct_rel,
	                mpp_gather_path(root, distinct_rel, local, &variant->locus, false),
	                groups));
	if (hashable == NIL)
		return;
	moved = mpp_hash_move(distinct_rel, local, &variant->locus, hashable, &locus);
	add_variant(distinct_rel, &locus, unique(root, distinct_rel, moved, share));
	moved = mpp_hash_move(distinct_rel, path, &variant->locus, hashable, &locus);
	add_variant(distinct_rel, &locus, unique(root, distinct_rel, moved, share));
}

/* ---- DISTINCT ON ---- */

static Path *first_in_order(PlannerInfo *root, RelOptInfo *rel, Path *path, double groups)
{
	List *order = list_length(root->sort_pathkeys) > list_length(root->distinct_pathkeys)
	                      ? root->sort_pathkeys
	                      : root->distinct_pathkeys;

	path = mpp_sort(root, rel, path, order, -1.0);
	return (Path *)create_upper_unique_path(root, rel, path,
	                                        list_length(root->distinct_pathkeys), groups);
}

static void distinct_on_variant(PlannerInfo *root, RelOptInfo *distinct_rel,
                                const MppVariant *variant, double groups, List *exprs,
                                List *hashable)
{
	Path *path = variant->rel->cheapest_total_path;
	double share = clamp_row_est(groups / mpp_plan_state->segment_count);
	MppLocus locus = variant->locus;

	if (root->distinct_pathkeys == NIL)
		return;
	if (!mpp_locus_groups_in_place(root, &locus, exprs)) {
		if (hashable == NIL)
			return;
		path = mpp_hash_move(distinct_rel, path, &variant->locus, hashable, &locus);
	}
	add_variant(distinct_rel, &locus, first_in_order(root, distinct_rel, path, share));
}

/* ---- */

void mpp_distinct_paths(PlannerInfo *root, RelOptInfo *input_rel, RelOptInfo *distinct_rel)
{
	List *inputs = mpp_upper_inputs(root, input_rel);
	List *clauses = root->parse->distinctClause;
	List *exprs;
	List *hashable;
	double groups;
	ListCell *lc;

	if (inputs == NIL || !(root->parse->hasDistinctOn ? grouping_is_sortable(clauses)
	                                                  : grouping_is_hashable(clauses)))
		return;
	exprs = get_sortgrouplist_exprs(clauses, root->processed_tlist);
	hashable = mpp_hashable_exprs(root, clauses);
	groups = estimate_num_groups(root, exprs, input_rel->cheapest_total_path->rows, NULL, NULL);
	foreach (lc, inputs) {
		if (root->parse->hasDistinctOn)
			distinct_on_variant(root, distinct_rel, lfirst(lc), groups, exprs,
			                    hashable);
		else
			distinct_variant(root, distinct_rel, lfirst(lc), groups, exprs, hashable);
	}
	mpp_variants_gather(root, distinct_rel);
}
