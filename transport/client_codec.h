/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client_codec.h - check, send and receive the messages of client_wire.h. The
 * check is a pure function over the bytes of one packet: what it passes has a
 * known type, its whole size, terminated texts and fields within their range.
 */
#ifndef TRANSPORT_CLIENT_CODEC_H
#define TRANSPORT_CLIENT_CODEC_H

#include "transport/client_wire.h"

enum client_side { CLIENT_SIDE_PROCESS, CLIENT_SIDE_AGENT };

/*
 * Check a packet that `from` sent with fd_count descriptors, and copy it.
 * Unprintable characters of texts come out as '?', bytes after their NUL as 0.
 * On failure error (CLIENT_TEXT_BYTES) says what is wrong:
 *   -EPROTO           not a message of that side
 *   -EPROTONOSUPPORT  another version of the protocol
 */
int client_decode(const void *packet, size_t size_bytes, unsigned fd_count, enum client_side from,
                  union client_message *ret_message, char *error);

/* Fill in the header for a message of that type; the rest becomes 0. */
void client_message_init(union client_message *message, enum client_type type);

/* Send a message with descriptors, which are borrowed. Never blocks.
 * 0, -EAGAIN: the other side does not read; -EPIPE, -ECONNRESET: it is gone. */
int client_send(int socket_fd, const union client_message *message, const int *fds,
                unsigned fd_count);

/*
 * Receive and check one message; descriptors are returned owned, ret_fds has
 * room for CLIENT_FDS_MAX, and *ret_fd_count is written only on success. Never
 * blocks. 0, -EAGAIN: none there; -ENOTCONN: the other side closed; -EMFILE: no
 * room for a descriptor; else as client_decode, or the errno of recvmsg.
 */
int client_recv(int socket_fd, enum client_side from, union client_message *ret_message,
                int *ret_fds, unsigned *ret_fd_count, char *error);

#endif
