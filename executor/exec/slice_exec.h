/* SPDX-License-Identifier: Apache-2.0 */
/*
 * slice_exec.h - executing one slice in this process: on a segment what came as
 * text, on the coordinator a part of its own plan.
 */
#ifndef EXECUTOR_EXEC_SLICE_EXEC_H
#define EXECUTOR_EXEC_SLICE_EXEC_H

#include <postgres.h>

#include <executor/execdesc.h>

#include "executor/exec/run.h"

typedef struct MppSliceInput {
	PlannedStmt *statement;
	CustomScan *motion; /* that it feeds */
	Snapshot snapshot;
	ParamListInfo params;
	List *exec_params;  /* TargetEntry: see MppMessage */
	const char *source; /* text of the query, for errors and pg_stat_activity */
} MppSliceInput;

typedef struct MppSliceExecution {
	MppRun *run;
	struct MppSender *sender;
	QueryDesc *query;
	bool copy; /* what it returns and counts another process does, too */
} MppSliceExecution;

/* Its Motions are opened, and what they bring is taken in from now on. */
extern MppSliceExecution *mpp_slice_start(MppRun *run, const MppSliceInput *input);
/* Run it to its end; returns the number of rows written. Records for EXPLAIN are
 * appended to report (report.h). */
extern uint64 mpp_slice_run(MppSliceExecution *execution, StringInfo report);
/* Both. */
extern uint64 mpp_slice_execute(MppRun *run, const MppSliceInput *input, StringInfo report);

#endif
