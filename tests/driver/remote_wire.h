/* SPDX-License-Identifier: Apache-2.0 */
/* remote_wire.h - what the near and the far process of remote.h say to each other:
 * a head, and bytes. */
#ifndef TESTS_DRIVER_REMOTE_WIRE_H
#define TESTS_DRIVER_REMOTE_WIRE_H

#include <stdbool.h>

#include "transport/driver.h"

#define REMOTE_EVENTS_MAX 32 /* of one poll */
/* Room for every text, and for every message that is not in a frame. */
#define REMOTE_TEXT_MAX 1024u
/* In place of a position: there is no buffer. */
#define REMOTE_NOWHERE UINT64_MAX

enum remote_type {
	/* Ops, from near; a REPLY follows. */
	REMOTE_OPEN = 1, /* bytes: driver, then name and value of each option, each
	                    with its NUL; position: arena_bytes; cookie:
	                    message_bytes_max */
	REMOTE_CLOSE,
	REMOTE_ADDRESS,
	REMOTE_CONNECT, /* bytes: hello, then the address with its NUL */
	REMOTE_SESSION_ACCEPT,
	REMOTE_SESSION_CLOSE,
	REMOTE_SEND, /* result: size; bytes: as much of it as a frame holds */
	REMOTE_SEND_SMALL,
	REMOTE_FLUSH,
	REMOTE_POLL, /* result: how many events at most; they come before the REPLY */
	REMOTE_ARM,
	REMOTE_DEADLINE, /* of the REPLY, result: ns from now; INT64_MAX: never */
	REMOTE_RX_POSTED,
	REMOTE_STATS,

	/* From near, without an answer. */
	REMOTE_SCRIBBLE, /* cookie: size */

	/* From far. */
	REMOTE_REPLY,
	REMOTE_EVENT,  /* result: its type; bytes: the message, or the text of a DOWN */
	REMOTE_RX_GET, /* in the course of an op; near answers RX_GOT */
	REMOTE_RX_PUT, /* likewise, without an answer */
	REMOTE_WAKE,   /* it was armed, and its descriptor has become readable */

	REMOTE_RX_GOT,
};

/* A session is the far process's pointer, a user the near one's; to the other they
 * are numbers. A position is that of a frame in the arena, which both have. */
struct remote_head {
	uint32_t type;       /* enum remote_type */
	uint32_t size_bytes; /* of what follows */
	int64_t result;
	int64_t error; /* of a DOWN */
	uint64_t session;
	uint64_t user;
	uint64_t cookie;
	uint64_t position;
};

/* false: the connection is over. */
bool remote_put(int fd, const struct remote_head *head, const void *bytes);
bool remote_get(int fd, void *bytes, size_t size_bytes);

#endif
