/* SPDX-License-Identifier: Apache-2.0 */
/* wal_lag.c - see wal_lag.h. */
#include "walstream/wal_lag.h"

#include <string.h>

static struct wal_lag_sample *sample_at(struct wal_lag *lag, uint64_t pos)
{
	return &lag->samples[pos % WAL_LAG_SAMPLES];
}

void wal_lag_init(struct wal_lag *lag)
{
	memset(lag, 0, sizeof(*lag));
}

static bool is_full(const struct wal_lag *lag)
{
	for (unsigned level = 0; level < SLU_WAL_LEVELS; level++)
		if (lag->write_pos - lag->read_pos[level] == WAL_LAG_SAMPLES)
			return true;
	return false;
}

void wal_lag_sent(struct wal_lag *lag, uint64_t lsn, uint64_t now_ns)
{
	if (lag->write_pos && sample_at(lag, lag->write_pos - 1)->lsn == lsn)
		return;
	/* Full means that a level is far behind: then the newest sample is given up,
	 * since the old ones are those it will pass. */
	if (is_full(lag)) {
		lag->write_pos--;
		for (unsigned level = 0; level < SLU_WAL_LEVELS; level++)
			if (lag->read_pos[level] > lag->write_pos)
				lag->read_pos[level] = lag->write_pos;
	}
	*sample_at(lag, lag->write_pos++) = (struct wal_lag_sample){.lsn = lsn, .sent_ns = now_ns};
}

/* When what ends at lsn was sent, between a sample that was passed and the next. */
static uint64_t interpolate(const struct wal_lag_sample *from, const struct wal_lag_sample *to,
                            uint64_t lsn)
{
	double part = (double)(lsn - from->lsn) / (double)(to->lsn - from->lsn);

	return from->sent_ns + (uint64_t)(part * (double)(to->sent_ns - from->sent_ns));
}

uint64_t wal_lag_heard(struct wal_lag *lag, enum slu_wal_level level, uint64_t lsn, uint64_t now_ns)
{
	uint64_t *read_pos = &lag->read_pos[level];
	struct wal_lag_sample *passed = &lag->passed[level];
	const struct wal_lag_sample *next;
	bool moved = false;
	uint64_t sent_ns;

	while (*read_pos < lag->write_pos && sample_at(lag, *read_pos)->lsn <= lsn) {
		*passed = *sample_at(lag, (*read_pos)++);
		moved = true;
	}
	next = *read_pos < lag->write_pos ? sample_at(lag, *read_pos) : NULL;
	if (next && passed->sent_ns && lsn > passed->lsn && next->lsn > passed->lsn)
		sent_ns = interpolate(passed, next, lsn);
	else if (moved)
		sent_ns = passed->sent_ns;
	else if (next) /* waits for the first sample, or goes on waiting: it grows */
		sent_ns = next->sent_ns;
	else
		return SLU_WAL_LAG_UNKNOWN;
	return now_ns > sent_ns ? now_ns - sent_ns : 0;
}
