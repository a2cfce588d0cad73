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

uint64 mpp_slice_execute(MppRun *run, const MppSliceInput *input, StringInfo report)
{
	MppSender *sender = mpp_sender_create(run, input->motion);
	QueryDesc *query = CreateQueryDesc(input->statement, input->source, input->snapshot,
	                                   InvalidSnapshot, mpp_sender_dest(sender), input->params,
	                                   NULL, run->dispatch.instrument);
	uint64 processed = 0;
	MppMotion motion;
	bool copy;

	mpp_motion_decode(input->motion, &motion);
	copy = is_copy(run, input, &motion);
	if (copy)
		query->dest = None_Receiver;
	start(run, query);
	set_exec_params(query->estate, input->exec_params);
	mpp_sender_set_estate(sender, query->estate);
	ExecutorRun(query, ForwardScanDirection, 0, true);
	mpp_sender_finish(sender);
	ExecutorFinish(query);
	if (input->statement->commandType != CMD_SELECT && !copy)
		processed = query->estate->es_processed;
	if (run->dispatch.instrument)
		mpp_report_put(report, query->planstate, sender);
	ExecutorEnd(query);
	FreeQueryDesc(query);
	return processed;
}
