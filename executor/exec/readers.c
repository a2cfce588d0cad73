/* SPDX-License-Identifier: Apache-2.0 */
/*
 * readers.c - the QE's side of its readers.
 *
 * A parallel worker belongs to a ParallelContext, which ends it with the
 * transaction. Once a reader has said that it is ready it needs no more of that:
 * the context is destroyed after what leads to the worker is taken out of it, and
 * the shared memory stays mapped. Membership in the QE's lock group lasts as long
 * as the process.
 */
#include "executor/exec/readers.h"

#include <access/parallel.h>
#include <access/xact.h>
#include <libpq/pqformat.h>
#include <miscadmin.h>
#include <pgstat.h>
#include <signal.h>
#include <storage/dsm.h>
#include <storage/ipc.h>
#include <storage/latch.h>
#include <storage/shm_mq.h>
#include <utils/memutils.h>
#include <utils/timestamp.h>

#include "executor/dispatch/gang.h"
#include "executor/exec/reader_state.h"
#include "executor/exec/reader_wire.h"
#include "executor/exec/wire.h"

#define READERS_MAX        32   /* of one QE: slices of one dispatch */
#define CANCEL_AFTER_MS    1000 /* for a failure to spread over the channels */
#define TERMINATE_AFTER_MS 10000

/* Shared memory of the readers that were started together. */
typedef struct Batch {
	dsm_segment *segment;
	int alive;
} Batch;

typedef struct Reader {
	Batch *batch;
	MppReaderState *state;
	pid_t pid;
	shm_mq_handle *requests;
	shm_mq_handle *replies;
	bool busy;
	int slice;
} Reader;

static Reader *readers[READERS_MAX];
static int reader_count;
static bool exit_is_watched;
static int busy_count;

static List *early_reports; /* of this dispatch, taken while the leader was at work */
static MemoryContext report_memory;

bool mpp_readers_at_work(void)
{
	return busy_count > 0;
}

static void signal_busy(int signal_number)
{
	int i;

	for (i = 0; i < reader_count; i++)
		if (readers[i]->busy)
			kill(readers[i]->pid, signal_number);
}

/* Idle ones see that their queue has lost its other end. */
static void at_exit(int code, Datum arg)
{
	signal_busy(SIGTERM);
}

/* ---- start and end of a process --------------------------------------------- */

static void set_busy(Reader *reader, bool busy)
{
	if (reader->busy != busy)
		busy_count += busy ? 1 : -1;
	reader->busy = busy;
}

/* The process is gone. */
static void forget(Reader *reader)
{
	int i;

	set_busy(reader, false);
	for (i = 0; readers[i] != reader;)
		i++;
	readers[i] = readers[--reader_count];
	if (--reader->batch->alive == 0) {
		dsm_detach(reader->batch->segment);
		pfree(reader->batch);
	}
	pfree(reader);
}

static void make_queues(ParallelContext *context, int count)
{
	char *queues = shm_toc_allocate(context->toc, MPP_READER_QUEUE_BYTES * 2 * (Size)count);
	MppReaderState *states =
	        shm_toc_allocate(context->toc, sizeof(MppReaderState) * (Size)count);
	int i;

	for (i = 0; i < count; i++) {
		shm_mq *to =
		        shm_mq_create(mpp_reader_queue(queues, i, true), MPP_READER_QUEUE_BYTES);
		shm_mq *from =
		        shm_mq_create(mpp_reader_queue(queues, i, false), MPP_READER_QUEUE_BYTES);

		shm_mq_set_sender(to, MyProc);
		shm_mq_set_receiver(from, MyProc);
		pg_atomic_init_u32(&states[i].word, MPP_READER_IDLE);
	}
	shm_toc_insert(context->toc, MPP_READER_QUEUES_KEY, queues);
	shm_toc_insert(context->toc, MPP_READER_STATES_KEY, states);
}

static ParallelContext *launch(int count)
{
	ParallelContext *context = CreateParallelContext("sluice", "mpp_reader_main", count);

	shm_toc_estimate_chunk(&context->estimator, MPP_READER_QUEUE_BYTES * 2 * (Size)count);
	shm_toc_estimate_chunk(&context->estimator, sizeof(MppReaderState) * (Size)count);
	shm_toc_estimate_keys(&context->estimator, 2);
	InitializeParallelDSM(context);
	if (context->seg) {
		make_queues(context, count);
		LaunchParallelWorkers(context);
	}
	return context;
}

static Reader *adopt(ParallelContext *context, Batch *batch, int worker)
{
	char *queues = shm_toc_lookup(context->toc, MPP_READER_QUEUES_KEY, false);
	MppReaderState *states = shm_toc_lookup(context->toc, MPP_READER_STATES_KEY, false);
	Reader *reader = palloc0(sizeof(*reader));

	reader->batch = batch;
	reader->state = &states[worker];
	reader->requests =
	        shm_mq_attach((shm_mq *)mpp_reader_queue(queues, worker, true), context->seg, NULL);
	reader->replies = shm_mq_attach((shm_mq *)mpp_reader_queue(queues, worker, false),
	                                context->seg, NULL);
	return reader;
}

/* Errors at the start of a worker are thrown by CHECK_FOR_INTERRUPTS(). */
static void wait_ready(Reader *reader)
{
	for (;;) {
		Size size;
		void *data;
		shm_mq_result result = shm_mq_receive(reader->replies, &size, &data, true);

		if (result == SHM_MQ_SUCCESS) {
			memcpy(&reader->pid, (char *)data + 1, sizeof(reader->pid));
			return;
		}
		if (result == SHM_MQ_DETACHED)
			ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			                errmsg("a reader process ended as it started")));
		WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, 100,
		          PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
}

/* From here on the workers are not the context's. */
static void take_over(ParallelContext *context, Batch *batch, Reader **started, int count)
{
	int i;

	dsm_pin_mapping(context->seg);
	batch->segment = context->seg;
	batch->alive = count;
	for (i = 0; i < count; i++) {
		context->worker[i].error_mqh = NULL;
		context->worker[i].bgwhandle = NULL;
		readers[reader_count++] = started[i];
	}
	context->seg = NULL;
	context->nworkers_launched = 0;
}

static void start_readers(int count)
{
	Reader *started[READERS_MAX];
	MemoryContext old;
	ParallelContext *context;
	int launched, i;

	if (!exit_is_watched)
		before_shmem_exit(at_exit, (Datum)0);
	exit_is_watched = true;
	EnterParallelMode();
	context = launch(count);
	launched = context->nworkers_launched;
	if (launched > 0) {
		Batch *batch;

		WaitForParallelWorkersToAttach(context);
		old = MemoryContextSwitchTo(TopMemoryContext);
		batch = palloc0(sizeof(*batch));
		for (i = 0; i < launched; i++)
			started[i] = adopt(context, batch, i);
		MemoryContextSwitchTo(old);
		for (i = 0; i < launched; i++)
			wait_ready(started[i]);
		take_over(context, batch, started, launched);
	}
	DestroyParallelContext(context);
	ExitParallelMode();
	if (launched < count)
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_RESOURCES),
		                errmsg("no free process for a slice of the statement"),
		                errhint("Raise max_worker_processes and max_parallel_workers of "
		                        "the segments.")));
}

/* ---- work ------------------------------------------------------------------ */

static Reader *find_idle(void)
{
	int i;

	for (i = 0; i < reader_count; i++)
		if (!readers[i]->busy)
			return readers[i];
	return NULL;
}

static bool send_request(Reader *reader, int slice, const StringInfoData *state,
                         const char *message, int size_bytes)
{
	MppReaderRequest request = {.slice = slice, .state_bytes = (uint64)state->len};
	shm_mq_iovec parts[] = {
	        {(const char *)&request, sizeof(request)},
	        {state->data, (Size)state->len},
	        {message, (Size)size_bytes},
	};

	uint32 idle = MPP_READER_IDLE;
	shm_mq_result result;

	if (!pg_atomic_compare_exchange_u32(&reader->state->word, &idle, MPP_READER_BUSY))
		return false;
	HOLD_INTERRUPTS(); /* half a message would be the end of the queue */
	result = shm_mq_sendv(reader->requests, parts, lengthof(parts), false, true);
	RESUME_INTERRUPTS();
	return result == SHM_MQ_SUCCESS;
}

/* One that waited too long has ended itself; the next is tried. */
static void give_slice(int slice, const StringInfoData *state, const char *message, int size_bytes)
{
	for (;;) {
		Reader *reader = find_idle();

		if (!reader) {
			start_readers(1);
			continue;
		}
		if (send_request(reader, slice, state, message, size_bytes)) {
			set_busy(reader, true);
			reader->slice = slice;
			return;
		}
		forget(reader);
	}
}

void mpp_readers_start(const List *slices, const char *message, int size_bytes, bool leader_writes)
{
	int wanted = list_length(slices);
	StringInfoData state;
	ListCell *cell;

	report_memory = CurrentMemoryContext;
	early_reports = NIL;
	if (wanted > READERS_MAX)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
		                errmsg("the statement has more than %d slices", READERS_MAX + 1)));
	if (wanted > reader_count)
		start_readers(wanted - reader_count);
	initStringInfo(&state);
	mpp_reader_state_put(&state, leader_writes);
	foreach (cell, slices)
		give_slice(((MppSliceText *)lfirst(cell))->number, &state, message, size_bytes);
	pfree(state.data);
}

/* A reply, or NULL: none yet. A reader whose process is gone has an error. */
static StringInfo take_reply(Reader *reader)
{
	Size size;
	void *data;
	shm_mq_result result = shm_mq_receive(reader->replies, &size, &data, true);
	StringInfo reply;

	if (result == SHM_MQ_WOULD_BLOCK)
		return NULL;
	reply = makeStringInfo();
	if (result == SHM_MQ_SUCCESS) {
		appendBinaryStringInfo(reply, data, (int)size);
		set_busy(reader, false);
	} else {
		ErrorData error = {.sqlerrcode = ERRCODE_CONNECTION_FAILURE,
		                   .message = pstrdup("a reader process has ended")};

		appendStringInfoChar(reply, MPP_READER_ERROR);
		mpp_reader_put_error(reply, &error);
		forget(reader);
	}
	return reply;
}

/* The error of a reply, or NULL. The cursor stands behind the first byte. */
static ErrorData *error_of(StringInfo reply)
{
	return pq_getmsgbyte(reply) == MPP_READER_ERROR ? mpp_reader_get_error(reply) : NULL;
}

/* A reply of any busy reader, or NULL. */
static StringInfo take_any_reply(void)
{
	int i;

	for (i = 0; i < reader_count; i++) {
		StringInfo reply = readers[i]->busy ? take_reply(readers[i]) : NULL;

		if (reply)
			return reply;
	}
	return NULL;
}

static void keep_report(StringInfo reply)
{
	MemoryContext old = MemoryContextSwitchTo(report_memory);
	StringInfo copy = makeStringInfo();

	appendBinaryStringInfo(copy, reply->data + reply->cursor, reply->len - reply->cursor);
	early_reports = lappend(early_reports, copy);
	MemoryContextSwitchTo(old);
}

void mpp_readers_check(void)
{
	StringInfo reply;

	while (busy_count > 0 && (reply = take_any_reply()) != NULL) {
		ErrorData *error = error_of(reply);

		if (error)
			ThrowErrorData(error);
		keep_report(reply);
	}
}

List *mpp_readers_finish(void)
{
	List *reports;

	for (;;) {
		mpp_readers_check();
		if (busy_count == 0)
			break;
		WaitLatch(MyLatch, WL_LATCH_SET | WL_EXIT_ON_PM_DEATH, -1, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
	reports = early_reports;
	early_reports = NIL;
	return reports;
}

/* ---- an error of the leader -------------------------------------------------- */

static bool is_consequence(const ErrorData *error)
{
	return error->sqlerrcode == MPP_SQLSTATE_PEER_FAILED ||
	       error->sqlerrcode == ERRCODE_QUERY_CANCELED;
}

ErrorData *mpp_readers_cancel(bool at_once)
{
	TimestampTz start = GetCurrentTimestamp();
	ErrorData *cause = NULL;
	int sent = 0;

	early_reports = NIL;
	while (busy_count > 0) {
		StringInfo reply = take_any_reply();
		TimestampTz now = GetCurrentTimestamp();

		if (reply) {
			ErrorData *error = error_of(reply);

			if (error && !cause && !is_consequence(error))
				cause = error;
			continue;
		}
		if (sent < 1 &&
		    (at_once || TimestampDifferenceExceeds(start, now, CANCEL_AFTER_MS)))
			signal_busy(SIGINT), sent = 1;
		else if (sent < 2 && TimestampDifferenceExceeds(start, now, TERMINATE_AFTER_MS))
			signal_busy(SIGTERM), sent = 2;
		WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, 100,
		          PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
	}
	return cause;
}
