/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sticky_readers.c - readers that stay: the QE's side.
 *
 * A parallel worker belongs to a ParallelContext, which ends it with the
 * transaction. Once a reader has said that it is ready it needs no more of that:
 * the context is destroyed after what leads to the worker is taken out of it, and
 * the shared memory stays mapped. Membership in the QE's lock group lasts as long
 * as the process.
 */
#include "executor/exec/reader_kinds.h"

#include <access/parallel.h>
#include <access/xact.h>
#include <libpq/pqformat.h>
#include <libpq/pqmq.h>
#include <miscadmin.h>
#include <pgstat.h>
#include <signal.h>
#include <storage/dsm.h>
#include <storage/ipc.h>
#include <storage/latch.h>
#include <storage/shm_mq.h>
#include <utils/memutils.h>
#include <utils/timestamp.h>

#include "executor/exec/reader_state.h"
#include "executor/exec/reader_wire.h"
#include "executor/exec/wire.h"

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

static Reader *readers[MPP_READERS_MAX];
static int reader_count;
static bool exit_is_watched;
static int busy_count;

/* The dispatch that runs. */
static StringInfoData given_state;
static const char *given_message;
static int given_size_bytes;
static List *early_reports; /* taken while the leader was at work */
static MemoryContext report_memory;
static ErrorContextCallback *outer_context; /* of what readers say */

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
	Reader *started[MPP_READERS_MAX];
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
		mpp_readers_throw_none();
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
static void give_slice(int slice)
{
	for (;;) {
		Reader *reader = find_idle();

		if (!reader) {
			start_readers(1);
			continue;
		}
		if (send_request(reader, slice, &given_state, given_message, given_size_bytes)) {
			set_busy(reader, true);
			reader->slice = slice;
			return;
		}
		forget(reader);
	}
}

static void start(const List *slices, const char *message, int size_bytes, bool leader_writes)
{
	int wanted = list_length(slices);
	ListCell *cell;

	report_memory = CurrentMemoryContext;
	outer_context = error_context_stack;
	early_reports = NIL;
	if (wanted > reader_count)
		start_readers(wanted - reader_count);
	given_message = message;
	given_size_bytes = size_bytes;
	initStringInfo(&given_state);
	mpp_reader_state_put(&given_state, leader_writes);
	foreach (cell, slices)
		give_slice(((MppSliceText *)lfirst(cell))->number);
}

/* ---- what they say ----------------------------------------------------------- */

static StringInfo lost_reply(void)
{
	ErrorData error = {.sqlerrcode = ERRCODE_CONNECTION_FAILURE,
	                   .message = pstrdup("a reader process has ended")};
	StringInfo reply = makeStringInfo();

	appendStringInfoChar(reply, MPP_READER_ERROR);
	mpp_reader_put_error(reply, &error);
	return reply;
}

/* Something a reader said, or NULL: nothing yet. A reader whose process is gone has an
 * error. *ret_refused is the slice that one gave back, or -1. */
static StringInfo take_reply(Reader *reader, int *ret_refused)
{
	Size size;
	void *data;
	shm_mq_result result = shm_mq_receive(reader->replies, &size, &data, true);
	StringInfo reply;

	if (result == SHM_MQ_WOULD_BLOCK)
		return NULL;
	if (result != SHM_MQ_SUCCESS) {
		forget(reader);
		return lost_reply();
	}
	reply = makeStringInfo();
	appendBinaryStringInfo(reply, data, (int)size);
	switch (reply->data[0]) {
	case MPP_READER_NOTICE:
		break;
	case MPP_READER_REFUSED:
		*ret_refused = reader->slice;
		forget(reader);
		break;
	case MPP_READER_FATAL:
		forget(reader);
		break;
	default:
		set_busy(reader, false);
	}
	return reply;
}

static StringInfo take_any_reply(int *ret_refused)
{
	int i;

	*ret_refused = -1;
	for (i = 0; i < reader_count; i++) {
		StringInfo reply = readers[i]->busy ? take_reply(readers[i], ret_refused) : NULL;

		if (reply)
			return reply;
	}
	return NULL;
}

/* The error of a reply, or NULL. The cursor stands behind the first byte. */
static ErrorData *error_of(StringInfo reply)
{
	ErrorData *error;

	switch (pq_getmsgbyte(reply)) {
	case MPP_READER_ERROR:
		return mpp_reader_get_error(reply);
	case MPP_READER_FATAL:
		error = palloc0(sizeof(*error));
		pq_parse_errornotice(reply, error);
		error->elevel = ERROR;
		return error;
	}
	return NULL;
}

/* Neither takes what this process is at for where the reader was. */
static void throw_of_reader(ErrorData *data)
{
	ErrorContextCallback *context = error_context_stack;

	error_context_stack = outer_context;
	ThrowErrorData(data);
	error_context_stack = context;
}

static void pass_notice(StringInfo reply)
{
	ErrorData notice;

	pq_parse_errornotice(reply, &notice);
	throw_of_reader(&notice);
}

static void check(void)
{
	StringInfo reply;
	int refused;

	while (busy_count > 0 && (reply = take_any_reply(&refused)) != NULL) {
		ErrorData *error = error_of(reply);

		if (error)
			throw_of_reader(error);
		else if (refused >= 0)
			give_slice(refused);
		else if (reply->data[0] == MPP_READER_NOTICE)
			pass_notice(reply);
		else
			early_reports =
			        mpp_readers_keep_report(early_reports, reply, report_memory);
	}
}

static List *finish(void)
{
	for (;;) {
		check();
		if (busy_count == 0)
			break;
		WaitLatch(MyLatch, WL_LATCH_SET | WL_EXIT_ON_PM_DEATH, -1, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
	pfree(given_state.data);
	return early_reports;
}

/* ---- an error of the leader -------------------------------------------------- */

static ErrorData *cancel(bool at_once)
{
	TimestampTz start_time = GetCurrentTimestamp();
	ErrorData *cause = NULL;
	int sent = 0;

	while (busy_count > 0) {
		int refused;
		StringInfo reply = take_any_reply(&refused);
		TimestampTz now = GetCurrentTimestamp();

		if (reply) {
			ErrorData *error = error_of(reply);

			if (error && !cause && !mpp_readers_is_consequence(error))
				cause = error;
			continue;
		}
		if (sent < 1 &&
		    (at_once || TimestampDifferenceExceeds(start_time, now, MPP_READERS_CAUSE_MS)))
			signal_busy(SIGINT), sent = 1;
		else if (sent < 2 &&
		         TimestampDifferenceExceeds(start_time, now, TERMINATE_AFTER_MS))
			signal_busy(SIGTERM), sent = 2;
		WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, 100,
		          PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
	}
	return cause;
}

const MppReaderKind mpp_sticky_reader_kind = {start, check, finish, cancel};
