/* SPDX-License-Identifier: Apache-2.0 */
/* wire.c - see wire.h. */
#include "drivers/sim/wire.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "drivers/random.h"
#include "drivers/sim/timers.h"

struct flight {
	struct sim_timer arrival; /* its ctx is the flight */
	struct slu_wire_packet packet;
	uint8_t bytes[];
};

struct slu_wire {
	struct slu_wire_params params;
	struct slu_random random;
	struct sim_timers flights;
	struct flight *received; /* borrowed by the caller of receive */
	/* Packets that are not chosen to be overtaken arrive in order: not before
	 * the one before them, by sender and receiver. */
	uint64_t last_arrival_ns[SLU_WIRE_NODES_MAX][SLU_WIRE_NODES_MAX];
	struct slu_wire_stats stats;
};

struct slu_wire *slu_wire_create(const struct slu_wire_params *params, uint64_t seed)
{
	struct slu_wire *wire = sim_alloc(sizeof(*wire));

	wire->params = *params;
	wire->random.state = seed;
	return wire;
}

void slu_wire_destroy(struct slu_wire *wire)
{
	struct sim_timer *timer;

	while ((timer = sim_timers_first(&wire->flights))) {
		sim_timer_cancel(&wire->flights, timer);
		free(timer->ctx);
	}
	sim_timers_fini(&wire->flights);
	free(wire->received);
	free(wire);
}

static void flight_start(struct slu_wire *wire, uint64_t now_ns,
                         const struct slu_wire_packet *packet)
{
	const struct slu_wire_params *params = &wire->params;
	uint64_t *last_ns = &wire->last_arrival_ns[packet->from][packet->to];
	struct flight *flight = sim_alloc(sizeof(*flight) + packet->size_bytes);
	uint64_t arrival_ns, bit;

	flight->arrival.ctx = flight;
	flight->packet = *packet;
	flight->packet.bytes = flight->bytes;
	memcpy(flight->bytes, packet->bytes, packet->size_bytes);
	if (slu_random_chance(&wire->random, params->corrupt_per_million) &&
	    packet->size_bytes > 0) {
		bit = slu_random_upto(&wire->random, (uint64_t)packet->size_bytes * 8 - 1);
		flight->bytes[bit / 8] ^= (uint8_t)(1u << (bit % 8));
		wire->stats.corrupted++;
	}
	arrival_ns = now_ns + params->delay_ns_min +
	             slu_random_upto(&wire->random, params->delay_ns_max - params->delay_ns_min);
	if (arrival_ns < *last_ns)
		arrival_ns = *last_ns;
	if (slu_random_chance(&wire->random, params->reorder_per_million)) {
		arrival_ns += slu_random_upto(&wire->random, params->reorder_ns_max);
		wire->stats.reordered++;
	} else {
		*last_ns = arrival_ns;
	}
	sim_timer_set(&wire->flights, &flight->arrival, arrival_ns);
}

int slu_wire_send(struct slu_wire *wire, uint64_t now_ns, uint32_t from, uint32_t to,
                  const void *bytes, uint32_t size_bytes)
{
	const struct slu_wire_packet packet = {
	        .from = from, .to = to, .size_bytes = size_bytes, .bytes = bytes};

	if (size_bytes > wire->params.packet_bytes_max)
		return -EMSGSIZE;
	wire->stats.sent++;
	if (slu_random_chance(&wire->random, wire->params.loss_per_million)) {
		wire->stats.lost++;
		return 0;
	}
	flight_start(wire, now_ns, &packet);
	if (slu_random_chance(&wire->random, wire->params.duplicate_per_million)) {
		wire->stats.duplicated++;
		flight_start(wire, now_ns, &packet);
	}
	return 0;
}

uint64_t slu_wire_next_ns(const struct slu_wire *wire)
{
	const struct sim_timer *first = sim_timers_first(&wire->flights);

	return first ? first->at_ns : UINT64_MAX;
}

const struct slu_wire_packet *slu_wire_receive(struct slu_wire *wire, uint64_t now_ns)
{
	struct sim_timer *first = sim_timers_first(&wire->flights);

	free(wire->received);
	wire->received = NULL;
	if (!first || first->at_ns > now_ns)
		return NULL;
	sim_timer_cancel(&wire->flights, first);
	wire->received = first->ctx;
	wire->stats.delivered++;
	return &wire->received->packet;
}

void slu_wire_stats(const struct slu_wire *wire, struct slu_wire_stats *ret_stats)
{
	*ret_stats = wire->stats;
}
