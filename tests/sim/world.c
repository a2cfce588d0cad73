/* SPDX-License-Identifier: Apache-2.0 */
/* world.c - see world.h: start, stop, and the order in which everybody acts. */
#include "tests/sim/world.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Rounds without the clock moving after which something spins. */
#define ROUNDS_MAX 100000u

void world_fail(struct world *world, const char *format, ...)
{
	va_list arguments;
	int used;

	if (world->failure[0])
		return;
	used = snprintf(world->failure, sizeof(world->failure),
	                "at %.6f s: ", (double)world_now(world) / SLU_NS_PER_S);
	va_start(arguments, format);
	vsnprintf(world->failure + used, sizeof(world->failure) - (size_t)used, format, arguments);
	va_end(arguments);
}

void world_start(struct world *world, const struct world_config *config)
{
	*world = (struct world){.config = *config};
	world->random.state = slu_random_mix(config->seed ^ UINT64_C(0x776f726c64));
	world->sim = slu_sim_create(&config->network);
	for (uint32_t i = 0; i < config->node_count; i++)
		conductor_node_start(world, i);
	for (uint32_t i = 0; i < config->node_count; i++)
		for (uint32_t j = i + 1; j < config->node_count; j++)
			slu_sim_control_connect(world->sim, i, j);
}

void world_stop(struct world *world)
{
	for (uint32_t i = 0; i < world->config.node_count; i++)
		if (world->nodes[i].alive)
			conductor_node_stop(&world->nodes[i]);
	slu_sim_destroy(world->sim);
}

struct plan *world_plan(struct world *world)
{
	struct plan *plan = &world->plans[world->plan_count];

	plan->id = world->plan_count++;
	for (int e = 0; e < 2; e++) {
		plan->ends[e].plan = plan;
		plan->ends[e].todo = &plan->todo[e];
		plan->ends[e].direction = e == 0 ? SLU_SEND : SLU_RECV;
	}
	return plan;
}

static void on_ready(uint32_t chan_idx, void *ctx)
{
	struct node *node = ctx;

	node->ready[chan_idx] = true;
}

/* Returns how much was done. */
static uint32_t node_round(struct node *node)
{
	uint32_t work = 0;

	if (!node->alive)
		return 0;
	conductor_timers(node);
	work += engine_poll(node->engine, world_now(node->world));
	for (uint32_t i = 0; i < WORLD_PROCESSES; i++)
		work += readyset_take(&node->ports[1 + i].ready, on_ready, node);
	return work;
}

static uint32_t world_round(struct world *world)
{
	uint32_t first = (uint32_t)slu_random_upto(&world->random, WORLD_NODES_MAX - 1);
	uint32_t work = 0;

	for (uint32_t i = 0; i < world->config.node_count; i++)
		work += node_round(&world->nodes[(first + i) % world->config.node_count]);
	for (uint32_t p = 0; p < world->plan_count; p++)
		for (int e = 0; e < 2; e++)
			process_act(world, &world->plans[p].ends[e]);
	return work;
}

static uint64_t min_ns(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t end_next_ns(const struct world *world, const struct end *end)
{
	const struct node *node = &world->nodes[end->todo->node];

	if (end->state == END_TO_COME && end->todo->open_ns > world_now(world))
		return end->todo->open_ns;
	if (end->state != END_OPEN)
		return WORLD_NEVER;
	if (!end->waits)
		return end->act_ns;
	return node->ready[end->chan_idx] ? world_now(world) : WORLD_NEVER;
}

static uint64_t world_next_ns(const struct world *world)
{
	uint64_t next_ns = slu_sim_next_ns(world->sim);

	for (uint32_t i = 0; i < world->config.node_count; i++) {
		const struct node *node = &world->nodes[i];

		if (!node->alive)
			continue;
		if (readyset_any(&node->ports[0].ready))
			return world_now(world);
		next_ns = min_ns(next_ns, engine_deadline(node->engine));
		next_ns = min_ns(next_ns, conductor_deadline(node));
	}
	for (uint32_t p = 0; p < world->plan_count; p++)
		for (int e = 0; e < 2; e++)
			next_ns = min_ns(next_ns, end_next_ns(world, &world->plans[p].ends[e]));
	return next_ns;
}

bool world_run(struct world *world, uint64_t until_ns)
{
	uint32_t rounds = 0;

	while (!world->failure[0]) {
		uint64_t now_ns = world_now(world);
		uint32_t work = world_round(world);
		uint64_t next_ns = world_next_ns(world);

		if (slu_sim_next_ns(world->sim) <= now_ns)
			slu_sim_advance(world->sim, now_ns);
		if (work || next_ns <= now_ns) {
			if (++rounds > ROUNDS_MAX)
				world_fail(world, "something spins");
			continue;
		}
		rounds = 0;
		if (next_ns == WORLD_NEVER || next_ns >= until_ns) {
			if (until_ns != WORLD_NEVER)
				slu_sim_advance(world->sim, until_ns);
			return next_ns != WORLD_NEVER;
		}
		slu_sim_advance(world->sim, next_ns);
	}
	return false;
}
