/* SPDX-License-Identifier: Apache-2.0 */
/*
 * snapshots.c - one list for both roles: snapshots registered with the
 * transaction, by number. On the QD an entry that only this list has registered
 * is of no more use; the QEs are told which are left.
 */
#include "executor/exec/snapshots.h"

#include <access/xact.h>
#include <utils/memutils.h>
#include <utils/resowner.h>
#include <utils/snapmgr.h>

#include "executor/dispatch/dtx.h"

typedef struct Numbered {
	uint64 number;
	Snapshot snapshot;
	CommandId command; /* that it shows; may be changed in place on the QD */
} Numbered;

static List *held; /* Numbered, in TopMemoryContext; of the open transaction */

static void drop(Numbered *entry)
{
	UnregisterSnapshotFromOwner(entry->snapshot, TopTransactionResourceOwner);
	held = list_delete_ptr(held, entry);
	pfree(entry);
}

static Snapshot hold(Snapshot snapshot, uint64 number)
{
	MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);
	Numbered *entry = palloc(sizeof(*entry));

	entry->number = number;
	entry->command = snapshot->curcid;
	entry->snapshot = RegisterSnapshotOnOwner(snapshot, TopTransactionResourceOwner);
	held = lappend(held, entry);
	MemoryContextSwitchTo(old);
	return entry->snapshot;
}

/* ---- QD -------------------------------------------------------------------- */

static void drop_unused(void)
{
	ListCell *cell;

	foreach (cell, list_copy(held)) {
		Numbered *entry = lfirst(cell);

		if (entry->snapshot->active_count == 0 && entry->snapshot->regd_count <= 1)
			drop(entry);
	}
}

static uint64 number_of(Snapshot snapshot)
{
	ListCell *cell;
	uint64 number;

	foreach (cell, held) {
		const Numbered *entry = lfirst(cell);

		if (entry->snapshot == snapshot && entry->command == snapshot->curcid)
			return entry->number;
	}
	number = mpp_dtx_new_statement();
	hold(snapshot, number);
	return number;
}

void mpp_snapshot_number(Snapshot snapshot, MppDispatch *ret_dispatch)
{
	ListCell *cell;

	drop_unused();
	ret_dispatch->snapshot = number_of(snapshot);
	ret_dispatch->snapshots_alive = palloc(sizeof(uint64) * (Size)list_length(held));
	ret_dispatch->snapshot_alive_count = list_length(held);
	foreach (cell, held)
		ret_dispatch->snapshots_alive[foreach_current_index(cell)] =
		        ((const Numbered *)lfirst(cell))->number;
}

/* ---- QE -------------------------------------------------------------------- */

static bool is_alive(const MppDispatch *dispatch, uint64 number)
{
	int i;

	for (i = 0; i < dispatch->snapshot_alive_count; i++)
		if (dispatch->snapshots_alive[i] == number)
			return true;
	return false;
}

Snapshot mpp_snapshot_of(const MppDispatch *dispatch)
{
	Snapshot found = NULL;
	ListCell *cell;

	foreach (cell, list_copy(held)) {
		Numbered *entry = lfirst(cell);

		if (entry->number == dispatch->snapshot)
			found = entry->snapshot;
		else if (!is_alive(dispatch, entry->number))
			drop(entry);
	}
	return found ? found : hold(GetActiveSnapshot(), dispatch->snapshot);
}

/* ---- the end of the transaction -------------------------------------------- */

static void at_transaction_end(XactEvent event, void *arg)
{
	switch (event) {
	case XACT_EVENT_PRE_COMMIT:
	case XACT_EVENT_PRE_PREPARE:
		while (held)
			drop(linitial(held));
		break;
	case XACT_EVENT_ABORT: /* the resource owner lets go of the snapshots */
		list_free_deep(held);
		held = NIL;
		break;
	default:
		break;
	}
}

void mpp_snapshots_init(void)
{
	RegisterXactCallback(at_transaction_end, NULL);
}
