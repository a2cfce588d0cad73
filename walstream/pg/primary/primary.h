/* SPDX-License-Identifier: Apache-2.0 */
/*
 * primary.h - the parts of the module sluice_walstream: module.c has the settings and
 * shared memory, offer.c agrees on a stream with a standby, stream.c puts the WAL of
 * this walsender on it, feedback.c tells PostgreSQL what the standby says, stat_view.c
 * shows the statistics.
 */
#ifndef WALSTREAM_PG_PRIMARY_H
#define WALSTREAM_PG_PRIMARY_H

#include "walstream/pg/walpg.h"

#include <access/xlogdefs.h>

#include <sluice/walstream.h>

/* Of this server; shared is NULL until shared memory is there. */
extern struct walpg_module walpg_module;

/* The client of this process was let in by a line for encrypted connections only. */
extern bool walpg_encryption_demanded;

/* What the standby said while connecting (terms.h); the variable of a setting. */
extern char *walpg_wish;

/* Show hooks of settings that are commands of the standby, in its walsender only. */
const char *offer_show(void);
const char *offer_encrypted_show(void);
const char *accept_show(void);
const char *decline_show(void);

/* The source of a sender: the log that PostgreSQL has handed over. */
int stream_read(void *context, uint32_t timeline, uint64_t lsn, void *data, size_t size_bytes,
                size_t *ret_size_bytes);

/*
 * stream.c: from now on the next CopyBothResponse of this process begins a stream.
 * Takes both; they end with the stream, and with the process.
 */
void stream_prepare(slu_endpoint *endpoint, slu_walsender *sender, const char *peer);

/* Give back what stream_prepare() took, if anything. */
void stream_drop(void);

/* Tell PostgreSQL what the standby has said, if anything new. */
struct slu_walsender_status;
void feedback_begin(void);
void feedback_sent(XLogRecPtr end_lsn, uint64_t now_ns);
void feedback_apply(const struct slu_walsender_status *status, uint64_t now_ns);

/* Release commits that could not be released before. true: that is still so. */
bool feedback_release_due(void);

#endif
