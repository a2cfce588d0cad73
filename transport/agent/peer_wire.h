/* SPDX-License-Identifier: Apache-2.0 */
/*
 * peer_wire.h - the control connection between two agents, byte for byte. All
 * numbers are little-endian. A message is a header and size_bytes of payload:
 *
 *   HELLO   struct peer_hello_wire, the name, then per rail struct peer_rail_wire,
 *           driver name, address
 *   REFUSE  struct peer_refuse_wire, text; the sender closes after it
 *   PING    struct peer_ping_wire
 *   PONG    struct peer_ping_wire, the stamp of the PING
 *   ENGINE  bytes of the engine above
 *
 * The side that connects says HELLO first; the other answers HELLO or REFUSE.
 * After both HELLOs come PING, PONG and ENGINE in any order, REFUSE at any time.
 */
#ifndef TRANSPORT_AGENT_PEER_WIRE_H
#define TRANSPORT_AGENT_PEER_WIRE_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#define PEER_PROTOCOL_VERSION 1u
#define PEER_MAGIC            0x50434c53u /* "SLCP" */

/* Largest payload of a message, and of one from a peer that said no HELLO yet. */
#define PEER_PAYLOAD_MAX       65536u
#define PEER_PAYLOAD_HELLO_MAX 8192u

enum peer_message_type {
	PEER_HELLO = 1,
	PEER_REFUSE = 2,
	PEER_PING = 3,
	PEER_PONG = 4,
	PEER_ENGINE = 5,
};

/* Numbers for programs; the text is for people. Never reused. */
enum peer_refuse_code {
	PEER_REFUSE_MALFORMED = 1, /* the bytes are no message, or one out of turn */
	PEER_REFUSE_VERSION = 2,   /* another protocol version */
	PEER_REFUSE_CLUSTER = 3,   /* another cluster id */
	PEER_REFUSE_UNKNOWN = 4,   /* no such node in this agent's configuration */
	PEER_REFUSE_IDENTITY = 5,  /* the certificate is not that node's */
	PEER_REFUSE_FRAME_SIZE = 6,
	PEER_REFUSE_DIRECTION = 7, /* the other side connects in this pair */
	PEER_REFUSE_ENGINE = 8,    /* the engine could not follow a message */
	PEER_REFUSE_DRIVER = 9,    /* data takes another way there */
};

struct peer_header_wire {
	uint32_t size_bytes; /* of the payload */
	uint16_t type;       /* enum peer_message_type */
	uint16_t reserved;   /* 0 */
};
static_assert(sizeof(struct peer_header_wire) == 8, "wire format");

/* ENCRYPT: this side wants what the driver moves encrypted; then both do it. */
enum peer_hello_flags { PEER_HELLO_ENCRYPT = 1 };

/* magic and version stay where they are in every version, so that agents that
 * cannot talk can still say so. */
struct peer_hello_wire {
	uint32_t magic;        /* PEER_MAGIC */
	uint16_t version;      /* PEER_PROTOCOL_VERSION */
	uint16_t poller_count; /* data threads of the agent */
	uint64_t cluster_id;
	uint64_t generation;       /* random, one per start of the agent; not 0 */
	uint64_t known_generation; /* of the receiver, while the sender holds state
	                              about it; else 0. State is kept over a lost
	                              connection only if both sides hold it. */
	uint32_t frame_size_bytes; /* must be the same on both sides */
	uint8_t name_size;         /* bytes of the node name that follows */
	uint8_t rail_count;
	uint16_t flags; /* enum peer_hello_flags; an unknown one is refused */
};
static_assert(sizeof(struct peer_hello_wire) == 40, "wire format");
static_assert(offsetof(struct peer_hello_wire, cluster_id) == 8, "no padding");
static_assert(offsetof(struct peer_hello_wire, frame_size_bytes) == 32, "no padding");

struct peer_rail_wire {
	uint8_t driver_size;   /* bytes of the driver's name that follows */
	uint8_t reserved;      /* 0 */
	uint16_t address_size; /* bytes of the driver's address after that */
};
static_assert(sizeof(struct peer_rail_wire) == 4, "wire format");

struct peer_refuse_wire {
	uint16_t code;      /* enum peer_refuse_code */
	uint16_t text_size; /* bytes of text that follow */
};
static_assert(sizeof(struct peer_refuse_wire) == 4, "wire format");

struct peer_ping_wire {
	uint64_t stamp; /* the sender's own; it comes back in the PONG */
};
static_assert(sizeof(struct peer_ping_wire) == 8, "wire format");

#endif
