/* SPDX-License-Identifier: Apache-2.0 */
/*
 * own_slices.h - slices that the coordinator itself executes, and whose rows it sends
 * to slices on segments.
 */
#ifndef EXECUTOR_EXEC_OWN_SLICES_H
#define EXECUTOR_EXEC_OWN_SLICES_H

#include <postgres.h>

#include "executor/exec/motion_state.h"
#include "executor/exec/slice.h"

extern bool mpp_slice_is_own(const MppSlice *slice);

/* The rows that must be made before the tree is dispatched. May dispatch. */
extern void mpp_own_slices_make_first(MppMotionState *root, const List *slices);

/* Send the rows of all, once the segments were sent theirs. params: as MppSliceInput's. */
extern void mpp_own_slices_run(MppMotionState *root, const List *slices, List *params);

#endif
