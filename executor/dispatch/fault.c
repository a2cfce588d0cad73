/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fault.c - faults on demand, for tests of what a crash leaves.
 */
#include <postgres.h>

#include <access/xact.h>
#include <miscadmin.h>
#include <signal.h>
#include <utils/guc.h>

#include "executor/catalog/node.h"
#include "executor/dispatch/fault.h"

char *mpp_fault_point;

void mpp_fault_reached(const char *point)
{
	size_t length = strlen(point);
	const char *rest = mpp_fault_point + length;

	if (strncmp(mpp_fault_point, point, length) != 0)
		return;
	if (*rest == '@') {
		char *end;

		if (strtol(rest + 1, &end, 10) != mpp_content)
			return;
		rest = end;
	}
	if (*rest == 0 || strcmp(rest, ":error") == 0)
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR),
		                errmsg("fault injected at \"%s\"", point)));
	if (strcmp(rest, ":postmaster") == 0)
		kill(PostmasterPid, SIGKILL);
	if (strcmp(rest, ":postmaster") == 0 || strcmp(rest, ":kill") == 0)
		kill(MyProcPid, SIGKILL);
}

/* The points of a QE's transaction. */
static void on_transaction(XactEvent event, void *arg)
{
	if (mpp_fault_point[0] == 0 || !mpp_is_qe() || !IsTransactionBlock())
		return;
	if (event == XACT_EVENT_PRE_COMMIT)
		mpp_fault("qe_before_commit");
	else if (event == XACT_EVENT_COMMIT)
		mpp_fault("qe_after_commit");
	else if (event == XACT_EVENT_PRE_PREPARE)
		mpp_fault("qe_before_prepare");
	else if (event == XACT_EVENT_PREPARE)
		mpp_fault("qe_after_prepare");
}

void mpp_fault_init(void)
{
	DefineCustomStringVariable("sluice.fault_point", "Where to fail, for tests.", NULL,
	                           &mpp_fault_point, "", PGC_SUSET, GUC_NOT_IN_SAMPLE, NULL, NULL,
	                           NULL);
	RegisterXactCallback(on_transaction, NULL);
}
