/* SPDX-License-Identifier: Apache-2.0 */
/*
 * motion_state.h - the Motion node of a running plan, for the files that run it
 * and the ones that explain it.
 */
#ifndef EXECUTOR_EXEC_MOTION_STATE_H
#define EXECUTOR_EXEC_MOTION_STATE_H

#include <postgres.h>

#include <nodes/execnodes.h>
#include <sluice/motion.h>
#include <utils/tuplestore.h>

#include "executor/exec/fixed_row.h"
#include "executor/exec/merge.h"
#include "executor/exec/motion_plan.h"
#include "executor/exec/row_codec.h"
#include "executor/exec/run.h"

/* One direction of a motion, over all processes; for EXPLAIN ANALYZE. */
typedef struct MppMotionSums {
	uint64 rows;
	uint64 bytes; /* payload of frames */
	uint64 frames;
	uint64 stalls; /* times it was waited for */
	uint64 blocked_ns;
	uint64 drained_frames; /* taken in while waiting for something else */
	uint64 spilled_bytes;
} MppMotionSums;

typedef struct MppMotionState {
	CustomScanState css; /* first */
	MppMotion motion;
	bool is_root; /* dispatches its tree itself */
	MppRun *run;  /* NULL: not dispatched, or finished */
	slu_motion_receiver *receiver;
	bool at_end;
	bool is_lost; /* the run was, by an abort of the savepoint in which it began */
	MemoryContextCallback forget; /* the state is freed before its run */
	MppRowCodec *codec;           /* of rows that do not travel as they are */
	MppFixedRow *fixed;           /* NULL: rows are not such, or too many columns */
	MppMerge *merge;              /* of MPP_MOTION_ORDERED */

	bool keeps_rows; /* may be read again */
	Tuplestorestate *kept;
	bool rereading; /* from kept, which holds all or the first part */

	/* on the coordinator, of the runs that have finished */
	MppMotionSums sent;
	MppMotionSums received;
} MppMotionState;

/* NULL: another kind of node. */
extern MppMotionState *mpp_motion_state(PlanState *node);

/* ---- by mpp_exec_init() ---- */
extern void mpp_motion_init(void);

/* ExplainCustomScan of the node. */
extern void mpp_motion_explain(CustomScanState *node, List *ancestors, struct ExplainState *es);

#endif
