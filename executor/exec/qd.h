/* SPDX-License-Identifier: Apache-2.0 */
/*
 * qd.h - the coordinator's side of a dispatch: a tree of slices below one Motion
 * of the plan that runs here.
 */
#ifndef EXECUTOR_EXEC_QD_H
#define EXECUTOR_EXEC_QD_H

#include <postgres.h>

#include <nodes/execnodes.h>

#include "executor/exec/run.h"

/* Send the slices to the segments and run those of the coordinator. open_receiver
 * is called with ctx once the run is there, before any slice is. */
extern MppRun *mpp_qd_dispatch(PlanState *motion, void (*open_receiver)(MppRun *run, void *ctx),
                               void *ctx);

/* All rows are received, or no more are wanted: wait for the segments' reports, add
 * up what they wrote, close. */
extern void mpp_qd_finish(MppRun *run, EState *estate);

#endif
