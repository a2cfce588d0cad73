/* SPDX-License-Identifier: Apache-2.0 */
/*
 * snapshots.h - which dispatches see the same rows. The QD gives each of its
 * snapshots a number; a QE takes a snapshot of its own for each number it is told
 * and keeps it while the QD may still use it (cursors, functions within a
 * statement).
 */
#ifndef EXECUTOR_EXEC_SNAPSHOTS_H
#define EXECUTOR_EXEC_SNAPSHOTS_H

#include <postgres.h>

#include <utils/snapshot.h>

#include "executor/exec/wire.h"

/* QD: fill in the numbers of a dispatch for this snapshot, which is registered. In
 * the current memory context. */
extern void mpp_snapshot_number(Snapshot snapshot, MppDispatch *ret_dispatch);

/* QE: its snapshot of that number; the active one when the number is new. */
extern Snapshot mpp_snapshot_of(const MppDispatch *dispatch);

/* ---- by mpp_exec_init() ---- */
extern void mpp_snapshots_init(void);

#endif
