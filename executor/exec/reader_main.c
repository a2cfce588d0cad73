/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reader_main.c - a reader: a parallel worker that, instead of ending with the
 * statement it was started for, waits for the next one of its QE. Between
 * statements it holds no transaction, no snapshot and no lock.
 */
#include <postgres.h>

#include <access/parallel.h>
#include <access/xact.h>
#include <libpq/pqformat.h>
#include <miscadmin.h>
#include <pgstat.h>
#include <storage/ipc.h>
#include <storage/latch.h>
#include <storage/proc.h>
#include <storage/shm_mq.h>
#include <storage/sinval.h>
#include <tcop/tcopprot.h>
#include <utils/memutils.h>
#include <utils/snapmgr.h>

#include "executor/exec/qe.h"
#include "executor/exec/reader_state.h"
#include "executor/exec/reader_wire.h"
#include "executor/exec/wire.h"

extern PGDLLEXPORT void mpp_reader_main(dsm_segment *segment, shm_toc *toc);

typedef struct Leader {
	shm_mq_handle *requests;
	shm_mq_handle *replies;
	MppReaderState *state;
} Leader;

static void reply(const Leader *leader, const StringInfoData *bytes)
{
	pg_atomic_write_u32(&leader->state->word, MPP_READER_IDLE);
	if (shm_mq_send(leader->replies, (Size)bytes->len, bytes->data, false, true) !=
	    SHM_MQ_SUCCESS)
		proc_exit(0); /* the QE is gone */
}

/* ---- waiting --------------------------------------------------------------- */

/* Nobody has asked for anything for long, and from now on nobody will. */
static bool may_go(const Leader *leader)
{
	uint32 idle = MPP_READER_IDLE;

	return pg_atomic_compare_exchange_u32(&leader->state->word, &idle, MPP_READER_GONE);
}

/* Told to go. A request that is on its way nevertheless is given back. */
static void go(const Leader *leader)
{
	if (!may_go(leader)) {
		StringInfoData refused;
		Size size;
		void *data;

		HOLD_INTERRUPTS();
		if (shm_mq_receive(leader->requests, &size, &data, false) == SHM_MQ_SUCCESS) {
			initStringInfo(&refused);
			pq_sendbyte(&refused, MPP_READER_REFUSED);
			reply(leader, &refused);
		}
		RESUME_INTERRUPTS();
	}
	whereToSendOutput = DestNone; /* nobody listens to an idle reader */
	CHECK_FOR_INTERRUPTS();
}

static char *wait_request(const Leader *leader, Size *ret_size)
{
	int wake = WL_LATCH_SET | WL_EXIT_ON_PM_DEATH | (mpp_reader_idle_timeout ? WL_TIMEOUT : 0);

	for (;;) {
		void *data;
		shm_mq_result result;

		if (ProcDiePending)
			go(leader);
		result = shm_mq_receive(leader->requests, ret_size, &data, true);
		if (result == SHM_MQ_SUCCESS)
			return data;
		if (result == SHM_MQ_DETACHED)
			proc_exit(0);
		if ((WaitLatch(MyLatch, wake, mpp_reader_idle_timeout, PG_WAIT_EXTENSION) &
		     WL_TIMEOUT) &&
		    may_go(leader))
			proc_exit(0);
		ResetLatch(MyLatch);
		if (catchupInterruptPending)
			ProcessCatchupInterrupt();
		QueryCancelPending = false; /* meant for a statement that has ended */
		if (!ProcDiePending)
			CHECK_FOR_INTERRUPTS();
	}
}

/* ---- a statement ----------------------------------------------------------- */

static void execute(char *bytes, Size size, StringInfo answer)
{
	MppReaderRequest request;
	char *state = bytes + MAXALIGN(sizeof(request));
	MppMessage *message;
	Size at;

	memcpy(&request, bytes, sizeof(request));
	at = MAXALIGN(sizeof(request)) + mpp_reader_state_enter(state, request.state_bytes);
	message = mpp_wire_read(bytes + at, (int)(size - at));
	mpp_qe_run_slice(message, mpp_wire_slice(message, request.slice), answer);
	mpp_reader_state_leave();
}

static void answer_error(StringInfo answer, MemoryContext memory)
{
	ErrorData *error;

	HOLD_INTERRUPTS();
	MemoryContextSwitchTo(memory);
	error = CopyErrorData();
	FlushErrorState();
	AbortOutOfAnyTransaction();
	MemoryContextSwitchTo(memory);
	resetStringInfo(answer);
	pq_sendbyte(answer, MPP_READER_ERROR);
	mpp_reader_put_error(answer, error);
	QueryCancelPending = false;
	RESUME_INTERRUPTS();
}

static void serve(const Leader *leader, char *bytes, Size size, MemoryContext memory)
{
	StringInfoData answer;

	MemoryContextSwitchTo(memory);
	initStringInfo(&answer);
	pgstat_report_activity(STATE_RUNNING, "slice of a distributed statement");
	PG_TRY();
	{
		pq_sendbyte(&answer, MPP_READER_REPORT);
		execute(bytes, size, &answer);
	}
	PG_CATCH();
	{
		answer_error(&answer, memory);
	}
	PG_END_TRY();
	pgstat_report_stat(false);
	pgstat_report_activity(STATE_IDLE, NULL);
	reply(leader, &answer);
	MemoryContextSwitchTo(TopMemoryContext);
	MemoryContextReset(memory);
}

/* ---- the process ----------------------------------------------------------- */

static Leader attach_leader(dsm_segment *segment, shm_toc *toc)
{
	char *queues = shm_toc_lookup(toc, MPP_READER_QUEUES_KEY, false);
	MppReaderState *states = shm_toc_lookup(toc, MPP_READER_STATES_KEY, false);
	shm_mq *requests = (shm_mq *)mpp_reader_queue(queues, ParallelWorkerNumber, true);
	shm_mq *replies = (shm_mq *)mpp_reader_queue(queues, ParallelWorkerNumber, false);
	Leader leader = {.state = &states[ParallelWorkerNumber]};

	shm_mq_set_receiver(requests, MyProc);
	shm_mq_set_sender(replies, MyProc);
	leader.requests = shm_mq_attach(requests, segment, NULL);
	leader.replies = shm_mq_attach(replies, segment, NULL);
	return leader;
}

static void say_ready(const Leader *leader)
{
	StringInfoData ready;

	initStringInfo(&ready);
	pq_sendbyte(&ready, MPP_READER_READY);
	appendBinaryStringInfo(&ready, (const char *)&MyProcPid, sizeof(MyProcPid));
	reply(leader, &ready);
	pfree(ready.data);
}

/* Entry of a parallel worker, in the transaction of its QE. Does not return: what
 * PostgreSQL does after the entry ends a transaction that has ended here. */
void mpp_reader_main(dsm_segment *segment, shm_toc *toc)
{
	MemoryContext memory;
	Leader leader;

	ExitParallelMode();
	PopActiveSnapshot();
	EndParallelWorkerTransaction();
	MemoryContextSwitchTo(TopMemoryContext);
	memory = AllocSetContextCreate(TopMemoryContext, "sluice reader", ALLOCSET_DEFAULT_SIZES);
	leader = attach_leader(segment, toc);
	mpp_reader_redirect(leader.replies);
	say_ready(&leader);
	for (;;) {
		Size size;
		char *bytes = wait_request(&leader, &size);

		serve(&leader, bytes, size, memory);
	}
}
