/* SPDX-License-Identifier: Apache-2.0 */
/*
 * motion_node.c - the Motion node of a running plan: rows from the slice below,
 * wherever it runs. In a plan of the coordinator the node is the root of a tree
 * of slices, which it dispatches when its first row is wanted; in a slice it
 * receives on channels that are opened when the slice starts.
 */
#include <postgres.h>

#include <access/htup_details.h>
#include <executor/executor.h>
#include <executor/nodeCustom.h>
#include <miscadmin.h>
#include <nodes/extensible.h>
#include <utils/guc.h>
#include <utils/memutils.h>

#include "executor/catalog/node.h"
#include "executor/catalog/tableam.h"
#include "executor/exec/motion_state.h"
#include "executor/exec/qd.h"

static ExecutorRun_hook_type previous_executor_run;
static bool run_is_last; /* the execution at hand is the only one of its plan */

/* Rows of numbers with no more columns than these are read as they come: that is less
 * than to look later which ones are wanted. */
#define COLUMNS_READ_AT_ONCE 8

static Node *create_state(CustomScan *scan);

const CustomScanMethods mpp_motion_scan_methods = {
        .CustomName = MPP_MOTION_NAME,
        .CreateCustomScanState = create_state,
};

/* ---- start ----------------------------------------------------------------- */

/* PostgreSQL 15 makes a virtual slot for what a custom scan returns; rows come as
 * MinimalTuples. So slot, projection and filter are made again. */
static void use_minimal_tuples(MppMotionState *state, CustomScan *scan, EState *estate)
{
	ScanState *ss = &state->css.ss;
	TupleDesc type = ExecTypeFromTL(scan->custom_scan_tlist);

	ExecInitScanTupleSlot(estate, ss, type, &TTSOpsMinimalTuple);
	ExecAssignScanProjectionInfoWithVarno(ss, INDEX_VAR);
	ss->ps.qual = ExecInitQual(scan->scan.plan.qual, &ss->ps);
}

/* Whether somebody may look at the nodes of the slices below. */
static bool is_explained(EState *estate, int eflags)
{
	const char *auto_explain = GetConfigOption("auto_explain.log_min_duration", true, false);

	return (eflags & EXEC_FLAG_EXPLAIN_ONLY) || estate->es_instrument ||
	       (auto_explain && strcmp(auto_explain, "-1") != 0);
}

/* Nodes that are looked at and never run: their tables are shells here, and some
 * nodes open their scan as soon as they are made. */
static void begin_children(MppMotionState *state, Plan *child, EState *estate, int eflags)
{
	mpp_shell_scans_allowed++;
	PG_TRY();
	{
		state->css.custom_ps = list_make1(ExecInitNode(child, estate, eflags));
	}
	PG_FINALLY();
	{
		mpp_shell_scans_allowed--;
	}
	PG_END_TRY();
}

/* Rows that are made before a tree is dispatched are made in the plan of the statement,
 * whose state they may share, and so by nodes that run. */
static bool makes_rows_first(const CustomScan *scan)
{
	const Plan *below = linitial(scan->custom_plans);
	MppMotion motion;

	if (!IsA(below, ModifyTable))
		return false;
	below = below->lefttree;
	while (IsA(below, Result) && below->lefttree) /* of a condition that is a constant */
		below = below->lefttree;
	if (!mpp_is_motion(below))
		return false;
	mpp_motion_decode((const CustomScan *)below, &motion);
	return motion.made_first;
}

static void begin_below(MppMotionState *state, CustomScan *scan, EState *estate, int eflags)
{
	Plan *child = linitial(scan->custom_plans);

	if (state->motion.made_first)
		begin_children(state, child, estate, estate->es_top_eflags);
	else if (is_explained(estate, eflags) || makes_rows_first(scan))
		begin_children(state, child, estate, eflags | EXEC_FLAG_EXPLAIN_ONLY);
}

/* The run is about to end. */
static void lose(void *owner)
{
	MppMotionState *state = owner;

	state->run = NULL;
	state->receiver = NULL;
	state->is_lost = true;
}

static void forget(void *owner)
{
	MppMotionState *state = owner;

	if (state->run)
		state->run->on_lost = NULL;
}

static void open_receiver(MppMotionState *state, MppRun *run)
{
	state->run = run;
	if (state->is_root) {
		run->owner = state;
		run->on_lost = lose;
	}
	state->receiver = mpp_run_open_receiver(
	        run, &state->motion, state->merge ? mpp_merge_compare : NULL, state->merge);
}

/* A slice of the coordinator is started with all subplans of the statement, and the
 * Motions of these are roots of their own. */
static bool is_root(const MppMotion *motion)
{
	return mpp_run_starting == NULL ||
	       (mpp_run_starting->content == MPP_COORDINATOR &&
	        !bms_is_member(motion->number, mpp_run_starting->inbound));
}

static void begin(CustomScanState *node, EState *estate, int eflags)
{
	MppMotionState *state = (MppMotionState *)node;
	CustomScan *scan = castNode(CustomScan, node->ss.ps.plan);
	TupleDesc type;

	if (estate->es_epq_active)
		ereport(ERROR, (errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
		                errmsg("could not serialize access due to concurrent update"),
		                errdetail("The row has changed, and other rows of the statement "
		                          "came from other segments.")));
	use_minimal_tuples(state, scan, estate);
	mpp_motion_decode(scan, &state->motion);
	state->is_root = is_root(&state->motion);
	if (state->is_root && scan->custom_plans)
		begin_below(state, scan, estate, eflags);
	if (eflags & EXEC_FLAG_EXPLAIN_ONLY)
		return;
	state->keeps_rows =
	        state->motion.rescan ||
	        (eflags & (EXEC_FLAG_REWIND | EXEC_FLAG_BACKWARD | EXEC_FLAG_MARK)) != 0;
	type = node->ss.ss_ScanTupleSlot->tts_tupleDescriptor;
	state->codec = mpp_row_codec_create(type);
	if (!state->codec && type->natts <= COLUMNS_READ_AT_ONCE)
		state->fixed = mpp_fixed_row_create(type);
	if (state->motion.kind == MPP_MOTION_ORDERED)
		state->merge = mpp_merge_create(&state->motion, type, state->codec);
	if (!state->is_root) {
		open_receiver(state, mpp_run_starting);
		return;
	}
	state->forget = (MemoryContextCallback){.func = forget, .arg = state};
	MemoryContextRegisterResetCallback(estate->es_query_cxt, &state->forget);
}

/* ---- rows ------------------------------------------------------------------ */

static void dispatch(MppMotionState *state)
{
	MemoryContext old = MemoryContextSwitchTo(state->css.ss.ps.state->es_query_cxt);

	if (state->is_lost)
		ereport(ERROR,
		        (errcode(ERRCODE_INVALID_CURSOR_STATE),
		         errmsg("the rows of the query are gone with the savepoint in which "
		                "they were first read"),
		         errhint("Read a row before the savepoint, or open the cursor again.")));
	mpp_qd_dispatch(state, open_receiver);
	MemoryContextSwitchTo(old);
}

static void finish_root(MppMotionState *state)
{
	mpp_qd_finish(state);
	state->run = NULL;
	state->receiver = NULL;
}

/* The next row of the channels; false: there is none. */
static bool receive(MppMotionState *state, MinimalTuple *ret_tuple)
{
	const void *row;

	if (unlikely(state->at_end))
		return false;
	if (unlikely(!state->run))
		dispatch(state);
	for (;;) {
		int r = slu_motion_receive(state->receiver, &row);

		if (likely(r == SLU_OK)) {
			*ret_tuple = unconstify(void *, row);
			return true;
		}
		if (r == SLU_EOS)
			break;
		mpp_run_wait(state->run, r);
	}
	state->at_end = true;
	if (state->is_root)
		finish_root(state);
	return false;
}

static void keep(MppMotionState *state, MinimalTuple tuple, TupleTableSlot *slot)
{
	if (!state->kept) {
		MemoryContext old = MemoryContextSwitchTo(state->css.ss.ps.state->es_query_cxt);

		state->kept = tuplestore_begin_heap(false, false, work_mem);
		MemoryContextSwitchTo(old);
	}
	tuplestore_puttupleslot(state->kept, slot);
}

/* In memory that lasts until the next row is asked for. */
static MinimalTuple decode(MppMotionState *state, MinimalTuple tuple)
{
	ExprContext *context = state->css.ss.ps.ps_ExprContext;
	MemoryContext old = MemoryContextSwitchTo(context->ecxt_per_tuple_memory);

	tuple = mpp_row_codec_decode(state->codec, tuple);
	MemoryContextSwitchTo(old);
	return tuple;
}

/* As ExecStoreMinimalTuple(), which is three calls. */
static inline void store(const MppMotionState *state, MinimalTuple tuple, TupleTableSlot *slot)
{
	MinimalTupleTableSlot *minimal = (MinimalTupleTableSlot *)slot;

	if (unlikely(TTS_SHOULDFREE(slot))) {
		ExecStoreMinimalTuple(tuple, slot, false);
		return;
	}
	slot->tts_flags &= (uint16)~TTS_FLAG_EMPTY;
	slot->tts_nvalid = 0;
	minimal->off = 0;
	minimal->mintuple = tuple;
	minimal->minhdr.t_len = tuple->t_len + MINIMAL_TUPLE_OFFSET;
	minimal->minhdr.t_data = (HeapTupleHeader)((char *)tuple - MINIMAL_TUPLE_OFFSET);
	if (state->fixed && likely(mpp_fixed_row_is(state->fixed, tuple))) {
		mpp_fixed_row_deform(state->fixed, (const char *)tuple, slot->tts_values,
		                     slot->tts_isnull);
		slot->tts_nvalid = (AttrNumber)state->fixed->natts;
	}
}

static TupleTableSlot *next(ScanState *ss)
{
	MppMotionState *state = (MppMotionState *)ss;
	TupleTableSlot *slot = ss->ss_ScanTupleSlot;
	MinimalTuple tuple;

	if (unlikely(state->rereading)) {
		if (tuplestore_gettupleslot(state->kept, true, false, slot))
			return slot;
		state->rereading = false;
	}
	if (!receive(state, &tuple))
		return ExecClearTuple(slot);
	if (unlikely(state->codec))
		tuple = decode(state, tuple);
	store(state, tuple, slot);
	if (unlikely(state->keeps_rows))
		keep(state, tuple, slot);
	return slot;
}

static bool recheck(ScanState *ss, TupleTableSlot *slot)
{
	return true;
}

static TupleTableSlot *execute(CustomScanState *node)
{
	/* What ExecScan() would do for nothing, once for each row. */
	if (likely(!node->ss.ps.qual && !node->ss.ps.ps_ProjInfo &&
	           !((MppMotionState *)node)->codec))
		return next(&node->ss);
	return ExecScan(&node->ss, next, recheck);
}

/* ---- again, and the end ---------------------------------------------------- */

/* Want no more rows of what was dispatched. */
static void stop(MppMotionState *state)
{
	if (!state->run)
		return;
	if (state->receiver)
		slu_motion_stop(state->receiver);
	if (state->is_root)
		finish_root(state);
}

/* As many rows were read as this execution of the plan wants. The plan of a cursor may
 * be executed again. */
static void shutdown(CustomScanState *node)
{
	MppMotionState *state = (MppMotionState *)node;

	if (!run_is_last || state->keeps_rows || !state->run || state->at_end)
		return;
	state->at_end = true;
	stop(state);
}

/* Whether other rows come than before: a parameter of the filter does not change what is
 * sent. */
static bool input_changed(const CustomScanState *node)
{
	const CustomScan *scan = castNode(CustomScan, node->ss.ps.plan);

	if (node->ss.ps.chgParam == NULL || scan->custom_plans == NIL)
		return node->ss.ps.chgParam != NULL;
	return bms_overlap(node->ss.ps.chgParam, ((Plan *)linitial(scan->custom_plans))->allParam);
}

static void rescan(CustomScanState *node)
{
	MppMotionState *state = (MppMotionState *)node;

	ExecScanReScan(&node->ss);
	if (!input_changed(node) && state->keeps_rows) {
		if (state->kept)
			tuplestore_rescan(state->kept);
		state->rereading = state->kept != NULL;
		return;
	}
	if (!state->run && !state->at_end && !state->is_lost)
		return; /* nothing was read yet */
	if (!state->is_root)
		elog(ERROR, "motion %d cannot be read again", state->motion.number);
	stop(state);
	if (state->kept)
		tuplestore_end(state->kept);
	state->kept = NULL;
	state->rereading = false;
	state->at_end = state->is_lost = false;
}

static void end(CustomScanState *node)
{
	MppMotionState *state = (MppMotionState *)node;
	ListCell *cell;

	stop(state);
	if (state->kept)
		tuplestore_end(state->kept);
	foreach (cell, node->custom_ps)
		ExecEndNode(lfirst(cell));
}

/* ---- the node -------------------------------------------------------------- */

static const CustomExecMethods methods = {
        .CustomName = MPP_MOTION_NAME,
        .BeginCustomScan = begin,
        .ExecCustomScan = execute,
        .EndCustomScan = end,
        .ReScanCustomScan = rescan,
        .ShutdownCustomScan = shutdown,
        .ExplainCustomScan = mpp_motion_explain,
};

MppMotionState *mpp_motion_state(PlanState *node)
{
	return IsA(node, CustomScanState) && ((CustomScanState *)node)->methods == &methods
	               ? (MppMotionState *)node
	               : NULL;
}

static Node *create_state(CustomScan *scan)
{
	MppMotionState *state = palloc0(sizeof(*state));

	NodeSetTag(state, T_CustomScanState);
	state->css.methods = &methods;
	return (Node *)state;
}

static void executor_run(QueryDesc *query, ScanDirection direction, uint64 count, bool execute_once)
{
	bool outer = run_is_last;

	run_is_last = execute_once;
	PG_TRY();
	{
		if (previous_executor_run)
			previous_executor_run(query, direction, count, execute_once);
		else
			standard_ExecutorRun(query, direction, count, execute_once);
	}
	PG_FINALLY();
	{
		run_is_last = outer;
	}
	PG_END_TRY();
}

void mpp_motion_init(void)
{
	RegisterCustomScanMethods(&mpp_motion_scan_methods);
	previous_executor_run = ExecutorRun_hook;
	ExecutorRun_hook = executor_run;
}
