/* SPDX-License-Identifier: Apache-2.0 */
/* fixtures.c - how instances of each driver come together for the suite. A
 * fixture whose driver is not in this build is skipped by main. */
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "drivers/loop/loop.h"
#include "drivers/sim/sim.h"
#include "tests/driver/conformance.h"
#include "transport/clock.h"

/* ---- loop: a clock that jumps to the next deadline ---------------------- */

static struct conformance_environment *loop_environment_create(uint64_t seed)
{
	struct conformance_environment *environment = calloc(1, sizeof(*environment));

	if (environment)
		environment->network = slu_loop_create();
	return environment;
}

static void loop_environment_destroy(struct conformance_environment *environment)
{
	slu_loop_destroy(environment->network);
	free(environment);
}

static uint64_t jumping_now_ns(struct conformance_environment *environment)
{
	return environment->now_ns;
}

static bool jumping_wait(struct conformance_environment *environment, uint64_t deadline_ns,
                         const int *fds, int fd_count)
{
	if (deadline_ns == UINT64_MAX)
		return false;
	if (environment->now_ns < deadline_ns)
		environment->now_ns = deadline_ns;
	return true;
}

/* ---- sim: a clock that goes from event to event --------------------------- */

static struct conformance_environment *sim_environment(const struct slu_sim_params *params)
{
	struct conformance_environment *environment = calloc(1, sizeof(*environment));

	if (environment)
		environment->network = slu_sim_create(params);
	return environment;
}

static struct conformance_environment *quiet_environment_create(uint64_t seed)
{
	struct slu_sim_params params;

	slu_sim_params_init(&params, seed);
	return sim_environment(&params);
}

/* Long and uneven delays, little pieces, queues that hold hardly anything. */
static struct conformance_environment *rough_environment_create(uint64_t seed)
{
	struct slu_sim_params params;

	slu_sim_params_init(&params, seed);
	params.delay_ns_max = 2 * SLU_NS_PER_MS;
	params.piece_bytes_max = 3000;
	params.queue_bytes_max = 1;
	params.queue_small_max = 2;
	return sim_environment(&params);
}

static struct conformance_environment *lossy_environment_create(uint64_t seed)
{
	struct slu_sim_params params;

	slu_sim_params_init(&params, seed);
	params.delay_ns_max = 2 * SLU_NS_PER_MS;
	params.session_loss_per_million = 10000;
	params.connect_refuse_per_million = 200000;
	return sim_environment(&params);
}

static void sim_environment_destroy(struct conformance_environment *environment)
{
	slu_sim_destroy(environment->network);
	free(environment);
}

static uint64_t sim_now_ns(struct conformance_environment *environment)
{
	return slu_sim_now_ns(environment->network);
}

static bool sim_wait(struct conformance_environment *environment, uint64_t deadline_ns,
                     const int *fds, int fd_count)
{
	if (deadline_ns == UINT64_MAX)
		return false; /* the instances' deadlines include the network's next event */
	slu_sim_advance(environment->network, deadline_ns);
	return true;
}

static size_t sim_instance_options(int instance_idx, struct slu_driver_option *ret_options)
{
	static const char *const nodes[] = {"0", "1", "2"};

	ret_options[0].name = "node";
	ret_options[0].value = nodes[instance_idx];
	return 1;
}

/* ---- kernel sockets and real NICs: the monotonic clock ------------------- */

static struct conformance_environment *real_environment_create(uint64_t seed)
{
	return calloc(1, sizeof(struct conformance_environment));
}

static void real_environment_destroy(struct conformance_environment *environment)
{
	free(environment);
}

static uint64_t real_now_ns(struct conformance_environment *environment)
{
	return clock_now_ns();
}

static bool real_wait(struct conformance_environment *environment, uint64_t deadline_ns,
                      const int *fds, int fd_count)
{
	struct pollfd descriptors[8];
	uint64_t now_ns = clock_now_ns();
	/* Nothing tells that nothing can happen any more: come back now and then,
	 * so that the test can give up. */
	uint64_t timeout_ns = 50 * SLU_NS_PER_MS;
	struct timespec timeout;
	int idx;

	if (deadline_ns <= now_ns)
		return true;
	if (deadline_ns - now_ns < timeout_ns)
		timeout_ns = deadline_ns - now_ns;
	for (idx = 0; idx < fd_count; idx++)
		descriptors[idx] = (struct pollfd){.fd = fds[idx], .events = POLLIN};
	timeout.tv_sec = 0;
	timeout.tv_nsec = (long)timeout_ns;
	ppoll(descriptors, (nfds_t)fd_count, &timeout, NULL);
	return true;
}

#define LOOP_FIXTURE                                                                               \
	.environment_create = loop_environment_create,                                             \
	.environment_destroy = loop_environment_destroy, .now_ns = jumping_now_ns,                 \
	.wait = jumping_wait
#define IN_PROCESS_FIXTURE                                                                         \
	.environment_create = real_environment_create,                                             \
	.environment_destroy = real_environment_destroy, .now_ns = real_now_ns, .wait = real_wait
#define REAL_FIXTURE IN_PROCESS_FIXTURE, .apart = true

#define SIM_FIXTURE(kind)                                                                          \
	.instance_options = sim_instance_options, .environment_create = kind##_environment_create, \
	.environment_destroy = sim_environment_destroy, .now_ns = sim_now_ns, .wait = sim_wait

#define OPTIONS(array) .options = array, .option_count = sizeof(array) / sizeof(array[0])

static const struct slu_driver_option tight_options[] = {
        {"queue_frames", "1"},
        {"queue_small", "2"},
};

/* Faults that the contract allows, rare enough that something still arrives. */
#define FAULT_OPTIONS                                                                              \
	{"fault_seed", "7"}, {"fault_session_loss_per_million", "5000"},                           \
	        {"fault_again_per_million", "50000"},                                              \
	        {"fault_connect_refuse_per_million", "200000"}, {"fault_delay_ns_max", "2000000"}, \
	{                                                                                          \
		"fault_sent_late_ns_max", "1000000"                                                \
	}

/* Those that end no session: the whole suite must pass with them. */
#define DELAY_OPTIONS                                                                              \
	{"fault_seed", "8"}, {"fault_delay_ns_max", "300000"},                                     \
	{                                                                                          \
		"fault_sent_late_ns_max", "200000"                                                 \
	}

static const struct slu_driver_option fault_options[] = {FAULT_OPTIONS};
static const struct slu_driver_option delay_options[] = {DELAY_OPTIONS};
static const struct slu_driver_option fault_tcp_options[] = {{"listen", "127.0.0.1:0"},
                                                             FAULT_OPTIONS};
static const struct slu_driver_option delay_tcp_options[] = {{"listen", "127.0.0.1:0"},
                                                             DELAY_OPTIONS};

/* Of the first guest of tests/vm. */
static const struct slu_driver_option verbs6_options[] = {{"listen", "[fd77::1]:0"}};
static const struct slu_driver_option verbs_rails_options[] = {
        {"listen", "10.77.0.1:7434,10.78.0.1:7434"}};
/* Of any host. */
static const struct slu_driver_option verbs_best_options[] = {{"rails", "2"}};
static const struct slu_driver_option tcp4_options[] = {{"listen", "127.0.0.1:0"}};
static const struct slu_driver_option tcp6_options[] = {{"listen", "[::1]:0"}};

const struct conformance_fixture conformance_fixtures[] = {
        {.name = "loop", .driver = "loop", LOOP_FIXTURE},
        {.name = "loop-tight", .driver = "loop", OPTIONS(tight_options), LOOP_FIXTURE},
        {.name = "sim", .driver = "sim", SIM_FIXTURE(quiet)},
        {.name = "sim-rough", .driver = "sim", SIM_FIXTURE(rough)},
        {.name = "sim-lossy", .driver = "sim", SIM_FIXTURE(lossy), .faults = true},
        {.name = "tcp", .driver = "tcp", OPTIONS(tcp4_options), REAL_FIXTURE},
        {.name = "tcp6", .driver = "tcp", OPTIONS(tcp6_options), REAL_FIXTURE},
        {.name = "tcp-encrypted",
         .driver = "tcp",
         OPTIONS(tcp4_options),
         IN_PROCESS_FIXTURE,
         .protect = true},
        {.name = "fault-loop", .driver = "fault:loop", LOOP_FIXTURE},
        {.name = "fault-loop-late", .driver = "fault:loop", OPTIONS(delay_options), LOOP_FIXTURE},
        {.name = "fault-loop-faults",
         .driver = "fault:loop",
         OPTIONS(fault_options),
         LOOP_FIXTURE,
         .faults = true},
        {.name = "fault-sim-faults",
         .driver = "fault:sim",
         OPTIONS(fault_options),
         SIM_FIXTURE(rough),
         .faults = true},
        {.name = "fault-tcp", .driver = "fault:tcp", OPTIONS(tcp4_options), REAL_FIXTURE},
        {.name = "fault-tcp-late", .driver = "fault:tcp", OPTIONS(delay_tcp_options), REAL_FIXTURE},
        {.name = "fault-tcp-faults",
         .driver = "fault:tcp",
         OPTIONS(fault_tcp_options),
         REAL_FIXTURE,
         .faults = true},
        {.name = "fault-tcp-encrypted-faults",
         .driver = "fault:tcp",
         OPTIONS(fault_tcp_options),
         IN_PROCESS_FIXTURE,
         .faults = true,
         .protect = true},
        {.name = "verbs", .driver = "verbs", REAL_FIXTURE},
        {.name = "verbs6", .driver = "verbs", OPTIONS(verbs6_options), REAL_FIXTURE},
        {.name = "verbs-rails", .driver = "verbs", OPTIONS(verbs_rails_options), REAL_FIXTURE},
        {.name = "verbs-best-rails", .driver = "verbs", OPTIONS(verbs_best_options), REAL_FIXTURE},
        {.name = "fault-verbs-late", .driver = "fault:verbs", OPTIONS(delay_options), REAL_FIXTURE},
        {.name = "fault-verbs-faults",
         .driver = "fault:verbs",
         OPTIONS(fault_options),
         REAL_FIXTURE,
         .faults = true},
        {.name = NULL},
};

const struct conformance_fixture *conformance_fixture_find(const char *name)
{
	const struct conformance_fixture *fixture;

	for (fixture = conformance_fixtures; fixture->name; fixture++) {
		if (strcmp(fixture->name, name) == 0)
			return fixture;
	}
	return NULL;
}
