/* SPDX-License-Identifier: Apache-2.0 */
/* sender.h - the sending side of a motion: a lane for each destination. */
#ifndef MOTION_SENDER_H
#define MOTION_SENDER_H

#include "motion/context.h"

struct lane {
	slu_channel *channel;
	bool open;            /* neither stopped nor ended */
	bool stopped;         /* the receiver wanted no more */
	bool boxed;           /* is still owed (the rest of) the box */
	uint32_t boxed_bytes; /* of the box it has */
	struct waited waited;
};

/*
 * What is formed outside frames, because it is larger than one or because
 * several destinations get it: a row for one lane or for all, or for all a
 * frame's worth of rows. Sealed: it is being sent, and grows no more.
 */
struct box {
	uint8_t *data; /* owned */
	size_t room;
	size_t used;
	uint64_t rows;
	uint32_t destination; /* SLU_MOTION_ALL: all lanes */
	uint32_t lanes_left;  /* sealed: that are owed some of it */
	bool large;           /* one row larger than a frame */
	bool sealed;
};

struct slu_motion_sender {
	struct slu_motion_sender_head head; /* first: inline functions use it */
	slu_motion_context *context;
	LIST_ENTRY(slu_motion_sender) entry;
	slu_set *set;       /* all lanes */
	struct lane *lanes; /* [head.lane_count]; owned */
	uint32_t open_count;
	size_t frame_room; /* of rows in a frame, a multiple of 8 */
	uint32_t row_bytes_max;
	bool broadcast;
	bool ended; /* EOS was sent */
	struct box box;
};

/* Publish what can be published now without waiting. */
void sender_flush_some(slu_motion_sender *sender);

/* Reset every channel with that text. */
void sender_reset(slu_motion_sender *sender, int error, const char *text);

#endif
