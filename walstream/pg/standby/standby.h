/* SPDX-License-Identifier: Apache-2.0 */
/*
 * standby.h - the parts of the module libpqwalreceiver: module.c is PostgreSQL's table
 * of functions, negotiate.c agrees with the primary on a stream, receive.c hands its
 * log to the walreceiver, reply.c sends what the walreceiver says.
 */
#ifndef WALSTREAM_PG_STANDBY_H
#define WALSTREAM_PG_STANDBY_H

#include <postgres.h>

#include <replication/walreceiver.h>

#include "walstream/pg/attach.h"
#include "walstream/pg/walpg.h"

#include <sluice/walstream.h>

/* PostgreSQL's calls through the table are macros by the names of its members. */
#undef walrcv_connect
#undef walrcv_get_backend_pid
#undef walrcv_startstreaming
#undef walrcv_endstreaming
#undef walrcv_receive
#undef walrcv_send
#undef walrcv_disconnect

struct pg_conn; /* libpq's PGconn */

/* PostgreSQL's own functions. */
extern WalReceiverFunctionsType stock;

/* The physical connection of this walreceiver; there is one at a time. */
struct standby {
	WalReceiverConn *conn; /* NULL: none, or Sluice is not wanted on it */
	struct pg_conn *libpq; /* in conn */
	int mode;              /* enum walpg_mode, when it connected */
	char name[SLU_WAL_NAME_MAX];
	char *conninfo;         /* owned; as given */
	bool fell_back;         /* Sluice was wanted and could not be had */
	uint64_t retried_ns;    /* when it was last asked for, since then */
	slu_endpoint *endpoint; /* owned; NULL: streams by libpq */
	uint64_t cluster;
	slu_walreceiver *receiver; /* owned; NULL: no stream is open */
	bool at_end;               /* no more log comes on the stream */
};
extern struct standby standby;

/* What the preloaded module of this server has; NULL: there is none that fits. */
const struct walpg_module *standby_module(void);

/* Of this walreceiver; NULL: as above. */
struct walpg_stat *standby_stat(void);

/* The libpq connection in one of PostgreSQL's; NULL: it is not known to be one. */
struct pg_conn *standby_libpq(WalReceiverConn *conn);

/* ---- negotiate.c ------------------------------------------------------------ */

/* conninfo with the wish for a stream in it; palloc'd. */
char *negotiate_conninfo(const char *conninfo);

/* Agree with the primary on a stream and open it. false: why not is in ret_reason, of
 * WALPG_REASON_BYTES, and START_REPLICATION will stream on the connection. */
bool negotiate_stream(const WalRcvStreamOptions *options, char *ret_reason);

/* Whether the primary would offer a stream now, asked on a connection beside the one
 * that streams. */
bool negotiate_probe(void);

/* ---- receive.c -------------------------------------------------------------- */

void receive_begin(void);
int receive_next(char **ret_buffer, pgsocket *ret_wait_fd);
void receive_end(void);

/* ---- reply.c ----------------------------------------------------------------- */

void reply_begin(void);

/* As walrcv_send(). */
void reply_send(const char *message, int size_bytes);

/* The walreceiver was handed a keepalive that asks for an answer. */
void reply_asked(void);

/* Say again how far this side is, as far as the stream has come by now. */
void reply_tell(void);

/* The startup process has applied what a commit waits for. false: PostgreSQL has to
 * answer that. */
bool reply_applied(void);

#endif
