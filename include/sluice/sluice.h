/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sluice.h - the public interface of the Sluice transport: an endpoint in the
 * arena of this host, and one-way, ordered, flow-controlled channels between
 * endpoints.
 *
 * A process attaches to the agent (`sluiced`) of its host and maps the arena.
 * It opens one end of each channel it needs, by key and token; the other end
 * is opened by another process, on this host or on another, before or after.
 * Data travels in frames: fixed-size buffers in the arena. The sender writes
 * into a frame, the receiver reads the same bytes where they landed; on one
 * host nothing is copied and the agent is not involved after open.
 *
 * Threads: an endpoint, its channels and its sets belong to one thread at a
 * time. Several endpoints in one process are independent. An endpoint does not
 * survive fork(): the child must not use it (calls return -EPERM) and attaches
 * anew.
 *
 * Results: 0 is success. A positive code is a result the caller must handle
 * (enum slu_result). A negative value is an errno and is final for the object
 * it names; slu_channel_reason() tells why in words. Outputs (ret_*) are
 * written only on success unless said otherwise.
 *
 * Ownership words: takes, borrows until ..., returns owned, shared.
 */
#ifndef SLUICE_SLUICE_H
#define SLUICE_SLUICE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SLU_API __attribute__((visibility("default")))

/* Version of this interface; the shared library's soname carries the major. */
#define SLU_VERSION_MAJOR 0
#define SLU_VERSION_MINOR 1

enum slu_result {
	SLU_OK = 0,
	SLU_AGAIN = 1,   /* nothing there, or no credit: wait, then try again */
	SLU_STOPPED = 2, /* the receiver wants no more (sticky); send EOS and close */
	SLU_EOS = 3,     /* the sender has ended the channel and all was received */
	SLU_TIMEOUT = 4, /* the deadline passed */
	SLU_FOREIGN = 5, /* the caller's own descriptor is readable */
};

typedef struct slu_endpoint slu_endpoint;
typedef struct slu_channel slu_channel;
typedef struct slu_set slu_set;

/*
 * The name of a channel. Both ends give the same one. Unique among the open
 * channels of a cluster; it may be used again once both ends are closed.
 */
struct slu_key {
	uint64_t cluster;     /* cluster id; must be the agent's */
	uint64_t query;       /* e.g. session and command number */
	uint32_t motion;      /* motion within the query */
	uint32_t source;      /* sending member of the motion */
	uint32_t destination; /* receiving member */
	uint32_t reserved;    /* 0 */
};

/* What the dispatcher told both ends, and nobody else. Random, never reused. */
struct slu_token {
	uint8_t bytes[16];
};

/* ---- endpoint ---------------------------------------------------------- */

struct slu_attach_options {
	const char *socket_path; /* agent's Unix socket; NULL: $SLUICE_SOCKET, else
	                            /run/sluice/sluiced.sock */
	uint64_t cluster;        /* cluster id; must be the agent's */
	const char *name;        /* for reasons and statistics, e.g. "seg2 slice3";
	                            NULL: "pid N". At most 47 bytes are kept. */
	uint64_t spin_ns_max;    /* longest busy wait before sleeping; 0: the
	                            default (adaptive, at most 20 us);
	                            SLU_SPIN_NEVER, SLU_SPIN_ALWAYS */
	uint64_t timeout_ns;     /* for the agent to answer; 0: 5 s */
};
#define SLU_SPIN_NEVER  UINT64_C(1)
#define SLU_SPIN_ALWAYS UINT64_MAX

/*
 * Attach to the agent of this host. *ret_endpoint is returned owned; end it
 * with slu_endpoint_detach(). May block for timeout_ns.
 *   -ENOENT, -ECONNREFUSED  no agent there
 *   -EACCES                 the agent does not serve this user
 *   -ESTALE                 another cluster id than the agent's
 *   -EPROTONOSUPPORT        agent and library speak different versions
 *   -EUSERS                 all process slots of the arena are taken
 *   -ETIMEDOUT, -ENOMEM, -EMFILE
 */
SLU_API int slu_endpoint_attach(const struct slu_attach_options *options,
                                slu_endpoint **ret_endpoint);

/*
 * Close every channel that is still open (a sender that sent no EOS resets
 * its channel) and leave the arena. Takes endpoint; NULL is allowed.
 */
SLU_API void slu_endpoint_detach(slu_endpoint *endpoint);

/*
 * A descriptor for an event loop, borrowed until detach. It becomes readable
 * after slu_endpoint_arm() returned 0 and something happened. Call
 * slu_endpoint_disarm() when the loop wakes, whatever woke it.
 */
SLU_API int slu_endpoint_fd(const slu_endpoint *endpoint);

/* 0: armed, sleeping is safe. SLU_AGAIN: something happened already, do not
 * sleep. Negative: the agent is gone. Never blocks. */
SLU_API int slu_endpoint_arm(slu_endpoint *endpoint);
SLU_API void slu_endpoint_disarm(slu_endpoint *endpoint);

/* The name of this node, as its agent knows it: what processes on other hosts give as
 * slu_open_options.peer. Borrowed until detach. */
SLU_API const char *slu_endpoint_node(const slu_endpoint *endpoint);

/* Bytes of payload that one frame holds in this arena. */
SLU_API size_t slu_endpoint_frame_capacity(const slu_endpoint *endpoint);

/* Why the last call on this endpoint failed, in words; "" if none did.
 * Borrowed until the next call on the endpoint. */
SLU_API const char *slu_endpoint_error(const slu_endpoint *endpoint);

/* As slu_endpoint_error(), for an attach that failed in this thread. */
SLU_API const char *slu_attach_error(void);

/* ---- channel ----------------------------------------------------------- */

enum slu_direction { SLU_SEND = 1, SLU_RECV = 2 };

struct slu_open_options {
	struct slu_key key;
	struct slu_token token;
	enum slu_direction direction;
	const char *peer;               /* node name of the other end's agent; NULL, ""
	                                   or this node's own name: same host */
	uint64_t rendezvous_timeout_ns; /* RESET when the other end has not come by
	                                   then; 0: the agent's setting */
	uint32_t window_frames_max;     /* 0: the agent's setting */
	uint32_t urgent;                /* 1: small and latency-bound (WAL, control):
	                                   not queued behind bulk frames */
	uint32_t encrypted;             /* 1: the network is not to see what it carries:
	                                   -ENOKEY, or RESET where that shows only later,
	                                   unless peer is this host or both agents encrypt
	                                   ([driver] encrypt in sluiced.conf) */
};

/*
 * Open one end. Either end may come first: the sender may write at once, up to
 * its window. *ret_channel is returned owned by the endpoint; end it with
 * slu_channel_close(). Blocks for one answer of the agent.
 *   -EACCES     the other end was opened with another token
 *   -EEXIST     this end is open already
 *   -EHOSTUNREACH  the agent knows no node of that name
 *   -ENOKEY     the way to the peer is not encrypted, and was to be
 *   -ENOSPC     max_channels are open: each is guaranteed a frame
 *   -ESTALE     another cluster id than the agent's
 *   -ENOTCONN   the agent is gone (re-attach)
 *   -EINVAL
 */
SLU_API int slu_channel_open(slu_endpoint *endpoint, const struct slu_open_options *options,
                             slu_channel **ret_channel);

/*
 * Close this end. Takes channel. A receiver that closes before EOS stops the
 * sender (as slu_channel_stop); frames it still holds are returned and must not
 * be read any more. A sender that closes without EOS resets the channel with
 * -ECANCELED: a result cut short is never taken for a whole one.
 */
SLU_API void slu_channel_close(slu_channel *channel);

/* The caller's own pointer, for finding its state from a channel. */
SLU_API void slu_channel_set_user(slu_channel *channel, void *user);
SLU_API void *slu_channel_user(const slu_channel *channel);

/*
 * Why the channel was reset, in words: names host, process and channel.
 * "" when it was not. Borrowed until close.
 */
SLU_API const char *slu_channel_reason(slu_channel *channel);

/* End the channel in both directions with a reason for the other end.
 * error: a positive errno, reported there as its negative. text is copied, at
 * most 127 bytes. Data in flight may be lost. Idempotent; never blocks. */
SLU_API int slu_channel_reset(slu_channel *channel, int error, const char *text);

/* ---- sending ----------------------------------------------------------- */

/*
 * Every open channel has at most one frame being written. Either fill it whole
 * (acquire, commit) or piece by piece (reserve, append ... flush); a commit or
 * a flush publishes it. Results of acquire, reserve, flush and eos:
 *   SLU_AGAIN    no credit: wait (slu_channel_wait, slu_set_wait), then repeat
 *   SLU_STOPPED  the receiver wants no more
 *   -ECONNRESET or the errno the channel was reset with: see slu_channel_reason
 *   -ENOTCONN    the agent is gone
 *   -EPIPE       EOS was sent already
 */

/* The frame being written, a new one if there is none. *ret_data is borrowed
 * until commit, 32-byte aligned, of *ret_capacity_bytes. */
SLU_API int slu_channel_acquire(slu_channel *channel, void **ret_data, size_t *ret_capacity_bytes);

/* Publish the first size_bytes of the frame. tag is the caller's own 16 bits,
 * delivered with the frame. size_bytes may be 0. Never fails for want of
 * credit. -EINVAL: no frame is being written, or size_bytes exceeds it. */
SLU_API int slu_channel_commit(slu_channel *channel, size_t size_bytes, uint16_t tag);

/* For slu_channel_reserve() below; not to be used alone. */
struct slu_cursor {
	uint8_t *next; /* next free byte of the frame being written; NULL: none */
	uint8_t *end;
};
SLU_API int slu_channel_reserve_slow(slu_channel *channel, size_t size_bytes, void **ret_data);

/*
 * Room for size_bytes in the frame being written; if it does not hold them the
 * frame is published and a new one begun. *ret_data is borrowed until append
 * or flush and 8-byte aligned if all sizes appended are multiples of 8.
 * -EMSGSIZE: more than a frame holds.
 */
static inline int slu_channel_reserve(slu_channel *channel, size_t size_bytes, void **ret_data)
{
	struct slu_cursor *cursor = (struct slu_cursor *)(void *)channel; /* first member */

	if (__builtin_expect((size_t)(cursor->end - cursor->next) >= size_bytes, 1) && size_bytes) {
		*ret_data = cursor->next;
		return SLU_OK;
	}
	return slu_channel_reserve_slow(channel, size_bytes, ret_data);
}

/* The first size_bytes of what reserve gave are written and stay. */
static inline void slu_channel_append(slu_channel *channel, size_t size_bytes)
{
	((struct slu_cursor *)(void *)channel)->next += size_bytes;
}

/* Publish the frame being written, if it has any bytes. Never blocks. */
SLU_API int slu_channel_flush(slu_channel *channel);

/* Publish what is being written and end the channel: the receiver gets SLU_EOS
 * after the last frame. Needs no credit and never blocks. */
SLU_API int slu_channel_eos(slu_channel *channel);

/* ---- receiving --------------------------------------------------------- */

struct slu_frame {
	const void *data; /* 32-byte aligned, in the arena */
	uint32_t size_bytes;
	uint16_t tag; /* what the sender gave to commit; 0 after flush */
	uint16_t reserved;
	uint32_t frame_idx;   /* for release */
	slu_channel *channel; /* the channel it came on */
};

/*
 * The next frame of this channel, without copying. Borrowed until
 * slu_frame_release() or close. Several may be held; each uses a frame of the
 * channel's window until released, in any order.
 *   SLU_AGAIN, SLU_EOS; negative: reset (frames sent before it may be lost)
 */
SLU_API int slu_channel_recv(slu_channel *channel, struct slu_frame *ret_frame);

/* Give the frame back: the sender gets the credit. Its data must not be read
 * any more. -EINVAL: not a frame that this channel holds. */
SLU_API int slu_frame_release(const struct slu_frame *frame);

/* Want no more. Sticky: also reaches a sender that opens later. Frames in
 * flight are dropped. Idempotent, never blocks. */
SLU_API int slu_channel_stop(slu_channel *channel);

/* ---- sets and waiting -------------------------------------------------- */

/* An empty set, returned owned. It borrows its channels: a closed channel
 * leaves its set by itself. A channel is in at most one set. */
SLU_API int slu_set_create(slu_endpoint *endpoint, slu_set **ret_set);
SLU_API void slu_set_destroy(slu_set *set);                  /* takes set, not its channels */
SLU_API int slu_set_add(slu_set *set, slu_channel *channel); /* -EBUSY: in a set */
SLU_API int slu_set_remove(slu_set *set, slu_channel *channel);

/*
 * The next frame from any receiving channel of the set, fairly (channels with
 * data take turns). ret_frame->channel is also written with SLU_EOS and with a
 * negative result. Each is told once per channel, here or by slu_channel_recv();
 * then the channel is quiet.
 * SLU_AGAIN: none has any.
 */
SLU_API int slu_set_recv(slu_set *set, struct slu_frame *ret_frame);

/*
 * Wait until something may have happened on a channel of the set: data, EOS,
 * RESET for receivers; credit, STOP, RESET for senders that got SLU_AGAIN.
 * deadline_ns is absolute, CLOCK_MONOTONIC; UINT64_MAX: none; 0: only look.
 * foreign_fd: also return when it is readable; -1: none.
 *   SLU_OK       try again what returned SLU_AGAIN (it may return it again)
 *   SLU_TIMEOUT  SLU_FOREIGN  -ENOTCONN (agent gone)  -EINTR (signal handler ran)
 * Spins as slu_attach_options.spin_ns_max says, then sleeps at no CPU.
 */
SLU_API int slu_set_wait(slu_set *set, uint64_t deadline_ns, int foreign_fd);

/* As slu_set_wait() for one channel, whether or not it is in a set. */
SLU_API int slu_channel_wait(slu_channel *channel, uint64_t deadline_ns, int foreign_fd);

/* CLOCK_MONOTONIC now, in ns, for deadlines. */
SLU_API uint64_t slu_now_ns(void);

/* ---- statistics -------------------------------------------------------- */

struct slu_channel_stats {
	uint64_t frames;        /* published, or received */
	uint64_t bytes;         /* payload of these */
	uint64_t stalls;        /* times it had no credit, or nothing to receive */
	uint64_t blocked_ns;    /* time in waits that this channel ended, if over 1 us */
	uint64_t in_flight;     /* frames published and not yet released */
	uint32_t window_frames; /* current window */
	uint32_t remote;        /* 1: the other end is on another host */
};
SLU_API void slu_channel_stats(const slu_channel *channel, struct slu_channel_stats *ret_stats);

struct slu_endpoint_stats {
	uint64_t spins;         /* waits that ended while spinning */
	uint64_t sleeps;        /* waits that slept */
	uint64_t wakeups_sent;  /* doorbells rung for other processes */
	uint64_t frames_cached; /* frames kept for this process */
};
SLU_API void slu_endpoint_stats(const slu_endpoint *endpoint, struct slu_endpoint_stats *ret_stats);

#ifdef __cplusplus
}
#endif
#endif
