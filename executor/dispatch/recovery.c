/* SPDX-License-Identifier: Apache-2.0 */
/*
 * recovery.c - finishes the transactions that segments hold prepared for this
 * cluster in this database, when the QD that began them has ended: commits those
 * with a decision, rolls back the others. Whether a QD has ended is asked before
 * the decision is looked for, and known by the lock of its transaction id, which it
 * holds from before the first PREPARE until after its last COMMIT PREPARED.
 */
#include <postgres.h>

#include <access/transam.h>
#include <access/xact.h>
#include <executor/spi.h>
#include <miscadmin.h>
#include <storage/lmgr.h>
#include <utils/builtins.h>
#include <utils/memutils.h>
#include <utils/snapmgr.h>

#include "executor/catalog/catalog.h"
#include "executor/catalog/cluster.h"
#include "executor/catalog/node.h"
#include "executor/dispatch/commit.h"
#include "executor/dispatch/qe.h"
#include "executor/dispatch/recovery.h"

static MemoryContext context; /* of one run */

static bool owner_has_ended(const char *gid)
{
	unsigned long long full;
	unsigned long long cluster;
	TransactionId xid;

	if (sscanf(gid, "sluice_%llu_%llu_", &cluster, &full) != 2)
		return false;
	xid = XidFromFullTransactionId(FullTransactionIdFromU64(full));
	/* A crash can have lost the id; it then says only that somebody uses it again. */
	if (full >= U64FromFullTransactionId(ReadNextFullTransactionId()))
		return true;
	return !TransactionIdIsNormal(xid) || ConditionalXactLockTableWait(xid);
}

/* gids in the first column of a query here. In the context of the run. */
static List *local_gids(const char *sql)
{
	List *gids = NIL;

	SPI_connect();
	PushActiveSnapshot(GetTransactionSnapshot());
	if (SPI_execute(sql, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read the decisions");
	for (uint64 i = 0; i < SPI_processed; i++) {
		char *gid = SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1);
		MemoryContext previous = MemoryContextSwitchTo(context);

		gids = lappend(gids, pstrdup(gid));
		MemoryContextSwitchTo(previous);
	}
	PopActiveSnapshot();
	SPI_finish();
	return gids;
}

static bool decided(const char *gid)
{
	return local_gids(psprintf("SELECT gid FROM sluice.dtx_decision WHERE gid = %s",
	                           quote_literal_cstr(gid))) != NIL;
}

static void collect_gids(int content, const PGresult *result, void *ctx)
{
	List **gids = ctx;
	MemoryContext previous = MemoryContextSwitchTo(context);

	for (int i = 0; i < PQntuples(result); i++)
		*gids = lappend(*gids, pstrdup(PQgetvalue(result, i, 0)));
	MemoryContextSwitchTo(previous);
}

static void segment_command(int content, const char *sql, mpp_gang_result result, void *ctx)
{
	Bitmapset *contents = bms_make_singleton(content);

	mpp_gang_require(contents);
	mpp_gang_send(content, sql, 0, NULL, result, ctx);
	mpp_gang_wait(contents, NULL, NULL);
}

static void finish_one(int content, const char *gid)
{
	bool commit = decided(gid);

	segment_command(
	        content,
	        psprintf("%s PREPARED %s", commit ? "COMMIT" : "ROLLBACK", quote_literal_cstr(gid)),
	        NULL, NULL);
	ereport(LOG, (errmsg("%s transaction \"%s\" of segment %d, which was left prepared",
	                     commit ? "committed" : "rolled back", gid, content)));
}

/* Adds what stays prepared on the segment, of living QDs, to ret_left. */
static void finish_segment(int content, List **ret_left)
{
	List *gids = NIL;
	ListCell *cell;

	segment_command(content,
	                psprintf("SELECT gid FROM pg_catalog.pg_prepared_xacts WHERE database ="
	                         " pg_catalog.current_database() AND gid ~ '^sluice_%s_'",
	                         mpp_cluster_id),
	                collect_gids, &gids);
	foreach (cell, gids) {
		char *gid = lfirst(cell);

		if (owner_has_ended(gid)) {
			finish_one(content, gid);
		} else {
			MemoryContext previous = MemoryContextSwitchTo(context);

			*ret_left = lappend(*ret_left, gid);
			MemoryContextSwitchTo(previous);
		}
	}
}

/* Runs step in a transaction of its own. Whether it succeeded; failures are logged. */
static bool in_transaction(void (*step)(void *arg), void *arg)
{
	volatile bool done = false;

	StartTransactionCommand();
	/* Whatever the defaults are: each look for a decision must see what was committed
	 * until then, and old decisions are deleted. */
	XactIsoLevel = XACT_READ_COMMITTED;
	XactReadOnly = false;
	PG_TRY();
	{
		step(arg);
		CommitTransactionCommand();
		done = true;
	}
	PG_CATCH();
	{
		HOLD_INTERRUPTS();
		EmitErrorReport();
		AbortCurrentTransaction();
		FlushErrorState();
		RESUME_INTERRUPTS();
	}
	PG_END_TRY();
	CHECK_FOR_INTERRUPTS();
	return done;
}

typedef struct Run {
	bool installed;
	int segment_count;
	List *old;  /* gids of decisions whose QDs had ended when the run began */
	List *left; /* gids that are prepared, of living QDs */
	int content;
} Run;

static void step_begin(void *arg)
{
	Run *run = arg;
	ListCell *cell;

	run->installed = mpp_installed() && mpp_segment_count() > 0;
	if (!run->installed)
		return;
	run->segment_count = mpp_segment_count();
	foreach (cell, local_gids("SELECT gid FROM sluice.dtx_decision"))
		if (owner_has_ended(lfirst(cell))) {
			MemoryContext previous = MemoryContextSwitchTo(context);

			run->old = lappend(run->old, lfirst(cell));
			MemoryContextSwitchTo(previous);
		}
}

static void step_segment(void *arg)
{
	Run *run = arg;

	finish_segment(run->content, &run->left);
}

/* Decisions that no segment can ask for any more. */
static void step_forget(void *arg)
{
	Run *run = arg;
	ListCell *cell;

	SPI_connect();
	PushActiveSnapshot(GetTransactionSnapshot());
	foreach (cell, run->old)
		SPI_execute(psprintf("DELETE FROM sluice.dtx_decision WHERE gid = %s",
		                     quote_literal_cstr(lfirst(cell))),
		            false, 0);
	PopActiveSnapshot();
	SPI_finish();
}

bool recovery_run(void)
{
	Run run = {0};
	bool complete = true;

	context =
	        AllocSetContextCreate(TopMemoryContext, "sluice recovery", ALLOCSET_DEFAULT_SIZES);
	if (!in_transaction(step_begin, &run))
		return false;
	if (!run.installed)
		return true;
	for (run.content = 0; run.content < run.segment_count; run.content++)
		complete = in_transaction(step_segment, &run) && complete;
	/* Their QDs have ended, so no segment can come to hold them prepared anew. */
	if (complete && run.old != NIL)
		complete = in_transaction(step_forget, &run);
	return complete;
}
