/* SPDX-License-Identifier: Apache-2.0 */
/*
 * peerlink_tls.h - the bytes of a control connection: TLS 1.3 with certificates
 * on both sides or with a shared key, or plain where auth=none. One interface
 * for all three; nothing blocks.
 */
#ifndef TRANSPORT_AGENT_PEERLINK_TLS_H
#define TRANSPORT_AGENT_PEERLINK_TLS_H

#include "transport/agent/config.h"

#define PEER_STREAM_ERROR_MAX 256u

struct peer_tls; /* the credentials of this agent */

struct peer_stream {
	int fd;             /* -1: closed */
	struct ssl_st *ssl; /* NULL: plain */
	bool wants_write;   /* the last SLU_AGAIN waits for room to write */
	bool heard;         /* plain: a byte has come from the other side */
};

/* Reads the files that config names. *ret_tls is returned owned.
 * -EINVAL with error (CONFIG_ERROR_MAX bytes), -ENOMEM. */
int peer_tls_create(const struct config_control *config, struct peer_tls **ret_tls, char *error);
void peer_tls_destroy(struct peer_tls *tls); /* takes tls; NULL is allowed */

/* Begin on a non-blocking socket. Takes fd, also on failure. tls is borrowed
 * until close. -ENOMEM. */
int peer_stream_open(struct peer_tls *tls, int fd, bool outgoing, struct peer_stream *ret_stream);
void peer_stream_close(struct peer_stream *stream);

/*
 * 0: done; SLU_AGAIN: call again when the socket is readable (or writable, see
 * wants_write); negative: over, with words in error (PEER_STREAM_ERROR_MAX).
 * read and write move 1 to size_bytes bytes.
 */
int peer_stream_handshake(struct peer_stream *stream, char *error);
int peer_stream_read(struct peer_stream *stream, void *ret_data, size_t size_bytes,
                     size_t *ret_read_bytes, char *error);
int peer_stream_write(struct peer_stream *stream, const void *data, size_t size_bytes,
                      size_t *ret_written_bytes, char *error);

/* Whether a single byte has come from the other side. */
bool peer_stream_heard(const struct peer_stream *stream);

/* Nothing more will be written; the other side reads to the end of what was. */
void peer_stream_shutdown(struct peer_stream *stream);

/* Whether the other side proved to be that node: with certificates, that the
 * name stands in the certificate; with a key, that it has the key. */
bool peer_stream_is_node(const struct peer_stream *stream, const char *node);

#endif
