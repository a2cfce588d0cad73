/* SPDX-License-Identifier: Apache-2.0 */
/*
 * upper.c - what stands on scans and joins: aggregation, order, limits, and the
 * rows' way into a table.
 */
#include "executor/plan/plan.h"

#include <optimizer/pathnode.h>
#include <optimizer/paths.h>
#include <optimizer/planner.h>

static create_upper_paths_hook_type next_upper_paths;

static void upper_paths(PlannerInfo *root, UpperRelationKind stage, RelOptInfo *input_rel,
                        RelOptInfo *output_rel, void *extra)
{
	if (next_upper_paths)
		next_upper_paths(root, stage, input_rel, output_rel, extra);
	if (mpp_plan_state == NULL)
		return;
	switch (stage) {
	case UPPERREL_FINAL:
		if (root->parse->commandType == CMD_INSERT)
			mpp_insert_paths(root, input_rel, output_rel);
		break;
	default:
		break;
	}
}

void mpp_upper_init(void)
{
	next_upper_paths = create_upper_paths_hook;
	create_upper_paths_hook = upper_paths;
}
