/* SPDX-License-Identifier: Apache-2.0 */
/*
 * message.h - the messages of PostgreSQL's streaming replication (protocol.sgml), as
 * far as both modules read and write them. Numbers are big-endian.
 */
#ifndef WALSTREAM_PG_MESSAGE_H
#define WALSTREAM_PG_MESSAGE_H

#include <postgres.h>

#include <datatype/timestamp.h>
#include <port/pg_bswap.h>

/* 'w': log. Its first byte's LSN, the end of the sender's log, time; the log. */
#define MESSAGE_LOG_START  1
#define MESSAGE_LOG_END    9
#define MESSAGE_LOG_TIME   17
#define MESSAGE_LOG_HEADER 25

/* 'k': keepalive. The end of what was sent, time, whether to answer. */
#define MESSAGE_PING_END   1
#define MESSAGE_PING_TIME  9
#define MESSAGE_PING_ASK   17
#define MESSAGE_PING_BYTES 18

/* 'r': reply. Positions written, flushed, applied, time, whether to answer. */
#define MESSAGE_REPLY_WRITE 1
#define MESSAGE_REPLY_FLUSH 9
#define MESSAGE_REPLY_APPLY 17
#define MESSAGE_REPLY_ASK   33
#define MESSAGE_REPLY_BYTES 34

static inline uint64_t message_number(const char *bytes)
{
	uint64_t number;

	memcpy(&number, bytes, sizeof(number));
	return pg_ntoh64(number);
}

static inline void message_number_put(char *bytes, uint64_t number)
{
	number = pg_hton64(number);
	memcpy(bytes, &number, sizeof(number));
}

/* Nanoseconds since 1970 as PostgreSQL counts time. */
static inline TimestampTz message_time(int64_t wall_ns)
{
	return wall_ns / 1000 -
	       (int64_t)(POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * SECS_PER_DAY * USECS_PER_SEC;
}

#endif
