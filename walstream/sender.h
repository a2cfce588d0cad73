/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sender.h - the parts of slu_walsender: sender.c drives, sender_log.c puts the log
 * into frames, sender_feedback.c takes what the receiver says.
 */
#ifndef WALSTREAM_SENDER_H
#define WALSTREAM_SENDER_H

#include "walstream/wal_lag.h"
#include "walstream/wal_link.h"

struct slu_walsender {
	struct wal_link link;
	struct slu_walsender_options options; /* stream.peer is not kept */
	struct slu_walsender_status status;
	struct wal_lag lag;
	uint64_t now_ns; /* of the last process() */

	/* What is sent. status.timeline is the stream's; it is historic when it is not
	 * the engine's any more, and then ends at timeline_end_lsn. */
	uint32_t engine_timeline;
	bool historic;
	uint64_t timeline_end_lsn;
	uint32_t next_timeline;

	/* The frame being written; NULL: none. Its log begins at frame_lsn. */
	uint8_t *frame;
	uint64_t frame_lsn;
	size_t filled_bytes;
	uint64_t sampled_lsn; /* sent_lsn of the last sample of lag */

	/* Messages that are due. */
	bool owes_welcome;
	bool owes_keepalive;
	bool owes_question; /* that keepalive asks for an answer */
	bool finishing;     /* finish() was called */
	bool finish_sent;   /* FINISH is out */

	bool started;      /* a receiver has spoken */
	bool stalled;      /* no credit: only an event helps */
	bool out_stopped;  /* the receiver takes no more data; its feedback tells why */
	bool backlog;      /* process() stopped for the sake of batch_bytes_max */
	bool asked;        /* for a word from the receiver, since it was last heard */
	uint64_t spoke_ns; /* last frame published by process() */
	int result;        /* SLU_OK while it goes on */
};

/* Up to where the stream's timeline can be sent now. */
static inline uint64_t sender_limit_lsn(const slu_walsender *sender)
{
	return sender->historic ? sender->timeline_end_lsn : sender->status.end_lsn;
}

/* End of what is in frames, published or not. */
static inline uint64_t sender_next_lsn(const slu_walsender *sender)
{
	return sender->frame_lsn + sender->filled_bytes;
}

/* Start over at lsn: nothing may be in the frame being written. */
void sender_log_seek(slu_walsender *sender, uint64_t lsn);

/* A frame to write log into. SLU_OK, SLU_AGAIN (stalled), negative. */
int sender_frame_begin(slu_walsender *sender);

/* Publish the frame being written, if it has any log; stamp_ns 0: not known. */
void sender_frame_publish(slu_walsender *sender, uint64_t stamp_ns);

/* Forget what is in the frame being written beyond lsn. */
void sender_frame_truncate(slu_walsender *sender, uint64_t lsn);

/* Send what the engine has and the stream has not, from the source. SLU_OK,
 * SLU_AGAIN (no credit, or the source has it not at hand), negative. */
int sender_log_send(slu_walsender *sender);

/* Everything that came on feedback. SLU_OK, or a result that ends the stream. */
int sender_feedback_take(slu_walsender *sender);

#endif
