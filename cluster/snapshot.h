/* SPDX-License-Identifier: Apache-2.0 */
/*
 * snapshot.h - what an arena says of itself at one moment: counters, processes,
 * open channels. Nothing stands still for it, so numbers of one snapshot may be
 * a little apart; and nothing read from shared memory is trusted as an index.
 */
#ifndef CLUSTER_SNAPSHOT_H
#define CLUSTER_SNAPSHOT_H

#include "transport/frame_pool.h"

struct snapshot_process {
	uint32_t slot, pid, uid;
	char name[PROC_NAME_BYTES];
	bool poller;
	bool sleeping;
	uint64_t spins, sleeps, wakeups_sent;
	uint32_t senders, receivers; /* ends it has */
};

struct snapshot_channel {
	uint32_t chan_idx, open_count;
	uint64_t query;
	uint32_t motion, source, destination;
	uint32_t tx_slot, rx_slot;
	bool remote, eos, stopped;
	int reset_error; /* positive errno; 0: none */
	char reset_text[CHAN_REASON_BYTES];
	uint64_t frames, bytes; /* published */
	uint64_t in_flight;     /* published and not released, frames */
	uint32_t window;
	uint64_t tx_stalls, rx_stalls, tx_blocked_ns, rx_blocked_ns;
};

struct snapshot {
	uint64_t time_ns; /* CLOCK_MONOTONIC */
	char node[ARENA_NODE_BYTES];
	uint64_t cluster, generation, size_bytes;
	uint32_t frame_bytes, frame_count, max_channels, max_processes;
	uint32_t agent_pid;
	bool agent_stopped;
	struct frame_pool_counts frames;
	uint64_t counters[ARENA_COUNTERS];
	struct snapshot_process *processes; /* owned, by slot */
	size_t process_count;
	struct snapshot_channel *channels; /* owned, by chan_idx */
	size_t channel_count;
};

/* *ret_snapshot is returned owned; end it with snapshot_free. -ENOMEM. */
int snapshot_take(const struct arena *arena, uint64_t now_ns, struct snapshot **ret_snapshot);
void snapshot_free(struct snapshot *snapshot); /* NULL is allowed */

/* The same opening of the same channel in an earlier snapshot, or NULL. */
const struct snapshot_channel *snapshot_channel_before(const struct snapshot *before,
                                                       const struct snapshot_channel *channel);

#endif
