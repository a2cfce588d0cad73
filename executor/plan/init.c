/* SPDX-License-Identifier: Apache-2.0 */
/*
 * init.c - what executor/plan/ does when a server loads the extension.
 */
#include <postgres.h>

#include <utils/guc.h>

#include "executor/parts.h"
#include "executor/plan/plan.h"

double mpp_motion_tuple_cost = 0.015;
double mpp_motion_setup_cost = 20.0;

bool mpp_enable_distributed_plans = true;
bool mpp_enable_distributed_joins = true;
bool mpp_enable_two_stage_agg = true;
bool mpp_enable_direct_dispatch = true;
bool mpp_enable_decorrelation = true;

static void define_switch(const char *name, const char *what, bool *variable)
{
	DefineCustomBoolVariable(name, what, NULL, variable, true, PGC_USERSET, GUC_EXPLAIN, NULL,
	                         NULL, NULL);
}

static void define_switches(void)
{
	define_switch("sluice.enable_distributed_plans",
	              "Enables plans that do more on segments than read tables.",
	              &mpp_enable_distributed_plans);
	define_switch("sluice.enable_distributed_joins", "Enables the planner's joins on segments.",
	              &mpp_enable_distributed_joins);
	define_switch("sluice.enable_two_stage_agg",
	              "Enables the planner's partial aggregation on segments.",
	              &mpp_enable_two_stage_agg);
	define_switch("sluice.enable_direct_dispatch",
	              "Enables sending a slice to the one segment that can have its rows.",
	              &mpp_enable_direct_dispatch);
	define_switch("sluice.enable_decorrelation",
	              "Enables the planner's turning of correlated aggregate subqueries into "
	              "joins.",
	              &mpp_enable_decorrelation);
}

static void define_costs(void)
{
	DefineCustomRealVariable("sluice.motion_tuple_cost",
	                         "Planner's estimate of the cost of moving one row between "
	                         "processes.",
	                         NULL, &mpp_motion_tuple_cost, 0.015, 0, 1e10, PGC_USERSET, 0, NULL,
	                         NULL, NULL);
	DefineCustomRealVariable(
	        "sluice.motion_setup_cost", "Planner's estimate of the cost of starting a Motion.",
	        NULL, &mpp_motion_setup_cost, 20.0, 0, 1e10, PGC_USERSET, 0, NULL, NULL, NULL);
}

void mpp_plan_init(void)
{
	define_switches();
	define_costs();
	mpp_base_init();
	mpp_rels_init();
	mpp_join_init();
	mpp_upper_init();
	mpp_planner_init();
}
