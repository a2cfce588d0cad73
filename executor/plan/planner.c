/* SPDX-License-Identifier: Apache-2.0 */
/*
 * planner.c - planner_hook: core's planner with this folder's hooks, between what
 * must be checked before and what must be done after.
 */
#include "executor/plan/planner.h"
#include "executor/plan/plan.h"
#include "executor/plan/rewrite.h"

#include <optimizer/planner.h>
#include <utils/memutils.h>

#include "executor/catalog/cluster.h"
#include "executor/catalog/node.h"
#include "executor/dispatch/router.h"

MppPlanState *mpp_plan_state;

static planner_hook_type next_planner;

static PlannedStmt *plan_as_before(Query *query, const char *query_string, int cursor_options,
                                   ParamListInfo params)
{
	if (next_planner)
		return next_planner(query, query_string, cursor_options, params);
	return standard_planner(query, query_string, cursor_options, params);
}

static HTAB *make_variants_table(void)
{
	HASHCTL control = {.keysize = sizeof(RelOptInfo *),
	                   .entrysize = sizeof(RelOptInfo *) + sizeof(List *),
	                   .hcxt = CurrentMemoryContext};

	return hash_create("sluice plan variants", 64, &control,
	                   HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

static PlannedStmt *plan_distributed(Query *query, const char *query_string, int cursor_options,
                                     ParamListInfo params)
{
	MppPlanState state = {.outer = mpp_plan_state, .segment_count = mpp_segment_count()};
	PlannedStmt *plan = NULL;

	mpp_refuse_query(query);
	if (mpp_enable_distributed_plans)
		mpp_rewrite_query(query);
	state.variants = make_variants_table();
	mpp_plan_state = &state;
	PG_TRY();
	{
		plan = plan_as_before(query, query_string, cursor_options, params);
	}
	PG_FINALLY();
	{
		mpp_plan_state = state.outer;
	}
	PG_END_TRY();
	hash_destroy(state.variants);
	mpp_last_pass(plan, state.returning);
	return plan;
}

static PlannedStmt *plan_query(Query *query, const char *query_string, int cursor_options,
                               ParamListInfo params)
{
	MppPlanState *outer = mpp_plan_state;
	PlannedStmt *plan;

	if (mpp_is_qd() && mpp_segment_count() > 0) {
		plan = mpp_router_plan(query, query_string, cursor_options, params);
		if (plan != NULL)
			return plan;
		return plan_distributed(query, query_string, cursor_options, params);
	}
	if (outer == NULL)
		return plan_as_before(query, query_string, cursor_options, params);
	mpp_plan_state = NULL;
	PG_TRY();
	{
		plan = plan_as_before(query, query_string, cursor_options, params);
	}
	PG_FINALLY();
	{
		mpp_plan_state = outer;
	}
	PG_END_TRY();
	return plan;
}

void mpp_planner_init(void)
{
	next_planner = planner_hook;
	planner_hook = plan_query;
}
