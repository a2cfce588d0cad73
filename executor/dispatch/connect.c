/* SPDX-License-Identifier: Apache-2.0 */
/*
 * connect.c - opening connections to QEs, several at once, under one deadline.
 */
#include <postgres.h>

#include <commands/dbcommands.h>
#include <mb/pg_wchar.h>
#include <miscadmin.h>
#include <storage/latch.h>
#include <utils/timestamp.h>
#include <utils/wait_event.h>

#include "executor/catalog/cluster.h"
#include "executor/catalog/identity.h"
#include "executor/dispatch/qe.h"

/* Pause before a server that starts is tried again. */
#define RETRY_MS 50

int qe_connect_timeout = 30;

void qe_close(Qe *qe)
{
	if (qe->conn == NULL)
		return;
	PQfinish(qe->conn);
	qe->conn = NULL;
	qe->lost = qe->lost || (qe->begun && !qe->ended_idle);
	qe->begun = qe->begun && !qe->ended_idle;
	qe->item_count = qe->command_count = 0;
	qe->flushing = qe->doomed = false;
	qe->settings = 0;
	qe->cancel_key = 0;
	qe_statements_forget(qe);
	qe_wait_changed();
}

enum { OPTION_COUNT = 8 };

typedef struct Options {
	const char *keywords[OPTION_COUNT + 1];
	const char *values[OPTION_COUNT + 1];
	char port[16];
	char settings[256];
} Options;

static void options_make(Options *options, const MppSegment *segment)
{
	snprintf(options->port, sizeof(options->port), "%d", segment->port);
	/* The QD keeps the time; a QE only notices when its QD is gone. */
	snprintf(options->settings, sizeof(options->settings),
	         "-c sluice.session_role=execute"
	         " -c statement_timeout=0 -c idle_session_timeout=0"
	         " -c idle_in_transaction_session_timeout=0"
	         " -c client_connection_check_interval=1000");
	memcpy(options->keywords,
	       ((const char *[]){"host", "port", "dbname", "user", "options", "application_name",
	                         "client_encoding", "connect_timeout", NULL}),
	       sizeof(options->keywords));
	memcpy(options->values,
	       ((const char *[]){segment->address, options->port, get_database_name(MyDatabaseId),
	                         GetUserNameFromId(GetAuthenticatedUserId(), false),
	                         options->settings, "sluice", GetDatabaseEncodingName(), "2",
	                         NULL}),
	       sizeof(options->values));
}

static void qe_start(Qe *qe, const MppSegment *segment)
{
	Options options;

	snprintf(qe->name, sizeof(qe->name), "segment %d (%s:%d)", segment->content,
	         segment->address, segment->port);
	options_make(&options, segment);
	qe->conn = PQconnectStartParams(options.keywords, options.values, 0);
	if (qe->conn == NULL)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
}

/* Whether the server only could not take connections yet: it starts, or recovers
 * from the crash of a process. libpq keeps the SQLSTATE to itself, but has a call
 * that looks at it. If that says the server is ready, it may have become so just
 * now: once more is worth it. */
static bool server_is_starting(const MppSegment *segment, bool *ready_before)
{
	Options options;
	PGPing ping;

	options_make(&options, segment);
	ping = PQpingParams(options.keywords, options.values, 0);
	if (ping == PQPING_OK && !*ready_before) {
		*ready_before = true;
		return true;
	}
	return ping == PQPING_REJECT;
}

static void connect_throw(Qe *qe)
{
	char *detail = pchomp(PQerrorMessage(qe->conn));

	PQfinish(qe->conn);
	qe->conn = NULL;
	ereport(ERROR,
	        (errcode(ERRCODE_SQLCLIENT_UNABLE_TO_ESTABLISH_SQLCONNECTION),
	         errmsg("could not connect to %s", qe->name), errdetail_internal("%s", detail)));
}

static void connect_ready(Qe *qe)
{
	if (PQsetnonblocking(qe->conn, 1) != 0 || PQenterPipelineMode(qe->conn) != 1)
		connect_throw(qe);
	PQsetNoticeReceiver(qe->conn, qe_notice, qe);
	qe->pid = PQbackendPID(qe->conn);
	qe->lost = qe->broken = qe->doomed = false;
}

typedef struct Waiting {
	Qe *qe;
	const MppSegment *segment;
	PostgresPollingStatusType polling;
	bool ready;
	bool ready_before; /* it took connections after a failure */
	bool asked;        /* it is connected, and to say what it is */
} Waiting;

/* Sleeps until some are ready: a connection that is not must not be polled. */
static void connect_sleep(Waiting *waiting, int count, TimestampTz deadline)
{
	WaitEventSet *set = CreateWaitEventSet(CurrentMemoryContext, count + 2);
	WaitEvent events[16];
	long timeout_ms = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), deadline);
	int event_count;

	AddWaitEventToSet(set, WL_LATCH_SET, PGINVALID_SOCKET, MyLatch, NULL);
	AddWaitEventToSet(set, WL_EXIT_ON_PM_DEATH, PGINVALID_SOCKET, NULL, NULL);
	for (int i = 0; i < count; i++) {
		if (PQsocket(waiting[i].qe->conn) < 0)
			timeout_ms = 0; /* it has failed already */
		else
			AddWaitEventToSet(set,
			                  waiting[i].polling == PGRES_POLLING_READING
			                          ? WL_SOCKET_READABLE
			                          : WL_SOCKET_WRITEABLE,
			                  PQsocket(waiting[i].qe->conn), NULL, &waiting[i]);
	}
	event_count =
	        WaitEventSetWait(set, timeout_ms, events, lengthof(events), PG_WAIT_EXTENSION);
	for (int i = 0; i < event_count; i++)
		if (events[i].user_data != NULL)
			((Waiting *)events[i].user_data)->ready = true;
	FreeWaitEventSet(set);
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
	if (event_count == 0 && GetCurrentTimestamp() >= deadline)
		ereport(ERROR, (errcode(ERRCODE_SQLCLIENT_UNABLE_TO_ESTABLISH_SQLCONNECTION),
		                errmsg("could not connect to %s", waiting[0].qe->name),
		                errdetail("No answer within %d seconds.", qe_connect_timeout),
		                errhint("See sluice.segment_connect_timeout.")));
}

/* The first thing that is sent: is it what it should be? */
static void identity_ask(Waiting *waiting)
{
	if (PQsendQuery(waiting->qe->conn, "SELECT sluice.node_identity(), sluice.qe_nonce()") != 1)
		connect_throw(waiting->qe);
	waiting->asked = true;
	waiting->polling = PGRES_POLLING_READING;
}

/* Whether it has said so. */
static bool identity_take(Waiting *waiting)
{
	Qe *qe = waiting->qe;
	PGresult *result;
	char *answer = NULL, *nonce;

	if (PQconsumeInput(qe->conn) != 1)
		connect_throw(qe);
	if (PQisBusy(qe->conn))
		return false;
	result = PQgetResult(qe->conn);
	if (PQresultStatus(result) == PGRES_TUPLES_OK) {
		answer = pstrdup(PQgetvalue(result, 0, 0));
		nonce = pstrdup(PQgetvalue(result, 0, 1));
	}
	PQclear(result);
	if (answer == NULL)
		connect_throw(qe);
	/* The end of the command comes with its result. */
	while ((result = PQgetResult(qe->conn)) != NULL)
		PQclear(result);
	mpp_identity_check(qe->name, waiting->segment->content, answer);
	qe_prove(qe, nonce);
	return true;
}

/* Whether it is open now. */
static bool connect_step(Waiting *waiting, TimestampTz deadline)
{
	Qe *qe = waiting->qe;

	if (waiting->asked) {
		if (!identity_take(waiting))
			return false;
		connect_ready(qe);
		return true;
	}
	waiting->polling = PQconnectPoll(qe->conn);
	if (waiting->polling == PGRES_POLLING_OK) {
		identity_ask(waiting);
		return false;
	}
	if (waiting->polling != PGRES_POLLING_FAILED)
		return false;
	if (GetCurrentTimestamp() >= deadline ||
	    !server_is_starting(waiting->segment, &waiting->ready_before))
		connect_throw(qe);
	PQfinish(qe->conn);
	qe->conn = NULL;
	(void)WaitLatch(MyLatch, WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, RETRY_MS, PG_WAIT_EXTENSION);
	CHECK_FOR_INTERRUPTS();
	qe_start(qe, waiting->segment);
	waiting->polling = PGRES_POLLING_WRITING;
	waiting->ready = PQsocket(qe->conn) < 0;
	return false;
}

static void connect_all(Waiting *waiting, int count)
{
	TimestampTz deadline =
	        TimestampTzPlusMilliseconds(GetCurrentTimestamp(), qe_connect_timeout * 1000L);

	while (count > 0) {
		connect_sleep(waiting, count, deadline);
		for (int i = count - 1; i >= 0; i--) {
			if (!waiting[i].ready)
				continue;
			waiting[i].ready = false;
			if (connect_step(&waiting[i], deadline))
				waiting[i] = waiting[--count];
		}
	}
}

static void close_half_open(Qe *qe)
{
	if (qe->conn == NULL || PQpipelineStatus(qe->conn) != PQ_PIPELINE_OFF)
		return;
	PQfinish(qe->conn);
	qe->conn = NULL;
}

void qe_connect(const Bitmapset *contents)
{
	const MppCluster *cluster = mpp_cluster_get();
	Waiting *waiting = palloc(qe_count * sizeof(Waiting));
	int count = 0;
	int content = -1;

	PG_TRY();
	{
		while ((content = bms_next_member(contents, content)) >= 0) {
			Qe *qe = &qe_array[content];

			if (qe->conn != NULL)
				continue;
			qe_start(qe, &cluster->segments[content]);
			waiting[count++] = (Waiting){.qe = qe,
			                             .segment = &cluster->segments[content],
			                             .polling = PGRES_POLLING_WRITING,
			                             .ready = PQsocket(qe->conn) < 0};
		}
		connect_all(waiting, count);
	}
	PG_CATCH();
	{
		content = -1;
		while ((content = bms_next_member(contents, content)) >= 0)
			close_half_open(&qe_array[content]);
		PG_RE_THROW();
	}
	PG_END_TRY();
	qe_wait_changed();
	pfree(waiting);
}
