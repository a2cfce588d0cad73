/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wire.c - encoding: integers in network order, texts with their length. A
 * message is: version, dispatch, names, parameters, slices.
 */
#include "executor/exec/wire.h"

#include <catalog/pg_type.h>
#include <executor/executor.h>
#include <libpq/pqformat.h>
#include <nodes/makefuncs.h>
#include <nodes/nodeFuncs.h>
#include <utils/datum.h>
#include <utils/lsyscache.h>

#include "executor/exec/oid_text.h"

#define MESSAGE_VERSION 1

/* ---- writing --------------------------------------------------------------- */

void mpp_wire_put_dispatch(StringInfo out, const MppDispatch *dispatch)
{
	int i;

	pq_sendint32(out, MESSAGE_VERSION);
	pq_sendint64(out, dispatch->query);
	pq_sendbytes(out, (const char *)dispatch->token.bytes, sizeof(dispatch->token.bytes));
	pq_sendint64(out, dispatch->snapshot);
	pq_sendint32(out, (uint32)dispatch->snapshot_alive_count);
	for (i = 0; i < dispatch->snapshot_alive_count; i++)
		pq_sendint64(out, dispatch->snapshots_alive[i]);
	pq_sendint32(out, (uint32)dispatch->instrument);
	pq_sendint32(out, (uint32)dispatch->segment_count);
	for (i = 0; i <= dispatch->segment_count; i++) {
		int length = (int)strlen(dispatch->nodes[i]);

		pq_sendint32(out, (uint32)length);
		pq_sendbytes(out, dispatch->nodes[i], length);
	}
}

void mpp_wire_put_params(StringInfo out, List *params, MppNames *names)
{
	int length_at = out->len;
	uint32 length;

	pq_sendint32(out, 0);
	mpp_oid_text_write(out, nodeToString(params), names, NULL);
	length = pg_hton32((uint32)(out->len - length_at - 4));
	memcpy(out->data + length_at, &length, sizeof(length));
}

void mpp_wire_begin_slice(StringInfo out, int number, const List *senders, bool writes,
                          int *ret_length_at)
{
	ListCell *cell;

	pq_sendint32(out, (uint32)number);
	pq_sendbyte(out, writes);
	pq_sendint32(out, (uint32)list_length(senders));
	foreach (cell, senders)
		pq_sendint32(out, (uint32)lfirst_int(cell));
	*ret_length_at = out->len;
	pq_sendint32(out, 0);
}

void mpp_wire_end_slice(StringInfo out, int length_at)
{
	uint32 length = pg_hton32((uint32)(out->len - length_at - 4));

	memcpy(out->data + length_at, &length, sizeof(length));
}

/* ---- reading --------------------------------------------------------------- */

/* A count of things of at least size_bytes each, bounded by what is there. */
static int get_count(StringInfo in, int size_bytes)
{
	int count = (int)pq_getmsgint(in, 4);

	if (count < 0 || count > (in->len - in->cursor) / size_bytes)
		ereport(ERROR, (errcode(ERRCODE_PROTOCOL_VIOLATION),
		                errmsg("malformed message of slices")));
	return count;
}

static char *get_string(StringInfo in)
{
	int length = get_count(in, 1);

	return pnstrdup(pq_getmsgbytes(in, length), (Size)length);
}

static void get_dispatch(StringInfo in, MppDispatch *ret_dispatch)
{
	MppDispatch *d = ret_dispatch;
	int i;

	if (pq_getmsgint(in, 4) != MESSAGE_VERSION)
		ereport(ERROR,
		        (errcode(ERRCODE_PROTOCOL_VIOLATION),
		         errmsg("coordinator and segment run different versions of sluice")));
	d->query = (uint64)pq_getmsgint64(in);
	pq_copymsgbytes(in, (char *)d->token.bytes, sizeof(d->token.bytes));
	d->snapshot = (uint64)pq_getmsgint64(in);
	d->snapshot_alive_count = get_count(in, 8);
	d->snapshots_alive = palloc(sizeof(uint64) * (Size)Max(d->snapshot_alive_count, 1));
	for (i = 0; i < d->snapshot_alive_count; i++)
		d->snapshots_alive[i] = (uint64)pq_getmsgint64(in);
	d->instrument = (int)pq_getmsgint(in, 4);
	d->segment_count = get_count(in, 4);
	d->nodes = palloc(sizeof(char *) * (Size)(d->segment_count + 1));
	for (i = 0; i <= d->segment_count; i++)
		d->nodes[i] = get_string(in);
}

/* A value with OIDs inside came as text, which is converted here. */
static Expr *as_const(Expr *expr)
{
	ExprContext *context;
	Oid type = exprType((Node *)expr);
	int16 length;
	bool by_value, isnull;
	Datum value;

	if (IsA(expr, Const))
		return expr;
	context = CreateStandaloneExprContext();
	value = ExecEvalExprSwitchContext(ExecInitExpr(expr, NULL), context, &isnull);
	get_typlenbyval(type, &length, &by_value);
	expr = (Expr *)makeConst(type, -1, exprCollation((Node *)expr), length,
	                         isnull ? (Datum)0 : datumCopy(value, by_value, length), isnull,
	                         by_value);
	FreeExprContext(context, true);
	return expr;
}

static List *get_params(StringInfo in, const MppMessage *message)
{
	int size = get_count(in, 1);
	List *params = stringToNode(mpp_oid_text_read(pq_getmsgbytes(in, size), size, message->oids,
	                                              message->oid_count));
	ListCell *cell;

	foreach (cell, params) {
		TargetEntry *entry = lfirst_node(TargetEntry, cell);

		entry->expr = as_const(entry->expr);
	}
	return params;
}

static MppSliceText *get_slice(StringInfo in)
{
	MppSliceText *slice = palloc0(sizeof(*slice));
	int count;

	slice->number = (int)pq_getmsgint(in, 4);
	slice->writes = pq_getmsgbyte(in) != 0;
	for (count = get_count(in, 4); count > 0; count--)
		slice->senders = lappend_int(slice->senders, (int)pq_getmsgint(in, 4));
	slice->text.len = slice->text.maxlen = get_count(in, 1);
	slice->text.data = unconstify(char *, pq_getmsgbytes(in, slice->text.len));
	return slice;
}

MppMessage *mpp_wire_read(const char *bytes, int size_bytes)
{
	StringInfoData in = {
	        .data = unconstify(char *, bytes), .len = size_bytes, .maxlen = size_bytes};
	MppMessage *message = palloc0(sizeof(*message));
	int count;

	get_dispatch(&in, &message->dispatch);
	message->oids = mpp_names_read(&in, &message->oid_count);
	message->exec_params = get_params(&in, message);
	message->extern_params = get_params(&in, message);
	for (count = get_count(&in, 12); count > 0; count--)
		message->slices = lappend(message->slices, get_slice(&in));
	return message;
}

MppSliceText *mpp_wire_slice(const MppMessage *message, int number)
{
	ListCell *cell;

	foreach (cell, message->slices)
		if (((MppSliceText *)lfirst(cell))->number == number)
			return lfirst(cell);
	elog(ERROR, "slice %d is not in the message", number);
}

ParamListInfo mpp_wire_extern_params(const MppMessage *message)
{
	ParamListInfo params;
	ListCell *cell;
	int count = 0;

	foreach (cell, message->extern_params)
		count = Max(count, lfirst_node(TargetEntry, cell)->resno);
	if (count == 0)
		return NULL;
	params = makeParamList(count);
	foreach (cell, message->extern_params) {
		TargetEntry *entry = lfirst_node(TargetEntry, cell);
		Const *value = castNode(Const, entry->expr);
		ParamExternData *param = &params->params[entry->resno - 1];

		param->value = value->constvalue;
		param->isnull = value->constisnull;
		param->pflags = PARAM_FLAG_CONST;
		param->ptype = value->consttype;
	}
	return params;
}
