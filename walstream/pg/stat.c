/* SPDX-License-Identifier: Apache-2.0 */
/* stat.c - the writing side of the statistics in shared memory. */
#include <postgres.h>

#include "walstream/pg/walpg.h"

void walpg_stat_begin(struct walpg_stat *stat, int pid, const char *driver, const char *peer)
{
	SpinLockAcquire(&stat->mutex);
	stat->pid = pid;
	strlcpy(stat->driver, driver, sizeof(stat->driver));
	strlcpy(stat->peer, peer, sizeof(stat->peer));
	if (pid && strcmp(driver, "libpq") != 0) {
		stat->fallen_back = false;
		stat->retries = 0;
	}
	SpinLockRelease(&stat->mutex);
	pg_atomic_write_u64(&stat->bytes, 0);
	pg_atomic_write_u64(&stat->frames, 0);
	pg_atomic_write_u64(&stat->stalls, 0);
	pg_atomic_write_u64(&stat->spins, 0);
	pg_atomic_write_u64(&stat->sleeps, 0);
}

bool walpg_stat_fall_back(struct walpg_stat *stat, const char *reason)
{
	bool news;

	SpinLockAcquire(&stat->mutex);
	news = !stat->fallen_back || strncmp(stat->reason, reason, sizeof(stat->reason) - 1) != 0;
	stat->fallen_back = true;
	strlcpy(stat->reason, reason, sizeof(stat->reason));
	SpinLockRelease(&stat->mutex);
	pg_atomic_fetch_add_u64(&stat->fallbacks, 1);
	return news;
}

int walpg_stat_retries(struct walpg_stat *stat)
{
	int retries;

	SpinLockAcquire(&stat->mutex);
	retries = stat->retries;
	SpinLockRelease(&stat->mutex);
	return retries;
}

void walpg_stat_retry(struct walpg_stat *stat)
{
	SpinLockAcquire(&stat->mutex);
	stat->retries++;
	SpinLockRelease(&stat->mutex);
}
