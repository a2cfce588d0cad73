/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verbs.h - types shared by the files of the verbs driver: an instance is one
 * RDMA device port, with one protection domain, one registration of the arena,
 * one completion queue and one shared receive queue; a session is one reliable
 * connected queue pair.
 */
#ifndef DRIVERS_VERBS_VERBS_H
#define DRIVERS_VERBS_VERBS_H

#include <infiniband/verbs.h>
#include <rdma/rdma_cma.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <uthash.h>

#include "drivers/verbs/verbs_wire.h"
#include "transport/driver.h"

/* Credits of a window that frames leave to small messages. */
#define VERBS_SMALL_CREDITS 8u
/* Receives posted beyond a session's window: for words of credit, of which a
 * peer sends one per half window, and at most three that are not received. */
#define VERBS_CREDIT_SLOTS 4u
/* Every so many sends ask for a completion, and the last of each flush. */
#define VERBS_SIGNAL_EVERY 8u

/* The CM repeats a lost request only after 4 s; a new attempt is sooner there,
 * and within the time that the engine waits for a peer. */
#define VERBS_CONNECT_TIMEOUT_NS (UINT64_C(2) * 1000 * 1000 * 1000)
/* Sessions without a receive buffer are looked at again after this. */
#define VERBS_STARVED_REST_NS (UINT64_C(1) * 1000 * 1000)

#define VERBS_PEER_BYTES 64u

/* A receive buffer from the host. On one list, or posted, or none (with the
 * caller, its slot free). */
struct verbs_slot {
	STAILQ_ENTRY(verbs_slot) link;
	struct slu_session *session; /* received for; NULL: ended meanwhile */
	void *buffer;
	uint32_t size_bytes;
	enum verbs_wire_kind kind;
};
STAILQ_HEAD(verbs_slots, verbs_slot);

/* One send, from the call until its completion. */
struct verbs_tx_slot {
	const void *message; /* frame: in the arena; small: NULL, see bytes */
	uint64_t cookie;
	uint32_t size_bytes;
	enum verbs_wire_kind kind;
	bool signalled;
	uint8_t bytes[SLU_DRIVER_SMALL_MAX];
};

/*
 * Positions in a ring, each wrapping freely:
 * told <= done <= posted <= tail, tail - told <= mask + 1.
 */
struct verbs_tx {
	struct verbs_tx_slot *slots;
	uint32_t mask;
	uint32_t tail;   /* the next send goes here */
	uint32_t posted; /* below: in the send queue */
	uint32_t done;   /* below: completed */
	uint32_t told;   /* below: SENT was told */

	uint32_t sent_count;           /* messages that took a credit */
	uint32_t limit_count;          /* of them the peer can take */
	uint32_t window;               /* the peer's */
	uint32_t unsignalled;          /* sends since the last that asks for a completion */
	struct ibv_mr *small_mr;       /* of slots, where the device sends nothing inline */
	bool wants_frame, wants_small; /* a send returned SLU_AGAIN */
	bool dirty;                    /* on the list for flush */
};

enum verbs_state {
	VERBS_RESOLVING, /* connect: address, then route */
	VERBS_ASKING,    /* request sent */
	VERBS_OFFERED,   /* request received, unanswered */
	VERBS_ANSWERED,  /* accepted; the peer's last word is to come */
	VERBS_UP,
	VERBS_DOWN,
};

struct slu_session {
	TAILQ_ENTRY(slu_session) all_link;
	TAILQ_ENTRY(slu_session) ready_link;
	TAILQ_ENTRY(slu_session) dirty_link;
	TAILQ_ENTRY(slu_session) timer_link;
	TAILQ_ENTRY(slu_session) failed_link;
	UT_hash_handle hh; /* by qp_num */

	struct slu_driver *driver;
	struct rdma_cm_id *id; /* NULL: over */
	struct ibv_qp *qp;     /* NULL: none yet, or over */
	uint32_t qp_num;
	enum verbs_state state;
	void *user;
	uint64_t deadline_ns;      /* while timed */
	bool timed, ready, failed; /* on these lists */
	bool offered;              /* the peer waits for an answer */
	bool was_up, disconnected, closed;

	struct verbs_tx tx;
	struct verbs_slots rx;     /* received, untold */
	uint32_t returned_count;   /* receives posted again for its messages */
	uint32_t advertised_count; /* of them the peer was told */
	bool starved;              /* a frame waits for a receive buffer */

	bool tell_accept, tell_up, tell_down;
	int error;
	uint8_t hello[SLU_DRIVER_HELLO_BYTES];
	char peer[VERBS_PEER_BYTES];
	char text[SLU_DRIVER_ERROR_MAX];
};
TAILQ_HEAD(verbs_sessions, slu_session);

struct slu_driver {
	const struct slu_driver_host *host;
	struct slu_driver_stats stats;

	struct rdma_event_channel *channel;
	struct rdma_cm_id *listener;
	struct ibv_context *watch; /* our own, for the device's asynchronous events */
	struct ibv_pd *pd;
	struct ibv_mr *arena_mr;
	struct ibv_comp_channel *comp_channel;
	struct ibv_cq *cq;
	struct ibv_srq *srq;
	int epoll_fd;
	bool armed;
	bool gone; /* the device was removed */
	uint32_t poll_number;
	uint32_t port;
	const char *device; /* its name, lives with pd's context */
	bool inline_small;

	uint32_t window;
	uint32_t session_count, sessions_max;

	struct verbs_slot *slots; /* as many as the SRQ takes, and no more */
	uint32_t slot_count;
	uint32_t slots_held; /* of them hold a buffer */
	struct verbs_slots slots_free;
	struct verbs_slots slots_repost; /* hold a buffer that is not posted */
	struct verbs_slots spent;        /* small messages the caller borrows until the next poll */
	uint32_t posted_count;           /* receives in the SRQ */

	struct slu_session *by_qp_num;
	struct verbs_sessions all, ready, dirty, timed;
	struct verbs_sessions failed; /* their queue pairs are still to go */
	struct verbs_sessions closed; /* freed at the next poll */

	struct sockaddr_storage source; /* the address we listen on, port 0 */
	char address[SLU_DRIVER_ADDRESS_MAX];
};

/* device.c */

/* Choose the device by the address to listen on, query what it can do, and make
 * everything that sessions share. Negative errno with config->error; whatever
 * was made then is undone by verbs_device_close. */
int verbs_device_open(struct slu_driver *driver, const struct slu_driver_config *config);
void verbs_device_close(struct slu_driver *driver);
/* Read the device's asynchronous events; sessions of a dead port fail. */
void verbs_device_news(struct slu_driver *driver);
/* The device goes away: every session fails, and none comes any more. */
void verbs_device_removed(struct slu_driver *driver);

/* session.c */

int verbs_session_connect(struct slu_driver *driver, const char *address, const void *hello,
                          void *user, struct slu_session **ret_session);
int verbs_session_accept(struct slu_session *session, void *user);
/* Takes session. */
void verbs_session_destroy(struct slu_session *session);
/* The end, once, told by verbs_session_reap. */
void verbs_session_fail(struct slu_session *session, int error, const char *format, ...)
        __attribute__((format(printf, 3, 4)));
/* Destroy the queue pairs of those that failed, and queue DOWN; a peer nobody
 * knows is forgotten. */
void verbs_session_reap(struct slu_driver *driver);
/* Handle what the connection manager has to tell. */
void verbs_session_news(struct slu_driver *driver);
void verbs_session_expire(struct slu_driver *driver, uint64_t now_ns);
/* It has, or may have, something to tell. */
void verbs_session_ready(struct slu_session *session);

/* tx.c */

int verbs_tx_init(struct slu_session *session);
void verbs_tx_fini(struct slu_session *session);
int verbs_tx_frame(struct slu_session *session, const void *message, uint32_t size_bytes,
                   uint64_t cookie);
int verbs_tx_small(struct slu_session *session, const void *message, uint32_t size_bytes);
/* Tell the peer of receives posted again, when it is time. */
void verbs_tx_credit(struct slu_session *session);
/* Post everything queued. */
void verbs_tx_post(struct slu_session *session);
/* A completion: sends up to the next that asked for one are done. */
void verbs_tx_completed(struct slu_session *session);
/* The peer's count of receives posted again. */
void verbs_tx_limit(struct slu_session *session, uint32_t returned_count);
/* The next SENT or WRITABLE; false: none. */
bool verbs_tx_tell(struct slu_session *session, struct slu_driver_event *ret_event);

/* rx.c */

/* The receive of that slot completed. */
void verbs_rx_completed(struct slu_driver *driver, const struct ibv_wc *wc);
/* Give back what the caller borrowed until this poll. */
void verbs_rx_release(struct slu_driver *driver);
/* Post buffers: those given back, and new ones for new sessions. */
void verbs_rx_refill(struct slu_driver *driver);
/* The next RECV_*; false: none, or it waits for a buffer. */
bool verbs_rx_tell(struct slu_session *session, struct slu_driver_event *ret_event);
/* Drop what is untold; slots that name the session forget it. */
void verbs_rx_drop(struct slu_session *session);

/* verbs.c */

/* Handle every completion there is, at most count. Returns how many. */
int verbs_completions(struct slu_driver *driver, int count);

#endif
