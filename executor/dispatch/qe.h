/* SPDX-License-Identifier: Apache-2.0 */
/*
 * qe.h - one connection of the QD to a QE, private to dispatch/. It is always in
 * libpq's pipeline mode and never blocks: what is sent is remembered as a queue of
 * items, and results are matched with its head. Items of the transaction itself
 * (BEGIN, SAVEPOINT ...) ride in front of the next command, in one round trip.
 */
#ifndef EXECUTOR_DISPATCH_QE_H
#define EXECUTOR_DISPATCH_QE_H

#include <postgres.h>

#include <datatype/timestamp.h>
#include <libpq-fe.h>

#include "executor/dispatch/gang.h"

typedef enum QeItemKind {
	QE_ITEM_SETTINGS = 1, /* reply to settings.c */
	QE_ITEM_INTERNAL,     /* of the transaction; a failure loses the connection */
	QE_ITEM_END,          /* of the transaction; nobody can do anything about a failure */
	QE_ITEM_PREPARE,      /* Parse, in front of a command */
	QE_ITEM_COMMAND,      /* somebody waits for its result */
	QE_ITEM_SYNC,         /* end of a pipeline */
} QeItemKind;

/* A COPY stream, on a connection that has left the pipeline mode for it. */
typedef enum QeCopy {
	QE_COPY_NONE = 0,
	QE_COPY_ANSWER, /* waits for results */
	QE_COPY_IN,     /* takes data */
	QE_COPY_OUT,    /* gives data */
	QE_COPY_ENDED,
} QeCopy;

/* SQLSTATE with which a QE ends that has begun nothing of what was sent to it. */
#define MPP_SQLSTATE_ENDED_IDLE MAKE_SQLSTATE('5', '8', 'M', 'P', 'I')

typedef struct QeItem {
	QeItemKind kind;
	mpp_gang_result result; /* QE_ITEM_COMMAND; NULL: discard */
	bool by_row;            /* results come row by row */
	bool keeps;             /* the result is told in an abort too: it lasts */
	void *ctx;
} QeItem;

#define QE_BEGIN_MAX    32
#define QE_SECRET_BYTES 64 /* hexadecimal digits */

typedef struct Qe {
	int content;
	char name[160]; /* "segment 0 (address:port)" */
	PGconn *conn;   /* NULL: not open */
	int pid;        /* of the backend there */
	int cancel_key; /* that backend's; 0: not known yet */
	char secret[QE_SECRET_BYTES + 1];

	QeItem *items; /* ring */
	int item_first;
	int item_count;
	int item_size;
	int command_count; /* QE_ITEM_COMMAND among the items */
	bool flushing;     /* libpq holds bytes the socket did not take */

	uint64 settings;              /* fingerprint of what it was told; 0: unknown */
	char begin[QE_BEGIN_MAX][96]; /* statements to send in front of the next command */
	int begin_count;
	int level;       /* nest level of the QD's transaction that it has reached; 0: none */
	bool begun;      /* BEGIN was sent */
	bool writes;     /* in this transaction */
	bool prepared;   /* PREPARE TRANSACTION succeeded there */
	bool committing; /* COMMIT was sent, so that a loss leaves the outcome open */
	bool lost;       /* its transaction went with the connection */
	bool broken;     /* the connection went while somebody waited for a result */
	bool stopping;   /* what is in flight is to end, in an abort */
	bool doomed;     /* to be closed when its results are taken: its state is unknown */
	char lost_message[256];

	QeCopy copy;
	uint64 copy_rows;
	uint64 unsent; /* bytes put since nothing was under way */

	struct QeFirst *first; /* sent first in this transaction; NULL: has been answered */
	bool ended_idle;       /* it has begun nothing of that */

	struct HTAB *statements; /* prepared there, by the hash of text and types */
	PGresult *current;       /* handed to a callback now, which may throw */

	PGresult *error; /* first of the commands in flight */
	TimestampTz error_time;
	bool quiet;   /* NOTICEs are not passed on */
	int wait_pos; /* of its socket in the set of qe_wait.c */
} Qe;

/* gang.c: all of the session; count is 0 before the first require. */
extern Qe *qe_array;
extern int qe_count;

/* Waits until no command is in flight there. */
extern void qe_make_free(Qe *qe);

/* ---- connect.c ---- */
extern int qe_connect_timeout; /* seconds; GUC sluice.segment_connect_timeout */
extern void qe_connect(const Bitmapset *contents);
extern void qe_close(Qe *qe);

/* Parameters as libpq takes them. */
#define QE_PARAMS_MAX 16
typedef struct QeParams {
	Oid types[QE_PARAMS_MAX];
	const char *values[QE_PARAMS_MAX];
	int lengths[QE_PARAMS_MAX];
	int formats[QE_PARAMS_MAX];
} QeParams;
extern void qe_params_split(QeParams *ret, const Qe *qe, const MppParam *params, int count);

/* ---- qe.c: what never throws, and may be called in an abort ---- */
extern bool qe_send(Qe *qe, QeItemKind kind, const char *sql, int param_count,
                    const MppParam *params, mpp_gang_result result, void *ctx);
extern bool qe_item_push(Qe *qe, QeItemKind kind, bool by_row, mpp_gang_result result, void *ctx);
extern bool qe_send_begin(Qe *qe);
extern bool qe_sync(Qe *qe);
extern void qe_take(Qe *qe);
/* Of an idle connection: whether it is still there. */
extern void qe_look(Qe *qe);
extern bool qe_is_ending(const Qe *qe);
/* What was sent last is told its result whatever happens. ctx must last. */
extern void qe_keep_result(Qe *qe);
extern void qe_forget_results(Qe *qe);

/* Closes what has failed, keeping libpq's message; returns qe. */
extern Qe *qe_lose(Qe *qe);

/* A statement that stays prepared there. types are those of the parameters. Results
 * come row by row. */
typedef struct QeStatement {
	const char *sql;
	uint64 hash; /* of sql, types, and what else must be equal */
	int param_count;
	const Oid *types;
	const char *const *values;
	const int *lengths;
	const int *formats;
	int result_format;
} QeStatement;

/* ---- proof.c ---- */
/* Compute the secret of a connection whose QE has given this nonce. */
extern void qe_prove(Qe *qe, const char *nonce);

/* ---- resend.c ---- */
/* Keep what is to be sent if it is the first in its transaction, with what waits in
 * begin. Without memory it is not kept. */
extern void qe_first_keep(Qe *qe, const QeStatement *statement, bool by_row, mpp_gang_result result,
                          void *ctx);
extern void qe_first_drop(Qe *qe);
/* To a new QE, when ended_idle; throws. */
extern void qe_resend(Qe *qe);
/* Sending has failed: resend, or throw. */
extern void qe_send_failed(Qe *qe);
/* Connect again if it was closed with nothing begun; throws. */
extern void qe_reopen(Qe *qe);
extern void qe_resend_init(void);

/* ---- statements.c ---- */
extern void qe_statement_send(Qe *qe, const QeStatement *statement, mpp_gang_result result,
                              void *ctx);
extern void qe_statements_forget(Qe *qe);

/* ---- copy.c ---- */
extern char *qe_copy_context(int content, const char *context);
extern void qe_copy_abort(int timeout_ms);

/* ---- qe_wait.c ---- */
/* Sleep until a connection can go on, the latch is set or timeout_ms is over. */
extern void qe_wait(long timeout_ms);
extern void qe_wait_changed(void); /* connections were opened or closed */
extern void qe_wait_reset(void);   /* qe_array is made anew */
/* Of those with stopping set: cancel what runs; take its results, at most until the
 * deadline: a connection that does not answer is closed. Throw nothing, take no
 * interrupts. */
extern void qe_cancel(int timeout_ms);
extern void qe_drain(int timeout_ms);

/* ---- settings.c ---- */
extern uint64 qe_settings_fingerprint(void);
extern bool qe_settings_send(Qe *qe, uint64 fingerprint);
extern void qe_settings_answer(Qe *qe, const PGresult *result);

/* ---- error.c ---- */
extern bool qe_error_is_secondary(const PGresult *result);
extern void qe_throw(Qe *qe) pg_attribute_noreturn();
extern void qe_throw_lost(Qe *qe) pg_attribute_noreturn();
extern void qe_notice(void *qe, const PGresult *result);
extern void qe_notices_flush(void);

#endif
