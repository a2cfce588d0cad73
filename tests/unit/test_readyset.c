/* SPDX-License-Identifier: Apache-2.0 */
/* test_readyset.c - the ready set: bits in every word, what a killed publisher
 * leaves, scribbled summaries; then publishers in threads against one consumer. */
#include "tests/unit/unit.h"
#include "transport/readyset.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#define BITS_MAX 10048u

struct taken {
	uint8_t times[BITS_MAX];
	uint32_t count;
};

struct set_memory {
	struct readyset set;
	_Atomic uint64_t *memory;
	uint32_t bit_count;
};

static void set_start(struct set_memory *s, uint32_t bit_count)
{
	s->bit_count = bit_count;
	s->memory = calloc(1, readyset_size_bytes(bit_count));
	CU_ASSERT_PTR_NOT_NULL_FATAL(s->memory);
	readyset_init(&s->set, s->memory, bit_count);
}

static void set_stop(struct set_memory *s)
{
	free((void *)s->memory);
}

static void note_bit(uint32_t bit, void *ctx)
{
	struct taken *taken = ctx;

	CU_ASSERT_FATAL(bit < BITS_MAX);
	taken->times[bit]++;
	taken->count++;
}

static void takes_each_marked_bit_once(void)
{
	static const uint32_t counts[] = {1, 63, 64, 65, 128, 4096, 4097, 10000, BITS_MAX};

	for (size_t c = 0; c < sizeof(counts) / sizeof(counts[0]); c++) {
		struct set_memory s;

		set_start(&s, counts[c]);
		for (uint32_t step = 1; step < 130; step += 43) {
			struct taken taken = {0};
			uint32_t marked = 0;

			for (uint32_t bit = 0; bit < counts[c]; bit += step, marked++) {
				readyset_mark(&s.set, bit);
				readyset_mark(&s.set, bit);
			}
			CU_ASSERT_TRUE(readyset_any(&s.set));
			CU_ASSERT_EQUAL(readyset_take(&s.set, note_bit, &taken), marked);
			CU_ASSERT_EQUAL(taken.count, marked);
			for (uint32_t bit = 0; bit < counts[c]; bit++)
				CU_ASSERT_EQUAL_FATAL(taken.times[bit], bit % step == 0);
			CU_ASSERT_FALSE(readyset_any(&s.set));
			CU_ASSERT_EQUAL(readyset_take(&s.set, note_bit, &taken), 0);
		}
		set_stop(&s);
	}
}

static void fits_the_memory_it_asks_for(void)
{
	for (uint32_t bit_count = 1; bit_count < 20000; bit_count += 61) {
		struct set_memory s;
		size_t used;

		set_start(&s, bit_count);
		used = (size_t)(s.set.words - s.memory + s.set.word_count) * sizeof(uint64_t);
		CU_ASSERT_EQUAL_FATAL(s.set.summary, s.memory);
		CU_ASSERT_FATAL(s.set.word_count * 64 >= bit_count);
		CU_ASSERT_FATAL(s.set.summary_count * 64 >= s.set.word_count);
		CU_ASSERT_FATAL(used <= readyset_size_bytes(bit_count));
		set_stop(&s);
	}
}

/* A visitor that marks again is the publisher that comes while we look. */
static void mark_once_more(uint32_t bit, void *ctx)
{
	struct set_memory *s = ctx;

	CU_ASSERT_EQUAL(bit, 70);
	readyset_mark(&s->set, bit);
}

static void keeps_a_bit_marked_during_the_visit(void)
{
	struct set_memory s;
	struct taken taken = {0};

	set_start(&s, 128);
	readyset_mark(&s.set, 70);
	CU_ASSERT_EQUAL(readyset_take(&s.set, mark_once_more, &s), 1);
	CU_ASSERT_TRUE(readyset_any(&s.set));
	CU_ASSERT_EQUAL(readyset_take(&s.set, note_bit, &taken), 1);
	CU_ASSERT_EQUAL(taken.times[70], 1);
	set_stop(&s);
}

static void repairs_what_a_publisher_killed_halfway_left(void)
{
	struct set_memory s;
	struct taken taken = {0};

	set_start(&s, 4096);
	atomic_fetch_or(&s.set.words[3], UINT64_C(1) << 5); /* and no summary */
	readyset_mark(&s.set, 3 * 64 + 5);
	CU_ASSERT_FALSE(readyset_any(&s.set));
	readyset_mark_always(&s.set, 3 * 64 + 5);
	CU_ASSERT_TRUE(readyset_any(&s.set));
	CU_ASSERT_EQUAL(readyset_take(&s.set, note_bit, &taken), 1);
	CU_ASSERT_EQUAL(taken.times[3 * 64 + 5], 1);
	set_stop(&s);
}

static void looks_at_no_word_that_is_not_there(void)
{
	struct set_memory s;
	struct taken taken = {0};

	set_start(&s, 128);
	readyset_mark(&s.set, 127);
	atomic_store(&s.set.summary[0], UINT64_MAX);
	CU_ASSERT_EQUAL(readyset_take(&s.set, note_bit, &taken), 1);
	CU_ASSERT_FALSE(readyset_any(&s.set));
	set_stop(&s);
}

/* ---- threads ------------------------------------------------------------- */

#define PUBLISHERS      3u
#define BITS_EACH       40u /* interleaved, so that they share words */
#define CHANGES_PER_BIT 2000u
#define BITS_ALL        (PUBLISHERS * BITS_EACH)

struct race {
	struct set_memory s;
	_Atomic uint32_t changes[BITS_ALL]; /* the channels */
	uint32_t seen[BITS_ALL];
	_Atomic uint32_t running;
};

struct publisher {
	struct race *race;
	uint32_t first_bit;
	pthread_t thread;
};

static void *publish(void *ctx)
{
	struct publisher *publisher = ctx;
	struct race *race = publisher->race;

	for (uint32_t change = 1; change <= CHANGES_PER_BIT; change++)
		for (uint32_t i = 0; i < BITS_EACH; i++) {
			uint32_t bit = publisher->first_bit + i * PUBLISHERS;

			atomic_store_explicit(&race->changes[bit], change, memory_order_release);
			atomic_thread_fence(memory_order_seq_cst);
			readyset_mark(&race->s.set, bit);
		}
	atomic_fetch_sub(&race->running, 1);
	return NULL;
}

static void look(uint32_t bit, void *ctx)
{
	struct race *race = ctx;

	race->seen[bit] = atomic_load_explicit(&race->changes[bit], memory_order_acquire);
}

static void consumer_sees_the_last_change_of_every_publisher(void)
{
	struct race *race = calloc(1, sizeof(*race));
	struct publisher publishers[PUBLISHERS];

	CU_ASSERT_PTR_NOT_NULL_FATAL(race);
	set_start(&race->s, BITS_ALL);
	atomic_store(&race->running, PUBLISHERS);
	for (uint32_t i = 0; i < PUBLISHERS; i++) {
		publishers[i] = (struct publisher){.race = race, .first_bit = i};
		CU_ASSERT_EQUAL_FATAL(
		        pthread_create(&publishers[i].thread, NULL, publish, &publishers[i]), 0);
	}
	while (atomic_load(&race->running))
		if (!readyset_take(&race->s.set, look, race))
			sched_yield();
	for (uint32_t i = 0; i < PUBLISHERS; i++)
		pthread_join(publishers[i].thread, NULL);
	readyset_take(&race->s.set, look, race);
	for (uint32_t bit = 0; bit < BITS_ALL; bit++)
		CU_ASSERT_EQUAL(race->seen[bit], CHANGES_PER_BIT);
	CU_ASSERT_FALSE(readyset_any(&race->s.set));
	set_stop(&race->s);
	free(race);
}

int main(void)
{
	static const struct unit_test tests[] = {
	        UNIT_TEST(takes_each_marked_bit_once),
	        UNIT_TEST(fits_the_memory_it_asks_for),
	        UNIT_TEST(keeps_a_bit_marked_during_the_visit),
	        UNIT_TEST(repairs_what_a_publisher_killed_halfway_left),
	        UNIT_TEST(looks_at_no_word_that_is_not_there),
	        UNIT_TEST(consumer_sees_the_last_change_of_every_publisher),
	        {NULL, NULL},
	};
	return unit_run("readyset", tests);
}
