/* SPDX-License-Identifier: Apache-2.0 */
/* receiver.h - the receiving side of a motion: a source for each sender. */
#ifndef MOTION_RECEIVER_H
#define MOTION_RECEIVER_H

#include "motion/context.h"
#include "motion/merge.h"

struct source {
	slu_channel *channel;
	slu_motion_receiver *receiver;
	bool ended; /* its channel told EOS; the backlog may hold more */
	bool frame_held;
	bool queued;                 /* in receiver->backlogged: its backlog is not empty */
	struct slu_frame frame;      /* held: rows are being read from it, or */
	struct backlog_frame *taken; /* from this, owned */
	struct rows rows;
	struct slu_motion_rows cursor; /* ordered: its place; else its count of rows */
	struct backlog backlog;
	struct waited waited;
	TAILQ_ENTRY(source) queue_entry;
};

struct slu_motion_receiver {
	struct slu_motion_rows rows; /* first: slu_motion_receive() inlines it */
	slu_motion_context *context;
	LIST_ENTRY(slu_motion_receiver) entry;
	slu_set *set;
	struct source *sources; /* [source_count]; owned */
	uint32_t source_count;
	uint32_t open_count; /* sources that have not ended */
	TAILQ_HEAD(, source) backlogged;
	struct source *current; /* of the last row; ordered: of the merge's top */
	bool stopped;
	bool ordered;
	bool top_spent;        /* ordered: the top's row was given out */
	uint32_t primed_count; /* ordered: sources that have shown their first row */
	struct merge merge;
};

/* Move at most frames_max arrived frames into backlogs; how many. A failure is
 * one of the context. */
unsigned receiver_drain(slu_motion_receiver *receiver, unsigned frames_max);

/* Reset every channel with that text, and give out no more rows. */
void receiver_reset(slu_motion_receiver *receiver, int error, const char *text);

/* source.c: a channel for reading, and what comes on it. */

/* Give back what is being read. */
void source_release(struct source *source);
/* Rows of the next frame: of the backlog, else of the channel. SLU_OK: in
 * *ret_rows, at least one; SLU_AGAIN; SLU_EOS; or the error of the context. */
int source_take(struct source *source, struct slu_motion_rows *ret_rows);
/* Rows of the first frame of the backlog, which must not be empty: SLU_AGAIN if
 * it has no whole one. */
int source_take_backlog(struct source *source, struct slu_motion_rows *ret_rows);
/* The same of a frame that was received. */
int source_take_frame(struct source *source, const struct slu_frame *frame,
                      struct slu_motion_rows *ret_rows);
/* Append a received frame to the backlog, and give it back. */
int source_keep(struct source *source, const struct slu_frame *frame);
void source_end(struct source *source);

#endif
