/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rows.c - writing and comparing rows; see rows.h.
 *
 * The loops are compiled once for AVX2 and once for the baseline and chosen at
 * the first call. Rows of up to 16 words get a loop of their own each, whose
 * length the compiler knows: for the short rows of a database the loop's
 * prologue would otherwise cost more than the row.
 *
 * No ifunc (target_clones): its resolver runs before a sanitizer's runtime is
 * ready.
 */
#include "bench/rows.h"

#include <stdbool.h>

#define INLINE static inline __attribute__((always_inline))

/* Rows are 8-byte aligned (slu_channel_reserve); 100-byte rows no more. */
typedef uint64_t row_word __attribute__((may_alias));
typedef uint64_t row_vector __attribute__((vector_size(32), aligned(8), may_alias));

/*
 * Rows to come are fetched this far ahead. The lines of a frame lie in the cache
 * of the process that had it last, and a core asks for them one store after the
 * other if it is not told of the next ones; with the prefetch for writing a pair
 * of processes moved half as much again (12 to 18 GB/s, AMD EPYC, L3 shared).
 */
#define PREFETCH_BYTES 1024u
#define LINE_BYTES     64u

#define PREFETCH_MAX 2048u /* of a long row; more would push each other out */

/* A macro: the builtin wants for_write as a constant. */
#define ROW_PREFETCH(row, word_count, for_write)                                                   \
	do {                                                                                       \
		for (uint32_t ahead_ = 0; ahead_ < (word_count)*8 && ahead_ < PREFETCH_MAX;        \
		     ahead_ += LINE_BYTES)                                                         \
			__builtin_prefetch((const char *)(row) + PREFETCH_BYTES + ahead_,          \
			                   for_write);                                             \
	} while (0)

INLINE uint64_t row_mix(uint64_t sequence)
{
	uint64_t mixed = sequence * UINT64_C(0x9e3779b97f4a7c15);

	return mixed ^ (mixed >> 32);
}

INLINE uint64_t row_head(uint64_t sequence, uint32_t row_bytes)
{
	return row_bytes | sequence << 32;
}

INLINE void row_fill(row_word *row, uint64_t sequence, uint32_t row_bytes, uint32_t word_count)
{
	uint64_t mixed = row_mix(sequence);
	row_vector payload = {mixed + 1, mixed + 2, mixed + 3, mixed + 4};
	uint32_t i;

	row[0] = row_head(sequence, row_bytes);
	for (i = 1; i + 4 <= word_count; i += 4, payload += 4)
		*(row_vector *)(row + i) = payload;
	for (; i < word_count; i++)
		row[i] = mixed + i;
}

/* Bits in which rows differ from what is expected; the halves are only joined
 * at the end, moves between vector and scalar registers are slow. */
struct row_difference {
	row_vector vectors;
	uint64_t words;
};

INLINE void row_compare(const row_word *row, uint64_t sequence, uint32_t row_bytes,
                        uint32_t word_count, struct row_difference *difference)
{
	uint64_t mixed = row_mix(sequence);
	row_vector payload = {mixed + 1, mixed + 2, mixed + 3, mixed + 4};
	uint32_t i;

	difference->words |= row[0] ^ row_head(sequence, row_bytes);
	for (i = 1; i + 4 <= word_count; i += 4, payload += 4)
		difference->vectors |= *(const row_vector *)(row + i) ^ payload;
	for (; i < word_count; i++)
		difference->words |= row[i] ^ (mixed + i);
}

INLINE int write_loop(struct bench_rows *rows, slu_channel *channel, uint64_t row_count,
                      uint64_t *ret_written, uint32_t word_count)
{
	uint64_t sequence = rows->sequence;
	uint32_t row_bytes = rows->row_bytes;
	bool stream = rows->stream;
	uint64_t i;
	void *row;
	int rc = SLU_OK;

	for (i = 0; i < row_count; i++) {
		rc = slu_channel_reserve(channel, word_count * 8, &row);
		if (__builtin_expect(rc != SLU_OK, 0))
			break;
		if (stream)
			ROW_PREFETCH(row, word_count, 1);
		row_fill(row, sequence++, row_bytes, word_count);
		slu_channel_append(channel, word_count * 8);
	}
	rows->sequence = sequence;
	*ret_written = i;
	return rc;
}

INLINE uint64_t check_loop(const row_word *row, uint64_t sequence, uint32_t row_bytes,
                           uint64_t row_count, uint32_t word_count, bool stream)
{
	struct row_difference difference = {{0, 0, 0, 0}, 0};

	for (uint64_t i = 0; i < row_count; i++) {
		if (stream)
			ROW_PREFETCH(row, word_count, 0);
		row_compare(row, sequence++, row_bytes, word_count, &difference);
		row += word_count;
	}
	return difference.words | difference.vectors[0] | difference.vectors[1] |
	       difference.vectors[2] | difference.vectors[3];
}

#define FOR_EACH_SHORT_ROW(X)                                                                      \
	X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14) X(15) X(16)

#define WRITE_CASE(n)                                                                              \
	case n:                                                                                    \
		return write_loop(rows, channel, row_count, ret_written, n);
#define CHECK_CASE(n)                                                                              \
	case n:                                                                                    \
		return check_loop(row, sequence, row_bytes, row_count, n, stream);

INLINE int write_rows(struct bench_rows *rows, slu_channel *channel, uint64_t row_count,
                      uint64_t *ret_written)
{
	switch (rows->word_count) {
		FOR_EACH_SHORT_ROW(WRITE_CASE)
	default:
		return write_loop(rows, channel, row_count, ret_written, rows->word_count);
	}
}

INLINE uint64_t check_rows(const row_word *row, uint64_t sequence, uint32_t row_bytes,
                           uint64_t row_count, uint32_t word_count, bool stream)
{
	switch (word_count) {
		FOR_EACH_SHORT_ROW(CHECK_CASE)
	default:
		return check_loop(row, sequence, row_bytes, row_count, word_count, stream);
	}
}

static int write_baseline(struct bench_rows *rows, slu_channel *channel, uint64_t row_count,
                          uint64_t *ret_written)
{
	return write_rows(rows, channel, row_count, ret_written);
}

static uint64_t check_baseline(const row_word *row, uint64_t sequence, uint32_t row_bytes,
                               uint64_t row_count, uint32_t word_count, bool stream)
{
	return check_rows(row, sequence, row_bytes, row_count, word_count, stream);
}

#if defined(__x86_64__)
/* Where AVX2 is, PREFETCHW is: an old processor may ignore it, none refuses. */
__attribute__((target("avx2,prfchw"))) static int
write_avx2(struct bench_rows *rows, slu_channel *channel, uint64_t row_count, uint64_t *ret_written)
{
	return write_rows(rows, channel, row_count, ret_written);
}

__attribute__((target("avx2,prfchw"))) static uint64_t
check_avx2(const row_word *row, uint64_t sequence, uint32_t row_bytes, uint64_t row_count,
           uint32_t word_count, bool stream)
{
	return check_rows(row, sequence, row_bytes, row_count, word_count, stream);
}

static bool have_avx2(void)
{
	return __builtin_cpu_supports("avx2");
}
#else
#define write_avx2 write_baseline
#define check_avx2 check_baseline

static bool have_avx2(void)
{
	return false;
}
#endif

const char *bench_rows_isa(void)
{
	return have_avx2() ? "avx2" : "baseline";
}

void bench_rows_init(struct bench_rows *rows, uint32_t row_bytes, uint32_t lane, bool stream)
{
	rows->sequence = (uint64_t)lane << BENCH_ROW_LANE_SHIFT;
	rows->row_bytes = row_bytes;
	rows->word_count = (row_bytes + 7) / 8;
	rows->stream = stream;
}

int bench_rows_write(struct bench_rows *rows, slu_channel *channel, uint64_t row_count,
                     uint64_t *ret_written)
{
	if (have_avx2())
		return write_avx2(rows, channel, row_count, ret_written);
	return write_baseline(rows, channel, row_count, ret_written);
}

void bench_rows_fill(struct bench_rows *rows, void *data, uint64_t row_count)
{
	row_word *row = data;

	for (uint64_t i = 0; i < row_count; i++, row += rows->word_count)
		row_fill(row, rows->sequence++, rows->row_bytes, rows->word_count);
}

/* Which rows differ, once it is known that some do. */
__attribute__((noinline)) static uint64_t count_bad(const struct bench_rows *rows,
                                                    const row_word *row, uint64_t row_count)
{
	uint64_t bad = 0;

	for (uint64_t i = 0; i < row_count; i++, row += rows->word_count)
		bad += check_loop(row, rows->sequence + i, rows->row_bytes, 1, rows->word_count,
		                  false) != 0;
	return bad;
}

uint64_t bench_rows_check(struct bench_rows *rows, const void *data, size_t size_bytes,
                          uint64_t *ret_rows)
{
	uint32_t stride = bench_rows_stride(rows);
	uint64_t row_count = size_bytes / stride;
	uint64_t bad = size_bytes % stride != 0;
	uint64_t difference;

	if (have_avx2())
		difference = check_avx2(data, rows->sequence, rows->row_bytes, row_count,
		                        rows->word_count, rows->stream);
	else
		difference = check_baseline(data, rows->sequence, rows->row_bytes, row_count,
		                            rows->word_count, rows->stream);
	if (__builtin_expect(difference != 0, 0))
		bad += count_bad(rows, data, row_count);
	rows->sequence += row_count;
	*ret_rows = row_count;
	return bad;
}
