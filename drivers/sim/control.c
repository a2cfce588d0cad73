/* SPDX-License-Identifier: Apache-2.0 */
/*
 * control.c - control connections of the simulated network: messages whole, in
 * order and once, on the wire of wire.h, by sequence numbers, acknowledgement
 * of everything before a number, and sending again what was not acknowledged in
 * time (go-back-n). Each time a connection is made it has a new epoch, so that
 * packets of an earlier one are told apart.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "drivers/sim/net.h"

#define RESEND_SEGMENTS_MAX 64
#define BACKOFF_MAX         6 /* doublings of the resend time */
#define MS                  UINT64_C(1000000)

enum segment_type { SEGMENT_DATA = 1, SEGMENT_ACK };

/* Ahead of each packet's bytes. Sequence 0 is the opening, without bytes. */
struct segment_header {
	uint64_t check; /* of all that follows */
	uint64_t epoch;
	uint64_t seq; /* DATA: its own; ACK: the next that is expected */
	uint32_t size_bytes;
	uint8_t type;
	uint8_t more; /* the message goes on in the next segment */
	uint8_t zero[2];
};

/* Sent and not acknowledged. */
struct segment {
	STAILQ_ENTRY(segment) link;
	uint64_t first_sent_ns;
	struct segment_header header;
	uint8_t bytes[];
};

enum side_state { SIDE_CLOSED, SIDE_CONNECTING, SIDE_UP };

struct side {
	struct sim_control *control;
	struct side *other;
	uint32_t node;
	enum side_state state;
	uint64_t epoch;
	uint64_t next_seq;
	uint64_t expected_seq;
	STAILQ_HEAD(, segment) unacked;
	unsigned backoff;
	uint8_t *assembly; /* a message whose segments arrived in part */
	size_t assembly_bytes;
	struct sim_timer resend_timer;
	struct sim_timer down_timer; /* finds out that the connection is over */
};

struct sim_control {
	struct slu_sim *sim;
	struct side sides[2]; /* the first opens connections */
	uint64_t last_epoch;
	struct sim_timer connect_timer;
};

static struct sim_control *control_find(struct slu_sim *sim, uint32_t a, uint32_t b)
{
	return a < b ? sim->controls[a][b] : sim->controls[b][a];
}

static struct side *side_of(struct sim_control *control, uint32_t node)
{
	return &control->sides[control->sides[0].node == node ? 0 : 1];
}

static bool can_connect(const struct sim_control *control)
{
	const struct slu_sim *sim = control->sim;
	uint32_t a = control->sides[0].node, b = control->sides[1].node;

	return sim_reaches(sim, a, b) && sim->nodes[a].control_ops && sim->nodes[b].control_ops;
}

/* ---- segments ------------------------------------------------------------ */

static uint64_t segment_check(const uint8_t *bytes, size_t size_bytes)
{
	uint64_t check = size_bytes, word;

	for (; size_bytes >= sizeof(word); bytes += sizeof(word), size_bytes -= sizeof(word)) {
		memcpy(&word, bytes, sizeof(word));
		check = slu_random_mix(check + word);
	}
	word = 0;
	memcpy(&word, bytes, size_bytes);
	return slu_random_mix(check + word);
}

static void segment_transmit(struct side *side, const struct segment_header *header,
                             const uint8_t *bytes)
{
	struct slu_sim *sim = side->control->sim;
	uint8_t packet[sizeof(*header) + header->size_bytes];
	uint64_t check;

	memcpy(packet, header, sizeof(*header));
	memcpy(packet + sizeof(*header), bytes, header->size_bytes);
	check = segment_check(packet + sizeof(check), sizeof(packet) - sizeof(check));
	memcpy(packet, &check, sizeof(check));
	if (sim_reaches(sim, side->node, side->other->node))
		slu_wire_send(sim->wire, sim->now_ns, side->node, side->other->node, packet,
		              (uint32_t)sizeof(packet));
}

/* Set for the first segment that is not acknowledged. */
static void resend_later(struct side *side)
{
	const struct slu_wire_params *wire = &side->control->sim->params.wire;
	uint64_t round_trip_ns = 2 * (wire->delay_ns_max + wire->reorder_ns_max);

	if (STAILQ_EMPTY(&side->unacked))
		sim_timer_cancel(&side->control->sim->timers, &side->resend_timer);
	else
		sim_timer_set(&side->control->sim->timers, &side->resend_timer,
		              side->control->sim->now_ns + ((round_trip_ns + MS) << side->backoff));
}

static void segment_send(struct side *side, const uint8_t *bytes, uint32_t size_bytes, bool more)
{
	struct segment *segment = sim_alloc(sizeof(*segment) + size_bytes);

	segment->header.epoch = side->epoch;
	segment->header.seq = side->next_seq++;
	segment->header.size_bytes = size_bytes;
	segment->header.type = SEGMENT_DATA;
	segment->header.more = more;
	segment->first_sent_ns = side->control->sim->now_ns;
	memcpy(segment->bytes, bytes, size_bytes);
	STAILQ_INSERT_TAIL(&side->unacked, segment, link);
	segment_transmit(side, &segment->header, segment->bytes);
	if (!sim_timer_is_set(&side->resend_timer))
		resend_later(side);
}

static void ack_send(struct side *side)
{
	const struct segment_header ack = {
	        .epoch = side->epoch, .seq = side->expected_seq, .type = SEGMENT_ACK};

	segment_transmit(side, &ack, (const uint8_t *)"");
}

/* ---- states of a side ------------------------------------------------------ */

static void side_reset(struct side *side, enum side_state state, uint64_t epoch)
{
	struct slu_sim *sim = side->control->sim;
	struct segment *segment;

	while ((segment = STAILQ_FIRST(&side->unacked))) {
		STAILQ_REMOVE_HEAD(&side->unacked, link);
		free(segment);
	}
	free(side->assembly);
	side->assembly = NULL;
	side->assembly_bytes = 0;
	side->backoff = 0;
	side->state = state;
	side->epoch = epoch;
	sim_timer_cancel(&sim->timers, &side->resend_timer);
	sim_timer_cancel(&sim->timers, &side->down_timer);
}

static void side_down(struct side *side)
{
	struct slu_sim *sim = side->control->sim;
	struct sim_node *node = &sim->nodes[side->node];
	bool was_up = side->state == SIDE_UP;

	side_reset(side, SIDE_CLOSED, side->epoch);
	if (!was_up)
		return;
	sim_trace(sim, "control-down", side->node, side->other->node, 0);
	sim->stats.control_downs++;
	node->control_ops->down(node->control_ctx, side->node, side->other->node);
}

static void side_up(struct side *side)
{
	struct slu_sim *sim = side->control->sim;
	struct sim_node *node = &sim->nodes[side->node];

	side->state = SIDE_UP;
	sim_trace(sim, "control-up", side->node, side->other->node, 0);
	sim->stats.control_ups++;
	node->control_ops->up(node->control_ctx, side->node, side->other->node);
}

/* Make the connection soon, unless there is one or the other end is out of
 * reach: then what changes that calls again. */
static void connect_later(struct sim_control *control)
{
	const struct slu_wire_params *wire = &control->sim->params.wire;

	if (can_connect(control))
		sim_timer_set(&control->sim->timers, &control->connect_timer,
		              sim_after(control->sim, wire->delay_ns_max, 2 * wire->delay_ns_max));
}

static bool is_intact(const struct sim_control *control)
{
	const struct side *sides = control->sides;

	return sides[0].state != SIDE_CLOSED && sides[1].state != SIDE_CLOSED &&
	       sides[0].epoch == sides[1].epoch;
}

static void on_connect(void *ctx)
{
	struct sim_control *control = ctx;
	struct side *opener = &control->sides[0];

	if (opener->state == SIDE_CONNECTING || is_intact(control))
		return;
	side_down(opener); /* its user may not have found out yet */
	if (!can_connect(control))
		return;
	side_reset(opener, SIDE_CONNECTING, ++control->last_epoch);
	opener->next_seq = 0;
	opener->expected_seq = 1;
	segment_send(opener, (const uint8_t *)"", 0, false);
}

static void on_side_down(void *ctx)
{
	struct side *side = ctx;

	side_down(side);
	connect_later(side->control);
}

static void on_resend(void *ctx)
{
	struct side *side = ctx;
	struct slu_sim *sim = side->control->sim;
	struct segment *segment = STAILQ_FIRST(&side->unacked);
	int count = 0;

	if (!sim_reaches(sim, side->node, side->other->node))
		return; /* until it heals, or down_timer fires */
	if (sim->now_ns - segment->first_sent_ns > sim->params.control_timeout_ns) {
		on_side_down(side);
		return;
	}
	STAILQ_FOREACH (segment, &side->unacked, link) {
		if (count++ == RESEND_SEGMENTS_MAX)
			break;
		sim->stats.control_resends++;
		segment_transmit(side, &segment->header, segment->bytes);
	}
	if (side->backoff < BACKOFF_MAX)
		side->backoff++;
	resend_later(side);
}

/* ---- receiving ------------------------------------------------------------- */

static void message_deliver(struct side *side)
{
	struct slu_sim *sim = side->control->sim;
	struct sim_node *node = &sim->nodes[side->node];
	uint8_t *message = side->assembly;
	size_t size_bytes = side->assembly_bytes;

	side->assembly = NULL;
	side->assembly_bytes = 0;
	sim_trace(sim, "control", side->node, side->other->node, size_bytes);
	sim->stats.control_messages++;
	node->control_ops->message(node->control_ctx, side->node, side->other->node, message,
	                           (uint32_t)size_bytes);
	free(message);
}

static void data_receive(struct side *side, const struct segment_header *header,
                         const uint8_t *bytes)
{
	uint8_t *assembly;
	bool opening = header->seq == 0;

	if (header->seq != side->expected_seq) {
		side->control->sim->stats.control_discards++;
		ack_send(side);
		return;
	}
	side->expected_seq++;
	ack_send(side);
	if (side->state == SIDE_CONNECTING)
		side_up(side);
	if (opening || side->state != SIDE_UP)
		return; /* the callback may have ended it */
	assembly = realloc(side->assembly, side->assembly_bytes + header->size_bytes + 1);
	if (!assembly)
		abort(); /* as sim_alloc */
	memcpy(assembly + side->assembly_bytes, bytes, header->size_bytes);
	side->assembly = assembly;
	side->assembly_bytes += header->size_bytes;
	if (!header->more)
		message_deliver(side);
}

static void ack_receive(struct side *side, uint64_t expected_seq)
{
	struct segment *segment;

	while ((segment = STAILQ_FIRST(&side->unacked)) && segment->header.seq < expected_seq) {
		STAILQ_REMOVE_HEAD(&side->unacked, link);
		free(segment);
		side->backoff = 0;
		resend_later(side);
	}
	if (side->state == SIDE_CONNECTING && expected_seq > 0)
		side_up(side);
}

/* A side of this epoch, opened now by the packet if it is a new one. NULL: the
 * packet belongs to no connection that is open. */
static struct side *side_accept(struct side *side, const struct segment_header *header)
{
	if (header->epoch == side->epoch)
		return side->state == SIDE_CLOSED ? NULL : side;
	if (header->epoch < side->epoch || header->type != SEGMENT_DATA || header->seq != 0)
		return NULL;
	side_down(side);
	if (!side->control->sim->nodes[side->node].control_ops)
		return NULL; /* killed by its callback */
	side_reset(side, SIDE_CONNECTING, header->epoch);
	side->next_seq = 1;
	side->expected_seq = 0;
	return side;
}

void sim_control_receive(struct slu_sim *sim, const struct slu_wire_packet *packet)
{
	struct sim_control *control = control_find(sim, packet->from, packet->to);
	struct side *side = side_of(control, packet->to);
	struct segment_header header;
	const uint8_t *bytes = packet->bytes + sizeof(header);

	memcpy(&header, packet->bytes, sizeof(header));
	if (header.check != segment_check(packet->bytes + sizeof(header.check),
	                                  packet->size_bytes - sizeof(header.check)) ||
	    !sim_reaches(sim, packet->from, packet->to) || !sim->nodes[packet->to].control_ops ||
	    !(side = side_accept(side, &header))) {
		sim->stats.control_discards++;
		return;
	}
	if (header.type == SEGMENT_ACK)
		ack_receive(side, header.seq);
	else
		data_receive(side, &header, bytes);
}

/* ---- what the network's user does ------------------------------------------ */

void slu_sim_control_connect(struct slu_sim *sim, uint32_t a, uint32_t b)
{
	uint32_t nodes[2] = {a < b ? a : b, a < b ? b : a};
	struct sim_control *control;
	int idx;

	if (control_find(sim, a, b))
		return;
	control = sim_alloc(sizeof(*control));
	control->sim = sim;
	control->connect_timer.fire = on_connect;
	control->connect_timer.ctx = control;
	for (idx = 0; idx < 2; idx++) {
		control->sides[idx].control = control;
		control->sides[idx].other = &control->sides[1 - idx];
		control->sides[idx].node = nodes[idx];
		STAILQ_INIT(&control->sides[idx].unacked);
		control->sides[idx].resend_timer.fire = on_resend;
		control->sides[idx].resend_timer.ctx = &control->sides[idx];
		control->sides[idx].down_timer.fire = on_side_down;
		control->sides[idx].down_timer.ctx = &control->sides[idx];
	}
	sim->controls[nodes[0]][nodes[1]] = control;
	connect_later(control);
}

void slu_sim_control_listen(struct slu_sim *sim, uint32_t node,
                            const struct slu_sim_control_ops *ops, void *ctx)
{
	uint32_t peer;

	sim->nodes[node].control_ops = ops;
	sim->nodes[node].control_ctx = ctx;
	for (peer = 0; peer < SLU_SIM_NODES_MAX; peer++) {
		if (control_find(sim, node, peer))
			connect_later(control_find(sim, node, peer));
	}
}

int slu_sim_control_send(struct slu_sim *sim, uint32_t from, uint32_t to, const void *message,
                         uint32_t size_bytes)
{
	struct sim_control *control = control_find(sim, from, to);
	uint32_t segment_bytes_max =
	        sim->params.wire.packet_bytes_max - (uint32_t)sizeof(struct segment_header);
	const uint8_t *bytes = message;
	uint32_t segment_bytes;
	struct side *side;

	if (!control)
		return -ENOTCONN;
	side = side_of(control, from);
	if (side->state != SIDE_UP)
		return -ENOTCONN;
	do {
		segment_bytes = size_bytes < segment_bytes_max ? size_bytes : segment_bytes_max;
		size_bytes -= segment_bytes;
		segment_send(side, bytes, segment_bytes, size_bytes > 0);
		bytes += segment_bytes;
	} while (size_bytes > 0);
	return 0;
}

static void down_later(struct side *side, uint64_t ns_min, uint64_t ns_max)
{
	struct slu_sim *sim = side->control->sim;

	if (side->state != SIDE_CLOSED && !sim_timer_is_set(&side->down_timer))
		sim_timer_set(&sim->timers, &side->down_timer, sim_after(sim, ns_min, ns_max));
}

static void down_after_timeout(struct side *side)
{
	const struct slu_sim_params *params = &side->control->sim->params;

	down_later(side, params->control_timeout_ns,
	           params->control_timeout_ns + params->down_skew_ns_max);
}

void sim_control_partition(struct slu_sim *sim, uint32_t a, uint32_t b)
{
	struct sim_control *control = control_find(sim, a, b);

	if (!control)
		return;
	down_after_timeout(&control->sides[0]);
	down_after_timeout(&control->sides[1]);
}

void sim_control_heal(struct slu_sim *sim, uint32_t a, uint32_t b)
{
	const struct slu_wire_params *wire = &sim->params.wire;
	struct sim_control *control = control_find(sim, a, b);
	struct side *side;
	bool intact;
	int idx;

	if (!control || !sim_reaches(sim, a, b))
		return;
	intact = is_intact(control);
	for (idx = 0; idx < 2; idx++) {
		side = &control->sides[idx];
		sim_timer_cancel(&sim->timers, &side->down_timer);
		if (intact)
			resend_later(side);
		else /* the other end answers the next packet with a reset */
			down_later(side, wire->delay_ns_min, wire->delay_ns_max);
	}
	if (!intact)
		connect_later(control);
}

void sim_control_kill(struct slu_sim *sim, uint32_t node, enum slu_sim_death death)
{
	const struct slu_wire_params *wire = &sim->params.wire;
	struct sim_control *control;
	struct side *side;
	uint32_t peer;

	sim->nodes[node].control_ops = NULL;
	for (peer = 0; peer < SLU_SIM_NODES_MAX; peer++) {
		control = control_find(sim, node, peer);
		if (!control)
			continue;
		side = side_of(control, node);
		side_reset(side, SIDE_CLOSED, side->epoch);
		sim_timer_cancel(&sim->timers, &control->connect_timer);
		if (death == SLU_SIM_PROCESS_DIES)
			down_later(side->other, wire->delay_ns_min, wire->delay_ns_max);
		else
			down_after_timeout(side->other);
	}
}

void sim_control_destroy_all(struct slu_sim *sim)
{
	struct sim_control *control;
	uint32_t a, b;

	for (a = 0; a < SLU_SIM_NODES_MAX; a++) {
		for (b = a + 1; b < SLU_SIM_NODES_MAX; b++) {
			control = sim->controls[a][b];
			if (!control)
				continue;
			side_reset(&control->sides[0], SIDE_CLOSED, 0);
			side_reset(&control->sides[1], SIDE_CLOSED, 0);
			free(control);
		}
	}
}
