/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reply.c - what the walreceiver says to the primary. Positions take the stream; only
 * there, so that an older one on the socket cannot come after a newer one. Everything
 * else takes the socket: hot standby feedback, and an answer to each keepalive that
 * asks for one, because PostgreSQL's walsender counts as a sign of life only what it
 * reads from the socket.
 */
#include <postgres.h>

#include <access/xlogrecovery.h>

#include "walstream/pg/message.h"
#include "walstream/pg/standby/standby.h"

#define FEEDBACK_BYTES_MAX 64

static struct slu_wal_positions said; /* by the walreceiver */
static bool asked;
static char feedback[FEEDBACK_BYTES_MAX]; /* the last one; it may be said again */
static int feedback_bytes;

void reply_begin(void)
{
	memset(&said, 0, sizeof(said));
	asked = false;
	feedback_bytes = 0;
}

void reply_asked(void)
{
	asked = true;
}

void reply_tell(void)
{
	XLogRecPtr received_lsn = slu_walreceiver_status(standby.receiver)->received_lsn;
	/* After a restart the walreceiver vouches for log that it had before. The primary
	 * is told no more than what it has sent again: its log there may be another. */
	struct slu_wal_positions positions = {
	        .write_lsn = Min(said.write_lsn, received_lsn),
	        .flush_lsn = Min(said.flush_lsn, received_lsn),
	        .apply_lsn = Min(said.apply_lsn, received_lsn),
	};

	slu_walreceiver_report(standby.receiver, &positions);
	slu_walreceiver_process(standby.receiver, slu_now_ns()); /* next() tells what fails */
}

static void send_positions(const char *message)
{
	said.write_lsn = message_number(message + MESSAGE_REPLY_WRITE);
	said.flush_lsn = message_number(message + MESSAGE_REPLY_FLUSH);
	said.apply_lsn = message_number(message + MESSAGE_REPLY_APPLY);
	if (message[MESSAGE_REPLY_ASK])
		slu_walreceiver_ping(standby.receiver);
	else
		slu_walreceiver_repeat(standby.receiver);
	reply_tell();
}

void reply_send(const char *message, int size_bytes)
{
	if (message[0] == 'r' && size_bytes == MESSAGE_REPLY_BYTES) {
		send_positions(message);
		if (!asked)
			return;
		asked = false;
		/* Nothing new, and no positions: what was said last about snapshots. */
		if (feedback_bytes) {
			message = feedback;
			size_bytes = feedback_bytes;
		}
	} else if (message[0] == 'h' && size_bytes <= FEEDBACK_BYTES_MAX) {
		memcpy(feedback, message, size_bytes);
		feedback_bytes = size_bytes;
	}
	stock.walrcv_send(standby.conn, message, size_bytes);
}

bool reply_applied(void)
{
	/* Without a status interval the walreceiver speaks only when it must, and what it
	 * said last may be old. */
	if (!WalRcv->force_reply || wal_receiver_status_interval <= 0)
		return false;
	WalRcv->force_reply = false;
	pg_memory_barrier(); /* a new request from here on is not missed */
	said.apply_lsn = GetXLogReplayRecPtr(NULL);
	slu_walreceiver_repeat(standby.receiver);
	reply_tell();
	return true;
}
