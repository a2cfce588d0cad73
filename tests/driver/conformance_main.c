/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conformance_main.c - runs the conformance suite over one fixture:
 *   conformance FIXTURE [SEED]
 * Exit status: 0 all passed, 1 some failed, 77 the driver is not in this build.
 */
#include <stdio.h>
#include <stdlib.h>

#include "tests/driver/conformance.h"
#include "tests/unit/unit.h"

#define SEED_DEFAULT 20110516u

int main(int argc, char **argv)
{
	const struct conformance_fixture *fixture = conformance_fixtures;
	uint64_t seed = SEED_DEFAULT;

	if (argc < 2 || argc > 3) {
		fprintf(stderr, "usage: conformance FIXTURE [SEED]\nfixtures:");
		for (; fixture->name; fixture++)
			fprintf(stderr, " %s", fixture->name);
		fprintf(stderr, "\n");
		return EXIT_FAILURE;
	}
	if (argc == 3)
		seed = strtoull(argv[2], NULL, 0);
	fixture = conformance_fixture_find(argv[1]);
	if (!fixture) {
		fprintf(stderr, "no fixture named %s\n", argv[1]);
		return EXIT_FAILURE;
	}
	if (!slu_driver_find(fixture->driver)) {
		printf("skipped: the driver %s is not in this build\n", fixture->driver);
		return UNIT_SKIPPED;
	}
	return conformance_run(fixture, seed);
}
