/* SPDX-License-Identifier: Apache-2.0 */
/*
 * entries.h - the channel entries of the arena as the conductor sees them: who
 * has which end of which. An entry is used again only when no living process and
 * no engine can touch it any more.
 *
 * Threads: the conductor's.
 */
#ifndef TRANSPORT_AGENT_ENTRIES_H
#define TRANSPORT_AGENT_ENTRIES_H

#include "transport/agent/deadlines.h"
#include "transport/channel.h"

#include <sluice/sluice.h>

#include <sys/queue.h>
#include <uthash.h>

enum entry_end_state {
	END_ABSENT = 0, /* nobody has come */
	END_OPEN,
	END_LEFT,   /* its process lost us but may live: it counts as closed, and its
	               memory as in use */
	END_CLOSED, /* nobody of this end touches the entry any more */
};

/* Indexes of struct entry's ends: direction - 1. */
#define END_SENDER   0
#define END_RECEIVER 1

struct entry;

struct entry_end {
	enum entry_end_state state;
	struct entry *entry;
	struct member *member; /* OPEN, LEFT; NULL: the engine of another host's end */
	LIST_ENTRY(entry_end) of_member;
};

/* A process in a slot; embedded in what knows more of it. */
struct member {
	uint32_t slot;
	uint32_t pid;
	char name[PROC_NAME_BYTES];
	LIST_HEAD(, entry_end) ends; /* its ends, OPEN or LEFT */
};

enum entry_remote {
	ENTRY_LOCAL = 0,
	ENTRY_WAITS,   /* for its peer to come up; no engine knows it */
	ENTRY_OPENING, /* its engine was told */
	ENTRY_ENGINE,  /* its engine has it, until it says done */
	ENTRY_DONE,    /* no engine knows it any more */
};

/* What only channels to another host have. */
struct entry_far {
	enum entry_remote state;
	int local_end; /* the one that is here */
	uint32_t peer;
	uint32_t poller;     /* whose engine */
	uint32_t request_id; /* of the open that waits for the engine's answer; 0: none */
	bool urgent;
	bool encrypted;  /* or not at all */
	bool listed;     /* in waiting */
	bool close_sent; /* the engine was told that the local end is closed */
	TAILQ_ENTRY(entry) waiting;
};

struct entry {
	uint32_t chan_idx;
	uint32_t open_count;
	struct slu_key key;
	struct slu_token token;
	struct entry_end ends[2];
	bool keyed;               /* in the table of rendezvous.c */
	bool joined;              /* both ends know each other */
	int reset_error;          /* the agent reset it: positive errno */
	char *reset_text;         /* owned; kept only while an engine writes the shared reset */
	struct deadline deadline; /* of the rendezvous */
	uint64_t timeout_ns;      /* what it was, for the reason */
	void *owner;              /* of the deadline: who handles its expiry */
	UT_hash_handle by_key;
	struct entry_far far;
};

struct entries {
	struct arena *arena;   /* borrowed */
	struct port *port;     /* borrowed; to notify through */
	struct entry **by_idx; /* NULL: free */
	uint32_t *open_counts; /* own copy of what the arena says */
	uint32_t *free_idx;    /* stack */
	uint32_t free_count;
};

int entries_init(struct entries *entries, struct arena *arena, struct port *port);
void entries_fini(struct entries *entries);

/* Take a free entry and make its shared part anew; ends are absent. window_max
 * 0: the ring. *ret_entry is owned by entries. -ENOSPC, -ENOMEM. */
int entries_take(struct entries *entries, const struct slu_key *key, const struct slu_token *token,
                 uint32_t window_max, bool remote, struct entry **ret_entry);

/* Both ends are CLOSED or ABSENT: free the frames queued in it, then the entry. */
void entries_give(struct entries *entries, struct entry *entry);

/* The open entry, if open_count is its; else NULL. */
struct entry *entries_find(const struct entries *entries, uint32_t chan_idx, uint32_t open_count);

/* Give an end to a member; the shared part still says SLOT_NONE. */
void entry_end_take(struct entry *entry, int end, struct member *member);
/* Take it from its member: CLOSED, SLOT_NONE. */
void entry_end_drop(struct entries *entries, struct entry_end *end);

static inline bool entry_end_is_closed(const struct entry_end *end)
{
	return end->state == END_LEFT || end->state == END_CLOSED;
}

static inline bool entry_end_holds_memory(const struct entry_end *end)
{
	return end->state == END_OPEN || end->state == END_LEFT;
}

static inline int entry_end_direction(const struct entry_end *end)
{
	return end == &end->entry->ends[END_SENDER] ? END_SENDER : END_RECEIVER;
}

static inline struct entry_end *entry_end_other(const struct entry_end *end)
{
	return &end->entry->ends[!entry_end_direction(end)];
}

struct chan_shm *entry_shm(const struct entries *entries, const struct entry *entry);

/* Write the slots of both ends, so that each finds the other. */
void entry_publish_slots(struct entries *entries, struct entry *entry, uint32_t sender_slot,
                         uint32_t receiver_slot);

/* Wake every end that is open, whether or not it says it sleeps. */
void entry_notify(struct entries *entries, struct entry *entry);

/* Reset the channel, if the agent has not yet, and notify. error: positive. While
 * an engine has the channel it is the one to write into the shared part: what it
 * is to be told is then kept in entry. */
void entry_reset(struct entries *entries, struct entry *entry, int error, const char *text);

/* "channel QUERY/MOTION SOURCE->DESTINATION" */
#define ENTRY_NAME_BYTES 80u
void entry_name(const struct slu_key *key, char *ret_name);

#endif
