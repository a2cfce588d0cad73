/* SPDX-License-Identifier: Apache-2.0 */
/*
 * init.c - what executor/dispatch/ does when a server loads the extension.
 */
#include <postgres.h>

#include <utils/guc.h>

#include "executor/dispatch/commit.h"
#include "executor/dispatch/fault.h"
#include "executor/dispatch/qe.h"
#include "executor/dispatch/recovery.h"
#include "executor/dispatch/router_exec.h"
#include "executor/dispatch/shared.h"
#include "executor/parts.h"

void mpp_dispatch_init(void)
{
	DefineCustomIntVariable(
	        "sluice.segment_connect_timeout", "Time to wait for a connection to a segment.",
	        NULL, &qe_connect_timeout, 30, 1, 3600, PGC_USERSET, GUC_UNIT_S, NULL, NULL, NULL);
	shared_init();
	mpp_fault_init();
	commit_init();
	dtx_init();
	qe_resend_init();
	recovery_init();
	router_exec_init();
}
