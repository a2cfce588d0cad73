/* SPDX-License-Identifier: Apache-2.0 */
/* net.h - the simulated network from inside: what the files of this folder
 * share. */
#ifndef DRIVERS_SIM_NET_H
#define DRIVERS_SIM_NET_H

#include <sys/queue.h>

#include "drivers/inbox.h"
#include "drivers/random.h"
#include "drivers/sim/sim.h"
#include "drivers/sim/timers.h"

struct sim_control;

struct sim_node {
	bool dead, silent; /* silent: the host is gone, nobody refuses for it */
	const struct slu_sim_control_ops *control_ops; /* NULL: does not listen */
	void *control_ctx;
};

struct slu_sim {
	struct slu_sim_params params;
	struct slu_random random;
	struct sim_timers timers;
	struct slu_wire *wire;
	uint64_t now_ns;
	uint64_t trace_hash;
	FILE *trace_file;
	uint64_t last_instance_id; /* never used again */
	TAILQ_HEAD(, slu_driver) drivers;
	struct sim_control *controls[SLU_SIM_NODES_MAX][SLU_SIM_NODES_MAX]; /* [lower][higher] */
	struct sim_node nodes[SLU_SIM_NODES_MAX];
	bool blocked[SLU_SIM_NODES_MAX][SLU_SIM_NODES_MAX];
	struct slu_sim_stats stats;
};

/* ---- net.c ---- */

/* Something happened: hash it and write its line. */
void sim_trace(struct slu_sim *sim, const char *what, uint64_t a, uint64_t b, uint64_t c);
/* A moment from now, drawn from [min, max]. */
uint64_t sim_after(struct slu_sim *sim, uint64_t ns_min, uint64_t ns_max);
/* A moment after a message of a session that leaves now has arrived. */
uint64_t sim_after_delay(struct slu_sim *sim);
bool sim_reaches(const struct slu_sim *sim, uint32_t from, uint32_t to);

/* ---- session.c ---- */

struct slu_driver {
	struct slu_inbox inbox;
	TAILQ_ENTRY(slu_driver) link;
	TAILQ_HEAD(, slu_session) sessions;
	struct slu_sim *sim;
	const struct slu_driver_host *host;
	uint64_t id;
	uint32_t node;
	bool dead;
	struct slu_driver_stats stats;
};

enum sim_message_kind { SIM_UP, SIM_SMALL, SIM_FRAME };

/* On its way: first with its sender, then with its receiver. */
struct sim_message {
	STAILQ_ENTRY(sim_message) link;
	enum sim_message_kind kind;
	const uint8_t *frame; /* the sender's; read piece by piece until it has left */
	uint32_t size_bytes;
	uint32_t left_bytes; /* how much of it has left */
	uint64_t cookie;
	uint64_t arrival_ns;         /* not before the message ahead of it, whatever this says */
	struct slu_inbox_item *item; /* what the receiver gets; the bytes are in it */
};
STAILQ_HEAD(sim_messages, sim_message);

/* One end of a session. */
struct slu_session {
	struct slu_inbox_session inbox; /* first: an inbox session is cast to ours */
	TAILQ_ENTRY(slu_session) link;
	struct slu_driver *driver;
	struct slu_session *peer; /* NULL: not yet, or the other end is not ours any more */
	uint32_t peer_node;
	uint64_t target_id; /* the instance it connects to */
	uint8_t hello[SLU_DRIVER_HELLO_BYTES];
	bool up;         /* sends are taken */
	bool paused;     /* the first of outbound waits for window */
	bool timing_out; /* down_timer was set by a partition, and a heal stops it */

	struct sim_messages outbound;  /* waiting to leave, the first partly gone */
	uint64_t outbound_bytes;       /* of frames in it */
	uint64_t window_bytes;         /* of frames that left and the peer has not polled */
	uint32_t small_count;          /* not polled by the peer */
	bool wants_frame, wants_small; /* a send returned SLU_AGAIN */

	struct sim_messages inbound; /* on their way to this end, in order */

	struct sim_timer connect_timer; /* the request reaches the target */
	struct sim_timer leave_timer;   /* the next piece leaves */
	struct sim_timer arrive_timer;  /* the first of inbound arrives */
	struct sim_timer down_timer;    /* this end finds out that it is over */
	int down_error;                 /* what it finds */
	const char *down_text;
};

struct slu_session *sim_session_create(struct slu_driver *driver, uint32_t peer_node, void *user);
/* Drop everything and free; the other end is not told. */
void sim_session_destroy(struct slu_session *session);
/* This end leaves by its own will; the other end is told. Frees it. */
void sim_session_leave(struct slu_session *session);
void sim_session_connect(struct slu_session *session, uint64_t target_id, const void *hello);
void sim_session_accept(struct slu_session *session);
/* A message that the session has room for. */
void sim_session_send(struct slu_session *session, struct sim_message *message);
/* Start what is queued on its way. */
void sim_session_flush(struct slu_session *session);
void sim_session_taken(struct slu_inbox_session *session, enum slu_driver_event_type type,
                       uint32_t size_bytes);
/* Break it, if it has both ends: what is under way is lost, both find out, each
 * in its time. */
void sim_session_break(struct slu_session *session);
/* The nodes stopped or began to reach each other. */
void sim_session_partition(struct slu_session *session);
void sim_session_heal(struct slu_session *session);
/* The node of this end died. */
void sim_session_die(struct slu_session *session, enum slu_sim_death death);

/* ---- control.c ---- */

void sim_control_destroy_all(struct slu_sim *sim);
/* A packet arrived. */
void sim_control_receive(struct slu_sim *sim, const struct slu_wire_packet *packet);
void sim_control_partition(struct slu_sim *sim, uint32_t a, uint32_t b);
void sim_control_heal(struct slu_sim *sim, uint32_t a, uint32_t b);
void sim_control_kill(struct slu_sim *sim, uint32_t node, enum slu_sim_death death);

#endif
