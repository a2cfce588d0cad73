/* SPDX-License-Identifier: Apache-2.0 */
/*
 * run.c - attaching to the agent, waiting, and what becomes of a dispatch that
 * nobody ends: an abort does.
 */
#include "executor/exec/run.h"

#include <access/xact.h>
#include <errno.h>
#include <miscadmin.h>
#include <sluice/sluice.h>
#include <storage/fd.h>
#include <unistd.h>
#include <utils/guc.h>
#include <utils/memutils.h>

#include "executor/catalog/node.h"
#include "executor/dispatch/gang.h"
#include "executor/exec/readers.h"

#define LOOK_AFTER_NS   UINT64CONST(20000000) /* at interrupts that ended no wait */
#define SPILL_DIRECTORY "base/" PG_TEMP_FILES_DIR

MppRun *mpp_run_starting;

static slu_endpoint *endpoint; /* of this process, for the session */
static dlist_head live_runs = DLIST_STATIC_INIT(live_runs);

/* ---- the agent ------------------------------------------------------------- */

static uint64 cluster_id(void)
{
	return strtou64(mpp_cluster_id ? mpp_cluster_id : "", NULL, 10);
}

static void attach(void)
{
	char name[48];
	struct slu_attach_options options = {
	        .socket_path = mpp_agent_socket, .cluster = cluster_id(), .name = name};
	int r;

	if (mpp_content == MPP_COORDINATOR)
		snprintf(name, sizeof(name), "coordinator pid %d", MyProcPid);
	else
		snprintf(name, sizeof(name), "segment %d pid %d", mpp_content, MyProcPid);
	r = slu_endpoint_attach(&options, &endpoint);
	if (r < 0)
		ereport(ERROR,
		        (errcode(ERRCODE_CONNECTION_FAILURE),
		         errmsg("cannot attach to the agent at \"%s\": %s",
		                mpp_agent_socket ? mpp_agent_socket : "", slu_attach_error()),
		         errhint("Start it with \"sluice start\", or see sluiced's log.")));
}

static void detach(void)
{
	slu_endpoint_detach(endpoint);
	endpoint = NULL;
}

/* An agent that was started anew has another arena; open channels are lost, and
 * when none is open nothing else is. */
static void attach_if_needed(void)
{
	if (endpoint && dlist_is_empty(&live_runs)) {
		int r = slu_endpoint_arm(endpoint);

		slu_endpoint_disarm(endpoint);
		if (r < 0)
			detach();
	}
	if (!endpoint)
		attach();
}

/* ---- a run ----------------------------------------------------------------- */

static void copy_dispatch(MppDispatch *to, const MppDispatch *from)
{
	int i;

	*to = *from;
	to->nodes = palloc(sizeof(char *) * (Size)(from->segment_count + 1));
	for (i = 0; i <= from->segment_count; i++)
		to->nodes[i] = pstrdup(from->nodes[i]);
	to->snapshots_alive = NULL;
	to->snapshot_alive_count = 0;
}

static int create_context(slu_motion_context **ret_context)
{
	struct slu_motion_context_options options = {
	        .spill_directory = SPILL_DIRECTORY,
	        .memory_bytes_max = (uint64)work_mem * 1024,
	        .spill_bytes_max = temp_file_limit < 0 ? 0 : Max((uint64)temp_file_limit * 1024, 1),
	        /* slices form a tree, but for the QD, which may send to what it receives from */
	        .send_drain_after_ns = mpp_content == MPP_COORDINATOR ? 0 : SLU_MOTION_NEVER,
	};

	if (MakePGDirectory(SPILL_DIRECTORY) < 0 && errno != EEXIST)
		ereport(ERROR, (errcode_for_file_access(),
		                errmsg("cannot create directory \"%s\": %m", SPILL_DIRECTORY)));
	return slu_motion_context_create(endpoint, &options, ret_context);
}

MppRun *mpp_run_create(const MppDispatch *dispatch, int content)
{
	MemoryContext memory =
	        AllocSetContextCreate(TopTransactionContext, "sluice run", ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(memory);
	MppRun *run = palloc0(sizeof(*run));
	int r;

	attach_if_needed();
	run->memory = memory;
	run->subid = GetCurrentSubTransactionId();
	run->content = content;
	run->foreign_fd = -1;
	copy_dispatch(&run->dispatch, dispatch);
	r = create_context(&run->context);
	if (r < 0)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY),
		                errmsg("cannot create a motion context: %s", strerror(-r))));
	slu_motion_set_wait(run->context, 0, -1);
	dlist_push_tail(&live_runs, &run->live);
	MemoryContextSwitchTo(old);
	return run;
}

void mpp_run_close(MppRun *run)
{
	dlist_delete(&run->live);
	slu_motion_context_destroy(run->context);
	if (run->foreign_fd >= 0)
		close(run->foreign_fd);
	MemoryContextDelete(run->memory);
}

void mpp_run_fail(MppRun *run, const ErrorData *error)
{
	slu_motion_fail(run->context, ECANCELED, unpack_sql_state(error->sqlerrcode),
	                error->message);
}

/* ---- an end nobody made ---------------------------------------------------- */

static void fail_runs(SubTransactionId subid)
{
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &live_runs)
	{
		MppRun *run = dlist_container(MppRun, live, iter.cur);

		if (run->subid < subid)
			continue;
		if (run->on_lost)
			run->on_lost(run->owner);
		slu_motion_fail(run->context, ECANCELED, "57014", "the statement was aborted");
		mpp_run_close(run);
	}
	mpp_run_starting = NULL;
}

static void at_transaction_end(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_ABORT || event == XACT_EVENT_PARALLEL_ABORT)
		fail_runs(InvalidSubTransactionId);
}

static void at_subtransaction_end(SubXactEvent event, SubTransactionId subid,
                                  SubTransactionId parent, void *arg)
{
	dlist_iter iter;

	if (event == SUBXACT_EVENT_ABORT_SUB) {
		fail_runs(subid);
	} else if (event == SUBXACT_EVENT_COMMIT_SUB) {
		dlist_foreach(iter, &live_runs)
		{
			MppRun *run = dlist_container(MppRun, live, iter.cur);

			if (run->subid == subid)
				run->subid = parent;
		}
	}
}

void mpp_run_init(void)
{
	RegisterXactCallback(at_transaction_end, NULL);
	RegisterSubXactCallback(at_subtransaction_end, NULL);
}

/* ---- motions --------------------------------------------------------------- */

static enum slu_motion_kind kind_of(MppMotionKind kind)
{
	switch (kind) {
	case MPP_MOTION_GATHER:
		return SLU_MOTION_GATHER;
	case MPP_MOTION_ORDERED:
		return SLU_MOTION_ORDERED_GATHER;
	case MPP_MOTION_BROADCAST:
		return SLU_MOTION_BROADCAST;
	case MPP_MOTION_REDISTRIBUTE:
	case MPP_MOTION_RANDOM:
		break;
	}
	return SLU_MOTION_EXPLICIT; /* this side computes the destination */
}

static uint32 position(const List *contents, int content)
{
	ListCell *cell;

	foreach (cell, contents)
		if (lfirst_int(cell) == content)
			return (uint32)foreach_current_index(cell);
	elog(ERROR, "content %d has no part in the motion", content);
}

static void fill_options(MppRun *run, const MppMotion *motion, const List *own, const List *peers,
                         struct slu_motion_options *ret_options)
{
	const char **nodes = palloc(sizeof(char *) * (Size)Max(list_length(peers), 1));
	ListCell *cell;

	foreach (cell, peers) {
		int content = lfirst_int(cell);

		if (content < MPP_COORDINATOR || content >= run->dispatch.segment_count)
			elog(ERROR, "motion %d names content %d", motion->number, content);
		nodes[foreach_current_index(cell)] = run->dispatch.nodes[content + 1];
	}
	*ret_options = (struct slu_motion_options){
	        .kind = kind_of(motion->kind),
	        .self = position(own, run->content),
	        .cluster = cluster_id(),
	        .query = run->dispatch.query,
	        .motion = (uint32)motion->number,
	        .peer_count = (uint32)list_length(peers),
	        .token = run->dispatch.token,
	        .peer_nodes = nodes,
	};
}

static void throw_open(const MppMotion *motion, int r)
{
	ereport(ERROR, (errcode(ERRCODE_CONNECTION_FAILURE),
	                errmsg("cannot open the channels of motion %d: %s", motion->number,
	                       slu_endpoint_error(endpoint)[0] ? slu_endpoint_error(endpoint)
	                                                       : strerror(-r))));
}

slu_motion_receiver *mpp_run_open_receiver(MppRun *run, const MppMotion *motion,
                                           slu_motion_compare compare, void *ctx)
{
	struct slu_motion_options options;
	slu_motion_receiver *receiver;
	int r;

	fill_options(run, motion, motion->receivers, motion->senders, &options);
	options.compare = compare;
	options.compare_ctx = ctx;
	r = slu_motion_open_receiver(run->context, &options, &receiver);
	if (r < 0)
		throw_open(motion, r);
	return receiver;
}

slu_motion_sender *mpp_run_open_sender(MppRun *run, const MppMotion *motion)
{
	struct slu_motion_options options;
	slu_motion_sender *sender;
	int r;

	fill_options(run, motion, motion->senders, motion->receivers, &options);
	r = slu_motion_open_sender(run->context, &options, &sender);
	if (r < 0)
		throw_open(motion, r);
	return sender;
}

/* ---- waiting --------------------------------------------------------------- */

/* Failures of this process's own; all others are told by the process that failed. */
static bool is_own_failure(const char *sqlstate)
{
	static const char *const own[] = {"53100", "58030", "53400", "53200", "54000"};
	size_t i;

	for (i = 0; i < lengthof(own); i++)
		if (strcmp(own[i], sqlstate) == 0)
			return true;
	return false;
}

/* The segments still at work hear of the failure by their channels and say soon why,
 * with all details; only if none does, what the channels said is all there is. */
static void wait_for_cause(MppRun *run)
{
	uint64 give_up_ns = slu_now_ns() + UINT64CONST(2000000000);

	while (mpp_gang_busy(run->contents) && slu_now_ns() < give_up_ns) {
		CHECK_FOR_INTERRUPTS();
		mpp_gang_progress();
		pg_usleep(1000);
	}
}

static void throw_failure(MppRun *run, int r)
{
	const struct slu_motion_error *failure = slu_motion_error(run->context);
	const char *state = failure->sqlstate[0] ? failure->sqlstate : "08006";
	int code = MAKE_SQLSTATE(state[0], state[1], state[2], state[3], state[4]);
	char *text = pstrdup(failure->text[0] ? failure->text : strerror(-r));

	if (run->contents)
		wait_for_cause(run);
	else if (mpp_content != MPP_COORDINATOR && !is_own_failure(state))
		code = MPP_SQLSTATE_PEER_FAILED;
	ereport(ERROR, (errcode(code), errmsg("%s", text)));
}

void mpp_run_wait(MppRun *run, int r)
{
	CHECK_FOR_INTERRUPTS();
	if (run->contents)
		mpp_gang_progress();
	mpp_readers_check();
	if (r < 0)
		throw_failure(run, r);
	slu_motion_set_wait(run->context, slu_now_ns() + LOOK_AFTER_NS, run->foreign_fd);
}

void mpp_run_drain_all(void *ctx)
{
	dlist_iter iter;

	dlist_foreach(iter, &live_runs)(void)
	        slu_motion_drain(dlist_container(MppRun, live, iter.cur)->context);
}
