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

char *mpp_session_secret;

void mpp_dispatch_init(void)
{
	DefineCustomIntVariable(
	        "sluice.segment_connect_timeout", "Time to wait for a connection to a segment.",
	        NULL, &qe_connect_timeout, 30, 1, 3600, PGC_USERSET, GUC_UNIT_S, NULL, NULL, NULL);
	DefineCustomStringVariable(
	        "sluice.session_secret", "Told by the coordinator to its connections to segments.",
	        NULL, &mpp_session_secret, "", PGC_BACKEND,
	        GUC_SUPERUSER_ONLY | GUC_NO_SHOW_ALL | GUC_NOT_IN_SAMPLE | GUC_DISALLOW_IN_FILE,
	        NULL, NULL, NULL);
	shared_init();
	mpp_fault_init();
	commit_init();
	dtx_init();
	recovery_init();
	router_exec_init();
}
