/* SPDX-License-Identifier: Apache-2.0 */
/*
 * motion.h - rows between the processes of a query. A motion is {senders} x
 * {receivers} channels (sluice.h) and a rule that says which receiver gets a
 * row: gather, ordered gather, redistribute, broadcast, explicit.
 *
 * A row is opaque but for its first four bytes: its length in bytes, those four
 * included, in the byte order of the host. That is exactly PostgreSQL's
 * MinimalTuple. Rows begin at multiples of 8 bytes. A sender writes a row where
 * it is sent from, in the frame; a receiver reads it where it landed. A row
 * that is larger than a frame is split and put together again: both sides see
 * it in one piece.
 *
 * All motions of a process belong to a *motion context*. Whatever a process
 * waits for, to send or to receive, if it lasts it takes in what arrives on all
 * its inbound motions: into memory, beyond a limit into a temporary file. Without
 * this, processes that wait for each other in a circle would wait for ever: a
 * hash join that wants a row of its outer side before it reads its inner side
 * is enough (docs/motion.md has the example, the rule and its cost).
 *
 * A failure is shared: slu_motion_fail(), a reset of any channel, a full disk
 * ends all motions of the context and tells every process at their other ends
 * the SQLSTATE and the text; their contexts tell theirs.
 *
 * Threads, results, ownership: as in sluice.h. Nothing here is for a process
 * that inherited the endpoint through fork().
 */
#ifndef SLUICE_MOTION_H
#define SLUICE_MOTION_H

#include <sluice/sluice.h>
#include <stdbool.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct slu_motion_context slu_motion_context;
typedef struct slu_motion_sender slu_motion_sender;
typedef struct slu_motion_receiver slu_motion_receiver;

/* ---- context ------------------------------------------------------------- */

struct slu_motion_context_options {
	const char *spill_directory; /* for temporary files, which have no name there;
	                                NULL: $TMPDIR, else /tmp */
	uint64_t memory_bytes_max;   /* of rows taken in while waiting for something
	                                else; 0: 64 MiB. Each row larger than a frame
	                                takes its own memory besides. */
	uint64_t spill_bytes_max;    /* of temporary file; 0: what the disk holds */
	/* How long a wait lasts before it takes in what arrives on other motions and
	 * flushes the frames being written. 0: 1 ms. SLU_MOTION_NEVER gives up the
	 * protection from circular waits: it is safe for sending when no process
	 * feeds, through others or directly, the one it waits for (the slices of a
	 * plan form a tree), and then keeps a slow client from filling the disk with
	 * the input of a query. */
	uint64_t receive_drain_after_ns;
	uint64_t send_drain_after_ns;
};
#define SLU_MOTION_NEVER UINT64_MAX

/*
 * The motions of one process, or of one thread of it with its own endpoint.
 * Borrows endpoint until slu_motion_context_destroy(); options may be NULL.
 * *ret_context is returned owned. -ENOMEM
 */
SLU_API int slu_motion_context_create(slu_endpoint *endpoint,
                                      const struct slu_motion_context_options *options,
                                      slu_motion_context **ret_context);

/* Closes its motions. Takes context; NULL is allowed. */
SLU_API void slu_motion_context_destroy(slu_motion_context *context);

/*
 * How long the calls below may block. deadline_ns is absolute, CLOCK_MONOTONIC;
 * UINT64_MAX, as at first: for ever; 0: not at all. foreign_fd: they return
 * SLU_FOREIGN when it is readable and they would block (cancel, a latch); -1, as
 * at first: none. After SLU_TIMEOUT and SLU_FOREIGN the call may be repeated.
 */
SLU_API void slu_motion_set_wait(slu_motion_context *context, uint64_t deadline_ns, int foreign_fd);

/*
 * Take in what has arrived on all inbound motions: for a process that waits by
 * other means (slu_endpoint_fd() in its event loop). Never blocks but for the
 * disk. SLU_OK, or the error of the context.
 */
SLU_API int slu_motion_drain(slu_motion_context *context);

struct slu_motion_error {
	int error;        /* negative errno; 0: all is well */
	char sqlstate[6]; /* five characters, "" when all is well */
	char text[256];
};

/*
 * End all motions of the context, in both directions, and tell the other ends:
 * their calls return -error (ECANCELED when it is 0). Of text, which need not
 * be more than the headline of an error that the dispatcher gets in full, at
 * least 100 bytes arrive, cut between characters of UTF-8. The first failure of
 * a context stays. Never blocks.
 */
SLU_API void slu_motion_fail(slu_motion_context *context, int error, const char *sqlstate,
                             const char *text);

/*
 * Why the context failed. A reset of a channel that carries no SQLSTATE becomes:
 *   08006  a process, its host or its agent is gone     57014  closed without EOS
 *   08001  the other end did not come in time           08P01  bytes that are no rows
 * and of this process: 53100 no space for the temporary file, 58030 other errors
 * of it, 53400 spill_bytes_max, 53200 no memory, 54000 row_bytes_max.
 * Borrowed until destroy.
 */
SLU_API const struct slu_motion_error *slu_motion_error(const slu_motion_context *context);

struct slu_motion_context_stats {
	uint64_t drained_frames;   /* taken in while waiting for something else */
	uint64_t memory_bytes;     /* that these use now */
	uint64_t memory_bytes_max; /* and used at most */
	uint64_t spilled_frames;   /* of these, written to the temporary file */
	uint64_t spilled_bytes;
	uint64_t spill_file_bytes; /* size it grew to; its blocks are used again */
};
SLU_API void slu_motion_context_stats(const slu_motion_context *context,
                                      struct slu_motion_context_stats *ret_stats);

/* ---- motions --------------------------------------------------------------- */

enum slu_motion_kind {
	SLU_MOTION_GATHER = 1,     /* all rows to one receiver */
	SLU_MOTION_ORDERED_GATHER, /* the same; each sender's rows are sorted, and so is
	                              what is received */
	SLU_MOTION_REDISTRIBUTE,   /* by hash: slu_motion_jump_hash() */
	SLU_MOTION_BROADCAST,      /* each row to every receiver */
	SLU_MOTION_EXPLICIT,       /* the sender names the receiver of each row */
};

/* Order of two rows: < 0, 0, > 0. Must not call anything of this header. */
typedef int (*slu_motion_compare)(const void *left, const void *right, void *ctx);

/*
 * Both sides give the same kind, cluster, query, motion and token. The members
 * of each side are numbered from 0; peers are those of the other side.
 */
struct slu_motion_options {
	enum slu_motion_kind kind;
	uint32_t self;                  /* number of this process on its side */
	uint64_t cluster;               /* as in struct slu_key */
	uint64_t query;                 /* as in struct slu_key */
	uint32_t motion;                /* as in struct slu_key */
	uint32_t peer_count;            /* 1 for the senders of both gathers */
	struct slu_token token;         /* of all channels of the motion */
	const char *const *peer_nodes;  /* [peer_count] node of each peer's agent, an entry
	                                   NULL: this host; NULL: all on this host */
	uint64_t rendezvous_timeout_ns; /* as in slu_open_options */
	uint32_t window_frames_max;     /* as in slu_open_options */
	uint32_t row_bytes_max;         /* longer rows are an error; 0: 1 GiB */
	slu_motion_compare compare;     /* receiver of an ordered gather, else NULL */
	void *compare_ctx;
};

/*
 * Open one side. *ret_* is returned owned by the context; end it with close.
 * Nothing is open after a failure, whose text slu_endpoint_error() has: as
 * slu_channel_open(), and -EINVAL, -ENOMEM, or the error of the context.
 */
SLU_API int slu_motion_open_sender(slu_motion_context *context,
                                   const struct slu_motion_options *options,
                                   slu_motion_sender **ret_sender);
SLU_API int slu_motion_open_receiver(slu_motion_context *context,
                                     const struct slu_motion_options *options,
                                     slu_motion_receiver **ret_receiver);

/* Takes the motion; NULL is allowed. A sender that sent no EOS resets its
 * channels; a receiver that has not had all stops its senders. */
SLU_API void slu_motion_close_sender(slu_motion_sender *sender);
SLU_API void slu_motion_close_receiver(slu_motion_receiver *receiver);

/*
 * Which of bucket_count buckets a hash belongs to; as count grows from n to n + 1,
 * 1 / (n + 1) of the hashes move, all to the new bucket. The hash must be good in
 * all its 64 bits. John Lamping, Eric Veach: A Fast, Minimal Memory, Consistent
 * Hash Algorithm, 2014 (arXiv 1406.2294). bucket_count 0: 0.
 */
SLU_API uint32_t slu_motion_jump_hash(uint64_t hash, uint32_t bucket_count);

/* ---- sending --------------------------------------------------------------- */

/* For the inline functions; not to be used alone. */
struct slu_motion_lane {
	struct slu_cursor *cursor; /* of the channel; NULL: take the slow way */
	uint64_t rows;
};
struct slu_motion_sender_head {
	struct slu_motion_lane *lanes;
	uint32_t lane_count;
};
SLU_API int slu_motion_reserve_slow(slu_motion_sender *sender, uint32_t destination,
                                    size_t size_bytes, void **ret_row);
SLU_API void slu_motion_append_slow(slu_motion_sender *sender, uint32_t destination,
                                    size_t size_bytes);

/* The destination of a broadcast. */
#define SLU_MOTION_ALL UINT32_MAX

static inline size_t slu_motion_row_room(size_t size_bytes)
{
	return (size_bytes + 7) & ~(size_t)7;
}

/*
 * Room for a row of at most size_bytes (4 or more) for that destination.
 * *ret_row is 8-byte aligned and borrowed until append or any other call on the
 * context; a row that is not appended is not sent.
 *   SLU_STOPPED  the destination wants no more: leave the row out. When
 *                slu_motion_stopped(), none wants any.
 *   SLU_TIMEOUT, SLU_FOREIGN
 *   -EMSGSIZE    more than row_bytes_max (fails the row, not the context)
 *   -EPIPE       EOS was sent       -EINVAL
 *   else         slu_motion_error()
 */
static inline int slu_motion_reserve(slu_motion_sender *sender, uint32_t destination,
                                     size_t size_bytes, void **ret_row)
{
	struct slu_motion_sender_head *head = (struct slu_motion_sender_head *)(void *)sender;

	if (__builtin_expect(destination < head->lane_count, 1)) {
		struct slu_cursor *cursor = head->lanes[destination].cursor;

		if (__builtin_expect(cursor && size_bytes >= 4 && size_bytes <= UINT32_MAX &&
		                             (size_t)(cursor->end - cursor->next) >=
		                                     slu_motion_row_room(size_bytes),
		                     1)) {
			*ret_row = cursor->next;
			return SLU_OK;
		}
	}
	return slu_motion_reserve_slow(sender, destination, size_bytes, ret_row);
}

/* The row is written, in the first size_bytes (at most what was reserved; 4 or
 * more) of what reserve gave. Its length word is set to that. Never blocks. */
static inline void slu_motion_append(slu_motion_sender *sender, uint32_t destination,
                                     size_t size_bytes)
{
	struct slu_motion_sender_head *head = (struct slu_motion_sender_head *)(void *)sender;

	if (__builtin_expect(destination < head->lane_count && head->lanes[destination].cursor,
	                     1)) {
		struct slu_motion_lane *lane = &head->lanes[destination];
		struct slu_cursor *cursor = lane->cursor;
		uint8_t *row = cursor->next;
		size_t room = slu_motion_row_room(size_bytes);
		uint32_t length = (uint32_t)size_bytes;

		memcpy(row, &length, sizeof(length));
		/* Padding, and where the frame goes on what the next row will overwrite: always
		 * eight bytes, because a number that varies takes a call. */
		if (__builtin_expect((size_t)(cursor->end - row) >= size_bytes + 8, 1))
			memset(row + size_bytes, 0, 8);
		else
			memset(row + size_bytes, 0, room - size_bytes);
		cursor->next = row + room;
		lane->rows++;
		return;
	}
	slu_motion_append_slow(sender, destination, size_bytes);
}

/* Send a row that lies elsewhere: reserve, copy, append. Results of reserve. */
SLU_API int slu_motion_send(slu_motion_sender *sender, uint32_t destination, const void *row,
                            size_t size_bytes);

/* Publish the frames being written, so that the receivers have the rows now.
 * May block for a row larger than a frame and for a broadcast: SLU_TIMEOUT,
 * SLU_FOREIGN; else SLU_OK or the error of the context. */
SLU_API int slu_motion_flush(slu_motion_sender *sender);

/* Flush, and no more rows come. Results of flush; repeat until SLU_OK. */
SLU_API int slu_motion_eos(slu_motion_sender *sender);

/* Whether no destination wants more rows: end the scan, send EOS. */
SLU_API bool slu_motion_stopped(const slu_motion_sender *sender);

/* ---- receiving ------------------------------------------------------------- */

/* For slu_motion_receive(); not to be used alone. */
struct slu_motion_rows {
	const uint8_t *next;
	const uint8_t *end;
	uint64_t count; /* rows given out */
};
SLU_API int slu_motion_receive_slow(slu_motion_receiver *receiver, const void **ret_row);

/*
 * The next row: of any sender, in turn by frames; of an ordered gather the
 * least, of equal ones that of the lowest sender. *ret_row is 8-byte aligned,
 * its length is checked, and it is borrowed until the next call on this
 * receiver.
 *   SLU_EOS  all senders have ended, or slu_motion_stop() was called
 *   SLU_TIMEOUT, SLU_FOREIGN; else slu_motion_error()
 */
static inline int slu_motion_receive(slu_motion_receiver *receiver, const void **ret_row)
{
	struct slu_motion_rows *rows = (struct slu_motion_rows *)(void *)receiver;
	size_t left = (size_t)(rows->end - rows->next);
	uint32_t length;

	if (__builtin_expect(left >= 8, 1)) {
		memcpy(&length, rows->next, sizeof(length));
		if (__builtin_expect(length >= 4 && length <= left, 1)) {
			*ret_row = rows->next;
			rows->next += slu_motion_row_room(length);
			rows->count++;
			return SLU_OK;
		}
	}
	return slu_motion_receive_slow(receiver, ret_row);
}

/* Number of the sender of the row received last. */
SLU_API uint32_t slu_motion_source(const slu_motion_receiver *receiver);

/* Want no more (LIMIT, semi-join): tells all senders, also those still to come,
 * and drops what has arrived. Idempotent, never blocks. */
SLU_API void slu_motion_stop(slu_motion_receiver *receiver);

/* ---- statistics ------------------------------------------------------------ */

/* Of one channel of a motion, or of all together. */
struct slu_motion_stats {
	uint64_t rows;           /* sent or received */
	uint64_t bytes;          /* payload of frames, with padding */
	uint64_t frames;         /* published, or taken from the channel */
	uint64_t stalls;         /* times it was waited for */
	uint64_t blocked_ns;     /* time in these waits */
	uint64_t drained_frames; /* receiver: taken in while waiting for something else */
	uint64_t spilled_bytes;  /* receiver: of these, written to the temporary file */
	uint32_t window_frames;  /* current window; of all: the largest */
	uint32_t remote;         /* channels to other hosts */
	uint32_t stopped;        /* channels that ended by STOP */
	uint32_t ended;          /* channels that had EOS */
};

/* peer: 0 ... peer_count - 1, or SLU_MOTION_ALL. A wait for any sender counts
 * for the one whose frame ended it. -EINVAL: no such peer. */
SLU_API int slu_motion_sender_stats(const slu_motion_sender *sender, uint32_t peer,
                                    struct slu_motion_stats *ret_stats);
SLU_API int slu_motion_receiver_stats(const slu_motion_receiver *receiver, uint32_t peer,
                                      struct slu_motion_stats *ret_stats);

#ifdef __cplusplus
}
#endif
#endif
