/* SPDX-License-Identifier: Apache-2.0 */
/*
 * shared.c - what the backends of the coordinator share for dispatch: numbers for
 * their sessions, and a way to wake the recovery launcher.
 */
#include <postgres.h>

#include <miscadmin.h>
#include <port/atomics.h>
#include <storage/ipc.h>
#include <storage/latch.h>
#include <storage/lwlock.h>
#include <storage/proc.h>
#include <storage/shmem.h>
#include <utils/timestamp.h>

#include "executor/dispatch/dtx.h"
#include "executor/dispatch/shared.h"

/*
 * field          only writer            readers    ordering
 * next_session   any, fetch-add         any        relaxed: only unique
 * kicks          any, fetch-add         launcher   full barrier, then its latch
 * launcher_proc  launcher               any        atomic; a stale latch is only set once
 *                                                  more than needed
 */
typedef struct DispatchShared {
	pg_atomic_uint32 next_session;
	pg_atomic_uint32 kicks;
	pg_atomic_uint32 launcher_proc; /* index in ProcGlobal->allProcs; or NO_PROC */
} DispatchShared;

#define NO_PROC UINT32_MAX

static DispatchShared *shared;
static shmem_request_hook_type previous_request;
static shmem_startup_hook_type previous_startup;

static void request(void)
{
	if (previous_request != NULL)
		previous_request();
	RequestAddinShmemSpace(MAXALIGN(sizeof(DispatchShared)));
}

static void startup(void)
{
	bool found;

	if (previous_startup != NULL)
		previous_startup();
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	shared = ShmemInitStruct("sluice dispatch", sizeof(DispatchShared), &found);
	if (!found) {
		/* Later than the numbers before a restart, at a session per second. */
		pg_atomic_init_u32(&shared->next_session,
		                   (uint32)(GetCurrentTimestamp() / USECS_PER_SEC));
		pg_atomic_init_u32(&shared->kicks, 0);
		pg_atomic_init_u32(&shared->launcher_proc, NO_PROC);
	}
	LWLockRelease(AddinShmemInitLock);
}

uint64 mpp_dtx_session(void)
{
	static uint64 session;

	if (session == 0)
		session = pg_atomic_fetch_add_u32(&shared->next_session, 1);
	return session;
}

void shared_launcher_started(void)
{
	pg_atomic_write_u32(&shared->launcher_proc, MyProc->pgprocno);
}

uint32 shared_kicks(void)
{
	return pg_atomic_read_u32(&shared->kicks);
}

void shared_kick(void)
{
	uint32 proc;

	pg_atomic_fetch_add_u32(&shared->kicks, 1);
	proc = pg_atomic_read_u32(&shared->launcher_proc);
	if (proc != NO_PROC)
		SetLatch(&ProcGlobal->allProcs[proc].procLatch);
}

void shared_init(void)
{
	previous_request = shmem_request_hook;
	shmem_request_hook = request;
	previous_startup = shmem_startup_hook;
	shmem_startup_hook = startup;
}
