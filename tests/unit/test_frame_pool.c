/* SPDX-License-Identifier: Apache-2.0 */
/* test_frame_pool.c - frames have exactly one owner: where they come from and go
 * to, stale hints, threads that take from each other, and processes killed at
 * random points, after which every frame is found again. */
#include "tests/unit/arena_fixture.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHANNELS 4u
#define SHARED   40u
#define RECEIVE  4u /* of the fixture */
#define FIRST    (CHANNELS + RECEIVE)

static const struct arena_fixture_config small = {
        .frame_bytes = 4096, .max_channels = CHANNELS, .shared_frames = SHARED, .window_slots = 16};

static uint32_t owner_of(const struct arena *arena, uint32_t frame_idx)
{
	return atomic_load(&arena_frame(arena, frame_idx)->owner);
}

static void owner_set(const struct arena *arena, uint32_t frame_idx, uint32_t owner)
{
	atomic_store(&arena_frame(arena, frame_idx)->owner, owner);
}

/* Takes all shared frames for slot; returns how many. Gives them back past the
 * caches when give. */
static uint32_t take_all(const struct arena *arena, uint32_t slot, bool give)
{
	uint32_t taken[SHARED], count = 0, frame_idx;

	while ((frame_idx = frame_pool_take(arena, slot)) != FRAME_NONE) {
		CU_ASSERT_FATAL(count < SHARED);
		CU_ASSERT_FATAL(frame_idx >= FIRST && frame_idx < arena->frame_count);
		CU_ASSERT_EQUAL(owner_of(arena, frame_idx), FRAME_OWNER(FRAME_HELD, slot));
		taken[count++] = frame_idx;
	}
	for (uint32_t i = 0; give && i < count; i++)
		frame_pool_give(arena, slot, taken[i]);
	if (give)
		frame_pool_flush_cache(arena, slot);
	return count;
}

/* Every frame free or at home, and not only counted: found, too. */
static bool all_found(const struct arena_fixture *fixture, uint32_t slot)
{
	return arena_fixture_full(fixture) && take_all(fixture->arena, slot, true) == SHARED &&
	       arena_fixture_full(fixture);
}

/* ---- one thread ---------------------------------------------------------- */

static void takes_every_shared_frame_once(void)
{
	struct arena_fixture fixture;

	arena_fixture_start(&fixture, &small);
	CU_ASSERT_EQUAL(take_all(fixture.arena, 1, false), SHARED);
	CU_ASSERT_EQUAL(frame_pool_take(fixture.arena, 2), FRAME_NONE);
	CU_ASSERT_EQUAL(frame_pool_reclaim_process(fixture.arena, 1), SHARED);
	CU_ASSERT_TRUE(all_found(&fixture, 2));
	arena_fixture_stop(&fixture);
}

static void home_frame_is_for_its_channel_alone(void)
{
	struct arena_fixture fixture;
	struct frame_pool_counts counts;

	arena_fixture_start(&fixture, &small);
	CU_ASSERT_TRUE(frame_pool_take_home(fixture.arena, 2, 1));
	CU_ASSERT_EQUAL(owner_of(fixture.arena, 2), FRAME_OWNER(FRAME_HELD, 1));
	CU_ASSERT_FALSE(frame_pool_take_home(fixture.arena, 2, 1));
	CU_ASSERT_TRUE(frame_pool_take_home(fixture.arena, 3, 1));
	frame_pool_count(fixture.arena, &counts);
	CU_ASSERT_EQUAL(counts.home, CHANNELS - 2);
	/* whoever gives it back, it goes home and into no cache */
	owner_set(fixture.arena, 2, FRAME_OWNER(FRAME_HELD, 3));
	frame_pool_give(fixture.arena, 3, 2);
	CU_ASSERT_EQUAL(owner_of(fixture.arena, 2), FRAME_OWNER(FRAME_HOME, 2));
	frame_pool_give(fixture.arena, 1, 3);
	CU_ASSERT_TRUE(all_found(&fixture, 1));
	arena_fixture_stop(&fixture);
}

static void receive_frames_are_a_pool_of_their_own(void)
{
	struct arena_fixture fixture;
	struct frame_pool_counts counts;
	uint32_t taken[RECEIVE];

	arena_fixture_start(&fixture, &small);
	for (uint32_t i = 0; i < RECEIVE; i++) {
		taken[i] = frame_pool_take_receive(fixture.arena, 0);
		CU_ASSERT_TRUE(taken[i] >= CHANNELS && taken[i] < FIRST);
	}
	CU_ASSERT_EQUAL(frame_pool_take_receive(fixture.arena, 0), FRAME_NONE);
	frame_pool_count(fixture.arena, &counts);
	CU_ASSERT_EQUAL(counts.receive_free, 0);
	CU_ASSERT_EQUAL(counts.shared_free, SHARED);
	/* a local process releases it: not into its cache, others receive with it */
	owner_set(fixture.arena, taken[0], FRAME_OWNER(FRAME_HELD, 2));
	frame_pool_give(fixture.arena, 2, taken[0]);
	CU_ASSERT_EQUAL(frame_pool_take_receive(fixture.arena, 0), taken[0]);
	for (uint32_t i = 0; i < RECEIVE; i++)
		frame_pool_give(fixture.arena, 0, taken[i]);
	CU_ASSERT_TRUE(all_found(&fixture, 1));
	arena_fixture_stop(&fixture);
}

static void cache_is_bounded_and_the_rest_goes_back(void)
{
	struct arena_fixture fixture;
	struct frame_pool_counts counts;
	uint32_t taken[SHARED];

	arena_fixture_start(&fixture, &small);
	for (uint32_t i = 0; i < SHARED; i++)
		taken[i] = frame_pool_take(fixture.arena, 1);
	for (uint32_t i = 0; i < SHARED; i++)
		frame_pool_give(fixture.arena, 1, taken[i]);
	frame_pool_count(fixture.arena, &counts);
	CU_ASSERT_EQUAL(counts.cached, PROC_CACHE_FRAMES);
	CU_ASSERT_EQUAL(counts.shared_free, SHARED - PROC_CACHE_FRAMES);
	frame_pool_flush_cache(fixture.arena, 1);
	frame_pool_count(fixture.arena, &counts);
	CU_ASSERT_EQUAL(counts.cached, 0);
	CU_ASSERT_EQUAL(counts.shared_free, SHARED);
	arena_fixture_stop(&fixture);
}

static void cached_frames_of_others_are_no_reserve(void)
{
	struct arena_fixture fixture;
	struct frame_pool_counts counts;
	uint32_t taken[PROC_CACHE_FRAMES];

	arena_fixture_start(&fixture, &small);
	for (uint32_t i = 0; i < PROC_CACHE_FRAMES; i++)
		taken[i] = frame_pool_take(fixture.arena, 1);
	for (uint32_t i = 0; i < PROC_CACHE_FRAMES; i++)
		frame_pool_give(fixture.arena, 1, taken[i]);
	/* its own again first, without a look at the bitmap */
	taken[0] = frame_pool_take(fixture.arena, 1);
	frame_pool_count(fixture.arena, &counts);
	CU_ASSERT_EQUAL(counts.cached, PROC_CACHE_FRAMES - 1);
	CU_ASSERT_EQUAL(counts.shared_free, SHARED - PROC_CACHE_FRAMES);
	frame_pool_give(fixture.arena, 1, taken[0]);
	/* another takes the bitmap empty and then from this cache */
	CU_ASSERT_EQUAL(take_all(fixture.arena, 2, false), SHARED);
	CU_ASSERT_EQUAL(frame_pool_take(fixture.arena, 1), FRAME_NONE);
	CU_ASSERT_EQUAL(frame_pool_reclaim_process(fixture.arena, 2), SHARED);
	CU_ASSERT_TRUE(all_found(&fixture, 1));
	arena_fixture_stop(&fixture);
}

/* Bits and cache entries are hints: wrong ones cost a look. */
static void stale_hints_give_nobody_a_frame_that_is_taken(void)
{
	struct arena_fixture fixture;
	struct proc_shm *proc;

	arena_fixture_start(&fixture, &small);
	proc = arena_proc(fixture.arena, 1);
	CU_ASSERT_EQUAL(take_all(fixture.arena, 2, false), SHARED);
	atomic_store(&fixture.arena->shared_free[0], UINT64_MAX); /* beyond the region, too */
	atomic_store(&proc->cache[0], FIRST + 1);
	atomic_store(&proc->cache[1], UINT32_MAX);
	atomic_store(&proc->cache[2], 1); /* a home frame */
	CU_ASSERT_EQUAL(frame_pool_take(fixture.arena, 1), FRAME_NONE);
	CU_ASSERT_EQUAL(frame_pool_take(fixture.arena, 3), FRAME_NONE);
	CU_ASSERT_EQUAL(frame_pool_reclaim_process(fixture.arena, 2), SHARED);
	CU_ASSERT_TRUE(all_found(&fixture, 1));
	arena_fixture_stop(&fixture);
}

/* ---- what a death leaves, step by step ----------------------------------- */

static void reclaims_frames_between_hint_and_owner(void)
{
	struct arena_fixture fixture;
	struct arena *arena;
	uint32_t given;

	arena_fixture_start(&fixture, &small);
	arena = fixture.arena;
	/* took a bit, not yet the frame */
	atomic_fetch_and(&arena->shared_free[0], ~(UINT64_C(1) << 7));
	/* freed a frame, not yet its bit: the same to see; and of a receive frame */
	atomic_fetch_and(&arena->receive_free[0], ~UINT64_C(2));
	/* took another's cache entry, not yet the frame */
	given = frame_pool_take(arena, 2);
	frame_pool_give(arena, 2, given);
	for (uint32_t i = 0; i < PROC_CACHE_FRAMES; i++)
		atomic_store(&arena_proc(arena, 2)->cache[i], 0);
	CU_ASSERT_EQUAL(owner_of(arena, given), FRAME_OWNER(FRAME_CACHED, 2));
	CU_ASSERT_EQUAL(take_all(arena, 3, true), SHARED - 2);

	frame_pool_reclaim_process(arena, 1);
	CU_ASSERT_TRUE(all_found(&fixture, 3));
	for (uint32_t i = 0; i < RECEIVE; i++)
		CU_ASSERT_NOT_EQUAL(frame_pool_take_receive(arena, 0), FRAME_NONE);
	arena_fixture_stop(&fixture);
}

static void reclaims_what_the_dead_held_and_nothing_else(void)
{
	struct arena_fixture fixture;
	struct arena *arena;
	uint32_t dead[5], alive[5], cached;

	arena_fixture_start(&fixture, &small);
	arena = fixture.arena;
	for (uint32_t i = 0; i < 5; i++) {
		dead[i] = frame_pool_take(arena, 1);
		alive[i] = frame_pool_take(arena, 2);
	}
	cached = dead[4];
	frame_pool_give(arena, 1, cached);
	CU_ASSERT_TRUE(frame_pool_take_home(arena, 0, 1));
	CU_ASSERT_TRUE(frame_pool_take_home(arena, 1, 2));
	CU_ASSERT_EQUAL(frame_pool_reclaim_process(arena, 1), 5); /* cached is no loss */
	CU_ASSERT_EQUAL(owner_of(arena, 0), FRAME_OWNER(FRAME_HOME, 0));
	CU_ASSERT_EQUAL(owner_of(arena, 1), FRAME_OWNER(FRAME_HELD, 2));
	CU_ASSERT_EQUAL(owner_of(arena, cached), FRAME_OWNER(FRAME_FREE, 0));
	for (uint32_t i = 0; i < 5; i++)
		CU_ASSERT_EQUAL(owner_of(arena, alive[i]), FRAME_OWNER(FRAME_HELD, 2));
	CU_ASSERT_EQUAL(frame_pool_reclaim_process(arena, 1), 0);
	CU_ASSERT_EQUAL(frame_pool_reclaim_process(arena, 2), 6);
	CU_ASSERT_TRUE(all_found(&fixture, 3));
	arena_fixture_stop(&fixture);
}

static void publish(struct chan_tx *tx)
{
	uint32_t frame_idx;

	CU_ASSERT_EQUAL_FATAL(chan_tx_acquire(tx, &frame_idx), SLU_OK);
	arena_frame(tx->port->arena, frame_idx)->wire.size_bytes = 1;
	chan_tx_publish(tx, frame_idx);
}

static void reclaims_queued_frames_when_nobody_can_take_them(void)
{
	struct arena_fixture fixture;
	struct arena *arena;
	struct chan_tx tx;
	struct chan_rx rx;
	uint32_t marked, again;

	arena_fixture_start(&fixture, &small);
	arena = fixture.arena;
	arena_fixture_open(&fixture, 0, 0, 1);
	chan_tx_init(&tx, &fixture.ports[0], 0);
	chan_rx_init(&rx, &fixture.ports[1], 0, 0);
	publish(&tx);
	CU_ASSERT_EQUAL_FATAL(chan_rx_next(&rx, &again), SLU_OK);
	chan_rx_release(&rx, again);
	publish(&tx);
	publish(&tx);
	/* killed between marking and publishing: a frame of no ring, and one whose
	 * old place in the ring is still there */
	marked = frame_pool_take(arena, fixture.ports[0].slot);
	owner_set(arena, marked, FRAME_OWNER(FRAME_QUEUED, 0));
	CU_ASSERT_EQUAL_FATAL(owner_of(arena, again), FRAME_OWNER(FRAME_CACHED, 2));
	owner_set(arena, again, FRAME_OWNER(FRAME_QUEUED, 0));

	CU_ASSERT_EQUAL(frame_pool_reclaim_process(arena, fixture.ports[0].slot), 1);
	CU_ASSERT_EQUAL(owner_of(arena, marked), FRAME_OWNER(FRAME_FREE, 0));
	/* what was published is still the receiver's to read */
	CU_ASSERT_EQUAL(chan_rx_next(&rx, &marked), SLU_OK);
	chan_rx_release(&rx, marked);
	CU_ASSERT_EQUAL(frame_pool_reclaim_process(arena, fixture.ports[1].slot), 0);
	CU_ASSERT_EQUAL(frame_pool_reclaim_channel(arena, 0), 2);
	CU_ASSERT_EQUAL(frame_pool_reclaim_channel(arena, 0), 0);
	CU_ASSERT_TRUE(all_found(&fixture, 3));
	arena_fixture_stop(&fixture);
}

/* ---- random work, in threads and in processes ---------------------------- */

static uint64_t random_next(uint64_t *state)
{
	/* xorshift64*: no quality is needed, only that a seed repeats it */
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * UINT64_C(0x2545f4914f6cdd1d);
}

static uint64_t seed_of_run(void)
{
	const char *given = getenv("UNIT_SEED");
	uint64_t seed = given ? strtoull(given, NULL, 0) : (uint64_t)getpid() * 2654435761u;

	printf("(UNIT_SEED=%llu) ", (unsigned long long)seed);
	return seed ? seed : 1;
}

#define WORKER_HOLDS 12u

struct worker {
	struct arena *arena;
	uint32_t slot;
	uint64_t random;
	uint32_t held[WORKER_HOLDS];
	uint32_t held_count;
	uint32_t errors;
	pthread_t thread;
};

/* The payload says whose it is, without atomics: two holders would be a race
 * that ThreadSanitizer sees, and mostly a wrong stamp. */
static void stamp(struct worker *worker, uint32_t frame_idx)
{
	memset(arena_frame(worker->arena, frame_idx)->payload, (int)worker->slot, 64);
}

static bool stamped(const struct worker *worker, uint32_t frame_idx)
{
	const uint8_t *payload = arena_frame(worker->arena, frame_idx)->payload;

	return payload[0] == worker->slot && payload[63] == worker->slot;
}

static void work_once(struct worker *worker)
{
	bool take = worker->held_count == 0 ||
	            (worker->held_count < WORKER_HOLDS && random_next(&worker->random) % 2);

	if (take) {
		uint32_t frame_idx = frame_pool_take(worker->arena, worker->slot);

		if (frame_idx == FRAME_NONE) {
			sched_yield();
			return;
		}
		stamp(worker, frame_idx);
		worker->held[worker->held_count++] = frame_idx;
	} else {
		uint32_t i = (uint32_t)(random_next(&worker->random) % worker->held_count);
		uint32_t frame_idx = worker->held[i];

		worker->errors += !stamped(worker, frame_idx);
		worker->held[i] = worker->held[--worker->held_count];
		frame_pool_give(worker->arena, worker->slot, frame_idx);
	}
}

#define THREADS       4u
#define THREAD_STEPS  30000u
#define STRESS_SHARED 24u /* fewer than they would hold: so they steal */

static void *work(void *ctx)
{
	struct worker *worker = ctx;

	for (uint32_t i = 0; i < THREAD_STEPS; i++)
		work_once(worker);
	while (worker->held_count)
		frame_pool_give(worker->arena, worker->slot, worker->held[--worker->held_count]);
	return NULL;
}

static void threads_never_hold_the_same_frame(void)
{
	const struct arena_fixture_config config = {.frame_bytes = 4096,
	                                            .max_channels = CHANNELS,
	                                            .shared_frames = STRESS_SHARED,
	                                            .window_slots = 16};
	struct arena_fixture fixture;
	struct worker workers[THREADS];
	struct frame_pool_counts counts;
	uint64_t seed = seed_of_run();

	arena_fixture_start(&fixture, &config);
	for (uint32_t i = 0; i < THREADS; i++) {
		workers[i] = (struct worker){
		        .arena = fixture.arena, .slot = i + 1, .random = seed + i + 1};
		CU_ASSERT_EQUAL_FATAL(pthread_create(&workers[i].thread, NULL, work, &workers[i]),
		                      0);
	}
	for (uint32_t i = 0; i < THREADS; i++) {
		pthread_join(workers[i].thread, NULL);
		CU_ASSERT_EQUAL(workers[i].errors, 0);
	}
	frame_pool_count(fixture.arena, &counts);
	CU_ASSERT_EQUAL(counts.shared_free + counts.cached, STRESS_SHARED);
	for (uint32_t i = 0; i < THREADS; i++)
		frame_pool_flush_cache(fixture.arena, i + 1);
	frame_pool_count(fixture.arena, &counts);
	CU_ASSERT_EQUAL(counts.shared_free, STRESS_SHARED);
	/* no kill, so no reclaim: the bitmap alone must find them all */
	for (uint32_t i = 0; i < STRESS_SHARED; i++)
		CU_ASSERT_NOT_EQUAL(frame_pool_take(fixture.arena, 1), FRAME_NONE);
	CU_ASSERT_EQUAL(frame_pool_take(fixture.arena, 1), FRAME_NONE);
	arena_fixture_stop(&fixture);
}

/* Children: 0 sends on channel 0 to 1, the others take and give. */
#define CHILDREN FIXTURE_PORTS
#define ROUNDS   50u

struct family {
	struct arena_fixture fixture;
	_Atomic uint64_t *progress; /* steps of each child; shared with them */
	pid_t pids[CHILDREN];
	uint64_t random;
};

static void child_send(struct family *family)
{
	struct chan_tx tx;
	uint32_t frame_idx;

	chan_tx_init(&tx, &family->fixture.ports[0], 0);
	for (;; atomic_fetch_add(&family->progress[0], 1)) {
		if (chan_tx_acquire(&tx, &frame_idx) != SLU_OK) {
			sched_yield();
			continue;
		}
		arena_frame(family->fixture.arena, frame_idx)->wire.size_bytes = 8;
		memcpy(arena_frame(family->fixture.arena, frame_idx)->payload, &tx.pos, 8);
		chan_tx_publish(&tx, frame_idx);
	}
}

/* Leaves with 2 when a frame is not the one that comes next. */
static void child_receive(struct family *family)
{
	struct chan_rx rx;
	uint32_t frame_idx;

	chan_rx_init(&rx, &family->fixture.ports[1], 0, 0);
	for (uint64_t pos = 0;; atomic_fetch_add(&family->progress[1], 1)) {
		int r = chan_rx_next(&rx, &frame_idx);

		if (r == SLU_AGAIN) {
			sched_yield();
			continue;
		}
		if (r != SLU_OK ||
		    memcmp(arena_frame(family->fixture.arena, frame_idx)->payload, &pos, 8))
			_exit(2);
		chan_rx_release(&rx, frame_idx);
		pos++;
	}
}

static void child_work(struct family *family, uint32_t child, uint64_t seed)
{
	struct worker worker = {.arena = family->fixture.arena, .slot = child + 1, .random = seed};

	for (;; atomic_fetch_add(&family->progress[child], 1)) {
		work_once(&worker);
		if (worker.errors)
			_exit(2);
	}
}

static void child_start(struct family *family, uint32_t child)
{
	uint64_t seed = random_next(&family->random) | 1;

	family->pids[child] = fork();
	CU_ASSERT_FATAL(family->pids[child] >= 0);
	if (family->pids[child])
		return;
	prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that fails leaves nobody behind */
	if (child == 0)
		child_send(family);
	else if (child == 1)
		child_receive(family);
	else
		child_work(family, child, seed);
	_exit(2);
}

/* A child that ends by itself has found something wrong. */
static bool child_runs(const struct family *family, uint32_t child)
{
	siginfo_t info = {0};

	return waitid(P_PID, (id_t)family->pids[child], &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
	       info.si_pid == 0;
}

/* Lets a child come some steps further, then kills it: where, nobody knows. */
static void child_kill(struct family *family, uint32_t child)
{
	uint64_t steps = random_next(&family->random) % 300;
	uint64_t target = atomic_load(&family->progress[child]) + steps;
	uint64_t spins = random_next(&family->random) % 2000;
	int status = 0;

	/* not the channel's two: their progress may wait for each other's life */
	while (child > 1 && atomic_load(&family->progress[child]) < target &&
	       child_runs(family, child))
		sched_yield();
	for (_Atomic uint64_t i = 0; i < spins; i++)
		;
	kill(family->pids[child], SIGKILL);
	CU_ASSERT_EQUAL(waitpid(family->pids[child], &status, 0), family->pids[child]);
	CU_ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	frame_pool_reclaim_process(family->fixture.arena, child + 1);
}

static void family_round(struct family *family)
{
	struct arena *arena = family->fixture.arena;
	uint32_t order[CHILDREN];

	memset(arena_chan(arena, 0), 0, arena->chan_stride_bytes);
	arena_fixture_open(&family->fixture, 0, 0, 1);
	atomic_store(&arena->header->channels_open, 1);
	for (uint32_t i = 0; i < CHILDREN; i++) {
		order[i] = i;
		atomic_store(&family->progress[i], 0);
		child_start(family, i);
	}
	while ((!atomic_load(&family->progress[0]) || !atomic_load(&family->progress[1])) &&
	       child_runs(family, 0) && child_runs(family, 1))
		sched_yield();
	for (uint32_t i = CHILDREN; i > 0; i--) {
		uint32_t pick = (uint32_t)(random_next(&family->random) % i);

		child_kill(family, order[pick]);
		order[pick] = order[i - 1];
	}
	frame_pool_reclaim_channel(arena, 0);
}

static void killed_processes_leak_no_frame(void)
{
	struct family family = {.random = seed_of_run()};
	void *progress =
	        mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	CU_ASSERT_FATAL(progress != MAP_FAILED);
	family.progress = progress;
	arena_fixture_start(&family.fixture, &small);
	for (uint32_t round = 0; round < ROUNDS; round++) {
		family_round(&family);
		CU_ASSERT_TRUE(all_found(&family.fixture, 1));
	}
	arena_fixture_stop(&family.fixture);
	munmap(progress, 4096);
}

int main(void)
{
	static const struct unit_test tests[] = {
	        UNIT_TEST(takes_every_shared_frame_once),
	        UNIT_TEST(home_frame_is_for_its_channel_alone),
	        UNIT_TEST(receive_frames_are_a_pool_of_their_own),
	        UNIT_TEST(cache_is_bounded_and_the_rest_goes_back),
	        UNIT_TEST(cached_frames_of_others_are_no_reserve),
	        UNIT_TEST(stale_hints_give_nobody_a_frame_that_is_taken),
	        UNIT_TEST(reclaims_frames_between_hint_and_owner),
	        UNIT_TEST(reclaims_what_the_dead_held_and_nothing_else),
	        UNIT_TEST(reclaims_queued_frames_when_nobody_can_take_them),
	        UNIT_TEST(threads_never_hold_the_same_frame),
	        UNIT_TEST(killed_processes_leak_no_frame),
	        {NULL, NULL},
	};
	return unit_run("frame_pool", tests);
}
