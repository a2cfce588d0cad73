/* SPDX-License-Identifier: Apache-2.0 */
/*
 * readers.h - more processes for a QE: each runs one slice of a dispatch, within
 * the QE's transaction. They are parallel workers of PostgreSQL.
 */
#ifndef EXECUTOR_EXEC_READERS_H
#define EXECUTOR_EXEC_READERS_H

#include <postgres.h>

#include <nodes/pg_list.h>
#include <utils/elog.h>

/* Give these slices (MppSliceText) of a message to a reader each. message is borrowed
 * until finish or cancel. ERROR when there are not enough processes to be had. */
extern void mpp_readers_start(const List *slices, const char *message, int size_bytes,
                              bool leader_writes);

/* ERROR if a reader has failed; passes their notices on. Never blocks. */
extern void mpp_readers_check(void);

/* Wait until all have ended. Their reports (StringInfo), in the memory context in which
 * they were started. ERROR if one has failed. */
extern List *mpp_readers_finish(void);

/* In an error of the leader: end them. Returns the error of one that failed by itself
 * rather than because another process did, or NULL. */
extern ErrorData *mpp_readers_cancel(bool at_once);

/* ---- by mpp_exec_init() ---- */
extern void mpp_readers_init(void);

#endif
