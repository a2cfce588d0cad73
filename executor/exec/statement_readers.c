/* SPDX-License-Identifier: Apache-2.0 */
/*
 * statement_readers.c - readers as PostgreSQL's own parallel queries have them: the
 * QE is in parallel mode until they have ended, PostgreSQL gives them the state of
 * the transaction, passes on their errors and notices, and ends them when the
 * transaction fails. They cost a fork each, and depend on nothing that
 * PostgreSQL keeps to itself.
 */
#include "executor/exec/reader_kinds.h"

#include <access/parallel.h>
#include <access/xact.h>
#include <libpq/pqformat.h>
#include <miscadmin.h>
#include <pgstat.h>
#include <storage/ipc.h>
#include <storage/latch.h>
#include <storage/shm_mq.h>
#include <utils/memutils.h>
#include <utils/timestamp.h>
#include <utils/wait_event.h>

#include "executor/exec/qe.h"
#include "executor/exec/reader_wire.h"
#include "executor/exec/wire.h"

#define REPLY_BYTES ((Size)16 * 1024)
#define WORK_KEY    UINT64CONST(0x534c553100000003)
#define QUEUES_KEY  UINT64CONST(0x534c553100000004)

extern PGDLLEXPORT void mpp_statement_reader_main(dsm_segment *segment, shm_toc *toc);

/* The message, and who runs which slice of it. */
typedef struct Work {
	int slices[MPP_READERS_MAX]; /* by ParallelWorkerNumber */
	int size_bytes;
	char message[FLEXIBLE_ARRAY_MEMBER];
} Work;

/* ---- QE -------------------------------------------------------------------- */

static ParallelContext *context; /* of the dispatch that runs; ends with its transaction */
static shm_mq_handle *replies[MPP_READERS_MAX]; /* NULL: has replied */
static int count;
static List *reports;
static MemoryContext report_memory;

static void put_work(const List *slices, const char *message, int size_bytes)
{
	Work *work = shm_toc_allocate(context->toc, offsetof(Work, message) + (Size)size_bytes);
	char *queues = shm_toc_allocate(context->toc, REPLY_BYTES * (Size)count);
	ListCell *cell;
	int i;

	foreach (cell, slices)
		work->slices[foreach_current_index(cell)] =
		        ((const MppSliceText *)lfirst(cell))->number;
	work->size_bytes = size_bytes;
	memcpy(work->message, message, (size_t)size_bytes);
	for (i = 0; i < count; i++)
		shm_mq_set_receiver(shm_mq_create(queues + REPLY_BYTES * (Size)i, REPLY_BYTES),
		                    MyProc);
	shm_toc_insert(context->toc, WORK_KEY, work);
	shm_toc_insert(context->toc, QUEUES_KEY, queues);
}

/* On an error the abort of the transaction ends what was started. */
static void start(const List *slices, const char *message, int size_bytes, bool leader_writes)
{
	char *queues;
	int i;

	Assert(!leader_writes);
	count = list_length(slices);
	reports = NIL;
	report_memory = CurrentMemoryContext;
	EnterParallelMode();
	context = CreateParallelContext("sluice", "mpp_statement_reader_main", count);
	shm_toc_estimate_chunk(&context->estimator, offsetof(Work, message) + (Size)size_bytes);
	shm_toc_estimate_chunk(&context->estimator, REPLY_BYTES * (Size)count);
	shm_toc_estimate_keys(&context->estimator, 2);
	InitializeParallelDSM(context);
	if (!context->seg)
		mpp_readers_throw_none();
	put_work(slices, message, size_bytes);
	LaunchParallelWorkers(context);
	if (context->nworkers_launched < count)
		mpp_readers_throw_none();
	queues = shm_toc_lookup(context->toc, QUEUES_KEY, false);
	for (i = 0; i < count; i++)
		replies[i] = shm_mq_attach((shm_mq *)(queues + REPLY_BYTES * (Size)i), context->seg,
		                           context->worker[i].bgwhandle);
}

/* A reply, or NULL: none. What else a process that has ended has to say is in the
 * queue that PostgreSQL reads. */
static StringInfo take_reply(int worker)
{
	Size size;
	void *data;
	shm_mq_result result;
	StringInfo reply;

	if (!replies[worker])
		return NULL;
	result = shm_mq_receive(replies[worker], &size, &data, true);
	if (result == SHM_MQ_WOULD_BLOCK)
		return NULL;
	replies[worker] = NULL;
	if (result != SHM_MQ_SUCCESS)
		return NULL;
	reply = makeStringInfo();
	appendBinaryStringInfo(reply, data, (int)size);
	return reply;
}

static bool all_have_replied(void)
{
	int i;

	for (i = 0; i < count; i++)
		if (replies[i])
			return false;
	return true;
}

static void check(void)
{
	int i;

	for (i = 0; i < count; i++) {
		StringInfo reply = take_reply(i);

		if (!reply)
			continue;
		if (pq_getmsgbyte(reply) == MPP_READER_ERROR)
			ThrowErrorData(mpp_reader_get_error(reply));
		reports = mpp_readers_keep_report(reports, reply, report_memory);
	}
}

static void wait_a_moment(long timeout_ms)
{
	WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, timeout_ms,
	          PG_WAIT_EXTENSION);
	ResetLatch(MyLatch);
}

static List *finish(void)
{
	for (;;) {
		check();
		if (all_have_replied())
			break;
		wait_a_moment(1000);
		CHECK_FOR_INTERRUPTS();
	}
	WaitForParallelWorkersToFinish(context);
	DestroyParallelContext(context);
	context = NULL;
	ExitParallelMode();
	if (list_length(reports) < count)
		ereport(ERROR, (errcode(ERRCODE_CONNECTION_FAILURE),
		                errmsg("a reader process has ended")));
	return reports;
}

/* The abort that follows ends them. */
static ErrorData *cancel(bool at_once)
{
	TimestampTz start_time = GetCurrentTimestamp();
	ErrorData *cause = NULL;

	while (!at_once && context && !cause && !all_have_replied() &&
	       !TimestampDifferenceExceeds(start_time, GetCurrentTimestamp(),
	                                   MPP_READERS_CAUSE_MS)) {
		int i;

		for (i = 0; i < count && !cause; i++) {
			StringInfo reply = take_reply(i);

			if (reply && pq_getmsgbyte(reply) == MPP_READER_ERROR)
				cause = mpp_reader_get_error(reply);
			if (cause && mpp_readers_is_consequence(cause))
				cause = NULL;
		}
		if (!cause && !all_have_replied())
			wait_a_moment(20);
	}
	context = NULL;
	memset(replies, 0, sizeof(replies));
	return cause;
}

const MppReaderKind mpp_statement_reader_kind = {start, check, finish, cancel};

/* ---- reader ---------------------------------------------------------------- */

static shm_mq_handle *attach_leader(dsm_segment *segment, shm_toc *toc)
{
	char *queues = shm_toc_lookup(toc, QUEUES_KEY, false);
	shm_mq *queue = (shm_mq *)(queues + REPLY_BYTES * (Size)ParallelWorkerNumber);

	shm_mq_set_sender(queue, MyProc);
	return shm_mq_attach(queue, segment, NULL);
}

/* The QE looks for the cause of a failure among these; the error itself goes
 * PostgreSQL's way. */
static void tell_error(shm_mq_handle *leader, MemoryContext memory)
{
	MemoryContext old = MemoryContextSwitchTo(memory);
	StringInfoData answer;

	initStringInfo(&answer);
	pq_sendbyte(&answer, MPP_READER_ERROR);
	mpp_reader_put_error(&answer, CopyErrorData());
	HOLD_INTERRUPTS();
	shm_mq_send(leader, (Size)answer.len, answer.data, false, true);
	RESUME_INTERRUPTS();
	MemoryContextSwitchTo(old);
}

/* Entry of a parallel worker, in the transaction and snapshot of its QE. */
void mpp_statement_reader_main(dsm_segment *segment, shm_toc *toc)
{
	const Work *work = shm_toc_lookup(toc, WORK_KEY, false);
	int number = work->slices[ParallelWorkerNumber];
	shm_mq_handle *leader = attach_leader(segment, toc);
	MemoryContext memory = CurrentMemoryContext;
	StringInfoData bytes, answer;

	pgstat_report_activity(STATE_RUNNING, "slice of a distributed statement");
	initStringInfo(&bytes);
	appendBinaryStringInfo(&bytes, work->message, work->size_bytes);
	initStringInfo(&answer);
	pq_sendbyte(&answer, MPP_READER_REPORT);
	PG_TRY();
	{
		MppMessage *message = mpp_wire_read(bytes.data, bytes.len);

		mpp_qe_run_slice(message, mpp_wire_slice(message, number), &answer);
	}
	PG_CATCH();
	{
		tell_error(leader, memory);
		PG_RE_THROW();
	}
	PG_END_TRY();
	shm_mq_send(leader, (Size)answer.len, answer.data, false, true);
}
