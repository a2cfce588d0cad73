/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wal_codec.h - between the bytes of wal_wire.h and C structs. The decoder takes
 * any bytes: it refuses whatever is not exactly one message, with words.
 */
#ifndef WALSTREAM_WAL_CODEC_H
#define WALSTREAM_WAL_CODEC_H

#include "walstream/wal_wire.h"

#include <sluice/walstream.h>

#define WAL_TEXT_MAX 128u /* bytes of a reason with its NUL */

struct wal_start {
	uint16_t version; /* read even where the rest is not understood */
	uint32_t timeline;
	uint64_t system_id;
	uint64_t start_lsn;
	char name[SLU_WAL_NAME_MAX];
};

struct wal_status {
	struct slu_wal_positions positions;
	uint64_t echo_stamp_ns;
	uint64_t hold_ns;
	int64_t wall_ns;
	uint32_t flags;
};

struct wal_welcome {
	uint64_t system_id;
	uint64_t start_lsn;
	uint64_t end_lsn;
	uint64_t stamp_ns;
	uint64_t wall_offset_ns;
	uint32_t timeline;
};

struct wal_data {
	uint64_t lsn;
	uint64_t end_lsn;
	uint64_t stamp_ns;
	uint32_t timeline;
	const void *bytes; /* borrowed from the frame */
	size_t size_bytes;
};

struct wal_keepalive {
	uint64_t sent_lsn;
	uint64_t end_lsn;
	uint64_t stamp_ns;
	uint32_t timeline;
	uint32_t flags;
};

struct wal_timeline_end {
	uint64_t end_lsn;
	uint32_t timeline;
	uint32_t next_timeline;
};

struct wal_finish {
	uint64_t end_lsn;
	uint32_t timeline;
};

struct wal_message {
	uint16_t type; /* enum wal_message_type */
	union {
		struct wal_start start;
		struct wal_status status;
		struct wal_welcome welcome;
		struct wal_data data;
		struct wal_keepalive keepalive;
		struct wal_timeline_end timeline_end;
		struct wal_finish finish;
	};
};

/* Largest encoded message other than DATA. */
#define WAL_MESSAGE_MAX sizeof(struct wal_start_wire)

/*
 * error has WAL_TEXT_MAX bytes.
 *   0, -EPROTO, -EPROTONOSUPPORT (START of another version, ret_message->start.version)
 */
int wal_message_decode(uint16_t type, const void *data, size_t size_bytes,
                       struct wal_message *ret_message, char *error);

/* Returns the bytes written to ret_data, at most WAL_MESSAGE_MAX. For DATA only the
 * header is written. */
size_t wal_message_encode(const struct wal_message *message, void *ret_data);

#endif
