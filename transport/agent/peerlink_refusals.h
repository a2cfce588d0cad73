/* SPDX-License-Identifier: Apache-2.0 */
/*
 * peerlink_refusals.h - which refused connections get a line in the log. Whoever
 * reaches the port chooses how many there are, and an agent that is configured
 * wrongly comes again every second, for ever: the same refusal of the same host gets
 * a line when it begins, then one after a minute, after two more, four more, and so
 * on, in the end one an hour. New ones get at most a line a second. One that has
 * not been seen for a minute is new again.
 */
#ifndef TRANSPORT_AGENT_PEERLINK_REFUSALS_H
#define TRANSPORT_AGENT_PEERLINK_REFUSALS_H

#include <stdbool.h>
#include <stdint.h>

#define REFUSALS_KNOWN_MAX 32u
#define REFUSALS_NS_MIN    (60 * UINT64_C(1000000000))
#define REFUSALS_NS_MAX    (3600 * UINT64_C(1000000000))
#define REFUSALS_NEW_NS    UINT64_C(1000000000)

struct refusal {
	char text[256];    /* host and reason; "": none */
	uint64_t seen_ns;  /* last */
	uint64_t quiet_ns; /* how long from one line to the next */
	uint64_t next_ns;  /* no line before */
	uint64_t unlogged; /* since the last line */
};

struct refusals {
	struct refusal known[REFUSALS_KNOWN_MAX];
	uint64_t next_ns;  /* no line about a new one before */
	uint64_t unlogged; /* new ones since the last line about one */
};

/*
 * Whether to write a line about a connection from address ("host:port") that is
 * refused for that reason. *ret_again: how often the same was refused since its last
 * line; *ret_others: how many of others got no line since.
 */
bool refusals_line(struct refusals *refusals, const char *address, const char *reason,
                   uint64_t now_ns, uint64_t *ret_again, uint64_t *ret_others);

/* Whether there may be a line about anything new now; else it is counted. */
bool refusals_line_new(struct refusals *refusals, uint64_t now_ns);

#endif
