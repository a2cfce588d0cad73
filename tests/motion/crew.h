/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crew.h - processes that move rows through motions, on one host or spread over
 * two agents that reach each other by tcp. The members and what they found out
 * lie in memory shared with the test.
 */
#ifndef TESTS_MOTION_CREW_H
#define TESTS_MOTION_CREW_H

#include "tests/agent/agent_fixture.h"

#include <sluice/motion.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/types.h>

#define CREW_HOSTS_MAX   2u
#define CREW_MEMBERS_MAX 12u

struct crew;
struct member;

struct member {
	struct crew *crew;
	uint32_t idx;
	pid_t pid;
	int (*run)(struct member *member);
	struct slu_motion_context_options options;
	uint64_t deadline_ns; /* for slu_motion_set_wait(); 0: none */
	/* in its process */
	slu_endpoint *endpoint;
	slu_motion_context *context;
	/* what it tells */
	int result;
	struct slu_motion_error error;
	char reason[256]; /* why it could not begin */
	struct slu_motion_stats stats;
	struct slu_motion_context_stats context_stats;
	uint64_t counts[CREW_MEMBERS_MAX]; /* rows, by the other side's number */
	uint64_t bad_rows;
	_Atomic uint64_t progress;
};

struct crew {
	struct agent_fixture agents[CREW_HOSTS_MAX];
	uint32_t hosts;
	uint64_t query;
	uint64_t seed;
	struct member *members; /* shared, [CREW_MEMBERS_MAX] */
};

/* Start the agents; whether all run. crew_end() is owed in every case. */
bool crew_begin(struct crew *crew, uint32_t hosts);
void crew_end(struct crew *crew);

/* A new query: forget the members of the last one. */
void crew_query(struct crew *crew);
/* Start member idx: it lives on host idx % hosts. */
struct member *crew_start(struct crew *crew, uint32_t idx, int (*run)(struct member *));
/* As start, in two steps: to set options first. */
struct member *crew_member(struct crew *crew, uint32_t idx);
void crew_launch(struct member *member, int (*run)(struct member *));
/* Wait for a member's end; false: it did not within a minute, and is killed, or it
 * crashed. One that the test killed has ended well. */
bool crew_wait(struct member *member);
bool crew_wait_all(struct crew *crew, uint32_t count);

/* In a member: its options for a motion whose other side are members
 * first ... first + count - 1, numbered from 0. nodes has room for count. */
struct slu_motion_options member_options(struct member *member, enum slu_motion_kind kind,
                                         uint32_t motion, uint32_t self, uint32_t first,
                                         uint32_t count, const char **nodes);
/* The same, opened. Ends the process with its error when it cannot. */
slu_motion_sender *member_sender(struct member *member, enum slu_motion_kind kind, uint32_t motion,
                                 uint32_t self, uint32_t first, uint32_t count);
slu_motion_receiver *member_receiver(struct member *member, enum slu_motion_kind kind,
                                     uint32_t motion, uint32_t self, uint32_t first,
                                     uint32_t count);

/* splitmix64 (Steele, Lea, Flood) */
uint64_t crew_mix(uint64_t value);

/* A row of a test: made from its number alone. */
struct crew_row {
	uint32_t length;
	uint32_t source;
	uint64_t number;
	uint64_t words[];
};

/* Send row number of so many bytes; result of slu_motion_reserve(). */
int crew_send(slu_motion_sender *sender, uint32_t destination, uint32_t source, uint64_t number,
              size_t size_bytes);
/* Whether it is as it was sent. */
bool crew_row_is_good(const struct crew_row *row);
/* Receive all; counts rows by source, checks that the numbers of each source
 * only rise. SLU_EOS, or what ended it. */
int crew_receive_all(struct member *member, slu_motion_receiver *receiver);

#endif
