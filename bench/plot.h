/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plot.h - a picture of a result, drawn by gnuplot: latency by percentile, or
 * throughput over time.
 */
#ifndef BENCH_PLOT_H
#define BENCH_PLOT_H

#include "bench/report.h"

/* Draw to options->plot_path. -ENOENT: gnuplot is missing; -EIO: it failed;
 * with error (BENCH_ERROR_BYTES). */
int bench_plot_write(const struct bench_report *report, char *error);

/* What gnuplot is told: its commands with the data in them. */
void bench_plot_script(const struct bench_report *report, FILE *out);

#endif
