/* SPDX-License-Identifier: Apache-2.0 */
/*
 * endpoint.h - what is behind the handles of sluice.h. endpoint.c talks to the
 * agent, channel_api.c sends and receives, wait.c has the sets and the waiting.
 */
#ifndef TRANSPORT_ENDPOINT_H
#define TRANSPORT_ENDPOINT_H

#include "transport/channel.h"
#include "transport/client_codec.h"

#include <sluice/sluice.h>
#include <sys/queue.h>
#include <sys/types.h>

#define ENDPOINT_SPIN_DEFAULT_NS UINT64_C(20000)
#define ENDPOINT_TIMEOUT_NS      UINT64_C(5000000000)

struct slu_channel {
	struct slu_cursor cursor; /* first: slu_channel_reserve() inlines it */
	slu_endpoint *endpoint;
	enum slu_direction direction;
	uint32_t chan_idx;
	uint32_t open_count;
	union {
		struct chan_tx tx;
		struct chan_rx rx;
	};
	uint32_t frame_idx;   /* sender: the one being written, or FRAME_NONE */
	uint32_t held_frames; /* receiver: not yet released */
	bool event;           /* marked ready and nobody has looked since */
	bool stalled;         /* the last call returned SLU_AGAIN */
	bool ended;           /* receiver: EOS or reset was told */
	void *user;
	slu_set *set;
	bool queued; /* in set->queue */
	TAILQ_ENTRY(slu_channel) queue_entry;
	LIST_ENTRY(slu_channel) set_entry;
	LIST_ENTRY(slu_channel) endpoint_entry;
};

TAILQ_HEAD(channel_queue, slu_channel);
LIST_HEAD(channel_list, slu_channel);

struct slu_set {
	slu_endpoint *endpoint;
	struct channel_list members;
	struct channel_queue queue; /* members something happened on, in turn */
	uint32_t member_count;
	LIST_ENTRY(slu_set) endpoint_entry;
};

struct slu_endpoint {
	struct port port;
	struct arena *arena;
	int socket_fd;
	int doorbell_fd;
	int epoll_fd; /* doorbell and socket, for foreign event loops */
	bool agent_gone;
	uint64_t agent_looked_ns; /* last look into the socket by slu_endpoint_disarm() */
	uint32_t request_id;
	unsigned fork_count; /* of the process when it attached */
	uint64_t timeout_ns;
	uint64_t spin_max_ns;
	uint32_t spin_failures;                    /* in a row: see spin() in wait.c */
	uint32_t spin_skips;                       /* waits that sleep soon before the next try */
	struct slu_channel **senders, **receivers; /* by channel index */
	struct channel_list channels;
	LIST_HEAD(, slu_set) sets;
	char error[CLIENT_TEXT_BYTES];
};

/* -EPERM in a process that inherited the endpoint, -ENOTCONN without an agent. */
int endpoint_check(slu_endpoint *endpoint);

/* Write the endpoint's error text; returns error. */
int endpoint_fail(slu_endpoint *endpoint, int error, const char *format, ...)
        __attribute__((format(printf, 3, 4)));

/* Take what the agent has sent; notices when it is gone. Never blocks. */
void endpoint_agent_messages(slu_endpoint *endpoint);

/* Tell the agent that an end is closed. */
void endpoint_send_close(slu_endpoint *endpoint, const slu_channel *channel);

/* Take marked ready bits and put their channels in the queues of their sets. */
void endpoint_collect(slu_endpoint *endpoint);

/* wait.c: add to or take from the queue of its set, if it has one. */
void set_enqueue(slu_channel *channel);
void set_dequeue(slu_channel *channel);

/* wait.c: after a change of fortune (EOS, reset, close) */
void set_forget(slu_channel *channel);

#endif
