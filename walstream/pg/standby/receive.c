/* SPDX-License-Identifier: Apache-2.0 */
/*
 * receive.c - the log of a stream for PostgreSQL's walreceiver, in the messages that
 * it knows. The walreceiver calls until there is nothing, then writes its reply,
 * flushes, replies again, and waits on the descriptor it was given. So:
 *
 * - "nothing" is said after every batch, else it would never flush;
 * - its wait builds a new event set each time, so that the waiting is done in here,
 *   in one that lives long, and the walreceiver gets a descriptor that is always
 *   readable. Only when nothing came for a while does it wait itself: that wait timing
 *   out is what drives its own timeouts and its status interval;
 * - the socket is watched, too: there the primary says how it ends.
 */
#include <postgres.h>

#include <miscadmin.h>
#include <pgstat.h>
#include <postmaster/interrupt.h>
#include <storage/latch.h>
#include <utils/memutils.h>

#include "walstream/pg/crowd.h"
#include "walstream/pg/message.h"
#include "walstream/pg/spin.h"
#include "walstream/pg/standby/standby.h"

#include <libpq-fe.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define NS_PER_MS       UINT64_C(1000000)
#define BATCH_NS_MIN    (1 * NS_PER_MS)
#define BATCH_NS_MAX    (200 * NS_PER_MS)
#define BATCH_PER_FLUSH 8 /* so much longer than the flush that follows */
/* A client that commits one transaction after the other comes back later than an answer
 * does; while the walreceiver is awake, the answers of both sides need no wake-up. */
#define SPIN_FOR_LOG_TIMES 4
#define SOCKET_LOOK_NS     (20 * NS_PER_MS)
#define IDLE_AFTER_MS      100
#define SOCKET_SAYS_MS     500
#define END_WAIT_NS        WALPG_ANSWER_NS

StaticAssertDecl(MESSAGE_LOG_HEADER <= SLU_WAL_HEADROOM, "the header fits before the log");

static struct {
	WaitEventSet *waits; /* latch, postmaster, endpoint, socket */
	int watch_fd;        /* epoll: the endpoint and the socket, for PostgreSQL's wait */
	int ready_fd;        /* always readable */
	int socket_event;    /* of waits */
	bool armed;
	bool idle;                 /* nothing came for IDLE_AFTER_MS */
	bool look_at_socket;       /* it may have something */
	bool socket_over;          /* the primary has ended the copy there */
	uint64_t socket_over_ns;   /* since then */
	uint64_t socket_looked_ns; /* last look at it */
	bool in_batch;             /* log was handed out since "nothing" was said */
	uint64_t batch_start_ns;
	uint64_t batch_end_ns;   /* when "nothing" was said; 0: the flush is over */
	uint64_t batch_ns;       /* longest batch now */
	uint64_t keepalives;     /* handed out */
	uint64_t reply_requests; /* of these, and handed out */
	struct spin spin;
	bool waiting; /* spin has begun */
	char ping[MESSAGE_PING_BYTES];
} receive = {.watch_fd = -1, .ready_fd = -1};

/* ---- beginning and end ----------------------------------------------------------- */

static void watch(int fd)
{
	struct epoll_event event = {.events = EPOLLIN};

	if (epoll_ctl(receive.watch_fd, EPOLL_CTL_ADD, fd, &event) < 0)
		ereport(ERROR, (errmsg("could not watch a descriptor: %m")));
}

void receive_begin(void)
{
	receive.batch_ns = BATCH_NS_MIN;
	receive.watch_fd = epoll_create1(EPOLL_CLOEXEC);
	receive.ready_fd = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
	if (receive.watch_fd < 0 || receive.ready_fd < 0)
		ereport(ERROR, (errmsg("could not create a descriptor: %m")));
	watch(slu_endpoint_fd(standby.endpoint));
	watch(PQsocket(standby.libpq));
	receive.waits = CreateWaitEventSet(TopMemoryContext, 4);
	AddWaitEventToSet(receive.waits, WL_LATCH_SET, PGINVALID_SOCKET, MyLatch, NULL);
	AddWaitEventToSet(receive.waits, WL_EXIT_ON_PM_DEATH, PGINVALID_SOCKET, NULL, NULL);
	AddWaitEventToSet(receive.waits, WL_SOCKET_READABLE, slu_endpoint_fd(standby.endpoint),
	                  NULL, NULL);
	receive.socket_event = AddWaitEventToSet(receive.waits, WL_SOCKET_READABLE,
	                                         PQsocket(standby.libpq), NULL, NULL);
	reply_begin();
}

void receive_end(void)
{
	if (receive.waits)
		FreeWaitEventSet(receive.waits);
	if (receive.watch_fd >= 0)
		close(receive.watch_fd);
	if (receive.ready_fd >= 0)
		close(receive.ready_fd);
	memset(&receive, 0, sizeof(receive));
	receive.watch_fd = receive.ready_fd = -1;
	slu_walreceiver_close(standby.receiver);
	standby.receiver = NULL;
	standby.at_end = false;
}

/* ---- messages -------------------------------------------------------------------- */

static void news(uint64_t now_ns)
{
	if (receive.waiting)
		spin_end(&receive.spin, now_ns);
	receive.waiting = false;
	receive.idle = false;
	if (!receive.in_batch)
		receive.batch_start_ns = now_ns;
	receive.in_batch = true;
}

static void count(const struct slu_walreceiver_status *status)
{
	struct walpg_stat *stat = standby_stat();

	if (!stat)
		return;
	pg_atomic_write_u64(&stat->bytes, status->bytes);
	pg_atomic_write_u64(&stat->frames, status->frames);
	pg_atomic_write_u64(&stat->stalls, status->stalls);
	pg_atomic_write_u64(&stat->spins, receive.spin.spins);
	pg_atomic_write_u64(&stat->sleeps, receive.spin.sleeps);
}

/* The header goes where that of the frame was, in front of the log. */
static int give_log(const struct slu_wal_chunk *chunk, char **ret_buffer, uint64_t now_ns)
{
	const struct slu_walreceiver_status *status = slu_walreceiver_status(standby.receiver);
	char *message = (char *)(uintptr_t)chunk->data - MESSAGE_LOG_HEADER;

	news(now_ns);
	message[0] = 'w';
	message_number_put(message + MESSAGE_LOG_START, chunk->lsn);
	message_number_put(message + MESSAGE_LOG_END, status->sender_end_lsn);
	message_number_put(message + MESSAGE_LOG_TIME,
	                   (uint64_t)message_time(status->sent_wall_ns));
	*ret_buffer = message;
	return MESSAGE_LOG_HEADER + (int)chunk->size_bytes;
}

static bool has_ping(void)
{
	return slu_walreceiver_status(standby.receiver)->keepalives != receive.keepalives;
}

static int give_ping(char **ret_buffer, uint64_t now_ns)
{
	const struct slu_walreceiver_status *status = slu_walreceiver_status(standby.receiver);
	bool asks = status->reply_requests != receive.reply_requests;

	news(now_ns);
	receive.keepalives = status->keepalives;
	receive.reply_requests = status->reply_requests;
	receive.ping[0] = 'k';
	message_number_put(receive.ping + MESSAGE_PING_END, status->received_lsn);
	message_number_put(receive.ping + MESSAGE_PING_TIME,
	                   (uint64_t)message_time(status->sent_wall_ns));
	receive.ping[MESSAGE_PING_ASK] = asks;
	if (asks)
		reply_asked();
	*ret_buffer = receive.ping;
	return MESSAGE_PING_BYTES;
}

/* Let the walreceiver reply and flush, and come back at once. */
static int give_nothing(pgsocket *ret_wait_fd)
{
	if (receive.in_batch) {
		receive.batch_end_ns = slu_now_ns();
		count(slu_walreceiver_status(standby.receiver));
	}
	receive.in_batch = false;
	*ret_wait_fd = receive.ready_fd;
	return 0;
}

/* ---- the socket, and ends ----------------------------------------------------------- */

/* An error there is raised from here. */
static void look_at_socket(uint64_t now_ns)
{
	pgsocket fd;
	char *buffer;
	int length;

	receive.look_at_socket = false;
	receive.socket_looked_ns = now_ns;
	if (receive.socket_over)
		return;
	length = stock.walrcv_receive(standby.conn, &buffer, &fd);
	if (length > 0)
		ereport(ERROR,
		        (errcode(ERRCODE_PROTOCOL_VIOLATION),
		         errmsg("WAL came on the connection beside the stream over Sluice")));
	receive.socket_over = length < 0;
	receive.socket_over_ns = now_ns;
}

/* Both the stream and the socket have to say that there is no more. */
static int give_end(pgsocket *ret_wait_fd)
{
	standby.at_end = true;
	if (!receive.socket_over)
		look_at_socket(slu_now_ns());
	if (receive.socket_over)
		return -1;
	receive.in_batch = false;
	*ret_wait_fd = PQsocket(standby.libpq);
	return 0;
}

/* The stream is broken. What PostgreSQL says about it, if anything, is better. */
static void broken(const char *reason)
{
	uint64_t end_ns = slu_now_ns() + SOCKET_SAYS_MS * NS_PER_MS;

	for (uint64_t now_ns = slu_now_ns(); now_ns < end_ns && !receive.socket_over;
	     now_ns = slu_now_ns()) {
		look_at_socket(now_ns);
		WaitLatchOrSocket(MyLatch,
		                  WL_EXIT_ON_PM_DEATH | WL_LATCH_SET | WL_SOCKET_READABLE |
		                          WL_TIMEOUT,
		                  PQsocket(standby.libpq),
		                  (long)((end_ns - now_ns) / NS_PER_MS) + 1, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		ProcessWalRcvInterrupts();
	}
	ereport(ERROR, (errcode(ERRCODE_CONNECTION_FAILURE),
	                errmsg("WAL stream over Sluice was lost: %s", reason)));
}

/* ---- waiting ----------------------------------------------------------------------- */

/* As slu_walreceiver_next(), but look again for as long as that may pay. */
static int next_busily(struct slu_wal_chunk *ret_chunk, uint64_t now_ns)
{
	const struct walpg_module *module = standby_module();
	uint64_t end_ns;
	int r = SLU_AGAIN;

	if (receive.waiting || receive.idle)
		return SLU_AGAIN; /* that was done */
	receive.waiting = true;
	end_ns = spin_begin(&receive.spin,
	                    (uint64_t)module->settings->spin_us * 1000 * SPIN_FOR_LOG_TIMES, now_ns,
	                    crowd_is_here);
	while (now_ns < end_ns && r == SLU_AGAIN && !has_ping() && !MyLatch->is_set) {
		spin_relax();
		now_ns = slu_now_ns();
		r = slu_walreceiver_next(standby.receiver, now_ns, ret_chunk);
	}
	if (now_ns >= end_ns)
		spin_over(&receive.spin);
	return r;
}

/* The latch is set: by the startup process, or by a signal. true: PostgreSQL's loop has
 * to see to it. */
static bool latch_serve(void)
{
	ResetLatch(MyLatch);
	ProcessWalRcvInterrupts();
	if (ConfigReloadPending)
		return true;
	if (reply_applied())
		return false;
	if (WalRcv->force_reply)
		SetLatch(MyLatch);
	return WalRcv->force_reply;
}

/* Sleep until something happens. */
static void sleep_here(void)
{
	WaitEvent event;
	int count_events;

	if (slu_endpoint_arm(standby.endpoint) != 0)
		return; /* next() tells */
	count_events = WaitEventSetWait(receive.waits, IDLE_AFTER_MS, &event, 1,
	                                WAIT_EVENT_WAL_RECEIVER_MAIN);
	slu_endpoint_disarm(standby.endpoint);
	receive.idle = count_events == 0;
	receive.look_at_socket = count_events == 1 && event.pos == receive.socket_event;
}

/* false: *ret_wait_fd is for PostgreSQL's loop. */
static bool wait_for_news(pgsocket *ret_wait_fd)
{
	if (MyLatch->is_set) {
		if (!latch_serve())
			return true;
		*ret_wait_fd = receive.ready_fd;
		return false;
	}
	if (!receive.idle) {
		sleep_here();
		return true;
	}
	if (slu_endpoint_arm(standby.endpoint) != 0)
		return true;
	receive.armed = true;
	receive.look_at_socket = true; /* whatever ends that wait */
	*ret_wait_fd = receive.watch_fd;
	return false;
}

/* The batch that was just flushed tells how long the next may be. */
static void batch_measure(uint64_t now_ns)
{
	uint64_t flush_ns = now_ns - receive.batch_end_ns;

	if (!receive.batch_end_ns)
		return;
	receive.batch_end_ns = 0;
	receive.batch_ns = Min(Max(BATCH_PER_FLUSH * flush_ns, BATCH_NS_MIN), BATCH_NS_MAX);
}

int receive_next(char **ret_buffer, pgsocket *ret_wait_fd)
{
	if (receive.armed)
		slu_endpoint_disarm(standby.endpoint);
	receive.armed = false;
	batch_measure(slu_now_ns());
	for (;;) {
		uint64_t now_ns = slu_now_ns();
		struct slu_wal_chunk chunk;
		int r;

		if (standby.at_end)
			return give_end(ret_wait_fd);
		if (receive.in_batch && now_ns - receive.batch_start_ns >= receive.batch_ns)
			return give_nothing(ret_wait_fd);
		if (now_ns - receive.socket_looked_ns >= SOCKET_LOOK_NS)
			receive.look_at_socket = true;
		r = slu_walreceiver_next(standby.receiver, now_ns, &chunk);
		if (r == SLU_AGAIN && !has_ping() && !receive.in_batch) {
			reply_tell();
			r = next_busily(&chunk, now_ns);
			now_ns = slu_now_ns();
		}
		if (r == SLU_OK)
			return give_log(&chunk, ret_buffer, now_ns);
		if (has_ping())
			return give_ping(ret_buffer, now_ns);
		if (r == SLU_EOS || r == SLU_WAL_TIMELINE_END)
			return give_end(ret_wait_fd);
		if (r < 0)
			broken(slu_walreceiver_error(standby.receiver));
		if (receive.in_batch)
			return give_nothing(ret_wait_fd);
		if (receive.look_at_socket)
			look_at_socket(now_ns);
		if (receive.socket_over && now_ns - receive.socket_over_ns >= END_WAIT_NS)
			broken("its end did not arrive");
		if (!wait_for_news(ret_wait_fd))
			return 0;
	}
}
