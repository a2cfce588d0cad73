/* SPDX-License-Identifier: Apache-2.0 */
/*
 * router_exec.c - runs a statement on its one segment. All its rows are taken at
 * once, into a tuplestore, so that the connection is free for the next statement
 * even if the client stops reading half-way.
 */
#include <postgres.h>

#include <access/htup_details.h>
#include <access/transam.h>
#include <catalog/pg_type.h>
#include <commands/explain.h>
#include <common/hashfn.h>
#include <executor/executor.h>
#include <miscadmin.h>
#include <nodes/nodeFuncs.h>
#include <utils/guc.h>
#include <utils/lsyscache.h>
#include <utils/memutils.h>
#include <utils/tuplestore.h>

#include "executor/catalog/cluster.h"
#include "executor/catalog/node.h"
#include "executor/dispatch/dtx.h"
#include "executor/dispatch/qe.h"
#include "executor/dispatch/router_exec.h"
#include "executor/exec/explain.h"

#define CUSTOM_NAME "SluiceDirectDispatch"

typedef struct RouterState {
	CustomScanState css;
	const char *sql;
	RouterKeys keys; /* values: unset */
	bool writes;
	bool in_transaction;
	List *params;     /* of ExprState */
	List *key_states; /* of ExprState */
	int eflags;

	Oid *types_here;   /* [params] */
	Oid *types;        /* [params] told to the segment; InvalidOid: it knows better */
	FmgrInfo *outputs; /* [params] to binary, or to text where format is 0 */
	int *formats;
	uint64 hash; /* of the statement */

	bool binary;      /* results */
	FmgrInfo *inputs; /* [columns] */
	Oid *input_params;
	Tuplestorestate *rows; /* NULL: not run yet */
	TupleDesc descriptor;
	Datum *values;
	bool *nulls;
	MemoryContext row_context;
} RouterState;

/* ---- the plan's private data ---- */

List *router_private_make(const char *sql, const RouterKeys *keys, bool writes, bool in_transaction)
{
	List *flags = list_make3_int(writes, in_transaction, keys->any_hashed);

	return list_make4(makeString(pstrdup(sql)), list_copy(keys->types),
	                  list_copy(keys->collations), flags);
}

static void private_read(RouterState *state, const CustomScan *scan)
{
	const List *flags = lfourth(scan->custom_private);

	state->sql = strVal(linitial(scan->custom_private));
	state->keys.types = lsecond(scan->custom_private);
	state->keys.collations = lthird(scan->custom_private);
	state->keys.values = state->keys.types; /* only their number matters now */
	state->writes = linitial_int(flags);
	state->in_transaction = lsecond_int(flags);
	state->keys.any_hashed = lthird_int(flags);
}

/* ---- begin ---- */

/* Types whose binary format says the same on every node. */
static bool is_portable(Oid type)
{
	Oid element = get_element_type(type);

	switch (OidIsValid(element) ? element : type) {
	case BOOLOID:
	case BYTEAOID:
	case NAMEOID:
	case INT8OID:
	case INT2OID:
	case INT4OID:
	case TEXTOID:
	case JSONOID:
	case FLOAT4OID:
	case FLOAT8OID:
	case BPCHAROID:
	case VARCHAROID:
	case DATEOID:
	case TIMEOID:
	case TIMESTAMPOID:
	case TIMESTAMPTZOID:
	case INTERVALOID:
	case TIMETZOID:
	case NUMERICOID:
	case UUIDOID:
	case JSONBOID:
		return true;
	default:
		return false;
	}
}

static void prepare_params(RouterState *state, const CustomScan *scan)
{
	int count = list_length(scan->custom_exprs) - list_length(state->keys.types);
	int i = 0;
	ListCell *cell;

	state->types_here = palloc(count * sizeof(Oid));
	state->types = palloc(count * sizeof(Oid));
	state->outputs = palloc(count * sizeof(FmgrInfo));
	state->formats = palloc(count * sizeof(int));
	foreach (cell, scan->custom_exprs) {
		ExprState *expression = ExecInitExpr(lfirst(cell), &state->css.ss.ps);
		Oid type = exprType(lfirst(cell));
		Oid function;
		bool is_varlena;

		if (i == count) {
			state->key_states = lappend(state->key_states, expression);
			continue;
		}
		state->params = lappend(state->params, expression);
		state->types_here[i] = type;
		state->types[i] = type < FirstNormalObjectId ? type : InvalidOid;
		state->formats[i] = is_portable(type);
		if (state->formats[i])
			getTypeBinaryOutputInfo(type, &function, &is_varlena);
		else
			getTypeOutputInfo(type, &function, &is_varlena);
		fmgr_info(function, &state->outputs[i]);
		i++;
	}
}

static void prepare_results(RouterState *state)
{
	TupleDesc descriptor = state->css.ss.ss_ScanTupleSlot->tts_tupleDescriptor;

	state->descriptor = descriptor;
	state->inputs = palloc(descriptor->natts * sizeof(FmgrInfo));
	state->input_params = palloc(descriptor->natts * sizeof(Oid));
	state->values = palloc(descriptor->natts * sizeof(Datum));
	state->nulls = palloc(descriptor->natts * sizeof(bool));
	state->row_context =
	        AllocSetContextCreate(CurrentMemoryContext, "sluice row", ALLOCSET_DEFAULT_SIZES);
	state->binary = true;
	for (int i = 0; i < descriptor->natts; i++)
		state->binary =
		        state->binary && is_portable(TupleDescAttr(descriptor, i)->atttypid);
	for (int i = 0; i < descriptor->natts; i++) {
		Oid type = TupleDescAttr(descriptor, i)->atttypid;
		Oid function;

		if (state->binary)
			getTypeBinaryInputInfo(type, &function, &state->input_params[i]);
		else
			getTypeInputInfo(type, &function, &state->input_params[i]);
		fmgr_info(function, &state->inputs[i]);
	}
}

/* Of a text and the types of its parameters, where they may have been dropped and others be
 * called so now. */
static uint64 hash_sql(const RouterState *state, const char *sql)
{
	return hash_combine64(hash_bytes_extended((const unsigned char *)sql, strlen(sql), 0),
	                      hash_bytes_extended((const unsigned char *)state->types_here,
	                                          list_length(state->params) * sizeof(Oid), 0));
}

/* A statement prepared on a segment must not change the types of its result. */
static void prepare_hash(RouterState *state)
{
	const TupleDesc descriptor = state->descriptor;
	uint64 hash = hash_sql(state, state->sql);

	for (int i = 0; i < descriptor->natts; i++)
		hash = hash_combine64(hash,
		                      ((uint64)TupleDescAttr(descriptor, i)->atttypid << 32) |
		                              (uint32)TupleDescAttr(descriptor, i)->atttypmod);
	state->hash = hash;
}

static void router_begin(CustomScanState *node, EState *estate, int eflags)
{
	RouterState *state = (RouterState *)node;
	const CustomScan *scan = (CustomScan *)node->ss.ps.plan;

	private_read(state, scan);
	state->eflags = eflags;
	/* PostgreSQL 15 makes the slot of a custom scan virtual; rows of a tuplestore
	 * are minimal tuples. */
	ExecInitScanTupleSlot(estate, &node->ss, node->ss.ss_ScanTupleSlot->tts_tupleDescriptor,
	                      &TTSOpsMinimalTuple);
	ExecAssignScanProjectionInfoWithVarno(&node->ss, INDEX_VAR);
	if (eflags & EXEC_FLAG_EXPLAIN_ONLY)
		return;
	prepare_params(state, scan);
	prepare_results(state);
	prepare_hash(state);
}

/* ---- run ---- */

static void on_rows(int content, const PGresult *result, void *ctx)
{
	RouterState *state = ctx;
	MemoryContext previous = MemoryContextSwitchTo(state->row_context);

	for (int row = 0; row < PQntuples(result); row++) {
		MemoryContextReset(state->row_context);
		for (int i = 0; i < state->descriptor->natts; i++) {
			StringInfoData buffer = {.data = PQgetvalue(result, row, i),
			                         .len = PQgetlength(result, row, i)};
			bool is_null = PQgetisnull(result, row, i);
			int32 typmod = TupleDescAttr(state->descriptor, i)->atttypmod;

			state->nulls[i] = is_null;
			if (state->binary)
				state->values[i] = ReceiveFunctionCall(
				        &state->inputs[i], is_null ? NULL : &buffer,
				        state->input_params[i], typmod);
			else
				state->values[i] = InputFunctionCall(
				        &state->inputs[i], is_null ? NULL : buffer.data,
				        state->input_params[i], typmod);
		}
		tuplestore_putvalues(state->rows, state->descriptor, state->values, state->nulls);
	}
	MemoryContextSwitchTo(previous);
	if (state->writes && PQresultStatus(result) != PGRES_SINGLE_TUPLE)
		state->css.ss.ps.state->es_processed +=
		        strtoull(PQcmdTuples((PGresult *)result), NULL, 10);
}

static int choose_segment(RouterState *state, ExprContext *context)
{
	static uint32 next;
	int count = list_length(state->key_states);
	Datum *values = palloc(count * sizeof(Datum));
	bool *nulls = palloc(count * sizeof(bool));
	ListCell *cell;

	if (!state->keys.any_hashed) {
		/* Reads of replicated tables stay on one segment in a session: what it
		 * sees does not go back in time. */
		next += state->writes;
		return (mpp_dtx_session() + next) % mpp_segment_count();
	}
	foreach (cell, state->key_states)
		values[foreach_current_index(cell)] = ExecEvalExprSwitchContext(
		        lfirst(cell), context, &nulls[foreach_current_index(cell)]);
	return router_keys_segment(&state->keys, values, nulls);
}

/* In the per-tuple context. */
static void fill_params(RouterState *state, ExprContext *context, QeStatement *statement)
{
	int count = list_length(state->params);
	const char **texts = palloc(count * sizeof(char *));
	int *lengths = palloc(count * sizeof(int));
	ListCell *cell;

	foreach (cell, state->params) {
		int i = foreach_current_index(cell);
		bool is_null;
		Datum value = ExecEvalExpr((ExprState *)lfirst(cell), context, &is_null);

		texts[i] = NULL;
		lengths[i] = 0;
		if (is_null)
			continue;
		if (state->formats[i]) {
			bytea *bytes = SendFunctionCall(&state->outputs[i], value);

			texts[i] = VARDATA(bytes);
			lengths[i] = VARSIZE(bytes) - VARHDRSZ;
		} else {
			texts[i] = OutputFunctionCall(&state->outputs[i], value);
		}
	}
	statement->param_count = count;
	statement->values = texts;
	statement->lengths = lengths;
	statement->types = state->types;
	statement->formats = state->formats;
}

static void run(RouterState *state)
{
	ExprContext *context = state->css.ss.ps.ps_ExprContext;
	bool keeps = state->eflags & (EXEC_FLAG_REWIND | EXEC_FLAG_BACKWARD | EXEC_FLAG_MARK);
	QeStatement statement = {
	        .sql = state->sql, .hash = state->hash, .result_format = state->binary};
	MemoryContext previous;
	Bitmapset *contents;
	int content;

	state->rows = tuplestore_begin_heap(keeps, false, work_mem);
	previous = MemoryContextSwitchTo(context->ecxt_per_tuple_memory);
	/* The values before the segment: a function among them may use connections. */
	fill_params(state, context, &statement);
	content = choose_segment(state, context);
	contents = bms_make_singleton(content);
	if (state->in_transaction)
		mpp_dtx_join(contents, state->writes);
	else
		mpp_dtx_join_single_read(content);
	qe_statement_send(&qe_array[content], &statement, on_rows, state);
	mpp_gang_wait(contents, NULL, NULL);
	MemoryContextSwitchTo(previous);
}

static TupleTableSlot *router_next(CustomScanState *node)
{
	RouterState *state = (RouterState *)node;
	TupleTableSlot *slot = node->ss.ss_ScanTupleSlot;

	if (state->rows == NULL)
		run(state);
	ResetExprContext(node->ss.ps.ps_ExprContext);
	(void)tuplestore_gettupleslot(
	        state->rows, ScanDirectionIsForward(node->ss.ps.state->es_direction), false, slot);
	return slot;
}

static void router_rescan(CustomScanState *node)
{
	RouterState *state = (RouterState *)node;

	if (state->rows != NULL)
		tuplestore_rescan(state->rows);
}

static void router_end(CustomScanState *node)
{
	RouterState *state = (RouterState *)node;

	if (state->rows != NULL)
		tuplestore_end(state->rows);
	state->rows = NULL;
}

/* ---- EXPLAIN ---- */

static void on_plan(int content, const PGresult *result, void *ctx)
{
	StringInfo lines = ctx;

	for (int row = 0; row < PQntuples(result); row++)
		appendStringInfo(lines, "%s\n", PQgetvalue(result, row, 0));
}

/* The plan of the segment. Only of a SELECT: to know the segment of an INSERT its
 * defaults had to be computed. */
static char *segment_plan(RouterState *state, ExplainState *es)
{
	ExprContext *context = state->css.ss.ps.ps_ExprContext;
	StringInfoData lines;
	QeStatement statement = {0};
	Bitmapset *contents;
	int content;

	if (state->rows == NULL && !(state->eflags & EXEC_FLAG_EXPLAIN_ONLY))
		return NULL;
	if (state->eflags & EXEC_FLAG_EXPLAIN_ONLY)
		prepare_params(state, (CustomScan *)state->css.ss.ps.plan);
	initStringInfo(&lines);
	fill_params(state, context, &statement);
	content = choose_segment(state, context);
	contents = bms_make_singleton(content);
	statement.sql = psprintf("EXPLAIN (COSTS %s, VERBOSE %s) %s", es->costs ? "on" : "off",
	                         es->verbose ? "on" : "off", state->sql);
	statement.hash = hash_sql(state, statement.sql);
	mpp_dtx_join_single_read(content);
	qe_statement_send(&qe_array[content], &statement, on_plan, &lines);
	mpp_gang_wait(contents, NULL, NULL);
	return lines.data;
}

/* As the children of a node are printed. */
static void put_plan(char *lines, ExplainState *es)
{
	const char *arrow = "->  ";
	char *next = NULL;

	for (char *line = strtok_r(lines, "\n", &next); line != NULL;
	     line = strtok_r(NULL, "\n", &next)) {
		if (strncmp(line, "Query Identifier", strlen("Query Identifier")) == 0)
			continue;
		appendStringInfoSpaces(es->str, es->indent * 2);
		appendStringInfo(es->str, "%s%s\n", arrow, line);
		arrow = "    ";
	}
}

static void router_explain(CustomScanState *node, List *ancestors, ExplainState *es)
{
	RouterState *state = (RouterState *)node;
	char *plan;

	mpp_explain_title(CUSTOM_NAME, "Gather Motion", 1, 1, 1, es);
	if (es->verbose)
		ExplainPropertyText("Segment SQL", state->sql, es);
	if (es->format != EXPLAIN_FORMAT_TEXT || state->writes)
		return;
	plan = segment_plan(state, es);
	if (plan != NULL)
		put_plan(plan, es);
}

static const CustomExecMethods exec_methods = {
        .CustomName = CUSTOM_NAME,
        .BeginCustomScan = router_begin,
        .ExecCustomScan = router_next,
        .EndCustomScan = router_end,
        .ReScanCustomScan = router_rescan,
        .ExplainCustomScan = router_explain,
};

static Node *create_state(CustomScan *scan)
{
	RouterState *state = palloc0(sizeof(*state));

	NodeSetTag(state, T_CustomScanState);
	state->css.flags = scan->flags;
	state->css.methods = &exec_methods;
	return (Node *)state;
}

const CustomScanMethods router_scan_methods = {
        .CustomName = CUSTOM_NAME,
        .CreateCustomScanState = create_state,
};

void router_exec_init(void)
{
	DefineCustomBoolVariable("sluice.enable_router",
	                         "Send statements that live on one segment there as SQL.", NULL,
	                         &router_enabled, true, PGC_USERSET, GUC_EXPLAIN, NULL, NULL, NULL);
	RegisterCustomScanMethods(&router_scan_methods);
}
