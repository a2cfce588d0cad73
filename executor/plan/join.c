/* SPDX-License-Identifier: Apache-2.0 */
/*
 * join.c - joins that stay on the segments. For each pair of inputs core has made
 * its join paths of, the legal ways to bring their variants together are tried, and
 * core is called again to fill a scratch join relation for each.
 *
 * When is the join of the parts the part of the join? Let "full" be an input that is
 * whole on every segment, "partitioned" one whose rows are each on one segment.
 *
 *   partitioned x partitioned   rows that join are on the same segment: any join
 *   partitioned x full          not RIGHT, FULL, UNIQUE_OUTER: a row of the full
 *                               side would be emitted, or counted once, per segment
 *   full x partitioned          INNER, RIGHT, UNIQUE_OUTER only, for the same reason
 *   full x full                 any; the result is full
 */
#include "executor/plan/plan.h"

#include <nodes/nodeFuncs.h>
#include <optimizer/cost.h>
#include <optimizer/optimizer.h>
#include <optimizer/pathnode.h>
#include <optimizer/paths.h>
#include <optimizer/restrictinfo.h>
#include <utils/lsyscache.h>
#include <utils/selfuncs.h>

#include "executor/catalog/node.h"
#include "executor/plan/join.h"

static set_join_pathlist_hook_type next_join_pathlist;

/* An equality that must hold of every pair of rows that join. */
typedef struct JoinClause {
	Expr *outer;
	Expr *inner;
	Oid opfamily;
	Oid collation; /* of the comparison */
} JoinClause;

typedef struct JoinContext {
	PlannerInfo *root;
	RelOptInfo *joinrel;
	RelOptInfo *outer;
	RelOptInfo *inner;
	JoinType type;
	JoinPathExtraData *extra;
	List *clauses; /* of JoinClause */
	Cost bound;    /* above which a way need not be looked at */
} JoinContext;

/* An input as it comes to the join. */
typedef struct JoinInput {
	MppLocus locus;
	RelOptInfo *rel;
} JoinInput;

/* ---- clauses ---- */

static void add_clause(JoinContext *join, const RestrictInfo *rinfo, bool outer_is_left)
{
	OpExpr *op = (OpExpr *)rinfo->clause;
	Expr *left = linitial(op->args);
	Expr *right = lsecond(op->args);
	Oid family = mpp_hash_family(left);
	JoinClause *clause;

	if (!OidIsValid(family) || family != mpp_hash_family(right) ||
	    !op_in_opfamily(rinfo->hashjoinoperator, family) ||
	    !mpp_same_collation_hash(exprCollation((Node *)left), op->inputcollid) ||
	    !mpp_same_collation_hash(exprCollation((Node *)right), op->inputcollid) ||
	    !mpp_shippable(join->root, (Node *)op))
		return;
	clause = palloc0(sizeof(JoinClause));
	clause->outer = outer_is_left ? left : right;
	clause->inner = outer_is_left ? right : left;
	clause->opfamily = family;
	clause->collation = op->inputcollid;
	join->clauses = lappend(join->clauses, clause);
}

static void find_clauses(JoinContext *join)
{
	ListCell *lc;

	foreach (lc, join->extra->restrictlist) {
		const RestrictInfo *rinfo = lfirst_node(RestrictInfo, lc);

		if (!rinfo->can_join || !OidIsValid(rinfo->hashjoinoperator))
			continue;
		if (IS_OUTER_JOIN(join->type) && RINFO_IS_PUSHED_DOWN(rinfo, join->joinrel->relids))
			continue;
		if (bms_is_subset(rinfo->left_relids, join->outer->relids) &&
		    bms_is_subset(rinfo->right_relids, join->inner->relids))
			add_clause(join, rinfo, true);
		else if (bms_is_subset(rinfo->left_relids, join->inner->relids) &&
		         bms_is_subset(rinfo->right_relids, join->outer->relids))
			add_clause(join, rinfo, false);
	}
}

static bool key_matches(PlannerInfo *root, const MppLocusKey *key, Expr *expr,
                        const JoinClause *clause)
{
	return key->opfamily == clause->opfamily && mpp_same_value(root, key->expr, expr) &&
	       mpp_same_collation_hash(key->collation, clause->collation);
}

/* Whether rows that join have equal hashes under these keys, one of each side. */
static bool keys_joined(const JoinContext *join, const MppLocusKey *outer, const MppLocusKey *inner)
{
	ListCell *lc;

	if (outer->opfamily != inner->opfamily ||
	    !mpp_same_collation_hash(outer->collation, inner->collation))
		return false;
	/* Core enforces each equivalence class at the first inner join that can. */
	if (!IS_OUTER_JOIN(join->type) && mpp_same_value(join->root, outer->expr, inner->expr))
		return true;
	foreach (lc, join->clauses) {
		const JoinClause *clause = lfirst(lc);

		if (key_matches(join->root, outer, clause->outer, clause) &&
		    key_matches(join->root, inner, clause->inner, clause))
			return true;
	}
	return false;
}

static bool colocated(const JoinContext *join, const MppLocus *outer, const MppLocus *inner)
{
	ListCell *lo;
	ListCell *li;

	if (outer->kind != MPP_LOCUS_HASHED || inner->kind != MPP_LOCUS_HASHED ||
	    list_length(outer->keys) != list_length(inner->keys) || outer->keys == NIL)
		return false;
	forboth (lo, outer->keys, li, inner->keys)
		if (!keys_joined(join, lfirst(lo), lfirst(li)))
			return false;
	return true;
}

/* What to hash the inner side by to meet the outer's keys; with outer_side the other
 * way round. NIL: there is not a clause for each key. */
static List *matching_exprs(const JoinContext *join, const MppLocus *locus, bool outer_side)
{
	List *exprs = NIL;
	ListCell *lk;
	ListCell *lc;

	if (locus->kind != MPP_LOCUS_HASHED)
		return NIL;
	foreach (lk, locus->keys) {
		const JoinClause *found = NULL;

		foreach (lc, join->clauses) {
			const JoinClause *clause = lfirst(lc);
			Expr *here = outer_side ? clause->outer : clause->inner;

			if (found == NULL && key_matches(join->root, lfirst(lk), here, clause))
				found = clause;
		}
		if (found == NULL)
			return NIL;
		exprs = lappend(exprs, outer_side ? found->inner : found->outer);
	}
	return exprs;
}

/* ---- legality and results ---- */

static bool full_inner_legal(JoinType type)
{
	return type != JOIN_RIGHT && type != JOIN_FULL && type != JOIN_UNIQUE_OUTER;
}

static bool full_outer_legal(JoinType type)
{
	return type == JOIN_INNER || type == JOIN_RIGHT || type == JOIN_UNIQUE_OUTER;
}

/* The one segment the join of two partitioned inputs in place can be left to. */
static int joined_single(JoinType type, int outer, int inner)
{
	if (outer == inner)
		return outer;
	if (type == JOIN_FULL)
		return MPP_NOT_SINGLE;
	if (type == JOIN_RIGHT)
		return inner;
	if (outer != MPP_NOT_SINGLE || IS_OUTER_JOIN(type))
		return outer;
	return type == JOIN_INNER || type == JOIN_UNIQUE_OUTER || type == JOIN_UNIQUE_INNER ||
	                       type == JOIN_SEMI
	               ? inner
	               : MPP_NOT_SINGLE;
}

static void partitioned_result(JoinType type, const MppLocus *outer, const MppLocus *inner,
                               MppLocus *result)
{
	*result = type == JOIN_RIGHT ? *inner : *outer;
	if (type == JOIN_FULL) {
		result->kind = MPP_LOCUS_STREWN;
		result->keys = NIL;
	}
	result->fed = outer->fed || inner->fed;
	result->single =
	        result->fed ? MPP_NOT_SINGLE : joined_single(type, outer->single, inner->single);
}

/* ---- making the paths ---- */

/* An inner side in its place may be read through an index, by parts. */
static Cost least_cost(const JoinInput *outer, const JoinInput *inner)
{
	const Path *path = inner->rel->cheapest_total_path;

	return outer->rel->cheapest_total_path->total_cost +
	       (mpp_path_is_motion(path) ? path->total_cost : 0);
}

static void try_join(const JoinContext *join, const JoinInput *outer, const JoinInput *inner,
                     const MppLocus *result)
{
	RelOptInfo *scratch;

	if (mpp_locus_partitioned(result) && least_cost(outer, inner) > join->bound)
		return;
	scratch = mpp_scratch_rel(join->joinrel);
	if (mpp_locus_partitioned(result) && result->single == MPP_NOT_SINGLE)
		scratch->rows = clamp_row_est(join->joinrel->rows / mpp_plan_state->segment_count);
	mpp_plan_state->searching_scratch = true;
	add_paths_to_joinrel(join->root, scratch, outer->rel, inner->rel, join->type,
	                     join->extra->sjinfo, join->extra->restrictlist);
	mpp_plan_state->searching_scratch = false;
	mpp_drop_driven_motions(scratch);
	if (!mpp_has_plain_path(scratch))
		return;
	set_cheapest(scratch);
	mpp_variants_add(join->joinrel, result, scratch);
}

static bool of_coordinator(const MppVariant *variant)
{
	return variant->locus.single == MPP_COORDINATOR;
}

static JoinInput in_place(const MppVariant *variant)
{
	return (JoinInput){.locus = variant->locus, .rel = variant->rel};
}

/* The variant's rows, moved: by the hash of exprs, or to all when exprs is NIL. */
static JoinInput moved(const MppVariant *variant, List *exprs)
{
	RelOptInfo *scratch = mpp_scratch_rel(variant->rel);
	Path *source = variant->rel->cheapest_total_path;
	JoinInput input = {.rel = scratch, .locus = {.single = MPP_NOT_SINGLE, .fed = true}};
	List *senders = mpp_locus_senders(&variant->locus);
	double rows = source->rows;
	CustomPath *motion;
	ListCell *lc;

	if (mpp_locus_partitioned(&variant->locus))
		rows *= list_length(senders);
	else
		senders = list_make1_int(linitial_int(senders));
	motion = mpp_motion_path(scratch, source,
	                         exprs == NIL ? MPP_MOTION_BROADCAST : MPP_MOTION_REDISTRIBUTE,
	                         senders, mpp_all_segments(), rows);
	mpp_motion_path_keys(motion, exprs);
	input.locus.kind = exprs == NIL ? MPP_LOCUS_REPLICATED : MPP_LOCUS_HASHED;
	foreach (lc, exprs) {
		Expr *expr = lfirst(lc);

		input.locus.keys =
		        lappend(input.locus.keys, mpp_locus_key(expr, mpp_hash_family(expr),
		                                                exprCollation((Node *)expr)));
	}
	/* Conditions are the scan's, below; indexes are not to be had above. */
	scratch->baserestrictinfo = NIL;
	scratch->baserestrictcost = (QualCost){0};
	scratch->rows = motion->path.rows;
	add_path(scratch, &motion->path);
	set_cheapest(scratch);
	return input;
}

/* ---- the ways ---- */

static MppVariant *cheapest_variant(List *variants)
{
	MppVariant *best = NULL;
	ListCell *lc;

	foreach (lc, variants) {
		MppVariant *variant = lfirst(lc);

		if (variant->locus.kind == MPP_LOCUS_GENERAL)
			continue;
		if (best == NULL || variant->rel->cheapest_total_path->total_cost <
		                            best->rel->cheapest_total_path->total_cost)
			best = variant;
	}
	return best;
}

static void join_in_place(const JoinContext *join, const MppVariant *outer, const MppVariant *inner)
{
	bool outer_part = mpp_locus_partitioned(&outer->locus);
	bool inner_part = mpp_locus_partitioned(&inner->locus);
	JoinInput left = in_place(outer);
	JoinInput right = in_place(inner);
	MppLocus result;

	if (of_coordinator(outer) || of_coordinator(inner))
		return;
	if (outer_part && inner_part) {
		bool same = outer->locus.single != MPP_NOT_SINGLE &&
		            outer->locus.single == inner->locus.single;

		if (!same && !colocated(join, &outer->locus, &inner->locus))
			return;
		partitioned_result(join->type, &outer->locus, &inner->locus, &result);
		try_join(join, &left, &right, &result);
	} else if (outer_part) {
		if (full_inner_legal(join->type))
			try_join(join, &left, &right, &outer->locus);
	} else if (inner_part) {
		if (full_outer_legal(join->type))
			try_join(join, &left, &right, &inner->locus);
	} else {
		result = inner->locus.kind == MPP_LOCUS_GENERAL ? outer->locus : inner->locus;
		try_join(join, &left, &right, &result);
	}
}

/* A slice with a Motion into it runs on all segments. */
static MppLocus everywhere(const MppLocus *locus)
{
	MppLocus result = *locus;

	result.single = MPP_NOT_SINGLE;
	result.fed = true;
	return result;
}

/* staying keeps its place, the other side comes to it. */
static void join_by_moving_inner(const JoinContext *join, const MppVariant *outer,
                                 const MppVariant *inner)
{
	JoinInput left = in_place(outer);
	JoinInput right;
	MppLocus result;
	List *exprs;

	if (!mpp_locus_partitioned(&outer->locus) || of_coordinator(outer) || inner == NULL)
		return;
	left.locus = everywhere(&left.locus);
	exprs = matching_exprs(join, &outer->locus, true);
	if (exprs != NIL && !colocated(join, &outer->locus, &inner->locus)) {
		right = moved(inner, exprs);
		partitioned_result(join->type, &left.locus, &right.locus, &result);
		try_join(join, &left, &right, &result);
	}
	if (full_inner_legal(join->type) && mpp_locus_partitioned(&inner->locus)) {
		right = moved(inner, NIL);
		try_join(join, &left, &right, &left.locus);
	}
}

static void join_by_moving_outer(const JoinContext *join, const MppVariant *outer,
                                 const MppVariant *inner)
{
	JoinInput right = in_place(inner);
	JoinInput left;
	MppLocus result;
	List *exprs;

	if (!mpp_locus_partitioned(&inner->locus) || of_coordinator(inner) || outer == NULL)
		return;
	right.locus = everywhere(&right.locus);
	exprs = matching_exprs(join, &inner->locus, false);
	if (exprs != NIL && !colocated(join, &outer->locus, &inner->locus)) {
		left = moved(outer, exprs);
		partitioned_result(join->type, &left.locus, &right.locus, &result);
		try_join(join, &left, &right, &result);
	}
	if (full_outer_legal(join->type) && mpp_locus_partitioned(&outer->locus)) {
		left = moved(outer, NIL);
		try_join(join, &left, &right, &right.locus);
	}
}

/* Few distinct keys would leave segments without work. */
static bool spreads(const JoinContext *join, const JoinClause *clause)
{
	double groups = estimate_num_groups(join->root, list_make1(clause->outer),
	                                    join->outer->rows, NULL, NULL);

	return groups >= 4.0 * mpp_plan_state->segment_count;
}

static void join_by_moving_both(const JoinContext *join, const MppVariant *outer,
                                const MppVariant *inner)
{
	List *outer_exprs = NIL;
	List *inner_exprs = NIL;
	ListCell *lc;

	if (outer == NULL || inner == NULL || join->clauses == NIL)
		return;
	foreach (lc, join->clauses) {
		const JoinClause *clause = lfirst(lc);

		outer_exprs = lappend(outer_exprs, clause->outer);
		inner_exprs = lappend(inner_exprs, clause->inner);
		if (list_length(join->clauses) > 1 && !spreads(join, clause))
			continue;
		if (list_length(join->clauses) > 1) {
			JoinInput left = moved(outer, list_make1(clause->outer));
			JoinInput right = moved(inner, list_make1(clause->inner));
			MppLocus result;

			partitioned_result(join->type, &left.locus, &right.locus, &result);
			try_join(join, &left, &right, &result);
		}
	}
	JoinInput left = moved(outer, outer_exprs);
	JoinInput right = moved(inner, inner_exprs);
	MppLocus result;

	partitioned_result(join->type, &left.locus, &right.locus, &result);
	try_join(join, &left, &right, &result);
}

/* The variants of one side; where the other has some, also of rows of the coordinator. */
static List *variants_of(const JoinContext *join, const RelOptInfo *rel, const RelOptInfo *other)
{
	List *variants = mpp_variants_get(rel);
	MppVariant *sent;

	if (variants != NIL || mpp_variants_get(other) == NIL)
		return variants;
	sent = mpp_coordinator_variant(join->root, rel);
	return sent == NULL ? NIL : list_make1(sent);
}

/* Both sides' types must be hashed as the comparison's collation sees them. */
static bool joinable(const JoinContext *join)
{
	ListCell *lc;

	foreach (lc, join->extra->restrictlist)
		if (!mpp_shippable(join->root, (Node *)lfirst_node(RestrictInfo, lc)->clause))
			return false;
	return mpp_shippable(join->root, (Node *)join->joinrel->reltarget->exprs) &&
	       join->joinrel->lateral_relids == NULL;
}

static void join_pathlist(PlannerInfo *root, RelOptInfo *joinrel, RelOptInfo *outerrel,
                          RelOptInfo *innerrel, JoinType jointype, JoinPathExtraData *extra)
{
	JoinContext join = {.root = root,
	                    .joinrel = joinrel,
	                    .outer = outerrel,
	                    .inner = innerrel,
	                    .type = jointype,
	                    .extra = extra};
	List *outers;
	List *inners;
	ListCell *lo;
	ListCell *li;

	if (next_join_pathlist)
		next_join_pathlist(root, joinrel, outerrel, innerrel, jointype, extra);
	if (mpp_plan_state == NULL || mpp_plan_state->searching_scratch ||
	    !mpp_enable_distributed_joins)
		return;
	outers = variants_of(&join, outerrel, innerrel);
	inners = variants_of(&join, innerrel, outerrel);
	if (outers == NIL || inners == NIL || !joinable(&join))
		return;
	find_clauses(&join);
	join.bound = mpp_cost_anywhere(joinrel);
	foreach (lo, outers)
		foreach (li, inners)
			join_in_place(&join, lfirst(lo), lfirst(li));
	join.bound = mpp_cost_anywhere(joinrel);
	foreach (lo, outers)
		join_by_moving_inner(&join, lfirst(lo), cheapest_variant(inners));
	foreach (li, inners)
		join_by_moving_outer(&join, cheapest_variant(outers), lfirst(li));
	join_by_moving_both(&join, cheapest_variant(outers), cheapest_variant(inners));
}

void mpp_join_init(void)
{
	next_join_pathlist = set_join_pathlist_hook;
	set_join_pathlist_hook = join_pathlist;
	mpp_join_search_init();
}
