/* SPDX-License-Identifier: Apache-2.0 */
/*
 * copy.c - COPY streams on the connections of the gang. libpq has no COPY within a
 * pipeline, so a connection leaves that mode for the time of a stream. And it does
 * not look at what a server says while it takes data, so when something has arrived
 * the stream is ended, which brings it up, and begun anew.
 */
#include <postgres.h>

#include <lib/stringinfo.h>
#include <miscadmin.h>
#include <sys/socket.h>
#include <utils/timestamp.h>

#include "executor/dispatch/copy.h"
#include "executor/dispatch/dtx.h"
#include "executor/dispatch/qe.h"

/* Bytes on their way to a segment beyond which the QD waits for it. */
#define UNSENT_MAX_BYTES (1024 * 1024)

static char *copy_sql; /* of the streams that are open; malloc()ed */
static const MppCopyEvents *copy_events;
static char *row; /* of mpp_copy_get(), of libpq */

char *qe_copy_context(int content, const char *context)
{
	if (copy_events == NULL || copy_events->context == NULL)
		return pstrdup(context);
	return copy_events->context(content, context, copy_events->ctx);
}

/* ---- one stream ---- */

static void stream_flush(Qe *qe)
{
	int rc = PQflush(qe->conn);

	if (rc < 0)
		qe_throw_lost(qe_lose(qe));
	qe->flushing = rc == 1;
	if (rc == 0)
		qe->unsent = 0;
}

static void stream_send(Qe *qe)
{
	StringInfoData sql;

	initStringInfo(&sql);
	for (int i = 0; i < qe->begin_count; i++)
		appendStringInfo(&sql, "%s;", qe->begin[i]);
	appendStringInfoString(&sql, copy_sql);
	qe->begun = qe->begun || qe->begin_count > 0;
	qe->begin_count = 0;
	if (PQpipelineStatus(qe->conn) != PQ_PIPELINE_OFF && PQexitPipelineMode(qe->conn) != 1)
		elog(ERROR, "%s is busy: %s", qe->name, PQerrorMessage(qe->conn));
	if (PQsendQuery(qe->conn, sql.data) != 1)
		qe_throw_lost(qe_lose(qe));
	qe->copy = QE_COPY_ANSWER;
	stream_flush(qe);
	pfree(sql.data);
}

/* Takes answers. True when it waits for no more of them: data may flow, or all ended. */
static bool stream_step(Qe *qe)
{
	if (qe->conn == NULL || qe->copy != QE_COPY_ANSWER)
		return true;
	if (qe->flushing)
		stream_flush(qe);
	if (!PQconsumeInput(qe->conn))
		qe_throw_lost(qe_lose(qe));
	while (!PQisBusy(qe->conn)) {
		PGresult *result = PQgetResult(qe->conn);
		ExecStatusType status = PQresultStatus(result);

		if (result == NULL) {
			qe->copy = QE_COPY_ENDED;
			return true;
		}
		if (status == PGRES_COPY_IN || status == PGRES_COPY_OUT) {
			qe->copy = status == PGRES_COPY_IN ? QE_COPY_IN : QE_COPY_OUT;
			PQclear(result);
			return true;
		}
		if (status == PGRES_COMMAND_OK)
			qe->copy_rows += strtoull(PQcmdTuples(result), NULL, 10);
		else if (qe->error == NULL &&
		         PQresultErrorField(result, PG_DIAG_SQLSTATE) != NULL) {
			qe->error = result;
			qe->error_time = GetCurrentTimestamp();
			continue;
		}
		PQclear(result);
		if (PQstatus(qe->conn) != CONNECTION_OK)
			qe_throw_lost(qe_lose(qe));
	}
	return false;
}

static void streams_answer(void)
{
	for (;;) {
		bool waits = false;
		Qe *failed = NULL;

		CHECK_FOR_INTERRUPTS();
		for (int i = 0; i < qe_count; i++) {
			if (!stream_step(&qe_array[i]))
				waits = true;
			if (qe_array[i].error != NULL &&
			    (failed == NULL || qe_error_is_secondary(failed->error)))
				failed = &qe_array[i];
		}
		qe_notices_flush();
		if (failed != NULL && (!waits || !qe_error_is_secondary(failed->error)))
			qe_throw(failed);
		if (!waits)
			return;
		qe_wait(-1);
	}
}

static void streams_close(void)
{
	for (int i = 0; i < qe_count; i++) {
		Qe *qe = &qe_array[i];

		if (qe->copy == QE_COPY_NONE)
			continue;
		qe->copy = QE_COPY_NONE;
		if (qe->conn != NULL && PQenterPipelineMode(qe->conn) != 1)
			qe_close(qe);
	}
	free(copy_sql);
	copy_sql = NULL;
	copy_events = NULL;
	PQfreemem(row);
	row = NULL;
}

/* ---- all streams ---- */

/* What was sent before must be answered before the mode can change. */
static void wait_until_idle(const Bitmapset *contents)
{
	for (;;) {
		bool busy = false;
		int content = -1;

		CHECK_FOR_INTERRUPTS();
		mpp_gang_progress();
		while ((content = bms_next_member(contents, content)) >= 0)
			busy = busy || qe_array[content].item_count > 0;
		if (!busy)
			return;
		qe_wait(-1);
	}
}

void mpp_copy_begin(const Bitmapset *contents, const char *sql, bool writes,
                    const MppCopyEvents *events)
{
	int content = -1;

	mpp_dtx_join(contents, writes);
	while ((content = bms_next_member(contents, content)) >= 0) {
		/* What begins a transaction can be sent again, a stream cannot. */
		if (!qe_array[content].begun)
			mpp_gang_send(content, "SELECT", 0, NULL, NULL, NULL);
		qe_make_free(&qe_array[content]);
	}
	wait_until_idle(contents);
	copy_sql = strdup(sql);
	if (copy_sql == NULL)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	copy_events = events;
	content = -1;
	while ((content = bms_next_member(contents, content)) >= 0) {
		qe_array[content].copy_rows = 0;
		qe_array[content].unsent = 0;
		stream_send(&qe_array[content]);
	}
	streams_answer();
}

/* Whether the segment says something while it takes data. */
static bool has_answered(const Qe *qe)
{
	char byte;

	return recv(PQsocket(qe->conn), &byte, 1, MSG_PEEK | MSG_DONTWAIT) >= 0;
}

static void hear(Qe *qe)
{
	if (copy_events->restarted == NULL) {
		if (!PQconsumeInput(qe->conn))
			qe_throw_lost(qe_lose(qe));
		return;
	}
	if (PQputCopyEnd(qe->conn, NULL) != 1)
		qe_throw_lost(qe_lose(qe));
	qe->copy = QE_COPY_ANSWER;
	stream_flush(qe);
	streams_answer();
	stream_send(qe);
	streams_answer();
	copy_events->restarted(qe->content, copy_events->ctx);
}

static void streams_flush(void)
{
	for (int i = 0; i < qe_count; i++)
		if (qe_array[i].copy == QE_COPY_IN && qe_array[i].flushing)
			stream_flush(&qe_array[i]);
}

void mpp_copy_put(int content, const char *bytes, int size_bytes)
{
	Qe *qe = &qe_array[content];

	if (has_answered(qe))
		hear(qe);
	streams_flush();
	while (qe->flushing && qe->unsent > UNSENT_MAX_BYTES) {
		CHECK_FOR_INTERRUPTS();
		qe_wait(-1);
		streams_flush();
		if (has_answered(qe))
			hear(qe);
	}
	if (PQputCopyData(qe->conn, bytes, size_bytes) != 1)
		qe_throw_lost(qe_lose(qe));
	qe->unsent += size_bytes;
	stream_flush(qe);
}

const char *mpp_copy_get(int *ret_size_bytes)
{
	static int next; /* fair: begin where the last row was not */

	PQfreemem(row);
	row = NULL;
	for (;;) {
		bool waits = false;

		CHECK_FOR_INTERRUPTS();
		for (int i = 0; i < qe_count; i++) {
			Qe *qe = &qe_array[(next + i) % qe_count];
			int rc;

			if (qe->copy != QE_COPY_OUT)
				continue;
			rc = PQgetCopyData(qe->conn, &row, 1);
			if (rc > 0) {
				next = qe->content;
				*ret_size_bytes = rc;
				return row;
			}
			if (rc == 0)
				waits = true;
			else
				qe->copy = QE_COPY_ANSWER;
		}
		streams_answer();
		if (!waits)
			return NULL;
		qe_wait(-1);
		for (int i = 0; i < qe_count; i++)
			if (qe_array[i].copy == QE_COPY_OUT && !PQconsumeInput(qe_array[i].conn))
				qe_throw_lost(qe_lose(&qe_array[i]));
	}
}

void mpp_copy_end(uint64 *ret_rows)
{
	for (int i = 0; i < qe_count; i++) {
		Qe *qe = &qe_array[i];

		if (qe->copy != QE_COPY_IN)
			continue;
		if (PQputCopyEnd(qe->conn, NULL) != 1)
			qe_throw_lost(qe_lose(qe));
		qe->copy = QE_COPY_ANSWER;
		stream_flush(qe);
	}
	streams_answer();
	for (int i = 0; ret_rows != NULL && i < qe_count; i++)
		ret_rows[i] = qe_array[i].copy == QE_COPY_ENDED ? qe_array[i].copy_rows : 0;
	streams_close();
}

/* ---- abort: nothing here throws ---- */

/* Whether the stream has ended. */
static bool abort_step(Qe *qe)
{
	char *data;
	int rc;

	if (PQflush(qe->conn) < 0 || !PQconsumeInput(qe->conn)) {
		qe_close(qe);
		return true;
	}
	while (!PQisBusy(qe->conn)) {
		PGresult *result = PQgetResult(qe->conn);
		ExecStatusType status = PQresultStatus(result);

		if (result == NULL)
			return true;
		PQclear(result);
		if (status == PGRES_COPY_IN && PQputCopyEnd(qe->conn, "cancelled by the QD") != 1) {
			qe_close(qe);
			return true;
		}
		while (status == PGRES_COPY_OUT && (rc = PQgetCopyData(qe->conn, &data, 1)) > 0)
			PQfreemem(data);
		if (status == PGRES_COPY_OUT && rc == 0)
			return false;
	}
	return false;
}

void qe_copy_abort(int timeout_ms)
{
	TimestampTz deadline = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), timeout_ms);

	if (copy_sql == NULL)
		return;
	HOLD_INTERRUPTS();
	for (;;) {
		bool waits = false;
		long left_ms = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), deadline);

		for (int i = 0; i < qe_count; i++) {
			Qe *qe = &qe_array[i];

			if (qe->copy == QE_COPY_NONE || qe->conn == NULL || abort_step(qe))
				continue;
			if (left_ms > 0)
				waits = true;
			else
				qe_close(qe);
		}
		if (!waits)
			break;
		qe_wait(Min(left_ms, 100));
	}
	streams_close();
	RESUME_INTERRUPTS();
}
