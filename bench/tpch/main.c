/* SPDX-License-Identifier: Apache-2.0 */
/*
 * main.c - tpch-generate: writes the tables of TPC-H at a scale factor as .tbl
 * files, or one of them, or a part of one, to standard output.
 */
#include "bench/tpch/tables.h"
#include "bench/tpch/text.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct options {
	struct tpch tpch;
	const char *directory;
	const char *table; /* NULL: all */
	int part, part_count;
};

static void usage(FILE *out)
{
	fputs("usage: tpch-generate [options]\n"
	      "\n"
	      "Writes the data of TPC-H in the format of dbgen's .tbl files, with the\n"
	      "distributions of the specification. The same options give the same bytes.\n"
	      "\n"
	      "  -s, --scale SF       scale factor, any positive number; default 1 (1 GB)\n"
	      "  -d, --directory DIR  for NAME.tbl; default: the current one\n"
	      "  -t, --table NAME     only this table, to standard output\n"
	      "  -p, --part I/N       the I-th of N parts of the rows (with --table)\n"
	      "      --seed N         another data set; default 1\n"
	      "  -h, --help           print this and exit\n",
	      out);
}

static int bad_value(const char *option)
{
	fprintf(stderr, "tpch-generate: %s: '%s' is not a good value\n", option, optarg);
	return 2;
}

/* Returns -1 to go on, else the exit status. */
static int take_option(int option, struct options *options)
{
	char *end;

	switch (option) {
	case 's':
		options->tpch.scale = strtod(optarg, &end);
		return *end == '\0' && options->tpch.scale > 0 && options->tpch.scale <= 100000
		               ? -1
		               : bad_value("--scale");
	case 'd':
		options->directory = optarg;
		return -1;
	case 't':
		options->table = optarg;
		return -1;
	case 'p':
		return sscanf(optarg, "%d/%d", &options->part, &options->part_count) == 2 &&
		                       options->part >= 1 && options->part <= options->part_count
		               ? -1
		               : bad_value("--part");
	case 'S':
		options->tpch.seed = strtoull(optarg, &end, 0);
		return *end == '\0' && end != optarg ? -1 : bad_value("--seed");
	case 'h':
		usage(stdout);
		return 0;
	default:
		usage(stderr);
		return 2;
	}
}

static int write_table(const struct options *options, const struct tpch_table *table, FILE *out)
{
	int64_t rows = table->row_count(&options->tpch);
	int64_t first = rows * (options->part - 1) / options->part_count + 1;
	int64_t last = rows * options->part / options->part_count;

	for (int64_t row = first; row <= last && !ferror(out); row++)
		table->write_row(&options->tpch, row, out);
	return fflush(out) == 0 && !ferror(out) ? 0 : -1;
}

static int write_file(const struct options *options, const struct tpch_table *table)
{
	char *path;
	FILE *out;
	int result;

	if (asprintf(&path, "%s/%s.tbl", options->directory, table->name) < 0)
		return -1;
	out = fopen(path, "w");
	result = out ? write_table(options, table, out) : -1;
	if (out && fclose(out) != 0)
		result = -1;
	if (result < 0)
		fprintf(stderr, "tpch-generate: %s: %s\n", path, strerror(errno));
	free(path);
	return result;
}

static int run(const struct options *options)
{
	bool found = false;

	for (size_t i = 0; i < TPCH_TABLE_COUNT; i++) {
		const struct tpch_table *table = &tpch_tables[i];

		if (!options->table) {
			if (write_file(options, table) < 0)
				return 1;
		} else if (strcmp(options->table, table->name) == 0) {
			found = true;
			if (write_table(options, table, stdout) < 0) {
				perror("tpch-generate: standard output");
				return 1;
			}
		}
	}
	if (options->table && !found) {
		fprintf(stderr, "tpch-generate: no table '%s'\n", options->table);
		return 2;
	}
	return 0;
}

int main(int argc, char **argv)
{
	static const struct option long_options[] = {
	        {"scale", required_argument, NULL, 's'},
	        {"directory", required_argument, NULL, 'd'},
	        {"table", required_argument, NULL, 't'},
	        {"part", required_argument, NULL, 'p'},
	        {"seed", required_argument, NULL, 'S'},
	        {"help", no_argument, NULL, 'h'},
	        {NULL, 0, NULL, 0},
	};
	struct options options = {
	        .tpch = {.scale = 1, .seed = 1}, .directory = ".", .part = 1, .part_count = 1};
	int option, status;

	while ((option = getopt_long(argc, argv, "s:d:t:p:h", long_options, NULL)) != -1) {
		status = take_option(option, &options);
		if (status >= 0)
			return status;
	}
	if (optind < argc || (options.part_count > 1 && !options.table)) {
		usage(stderr);
		return 2;
	}
	if (text_pool_make(options.tpch.seed) < 0) {
		fputs("tpch-generate: out of memory\n", stderr);
		return 1;
	}
	return run(&options);
}
