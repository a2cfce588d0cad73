/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_histogram.c - bench/histogram.h against exact answers: what is recorded
 * comes back to three digits, in one histogram or merged from several.
 */
#include "bench/histogram.h"
#include "tests/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct bench_histogram *histogram_new(void)
{
	struct bench_histogram *histogram = malloc(sizeof(*histogram));

	CU_ASSERT_PTR_NOT_NULL_FATAL(histogram);
	bench_histogram_reset(histogram);
	return histogram;
}

/* splitmix64 (Sebastiano Vigna, public domain). */
static uint64_t next_random(uint64_t *state)
{
	uint64_t mixed = *state += UINT64_C(0x9e3779b97f4a7c15);

	mixed = (mixed ^ (mixed >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	mixed = (mixed ^ (mixed >> 27)) * UINT64_C(0x94d049bb133111eb);
	return mixed ^ (mixed >> 31);
}

static int by_value(const void *left, const void *right)
{
	uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;

	return a < b ? -1 : a > b;
}

static void buckets_follow_each_other_without_gap(void)
{
	uint64_t expected_low = 0;

	for (uint32_t i = 0; i < BENCH_HISTOGRAM_COUNTS; i++) {
		uint64_t low = bench_histogram_bucket_low(i), high = bench_histogram_bucket_high(i);

		CU_ASSERT_EQUAL_FATAL(low, expected_low);
		CU_ASSERT_EQUAL_FATAL(bench_histogram_index(low), i);
		CU_ASSERT_EQUAL_FATAL(bench_histogram_index(high), i);
		expected_low = high + 1;
	}
	CU_ASSERT_EQUAL(expected_low, BENCH_HISTOGRAM_VALUE_MAX + 1);
}

static void every_bucket_is_exact_to_three_digits(void)
{
	for (uint32_t i = 1; i < BENCH_HISTOGRAM_COUNTS; i++) {
		uint64_t low = bench_histogram_bucket_low(i);
		uint64_t width = bench_histogram_bucket_high(i) - low + 1;

		CU_ASSERT_FATAL(width == 1 || width * 1000 <= low);
	}
}

static void an_empty_histogram_reports_zero(void)
{
	struct bench_histogram *histogram = histogram_new();

	CU_ASSERT_EQUAL(bench_histogram_percentile(histogram, 50), 0);
	CU_ASSERT_EQUAL(bench_histogram_percentile(histogram, 100), 0);
	CU_ASSERT_EQUAL(bench_histogram_mean(histogram), 0);
	free(histogram);
}

static void small_values_are_exact(void)
{
	struct bench_histogram *histogram = histogram_new();

	for (uint64_t value = 1; value <= 1000; value++)
		bench_histogram_record(histogram, value, 1);
	CU_ASSERT_EQUAL(histogram->value_min, 1);
	CU_ASSERT_EQUAL(histogram->value_max, 1000);
	CU_ASSERT_EQUAL(bench_histogram_percentile(histogram, 0), 1);
	CU_ASSERT_EQUAL(bench_histogram_percentile(histogram, 50), 500);
	CU_ASSERT_EQUAL(bench_histogram_percentile(histogram, 99), 990);
	CU_ASSERT_EQUAL(bench_histogram_percentile(histogram, 99.9), 999);
	CU_ASSERT_EQUAL(bench_histogram_percentile(histogram, 99.91), 1000);
	CU_ASSERT_EQUAL(bench_histogram_percentile(histogram, 100), 1000);
	CU_ASSERT_DOUBLE_EQUAL(bench_histogram_mean(histogram), 500.5, 1e-9);
	free(histogram);
}

static void percentiles_of_random_values_have_three_digits(void)
{
	enum { COUNT = 20000 };
	/* in hundredths of a percent, so that ranks are exact */
	static const int percents[] = {0, 100, 1000, 5000, 9000, 9900, 9990, 9999, 10000};
	static uint64_t values[COUNT];
	struct bench_histogram *histogram = histogram_new();
	uint64_t seed = 20240915, state = seed;

	for (int i = 0; i < COUNT; i++) {
		/* All magnitudes alike: few bits as often as many. */
		values[i] = next_random(&state) >> (22 + next_random(&state) % 42);
		bench_histogram_record(histogram, values[i], 1);
	}
	qsort(values, COUNT, sizeof(values[0]), by_value);
	for (size_t i = 0; i < sizeof(percents) / sizeof(percents[0]); i++) {
		int rank = (percents[i] * COUNT + 9999) / 10000;
		uint64_t exact = values[rank ? rank - 1 : 0];
		uint64_t found = bench_histogram_percentile(histogram, percents[i] / 100.0);

		if (found < exact || (double)(found - exact) > (double)exact / 1000) {
			printf("seed %llu: p%.2f is %llu, not %llu\n", (unsigned long long)seed,
			       percents[i] / 100.0, (unsigned long long)found,
			       (unsigned long long)exact);
			CU_FAIL("a percentile is not exact to three digits");
		}
	}
	free(histogram);
}

static void a_value_beyond_the_range_keeps_its_exact_maximum(void)
{
	struct bench_histogram *histogram = histogram_new();

	bench_histogram_record(histogram, UINT64_MAX, 1);
	bench_histogram_record(histogram, 0, 1);
	CU_ASSERT_EQUAL(histogram->value_max, UINT64_MAX);
	CU_ASSERT_EQUAL(histogram->value_min, 0);
	CU_ASSERT_EQUAL(histogram->counts[BENCH_HISTOGRAM_COUNTS - 1], 1);
	CU_ASSERT_EQUAL(bench_histogram_percentile(histogram, 100), UINT64_MAX);
	CU_ASSERT_EQUAL(bench_histogram_percentile(histogram, 50), 0);
	free(histogram);
}

static void merged_histograms_equal_one_of_all_values(void)
{
	struct bench_histogram *parts[2] = {histogram_new(), histogram_new()};
	struct bench_histogram *all = histogram_new(), *merged = histogram_new();
	uint64_t state = 7;

	for (int i = 0; i < 10000; i++) {
		uint64_t value = next_random(&state) >> 30;

		bench_histogram_record(parts[i % 3 == 0], value, 1);
		bench_histogram_record(all, value, 1);
	}
	bench_histogram_merge(merged, parts[0]);
	bench_histogram_merge(merged, parts[1]);
	CU_ASSERT_EQUAL(memcmp(merged, all, sizeof(*all)), 0);
	/* An empty one changes nothing, least of all the minimum. */
	bench_histogram_reset(parts[0]);
	bench_histogram_merge(merged, parts[0]);
	CU_ASSERT_EQUAL(memcmp(merged, all, sizeof(*all)), 0);
	free(parts[0]);
	free(parts[1]);
	free(merged);
	free(all);
}

static void counts_recorded_at_once_equal_single_ones(void)
{
	struct bench_histogram *once = histogram_new(), *singly = histogram_new();

	bench_histogram_record(once, 123456, 5);
	for (int i = 0; i < 5; i++)
		bench_histogram_record(singly, 123456, 1);
	CU_ASSERT_EQUAL(memcmp(once, singly, sizeof(*once)), 0);
	free(once);
	free(singly);
}

int main(void)
{
	static const struct unit_test tests[] = {
	        UNIT_TEST(buckets_follow_each_other_without_gap),
	        UNIT_TEST(every_bucket_is_exact_to_three_digits),
	        UNIT_TEST(an_empty_histogram_reports_zero),
	        UNIT_TEST(small_values_are_exact),
	        UNIT_TEST(percentiles_of_random_values_have_three_digits),
	        UNIT_TEST(a_value_beyond_the_range_keeps_its_exact_maximum),
	        UNIT_TEST(merged_histograms_equal_one_of_all_values),
	        UNIT_TEST(counts_recorded_at_once_equal_single_ones),
	        {NULL, NULL},
	};
	return unit_run("histogram", tests);
}
