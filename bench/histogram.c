/* SPDX-License-Identifier: Apache-2.0 */
/* histogram.c - reading and merging of log-linear histograms; see histogram.h. */
#include "bench/histogram.h"

#include <string.h>

void bench_histogram_reset(struct bench_histogram *histogram)
{
	memset(histogram, 0, sizeof(*histogram));
	histogram->value_min = UINT64_MAX;
}

void bench_histogram_merge(struct bench_histogram *histogram, const struct bench_histogram *from)
{
	for (uint32_t i = 0; i < BENCH_HISTOGRAM_COUNTS; i++)
		histogram->counts[i] += from->counts[i];
	histogram->total_count += from->total_count;
	if (from->value_min < histogram->value_min)
		histogram->value_min = from->value_min;
	if (from->value_max > histogram->value_max)
		histogram->value_max = from->value_max;
}

static uint32_t bucket_shift(uint32_t bucket_idx)
{
	/* The first two halves have a width of 1; each later half doubles it. */
	if (bucket_idx < 2 * BENCH_HISTOGRAM_HALF)
		return 0;
	return bucket_idx / BENCH_HISTOGRAM_HALF - 1;
}

uint64_t bench_histogram_bucket_low(uint32_t bucket_idx)
{
	uint32_t shift = bucket_shift(bucket_idx);

	return (uint64_t)(bucket_idx - shift * BENCH_HISTOGRAM_HALF) << shift;
}

uint64_t bench_histogram_bucket_high(uint32_t bucket_idx)
{
	return bench_histogram_bucket_low(bucket_idx) +
	       ((UINT64_C(1) << bucket_shift(bucket_idx)) - 1);
}

uint64_t bench_histogram_percentile(const struct bench_histogram *histogram, double percent)
{
	/* A rank that is whole on paper may come out a rounding above: 99.9 % of
	 * 1,000 is not the 1,000th. */
	double exact = percent / 100.0 * (double)histogram->total_count * (1 - 1e-12);
	uint64_t wanted = (uint64_t)exact;
	uint64_t seen = 0;

	if (!histogram->total_count)
		return 0;
	if ((double)wanted < exact || !wanted)
		wanted++;
	if (wanted >= histogram->total_count)
		return histogram->value_max;
	for (uint32_t i = 0; i < BENCH_HISTOGRAM_COUNTS; i++) {
		seen += histogram->counts[i];
		if (seen >= wanted) {
			uint64_t high = bench_histogram_bucket_high(i);

			return high < histogram->value_max ? high : histogram->value_max;
		}
	}
	return histogram->value_max;
}

double bench_histogram_mean(const struct bench_histogram *histogram)
{
	double sum = 0;

	if (!histogram->total_count)
		return 0;
	for (uint32_t i = 0; i < BENCH_HISTOGRAM_COUNTS; i++) {
		double middle = ((double)bench_histogram_bucket_low(i) +
		                 (double)bench_histogram_bucket_high(i)) /
		                2;

		sum += middle * (double)histogram->counts[i];
	}
	return sum / (double)histogram->total_count;
}
