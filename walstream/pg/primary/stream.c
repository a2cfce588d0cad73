/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stream.c - the WAL of this walsender on a stream of Sluice. PostgreSQL's walsender
 * runs as ever; what it writes to its client goes through PqCommMethods, and while it
 * streams to a standby that agreed (offer.c), log and signs of life take this way:
 *
 *   'd' (log, keepalive)   the stream
 *   'N', 'S', flush        the socket
 *   'c' (no more log)      the end on the stream, and the socket
 *   'T', 'D', 'C', 'E', Z  the stream is over; the socket
 *
 * WalSndLoop() calls flush_if_writable() before it sleeps, which is where the standby
 * is heard, where a busy wait happens, and where the sleep is prepared.
 */
#include <postgres.h>

#include <libpq/libpq.h>
#include <miscadmin.h>
#include <pgstat.h>
#include <replication/walsender.h>
#include <replication/walsender_private.h>
#include <storage/ipc.h>
#include <storage/latch.h>
#include <utils/memutils.h>

#include "walstream/pg/attach.h"
#include "walstream/pg/crowd.h"
#include "walstream/pg/message.h"
#include "walstream/pg/primary/primary.h"
#include "walstream/pg/spin.h"

#define STALL_WAIT_MS 50

enum stage {
	STAGE_NONE,
	STAGE_READY,     /* the next CopyBothResponse begins it */
	STAGE_STREAMING, /* log goes to the stream */
	STAGE_ENDING,    /* no more log comes */
};

static enum stage stage;
static slu_endpoint *endpoint;
static slu_walsender *sender;
static const PQcommMethods *core; /* PostgreSQL's own */
static struct walpg_stat *counts;
static int result; /* of the sender, once it is not SLU_OK */

/* Log that PostgreSQL has handed over. During a call it lies in PostgreSQL's buffer;
 * what the standby gave no credit for is kept in spare. */
static const char *hand;
static XLogRecPtr hand_lsn;
static size_t hand_bytes;
static char *spare;
static size_t spare_bytes;

/* What WalSndLoop() sleeps on while streaming: FeBeWaitSet and the endpoint. */
static WaitEventSet *stream_waits;
static WaitEventSet *core_waits;
static bool armed;

static XLogRecPtr engine_end;   /* of the log, as PostgreSQL said with what it handed over */
static struct spin answer_spin; /* for a wait while the standby has something to answer */
static struct spin work_spin;   /* for a wait while it has not: for log */
static struct spin *waiting;    /* the wait that goes on; NULL: none */
static uint64_t waiting_since;  /* progress() when it began */

/* ---- the log ------------------------------------------------------------------ */

int stream_read(void *context, uint32_t timeline, uint64_t lsn, void *data, size_t size_bytes,
                size_t *ret_size_bytes)
{
	uint64_t skip_bytes = lsn - hand_lsn;

	if (lsn < hand_lsn || skip_bytes >= hand_bytes)
		return SLU_AGAIN;
	*ret_size_bytes = Min(size_bytes, hand_bytes - skip_bytes);
	memcpy(data, hand + skip_bytes, *ret_size_bytes);
	return SLU_OK;
}

static XLogRecPtr hand_end(void)
{
	return hand_lsn + hand_bytes;
}

static bool has_backlog(void)
{
	return result == SLU_OK && hand_bytes &&
	       slu_walsender_status(sender)->sent_lsn < hand_end();
}

/* Send and hear what there is. */
static void process(uint64_t now_ns)
{
	if (result == SLU_OK)
		result = slu_walsender_process(sender, now_ns);
	if (result == SLU_OK && !has_backlog())
		hand_bytes = 0;
}

/* Keep what was not sent beyond the call that handed it over. */
static void keep_backlog(void)
{
	XLogRecPtr sent_lsn = slu_walsender_status(sender)->sent_lsn;
	size_t left_bytes;

	if (!has_backlog())
		return;
	left_bytes = hand_end() - sent_lsn;
	if (spare_bytes < left_bytes) {
		spare = spare ? repalloc(spare, left_bytes)
		              : MemoryContextAlloc(TopMemoryContext, left_bytes);
		spare_bytes = left_bytes;
	}
	memmove(spare, hand + (sent_lsn - hand_lsn), left_bytes);
	hand = spare;
	hand_lsn = sent_lsn;
	hand_bytes = left_bytes;
}

static void take_log(const char *message, size_t size_bytes)
{
	uint64_t now_ns = slu_now_ns();
	XLogRecPtr lsn = message_number(message + MESSAGE_LOG_START);
	XLogRecPtr end_lsn = message_number(message + MESSAGE_LOG_END);

	/* PostgreSQL sends no more before a backlog is gone; were it otherwise, a gap
	 * would be a broken stream. */
	if (has_backlog() || lsn != slu_walsender_status(sender)->sent_lsn) {
		if (result == SLU_OK)
			result = -EPROTO;
		return;
	}
	hand = message + MESSAGE_LOG_HEADER;
	hand_lsn = lsn;
	hand_bytes = size_bytes - MESSAGE_LOG_HEADER;
	slu_walsender_advance(sender, Max(end_lsn, hand_end()));
	engine_end = end_lsn;
	feedback_sent(end_lsn, now_ns);
	process(now_ns);
	keep_backlog();
}

static void take_message(const char *message, size_t size_bytes)
{
	if (result != SLU_OK)
		return;
	if (message[0] == 'w' && size_bytes > MESSAGE_LOG_HEADER)
		take_log(message, size_bytes);
	else if (message[0] == 'k' && size_bytes > MESSAGE_PING_ASK) {
		slu_walsender_ping(sender, message[MESSAGE_PING_ASK] != 0);
		process(slu_now_ns());
	}
}

/* ---- beginning and end ----------------------------------------------------------- */

static void use_core_waits(void)
{
	if (armed)
		slu_endpoint_disarm(endpoint);
	armed = false;
	FeBeWaitSet = core_waits;
}

static void waits_create(void)
{
	stream_waits = CreateWaitEventSet(TopMemoryContext, FeBeWaitSetNEvents + 1);
	AddWaitEventToSet(stream_waits, WL_SOCKET_READABLE, MyProcPort->sock, NULL, NULL);
	AddWaitEventToSet(stream_waits, WL_LATCH_SET, PGINVALID_SOCKET, MyLatch, NULL);
	AddWaitEventToSet(stream_waits, WL_POSTMASTER_DEATH, PGINVALID_SOCKET, NULL, NULL);
	AddWaitEventToSet(stream_waits, WL_SOCKET_READABLE, slu_endpoint_fd(endpoint), NULL, NULL);
}

static void count(void)
{
	const struct slu_walsender_status *status = slu_walsender_status(sender);

	pg_atomic_write_u64(&counts->bytes, status->bytes);
	pg_atomic_write_u64(&counts->frames, status->frames);
	pg_atomic_write_u64(&counts->stalls, status->stalls);
	pg_atomic_write_u64(&counts->spins, answer_spin.spins + work_spin.spins);
	pg_atomic_write_u64(&counts->sleeps, answer_spin.sleeps + work_spin.sleeps);
}

static void begin(void)
{
	stage = STAGE_STREAMING;
	result = SLU_OK;
	hand_bytes = 0;
	engine_end = 0;
	waiting = NULL;
	memset(&answer_spin, 0, sizeof(answer_spin));
	memset(&work_spin, 0, sizeof(work_spin));
	feedback_begin();
	waits_create();
}

void stream_drop(void)
{
	if (stage == STAGE_NONE)
		return;
	stage = STAGE_NONE;
	use_core_waits();
	if (stream_waits)
		FreeWaitEventSet(stream_waits);
	stream_waits = NULL;
	PqCommMethods = core;
	slu_walsender_close(sender);
	slu_endpoint_detach(endpoint);
	sender = NULL;
	endpoint = NULL;
	walpg_stat_begin(counts, 0, "", "");
}

/* The standby is to hear that there is no more, and has all. */
static void finish(void)
{
	stage = STAGE_ENDING;
	/* Said to be there, and not sent: a standby that was promoted has dropped it. */
	slu_walsender_retreat(sender,
	                      has_backlog() ? hand_end() : slu_walsender_status(sender)->sent_lsn);
	slu_walsender_finish(sender);
	process(slu_now_ns());
	if (result == SLU_OK) /* if it has all durable, this says so */
		process(slu_now_ns());
}

/* A dead stream is a dead client, as PostgreSQL's own methods report it. */
static int lost(void)
{
	if (!ClientConnectionLost)
		ereport(COMMERROR, (errcode(ERRCODE_CONNECTION_FAILURE),
		                    errmsg("WAL stream over Sluice was lost: %s",
		                           result == -EPROTO ? "WAL out of order"
		                                             : slu_walsender_error(sender))));
	ClientConnectionLost = 1;
	InterruptPending = 1;
	return EOF;
}

/* ---- waiting -------------------------------------------------------------------- */

/* Grows with what was sent and what was heard. */
static uint64_t progress(void)
{
	const struct slu_walsender_status *status = slu_walsender_status(sender);

	return status->bytes + status->feedbacks;
}

static void hear(void)
{
	uint64_t now_ns = slu_now_ns();

	process(now_ns);
	feedback_apply(slu_walsender_status(sender), now_ns);
	if (waiting && (progress() != waiting_since || result != SLU_OK)) {
		spin_end(waiting, now_ns);
		waiting = NULL;
	}
}

/* No credit, or no more to do than to see the standby leave: PostgreSQL's loop would
 * not sleep, since its socket is writable. */
static void wait_here(void)
{
	WaitEvent event;

	ModifyWaitEvent(stream_waits, FeBeWaitSetSocketPos, WL_SOCKET_READABLE, NULL);
	if (slu_endpoint_arm(endpoint) == 0 &&
	    WaitEventSetWait(stream_waits, STALL_WAIT_MS, &event, 1,
	                     WAIT_EVENT_WAL_SENDER_WRITE_DATA) == 1 &&
	    (event.events & WL_POSTMASTER_DEATH))
		proc_exit(1);
	slu_endpoint_disarm(endpoint);
}

/* Look for an answer until end_ns. true: there is news, or something else to do. */
static bool look_until(uint64_t end_ns, uint64_t now_ns)
{
	uint64_t before = progress();

	while (now_ns < end_ns) {
		if (MyLatch->is_set || InterruptPending)
			return true;
		process(now_ns);
		if (result != SLU_OK || progress() != before)
			return true;
		spin_relax();
		now_ns = slu_now_ns();
	}
	return false;
}

/* Wait as long as that pays, first for the answers of the standby. What PostgreSQL is
 * to do about other things shows by its latch. */
static void wait_busily(void)
{
	const struct slu_walsender_status *status = slu_walsender_status(sender);
	uint64_t limit_ns = (uint64_t)walpg_module.settings->spin_us * 1000;

	while (!waiting && result == SLU_OK && !MyLatch->is_set) {
		uint64_t now_ns = slu_now_ns();
		uint64_t feedbacks = status->feedbacks;

		waiting =
		        status->positions.flush_lsn < status->sent_lsn ? &answer_spin : &work_spin;
		waiting_since = progress();
		if (!look_until(spin_begin(waiting, limit_ns, now_ns, crowd_is_here), now_ns)) {
			spin_over(waiting);
			return;
		}
		now_ns = slu_now_ns();
		spin_end(waiting, now_ns);
		waiting = NULL;
		if (status->feedbacks == feedbacks)
			return;
		feedback_apply(status, now_ns);
	}
}

/* What comes from now on ends WalSndLoop()'s sleep. */
static void prepare_sleep(void)
{
	for (unsigned tries = 0; tries < 3; tries++) {
		if (slu_endpoint_arm(endpoint) == 0) {
			armed = true;
			FeBeWaitSet = stream_waits;
			return;
		}
		hear();
	}
	SetLatch(MyLatch); /* busy: come back at once */
}

/* ---- PqCommMethods ---------------------------------------------------------------- */

static void stream_comm_reset(void)
{
	const PQcommMethods *methods = core;

	stream_drop();
	methods->comm_reset();
}

static int stream_flush(void)
{
	use_core_waits();
	return core->flush();
}

static int stream_flush_if_writable(void)
{
	int r;

	use_core_waits();
	r = core->flush_if_writable();
	if (r != 0 || stage == STAGE_READY)
		return r;
	hear();
	if (has_backlog() || stage == STAGE_ENDING) {
		wait_here();
		hear();
	} else if (slu_walsender_status(sender)->sent_lsn >= engine_end) {
		if (MyWalSnd->state != WALSNDSTATE_CATCHUP)
			wait_busily();
		if (result == SLU_OK)
			prepare_sleep();
	}
	if (feedback_release_due())
		SetLatch(MyLatch); /* come back when the standby counts */
	count();
	/* A standby that left in order says so on the socket, too. */
	return result < 0 ? lost() : 0;
}

static bool stream_is_send_pending(void)
{
	return core->is_send_pending() || (stage != STAGE_READY && has_backlog());
}

/* A message for the socket, and what it means for the stream. */
static void before_message(char type)
{
	use_core_waits();
	if (stage == STAGE_STREAMING && (type == 'c' || type == 'C'))
		finish(); /* the end of a timeline, or of this server */
	else if ((stage == STAGE_STREAMING && type == 'E') ||
	         (stage == STAGE_ENDING && (type == 'T' || type == 'C' || type == 'E')))
		stream_drop();
}

static int stream_putmessage(char type, const char *data, size_t size_bytes)
{
	const PQcommMethods *methods = core;
	int r;

	if (type == 'd' && stage == STAGE_STREAMING) {
		take_message(data, size_bytes);
		return result < 0 ? lost() : 0;
	}
	before_message(type);
	r = methods->putmessage(type, data, size_bytes);
	if (type == 'W' && stage == STAGE_READY)
		begin();
	return r;
}

static void stream_putmessage_noblock(char type, const char *data, size_t size_bytes)
{
	const PQcommMethods *methods = core;

	if (type == 'd' && stage == STAGE_STREAMING) {
		take_message(data, size_bytes); /* flush_if_writable() tells what went wrong */
		return;
	}
	before_message(type);
	methods->putmessage_noblock(type, data, size_bytes);
}

static const PQcommMethods stream_methods = {
        .comm_reset = stream_comm_reset,
        .flush = stream_flush,
        .flush_if_writable = stream_flush_if_writable,
        .is_send_pending = stream_is_send_pending,
        .putmessage = stream_putmessage,
        .putmessage_noblock = stream_putmessage_noblock,
};

void stream_prepare(slu_endpoint *new_endpoint, slu_walsender *new_sender, const char *peer)
{
	endpoint = new_endpoint;
	sender = new_sender;
	core = PqCommMethods;
	core_waits = FeBeWaitSet;
	counts = walpg_sender_stat(walpg_module.shared, (int)(MyWalSnd - WalSndCtl->walsnds));
	walpg_stat_begin(counts, MyProcPid, walpg_driver(slu_walsender_status(sender)->remote),
	                 peer);
	PqCommMethods = &stream_methods;
	stage = STAGE_READY;
}
