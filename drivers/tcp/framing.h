/* SPDX-License-Identifier: Apache-2.0 */
/*
 * framing.h - messages to bytes and back, without any I/O: the header encoder,
 * and the decoder of one direction of a connection. The decoder says where the
 * next bytes of the connection shall be put (so that a frame's payload is read
 * to its place), is told how many came, and gives the messages one by one.
 *
 *     tcp_stream_room()   -> read(2) there
 *     tcp_stream_filled() <- how many bytes
 *     tcp_stream_next()   -> messages, until TCP_STREAM_MORE
 *
 * With a cipher, messages are records that are opened where they lie: a frame's
 * payload is read to its frame, encrypted, and decrypted there.
 */
#ifndef DRIVERS_TCP_FRAMING_H
#define DRIVERS_TCP_FRAMING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "drivers/tcp/cipher.h"
#include "drivers/tcp/tcp_wire.h"

/* Bytes read beyond the payload under way, to see the headers and small
 * messages that follow it in the same system call. What of the next payload
 * lands there is copied: 6 % of a stream of 64 KiB frames, from the L1 cache.
 * 256 to 16384 bytes measured the same within noise (docs/decisions/0004). */
#define TCP_STAGING_BYTES 4096u

/* Write the header of a message. out: TCP_WIRE_HEADER_BYTES. kind: enum tcp_wire_kind,
 * of a record with TCP_WIRE_SEALED. */
void tcp_header_encode(uint8_t *out, unsigned kind, uint32_t size_bytes);

/* Write a whole hello message: header and struct tcp_wire_hello. kind_flag: 0 or
 * TCP_WIRE_SEALED. */
void tcp_hello_encode(uint8_t *out, unsigned kind_flag, const void *hello);

enum tcp_stream_result {
	TCP_STREAM_MORE = 1, /* nothing whole is there: read */
	TCP_STREAM_BUFFER,   /* a frame message begins: tcp_stream_give, then again */
	TCP_STREAM_HELLO,    /* data: the engine's SLU_DRIVER_HELLO_BYTES */
	TCP_STREAM_SMALL,    /* data, size_bytes */
	TCP_STREAM_FRAME,    /* data: the buffer given, the caller's again */
};

struct tcp_stream_message {
	void *data; /* HELLO, SMALL: borrowed until tcp_stream_rewind */
	uint32_t size_bytes;
};

/* The decoder. Its fields are its own, but for cipher, copied_bytes and reason. */
struct tcp_stream {
	struct tcp_cipher *cipher; /* borrowed; set: all that is not yet decoded are
	                              records. NULL: plain */
	uint32_t message_bytes_max;
	uint32_t frame_bytes;                        /* of the frame message under way; 0: none */
	uint32_t frame_got;                          /* bytes of it in frame */
	uint8_t frame_header[TCP_WIRE_HEADER_BYTES]; /* its own, as received */
	uint32_t begin, end;   /* bytes not yet decoded: staging[begin, end) */
	bool greeted;          /* the hello came */
	uint8_t *frame;        /* buffer given for the frame under way, or NULL */
	uint64_t copied_bytes; /* of frames' payloads, out of staging */
	char reason[96];       /* after -EPROTO: what is wrong */
	uint8_t staging[TCP_STAGING_BYTES];
};

void tcp_stream_init(struct tcp_stream *stream, uint32_t message_bytes_max);

/* Forget the messages given so far: their room is used for reading again. */
void tcp_stream_rewind(struct tcp_stream *stream);

/* Where the next bytes go, in this order: count of iov used, at most 2; 0:
 * nothing can be read before tcp_stream_rewind or tcp_stream_give. Call only
 * when tcp_stream_next said TCP_STREAM_MORE. */
int tcp_stream_room(struct tcp_stream *stream, struct iovec ret_iov[2]);

/* count bytes came to where tcp_stream_room said. */
void tcp_stream_filled(struct tcp_stream *stream, size_t count);

/* The next message: an enum tcp_stream_result, or -EPROTO with reason set, and
 * then again -EPROTO for ever. ret_message is written with HELLO, SMALL, FRAME. */
int tcp_stream_next(struct tcp_stream *stream, struct tcp_stream_message *ret_message);

/* After TCP_STREAM_BUFFER: takes buffer, of message_bytes_max bytes, until it
 * comes back as a FRAME or by tcp_stream_reclaim. */
void tcp_stream_give(struct tcp_stream *stream, void *buffer);

/* The buffer of a frame that will not be completed, or NULL. Returned owned. */
void *tcp_stream_reclaim(struct tcp_stream *stream);

/* The connection ended here: 0, or -EPROTO with reason inside a message. */
int tcp_stream_finish(struct tcp_stream *stream);

#endif
