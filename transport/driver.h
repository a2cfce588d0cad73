/* SPDX-License-Identifier: Apache-2.0 */
/*
 * driver.h - the contract between the transport and a driver: everything the
 * agent knows about a kind of network.
 *
 * A driver moves messages between agents over sessions. A session is a
 * connection between two driver instances: messages sent on it arrive whole,
 * once and in order, until it goes down; what was in flight then is lost, and
 * the engine above sends it again on another session. Nothing is promised about
 * the order of messages on different sessions.
 *
 * Two kinds of messages: a *frame message* lies in an arena frame and is sent
 * from there without copying where the network can; a *small message* (at most
 * SLU_DRIVER_SMALL_MAX bytes) is copied on send and needs no frame on receipt.
 *
 * Threads: an instance belongs to the poller that opened it; every op is called
 * on that thread, never concurrently. No op blocks.
 *
 * Results: 0, SLU_AGAIN (sluice.h), or a negative errno as each op says.
 */
#ifndef TRANSPORT_DRIVER_H
#define TRANSPORT_DRIVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define SLU_DRIVER_SMALL_MAX   64u /* bytes; fits an inline send of every NIC we know */
#define SLU_DRIVER_HELLO_BYTES 48u
#define SLU_DRIVER_ADDRESS_MAX 256u
#define SLU_DRIVER_ERROR_MAX   192u
#define SLU_DRIVER_KEY_BYTES   32u

struct slu_driver;  /* an instance; the driver's own type */
struct slu_session; /* likewise */

/* What a driver may ask of the agent. Callbacks run inside an op. */
struct slu_driver_host {
	void *ctx;
	uint8_t *arena;             /* every frame lies in [arena, arena + arena_bytes) */
	size_t arena_bytes;         /* register it once, in open */
	uint32_t message_bytes_max; /* largest frame message, and room in an rx buffer */

	/* A buffer of message_bytes_max bytes in the arena to receive a frame
	 * message in, returned owned; NULL when none is free (cannot happen while
	 * peers keep to their credit: stop reading from the session, retry at the
	 * next poll). */
	void *(*rx_get)(void *ctx);
	/* Takes back a buffer from rx_get that holds no message. */
	void (*rx_put)(void *ctx, void *buffer);
	/* CLOCK_MONOTONIC, or virtual time. */
	uint64_t (*now_ns)(void *ctx);
};

/* One setting; names without the driver's prefix ("sndbuf_bytes"). */
struct slu_driver_option {
	const char *name;
	const char *value;
};

/* Keys of one session, and of no other: by what one end sends the other receives. */
struct slu_driver_keys {
	uint8_t send[SLU_DRIVER_KEY_BYTES];
	uint8_t receive[SLU_DRIVER_KEY_BYTES];
};

struct slu_driver_config {
	const struct slu_driver_option *options; /* borrowed until open returns */
	size_t option_count;
	void *environment; /* sim, loop: the network the instance joins; else NULL */
	char *error;       /* SLU_DRIVER_ERROR_MAX bytes: why open failed, in words */
};

enum slu_driver_event_type {
	SLU_DRIVER_ACCEPT = 1, /* a peer connected: hello. Answer with session_accept
	                          or session_close; nothing follows before but DOWN. */
	SLU_DRIVER_UP,         /* connect or accept is done: the session can send */
	SLU_DRIVER_DOWN,       /* the session is over. Its unsent messages are dropped,
	                          no SENT for them follows, and the driver reads none
	                          of their frames any more. The caller still owes
	                          session_close. Nothing else follows on it. Never the
	                          first event of a session that a peer began. */
	SLU_DRIVER_RECV_FRAME, /* message: from rx_get; the caller owns it now */
	SLU_DRIVER_RECV_SMALL, /* message: borrowed until the next poll */
	SLU_DRIVER_SENT,       /* cookie: that frame message is no longer read by the
	                          driver. In order of send. Says nothing about arrival. */
	SLU_DRIVER_WRITABLE,   /* a send returned SLU_AGAIN, now there is room: try it
	                          again, it may return SLU_AGAIN again */
};

struct slu_driver_event {
	enum slu_driver_event_type type;
	struct slu_session *session;
	void *user;          /* the session's: given to connect or session_accept;
	                        NULL with ACCEPT, and with DOWN before its answer */
	const void *message; /* ACCEPT: hello, SLU_DRIVER_HELLO_BYTES, borrowed
	                        until the next poll; RECV_*: see above */
	uint32_t size_bytes; /* of message */
	int error;           /* DOWN: negative errno; 0: the peer closed it */
	uint64_t cookie;     /* SENT */
	const char *text;    /* DOWN: reason in words, borrowed until session_close */
};

struct slu_driver_stats {
	uint64_t messages_sent, messages_received;
	uint64_t bytes_sent, bytes_received; /* message bytes, without framing */
	uint64_t tx_copied_bytes;            /* payload copied by a CPU (kernel's included) */
	uint64_t rx_copied_bytes;
	uint64_t system_calls;
	uint64_t again_count;                /* sends that returned SLU_AGAIN */
	uint64_t sessions_up, sessions_down; /* totals: came up; of these, ended by
	                                        either side or a fault */
};

enum slu_driver_caps {
	SLU_DRIVER_ZERO_COPY_TX = 1u << 0,
	SLU_DRIVER_ZERO_COPY_RX = 1u << 1,
	SLU_DRIVER_LINK_INTEGRITY = 1u << 2, /* the link checks integrity end to end */
	SLU_DRIVER_VIRTUAL_TIME = 1u << 3,
	SLU_DRIVER_ENCRYPTION = 1u << 4, /* has session_protect */
};

struct slu_driver_ops {
	const char *name; /* as in the configuration */
	uint32_t caps;

	/* Open an instance: *ret_driver is returned owned. Registers the arena,
	 * binds and listens. Unknown or bad options: -EINVAL with config->error.
	 * host is borrowed until close. -EADDRINUSE, -ENODEV, -ENOMEM, ... */
	int (*open)(const struct slu_driver_config *config, const struct slu_driver_host *host,
	            struct slu_driver **ret_driver);
	/* Takes driver. All sessions end without events; frames of unsent messages
	 * are no longer read after it returns. Every session pointer is dead. */
	void (*close)(struct slu_driver *driver);

	/* Where peers connect: a text of at most SLU_DRIVER_ADDRESS_MAX bytes with
	 * its NUL, without white space. Several, separated by commas, where there
	 * are several rails, paths that do not fail together: connect takes one of
	 * them, and the caller puts sessions on different ones. -ENOTSUP: cannot
	 * accept. */
	int (*address)(struct slu_driver *driver, char *ret_address);

	/* Begin a session to a peer's address. hello (SLU_DRIVER_HELLO_BYTES) is
	 * copied. UP or DOWN follows. *ret_session is returned owned.
	 * -EINVAL: not an address; -EMFILE, -ENOMEM, -ENETUNREACH. */
	int (*connect)(struct slu_driver *driver, const char *address, const void *hello,
	               void *user, struct slu_session **ret_session);
	/* Encrypt a session, and take nothing on it that the holder of the same keys has
	 * not sent: called right after connect, or before session_accept, by both ends.
	 * Only the hello of the connecting side goes as it is, for the keys depend on
	 * it. keys are copied. What was altered, repeated, left out or put in on the
	 * way ends the session with DOWN (-EPROTO) and is not delivered. 0; -ENOTSUP
	 * without SLU_DRIVER_ENCRYPTION; -ENOMEM: the caller closes the session. */
	int (*session_protect)(struct slu_driver *driver, struct slu_session *session,
	                       const struct slu_driver_keys *keys);
	/* Take an ACCEPT; user comes back in events. UP follows, or DOWN when the
	 * peer left meanwhile. 0. */
	int (*session_accept)(struct slu_driver *driver, struct slu_session *session, void *user);
	/* Takes session. No event of it follows, also none already queued; its
	 * frames are no longer read. The peer sees DOWN with error 0 or -ECONNRESET.
	 * Events of it that the same poll returned behind the one being handled are
	 * the caller's to skip: he owns the buffer of a RECV_FRAME, and what he
	 * borrows until the next poll stays until then. */
	void (*session_close)(struct slu_driver *driver, struct slu_session *session);

	/* Send a frame message: size_bytes at message, in the arena. 0: borrowed
	 * until SENT(cookie) or DOWN. SLU_AGAIN: not taken; WRITABLE follows.
	 * -ENOTCONN: not up, or not any more and DOWN follows; -EMSGSIZE. May only
	 * queue: flush sends. size_bytes is at least 1, here and below. */
	int (*send)(struct slu_driver *driver, struct slu_session *session, const void *message,
	            uint32_t size_bytes, uint64_t cookie);
	/* Send a small message; copied. 0, SLU_AGAIN (not taken; WRITABLE follows),
	 * -ENOTCONN, -EMSGSIZE. A driver keeps some room for small messages apart
	 * from frames, so that credit moves when data does not. */
	int (*send_small)(struct slu_driver *driver, struct slu_session *session,
	                  const void *message, uint32_t size_bytes);
	/* Everything queued by sends goes out now, as far as the network takes it.
	 * The poller calls it once per round. */
	void (*flush)(struct slu_driver *driver);

	/* Up to count events, without waiting; returns how many. An instance that is
	 * polled again has the events of the poll before consumed. */
	int (*poll)(struct slu_driver *driver, struct slu_driver_event *ret_events, int count);
	/* Descriptor for sleeping, borrowed until close; -1: none, poll by deadline. */
	int (*fd)(struct slu_driver *driver);
	/* 0: the descriptor becomes readable when poll would return events.
	 * SLU_AGAIN: it would now. */
	int (*arm)(struct slu_driver *driver);
	/* When poll must be called though the descriptor is quiet, in ns of
	 * host->now_ns; UINT64_MAX: never. */
	uint64_t (*deadline)(struct slu_driver *driver);

	/* How many buffers of rx_get it keeps posted for its sessions, besides those
	 * with a message: the caller must have that many more. Changes when a session
	 * comes up or ends. */
	uint32_t (*rx_posted)(struct slu_driver *driver);

	void (*stats)(struct slu_driver *driver, struct slu_driver_stats *ret_stats);

	/* Without an instance, on any thread, may block for a moment: what of this
	 * machine there is, and what an instance with these options would use and why,
	 * as lines of text or one JSON object. 0; -ENODEV: out says why nothing can be
	 * used; -EINVAL with config->error; -ENOTSUP: needs nothing, nothing was said;
	 * -ENOMEM, -EIO. */
	int (*probe)(const struct slu_driver_config *config, bool json, FILE *out);
};

/*
 * The driver of that name, every missing op filled with one that returns
 * -ENOTSUP (0, -1, UINT64_MAX where that is the quiet answer), so callers never
 * test for NULL. "fault:NAME" is NAME behind the fault-injecting wrapper.
 * NULL: no such driver in this build. The table lives as long as the process.
 */
const struct slu_driver_ops *slu_driver_find(const char *name);

/* Names of the drivers in this build, NULL-terminated. */
const char *const *slu_driver_names(void);

/* Value of an option, or fallback when it is not given. */
const char *slu_driver_option(const struct slu_driver_config *config, const char *name,
                              const char *fallback);

/* Check that every given option is one of known (NULL-terminated); else -EINVAL
 * with config->error. */
int slu_driver_options_check(const struct slu_driver_config *config, const char *const *known);

/* A whole number in [min, max], or fallback when not given; -EINVAL with
 * config->error. */
int slu_driver_option_u64(const struct slu_driver_config *config, const char *name, uint64_t min,
                          uint64_t max, uint64_t fallback, uint64_t *ret_value);

#endif
