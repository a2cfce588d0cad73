/* SPDX-License-Identifier: Apache-2.0 */
/* options.c - the command line of sluice-perf; see options.h. */
#include "bench/options.h"

#include "bench/rows.h"
#include "bench/version.h"

#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NS_PER_S 1e9

enum option_id {
	OPT_MODE = 256,
	OPT_PATTERN,
	OPT_ROWS,
	OPT_COUNT,
	OPT_BYTES,
	OPT_DURATION,
	OPT_WARMUP,
	OPT_RATE,
	OPT_FLUSH,
	OPT_SPREAD,
	OPT_WINDOW,
	OPT_SPIN,
	OPT_URGENT,
	OPT_PIN,
	OPT_PROCESSES,
	OPT_CHANNELS,
	OPT_IDLE,
	OPT_IDLE_CHANNELS,
	OPT_STALL,
	OPT_START,
	OPT_SLUICED,
	OPT_DRIVER,
	OPT_FRAME,
	OPT_ARENA,
	OPT_SET,
	OPT_SOCKET,
	OPT_SOCKET_B,
	OPT_NODE_A,
	OPT_NODE_B,
	OPT_CLUSTER,
	OPT_KEEP,
	OPT_JSON,
	OPT_CSV,
	OPT_PLOT,
	OPT_PROGRESS,
	OPT_VERSION,
	OPT_HELP,
};

static const struct option long_options[] = {
        {"mode", required_argument, NULL, OPT_MODE},
        {"pattern", required_argument, NULL, OPT_PATTERN},
        {"rows", required_argument, NULL, OPT_ROWS},
        {"count", required_argument, NULL, OPT_COUNT},
        {"bytes", required_argument, NULL, OPT_BYTES},
        {"duration", required_argument, NULL, OPT_DURATION},
        {"warmup", required_argument, NULL, OPT_WARMUP},
        {"rate", required_argument, NULL, OPT_RATE},
        {"flush", required_argument, NULL, OPT_FLUSH},
        {"spread", required_argument, NULL, OPT_SPREAD},
        {"window", required_argument, NULL, OPT_WINDOW},
        {"spin", required_argument, NULL, OPT_SPIN},
        {"urgent", no_argument, NULL, OPT_URGENT},
        {"pin", no_argument, NULL, OPT_PIN},
        {"processes", required_argument, NULL, OPT_PROCESSES},
        {"channels", required_argument, NULL, OPT_CHANNELS},
        {"idle", no_argument, NULL, OPT_IDLE},
        {"idle-channels", required_argument, NULL, OPT_IDLE_CHANNELS},
        {"stall", required_argument, NULL, OPT_STALL},
        {"start", no_argument, NULL, OPT_START},
        {"sluiced", required_argument, NULL, OPT_SLUICED},
        {"driver", required_argument, NULL, OPT_DRIVER},
        {"frame", required_argument, NULL, OPT_FRAME},
        {"arena", required_argument, NULL, OPT_ARENA},
        {"set", required_argument, NULL, OPT_SET},
        {"socket", required_argument, NULL, OPT_SOCKET},
        {"socket-b", required_argument, NULL, OPT_SOCKET_B},
        {"node-a", required_argument, NULL, OPT_NODE_A},
        {"node-b", required_argument, NULL, OPT_NODE_B},
        {"cluster", required_argument, NULL, OPT_CLUSTER},
        {"keep", no_argument, NULL, OPT_KEEP},
        {"json", no_argument, NULL, OPT_JSON},
        {"csv", no_argument, NULL, OPT_CSV},
        {"plot", required_argument, NULL, OPT_PLOT},
        {"progress", no_argument, NULL, OPT_PROGRESS},
        {"version", no_argument, NULL, OPT_VERSION},
        {"help", no_argument, NULL, OPT_HELP},
        {NULL, 0, NULL, 0},
};

static const char help_text[] =
        "Usage: sluice-perf --start [--driver NAME] [options]\n"
        "       sluice-perf --socket PATH [--socket-b PATH --node-b NAME] [options]\n"
        "\n"
        "Moves rows between processes over Sluice, compares every byte that arrives,\n"
        "and reports throughput, latency and CPU. Exit status 0 only if every row\n"
        "arrived once, in order and unharmed.\n"
        "\n"
        "What to measure\n"
        "  --mode throughput     rows/s, GB/s and CPU seconds per GB (default)\n"
        "  --mode latency        closed loop: a row there, a row back; half of the\n"
        "                        round trip, p50 to max\n"
        "  --mode wal            closed loop: a record of --rows bytes (200) appended to a\n"
        "                        WAL stream and acknowledged from memory on the other side\n"
        "  --mode offered        open loop: --rate rows/s are due at fixed times;\n"
        "                        latency counts from when a row was due\n"
        "  --mode idle           --processes attached, --channels open, nothing sent:\n"
        "                        CPU of all processes and agents\n"
        "  --mode idle-channels  likewise: memory beyond the arena\n"
        "  --idle, --idle-channels N   short for these\n"
        "  --pattern S:R         S sending and R receiving processes, a channel from each\n"
        "                        to each (1:1)\n"
        "  --rows BYTES          bytes of a row, at least 8 (100; latency: 8)\n"
        "  --duration TIME       measure that long (3s); --warmup TIME before (500ms)\n"
        "  --bytes SIZE          throughput: move that much instead\n"
        "  --count N             that many rows per sender (latency: round trips) instead\n"
        "  --rate ROWS           offered: rows per second of all senders together\n"
        "  --flush row|idle      offered: publish each row, or when nothing more is due (idle)\n"
        "  --spread row|frame    many receivers: take turns by row or by frame (row)\n"
        "\n"
        "How\n"
        "  --window FRAMES       largest window of a channel (the agent's setting)\n"
        "  --spin always|never|TIME   longest busy wait before sleeping (adaptive)\n"
        "  --urgent              open the channels as urgent\n"
        "  --pin                 one CPU for each process, in turn\n"
        "  --stall TIME          fail when no row arrives for that long (20s)\n"
        "  --processes N --channels N  idle modes (8 and 64; 2 and 10000)\n"
        "\n"
        "Agents\n"
        "  --start               start them in a temporary directory, stop them at the end\n"
        "  --driver NAME         local: one agent (default); tcp, ...: two agents of one\n"
        "                        host that talk over that driver\n"
        "  --frame SIZE          frame size of the arena, a power of two (64k)\n"
        "  --arena SIZE          arena size (what the run needs)\n"
        "  --set SECTION.KEY=VALUE  a line for the agents' configuration; repeatable\n"
        "  --sluiced PATH        the agent's program ($SLUICED, beside sluice-perf, PATH)\n"
        "  --keep                leave the agents' files\n"
        "  --socket PATH         use a running agent\n"
        "  --socket-b PATH       receivers attach here, ...\n"
        "  --node-a NAME --node-b NAME  ... whose node names are these\n"
        "  --cluster ID          cluster id of the agents (1)\n"
        "\n"
        "Output\n"
        "  --json | --csv        instead of text\n"
        "  --plot FILE.svg|.png  percentiles, or throughput over time (needs gnuplot)\n"
        "  --progress            a line every second on standard error (on a terminal:\n"
        "                        when the run takes over 2 s)\n"
        "  --version --help\n"
        "\n"
        "Sizes take k, M, G (powers of 1024); times ns, us, ms, s. GB is 10^9 bytes and\n"
        "counts the rows alone, without padding and headers.\n";

__attribute__((format(printf, 2, 3))) static int refuse(char *error, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(error, BENCH_ERROR_BYTES, format, args);
	va_end(args);
	return -EINVAL;
}

const char *bench_mode_name(enum bench_mode mode)
{
	static const char *const names[] = {"throughput", "latency", "wal",
	                                    "offered",    "idle",    "idle-channels"};

	return names[mode];
}

static int parse_number(const char *text, double *ret_number, const char **ret_unit)
{
	char *end;

	if ((*text < '0' || *text > '9') && *text != '.')
		return -EINVAL;
	*ret_number = strtod(text, &end);
	*ret_unit = end;
	return end == text || !isfinite(*ret_number) ? -EINVAL : 0;
}

int bench_parse_size(const char *text, uint64_t *ret_bytes)
{
	static const char units[] = "kmgt";
	const char *unit, *found;
	double number;

	if (parse_number(text, &number, &unit))
		return -EINVAL;
	if (*unit) {
		found = strchr(units, *unit | 0x20);
		if (!found || unit[1])
			return -EINVAL;
		number = ldexp(number, 10 * (int)(found - units + 1));
	}
	if (number > 9e18)
		return -EINVAL;
	*ret_bytes = (uint64_t)number;
	return 0;
}

int bench_parse_time(const char *text, uint64_t *ret_ns)
{
	static const struct {
		const char *name;
		double ns;
	} units[] = {{"", NS_PER_S}, {"s", NS_PER_S}, {"ms", 1e6}, {"us", 1e3}, {"ns", 1}};
	const char *unit;
	double number;

	if (parse_number(text, &number, &unit))
		return -EINVAL;
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (strcmp(unit, units[i].name) != 0)
			continue;
		if (number * units[i].ns > 9e18)
			return -EINVAL;
		*ret_ns = (uint64_t)(number * units[i].ns);
		return 0;
	}
	return -EINVAL;
}

int bench_parse_pattern(const char *text, uint32_t *ret_senders, uint32_t *ret_receivers)
{
	unsigned senders, receivers;
	int used = 0;

	if (sscanf(text, "%3u:%3u%n", &senders, &receivers, &used) != 2 || text[used])
		return -EINVAL;
	if (!senders || !receivers || senders > BENCH_MEMBERS_MAX || receivers > BENCH_MEMBERS_MAX)
		return -EINVAL;
	*ret_senders = senders;
	*ret_receivers = receivers;
	return 0;
}

static int parse_whole(const char *text, uint64_t min, uint64_t max, uint64_t *ret_value)
{
	unsigned long long value;
	char *end;

	if (*text < '0' || *text > '9')
		return -EINVAL;
	errno = 0;
	value = strtoull(text, &end, 0);
	if (errno || *end || value < min || value > max)
		return -EINVAL;
	*ret_value = value;
	return 0;
}

static int parse_whole_u32(const char *text, uint32_t min, uint32_t max, uint32_t *ret_value)
{
	uint64_t value;

	if (parse_whole(text, min, max, &value))
		return -EINVAL;
	*ret_value = (uint32_t)value;
	return 0;
}

static int parse_mode(const char *text, enum bench_mode *ret_mode)
{
	for (enum bench_mode mode = BENCH_THROUGHPUT; mode <= BENCH_IDLE_CHANNELS; mode++) {
		if (strcmp(text, bench_mode_name(mode)) == 0) {
			*ret_mode = mode;
			return 0;
		}
	}
	return -EINVAL;
}

static int parse_spin(const char *text, uint64_t *ret_ns)
{
	if (strcmp(text, "always") == 0)
		*ret_ns = SLU_SPIN_ALWAYS;
	else if (strcmp(text, "never") == 0)
		*ret_ns = SLU_SPIN_NEVER;
	else
		return bench_parse_time(text, ret_ns);
	return 0;
}

/* One of two words; *ret_second: it was the second. */
static int parse_choice(const char *text, const char *first, const char *second, bool *ret_second)
{
	*ret_second = strcmp(text, second) == 0;
	return *ret_second || strcmp(text, first) == 0 ? 0 : -EINVAL;
}

static int parse_rate(const char *text, double *ret_rate)
{
	const char *unit;

	return parse_number(text, ret_rate, &unit) || *unit || *ret_rate <= 0 ? -EINVAL : 0;
}

static int parse_plot(const char *path, const char **ret_path)
{
	const char *dot = strrchr(path, '.');

	if (!dot || (strcmp(dot, ".svg") != 0 && strcmp(dot, ".png") != 0))
		return -EINVAL;
	*ret_path = path;
	return 0;
}

static int parse_setting(const char *text, struct bench_options *options)
{
	static const char *const sections[] = {"agent.", "arena.", "control.", "driver."};
	const char *equals = strchr(text, '=');

	if (!equals || strchr(text, '\n') || options->setting_count == BENCH_SETTINGS_MAX)
		return -EINVAL;
	for (size_t i = 0; i < sizeof(sections) / sizeof(sections[0]); i++) {
		size_t size = strlen(sections[i]);

		if (strncmp(text, sections[i], size) == 0 && equals > text + size) {
			options->settings[options->setting_count++] = text;
			return 0;
		}
	}
	return -EINVAL;
}

static int parse_measure(int id, const char *value, struct bench_options *options)
{
	switch (id) {
	case OPT_MODE:
		return parse_mode(value, &options->mode);
	case OPT_IDLE:
		options->mode = BENCH_IDLE;
		return 0;
	case OPT_IDLE_CHANNELS:
		options->mode = BENCH_IDLE_CHANNELS;
		return parse_whole_u32(value, 1, BENCH_CHANNELS_MAX, &options->channel_count);
	case OPT_PATTERN:
		return bench_parse_pattern(value, &options->sender_count, &options->receiver_count);
	case OPT_ROWS:
		return parse_whole_u32(value, BENCH_ROW_BYTES_MIN, 1u << 24, &options->row_bytes);
	case OPT_COUNT:
		return parse_whole(value, 1, UINT64_C(1) << BENCH_ROW_LANE_SHIFT,
		                   &options->row_count);
	case OPT_BYTES:
		return bench_parse_size(value, &options->total_bytes);
	case OPT_DURATION:
		return bench_parse_time(value, &options->duration_ns);
	case OPT_WARMUP:
		return bench_parse_time(value, &options->warmup_ns);
	case OPT_RATE:
		return parse_rate(value, &options->rate);
	case OPT_FLUSH:
		return parse_choice(value, "idle", "row", &options->flush_each_row);
	case OPT_SPREAD:
		return parse_choice(value, "row", "frame", &options->spread_frames);
	case OPT_WINDOW:
		return parse_whole_u32(value, 1, 1u << 15, &options->window_frames);
	case OPT_SPIN:
		return parse_spin(value, &options->spin_ns);
	case OPT_URGENT:
		options->urgent = true;
		return 0;
	case OPT_PIN:
		options->pin = true;
		return 0;
	case OPT_PROCESSES:
		return parse_whole_u32(value, 1, BENCH_PROCESSES_MAX, &options->process_count);
	case OPT_CHANNELS:
		return parse_whole_u32(value, 1, BENCH_CHANNELS_MAX, &options->channel_count);
	default:
		return bench_parse_time(value, &options->stall_ns);
	}
}

static int parse_other(int id, const char *value, struct bench_options *options)
{
	switch (id) {
	case OPT_START:
		options->start = true;
		return 0;
	case OPT_SLUICED:
		options->sluiced = value;
		return 0;
	case OPT_DRIVER:
		options->driver = value;
		return *value ? 0 : -EINVAL;
	case OPT_FRAME:
		return bench_parse_size(value, &options->frame_bytes);
	case OPT_ARENA:
		return bench_parse_size(value, &options->arena_bytes);
	case OPT_SET:
		return parse_setting(value, options);
	case OPT_SOCKET:
	case OPT_SOCKET_B:
		options->socket[id == OPT_SOCKET_B] = value;
		return 0;
	case OPT_NODE_A:
	case OPT_NODE_B:
		options->node[id == OPT_NODE_B] = value;
		return 0;
	case OPT_CLUSTER:
		return parse_whole(value, 1, UINT64_MAX, &options->cluster);
	case OPT_KEEP:
		options->keep_files = true;
		return 0;
	case OPT_JSON:
	case OPT_CSV:
		options->format = id == OPT_JSON ? BENCH_JSON : BENCH_CSV;
		return 0;
	case OPT_PLOT:
		return parse_plot(value, &options->plot_path);
	default:
		options->progress = true;
		return 0;
	}
}

static int check_agents(const struct bench_options *options, char *error)
{
	bool local = strcmp(options->driver, "local") == 0;

	if (options->start == (options->socket[0] != NULL))
		return refuse(error, "give either --start or --socket (--help tells more)");
	if (options->start && options->socket[1])
		return refuse(error, "--socket-b needs --socket, not --start");
	if (!options->start && (!local || options->setting_count || options->arena_bytes))
		return refuse(error, "--driver, --set and --arena need --start: they configure "
		                     "agents that sluice-perf starts");
	if (options->socket[1] && !options->node[1])
		return refuse(error, "--socket-b needs --node-b, the name of that agent's node");
	if (options->socket[1] && !options->node[0] &&
	    (options->mode == BENCH_LATENCY || options->mode == BENCH_WAL))
		return refuse(error, "latency over two agents needs --node-a for the way back");
	if (options->frame_bytes < 4096 || options->frame_bytes > 16u << 20 ||
	    (options->frame_bytes & (options->frame_bytes - 1)))
		return refuse(error, "--frame is a power of two from 4k to 16M");
	return 0;
}

static int check_measure(const struct bench_options *options, char *error)
{
	if (options->mode == BENCH_OFFERED && options->rate <= 0)
		return refuse(error, "--mode offered needs --rate");
	if (options->mode != BENCH_OFFERED && options->rate > 0)
		return refuse(error, "--rate needs --mode offered");
	if (options->total_bytes && options->mode != BENCH_THROUGHPUT)
		return refuse(error, "--bytes needs --mode throughput");
	if (options->row_count && options->total_bytes)
		return refuse(error, "give --count or --bytes, not both");
	if (options->row_count && options->mode >= BENCH_OFFERED)
		return refuse(error, "--count needs --mode throughput, latency or wal");
	if (options->mode == BENCH_WAL &&
	    (options->sender_count != 1 || options->receiver_count != 1))
		return refuse(error, "--mode wal has one primary and one standby");
	if (options->mode == BENCH_WAL && options->row_bytes > 65536)
		return refuse(error, "--mode wal takes records of at most 65536 bytes");
	if (!options->duration_ns)
		return refuse(error, "--duration must be longer than 0");
	if (options->process_count < 2 && options->mode == BENCH_IDLE_CHANNELS)
		return refuse(error, "--idle-channels needs at least 2 processes");
	return 0;
}

/* Defaults that depend on the mode. */
static void fill_in(struct bench_options *options)
{
	bool latency = options->mode == BENCH_LATENCY;
	bool memory = options->mode == BENCH_IDLE_CHANNELS;

	if (!options->row_bytes && options->mode == BENCH_WAL)
		options->row_bytes = 200;
	if (!options->row_bytes)
		options->row_bytes = latency ? 8 : 100;
	if (!options->process_count)
		options->process_count = memory ? 2 : 8;
	if (!options->channel_count)
		options->channel_count = memory ? 10000 : 64;
}

/* A run by volume is counted in rows of each sender, and from the first on. */
static void count_rows(struct bench_options *options)
{
	uint64_t bytes = (uint64_t)options->row_bytes * options->sender_count;

	if (options->total_bytes)
		options->row_count = (options->total_bytes + bytes - 1) / bytes;
	if (options->row_count)
		options->warmup_ns = 0;
}

int bench_options_parse(int argc, char **argv, FILE *out, struct bench_options *ret_options,
                        char *error)
{
	struct bench_options options = {
	        .sender_count = 1,
	        .receiver_count = 1,
	        .duration_ns = UINT64_C(3000000000),
	        .warmup_ns = UINT64_C(500000000),
	        .stall_ns = UINT64_C(20000000000),
	        .driver = "local",
	        .frame_bytes = 65536,
	        .cluster = 1,
	};
	int id, option_idx, rc;

	optind = 0; /* not 1: also resets what an earlier call left */
	opterr = 0;
	while ((id = getopt_long(argc, argv, "", long_options, &option_idx)) != -1) {
		if (id == OPT_HELP) {
			fputs(help_text, out);
			return 1;
		}
		if (id == OPT_VERSION) {
			fprintf(out, "sluice-perf %s (%s)\n", BENCH_VERSION, BENCH_COMMIT);
			return 1;
		}
		if (id < OPT_MODE)
			return refuse(error, "%s: no such option, or its value is missing",
			              argv[optind - 1]);
		rc = id <= OPT_STALL ? parse_measure(id, optarg, &options)
		                     : parse_other(id, optarg, &options);
		if (rc)
			return refuse(error, "--%s: '%s' is not a value for it",
			              long_options[option_idx].name, optarg ? optarg : "");
	}
	if (optind < argc)
		return refuse(error, "'%s': sluice-perf takes options only", argv[optind]);
	fill_in(&options);
	rc = check_agents(&options, error);
	if (rc == 0)
		rc = check_measure(&options, error);
	if (rc)
		return rc;
	count_rows(&options);
	if (!options.start)
		options.driver = "running"; /* theirs is not known here */
	*ret_options = options;
	return 0;
}
