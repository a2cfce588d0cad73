/* SPDX-License-Identifier: Apache-2.0 */
/*
 * readers.c - which kind of readers a dispatch has.
 *
 * Those of the statement put the QE into parallel mode, where PostgreSQL lets it
 * write nothing: a dispatch that writes has sticky ones always.
 */
#include "executor/exec/readers.h"

#include <utils/guc.h>
#include <utils/memutils.h>

#include "executor/dispatch/gang.h"
#include "executor/exec/reader_kinds.h"
#include "executor/exec/reader_wire.h"

int mpp_reader_idle_timeout = 60000;

static bool sticky_readers = true;
static const MppReaderKind *kind; /* of the dispatch that runs; NULL: it has none */

void mpp_readers_init(void)
{
	DefineCustomIntVariable("sluice.reader_idle_timeout",
	                        "How long a segment keeps an idle process of a session for "
	                        "further slices.",
	                        "0 keeps it until the session ends.", &mpp_reader_idle_timeout,
	                        60000, 0, INT_MAX, PGC_USERSET, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomBoolVariable("sluice.sticky_readers",
	                         "Segments keep the processes that run further slices.",
	                         "Off starts them for each statement that only reads, and ends "
	                         "them with it.",
	                         &sticky_readers, true, PGC_USERSET, 0, NULL, NULL, NULL);
}

void mpp_readers_start(const List *slices, const char *message, int size_bytes, bool leader_writes)
{
	if (list_length(slices) > MPP_READERS_MAX)
		ereport(ERROR,
		        (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
		         errmsg("the statement has more than %d slices", MPP_READERS_MAX + 1)));
	kind = sticky_readers || leader_writes ? &mpp_sticky_reader_kind
	                                       : &mpp_statement_reader_kind;
	kind->start(slices, message, size_bytes, leader_writes);
}

void mpp_readers_check(void)
{
	if (kind)
		kind->check();
}

List *mpp_readers_finish(void)
{
	List *reports = kind->finish();

	kind = NULL;
	return reports;
}

ErrorData *mpp_readers_cancel(bool at_once)
{
	const MppReaderKind *of_dispatch = kind;

	kind = NULL;
	return of_dispatch ? of_dispatch->cancel(at_once) : NULL;
}

/* ---- for both kinds ---------------------------------------------------------- */

void mpp_readers_throw_none(void)
{
	ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_RESOURCES),
	                errmsg("no free process for a slice of the statement"),
	                errhint("Raise max_worker_processes and max_parallel_workers of "
	                        "the segments.")));
}

List *mpp_readers_keep_report(List *reports, const StringInfoData *reply, MemoryContext memory)
{
	MemoryContext old = MemoryContextSwitchTo(memory);
	StringInfo copy = makeStringInfo();

	appendBinaryStringInfo(copy, reply->data + reply->cursor, reply->len - reply->cursor);
	reports = lappend(reports, copy);
	MemoryContextSwitchTo(old);
	return reports;
}

bool mpp_readers_is_consequence(const ErrorData *error)
{
	return error->sqlerrcode == MPP_SQLSTATE_PEER_FAILED ||
	       error->sqlerrcode == ERRCODE_QUERY_CANCELED;
}
