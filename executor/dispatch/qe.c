/* SPDX-License-Identifier: Apache-2.0 */
/*
 * qe.c - sending to one QE and taking its results, in libpq's pipeline mode.
 * Nothing here throws: it also runs in the abort of a transaction. What goes wrong
 * is kept in the Qe, and thrown by gang.c when somebody waits for it.
 */
#include <postgres.h>

#include <sys/socket.h>
#include <utils/timestamp.h>

#include "executor/dispatch/qe.h"

/* The connection is no longer to be trusted; its transaction goes with it. */
static void qe_fail(Qe *qe)
{
	if (qe->command_count > 0 && !qe->ended_idle)
		qe->broken = true;
	strlcpy(qe->lost_message, PQerrorMessage(qe->conn), sizeof(qe->lost_message));
	qe_close(qe);
}

static void take_results(Qe *qe);

/* What the server said before it closed the connection may be unread when a write fails. */
static void qe_fail_sending(Qe *qe)
{
	if (PQstatus(qe->conn) == CONNECTION_BAD)
		take_results(qe);
	qe_fail(qe);
}

Qe *qe_lose(Qe *qe)
{
	if (qe->conn != NULL)
		qe_fail_sending(qe);
	return qe;
}

bool qe_item_push(Qe *qe, QeItemKind kind, bool by_row, mpp_gang_result result, void *ctx)
{
	if (qe->item_count == qe->item_size) {
		int size = qe->item_size == 0 ? 16 : qe->item_size * 2;
		QeItem *items = malloc(size * sizeof(QeItem));

		if (items == NULL)
			return false;
		for (int i = 0; i < qe->item_count; i++)
			items[i] = qe->items[(qe->item_first + i) % qe->item_size];
		free(qe->items);
		qe->items = items;
		qe->item_size = size;
		qe->item_first = 0;
	}
	qe->items[(qe->item_first + qe->item_count) % qe->item_size] =
	        (QeItem){.kind = kind, .by_row = by_row, .result = result, .ctx = ctx};
	qe->item_count++;
	if (kind == QE_ITEM_COMMAND)
		qe->command_count++;
	return true;
}

static void item_pop(Qe *qe)
{
	if (qe->items[qe->item_first].kind == QE_ITEM_COMMAND)
		qe->command_count--;
	qe->item_first = (qe->item_first + 1) % qe->item_size;
	qe->item_count--;
}

void qe_params_split(QeParams *ret, const Qe *qe, const MppParam *params, int count)
{
	for (int i = 0; i < count; i++) {
		bool is_secret = params[i].bytes == mpp_gang_secret;

		ret->types[i] = params[i].type;
		ret->values[i] = is_secret ? qe->secret : params[i].bytes;
		ret->lengths[i] = is_secret ? QE_SECRET_BYTES : params[i].size_bytes;
		ret->formats[i] = 1;
	}
}

bool qe_send(Qe *qe, QeItemKind kind, const char *sql, int param_count, const MppParam *params,
             mpp_gang_result result, void *ctx)
{
	QeParams arrays;

	if (qe->conn == NULL || param_count > QE_PARAMS_MAX)
		return false;
	qe_params_split(&arrays, qe, params, param_count);
	if (!qe_item_push(qe, kind, false, result, ctx) ||
	    PQsendQueryParams(qe->conn, sql, param_count, arrays.types, arrays.values,
	                      arrays.lengths, arrays.formats, 0) != 1) {
		qe_fail_sending(qe);
		return false;
	}
	return true;
}

/* Send the statements that wait to ride in front of a command. */
bool qe_send_begin(Qe *qe)
{
	for (int i = 0; i < qe->begin_count; i++)
		if (!qe_send(qe, QE_ITEM_INTERNAL, qe->begin[i], 0, NULL, NULL, NULL))
			return false;
	if (qe->begin_count > 0)
		qe->begun = true;
	qe->begin_count = 0;
	return true;
}

static void qe_flush(Qe *qe)
{
	int rc = PQflush(qe->conn);

	qe->flushing = rc == 1;
	if (rc < 0)
		qe_fail_sending(qe);
}

bool qe_sync(Qe *qe)
{
	if (qe->conn == NULL)
		return false;
	if (!qe_item_push(qe, QE_ITEM_SYNC, false, NULL, NULL) || PQpipelineSync(qe->conn) != 1) {
		qe_fail_sending(qe);
		return false;
	}
	qe_flush(qe);
	return qe->conn != NULL;
}

static void qe_keep_error(Qe *qe, PGresult *result)
{
	if (qe->error != NULL) {
		PQclear(result);
		return;
	}
	qe->error = result;
	qe->error_time = GetCurrentTimestamp();
}

/* Whether the server has ended before it began with what is to be sent again: at rest,
 * or at what was sent before it. */
static bool has_ended_idle(const Qe *qe, const QeItem *item, const PGresult *result)
{
	const char *severity = PQresultErrorField(result, PG_DIAG_SEVERITY_NONLOCALIZED);
	const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);

	if (severity == NULL || strcmp(severity, "FATAL") != 0 || sqlstate == NULL || qe->stopping)
		return false;
	if (qe->first == NULL && (qe->begun || qe->command_count > 0))
		return false;
	return item->kind == QE_ITEM_END || item->kind == QE_ITEM_SETTINGS ||
	       strcmp(sqlstate, unpack_sql_state(MPP_SQLSTATE_ENDED_IDLE)) == 0;
}

/* Takes result. */
static void qe_result(Qe *qe, PGresult *result)
{
	QeItem *item = &qe->items[qe->item_first];

	switch (PQresultStatus(result)) {
	case PGRES_PIPELINE_SYNC:
		item_pop(qe);
		break;
	case PGRES_PIPELINE_ABORTED: /* an error before it is already kept */
		break;
	case PGRES_COMMAND_OK:
	case PGRES_TUPLES_OK:
	case PGRES_SINGLE_TUPLE:
		if (item->kind == QE_ITEM_SETTINGS)
			qe_settings_answer(qe, result);
		else if (item->kind != QE_ITEM_END && qe->first != NULL)
			qe_first_drop(qe);
		if (item->result != NULL) {
			qe->current = result;
			item->result(qe->content, result, item->ctx);
			qe->current = NULL;
		}
		break;
	default:
		if (has_ended_idle(qe, item, result)) {
			qe->ended_idle = true;
			break;
		}
		if (item->kind == QE_ITEM_END)
			break;
		if (item->kind != QE_ITEM_COMMAND && item->kind != QE_ITEM_PREPARE)
			qe->doomed = true;
		if (item->kind == QE_ITEM_SETTINGS)
			qe->settings = 0;
		/* libpq's own error about a lost connection has no SQLSTATE. */
		if (PQresultErrorField(result, PG_DIAG_SQLSTATE) == NULL)
			break;
		qe_keep_error(qe, result);
		return;
	}
	PQclear(result);
}

/* Rather than libpq's own report that the connection is gone. */
static bool is_of_server(const PGresult *result)
{
	return PQresultStatus(result) != PGRES_FATAL_ERROR ||
	       PQresultErrorField(result, PG_DIAG_SQLSTATE) != NULL;
}

/* A connection that is gone is left to the caller. */
static void take_results(Qe *qe)
{
	while (qe->item_count > 0 && !qe->ended_idle) {
		PGresult *result;

		if (qe->items[qe->item_first].by_row)
			/* Possible only before something of its results was read; else they
			 * come as one. */
			(void)PQsetSingleRowMode(qe->conn);
		if (PQisBusy(qe->conn))
			break;
		result = PQgetResult(qe->conn);
		if (PQstatus(qe->conn) != CONNECTION_OK && result != NULL &&
		    !is_of_server(result)) {
			PQclear(result);
			break; /* the item has got no answer, and will get none */
		}
		if (result != NULL)
			qe_result(qe, result);
		else if (qe->items[qe->item_first].kind != QE_ITEM_SYNC)
			item_pop(qe);
		else if (PQstatus(qe->conn) != CONNECTION_OK)
			break;
	}
}

void qe_take(Qe *qe)
{
	if (qe->conn == NULL || qe->copy != QE_COPY_NONE)
		return;
	if (qe->flushing)
		qe_flush(qe);
	if (qe->conn == NULL)
		return;
	if (!PQconsumeInput(qe->conn) && qe->item_count == 0) {
		qe_fail(qe);
		return;
	}
	take_results(qe);
	if (PQstatus(qe->conn) != CONNECTION_OK) {
		qe_fail(qe);
		return;
	}
	if (qe->doomed && qe->item_count == 0 && !qe->ended_idle) {
		qe->broken = qe->error == NULL;
		qe_close(qe);
	}
}

/* Whether there is something to read. Nothing is what a living idle server says. */
static bool has_said(const Qe *qe)
{
	char byte;
	ssize_t size;

	do {
		size = recv(PQsocket(qe->conn), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
	} while (size < 0 && errno == EINTR);
	return size >= 0 || errno != EAGAIN;
}

void qe_look(Qe *qe)
{
	if (qe->item_count > 0)
		qe_take(qe); /* the end of the last transaction */
	if (qe->ended_idle) {
		qe_close(qe);
		qe_first_drop(qe);
	}
	if (qe->conn == NULL || qe->item_count > 0 || qe->copy != QE_COPY_NONE)
		return;
	while (has_said(qe)) {
		if (!PQconsumeInput(qe->conn)) {
			qe_fail(qe);
			return;
		}
		(void)PQisBusy(qe->conn); /* reads it: a notice, a changed parameter, a farewell */
	}
	if (qe->doomed)
		qe_fail(qe);
}

void qe_keep_result(Qe *qe)
{
	for (int i = qe->item_count - 1; i >= 0; i--) {
		QeItem *item = &qe->items[(qe->item_first + i) % qe->item_size];

		if (item->kind == QE_ITEM_SYNC)
			continue;
		item->keeps = true;
		return;
	}
}

/* Whether notices that arrive now interest nobody. */
bool qe_is_ending(const Qe *qe)
{
	return qe->item_count > 0 && qe->items[qe->item_first].kind == QE_ITEM_END;
}

/* Nobody waits for what is in flight any more; it is still to be taken. */
void qe_forget_results(Qe *qe)
{
	for (int i = 0; i < qe->item_count; i++) {
		QeItem *item = &qe->items[(qe->item_first + i) % qe->item_size];

		if (!item->keeps)
			item->result = NULL;
	}
	qe_first_drop(qe);
	PQclear(qe->current);
	PQclear(qe->error);
	qe->current = qe->error = NULL;
	qe->broken = false;
}
