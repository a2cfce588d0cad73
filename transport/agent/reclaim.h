/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reclaim.h - what happens to the ends and frames of a process that closes a
 * channel, leaves or dies: whether a channel ended in order, what the other end
 * is told if not, and which frames go back to the pool when.
 *
 * Two steps for a process that did not say goodbye. *Left*: its socket is gone;
 * the other ends are told at once, but it may still live and write, so its slot,
 * its frames and its entries stay as they are. *Gone*: the kernel says that it is
 * dead; now everything is taken back.
 */
#ifndef TRANSPORT_AGENT_RECLAIM_H
#define TRANSPORT_AGENT_RECLAIM_H

#include "transport/agent/entries.h"

struct reclaim {
	struct entries *entries; /* borrowed */
	const char *node;        /* borrowed */
	/* An end of entry is LEFT or CLOSED: entry may be gone afterwards. */
	void (*settle)(struct entry *entry, uint64_t now_ns, void *ctx);
	void *ctx;
};

/* The end's process says that it does not touch it any more. */
void reclaim_end_close(const struct reclaim *reclaim, struct entry_end *end, uint64_t now_ns);

/* how: "died", "left without detaching", for the reason. */
void reclaim_member_left(const struct reclaim *reclaim, struct member *member, const char *how,
                         uint64_t now_ns);

/* As reclaim_member_left() for what is still open, then take back all ends and
 * frames. Returns the number of frames. The slot is free afterwards. */
uint32_t reclaim_member_gone(const struct reclaim *reclaim, struct member *member, const char *how,
                             uint64_t now_ns);

#endif
