/* SPDX-License-Identifier: Apache-2.0 */
/*
 * engine_state.h - what the files of the engine share: its peers, their
 * sessions, and the remote ends of channels. Private to transport/engine/.
 *
 *   engine.c      create, the loop, timers
 *   peer.c        peers: up, down, dead; control messages
 *   session.c     sessions of the driver: secrets, connecting, moving channels
 *   lane.c        one end of a channel from open to done, whatever its direction
 *   outgoing.c    a local process sends: take, send, keep until acknowledged
 *   incoming.c    a local process receives: check, hand on, give credit
 *   rendezvous.c  ends of other hosts that wait here for their other end
 */
#ifndef TRANSPORT_ENGINE_ENGINE_STATE_H
#define TRANSPORT_ENGINE_ENGINE_STATE_H

#include "transport/channel.h"
#include "transport/engine/engine.h"
#include "transport/engine/engine_wire.h"
#include "transport/engine/receive_budget.h"

#include <sys/queue.h>
#include <uthash.h>

#define ENGINE_SESSIONS_MAX 17u /* per peer: the urgent one, then the bulk ones */
#define SESSION_URGENT      0u
#define ENGINE_NEVER        UINT64_MAX

struct peer;
struct session;

/* ---- lanes --------------------------------------------------------------- */

/* By what two ends find each other. direction: of the process at this end. */
struct lane_name {
	struct slu_key key;
	uint32_t direction;
	uint32_t reserved; /* 0: hashed as bytes */
};

/* What is special to an end whose process sends. Positions run
 *   released <= acked <= sent_max, acked <= send <= rx.pos (taken). */
struct outgoing {
	struct chan_rx rx;
	/* Taken and not released: position p at p & (frame_room - 1). What a header
	 * needs is kept here: what lies in the arena, clients may scribble on. */
	struct outgoing_frame {
		uint32_t frame_idx;
		uint32_t size_bytes;
		uint16_t tag;
	} * frames;
	uint32_t frame_room; /* power of two, grows up to the local ring */
	uint32_t in_driver;  /* frames sent whose SENT is to come */
	uint64_t released_pos;
	uint64_t acked_pos; /* the peer has all below */
	uint64_t send_pos;  /* next to send; behind sent_max after a session was lost */
	uint64_t sent_max_pos;
	uint64_t driver_pos; /* the driver has none below, if in_driver */
	uint64_t limit_pos;  /* the peer's */
	uint64_t probe_ns;   /* ask for credit then, if nothing moved; ENGINE_NEVER */
	uint64_t probe_wait_ns;
	uint64_t unanswered_ns; /* waited after PROBEs since the last CREDIT */
	uint32_t turn_sent; /* messages of its turn, which may go on when the session takes more */
	bool homing;        /* sends no more on this session: its home is up again */
	bool eos;           /* seen: rx.pos is the final position */
	bool eos_sent;      /* on this session */
	bool eos_acked;
};

/* What is special to an end whose process receives. tx.pos is the next expected. */
struct incoming {
	struct chan_tx tx;
	struct receive_share share;
	uint64_t limit_pos;       /* told to the peer */
	uint64_t received_told;   /* what CREDIT last said was received */
	uint64_t released_pos;    /* by the local receiver, as last read */
	uint64_t local_limit_pos; /* of the local ring, as last read */
	bool eos;                 /* everything was received */
	bool stopped;             /* the local receiver wants no more */
	bool wants_more;          /* the peer has more than its limit */
	bool ack_asked;           /* the peer waits to hear what was received */
	bool credit_force;        /* say where we are whatever was said before */
	/* list of credit_link; LATE: it may wait for a message in the same direction */
	enum { CREDIT_IDLE, CREDIT_LISTED, CREDIT_BLOCKED, CREDIT_LATE } credit;
	TAILQ_ENTRY(lane) credit_link;
};

/* One end of a channel with another host. Lives from engine_channel_open() until
 * channel_done. */
struct lane {
	struct engine *engine;
	struct peer *peer;
	uint32_t chan_idx;
	uint32_t number;      /* ours: LANE(epoch, chan_idx) */
	uint32_t peer_number; /* the other end's; LANE_NONE: not joined yet */
	struct lane_name name;
	struct slu_token token;
	struct chan_shm *shm;
	bool urgent;
	bool named;        /* in engine->by_name */
	bool local_closed; /* the local process is gone from it */
	bool finished;     /* moves no more data; what is left is to agree on that */
	bool peer_ended;   /* nobody to tell: the other end is over, or never was */
	bool end_acked;    /* the peer knows that ours is over */
	bool done;         /* on engine->done, until the call into the engine returns */
	int end_error;     /* positive errno of our END */
	uint8_t end_flags;
	char *end_text; /* owned; NULL: "" */
	uint64_t opened_ns;
	uint64_t rendezvous_ns;                              /* deadline, until joined */
	struct session *session;                             /* that it uses; NULL: none is up */
	bool timed;                                          /* on engine->timed */
	enum { LANE_IDLE, LANE_RUNNABLE, LANE_BLOCKED } run; /* which list run_link is on */
	TAILQ_ENTRY(lane) peer_link, session_link, run_link, timed_link, done_link;
	UT_hash_handle by_name;
	union {
		struct outgoing out;
		struct incoming in;
	};
};
TAILQ_HEAD(lane_list, lane);

static inline bool lane_sends(const struct lane *lane)
{
	return lane->name.direction == SLU_SEND;
}

/* ---- sessions ------------------------------------------------------------ */

enum session_state { SESSION_NONE, SESSION_REQUESTED, SESSION_CONNECTING, SESSION_UP };

/* One of the sessions with a peer; the struct stays when the session goes. */
struct session {
	struct peer *peer;
	uint8_t index; /* SESSION_URGENT, or a bulk one */
	enum session_state state;
	bool crc32c;       /* either side wants frames checked */
	bool blocked;      /* the driver said SLU_AGAIN */
	bool worked;       /* since it is up, something sound came on it */
	bool granted;      /* accepting side: secret is valid until grant_ns */
	uint32_t attempts; /* since it last worked */
	uint32_t waits;    /* for it in vain, since it was last up */
	uint64_t retry_ns; /* connecting side: when to try (again), or to give up trying */
	uint64_t up_ns;
	uint64_t heard_ns;   /* when the peer last said something on it */
	uint64_t through_ns; /* when there was last a sign that it hears us on it */
	uint64_t grant_ns;
	uint8_t secret[WIRE_SECRET_BYTES];
	struct slu_session *driver_session; /* NULL in NONE and REQUESTED */
	struct lane_list lanes;             /* that use it */
	struct lane_list lanes_blocked;     /* of those, senders that wait for room */
	struct lane_list credits_waiting;   /* and receivers whose CREDIT waits */
	struct lane_list credits_late;      /* urgent receivers that wait for company */
	uint64_t late_ns;                   /* until then */
};

/* ---- peers --------------------------------------------------------------- */

/* An end at a peer that waits here for its other end, or has ended meanwhile:
 * then it is remembered for a while, so that who comes late is told. */
struct pending_key {
	struct lane_name name; /* direction: of the process at the peer */
	uint32_t peer;
	uint32_t reserved;
};

struct pending {
	struct pending_key key;
	uint32_t peer_lane;
	struct slu_token token;
	uint64_t limit_pos;
	uint32_t rendezvous_ms;
	uint64_t expires_ns; /* ENGINE_NEVER while its end is open */
	int error;           /* ended with this errno; 0: open, or ended by STOP */
	char *text;          /* owned; NULL unless error */
	TAILQ_ENTRY(pending) link;
	UT_hash_handle hh;
};
TAILQ_HEAD(pending_list, pending);

struct peer {
	struct engine *engine;
	uint32_t number;
	char name[ARENA_NODE_BYTES];
	char address[SLU_DRIVER_ADDRESS_MAX]; /* as the driver wrote it: of every rail */
	uint32_t rails;
	uint32_t bulk_sessions; /* as configured, and at least one for each rail */
	bool known;             /* was up once */
	bool control_up;
	bool connects;  /* this side opens the sessions */
	bool encrypted; /* its sessions are */
	uint32_t sessions_up;
	uint32_t joined;  /* lanes that wait for data or credit */
	uint64_t lost_ns; /* no session since, though lanes are joined; ENGINE_NEVER */
	char lost_reason[SLU_DRIVER_ERROR_MAX]; /* of the session that was lost last; "": none */
	struct lane_list lanes;
	struct pending_list pendings;   /* open ends */
	struct pending_list tombstones; /* ended ones, oldest first */
	uint32_t pending_count, tombstone_count;
	struct session sessions[ENGINE_SESSIONS_MAX];
};

/* ---- the engine ---------------------------------------------------------- */

struct engine {
	struct port *port;
	struct arena *arena;
	const struct slu_driver_ops *ops;
	struct slu_driver *driver;
	struct slu_driver_host host;
	struct engine_callbacks callbacks;
	char node[ARENA_NODE_BYTES];
	char address[SLU_DRIVER_ADDRESS_MAX];
	uint32_t bulk_sessions;
	bool crc32c;
	uint64_t session_retry_ns, peer_timeout_ns, advertise_ns;
	uint64_t random_state; /* 0: getrandom */
	uint64_t now_ns;
	uint64_t timer_ns;    /* look at the timers then, not later */
	uint64_t late_ns;     /* and at credits_late of the sessions */
	struct lane **lanes;  /* by chan_idx */
	uint16_t *epochs;     /* by chan_idx: of the last lane there */
	struct lane *by_name; /* ends that an open of that name would collide with */
	struct peer **peers;  /* by number */
	uint32_t peer_room;
	struct pending *pendings;
	struct lane_list runnable; /* senders, in turn */
	uint32_t runnable_count;
	struct lane_list credits; /* receivers that may have to say something */
	struct lane_list timed;   /* with a deadline */
	struct lane_list done;    /* to be freed */
	uint64_t refused_log_ns;  /* when a refused session may be logged again */
	struct receive_budget budget;
	struct engine_stats stats, stats_told; /* told: to the arena's counters */
	struct slu_driver_stats driver_told;
	uint32_t sessions_up, sessions_up_told;
};

/* engine.c */
void engine_timer_at(struct engine *engine, uint64_t at_ns);
void engine_random(struct engine *engine, void *bytes, size_t size_bytes);
void engine_reserve(struct engine *engine); /* after sessions_up changed */
void engine_reap(struct engine *engine);    /* free the lanes that are done */
/* In a time that does not depend on where they differ. */
bool engine_secret_equal(const void *a, const void *b, size_t size_bytes);

/* peer.c */
struct peer *peer_get(struct engine *engine, uint32_t number); /* NULL: no memory, wild number */
/* Control messages that are lost with the connection are sent again when it is
 * back, from the state they tell of; so nobody needs the result. */
void peer_control_send(struct peer *peer, const void *message, size_t size_bytes);
void peer_joined_add(struct peer *peer);
void peer_timers(struct peer *peer, uint64_t now_ns);
void peer_destroy(struct peer *peer);
const char *peer_label(const struct peer *peer);

/* session.c */
void session_init(struct session *session, struct peer *peer, uint8_t index);
void session_event(struct engine *engine, const struct slu_driver_event *event);
void session_timers(struct session *session, uint64_t now_ns);
void session_lost(struct session *session, const char *reason);
/* The peer said what it must not: in case it is mad, it gets another session only
 * after a while. */
void session_violated(struct session *session, const char *problem);
void session_drop(struct session *session); /* as lost, without a word */
const char *session_request_received(struct peer *peer, uint8_t index);
const char *session_grant_received(struct peer *peer, const struct wire_session_grant *grant);
void session_bind(struct lane *lane);   /* pick one for a joined lane that has none */
void session_unbind(struct lane *lane); /* the lane uses it no more */
/* Go to the session where the lane belongs, if that is up again, as soon as
 * nothing of the lane is on the way. */
void session_rebind_home(struct lane *lane);
/* A lane that sends has had no answer for as long as a peer may be silent, though an
 * engine answers whatever its receivers do: those of the peer's sessions that show no
 * life are lost. The driver of a session that hangs says nothing, so nobody else will. */
void session_suspect(struct lane *lane);
/* 0, SLU_AGAIN (the session is marked blocked), -ENOTCONN (DOWN follows) */
int session_small_send(struct session *session, const struct wire_small *small);

/* lane.c */
struct lane *lane_find(struct engine *engine, uint32_t number); /* NULL: not (any more) */
void lane_join(struct lane *lane, uint32_t peer_number, uint64_t limit_pos);
void lane_open_send(struct lane *lane);
void lane_end_send(struct lane *lane);
/* Over, in order (flags) or not (error): tells the peer. */
void lane_finish(struct lane *lane, int error, uint8_t flags, const char *text);
/* Over, and the local process does not know yet: resets it. */
void lane_reset(struct lane *lane, int error, const char *format, ...)
        __attribute__((format(printf, 3, 4)));
/* As lane_reset() with a text that names everything already. */
void lane_reset_text(struct lane *lane, int error, const char *text);
/* The local process reset it. */
void lane_reset_by_local(struct lane *lane);
/* What the other end's being over means for this one. */
void lane_peer_ended(struct lane *lane, int error, uint8_t flags, const char *text);
void lane_done_maybe(struct lane *lane); /* to be called when one condition came true */
void lane_timed(struct lane *lane, uint64_t at_ns);
/* What is due at now_ns; returns when the next thing is. */
uint64_t lane_timers(struct lane *lane, uint64_t now_ns);
void lane_free(struct lane *lane);
static inline bool lane_joined(const struct lane *lane)
{
	return lane->peer_number != LANE_NONE;
}

/* outgoing.c */
int outgoing_init(struct lane *lane);
void outgoing_fini(struct lane *lane);
void outgoing_wake(struct lane *lane);          /* put in the queue of those that may send */
void outgoing_unblock(struct session *session); /* and those that waited for room */
uint32_t outgoing_run(struct lane *lane);       /* returns how many messages it sent */
void outgoing_unbound(struct lane *lane);       /* what was on the way on its session is lost */
bool outgoing_quiet(const struct lane *lane);   /* nothing is on the way */
/* Send nothing new until it is quiet, and ask what has arrived. */
void outgoing_home_begin(struct lane *lane);
void outgoing_home_end(struct lane *lane); /* carry on where it is */
void outgoing_finished(struct lane *lane);
void outgoing_sent(struct engine *engine, uint64_t cookie);
const char *outgoing_credit(struct lane *lane, const struct wire_small *credit);
uint64_t outgoing_timers(struct lane *lane, uint64_t now_ns);

/* incoming.c */
int incoming_init(struct lane *lane);
void incoming_fini(struct lane *lane);
void incoming_ready(struct lane *lane); /* the local receiver did something */
void incoming_frame(struct session *session, void *message, uint32_t size_bytes);
const char *incoming_small(struct lane *lane, const struct wire_small *small);
void incoming_credit_due(struct lane *lane); /* look at it at the end of the round */
void incoming_credit_undue(struct lane *lane);
void incoming_credit_send(struct lane *lane);
/* A frame goes out on the session: what waited for company goes with it. */
void incoming_credits_along(struct session *session);
/* Those that have waited for long enough. */
void incoming_credits_late(struct engine *engine);

/* rendezvous.c */
const char *rendezvous_open(struct peer *peer, const struct wire_control *control);
const char *rendezvous_end(struct peer *peer, const struct wire_control *control);
static inline bool token_equal(const struct slu_token *a, const struct slu_token *b)
{
	return engine_secret_equal(a->bytes, b->bytes, sizeof(a->bytes));
}
/* The end at the peer that a local end of that name would meet; NULL: none. */
struct pending *rendezvous_find(struct peer *peer, const struct lane_name *name);
void rendezvous_take(struct peer *peer, struct pending *pending); /* takes pending */
void rendezvous_drop(struct peer *peer, bool tombstones_too);
void rendezvous_timers(struct peer *peer, uint64_t now_ns);

#endif
