/* SPDX-License-Identifier: Apache-2.0 */
/*
 * order.c - ORDER BY and LIMIT: each segment sorts and cuts its share, the gather
 * merges, and the coordinator cuts again. And what a finished query leaves to the one
 * it is part of: its variants.
 */
#include "executor/plan/upper.h"

#include <catalog/pg_type.h>
#include <common/int.h>
#include <nodes/makefuncs.h>
#include <nodes/nodeFuncs.h>
#include <optimizer/cost.h>
#include <optimizer/optimizer.h>
#include <optimizer/pathnode.h>
#include <optimizer/paths.h>
#include <optimizer/planner.h>
#include <optimizer/tlist.h>

/* ---- limits of a segment ---- */

static bool is_count(const Node *node)
{
	return IsA(node, Const) && !((const Const *)node)->constisnull &&
	       DatumGetInt64(((const Const *)node)->constvalue) >= 0;
}

/* How many of its rows can be of the result at most: OFFSET + LIMIT. NULL (no bound):
 * there is none, or ties may pass it, or it cannot be told on a segment. */
static Node *segment_limit(PlannerInfo *root)
{
	Node *count = root->parse->limitCount;
	Node *offset = root->parse->limitOffset;
	int64 sum;

	if (count == NULL || root->parse->limitOption == LIMIT_OPTION_WITH_TIES)
		return NULL;
	if (offset == NULL)
		return mpp_shippable(root, count) ? count : NULL;
	if (!is_count(count) || !is_count(offset) ||
	    pg_add_s64_overflow(DatumGetInt64(((Const *)count)->constvalue),
	                        DatumGetInt64(((Const *)offset)->constvalue), &sum))
		return NULL;
	return (Node *)makeConst(INT8OID, -1, InvalidOid, sizeof(int64), Int64GetDatum(sum), false,
	                         FLOAT8PASSBYVAL);
}

static double limit_estimate(const Node *limit)
{
	if (limit == NULL || !IsA(limit, Const) || ((const Const *)limit)->constisnull)
		return -1.0;
	return Max(1.0, (double)DatumGetInt64(((const Const *)limit)->constvalue));
}

static Path *cut(PlannerInfo *root, RelOptInfo *rel, Path *path, Node *limit)
{
	double estimate = limit_estimate(limit);

	if (limit == NULL)
		return path;
	return (Path *)create_limit_path(root, rel, path, NULL, limit, LIMIT_OPTION_COUNT, 0,
	                                 estimate > 0 ? (int64)estimate : -1);
}

/* Rows may be dropped by number only if each comes from one row below. */
static bool limit_may_go_down(PlannerInfo *root)
{
	return !root->parse->hasTargetSRFs && root->parse->rowMarks == NIL;
}

/* ---- ORDER BY ---- */

/* What names an object is ordered by its number, which each server has its own of. */
static bool same_order_everywhere(PlannerInfo *root)
{
	ListCell *lc;

	foreach (lc, get_sortgrouplist_exprs(root->parse->sortClause, root->processed_tlist))
		if (mpp_means_another_row(exprType(lfirst(lc))))
			return false;
	return true;
}

void mpp_ordered_paths(PlannerInfo *root, RelOptInfo *input_rel, RelOptInfo *ordered_rel)
{
	PathTarget *target = root->upper_targets[UPPERREL_ORDERED];
	Node *limit = limit_may_go_down(root) ? segment_limit(root) : NULL;
	List *inputs = mpp_upper_inputs(root, input_rel);
	ListCell *lc;
	ListCell *lp;

	if (!same_order_everywhere(root))
		return;
	foreach (lc, inputs) {
		const MppVariant *variant = lfirst(lc);

		if (variant->locus.kind == MPP_LOCUS_GENERAL)
			continue;
		foreach (lp, variant->rel->pathlist) {
			Path *path = lfirst(lp);
			bool sorted = pathkeys_contained_in(root->sort_pathkeys, path->pathkeys);

			if (path != variant->rel->cheapest_total_path && !sorted)
				continue;
			path = mpp_sort(root, variant->rel, path, root->sort_pathkeys,
			                limit_estimate(limit));
			path = cut(root, variant->rel, path, limit);
			path = mpp_gather_path(root, ordered_rel, path, &variant->locus, true);
			if (target->exprs != path->pathtarget->exprs &&
			    !equal(target->exprs, path->pathtarget->exprs))
				path = (Path *)create_projection_path(root, ordered_rel, path,
				                                      target);
			add_path(ordered_rel, path);
		}
	}
}

/* ---- the end ---- */

/* Estimates hardly tell a limit on both sides of a gather from one above it, but what
 * is not sent is not sent. */
static void prefer(RelOptInfo *rel, Path *path)
{
	ListCell *lc;

	foreach (lc, rel->pathlist)
		if (((Path *)lfirst(lc))->total_cost >= 0.9 * path->total_cost)
			rel->pathlist = foreach_delete_current(rel->pathlist, lc);
	add_path(rel, path);
}

/* LIMIT without order: any rows will do. */
static void limit_paths(PlannerInfo *root, RelOptInfo *final_rel, List *inputs,
                        const FinalPathExtraData *extra)
{
	Node *limit = segment_limit(root);
	ListCell *lc;

	if (limit == NULL || !limit_may_go_down(root))
		return;
	foreach (lc, inputs) {
		const MppVariant *variant = lfirst(lc);
		Path *path;

		if (variant->locus.kind == MPP_LOCUS_GENERAL)
			continue;
		path = cut(root, variant->rel,
		           variant->rel->cheapest_startup_path ? variant->rel->cheapest_startup_path
		                                               : variant->rel->cheapest_total_path,
		           limit);
		path = mpp_gather_path(root, final_rel, path, &variant->locus, false);
		prefer(final_rel,
		       (Path *)create_limit_path(root, final_rel, path, root->parse->limitOffset,
		                                 root->parse->limitCount, root->parse->limitOption,
		                                 extra->offset_est, extra->count_est));
	}
}

void mpp_final_paths(PlannerInfo *root, RelOptInfo *input_rel, RelOptInfo *final_rel,
                     const FinalPathExtraData *extra)
{
	List *inputs;
	ListCell *lc;

	/* The order of a subquery's rows is kept, though nothing says it must be. */
	if (root->parse->sortClause != NIL || root->parse->rowMarks != NIL)
		return;
	inputs = mpp_upper_inputs(root, input_rel);
	if (extra->limit_needed) {
		limit_paths(root, final_rel, inputs, extra);
		return;
	}
	foreach (lc, inputs) {
		MppVariant *variant = lfirst(lc);

		mpp_variants_add(final_rel, &variant->locus, variant->rel);
	}
	mpp_variants_gather(root, final_rel);
}
