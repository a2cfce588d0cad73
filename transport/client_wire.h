/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client_wire.h - what a process and the agent of its host say to each other
 * over the agent's Unix socket (SOCK_SEQPACKET: one message is one packet).
 * Both ends are on one machine, so the structs go as they lie in memory.
 *
 *   process                                  agent
 *   ATTACH            ->
 *                     <-  ATTACHED + arena fd + own doorbell fd
 *   OPEN              ->
 *                     <-  OPENED, or ERROR with the same request_id
 *                     <-  NEIGHBOUR + doorbell fd of another slot
 *   CLOSE             ->                     (never answered)
 *   DETACH            ->                     then the process closes the socket
 *
 *   OBSERVE           ->                     in place of ATTACH
 *                     <-  ATTACHED + arena fd, read-only; slot SLOT_NONE
 *
 * An agent that got something it cannot accept answers ERROR with request_id 0
 * and closes the socket. What happens on a channel is said in the arena, not
 * here: a process looks at this socket when it waits for an answer, when it
 * meets a slot whose doorbell it does not know, and to see that the agent lives.
 */
#ifndef TRANSPORT_CLIENT_WIRE_H
#define TRANSPORT_CLIENT_WIRE_H

#include "transport/arena_shm.h"

#include <sluice/sluice.h>

#define CLIENT_MAGIC            UINT64_C(0x746e65696c637573) /* "suclient" */
#define CLIENT_PROTOCOL_VERSION 1u
#define CLIENT_TEXT_BYTES       192u
#define CLIENT_FDS_MAX          2u /* in one message */

enum client_type {
	/* process -> agent */
	CLIENT_ATTACH = 1,
	CLIENT_OBSERVE,
	CLIENT_OPEN,
	CLIENT_CLOSE,
	CLIENT_DETACH,
	/* agent -> process */
	CLIENT_ATTACHED = 65,
	CLIENT_OPENED,
	CLIENT_ERROR,
	CLIENT_NEIGHBOUR,
};

/* First in every message. Its layout, and that of CLIENT_ERROR, is the same in
 * every version of the protocol, so that a refusal is understood. */
struct client_header {
	uint16_t type;
	uint16_t version;    /* CLIENT_PROTOCOL_VERSION */
	uint32_t size_bytes; /* of the whole message */
};
static_assert(sizeof(struct client_header) == 8, "client protocol");

struct client_attach { /* ATTACH, OBSERVE */
	struct client_header header;
	uint64_t magic;
	uint64_t cluster;           /* OBSERVE: 0 is any */
	uint32_t layout_version;    /* ARENA_LAYOUT_VERSION the process was built with */
	uint32_t reserved;          /* 0 */
	char name[PROC_NAME_BYTES]; /* with its NUL; "" is "pid N" */
};
static_assert(sizeof(struct client_attach) == 80, "client protocol");

enum client_open_flags {
	CLIENT_OPEN_URGENT = 1,
	CLIENT_OPEN_ENCRYPTED = 2, /* over no link that is not */
	CLIENT_OPEN_FLAGS = 3,     /* all of them */
};

struct client_open {
	struct client_header header;
	uint32_t request_id; /* the process's; not 0 */
	uint32_t direction;  /* enum slu_direction */
	struct slu_key key;
	struct slu_token token;
	uint64_t rendezvous_timeout_ns; /* 0: the agent's setting */
	uint32_t window_max;            /* frames; 0: the agent's setting. The agent rounds it
	                                   to what chan_shm.window_max then says. */
	uint32_t flags;                 /* enum client_open_flags */
	char peer[ARENA_NODE_BYTES];    /* with its NUL; "" is this node */
};
static_assert(sizeof(struct client_open) == 144, "client protocol");

/* The process does not touch this end any more: it has given back every frame
 * it held of it. Whether that is an end in order is in the channel: eos_pos or
 * tx_reset of a sender, stop or rx_reset of a receiver. */
struct client_close {
	struct client_header header;
	uint32_t chan_idx;
	uint32_t open_count; /* as OPENED said */
	uint32_t direction;  /* of the end, enum slu_direction */
	uint32_t flags;      /* 0 */
};
static_assert(sizeof(struct client_close) == 24, "client protocol");

/* The process does not touch the arena any more; ends still open count as
 * closed. It may be followed by nothing but the end of the connection. */
struct client_detach {
	struct client_header header;
};

struct client_attached {
	struct client_header header;
	uint32_t slot; /* SLOT_NONE: an observer */
	uint32_t pollers;
	uint64_t generation;
	uint64_t cluster;
	char node[ARENA_NODE_BYTES];
};
static_assert(sizeof(struct client_attached) == 96, "client protocol");

struct client_opened {
	struct client_header header;
	uint32_t request_id;
	uint32_t chan_idx;
	uint32_t open_count;
	uint32_t reserved;
};
static_assert(sizeof(struct client_opened) == 24, "client protocol");

struct client_error {
	struct client_header header;
	uint32_t request_id; /* 0: of the connection, which is closed next */
	uint32_t error;      /* positive errno */
	char text[CLIENT_TEXT_BYTES];
};
static_assert(sizeof(struct client_error) == 208, "client protocol");

/* NEIGHBOUR: the doorbell of `slot`, sent once for each process in it, before any
 * channel of the receiver of this message names the slot for that process. It stays
 * right whoever is in the slot; when the arena says that nobody is, it may be closed. */
struct client_slot {
	struct client_header header;
	uint32_t slot;
	uint32_t reserved;
};
static_assert(sizeof(struct client_slot) == 16, "client protocol");

union client_message {
	struct client_header header;
	struct client_attach attach; /* and OBSERVE */
	struct client_open open;
	struct client_close close;
	struct client_detach detach;
	struct client_attached attached;
	struct client_opened opened;
	struct client_error error;
	struct client_slot slot; /* NEIGHBOUR */
};

#endif
