/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reader_state.h - what makes another process see the database as this one does,
 * in the middle of its transaction: the state PostgreSQL gives its own parallel
 * workers, here given anew for every statement.
 */
#ifndef EXECUTOR_EXEC_READER_STATE_H
#define EXECUTOR_EXEC_READER_STATE_H

#include <postgres.h>

#include <lib/stringinfo.h>

/* Leader: append the state, with its active snapshot. leader_writes: it may update
 * rows of its own transaction while the reader reads. */
extern void mpp_reader_state_put(StringInfo out, bool leader_writes);

/* Reader: begin a transaction that is the leader's, with its snapshot active.
 * Returns where in bytes, which is MAXALIGNed, the state ends. */
extern Size mpp_reader_state_enter(char *bytes, Size size_bytes);

/* Reader: end it without an error (else AbortOutOfAnyTransaction()). */
extern void mpp_reader_state_leave(void);

#endif
