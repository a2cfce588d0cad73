/* SPDX-License-Identifier: Apache-2.0 */
/*
 * resend.c - a QE that is ended while it has nothing to do must not fail the next
 * statement, and its end may cross with that statement on the way. A QE that ends
 * outside of every transaction says so with an SQLSTATE of its own: it has begun
 * nothing of what was sent. So what is sent first in a transaction is kept until an
 * answer comes, and sent to a new QE if that is the answer.
 */
#include <postgres.h>

#include <access/xact.h>
#include <utils/memutils.h>

#include "executor/catalog/node.h"
#include "executor/dispatch/dtx.h"
#include "executor/dispatch/qe.h"

/* In one allocation of malloc(), for an abort may drop it. */
struct QeFirst {
	QeStatement statement; /* its pointers point into this allocation */
	bool by_row;
	mpp_gang_result result;
	void *ctx;
	int begin_count;
	char begin[QE_BEGIN_MAX][sizeof(((Qe *)0)->begin[0])];
	char bytes[FLEXIBLE_ARRAY_MEMBER];
};

/* ---- QD -------------------------------------------------------------------- */

void qe_first_drop(Qe *qe)
{
	free(qe->first);
	qe->first = NULL;
	qe->ended_idle = false;
}

static char *copy_bytes(char **room, const void *bytes, Size size_bytes)
{
	char *copy = memcpy(*room, bytes, size_bytes);

	*room += MAXALIGN(size_bytes);
	return copy;
}

/* A text value may have no length: it ends in NUL. */
static Size value_size(const QeStatement *s, int i)
{
	return s->formats[i] ? (Size)s->lengths[i] : strlen(s->values[i]) + 1;
}

static Size size_of(const QeStatement *s)
{
	Size size = MAXALIGN(strlen(s->sql) + 1);
	int i;

	size += MAXALIGN(sizeof(Oid) * (Size)s->param_count) +
	        MAXALIGN(sizeof(char *) * (Size)s->param_count) +
	        2 * MAXALIGN(sizeof(int) * (Size)s->param_count);
	for (i = 0; i < s->param_count; i++)
		size += s->values[i] ? MAXALIGN(value_size(s, i)) : 0;
	return size;
}

static void copy_statement(QeStatement *to, const QeStatement *from, const char *secret, char *room)
{
	Size count = (Size)from->param_count;
	const char **values;
	Size i;

	*to = *from;
	to->sql = copy_bytes(&room, from->sql, strlen(from->sql) + 1);
	if (count == 0)
		return;
	to->types = (const Oid *)copy_bytes(&room, from->types, sizeof(Oid) * count);
	to->lengths = (const int *)copy_bytes(&room, from->lengths, sizeof(int) * count);
	to->formats = (const int *)copy_bytes(&room, from->formats, sizeof(int) * count);
	values = (const char **)copy_bytes(&room, from->values, sizeof(char *) * count);
	for (i = 0; i < count; i++)
		if (values[i] && values[i] != secret) /* that is the connection's */
			values[i] = copy_bytes(&room, values[i], value_size(from, (int)i));
	to->values = values;
}

void qe_first_keep(Qe *qe, const QeStatement *statement, bool by_row, mpp_gang_result result,
                   void *ctx)
{
	struct QeFirst *first;

	qe_first_drop(qe);
	if (qe->begun)
		return;
	first = malloc(sizeof(*first) + size_of(statement));
	if (!first)
		return; /* an error of the connection will be one of the statement */
	first->by_row = by_row;
	first->result = result;
	first->ctx = ctx;
	first->begin_count = qe->begin_count;
	memcpy(first->begin, qe->begin, sizeof(qe->begin[0]) * (Size)qe->begin_count);
	copy_statement(&first->statement, statement, qe->secret,
	               (char *)first + MAXALIGN(offsetof(struct QeFirst, bytes)));
	qe->first = first;
}

static bool send_again(Qe *qe, const struct QeFirst *first)
{
	const QeStatement *s = &first->statement;

	memcpy(qe->begin, first->begin, sizeof(qe->begin[0]) * (Size)first->begin_count);
	qe->begin_count = first->begin_count;
	return qe_send_begin(qe) &&
	       qe_item_push(qe, QE_ITEM_COMMAND, first->by_row, first->result, first->ctx) &&
	       PQsendQueryParams(qe->conn, s->sql, s->param_count, s->types, s->values, s->lengths,
	                         s->formats, s->result_format) == 1 &&
	       qe_sync(qe);
}

void qe_resend(Qe *qe)
{
	struct QeFirst *first = qe->first;
	Bitmapset *contents = bms_make_singleton(qe->content);
	bool sent = true;

	qe_close(qe);
	qe->first = NULL;
	qe->ended_idle = false;
	PG_TRY();
	{
		mpp_gang_require(contents);
		if (first)
			sent = send_again(qe, first);
	}
	PG_FINALLY();
	{
		free(first);
	}
	PG_END_TRY();
	bms_free(contents);
	if (!sent)
		qe_throw_lost(qe_lose(qe));
}

void qe_send_failed(Qe *qe)
{
	if (qe_lose(qe)->ended_idle)
		qe_resend(qe);
	else
		qe_throw_lost(qe);
}

void qe_reopen(Qe *qe)
{
	Bitmapset *contents;

	if (qe->conn)
		return;
	contents = bms_make_singleton(qe->content);
	mpp_gang_require(contents);
	bms_free(contents);
}

/* ---- QE -------------------------------------------------------------------- */

static emit_log_hook_type previous_emit_log;

static void tell_idle_end(ErrorData *error)
{
	if (error->elevel == FATAL && error->sqlerrcode == ERRCODE_ADMIN_SHUTDOWN && mpp_is_qe() &&
	    !IsTransactionOrTransactionBlock())
		error->sqlerrcode = MPP_SQLSTATE_ENDED_IDLE;
	if (previous_emit_log)
		previous_emit_log(error);
}

void qe_resend_init(void)
{
	previous_emit_log = emit_log_hook;
	emit_log_hook = tell_idle_end;
}
