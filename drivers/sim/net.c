/* SPDX-License-Identifier: Apache-2.0 */
/* net.c - the simulated network: its clock, its faults, its trace. */
#include <inttypes.h>
#include <stdlib.h>

#include "drivers/sim/net.h"

#define US UINT64_C(1000)
#define S  UINT64_C(1000000000)

void slu_sim_params_init(struct slu_sim_params *ret_params, uint64_t seed)
{
	*ret_params = (struct slu_sim_params){
	        .seed = seed,
	        .delay_ns_min = 10 * US,
	        .delay_ns_max = 50 * US,
	        .piece_bytes_max = 16384,
	        .piece_ns_max = 2 * US,
	        .queue_bytes_max = 1u << 20,
	        .queue_small_max = 64,
	        .down_skew_ns_max = 100 * US,
	        .session_timeout_ns = 3 * S,
	        .control_timeout_ns = 3 * S,
	        .wire = {.delay_ns_min = 10 * US,
	                 .delay_ns_max = 50 * US,
	                 .reorder_ns_max = 200 * US,
	                 .packet_bytes_max = 1472},
	};
}

struct slu_sim *slu_sim_create(const struct slu_sim_params *params)
{
	struct slu_sim *sim = sim_alloc(sizeof(*sim));

	sim->params = *params;
	sim->random.state = params->seed;
	/* Streams of their own, so that one more packet moves no session. */
	sim->wire =
	        slu_wire_create(&params->wire, slu_random_mix(params->seed ^ UINT64_C(0x77697265)));
	sim->trace_hash = params->seed;
	TAILQ_INIT(&sim->drivers);
	return sim;
}

void slu_sim_destroy(struct slu_sim *sim)
{
	sim_control_destroy_all(sim);
	slu_wire_destroy(sim->wire);
	sim_timers_fini(&sim->timers);
	free(sim);
}

void sim_trace(struct slu_sim *sim, const char *what, uint64_t a, uint64_t b, uint64_t c)
{
	uint64_t words[] = {sim->now_ns, 0, a, b, c};
	size_t idx;

	for (idx = 0; what[idx]; idx++)
		words[1] = words[1] * 31 + (unsigned char)what[idx];
	for (idx = 0; idx < sizeof(words) / sizeof(words[0]); idx++)
		sim->trace_hash = slu_random_mix(sim->trace_hash + words[idx]);
	if (sim->trace_file)
		fprintf(sim->trace_file, "%" PRIu64 " %s %" PRIu64 " %" PRIu64 " %" PRIu64 "\n",
		        sim->now_ns, what, a, b, c);
}

uint64_t slu_sim_trace_hash(const struct slu_sim *sim)
{
	return sim->trace_hash;
}

void slu_sim_trace_to(struct slu_sim *sim, FILE *file)
{
	sim->trace_file = file;
}

uint64_t sim_after(struct slu_sim *sim, uint64_t ns_min, uint64_t ns_max)
{
	return sim->now_ns + ns_min + slu_random_upto(&sim->random, ns_max - ns_min);
}

uint64_t sim_after_delay(struct slu_sim *sim)
{
	return sim_after(sim, sim->params.delay_ns_min, sim->params.delay_ns_max);
}

bool sim_reaches(const struct slu_sim *sim, uint32_t from, uint32_t to)
{
	return !sim->blocked[from][to] && !sim->nodes[from].silent && !sim->nodes[to].silent;
}

/* ---- time ---------------------------------------------------------------- */

uint64_t slu_sim_now_ns(const struct slu_sim *sim)
{
	return sim->now_ns;
}

uint64_t slu_sim_next_ns(const struct slu_sim *sim)
{
	const struct sim_timer *first = sim_timers_first(&sim->timers);
	uint64_t wire_ns = slu_wire_next_ns(sim->wire);

	return first && first->at_ns < wire_ns ? first->at_ns : wire_ns;
}

bool slu_sim_step(struct slu_sim *sim)
{
	uint64_t next_ns = slu_sim_next_ns(sim);
	const struct slu_wire_packet *packet;
	struct sim_timer *first;

	if (next_ns == UINT64_MAX)
		return false;
	if (next_ns > sim->now_ns)
		sim->now_ns = next_ns;
	sim->stats.events++;
	packet = slu_wire_receive(sim->wire, sim->now_ns);
	if (packet) {
		sim_control_receive(sim, packet);
		return true;
	}
	first = sim_timers_first(&sim->timers);
	sim_timer_cancel(&sim->timers, first);
	first->fire(first->ctx);
	return true;
}

void slu_sim_advance(struct slu_sim *sim, uint64_t until_ns)
{
	while (slu_sim_next_ns(sim) <= until_ns && slu_sim_step(sim))
		;
	if (until_ns > sim->now_ns)
		sim->now_ns = until_ns;
}

/* ---- faults -------------------------------------------------------------- */

/* Call what, which frees no end, for every end of a session between a and b. */
static void sessions_between(struct slu_sim *sim, uint32_t a, uint32_t b,
                             void (*what)(struct slu_session *session))
{
	struct slu_driver *driver;
	struct slu_session *session;

	TAILQ_FOREACH (driver, &sim->drivers, link) {
		if (driver->dead || (driver->node != a && driver->node != b))
			continue;
		TAILQ_FOREACH (session, &driver->sessions, link) {
			if (session->peer_node == (driver->node == a ? b : a))
				what(session);
		}
	}
}

void slu_sim_partition(struct slu_sim *sim, uint32_t a, uint32_t b)
{
	if (sim->blocked[a][b])
		return;
	sim_trace(sim, "partition", a, b, 0);
	sim->blocked[a][b] = sim->blocked[b][a] = true;
	sessions_between(sim, a, b, sim_session_partition);
	sim_control_partition(sim, a, b);
}

void slu_sim_heal(struct slu_sim *sim, uint32_t a, uint32_t b)
{
	if (!sim->blocked[a][b])
		return;
	sim_trace(sim, "heal", a, b, 0);
	sim->blocked[a][b] = sim->blocked[b][a] = false;
	sessions_between(sim, a, b, sim_session_heal);
	sim_control_heal(sim, a, b);
}

void slu_sim_kill(struct slu_sim *sim, uint32_t node, enum slu_sim_death death)
{
	struct slu_driver *driver;
	struct slu_session *session;

	sim_trace(sim, "kill", node, death, 0);
	TAILQ_FOREACH (driver, &sim->drivers, link) {
		if (driver->node != node || driver->dead)
			continue;
		driver->dead = true;
		TAILQ_FOREACH (session, &driver->sessions, link)
			sim_session_die(session, death);
	}
	sim->nodes[node].dead = true;
	sim->nodes[node].silent = death == SLU_SIM_HOST_DIES;
	sim_control_kill(sim, node, death);
}

void slu_sim_restart(struct slu_sim *sim, uint32_t node)
{
	sim_trace(sim, "restart", node, 0, 0);
	sim->nodes[node].dead = sim->nodes[node].silent = false;
}

unsigned slu_sim_cut_sessions(struct slu_sim *sim, uint32_t a, uint32_t b)
{
	uint64_t lost = sim->stats.sessions_lost;

	sessions_between(sim, a, b, sim_session_break);
	return (unsigned)(sim->stats.sessions_lost - lost);
}

void slu_sim_stats(const struct slu_sim *sim, struct slu_sim_stats *ret_stats)
{
	*ret_stats = sim->stats;
}

void slu_sim_wire_stats(const struct slu_sim *sim, struct slu_wire_stats *ret_stats)
{
	slu_wire_stats(sim->wire, ret_stats);
}
