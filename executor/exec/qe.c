/* SPDX-License-Identifier: Apache-2.0 */
/*
 * qe.c - sluice.execute_slices(): what a QD has a segment do.
 */
#include <postgres.h>

#include <access/xact.h>
#include <funcapi.h>
#include <libpq/pqformat.h>
#include <nodes/parsenodes.h>
#include <storage/lmgr.h>
#include <tcop/tcopprot.h>
#include <utils/builtins.h>
#include <utils/snapmgr.h>

#include "executor/catalog/node.h"
#include "executor/dispatch/gang.h"
#include "executor/exec/run.h"
#include "executor/exec/slice.h"
#include "executor/exec/slice_exec.h"
#include "executor/exec/snapshots.h"
#include "executor/function.h"

MPP_FUNCTION(mpp_execute_slices);

static void lock_relations(const PlannedStmt *statement)
{
	ListCell *cell;

	foreach(cell, statement->rtable)
	{
		const RangeTblEntry *entry = lfirst_node(RangeTblEntry, cell);

		if (entry->rtekind == RTE_RELATION)
			LockRelationOid(entry->relid, entry->rellockmode);
	}
}

static uint64 execute_slice(MppRun *run, MppMessage *message, MppSliceText *slice)
{
	MppSliceInput input = {
	        .snapshot = GetActiveSnapshot(),
	        .params = mpp_wire_extern_params(message),
	        .exec_params = message->exec_params,
	        .source = debug_query_string ? debug_query_string : "",
	};

	input.statement =
	        mpp_slice_read(&slice->text, message->oids, message->oid_count, &input.motion);
	lock_relations(input.statement);
	return mpp_slice_execute(run, &input);
}

static pg_noinline List *own_slices(const MppMessage *message)
{
	List *own = NIL;
	ListCell *cell;

	foreach(cell, message->slices) if (list_member_int(((MppSliceText *)lfirst(cell))->senders,
	                                                   mpp_content)) own =
	        lappend(own, lfirst(cell));
	return own;
}

static uint64 execute_message(MppMessage *message)
{
	List *slices = own_slices(message);
	MemoryContext memory = CurrentMemoryContext;
	MppRun *run = mpp_run_create(&message->dispatch, mpp_content);
	uint64 processed;

	PG_TRY();
	{
		if (list_length(slices) != 1)
			elog(ERROR, "segment %d was sent %d slices", mpp_content,
			     list_length(slices));
		processed = execute_slice(run, message, linitial(slices));
	}
	PG_CATCH();
	{
		MemoryContext error = MemoryContextSwitchTo(memory);

		mpp_run_fail(run, CopyErrorData());
		mpp_run_close(run);
		MemoryContextSwitchTo(error);
		PG_RE_THROW();
	}
	PG_END_TRY();
	mpp_run_close(run);
	return processed;
}

Datum mpp_execute_slices(PG_FUNCTION_ARGS)
{
	bytea *bytes = PG_GETARG_BYTEA_PP(1);
	StringInfoData reply;
	MppMessage *message;
	uint64 processed;

	mpp_qe_check_secret(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	message = mpp_wire_read(VARDATA_ANY(bytes), (int)VARSIZE_ANY_EXHDR(bytes));
	PushActiveSnapshot(mpp_snapshot_of(&message->dispatch));
	processed = execute_message(message);
	PopActiveSnapshot();
	pq_begintypsend(&reply);
	pq_sendint64(&reply, processed);
	PG_RETURN_BYTEA_P(pq_endtypsend(&reply));
}
