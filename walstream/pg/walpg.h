/* SPDX-License-Identifier: Apache-2.0 */
/*
 * walpg.h - what the two PostgreSQL modules of the WAL stream share inside one
 * server: sluice_walstream (preloaded: settings, walsenders, statistics) and
 * libpqwalreceiver (in the walreceiver).
 */
#ifndef WALSTREAM_PG_WALPG_H
#define WALSTREAM_PG_WALPG_H

#include <postgres.h>

#include <port/atomics.h>
#include <storage/spin.h>

enum walpg_mode { WALPG_OFF, WALPG_PREFER, WALPG_REQUIRE };

/* Custom settings, as the process knows them now. */
struct walpg_settings {
	int mode; /* enum walpg_mode */
	char *socket;
	char *cluster_id;
	int spin_us;
	int retry_s;
};

#define WALPG_DRIVER_BYTES 16
#define WALPG_PEER_BYTES   64
#define WALPG_REASON_BYTES 256

/*
 * One stream in shared memory. The counters have one writer, the process that
 * streams; whoever reads them may see some older than others. What is under the
 * lock changes when a stream begins and ends.
 */
struct walpg_stat {
	slock_t mutex;
	int pid;                         /* mutex; 0: no stream */
	char driver[WALPG_DRIVER_BYTES]; /* mutex */
	char peer[WALPG_PEER_BYTES];     /* mutex; node of the other server */
	char reason[WALPG_REASON_BYTES]; /* mutex; of the last fall-back */
	bool fallen_back;                /* mutex; since it last streamed over Sluice */
	int retries;                     /* mutex; reconnects for Sluice since then, in vain */
	pg_atomic_uint64 fallbacks;      /* since the server started */
	pg_atomic_uint64 bytes;          /* this and below: of this stream */
	pg_atomic_uint64 frames;
	pg_atomic_uint64 stalls;
	pg_atomic_uint64 spins;
	pg_atomic_uint64 sleeps;
};

struct walpg_shared {
	int sender_count;                               /* max_wal_senders */
	struct walpg_stat stats[FLEXIBLE_ARRAY_MEMBER]; /* of walsenders by their index, then
	                                                    of the walreceiver */
};

/* What the preloaded module has, found by the other through PostgreSQL's
 * find_rendezvous_variable(WALPG_RENDEZVOUS). */
struct walpg_module {
	uint32 version; /* WALPG_MODULE_VERSION of who made it */
	const struct walpg_settings *settings;
	struct walpg_shared *shared; /* NULL before shared memory is there */
};
#define WALPG_RENDEZVOUS     "sluice_walstream"
#define WALPG_MODULE_VERSION 2u

static inline struct walpg_stat *walpg_sender_stat(struct walpg_shared *shared, int index)
{
	return &shared->stats[index];
}

static inline struct walpg_stat *walpg_receiver_stat(struct walpg_shared *shared)
{
	return &shared->stats[shared->sender_count];
}

/* A stream begins or, with pid 0, ends; counters of the stream start at 0. */
void walpg_stat_begin(struct walpg_stat *stat, int pid, const char *driver, const char *peer);

/* Count a fall-back to TCP. true: the first since the last stream over Sluice, or for
 * another reason than before: worth a warning. */
bool walpg_stat_fall_back(struct walpg_stat *stat, const char *reason);

/* Reconnects since the last stream over Sluice; one more is made. */
int walpg_stat_retries(struct walpg_stat *stat);
void walpg_stat_retry(struct walpg_stat *stat);

#endif
