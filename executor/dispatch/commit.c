/* SPDX-License-Identifier: Apache-2.0 */
/*
 * commit.c - how a distributed transaction ends. Before the QD commits: when one
 * segment alone wrote, it commits there and then; when more nodes wrote, each
 * segment prepares, and the decision is a row in sluice.dtx_decision, written by the
 * QD's own transaction. After that commit nothing may fail any more: a COMMIT PREPARED
 * that does not get through is left to the recovery worker (recovery.c).
 */
#include <postgres.h>

#include <access/genam.h>
#include <access/htup_details.h>
#include <access/table.h>
#include <access/transam.h>
#include <access/xact.h>
#include <catalog/indexing.h>
#include <catalog/namespace.h>
#include <miscadmin.h>
#include <utils/builtins.h>
#include <utils/lsyscache.h>
#include <utils/memutils.h>
#include <utils/rel.h>
#include <utils/timestamp.h>

#include "executor/catalog/node.h"
#include "executor/dispatch/commit.h"
#include "executor/dispatch/dtx.h"
#include "executor/dispatch/fault.h"
#include "executor/dispatch/qe.h"
#include "executor/dispatch/shared.h"

/* How long an abort waits for a QE to end its command, or to roll back; the connection to
 * one that does not answer is closed. That of a savepoint waits longer, for to lose a
 * connection is to lose the transaction. */
#define STOP_TIMEOUT_MS      1000
#define SAVEPOINT_TIMEOUT_MS 5000

/* How long a commit waits for the segments to follow, before it leaves that to the
 * recovery worker. */
#define COMMIT_TIMEOUT_MS 30000

static char gid[128]; /* of the transaction when it is two-phase; else empty */

static void set_stopping(bool stopping)
{
	for (int i = 0; i < qe_count; i++)
		qe_array[i].stopping = stopping;
}

static int left_ms(TimestampTz deadline)
{
	return (int)TimestampDifferenceMilliseconds(GetCurrentTimestamp(), deadline);
}

void commit_stop_commands(int level)
{
	TimestampTz deadline = TimestampTzPlusMilliseconds(
	        GetCurrentTimestamp(), level == 0 ? STOP_TIMEOUT_MS : SAVEPOINT_TIMEOUT_MS);
	bool busy = false;

	for (int i = 0; i < qe_count; i++) {
		Qe *qe = &qe_array[i];

		/* What runs for an outer level goes on: a loop over its rows, with a
		 * handler of exceptions in its body. */
		if (qe->level < level && qe->copy == QE_COPY_NONE)
			continue;
		qe->stopping = true;
		/* First: those who wait for results may have lost their memory. */
		qe_forget_results(qe);
		qe_take(qe);
		qe_forget_results(qe);
		busy = busy || qe->command_count > 0 || qe->copy != QE_COPY_NONE;
		qe->quiet = false;
	}
	if (busy) {
		qe_cancel(left_ms(deadline));
		qe_copy_abort(left_ms(deadline));
		qe_drain(left_ms(deadline));
	}
	for (int i = 0; i < qe_count; i++)
		if (qe_array[i].stopping)
			qe_forget_results(&qe_array[i]);
	set_stopping(false);
}

/* ---- before the commit of the QD ---- */

static void gid_make(void)
{
	FullTransactionId xid = GetTopFullTransactionId();
	uint64 random;

	/* A transaction id alone comes again if a crash loses its first use. */
	if (!pg_strong_random(&random, sizeof(random)))
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR),
		                errmsg("could not generate random values")));
	snprintf(gid, sizeof(gid), "sluice_%s_%llu_%016llx", mpp_cluster_id,
	         (unsigned long long)U64FromFullTransactionId(xid), (unsigned long long)random);
}

static void decision_write(void)
{
	Oid relid = get_relname_relid("dtx_decision", get_namespace_oid("sluice", false));
	Relation relation = table_open(relid, RowExclusiveLock);
	Datum value = CStringGetTextDatum(gid);
	bool null = false;
	HeapTuple tuple = heap_form_tuple(RelationGetDescr(relation), &value, &null);

	CatalogTupleInsert(relation, tuple);
	table_close(relation, NoLock);
}

static void prepare_result(int content, const PGresult *result, void *ctx)
{
	qe_array[content].prepared = true;
}

/* Send sql to all writers; throws the first failure after all have answered. */
static void writers_command(const char *sql, mpp_gang_result result)
{
	Bitmapset *writers = NULL;
	int content = -1;

	for (int i = 0; i < qe_count; i++)
		if (qe_array[i].writes)
			writers = bms_add_member(writers, i);
	while ((content = bms_next_member(writers, content)) >= 0) {
		if (qe_array[content].lost)
			qe_throw_lost(&qe_array[content]);
		mpp_gang_send(content, sql, 0, NULL, result, NULL);
		qe_keep_result(&qe_array[content]);
	}
	mpp_gang_wait(writers, NULL, NULL);
	bms_free(writers);
}

static void one_phase_result(int content, const PGresult *result, void *ctx)
{
	qe_array[content].level = 0;
	qe_array[content].begun = qe_array[content].writes = false;
	qe_array[content].committing = false;
}

static void pre_commit(void)
{
	int writers = 0;

	for (int i = 0; i < qe_count; i++) {
		if (qe_array[i].writes)
			writers++;
	}
	if (writers == 0)
		return;
	if (writers == 1 && !TransactionIdIsValid(GetTopTransactionIdIfAny())) {
		mpp_fault("before_commit");
		for (int i = 0; i < qe_count; i++)
			qe_array[i].committing = qe_array[i].writes;
		writers_command("COMMIT", one_phase_result);
		return;
	}
	mpp_fault("before_prepare");
	gid_make();
	decision_write();
	ForceSyncCommit(); /* the decision must not be lost after a segment has acted on it */
	writers_command(psprintf("PREPARE TRANSACTION '%s'", gid), prepare_result);
	mpp_fault("after_prepare");
}

/* ---- after it; nothing here throws ---- */

static void finished(int content, const PGresult *result, void *ctx)
{
	qe_array[content].prepared = false;
}

/* Send what ends the transaction on each QE. prepared_sql: for the prepared ones. */
static void send_end(const char *prepared_sql, const char *sql)
{
	for (int i = 0; i < qe_count; i++) {
		Qe *qe = &qe_array[i];

		qe->begin_count = 0;
		if (qe->prepared) {
			if (qe_send(qe, QE_ITEM_COMMAND, prepared_sql, 0, NULL, finished, NULL))
				qe_sync(qe);
		} else if (qe->begun && qe->level > 0) {
			if (qe_send(qe, QE_ITEM_END, sql, 0, NULL, NULL, NULL))
				qe_sync(qe);
		}
	}
}

static void reset(void)
{
	for (int i = 0; i < qe_count; i++) {
		Qe *qe = &qe_array[i];

		qe_forget_results(qe);
		qe->level = qe->begin_count = 0;
		qe->begun = qe->writes = qe->prepared = qe->lost = qe->committing = false;
	}
	gid[0] = 0;
}

/* What stays prepared is the recovery worker's. */
static void leave_to_recovery(void)
{
	bool left = false;

	for (int i = 0; i < qe_count; i++)
		/* lost during PREPARE: it may have succeeded */
		left = left || qe_array[i].prepared || (gid[0] != 0 && qe_array[i].lost);
	if (left)
		shared_kick();
}

static void committed(void)
{
	char sql[160];

	if (gid[0] != 0)
		mpp_fault("after_commit");
	snprintf(sql, sizeof(sql), "COMMIT PREPARED '%s'", gid);
	send_end(sql, "COMMIT");
	set_stopping(true);
	if (gid[0] != 0)
		qe_drain(COMMIT_TIMEOUT_MS);
	set_stopping(false);
	leave_to_recovery();
	reset();
}

static void aborted(void)
{
	char sql[160];

	commit_stop_commands(0);
	snprintf(sql, sizeof(sql), "ROLLBACK PREPARED '%s'", gid);
	send_end(sql, "ROLLBACK");
	set_stopping(true);
	qe_drain(STOP_TIMEOUT_MS);
	set_stopping(false);
	for (int i = 0; i < qe_count; i++)
		qe_array[i].settings = 0; /* they may have been rolled back with it */
	leave_to_recovery();
	reset();
}

/* An error now would be a PANIC; the segments' part is left to the recovery worker. */
static void without_errors(void (*end)(void))
{
	MemoryContext context = CurrentMemoryContext;

	PG_TRY();
	{
		end();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		EmitErrorReport();
		FlushErrorState();
		for (int i = 0; i < qe_count; i++)
			qe_close(&qe_array[i]);
		shared_kick();
		reset();
	}
	PG_END_TRY();
}

static void on_transaction(XactEvent event, void *arg)
{
	if (qe_count == 0)
		return;
	switch (event) {
	case XACT_EVENT_PRE_COMMIT:
		pre_commit();
		break;
	case XACT_EVENT_COMMIT:
		without_errors(committed);
		break;
	case XACT_EVENT_ABORT:
		without_errors(aborted);
		break;
	case XACT_EVENT_PRE_PREPARE:
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
		                errmsg("PREPARE TRANSACTION is not supported on a cluster")));
		break;
	default:
		break;
	}
}

void commit_init(void)
{
	RegisterXactCallback(on_transaction, NULL);
}
