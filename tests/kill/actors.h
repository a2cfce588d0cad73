/* SPDX-License-Identifier: Apache-2.0 */
/*
 * actors.h - processes that send and receive rows through the public interface
 * and write down, in memory shared with the test, how far they came, how it
 * ended for them, when, and what they were told.
 */
#ifndef TESTS_KILL_ACTORS_H
#define TESTS_KILL_ACTORS_H

#include <sluice/sluice.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/types.h>

#define ACTOR_CLUSTER UINT64_C(42)

struct actor_task {
	char socket_path[108];
	char peer[64]; /* node of the other end; "": this host */
	enum slu_direction direction;
	struct slu_key key;
	struct slu_token token;
	uint64_t rows; /* to send or expect; UINT64_MAX: until `enough`, or without end */
	uint64_t seed; /* of the row sizes */
	bool urgent;
	bool encrypted;
	uint64_t rendezvous_timeout_ns; /* 0: 20 s */
	uint64_t pause_ns;              /* a receiver rests that long, once */
};

struct actor {
	struct actor_task task;
	pid_t pid;
	bool reaped;
	int status;                  /* of waitpid */
	_Atomic bool enough;         /* set by the test: the sender ends in order now */
	_Atomic uint64_t moved_rows; /* so far */
	_Atomic uint64_t bad_rows;   /* received in the wrong order or with wrong bytes */
	_Atomic uint64_t ended_ns;   /* CLOCK_MONOTONIC; 0: still at it */
	int result;                  /* SLU_OK: all rows and EOS; else what a call said */
	char reason[512];
};

/* Fork a process that does the task. actor lies in shared memory. */
void actor_start(struct actor *actor);

#endif
