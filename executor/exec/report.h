/* SPDX-License-Identifier: Apache-2.0 */
/*
 * report.h - what the nodes of a slice and its motions have done, from the process
 * that ran it to the plan of the coordinator, for EXPLAIN ANALYZE.
 */
#ifndef EXECUTOR_EXEC_REPORT_H
#define EXECUTOR_EXEC_REPORT_H

#include <postgres.h>

#include <nodes/execnodes.h>

#include "executor/exec/motion_state.h"
#include "executor/exec/sender.h"

/* Append the report of a slice that has ended and whose motions are still open. */
extern void mpp_report_put(StringInfo out, PlanState *top, const MppSender *sender);

/* Only what was sent, of rows made by nodes that report need not be added to. */
extern void mpp_report_put_sent(StringInfo out, const MppSender *sender);

/* Add a report to the nodes below a Motion; content is of the process. */
extern void mpp_report_add(MppMotionState *root, const char *bytes, int size_bytes, int content);

/* What the root itself has received. */
extern void mpp_report_add_root(MppMotionState *root);

#endif
