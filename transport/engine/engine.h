/* SPDX-License-Identifier: Apache-2.0 */
/*
 * engine.h - channels between hosts: everything a poller knows that a driver
 * does not. The engine is the receiver of what local senders publish for other
 * hosts and the local sender of what arrives from there. It keeps each frame
 * until the other engine has it, sends it again on another session when one is
 * lost, and hands rows on exactly once and in order, or resets the channel on
 * both sides.
 *
 * Two paths lead to a peer: control messages (the conductor's authenticated
 * connection; ordered, reliable until it is reported down) and sessions of the
 * driver. Positions on both are absolute, so after any loss both sides say
 * again where they are and go on.
 *
 * Threads: one engine belongs to one thread (a poller, or a simulation), and
 * takes time as an argument. Nothing blocks.
 */
#ifndef TRANSPORT_ENGINE_H
#define TRANSPORT_ENGINE_H

#include "transport/driver.h"
#include "transport/port.h"

#include <sluice/sluice.h>

struct engine;

#define ENGINE_PEER_MAX 4095u /* largest number of a peer */

struct engine_config {
	struct port *port; /* borrowed; the poller's own */
	const struct slu_driver_ops *ops;
	const struct slu_driver_config *driver; /* options; borrowed until create returns */
	const char *node;                       /* this host's name */
	uint32_t bulk_sessions;    /* per peer, at least 1; one more for urgent channels */
	bool crc32c;               /* check every frame; implied where the driver asks */
	uint64_t session_retry_ns; /* between attempts to connect; e.g. 50 ms */
	/* No session for that long: RESET (peer's channels). A channel that asked and heard
	 * nothing for that long: its peer's sessions that show no life are replaced. */
	uint64_t peer_timeout_ns;
	uint64_t advertise_ns; /* say credit again while something is open; e.g. 200 ms */
	uint64_t seed;         /* for session secrets in simulation; 0: getrandom */
};

struct engine_callbacks {
	/* Send a control message to a peer: 0 (copied), or -ENOTCONN, -ENOBUFS: dropped,
	 * and the peer will be reported down. */
	int (*control_send)(uint32_t peer, const void *message, size_t size_bytes, void *ctx);
	/* The engine is done with a channel whose local end was closed or reset: no
	 * frame of it is in use by driver or engine; the entry may be used again. */
	void (*channel_done)(uint32_t chan_idx, void *ctx);
	void *ctx;
};

/* Opens the driver. *ret_engine is returned owned. error: ARENA_ERROR_BYTES. */
int engine_create(const struct engine_config *config, const struct engine_callbacks *callbacks,
                  uint64_t now_ns, char *error, struct engine **ret_engine);
void engine_destroy(struct engine *engine); /* takes engine */

/* Address for peers' drivers, borrowed until destroy. */
const char *engine_address(const struct engine *engine);

/* ---- what the conductor tells ------------------------------------------ */

/* A peer's control connection is up. The same generation as before: go on where
 * it was; else the conductor has called engine_peer_dead first. address is that
 * of the peer's driver. name is copied. connects: this side opens the sessions
 * (exactly one side of a pair does). encrypted: sessions are, which both sides must
 * have agreed on; control messages carry what gives the keys. */
void engine_peer_up(struct engine *engine, uint32_t peer, const char *name, const char *address,
                    bool connects, bool encrypted, uint64_t now_ns);
/* How to call a peer in reasons while it has not been up; optional. */
void engine_peer_name(struct engine *engine, uint32_t peer, const char *name);
/* Its control connection is lost; it may come back. */
void engine_peer_down(struct engine *engine, uint32_t peer, uint64_t now_ns);
/* It is dead or restarted: every channel to it is reset with reason. */
void engine_peer_dead(struct engine *engine, uint32_t peer, int error, const char *reason,
                      uint64_t now_ns);
/* A control message from a peer. Malformed or out of state: -EPROTO with words
 * in error; the conductor then drops that peer's connection. */
int engine_control_message(struct engine *engine, uint32_t peer, const void *message,
                           size_t size_bytes, uint64_t now_ns, char *error);

struct engine_open {
	uint32_t chan_idx; /* entry in the arena; the engine's end is assigned to its port */
	uint32_t peer;
	enum slu_direction direction; /* of the local process: SLU_SEND: frames leave this host */
	struct slu_key key;
	struct slu_token token;
	bool urgent;
	uint64_t rendezvous_deadline_ns; /* RESET when the other host's end has not come by then */
};
/* A local process opened its end. -EEXIST: same key and direction open already;
 * -ENOSPC: no receive frame left to guarantee; -ENOMEM; -EINVAL. A wrong token
 * shows when the ends meet: the later of the two is reset with -EACCES. */
int engine_channel_open(struct engine *engine, const struct engine_open *open, uint64_t now_ns);

/* The local process closed its end in order (EOS or STOP are in the channel), or
 * died: error and reason then say so (0: in order; reason names host, process and
 * channel). channel_done follows, for a sender after the peer has everything; it
 * may come before this returns, or from any other call into the engine. */
void engine_channel_close(struct engine *engine, uint32_t chan_idx, int error, const char *reason,
                          uint64_t now_ns);

/* ---- the loop ---------------------------------------------------------- */

/* One round: driver events, ready channels, timers. Returns how much was done;
 * 0: nothing, the poller may think of sleeping. */
uint32_t engine_poll(struct engine *engine, uint64_t now_ns);
/* When engine_poll must be called though nothing happened; UINT64_MAX: never. */
uint64_t engine_deadline(const struct engine *engine);
/* The driver's descriptor (-1: none) and SLU_AGAIN if sleeping is not safe. */
int engine_fd(const struct engine *engine);
int engine_arm(struct engine *engine);

/* ---- what it counts (also in the arena's counters) ---------------------- */
struct engine_stats {
	uint64_t tx_frames, tx_bytes, rx_frames, rx_bytes;
	uint64_t resent_frames, duplicate_frames, crc_errors;
	uint64_t sessions_lost, credits_sent, channels_reset;
	uint64_t protocol_errors; /* a peer said what it must not, on a session or not */
	uint32_t channels, receive_frames_promised;
	uint32_t ends_waiting; /* at peers, for their other end here, or remembered */
};
void engine_stats(const struct engine *engine, struct engine_stats *ret_stats);

#endif
