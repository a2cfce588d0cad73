/* SPDX-License-Identifier: Apache-2.0 */
/*
 * text.h - the words of TPC-H: its lists (specification 4.2.2.13), and comments
 * cut out of sentences of its grammar (4.2.2.14).
 */
#ifndef TPCH_TEXT_H
#define TPCH_TEXT_H

#include "bench/tpch/random.h"

#include <stddef.h>

struct word_list {
	const char *const *words;
	size_t count;
};

extern const struct word_list words_color, words_segment, words_priority, words_instruct,
        words_mode, words_container_size, words_container_kind, words_type_1, words_type_2,
        words_type_3;

static inline const char *word_pick(const struct word_list *list, struct tpch_random *random)
{
	return list->words[random_between(random, 0, (int64_t)list->count - 1)];
}

/* The comments are cut out of one long text, made once from the seed. 0 or -1. */
int text_pool_make(uint64_t seed);

/* A comment of low to high bytes: *ret_text points into the pool, not ended by 0. */
size_t text_pick(struct tpch_random *random, int low, int high, const char **ret_text);

/* A string of low to high random characters, as addresses are; out has high + 1 bytes. */
void text_random_characters(struct tpch_random *random, int low, int high, char *out);

#endif
