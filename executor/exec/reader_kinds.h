/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reader_kinds.h - the two ways to have readers, behind readers.h: processes that
 * stay (sticky_readers.c), and processes of the statement as PostgreSQL's own
 * parallel queries have them (statement_readers.c).
 */
#ifndef EXECUTOR_EXEC_READER_KINDS_H
#define EXECUTOR_EXEC_READER_KINDS_H

#include <postgres.h>

#include <lib/stringinfo.h>

#include "executor/exec/readers.h"

#define MPP_READERS_MAX      32   /* of one QE: slices of one dispatch, less its own */
#define MPP_READERS_CAUSE_MS 1000 /* for the cause of a failure to be told by who has it */

/* As the functions of readers.h. */
typedef struct MppReaderKind {
	void (*start)(const List *slices, const char *message, int size_bytes, bool leader_writes);
	void (*check)(void);
	List *(*finish)(void);
	ErrorData *(*cancel)(bool at_once);
} MppReaderKind;

extern const MppReaderKind mpp_sticky_reader_kind;
extern const MppReaderKind mpp_statement_reader_kind;

/* ---- for both ---- */

extern void mpp_readers_throw_none(void) pg_attribute_noreturn();

/* Appends the rest of a reply. */
extern List *mpp_readers_keep_report(List *reports, const StringInfoData *reply,
                                     MemoryContext memory);

/* Whether an error may only be the echo of another process's. */
extern bool mpp_readers_is_consequence(const ErrorData *error);

#endif
