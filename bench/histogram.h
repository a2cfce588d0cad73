/* SPDX-License-Identifier: Apache-2.0 */
/*
 * histogram.h - counts of durations in log-linear buckets, exact to three
 * significant digits from 1 ns to 73 minutes.
 *
 * The layout is that of HdrHistogram (Gil Tene, hdrhistogram.org): every power
 * of two is cut into the same number of equal buckets, so the relative error is
 * the same everywhere and recording costs a count of leading zeros and an
 * increment. The structure is of fixed size and holds no pointer: it lies in
 * memory that processes share, one writer each, and is merged by their parent.
 */
#ifndef BENCH_HISTOGRAM_H
#define BENCH_HISTOGRAM_H

#include <stdint.h>

/* 2,000 distinct values give three digits; the next power of two is 2^11. */
#define BENCH_HISTOGRAM_LINEAR_BITS 11u
#define BENCH_HISTOGRAM_HALF        (1u << (BENCH_HISTOGRAM_LINEAR_BITS - 1))
#define BENCH_HISTOGRAM_VALUE_BITS  42u
#define BENCH_HISTOGRAM_VALUE_MAX   ((UINT64_C(1) << BENCH_HISTOGRAM_VALUE_BITS) - 1)
#define BENCH_HISTOGRAM_COUNTS                                                                     \
	((BENCH_HISTOGRAM_VALUE_BITS - BENCH_HISTOGRAM_LINEAR_BITS + 2) * BENCH_HISTOGRAM_HALF)

struct bench_histogram {
	uint64_t total_count;
	uint64_t value_min; /* exact; UINT64_MAX while empty */
	uint64_t value_max; /* exact, also when beyond BENCH_HISTOGRAM_VALUE_MAX */
	uint64_t counts[BENCH_HISTOGRAM_COUNTS];
};

static inline uint32_t bench_histogram_index(uint64_t value)
{
	uint64_t linear_max = (UINT64_C(1) << BENCH_HISTOGRAM_LINEAR_BITS) - 1;
	uint32_t shift = 64 - (uint32_t)__builtin_clzll(value | linear_max);

	shift -= BENCH_HISTOGRAM_LINEAR_BITS;
	return shift * BENCH_HISTOGRAM_HALF + (uint32_t)(value >> shift);
}

/* A value beyond the range is counted in the last bucket. */
static inline void bench_histogram_record(struct bench_histogram *histogram, uint64_t value,
                                          uint64_t count)
{
	uint64_t kept = value > BENCH_HISTOGRAM_VALUE_MAX ? BENCH_HISTOGRAM_VALUE_MAX : value;

	histogram->counts[bench_histogram_index(kept)] += count;
	histogram->total_count += count;
	if (value < histogram->value_min)
		histogram->value_min = value;
	if (value > histogram->value_max)
		histogram->value_max = value;
}

void bench_histogram_reset(struct bench_histogram *histogram);

/* Add the counts of from. The result is that of one histogram of all values. */
void bench_histogram_merge(struct bench_histogram *histogram, const struct bench_histogram *from);

/* Smallest and largest value that are counted in the bucket. */
uint64_t bench_histogram_bucket_low(uint32_t bucket_idx);
uint64_t bench_histogram_bucket_high(uint32_t bucket_idx);

/*
 * The value that percent (0 .. 100) of all values do not exceed: the top of its
 * bucket, as HdrHistogram reports it, but never above the exact maximum. 0 when
 * empty.
 */
uint64_t bench_histogram_percentile(const struct bench_histogram *histogram, double percent);

/* From the middles of the buckets. 0 when empty. */
double bench_histogram_mean(const struct bench_histogram *histogram);

#endif
