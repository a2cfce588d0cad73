/* SPDX-License-Identifier: Apache-2.0 */
/*
 * base.c - base relations: sizes from the coordinator's statistics, which are of
 * the whole table, and the scans of the segments, each of its share.
 */
#include "executor/plan/plan.h"

#include <math.h>

#include <access/htup_details.h>
#include <access/nbtree.h>
#include <access/sysattr.h>
#include <catalog/pg_class.h>
#include <nodes/makefuncs.h>
#include <nodes/nodeFuncs.h>
#include <optimizer/clauses.h>
#include <optimizer/cost.h>
#include <optimizer/optimizer.h>
#include <optimizer/pathnode.h>
#include <optimizer/paths.h>
#include <optimizer/plancat.h>
#include <optimizer/restrictinfo.h>
#include <optimizer/tlist.h>
#include <parser/parsetree.h>
#include <utils/rel.h>
#include <utils/syscache.h>

#include "executor/catalog/distribution.h"
#include "executor/catalog/node.h"

static get_relation_info_hook_type next_relation_info;

/* ---- statistics ---- */

/* Before the first ANALYZE: as PostgreSQL guesses for a small new table, per segment. */
#define UNKNOWN_PAGES 10

/* Of the whole, if it was analyzed; else what the table's size lets expect. */
static void index_size(IndexOptInfo *index, const RelOptInfo *rel, bool analyzed)
{
	const int entry_bytes = 24; /* header, line pointer and a small key */
	HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(index->indexoid));

	/* Or core would look into the shell's empty index for the ends of a column, or
	 * for the index's own statistics. */
	index->hypothetical = true;
	index->tuples = rel->tuples;
	index->pages = Max(1, ceil(rel->tuples * entry_bytes / (BLCKSZ * 0.8)));
	if (HeapTupleIsValid(tuple)) {
		const FormData_pg_class *form = (const FormData_pg_class *)GETSTRUCT(tuple);

		if (analyzed && form->reltuples >= 0 && form->relpages > 1) {
			index->tuples = form->reltuples;
			index->pages = form->relpages;
		}
		ReleaseSysCache(tuple);
	}
	index->tree_height = index->relam == BTREE_AM_OID
	                             ? (int)Max(0, ceil(log(Max(index->pages, 1)) / log(300)))
	                             : -1;
}

/* The shell has no blocks, from which core would conclude that it has no rows. */
static void relation_info(PlannerInfo *root, Oid relid, bool inhparent, RelOptInfo *rel)
{
	HeapTuple tuple;
	ListCell *lc;

	if (next_relation_info)
		next_relation_info(root, relid, inhparent, rel);
	if (mpp_plan_state == NULL || inhparent || mpp_distribution_get(relid) == NULL)
		return;
	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	if (!HeapTupleIsValid(tuple))
		return;
	const FormData_pg_class *form = (const FormData_pg_class *)GETSTRUCT(tuple);
	bool analyzed = form->reltuples >= 0;

	if (analyzed) {
		rel->tuples = form->reltuples;
		rel->pages = Max(form->relpages, rel->tuples > 0 ? 1 : 0);
		rel->allvisfrac =
		        rel->pages > 0 ? Min(1.0, (double)form->relallvisible / rel->pages) : 0;
	} else {
		int width = get_relation_data_width(relid, rel->attr_widths - rel->min_attr);

		rel->pages = UNKNOWN_PAGES * mpp_plan_state->segment_count;
		rel->tuples = rint(
		        (double)rel->pages * (BLCKSZ - SizeOfPageHeaderData) /
		        (MAXALIGN(width) + MAXALIGN(SizeofHeapTupleHeader) + sizeof(ItemIdData)));
		rel->allvisfrac = 0;
	}
	ReleaseSysCache(tuple);
	rel->rel_parallel_workers = 0;
	foreach (lc, rel->indexlist)
		index_size(lfirst(lc), rel, analyzed);
}

/* ---- where its rows are ---- */

static void base_locus(PlannerInfo *root, RelOptInfo *rel, const MppDistribution *distribution,
                       MppLocus *locus)
{
	*locus = (MppLocus){.single = MPP_NOT_SINGLE};
	switch (distribution->policy) {
	case MPP_POLICY_REPLICATED:
		locus->kind = MPP_LOCUS_REPLICATED;
		return;
	case MPP_POLICY_RANDOM:
		locus->kind = MPP_LOCUS_STREWN;
		return;
	case MPP_POLICY_HASH:
		break;
	}
	locus->kind = MPP_LOCUS_HASHED;
	locus->single = mpp_single_segment(rel, distribution);
	for (int i = 0; i < distribution->key_count; i++) {
		HeapTuple tuple = SearchSysCache2(
		        ATTNUM, ObjectIdGetDatum(planner_rt_fetch(rel->relid, root)->relid),
		        Int16GetDatum(distribution->keys[i]));
		const FormData_pg_attribute *attribute;

		if (!HeapTupleIsValid(tuple))
			elog(ERROR, "cache lookup failed for distribution key column %d",
			     distribution->keys[i]);
		attribute = (const FormData_pg_attribute *)GETSTRUCT(tuple);
		Var *var = makeVar(rel->relid, distribution->keys[i], attribute->atttypid,
		                   attribute->atttypmod, attribute->attcollation, 0);

		ReleaseSysCache(tuple);
		locus->keys =
		        lappend(locus->keys, mpp_locus_key((Expr *)var, distribution->opfamilies[i],
		                                           distribution->collations[i]));
	}
}

/* ---- scans ---- */

/* Clauses a segment may not evaluate are left to whoever receives the rows. */
static List *take_unshippable(PlannerInfo *root, RelOptInfo *scratch)
{
	List *upper = NIL;
	List *lower = NIL;
	ListCell *lc;

	foreach (lc, scratch->baserestrictinfo) {
		RestrictInfo *rinfo = lfirst_node(RestrictInfo, lc);

		if (mpp_shippable_within(root, (Node *)rinfo->clause, scratch->relids))
			lower = lappend(lower, rinfo);
		else
			upper = lappend(upper, rinfo);
	}
	scratch->baserestrictinfo = lower;
	cost_qual_eval(&scratch->baserestrictcost, lower, root);
	return upper;
}

/* Joins push clauses into scans with parameters: all of them must be shippable. */
static bool joins_shippable(PlannerInfo *root, const RelOptInfo *rel)
{
	ListCell *lc;

	foreach (lc, rel->joininfo)
		if (!mpp_shippable(root, (Node *)lfirst_node(RestrictInfo, lc)->clause))
			return false;
	return true;
}

static void scratch_indexes(RelOptInfo *scratch, double share)
{
	List *indexes = NIL;
	ListCell *lc;

	foreach (lc, scratch->indexlist) {
		IndexOptInfo *index = makeNode(IndexOptInfo);
		List *restrictions = NIL;
		ListCell *lr;

		*index = *lfirst_node(IndexOptInfo, lc);
		index->rel = scratch;
		index->pages = Max(1, ceil(index->pages * share));
		index->tuples *= share;
		foreach (lr, index->indrestrictinfo)
			if (list_member_ptr(scratch->baserestrictinfo, lfirst(lr)))
				restrictions = lappend(restrictions, lfirst(lr));
		index->indrestrictinfo = restrictions;
		indexes = lappend(indexes, index);
	}
	scratch->indexlist = indexes;
}

/* The Vars of these expressions as a target: enough to compute them above. */
static PathTarget *vars_target(PlannerInfo *root, RelOptInfo *rel, List *upper_quals)
{
	PathTarget *target = create_empty_pathtarget();
	List *exprs = list_copy(rel->reltarget->exprs);
	ListCell *lc;

	foreach (lc, upper_quals)
		exprs = lappend(exprs, lfirst_node(RestrictInfo, lc)->clause);
	foreach (lc, pull_var_clause((Node *)exprs, PVC_RECURSE_PLACEHOLDERS)) {
		Var *var = lfirst_node(Var, lc);

		if (bms_is_member(var->varno, rel->relids))
			add_new_column_to_pathtarget(target, (Expr *)var);
	}
	return set_pathtarget_cost_width(root, target);
}

/* The scans of one segment: its share of the rows, core's costs. */
static RelOptInfo *segment_scans(PlannerInfo *root, RelOptInfo *rel, RangeTblEntry *rte,
                                 double share, const MppLocus *locus, List **ret_upper)
{
	RelOptInfo *scratch = mpp_scratch_rel(rel);

	scratch->pages = Max(rel->pages > 0 ? 1 : 0, ceil(rel->pages * share));
	scratch->tuples = rel->tuples * share;
	if (locus->single == MPP_NOT_SINGLE)
		scratch->rows = clamp_row_est(rel->rows * share);
	*ret_upper = take_unshippable(root, scratch);
	scratch_indexes(scratch, share);
	if (*ret_upper != NIL ||
	    !mpp_shippable_within(root, (Node *)rel->reltarget->exprs, rel->relids))
		scratch->reltarget = vars_target(root, rel, *ret_upper);
	if (*ret_upper != NIL || rel->lateral_relids != NULL || !joins_shippable(root, rel)) {
		scratch->joininfo = NIL;
		scratch->has_eclass_joins = false;
	}
	scratch->lateral_relids = NULL;
	if (rte->tablesample != NULL) {
		add_path(scratch, create_samplescan_path(root, scratch, NULL));
	} else {
		add_path(scratch, create_seqscan_path(root, scratch, NULL, 0));
		create_index_paths(root, scratch);
	}
	set_cheapest(scratch);
	return scratch;
}

/* rel's own paths: Motions to the coordinator over the scans. */
static void gather_scans(PlannerInfo *root, RelOptInfo *rel, RelOptInfo *scratch,
                         const MppLocus *locus, List *upper)
{
	List *quals = extract_actual_clauses(upper, false);
	ListCell *lc;

	rel->pathlist = NIL;
	rel->partial_pathlist = NIL;
	rel->consider_parallel = false;
	foreach (lc, scratch->pathlist) {
		Path *path = lfirst(lc);

		if (path->param_info != NULL)
			continue;
		bool ordered = path->pathkeys != NIL && scratch->reltarget == rel->reltarget &&
		               path != scratch->cheapest_total_path;
		CustomPath *motion = (CustomPath *)mpp_gather_path(root, rel, path, locus, ordered);

		mpp_motion_path_upper_quals(root, motion, quals, rel->reltarget);
		motion->path.rows = rel->rows;
		motion->path.param_info = get_baserel_parampathinfo(root, rel, rel->lateral_relids);
		add_path(rel, &motion->path);
	}
}

static void distributed_rel(PlannerInfo *root, RelOptInfo *rel, RangeTblEntry *rte,
                            const MppDistribution *distribution)
{
	List *upper = NIL;
	MppLocus locus;
	RelOptInfo *scratch;
	double share = 1.0;

	if (rte->tablesample != NULL && !mpp_shippable_within(root, (Node *)rte->tablesample, NULL))
		ereport(ERROR,
		        (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
		         errmsg("TABLESAMPLE of a distributed table needs constant arguments")));
	base_locus(root, rel, distribution, &locus);
	if (mpp_locus_partitioned(&locus))
		share = 1.0 / mpp_plan_state->segment_count;
	scratch = segment_scans(root, rel, rte, share, &locus, &upper);
	gather_scans(root, rel, scratch, &locus, upper);
	/* Copies of a replicated table would each be sampled on their own. */
	if (rte->tablesample != NULL && locus.kind == MPP_LOCUS_REPLICATED)
		return;
	if (upper == NIL && scratch->reltarget == rel->reltarget && rel->lateral_relids == NULL)
		mpp_variants_add(rel, &locus, scratch);
}

void mpp_base_pathlist(PlannerInfo *root, RelOptInfo *rel, RangeTblEntry *rte)
{
	const MppDistribution *distribution = mpp_distribution_get(rte->relid);

	if (distribution != NULL)
		distributed_rel(root, rel, rte, distribution);
}

void mpp_base_init(void)
{
	next_relation_info = get_relation_info_hook;
	get_relation_info_hook = relation_info;
}
