/* SPDX-License-Identifier: Apache-2.0 */
/*
 * report_json.c - results as one JSON object; see report.h. Names carry their
 * units. A pack that fails for want of memory gives NULL, which the next one
 * passes on, so only the outermost is checked.
 */
#include "bench/report_json.h"

#include "bench/version.h"

#include <errno.h>
#include <jansson.h>

static json_int_t percentile_ns(const struct bench_histogram *histogram, double percent)
{
	return (json_int_t)bench_histogram_percentile(histogram, percent);
}

static json_t *json_machine(const struct bench_machine *machine)
{
	return json_pack("{s:s, s:i, s:s, s:I}", "cpu", machine->cpu_model, "cores",
	                 (int)machine->core_count, "kernel", machine->kernel, "memory_bytes",
	                 (json_int_t)machine->memory_bytes);
}

static json_t *json_run(const struct bench_report *report)
{
	const struct bench_options *options = report->options;

	return json_pack(
	        "{s:s, s:s, s:i, s:i, s:i, s:i, s:I, s:i, s:i, s:i, s:f, s:f}", "mode",
	        bench_mode_name(options->mode), "driver", options->driver, "agents",
	        (int)report->run->agents.count, "senders", (int)options->sender_count, "receivers",
	        (int)options->receiver_count, "row_bytes", (int)options->row_bytes, "frame_bytes",
	        (json_int_t)options->frame_bytes, "window_frames", (int)options->window_frames,
	        "processes", (int)options->process_count, "channels", (int)options->channel_count,
	        "offered_rows_per_s", options->rate, "warmup_s", (double)options->warmup_ns / 1e9);
}

static json_t *json_latency(const struct bench_histogram *latency)
{
	double percents[BENCH_PERCENTILES_MAX];
	size_t count = bench_report_percentiles(latency, percents, BENCH_PERCENTILES_MAX);
	json_t *curve = json_array();

	for (size_t i = 0; i < count; i++)
		json_array_append_new(curve, json_pack("[f, I]", percents[i],
		                                       percentile_ns(latency, percents[i])));
	return json_pack("{s:I, s:I, s:f, s:I, s:I, s:I, s:I, s:o}", "count",
	                 (json_int_t)latency->total_count, "min",
	                 (json_int_t)(latency->total_count ? latency->value_min : 0), "mean",
	                 bench_histogram_mean(latency), "p50", percentile_ns(latency, 50), "p99",
	                 percentile_ns(latency, 99), "p99_9", percentile_ns(latency, 99.9), "max",
	                 (json_int_t)latency->value_max, "percentiles", curve);
}

static json_t *json_samples(const struct bench_run *run)
{
	json_t *samples = json_array();

	for (size_t i = 0; i < run->sample_count; i++)
		json_array_append_new(samples,
		                      json_pack("[f, I]", (double)run->samples[i].time_ns / 1e9,
		                                (json_int_t)run->samples[i].row_count));
	return samples;
}

static json_t *json_stream(const struct bench_report *report)
{
	const struct bench_result *result = report->result;
	json_t *object = json_pack(
	        "{s:f, s:I, s:I, s:f, s:f, s:I, s:f, s:f, s:I, s:f, s:I, s:I, s:I, s:o}", "seconds",
	        result->seconds, "rows", (json_int_t)result->row_count, "rows_with_warmup",
	        (json_int_t)result->row_count_all, "rows_per_s", result->rows_per_s,
	        "gigabytes_per_s", result->gigabytes_per_s, "errors",
	        (json_int_t)result->error_count, "cpu_processes_s", result->member_cpu_s,
	        "cpu_s_per_gigabyte", result->cpu_s_per_gigabyte, "stalls",
	        (json_int_t)result->stall_count, "blocked_s", (double)result->blocked_ns / 1e9,
	        "waits_spun", (json_int_t)result->spin_count, "waits_slept",
	        (json_int_t)result->sleep_count, "wakeups_sent", (json_int_t)result->wakeup_count,
	        "samples_s_rows", json_samples(report->run));

	if (result->latency)
		json_object_set_new(object, "latency_ns", json_latency(result->latency));
	return object;
}

static json_t *json_idle(const struct bench_report *report)
{
	const struct bench_result *result = report->result;
	const double mib = 1024.0 * 1024.0;

	return json_pack("{s:f, s:f, s:f, s:f, s:f, s:f, s:i}", "seconds", result->seconds,
	                 "idle_core_percent", result->idle_core_percent, "cpu_processes_s",
	                 result->member_cpu_s, "beyond_arena_mib",
	                 (double)result->memory.private_bytes / mib, "beyond_arena_before_mib",
	                 (double)result->memory_attached.private_bytes / mib, "arena_mib",
	                 (double)result->memory.arena_bytes / mib, "descriptors",
	                 (int)result->fd_count);
}

int bench_report_json(const struct bench_report *report, FILE *out)
{
	bool idle = bench_run_is_idle(report->options);
	json_t *result = idle ? json_idle(report) : json_stream(report);
	json_t *object;
	int rc = 0;

	if (result && report->result->agent_cpu_known)
		json_object_set_new(result, "cpu_agents_s", json_real(report->result->agent_cpu_s));
	object = json_pack("{s:s, s:s, s:o, s:o}", "version", BENCH_VERSION, "commit", BENCH_COMMIT,
	                   "machine", json_machine(report->machine), "run", json_run(report));
	/* The figures stand at the top, where a script looks for them. */
	if (!object || !result || json_object_update(object, result) != 0)
		rc = -ENOMEM;
	json_decref(result);
	if (rc == 0 && (json_dumpf(object, out, JSON_INDENT(1) | JSON_REAL_PRECISION(9)) != 0 ||
	                fputc('\n', out) == EOF))
		rc = -EIO;
	json_decref(object);
	return rc;
}
