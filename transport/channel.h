/* SPDX-License-Identifier: Apache-2.0 */
/*
 * channel.h - the two ends of a channel in an arena. Used by client processes
 * (endpoint.c) and, for channels whose other end is on another host, by the
 * agent's engine: it is the receiver of what local senders publish, and the
 * sender of what arrives.
 *
 * Threads: an end belongs to the thread of its port. Nothing here blocks.
 * Results: 0, SLU_AGAIN, SLU_STOPPED, SLU_EOS (sluice.h) or a negative errno.
 */
#ifndef TRANSPORT_CHANNEL_H
#define TRANSPORT_CHANNEL_H

#include "transport/frame_pool.h"
#include "transport/port.h"

#include <sluice/sluice.h>

/* Window of a channel nobody has measured yet, in frames: what a sender may
 * write before the receiver has come. */
#define CHAN_WINDOW_INITIAL 8u

struct chan_tx {
	struct port *port;
	struct chan_shm *shm;
	uint32_t chan_idx;
	uint32_t slot_mask;
	uint64_t pos;       /* next to publish */
	uint64_t limit_pos; /* as last read */
	bool eos_sent;
	bool waiting;   /* tx_wait is set */
	bool watching;  /* and stays set */
	bool frameless; /* the last acquire had credit and found no frame */
};

struct chan_rx {
	struct port *port;
	struct chan_shm *shm;
	uint32_t chan_idx;
	uint32_t slot_mask;
	uint32_t window; /* frames */
	uint32_t window_max;
	uint64_t stalls_seen; /* tx_stalls at the last adaptation */
	bool starved;         /* ran empty since then */
	bool dry;             /* nothing was there at the last look */
	bool stopped;
	uint64_t pos; /* next to take */
	uint64_t released_pos;
	uint64_t limit_pos; /* as last published */
	uint64_t adapt_pos; /* released_pos at which to look at the window again */
};

/* Attach to an end that the agent assigned to this port. window_max 0: the
 * ring. Continues at position 0: an end is attached once per open. */
void chan_tx_init(struct chan_tx *tx, struct port *port, uint32_t chan_idx);
void chan_rx_init(struct chan_rx *rx, struct port *port, uint32_t chan_idx, uint32_t window_max);

/* Get a frame to fill: owner HELD(port's slot). SLU_AGAIN: no credit or no
 * frame; the receiver will mark the channel ready. SLU_STOPPED, -errno (reset). */
int chan_tx_acquire(struct chan_tx *tx, uint32_t *ret_frame_idx);

/* Publish a frame HELD by the port's slot at tx->pos. The caller has filled
 * wire.size_bytes and wire.tag and has credit (chan_tx_acquire, or, for the
 * engine, pos < limit). */
void chan_tx_publish(struct chan_tx *tx, uint32_t frame_idx);

/* End: the receiver gets SLU_EOS after position tx->pos - 1. */
void chan_tx_eos(struct chan_tx *tx);

/* Ask to be marked ready whenever the receiver publishes its limit (the engine
 * follows it); false: no more. */
void chan_tx_watch(struct chan_tx *tx, bool watch);

/* Whether the channel has something for this end that acquire or next would
 * report: cheap looks for a busy wait. */
bool chan_tx_poll(const struct chan_tx *tx);
bool chan_rx_poll(const struct chan_rx *rx);

/* The next frame: owner HELD(port's slot). SLU_AGAIN, SLU_EOS, -errno. */
int chan_rx_next(struct chan_rx *rx, uint32_t *ret_frame_idx);

/* Give a frame back, in any order, and the credit with it. Credit is published
 * a quarter of the window at a time, and before the receiver runs dry. */
void chan_rx_release(struct chan_rx *rx, uint32_t frame_idx);

/* Sticky. */
void chan_rx_stop(struct chan_rx *rx);

/* 0, or the negative errno the channel was reset with. */
int chan_reset_error(const struct chan_shm *shm);
/* Text of it, "" if none. Borrowed while the channel is open. */
const char *chan_reset_text(const struct chan_shm *shm);

/* Write a reset into one of the three places of chan_shm; first one stays. */
void chan_reset_write(struct chan_reset *reset, int error, const char *text);

#endif
