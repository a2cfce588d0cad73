/* SPDX-License-Identifier: Apache-2.0 */
/*
 * context.c - the wait in which nothing else stands still, and the failure that
 * ends everything.
 *
 * A wait has two parts. At first only what is waited for is looked at: the rest
 * stays in the rings and its senders feel it, as they should. When that has
 * lasted, the process may be part of a circle: it takes in what arrives on all
 * inbound motions, and publishes the frames it has begun.
 */
#include "motion/context.h"

#include "motion/receiver.h"
#include "motion/sender.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DRAIN_AFTER_DEFAULT_NS UINT64_C(1000000)
#define MEMORY_BYTES_DEFAULT   (UINT64_C(64) << 20)
#define DRAIN_BATCH_FRAMES     64u /* of one motion, before what is waited for is tried */
#define NS_PER_S               UINT64_C(1000000000)

/* ---- making one ------------------------------------------------------------ */

int slu_motion_context_create(slu_endpoint *endpoint,
                              const struct slu_motion_context_options *options,
                              slu_motion_context **ret_context)
{
	static const struct slu_motion_context_options defaults;
	slu_motion_context *context = calloc(1, sizeof(*context));
	int r;

	if (!context)
		return -ENOMEM;
	if (!options)
		options = &defaults;
	context->endpoint = endpoint;
	context->receive_drain_after_ns = options->receive_drain_after_ns
	                                          ? options->receive_drain_after_ns
	                                          : DRAIN_AFTER_DEFAULT_NS;
	context->send_drain_after_ns = options->send_drain_after_ns ? options->send_drain_after_ns
	                                                            : DRAIN_AFTER_DEFAULT_NS;
	context->deadline_ns = UINT64_MAX;
	context->foreign_fd = -1;
	context->store.memory_bytes_max =
	        options->memory_bytes_max ? options->memory_bytes_max : MEMORY_BYTES_DEFAULT;
	LIST_INIT(&context->senders);
	LIST_INIT(&context->receivers);
	r = spill_init(&context->store.spill, options->spill_directory,
	               slu_endpoint_frame_capacity(endpoint), options->spill_bytes_max);
	if (r < 0) {
		free(context);
		return r;
	}
	*ret_context = context;
	return 0;
}

void slu_motion_context_destroy(slu_motion_context *context)
{
	if (!context)
		return;
	while (!LIST_EMPTY(&context->senders))
		slu_motion_close_sender(LIST_FIRST(&context->senders));
	while (!LIST_EMPTY(&context->receivers))
		slu_motion_close_receiver(LIST_FIRST(&context->receivers));
	spill_fini(&context->store.spill);
	free(context);
}

void slu_motion_set_wait(slu_motion_context *context, uint64_t deadline_ns, int foreign_fd)
{
	context->deadline_ns = deadline_ns;
	context->foreign_fd = foreign_fd;
}

const struct slu_motion_error *slu_motion_error(const slu_motion_context *context)
{
	return &context->error;
}

void slu_motion_context_stats(const slu_motion_context *context,
                              struct slu_motion_context_stats *ret_stats)
{
	*ret_stats = context->store.stats;
}

/* ---- failure --------------------------------------------------------------- */

static void tell_all(slu_motion_context *context, const char *text)
{
	int error = -context->error.error;
	slu_motion_receiver *receiver;
	slu_motion_sender *sender;

	LIST_FOREACH (sender, &context->senders, entry)
		sender_reset(sender, error, text);
	LIST_FOREACH (receiver, &context->receivers, entry)
		receiver_reset(receiver, error, text);
}

int context_fail(slu_motion_context *context, int error, const char *sqlstate, const char *text)
{
	char relay[FAILURE_TEXT_BYTES];

	if (context->error.error)
		return context->error.error;
	context->error.error = error;
	snprintf(context->error.sqlstate, sizeof(context->error.sqlstate), "%s", sqlstate);
	snprintf(context->error.text, sizeof(context->error.text), "%s", text);
	failure_encode(relay, sqlstate, text);
	tell_all(context, relay);
	return error;
}

int context_fail_channel(slu_motion_context *context, slu_channel *channel, int error)
{
	char relay[FAILURE_TEXT_BYTES];

	if (context->error.error)
		return context->error.error;
	failure_decode(channel ? slu_channel_reason(channel)
	                       : slu_endpoint_error(context->endpoint),
	               error, &context->error, relay);
	tell_all(context, relay);
	return error;
}

static const char *local_headline(int error)
{
	switch (-error) {
	case EBADMSG:
		return "what arrived is no sequence of rows";
	case EMSGSIZE:
		return "a row is longer than row_bytes_max";
	case EDQUOT:
		return "spill_bytes_max is reached";
	case ENOMEM:
		return "no memory for rows that arrived";
	default:
		return NULL;
	}
}

int context_fail_local(slu_motion_context *context, int error)
{
	const char *headline = local_headline(error);
	char text[256];

	if (headline)
		snprintf(text, sizeof(text), "%s", headline);
	else
		snprintf(text, sizeof(text), "temporary file for rows in %s: %s",
		         context->store.spill.directory, strerror(-error));
	return context_fail(context, error,
	                    !headline && error != -ENOSPC ? "58030" : failure_sqlstate(error),
	                    text);
}

void slu_motion_fail(slu_motion_context *context, int error, const char *sqlstate, const char *text)
{
	if (!sqlstate || !failure_sqlstate_valid(sqlstate))
		sqlstate = "XX000"; /* internal_error */
	context_fail(context,
	             error > 0   ? -error
	             : error < 0 ? error
	                         : -ECANCELED,
	             sqlstate, text ? text : "");
}

/* ---- waiting --------------------------------------------------------------- */

/* Take in what has arrived, but for one receiver; whether there may be more. */
static bool drain(slu_motion_context *context, const slu_motion_receiver *own)
{
	slu_motion_receiver *receiver;
	bool any = false;

	LIST_FOREACH (receiver, &context->receivers, entry)
		if (receiver != own && !context->error.error)
			any |= receiver_drain(receiver, DRAIN_BATCH_FRAMES) > 0;
	return any;
}

int slu_motion_drain(slu_motion_context *context)
{
	while (drain(context, NULL) && !context->error.error)
		;
	return context->error.error;
}

static uint64_t min_ns(uint64_t left, uint64_t right)
{
	return left < right ? left : right;
}

/* Look only at what is waited for, until draining is due: then SLU_AGAIN. */
static int wait_alone(slu_motion_context *context, const struct waiting *waiting, uint64_t due_ns)
{
	uint64_t until_ns = min_ns(due_ns, context->deadline_ns);

	for (;;) {
		int r;

		if (slu_now_ns() >= until_ns)
			return due_ns <= context->deadline_ns ? SLU_AGAIN : SLU_TIMEOUT;
		r = waiting->channel
		            ? slu_channel_wait(waiting->channel, until_ns, context->foreign_fd)
		            : slu_set_wait(waiting->set, until_ns, context->foreign_fd);
		if (r == -EINTR)
			return SLU_FOREIGN;
		if (r < 0)
			return context_fail_channel(context, waiting->channel, r);
		if (r == SLU_FOREIGN)
			return r;
		if (r == SLU_OK) {
			r = waiting->attempt(waiting->operation);
			if (r != SLU_AGAIN)
				return r;
		}
	}
}

/* Sleep while armed; SLU_AGAIN after news. */
static int sleep_armed(slu_motion_context *context)
{
	struct pollfd fds[] = {
	        {.fd = slu_endpoint_fd(context->endpoint), .events = POLLIN},
	        {.fd = context->foreign_fd, .events = POLLIN},
	};
	struct timespec left = {0};
	int r;

	if (context->deadline_ns != UINT64_MAX) {
		uint64_t now_ns = slu_now_ns();
		uint64_t left_ns =
		        context->deadline_ns > now_ns ? context->deadline_ns - now_ns : 0;

		left.tv_sec = (time_t)(left_ns / NS_PER_S);
		left.tv_nsec = (long)(left_ns % NS_PER_S);
	}
	r = ppoll(fds, 2, context->deadline_ns == UINT64_MAX ? NULL : &left, NULL);
	if (r < 0)
		return SLU_FOREIGN; /* a signal handler ran */
	if (r == 0)
		return SLU_TIMEOUT;
	return fds[0].revents ? SLU_AGAIN : SLU_FOREIGN;
}

/*
 * One round. Armed before anything is looked at: news that comes afterwards ends
 * the sleep, news from before is seen, also by looks that take the ready bits of
 * other motions.
 */
static int drain_round(slu_motion_context *context, const struct waiting *waiting)
{
	int armed = slu_endpoint_arm(context->endpoint);
	bool any = drain(context, waiting->own_receiver);
	int r;

	if (context->error.error)
		r = context->error.error;
	else
		r = waiting->attempt(waiting->operation);
	if (r == SLU_AGAIN && armed < 0)
		r = context_fail_channel(context, waiting->channel, armed);
	else if (r == SLU_AGAIN && any && slu_now_ns() >= context->deadline_ns)
		r = SLU_TIMEOUT;
	else if (r == SLU_AGAIN && !any && armed == 0)
		r = sleep_armed(context);
	slu_endpoint_disarm(context->endpoint);
	return r;
}

static int wait_draining(slu_motion_context *context, const struct waiting *waiting)
{
	slu_motion_sender *sender;
	int r;

	LIST_FOREACH (sender, &context->senders, entry)
		sender_flush_some(sender);
	do {
		r = drain_round(context, waiting);
	} while (r == SLU_AGAIN);
	return r;
}

int context_wait(slu_motion_context *context, const struct waiting *waiting)
{
	uint64_t start_ns, due_ns;
	int r = context->error.error;

	if (r == 0)
		r = waiting->attempt(waiting->operation);
	if (r != SLU_AGAIN) {
		context->waiting_since_ns = 0;
		return r;
	}
	start_ns = slu_now_ns();
	if (!context->waiting_since_ns)
		context->waiting_since_ns = start_ns;
	due_ns = context->waiting_since_ns + waiting->drain_after_ns;
	if (waiting->drain_after_ns == SLU_MOTION_NEVER)
		due_ns = UINT64_MAX;
	r = wait_alone(context, waiting, due_ns);
	if (r == SLU_AGAIN)
		r = wait_draining(context, waiting);
	if (context->error.error)
		r = context->error.error;
	if (r != SLU_TIMEOUT && r != SLU_FOREIGN)
		context->waiting_since_ns = 0;
	waiting->waited->stalls++;
	waiting->waited->blocked_ns += slu_now_ns() - start_ns;
	return r;
}
