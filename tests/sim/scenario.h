/* SPDX-License-Identifier: Apache-2.0 */
/* scenario.h - one run of the simulation: drawn from a seed, run, judged. */
#ifndef TESTS_SIM_SCENARIO_H
#define TESTS_SIM_SCENARIO_H

#include "tests/sim/world.h"

/* How much goes wrong. */
enum scenario_weather {
	WEATHER_FAIR,  /* nothing: everything that is sent must arrive */
	WEATHER_MILD,  /* sessions break, bits flip, short partitions: likewise */
	WEATHER_STORM, /* long partitions, deaths of processes, agents and hosts */
	WEATHERS
};

struct scenario_result {
	enum scenario_weather weather;
	uint64_t trace_hash;
	uint64_t virtual_ns;
	uint64_t deliveries, resets, sessions_lost, resent, duplicates, crc_errors;
	char failure[512]; /* "": none */
};

/* trace: a line per event of the network; NULL: none. */
void scenario_run(uint64_t seed, FILE *trace, struct scenario_result *ret_result);

#endif
