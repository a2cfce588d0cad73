/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tcp_wire.h - what the tcp driver puts on a connection: messages of an 8-byte
 * header and a payload, back to back. The first message in each direction is a
 * hello; the one that answers a connect says that the session was accepted.
 * Integers are little-endian.
 *
 * On an encrypted session every message but the first hello is a sealed record:
 * the header with TCP_WIRE_SEALED, the payload by AES-256-GCM, and its tag. The
 * header is authenticated with it (docs/wire-format.md).
 */
#ifndef DRIVERS_TCP_TCP_WIRE_H
#define DRIVERS_TCP_TCP_WIRE_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "transport/driver.h"

#define TCP_WIRE_VERSION 1u

enum tcp_wire_kind {
	TCP_WIRE_HELLO = 1, /* struct tcp_wire_hello; first, and never again */
	TCP_WIRE_FRAME = 2, /* 1 .. message_bytes_max bytes, received in the arena */
	TCP_WIRE_SMALL = 3, /* 1 .. SLU_DRIVER_SMALL_MAX bytes */
};

/* Or-ed to the kind of a record. */
#define TCP_WIRE_SEALED 0x80u

struct tcp_wire_header {
	uint32_t size_bytes; /* of the payload, without this header and a tag */
	uint8_t kind;        /* enum tcp_wire_kind, with TCP_WIRE_SEALED in a record */
	uint8_t version;     /* TCP_WIRE_VERSION; in every message, so that none is
	                        ever read under another version's rules */
	uint16_t check;      /* tcp_wire_check() of the fields above: a stream that
	                        lost its place, or is not ours, is found at the next
	                        header instead of being read as a length */
};
static_assert(sizeof(struct tcp_wire_header) == 8, "wire layout");
static_assert(offsetof(struct tcp_wire_header, kind) == 4, "wire layout");
static_assert(offsetof(struct tcp_wire_header, check) == 6, "wire layout");

/* CR LF: a connection that translates line ends is found at once. */
#define TCP_WIRE_MAGIC       "SLUTCP\r\n"
#define TCP_WIRE_MAGIC_BYTES 8u

struct tcp_wire_hello {
	uint8_t magic[TCP_WIRE_MAGIC_BYTES];
	uint8_t hello[SLU_DRIVER_HELLO_BYTES]; /* the engine's; zeros in the answer */
};
static_assert(sizeof(struct tcp_wire_hello) == 56, "wire layout");

#define TCP_WIRE_HEADER_BYTES ((uint32_t)sizeof(struct tcp_wire_header))
#define TCP_WIRE_TAG_BYTES    16u

/* Header and payload of the largest message that is not a frame. */
#define TCP_WIRE_SMALL_BYTES (sizeof(struct tcp_wire_header) + SLU_DRIVER_SMALL_MAX)
static_assert(sizeof(struct tcp_wire_hello) <= SLU_DRIVER_SMALL_MAX,
              "a hello fits where a small message does");

#endif
