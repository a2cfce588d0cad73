/* SPDX-License-Identifier: Apache-2.0 */
/*
 * peerlink_gone.h - the rule by which an agent is known to be gone long before
 * peer_timeout: its host's kernel says that nobody listens where it did.
 *
 * Once the control connection has ended, the addresses of the peer are tried in
 * rounds. The agent is gone when GONE_ROUNDS_MIN rounds, the last of them at least
 * GONE_NS_MIN after the first, met nothing but ECONNREFUSED from every address. Any
 * other outcome - a connection that is taken, a timeout, no route, a name that is
 * not found - says nothing, and counting starts anew. The time is there for an
 * agent that is restarted at once: its successor is recognized by its generation.
 */
#ifndef TRANSPORT_AGENT_PEERLINK_GONE_H
#define TRANSPORT_AGENT_PEERLINK_GONE_H

#include <stdbool.h>
#include <stdint.h>

#define GONE_ROUNDS_MIN 3u
#define GONE_NS_MIN     (500 * UINT64_C(1000000))

struct gone {
	uint32_t rounds;   /* refused by all addresses, one after the other */
	uint64_t since_ns; /* end of the first of them */
	bool other;        /* this round met something else already */
};

/* Forget what was counted; the next attempt is at the first address. */
static inline void gone_begin(struct gone *gone)
{
	*gone = (struct gone){0};
}

/* An attempt at one address ended, last: at the last one of the round. True: the
 * agent is gone. */
static inline bool gone_attempt(struct gone *gone, bool refused, bool last, uint64_t now_ns)
{
	gone->other |= !refused;
	if (!last)
		return false;
	if (gone->other) {
		gone_begin(gone);
		return false;
	}
	if (gone->rounds++ == 0)
		gone->since_ns = now_ns;
	return gone->rounds >= GONE_ROUNDS_MIN && now_ns - gone->since_ns >= GONE_NS_MIN;
}

#endif
