/* SPDX-License-Identifier: Apache-2.0 */
/*
 * own_slices.c - mostly a slice of the coordinator is executed while the segments wait
 * for its rows, as a plan of its own. Where its rows take dispatches to make, to those
 * same segments, they are made first, by the plan of the statement, and kept.
 */
#include "executor/exec/own_slices.h"

#include <executor/executor.h>
#include <miscadmin.h>
#include <nodes/nodeFuncs.h>

#include "executor/catalog/node.h"
#include "executor/exec/report.h"
#include "executor/exec/sender.h"
#include "executor/exec/slice_exec.h"

bool mpp_slice_is_own(const MppSlice *slice)
{
	return list_member_int(slice->motion.senders, MPP_COORDINATOR);
}

/* ---- rows made first ------------------------------------------------------- */

typedef struct MotionSearch {
	int number;
	MppMotionState *found;
} MotionSearch;

static bool search(PlanState *node, void *context)
{
	MotionSearch *wanted = context;
	MppMotionState *motion = mpp_motion_state(node);

	if (motion && motion->motion.number == wanted->number) {
		wanted->found = motion;
		return true;
	}
	return planstate_tree_walker(node, search, context);
}

/* The Motion that such a slice feeds; the slice's nodes are below it. */
static MppMotionState *fed_motion(MppMotionState *root, const MppSlice *slice)
{
	MotionSearch wanted = {.number = slice->motion.number};

	search(&root->css.ss.ps, &wanted);
	if (!wanted.found || wanted.found->css.custom_ps == NIL)
		elog(ERROR, "motion %d is not in the plan", wanted.number);
	return wanted.found;
}

static void make_rows(MppMotionState *motion)
{
	PlanState *top = linitial(motion->css.custom_ps);
	EState *estate = top->state;

	motion->kept = tuplestore_begin_heap(false, false, work_mem);
	for (;;) {
		TupleTableSlot *slot;

		ResetPerTupleExprContext(estate);
		slot = ExecProcNode(top);
		if (TupIsNull(slot))
			break;
		tuplestore_puttupleslot(motion->kept, slot);
	}
}

void mpp_own_slices_make_first(MppMotionState *root, const List *slices)
{
	ListCell *cell;

	foreach (cell, slices) {
		const MppSlice *slice = lfirst(cell);

		if (slice->motion.made_first)
			make_rows(fed_motion(root, slice));
	}
}

static void send_kept(MppMotionState *root, MppMotionState *motion, MppSender *sender)
{
	DestReceiver *dest = mpp_sender_dest(sender);
	TupleDesc type = ExecGetResultType(linitial(motion->css.custom_ps));
	TupleTableSlot *slot = MakeSingleTupleTableSlot(type, &TTSOpsMinimalTuple);
	StringInfoData report;

	dest->rStartup(dest, CMD_SELECT, type);
	while (tuplestore_gettupleslot(motion->kept, true, false, slot)) {
		CHECK_FOR_INTERRUPTS();
		if (!dest->receiveSlot(slot, dest))
			break;
	}
	ExecDropSingleTupleTableSlot(slot);
	tuplestore_end(motion->kept);
	motion->kept = NULL;
	mpp_sender_finish(sender);
	initStringInfo(&report);
	mpp_report_put_sent(&report, sender);
	mpp_report_add(root, report.data, report.len, MPP_COORDINATOR);
}

/* ---- all ------------------------------------------------------------------- */

static Bitmapset *inbound_motions(const MppSlice *slice)
{
	Bitmapset *numbers = NULL;
	ListCell *cell;

	foreach (cell, slice->inbound) {
		MppMotion motion;

		mpp_motion_decode(lfirst(cell), &motion);
		numbers = bms_add_member(numbers, motion.number);
	}
	return numbers;
}

static MppSliceExecution *start(MppMotionState *root, const MppSlice *slice, List *params)
{
	EState *estate = root->css.ss.ps.state;
	MppSliceInput input = {
	        .motion = slice->scan,
	        .snapshot = estate->es_snapshot,
	        .params = estate->es_param_list_info,
	        .exec_params = params,
	        .source = estate->es_sourceText,
	};
	ListCell *cell;

	input.statement = copyObject(mpp_slice_statement(estate->es_plannedstmt, slice));
	foreach (cell, input.statement->planTree->targetlist)
		lfirst_node(TargetEntry, cell)->resjunk = false;
	root->run->inbound = inbound_motions(slice);
	return mpp_slice_start(root->run, &input);
}

static void run(MppMotionState *root, MppSliceExecution *execution)
{
	StringInfoData report;

	initStringInfo(&report);
	root->run->processed += mpp_slice_run(execution, &report);
	mpp_report_add(root, report.data, report.len, MPP_COORDINATOR);
}

/* The lowest first: their rows go to slices at work. All are started before one sends, so
 * that what segments send to another one is taken in. */
void mpp_own_slices_run(MppMotionState *root, const List *slices, List *params)
{
	List *executions = NIL;
	ListCell *cell;
	int i;

	for (i = list_length(slices) - 1; i >= 0; i--) {
		const MppSlice *slice = list_nth(slices, i);

		if (mpp_slice_is_own(slice) && !slice->motion.made_first)
			executions = lappend(executions, start(root, slice, params));
	}
	foreach (cell, executions)
		run(root, lfirst(cell));
	foreach (cell, slices) {
		const MppSlice *slice = lfirst(cell);

		if (slice->motion.made_first)
			send_kept(root, fed_motion(root, slice),
			          mpp_sender_create(root->run, slice->scan));
	}
}
