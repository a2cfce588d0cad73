/* SPDX-License-Identifier: Apache-2.0 */
/*
 * slice_exec.c - ExecutorStart to ExecutorEnd of one slice.
 */
#include "executor/exec/slice_exec.h"

#include <executor/executor.h>
#include <nodes/makefuncs.h>
#include <utils/snapmgr.h>

#include "executor/catalog/distribution.h"
#include "executor/exec/report.h"
#include "executor/exec/sender.h"

/* Values that plans elsewhere have computed (InitPlans of the coordinator). */
static void set_exec_params(EState *estate, const List *params)
{
	ListCell *cell;

	foreach (cell, params) {
		const TargetEntry *entry = lfirst_node(TargetEntry, cell);
		const Const *value = castNode(Const, entry->expr);
		ParamExecData *param = &estate->es_param_exec_vals[entry->resno];

		param->execPlan = NULL;
		param->value = value->constvalue;
		param->isnull = value->constisnull;
	}
}

/*
 * A replicated table is written on every segment; what the statement returns and
 * counts is what one of them does, the first.
 */
static bool is_copy(MppRun *run, const MppSliceInput *input, const MppMotion *motion)
{
	const PlannedStmt *statement = input->statement;
	const MppDistribution *distribution;
	const RangeTblEntry *entry;

	if (statement->resultRelations == NIL || linitial_int(motion->senders) == run->content)
		return false;
	entry = list_nth(statement->rtable, linitial_int(statement->resultRelations) - 1);
	distribution = mpp_distribution_get(entry->relid);
	return distribution && distribution->policy == MPP_POLICY_REPLICATED;
}

static void start(MppRun *run, QueryDesc *query)
{
	MppRun *outer = mpp_run_starting;

	mpp_run_starting = run;
	PG_TRY();
	{
		ExecutorStart(query, 0);
	}
	PG_FINALLY();
	{
		mpp_run_starting = outer;
	}
	PG_END_TRY();
}

MppSliceExecution *mpp_slice_start(MppRun *run, const MppSliceInput *input)
{
	MppSliceExecution *execution = palloc0(sizeof(*execution));
	MppMotion motion;

	execution->run = run;
	execution->sender = mpp_sender_create(run, input->motion);
	execution->query = CreateQueryDesc(input->statement, input->source, input->snapshot,
	                                   InvalidSnapshot, mpp_sender_dest(execution->sender),
	                                   input->params, NULL, run->dispatch.instrument);
	mpp_motion_decode(input->motion, &motion);
	execution->copy = is_copy(run, input, &motion);
	if (execution->copy)
		execution->query->dest = None_Receiver;
	start(run, execution->query);
	set_exec_params(execution->query->estate, input->exec_params);
	mpp_sender_set_estate(execution->sender, execution->query->estate);
	return execution;
}

uint64 mpp_slice_run(MppSliceExecution *execution, StringInfo report)
{
	QueryDesc *query = execution->query;
	uint64 processed = 0;

	ExecutorRun(query, ForwardScanDirection, 0, true);
	mpp_sender_finish(execution->sender);
	ExecutorFinish(query);
	if (query->operation != CMD_SELECT && !execution->copy)
		processed = query->estate->es_processed;
	if (execution->run->dispatch.instrument)
		mpp_report_put(report, query->planstate, execution->sender);
	ExecutorEnd(query);
	FreeQueryDesc(query);
	pfree(execution);
	return processed;
}

uint64 mpp_slice_execute(MppRun *run, const MppSliceInput *input, StringInfo report)
{
	return mpp_slice_run(mpp_slice_start(run, input), report);
}
