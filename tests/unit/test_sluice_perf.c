/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_sluice_perf.c - what sluice-perf does without a transport: its rows and
 * their comparison, its command line, its reading of /proc, its output.
 */
#include "bench/agents.h"
#include "bench/options.h"
#include "bench/plot.h"
#include "bench/process.h"
#include "bench/report.h"
#include "bench/rows.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- rows -------------------------------------------------------------- */

enum { ROW_COUNT = 50, ROW_BYTES_MAX = 300 };
static uint64_t frame[ROW_COUNT * (ROW_BYTES_MAX / 8 + 1)];

static size_t fill_frame(uint32_t row_bytes, uint32_t lane)
{
	struct bench_rows rows;

	bench_rows_init(&rows, row_bytes, lane, true);
	memset(frame, 0xaa, sizeof(frame));
	bench_rows_fill(&rows, frame, ROW_COUNT);
	return (size_t)ROW_COUNT * bench_rows_stride(&rows);
}

static uint64_t check_frame(uint32_t row_bytes, uint32_t lane, size_t size_bytes)
{
	struct bench_rows rows;
	uint64_t row_count, bad;

	bench_rows_init(&rows, row_bytes, lane, true);
	bad = bench_rows_check(&rows, frame, size_bytes, &row_count);
	CU_ASSERT_EQUAL(row_count, size_bytes / bench_rows_stride(&rows));
	CU_ASSERT_EQUAL(bench_rows_count(&rows), row_count);
	return bad;
}

static void a_row_begins_with_its_length(void)
{
	uint32_t length;

	fill_frame(100, 3);
	memcpy(&length, frame, sizeof(length));
	CU_ASSERT_EQUAL(length, 100);
	memcpy(&length, &frame[13], sizeof(length)); /* 100 bytes padded: 13 words */
	CU_ASSERT_EQUAL(length, 100);
}

static void rows_of_every_length_compare_equal(void)
{
	for (uint32_t row_bytes = BENCH_ROW_BYTES_MIN; row_bytes <= ROW_BYTES_MAX; row_bytes++) {
		size_t size_bytes = fill_frame(row_bytes, 5);

		CU_ASSERT_EQUAL(check_frame(row_bytes, 5, size_bytes), 0);
	}
}

static void one_flipped_bit_anywhere_is_one_bad_row(void)
{
	static const uint32_t lengths[] = {8, 9, 16, 100, 104, 128, 136, 300};

	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		size_t size_bytes = fill_frame(lengths[i], 1);
		uint8_t *bytes = (uint8_t *)frame;

		for (size_t byte = 0; byte < size_bytes; byte++) {
			bytes[byte] ^= (uint8_t)(1u << (byte % 8));
			CU_ASSERT_EQUAL(check_frame(lengths[i], 1, size_bytes), 1);
			bytes[byte] ^= (uint8_t)(1u << (byte % 8));
		}
	}
}

static void a_lost_row_and_a_foreign_lane_are_noticed(void)
{
	size_t size_bytes = fill_frame(100, 1);

	CU_ASSERT_EQUAL(check_frame(100, 2, size_bytes), ROW_COUNT);
	memmove(frame, frame + 13, size_bytes - 104);
	CU_ASSERT_EQUAL(check_frame(100, 1, size_bytes - 104), ROW_COUNT - 1);
}

static void a_frame_cut_short_is_bad(void)
{
	size_t size_bytes = fill_frame(100, 1);

	CU_ASSERT_EQUAL(check_frame(100, 1, size_bytes - 8), 1);
}

static void rows_written_through_a_channel_compare_equal(void)
{
	struct slu_cursor cursor;
	struct bench_rows rows;
	uint64_t written;

	for (uint32_t row_bytes = 8; row_bytes <= ROW_BYTES_MAX; row_bytes += 7) {
		/* A channel begins with its cursor; with room it is not asked further. */
		slu_channel *channel = (slu_channel *)(void *)&cursor;

		memset(frame, 0x55, sizeof(frame));
		cursor.next = (uint8_t *)frame;
		cursor.end = cursor.next + sizeof(frame);
		bench_rows_init(&rows, row_bytes, 9, true);
		CU_ASSERT_EQUAL(bench_rows_write(&rows, channel, ROW_COUNT, &written), SLU_OK);
		CU_ASSERT_EQUAL(written, ROW_COUNT);
		CU_ASSERT_EQUAL(check_frame(row_bytes, 9, (size_t)(cursor.next - (uint8_t *)frame)),
		                0);
	}
}

/* ---- options ----------------------------------------------------------- */

/* line: the arguments, separated by single spaces. */
static int parse(const char *line, struct bench_options *ret_options, char *error)
{
	static char text[512]; /* options borrow from it */
	char *argv[64] = {"sluice-perf"};
	int argc = 1;
	FILE *out = fopen("/dev/null", "w");
	int rc;

	snprintf(text, sizeof(text), "%s", line);
	for (char *word = strtok(text, " "); word; word = strtok(NULL, " "))
		argv[argc++] = word;
	rc = bench_options_parse(argc, argv, out, ret_options, error);
	fclose(out);
	return rc;
}

static void defaults_are_those_of_the_help(void)
{
	char error[BENCH_ERROR_BYTES];
	struct bench_options options;

	CU_ASSERT_EQUAL_FATAL(parse("--start", &options, error), 0);
	CU_ASSERT_EQUAL(options.mode, BENCH_THROUGHPUT);
	CU_ASSERT_EQUAL(options.sender_count, 1);
	CU_ASSERT_EQUAL(options.receiver_count, 1);
	CU_ASSERT_EQUAL(options.row_bytes, 100);
	CU_ASSERT_EQUAL(options.frame_bytes, 65536);
	CU_ASSERT_EQUAL(options.duration_ns, 3000000000u);
	CU_ASSERT_EQUAL_FATAL(parse("--start --mode latency", &options, error), 0);
	CU_ASSERT_EQUAL(options.row_bytes, 8);
	CU_ASSERT_EQUAL_FATAL(parse("--start --idle", &options, error), 0);
	CU_ASSERT_EQUAL(options.process_count, 8);
	CU_ASSERT_EQUAL(options.channel_count, 64);
	CU_ASSERT_EQUAL_FATAL(parse("--start --idle-channels 10000", &options, error), 0);
	CU_ASSERT_EQUAL(options.mode, BENCH_IDLE_CHANNELS);
	CU_ASSERT_EQUAL(options.process_count, 2);
	CU_ASSERT_EQUAL(options.channel_count, 10000);
}

static void every_option_is_taken(void)
{
	char error[BENCH_ERROR_BYTES];
	struct bench_options options;

	CU_ASSERT_EQUAL_FATAL(
	        parse("--start --driver tcp --mode offered --rate 1.5e6 --pattern 3:2 "
	              "--rows 200 --duration 250ms --warmup 20us --flush row "
	              "--spread frame --window 16 --spin never --urgent --pin "
	              "--stall 5 --frame 8k --arena 1G --set driver.sndbuf_bytes=1 "
	              "--cluster 7 --json --plot a.svg --progress --keep",
	              &options, error),
	        0);
	CU_ASSERT_EQUAL(options.mode, BENCH_OFFERED);
	CU_ASSERT_DOUBLE_EQUAL(options.rate, 1.5e6, 0);
	CU_ASSERT_EQUAL(options.sender_count, 3);
	CU_ASSERT_EQUAL(options.receiver_count, 2);
	CU_ASSERT_EQUAL(options.row_bytes, 200);
	CU_ASSERT_EQUAL(options.duration_ns, 250000000);
	CU_ASSERT_EQUAL(options.warmup_ns, 20000);
	CU_ASSERT(options.flush_each_row && options.spread_frames && options.urgent && options.pin);
	CU_ASSERT_EQUAL(options.window_frames, 16);
	CU_ASSERT_EQUAL(options.spin_ns, SLU_SPIN_NEVER);
	CU_ASSERT_EQUAL(options.stall_ns, 5000000000u);
	CU_ASSERT_EQUAL(options.frame_bytes, 8192);
	CU_ASSERT_EQUAL(options.arena_bytes, 1u << 30);
	CU_ASSERT_EQUAL(options.setting_count, 1);
	CU_ASSERT_EQUAL(options.cluster, 7);
	CU_ASSERT_EQUAL(options.format, BENCH_JSON);
	CU_ASSERT_STRING_EQUAL(options.plot_path, "a.svg");
	CU_ASSERT(options.progress && options.keep_files);
}

static void bytes_are_split_over_the_senders_in_whole_rows(void)
{
	char error[BENCH_ERROR_BYTES];
	struct bench_options options;

	CU_ASSERT_EQUAL_FATAL(parse("--start --bytes 1000 --pattern 3:1", &options, error), 0);
	CU_ASSERT_EQUAL(options.row_count, 4);
	CU_ASSERT_EQUAL(options.warmup_ns, 0);
}

static void wrong_command_lines_are_refused_with_a_reason(void)
{
	static const char *const lines[] = {
	        "",
	        "--start --socket /a",
	        "--start extra",
	        "--start --nonsense",
	        "--start --rows",
	        "--start --rows 7",
	        "--start --rows -1",
	        "--start --rows 10x",
	        "--start --pattern 0:1",
	        "--start --pattern 1:999",
	        "--start --pattern 1:1:1",
	        "--start --pattern N:1",
	        "--start --mode fast",
	        "--start --mode offered",
	        "--start --rate 100",
	        "--start --mode offered --rate 0",
	        "--start --mode offered --rate nan",
	        "--start --mode offered --rate 5 --count 3",
	        "--start --bytes 1k --count 5",
	        "--start --mode latency --bytes 1k",
	        "--start --duration 0",
	        "--start --duration 5h",
	        "--start --duration -5",
	        "--start --spin sometimes",
	        "--start --flush never",
	        "--start --frame 5000",
	        "--start --frame 2k",
	        "--start --window 0",
	        "--start --plot picture.pdf",
	        "--start --set nonsense.x=1",
	        "--start --set agent.=1",
	        "--start --set agent.spin_us",
	        "--start --idle-channels 5 --processes 1",
	        "--socket /a --driver tcp",
	        "--socket /a --socket-b /b",
	        "--socket /a --socket-b /b --node-b b --mode latency",
	        "--start --cluster 0",
	};

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		char error[BENCH_ERROR_BYTES] = "";
		struct bench_options options;

		if (parse(lines[i], &options, error) != -EINVAL || !error[0]) {
			printf("taken, or refused without a reason: %s\n", lines[i]);
			CU_FAIL("a wrong command line was not refused");
		}
	}
}

static void help_and_version_end_the_program(void)
{
	char error[BENCH_ERROR_BYTES];
	struct bench_options options;

	CU_ASSERT_EQUAL(parse("--help", &options, error), 1);
	CU_ASSERT_EQUAL(parse("--version", &options, error), 1);
}

static void sizes_and_times_take_units(void)
{
	uint64_t value;

	CU_ASSERT(bench_parse_size("1.5k", &value) == 0 && value == 1536);
	CU_ASSERT(bench_parse_size("2G", &value) == 0 && value == UINT64_C(2) << 30);
	CU_ASSERT(bench_parse_size("1kb", &value) == -EINVAL);
	CU_ASSERT(bench_parse_size("", &value) == -EINVAL);
	CU_ASSERT(bench_parse_time("1.5", &value) == 0 && value == 1500000000);
	CU_ASSERT(bench_parse_time("7us", &value) == 0 && value == 7000);
	CU_ASSERT(bench_parse_time("7ns", &value) == 0 && value == 7);
	CU_ASSERT(bench_parse_time("inf", &value) == -EINVAL);
}

/* ---- /proc ------------------------------------------------------------- */

static void the_arena_is_told_apart_from_other_memory(void)
{
	static const char text[] =
	        "55d0c0a00000-55d0c0a21000 rw-p 00000000 00:00 0   [heap]\n"
	        "Rss:                 100 kB\n"
	        "Pss:                  80 kB\n"
	        "Pss_Dirty:            80 kB\n"
	        "7f0000000000-7f0010000000 rw-s 00000000 00:01 2049 /memfd:sluice-arena (deleted)\n"
	        "Pss:                4096 kB\n"
	        "Shared_Hugetlb:     2048 kB\n"
	        "7f0020000000-7f0020001000 r-xp 00000000 08:01 77   /usr/lib/libc.so.6\n"
	        "Pss:                  20 kB\n"
	        "VmFlags: rd ex mr mw me\n";
	FILE *smaps = fmemopen((void *)(uintptr_t)text, sizeof(text) - 1, "r");
	struct bench_memory memory = {0, 0};

	bench_smaps_read(smaps, &memory);
	fclose(smaps);
	CU_ASSERT_EQUAL(memory.private_bytes, 100 * 1024);
	CU_ASSERT_EQUAL(memory.arena_bytes, 6144 * 1024);
}

static void this_process_has_memory_cpu_time_and_descriptors(void)
{
	struct bench_memory memory = {0, 0};
	struct bench_machine machine;

	CU_ASSERT_EQUAL(bench_process_memory(getpid(), &memory), 0);
	CU_ASSERT(memory.private_bytes > 0);
	CU_ASSERT_EQUAL(memory.arena_bytes, 0);
	CU_ASSERT(bench_process_cpu_ns(getpid()) > 0);
	CU_ASSERT(bench_process_fd_count(getpid()) >= 3);
	bench_machine_read(&machine);
	CU_ASSERT(machine.core_count >= 1 && machine.memory_bytes > 0);
	CU_ASSERT(machine.cpu_model[0] && machine.kernel[0]);
}

/* ---- output ------------------------------------------------------------ */

static struct bench_histogram latency;
static struct bench_sample samples[] = {{0, 0}, {1000000000, 10000000}, {2000000000, 30000000}};

/* A report as of a run that sent 30 million rows in two seconds. */
static char *report_text(struct bench_options *options, bool with_latency, bool plot)
{
	struct bench_run run = {.options = options, .samples = samples, .sample_count = 3};
	struct bench_machine machine = {"A \"CPU\", fast", "Linux 6", 2, UINT64_C(1) << 30};
	struct bench_result result = {.seconds = 2,
	                              .row_count = 30000000,
	                              .rows_per_s = 15e6,
	                              .gigabytes_per_s = 1.5,
	                              .cpu_s_per_gigabyte = 1.25};
	struct bench_report report = {options, &run, &result, &machine};
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	bench_histogram_reset(&latency);
	for (uint64_t i = 1; i <= 1000; i++)
		bench_histogram_record(&latency, 1000 * i, 1);
	result.latency = with_latency ? &latency : NULL;
	run.agents.count = 1;
	if (plot)
		bench_plot_script(&report, out);
	else
		CU_ASSERT_EQUAL(bench_report_write(&report, out), 0);
	fclose(out);
	return text;
}

static void json_holds_figures_percentiles_and_samples(void)
{
	char error[BENCH_ERROR_BYTES];
	struct bench_options options;
	json_t *object, *found;
	char *text;

	CU_ASSERT_EQUAL_FATAL(parse("--start --json --mode latency", &options, error), 0);
	text = report_text(&options, true, false);
	object = json_loads(text, 0, NULL);
	CU_ASSERT_PTR_NOT_NULL_FATAL(object);
	found = json_object_get(object, "gigabytes_per_s");
	CU_ASSERT_DOUBLE_EQUAL(json_number_value(found), 1.5, 1e-9);
	found = json_object_get(json_object_get(object, "machine"), "cpu");
	CU_ASSERT_STRING_EQUAL(json_string_value(found), "A \"CPU\", fast");
	found = json_object_get(json_object_get(object, "latency_ns"), "p50");
	CU_ASSERT(json_integer_value(found) >= 500000 && json_integer_value(found) <= 500500);
	CU_ASSERT_EQUAL(json_array_size(json_object_get(object, "samples_s_rows")), 3);
	CU_ASSERT_PTR_NOT_NULL(json_object_get(object, "commit"));
	json_decref(object);
	free(text);
}

static size_t csv_fields(const char *line)
{
	size_t count = 1;
	bool quoted = false;

	for (; *line && *line != '\n'; line++) {
		quoted ^= *line == '"';
		count += *line == ',' && !quoted;
	}
	return count;
}

static void csv_rows_have_as_many_fields_as_the_header(void)
{
	static const char *const lines[] = {"--start --csv", "--start --csv --mode latency",
	                                    "--start --csv --idle"};

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		char error[BENCH_ERROR_BYTES];
		struct bench_options options;
		char *text;

		CU_ASSERT_EQUAL_FATAL(parse(lines[i], &options, error), 0);
		text = report_text(&options, options.mode == BENCH_LATENCY, false);
		CU_ASSERT_EQUAL(csv_fields(text), csv_fields(strchr(text, '\n') + 1));
		free(text);
	}
}

static void text_names_build_machine_and_units(void)
{
	char error[BENCH_ERROR_BYTES];
	struct bench_options options;
	char *text;

	CU_ASSERT_EQUAL_FATAL(parse("--start", &options, error), 0);
	text = report_text(&options, false, false);
	CU_ASSERT_PTR_NOT_NULL(strstr(text, "2 cores"));
	CU_ASSERT_PTR_NOT_NULL(strstr(text, "15000000 rows/s, 1.500 GB/s"));
	CU_ASSERT_PTR_NOT_NULL(strstr(text, "1.2500 CPU s per GB"));
	free(text);
}

static void plots_hold_the_curve_of_the_mode(void)
{
	char error[BENCH_ERROR_BYTES];
	struct bench_options options;
	char *text;

	CU_ASSERT_EQUAL_FATAL(parse("--start --plot a.png", &options, error), 0);
	text = report_text(&options, false, true);
	CU_ASSERT_PTR_NOT_NULL(strstr(text, "set terminal png"));
	CU_ASSERT_PTR_NOT_NULL(strstr(text, "\n1.000000 1.000000\n2.000000 2.000000\nEOD"));
	free(text);
	CU_ASSERT_EQUAL_FATAL(parse("--start --mode latency --plot a.svg", &options, error), 0);
	text = report_text(&options, true, true);
	CU_ASSERT_PTR_NOT_NULL(strstr(text, "set terminal svg"));
	CU_ASSERT_PTR_NOT_NULL(strstr(text, "\n2 500."));
	free(text);
}

static void percentiles_end_where_single_values_are_told_apart(void)
{
	static double percents[BENCH_PERCENTILES_MAX];
	struct bench_histogram *histogram = malloc(sizeof(*histogram));
	size_t count;

	bench_histogram_reset(histogram);
	CU_ASSERT_EQUAL(bench_report_percentiles(histogram, percents, BENCH_PERCENTILES_MAX), 1);
	bench_histogram_record(histogram, 5, 1000);
	count = bench_report_percentiles(histogram, percents, BENCH_PERCENTILES_MAX);
	CU_ASSERT_FATAL(count > 10);
	CU_ASSERT_EQUAL(percents[0], 0);
	CU_ASSERT_EQUAL(percents[count - 1], 100);
	CU_ASSERT(percents[count - 2] <= 99.9 + 1e-9 && percents[count - 2] > 99.8);
	for (size_t i = 1; i < count; i++)
		CU_ASSERT(percents[i] > percents[i - 1]);
	bench_histogram_record(histogram, 5, UINT64_C(1) << 60);
	CU_ASSERT(bench_report_percentiles(histogram, percents, 10) == 10);
	free(histogram);
}

static void an_arena_holds_home_receive_and_shared_frames(void)
{
	uint64_t one = bench_agents_arena_bytes(65536, 1, 1);
	uint64_t two = bench_agents_arena_bytes(65536, 1, 2);

	CU_ASSERT(one > UINT64_C(512) * 65536);
	CU_ASSERT(two > one);
	CU_ASSERT_EQUAL(one % (2 << 20), 0);
	CU_ASSERT(bench_agents_arena_bytes(8192, 10000, 2) > UINT64_C(20000) * 8192);
}

int main(void)
{
	static const struct unit_test tests[] = {
	        UNIT_TEST(a_row_begins_with_its_length),
	        UNIT_TEST(rows_of_every_length_compare_equal),
	        UNIT_TEST(one_flipped_bit_anywhere_is_one_bad_row),
	        UNIT_TEST(a_lost_row_and_a_foreign_lane_are_noticed),
	        UNIT_TEST(a_frame_cut_short_is_bad),
	        UNIT_TEST(rows_written_through_a_channel_compare_equal),
	        UNIT_TEST(defaults_are_those_of_the_help),
	        UNIT_TEST(every_option_is_taken),
	        UNIT_TEST(bytes_are_split_over_the_senders_in_whole_rows),
	        UNIT_TEST(wrong_command_lines_are_refused_with_a_reason),
	        UNIT_TEST(help_and_version_end_the_program),
	        UNIT_TEST(sizes_and_times_take_units),
	        UNIT_TEST(the_arena_is_told_apart_from_other_memory),
	        UNIT_TEST(this_process_has_memory_cpu_time_and_descriptors),
	        UNIT_TEST(json_holds_figures_percentiles_and_samples),
	        UNIT_TEST(csv_rows_have_as_many_fields_as_the_header),
	        UNIT_TEST(text_names_build_machine_and_units),
	        UNIT_TEST(plots_hold_the_curve_of_the_mode),
	        UNIT_TEST(percentiles_end_where_single_values_are_told_apart),
	        UNIT_TEST(an_arena_holds_home_receive_and_shared_frames),
	        {NULL, NULL},
	};
	return unit_run("sluice_perf", tests);
}
