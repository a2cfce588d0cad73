/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gang.h - the connections of a QD to its QEs: one writer per segment, opened on
 * first use with the QD's database, user and settings, and kept for the session.
 * All calls are of the QD and in a transaction unless said otherwise; errors of a
 * segment are thrown with their SQLSTATE, message, detail, hint and position, and
 * a context line that names the segment. NOTICEs pass to the client.
 */
#ifndef EXECUTOR_DISPATCH_GANG_H
#define EXECUTOR_DISPATCH_GANG_H

#include <postgres.h>

#include <libpq-fe.h>
#include <nodes/bitmapset.h>

/* SQLSTATE of an error that only says that a process on the other end of a motion
 * has failed; an error with another cause is shown in its place. */
#define MPP_SQLSTATE_PEER_FAILED MAKE_SQLSTATE('5', '8', 'M', 'P', 'F')

/* All segments of the cluster. In the current memory context. */
extern Bitmapset *mpp_gang_all(void);

/* Open what is not open of these, in parallel, and bring session settings (GUCs,
 * search_path, role) up to date there. Does not join the transaction: dtx.h. */
extern void mpp_gang_require(const Bitmapset *contents);

/* One command (a single SQL statement), the same on all; waits for all; throws the
 * first error after all have ended. Joins the transaction as a writer when writes;
 * else it runs in what transaction there is, or alone. Returns the sum of the row
 * counts of the command tags. NOTICEs of a command are not passed on: the QD, which
 * runs the same statement, has said them; WARNINGs are, once. */
extern uint64 mpp_gang_command(const Bitmapset *contents, const char *sql, bool writes);

/* ---- without waiting ---- */

typedef struct MppParam {
	const char *bytes; /* binary format; NULL: SQL NULL */
	int size_bytes;
	Oid type; /* below FirstNormalObjectId */
} MppParam;

/* A result for content arrived: PGRES_TUPLES_OK or PGRES_COMMAND_OK, values as text.
 * Borrowed for the call. Must not throw. */
typedef void (*mpp_gang_result)(int content, const PGresult *result, void *ctx);

/* Takes the rows that segments have for statements which are not read at the moment,
 * so that these come to their end. Set by mpp_exec_init(); called while it is waited
 * for a connection that is busy with such a statement. */
extern void (*mpp_gang_drain)(void *ctx);

/* Send one command with parameters. The connection is busy until its result was
 * taken by progress or wait; if it is busy already, that is waited for first. */
extern void mpp_gang_send(int content, const char *sql, int param_count, const MppParam *params,
                          mpp_gang_result result, void *ctx);

/* Take what has arrived; never blocks. Throws an error as soon as a segment has
 * reported one: the error with a cause before errors that only say that another
 * process failed (SQLSTATE class 08 or 57014 of a motion, MPP_SQLSTATE_PEER_FAILED).
 * The others are cancelled at the abort of the transaction. */
extern void mpp_gang_progress(void);

/* Whether a connection of these is busy. */
extern bool mpp_gang_busy(const Bitmapset *contents);

/* Sockets of the busy connections, to wait for reading together with others.
 * Returns how many were stored, at most max. */
extern int mpp_gang_sockets(pgsocket *sockets, int max);

/* Progress until none of these is busy; interrupts are taken. on_wait, when not
 * NULL, is called each time before it sleeps, and at least every 10 ms while it
 * waits (slu_motion_drain() of the executor). */
extern void mpp_gang_wait(const Bitmapset *contents, void (*on_wait)(void *ctx), void *ctx);

/* For all QEs of this session: cancel what runs. May be called in an abort. */
extern void mpp_gang_cancel(void);

/* ---- whether SQL on a QE comes from its QD ---- */

/* Functions that only a QD may call on its QEs take the secret of the connection as a
 * parameter (never in the text of a statement: its user can read that). A user's
 * function that runs on a QE does not know it. As the bytes of an MppParam this stands
 * for it. */
extern const char mpp_gang_secret[1];
#define MPP_PARAM_SECRET ((MppParam){mpp_gang_secret, 0, TEXTOID})

/* On a QE: ERROR unless secret is what its QD must know. */
extern void mpp_qe_check_secret(const char *secret);

#endif
