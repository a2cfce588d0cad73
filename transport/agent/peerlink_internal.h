/* SPDX-License-Identifier: Apache-2.0 */
/*
 * peerlink_internal.h - the state behind peerlink.h, shared by its files:
 *   peerlink.c         events, timers, the public calls
 *   peerlink_peer.c    what becomes of a peer: up, down, dead, dialled again
 *   peerlink_message.c what a message means in each state of a connection
 *   peerlink_listen.c  the listening socket
 */
#ifndef TRANSPORT_AGENT_PEERLINK_INTERNAL_H
#define TRANSPORT_AGENT_PEERLINK_INTERNAL_H

#include "transport/agent/peerlink.h"
#include "transport/agent/peerlink_conn.h"
#include "transport/agent/peerlink_gone.h"
#include "transport/agent/peerlink_refusals.h"
#include "transport/agent/peerlink_resolve.h"

/* How long a side that said REFUSE waits for the other to read it. */
#define PEERLINK_LINGER_NS (1000 * UINT64_C(1000000))

/* Names looked up at the same time, each by a thread. */
#define PEERLINK_RESOLVES_MAX 8u

struct peer {
	struct source source; /* of the lookup in progress */
	const struct config_peer *config;
	bool connects;              /* this side does */
	struct conn *up;            /* its connection */
	struct conn *dial;          /* our attempt to make one; if !connects, to learn
	                               whether somebody listens */
	struct resolve *resolve;    /* a lookup in progress */
	struct addrinfo *addresses; /* where to try; owned */
	struct addrinfo *address_next;
	uint64_t redial_ns; /* UINT64_MAX: not before something else happens */
	uint64_t backoff_ns;
	struct gone gone;
	bool answered;  /* it took a connection of ours since it is known */
	bool known;     /* state is held: up, or down and not yet dead */
	bool encrypted; /* while known: what the driver moves is to be */
	uint64_t generation;
	uint64_t heard_ns;
	uint64_t ping_ns; /* stamp of the last PING */
	uint64_t rtt_ns;
	char reason[PEER_STREAM_ERROR_MAX]; /* why it went down, or an attempt failed */
	char logged[PEER_STREAM_ERROR_MAX]; /* the last one that got a line: it gets one once */
	uint32_t line_count;                /* about failed attempts */
	uint64_t line_reset_ns;             /* when to count anew */
};

struct listener {
	struct source source;
	int fd; /* -1: none */
	bool armed;
	uint64_t retry_ns; /* UINT64_MAX, or when to try again after EMFILE */
	char address[300];
};

struct peerlink {
	const struct config *config;
	struct peerlink_callbacks callbacks;
	struct peer_tls *tls;
	struct peer_hello hello; /* ours; known_generation differs per peer */
	int epoll_fd;
	struct listener listener;
	struct peer *peers;
	uint32_t resolve_count;
	struct conn_list conns;  /* all but the closed ones */
	struct conn_list closed; /* events of this round may still point to them */
	struct conn_list ready;  /* to be served without an event (by ready_link) */
	uint64_t ping_ns;        /* next keepalive of all peers */
	uint64_t timer_ns;       /* no timer is due before */
	struct refusals refusals;
	struct peerlink_stats stats;
};

static inline void peerlink_timer(struct peerlink *pl, uint64_t at_ns)
{
	if (at_ns < pl->timer_ns)
		pl->timer_ns = at_ns;
}

/* peerlink.c */
void peerlink_conn_ready(struct peerlink *pl, struct conn *conn);
/* Registers with epoll. Takes fd. NULL: no memory. Returned to the list. */
struct conn *peerlink_conn_add(struct peerlink *pl, int fd, bool outgoing, enum conn_state state,
                               const char *address, uint64_t now_ns);
/* The connection is over for a reason found here or there; its peer is told. */
void peerlink_conn_end(struct peerlink *pl, struct conn *conn, const char *reason, uint64_t now_ns);
/* As peerlink_conn_end, but tell the other side why, and wait until it has read it. */
void peerlink_conn_refuse(struct peerlink *pl, struct conn *conn, uint16_t code, const char *text,
                          uint64_t now_ns);
/* Close without telling anyone. */
void peerlink_conn_close(struct peerlink *pl, struct conn *conn);

/* peerlink_message.c: read and act until nothing is left or the connection ended. */
void peerlink_conn_receive(struct peerlink *pl, struct conn *conn, uint64_t now_ns);
int peerlink_hello_send(struct peerlink *pl, struct conn *conn, uint32_t peer_idx);

/* peerlink_peer.c */
void peerlink_peer_came_up(struct peerlink *pl, struct conn *conn, uint32_t peer_idx,
                           const struct peer_hello *hello, uint64_t now_ns);
void peerlink_peer_went_down(struct peerlink *pl, uint32_t peer_idx, const char *reason,
                             uint64_t now_ns);
void peerlink_peer_died(struct peerlink *pl, uint32_t peer_idx, const char *reason,
                        uint64_t now_ns);
/* error: the errno of connect(); 0: it failed otherwise. */
void peerlink_peer_dial_failed(struct peerlink *pl, uint32_t peer_idx, int error,
                               const char *reason, uint64_t now_ns);
/* A connection was taken that was made to learn just that; it is closed. */
void peerlink_peer_answered(struct peerlink *pl, uint32_t peer_idx, uint64_t now_ns);
void peerlink_peer_resolved(struct peerlink *pl, struct peer *peer, uint64_t now_ns);
/* Whatever is due: death, the next attempt to connect. Lowers pl->timer_ns to the
 * next of its times. */
void peerlink_peer_timers(struct peerlink *pl, uint32_t peer_idx, uint64_t now_ns);
void peerlink_peer_ping(struct peerlink *pl, struct peer *peer, uint64_t now_ns);
void peerlink_peer_release(struct peerlink *pl, struct peer *peer);

/* peerlink_listen.c */
int peerlink_listen_open(struct peerlink *pl, char *error);
void peerlink_listen_close(struct peerlink *pl);
void peerlink_listen_accept(struct peerlink *pl, uint64_t now_ns);
/* Accept again if there is room for another connection and time has come. */
void peerlink_listen_arm(struct peerlink *pl, uint64_t now_ns);
void peerlink_address_text(const struct sockaddr *address, socklen_t size, char *ret_text,
                           size_t text_size);

#endif
