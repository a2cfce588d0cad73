/* SPDX-License-Identifier: Apache-2.0 */
/*
 * planner.h - how a Query of the QD becomes a plan. planner_hook asks in order:
 * may the whole statement run on one segment (router.h)? Else standard_planner()
 * with the hooks of this folder, and the last pass: motions numbered, and every
 * scan of a distributed table that would run on the coordinator refused.
 */
#ifndef EXECUTOR_PLAN_PLANNER_H
#define EXECUTOR_PLAN_PLANNER_H

#include <postgres.h>

#include <nodes/plannodes.h>

/* Whether a plan of the QD holds Motions. */
extern bool mpp_plan_is_distributed(const PlannedStmt *plan);

#endif
