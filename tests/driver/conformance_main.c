/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conformance_main.c - runs the conformance suite over one fixture:
 *   conformance FIXTURE [SEED]
 *   conformance --far odd|even FIXTURE [SEED]
 *       the instances of odd or even numbers are in other processes of this host
 *   conformance --far odd|even@ADDRESS:PORT FIXTURE [SEED]
 *       ... in processes of conformance --serve on another host
 *   conformance --serve ADDRESS:PORT
 *       for one run
 * Exit status: 0 all passed, 1 some failed, 77 the driver is not in this build, or
 * the fixture makes no sense so.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/driver/conformance.h"
#include "tests/unit/unit.h"

#define SEED_DEFAULT 20110516u

static int usage(void)
{
	const struct conformance_fixture *fixture;

	fprintf(stderr, "usage: conformance [--far odd|even[@ADDRESS:PORT]] FIXTURE [SEED]\n"
	                "       conformance --serve ADDRESS:PORT\n"
	                "fixtures:");
	for (fixture = conformance_fixtures; fixture->name; fixture++)
		fprintf(stderr, " %s", fixture->name);
	fprintf(stderr, "\n");
	return EXIT_FAILURE;
}

static bool address_read(const char *text, struct sockaddr_in *ret_address)
{
	const char *colon = strrchr(text, ':');
	char host[INET_ADDRSTRLEN];

	if (!colon || (size_t)(colon - text) >= sizeof(host))
		return false;
	snprintf(host, sizeof(host), "%.*s", (int)(colon - text), text);
	*ret_address = (struct sockaddr_in){.sin_family = AF_INET,
	                                    .sin_port = htons((uint16_t)atoi(colon + 1))};
	return inet_pton(AF_INET, host, &ret_address->sin_addr) == 1;
}

/* odd|even[@ADDRESS:PORT]; without an address its port is 0. */
static bool far_read(const char *text, struct conformance_far *ret_far)
{
	size_t length = strcspn(text, "@");

	ret_far->parity = strncmp(text, "odd", length) == 0;
	if (!ret_far->parity && strncmp(text, "even", length) != 0)
		return false;
	return address_read(text[length] ? text + length + 1 : "127.0.0.1:0",
	                    &ret_far->place.address);
}

static int serve(const char *where)
{
	struct sockaddr_in address;
	int listener;

	if (!address_read(where, &address))
		return usage();
	listener = remote_listen(&address);
	return listener < 0 || remote_serve(listener) > 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* In a process of its own, on a port of its own: *address becomes that. -1: none. */
static pid_t serve_here(struct sockaddr_in *address)
{
	int listener = remote_listen(address);
	pid_t pid = listener < 0 ? -1 : fork();

	if (pid == 0)
		exit(remote_serve(listener) > 0 ? EXIT_FAILURE : EXIT_SUCCESS);
	close(listener);
	return pid;
}

static int run_apart(const struct conformance_fixture *fixture, struct conformance_far *far,
                     uint64_t seed)
{
	bool here = far->place.address.sin_port == 0;
	int status = EXIT_FAILURE, far_status = EXIT_SUCCESS, leash;
	pid_t pid = here ? serve_here(&far->place.address) : 0;

	if (pid < 0)
		return EXIT_FAILURE;
	far->place.driver = fixture->driver;
	leash = remote_attach(&far->place.address);
	if (leash >= 0) {
		status = conformance_run(fixture, far, seed);
		close(leash);
	}
	if (here && (waitpid(pid, &far_status, 0) != pid || far_status != 0)) {
		fprintf(stderr, "far instances failed\n");
		return EXIT_FAILURE;
	}
	return status;
}

int main(int argc, char **argv)
{
	const struct conformance_fixture *fixture;
	struct conformance_far far;
	uint64_t seed = SEED_DEFAULT;
	bool apart = false;

	if (argc == 3 && strcmp(argv[1], "--serve") == 0)
		return serve(argv[2]);
	if (argc > 3 && strcmp(argv[1], "--far") == 0) {
		if (!far_read(argv[2], &far))
			return usage();
		apart = true;
		argc -= 2;
		argv += 2;
	}
	if (argc < 2 || argc > 3)
		return usage();
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
	if (apart && !fixture->apart) {
		printf("skipped: the network of %s is in one process\n", fixture->name);
		return UNIT_SKIPPED;
	}
	return apart ? run_apart(fixture, &far, seed) : conformance_run(fixture, NULL, seed);
}
