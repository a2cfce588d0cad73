/* SPDX-License-Identifier: Apache-2.0 */
/*
 * qd.c - a dispatch from the coordinator: parameters are computed, slices put
 * into one message, the message sent to the segments they name, and what the
 * coordinator itself has to send is sent.
 */
#include "executor/exec/qd.h"

#include <access/detoast.h>
#include <catalog/pg_type.h>
#include <executor/executor.h>
#include <executor/nodeSubplan.h>
#include <libpq/pqformat.h>
#include <miscadmin.h>
#include <nodes/makefuncs.h>
#include <sys/epoll.h>
#include <tcop/tcopprot.h>
#include <utils/builtins.h>
#include <utils/datum.h>
#include <utils/lsyscache.h>

#include "executor/catalog/cluster.h"
#include "executor/catalog/node.h"
#include "executor/dispatch/dtx.h"
#include "executor/dispatch/gang.h"
#include "executor/exec/own_slices.h"
#include "executor/exec/report.h"
#include "executor/exec/slice.h"
#include "executor/exec/snapshots.h"

static uint32 dispatch_count; /* of this session */

/* ---- parameters ------------------------------------------------------------ */

static TargetEntry *param_entry(int id, Oid type, Datum value, bool isnull)
{
	int16 length;
	bool by_value;

	get_typlenbyval(type, &length, &by_value);
	if (!isnull && length == -1 && VARATT_IS_EXTERNAL(DatumGetPointer(value)))
		value = PointerGetDatum(
		        detoast_external_attr((struct varlena *)DatumGetPointer(value)));
	return makeTargetEntry((Expr *)makeConst(type, -1, InvalidOid, length,
	                                         isnull ? (Datum)0 : value, isnull, by_value),
	                       (AttrNumber)id, NULL, false);
}

static List *exec_params(EState *estate, const Bitmapset *ids)
{
	ExprContext *context = GetPerTupleExprContext(estate);
	List *params = NIL;
	int id = -1;

	while ((id = bms_next_member(ids, id)) >= 0) {
		ParamExecData *param = &estate->es_param_exec_vals[id];
		Oid type = list_nth_oid(estate->es_plannedstmt->paramExecTypes, id);

		if (param->execPlan)
			ExecSetParamPlan(param->execPlan, context);
		if (OidIsValid(type))
			params =
			        lappend(params, param_entry(id, type, param->value, param->isnull));
	}
	return params;
}

static List *extern_params(EState *estate, const Bitmapset *ids)
{
	ParamListInfo list = estate->es_param_list_info;
	List *params = NIL;
	int id = -1;

	while ((id = bms_next_member(ids, id)) >= 0) {
		ParamExternData space, *param;

		if (!list || id > list->numParams)
			elog(ERROR, "no value for parameter %d", id);
		param = list->paramFetch ? list->paramFetch(list, id, false, &space)
		                         : &list->params[id - 1];
		if (OidIsValid(param->ptype))
			params = lappend(
			        params, param_entry(id, param->ptype, param->value, param->isnull));
	}
	return params;
}

/* ---- the message ----------------------------------------------------------- */

typedef struct Tree {
	EState *estate;
	List *slices; /* MppSlice, from the top */
	MppDispatch dispatch;
	Bitmapset *contents; /* segments that run slices */
	bool writes;
	List *exec_params;
	List *extern_params;
	List *own_params; /* exec_params of the coordinator's slices */
} Tree;

static void fill_dispatch(Tree *tree)
{
	const MppCluster *cluster = mpp_cluster_get();
	MppDispatch *d = &tree->dispatch;
	int i;

	d->query = mpp_dtx_session() << 32 | ++dispatch_count;
	if (!pg_strong_random(d->token.bytes, sizeof(d->token.bytes)))
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR),
		                errmsg("could not generate a random token")));
	d->segment_count = cluster->segment_count;
	d->nodes = palloc(sizeof(char *) * (Size)(cluster->segment_count + 1));
	d->nodes[0] = cluster->coordinator_node;
	for (i = 0; i < cluster->segment_count; i++)
		d->nodes[i + 1] = cluster->segments[i].node;
	mpp_snapshot_number(tree->estate->es_snapshot, d);
	d->instrument = tree->estate->es_instrument;
}

static void look_over(Tree *tree)
{
	ListCell *cell, *content;

	foreach (cell, tree->slices) {
		const MppSlice *slice = lfirst(cell);

		tree->writes |= slice->writes;
		foreach (content, slice->motion.senders)
			if (lfirst_int(content) != MPP_COORDINATOR)
				tree->contents =
				        bms_add_member(tree->contents, lfirst_int(content));
	}
}

static void put_slices(Tree *tree, StringInfo out, MppNames *names, MppTextRefs *refs)
{
	int count_at = out->len, count = 0;
	uint32 wire_count;
	ListCell *cell;

	pq_sendint32(out, 0);
	foreach (cell, tree->slices) {
		const MppSlice *slice = lfirst(cell);
		int length_at;

		if (mpp_slice_is_own(slice))
			continue;
		mpp_wire_begin_slice(out, slice->motion.number, slice->motion.senders,
		                     slice->writes, &length_at);
		mpp_slice_write(out, tree->estate->es_plannedstmt, slice, names, refs);
		mpp_wire_end_slice(out, length_at);
		count++;
	}
	wire_count = pg_hton32((uint32)count);
	memcpy(out->data + count_at, &wire_count, sizeof(wire_count));
}

static List *own_params(const Tree *tree)
{
	Bitmapset *ids = NULL;
	ListCell *cell;

	foreach (cell, tree->slices) {
		const MppSlice *slice = lfirst(cell);

		if (mpp_slice_is_own(slice) && !slice->motion.made_first)
			ids = bms_add_members(ids, slice->plan->allParam);
	}
	return exec_params(tree->estate, ids);
}

/* Names and parameters come first in the message, and are known last. */
static void make_message(Tree *tree, StringInfo out)
{
	MppNames *names = mpp_names_create();
	StringInfoData params, slices;
	MppTextRefs refs = {0};

	initStringInfo(out);
	initStringInfo(&params);
	initStringInfo(&slices);
	put_slices(tree, &slices, names, &refs);
	tree->exec_params = exec_params(tree->estate, refs.exec_params);
	tree->own_params = own_params(tree);
	tree->extern_params = extern_params(tree->estate, refs.extern_params);
	mpp_wire_put_params(&params, tree->exec_params, names);
	mpp_wire_put_params(&params, tree->extern_params, names);
	fill_dispatch(tree);
	mpp_wire_put_dispatch(out, &tree->dispatch);
	mpp_names_write(names, out);
	appendBinaryStringInfo(out, params.data, params.len);
	appendBinaryStringInfo(out, slices.data, slices.len);
}

/* ---- sending --------------------------------------------------------------- */

/* Watch the segments' sockets besides the channels. */
static void watch_sockets(MppRun *run)
{
	int max = bms_num_members(run->contents), count, i;
	pgsocket *sockets = palloc(sizeof(pgsocket) * (Size)Max(max, 1));

	run->foreign_fd = epoll_create1(EPOLL_CLOEXEC);
	if (run->foreign_fd < 0)
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_RESOURCES),
		                errmsg("epoll_create1 failed: %m")));
	count = mpp_gang_sockets(sockets, max);
	for (i = 0; i < count; i++) {
		struct epoll_event event = {.events = EPOLLIN};

		if (epoll_ctl(run->foreign_fd, EPOLL_CTL_ADD, sockets[i], &event) < 0)
			ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_RESOURCES),
			                errmsg("epoll_ctl failed: %m")));
	}
	pfree(sockets);
}

/* A report came; it is read when all have. Memory it cannot get it does without. */
static void take_report(int content, const PGresult *result, void *ctx)
{
	MppRun *run = ctx;
	const char *text = PQntuples(result) == 1 ? PQgetvalue(result, 0, 0) : "";
	Size size = strlen(text) + 1;
	MppRunReport *report =
	        MemoryContextAllocExtended(run->memory, sizeof(*report) + size, MCXT_ALLOC_NO_OOM);

	if (!report)
		return;
	report->content = content;
	memcpy(report->text, text, size);
	report->next = run->reports;
	run->reports = report;
}

static void send_message(MppRun *run, const StringInfoData *message)
{
	const MppParam params[] = {
	        MPP_PARAM_SECRET,
	        {message->data, message->len, BYTEAOID},
	};
	int content = -1;

	while ((content = bms_next_member(run->contents, content)) >= 0)
		mpp_gang_send(content,
		              "SELECT pg_catalog.encode(sluice.execute_slices($1, $2), 'hex')", 2,
		              params, take_report, run);
	watch_sockets(run);
}

void mpp_qd_dispatch(MppMotionState *root, void (*open_receiver)(MppMotionState *root, MppRun *run))
{
	PlanState *node = &root->css.ss.ps;
	Tree tree = {.estate = node->state};
	StringInfoData message;
	MppRun *run;

	tree.slices = mpp_slices_cut(tree.estate->es_plannedstmt, castNode(CustomScan, node->plan));
	look_over(&tree);
	mpp_own_slices_make_first(root, tree.slices);
	make_message(&tree, &message); /* may run InitPlans, which dispatch themselves */
	mpp_dtx_join(tree.contents, tree.writes);
	/* Trees run one after another: what is left of an earlier one is taken in. */
	mpp_gang_wait(tree.contents, mpp_run_drain_all, NULL);
	run = mpp_run_create(&tree.dispatch, MPP_COORDINATOR);
	run->contents = bms_copy(tree.contents);
	open_receiver(root, run);
	send_message(run, &message);
	pfree(message.data);
	mpp_own_slices_run(root, tree.slices, tree.own_params);
}

/* ---- the end --------------------------------------------------------------- */

/* The number of rows written, as 8 bytes, and records; in hexadecimal digits. */
static void read_report(MppMotionState *root, const MppRunReport *report)
{
	int size = (int)strlen(report->text);
	StringInfoData bytes;

	if (size < 16 || size % 2)
		elog(ERROR, "malformed report of segment %d", report->content);
	initStringInfo(&bytes);
	enlargeStringInfo(&bytes, size / 2);
	bytes.len = (int)hex_decode(report->text, (size_t)size, bytes.data);
	root->run->processed += (uint64)pq_getmsgint64(&bytes);
	mpp_report_add(root, bytes.data + bytes.cursor, bytes.len - bytes.cursor, report->content);
	pfree(bytes.data);
}

void mpp_qd_finish(MppMotionState *root)
{
	MppRun *run = root->run;
	const MppRunReport *report;

	mpp_gang_wait(run->contents, mpp_run_drain_all, NULL);
	for (report = run->reports; report; report = report->next)
		read_report(root, report);
	if (root->css.ss.ps.instrument)
		mpp_report_add_root(root);
	root->css.ss.ps.state->es_processed += run->processed;
	mpp_run_close(run);
}
