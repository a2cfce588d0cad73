/* SPDX-License-Identifier: Apache-2.0 */
/*
 * slice.h - a plan cut into slices at its Motions, and a slice as text for
 * another server.
 */
#ifndef EXECUTOR_EXEC_SLICE_H
#define EXECUTOR_EXEC_SLICE_H

#include <postgres.h>

#include <nodes/plannodes.h>

#include "executor/exec/motion_plan.h"
#include "executor/exec/oid_text.h"

/* What lies below a Motion, down to the next ones. */
typedef struct MppSlice {
	MppMotion motion; /* its sender is the top of the slice */
	CustomScan *scan; /* the Motion's node */
	Plan *plan;
	List *inbound;        /* CustomScans of the Motions it receives from */
	Bitmapset *relations; /* indexes in the range table that it uses */
	bool writes;          /* holds a ModifyTable */
	bool returns_rows;    /* what its top returns are rows to send */
} MppSlice;

/* The slices of the tree below a Motion, from the top: list of MppSlice. */
extern List *mpp_slices_cut(const PlannedStmt *statement, CustomScan *motion);

/* Append the slice's text to out; read by mpp_slice_read(). refs is added to. */
extern void mpp_slice_write(StringInfo out, const PlannedStmt *statement, const MppSlice *slice,
                            MppNames *names, MppTextRefs *refs);

/* A statement that can be executed, and the node of the Motion that it feeds. */
extern PlannedStmt *mpp_slice_read(StringInfo in, const Oid *oids, int oid_count,
                                   CustomScan **ret_motion);

/* For what runs on the coordinator itself: the same without text. */
extern PlannedStmt *mpp_slice_statement(const PlannedStmt *statement, const MppSlice *slice);

#endif
