/* SPDX-License-Identifier: Apache-2.0 */
/*
 * init.c - what executor/plan/ does when a server loads the extension.
 */
#include <postgres.h>

#include <utils/guc.h>

#include "executor/parts.h"
#include "executor/plan/plan.h"

double mpp_motion_tuple_cost = 0.05;
double mpp_motion_setup_cost = 20.0;

static void define_costs(void)
{
	DefineCustomRealVariable("sluice.motion_tuple_cost",
	                         "Planner's estimate of the cost of moving one row between "
	                         "processes.",
	                         NULL, &mpp_motion_tuple_cost, 0.05, 0, 1e10, PGC_USERSET, 0, NULL,
	                         NULL, NULL);
	DefineCustomRealVariable(
	        "sluice.motion_setup_cost", "Planner's estimate of the cost of starting a Motion.",
	        NULL, &mpp_motion_setup_cost, 20.0, 0, 1e10, PGC_USERSET, 0, NULL, NULL, NULL);
}

void mpp_plan_init(void)
{
	define_costs();
	mpp_base_init();
	mpp_upper_init();
	mpp_planner_init();
}
