/* SPDX-License-Identifier: Apache-2.0 */
/* plot.c - draws results through gnuplot; see plot.h. */
#include "bench/plot.h"

#include "bench/version.h"

#include <errno.h>
#include <math.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define INTERVAL_S_MIN 0.002

/* gnuplot strings in double quotes: a backslash escapes. */
static void quote(const char *text, FILE *out)
{
	fputc('"', out);
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			fputc('\\', out);
		fputc(*text, out);
	}
	fputc('"', out);
}

static void script_head(const struct bench_report *report, FILE *out)
{
	const struct bench_options *options = report->options;
	const char *dot = strrchr(options->plot_path, '.');
	char title[256];

	fprintf(out, "set terminal %s size 900,500\n",
	        strcmp(dot, ".svg") == 0 ? "svg background '#ffffff'" : "png");
	fputs("set output ", out);
	quote(options->plot_path, out);
	snprintf(title, sizeof(title), "sluice-perf %s, %s, %u:%u, rows of %u B (%s, %u cores, %s)",
	         bench_mode_name(options->mode), options->driver, options->sender_count,
	         options->receiver_count, options->row_bytes, report->machine->cpu_model,
	         report->machine->core_count, BENCH_COMMIT);
	fputs("\nset title ", out);
	quote(title, out);
	fputs(" noenhanced\nset grid\nunset key\n", out);
}

/* The x axis is 1 / (1 - p), logarithmic: each nine gets the same room. */
static void script_latency(const struct bench_histogram *latency, FILE *out)
{
	double percents[BENCH_PERCENTILES_MAX];
	size_t count = bench_report_percentiles(latency, percents, BENCH_PERCENTILES_MAX);
	double last = 1;

	fputs("set logscale xy\nset xlabel 'percentile'\nset ylabel 'latency, one way (us)'\n"
	      "set xtics ('0' 1, '50' 2, '90' 10, '99' 100, '99.9' 1e3, '99.99' 1e4, "
	      "'99.999' 1e5, '99.9999' 1e6, '99.99999' 1e7)\n"
	      "$data << EOD\n",
	      out);
	for (size_t i = 0; i < count; i++) {
		/* 100 has no place on this axis: one half beyond the one before. */
		double x = percents[i] < 100 ? 100 / (100 - percents[i]) : 2 * last;

		fprintf(out, "%.9g %.6f\n", x,
		        (double)bench_histogram_percentile(latency, percents[i]) / 1000);
		last = x;
	}
	fputs("EOD\nplot $data using 1:2 with linespoints pointtype 7 pointsize 0.4\n", out);
}

static void script_throughput(const struct bench_report *report, FILE *out)
{
	const struct bench_run *run = report->run;
	const struct bench_sample *from = run->samples;

	fputs("set xlabel 'time (s)'\nset ylabel 'GB/s'\nset yrange [0:*]\n$data << EOD\n", out);
	for (size_t i = 1; i < run->sample_count; i++) {
		const struct bench_sample *to = &run->samples[i];
		double seconds = (double)(to->time_ns - from->time_ns) / 1e9;
		double bytes =
		        (double)(to->row_count - from->row_count) * report->options->row_bytes;

		/* Where the warm-up ends two looks are so close that a rate means nothing. */
		if (seconds < INTERVAL_S_MIN)
			continue;
		fprintf(out, "%.6f %.6f\n", (double)to->time_ns / 1e9, bytes / 1e9 / seconds);
		from = to;
	}
	fputs("EOD\nplot $data using 1:2 with fsteps linewidth 1.5\n", out);
}

void bench_plot_script(const struct bench_report *report, FILE *out)
{
	script_head(report, out);
	if (report->result->latency)
		script_latency(report->result->latency, out);
	else
		script_throughput(report, out);
}

int bench_plot_write(const struct bench_report *report, char *error)
{
	void (*before)(int) = signal(SIGPIPE, SIG_IGN);
	FILE *gnuplot = popen("gnuplot", "we");
	int status;

	if (!gnuplot) {
		signal(SIGPIPE, before);
		snprintf(error, BENCH_ERROR_BYTES, "cannot run gnuplot: %s", strerror(errno));
		return -EIO;
	}
	bench_plot_script(report, gnuplot);
	status = pclose(gnuplot);
	signal(SIGPIPE, before);
	if (status == 0)
		return 0;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 127) {
		snprintf(error, BENCH_ERROR_BYTES,
		         "--plot needs gnuplot (Debian package gnuplot-nox)");
		return -ENOENT;
	}
	snprintf(error, BENCH_ERROR_BYTES, "gnuplot could not draw %.300s",
	         report->options->plot_path);
	return -EIO;
}
