/* SPDX-License-Identifier: Apache-2.0 */
/*
 * readers.h - more processes for a QE: each runs one slice of a dispatch, within
 * the QE's transaction. They are parallel workers of PostgreSQL that are kept
 * after their first statement.
 */
#ifndef EXECUTOR_EXEC_READERS_H
#define EXECUTOR_EXEC_READERS_H

#include <postgres.h>

#include <nodes/pg_list.h>
#include <utils/elog.h>

/* Give these slices (MppSliceText) of a message to a reader each; starts processes
 * when there are too few idle ones. ERROR when there are not enough to be had. */
extern void mpp_readers_start(const List *slices, const char *message, int size_bytes,
                              bool leader_writes);

/* ERROR if a reader has failed. Never blocks. */
extern void mpp_readers_check(void);

/* Wait until all have ended; their reports are appended to reports (StringInfo, in the
 * current memory context). ERROR if one has failed. */
extern List *mpp_readers_finish(void);

/* In an error of the leader: end them, and wait for that. Returns the error of one that
 * failed by itself rather than because another process did, or NULL. */
extern ErrorData *mpp_readers_cancel(bool at_once);

extern bool mpp_readers_at_work(void);

/* ---- by mpp_exec_init() ---- */
extern void mpp_reader_init(void);

#endif
