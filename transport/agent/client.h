/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client.h - one connection to the agent's Unix socket: what it is, what it says
 * and is told. Private to clients.c and client.c.
 */
#ifndef TRANSPORT_AGENT_CLIENT_H
#define TRANSPORT_AGENT_CLIENT_H

#include "transport/agent/clients.h"

/* In this order: from CLIENT_DYING on there is nobody to talk to. */
enum client_state {
	CLIENT_STRANGER, /* of a user that is not served; told so when it asks */
	CLIENT_GUEST,    /* has asked for nothing yet */
	CLIENT_OBSERVING,
	CLIENT_MEMBER,
	CLIENT_DYING, /* its socket is closed: is it dead, or does it only leave? */
	CLIENT_LEFT,  /* it has left and lives */
	CLIENT_DEAD,  /* freed at the end of the round */
};

struct client {
	struct member member;
	struct clients *clients;
	enum client_state state;
	uid_t uid;
	struct loop_source socket;
	struct loop_source process; /* pidfd; -1: the kernel does not say when it ends */
	struct deadline deadline;   /* to greet, or to die */
	uint64_t *known;            /* bit per slot: it has the doorbell */
	bool blocked;               /* it did not take a message; waits for EPOLLOUT */
	bool failing;
	char failure[CLIENT_TEXT_BYTES];
	TAILQ_ENTRY(client) entry, failed_entry;
};

#define CONTAINER_OF(pointer, type, field)                                                         \
	((type *)(void *)((char *)(pointer)-offsetof(type, field)))

/* ---- clients.c --------------------------------------------------------- */

/* Drop it at the end of the round: the caller may be amid its channels. */
void client_fail(struct client *client, const char *text);
/* Its side of the socket is closed. */
void client_hangup(struct client *client);
/* No instruction of it will touch the arena any more: take everything back. */
void client_gone(struct client *client, const char *how);
/* Before its state changes: it is one less of these. */
void client_uncount(struct client *client);
/* Its process has ended. */
void client_process_ready(struct loop_source *source, uint32_t epoll_events);

/* ---- client.c ---------------------------------------------------------- */

void client_socket_ready(struct loop_source *source, uint32_t epoll_events);

/* Take every message that it has sent. */
void client_hear_out(struct client *client);

/* The slot's process is gone: whoever meets the next one is introduced anew. Before
 * the arena says that the slot is free: who reads that lets go of the doorbell. */
void clients_forget_slot(struct clients *clients, uint32_t slot);

/* The connection is over: say why, drop. error: negative. */
void client_reject(struct client *client, int error, const char *text);

#endif
