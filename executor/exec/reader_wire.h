/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reader_wire.h - between a QE and its readers, over queues in the shared memory
 * with which the reader was started.
 *
 * To the reader: number of the slice, size of the state, the state
 * (reader_state.h), the dispatch's message. Back: one byte, then an error, a
 * report or a notice.
 */
#ifndef EXECUTOR_EXEC_READER_WIRE_H
#define EXECUTOR_EXEC_READER_WIRE_H

#include <postgres.h>

#include <lib/stringinfo.h>
#include <port/atomics.h>
#include <storage/shm_mq.h>
#include <utils/elog.h>

#define MPP_READER_QUEUE_BYTES ((Size)128 * 1024) /* a plan is mostly shorter */
#define MPP_READER_QUEUES_KEY  UINT64CONST(0x534c553100000001)
#define MPP_READER_STATES_KEY  UINT64CONST(0x534c553100000002)

/* One word for each reader: a request is never sent to one that has decided to go.
 *   IDLE -> BUSY by the leader, before a request     BUSY -> IDLE by the reader
 *   IDLE -> GONE by the reader                       all by compare-and-exchange */
typedef struct MppReaderState {
	pg_atomic_uint32 word;
} MppReaderState;

enum { MPP_READER_IDLE = 0, MPP_READER_BUSY, MPP_READER_GONE };

/* Of the queues, those to and from a reader. */
static inline char *mpp_reader_queue(char *queues, int worker, bool to_reader)
{
	return queues + MPP_READER_QUEUE_BYTES * (Size)(2 * worker + (to_reader ? 0 : 1));
}

typedef struct MppReaderRequest {
	int slice;
	int padding;
	uint64 state_bytes; /* a multiple of MAXIMUM_ALIGNOF */
} MppReaderRequest;

#define MPP_READER_READY   'R' /* started, waits */
#define MPP_READER_REPORT  'r'
#define MPP_READER_ERROR   'e' /* reader_error.c */
#define MPP_READER_REFUSED 'G' /* it was told to go before the request; nothing was done */
#define MPP_READER_NOTICE  'N' /* these two as in PostgreSQL's protocol; more follows N */
#define MPP_READER_FATAL   'E'

extern int mpp_reader_idle_timeout; /* ms, GUC sluice.reader_idle_timeout; 0: for ever */

/* Messages for the client go to the QE from now on. */
extern void mpp_reader_redirect(shm_mq_handle *replies);

extern void mpp_reader_put_error(StringInfo out, const ErrorData *error);
extern ErrorData *mpp_reader_get_error(StringInfo in); /* in the current memory context */

#endif
