/* SPDX-License-Identifier: Apache-2.0 */
/* stat_view.c - sluice.stat_walstream(): the streams of this server. */
#include <postgres.h>

#include <fmgr.h>
#include <funcapi.h>
#include <utils/builtins.h>

#include "walstream/pg/primary/primary.h"

PG_FUNCTION_INFO_V1(sluice_stat_walstream);

enum column {
	COLUMN_ROLE,
	COLUMN_PID,
	COLUMN_DRIVER,
	COLUMN_PEER,
	COLUMN_BYTES,
	COLUMN_FRAMES,
	COLUMN_STALLS,
	COLUMN_SPINS,
	COLUMN_SLEEPS,
	COLUMN_FALLBACKS,
	COLUMN_FALLBACK_REASON,
	COLUMNS,
};

static Datum counter(pg_atomic_uint64 *value)
{
	return Int64GetDatum((int64)pg_atomic_read_u64(value));
}

static void put_row(ReturnSetInfo *result, struct walpg_stat *stat, bool is_receiver)
{
	char driver[WALPG_DRIVER_BYTES], peer[WALPG_PEER_BYTES], reason[WALPG_REASON_BYTES];
	Datum values[COLUMNS];
	bool nulls[COLUMNS] = {false};
	int pid;

	SpinLockAcquire(&stat->mutex);
	pid = stat->pid;
	memcpy(driver, stat->driver, sizeof(driver));
	memcpy(peer, stat->peer, sizeof(peer));
	memcpy(reason, stat->reason, sizeof(reason));
	SpinLockRelease(&stat->mutex);
	/* How often a standby fell back is worth knowing while it does not stream, too. */
	if (!pid && !(is_receiver && pg_atomic_read_u64(&stat->fallbacks)))
		return;
	values[COLUMN_ROLE] = CStringGetTextDatum(is_receiver ? "receiver" : "sender");
	values[COLUMN_PID] = Int32GetDatum(pid);
	nulls[COLUMN_PID] = !pid;
	values[COLUMN_DRIVER] = CStringGetTextDatum(driver);
	nulls[COLUMN_DRIVER] = !driver[0];
	values[COLUMN_PEER] = CStringGetTextDatum(peer);
	nulls[COLUMN_PEER] = !peer[0];
	values[COLUMN_BYTES] = counter(&stat->bytes);
	values[COLUMN_FRAMES] = counter(&stat->frames);
	values[COLUMN_STALLS] = counter(&stat->stalls);
	values[COLUMN_SPINS] = counter(&stat->spins);
	values[COLUMN_SLEEPS] = counter(&stat->sleeps);
	values[COLUMN_FALLBACKS] = counter(&stat->fallbacks);
	values[COLUMN_FALLBACK_REASON] = CStringGetTextDatum(reason);
	nulls[COLUMN_FALLBACK_REASON] = !reason[0];
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

PGDLLEXPORT Datum sluice_stat_walstream(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *)fcinfo->resultinfo;
	struct walpg_shared *shared = walpg_module.shared;

	if (!shared)
		ereport(ERROR,
		        (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
		         errmsg("sluice_walstream must be loaded by shared_preload_libraries")));
	InitMaterializedSRF(fcinfo, 0);
	for (int i = 0; i < shared->sender_count; i++)
		put_row(result, walpg_sender_stat(shared, i), false);
	put_row(result, walpg_receiver_stat(shared), true);
	return (Datum)0;
}
