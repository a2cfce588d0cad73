/* SPDX-License-Identifier: Apache-2.0 */
/*
 * peerlink.h - the control connections of this agent: one to every other node of
 * the configuration, authenticated, kept alive, made again when lost. They carry
 * the engine's messages and decide which host is dead.
 *
 * Of two nodes the one whose name compares lower connects. A peer goes through
 *
 *   peer_up -> (peer_down -> peer_up(resumed))* -> peer_dead -> peer_up ...
 *
 * peer_down: the connection is lost, what was sent last may be too, the host may
 * still be there. peer_up with resumed: the same agent is back and both sides
 * still hold what they knew about each other. peer_dead comes from any state: not
 * heard from for peer_timeout, gone, restarted, or the other side gave this host
 * up; everything about the peer is to be forgotten. A peer that was up and dies
 * gets no peer_down before.
 *
 * Gone: the connection has ended, and every address that the peer has in the
 * configuration refuses connections (peerlink_gone.h): the host is there, the agent
 * is not. The side that connects learns it from its attempts to connect again. The
 * other side makes connections for it, which it ends as soon as they are taken:
 * one when the peer comes up, for an agent may listen elsewhere than is configured
 * here, or nowhere; and if that was taken, more once the connection has ended.
 * Where that tells nothing, peer_timeout decides.
 *
 * Messages on one connection arrive whole, once and in order until peer_down.
 *
 * Threads: a peerlink belongs to one thread (the conductor). Nothing blocks; time
 * comes in as an argument (CLOCK_MONOTONIC, or a test's own). Host names are
 * looked up by threads that the conductor does not wait for. Creating one makes
 * the process ignore SIGPIPE: OpenSSL writes to sockets with write(2).
 */
#ifndef TRANSPORT_AGENT_PEERLINK_H
#define TRANSPORT_AGENT_PEERLINK_H

#include "transport/agent/config.h"
#include "transport/agent/peer_codec.h"

#define PEERLINK_HALF_OPEN_MAX     32u /* connections without HELLO, accepted at once */
#define PEERLINK_HANDSHAKE_NS      (5 * UINT64_C(1000000000))
#define PEERLINK_BACKOFF_NS_MIN    (50 * UINT64_C(1000000))
#define PEERLINK_BACKOFF_NS_MAX    (1000 * UINT64_C(1000000))
#define PEERLINK_MESSAGE_BYTES_MAX PEER_PAYLOAD_MAX

struct peerlink;

struct peerlink_options {
	const struct config *config;   /* borrowed until destroy; checked by config_check */
	uint64_t generation;           /* random, not 0: this start of the agent */
	const struct peer_rail *rails; /* where drivers of this agent listen; copied */
	uint32_t rail_count;           /* at most PEER_RAILS_MAX */
};

/* Called from peerlink_process() alone. They may send and drop, not destroy.
 * peer is an index into config->peers. */
struct peerlink_callbacks {
	/* hello is borrowed until return. resumed: see above; otherwise the peer is
	 * new to this side, or peer_dead was called for what it was before. */
	void (*peer_up)(uint32_t peer, const struct peer_hello *hello, bool resumed, void *ctx);
	void (*peer_down)(uint32_t peer, const char *reason, void *ctx);
	/* reason names the host. */
	void (*peer_dead)(uint32_t peer, const char *reason, void *ctx);
	/* data is borrowed until return. */
	void (*message)(uint32_t peer, const void *data, size_t size_bytes, void *ctx);
	void *ctx;
};

/*
 * Listen, and begin to connect. *ret_peerlink is returned owned. Looks up the
 * name in [control] listen, if it is one, and so may block: call it at start.
 * error: CONFIG_ERROR_MAX bytes. -EINVAL (credentials, address), -EADDRINUSE,
 * -EACCES, -ENOMEM, -EMFILE ...
 */
int peerlink_create(const struct peerlink_options *options,
                    const struct peerlink_callbacks *callbacks, uint64_t now_ns,
                    struct peerlink **ret_peerlink, char *error);

/* Takes peerlink; NULL is allowed. Connections end without callbacks. */
void peerlink_destroy(struct peerlink *peerlink);

/* An epoll descriptor, readable when peerlink_process() has something to do.
 * Borrowed until destroy. */
int peerlink_fd(const struct peerlink *peerlink);

/* One round: what arrived, timers, and writing what was sent. */
void peerlink_process(struct peerlink *peerlink, uint64_t now_ns);

/* When peerlink_process() must be called though the descriptor is quiet; 0: at
 * once (something was sent); UINT64_MAX: never. */
uint64_t peerlink_deadline(const struct peerlink *peerlink);

/*
 * Send 1 to PEERLINK_MESSAGE_BYTES_MAX bytes to a peer; copied, and written by the
 * next peerlink_process().
 *   -ENOTCONN  the peer is not up
 *   -ENOBUFS   4 MiB wait for the peer already, or no memory: the connection is
 *              given up and peer_down follows
 *   -EINVAL    size
 */
int peerlink_send(struct peerlink *peerlink, uint32_t peer, const void *data, size_t size_bytes);

/* Refuse a peer's connection because the engine cannot follow its messages; text
 * goes to the peer and into the log. peer_down follows at the next process, also
 * when called from a callback. No effect while it is down. */
void peerlink_drop(struct peerlink *peerlink, uint32_t peer, const char *text);

/* Index of a configured node (names differ by more than case), or -ENOENT. */
int peerlink_peer_find(const struct peerlink *peerlink, const char *name);

/* Whether this side connects to that peer, also for the driver's sessions. */
bool peerlink_connects(const struct peerlink *peerlink, uint32_t peer);

/* Where it listens, "host:port" with the real port; "" if it does not. */
const char *peerlink_address(const struct peerlink *peerlink);

struct peerlink_peer {
	bool up;
	bool known;          /* up, or down and not yet dead */
	bool encrypted;      /* while known: either side wants what drivers move encrypted,
	                        and both have proved who they are */
	uint64_t generation; /* while known */
	uint64_t heard_ns;   /* when it was last heard from, while known */
	uint64_t rtt_ns;     /* of the last PING; 0: none yet */
	size_t queued_bytes; /* not yet written */
	const char *reason;  /* why it is not up, as far as this side knows; else "".
	                        Borrowed until the next peerlink_process() */
};
void peerlink_peer_get(const struct peerlink *peerlink, uint32_t peer,
                       struct peerlink_peer *ret_peer);

struct peerlink_stats {
	uint64_t accepted; /* totals */
	uint64_t refused;  /* connections that ended before HELLO was agreed, but for
	                      those that closed without a word */
	uint64_t ups, downs, deaths;
	uint32_t half_open; /* now */
};
void peerlink_stats(const struct peerlink *peerlink, struct peerlink_stats *ret_stats);

#endif
