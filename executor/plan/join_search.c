/* SPDX-License-Identifier: Apache-2.0 */
/*
 * join_search.c - the order of joins. As core's search, level by level, but for two
 * things: when a level is complete, its variants are pruned and gathered; and where
 * core would search by chance (GEQO), which frees what variants point to, the pair
 * that promises most is joined first.
 */
#include "executor/plan/plan.h"

#include <optimizer/geqo.h>
#include <optimizer/joininfo.h>
#include <optimizer/pathnode.h>
#include <optimizer/paths.h>
#include <utils/float.h>

#include "executor/plan/join.h"

static join_search_hook_type next_join_search;

static bool is_full(const MppVariant *variant)
{
	return variant->locus.kind == MPP_LOCUS_REPLICATED ||
	       variant->locus.kind == MPP_LOCUS_GENERAL;
}

static Cost total_cost(const MppVariant *variant)
{
	return variant->rel->cheapest_total_path->total_cost;
}

Cost mpp_cost_anywhere(const RelOptInfo *joinrel)
{
	const MppVariant *best = NULL;
	ListCell *lc;
	double width_factor;

	foreach (lc, mpp_variants_get(joinrel)) {
		const MppVariant *variant = lfirst(lc);

		if (!is_full(variant) && (best == NULL || total_cost(variant) < total_cost(best)))
			best = variant;
	}
	if (best == NULL)
		return get_float8_infinity();
	width_factor = 1.0 + Max(joinrel->reltarget->width, 0) / 256.0;
	return total_cost(best) + mpp_motion_setup_cost +
	       2.0 * joinrel->rows / mpp_plan_state->segment_count * mpp_motion_tuple_cost *
	               width_factor;
}

static void prune(RelOptInfo *rel)
{
	Cost bound = mpp_cost_anywhere(rel);
	List *kept = NIL;
	ListCell *lc;

	foreach (lc, mpp_variants_get(rel))
		if (is_full(lfirst(lc)) || total_cost(lfirst(lc)) <= bound)
			kept = lappend(kept, lfirst(lc));
	if (kept != NIL)
		mpp_variants_set(rel, kept);
}

/* No more joins will be added to it. */
static void finish_joinrel(PlannerInfo *root, RelOptInfo *rel, bool top)
{
	generate_partitionwise_join_paths(root, rel);
	prune(rel);
	mpp_variants_gather(root, rel);
	if (!top)
		generate_useful_gather_paths(root, rel, false);
	set_cheapest(rel);
}

static RelOptInfo *search_all(PlannerInfo *root, int levels_needed, List *initial_rels)
{
	RelOptInfo *rel;

	root->join_rel_level = palloc0((levels_needed + 1) * sizeof(List *));
	root->join_rel_level[1] = initial_rels;
	for (int level = 2; level <= levels_needed; level++) {
		ListCell *lc;

		join_search_one_level(root, level);
		foreach (lc, root->join_rel_level[level])
			finish_joinrel(root, lfirst(lc), level == levels_needed);
	}
	if (root->join_rel_level[levels_needed] == NIL)
		elog(ERROR, "failed to build any %d-way joins", levels_needed);
	rel = linitial(root->join_rel_level[levels_needed]);
	root->join_rel_level = NULL;
	return rel;
}

/* ---- greedy ---- */

static bool desirable(PlannerInfo *root, RelOptInfo *left, RelOptInfo *right)
{
	return have_relevant_joinclause(root, left, right) ||
	       have_join_order_restriction(root, left, right);
}

static bool promises_more(const RelOptInfo *joinrel, const RelOptInfo *best)
{
	return best == NULL ||
	       joinrel->cheapest_total_path->total_cost < best->cheapest_total_path->total_cost;
}

/* The best join of any two; force: also of two that no clause joins. */
static RelOptInfo *best_pair(PlannerInfo *root, List *rels, bool force, RelOptInfo **ret_left,
                             RelOptInfo **ret_right)
{
	RelOptInfo *best = NULL;

	for (int i = 0; i < list_length(rels); i++) {
		for (int j = i + 1; j < list_length(rels); j++) {
			RelOptInfo *left = list_nth(rels, i);
			RelOptInfo *right = list_nth(rels, j);
			RelOptInfo *joinrel;

			if (!force && !desirable(root, left, right))
				continue;
			joinrel = find_join_rel(root, bms_union(left->relids, right->relids));
			if (joinrel == NULL) {
				joinrel = make_join_rel(root, left, right);
				if (joinrel == NULL)
					continue;
				finish_joinrel(root, joinrel, false);
			}
			if (!promises_more(joinrel, best))
				continue;
			best = joinrel;
			*ret_left = left;
			*ret_right = right;
		}
	}
	return best;
}

/* NULL: led to a dead end, which the restrictions of outer joins can. */
static RelOptInfo *search_greedily(PlannerInfo *root, List *initial_rels)
{
	List *rels = list_copy(initial_rels);

	while (list_length(rels) > 1) {
		RelOptInfo *left = NULL;
		RelOptInfo *right = NULL;
		RelOptInfo *joined = best_pair(root, rels, false, &left, &right);

		if (joined == NULL)
			joined = best_pair(root, rels, true, &left, &right);
		if (joined == NULL)
			return NULL;
		rels = list_delete_ptr(rels, left);
		rels = list_delete_ptr(rels, right);
		rels = lappend(rels, joined);
	}
	return linitial(rels);
}

static RelOptInfo *join_search(PlannerInfo *root, int levels_needed, List *initial_rels)
{
	RelOptInfo *rel = NULL;
	int finished_count = list_length(root->join_rel_list); /* by searches of parts */

	if (mpp_plan_state == NULL) {
		if (next_join_search)
			return next_join_search(root, levels_needed, initial_rels);
		if (enable_geqo && levels_needed >= geqo_threshold)
			return geqo(root, levels_needed, initial_rels);
		return standard_join_search(root, levels_needed, initial_rels);
	}
	if (enable_geqo && levels_needed >= geqo_threshold)
		rel = search_greedily(root, initial_rels);
	if (rel == NULL) {
		/* Relations finished by a search that led to a dead end must not be given more
		 * paths. Those of parts are looked for when rows of semijoins are estimated. */
		root->join_rel_list = list_truncate(root->join_rel_list, finished_count);
		root->join_rel_hash = NULL;
		rel = search_all(root, levels_needed, initial_rels);
	}
	return rel;
}

void mpp_join_search_init(void)
{
	next_join_search = join_search_hook;
	join_search_hook = join_search;
}
