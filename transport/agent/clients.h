/* SPDX-License-Identifier: Apache-2.0 */
/*
 * clients.h - the processes of this host that talk to the agent over its Unix
 * socket: who may, who is attached in which slot, and when one is gone.
 *
 * A client that sends what it must not is told why and dropped; so is one that
 * does not take its answers. Nobody else notices, but for the channels they
 * shared with it.
 *
 * Threads: the conductor's.
 */
#ifndef TRANSPORT_AGENT_CLIENTS_H
#define TRANSPORT_AGENT_CLIENTS_H

#include "transport/agent/config.h"
#include "transport/agent/doorbells.h"
#include "transport/agent/loop.h"
#include "transport/agent/reclaim.h"
#include "transport/agent/slots.h"
#include "transport/client_codec.h"

struct client;
TAILQ_HEAD(client_list, client);

struct clients_config {
	struct loop *loop; /* all borrowed */
	const struct config_agent *agent;
	struct arena *arena;
	struct doorbells *doorbells;
	struct entries *entries;
	const struct reclaim *reclaim;
	/* A member asks for a channel. 0: it has *ret_entry and is told so.
	 * SLU_AGAIN: clients_open_done follows. -errno: with words in error. */
	int (*open)(struct member *member, const struct client_open *open, struct entry **ret_entry,
	            char *error, void *ctx);
	/* A member takes messages again that it did not. */
	void (*writable)(struct member *member, void *ctx);
	void *ctx;
};

struct clients {
	struct clients_config config;
	struct slots slots;
	struct client_list all;
	struct client_list failed; /* to be dropped at the end of the round */
	struct client_list dead;   /* to be freed then */
	uint32_t stranger_count, guest_count, observer_count, member_count;
	int observer_arena_fd; /* read-only */

	char *socket_path;
	int lock_fd;
	int spare_fd; /* to accept with, and refuse, when descriptors run out */
	struct loop_source listener;
	struct deadline accept_again;
	bool accept_failed; /* for want of descriptors; and that is logged */
	bool accept_full;   /* so many have not greeted yet that more have to wait */
};

/* Takes the socket: -EADDRINUSE when another agent serves it, else the errno of
 * what failed; error (CONFIG_ERROR_MAX) has the words. */
int clients_init(struct clients *clients, const struct clients_config *config, char *error);

/* No new ones from now on; the socket's file is gone. */
void clients_stop_listening(struct clients *clients);

/* Closes every connection; the channels are the caller's. */
void clients_fini(struct clients *clients);

/* At the end of a round: drop who failed, free who is gone. */
void clients_sweep(struct clients *clients);

/* Make the doorbell of a slot known to a member, unless it is. 0, or -EAGAIN:
 * later, see writable; -ENOTCONN: the member is being dropped. */
int clients_introduce(struct clients *clients, struct member *member, uint32_t slot);

/* Answer an open that was SLU_AGAIN: result 0 with the entry, or -errno. */
void clients_open_done(struct clients *clients, struct member *member, uint32_t request_id,
                       int result, const struct entry *entry, const char *error);

#endif
