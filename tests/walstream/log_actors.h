/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log_actors.h - processes that keep a log file and ship it: a primary that writes
 * it, and standbys that copy it. What they did stands in memory shared with the
 * test. The byte of every place of the log is known, so a copy is checked alone.
 */
#ifndef TESTS_WALSTREAM_LOG_ACTORS_H
#define TESTS_WALSTREAM_LOG_ACTORS_H

#include <sluice/walstream.h>

#include <stdatomic.h>
#include <sys/types.h>

#define LOG_CLUSTER      UINT64_C(42)
#define LOG_STANDBYS_MAX 2u

struct log_stream {
	char peer[64]; /* node of the other end; "": same host */
	uint64_t stream;
	uint32_t destination;
	uint64_t token; /* fills the first bytes of the token */
};

/* What an actor does and did; lies in shared memory. */
struct log_actor {
	/* the task */
	char socket_path[108];
	char path[128]; /* of its log file; goes on where that ends */
	uint64_t system_id;
	struct log_stream streams[LOG_STANDBYS_MAX]; /* primary: one each; standby: one */
	unsigned stream_count;
	unsigned needed;            /* primary: quorum ANY so many */
	uint64_t seed;              /* primary: of how much it writes at once */
	_Atomic uint64_t until_lsn; /* primary: writes up to here, then waits for more */
	_Atomic bool finish;        /* primary: end in order once until_lsn is there */
	/* the outcome */
	pid_t pid;
	_Atomic uint64_t written_lsn;
	_Atomic uint64_t acknowledged_lsn; /* primary: durable on enough standbys */
	_Atomic uint64_t appended_bytes;   /* primary: shipped without reading the file */
	_Atomic bool streaming;            /* standby: the primary has agreed */
	int result;                        /* SLU_EOS: ended in order; else what a call said */
	char reason[SLU_WAL_ERROR_MAX];
};

/* Fork a process that does the task. */
void log_primary_start(struct log_actor *actor);
void log_standby_start(struct log_actor *actor);

/* Wait for its end, at most ten seconds; false: it had to be killed. One that was
 * killed before has ended. */
bool log_actor_join(struct log_actor *actor);

/* kill -9, and wait. */
void log_actor_kill(struct log_actor *actor);

/* Length of the log if every byte of it is right; UINT64_MAX if not. */
uint64_t log_file_check(const char *path);

#endif
