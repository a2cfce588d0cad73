/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_wal_kill.c - kill -9 of the primary, the standby and the agents of a WAL
 * stream at random points, on one host and between two. After each: whoever lives
 * was told within ten seconds, nothing that was acknowledged is missing on the
 * standby, its copy has no wrong byte, and the next stream goes on from there. At
 * the end of all, an orderly end leaves two equal logs.
 *
 *   KILL_ROUNDS  rounds for each of the two set-ups (default 20)
 *   KILL_SEED    replays the choices (not the scheduling) of a run
 */
#include "tests/agent/agent_fixture.h"
#include "tests/unit/unit.h"
#include "tests/walstream/log_actors.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define ROUND_BYTES UINT64_C(600000)

enum victim { PRIMARY, STANDBY, PRIMARY_AGENT, STANDBY_AGENT, VICTIMS };

static struct agent_fixture agents[2];
static unsigned hosts;
static uint64_t random_state, stream_number;
static struct {
	struct log_actor primary, standby;
} * cast;

static uint64_t random_next(uint64_t below)
{
	/* xorshift64* (Vigna) */
	random_state ^= random_state >> 12;
	random_state ^= random_state << 25;
	random_state ^= random_state >> 27;
	return (random_state * UINT64_C(2685821657736338717) >> 11) % below;
}

static void prepare(void)
{
	memset(cast, 0, sizeof(*cast));
	cast->primary.needed = 1;
	for (unsigned i = 0; i < 2; i++) {
		struct log_actor *actor = i ? &cast->standby : &cast->primary;
		struct agent_fixture *agent = &agents[i && hosts == 2];

		actor->stream_count = 1;
		snprintf(actor->socket_path, sizeof(actor->socket_path), "%s",
		         agent_fixture_socket(agent));
		snprintf(actor->path, sizeof(actor->path), "%s/%s", agents[0].directory,
		         i ? "standby" : "primary");
		if (hosts == 2)
			snprintf(actor->streams[0].peer, sizeof(actor->streams[0].peer), "%s",
			         agent_fixture_node(&agents[!i]));
	}
}

static void stream_start(void)
{
	stream_number++;
	cast->primary.seed = random_next(UINT64_MAX);
	cast->primary.streams[0].stream = cast->standby.streams[0].stream = stream_number;
	cast->primary.streams[0].token = cast->standby.streams[0].token = ~stream_number;
	if (random_next(2)) {
		log_primary_start(&cast->primary);
		log_standby_start(&cast->standby);
	} else {
		log_standby_start(&cast->standby);
		log_primary_start(&cast->primary);
	}
}

/* Until so much is acknowledged; false after twenty seconds. */
static bool acknowledged(uint64_t lsn)
{
	uint64_t deadline_ns = slu_now_ns() + UINT64_C(20000000000);
	struct timespec pause = {.tv_nsec = 50000};

	while (atomic_load(&cast->primary.acknowledged_lsn) < lsn && slu_now_ns() < deadline_ns)
		nanosleep(&pause, NULL);
	return atomic_load(&cast->primary.acknowledged_lsn) >= lsn;
}

/* Kill it, and see that who lives is told. */
static void strike(enum victim victim)
{
	if (victim == PRIMARY)
		log_actor_kill(&cast->primary);
	else if (victim == STANDBY)
		log_actor_kill(&cast->standby);
	else
		agent_fixture_kill(&agents[victim == STANDBY_AGENT && hosts == 2]);
	CU_ASSERT_TRUE(log_actor_join(&cast->primary));
	CU_ASSERT_TRUE(log_actor_join(&cast->standby));
	for (unsigned i = 0; i < hosts; i++)
		if (!agents[i].pid)
			CU_ASSERT_EQUAL_FATAL(agent_fixture_restart(&agents[i]), 0);
}

static void check_logs(void)
{
	uint64_t copied = log_file_check(cast->standby.path);

	CU_ASSERT_NOT_EQUAL(copied, UINT64_MAX);
	CU_ASSERT_TRUE(copied >= atomic_load(&cast->primary.acknowledged_lsn));
	CU_ASSERT_TRUE(copied <= log_file_check(cast->primary.path));
}

static void rounds_of_kills(unsigned rounds)
{
	unsigned failures = CU_get_number_of_failures();

	for (unsigned round = 0; round < rounds && CU_get_number_of_failures() == failures;
	     round++) {
		uint64_t from_lsn = atomic_load(&cast->primary.acknowledged_lsn);
		enum victim victim = (enum victim)random_next(VICTIMS);

		atomic_store(&cast->primary.until_lsn, from_lsn + ROUND_BYTES);
		stream_start();
		CU_ASSERT_TRUE(acknowledged(from_lsn + 1 + random_next(ROUND_BYTES / 2)));
		strike(victim);
		check_logs();
		if (CU_get_number_of_failures() != failures)
			fprintf(stderr,
			        "round %u, victim %d: primary %d \"%s\", standby %d \"%s\"\n",
			        round, (int)victim, cast->primary.result, cast->primary.reason,
			        cast->standby.result, cast->standby.reason);
	}
}

static void nothing_acknowledged_is_lost(void)
{
	const char *rounds = getenv("KILL_ROUNDS"), *seed = getenv("KILL_SEED");
	uint64_t end_lsn;

	random_state = seed ? strtoull(seed, NULL, 0) : slu_now_ns() | 1;
	printf("KILL_SEED=%llu\n", (unsigned long long)random_state);
	prepare();
	rounds_of_kills(rounds ? (unsigned)strtoul(rounds, NULL, 0) : 20);
	end_lsn = log_file_check(cast->primary.path);
	CU_ASSERT_NOT_EQUAL_FATAL(end_lsn, UINT64_MAX);
	atomic_store(&cast->primary.until_lsn, end_lsn);
	atomic_store(&cast->primary.finish, true);
	stream_start();
	CU_ASSERT_TRUE(log_actor_join(&cast->primary));
	CU_ASSERT_TRUE(log_actor_join(&cast->standby));
	CU_ASSERT_EQUAL(cast->primary.result, SLU_EOS);
	CU_ASSERT_EQUAL(cast->standby.result, SLU_EOS);
	CU_ASSERT_EQUAL(log_file_check(cast->standby.path), end_lsn);
	unlink(cast->primary.path);
	unlink(cast->standby.path);
}

int main(void)
{
	static const struct unit_test tests[] = {
	        UNIT_TEST(nothing_acknowledged_is_lost),
	        {NULL, NULL},
	};
	/* A dead agent is given up for dead sooner than by default: half the
	 * rounds kill one. */
	char agent[96];
	struct agent_fixture_options options = {.agent = agent};
	int result = 0;

	snprintf(agent, sizeof(agent),
	         "allow_users = 0,%u\npeer_timeout = 500ms\nkeepalive = 100ms\n",
	         (unsigned)geteuid());
	cast = mmap(NULL, sizeof(*cast), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (cast == MAP_FAILED)
		return 1;
	for (hosts = 1; hosts <= 2 && result == 0; hosts++) {
		int r = hosts == 1 ? agent_fixture_start(&agents[0], &options)
		                   : agent_fixture_start_pair(agents, &options);

		result = r == 0 ? unit_run(hosts == 1 ? "wal kill on one host"
		                                      : "wal kill between hosts",
		                           tests)
		                : 1;
		for (unsigned i = 0; i < hosts; i++)
			agent_fixture_end(&agents[i]);
	}
	munmap(cast, sizeof(*cast));
	return result;
}
