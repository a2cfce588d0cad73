/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reader_notices.c - what a sticky reader would say to a client it says to its QE:
 * notices and warnings, and why it ends when it must. PostgreSQL's own way to do so
 * (pqmq.c) gives a queue up when a message is interrupted; this queue has to last.
 */
#include <postgres.h>

#include <libpq/libpq.h>
#include <miscadmin.h>
#include <tcop/tcopprot.h>

#include "executor/exec/reader_wire.h"

static shm_mq_handle *queue;

static void nothing(void)
{
}

static int nothing_to_flush(void)
{
	return 0;
}

static bool nothing_pending(void)
{
	return false;
}

static int put_message(char type, const char *bytes, size_t size_bytes)
{
	shm_mq_iovec parts[] = {{&type, 1}, {bytes, size_bytes}};
	shm_mq_result result;

	if (type != MPP_READER_NOTICE && type != MPP_READER_FATAL)
		return 0;
	HOLD_INTERRUPTS(); /* half a message would be the end of the queue */
	result = shm_mq_sendv(queue, parts, lengthof(parts), false, true);
	RESUME_INTERRUPTS();
	return result == SHM_MQ_SUCCESS ? 0 : EOF;
}

static void put_message_noblock(char type, const char *bytes, size_t size_bytes)
{
	(void)put_message(type, bytes, size_bytes);
}

void mpp_reader_redirect(shm_mq_handle *replies)
{
	static const PQcommMethods methods = {
	        .comm_reset = nothing,
	        .flush = nothing_to_flush,
	        .flush_if_writable = nothing_to_flush,
	        .is_send_pending = nothing_pending,
	        .putmessage = put_message,
	        .putmessage_noblock = put_message_noblock,
	};

	queue = replies;
	PqCommMethods = &methods;
	whereToSendOutput = DestRemote;
}
