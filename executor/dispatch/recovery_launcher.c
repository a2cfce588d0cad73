/* SPDX-License-Identifier: Apache-2.0 */
/*
 * recovery_launcher.c - when recovery runs: at the start of the coordinator, when a
 * session left a transaction prepared, and now and then. A worker per database does
 * the work, one after the other, since a process can connect to one database only.
 */
#include <postgres.h>

#include <access/heapam.h>
#include <access/table.h>
#include <access/tableam.h>
#include <access/xact.h>
#include <catalog/pg_database.h>
#include <miscadmin.h>
#include <pgstat.h>
#include <postmaster/bgworker.h>
#include <postmaster/interrupt.h>
#include <storage/latch.h>
#include <tcop/tcopprot.h>
#include <utils/guc.h>
#include <utils/memutils.h>
#include <utils/snapmgr.h>
#include <utils/wait_event.h>

#include "executor/catalog/catalog.h"
#include "executor/catalog/cluster.h"
#include "executor/catalog/node.h"
#include "executor/dispatch/recovery.h"
#include "executor/dispatch/shared.h"

/* Pause before it is tried again, when not all could be finished. */
#define RETRY_MS 2000

/* A QE that has lost its QD may still be about to prepare; so after a start, and
 * after a kick, some more passes follow soon. */
#define PASSES_SOON 4

static int recovery_interval_s = 60;

static List *databases(MemoryContext context)
{
	List *oids = NIL;
	Relation relation;
	TableScanDesc scan;
	HeapTuple tuple;

	StartTransactionCommand();
	(void)GetTransactionSnapshot();
	relation = table_open(DatabaseRelationId, AccessShareLock);
	scan = table_beginscan_catalog(relation, 0, NULL);
	while ((tuple = heap_getnext(scan, ForwardScanDirection)) != NULL) {
		Form_pg_database database = (Form_pg_database)GETSTRUCT(tuple);
		MemoryContext previous;

		if (!database->datallowconn)
			continue;
		previous = MemoryContextSwitchTo(context);
		oids = lappend_oid(oids, database->oid);
		MemoryContextSwitchTo(previous);
	}
	table_endscan(scan);
	table_close(relation, AccessShareLock);
	CommitTransactionCommand();
	return oids;
}

/* Runs the worker to its end. It kicks the launcher when not all is finished. */
static void run_worker(Oid database)
{
	BackgroundWorker worker = {0};
	BackgroundWorkerHandle *handle;

	snprintf(worker.bgw_name, BGW_MAXLEN, "sluice recovery worker");
	snprintf(worker.bgw_type, BGW_MAXLEN, "sluice recovery worker");
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	strlcpy(worker.bgw_library_name, "sluice", BGW_MAXLEN);
	strlcpy(worker.bgw_function_name, "mpp_recovery_worker", BGW_MAXLEN);
	worker.bgw_main_arg = ObjectIdGetDatum(database);
	worker.bgw_notify_pid = MyProcPid;
	if (RegisterDynamicBackgroundWorker(&worker, &handle)) {
		(void)WaitForBackgroundWorkerShutdown(handle);
		pfree(handle);
	} else {
		shared_kick(); /* no slot is free: later */
	}
}

static void pass(void)
{
	MemoryContext context =
	        AllocSetContextCreate(TopMemoryContext, "sluice recovery", ALLOCSET_SMALL_SIZES);
	ListCell *cell;

	foreach (cell, databases(context)) {
		CHECK_FOR_INTERRUPTS();
		run_worker(lfirst_oid(cell));
	}
	MemoryContextDelete(context);
}

void mpp_recovery_launcher(Datum arg)
{
	uint32 kicks_seen = 0;
	int passes_soon = PASSES_SOON;

	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);
	shared_launcher_started();
	for (;;) {
		uint32 kicks = shared_kicks();

		if (kicks != kicks_seen)
			passes_soon = PASSES_SOON;
		kicks_seen = kicks;
		pass();
		if (passes_soon > 0)
			passes_soon--;
		(void)WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
		                passes_soon > 0 ? RETRY_MS : recovery_interval_s * 1000L,
		                PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending) {
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
		}
	}
}

void mpp_recovery_worker(Datum database)
{
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnectionByOid(DatumGetObjectId(database), InvalidOid, 0);
	pgstat_report_activity(STATE_RUNNING, "finishing distributed transactions");
	if (!recovery_run())
		shared_kick();
}

void recovery_init(void)
{
	BackgroundWorker worker = {0};

	DefineCustomIntVariable("sluice.dtx_recovery_interval",
	                        "Time between looks for transactions that a crash left prepared.",
	                        NULL, &recovery_interval_s, 60, 1, 86400, PGC_SIGHUP, GUC_UNIT_S,
	                        NULL, NULL, NULL);
	if (mpp_role != MPP_ROLE_COORDINATOR)
		return;
	snprintf(worker.bgw_name, BGW_MAXLEN, "sluice recovery launcher");
	snprintf(worker.bgw_type, BGW_MAXLEN, "sluice recovery launcher");
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = 2;
	strlcpy(worker.bgw_library_name, "sluice", BGW_MAXLEN);
	strlcpy(worker.bgw_function_name, "mpp_recovery_launcher", BGW_MAXLEN);
	RegisterBackgroundWorker(&worker);
}
