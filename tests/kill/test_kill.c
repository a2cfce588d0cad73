/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_kill.c - kill -9 of senders, receivers and agents at random points under
 * load, on one host and between two. After each: every survivor was told why
 * within five seconds, pairs that had nothing to do with it delivered every row
 * in order, and every frame of every arena is free again.
 *
 *   KILL_ROUNDS  rounds for each of the two set-ups (default 100)
 *   KILL_SEED    replays the choices (not the scheduling) of a run
 *   KILL_ROWS    rows of the pairs that nobody kills (default 20,000)
 *   KILL_DRIVER  lines of the agents' [driver] section; then only between two hosts
 *   KILL_POSTED  frames that this driver keeps posted for receiving (default 0)
 */
#include "tests/agent/agent_fixture.h"
#include "tests/kill/actors.h"
#include "tests/unit/unit.h"
#include "transport/clock.h"
#include "transport/endpoint.h"

#include <CUnit/CUnit.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define HOSTS_MAX   2u
#define PAIRS       3u
#define TOLD_NS     (UINT64_C(5) * SLU_NS_PER_S)
#define AGENT_EVERY 8u /* one round in so many kills an agent */

struct pair {
	struct actor sender, receiver;
};

struct stage {
	struct agent_fixture agents[HOSTS_MAX];
	unsigned hosts;
	uint64_t whole_rows;    /* of a pair that is not touched */
	uint32_t posted_frames; /* held by the driver of each agent */
	struct pair *pairs;     /* shared with the actors */
	uint64_t random;
	uint64_t query;
};

static uint64_t random_next(struct stage *stage, uint64_t below)
{
	/* xorshift64* (Vigna) */
	stage->random ^= stage->random >> 12;
	stage->random ^= stage->random << 25;
	stage->random ^= stage->random >> 27;
	return (stage->random * UINT64_C(2685821657736338717) >> 11) % below;
}

static void pause_us(uint64_t us)
{
	struct timespec pause = {.tv_sec = (time_t)(us / 1000000),
	                         .tv_nsec = (long)(us % 1000000) * 1000};

	nanosleep(&pause, NULL);
}

/* ---- actors ----------------------------------------------------------------- */

static void pair_start(struct stage *stage, unsigned i, uint64_t rows)
{
	struct pair *pair = &stage->pairs[i];
	struct actor *actors[] = {&pair->sender, &pair->receiver};
	struct actor_task task = {
	        .key = {.cluster = ACTOR_CLUSTER,
	                .query = ++stage->query,
	                .motion = 1,
	                .source = i},
	        .rows = rows,
	        .seed = stage->query,
	};

	memcpy(task.token.bytes, &stage->query, sizeof(stage->query));
	memset(pair, 0, sizeof(*pair));
	for (unsigned end = 0; end < 2; end++) {
		/* between hosts the pairs go both ways */
		unsigned host = stage->hosts == 1 ? 0 : (end + i) % 2;

		task.direction = end == 0 ? SLU_SEND : SLU_RECV;
		snprintf(task.socket_path, sizeof(task.socket_path), "%s",
		         agent_fixture_socket(&stage->agents[host]));
		if (stage->hosts == 2)
			snprintf(task.peer, sizeof(task.peer), "%s",
			         agent_fixture_node(&stage->agents[!host]));
		actors[end]->task = task;
		actor_start(actors[end]);
	}
}

static void reap(struct actor *actor, int options)
{
	if (!actor->reaped && waitpid(actor->pid, &actor->status, options) == actor->pid)
		actor->reaped = true;
}

/* Wait until every actor has moved rows; false when one does not within 20 s. A row, at
 * least: who is killed before it has opened its end is nobody's peer yet. */
static bool all_move(struct stage *stage, uint64_t rows)
{
	uint64_t deadline_ns = clock_now_ns() + 20 * SLU_NS_PER_S;

	for (unsigned i = 0; i < PAIRS; i++)
		while (atomic_load(&stage->pairs[i].receiver.moved_rows) < rows) {
			if (clock_now_ns() > deadline_ns)
				return false;
			pause_us(200);
		}
	return true;
}

/* Wait for the actor's end; how long after since_ns it came, UINT64_MAX: not in
 * time (then it is killed). */
static uint64_t ended_after(struct actor *actor, uint64_t since_ns)
{
	uint64_t deadline_ns = since_ns + 2 * TOLD_NS;

	while (!actor->reaped && clock_now_ns() < deadline_ns) {
		reap(actor, WNOHANG);
		if (!actor->reaped)
			pause_us(200);
	}
	if (!actor->reaped) {
		kill(actor->pid, SIGKILL);
		reap(actor, 0);
		return UINT64_MAX;
	}
	if (!atomic_load(&actor->ended_ns)) /* was killed */
		return 0;
	return actor->ended_ns > since_ns ? actor->ended_ns - since_ns : 0;
}

/* ---- what must hold afterwards ------------------------------------------------ */

/* All frames free and no channel open, soon. */
static bool arena_is_clean(struct agent_fixture *agent, uint32_t posted_frames)
{
	struct slu_attach_options options = {.socket_path = agent_fixture_socket(agent),
	                                     .cluster = ACTOR_CLUSTER,
	                                     .name = "auditor"};
	uint64_t deadline_ns = clock_now_ns() + TOLD_NS;
	struct frame_pool_counts counts = {0};
	uint32_t open = 0;
	slu_endpoint *endpoint;
	bool clean = false;

	if (slu_endpoint_attach(&options, &endpoint) < 0) {
		fprintf(stderr, "auditor: %s\n", slu_attach_error());
		return false;
	}
	while (!clean && clock_now_ns() < deadline_ns) {
		const struct arena *arena = endpoint->arena;

		frame_pool_count(arena, &counts);
		open = atomic_load(&arena->header->channels_open);
		clean = open == 0 && counts.held == posted_frames && counts.queued == 0 &&
		        counts.home == arena->max_channels &&
		        counts.free + counts.cached + counts.home + counts.held ==
		                arena->frame_count;
		if (!clean)
			pause_us(1000);
	}
	if (!clean)
		fprintf(stderr,
		        "%s: %u channels open, %u frames held, %u queued, %u of %u at home\n",
		        agent_fixture_node(agent), open, counts.held, counts.queued, counts.home,
		        endpoint->arena->max_channels);
	slu_endpoint_detach(endpoint);
	return clean;
}

static void check_survivor(struct actor *actor, uint64_t killed_ns, const char *what)
{
	uint64_t told_ns = ended_after(actor, killed_ns);
	bool told = told_ns <= TOLD_NS;
	/* a receiver's death stops or resets the sender; all else is a reset */
	bool why = actor->result == SLU_STOPPED || (actor->result < 0 && actor->reason[0]);

	if (!told || !why || actor->bad_rows)
		fprintf(stderr, "%s %s: told after %.3f s, result %d, bad %llu, \"%s\"\n", what,
		        actor->task.direction == SLU_SEND ? "sender" : "receiver",
		        told_ns == UINT64_MAX ? -1.0 : (double)told_ns / 1e9, actor->result,
		        (unsigned long long)actor->bad_rows, actor->reason);
	CU_ASSERT_TRUE(told);
	CU_ASSERT_TRUE(why);
	CU_ASSERT_EQUAL(actor->bad_rows, 0);
}

/* A pair that was not touched and has an end. */
static void check_bystander(struct pair *pair, uint64_t whole_rows)
{
	struct actor *actors[] = {&pair->sender, &pair->receiver};

	for (unsigned end = 0; end < 2; end++) {
		uint64_t after_ns = ended_after(actors[end], clock_now_ns() + 4 * TOLD_NS);

		if (after_ns == UINT64_MAX || actors[end]->result != SLU_OK)
			fprintf(stderr, "bystander %s: result %d after %llu rows, \"%s\"\n",
			        end ? "receiver" : "sender", actors[end]->result,
			        (unsigned long long)actors[end]->moved_rows, actors[end]->reason);
		CU_ASSERT_EQUAL(actors[end]->result, SLU_OK);
	}
	CU_ASSERT_EQUAL(pair->receiver.moved_rows, whole_rows);
	CU_ASSERT_EQUAL(pair->receiver.bad_rows, 0);
}

/* ---- rounds ------------------------------------------------------------------- */

/* Pair 0 loses an end; the others are bystanders. */
static void round_process(struct stage *stage)
{
	bool kill_sender = random_next(stage, 2) == 0;
	struct pair *pair = &stage->pairs[0];
	struct actor *victim = kill_sender ? &pair->sender : &pair->receiver;
	struct actor *survivor = kill_sender ? &pair->receiver : &pair->sender;
	uint64_t killed_ns;

	for (unsigned i = 0; i < PAIRS; i++)
		pair_start(stage, i, i == 0 ? UINT64_MAX : stage->whole_rows);
	CU_ASSERT_TRUE(all_move(stage, 1 + random_next(stage, 1000)));
	pause_us(random_next(stage, 3000));
	kill(victim->pid, SIGKILL);
	killed_ns = clock_now_ns();
	reap(victim, 0);
	check_survivor(survivor, killed_ns, kill_sender ? "sender killed:" : "receiver killed:");
	for (unsigned i = 1; i < PAIRS; i++)
		check_bystander(&stage->pairs[i], stage->whole_rows);
}

/* An agent dies: all its processes and all that talk to them are told. */
static void round_agent(struct stage *stage)
{
	struct agent_fixture *agent = &stage->agents[random_next(stage, stage->hosts)];
	uint64_t killed_ns;

	for (unsigned i = 0; i < PAIRS; i++)
		pair_start(stage, i, UINT64_MAX);
	CU_ASSERT_TRUE(all_move(stage, 1 + random_next(stage, 1000)));
	agent_fixture_kill(agent);
	killed_ns = clock_now_ns();
	for (unsigned i = 0; i < PAIRS; i++) {
		check_survivor(&stage->pairs[i].sender, killed_ns, "agent killed:");
		check_survivor(&stage->pairs[i].receiver, killed_ns, "agent killed:");
	}
	CU_ASSERT_EQUAL_FATAL(agent_fixture_restart(agent), 0);
}

static void rounds(struct stage *stage)
{
	const char *count_text = getenv("KILL_ROUNDS"), *seed_text = getenv("KILL_SEED");
	const char *rows_text = getenv("KILL_ROWS");
	unsigned count = count_text ? (unsigned)atoi(count_text) : 100;
	uint64_t seed = seed_text ? strtoull(seed_text, NULL, 0) : clock_now_ns() | 1;

	stage->whole_rows = rows_text ? strtoull(rows_text, NULL, 10) : 20000;
	stage->random = seed;
	stage->query = seed << 20;
	stage->pairs = mmap(NULL, PAIRS * sizeof(*stage->pairs), PROT_READ | PROT_WRITE,
	                    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CU_ASSERT_PTR_NOT_EQUAL_FATAL(stage->pairs, MAP_FAILED);
	for (unsigned i = 0; i < count; i++) {
		unsigned failures = CU_get_number_of_failures();

		if (i % AGENT_EVERY == AGENT_EVERY - 1)
			round_agent(stage);
		else
			round_process(stage);
		for (unsigned host = 0; host < stage->hosts; host++)
			CU_ASSERT_TRUE(arena_is_clean(&stage->agents[host], stage->posted_frames));
		if (CU_get_number_of_failures() != failures) {
			fprintf(stderr, "round %u failed; KILL_SEED=%llu makes the same choices\n",
			        i, (unsigned long long)seed);
			break;
		}
	}
	munmap(stage->pairs, PAIRS * sizeof(*stage->pairs));
}

static void survivors_on_one_host_are_told_and_nothing_leaks(void)
{
	struct stage stage = {.hosts = 1};

	CU_ASSERT_EQUAL_FATAL(
	        agent_fixture_start(&stage.agents[0], &(struct agent_fixture_options){0}), 0);
	rounds(&stage);
	agent_fixture_end(&stage.agents[0]);
}

static void survivors_on_two_hosts_are_told_and_nothing_leaks(void)
{
	const char *posted_text = getenv("KILL_POSTED");
	struct stage stage = {.hosts = 2,
	                      .posted_frames = posted_text ? (uint32_t)atoi(posted_text) : 0};
	struct agent_fixture_options options = {.agent = "peer_timeout = 4s\nkeepalive = 200ms\n",
	                                        .driver = getenv("KILL_DRIVER")};

	CU_ASSERT_EQUAL_FATAL(agent_fixture_start_pair(stage.agents, &options), 0);
	rounds(&stage);
	for (unsigned i = 0; i < 2; i++)
		agent_fixture_end(&stage.agents[i]);
}

int main(void)
{
	static const struct unit_test tests[] = {
	        UNIT_TEST(survivors_on_one_host_are_told_and_nothing_leaks),
	        UNIT_TEST(survivors_on_two_hosts_are_told_and_nothing_leaks),
	        {NULL, NULL},
	};

	return unit_run("kill", getenv("KILL_DRIVER") ? tests + 1 : tests);
}
