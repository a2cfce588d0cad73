/* SPDX-License-Identifier: Apache-2.0 */
/* report.c - results as text and CSV; JSON is in report_json.c. See report.h. */
#include "bench/report.h"

#include "bench/report_json.h"
#include "bench/rows.h"
#include "bench/version.h"

#include <errno.h>
#include <inttypes.h>

#define MIB (1024.0 * 1024.0)

size_t bench_report_percentiles(const struct bench_histogram *histogram, double *ret_percents,
                                size_t room)
{
	/* Five steps between 0 and 50, five between 50 and 75, ... as HdrHistogram. */
	double rest = 100, half = 50;
	size_t count = 0;

	while (count + 1 < room && rest / 100 * (double)histogram->total_count >= 1) {
		ret_percents[count++] = 100 - rest;
		rest -= half / 5;
		if (rest <= half * 1.0000001) {
			rest = half;
			half /= 2;
		}
	}
	if (count < room)
		ret_percents[count++] = 100;
	return count;
}

static double us(uint64_t ns)
{
	return (double)ns / 1000;
}

static double percentile_us(const struct bench_histogram *histogram, double percent)
{
	return us(bench_histogram_percentile(histogram, percent));
}

/* Memory that the run's channels cost: all of it, not only the growth. */
static double beyond_arena_mib(const struct bench_memory *memory)
{
	return (double)memory->private_bytes / MIB;
}

static void text_head(const struct bench_report *report, FILE *out)
{
	const struct bench_options *options = report->options;

	fprintf(out, "sluice-perf %s (%s)\n", BENCH_VERSION, BENCH_COMMIT);
	fprintf(out, "machine     %s, %" PRIu32 " cores, %.1f GiB, %s\n",
	        report->machine->cpu_model, report->machine->core_count,
	        (double)report->machine->memory_bytes / MIB / 1024, report->machine->kernel);
	if (bench_run_is_idle(options))
		fprintf(out, "run         %s, %u agent(s) (%s), %u processes, %u channels\n",
		        bench_mode_name(options->mode), report->run->agents.count, options->driver,
		        options->process_count, options->channel_count);
	else
		fprintf(out,
		        "run         %s, %u agent(s) (%s), %u:%u processes, rows of %u B, "
		        "%s loops\n",
		        bench_mode_name(options->mode), report->run->agents.count, options->driver,
		        options->sender_count, options->receiver_count, options->row_bytes,
		        bench_rows_isa());
}

static void text_latency(const struct bench_report *report, FILE *out)
{
	const struct bench_histogram *latency = report->result->latency;
	const char *what =
	        report->options->mode == BENCH_WAL ? "append to acknowledgement" : "one way";

	fprintf(out,
	        "latency     p50 %.3f us, p99 %.3f us, p99.9 %.3f us, max %.3f us "
	        "(%s; min %.3f, mean %.3f)\n",
	        percentile_us(latency, 50), percentile_us(latency, 99),
	        percentile_us(latency, 99.9), us(latency->value_max), what,
	        latency->total_count ? us(latency->value_min) : 0,
	        bench_histogram_mean(latency) / 1000);
	fprintf(out, "            %" PRIu64 " values\n", latency->total_count);
}

static void text_stream(const struct bench_report *report, FILE *out)
{
	const struct bench_result *result = report->result;

	fprintf(out, "measured    %.3f s, %" PRIu64 " rows, each compared\n", result->seconds,
	        result->row_count);
	if (report->options->mode == BENCH_OFFERED)
		fprintf(out, "offered     %.0f rows/s\n", report->options->rate);
	fprintf(out, "throughput  %.0f rows/s, %.3f GB/s\n", result->rows_per_s,
	        result->gigabytes_per_s);
	if (result->latency)
		text_latency(report, out);
	fprintf(out, "cpu         %.3f s processes", result->member_cpu_s);
	if (result->agent_cpu_known)
		fprintf(out, " + %.3f s agents", result->agent_cpu_s);
	else
		fprintf(out, " (agents not counted: not started here)");
	fprintf(out, " = %.4f CPU s per GB\n", result->cpu_s_per_gigabyte);
	fprintf(out,
	        "waits       %" PRIu64 " stalls, %.3f s blocked, %" PRIu64
	        " ended spinning, %" PRIu64 " slept, %" PRIu64 " wake-ups sent\n",
	        result->stall_count, (double)result->blocked_ns / 1e9, result->spin_count,
	        result->sleep_count, result->wakeup_count);
	fprintf(out, "errors      %" PRIu64 " of %" PRIu64 " rows lost, doubled or harmed\n",
	        result->error_count, result->row_count_all);
}

static void text_idle(const struct bench_report *report, FILE *out)
{
	const struct bench_result *result = report->result;
	const char *who = result->agent_cpu_known ? "processes and agents" : "processes alone";

	fprintf(out, "measured    %.3f s\n", result->seconds);
	fprintf(out, "cpu         %.4f %% of one core (%s: %.6f s + %.6f s)\n",
	        result->idle_core_percent, who, result->member_cpu_s, result->agent_cpu_s);
	fprintf(out,
	        "memory      %.2f MiB beyond the arena, %.2f MiB before the channels were open\n",
	        beyond_arena_mib(&result->memory), beyond_arena_mib(&result->memory_attached));
	fprintf(out,
	        "            (proportional set size of %s, all\n"
	        "            mappings but the arena's, which has %.2f MiB; memory of the kernel\n"
	        "            and of sluice-perf's parent process is not counted)\n",
	        who, (double)result->memory.arena_bytes / MIB);
	fprintf(out, "            %u descriptors open in these processes\n", result->fd_count);
}

/* A field that may hold a comma or a quote. */
static void csv_text(const char *text, FILE *out)
{
	fputc('"', out);
	for (; *text; text++) {
		if (*text == '"')
			fputc('"', out);
		fputc(*text, out);
	}
	fputs("\",", out);
}

static void csv_write(const struct bench_report *report, FILE *out)
{
	const struct bench_options *options = report->options;
	const struct bench_result *result = report->result;
	const struct bench_histogram *latency = result->latency;

	fputs("version,commit,cpu,cores,kernel,mode,driver,agents,senders,receivers,row_bytes,"
	      "frame_bytes,window_frames,processes,channels,seconds,rows,rows_per_s,"
	      "gigabytes_per_s,errors,cpu_processes_s,cpu_agents_s,cpu_s_per_gigabyte,"
	      "offered_rows_per_s,latency_p50_us,latency_p99_us,latency_p99_9_us,latency_max_us,"
	      "idle_core_percent,beyond_arena_mib,beyond_arena_before_mib\n",
	      out);
	csv_text(BENCH_VERSION, out);
	csv_text(BENCH_COMMIT, out);
	csv_text(report->machine->cpu_model, out);
	fprintf(out, "%u,", report->machine->core_count);
	csv_text(report->machine->kernel, out);
	csv_text(bench_mode_name(options->mode), out);
	csv_text(options->driver, out);
	fprintf(out, "%u,%u,%u,%u,%" PRIu64 ",%u,%u,%u,%.6f,%" PRIu64 ",%.0f,%.6f,%" PRIu64 ",",
	        report->run->agents.count, options->sender_count, options->receiver_count,
	        options->row_bytes, options->frame_bytes, options->window_frames,
	        options->process_count, options->channel_count, result->seconds, result->row_count,
	        result->rows_per_s, result->gigabytes_per_s, result->error_count);
	fprintf(out, "%.6f,%.6f,%.6f,%.0f,", result->member_cpu_s, result->agent_cpu_s,
	        result->cpu_s_per_gigabyte, options->rate);
	if (latency)
		fprintf(out, "%.3f,%.3f,%.3f,%.3f,", percentile_us(latency, 50),
		        percentile_us(latency, 99), percentile_us(latency, 99.9),
		        us(latency->value_max));
	else
		fputs(",,,,", out);
	if (bench_run_is_idle(options))
		fprintf(out, "%.6f,%.3f,%.3f\n", result->idle_core_percent,
		        beyond_arena_mib(&result->memory),
		        beyond_arena_mib(&result->memory_attached));
	else
		fputs(",,\n", out);
}

int bench_report_write(const struct bench_report *report, FILE *out)
{
	int rc = 0;

	switch (report->options->format) {
	case BENCH_JSON:
		rc = bench_report_json(report, out);
		break;
	case BENCH_CSV:
		csv_write(report, out);
		break;
	case BENCH_TEXT:
		text_head(report, out);
		if (bench_run_is_idle(report->options))
			text_idle(report, out);
		else
			text_stream(report, out);
		break;
	}
	if (rc == 0 && fflush(out) != 0)
		rc = -EIO;
	return rc;
}
