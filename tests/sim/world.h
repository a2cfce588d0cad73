/* SPDX-License-Identifier: Apache-2.0 */
/*
 * world.h - some hosts in a simulated network: each with an arena, an engine and
 * processes that have channels open to processes of other hosts. The world plays
 * the conductor's part and the processes', so that the engines run as they do in
 * agents, and a run depends on nothing but its seed.
 */
#ifndef TESTS_SIM_WORLD_H
#define TESTS_SIM_WORLD_H

#include "drivers/random.h"
#include "drivers/sim/sim.h"
#include "transport/channel.h"
#include "transport/clock.h"
#include "transport/engine/engine.h"

#define WORLD_NODES_MAX 4u
#define WORLD_PROCESSES 3u /* per node; slot 0 is the poller's */
#define WORLD_CHANNELS  48u
#define WORLD_PLANS_MAX 32u
#define WORLD_HELD_MAX  4u
#define WORLD_NEVER     UINT64_MAX

/* What a process does with its end of a channel. */
struct end_plan {
	uint32_t node;
	uint32_t process;
	uint64_t open_ns;     /* WORLD_NEVER: it never comes */
	uint64_t think_ns;    /* between two frames */
	uint32_t quit_frames; /* after so many it quits; UINT32_MAX: it does not */
	bool quit_resets;     /* quits by RESET; else a sender just closes, a receiver stops */
	bool reset_lingers;   /* and closes only a while after that */
	bool stop_lingers;    /* a receiver that stopped waits for the end */
	uint32_t held_max;    /* receiver: frames it holds at once, 1 .. WORLD_HELD_MAX */
};

enum end_state {
	END_TO_COME,
	END_OPEN,
	END_CLOSED,  /* in order, or after it was reset */
	END_REFUSED, /* the open failed */
	END_DEAD,    /* its process or host died */
};

struct plan;

struct end {
	struct plan *plan;
	const struct end_plan *todo;
	enum slu_direction direction;
	enum end_state state;
	uint32_t chan_idx;
	uint32_t frames; /* sent or received */
	int reset_error;
	bool eos;     /* sent or received */
	bool stopped; /* the receiver wanted no more, and this end knows */
	bool quits;   /* has reset its channel, and only closes yet */
	bool waits;   /* only its ready bit makes it look again */
	uint64_t act_ns;
	uint64_t over_ns; /* when it knew that it was over */
	uint32_t held[WORLD_HELD_MAX];
	uint32_t held_count;
	union {
		struct chan_tx tx;
		struct chan_rx rx;
	};
};

/* One channel. */
struct plan {
	uint32_t id;
	struct slu_key key;
	struct slu_token tokens[2]; /* the sender's, the receiver's */
	bool urgent;
	uint32_t frame_count;
	struct plan *after; /* opened when both ends of that are closed; NULL */
	struct end_plan todo[2];
	struct end ends[2];
};

struct node {
	struct world *world;
	uint32_t idx;
	bool alive;
	uint64_t generation;
	struct arena *arena;
	struct port ports[1 + WORLD_PROCESSES];
	struct engine *engine;
	struct end *by_chan[WORLD_CHANNELS]; /* whose entry it is, until channel_done */
	bool used[WORLD_CHANNELS];
	bool ready[WORLD_CHANNELS];
	struct {
		bool up;
		uint64_t generation; /* 0: never met */
		uint64_t dead_ns;    /* when it is taken for dead */
	} peers[WORLD_NODES_MAX];
};

struct world_config {
	uint64_t seed;
	uint32_t node_count;
	struct slu_sim_params network;
	const char *driver;
	struct slu_driver_option options[8];
	size_t option_count;
	bool crc32c;
	uint32_t bulk_sessions;
	uint32_t receive_frames, shared_frames, window_slots;
	uint64_t session_retry_ns, peer_timeout_ns, advertise_ns;
	/* By node: a peer without a control connection for so long is dead. */
	uint64_t control_dead_ns[WORLD_NODES_MAX];
	uint64_t rendezvous_ns;
};

struct world {
	struct world_config config;
	struct slu_sim *sim;
	struct slu_random random; /* what processes do beside their plans */
	struct node nodes[WORLD_NODES_MAX];
	struct plan plans[WORLD_PLANS_MAX];
	uint32_t plan_count;
	uint64_t generations;
	uint64_t protocol_errors; /* of engines that are gone */
	uint64_t deliveries;
	char failure[512]; /* the first thing that must not be; "" none */
};

void world_start(struct world *world, const struct world_config *config);
void world_stop(struct world *world);

/* Let everybody do what there is to do until until_ns, or until nothing is left
 * to happen (false then). Stops at the first failure. */
bool world_run(struct world *world, uint64_t until_ns);

/* Add a plan: key, tokens, todo and so on are filled by the caller. */
struct plan *world_plan(struct world *world);

void world_process_die(struct world *world, uint32_t node, uint32_t process);
void world_node_die(struct world *world, uint32_t node, enum slu_sim_death death);
void world_node_restart(struct world *world, uint32_t node);

void world_fail(struct world *world, const char *format, ...) __attribute__((format(printf, 2, 3)));

static inline uint64_t world_now(const struct world *world)
{
	return slu_sim_now_ns(world->sim);
}

/* ---- between the files of the world -------------------------------------- */

/* conductor.c: what the conductor does for a process. */
int conductor_open(struct node *node, struct end *end);
void conductor_close(struct node *node, struct end *end, int error, const char *reason);
void conductor_node_start(struct world *world, uint32_t idx);
void conductor_node_stop(struct node *node);
void conductor_timers(struct node *node);
uint64_t conductor_deadline(const struct node *node);

/* process.c: what a process does with its end. */
void process_act(struct world *world, struct end *end);

#endif
