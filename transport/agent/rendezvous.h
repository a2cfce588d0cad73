/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rendezvous.h - how the two ends of a channel within one host find each other,
 * in either order, by key and token; and what stays behind for an end that comes
 * when the other has already been and gone: a channel with its frames and EOS,
 * or a tombstone that says "stopped" or why it was reset.
 *
 * Threads: the conductor's. Time is an argument.
 */
#ifndef TRANSPORT_AGENT_RENDEZVOUS_H
#define TRANSPORT_AGENT_RENDEZVOUS_H

#include "transport/agent/entries.h"
#include "transport/client_wire.h"

struct tombstone;
TAILQ_HEAD(tombstone_list, tombstone);

struct agent_rendezvous_config {
	struct entries *entries;     /* borrowed */
	struct deadlines *deadlines; /* borrowed */
	const char *node;            /* borrowed */
	uint64_t timeout_ns;         /* for opens that do not say */
	uint32_t tombstones_max;
	/* Make `who` known to `to`, so that `to` can ring it. 0; else `to` cannot take
	 * it now, and agent_rendezvous_retry() follows, or is being dropped. */
	int (*introduce)(struct member *to, const struct member *who, void *ctx);
	void *ctx;
};

struct rendezvous {
	struct agent_rendezvous_config config;
	struct entry *by_key;
	struct tombstone *tombstones; /* by key */
	struct tombstone_list tombstones_by_age;
	uint32_t tombstone_count;
};

void agent_rendezvous_init(struct rendezvous *rendezvous,
                           const struct agent_rendezvous_config *config);
void agent_rendezvous_fini(struct rendezvous *rendezvous);

/*
 * A member opens an end. *ret_entry is borrowed until the member's end is
 * closed. On failure error (CLIENT_TEXT_BYTES) says why; the channel of that key
 * is not disturbed.
 *   -EACCES  another token   -EEXIST  that end is open
 *   -ENOSPC  all entries are taken   -ENOMEM
 *   -EAGAIN  the member does not take what it is sent
 */
int agent_rendezvous_open(struct rendezvous *rendezvous, struct member *member,
                          const struct client_open *open, uint64_t now_ns, struct entry **ret_entry,
                          char *error);

/* member can be sent to again: join those of its channels that wait for it. */
void agent_rendezvous_retry(struct rendezvous *rendezvous, struct member *member);

/* An end of a local channel is LEFT or CLOSED now and the shared part says how:
 * decide what stays. entry may be gone afterwards. */
void agent_rendezvous_settle(struct rendezvous *rendezvous, struct entry *entry, uint64_t now_ns);

#endif
