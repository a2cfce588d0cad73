/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verbs.h - types shared by the files of the verbs driver: an instance has one
 * rail or more; a rail is one RDMA device port, with one protection domain, one
 * registration of the arena, one completion queue and one shared receive queue; a
 * session is one reliable connected queue pair on a rail.
 */
#ifndef DRIVERS_VERBS_VERBS_H
#define DRIVERS_VERBS_VERBS_H

#include <infiniband/verbs.h>
#include <rdma/rdma_cma.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
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

/* Of an instance: as many addresses as SLU_DRIVER_ADDRESS_MAX holds. */
#define VERBS_RAILS_MAX 4u
/* Receives that queue pairs may have taken with them: see rx.c. */
#define VERBS_SPARES_MAX 32u

/* The CM repeats a lost request only after 4 s; a new attempt is sooner there. A host
 * or a fabric that is overloaded needs longer: each attempt of a rail that runs out of
 * time doubles it for the next ones, each that succeeds sets it to twice what that took.
 * Less than the engine waits for a session, so that it hears our reason. */
#define VERBS_CONNECT_TIMEOUT_NS     (UINT64_C(1500) * 1000 * 1000)
#define VERBS_CONNECT_TIMEOUT_NS_MAX (4 * VERBS_CONNECT_TIMEOUT_NS)
/* A rail whose device is gone is looked for this often. */
#define VERBS_RAIL_RETRY_NS (UINT64_C(1000) * 1000 * 1000)
/* After this long a device says whether a fault was its port's. */
#define VERBS_RAIL_GRACE_NS (UINT64_C(200) * 1000 * 1000)
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
	bool posted;
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
	struct verbs_rail *rail;
	struct rdma_cm_id *id; /* NULL: over */
	struct ibv_qp *qp;     /* NULL: none yet, or over */
	uint32_t qp_num;
	enum verbs_state state;
	void *user;
	uint64_t deadline_ns;      /* while timed */
	uint64_t timed_ns;         /* since when */
	bool timed, ready, failed; /* on these lists */
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

enum verbs_rail_state {
	VERBS_RAIL_AWAY,    /* no device: looked for at retry_ns */
	VERBS_RAIL_UP,      /* the port is active */
	VERBS_RAIL_DOWN,    /* the port is not */
	VERBS_RAIL_LEAVING, /* the device goes: let go of everything at the end of the poll */
};

struct verbs_rail {
	struct slu_driver *driver;
	unsigned number; /* speaks with the rail of that number of other hosts */
	enum verbs_rail_state state;
	bool removed; /* LEAVING: the device is, not only its queues */
	uint64_t retry_ns;
	struct sockaddr_storage source; /* where it listens; its port stays the same */
	char device[32];
	uint32_t port;

	struct rdma_cm_id *listener;
	/* Ids of sessions that failed: destroying one sends a message, which waits
	 * until the port is known to be active (verbs_rail_id_destroy). */
	struct rdma_cm_id **parked;
	uint32_t parked_count;
	uint64_t parked_until_ns; /* look then */

	/* Our own context, not that of the connection manager, which the whole
	 * process shares: events come to who made the object, and a device that is
	 * removed can be let go of. */
	struct ibv_context *verbs;
	struct ibv_pd *pd;
	struct ibv_mr *arena_mr;
	struct ibv_comp_channel *comp_channel;
	struct ibv_cq *cq;
	struct ibv_srq *srq;
	bool inline_small;
	uint32_t session_count, sessions_max;
	uint64_t connect_timeout_ns;

	struct verbs_slot *slots; /* as many as the SRQ takes, and no more */
	uint32_t slot_count;
	uint32_t slots_held; /* of them hold a buffer */
	uint32_t spare_count;
	struct verbs_slots slots_free;
	struct verbs_slots slots_repost; /* hold a buffer that is not posted */
	struct verbs_slots spent;        /* small messages the caller borrows until the next poll */

	struct slu_session *by_qp_num;
};

struct slu_driver {
	const struct slu_driver_host *host;
	struct slu_driver_stats stats;

	struct rdma_event_channel *channel;
	int epoll_fd;
	bool armed;
	uint64_t news_ns;              /* ask the kernel for news then */
	uint32_t window, sessions_max; /* as configured */

	struct verbs_rail rails[VERBS_RAILS_MAX];
	unsigned rail_count;

	struct verbs_sessions all, ready, dirty, timed;
	struct verbs_sessions failed; /* their queue pairs are still to go */
	struct verbs_sessions closed; /* freed at the next poll */
};

/* rail.c */

/* The rails that the options name; each must have its device, and one an active
 * port. Negative errno with config->error; whatever was made then is undone by
 * verbs_rails_close. */
int verbs_rails_open(struct slu_driver *driver, const struct slu_driver_config *config);
void verbs_rails_close(struct slu_driver *driver);
/* Read the devices' asynchronous events. */
void verbs_rails_news(struct slu_driver *driver);
/* Let go of devices that leave, look for those that are away. */
void verbs_rails_tend(struct slu_driver *driver);
/* When that is due; UINT64_MAX: not. */
uint64_t verbs_rails_deadline(const struct slu_driver *driver);
/* Everything on it ends; it is made anew when its device is there (again).
 * error -ENODEV: the device is removed. */
void verbs_rail_lost(struct verbs_rail *rail, int error, const char *reason);
/* Destroy the id of a session, at once, or after a fault when the port is known
 * to be active. Takes id. */
void verbs_rail_id_destroy(struct verbs_rail *rail, struct rdma_cm_id *id, bool fault);

/* device.c */

/* What sessions of a rail share, within the limits of its device. Negative errno
 * with words in error (SLU_DRIVER_ERROR_MAX); whatever was made then is undone by
 * verbs_device_close. */
int verbs_device_open(struct verbs_rail *rail, struct ibv_device *device, char *error);
/* Buffers that the device held go back to the queue of those to be posted. */
void verbs_device_close(struct verbs_rail *rail);
int verbs_device_srq(struct verbs_rail *rail);

/* cm_context.c */

/* The connection manager keeps its own context of a device for the process. The
 * last rail of all instances that lets go of a device that is removed closes it,
 * else the removal waits for our end. */
int verbs_cm_context_hold(struct ibv_context *verbs);
void verbs_cm_context_drop(struct ibv_context *verbs, bool removed);

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

/* qp.c */

/* The queue pair, its ring, and the receives of its window. 0, -EMFILE, ... */
int verbs_qp_create(struct slu_session *session);
/* Ready to receive and to send, as the connection manager agreed. 0, -errno. */
int verbs_qp_connect(struct slu_session *session);
/* What arrived in full before stays to be told. */
void verbs_qp_destroy(struct slu_session *session);

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
/* Whether verbs_tx_tell has one. */
bool verbs_tx_has_events(const struct slu_session *session);

/* rx.c */

/* How many receives the rail keeps posted. */
uint32_t verbs_rx_wanted(const struct verbs_rail *rail);
/* The receive of that slot completed. */
void verbs_rx_completed(struct verbs_rail *rail, const struct ibv_wc *wc);
/* Give back what the caller borrowed until this poll. */
void verbs_rx_release(struct verbs_rail *rail);
/* Post buffers: those given back, and new ones for new sessions. */
void verbs_rx_refill(struct verbs_rail *rail);
/* A queue pair that was up is gone. */
void verbs_rx_queue_pair_gone(struct verbs_rail *rail);
/* The queue they were posted to is gone: they are to be posted again. */
void verbs_rx_unpost(struct verbs_rail *rail);
/* The next RECV_*; false: none, or it waits for a buffer. */
bool verbs_rx_tell(struct slu_session *session, struct slu_driver_event *ret_event);
/* Drop what is untold; slots that name the session forget it. */
void verbs_rx_drop(struct slu_session *session);

/* probe.c: the op of the same name */
int verbs_probe(const struct slu_driver_config *config, bool json, FILE *out);

/* verbs.c */

/* Handle every completion there is, at most count. Returns how many. */
int verbs_completions(struct verbs_rail *rail, int count);

#endif
