/* SPDX-License-Identifier: Apache-2.0 */
/*
 * report.h - a result in words, as JSON or as CSV. All three name the build and
 * the machine; JSON also holds the raw data (samples over time, percentiles).
 */
#ifndef BENCH_REPORT_H
#define BENCH_REPORT_H

#include "bench/run.h"

/* What a report needs beside the result itself. */
struct bench_report {
	const struct bench_options *options;
	const struct bench_run *run;
	const struct bench_result *result;
	const struct bench_machine *machine;
};

/* In the format that options name. 0 or -EIO, -ENOMEM. */
int bench_report_write(const struct bench_report *report, FILE *out);

/* The percentiles of a distribution's curve: 0, then ever closer to 100 by
 * halves, until single values are told apart; the last is 100.
 * Returns how many of at most room were written. */
size_t bench_report_percentiles(const struct bench_histogram *histogram, double *ret_percents,
                                size_t room);
#define BENCH_PERCENTILES_MAX 256u

#endif
