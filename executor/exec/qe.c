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
#include "executor/exec/qe.h"
#include "executor/exec/readers.h"
#include "executor/exec/run.h"
#include "executor/exec/slice.h"
#include "executor/exec/slice_exec.h"
#include "executor/exec/snapshots.h"
#include "executor/function.h"

MPP_FUNCTION(mpp_execute_slices);

static void lock_relations(const PlannedStmt *statement)
{
	ListCell *cell;

	foreach (cell, statement->rtable) {
		const RangeTblEntry *entry = lfirst_node(RangeTblEntry, cell);

		if (entry->rtekind == RTE_RELATION)
			LockRelationOid(entry->relid, entry->rellockmode);
	}
}

static uint64 execute_slice(MppRun *run, MppMessage *message, MppSliceText *slice,
                            StringInfo records)
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
	return mpp_slice_execute(run, &input, records);
}

static void say_slice(void *number)
{
	errcontext("slice %d", *(int *)number);
}

void mpp_qe_run_slice(MppMessage *message, MppSliceText *slice, StringInfo report)
{
	ErrorContextCallback context = {
	        .previous = error_context_stack, .callback = say_slice, .arg = &slice->number};
	MemoryContext memory = CurrentMemoryContext;
	MppRun *run = mpp_run_create(&message->dispatch, mpp_content);

	error_context_stack = &context;
	PG_TRY();
	{
		StringInfoData records;

		initStringInfo(&records);
		pq_sendint64(report, execute_slice(run, message, slice, &records));
		appendBinaryStringInfo(report, records.data, records.len);
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
	error_context_stack = context.previous;
	mpp_run_close(run);
}

/* ---- the slices of this segment ---------------------------------------------- */

/* Those that name this segment as a sender; first the one that this process runs
 * itself: only it may write. */
static pg_noinline List *own_slices(const MppMessage *message)
{
	List *own = NIL;
	ListCell *cell;

	foreach (cell, message->slices) {
		MppSliceText *slice = lfirst(cell);

		if (!list_member_int(slice->senders, mpp_content))
			continue;
		own = slice->writes ? lcons(slice, own) : lappend(own, slice);
	}
	return own;
}

/* The error to throw when this process and perhaps readers have failed: the one with a
 * cause of its own. */
static void throw_cause(MemoryContext memory)
{
	ErrorData *own, *cause;

	MemoryContextSwitchTo(memory);
	own = CopyErrorData();
	FlushErrorState();
	cause = mpp_readers_cancel(own->sqlerrcode != MPP_SQLSTATE_PEER_FAILED);
	if (cause && own->sqlerrcode == MPP_SQLSTATE_PEER_FAILED)
		ThrowErrorData(cause);
	ReThrowError(own);
}

/* The readers' records; readers write nothing. */
static void add_reports(StringInfo report, List *reports)
{
	ListCell *cell;

	foreach (cell, reports) {
		StringInfo other = lfirst(cell);

		(void)pq_getmsgint64(other);
		appendBinaryStringInfo(report, other->data + other->cursor,
		                       other->len - other->cursor);
	}
}

static void execute_message(MppMessage *message, const char *bytes, int size_bytes,
                            StringInfo report)
{
	List *slices = own_slices(message);
	MemoryContext memory = CurrentMemoryContext;
	MppSliceText *mine;

	if (slices == NIL)
		elog(ERROR, "segment %d has no part in the dispatch", mpp_content);
	mine = linitial(slices);
	PG_TRY();
	{
		List *others = list_copy_tail(slices, 1);

		if (others)
			mpp_readers_start(others, bytes, size_bytes, mine->writes);
		mpp_qe_run_slice(message, mine, report);
		if (others)
			add_reports(report, mpp_readers_finish());
	}
	PG_CATCH();
	{
		throw_cause(memory);
	}
	PG_END_TRY();
}

/* Each dispatch is for one time, and their numbers rise within a session (by the low
 * half, which may wrap): one that does not was sent again. */
static void refuse_replay(uint64 query)
{
	static uint64 last;

	if (last != 0 && (query >> 32 != last >> 32 || (int32)(uint32)(query - last) <= 0))
		ereport(ERROR, (errcode(ERRCODE_PROTOCOL_VIOLATION),
		                errmsg("slices of query " UINT64_FORMAT " do not follow those of "
		                       "query " UINT64_FORMAT,
		                       query, last),
		                errdetail("A message of slices is executed only once.")));
	last = query;
}

Datum mpp_execute_slices(PG_FUNCTION_ARGS)
{
	bytea *bytes = PG_GETARG_BYTEA_PP(1);
	int size_bytes = (int)VARSIZE_ANY_EXHDR(bytes);
	StringInfoData report;
	MppMessage *message;

	mpp_qe_check_secret(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	message = mpp_wire_read(VARDATA_ANY(bytes), size_bytes);
	refuse_replay(message->dispatch.query);
	PushActiveSnapshot(mpp_snapshot_of(&message->dispatch));
	pq_begintypsend(&report);
	execute_message(message, VARDATA_ANY(bytes), size_bytes, &report);
	PopActiveSnapshot();
	PG_RETURN_BYTEA_P(pq_endtypsend(&report));
}
