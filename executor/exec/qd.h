/* SPDX-License-Identifier: Apache-2.0 */
/*
 * qd.h - the coordinator's side of a dispatch: a tree of slices below one Motion
 * of the plan that runs here.
 */
#ifndef EXECUTOR_EXEC_QD_H
#define EXECUTOR_EXEC_QD_H

#include <postgres.h>

#include "executor/exec/motion_state.h"

/* Send the slices below a Motion to the segments and run those of the coordinator.
 * open_receiver is called once the run is there, before any slice is. */
extern void mpp_qd_dispatch(MppMotionState *root,
                            void (*open_receiver)(MppMotionState *root, MppRun *run));

/* All rows are received, or no more are wanted: wait for the segments' reports, add
 * up what they wrote, close. */
extern void mpp_qd_finish(MppMotionState *root);

#endif
