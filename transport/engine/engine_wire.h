/* SPDX-License-Identifier: Apache-2.0 */
/*
 * engine_wire.h - what engines say to each other, byte for byte, and the pure
 * functions that write and read it. docs/wire-format.md tells the story.
 *
 * Control messages travel on the conductor's connection; the hello, small
 * messages and DATA on the driver's sessions. All integers are little-endian.
 */
#ifndef TRANSPORT_ENGINE_ENGINE_WIRE_H
#define TRANSPORT_ENGINE_ENGINE_WIRE_H

#include "transport/arena_shm.h"

#include <sluice/sluice.h>

#include <stdbool.h>

/*
 * A lane is one end of a channel by the number its own engine gave it: the
 * index of the arena's entry, and how often that entry was opened, so that a
 * late message for a former channel in the entry is known for what it is.
 * Never 0: the count starts at 1 and skips 0 when it wraps.
 */
#define LANE_INDEX_BITS    20u
#define LANE_EPOCH_MAX     ((1u << (32u - LANE_INDEX_BITS)) - 1)
#define LANE_NONE          0u
#define LANE(epoch, index) ((uint32_t)(epoch) << LANE_INDEX_BITS | (uint32_t)(index))
#define LANE_INDEX(lane)   ((lane) & ((1u << LANE_INDEX_BITS) - 1))
#define LANE_EPOCH(lane)   ((lane) >> LANE_INDEX_BITS)

/* ---- on the control connection ------------------------------------------ */

enum wire_control_type {
	WIRE_OPEN = 1,        /* an end was opened here, or still is */
	WIRE_END,             /* an end is over */
	WIRE_END_ACK,         /* the END of that lane was understood */
	WIRE_SESSION_REQUEST, /* the connecting side wants a session */
	WIRE_SESSION_GRANT,   /* the secret for it, good for once */
};

struct wire_key {
	uint64_t cluster, query;
	uint32_t motion, source, destination, reserved;
};
static_assert(sizeof(struct wire_key) == 32, "wire format");

enum wire_open_flags { WIRE_OPEN_URGENT = 1 };

struct wire_open {
	uint8_t type;
	uint8_t direction;      /* enum slu_direction of the process at `lane` */
	uint8_t flags;          /* enum wire_open_flags */
	uint8_t reserved;       /* 0 */
	uint32_t lane;          /* the opener's */
	uint32_t peer_lane;     /* the other end's; LANE_NONE: not known yet */
	uint32_t rendezvous_ms; /* how long what ends unmatched is remembered */
	struct wire_key key;
	uint8_t token[16];
	uint64_t limit_pos; /* a receiver's: the sender may send below it */
};
static_assert(sizeof(struct wire_open) == 72, "wire format");

#define WIRE_TEXT_MAX 250u /* without its NUL */
static_assert(WIRE_TEXT_MAX < sizeof(((struct chan_reset *)0)->text), "fits what shows it");

/* Why an end is over, when error is 0. */
enum wire_end_flags {
	WIRE_END_COMPLETE = 1, /* everything and EOS was received */
	WIRE_END_STOPPED,      /* the receiver wants no more; the sender knows */
};

struct wire_end {
	uint8_t type;
	uint8_t flags;      /* enum wire_end_flags; 0 with an error */
	uint8_t direction;  /* enum slu_direction of the process at `lane` */
	uint8_t text_bytes; /* of the text that follows, not terminated */
	uint32_t lane;      /* that ended; LANE_NONE: a refused OPEN, nothing is here */
	uint32_t peer_lane; /* of whom this tells; LANE_NONE: not known, see key */
	uint32_t error;     /* positive errno; 0: in order */
	struct wire_key key;
};
static_assert(sizeof(struct wire_end) == 48, "wire format");

struct wire_end_ack {
	uint8_t type;
	uint8_t reserved[3];
	uint32_t lane; /* of the END that this answers */
};
static_assert(sizeof(struct wire_end_ack) == 8, "wire format");

struct wire_session_request {
	uint8_t type;
	uint8_t index; /* which of the peer's sessions */
	uint8_t reserved[2];
};
static_assert(sizeof(struct wire_session_request) == 4, "wire format");

#define WIRE_SECRET_BYTES 32u

enum wire_session_flags { WIRE_SESSION_CRC32C = 1 }; /* this side wants frames checked */

struct wire_session_grant {
	uint8_t type;
	uint8_t index;
	uint8_t flags; /* enum wire_session_flags */
	uint8_t reserved;
	uint32_t peer; /* the granting engine's number for the asking one; for the hello */
	uint8_t secret[WIRE_SECRET_BYTES];
};
static_assert(sizeof(struct wire_session_grant) == 40, "wire format");

#define WIRE_CONTROL_MAX (sizeof(struct wire_end) + WIRE_TEXT_MAX)

/* A control message, decoded: integers in host order. */
struct wire_control {
	enum wire_control_type type;
	union {
		struct wire_open open;
		struct wire_end end;
		struct wire_end_ack end_ack;
		struct wire_session_request session_request;
		struct wire_session_grant session_grant;
	};
	struct slu_key key;           /* OPEN, END */
	char text[WIRE_TEXT_MAX + 1]; /* END: printable, NUL-terminated */
};

/* Each returns the size written to message (room for WIRE_CONTROL_MAX bytes).
 * type, key (and text) are filled from the other arguments. */
size_t wire_open_encode(void *message, const struct wire_open *open, const struct slu_key *key);
size_t wire_end_encode(void *message, const struct wire_end *end, const struct slu_key *key,
                       const char *text);
size_t wire_end_ack_encode(void *message, uint32_t lane);
size_t wire_session_request_encode(void *message, uint8_t index);
size_t wire_session_grant_encode(void *message, const struct wire_session_grant *grant);

/* NULL: well formed. Else what is wrong with it, in words. */
const char *wire_control_decode(const void *message, size_t size_bytes,
                                struct wire_control *ret_control);

/* ---- on a session -------------------------------------------------------- */

#define WIRE_MAGIC   0x65756c73u /* "slue" */
#define WIRE_VERSION 1u

/* The first thing on a session. The secret says who is there; the conductor's
 * connection, which carried it, is authenticated. */
struct wire_hello {
	uint32_t magic;
	uint16_t version;
	uint8_t index;
	uint8_t flags; /* enum wire_session_flags */
	uint32_t peer; /* as granted */
	uint32_t reserved;
	uint8_t secret[WIRE_SECRET_BYTES];
};
static_assert(sizeof(struct wire_hello) == 48, "SLU_DRIVER_HELLO_BYTES");

void wire_hello_encode(void *message, const struct wire_hello *hello);
const char *wire_hello_decode(const void *message, struct wire_hello *ret_hello);

enum wire_small_type {
	WIRE_CREDIT = 1, /* to the sender */
	WIRE_EOS,        /* to the receiver, after the last DATA */
	WIRE_PROBE,      /* to the receiver: say your credit again */
};

enum wire_small_flags { WIRE_CREDIT_STOP = 1 }; /* the receiver wants no more */

struct wire_small {
	uint32_t lane; /* the addressee's */
	uint8_t type;  /* enum wire_small_type */
	uint8_t flags;
	uint16_t reserved;
	uint64_t limit_pos; /* CREDIT: the sender may send below it */
	uint64_t pos;       /* CREDIT: all below was received, and EOS if it is one more
	                       than the final position. EOS: final position. PROBE: next
	                       position. */
	uint32_t reserved2;
	uint32_t crc32c; /* of all before; always */
};
static_assert(sizeof(struct wire_small) == 32, "wire format");

void wire_small_encode(void *message, const struct wire_small *small);
const char *wire_small_decode(const void *message, size_t size_bytes, struct wire_small *ret_small);

/* The type in struct frame_wire, distinct from every small message's. */
enum wire_data_type { WIRE_DATA = 0x44 };

enum wire_data_flags {
	WIRE_DATA_CRC32C = 1, /* crc32c is filled */
	WIRE_DATA_ACK = 2,    /* the last for now: say what was received */
	WIRE_DATA_MORE = 4,   /* more waits beyond the limit */
};

/* Put the header, given in host order, before the payload of a frame. */
void wire_data_encode(struct frame_wire *wire, const struct frame_wire *header);

/*
 * Check a DATA message of size_bytes where it landed and turn its header into
 * host order. crc_needed: it must carry a checksum. NULL: well formed;
 * *ret_corrupt tells whether what is wrong is the checksum.
 */
const char *wire_data_decode(struct frame_wire *wire, uint32_t size_bytes, bool crc_needed,
                             bool *ret_corrupt);

#endif
