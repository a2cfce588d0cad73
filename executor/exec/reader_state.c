/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reader_state.c - as PostgreSQL 15's parallel.c, which can do this only once for
 * a process: a header and chunks, each at a multiple of MAXIMUM_ALIGNOF.
 *
 * What costs most is left out when it can be: settings that have not changed, and
 * emptying the system caches when no transaction that could have changed catalogs
 * is open, now or at the last statement.
 */
#include "executor/exec/reader_state.h"

#include <access/htup_details.h>
#include <access/parallel.h>
#include <access/xact.h>
#include <catalog/namespace.h>
#include <catalog/pg_enum.h>
#include <catalog/storage.h>
#include <miscadmin.h>
#include <storage/predicate.h>
#include <storage/proc.h>
#include <utils/combocid.h>
#include <utils/guc.h>
#include <utils/inval.h>
#include <utils/memutils.h>
#include <utils/relmapper.h>
#include <utils/snapmgr.h>

enum chunk {
	CHUNK_SETTINGS,
	CHUNK_COMBO,
	CHUNK_TRANSACTION_SNAPSHOT,
	CHUNK_ACTIVE_SNAPSHOT,
	CHUNK_TRANSACTION,
	CHUNK_SYNCS,
	CHUNK_RELATION_MAP,
	CHUNK_ENUMS,
	CHUNK_COUNT
};

typedef struct StateHeader {
	TimestampTz transaction_start;
	TimestampTz statement_start;
	SerializableXactHandle serializable;
	Oid session_user;
	Oid role;
	Oid user;
	int security_context;
	Oid temp_namespace;
	Oid temp_toast_namespace;
	bool may_change_catalogs; /* the transaction has an xid */
	bool restores_snapshot;   /* CHUNK_TRANSACTION_SNAPSHOT is there */
	Size sizes[CHUNK_COUNT];
} StateHeader;

/* ---- leader ---------------------------------------------------------------- */

/*
 * A row that this transaction has inserted in command i and updates in the current
 * one gets a "combo" command id, which only this process can resolve: a reader that
 * meets one it was not told of would read beyond its array. So all that the
 * current command can make are made before. Exported functions do it on the
 * header of a row that is nowhere.
 */
static void make_combo_ids(void)
{
	static CommandId done;
	static TransactionId done_xid;
	TransactionId xid = GetCurrentTransactionIdIfAny();
	CommandId current = GetCurrentCommandId(false), i;
	HeapTupleHeaderData row = {0};

	if (!TransactionIdIsValid(xid))
		return;
	if (xid == done_xid && current == done)
		return;
	for (i = 0; i < current; i++) {
		CommandId cmax = current;
		bool is_combo;

		HeapTupleHeaderSetXmin(&row, xid);
		HeapTupleHeaderSetCmin(&row, i);
		HeapTupleHeaderAdjustCmax(&row, &cmax, &is_combo);
	}
	done = current;
	done_xid = xid;
}

static void fill_header(StateHeader *header)
{
	int user_context;

	header->transaction_start = GetCurrentTransactionStartTimestamp();
	header->statement_start = GetCurrentStatementStartTimestamp();
	header->serializable = ShareSerializableXact();
	header->session_user = GetSessionUserId();
	header->role = GetCurrentRoleId();
	GetUserIdAndSecContext(&header->user, &user_context);
	header->security_context = user_context;
	GetTempNamespaceState(&header->temp_namespace, &header->temp_toast_namespace);
	header->may_change_catalogs = TransactionIdIsValid(GetTopTransactionIdIfAny());
	header->restores_snapshot = IsolationUsesXactSnapshot();
	header->sizes[CHUNK_SETTINGS] = EstimateGUCStateSpace();
	header->sizes[CHUNK_COMBO] = EstimateComboCIDStateSpace();
	if (header->restores_snapshot)
		header->sizes[CHUNK_TRANSACTION_SNAPSHOT] =
		        EstimateSnapshotSpace(GetTransactionSnapshot());
	header->sizes[CHUNK_ACTIVE_SNAPSHOT] = EstimateSnapshotSpace(GetActiveSnapshot());
	header->sizes[CHUNK_TRANSACTION] = EstimateTransactionStateSpace();
	header->sizes[CHUNK_SYNCS] = EstimatePendingSyncsSpace();
	header->sizes[CHUNK_RELATION_MAP] = EstimateRelationMapSpace();
	header->sizes[CHUNK_ENUMS] = EstimateUncommittedEnumsSpace();
}

static void put_chunk(enum chunk chunk, Size size, char *to)
{
	switch (chunk) {
	case CHUNK_SETTINGS:
		SerializeGUCState(size, to);
		break;
	case CHUNK_COMBO:
		SerializeComboCIDState(size, to);
		break;
	case CHUNK_TRANSACTION_SNAPSHOT:
		if (size > 0)
			SerializeSnapshot(GetTransactionSnapshot(), to);
		break;
	case CHUNK_ACTIVE_SNAPSHOT:
		SerializeSnapshot(GetActiveSnapshot(), to);
		break;
	case CHUNK_TRANSACTION:
		SerializeTransactionState(size, to);
		break;
	case CHUNK_SYNCS:
		SerializePendingSyncs(size, to);
		break;
	case CHUNK_RELATION_MAP:
		SerializeRelationMap(size, to);
		break;
	case CHUNK_ENUMS:
		SerializeUncommittedEnums(to, size);
		break;
	case CHUNK_COUNT:
		break;
	}
}

static char *put_room(StringInfo out, Size size)
{
	char *room;

	enlargeStringInfo(out, (int)MAXALIGN(size));
	room = out->data + out->len;
	memset(room, 0, MAXALIGN(size));
	out->len += (int)MAXALIGN(size);
	return room;
}

void mpp_reader_state_put(StringInfo out, bool leader_writes)
{
	StateHeader header = {0};
	int chunk;

	if (leader_writes)
		make_combo_ids();
	fill_header(&header);
	memcpy(put_room(out, sizeof(header)), &header, sizeof(header));
	for (chunk = 0; chunk < CHUNK_COUNT; chunk++)
		put_chunk((enum chunk)chunk, header.sizes[chunk],
		          put_room(out, header.sizes[chunk]));
}

/* ---- reader ---------------------------------------------------------------- */

static char *known_settings; /* as they were restored last */
static Size known_settings_size;
static bool caches_may_differ; /* they were filled in a transaction with changes */

static void restore_settings(char *settings, Size size)
{
	if (known_settings && known_settings_size == size &&
	    memcmp(known_settings, settings, size) == 0)
		return;
	if (known_settings)
		pfree(known_settings);
	known_settings = NULL;
	InitializingParallelWorker = true; /* lifts the limits of who may set what, when */
	PG_TRY();
	{
		StartTransactionCommand();
		RestoreGUCState(settings);
		CommitTransactionCommand();
	}
	PG_FINALLY();
	{
		InitializingParallelWorker = false;
	}
	PG_END_TRY();
	known_settings = memcpy(MemoryContextAlloc(TopMemoryContext, size), settings, size);
	known_settings_size = size;
}

static void restore_user(const StateHeader *header)
{
	SetSessionAuthorization(header->session_user, superuser_arg(header->session_user));
	SetCurrentRoleId(
	        header->role,
	        superuser_arg(OidIsValid(header->role) ? header->role : header->session_user));
	SetUserIdAndSecContext(header->user, header->security_context);
	if (OidIsValid(header->temp_namespace))
		SetTempNamespaceState(header->temp_namespace, header->temp_toast_namespace);
}

static void restore_snapshots(const StateHeader *header, char *transaction, char *active)
{
	Snapshot active_snapshot = RestoreSnapshot(active);
	Snapshot first = header->restores_snapshot ? RestoreSnapshot(transaction) : active_snapshot;

	RestoreTransactionSnapshot(first, MyProc->lockGroupLeader);
	PushActiveSnapshot(active_snapshot);
}

Size mpp_reader_state_enter(char *bytes, Size size_bytes)
{
	StateHeader header;
	char *chunks[CHUNK_COUNT];
	Size at = MAXALIGN(sizeof(header));
	int chunk;

	memcpy(&header, bytes, sizeof(header));
	for (chunk = 0; chunk < CHUNK_COUNT; chunk++) {
		chunks[chunk] = bytes + at;
		at += MAXALIGN(header.sizes[chunk]);
	}
	restore_settings(chunks[CHUNK_SETTINGS], header.sizes[CHUNK_SETTINGS]);
	SetParallelStartTimestamps(header.transaction_start, header.statement_start);
	StartParallelWorkerTransaction(chunks[CHUNK_TRANSACTION]);
	RestoreComboCIDState(chunks[CHUNK_COMBO]);
	restore_snapshots(&header, chunks[CHUNK_TRANSACTION_SNAPSHOT],
	                  chunks[CHUNK_ACTIVE_SNAPSHOT]);
	RestorePendingSyncs(chunks[CHUNK_SYNCS]);
	RestoreRelationMap(chunks[CHUNK_RELATION_MAP]);
	RestoreUncommittedEnums(chunks[CHUNK_ENUMS]);
	if (header.may_change_catalogs || caches_may_differ)
		InvalidateSystemCaches();
	caches_may_differ = header.may_change_catalogs;
	restore_user(&header);
	AttachSerializableXact(header.serializable);
	EnterParallelMode(); /* so that whatever would change data fails */
	return at;
}

void mpp_reader_state_leave(void)
{
	ExitParallelMode();
	PopActiveSnapshot();
	EndParallelWorkerTransaction();
}
