/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rels.c - base relations other than tables: what is computed from nothing stored,
 * subqueries, whose place is that of their own plan, and the union of several
 * relations, be they partitions or arms of UNION ALL.
 */
#include "executor/plan/plan.h"

#include <nodes/makefuncs.h>
#include <nodes/nodeFuncs.h>
#include <optimizer/optimizer.h>
#include <optimizer/pathnode.h>
#include <optimizer/paths.h>
#include <optimizer/tlist.h>

static set_rel_pathlist_hook_type next_rel_pathlist;

static bool all_shippable(PlannerInfo *root, const RelOptInfo *rel)
{
	ListCell *lc;

	foreach (lc, rel->baserestrictinfo)
		if (!mpp_shippable_within(root, (Node *)lfirst_node(RestrictInfo, lc)->clause,
		                          rel->relids))
			return false;
	return mpp_shippable_within(root, (Node *)rel->reltarget->exprs, rel->relids);
}

/* ---- computed from nothing stored ---- */

/* LATERAL ones, of a row they are joined to, have paths that this row drives, and nothing
 * in them moves. */
static void general_rel(PlannerInfo *root, RelOptInfo *rel, RangeTblEntry *rte)
{
	MppLocus locus = {.kind = MPP_LOCUS_GENERAL, .single = MPP_NOT_SINGLE};
	RelOptInfo *scratch;

	if (!all_shippable(root, rel) || !mpp_shippable(root, (Node *)rte->functions) ||
	    !mpp_shippable(root, (Node *)rte->values_lists))
		return;
	scratch = mpp_scratch_rel(rel);
	if (rte->rtekind == RTE_VALUES)
		add_path(scratch, create_valuesscan_path(root, scratch, rel->lateral_relids));
	else if (rte->rtekind == RTE_FUNCTION)
		add_path(scratch,
		         create_functionscan_path(root, scratch, NIL, rel->lateral_relids));
	else
		add_path(scratch, create_resultscan_path(root, scratch, rel->lateral_relids));
	set_cheapest(scratch);
	mpp_variants_add(rel, &locus, scratch);
}

/* ---- subqueries ---- */

static Expr *output_column(PlannerInfo *subroot, Index rti, const MppLocusKey *key)
{
	ListCell *lc;

	foreach (lc, subroot->processed_tlist) {
		TargetEntry *tle = lfirst_node(TargetEntry, lc);

		if (!tle->resjunk && mpp_same_value(subroot, tle->expr, key->expr))
			return (Expr *)makeVarFromTargetEntry(rti, tle);
	}
	return NULL;
}

/* The place of the subquery's rows, in terms of its output. */
static void subquery_locus(PlannerInfo *subroot, const RelOptInfo *rel, const MppLocus *inside,
                           MppLocus *locus)
{
	ListCell *lc;

	*locus = *inside;
	locus->keys = NIL;
	foreach (lc, inside->keys) {
		MppLocusKey *key = lfirst(lc);
		Expr *column = output_column(subroot, rel->relid, key);

		if (column == NULL) {
			locus->kind = MPP_LOCUS_STREWN;
			locus->keys = NIL;
			return;
		}
		locus->keys =
		        lappend(locus->keys, mpp_locus_key(column, key->opfamily, key->collation));
	}
}

static void subquery_rel(PlannerInfo *root, RelOptInfo *rel)
{
	RelOptInfo *final = fetch_upper_rel(rel->subroot, UPPERREL_FINAL, NULL);
	ListCell *lc;
	ListCell *lp;

	if (rel->lateral_relids != NULL || !all_shippable(root, rel))
		return;
	foreach (lc, mpp_variants_get(final)) {
		MppVariant *variant = lfirst(lc);
		RelOptInfo *scratch = mpp_scratch_rel(rel);
		MppLocus locus;

		subquery_locus(rel->subroot, rel, &variant->locus, &locus);
		if (mpp_locus_partitioned(&locus) && locus.single == MPP_NOT_SINGLE)
			scratch->rows = clamp_row_est(rel->rows / mpp_plan_state->segment_count);
		foreach (lp, variant->rel->pathlist)
			add_path(scratch, (Path *)create_subqueryscan_path(root, scratch,
			                                                   lfirst(lp), NIL, NULL));
		set_cheapest(scratch);
		mpp_variants_add(rel, &locus, scratch);
	}
	mpp_variants_gather(root, rel);
}

/* ---- unions ---- */

typedef struct UnionArm {
	RelOptInfo *rel;
	AppendRelInfo *info;
} UnionArm;

static Expr *parent_column(const AppendRelInfo *info, const Expr *child_expr)
{
	AttrNumber attno = 0;
	ListCell *lc;

	foreach (lc, info->translated_vars) {
		Node *expr = lfirst(lc);

		attno++;
		if (expr != NULL && equal(expr, child_expr))
			return (Expr *)makeVar(info->parent_relid, attno, exprType(expr),
			                       exprTypmod(expr), exprCollation(expr), 0);
	}
	return NULL;
}

/* Keys of the arm's variant as the union's columns; NIL: they are not all to be seen. */
static List *parent_keys(const AppendRelInfo *info, const MppLocus *locus)
{
	List *keys = NIL;
	ListCell *lc;

	foreach (lc, locus->keys) {
		MppLocusKey *key = lfirst(lc);
		Expr *column = parent_column(info, key->expr);

		if (column == NULL)
			return NIL;
		keys = lappend(keys, mpp_locus_key(column, key->opfamily, key->collation));
	}
	return keys;
}

static bool same_keys(const List *left, const List *right)
{
	ListCell *ll;
	ListCell *lr;

	if (list_length(left) != list_length(right))
		return false;
	forboth (ll, left, lr, right) {
		MppLocusKey *a = lfirst(ll);
		MppLocusKey *b = lfirst(lr);

		if (a->opfamily != b->opfamily || !equal(a->expr, b->expr) ||
		    !mpp_same_collation_hash(a->collation, b->collation))
			return false;
	}
	return true;
}

/* The arm's variant that fits the union's place: replicated, hashed by keys, or any
 * partitioned one when wanted is strewn. */
static MppVariant *fitting_variant(const UnionArm *arm, const MppLocus *wanted)
{
	MppVariant *best = NULL;
	ListCell *lc;

	foreach (lc, mpp_variants_get(arm->rel)) {
		MppVariant *variant = lfirst(lc);
		bool fits;

		if (wanted->kind == MPP_LOCUS_HASHED)
			fits = variant->locus.kind == MPP_LOCUS_HASHED &&
			       same_keys(parent_keys(arm->info, &variant->locus), wanted->keys);
		else if (wanted->kind == MPP_LOCUS_STREWN)
			fits = mpp_locus_partitioned(&variant->locus);
		else
			fits = variant->locus.kind == wanted->kind;
		if (fits && (best == NULL || variant->rel->cheapest_total_path->total_cost <
		                                     best->rel->cheapest_total_path->total_cost))
			best = variant;
	}
	return best;
}

static void try_union(PlannerInfo *root, RelOptInfo *rel, List *arms, MppLocus *wanted)
{
	RelOptInfo *scratch = mpp_scratch_rel(rel);
	List *children = NIL;
	ListCell *lc;

	wanted->fed = false;
	foreach (lc, arms) {
		MppVariant *variant = fitting_variant(lfirst(lc), wanted);

		if (variant == NULL)
			return;
		if (children == NIL)
			wanted->single = variant->locus.single;
		else if (wanted->single != variant->locus.single)
			wanted->single = MPP_NOT_SINGLE;
		wanted->fed |= variant->locus.fed;
		children = lappend(children, variant->rel);
	}
	if (wanted->fed)
		wanted->single = MPP_NOT_SINGLE;
	if (mpp_locus_partitioned(wanted) && wanted->single == MPP_NOT_SINGLE)
		scratch->rows = clamp_row_est(rel->rows / mpp_plan_state->segment_count);
	add_paths_to_append_rel(root, scratch, children);
	mpp_drop_driven_motions(scratch);
	if (!mpp_has_plain_path(scratch))
		return;
	set_cheapest(scratch);
	mpp_variants_add(rel, wanted, scratch);
}

static List *union_arms(PlannerInfo *root, Index rti)
{
	List *arms = NIL;
	ListCell *lc;

	foreach (lc, root->append_rel_list) {
		AppendRelInfo *info = lfirst_node(AppendRelInfo, lc);
		UnionArm *arm;

		if (info->parent_relid != rti ||
		    root->simple_rel_array[info->child_relid] == NULL ||
		    IS_DUMMY_REL(root->simple_rel_array[info->child_relid]))
			continue;
		arm = palloc0(sizeof(UnionArm));
		arm->rel = root->simple_rel_array[info->child_relid];
		arm->info = info;
		arms = lappend(arms, arm);
	}
	return arms;
}

static void union_rel(PlannerInfo *root, RelOptInfo *rel, Index rti)
{
	List *arms = union_arms(root, rti);
	ListCell *lc;

	if (arms == NIL || rel->lateral_relids != NULL)
		return;
	const UnionArm *first = linitial(arms);

	foreach (lc, mpp_variants_get(first->rel)) {
		const MppVariant *variant = lfirst(lc);
		MppLocus wanted = variant->locus;

		if (wanted.kind == MPP_LOCUS_HASHED) {
			wanted.keys = parent_keys(first->info, &variant->locus);
			if (wanted.keys == NIL)
				continue;
		}
		try_union(root, rel, arms, &wanted);
	}
	if (mpp_variants_get(rel) == NIL) {
		MppLocus strewn = {.kind = MPP_LOCUS_STREWN, .single = MPP_NOT_SINGLE};

		try_union(root, rel, arms, &strewn);
	}
	mpp_variants_gather(root, rel);
}

/* ---- */

static void rel_pathlist(PlannerInfo *root, RelOptInfo *rel, Index rti, RangeTblEntry *rte)
{
	if (next_rel_pathlist)
		next_rel_pathlist(root, rel, rti, rte);
	if (mpp_plan_state == NULL || IS_DUMMY_REL(rel))
		return;
	if (rte->inh) {
		union_rel(root, rel, rti);
		return;
	}
	switch (rte->rtekind) {
	case RTE_RELATION:
		mpp_base_pathlist(root, rel, rte);
		break;
	case RTE_SUBQUERY:
		subquery_rel(root, rel);
		break;
	case RTE_FUNCTION:
	case RTE_VALUES:
	case RTE_RESULT:
		general_rel(root, rel, rte);
		break;
	default:
		break;
	}
}

void mpp_rels_init(void)
{
	next_rel_pathlist = set_rel_pathlist_hook;
	set_rel_pathlist_hook = rel_pathlist;
}
