/* SPDX-License-Identifier: Apache-2.0 */
/*
 * copy_from.c - COPY FROM: PostgreSQL's reader splits the file into rows here; the
 * values of the distribution key decide which segment gets the row, which parses
 * the rest. Only a WHERE clause and the binary format need all values here.
 */
#include <postgres.h>

#include <access/transam.h>
#include <commands/copyfrom_internal.h>
#include <executor/executor.h>
#include <miscadmin.h>
#include <optimizer/optimizer.h>
#include <rewrite/rewriteHandler.h>
#include <utils/lsyscache.h>
#include <utils/memutils.h>

#include "executor/catalog/cluster.h"
#include "executor/catalog/distribution.h"
#include "executor/dispatch/copy.h"
#include "executor/dispatch/gang.h"
#include "executor/load/load.h"

/* Bytes collected before they are handed to the connection. */
#define BUFFER_BYTES (64 * 1024)

typedef struct Load {
	Relation relation;
	CopyFromState copy;
	LoadRow row;
	Datum *values; /* [columns] */
	bool *nulls;
	bool all_values; /* every value of the row is wanted here */
	EState *estate;
	ExprContext *context; /* its per-tuple memory is of one row */
	ExprState *where;
	TupleTableSlot *slot; /* of where */

	MppPolicy policy;
	MppHash hash;
	int key_count;
	AttrNumber *keys;
	int *key_fields; /* [key_count] index among the fields; -1: a default */
	Datum *key_values;
	bool *key_nulls;

	int segment_count;
	int next; /* segment for a row of a random distribution */
	StringInfo *buffers;
	LineMap **lines;
} Load;

/* ---- events of the streams ---- */

static void on_restart(int content, void *ctx)
{
	Load *load = ctx;

	line_map_restart(load->lines[content]);
}

/* Replaces the number behind ", line " by that of the file. */
static char *on_context(int content, const char *context, void *ctx)
{
	Load *load = ctx;
	const char *number = strstr(context, ", line ");
	char *end;
	uint64 line;

	if (strncmp(context, "COPY ", 5) != 0 || number == NULL)
		return pstrdup(context);
	number += strlen(", line ");
	line = line_map_find(load->lines[content], strtoull(number, &end, 10));
	if (end == number || line == 0)
		return pstrdup(context);
	return psprintf("%.*s%llu%s", (int)(number - context), context, (unsigned long long)line,
	                end);
}

/* ---- preparation ---- */

static void prepare_output(const Load *load, AttrNumber attnum, FmgrInfo *ret_function)
{
	Oid type = TupleDescAttr(RelationGetDescr(load->relation), attnum - 1)->atttypid;
	Oid function;
	bool is_varlena;

	if (load->copy->opts.binary)
		getTypeBinaryOutputInfo(type, &function, &is_varlena);
	else
		getTypeOutputInfo(type, &function, &is_varlena);
	fmgr_info(function, ret_function);
}

static bool is_key(const Load *load, AttrNumber attnum)
{
	for (int i = 0; i < load->key_count; i++)
		if (load->keys[i] == attnum)
			return true;
	return false;
}

/* Defaults that do not have the same value everywhere (nextval(), now()) are computed
 * here and sent; those of the key are computed here too. */
static void prepare_defaults(Load *load)
{
	TupleDesc descriptor = RelationGetDescr(load->relation);

	for (int i = 0; i < descriptor->natts; i++) {
		Form_pg_attribute attribute = TupleDescAttr(descriptor, i);
		LoadDefault *column;
		Expr *expression;

		if (attribute->attisdropped || attribute->attgenerated ||
		    list_member_int(load->copy->attnumlist, i + 1))
			continue;
		expression = (Expr *)build_column_default(load->relation, i + 1);
		if (expression == NULL)
			continue;
		expression = expression_planner(expression);
		column = palloc0(sizeof(*column));
		column->attnum = i + 1;
		column->is_sent = contain_mutable_functions((Node *)expression);
		if (!column->is_sent && !is_key(load, i + 1))
			continue;
		column->expression = ExecInitExpr(expression, NULL);
		prepare_output(load, i + 1, &column->output);
		load->row.defaults = lappend(load->row.defaults, column);
	}
}

static void prepare_keys(Load *load)
{
	const MppDistribution *distribution =
	        mpp_distribution_get(RelationGetRelid(load->relation));

	load->policy = distribution->policy;
	load->key_count = distribution->key_count;
	load->keys = palloc(load->key_count * sizeof(AttrNumber));
	load->key_fields = palloc(load->key_count * sizeof(int));
	load->key_values = palloc(load->key_count * sizeof(Datum));
	load->key_nulls = palloc(load->key_count * sizeof(bool));
	for (int i = 0; i < load->key_count; i++) {
		ListCell *cell;

		load->keys[i] = distribution->keys[i];
		load->key_fields[i] = -1;
		foreach (cell, load->copy->attnumlist)
			if (lfirst_int(cell) == load->keys[i])
				load->key_fields[i] = foreach_current_index(cell);
	}
	mpp_hash_init(&load->hash, load->key_count, distribution->types, distribution->collations);
}

static Load *load_make(ParseState *pstate, const CopyStmt *statement, Relation relation)
{
	Load *load = palloc0(sizeof(*load));
	List *attnums = CopyGetAttnums(RelationGetDescr(relation), relation, statement->attlist);
	List *where = load_copy_check(pstate, statement, relation, attnums);
	int natts = RelationGetDescr(relation)->natts;

	load->relation = relation;
	load->copy =
	        BeginCopyFrom(pstate, relation, NULL, statement->filename, statement->is_program,
	                      NULL, statement->attlist, statement->options);
	load->row.copy = load->copy;
	load->row.values = load->values = palloc0(natts * sizeof(Datum));
	load->row.nulls = load->nulls = palloc(natts * sizeof(bool));
	memset(load->nulls, true, natts * sizeof(bool));
	load->all_values = load->copy->opts.binary || where != NIL;
	load->estate = CreateExecutorState();
	load->context = GetPerTupleExprContext(load->estate);
	if (where != NIL) {
		load->where = ExecInitQual(where, NULL);
		load->slot = MakeSingleTupleTableSlot(RelationGetDescr(relation), &TTSOpsVirtual);
	}
	prepare_keys(load);
	prepare_defaults(load);
	if (load->copy->opts.binary) {
		ListCell *cell;

		load->row.send = palloc0(natts * sizeof(FmgrInfo));
		foreach (cell, attnums)
			prepare_output(load, lfirst_int(cell),
			               &load->row.send[lfirst_int(cell) - 1]);
	}
	load->segment_count = mpp_segment_count();
	load->buffers = palloc(load->segment_count * sizeof(StringInfo));
	load->lines = palloc(load->segment_count * sizeof(LineMap *));
	for (int i = 0; i < load->segment_count; i++) {
		load->buffers[i] = makeStringInfo();
		load->lines[i] = line_map_make();
	}
	return load;
}

/* The columns that a row of the streams has. */
static List *stream_columns(const Load *load)
{
	List *columns = list_copy(load->copy->attnumlist);
	ListCell *cell;

	foreach (cell, load->row.defaults) {
		const LoadDefault *column = lfirst(cell);

		if (column->is_sent)
			columns = lappend_int(columns, column->attnum);
	}
	return columns;
}

/* ---- a row ---- */

/* The value of a key column from its field. */
static void parse_key(Load *load, int field_idx, char *field)
{
	CopyFromState copy = load->copy;
	int i = list_nth_int(copy->attnumlist, field_idx) - 1;
	Form_pg_attribute attribute = TupleDescAttr(RelationGetDescr(load->relation), i);

	if (copy->opts.csv_mode) {
		if (field == NULL && copy->opts.force_notnull_flags[i])
			field = copy->opts.null_print;
		else if (field != NULL && copy->opts.force_null_flags[i] &&
		         strcmp(field, copy->opts.null_print) == 0)
			field = NULL;
	}
	copy->cur_attname = NameStr(attribute->attname);
	copy->cur_attval = field;
	load->values[i] = InputFunctionCall(&copy->in_functions[i], field, copy->typioparams[i],
	                                    attribute->atttypmod);
	load->nulls[i] = field == NULL;
	copy->cur_attname = NULL;
	copy->cur_attval = NULL;
}

/* Reads a row; only the values that are needed here. False at the end of the file. */
static bool read_fields(Load *load)
{
	CopyFromState copy = load->copy;
	int wanted = list_length(copy->attnumlist);
	ListCell *cell;
	char **fields;
	int count;

	if (!NextCopyFromRawFields(copy, &fields, &count))
		return false;
	if (wanted > 0 && count > wanted)
		ereport(ERROR, (errcode(ERRCODE_BAD_COPY_FILE_FORMAT),
		                errmsg("extra data after last expected column")));
	if (count < wanted) {
		AttrNumber missing = list_nth_int(copy->attnumlist, count);

		ereport(ERROR,
		        (errcode(ERRCODE_BAD_COPY_FILE_FORMAT),
		         errmsg("missing data for column \"%s\"",
		                NameStr(TupleDescAttr(RelationGetDescr(load->relation), missing - 1)
		                                ->attname))));
	}
	for (int i = 0; i < load->key_count; i++)
		if (load->key_fields[i] >= 0)
			parse_key(load, load->key_fields[i], fields[load->key_fields[i]]);
	foreach (cell, load->row.defaults) {
		const LoadDefault *column = lfirst(cell);

		load->values[column->attnum - 1] = ExecEvalExpr(column->expression, load->context,
		                                                &load->nulls[column->attnum - 1]);
	}
	return true;
}

static bool read_row(Load *load)
{
	if (!load->all_values)
		return read_fields(load);
	return NextCopyFrom(load->copy, load->context, load->values, load->nulls);
}

static bool row_is_wanted(Load *load)
{
	if (load->where == NULL)
		return true;
	ExecClearTuple(load->slot);
	memcpy(load->slot->tts_values, load->values,
	       RelationGetDescr(load->relation)->natts * sizeof(Datum));
	memcpy(load->slot->tts_isnull, load->nulls,
	       RelationGetDescr(load->relation)->natts * sizeof(bool));
	ExecStoreVirtualTuple(load->slot);
	load->context->ecxt_scantuple = load->slot;
	return ExecQual(load->where, load->context);
}

static int row_segment(Load *load)
{
	if (load->policy == MPP_POLICY_RANDOM) {
		load->next = (load->next + 1) % load->segment_count;
		return load->next;
	}
	for (int i = 0; i < load->key_count; i++) {
		load->key_values[i] = load->values[load->keys[i] - 1];
		load->key_nulls[i] = load->nulls[load->keys[i] - 1];
	}
	return mpp_hash_segment(mpp_hash_row(&load->hash, load->key_values, load->key_nulls),
	                        load->segment_count);
}

static int count_char(const StringInfoData *line, char c)
{
	int count = 0;

	for (const char *p = line->data; (p = memchr(p, c, line->data + line->len - p)) != NULL;
	     p++)
		count++;
	return count;
}

/* before: lines read before this row. A quoted value may contain line ends, which
 * this server and the segments count each in their way. */
static void note_line(Load *load, int content, uint64 before)
{
	CopyFromState copy = load->copy;
	uint64 line = copy->cur_lineno;
	uint64 count = 1;

	if (copy->opts.csv_mode && line - before > 1) {
		line -= count_char(&copy->line_buf, copy->eol_type == EOL_NL ? '\n' : '\r');
		count += count_char(&copy->line_buf, '\n');
	}
	for (int i = 0; i < load->segment_count; i++)
		if (content == i || load->policy == MPP_POLICY_REPLICATED)
			line_map_add(load->lines[i], line, count);
}

/* ---- the whole ---- */

/* Reads until a buffer is full; returns its segment, or -1 at the end of the file.
 * Rows of replicated tables are all in buffer 0. */
static int fill_buffers(Load *load)
{
	MemoryContext previous = MemoryContextSwitchTo(GetPerTupleMemoryContext(load->estate));

	for (;;) {
		uint64 before = load->copy->cur_lineno;
		int content;

		CHECK_FOR_INTERRUPTS();
		ResetPerTupleExprContext(load->estate);
		if (!read_row(load)) {
			MemoryContextSwitchTo(previous);
			return -1;
		}
		if (!row_is_wanted(load))
			continue;
		content = load->policy == MPP_POLICY_REPLICATED ? 0 : row_segment(load);
		load_row_append(load->buffers[content], &load->row);
		MemoryContextSwitchTo(previous);
		note_line(load, content, before);
		if (load->buffers[content]->len >= BUFFER_BYTES)
			return content;
		MemoryContextSwitchTo(GetPerTupleMemoryContext(load->estate));
	}
}

static void put(Load *load, int content)
{
	StringInfo buffer = load->buffers[content];

	for (int i = 0; i < load->segment_count; i++)
		if (content == i || load->policy == MPP_POLICY_REPLICATED) {
			mpp_copy_put(i, buffer->data, buffer->len);
			line_map_sent(load->lines[i]);
		}
	resetStringInfo(buffer);
}

static void run(Load *load)
{
	ErrorContextCallback callback = {.callback = CopyFromErrorCallback,
	                                 .arg = load->copy,
	                                 .previous = error_context_stack};
	int content;

	for (int i = 0; i < load->segment_count; i++)
		load_row_begin(load->buffers[i], &load->row);
	do {
		error_context_stack = &callback;
		content = fill_buffers(load);
		error_context_stack = callback.previous;
		if (content >= 0)
			put(load, content);
	} while (content >= 0);
	for (int i = 0; i < load->segment_count; i++) {
		load_row_end(load->buffers[i], &load->row);
		if (load->policy != MPP_POLICY_REPLICATED || i == 0)
			put(load, i);
	}
}

static uint64 sum(const uint64 *rows, const Load *load)
{
	uint64 total = 0;

	for (int i = 0; i < load->segment_count; i++)
		if (load->policy != MPP_POLICY_REPLICATED || i == 0)
			total += rows[i];
	return total;
}

uint64 load_copy_from(ParseState *pstate, const CopyStmt *statement, Relation relation)
{
	Load *load = load_make(pstate, statement, relation);
	MppCopyEvents *events = palloc0(sizeof(*events));
	uint64 *rows = palloc0(load->segment_count * sizeof(uint64));

	events->restarted = load->copy->opts.binary ? NULL : on_restart;
	events->context = on_context;
	events->ctx = load;
	mpp_copy_begin(mpp_gang_all(),
	               load_copy_sql(relation, stream_columns(load), true, &load->copy->opts), true,
	               events);
	run(load);
	mpp_copy_end(rows);
	EndCopyFrom(load->copy);
	if (load->slot != NULL)
		ExecDropSingleTupleTableSlot(load->slot);
	FreeExecutorState(load->estate);
	return sum(rows, load);
}
