/* SPDX-License-Identifier: Apache-2.0 */
/*
 * flow.h - a channel between two hosts of a test with a process at each end, and
 * what must have become of it.
 */
#ifndef TESTS_NET_FLOW_H
#define TESTS_NET_FLOW_H

#include "tests/kill/actors.h"
#include "tests/net/hosts.h"

#define FLOWS_MAX 8u
/* Rows: as many as there is time for, until flow_enough(). */
#define FLOW_ON UINT64_MAX

struct flow {
	struct actor sender, receiver; /* pid 0: was not started */
	uint64_t query;                /* in its key; a new one with each flow_start() */
};

struct flow_options {
	uint64_t rows;
	bool urgent;
	bool encrypted;                 /* or not at all */
	uint64_t rendezvous_timeout_ns; /* 0: 20 s */
};

/* FLOWS_MAX flows in memory shared with their processes; flows_end() kills what
 * still runs. */
struct flow *flows_begin(void);
void flows_end(struct flow *flows);

/* Start both processes, or one. */
void flow_start(struct flow *flow, const struct hosts *hosts, unsigned from, unsigned to,
                const struct flow_options *options);
void flow_start_end(struct flow *flow, const struct hosts *hosts, unsigned from, unsigned to,
                    const struct flow_options *options, enum slu_direction end);

/* Whether the receiver has that many rows more than now, within 20 s. */
bool flow_moves(const struct flow *flow, uint64_t rows);
/* The sender writes EOS and ends. */
void flow_enough(struct flow *flow);

/* These assert, through CUnit. Both ends in order, within 30 s; every row was
 * received once and in order. */
void flow_check_whole(struct flow *flow);
/* That end was told by until_ns, with that error (negative; 0: any), and with
 * words that contain text. */
void actor_check_told(struct actor *actor, uint64_t until_ns, int error, const char *text);

#endif
