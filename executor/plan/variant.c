/* SPDX-License-Identifier: Apache-2.0 */
/*
 * variant.c - the variants kept beside each RelOptInfo.
 */
#include "executor/plan/plan.h"

#include <optimizer/pathnode.h>
#include <optimizer/paths.h>

typedef struct VariantEntry {
	const RelOptInfo *rel; /* key */
	List *variants;
} VariantEntry;

static VariantEntry *variant_entry(const RelOptInfo *rel, HASHACTION action, bool *found)
{
	return hash_search(mpp_plan_state->variants, &rel, action, found);
}

List *mpp_variants_get(const RelOptInfo *rel)
{
	VariantEntry *entry;

	if (mpp_plan_state == NULL)
		return NIL;
	entry = variant_entry(rel, HASH_FIND, NULL);
	return entry == NULL ? NIL : entry->variants;
}

static bool same_locus(const MppLocus *left, const MppLocus *right)
{
	ListCell *ll;
	ListCell *lr;

	if (left->kind != right->kind || left->single != right->single ||
	    list_length(left->keys) != list_length(right->keys))
		return false;
	forboth (ll, left->keys, lr, right->keys) {
		MppLocusKey *a = lfirst(ll);
		MppLocusKey *b = lfirst(lr);

		if (a->opfamily != b->opfamily || !equal(a->expr, b->expr))
			return false;
	}
	return true;
}

void mpp_variants_add(const RelOptInfo *rel, const MppLocus *locus, RelOptInfo *scratch)
{
	bool found;
	VariantEntry *entry;
	MppVariant *variant;
	ListCell *lc;

	if (!mpp_enable_distributed_plans)
		return;
	entry = variant_entry(rel, HASH_ENTER, &found);
	if (!found)
		entry->variants = NIL;
	foreach (lc, entry->variants) {
		variant = lfirst(lc);
		if (!same_locus(&variant->locus, locus))
			continue;
		/* Both sets of paths compete in one list, as core's own would. */
		ListCell *lp;

		foreach (lp, scratch->pathlist) {
			Path *path = lfirst(lp);

			path->parent = variant->rel;
			add_path(variant->rel, path);
		}
		set_cheapest(variant->rel);
		variant->locus.fed |= locus->fed;
		return;
	}
	variant = palloc0(sizeof(MppVariant));
	variant->locus = *locus;
	variant->rel = scratch;
	entry->variants = lappend(entry->variants, variant);
}

void mpp_variants_set(const RelOptInfo *rel, List *variants)
{
	variant_entry(rel, HASH_ENTER, &(bool){false})->variants = variants;
}

void mpp_drop_driven_motions(RelOptInfo *rel)
{
	ListCell *lc;

	foreach (lc, rel->pathlist) {
		Path *path = lfirst(lc);

		if (path->param_info != NULL && mpp_path_has_motion(path))
			rel->pathlist = foreach_delete_current(rel->pathlist, lc);
	}
}

bool mpp_has_plain_path(const RelOptInfo *rel)
{
	ListCell *lc;

	foreach (lc, rel->pathlist)
		if (((const Path *)lfirst(lc))->param_info == NULL)
			return true;
	return false;
}

RelOptInfo *mpp_scratch_rel(const RelOptInfo *rel)
{
	RelOptInfo *scratch = makeNode(RelOptInfo);

	*scratch = *rel;
	scratch->pathlist = NIL;
	scratch->partial_pathlist = NIL;
	scratch->ppilist = NIL;
	scratch->cheapest_startup_path = NULL;
	scratch->cheapest_total_path = NULL;
	scratch->cheapest_unique_path = NULL;
	scratch->cheapest_parameterized_paths = NIL;
	scratch->consider_parallel = false;
	/* Partition-wise joins look at part_rels, which hold no variants. */
	scratch->part_scheme = NULL;
	scratch->consider_partitionwise_join = false;
	return scratch;
}

/* Whether the receiver can merge by these: each must be a column of what it gets. */
static bool order_is_visible(const RelOptInfo *rel, const Path *path)
{
	ListCell *lc;
	ListCell *le;

	foreach (lc, path->pathkeys) {
		EquivalenceClass *ec = lfirst_node(PathKey, lc)->pk_eclass;
		bool found = false;

		if (ec->ec_has_volatile)
			return false;
		foreach (le, path->pathtarget->exprs)
			if (find_ec_member_matching_expr(ec, lfirst(le), rel->relids) != NULL)
				found = true;
		if (!found)
			return false;
	}
	return true;
}

void mpp_variants_gather(PlannerInfo *root, RelOptInfo *rel)
{
	ListCell *lc;
	ListCell *lp;

	foreach (lc, mpp_variants_get(rel)) {
		MppVariant *variant = lfirst(lc);

		if (variant->locus.kind == MPP_LOCUS_GENERAL)
			continue;
		foreach (lp, variant->rel->pathlist) {
			Path *path = lfirst(lp);

			if (path->param_info != NULL)
				continue;
			if (path == variant->rel->cheapest_total_path ||
			    path == variant->rel->cheapest_startup_path)
				add_path(rel,
				         mpp_gather_path(root, rel, path, &variant->locus, false));
			if (path->pathkeys != NIL && order_is_visible(rel, path))
				add_path(rel,
				         mpp_gather_path(root, rel, path, &variant->locus, true));
		}
	}
}
