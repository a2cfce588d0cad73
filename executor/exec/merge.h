/* SPDX-License-Identifier: Apache-2.0 */
/*
 * merge.h - the order of rows in an ordered gather, as PostgreSQL sorts.
 */
#ifndef EXECUTOR_EXEC_MERGE_H
#define EXECUTOR_EXEC_MERGE_H

#include <postgres.h>

#include <access/tupdesc.h>

#include "executor/exec/motion_plan.h"
#include "executor/exec/row_codec.h"

typedef struct MppMerge MppMerge;

/* codec: of the rows, or NULL. In the current memory context. */
extern MppMerge *mpp_merge_create(const MppMotion *motion, TupleDesc type, MppRowCodec *codec);

/* slu_motion_compare of two MinimalTuples; ctx is the MppMerge. */
extern int mpp_merge_compare(const void *left, const void *right, void *ctx);

#endif
