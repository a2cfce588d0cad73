/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sim.h - the network of the sim driver: nodes, a virtual clock, and faults,
 * all drawn from one seed. Whoever makes the same calls in the same order on a
 * network of the same parameters gets the same run, down to the last event;
 * slu_sim_trace_hash() tells whether it did.
 *
 * Time stands still until slu_sim_step() or slu_sim_advance(). An instance
 * joins with the network as environment and the option `node`; several
 * instances of a node are its pollers. Between nodes there are sessions, which
 * instances make (transport/driver.h), and control connections: reliable and
 * ordered like the TLS connection between agents, on a wire that is neither
 * (wire.h).
 *
 * One thread. Callbacks run inside step and advance, and may call anything here
 * but these and destroy.
 */
#ifndef DRIVERS_SIM_SIM_H
#define DRIVERS_SIM_SIM_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "drivers/sim/wire.h"

#define SLU_SIM_NODES_MAX SLU_WIRE_NODES_MAX

struct slu_sim_params {
	uint64_t seed;

	/* Sessions. A message leaves in pieces of at most piece_bytes_max, each
	 * taking at most piece_ns_max, and arrives as a whole after the delay. */
	uint64_t delay_ns_min, delay_ns_max;
	uint32_t piece_bytes_max;
	uint64_t piece_ns_max;
	/* Per session and direction: frame bytes that wait to leave, and again as
	 * many that have left and were not polled. One message always fits. */
	uint64_t queue_bytes_max;
	uint32_t queue_small_max;          /* small messages that were not polled */
	uint32_t session_loss_per_million; /* per message: the session breaks */
	uint32_t connect_refuse_per_million;
	uint64_t down_skew_ns_max; /* the two ends of a lost session see DOWN this far apart */

	/* How long a silent peer is believed in: a partition or a dead host. */
	uint64_t session_timeout_ns;
	uint64_t control_timeout_ns;

	struct slu_wire_params wire;
};

/* A quiet network of 10-50 us delay that loses nothing. */
void slu_sim_params_init(struct slu_sim_params *ret_params, uint64_t seed);

struct slu_sim;

/* Returned owned; params are copied. The simulator ends the process when there
 * is no memory: a test cannot go on then. */
struct slu_sim *slu_sim_create(const struct slu_sim_params *params);
/* Takes sim. Every instance must be closed before. */
void slu_sim_destroy(struct slu_sim *sim);

/* ---- time ---------------------------------------------------------------- */

uint64_t slu_sim_now_ns(const struct slu_sim *sim);
/* When something happens next; UINT64_MAX: never, if nobody does anything. */
uint64_t slu_sim_next_ns(const struct slu_sim *sim);
/* Go to the next thing that happens, and let it. False: there is none. */
bool slu_sim_step(struct slu_sim *sim);
/* Let everything happen up to until_ns, which then is now. */
void slu_sim_advance(struct slu_sim *sim, uint64_t until_ns);

/* ---- faults -------------------------------------------------------------- */

/* Nothing passes between a and b any more. Both ends of a session or control
 * connection find out when its timeout has passed, each for itself. */
void slu_sim_partition(struct slu_sim *sim, uint32_t a, uint32_t b);
/* It passes again: what was not given up goes on, control connections that
 * were come back. */
void slu_sim_heal(struct slu_sim *sim, uint32_t a, uint32_t b);

enum slu_sim_death {
	SLU_SIM_PROCESS_DIES, /* its kernel tells the peers: they know after a delay */
	SLU_SIM_HOST_DIES,    /* silence: they know after the timeouts */
};
/* The node's instances are dead: they see nothing and reach nobody; close them.
 * Its control callbacks are forgotten. */
void slu_sim_kill(struct slu_sim *sim, uint32_t node, enum slu_sim_death death);
/* It may open instances and listen again. */
void slu_sim_restart(struct slu_sim *sim, uint32_t node);

/* Break every session between a and b; returns how many. */
unsigned slu_sim_cut_sessions(struct slu_sim *sim, uint32_t a, uint32_t b);

/* ---- control connections ------------------------------------------------- */

struct slu_sim_control_ops {
	void (*up)(void *ctx, uint32_t node, uint32_t peer);
	/* Messages sent and not received by then are lost. */
	void (*down)(void *ctx, uint32_t node, uint32_t peer);
	/* message is borrowed until it returns. */
	void (*message)(void *ctx, uint32_t node, uint32_t peer, const void *message,
	                uint32_t size_bytes);
};

/* The node takes part. ops are borrowed until it is killed or the network
 * destroyed. */
void slu_sim_control_listen(struct slu_sim *sim, uint32_t node,
                            const struct slu_sim_control_ops *ops, void *ctx);
/* From now on keep a connection between a and b, which differ, made again whenever it was
 * lost and both listen and reach each other. */
void slu_sim_control_connect(struct slu_sim *sim, uint32_t a, uint32_t b);
/* Copied. -ENOTCONN: from has no connection to it that is up. */
int slu_sim_control_send(struct slu_sim *sim, uint32_t from, uint32_t to, const void *message,
                         uint32_t size_bytes);

/* ---- what happened ------------------------------------------------------- */

struct slu_sim_stats {
	uint64_t events;
	uint64_t sessions_lost; /* at random, and by cut */
	uint64_t messages_delivered;
	uint64_t messages_dropped; /* left their sender and did not arrive */
	uint64_t control_messages;
	uint64_t control_resends;  /* segments sent again */
	uint64_t control_discards; /* segments garbled, doubled, out of order or old */
	uint64_t control_ups, control_downs;
};

void slu_sim_stats(const struct slu_sim *sim, struct slu_sim_stats *ret_stats);
void slu_sim_wire_stats(const struct slu_sim *sim, struct slu_wire_stats *ret_stats);

/* Of everything that happened until now, with its time. */
uint64_t slu_sim_trace_hash(const struct slu_sim *sim);
/* From now on write a line per event; file is borrowed; NULL: no more. */
void slu_sim_trace_to(struct slu_sim *sim, FILE *file);

#endif
