/* SPDX-License-Identifier: Apache-2.0 */
/*
 * receive_budget.h - how the receive frames of one engine are promised to its
 * incoming channels. A frame promised is a frame that is there: the sum of what
 * peers may still send and of what local receivers still hold never exceeds the
 * frames there are, so that a driver always finds a buffer for what arrives.
 *
 * A channel with window w has told its peer limits up to released_pos + w, and
 * is charged max(w, told limit - released_pos) frames. A window may shrink at
 * any time; what was told is not taken back, and the charge falls as the local
 * receiver gives frames back. Growth stops while a quarter is left, for channels
 * yet to come: each is guaranteed one frame.
 *
 * Nothing but arithmetic; one thread.
 */
#ifndef TRANSPORT_ENGINE_RECEIVE_BUDGET_H
#define TRANSPORT_ENGINE_RECEIVE_BUDGET_H

#include <stdbool.h>
#include <stdint.h>

struct receive_budget {
	uint32_t frames;   /* of the engine */
	uint32_t reserved; /* of those, kept back: the driver's, and for duplicates */
	uint32_t promised; /* sum of the channels' charges */
	uint32_t channels;
};

/* One channel's part. Zeroed: none. */
struct receive_share {
	uint32_t window; /* frames */
	uint32_t charge; /* frames */
};

void receive_budget_init(struct receive_budget *budget, uint32_t frames);

/* Keep back this many frames from now on. Takes nothing from channels that are
 * there; no more is promised until there is room. */
void receive_budget_reserve(struct receive_budget *budget, uint32_t reserved);

/* Guarantee a new channel a window of at least one frame. false: none is left. */
bool receive_budget_admit(struct receive_budget *budget, struct receive_share *share,
                          uint32_t window_max);

/* The channel is gone and so is every frame of it. */
void receive_budget_leave(struct receive_budget *budget, struct receive_share *share);

/*
 * Settle a channel: its receiver has given back all frames below released_pos,
 * its peer was told limit_pos. wants_more: its peer has more than it may send.
 * Returns the limit that may be told now, not below limit_pos, and charges for
 * it. limit_cap is the limit that the local ring imposes.
 */
uint64_t receive_budget_settle(struct receive_budget *budget, struct receive_share *share,
                               uint64_t released_pos, uint64_t limit_pos, uint64_t limit_cap,
                               uint32_t window_max, bool wants_more);

#endif
