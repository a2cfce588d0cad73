/* SPDX-License-Identifier: Apache-2.0 */
/*
 * init.c - what executor/exec/ does when a server loads the extension.
 */
#include <postgres.h>

#include "executor/dispatch/gang.h"
#include "executor/exec/motion_state.h"
#include "executor/exec/names.h"
#include "executor/exec/readers.h"
#include "executor/exec/run.h"
#include "executor/exec/snapshots.h"
#include "executor/parts.h"

void mpp_exec_init(void)
{
	mpp_motion_init();
	mpp_names_init();
	mpp_readers_init();
	mpp_run_init();
	mpp_snapshots_init();
	mpp_gang_drain = mpp_run_drain_all;
}
