/* SPDX-License-Identifier: Apache-2.0 */
/*
 * readyset.h - which channels of a process something happened on: one bit per
 * channel in shared memory, with summary words above, so that a process with
 * ten thousand quiet channels looks at a few words.
 *
 * A publisher changes the channel, then issues a seq_cst fence, then marks. The
 * consumer takes bits first and looks at the channels afterwards. If the
 * publisher finds the bit set already, the consumer has yet to take it and will
 * then see the change; if not, the publisher sets it. Either way no event is
 * lost (model-checked: tests/model/).
 */
#ifndef TRANSPORT_READYSET_H
#define TRANSPORT_READYSET_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A view of the words in shared memory. */
struct readyset {
	_Atomic uint64_t *summary; /* bit w of word s: words[64 s + w] may be non-zero */
	_Atomic uint64_t *words;
	uint32_t summary_count, word_count;
};

/* Bytes in shared memory for bit_count bits, a multiple of 64. */
size_t readyset_size_bytes(uint32_t bit_count);
void readyset_init(struct readyset *set, _Atomic uint64_t *memory, uint32_t bit_count);

/* Mark a bit. The caller has fenced (seq_cst) since it changed the channel. */
void readyset_mark(const struct readyset *set, uint32_t bit);

/* Mark even if the bit is set already: repairs what a publisher killed between
 * word and summary left. For the agent. */
void readyset_mark_always(const struct readyset *set, uint32_t bit);

/* Take all marked bits and call visit for each. Returns how many. */
uint32_t readyset_take(const struct readyset *set, void (*visit)(uint32_t bit, void *ctx),
                       void *ctx);

/* Whether any bit is marked; seq_cst loads, for the last look before sleep. */
bool readyset_any(const struct readyset *set);

#endif
