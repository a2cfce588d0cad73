/* SPDX-License-Identifier: Apache-2.0 */
/*
 * context.h - what the motions of one process share: the wait that takes in
 * what arrives meanwhile, and the failure that ends them all.
 */
#ifndef MOTION_CONTEXT_H
#define MOTION_CONTEXT_H

#include "motion/backlog.h"
#include "motion/rows.h"

#include <sluice/motion.h>
#include <sys/queue.h>

struct slu_motion_context {
	slu_endpoint *endpoint; /* borrowed */
	uint64_t receive_drain_after_ns;
	uint64_t send_drain_after_ns;
	uint64_t deadline_ns;
	uint64_t waiting_since_ns; /* over calls that ended in SLU_TIMEOUT; 0: not waiting */
	int foreign_fd;
	struct backlog_store store;
	struct slu_motion_error error;
	LIST_HEAD(, slu_motion_sender) senders;
	LIST_HEAD(, slu_motion_receiver) receivers;
};

/* What one channel, or all of a motion, cost in waits. */
struct waited {
	uint64_t stalls;
	uint64_t blocked_ns;
};

struct waiting {
	/* Try what is waited for: SLU_AGAIN, or what ends the wait. */
	int (*attempt)(void *operation);
	void *operation;
	slu_channel *channel;              /* that would have the news, or */
	slu_set *set;                      /* one of these */
	uint64_t drain_after_ns;           /* of the context, for this direction */
	slu_motion_receiver *own_receiver; /* attempt reads it: not to be drained */
	struct waited *waited;             /* where to count it */
};

/* Attempt, wait and attempt again; what attempt returned, SLU_TIMEOUT,
 * SLU_FOREIGN, or the error of the context. */
int context_wait(slu_motion_context *context, const struct waiting *waiting);

/* The context fails as slu_motion_fail() says; returns its error, which may be
 * an earlier one. error is negative. */
int context_fail(slu_motion_context *context, int error, const char *sqlstate, const char *text);
/* The same, with what a channel that returned error can tell. */
int context_fail_channel(slu_motion_context *context, slu_channel *channel, int error);
/* The same, for a failure to keep or decode what arrived. */
int context_fail_local(slu_motion_context *context, int error);

/* failure.c: the SQLSTATE for an errno of a channel. */
const char *failure_sqlstate(int error);
/* Whether it is five digits and capitals. */
bool failure_sqlstate_valid(const char *sqlstate);
/* The text for slu_channel_reset() that carries both; room of FAILURE_TEXT_BYTES. */
#define FAILURE_TEXT_BYTES 128u
void failure_encode(char *ret_text, const char *sqlstate, const char *text);
/* From the reason of a channel. relay, of FAILURE_TEXT_BYTES, is what to tell others. */
void failure_decode(const char *reason, int error, struct slu_motion_error *ret_error, char *relay);

#endif
