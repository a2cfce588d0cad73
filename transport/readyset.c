/* SPDX-License-Identifier: Apache-2.0 */
/* readyset.c - see readyset.h. */
#include "transport/readyset.h"

static uint32_t words_for(uint32_t bits)
{
	return (bits + 63) / 64;
}

size_t readyset_size_bytes(uint32_t bit_count)
{
	uint32_t words = words_for(bit_count);
	size_t bytes = (words_for(words) + words) * sizeof(uint64_t);

	return (bytes + 63) / 64 * 64;
}

void readyset_init(struct readyset *set, _Atomic uint64_t *memory, uint32_t bit_count)
{
	set->word_count = words_for(bit_count);
	set->summary_count = words_for(set->word_count);
	set->summary = memory;
	set->words = memory + set->summary_count;
}

void readyset_mark_always(const struct readyset *set, uint32_t bit)
{
	uint32_t word = bit / 64;

	/* seq_cst: word before summary, both before the look at `sleeping` */
	atomic_fetch_or(&set->words[word], UINT64_C(1) << (bit % 64));
	atomic_fetch_or(&set->summary[word / 64], UINT64_C(1) << (word % 64));
}

void readyset_mark(const struct readyset *set, uint32_t bit)
{
	/* relaxed: ordered by the caller's fence against the consumer's exchange */
	uint64_t word = atomic_load_explicit(&set->words[bit / 64], memory_order_relaxed);

	if (word & (UINT64_C(1) << (bit % 64)))
		return;
	readyset_mark_always(set, bit);
}

static uint32_t take_word(const struct readyset *set, uint32_t word,
                          void (*visit)(uint32_t bit, void *ctx), void *ctx)
{
	/* seq_cst: taken before the caller looks at the channels */
	uint64_t bits = atomic_exchange(&set->words[word], 0);
	uint32_t count = 0;

	/* pairs with the publisher's fence: an exchange alone lets the looks at the
	 * channels pass it on ARM */
	atomic_thread_fence(memory_order_seq_cst);
	for (; bits; bits &= bits - 1, count++)
		visit(word * 64 + (uint32_t)__builtin_ctzll(bits), ctx);
	return count;
}

uint32_t readyset_take(const struct readyset *set, void (*visit)(uint32_t bit, void *ctx),
                       void *ctx)
{
	uint32_t count = 0;

	for (uint32_t s = 0; s < set->summary_count; s++) {
		uint64_t bits;

		/* relaxed: a stale 0 is found at the next call, and before sleep
		 * readyset_any() looks in full order */
		if (!atomic_load_explicit(&set->summary[s], memory_order_relaxed))
			continue;
		for (bits = atomic_exchange(&set->summary[s], 0); bits; bits &= bits - 1) {
			uint32_t word = s * 64 + (uint32_t)__builtin_ctzll(bits);

			if (word < set->word_count)
				count += take_word(set, word, visit, ctx);
		}
	}
	return count;
}

bool readyset_any(const struct readyset *set)
{
	for (uint32_t s = 0; s < set->summary_count; s++)
		if (atomic_load(&set->summary[s]))
			return true;
	return false;
}
