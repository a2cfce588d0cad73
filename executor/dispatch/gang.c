/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gang.c - the QEs of this session as one: commands to many of them, their results,
 * and the error that is shown when several fail.
 */
#include <postgres.h>

#include <miscadmin.h>
#include <utils/builtins.h>
#include <utils/memutils.h>
#include <utils/timestamp.h>

#include "executor/catalog/cluster.h"
#include "executor/catalog/node.h"
#include "executor/dispatch/dtx.h"
#include "executor/dispatch/qe.h"
#include "executor/function.h"

/* How long an error that may be an echo is held back for its cause. */
#define ECHO_WAIT_MS 1000

MPP_FUNCTION(mpp_run_on_segments);

Qe *qe_array;
int qe_count;
void (*mpp_gang_drain)(void *ctx);

Bitmapset *mpp_gang_all(void)
{
	return bms_add_range(NULL, 0, mpp_cluster_get()->segment_count - 1);
}

static void gang_make(void)
{
	int count = mpp_cluster_get()->segment_count;

	if (qe_count == count)
		return;
	for (int i = 0; i < qe_count; i++)
		if (qe_array[i].level > 0)
			ereport(ERROR,
			        (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			         errmsg("the number of segments changed during the transaction")));
	for (int i = 0; i < qe_count; i++)
		qe_close(&qe_array[i]);
	qe_wait_reset();
	qe_count = 0;
	qe_array = MemoryContextAllocZero(TopMemoryContext, count * sizeof(Qe));
	for (int i = 0; i < count; i++)
		qe_array[i].content = i;
	qe_count = count;
}

static Qe *gang_qe(int content)
{
	if (content < 0 || content >= qe_count)
		elog(ERROR, "no connection to segment %d", content);
	return &qe_array[content];
}

void mpp_gang_require(const Bitmapset *contents)
{
	uint64 fingerprint = qe_settings_fingerprint();
	bool connected = true;
	int content = -1;

	gang_make();
	while ((content = bms_next_member(contents, content)) >= 0) {
		Qe *qe = &qe_array[content];

		qe_look(qe); /* notices the end of a QE that was killed while idle */
		if (qe->lost)
			qe_throw_lost(qe);
		connected = connected && qe->conn != NULL;
	}
	if (!connected)
		qe_connect(contents);
	content = -1;
	while ((content = bms_next_member(contents, content)) >= 0)
		if (qe_array[content].settings != fingerprint &&
		    !qe_settings_send(&qe_array[content], fingerprint))
			qe_send_failed(&qe_array[content]);
}

/* The QE whose failure is to be shown now, or NULL. */
static Qe *gang_failure(bool all_ended)
{
	Qe *echo = NULL;
	bool busy = false;

	for (int i = 0; i < qe_count; i++) {
		Qe *qe = &qe_array[i];

		busy = busy || qe->command_count > 0;
		if (qe->broken || (qe->error != NULL && !qe_error_is_secondary(qe->error))) {
			if (!all_ended)
				return qe;
			echo = qe;
			break;
		}
		if (qe->error != NULL && (echo == NULL || qe->error_time < echo->error_time))
			echo = qe;
	}
	if (echo == NULL || all_ended || !busy)
		return echo;
	return TimestampDifferenceExceeds(echo->error_time, GetCurrentTimestamp(), ECHO_WAIT_MS)
	               ? echo
	               : NULL;
}

static void gang_throw(Qe *qe)
{
	if (qe->error != NULL)
		qe_throw(qe);
	qe_throw_lost(qe);
}

static void gang_take(void)
{
	for (int i = 0; i < qe_count; i++) {
		Qe *qe = &qe_array[i];

		if (qe->item_count > 0)
			qe_take(qe);
		if (qe->ended_idle)
			qe_resend(qe);
	}
}

void mpp_gang_progress(void)
{
	Qe *failed;

	gang_take();
	qe_notices_flush();
	failed = gang_failure(false);
	if (failed != NULL)
		gang_throw(failed);
}

bool mpp_gang_busy(const Bitmapset *contents)
{
	int content = -1;

	while ((content = bms_next_member(contents, content)) >= 0)
		if (content < qe_count && qe_array[content].command_count > 0)
			return true;
	return false;
}

int mpp_gang_sockets(pgsocket *sockets, int max)
{
	int count = 0;

	for (int i = 0; i < qe_count && count < max; i++)
		if (qe_array[i].conn != NULL && qe_array[i].command_count > 0)
			sockets[count++] = PQsocket(qe_array[i].conn);
	return count;
}

void mpp_gang_wait(const Bitmapset *contents, void (*on_wait)(void *ctx), void *ctx)
{
	for (;;) {
		mpp_gang_progress(); /* also what a command that had ended before has left */
		if (!mpp_gang_busy(contents))
			return;
		CHECK_FOR_INTERRUPTS();
		if (on_wait != NULL)
			on_wait(ctx);
		/* An echo must be shown even if nothing more arrives. */
		qe_wait(on_wait != NULL ? 10 : ECHO_WAIT_MS);
	}
}

/* A cursor may be half read, or a loop over a query be in its body. */
void qe_make_free(Qe *qe)
{
	Bitmapset *contents;

	if (qe->copy != QE_COPY_NONE)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_IN_USE),
		                errmsg("the connection to %s is busy with a COPY", qe->name)));
	if (qe->command_count == 0)
		return;
	contents = bms_make_singleton(qe->content);
	mpp_gang_wait(contents, mpp_gang_drain, NULL);
	bms_free(contents);
	if (qe->conn == NULL)
		qe_throw_lost(qe);
}

static void keep_first(Qe *qe, const char *sql, int param_count, const MppParam *params,
                       mpp_gang_result result, void *ctx)
{
	QeParams arrays;
	QeStatement statement = {
	        .sql = sql,
	        .param_count = param_count,
	        .types = arrays.types,
	        .values = arrays.values,
	        .lengths = arrays.lengths,
	        .formats = arrays.formats,
	};

	if (qe->begun || param_count > QE_PARAMS_MAX)
		return;
	qe_params_split(&arrays, qe, params, param_count);
	qe_first_keep(qe, &statement, false, result, ctx);
}

void mpp_gang_send(int content, const char *sql, int param_count, const MppParam *params,
                   mpp_gang_result result, void *ctx)
{
	Qe *qe = gang_qe(content);

	qe_make_free(qe);
	qe_reopen(qe);
	keep_first(qe, sql, param_count, params, result, ctx);
	if (!qe_send_begin(qe) ||
	    !qe_send(qe, QE_ITEM_COMMAND, sql, param_count, params, result, ctx) || !qe_sync(qe))
		qe_send_failed(qe);
}

static void command_result(int content, const PGresult *result, void *ctx)
{
	uint64 *rows = ctx;

	*rows += strtoull(PQcmdTuples((PGresult *)result), NULL, 10);
}

uint64 mpp_gang_command(const Bitmapset *contents, const char *sql, bool writes)
{
	uint64 rows = 0;
	int content = -1;
	Qe *failed;

	if (writes)
		mpp_dtx_join(contents, true);
	else
		mpp_gang_require(contents);
	while ((content = bms_next_member(contents, content)) >= 0) {
		qe_array[content].quiet = true;
		mpp_gang_send(content, sql, 0, NULL, command_result, &rows);
	}
	while (mpp_gang_busy(contents)) {
		CHECK_FOR_INTERRUPTS();
		qe_wait(-1L);
		gang_take();
	}
	content = -1;
	while ((content = bms_next_member(contents, content)) >= 0)
		qe_array[content].quiet = false;
	qe_notices_flush();
	failed = gang_failure(true);
	if (failed != NULL)
		gang_throw(failed);
	return rows;
}

void mpp_gang_cancel(void)
{
	for (int i = 0; i < qe_count; i++)
		qe_array[i].stopping = true;
	qe_cancel(2000);
	for (int i = 0; i < qe_count; i++)
		qe_array[i].stopping = false;
}

Datum mpp_run_on_segments(PG_FUNCTION_ARGS)
{
	char *command = text_to_cstring(PG_GETARG_TEXT_PP(0));

	if (!mpp_is_qd())
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
		                errmsg("segments can be reached from the coordinator only")));
	PG_RETURN_INT64((int64)mpp_gang_command(mpp_gang_all(), command, true));
}
