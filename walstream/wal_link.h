/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wal_link.h - the two channels of a WAL stream: messages out, messages in, and
 * how it ends. Used by the sender and the receiver alike.
 */
#ifndef WALSTREAM_WAL_LINK_H
#define WALSTREAM_WAL_LINK_H

#include "walstream/wal_codec.h"

struct wal_link {
	slu_channel *out; /* owned */
	slu_channel *in;  /* owned */
	slu_set *set;     /* owned; of both */
	size_t frame_capacity;
	bool out_ended; /* EOS or reset */
	char error[SLU_WAL_ERROR_MAX];
};

/* Open both channels, sending data or feedback. 0, or as slu_channel_open(). */
int wal_link_open(struct wal_link *link, slu_endpoint *endpoint,
                  const struct slu_wal_stream *stream, bool sends_data);

/* Without wal_link_eos() before it the other end sees -ECANCELED. */
void wal_link_close(struct wal_link *link);

/* Publish a message (not DATA) in a frame of its own. As slu_channel_acquire(). */
int wal_link_send(struct wal_link *link, const struct wal_message *message);

/*
 * The next message. The frame is the caller's to release. As slu_channel_recv();
 * -EPROTO, -EPROTONOSUPPORT: what came is no message; the link has been reset.
 */
int wal_link_recv(struct wal_link *link, struct slu_frame *ret_frame,
                  struct wal_message *ret_message);

/* No more from this side, in order. */
void wal_link_eos(struct wal_link *link);

/* Reset both channels with a positive errno and words; returns its negative. */
__attribute__((format(printf, 3, 4))) int wal_link_refuse(struct wal_link *link, int error,
                                                          const char *format, ...);

/* Keep why a call on one of the channels failed; returns result. */
int wal_link_failed(struct wal_link *link, slu_channel *channel, int result);

#endif
