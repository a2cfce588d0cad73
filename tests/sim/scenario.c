/* SPDX-License-Identifier: Apache-2.0 */
/*
 * scenario.c - draws hosts, channels and misfortunes from a seed, lets them
 * happen, and holds what came out against what the engine promises: every frame
 * exactly once and in order and then EOS, or a RESET on both sides in time; and
 * nothing left over.
 */
#include "tests/sim/scenario.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define MS SLU_NS_PER_MS
#define S  SLU_NS_PER_S

#define MISFORTUNES_MAX 12u
/* After the last misfortune everything must have come to its end within this:
 * rendezvous, then a peer declared dead, then its slowest receiver. */
#define SETTLE_NS (30 * S)
/* When one end is over by force, the other knows within this. */
#define TELL_NS (12 * S)

enum misfortune_type { CUT, PARTITION, HEAL, PROCESS_DEATH, NODE_DEATH, NODE_RESTART };

struct misfortune {
	uint64_t at_ns;
	enum misfortune_type type;
	uint32_t a, b;
	enum slu_sim_death death;
};

struct scenario {
	struct world world;
	struct slu_random random;
	enum scenario_weather weather;
	struct misfortune misfortunes[MISFORTUNES_MAX];
	uint32_t misfortune_count;
	uint64_t last_ns; /* of opens and misfortunes */
};

static uint32_t upto(struct scenario *scenario, uint32_t bound)
{
	return (uint32_t)slu_random_upto(&scenario->random, bound);
}

static bool one_in(struct scenario *scenario, uint32_t n)
{
	return upto(scenario, n - 1) == 0;
}

/* ---- drawing the world --------------------------------------------------- */

static void option_add(struct world_config *config, const char *name, const char *value)
{
	config->options[config->option_count++] = (struct slu_driver_option){name, value};
}

static void network_draw(struct scenario *scenario, struct slu_sim_params *network, uint64_t seed)
{
	bool rough = scenario->weather != WEATHER_FAIR;

	slu_sim_params_init(network, seed);
	network->delay_ns_max = one_in(scenario, 2) ? 50000 : 2 * MS;
	/* 1: frame by frame, so that a session seldom has all when the next one comes. */
	network->queue_bytes_max = one_in(scenario, 3) ? 1 : one_in(scenario, 2) ? 8192 : 1u << 20;
	network->queue_small_max = one_in(scenario, 2) ? 2 : 64;
	network->session_timeout_ns = 500 * MS;
	network->control_timeout_ns = 500 * MS;
	network->wire.loss_per_million = rough ? 20000 : 0;
	network->wire.duplicate_per_million = 10000;
	network->wire.reorder_per_million = 10000;
	if (rough) {
		network->session_loss_per_million = one_in(scenario, 2) ? 0 : 5000;
		network->connect_refuse_per_million = one_in(scenario, 2) ? 0 : 100000;
	}
}

static void config_draw(struct scenario *scenario, struct world_config *config, uint64_t seed)
{
	*config = (struct world_config){
	        .seed = seed,
	        .node_count = 2 + upto(scenario, WORLD_NODES_MAX - 2),
	        .driver = "sim",
	        .crc32c = one_in(scenario, 2),
	        .bulk_sessions = 1 + upto(scenario, 3),
	        .receive_frames =
	                one_in(scenario, 4) ? 8 + upto(scenario, 8) : 40 + upto(scenario, 40),
	        .shared_frames = 8 + upto(scenario, 60),
	        .window_slots = 8u << upto(scenario, 2),
	        .session_retry_ns = 5 * MS,
	        .peer_timeout_ns = 2 * S,
	        .advertise_ns = 50 * MS,
	        .rendezvous_ns = 4 * S,
	};
	for (uint32_t i = 0; i < WORLD_NODES_MAX; i++)
		config->control_dead_ns[i] = one_in(scenario, 3) ? 7 * S : 1500 * MS;
	/* Where nothing is lost nobody may need to ask. */
	if (scenario->weather == WEATHER_FAIR && one_in(scenario, 2))
		config->advertise_ns = 3600 * S;
	network_draw(scenario, &config->network, seed);
	if (scenario->weather == WEATHER_FAIR || one_in(scenario, 2))
		return;
	config->driver = "fault:sim";
	option_add(config, "fault_again_per_million", "50000");
	option_add(config, "fault_corrupt_per_million", one_in(scenario, 2) ? "3000" : "0");
	option_add(config, "fault_sent_late_ns_max", one_in(scenario, 2) ? "1000000" : "0");
	option_add(config, "fault_delay_ns_max", one_in(scenario, 2) ? "500000" : "0");
}

/* ---- drawing channels ---------------------------------------------------- */

static void token_draw(struct scenario *scenario, struct slu_token *token)
{
	for (size_t i = 0; i < sizeof(token->bytes); i++)
		token->bytes[i] = (uint8_t)upto(scenario, 255);
}

static void end_plan_draw(struct scenario *scenario, struct end_plan *todo, uint32_t frame_count)
{
	bool storm = scenario->weather == WEATHER_STORM;

	todo->process = upto(scenario, WORLD_PROCESSES - 1);
	todo->open_ns = one_in(scenario, 3) ? 0 : upto(scenario, 30) * MS;
	todo->think_ns = one_in(scenario, 3) ? 0 : upto(scenario, 3 * MS);
	todo->quit_frames = UINT32_MAX;
	todo->held_max = 1 + upto(scenario, WORLD_HELD_MAX - 1);
	if (storm && one_in(scenario, 8))
		todo->open_ns = upto(scenario, 5) * S;
	if (storm && one_in(scenario, 20))
		todo->open_ns = WORLD_NEVER;
	if (one_in(scenario, 5) && storm) {
		todo->quit_frames = upto(scenario, frame_count);
		todo->quit_resets = one_in(scenario, 2);
		todo->reset_lingers = one_in(scenario, 2);
	}
	if (todo->open_ns != WORLD_NEVER && todo->open_ns > scenario->last_ns)
		scenario->last_ns = todo->open_ns;
}

static void plan_draw(struct scenario *scenario)
{
	struct world *world = &scenario->world;
	struct plan *plan = world_plan(world);
	uint32_t nodes = world->config.node_count;
	bool storm = scenario->weather == WEATHER_STORM;

	plan->key = (struct slu_key){.cluster = 1, .query = 5, .motion = plan->id};
	plan->frame_count = one_in(scenario, 10) ? 0 : upto(scenario, 60);
	plan->urgent = one_in(scenario, 5);
	token_draw(scenario, &plan->tokens[0]);
	plan->tokens[1] = plan->tokens[0];
	if (storm && one_in(scenario, 25))
		token_draw(scenario, &plan->tokens[1]);
	for (int e = 0; e < 2; e++)
		end_plan_draw(scenario, &plan->todo[e], plan->frame_count);
	plan->todo[0].node = upto(scenario, nodes - 1);
	plan->todo[1].node = (plan->todo[0].node + 1 + upto(scenario, nodes - 2)) % nodes;
	/* A receiver that wants no more is no misfortune: LIMIT is daily bread. */
	if (one_in(scenario, 6)) {
		plan->todo[1].quit_frames = upto(scenario, plan->frame_count);
		plan->todo[1].quit_resets = false;
		plan->todo[1].stop_lingers = one_in(scenario, 2);
	}
	if (plan->id > 0 && one_in(scenario, 6)) {
		plan->after = &world->plans[upto(scenario, plan->id - 1)];
		plan->key = plan->after->key;
		for (int e = 0; e < 2; e++)
			plan->todo[e].node = plan->after->todo[e].node;
		/* One user of a name after the other. */
		for (uint32_t i = 0; i < plan->id; i++)
			if (world->plans[i].after == plan->after) {
				plan->after = NULL;
				plan->key.motion = plan->id;
				break;
			}
	}
}

/* ---- drawing misfortunes ------------------------------------------------- */

static void misfortune_add(struct scenario *scenario, struct misfortune misfortune)
{
	uint32_t i = scenario->misfortune_count++;

	/* In order of time. */
	for (; i > 0 && scenario->misfortunes[i - 1].at_ns > misfortune.at_ns; i--)
		scenario->misfortunes[i] = scenario->misfortunes[i - 1];
	scenario->misfortunes[i] = misfortune;
	if (misfortune.at_ns > scenario->last_ns)
		scenario->last_ns = misfortune.at_ns;
}

static void misfortune_draw(struct scenario *scenario)
{
	uint32_t nodes = scenario->world.config.node_count;
	bool storm = scenario->weather == WEATHER_STORM;
	struct misfortune one = {.at_ns = upto(scenario, 100) * MS + upto(scenario, MS)};
	uint64_t longest_ns = storm ? 4 * S : 200 * MS;

	one.a = upto(scenario, nodes - 1);
	one.b = (one.a + 1 + upto(scenario, nodes - 2)) % nodes;
	one.death = one_in(scenario, 2) ? SLU_SIM_PROCESS_DIES : SLU_SIM_HOST_DIES;
	switch (upto(scenario, storm ? 3 : 1)) {
	case 0:
		one.type = CUT;
		break;
	case 1:
		one.type = PARTITION;
		misfortune_add(scenario, one);
		one.type = HEAL;
		one.at_ns += slu_random_upto(&scenario->random, longest_ns);
		break;
	case 2:
		one.type = PROCESS_DEATH;
		one.b = upto(scenario, WORLD_PROCESSES - 1);
		break;
	case 3:
		one.type = NODE_DEATH;
		misfortune_add(scenario, one);
		one.type = NODE_RESTART;
		one.at_ns += slu_random_upto(&scenario->random, longest_ns);
		break;
	}
	misfortune_add(scenario, one);
}

static void misfortune_happen(struct world *world, const struct misfortune *one)
{
	switch (one->type) {
	case CUT:
		slu_sim_cut_sessions(world->sim, one->a, one->b);
		break;
	case PARTITION:
		slu_sim_partition(world->sim, one->a, one->b);
		break;
	case HEAL:
		slu_sim_heal(world->sim, one->a, one->b);
		break;
	case PROCESS_DEATH:
		world_process_die(world, one->a, one->b);
		break;
	case NODE_DEATH:
		world_node_die(world, one->a, one->death);
		break;
	case NODE_RESTART:
		world_node_restart(world, one->a);
		break;
	}
}

static void scenario_draw(struct scenario *scenario, uint64_t seed, FILE *trace)
{
	struct world_config config;
	uint32_t plans, misfortunes;

	memset(scenario, 0, sizeof(*scenario));
	scenario->random.state = slu_random_mix(seed);
	scenario->weather = (enum scenario_weather)upto(scenario, WEATHERS - 1);
	config_draw(scenario, &config, seed);
	world_start(&scenario->world, &config);
	slu_sim_trace_to(scenario->world.sim, trace);
	plans = 1 + upto(scenario, WORLD_PLANS_MAX - 1);
	for (uint32_t i = 0; i < plans; i++)
		plan_draw(scenario);
	misfortunes = scenario->weather == WEATHER_FAIR ? 0 : upto(scenario, MISFORTUNES_MAX / 2);
	for (uint32_t i = 0; i < misfortunes; i++)
		misfortune_draw(scenario);
}

/* ---- judging ------------------------------------------------------------- */

static const char *state_name(const struct end *end)
{
	static const char *const names[] = {"to come", "open", "closed", "refused", "dead"};

	return names[end->state];
}

static void judge_plan_failed(struct world *world, const struct plan *plan, const char *what)
{
	const struct end *tx = &plan->ends[0], *rx = &plan->ends[1];

	world_fail(world,
	           "plan %u (%u frames, node %u to %u): %s; sender %s: %u frames, eos %d, stopped "
	           "%d, reset %d, waits %d, chan %u; receiver %s: %u frames, eos %d, stopped %d, "
	           "reset %d, waits %d, chan %u",
	           plan->id, plan->frame_count, plan->todo[0].node, plan->todo[1].node, what,
	           state_name(tx), tx->frames, tx->eos, tx->stopped, tx->reset_error, tx->waits,
	           tx->chan_idx, state_name(rx), rx->frames, rx->eos, rx->stopped, rx->reset_error,
	           rx->waits, rx->chan_idx);
}

/* Ended otherwise than by EOS or STOP. */
static bool end_by_force(const struct end *end)
{
	return end->reset_error || end->state == END_REFUSED || end->state == END_DEAD;
}

/* Whether nothing in this plan or its world is a reason to fail. */
static bool must_succeed(const struct scenario *scenario, const struct plan *plan)
{
	const struct end *tx = &plan->ends[0], *rx = &plan->ends[1];

	return scenario->weather != WEATHER_STORM && tx->reset_error != -ENOSPC &&
	       rx->reset_error != -ENOSPC;
}

static void judge_plan(struct scenario *scenario, const struct plan *plan)
{
	struct world *world = &scenario->world;
	const struct end *tx = &plan->ends[0], *rx = &plan->ends[1];

	if (tx->state == END_OPEN || rx->state == END_OPEN)
		judge_plan_failed(world, plan, "an end hangs");
	else if (rx->eos && !rx->stopped && (!tx->eos || rx->frames != tx->frames))
		judge_plan_failed(world, plan, "EOS before everything was received");
	else if (rx->frames > tx->frames)
		judge_plan_failed(world, plan, "more received than sent");
	else if (must_succeed(scenario, plan) && (end_by_force(tx) || end_by_force(rx)))
		judge_plan_failed(world, plan, "reset for no reason");
	else if (must_succeed(scenario, plan) && !rx->stopped && !rx->eos)
		judge_plan_failed(world, plan, "not everything arrived");
	else if (end_by_force(tx) && rx->state == END_CLOSED &&
	         rx->over_ns > tx->over_ns + TELL_NS && tx->over_ns > scenario->last_ns)
		judge_plan_failed(world, plan, "the receiver was told too late");
	else if (end_by_force(rx) && tx->state == END_CLOSED &&
	         tx->over_ns > rx->over_ns + TELL_NS && rx->over_ns > scenario->last_ns)
		judge_plan_failed(world, plan, "the sender was told too late");
}

static void judge_node(struct world *world, const struct node *node)
{
	struct frame_pool_counts counts;
	struct engine_stats stats;

	if (!node->alive)
		return;
	engine_stats(node->engine, &stats);
	frame_pool_count(node->arena, &counts);
	if (stats.channels || stats.receive_frames_promised)
		world_fail(world, "node %u: %u channels and %u promised frames are left", node->idx,
		           stats.channels, stats.receive_frames_promised);
	else if (counts.held || counts.queued || counts.home != WORLD_CHANNELS)
		world_fail(world, "node %u: frames leaked: %u held, %u queued, %u of %u home",
		           node->idx, counts.held, counts.queued, counts.home, WORLD_CHANNELS);
	else if (engine_deadline(node->engine) != UINT64_MAX)
		world_fail(world, "node %u: a timer is left", node->idx);
}

static void result_add_node(struct scenario_result *result, const struct node *node)
{
	struct engine_stats stats;

	if (!node->alive)
		return;
	engine_stats(node->engine, &stats);
	result->resets += stats.channels_reset;
	result->sessions_lost += stats.sessions_lost;
	result->resent += stats.resent_frames;
	result->duplicates += stats.duplicate_frames;
	result->crc_errors += stats.crc_errors;
}

static void judge_world(struct world *world, struct scenario_result *result)
{
	uint64_t protocol_errors = world->protocol_errors;

	for (uint32_t i = 0; i < world->config.node_count; i++) {
		struct engine_stats stats = {0};

		judge_node(world, &world->nodes[i]);
		result_add_node(result, &world->nodes[i]);
		if (world->nodes[i].alive)
			engine_stats(world->nodes[i].engine, &stats);
		protocol_errors += stats.protocol_errors;
	}
	if (protocol_errors && strcmp(world->config.driver, "sim") == 0)
		world_fail(world, "%llu protocol errors between sound engines",
		           (unsigned long long)protocol_errors);
}

void scenario_run(uint64_t seed, FILE *trace, struct scenario_result *ret_result)
{
	static struct scenario scenario;
	struct world *world = &scenario.world;

	*ret_result = (struct scenario_result){0};
	scenario_draw(&scenario, seed, trace);
	for (uint32_t i = 0; i < scenario.misfortune_count; i++) {
		world_run(world, scenario.misfortunes[i].at_ns);
		misfortune_happen(world, &scenario.misfortunes[i]);
	}
	world_run(world, scenario.last_ns + SETTLE_NS);
	for (uint32_t p = 0; p < world->plan_count; p++)
		judge_plan(&scenario, &world->plans[p]);
	/* A timer that is of no use any more may run out, and is not set again. */
	world_run(world, world_now(world) + 2 * world->config.advertise_ns);
	if (!world->failure[0])
		judge_world(world, ret_result);
	ret_result->weather = scenario.weather;
	ret_result->trace_hash = slu_sim_trace_hash(world->sim);
	ret_result->virtual_ns = world_now(world);
	ret_result->deliveries = world->deliveries;
	memcpy(ret_result->failure, world->failure, sizeof(ret_result->failure));
	world_stop(world);
}
