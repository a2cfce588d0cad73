/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conformance.h - one suite of tests over every driver: each sentence of
 * transport/driver.h. What differs between drivers is a fixture: how instances
 * come into one network and how time passes in it.
 */
#ifndef TESTS_DRIVER_CONFORMANCE_H
#define TESTS_DRIVER_CONFORMANCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/driver/remote.h"
#include "transport/driver.h"

#define CONFORMANCE_INSTANCE_OPTIONS_MAX 4

/* What the instances of a test share. */
struct conformance_environment {
	void *network;   /* config->environment of the instances */
	uint64_t now_ns; /* of a clock that the fixture keeps */
};

struct conformance_fixture {
	const char *name;   /* argument of the test program */
	const char *driver; /* for slu_driver_find */

	const struct slu_driver_option *options; /* of every instance */
	size_t option_count;
	/* Further options of one instance, at most CONFORMANCE_INSTANCE_OPTIONS_MAX;
	 * returns how many. NULL: none. */
	size_t (*instance_options)(int instance_idx, struct slu_driver_option *ret_options);

	struct conformance_environment *(*environment_create)(uint64_t seed);
	void (*environment_destroy)(struct conformance_environment *environment);

	uint64_t (*now_ns)(struct conformance_environment *environment);
	/* Nobody has anything to do: let time pass until deadline_ns, until one of
	 * the descriptors is readable, or until the network did something. Returns
	 * false when nothing can happen any more. */
	bool (*wait)(struct conformance_environment *environment, uint64_t deadline_ns,
	             const int *fds, int fd_count);

	/* Sessions end and connects fail by themselves: only the tests that allow
	 * for it are run. */
	bool faults;
	bool protect; /* sessions are encrypted */
	/* Instances find each other from different processes. */
	bool apart;
};

/* Instances that are not in this process. */
struct conformance_far {
	struct remote_place place;
	int parity; /* those whose number modulo 2 is this */
};

/* Fixtures of the drivers in this build, ended by one without a name. */
extern const struct conformance_fixture conformance_fixtures[];
/* NULL: there is none of that name. */
const struct conformance_fixture *conformance_fixture_find(const char *name);

/* Run the suite; returns the exit status of the test program. far: NULL when all
 * instances are in this process. */
int conformance_run(const struct conformance_fixture *fixture, const struct conformance_far *far,
                    uint64_t seed);

#endif
