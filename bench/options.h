/* SPDX-License-Identifier: Apache-2.0 */
/*
 * options.h - what sluice-perf was asked to do: the command line with every
 * default filled in, checked so that the rest of the program need not.
 */
#ifndef BENCH_OPTIONS_H
#define BENCH_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define BENCH_ERROR_BYTES   512u
#define BENCH_MEMBERS_MAX   128u /* senders, or receivers */
#define BENCH_SETTINGS_MAX  32u
#define BENCH_LANES_MAX     (BENCH_MEMBERS_MAX * BENCH_MEMBERS_MAX)
#define BENCH_CHANNELS_MAX  (1u << 20)
#define BENCH_PROCESSES_MAX (2 * BENCH_MEMBERS_MAX)

enum bench_mode {
	BENCH_THROUGHPUT,    /* as fast as it goes */
	BENCH_LATENCY,       /* closed loop: one row there, one back */
	BENCH_WAL,           /* closed loop: a record appended, acknowledged */
	BENCH_OFFERED,       /* open loop: rows at a given rate */
	BENCH_IDLE,          /* attached, channels open, nothing moves: CPU */
	BENCH_IDLE_CHANNELS, /* likewise: memory */
};

enum bench_format { BENCH_TEXT, BENCH_JSON, BENCH_CSV };

struct bench_options {
	enum bench_mode mode;
	uint32_t sender_count, receiver_count;
	uint32_t row_bytes;
	uint64_t row_count;   /* rows of each sender, round trips; 0: by duration */
	uint64_t total_bytes; /* --bytes, split over the senders; 0: by duration */
	uint64_t duration_ns;
	uint64_t warmup_ns;
	double rate;            /* offered rows per second, all senders together */
	bool flush_each_row;    /* offered: else when the sender has caught up */
	bool spread_frames;     /* many receivers: a frame each in turn, not a row */
	uint32_t window_frames; /* 0: the agent's setting */
	uint64_t spin_ns;       /* as slu_attach_options.spin_ns_max */
	bool urgent;
	bool pin;
	uint32_t process_count; /* idle modes */
	uint32_t channel_count; /* idle modes */
	uint64_t stall_ns;      /* no row for that long fails the run */

	bool start;           /* start the agents */
	const char *sluiced;  /* NULL: look for it */
	const char *driver;   /* "local": one agent */
	uint64_t frame_bytes; /* of the agents started; with the frame's header */
	uint64_t arena_bytes; /* likewise; 0: what the run needs */
	const char *settings[BENCH_SETTINGS_MAX]; /* SECTION.KEY=VALUE for their files */
	size_t setting_count;
	const char *socket[2]; /* agents that run already; [1] NULL: one agent */
	const char *node[2];
	uint64_t cluster;
	bool keep_files; /* leave configuration and log of the agents */

	enum bench_format format;
	const char *plot_path; /* .svg or .png; NULL: none */
	bool progress;
};

/*
 * 0: go on. 1: --help or --version was answered on out. -EINVAL: error (of
 * BENCH_ERROR_BYTES) says which option and why. Texts are borrowed from argv.
 */
int bench_options_parse(int argc, char **argv, FILE *out, struct bench_options *ret_options,
                        char *error);

const char *bench_mode_name(enum bench_mode mode);

/* "100", "64k", "1M", "2G" (powers of 1024). 0 or -EINVAL. */
int bench_parse_size(const char *text, uint64_t *ret_bytes);
/* "10" (seconds), "1.5s", "500ms", "20us", "100ns". 0 or -EINVAL. */
int bench_parse_time(const char *text, uint64_t *ret_ns);
/* "3:1": senders and receivers. 0 or -EINVAL. */
int bench_parse_pattern(const char *text, uint32_t *ret_senders, uint32_t *ret_receivers);

#endif
