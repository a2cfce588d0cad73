/* SPDX-License-Identifier: Apache-2.0 */
/* negotiate.c - agreeing with the primary on a stream, on the connection that it has
 * authenticated; terms.h has the words. */
#include <postgres.h>

#include <access/xlog.h>
#include <lib/stringinfo.h>
#include <miscadmin.h>
#include <pgstat.h>
#include <storage/latch.h>

#include "walstream/pg/standby/standby.h"
#include "walstream/pg/terms.h"

#include <libpq-fe.h>

#define RENDEZVOUS_NS UINT64_C(10000000000)

/* ---- the wish ------------------------------------------------------------------ */

static void conninfo_append(StringInfo conninfo, const char *keyword, const char *value)
{
	appendStringInfo(conninfo, "%s='", keyword);
	for (; *value; value++) {
		if (*value == '\'' || *value == '\\')
			appendStringInfoChar(conninfo, '\\');
		appendStringInfoChar(conninfo, *value);
	}
	appendStringInfoString(conninfo, "' ");
}

/* A setting in libpq's "options": spaces and backslashes are escaped there. */
static void options_append(StringInfo options, const char *value)
{
	appendStringInfoString(options, " -c sluice.walstream_standby=");
	for (; *value; value++) {
		if (*value == ' ' || *value == '\\')
			appendStringInfoChar(options, '\\');
		appendStringInfoChar(options, *value);
	}
}

char *negotiate_conninfo(const char *conninfo)
{
	struct terms_wish wish = {.version = TERMS_VERSION, .cluster = standby.cluster};
	PQconninfoOption *given = PQconninfoParse(conninfo, NULL);
	char text[TERMS_TEXT_BYTES];
	StringInfoData wished, options;

	if (!given)
		return pstrdup(conninfo); /* libpq will say what is wrong */
	initStringInfo(&wished);
	initStringInfo(&options);
	for (PQconninfoOption *option = given; option->keyword; option++) {
		if (!option->val)
			continue;
		if (strcmp(option->keyword, "options") == 0)
			appendStringInfoString(&options, option->val);
		else
			conninfo_append(&wished, option->keyword, option->val);
	}
	PQconninfoFree(given);
	strlcpy(wish.node, slu_endpoint_node(standby.endpoint), sizeof(wish.node));
	terms_wish_write(&wish, text);
	options_append(&options, text);
	conninfo_append(&wished, "options", options.data);
	pfree(options.data);
	return wished.data;
}

/* ---- words --------------------------------------------------------------------- */

/* Until a result is there, or signals say otherwise. */
static PGresult *result_wait(PGconn *libpq)
{
	while (PQisBusy(libpq)) {
		int events = WaitLatchOrSocket(
		        MyLatch, WL_EXIT_ON_PM_DEATH | WL_LATCH_SET | WL_SOCKET_READABLE,
		        PQsocket(libpq), -1, PG_WAIT_EXTENSION);

		if (events & WL_LATCH_SET) {
			ResetLatch(MyLatch);
			ProcessWalRcvInterrupts();
		}
		if ((events & WL_SOCKET_READABLE) && !PQconsumeInput(libpq))
			return NULL;
	}
	return PQgetResult(libpq);
}

static void reason_of_result(PGconn *libpq, const PGresult *result, const char *word,
                             char *ret_reason)
{
	const char *state = result ? PQresultErrorField(result, PG_DIAG_SQLSTATE) : NULL;
	const char *text = result ? PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY) : NULL;

	if (state && strcmp(state, "42704") == 0) /* undefined_object */
		strlcpy(ret_reason, "the primary has not loaded sluice_walstream",
		        WALPG_REASON_BYTES);
	else
		snprintf(ret_reason, WALPG_REASON_BYTES, "SHOW %s: %s", word,
		         text ? text : PQerrorMessage(libpq));
}

/* Say a word to the primary. What it answers, palloc'd; NULL: see ret_reason. */
static char *say(PGconn *libpq, const char *word, char *ret_reason)
{
	char *query = psprintf("SHOW %s", word);
	char *answer = NULL;
	PGresult *result, *more;

	if (!PQsendQuery(libpq, query)) {
		snprintf(ret_reason, WALPG_REASON_BYTES, "%s", PQerrorMessage(libpq));
		return NULL;
	}
	result = result_wait(libpq);
	if (result && PQresultStatus(result) == PGRES_TUPLES_OK && PQntuples(result) == 1)
		answer = pstrdup(PQgetvalue(result, 0, 0));
	else
		reason_of_result(libpq, result, word, ret_reason);
	PQclear(result);
	while ((more = result_wait(libpq)))
		PQclear(more);
	pfree(query);
	return answer;
}

static void decline(void)
{
	char reason[WALPG_REASON_BYTES];

	say(standby.libpq, "sluice.walstream_decline",
	    reason); /* what follows tells if it was not heard */
}

/* ---- the stream ------------------------------------------------------------------ */

static bool option_demands(const PQconninfoOption *option)
{
	if (!option->val)
		return false;
	if (strcmp(option->keyword, "gssencmode") == 0)
		return strcmp(option->val, "require") == 0;
	return strcmp(option->keyword, "sslmode") == 0 &&
	       (strcmp(option->val, "require") == 0 || strncmp(option->val, "verify-", 7) == 0);
}

/* Then the stream is to be, too: the agents of both hosts see to that. */
static bool encryption_is_demanded(PGconn *libpq)
{
	PQconninfoOption *options = PQconninfo(libpq);
	bool demanded = false;

	for (PQconninfoOption *option = options; option && option->keyword; option++)
		demanded |= option_demands(option);
	PQconninfoFree(options);
	return demanded;
}

/* What the primary answers who wants a stream, as say(). */
static char *offer_ask(PGconn *libpq, char *ret_reason)
{
	return say(libpq,
	           encryption_is_demanded(libpq) ? "sluice.walstream_offer_encrypted"
	                                         : "sluice.walstream_offer",
	           ret_reason);
}

static bool offer_read(const char *answer, struct terms_offer *ret_offer, char *ret_reason)
{
	const char *refusal = terms_refusal(answer);

	if (refusal)
		strlcpy(ret_reason, refusal, WALPG_REASON_BYTES);
	else if (!terms_offer_read(answer, ret_offer))
		strlcpy(ret_reason, "the primary's offer is not understood", WALPG_REASON_BYTES);
	else if (ret_offer->version != TERMS_VERSION)
		snprintf(ret_reason, WALPG_REASON_BYTES,
		         "the primary's module speaks version %u, the standby's version %u",
		         ret_offer->version, TERMS_VERSION);
	else
		return true;
	return false;
}

static bool receiver_open(const struct terms_offer *offer, const WalRcvStreamOptions *stream,
                          char *ret_reason)
{
	struct slu_walreceiver_options options = {
	        .stream = {.cluster = standby.cluster,
	                   .stream = offer->stream,
	                   .destination = 1,
	                   .token = offer->token,
	                   .peer = offer->node,
	                   .rendezvous_timeout_ns = RENDEZVOUS_NS,
	                   .encrypted = encryption_is_demanded(standby.libpq)},
	        .name = standby.name,
	        .system_id = GetSystemIdentifier(),
	        .timeline = stream->proto.physical.startpointTLI,
	        .start_lsn = stream->startpoint,
	        .status_ns = SLU_WAL_LSN_MAX / 2, /* PostgreSQL has its own */
	};
	int r = slu_walreceiver_open(standby.endpoint, &options, slu_now_ns(), &standby.receiver);

	if (r < 0) {
		const char *why = slu_endpoint_error(standby.endpoint);

		snprintf(ret_reason, WALPG_REASON_BYTES, "%s", why[0] ? why : strerror(-r));
	}
	return r == 0;
}

/* The primary has heard this side; until it is heard here, too. */
static bool welcome_wait(char *ret_reason)
{
	uint64_t deadline_ns = slu_now_ns() + WALPG_ANSWER_NS;

	for (;;) {
		uint64_t now_ns = slu_now_ns();
		struct slu_wal_chunk chunk;
		int r = slu_walreceiver_next(standby.receiver, now_ns, &chunk);

		standby.at_end = r == SLU_WAL_TIMELINE_END; /* there was no log at all */
		if (standby.at_end || slu_walreceiver_status(standby.receiver)->streaming)
			return true;
		if (r < 0 || now_ns >= deadline_ns) {
			snprintf(ret_reason, WALPG_REASON_BYTES, "%s",
			         r < 0 ? slu_walreceiver_error(standby.receiver)
			               : "nothing was heard from the primary's end in time");
			return false;
		}
		slu_walreceiver_process(standby.receiver, now_ns);
		if (slu_endpoint_arm(standby.endpoint) == 0)
			WaitLatchOrSocket(MyLatch,
			                  WL_EXIT_ON_PM_DEATH | WL_LATCH_SET | WL_SOCKET_READABLE |
			                          WL_TIMEOUT,
			                  slu_endpoint_fd(standby.endpoint),
			                  (long)((deadline_ns - now_ns) / 1000000) + 1,
			                  PG_WAIT_EXTENSION);
		slu_endpoint_disarm(standby.endpoint);
		ResetLatch(MyLatch);
		ProcessWalRcvInterrupts();
	}
}

static bool accepted(char *ret_reason)
{
	char *answer = say(standby.libpq, "sluice.walstream_accept", ret_reason);
	const char *refusal;

	if (!answer)
		return false;
	refusal = terms_refusal(answer);
	if (refusal)
		strlcpy(ret_reason, refusal, WALPG_REASON_BYTES);
	else if (strcmp(answer, "ok") != 0)
		strlcpy(ret_reason, "the primary's answer is not understood", WALPG_REASON_BYTES);
	else
		return welcome_wait(ret_reason);
	return false;
}

bool negotiate_stream(const WalRcvStreamOptions *options, char *ret_reason)
{
	char *answer = offer_ask(standby.libpq, ret_reason);
	struct terms_offer offer;

	if (!answer)
		return false;
	if (offer_read(answer, &offer, ret_reason) && receiver_open(&offer, options, ret_reason) &&
	    accepted(ret_reason)) {
		const char *node = offer.node;
		bool remote = slu_walreceiver_status(standby.receiver)->remote;
		struct walpg_stat *stat = standby_stat();

		if (stat)
			walpg_stat_begin(stat, MyProcPid, walpg_driver(remote), node);
		ereport(LOG, (errmsg("streaming WAL over Sluice from node \"%s\" (%s)", node,
		                     walpg_driver(remote))));
		return true;
	}
	slu_walreceiver_close(standby.receiver);
	standby.receiver = NULL;
	decline();
	return false;
}

static bool probe(WalReceiverConn *conn)
{
	PGconn *libpq = standby_libpq(conn);
	char reason[WALPG_REASON_BYTES];
	struct terms_offer offer;
	char *answer;

	if (!libpq)
		return false;
	answer = offer_ask(libpq, reason);
	return answer && offer_read(answer, &offer, reason);
}

bool negotiate_probe(void)
{
	const struct walpg_module *module = standby_module();
	char reason[WALPG_REASON_BYTES], *wished, *error;
	WalReceiverConn *conn;
	bool offered;

	standby.endpoint = walpg_attach(module->settings, "walreceiver", &standby.cluster, reason);
	if (!standby.endpoint)
		return false;
	wished = negotiate_conninfo(standby.conninfo);
	conn = stock.walrcv_connect(wished, false, standby.name, &error);
	offered = conn && probe(conn);
	if (conn)
		stock.walrcv_disconnect(conn); /* takes back what was offered */
	pfree(wished);
	slu_endpoint_detach(standby.endpoint);
	standby.endpoint = NULL;
	return offered;
}
