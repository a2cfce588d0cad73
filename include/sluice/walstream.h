/* SPDX-License-Identifier: Apache-2.0 */
/*
 * walstream.h - a write-ahead log shipped from one process to another over two
 * urgent channels of sluice.h: a byte stream addressed by LSN, on timelines, with
 * positions that come back. Nothing here knows a database engine.
 *
 *   engine -> slu_walsender == data ==> slu_walreceiver -> log on the other side
 *             slu_walquorum <= feedback =
 *
 * An LSN is the position of a byte in the log; positions name the byte after the
 * last. A timeline is a history of the log: a promoted standby goes on with a new
 * one from its switch point.
 *
 * Nothing here blocks except slu_walsender_open() and slu_walreceiver_open() (one
 * answer of the agent for each channel) and the two _wait() calls. The caller
 * drives: it calls process() when something may have happened and no later than
 * deadline(), and sleeps in between, in _wait() or in its own event loop:
 *
 *	r = slu_walsender_process(sender, now_ns);
 *	if (slu_endpoint_arm(endpoint) == SLU_OK)
 *		poll(slu_endpoint_fd(endpoint), until slu_walsender_deadline(sender));
 *	slu_endpoint_disarm(endpoint);
 *
 * now_ns is CLOCK_MONOTONIC as of slu_now_ns(), given by the caller so that tests
 * can be exact. It must not go back.
 *
 * Threads: a sender or receiver belongs to the thread of its endpoint. Results as
 * in sluice.h: a negative errno is final for the stream; _error() says why. To go
 * on, close it, agree on a new stream number and token, and open again with the
 * position up to which the log is there. Whatever was acknowledged stays true.
 *
 * Who may stream: whoever was told the token. Hand it out on a connection that
 * has authenticated the other side, one per open, random, never reused.
 */
#ifndef SLUICE_WALSTREAM_H
#define SLUICE_WALSTREAM_H

#include <sluice/sluice.h>

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Results beside those of sluice.h. */
enum slu_wal_result {
	SLU_WAL_TIMELINE_END = 64, /* this timeline ends here: see slu_walreceiver_next() */
};

#define SLU_WAL_LSN_MAX   UINT64_MAX
#define SLU_WAL_NAME_MAX  48u /* bytes of a receiver's name with its NUL */
#define SLU_WAL_ERROR_MAX 512u

/* The name of a stream. Both ends give the same one; unique among the open streams
 * of a cluster. Its channels use two motion numbers that no query uses. */
struct slu_wal_stream {
	uint64_t cluster;       /* cluster id; must be the agent's */
	uint64_t stream;        /* e.g. a counter of the sending host; a new one per open */
	uint32_t source;        /* e.g. content id of the sending member */
	uint32_t destination;   /* e.g. which of its receivers */
	struct slu_token token; /* see above */
	const char *peer;       /* node name of the other end's agent; NULL, "": same host */
	uint64_t rendezvous_timeout_ns; /* 0: the agent's setting */
	uint32_t window_frames_max;     /* of data under way; 0: the agent's setting */
	uint32_t encrypted;             /* as slu_open_options.encrypted */
};
#define SLU_WAL_MOTION_DATA     UINT32_C(0xfffffff0)
#define SLU_WAL_MOTION_FEEDBACK UINT32_C(0xfffffff1)

/* How far the receiving side is. Each is an LSN up to which the log is... */
struct slu_wal_positions {
	uint64_t write_lsn; /* ... given to the operating system */
	uint64_t flush_lsn; /* ... durable */
	uint64_t apply_lsn; /* ... replayed */
};

enum slu_wal_level { SLU_WAL_WRITE = 0, SLU_WAL_FLUSH = 1, SLU_WAL_APPLY = 2 };
#define SLU_WAL_LEVELS 3

/* ---- sender ------------------------------------------------------------- */

typedef struct slu_walsender slu_walsender;

/*
 * Where the sender gets the log from. Called inside slu_walsender_process() only,
 * from its thread. Neither may call the sender.
 */
struct slu_wal_source {
	/*
	 * Read up to size_bytes at lsn of that timeline into data (a frame in the
	 * arena, borrowed for the call). Asked only for what slu_walsender_advance()
	 * has said is there, or lies on an older timeline.
	 *   SLU_OK     1..size_bytes were read: *ret_size_bytes
	 *   SLU_AGAIN  not at hand now; asked again at the next process()
	 *   -ENODATA   removed already: the receiver is refused, and told so
	 *   another errno: final, and told to the receiver
	 */
	int (*read)(void *context, uint32_t timeline, uint64_t lsn, void *data, size_t size_bytes,
	            size_t *ret_size_bytes);
	/*
	 * Where an older timeline ended and which one followed there. 0, or -ESTALE:
	 * no timeline of this history. NULL: only the current timeline is served.
	 */
	int (*timeline)(void *context, uint32_t timeline, uint64_t *ret_end_lsn,
	                uint32_t *ret_next_timeline);
	void *context; /* borrowed until slu_walsender_close() */
};

struct slu_walsender_options {
	struct slu_wal_stream stream;
	struct slu_wal_source source; /* read is required */
	uint64_t system_id;           /* of the database; the receiver must have the same */
	uint32_t timeline;            /* the current one */
	uint64_t end_lsn;             /* up to here the log can be read now */
	uint64_t keepalive_ns;        /* longest silence on data; 0: 10 s */
	uint64_t timeout_ns;          /* without a word from the receiver: -ETIMEDOUT. A word
	                                 is asked for after half of it. 0: never */
	uint64_t batch_bytes_max;     /* read in one process(), so that the caller's loop
	                                 stays responsive; 0: 1 MiB */
	uint32_t cut_bytes;           /* chunks end only at multiples of this, or where the
	                                 engine's log or what source gave ended: for a reader
	                                 that takes what it has for whole records; 0: anywhere */
};

enum slu_walsender_state {
	SLU_WALSENDER_WAITING = 1,   /* for the receiver to say from where */
	SLU_WALSENDER_CATCHUP = 2,   /* has not yet been level with the engine */
	SLU_WALSENDER_STREAMING = 3, /* has been; a candidate for a quorum */
	SLU_WALSENDER_ENDING = 4,    /* slu_walsender_finish() was called */
	SLU_WALSENDER_ENDED = 5,     /* process() returned other than SLU_OK */
};

/* Open the sending end. *ret_sender is returned owned. Errors as
 * slu_channel_open(); also -ENOMEM, and -EMSGSIZE when frames are below 512 bytes or do
 * not hold cut_bytes of log. */
SLU_API int slu_walsender_open(slu_endpoint *endpoint, const struct slu_walsender_options *options,
                               uint64_t now_ns, slu_walsender **ret_sender);

/* Takes sender; NULL is allowed. A receiver that was not sent the end sees
 * -ECANCELED. Must come before the endpoint's detach. */
SLU_API void slu_walsender_close(slu_walsender *sender);

/*
 * The engine has written the log up to end_lsn, and the source can read it. Never
 * blocks, never fails for the stream's sake, and sends nothing by itself: the
 * commit path of the engine may call it. A position behind the last is ignored.
 */
SLU_API void slu_walsender_advance(slu_walsender *sender, uint64_t end_lsn);

/*
 * As advance to lsn + size_bytes, with the bytes at hand: when the stream is level
 * with the engine and the receiver has given credit they are copied to the frame
 * being written and never read again. Otherwise they are left to the source, which
 * is why that must be able to read them. Published by the next process().
 *   -EINVAL  lsn is not the end of the log as the sender knows it
 */
SLU_API int slu_walsender_append(slu_walsender *sender, uint64_t lsn, const void *data,
                                 size_t size_bytes);

/*
 * The engine's timeline ends at end_lsn and next_timeline follows (a cascading
 * standby was promoted or follows). The receiver is sent what is missing up to
 * there, then the end; it then asks for the next. From now on the engine writes
 * next_timeline; the source must know the old one.
 */
SLU_API void slu_walsender_switch(slu_walsender *sender, uint64_t end_lsn, uint32_t next_timeline);

/* The engine's log ends at end_lsn after all, before where it was said to: a timeline
 * that ended meanwhile. Not before what the source gave already. */
SLU_API void slu_walsender_retreat(slu_walsender *sender, uint64_t end_lsn);

/*
 * There will be no more: everything up to the engine's end is sent, then the end
 * itself. process() returns SLU_EOS once the receiver has made all of it durable.
 */
SLU_API void slu_walsender_finish(slu_walsender *sender);

/*
 * Take feedback, send what there is, keep alive.
 *   SLU_OK       go on
 *   SLU_EOS      after finish: the receiver has everything, durable
 *   SLU_STOPPED  the receiver left in order
 *   negative     the stream is broken, or the receiver was refused
 * After anything but SLU_OK it returns the same again.
 */
SLU_API int slu_walsender_process(slu_walsender *sender, uint64_t now_ns);

/* When process() is to be called even if nothing happens; 0: at once (a backlog
 * was left for the sake of batch_bytes_max); UINT64_MAX: never. */
SLU_API uint64_t slu_walsender_deadline(const slu_walsender *sender);

/* Wait as slu_set_wait() does, no longer than deadline_ns and deadline(). Look between
 * process() and this at what is waited for: what process() took does not wake again. */
SLU_API int slu_walsender_wait(slu_walsender *sender, uint64_t deadline_ns, int foreign_fd);

/* Send a keepalive at the next process(); reply: the receiver is to answer it. */
SLU_API void slu_walsender_ping(slu_walsender *sender, bool reply);

/* Whether log that the engine has is not yet on its way. */
SLU_API bool slu_walsender_pending(const slu_walsender *sender);

#define SLU_WAL_LAG_UNKNOWN UINT64_MAX
struct slu_walsender_status {
	enum slu_walsender_state state;
	char receiver[SLU_WAL_NAME_MAX];
	uint32_t timeline;                  /* being sent */
	uint64_t end_lsn;                   /* of the engine */
	uint64_t sent_lsn;                  /* published to the receiver */
	struct slu_wal_positions positions; /* last heard; never beyond sent_lsn */
	uint64_t lag_ns[SLU_WAL_LEVELS];    /* from sending to hearing of it, as of the last
	                                       feedback; SLU_WAL_LAG_UNKNOWN: idle */
	uint64_t round_trip_ns;             /* last measured, without the receiver's own
	                                       delay; SLU_WAL_LAG_UNKNOWN: not yet */
	uint64_t heard_ns;                  /* last word of the receiver, in the caller's time */
	int64_t told_wall_ns;               /* when positions were sent, by the receiver's wall
	                                       clock, ns since 1970; 0: nothing yet */
	/* counted since open */
	uint64_t bytes;          /* of log, published */
	uint64_t appended_bytes; /* of these, taken from slu_walsender_append() */
	uint64_t read_bytes;     /* of these, read from the source */
	uint64_t frames;         /* published, of all kinds */
	uint64_t stalls;         /* times there was log to send and no credit */
	uint64_t keepalives;
	uint64_t feedbacks;
	bool remote; /* the other end is on another host */
};
/* Borrowed until the next call on the sender. */
SLU_API const struct slu_walsender_status *slu_walsender_status(const slu_walsender *sender);

/* Why process() returned a negative result; "" if it did not. Borrowed until close. */
SLU_API const char *slu_walsender_error(const slu_walsender *sender);

/* ---- receiver ----------------------------------------------------------- */

typedef struct slu_walreceiver slu_walreceiver;

struct slu_walreceiver_options {
	struct slu_wal_stream stream;
	const char *name;    /* for the sender's statistics and quorum */
	uint64_t system_id;  /* the sender's must be the same */
	uint32_t timeline;   /* to start on */
	uint64_t start_lsn;  /* first byte wanted */
	uint64_t status_ns;  /* longest silence on feedback; 0: 10 s */
	uint64_t timeout_ns; /* without a word from the sender: -ETIMEDOUT; 0: never */
};

/* Open the receiving end and ask for the log. Errors as slu_walsender_open(). */
SLU_API int slu_walreceiver_open(slu_endpoint *endpoint,
                                 const struct slu_walreceiver_options *options, uint64_t now_ns,
                                 slu_walreceiver **ret_receiver);

/* Takes receiver; NULL is allowed. Before the end it stops the sender. */
SLU_API void slu_walreceiver_close(slu_walreceiver *receiver);

/* So many bytes before the data of a chunk are the caller's to overwrite, for an engine
 * that wants a header of its own in front of the log without copying it. */
#define SLU_WAL_HEADROOM 32u

struct slu_wal_chunk {
	const void *data;       /* 32-byte aligned, in the arena */
	size_t size_bytes;      /* at least 1 */
	uint64_t lsn;           /* of the first byte; always the end of the chunk before */
	uint32_t timeline;      /* that it belongs to */
	uint32_t next_timeline; /* with SLU_WAL_TIMELINE_END */
};

/*
 * The next piece of the log, where it landed. Borrowed until the next call of this, or
 * close.
 *   SLU_OK
 *   SLU_AGAIN             nothing there. A caller that gets much should still
 *                         report and process() now and then
 *   SLU_WAL_TIMELINE_END  ret_chunk->timeline ended at ret_chunk->lsn, and
 *                         next_timeline follows there. Call slu_walreceiver_follow()
 *                         or close. If lsn is below what was received, that part
 *                         belongs to no history: it must be taken back first
 *   SLU_EOS               the sender has finished; all was received. Make it
 *                         durable, report(), process(), close
 *   negative: -EPROTONOSUPPORT another version, -EXDEV another database, -ESTALE
 *   no such timeline, -ERANGE start_lsn is beyond that timeline, -ENODATA the log
 *   there has been removed, -EPROTO not a WAL stream, -ETIMEDOUT, or as
 *   slu_channel_recv()
 */
SLU_API int slu_walreceiver_next(slu_walreceiver *receiver, uint64_t now_ns,
                                 struct slu_wal_chunk *ret_chunk);

/* Go on with another timeline, after SLU_WAL_TIMELINE_END. -EINVAL: not then. */
SLU_API int slu_walreceiver_follow(slu_walreceiver *receiver, uint32_t timeline, uint64_t lsn);

/*
 * How far this side is. Sent by the next process(); reports made meanwhile are
 * merged. Say write_lsn before the flush where the sender waits for remote writes.
 */
SLU_API void slu_walreceiver_report(slu_walreceiver *receiver,
                                    const struct slu_wal_positions *positions);

/* Send the positions at the next process() even if they are as before: the sender also
 * lives on hearing something. */
SLU_API void slu_walreceiver_repeat(slu_walreceiver *receiver);

/*
 * Send what the sender has to be told; watch the timeouts.
 *   SLU_OK; SLU_EOS when the sender has finished and all was told; negative as next
 */
SLU_API int slu_walreceiver_process(slu_walreceiver *receiver, uint64_t now_ns);

/* Ask the sender for a sign of life, answered by a keepalive. */
SLU_API void slu_walreceiver_ping(slu_walreceiver *receiver);

/* As of the sender. */
SLU_API uint64_t slu_walreceiver_deadline(const slu_walreceiver *receiver);
SLU_API int slu_walreceiver_wait(slu_walreceiver *receiver, uint64_t deadline_ns, int foreign_fd);

struct slu_walreceiver_status {
	uint32_t timeline;
	bool streaming;                     /* the sender has agreed */
	uint64_t received_lsn;              /* end of the last chunk */
	uint64_t sender_end_lsn;            /* end of the sender's log, as last heard */
	struct slu_wal_positions positions; /* as last reported */
	uint64_t heard_ns;                  /* last word of the sender, in the caller's time */
	int64_t sent_wall_ns;               /* when that was sent, by the sender's wall clock,
	                                       ns since 1970; 0: nothing yet */
	/* counted since open */
	uint64_t bytes; /* of log */
	uint64_t frames;
	uint64_t keepalives;
	uint64_t reply_requests; /* keepalives that asked for an answer; it is sent by itself */
	uint64_t feedbacks;
	uint64_t stalls; /* times there was something to tell and no credit */
	bool remote;
};
SLU_API const struct slu_walreceiver_status *
slu_walreceiver_status(const slu_walreceiver *receiver);
SLU_API const char *slu_walreceiver_error(const slu_walreceiver *receiver);

/* ---- quorum --------------------------------------------------------------- */

/*
 * Up to where enough receivers are: FIRST k of a list in order of priority, or ANY
 * k of it, as in synchronous_standby_names. A member is one place of the list; it
 * is present from slu_walquorum_update() to slu_walquorum_leave(). Call update for
 * a sender that is SLU_WALSENDER_STREAMING, with its positions.
 *
 * FIRST: the k present members of the lowest index decide, and the slowest of them
 * counts. ANY: the k-th furthest of all present members counts. With fewer than k
 * present nothing moves. What was reached stays reached: a commit acknowledged once
 * is not taken back when a member leaves.
 */
enum slu_walquorum_rule { SLU_WALQUORUM_FIRST = 1, SLU_WALQUORUM_ANY = 2 };
#define SLU_WALQUORUM_MEMBERS_MAX 64u

typedef struct slu_walquorum slu_walquorum;

/* Returned owned. -EINVAL: needed is 0 or above members, or members above the
 * maximum; -ENOMEM. */
SLU_API int slu_walquorum_create(enum slu_walquorum_rule rule, unsigned needed, unsigned members,
                                 slu_walquorum **ret_quorum);
SLU_API void slu_walquorum_destroy(slu_walquorum *quorum); /* takes quorum; NULL is allowed */

/* true: slu_walquorum_lsn() of some level has moved: wake who waits. */
SLU_API bool slu_walquorum_update(slu_walquorum *quorum, unsigned member_idx,
                                  const struct slu_wal_positions *positions);
SLU_API bool slu_walquorum_leave(slu_walquorum *quorum, unsigned member_idx);

/* A commit that ends at or before this is acknowledged at that level. */
SLU_API uint64_t slu_walquorum_lsn(const slu_walquorum *quorum, enum slu_wal_level level);

/* Whether the member's position decides now: FIRST, one of the k; ANY, present. */
SLU_API bool slu_walquorum_decides(const slu_walquorum *quorum, unsigned member_idx);

#ifdef __cplusplus
}
#endif
#endif
