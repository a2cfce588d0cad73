/* SPDX-License-Identifier: Apache-2.0 */
/*
 * error.c - errors and notices of QEs become those of the QD, with all their
 * fields and a context line that names the segment.
 */
#include <postgres.h>

#include <utils/elog.h>
#include <utils/memutils.h>

#include "executor/dispatch/qe.h"

static int sqlstate_parse(const char *s, int otherwise)
{
	return s != NULL && strlen(s) == 5 ? MAKE_SQLSTATE(s[0], s[1], s[2], s[3], s[4])
	                                   : otherwise;
}

static int result_sqlstate(const PGresult *result, int otherwise)
{
	return sqlstate_parse(PQresultErrorField(result, PG_DIAG_SQLSTATE), otherwise);
}

/* It may be only the echo of an error elsewhere. */
bool qe_error_is_secondary(const PGresult *result)
{
	int sqlstate = result_sqlstate(result, ERRCODE_INTERNAL_ERROR);

	return sqlstate == MPP_SQLSTATE_PEER_FAILED || sqlstate == ERRCODE_QUERY_CANCELED ||
	       ERRCODE_TO_CATEGORY(sqlstate) == ERRCODE_CONNECTION_EXCEPTION;
}

static char *result_field(const PGresult *result, int code)
{
	const char *s = PQresultErrorField(result, code);

	return s != NULL ? pstrdup(s) : NULL;
}

/* Takes the error of qe. */
void qe_throw(Qe *qe)
{
	PGresult *r = qe->error;
	int sqlstate = result_sqlstate(r, ERRCODE_INTERNAL_ERROR);
	char *message = result_field(r, PG_DIAG_MESSAGE_PRIMARY);
	char *detail = result_field(r, PG_DIAG_MESSAGE_DETAIL);
	char *hint = result_field(r, PG_DIAG_MESSAGE_HINT);
	const char *there = PQresultErrorField(r, PG_DIAG_CONTEXT);
	char *context = there != NULL ? qe_copy_context(qe->content, there) : NULL;
	char *query = result_field(r, PG_DIAG_INTERNAL_QUERY);
	char *position = result_field(r, PG_DIAG_INTERNAL_POSITION);
	char *schema = result_field(r, PG_DIAG_SCHEMA_NAME);
	char *table = result_field(r, PG_DIAG_TABLE_NAME);
	char *column = result_field(r, PG_DIAG_COLUMN_NAME);
	char *type = result_field(r, PG_DIAG_DATATYPE_NAME);
	char *constraint = result_field(r, PG_DIAG_CONSTRAINT_NAME);

	if (message == NULL)
		message = pchomp(PQresultErrorMessage(r));
	PQclear(r);
	qe->error = NULL;
	ereport(ERROR, (errcode(sqlstate), errmsg_internal("%s", message),
	                detail ? errdetail_internal("%s", detail) : 0,
	                hint ? errhint("%s", hint) : 0, context ? errcontext("%s", context) : 0,
	                errcontext("%s, process %d", qe->name, qe->pid),
	                query ? internalerrquery(query) : 0,
	                position ? internalerrposition(atoi(position)) : 0,
	                schema ? err_generic_string(PG_DIAG_SCHEMA_NAME, schema) : 0,
	                table ? err_generic_string(PG_DIAG_TABLE_NAME, table) : 0,
	                column ? err_generic_string(PG_DIAG_COLUMN_NAME, column) : 0,
	                type ? err_generic_string(PG_DIAG_DATATYPE_NAME, type) : 0,
	                constraint ? err_generic_string(PG_DIAG_CONSTRAINT_NAME, constraint) : 0));
}

void qe_throw_lost(Qe *qe)
{
	qe->broken = false;
	ereport(ERROR,
	        (errcode(qe->committing ? ERRCODE_TRANSACTION_RESOLUTION_UNKNOWN
	                                : ERRCODE_CONNECTION_FAILURE),
	         qe->committing
	                 ? errmsg("lost the connection to %s, which may have committed", qe->name)
	                 : errmsg("lost the connection to %s", qe->name),
	         qe->lost_message[0] ? errdetail_internal("%s", pchomp(qe->lost_message)) : 0));
}

/* ---- notices ---- */

/* libpq calls back in the middle of its work, where nothing may be thrown: notices
 * are kept until its caller has come back. */
enum { NOTICE_FIELDS = 5 };
static const int notice_fields[NOTICE_FIELDS] = {PG_DIAG_SQLSTATE, PG_DIAG_MESSAGE_PRIMARY,
                                                 PG_DIAG_MESSAGE_DETAIL, PG_DIAG_MESSAGE_HINT,
                                                 PG_DIAG_CONTEXT};

typedef struct Notice {
	struct Notice *next;
	const Qe *qe;
	int level;
	bool once; /* of a command that ran on all segments alike */
	char *fields[NOTICE_FIELDS];
} Notice;

static Notice *notices;

static bool severity_is(const PGresult *result, const char *severity)
{
	const char *s = PQresultErrorField(result, PG_DIAG_SEVERITY_NONLOCALIZED);

	return s != NULL && strcmp(s, severity) == 0;
}

static int notice_level(const PGresult *result)
{
	if (severity_is(result, "NOTICE"))
		return NOTICE;
	if (severity_is(result, "INFO"))
		return INFO;
	if (severity_is(result, "LOG"))
		return LOG;
	return severity_is(result, "DEBUG") ? DEBUG1 : WARNING;
}

static void notice_free(Notice *notice)
{
	for (int i = 0; i < NOTICE_FIELDS; i++)
		free(notice->fields[i]);
	free(notice);
}

static bool same(const char *a, const char *b)
{
	return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

void qe_notice(void *arg, const PGresult *result)
{
	Qe *qe = arg;
	int level = notice_level(result);
	Notice **end = &notices;
	Notice *notice;

	/* Said to an idle session: it ends, and the socket will tell. */
	if (severity_is(result, "FATAL"))
		qe->doomed = true;
	if (qe->doomed || qe_is_ending(qe) || (qe->quiet && level != WARNING))
		return;
	notice = calloc(1, sizeof(*notice));
	if (notice == NULL)
		return;
	*notice = (Notice){.qe = qe, .level = level, .once = qe->quiet};
	for (int i = 0; i < NOTICE_FIELDS; i++) {
		const char *s = PQresultErrorField(result, notice_fields[i]);

		notice->fields[i] = s != NULL ? strdup(s) : NULL;
	}
	for (; *end != NULL; end = &(*end)->next)
		if (notice->once && same((*end)->fields[1], notice->fields[1])) {
			notice_free(notice);
			return;
		}
	*end = notice;
}

static char *notice_field(const Notice *notice, int field)
{
	return notice->fields[field] != NULL ? pstrdup(notice->fields[field]) : NULL;
}

void qe_notices_flush(void)
{
	while (notices != NULL) {
		Notice *notice = notices;
		const Qe *qe = notice->qe;
		int level = notice->level;
		char *sqlstate = notice_field(notice, 0);
		char *message = notice_field(notice, 1);
		char *detail = notice_field(notice, 2);
		char *hint = notice_field(notice, 3);
		char *context = notice_field(notice, 4);

		notices = notice->next;
		notice_free(notice);
		ereport(level,
		        (errcode(sqlstate_parse(sqlstate, ERRCODE_WARNING)),
		         errmsg_internal("%s", message ? message : ""),
		         detail ? errdetail_internal("%s", detail) : 0,
		         hint ? errhint("%s", hint) : 0, context ? errcontext("%s", context) : 0,
		         errcontext("%s", qe->name)));
	}
}
