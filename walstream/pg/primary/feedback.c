/* SPDX-License-Identifier: Apache-2.0 */
/*
 * feedback.c - what the standby says over the stream, told to PostgreSQL: positions
 * and lags for pg_stat_replication, commits that wait, the slot. walsender.c of
 * PostgreSQL 15 does the same for a reply that came on the socket, in functions that
 * it keeps to itself; what they mean is repeated here in our words.
 */
#include <postgres.h>

#include <replication/slot.h>
#include <replication/syncrep.h>
#include <replication/walsender.h>
#include <replication/walsender_private.h>

#include "walstream/pg/message.h"
#include "walstream/pg/primary/primary.h"
#include "walstream/wal_lag.h"

static struct wal_lag lag;
static uint64_t seen_feedbacks;
static struct slu_wal_positions seen;
static bool release_due; /* commits wait for what was heard, but nobody could be released */

void feedback_begin(void)
{
	wal_lag_init(&lag);
	seen_feedbacks = 0;
	memset(&seen, 0, sizeof(seen));
	release_due = false;
}

void feedback_sent(XLogRecPtr end_lsn, uint64_t now_ns)
{
	wal_lag_sent(&lag, end_lsn, now_ns);
}

/* In microseconds; -1: not known. */
static TimeOffset lag_of(enum slu_wal_level level, XLogRecPtr lsn, uint64_t now_ns)
{
	uint64_t lag_ns = wal_lag_heard(&lag, level, lsn, now_ns);

	return lag_ns == SLU_WAL_LAG_UNKNOWN ? -1 : (TimeOffset)(lag_ns / 1000);
}

/* A physical slot keeps the log from here on. It is not saved at once: after a crash
 * an older place only keeps more. */
static void slot_advance(XLogRecPtr flush_lsn)
{
	ReplicationSlot *slot = MyReplicationSlot;
	bool moved;

	SpinLockAcquire(&slot->mutex);
	moved = slot->data.restart_lsn != flush_lsn;
	slot->data.restart_lsn = flush_lsn;
	SpinLockRelease(&slot->mutex);
	if (!moved)
		return;
	ReplicationSlotMarkDirty();
	ReplicationSlotsComputeRequiredLSN();
}

/* A standby counts from when it streams on. PostgreSQL says so after flush_if_writable()
 * has sent the last of a catch-up, and the answer to that can have come by then. */
static void release(void)
{
	release_due = MyWalSnd->state == WALSNDSTATE_CATCHUP;
	if (!release_due)
		SyncRepReleaseWaiters();
}

bool feedback_release_due(void)
{
	if (release_due)
		release();
	return release_due;
}

void feedback_apply(const struct slu_walsender_status *status, uint64_t now_ns)
{
	const struct slu_wal_positions *heard = &status->positions;
	TimeOffset lags[SLU_WAL_LEVELS];
	bool stale;

	if (status->feedbacks == seen_feedbacks)
		return;
	seen_feedbacks = status->feedbacks;
	lags[SLU_WAL_WRITE] = lag_of(SLU_WAL_WRITE, heard->write_lsn, now_ns);
	lags[SLU_WAL_FLUSH] = lag_of(SLU_WAL_FLUSH, heard->flush_lsn, now_ns);
	lags[SLU_WAL_APPLY] = lag_of(SLU_WAL_APPLY, heard->apply_lsn, now_ns);
	/* Everything was applied already when it last spoke: the lags are old news. */
	stale = heard->apply_lsn == MyWalSnd->sentPtr && heard->flush_lsn == MyWalSnd->sentPtr &&
	        memcmp(heard, &seen, sizeof(seen)) == 0;
	seen = *heard;

	SpinLockAcquire(&MyWalSnd->mutex);
	MyWalSnd->write = heard->write_lsn;
	MyWalSnd->flush = heard->flush_lsn;
	MyWalSnd->apply = heard->apply_lsn;
	if (lags[SLU_WAL_WRITE] >= 0 || stale)
		MyWalSnd->writeLag = lags[SLU_WAL_WRITE];
	if (lags[SLU_WAL_FLUSH] >= 0 || stale)
		MyWalSnd->flushLag = lags[SLU_WAL_FLUSH];
	if (lags[SLU_WAL_APPLY] >= 0 || stale)
		MyWalSnd->applyLag = lags[SLU_WAL_APPLY];
	MyWalSnd->replyTime = message_time(status->told_wall_ns);
	SpinLockRelease(&MyWalSnd->mutex);

	if (!am_cascading_walsender)
		release();
	if (MyReplicationSlot && heard->flush_lsn != InvalidXLogRecPtr)
		slot_advance(heard->flush_lsn);
}
