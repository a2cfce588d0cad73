/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wire.h - what the QD tells a segment to execute: the argument of
 * sluice.execute_slices(). The same message goes to all segments; each takes
 * the slices that name it as a sender. Secrets (the token) travel here and
 * nowhere else.
 */
#ifndef EXECUTOR_EXEC_WIRE_H
#define EXECUTOR_EXEC_WIRE_H

#include <postgres.h>

#include <lib/stringinfo.h>
#include <nodes/params.h>
#include <nodes/pg_list.h>
#include <sluice/sluice.h>

#include "executor/exec/names.h"

/* The motions of one dispatch, named for both ends. */
typedef struct MppDispatch {
	uint64 query; /* as in struct slu_key */
	struct slu_token token;
	int segment_count;
	char **nodes;            /* [1 + segment_count] agent's node of content - 1 */
	uint64 snapshot;         /* number; dispatches of one number see the same rows */
	uint64 *snapshots_alive; /* [] smaller ones that are still used */
	int snapshot_alive_count;
	int instrument; /* InstrumentOption */
} MppDispatch;

/* One slice of a message: text not read yet. */
typedef struct MppSliceText {
	int number;
	List *senders; /* content ids */
	bool writes;
	StringInfoData text; /* borrowed from the message: mpp_slice_read() */
} MppSliceText;

/* A received message. */
typedef struct MppMessage {
	MppDispatch dispatch;
	Oid *oids; /* by the numbers of names */
	int oid_count;
	List *exec_params;   /* TargetEntry of a Const; resno is the parameter's number */
	List *extern_params; /* the same */
	List *slices;        /* MppSliceText */
} MppMessage;

extern void mpp_wire_put_dispatch(StringInfo out, const MppDispatch *dispatch);
extern void mpp_wire_put_params(StringInfo out, List *params, MppNames *names);
extern void mpp_wire_begin_slice(StringInfo out, int number, const List *senders, bool writes,
                                 int *ret_length_at);
extern void mpp_wire_end_slice(StringInfo out, int length_at);

/* Borrows bytes. ERROR for what is no message, and for names that are not there. */
extern MppMessage *mpp_wire_read(const char *bytes, int size_bytes);

/* ERROR when the message has no slice of this number. */
extern MppSliceText *mpp_wire_slice(const MppMessage *message, int number);

extern ParamListInfo mpp_wire_extern_params(const MppMessage *message);

#endif
