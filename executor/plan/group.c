/* SPDX-License-Identifier: Apache-2.0 */
/*
 * group.c - GROUP BY and aggregates. In one stage where the rows of a group are
 * together, or are brought together; in two where partial results of each segment
 * can be combined, on the coordinator or on the segment of the group.
 */
#include "executor/plan/upper.h"

#include <nodes/makefuncs.h>
#include <nodes/nodeFuncs.h>
#include <optimizer/cost.h>
#include <optimizer/optimizer.h>
#include <optimizer/pathnode.h>
#include <optimizer/paths.h>
#include <optimizer/planner.h>
#include <optimizer/prep.h>
#include <optimizer/tlist.h>
#include <utils/selfuncs.h>

typedef struct Grouping {
	PlannerInfo *root;
	Query *parse;
	RelOptInfo *rel;
	const GroupPathExtraData *extra;
	PathTarget *target;
	List *exprs;    /* grouping expressions */
	List *hashable; /* those of them that rows can be hashed by */
	double groups;  /* of the whole */
	AggClauseCosts whole_costs;
	bool shippable; /* the target and HAVING may be computed on segments */
} Grouping;

/* One Agg (or Group) node's part in it. */
typedef struct AggStep {
	AggSplit split;
	PathTarget *target;
	List *having;
	AggClauseCosts *costs;
	double groups;
} AggStep;

/* ---- nodes ---- */

static void add_hashed(const Grouping *grouping, RelOptInfo *rel, Path *path, const AggStep *step)
{
	if ((grouping->extra->flags & GROUPING_CAN_USE_HASH) == 0 || grouping->exprs == NIL)
		return;
	add_path(rel, (Path *)create_agg_path(grouping->root, rel, path, step->target, AGG_HASHED,
	                                      step->split, grouping->parse->groupClause,
	                                      step->having, step->costs, step->groups));
}

static void add_sorted(const Grouping *grouping, RelOptInfo *rel, Path *path, const AggStep *step)
{
	AggStrategy strategy = AGG_PLAIN;

	if (grouping->exprs != NIL) {
		if ((grouping->extra->flags & GROUPING_CAN_USE_SORT) == 0)
			return;
		strategy = AGG_SORTED;
		path = mpp_sort(grouping->root, rel, path, grouping->root->group_pathkeys, -1.0);
	}
	if (!grouping->parse->hasAggs && strategy == AGG_SORTED)
		add_path(rel, (Path *)create_group_path(grouping->root, rel, path,
		                                        grouping->parse->groupClause, step->having,
		                                        step->groups));
	else
		add_path(rel,
		         (Path *)create_agg_path(grouping->root, rel, path, step->target, strategy,
		                                 step->split, grouping->parse->groupClause,
		                                 step->having, step->costs, step->groups));
}

/* All ways to aggregate the paths of a rel. */
static RelOptInfo *aggregate(const Grouping *grouping, const RelOptInfo *input, const AggStep *step)
{
	RelOptInfo *rel = mpp_scratch_rel(grouping->rel);
	ListCell *lc;

	rel->reltarget = step->target;
	rel->rows = step->groups;
	foreach (lc, input->pathlist) {
		Path *path = lfirst(lc);

		if (path == input->cheapest_total_path)
			add_hashed(grouping, rel, path, step);
		if (path == input->cheapest_total_path || path->pathkeys != NIL)
			add_sorted(grouping, rel, path, step);
	}
	if (rel->pathlist == NIL)
		return NULL;
	set_cheapest(rel);
	return rel;
}

static double share_of_groups(const Grouping *grouping, const MppLocus *locus)
{
	if (!mpp_locus_partitioned(locus) || locus->single != MPP_NOT_SINGLE)
		return grouping->groups;
	return clamp_row_est(grouping->groups / mpp_plan_state->segment_count);
}

static RelOptInfo *rel_of(const RelOptInfo *like, Path *path)
{
	RelOptInfo *rel = mpp_scratch_rel(like);

	rel->rows = path->rows;
	rel->reltarget = path->pathtarget;
	path->parent = rel;
	add_path(rel, path);
	set_cheapest(rel);
	return rel;
}

/* ---- one stage ---- */

static void whole_groups(const Grouping *grouping, const RelOptInfo *input, const MppLocus *locus)
{
	AggStep step = {.split = AGGSPLIT_SIMPLE,
	                .target = grouping->target,
	                .having = (List *)grouping->extra->havingQual,
	                .costs = (AggClauseCosts *)&grouping->whole_costs,
	                .groups = share_of_groups(grouping, locus)};
	RelOptInfo *rel = aggregate(grouping, input, &step);

	if (rel != NULL)
		mpp_variants_add(grouping->rel, locus, rel);
}

static void one_stage(const Grouping *grouping, const MppVariant *variant)
{
	MppLocus locus;
	Path *moved;

	if (!grouping->shippable)
		return;
	if (mpp_locus_groups_in_place(grouping->root, &variant->locus, grouping->exprs)) {
		/* Without keys there is a row for no input: of one segment, not of each. */
		if (!mpp_locus_partitioned(&variant->locus) || grouping->exprs != NIL ||
		    variant->locus.single != MPP_NOT_SINGLE)
			whole_groups(grouping, variant->rel, &variant->locus);
		return;
	}
	if (grouping->hashable == NIL)
		return;
	moved = mpp_hash_move(variant->rel, variant->rel->cheapest_total_path, &variant->locus,
	                      grouping->hashable, &locus);
	whole_groups(grouping, rel_of(variant->rel, moved), &locus);
}

/* ---- two stages ---- */

/* (Core's function of that purpose is static.) */
PathTarget *mpp_partial_target(PlannerInfo *root, const PathTarget *target, Node *having)
{
	PathTarget *partial = create_empty_pathtarget();
	List *others = NIL;
	ListCell *lc;
	int i = 0;

	foreach (lc, target->exprs) {
		Expr *expr = lfirst(lc);
		Index ref = get_pathtarget_sortgroupref(target, i++);

		if (ref != 0 && get_sortgroupref_clause_noerr(ref, root->parse->groupClause))
			add_column_to_pathtarget(partial, expr, ref);
		else
			others = lappend(others, expr);
	}
	if (having != NULL)
		others = lappend(others, having);
	others = pull_var_clause((Node *)others, PVC_INCLUDE_AGGREGATES | PVC_RECURSE_WINDOWFUNCS |
	                                                 PVC_INCLUDE_PLACEHOLDERS);
	/* GROUPING() is about sets, which are made in the second stage. */
	foreach (lc, others)
		if (!IsA(lfirst(lc), GroupingFunc))
			add_new_column_to_pathtarget(partial, lfirst(lc));
	foreach (lc, partial->exprs) {
		if (!IsA(lfirst(lc), Aggref))
			continue;
		Aggref *aggref = makeNode(Aggref);

		*aggref = *lfirst_node(Aggref, lc);
		mark_partial_aggref(aggref, AGGSPLIT_INITIAL_SERIAL);
		lfirst(lc) = aggref;
	}
	return set_pathtarget_cost_width(root, partial);
}

/* Second stage on the coordinator, over a gather. */
static void finish_gathered(const Grouping *grouping, const RelOptInfo *partial,
                            const MppLocus *locus, AggStep *step)
{
	Path *gather = mpp_gather_path(grouping->root, grouping->rel, partial->cheapest_total_path,
	                               locus, false);

	step->groups = grouping->groups;
	add_hashed(grouping, grouping->rel, gather, step);
	add_sorted(grouping, grouping->rel, gather, step);
}

/* Second stage on the segments, each group on one. */
static void finish_redistributed(const Grouping *grouping, const RelOptInfo *partial,
                                 const MppLocus *locus, AggStep *step)
{
	MppLocus result;
	Path *moved;
	RelOptInfo *rel;

	if (grouping->hashable == NIL || !grouping->shippable)
		return;
	moved = mpp_hash_move((RelOptInfo *)partial, partial->cheapest_total_path, locus,
	                      grouping->hashable, &result);
	step->groups = share_of_groups(grouping, &result);
	rel = aggregate(grouping, rel_of(partial, moved), step);
	if (rel != NULL)
		mpp_variants_add(grouping->rel, &result, rel);
}

static void two_stages(const Grouping *grouping, const MppVariant *variant)
{
	PlannerInfo *root = grouping->root;
	AggClauseCosts partial_costs = {0};
	AggClauseCosts final_costs = {0};
	AggStep first = {.split = AGGSPLIT_INITIAL_SERIAL, .costs = &partial_costs};
	AggStep second = {.split = AGGSPLIT_FINAL_DESERIAL,
	                  .target = grouping->target,
	                  .having = (List *)grouping->extra->havingQual,
	                  .costs = &final_costs};
	RelOptInfo *partial;

	first.target = mpp_partial_target(root, grouping->target, grouping->extra->havingQual);
	if (!mpp_shippable(root, (Node *)first.target->exprs))
		return;
	if (grouping->parse->hasAggs) {
		get_agg_clause_costs(root, AGGSPLIT_INITIAL_SERIAL, &partial_costs);
		get_agg_clause_costs(root, AGGSPLIT_FINAL_DESERIAL, &final_costs);
	}
	first.groups =
	        grouping->exprs == NIL
	                ? 1
	                : estimate_num_groups(root, grouping->exprs,
	                                      variant->rel->cheapest_total_path->rows, NULL, NULL);
	partial = aggregate(grouping, variant->rel, &first);
	if (partial == NULL)
		return;
	finish_gathered(grouping, partial, &variant->locus, &second);
	finish_redistributed(grouping, partial, &variant->locus, &second);
}

/* ---- */

/* What returns sets is computed below, if it is what is grouped by, and nothing made of it. */
static bool sets_are_grouped(const Grouping *grouping)
{
	ListCell *lc;
	int i = 0;

	foreach (lc, grouping->target->exprs) {
		Index ref = get_pathtarget_sortgroupref(grouping->target, i++);

		if (expression_returns_set(lfirst(lc)) &&
		    (ref == 0 || !get_sortgroupref_clause_noerr(ref, grouping->parse->groupClause)))
			return false;
	}
	return true;
}

static bool prepare(Grouping *grouping)
{
	PlannerInfo *root = grouping->root;

	if (!sets_are_grouped(grouping))
		return false;
	grouping->exprs =
	        get_sortgrouplist_exprs(grouping->parse->groupClause, root->processed_tlist);
	grouping->hashable = mpp_hashable_exprs(root, grouping->parse->groupClause);
	grouping->shippable = mpp_shippable(root, (Node *)grouping->target->exprs) &&
	                      mpp_shippable(root, grouping->extra->havingQual);
	if (grouping->parse->hasAggs)
		get_agg_clause_costs(root, AGGSPLIT_SIMPLE, &grouping->whole_costs);
	return true;
}

void mpp_group_paths(PlannerInfo *root, RelOptInfo *input_rel, RelOptInfo *grouped_rel,
                     const GroupPathExtraData *extra)
{
	Grouping grouping = {.root = root,
	                     .parse = root->parse,
	                     .rel = grouped_rel,
	                     .extra = extra,
	                     .target = root->upper_targets[UPPERREL_GROUP_AGG]};
	List *inputs = mpp_upper_inputs(root, input_rel);
	ListCell *lc;

	if (inputs == NIL || !prepare(&grouping))
		return;
	grouping.groups =
	        grouping.exprs == NIL
	                ? 1
	                : estimate_num_groups(root, grouping.exprs,
	                                      input_rel->cheapest_total_path->rows, NULL, NULL);
	foreach (lc, inputs) {
		const MppVariant *variant = lfirst(lc);

		one_stage(&grouping, variant);
		if (mpp_enable_two_stage_agg && mpp_locus_partitioned(&variant->locus) &&
		    !root->hasNonPartialAggs && !root->hasNonSerialAggs)
			two_stages(&grouping, variant);
	}
	mpp_variants_gather(root, grouped_rel);
}
