/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wal_lag.h - how long the log takes from being sent to being heard of again, per
 * level, by one clock: samples of (LSN, time sent) in a ring, read by each level
 * as its position passes them. The method is that of PostgreSQL's walsender.c.
 */
#ifndef WALSTREAM_WAL_LAG_H
#define WALSTREAM_WAL_LAG_H

#include <sluice/walstream.h>

#define WAL_LAG_SAMPLES 1024u /* power of two */

struct wal_lag_sample {
	uint64_t lsn;
	uint64_t sent_ns;
};

struct wal_lag {
	struct wal_lag_sample samples[WAL_LAG_SAMPLES];
	uint64_t write_pos;                           /* samples ever written */
	uint64_t read_pos[SLU_WAL_LEVELS];            /* samples passed */
	struct wal_lag_sample passed[SLU_WAL_LEVELS]; /* the last one, for interpolation */
};

void wal_lag_init(struct wal_lag *lag);

/* Everything before lsn was sent by now_ns. */
void wal_lag_sent(struct wal_lag *lag, uint64_t lsn, uint64_t now_ns);

/* The level was heard at lsn. SLU_WAL_LAG_UNKNOWN: no sample tells. */
uint64_t wal_lag_heard(struct wal_lag *lag, enum slu_wal_level level, uint64_t lsn,
                       uint64_t now_ns);

#endif
