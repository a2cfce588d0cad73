/* SPDX-License-Identifier: Apache-2.0 */
/*
 * insert.c - INSERT: the ModifyTable that core has put on the coordinator's rows
 * moves to the segments, and the rows to it.
 */
#include "executor/plan/plan.h"

#include <nodes/makefuncs.h>
#include <optimizer/cost.h>
#include <optimizer/optimizer.h>
#include <optimizer/pathnode.h>
#include <optimizer/paths.h>
#include <parser/parsetree.h>
#include <utils/lsyscache.h>

#include "executor/catalog/distribution.h"
#include "executor/catalog/node.h"

static List *key_columns(Oid relid, const MppDistribution *distribution)
{
	List *columns = NIL;

	for (int i = 0; i < distribution->key_count; i++) {
		if (get_attgenerated(relid, distribution->keys[i]) != '\0')
			ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			                errmsg("table \"%s\" is distributed by a generated column",
			                       get_rel_name(relid))));
		columns = lappend_int(columns, distribution->keys[i]);
	}
	return columns;
}

/* The rows, from the coordinator, to where the table wants them. */
static Path *move_rows(Path *subpath, const MppDistribution *distribution, List *columns)
{
	MppMotionKind kind = MPP_MOTION_REDISTRIBUTE;
	CustomPath *motion;

	if (distribution->policy == MPP_POLICY_RANDOM)
		kind = MPP_MOTION_RANDOM;
	else if (distribution->policy == MPP_POLICY_REPLICATED)
		kind = MPP_MOTION_BROADCAST;
	motion = mpp_motion_path(subpath->parent, subpath, kind, list_make1_int(MPP_COORDINATOR),
	                         mpp_all_segments(), subpath->rows);
	if (kind == MPP_MOTION_REDISTRIBUTE)
		mpp_motion_path_key_columns(motion, columns);
	return &motion->path;
}

void mpp_insert_paths(PlannerInfo *root, RelOptInfo *input_rel, RelOptInfo *final_rel)
{
	RangeTblEntry *rte = planner_rt_fetch(root->parse->resultRelation, root);
	const MppDistribution *distribution = mpp_distribution_get(rte->relid);
	List *core_paths = final_rel->pathlist;
	MppLocus target = {.kind = MPP_LOCUS_STREWN, .single = MPP_NOT_SINGLE};
	List *columns;
	ListCell *lc;

	if (distribution == NULL)
		return;
	columns = key_columns(rte->relid, distribution);
	final_rel->pathlist = NIL;
	foreach(lc, core_paths)
	{
		ModifyTablePath *core = lfirst_node(ModifyTablePath, lc);
		ModifyTablePath *modify = makeNode(ModifyTablePath);

		*modify = *core;
		modify->subpath = move_rows(core->subpath, distribution, columns);
		modify->path.total_cost += modify->subpath->total_cost - core->subpath->total_cost;
		add_path(final_rel,
		         mpp_gather_path(root, final_rel, &modify->path, &target, false));
	}
}
