/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wire.h - a model of a datagram network: packets between numbered nodes are
 * lost, duplicated, garbled, delayed and overtaken, as its parameters say and
 * in the same way for the same seed. The control path of the simulator runs on
 * it, and a packet protocol can.
 */
#ifndef DRIVERS_SIM_WIRE_H
#define DRIVERS_SIM_WIRE_H

#include <stdint.h>

#define SLU_WIRE_NODES_MAX 64u

struct slu_wire_params {
	uint64_t delay_ns_min, delay_ns_max; /* one way; packets of a pair keep their order */
	uint32_t loss_per_million;
	uint32_t duplicate_per_million; /* the copy has a delay of its own */
	uint32_t corrupt_per_million;   /* one bit of the packet is flipped */
	uint32_t reorder_per_million;   /* the packet may be overtaken, for: */
	uint64_t reorder_ns_max;
	uint32_t packet_bytes_max; /* at least 64 for the control path */
};

struct slu_wire_packet {
	uint32_t from, to;
	uint32_t size_bytes;
	const uint8_t *bytes;
};

struct slu_wire_stats {
	uint64_t sent, delivered;
	uint64_t lost, duplicated, corrupted, reordered;
};

struct slu_wire;

/* Returned owned. params are copied. */
struct slu_wire *slu_wire_create(const struct slu_wire_params *params, uint64_t seed);
/* Takes wire and what is under way in it. */
void slu_wire_destroy(struct slu_wire *wire);

/* Send a packet at time now_ns, which never goes back; bytes are copied.
 * -EMSGSIZE; 0 says nothing about its fate. */
int slu_wire_send(struct slu_wire *wire, uint64_t now_ns, uint32_t from, uint32_t to,
                  const void *bytes, uint32_t size_bytes);

/* When the next packet arrives; UINT64_MAX: none is under way. */
uint64_t slu_wire_next_ns(const struct slu_wire *wire);

/* The next packet that has arrived at now_ns, borrowed until the next call;
 * NULL: none. */
const struct slu_wire_packet *slu_wire_receive(struct slu_wire *wire, uint64_t now_ns);

void slu_wire_stats(const struct slu_wire *wire, struct slu_wire_stats *ret_stats);

#endif
