/* SPDX-License-Identifier: Apache-2.0 */
/*
 * main.c - runs the simulation over many seeds and stops at the first that fails.
 *
 *	sim [COUNT [FIRST]]   SIM_SEEDS, SIM_FIRST in the environment likewise
 *	sim --trace SEED      one seed, with what the network did on standard output
 */
#include "tests/sim/scenario.h"
#include "transport/log.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SEEDS_DEFAULT 1000
/* Every so many seeds the run is made twice, and must be the same. */
#define REPLAY_EVERY 50

static const char *const weather_names[] = {"fair", "mild", "storm"};

static uint64_t number(const char *argument, const char *variable, uint64_t fallback)
{
	const char *text = argument ? argument : getenv(variable);

	return text && *text ? strtoull(text, NULL, 10) : fallback;
}

static int seed_failed(const char *program, uint64_t seed, const char *what)
{
	printf("seed %" PRIu64 " failed: %s\nreplay: %s --trace %" PRIu64 "\n", seed, what, program,
	       seed);
	return 1;
}

static int run_seed(const char *program, uint64_t seed, FILE *trace,
                    struct scenario_result *ret_result)
{
	struct scenario_result again;

	scenario_run(seed, trace, ret_result);
	if (ret_result->failure[0])
		return seed_failed(program, seed, ret_result->failure);
	if (seed % REPLAY_EVERY)
		return 0;
	scenario_run(seed, NULL, &again);
	if (again.trace_hash != ret_result->trace_hash)
		return seed_failed(program, seed, "a second run went another way");
	return 0;
}

static int run_seeds(const char *program, uint64_t count, uint64_t first)
{
	struct scenario_result sum = {0};
	uint64_t weathers[WEATHERS] = {0};

	for (uint64_t seed = first; seed < first + count; seed++) {
		struct scenario_result one;

		if (run_seed(program, seed, NULL, &one) != 0)
			return 1;
		weathers[one.weather]++;
		sum.deliveries += one.deliveries;
		sum.resets += one.resets;
		sum.sessions_lost += one.sessions_lost;
		sum.resent += one.resent;
		sum.duplicates += one.duplicates;
		sum.crc_errors += one.crc_errors;
		sum.virtual_ns += one.virtual_ns;
	}
	printf("%" PRIu64 " seeds from %" PRIu64 ":", count, first);
	for (int w = 0; w < WEATHERS; w++)
		printf(" %" PRIu64 " %s", weathers[w], weather_names[w]);
	printf("\n%" PRIu64 " frames delivered, %" PRIu64 " resets, %" PRIu64
	       " sessions lost, %" PRIu64 " frames resent, %" PRIu64 " duplicates dropped, %" PRIu64
	       " checksum errors, %.0f virtual seconds\n",
	       sum.deliveries, sum.resets, sum.sessions_lost, sum.resent, sum.duplicates,
	       sum.crc_errors, (double)sum.virtual_ns / SLU_NS_PER_S);
	return 0;
}

int main(int argc, char **argv)
{
	struct scenario_result one;

	setvbuf(stdout, NULL, _IOLBF, 0);
	log_set_level(getenv("SIM_LOG") ? LOG_LEVEL_DEBUG : LOG_LEVEL_ERROR);
	if (argc == 3 && strcmp(argv[1], "--trace") == 0)
		return run_seed(argv[0], strtoull(argv[2], NULL, 10), stdout, &one);
	return run_seeds(argv[0], number(argc > 1 ? argv[1] : NULL, "SIM_SEEDS", SEEDS_DEFAULT),
	                 number(argc > 2 ? argv[2] : NULL, "SIM_FIRST", 1));
}
