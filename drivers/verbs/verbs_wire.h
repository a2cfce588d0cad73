/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verbs_wire.h - what the verbs driver puts on the fabric besides the messages
 * themselves: the private data of connect and accept, and the immediate word of
 * every send. Integers are in network order.
 */
#ifndef DRIVERS_VERBS_VERBS_WIRE_H
#define DRIVERS_VERBS_VERBS_WIRE_H

#include <assert.h>
#include <stdint.h>

#include "transport/driver.h"

#define VERBS_WIRE_MAGIC   UINT32_C(0x534c5556) /* "SLUV" */
#define VERBS_WIRE_VERSION 1u

/* Of the connect request. The CM leaves 56 bytes to a request of RDMA_PS_TCP,
 * and pads what is shorter with zeros. */
struct verbs_wire_request {
	uint32_t magic;
	uint16_t version;
	uint16_t window; /* receives the connecting side keeps posted */
	uint8_t hello[SLU_DRIVER_HELLO_BYTES];
};
static_assert(sizeof(struct verbs_wire_request) == 56, "fits the private data");

/* Of the answer. */
struct verbs_wire_answer {
	uint32_t magic;
	uint16_t version;
	uint16_t window; /* receives the accepting side keeps posted */
};
static_assert(sizeof(struct verbs_wire_answer) == 8, "wire layout");

/*
 * The immediate word: what the message is, in the two high bits, and how many
 * messages of the session the sender of the word has posted receives for again,
 * modulo 2^30. The count is absolute, so that none that is lost with its session
 * matters, and one that is late says less, never something wrong.
 */
enum verbs_wire_kind {
	VERBS_WIRE_FRAME = 1,
	VERBS_WIRE_SMALL = 2,
	VERBS_WIRE_CREDIT = 3, /* no payload; takes no credit itself */
};
#define VERBS_WIRE_COUNT_BITS 30u
#define VERBS_WIRE_COUNT_MASK ((UINT32_C(1) << VERBS_WIRE_COUNT_BITS) - 1)

#endif
