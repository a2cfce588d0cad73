/* SPDX-License-Identifier: Apache-2.0 */
/*
 * offer.c - agreeing with a standby on a stream. PostgreSQL has decided already that
 * this client may replicate; the token it gets here is what opens the stream. In the
 * physical walsender of that standby only, for anybody else the words show nothing.
 */
#include <postgres.h>

#include <access/timeline.h>
#include <access/xlog.h>
#include <access/xlogrecovery.h>
#include <miscadmin.h>
#include <nodes/pg_list.h>
#include <pgstat.h>
#include <replication/walreceiver.h>
#include <replication/walsender.h>
#include <storage/ipc.h>
#include <storage/latch.h>
#include <utils/memutils.h>

#include "walstream/pg/attach.h"
#include "walstream/pg/primary/primary.h"
#include "walstream/pg/terms.h"

#include <errno.h>

#define RENDEZVOUS_NS UINT64_C(10000000000)

/* A stream that was offered and not yet accepted. */
static slu_endpoint *endpoint;
static slu_walsender *sender;
static char peer[TERMS_NODE_BYTES];
static List *history; /* of this server's timeline, for timeline_end() */

static char answer[TERMS_TEXT_BYTES + WALPG_REASON_BYTES];

static const char *refuse(const char *reason)
{
	snprintf(answer, sizeof(answer), "no %s", reason);
	return answer;
}

static void withdraw(void)
{
	slu_walsender_close(sender);
	sender = NULL;
	slu_endpoint_detach(endpoint);
	endpoint = NULL;
	stream_drop();
}

/* Whatever ends this process, the agent is to see that it left in order. */
static void withdraw_at_exit(int code, Datum arg)
{
	withdraw();
}

/* Where an older timeline of this server ended. PostgreSQL has read its history before:
 * nothing here may raise an error, a transport's frame is above. */
static int timeline_end(void *context, uint32_t timeline, uint64_t *ret_end_lsn,
                        uint32_t *ret_next_timeline)
{
	TimeLineID next = 0;

	if (!tliInHistory(timeline, history))
		return -ESTALE;
	*ret_end_lsn = tliSwitchPoint(timeline, history, &next);
	*ret_next_timeline = next;
	return 0;
}

/* Up to where this server can send now. */
static XLogRecPtr end_of_log(TimeLineID *ret_timeline)
{
	XLogRecPtr replayed_lsn, received_lsn;
	TimeLineID received_timeline;

	if (!RecoveryInProgress())
		return GetFlushRecPtr(ret_timeline);
	received_lsn = GetWalRcvFlushRecPtr(NULL, &received_timeline);
	replayed_lsn = GetXLogReplayRecPtr(ret_timeline);
	return received_timeline == *ret_timeline ? Max(received_lsn, replayed_lsn) : replayed_lsn;
}

static void history_read(TimeLineID timeline)
{
	MemoryContext caller = MemoryContextSwitchTo(TopMemoryContext);

	list_free_deep(history);
	history = readTimeLineHistory(timeline);
	MemoryContextSwitchTo(caller);
}

static int sender_open(const struct terms_wish *wish, bool encrypted, struct terms_offer *ret_offer)
{
	TimeLineID timeline;
	struct slu_walsender_options options = {
	        .stream = {.cluster = wish->cluster,
	                   .destination = 1,
	                   .peer = wish->node,
	                   .rendezvous_timeout_ns = RENDEZVOUS_NS,
	                   .encrypted = encrypted},
	        .source = {.read = stream_read, .timeline = timeline_end},
	        .system_id = GetSystemIdentifier(),
	        /* The walreceiver takes what it has for whole records up to the end of a page. */
	        .cut_bytes = XLOG_BLCKSZ,
	        .keepalive_ns = SLU_WAL_LSN_MAX / 2, /* PostgreSQL has its own */
	};

	options.end_lsn = end_of_log(&timeline);
	options.timeline = timeline;
	history_read(timeline);
	ret_offer->version = TERMS_VERSION;
	strlcpy(ret_offer->node, slu_endpoint_node(endpoint), sizeof(ret_offer->node));
	if (!pg_strong_random(&ret_offer->stream, sizeof(ret_offer->stream)) ||
	    !pg_strong_random(&ret_offer->token, sizeof(ret_offer->token)))
		return -EIO;
	options.stream.stream = ret_offer->stream;
	options.stream.token = ret_offer->token;
	return slu_walsender_open(endpoint, &options, slu_now_ns(), &sender);
}

/* Whether this process serves a standby that has wished for a stream; a refusal if the
 * wish cannot be met. */
static bool wish_read(struct terms_wish *ret_wish, const char **ret_refusal)
{
	static char reason[WALPG_REASON_BYTES];

	*ret_refusal = "";
	if (!am_walsender || am_db_walsender)
		return false;
	if (!terms_wish_read(walpg_wish, ret_wish))
		*ret_refusal = refuse("the standby gave no valid sluice.walstream_standby");
	else if (ret_wish->version != TERMS_VERSION) {
		snprintf(reason, sizeof(reason),
		         "the standby's module speaks version %u, the primary's version %u",
		         ret_wish->version, TERMS_VERSION);
		*ret_refusal = refuse(reason);
	} else if (walpg_module.settings->mode == WALPG_OFF)
		*ret_refusal = refuse("sluice.walstream is off on the primary");
	else
		return true;
	return false;
}

/* Why sender_open() failed. */
static const char *sender_refuse(int result)
{
	const char *why = slu_endpoint_error(endpoint);

	if (result == -EMSGSIZE)
		return refuse("the frames of the agent's arena are too small for a page of WAL");
	if (!why[0])
		why = strerror(-result);
	if (result == -ENOKEY)
		return refuse(psprintf("%s demands an encrypted connection, and %s",
		                       walpg_encryption_demanded ? "pg_hba.conf of the primary"
		                                                 : "primary_conninfo",
		                       why));
	return refuse(psprintf("on the primary: %s", why));
}

/* encrypted: the standby wants nobody on the network to read its stream. */
static const char *offer(bool encrypted)
{
	char reason[WALPG_REASON_BYTES];
	struct terms_wish wish;
	struct terms_offer terms;
	const char *refusal;
	static bool at_exit;
	uint64_t cluster;
	int r;

	if (!wish_read(&wish, &refusal))
		return refusal;
	if (!at_exit)
		before_shmem_exit(withdraw_at_exit, 0);
	at_exit = true;
	withdraw();
	endpoint = walpg_attach(walpg_module.settings, "walsender", &cluster, reason);
	if (!endpoint)
		return refuse(psprintf("on the primary: %s", reason));
	if (cluster != wish.cluster)
		return refuse(psprintf("the standby's cluster id is " UINT64_FORMAT
		                       ", the primary's " UINT64_FORMAT,
		                       wish.cluster, cluster));
	r = sender_open(&wish, encrypted || walpg_encryption_demanded, &terms);
	if (r < 0)
		return sender_refuse(r);
	strlcpy(peer, wish.node, sizeof(peer));
	terms_offer_write(&terms, answer);
	return answer;
}

const char *offer_show(void)
{
	return offer(false);
}

const char *offer_encrypted_show(void)
{
	return offer(true);
}

/* Until the standby's end has come and was welcomed. NULL, or why it was not. */
static const char *wait_for_standby(void)
{
	uint64_t deadline_ns = slu_now_ns() + WALPG_ANSWER_NS;

	for (;;) {
		uint64_t now_ns = slu_now_ns();
		int r = slu_walsender_process(sender, now_ns);

		if (r != SLU_OK)
			return r < 0 ? slu_walsender_error(sender) : "the standby has left";
		if (slu_walsender_status(sender)->frames)
			return NULL;
		if (now_ns >= deadline_ns)
			return "the standby's end of the stream did not come in time";
		if (slu_endpoint_arm(endpoint) == 0)
			WaitLatchOrSocket(MyLatch,
			                  WL_LATCH_SET | WL_SOCKET_READABLE | WL_TIMEOUT |
			                          WL_EXIT_ON_PM_DEATH,
			                  slu_endpoint_fd(endpoint),
			                  (long)((deadline_ns - now_ns) / 1000000) + 1,
			                  PG_WAIT_EXTENSION);
		slu_endpoint_disarm(endpoint);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
}

const char *accept_show(void)
{
	const char *reason;

	if (!am_walsender || am_db_walsender)
		return "";
	if (!sender)
		return refuse("there is no offer");
	reason = wait_for_standby();
	if (reason) {
		refuse(reason);
		withdraw();
		return answer;
	}
	stream_prepare(endpoint, sender, peer);
	endpoint = NULL;
	sender = NULL;
	return "ok";
}

const char *decline_show(void)
{
	if (!am_walsender || am_db_walsender)
		return "";
	withdraw();
	return "ok";
}
