/* SPDX-License-Identifier: Apache-2.0 */
/*
 * remote.h - the conductor's part in channels to other hosts: which peers are
 * there, which poller's engine has which channel, and the way of control
 * messages between engines, peer connections and back.
 *
 * Of the pollers of two hosts as many are used with each other as both have; a
 * channel belongs to one by its key, so that both hosts choose the same. A
 * channel to a host that has not been met since it started therefore waits here.
 *
 * Threads: the conductor's.
 */
#ifndef TRANSPORT_AGENT_REMOTE_H
#define TRANSPORT_AGENT_REMOTE_H

#include "transport/agent/doorbells.h"
#include "transport/agent/entries.h"
#include "transport/agent/loop.h"
#include "transport/agent/peerlink.h"
#include "transport/agent/poller.h"
#include "transport/client_wire.h"

struct remote_config {
	struct loop *loop; /* borrowed, as all others */
	struct entries *entries;
	struct doorbells *doorbells;
	struct arena *arena;
	const struct config *config;
	/* Make the doorbell of a slot known to a member: as clients_introduce(). */
	int (*introduce)(struct member *member, uint32_t slot, void *ctx);
	/* Answer a member whose open was SLU_AGAIN; entry NULL: it failed. */
	void (*opened)(struct member *member, uint32_t request_id, int result,
	               const struct entry *entry, const char *error, void *ctx);
	void *ctx;
};

TAILQ_HEAD(entry_queue, entry);

struct remote_peer {
	uint32_t poller_count; /* used with it; 0: not known, it has not come yet */
	uint32_t epoch;        /* counts its connections */
	bool up;
	bool encrypted;             /* while poller_count is known */
	struct entry_queue waiting; /* channels, for it to come */
};

struct remote {
	struct remote_config config;
	struct peerlink *peerlink;
	struct loop_source peerlink_source;
	struct deadline peerlink_deadline;
	struct poller *pollers[CONFIG_POLLERS_MAX];
	uint32_t poller_count;
	struct mailbox mailbox; /* of what pollers say */
	struct loop_source mailbox_source;
	struct remote_peer *peers;
	uint32_t up_count, encrypted_count; /* of peers, the latter of those up */
	uint32_t engine_entries;            /* that an engine has */
};

/* Starts the pollers and the peer connections. error: CONFIG_ERROR_MAX bytes. */
int remote_init(struct remote *remote, const struct remote_config *config, char *error);
void remote_fini(struct remote *remote);

/* End the pollers; the engines have no channel any more. */
void remote_stop_pollers(struct remote *remote);

/* A member opens an end to another host. As clients_config.open. */
int remote_open(struct remote *remote, struct member *member, const struct client_open *open,
                struct entry **ret_entry, char *error);

/* A member takes messages again: go on with those of its channels that wait. */
void remote_retry(struct remote *remote, struct member *member);

/* The local end is LEFT or CLOSED now: as agent_rendezvous_settle(). */
void remote_settle(struct remote *remote, struct entry *entry);

/* Reset it on the other host, whatever the local end has done; error: positive. */
void remote_close(struct remote *remote, struct entry *entry, int error, const char *text);

/* Before the loop sleeps: send what was given to send, know when to wake. */
void remote_before_sleep(struct remote *remote);

#endif
