/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wal_wire.h - the frames of a WAL stream, byte for byte. All numbers are
 * little-endian; the tag of a frame is the type of its message.
 *
 *   feedback:  START   from where; first, and again after TIMELINE_END
 *              STATUS  how far the receiver is
 *   data:      WELCOME agrees to START; then
 *              DATA    header and bytes of the log, each going on where the last ended
 *              KEEPALIVE
 *              TIMELINE_END  the timeline is over; START follows, or the end
 *              FINISH  the log is over; the receiver answers with its last STATUS
 *
 * Each channel ends in EOS when its sender leaves in order. Who cannot go on resets
 * both channels with an errno and words: -EPROTONOSUPPORT another version, -EXDEV
 * another database, -ESTALE no such timeline, -ERANGE a start beyond its end,
 * -ENODATA the log there is gone, -EPROTO bytes that are no message or out of turn.
 */
#ifndef WALSTREAM_WAL_WIRE_H
#define WALSTREAM_WAL_WIRE_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#define WAL_PROTOCOL_VERSION 1u
#define WAL_MAGIC            0x57434c53u /* "SLCW" */

enum wal_message_type {
	WAL_START = 1,
	WAL_STATUS = 2,
	WAL_WELCOME = 3,
	WAL_DATA = 4,
	WAL_KEEPALIVE = 5,
	WAL_TIMELINE_END = 6,
	WAL_FINISH = 7,
};

/* magic and version stay where they are in every version, so that two that cannot
 * talk can still say so. */
struct wal_start_wire {
	uint32_t magic;
	uint16_t version;
	uint16_t reserved; /* 0 */
	uint64_t system_id;
	uint64_t start_lsn;
	uint32_t timeline;
	uint32_t reserved2; /* 0 */
	char name[48];      /* printable ASCII, then NULs */
};
static_assert(sizeof(struct wal_start_wire) == 80, "wire format");

#define WAL_FLAG_REPLY 1u /* the other side is to answer at once */

struct wal_status_wire {
	uint64_t write_lsn;
	uint64_t flush_lsn;
	uint64_t apply_lsn;
	uint64_t echo_stamp_ns; /* stamp of the newest frame received; 0: none yet */
	uint64_t hold_ns;       /* how long ago that was */
	int64_t wall_ns;   /* when this was sent, by the receiver's wall clock, ns since 1970 */
	uint32_t flags;    /* WAL_FLAG_REPLY */
	uint32_t reserved; /* 0 */
};
static_assert(sizeof(struct wal_status_wire) == 56, "wire format");

struct wal_welcome_wire {
	uint64_t system_id;
	uint64_t start_lsn;
	uint64_t end_lsn;        /* of the sender's log on this timeline */
	uint64_t stamp_ns;       /* sender's monotonic clock */
	uint64_t wall_offset_ns; /* to be added to a stamp: ns since 1970 */
	uint32_t timeline;
	uint32_t reserved; /* 0 */
};
static_assert(sizeof(struct wal_welcome_wire) == 48, "wire format");

/* A multiple of 32 bytes: the log behind it is aligned as the frame is. */
struct wal_data_wire {
	uint64_t lsn; /* of the first byte */
	uint64_t end_lsn;
	uint64_t stamp_ns;
	uint32_t timeline;
	uint32_t reserved; /* 0 */
};
static_assert(sizeof(struct wal_data_wire) == 32, "wire format");

struct wal_keepalive_wire {
	uint64_t sent_lsn; /* everything before has been sent: tells a gap */
	uint64_t end_lsn;
	uint64_t stamp_ns;
	uint32_t timeline;
	uint32_t flags; /* WAL_FLAG_REPLY */
};
static_assert(sizeof(struct wal_keepalive_wire) == 32, "wire format");

struct wal_timeline_end_wire {
	uint64_t end_lsn; /* may be below what was sent: the rest is no history */
	uint32_t timeline;
	uint32_t next_timeline;
};
static_assert(sizeof(struct wal_timeline_end_wire) == 16, "wire format");

struct wal_finish_wire {
	uint64_t end_lsn;
	uint32_t timeline;
	uint32_t reserved; /* 0 */
};
static_assert(sizeof(struct wal_finish_wire) == 16, "wire format");

#endif
