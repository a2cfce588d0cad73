/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tcp.h - the driver's own types and the functions its files share: an instance
 * (an epoll set and a listening socket) and a session (one connection: a
 * decoder, a queue of messages to send, and what is still to be told about it).
 *
 * Sockets are registered once, edge-triggered, for both directions. So the
 * driver remembers by itself which sessions have something to read (`ready`)
 * and which sockets take no more (`tx_blocked`), and no system call is spent on
 * changing interest when a peer is slow.
 */
#ifndef DRIVERS_TCP_TCP_H
#define DRIVERS_TCP_TCP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "drivers/tcp/address.h"
#include "drivers/tcp/cipher.h"
#include "drivers/tcp/framing.h"
#include "transport/clock.h"
#include "transport/driver.h"

/* Connections that have not said hello; one more drops the oldest. */
#define TCP_WAITING_MAX 64u
/* How long a peer may take to say hello, and to answer ours. */
#define TCP_HELLO_TIMEOUT_NS   (5 * SLU_NS_PER_S)
#define TCP_CONNECT_TIMEOUT_NS (10 * SLU_NS_PER_S)
/* Rest after accept found no descriptor or memory: the connection stays in the
 * backlog and the listening socket readable, so trying at once would spin. */
#define TCP_ACCEPT_REST_NS (100 * SLU_NS_PER_MS)
/* How soon a session that found no rx buffer is tried again. */
#define TCP_STARVED_REST_NS SLU_NS_PER_MS
/* A session reads so many bytes per poll, then it is others' turn. */
#define TCP_READ_BYTES_PER_POLL (512u * 1024)
/* Queue slots that frames leave to small messages. */
#define TCP_SMALL_SLOTS 64u
/* Entries of one sendmsg: 32 frames with their headers. */
#define TCP_IOV_MAX 64
/* Records that are made before they are sent: two frames of 64 KiB and small
 * messages; one frame where that is more. */
#define TCP_SEALED_BYTES (160u * 1024)

enum tcp_state {
	TCP_CONNECTING, /* connect(2) is under way */
	TCP_ASKING,     /* connected; our hello waits for its answer */
	TCP_WAITING,    /* accepted; the peer has not said hello */
	TCP_OFFERED,    /* ACCEPT was told, the caller has not answered; not read */
	TCP_UP,
	TCP_DOWN, /* socket closed; DOWN was or will be told */
};

/* Which of the instance's lists a session reads from. */
enum tcp_ready {
	TCP_QUIET,   /* none: the socket had no more */
	TCP_READY,   /* something may be there */
	TCP_STARVED, /* something is there, and rx_get had no buffer */
};

/* A queued message. Slots [done, unsent) are in the kernel and their SENT is
 * still to be told, [unsent, tail) wait to be written. */
struct tcp_tx_slot {
	uint8_t wire[TCP_WIRE_SMALL_BYTES]; /* header; payload too if it is small */
	uint32_t wire_bytes;
	const void *frame; /* borrowed until SENT; NULL: a small message */
	uint32_t frame_bytes;
	uint64_t cookie;
};

/* Records that the socket is still to take: bytes[begin, end). */
struct tcp_sealed {
	uint32_t begin, end;
	uint8_t bytes[]; /* the instance's sealed_bytes_max */
};

struct tcp_tx {
	struct tcp_tx_slot *slots; /* mask + 1, owned */
	struct tcp_sealed *sealed; /* owned; NULL: no record is under way */
	uint32_t frames_max;       /* slots that frames may use; small: TCP_SMALL_SLOTS more */
	uint32_t mask;
	uint32_t done, unsent, tail;   /* free-running */
	uint32_t head_bytes;           /* of slot unsent, already written */
	bool blocked;                  /* the socket takes no more until EPOLLOUT */
	bool dirty;                    /* on the instance's dirty list */
	bool seals;                    /* what is queued from now on goes as records */
	bool wants_frame, wants_small; /* a send got SLU_AGAIN */
	int error;                     /* sending failed: not to be tried again */
};

struct slu_session {
	TAILQ_ENTRY(slu_session) all_link;
	TAILQ_ENTRY(slu_session) ready_link;  /* ready or starved, by `ready` */
	TAILQ_ENTRY(slu_session) dirty_link;  /* has messages for flush */
	TAILQ_ENTRY(slu_session) notice_link; /* has events to be told */
	TAILQ_ENTRY(slu_session) timer_link;  /* connecting or waiting */
	struct slu_driver *driver;
	void *user;
	int fd; /* -1 once down */
	enum tcp_state state;
	enum tcp_ready ready;
	bool drained; /* the last read emptied the socket */
	bool ending;  /* epoll saw its end or an error: read until that comes */
	bool noticed; /* on the notice list */
	bool timed;   /* on a timer list */
	bool tell_up, tell_down;
	int error; /* DOWN's */
	uint64_t deadline_ns;
	uint64_t poll_number; /* of the poll that last rewound rx */
	struct tcp_tx tx;
	struct tcp_cipher sealer, opener; /* not in use: the session is plain */
	char peer[TCP_ADDRESS_TEXT_BYTES];
	char text[SLU_DRIVER_ERROR_MAX + TCP_ADDRESS_TEXT_BYTES]; /* DOWN's */
	struct tcp_stream rx; /* last: it ends with the staging */
};

TAILQ_HEAD(tcp_sessions, slu_session);

struct tcp_options {
	uint64_t sndbuf_bytes, rcvbuf_bytes; /* 0: automatic */
	uint64_t queue_messages;
	uint64_t nodelay;
	uint64_t user_timeout_ms; /* 0: the kernel's */
	uint64_t busy_poll_us;
};

struct slu_driver {
	const struct slu_driver_host *host; /* borrowed until close */
	struct tcp_options options;
	int epoll_fd;
	int listen_fd; /* -1: cannot accept */
	bool listen_ready;
	uint64_t accept_rest_until_ns; /* 0: not resting */
	/* Earliest time of the next log line of its kind. */
	uint64_t accept_log_next_ns, stranger_log_next_ns;
	char address[TCP_ADDRESS_TEXT_BYTES];
	struct tcp_sessions all;
	struct tcp_sessions ready, starved;
	struct tcp_sessions dirty;
	struct tcp_sessions notices;
	struct tcp_sessions connecting, waiting; /* by deadline */
	struct tcp_sessions closed;              /* freed at the next poll: the events of the
	                                            last one may still name them */
	uint32_t waiting_count;
	struct tcp_sealed *sealed_spare; /* owned; or NULL */
	uint32_t sealed_bytes_max;
	uint64_t poll_number;
	struct slu_driver_stats stats;
};

/* The caller's array of a poll. */
struct tcp_events {
	struct slu_driver_event *events;
	int count; /* filled */
	int max;
};

/* The next event of the array; there must be room. */
static inline struct slu_driver_event *tcp_event_add(struct tcp_events *events,
                                                     struct slu_session *session,
                                                     enum slu_driver_event_type type)
{
	struct slu_driver_event *event = &events->events[events->count++];

	*event = (struct slu_driver_event){.type = type, .session = session, .user = session->user};
	return event;
}

/* listen.c */

/* Bind and listen on config's `listen`, and find the address to tell. Negative
 * errno with config->error. */
int tcp_listen_open(struct slu_driver *driver, const struct slu_driver_config *config);
/* Accept what waits; every connection becomes a session in TCP_WAITING. */
void tcp_listen_accept(struct slu_driver *driver);

/* session.c */

/* What every socket of the instance gets; negative errno. */
int tcp_session_options_set(int fd, const struct tcp_options *options);
/* A session over fd, with its address, queue and options set, in state, and
 * registered with epoll. Takes fd always. Returned owned; NULL with *ret_error. */
struct slu_session *tcp_session_create(struct slu_driver *driver, int fd, enum tcp_state state,
                                       const struct tcp_address *peer, int *ret_error);
/* Takes session: closes it now, frees it at the next poll. */
void tcp_session_destroy(struct slu_session *session);
/* Begin to connect; see driver.h. */
int tcp_session_connect(struct slu_driver *driver, const struct tcp_address *peer,
                        const void *hello, void *user, struct slu_session **ret_session);
/* connect(2) is over, well or not. */
void tcp_session_connected(struct slu_session *session);
/* See driver.h. */
int tcp_session_protect(struct slu_session *session, const struct slu_driver_keys *keys);
/* Answer the peer's hello. */
void tcp_session_accept(struct slu_session *session, void *user);
/* The end: queue DOWN with error and text, or forget a peer nobody knows.
 * reason NULL: strerror. */
void tcp_session_fail(struct slu_session *session, int error, const char *reason);
/* Fail those whose time is over. */
void tcp_session_expire(struct slu_driver *driver, uint64_t now_ns);
void tcp_session_ready(struct slu_session *session, enum tcp_ready ready);
void tcp_session_notice(struct slu_session *session);
void tcp_session_untime(struct slu_session *session);

/* tx.c */

int tcp_tx_init(struct tcp_tx *tx, uint64_t queue_messages); /* -ENOMEM */
void tcp_tx_fini(struct tcp_tx *tx);
int tcp_tx_frame(struct slu_session *session, const void *message, uint32_t size_bytes,
                 uint64_t cookie);
int tcp_tx_small(struct slu_session *session, const void *message, uint32_t size_bytes);
void tcp_tx_hello(struct slu_session *session, const void *hello);
/* The hello of this side is out and the session begins: from here on as records, if
 * the session is encrypted. */
void tcp_tx_begin(struct slu_session *session);
/* Write what is queued, as far as the socket takes it. */
void tcp_tx_write(struct slu_session *session);
/* Tell SENT and WRITABLE; false: no room in events for all. */
bool tcp_tx_tell(struct slu_session *session, struct tcp_events *events);
/* Count a message that needs no more of its slot, the one at `unsent`. */
void tcp_tx_slot_sent(struct slu_session *session);
/* After tcp_tx_slot_sent: SENT and WRITABLE are to be told. */
void tcp_tx_sent(struct slu_session *session);
/* Sending is over with a positive errno; whatever the peer sent before it went is
 * still read. */
void tcp_tx_fail(struct slu_session *session, int error);
/* The socket took count of wanted bytes, or refused with errno (count negative). */
void tcp_tx_written(struct slu_session *session, ssize_t count, size_t wanted_bytes);

/* tx_sealed.c */

/* Room for records that an instance needs. */
uint32_t tcp_sealed_bytes_max(uint32_t message_bytes_max);
/* As tcp_tx_write, when tx.seals. */
void tcp_sealed_write(struct slu_session *session);
/* Forget what was not sent. */
void tcp_sealed_drop(struct slu_session *session);

/* rx.c */

/* Read and tell what a ready session has, within its share of a poll. */
void tcp_rx_read(struct slu_session *session, struct tcp_events *events);

#endif
