/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conductor.c - the conductor's part in a simulated host: entries of the arena,
 * what engines are told of peers, and what is done for processes that die.
 */
#include "tests/sim/world.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define POLLER_SLOT 0u

/* ---- channels ------------------------------------------------------------ */

static void entry_init(struct node *node, const struct end *end)
{
	struct arena *arena = node->arena;
	struct chan_shm *shm = arena_chan(arena, end->chan_idx);
	uint32_t open_count = shm->open_count + 1;
	uint32_t local_slot = 1 + end->todo->process;
	bool sends = end->direction == SLU_SEND;
	uint32_t window = arena->window_slots;

	memset(shm, 0, arena->chan_stride_bytes);
	shm->open_count = open_count;
	shm->remote = 1;
	shm->window_max = window;
	atomic_store(&shm->limit_pos, window < CHAN_WINDOW_INITIAL ? window : CHAN_WINDOW_INITIAL);
	atomic_store(&shm->tx_slot, sends ? local_slot : POLLER_SLOT);
	atomic_store(&shm->rx_slot, sends ? POLLER_SLOT : local_slot);
	atomic_store(&shm->state, CHAN_OPEN);
	atomic_fetch_add(&arena->header->channels_open, 1);
}

static void entry_free(struct node *node, uint32_t chan_idx)
{
	frame_pool_reclaim_channel(node->arena, chan_idx);
	atomic_store(&arena_chan(node->arena, chan_idx)->state, CHAN_FREE);
	atomic_fetch_sub(&node->arena->header->channels_open, 1);
	node->used[chan_idx] = false;
	node->by_chan[chan_idx] = NULL;
}

static void on_channel_done(uint32_t chan_idx, void *ctx)
{
	struct node *node = ctx;

	if (!node->used[chan_idx] || node->by_chan[chan_idx])
		world_fail(node->world, "node %u: channel %u is done before it was closed",
		           node->idx, chan_idx);
	entry_free(node, chan_idx);
}

int conductor_open(struct node *node, struct end *end)
{
	struct plan *plan = end->plan;
	bool sends = end->direction == SLU_SEND;
	struct engine_open open = {
	        .peer = plan->todo[sends ? 1 : 0].node,
	        .direction = end->direction,
	        .key = plan->key,
	        .token = plan->tokens[sends ? 0 : 1],
	        .urgent = plan->urgent,
	        .rendezvous_deadline_ns =
	                world_now(node->world) + node->world->config.rendezvous_ns,
	};
	uint32_t idx = 0;
	int r;

	while (idx < WORLD_CHANNELS && node->used[idx])
		idx++;
	if (idx == WORLD_CHANNELS)
		return -ENOSPC;
	end->chan_idx = open.chan_idx = idx;
	node->used[idx] = true;
	node->by_chan[idx] = end;
	node->ready[idx] = false;
	entry_init(node, end);
	if (sends)
		chan_tx_init(&end->tx, &node->ports[1 + end->todo->process], idx);
	else
		chan_rx_init(&end->rx, &node->ports[1 + end->todo->process], idx, 0);
	r = engine_channel_open(node->engine, &open, world_now(node->world));
	if (r < 0)
		entry_free(node, idx);
	return r;
}

void conductor_close(struct node *node, struct end *end, int error, const char *reason)
{
	node->by_chan[end->chan_idx] = NULL;
	engine_channel_close(node->engine, end->chan_idx, error, reason, world_now(node->world));
}

/* ---- processes ----------------------------------------------------------- */

static void end_die(struct node *node, struct end *end)
{
	const struct chan_shm *shm = arena_chan(node->arena, end->chan_idx);
	bool in_order = end->direction == SLU_SEND ? atomic_load(&shm->eos_pos) != 0
	                                           : atomic_load(&shm->stop) != 0;
	char reason[64];

	snprintf(reason, sizeof(reason), "channel %u: a process on host node%u died", end->plan->id,
	         node->idx);
	end->state = END_DEAD;
	end->over_ns = world_now(node->world);
	conductor_close(node, end, in_order ? 0 : ECONNRESET, reason);
}

void world_process_die(struct world *world, uint32_t node_idx, uint32_t process)
{
	struct node *node = &world->nodes[node_idx];

	if (!node->alive)
		return;
	for (uint32_t p = 0; p < world->plan_count; p++)
		for (int e = 0; e < 2; e++) {
			struct end *end = &world->plans[p].ends[e];

			if (end->state == END_OPEN && end->todo->node == node_idx &&
			    end->todo->process == process)
				end_die(node, end);
		}
	frame_pool_reclaim_process(node->arena, 1 + process);
}

/* ---- peers --------------------------------------------------------------- */

static int on_control_send(uint32_t peer, const void *message, size_t size_bytes, void *ctx)
{
	struct node *node = ctx;

	return slu_sim_control_send(node->world->sim, node->idx, peer, message,
	                            (uint32_t)size_bytes);
}

static void on_up(void *ctx, uint32_t node_idx, uint32_t peer)
{
	struct world *world = ctx;
	struct node *node = &world->nodes[node_idx];
	const struct node *other = &world->nodes[peer];
	uint64_t now_ns = world_now(world);
	char name[16];

	if (!node->alive || !other->alive)
		return;
	if (node->peers[peer].generation && node->peers[peer].generation != other->generation)
		engine_peer_dead(node->engine, peer, ECONNRESET, "its agent started anew", now_ns);
	node->peers[peer].generation = other->generation;
	node->peers[peer].up = true;
	node->peers[peer].dead_ns = WORLD_NEVER;
	snprintf(name, sizeof(name), "node%u", peer);
	engine_peer_up(node->engine, peer, name, engine_address(other->engine), node_idx < peer,
	               false, now_ns);
}

static void on_down(void *ctx, uint32_t node_idx, uint32_t peer)
{
	struct world *world = ctx;
	struct node *node = &world->nodes[node_idx];

	if (!node->alive)
		return;
	node->peers[peer].up = false;
	node->peers[peer].dead_ns = world_now(world) + world->config.control_dead_ns[node_idx];
	engine_peer_down(node->engine, peer, world_now(world));
}

static void on_message(void *ctx, uint32_t node_idx, uint32_t peer, const void *message,
                       uint32_t size_bytes)
{
	struct world *world = ctx;
	struct node *node = &world->nodes[node_idx];
	char error[ARENA_ERROR_BYTES] = "";

	if (node->alive && engine_control_message(node->engine, peer, message, size_bytes,
	                                          world_now(world), error) < 0)
		world_fail(world, "node %u: %s", node_idx, error);
}

void conductor_timers(struct node *node)
{
	uint64_t now_ns = world_now(node->world);

	for (uint32_t i = 0; i < node->world->config.node_count; i++) {
		if (now_ns < node->peers[i].dead_ns)
			continue;
		node->peers[i].dead_ns = WORLD_NEVER;
		engine_peer_dead(node->engine, i, EHOSTDOWN, "its host is silent", now_ns);
	}
}

uint64_t conductor_deadline(const struct node *node)
{
	uint64_t next_ns = WORLD_NEVER;

	for (uint32_t i = 0; i < node->world->config.node_count; i++)
		if (node->peers[i].dead_ns < next_ns)
			next_ns = node->peers[i].dead_ns;
	return next_ns;
}

/* ---- hosts --------------------------------------------------------------- */

static void node_arena(struct node *node, const struct world_config *config)
{
	struct arena_config arena_config = {
	        .cluster = 1,
	        .generation = node->generation,
	        .node = "sim",
	        .frame_bytes = 4096,
	        .max_channels = WORLD_CHANNELS,
	        .receive_frames = config->receive_frames,
	        .max_processes = 1 + WORLD_PROCESSES,
	        .window_slots = config->window_slots,
	        .pollers = 1,
	        .hugepages = ARENA_HUGEPAGES_NEVER,
	        .numa_node = ARENA_NUMA_OFF,
	};
	char error[ARENA_ERROR_BYTES];

	arena_config.size_bytes =
	        arena_size_min(&arena_config) + (uint64_t)config->shared_frames * 4096;
	if (arena_create(&arena_config, error, &node->arena) < 0) {
		fprintf(stderr, "%s\n", error);
		exit(2);
	}
}

static void node_engine(struct node *node, const struct world_config *config)
{
	struct slu_driver_config driver = {
	        .options = config->options,
	        .option_count = config->option_count,
	        .environment = node->world->sim,
	};
	struct engine_callbacks callbacks = {on_control_send, on_channel_done, node};
	struct slu_driver_option options[8];
	char name[16], number[16], error[ARENA_ERROR_BYTES] = "";
	struct engine_config engine = {
	        .port = &node->ports[POLLER_SLOT],
	        .ops = slu_driver_find(config->driver),
	        .driver = &driver,
	        .node = name,
	        .bulk_sessions = config->bulk_sessions,
	        .crc32c = config->crc32c,
	        .session_retry_ns = config->session_retry_ns,
	        .peer_timeout_ns = config->peer_timeout_ns,
	        .advertise_ns = config->advertise_ns,
	        .seed = slu_random_mix(config->seed + node->generation),
	};

	snprintf(name, sizeof(name), "node%u", node->idx);
	snprintf(number, sizeof(number), "%u", node->idx);
	memcpy(options, config->options, sizeof(options));
	options[driver.option_count++] = (struct slu_driver_option){"node", number};
	driver.options = options;
	if (engine_create(&engine, &callbacks, world_now(node->world), error, &node->engine) < 0) {
		fprintf(stderr, "%s\n", error);
		exit(2);
	}
}

void conductor_node_start(struct world *world, uint32_t idx)
{
	static const struct slu_sim_control_ops control = {on_up, on_down, on_message};
	struct node *node = &world->nodes[idx];

	*node = (struct node){.world = world, .idx = idx, .generation = ++world->generations};
	for (uint32_t i = 0; i < WORLD_NODES_MAX; i++)
		node->peers[i].dead_ns = WORLD_NEVER;
	node_arena(node, &world->config);
	for (uint32_t i = 0; i <= WORLD_PROCESSES; i++) {
		if (port_init(&node->ports[i], node->arena, i, -1, NULL, NULL) < 0)
			exit(2);
		snprintf(arena_proc(node->arena, i)->name, PROC_NAME_BYTES, "process %u", i);
	}
	node_engine(node, &world->config);
	node->alive = true;
	slu_sim_control_listen(world->sim, idx, &control, world);
}

void conductor_node_stop(struct node *node)
{
	struct engine_stats stats;

	engine_stats(node->engine, &stats);
	node->world->protocol_errors += stats.protocol_errors;
	node->alive = false;
	engine_destroy(node->engine);
	for (uint32_t i = 0; i <= WORLD_PROCESSES; i++)
		port_fini(&node->ports[i]);
	arena_destroy(node->arena);
}

void world_node_die(struct world *world, uint32_t idx, enum slu_sim_death death)
{
	struct node *node = &world->nodes[idx];

	if (!node->alive)
		return;
	slu_sim_kill(world->sim, idx, death);
	conductor_node_stop(node);
	for (uint32_t p = 0; p < world->plan_count; p++)
		for (int e = 0; e < 2; e++) {
			struct end *end = &world->plans[p].ends[e];

			if (end->state != END_OPEN || end->todo->node != idx)
				continue;
			end->state = END_DEAD;
			end->over_ns = world_now(world);
		}
}

void world_node_restart(struct world *world, uint32_t idx)
{
	if (world->nodes[idx].alive)
		return;
	slu_sim_restart(world->sim, idx);
	conductor_node_start(world, idx);
}
