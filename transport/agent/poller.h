/* SPDX-License-Identifier: Apache-2.0 */
/*
 * poller.h - a data thread of the agent: it runs one engine over one driver
 * instance, spins while there is work and sleeps when there is none. The
 * conductor talks to it by letters, and it to the conductor.
 *
 * Threads: poller_create and poller_destroy block for the thread's answer; all
 * others only post. Called by the conductor.
 */
#ifndef TRANSPORT_AGENT_POLLER_H
#define TRANSPORT_AGENT_POLLER_H

#include "transport/agent/config.h"
#include "transport/agent/doorbells.h"
#include "transport/agent/mailbox.h"
#include "transport/agent/peer_codec.h"
#include "transport/engine/engine.h"

struct poller;

struct poller_config {
	uint32_t idx; /* also its process slot */
	uint32_t peer_count;
	struct arena *arena; /* borrowed, as all others */
	const struct config *config;
	struct doorbells *doorbells;
	struct mailbox *out; /* to the conductor */
};

/* ---- to the conductor -------------------------------------------------- */

enum poller_event_type {
	POLLER_OPENED,  /* result of an open */
	POLLER_DONE,    /* the engine is done with a channel */
	POLLER_CONTROL, /* send a message to a peer */
	POLLER_DROP,    /* a peer's message could not be followed */
};

struct poller_event {
	struct letter letter; /* first */
	enum poller_event_type type;
	uint32_t poller;
	uint32_t chan_idx;
	int result;     /* OPENED */
	uint32_t peer;  /* CONTROL, DROP */
	uint32_t epoch; /* of the peer's connection that it is meant for */
	uint32_t size_bytes;
	char text[ARENA_ERROR_BYTES]; /* OPENED that failed, DROP */
	uint8_t message[];            /* CONTROL */
};

/* ---- from the conductor ------------------------------------------------ */

/* Whether this build has the driver that the configuration names, and the driver does
 * what is asked of it; a host without peers needs none. 0; -EINVAL with error
 * (CONFIG_ERROR_MAX bytes). */
int poller_config_check(const struct config *config, char *error);

/* Makes the thread and, on it, engine and driver. *ret_poller is returned owned.
 * error: CONFIG_ERROR_MAX bytes. */
int poller_create(const struct poller_config *config, struct poller **ret_poller, char *error);

/* Takes poller: ends the thread; no frame of the arena is in use by its driver
 * any more. */
void poller_destroy(struct poller *poller);

/* Of the driver, for peers. Borrowed until destroy. */
const char *poller_address(const struct poller *poller);
/* Bytes of messages that wait for it. */
size_t poller_backlog_bytes(const struct poller *poller);

void poller_peer_up(struct poller *poller, uint32_t peer, uint32_t epoch, const char *name,
                    const char *address, bool connects, bool encrypted);
void poller_peer_down(struct poller *poller, uint32_t peer);
void poller_peer_dead(struct poller *poller, uint32_t peer, const char *reason);
void poller_message(struct poller *poller, uint32_t peer, const void *message, size_t size_bytes);

/* POLLER_OPENED follows. */
void poller_open(struct poller *poller, const struct engine_open *open);
/* The local end is closed; POLLER_DONE follows. error: positive, 0: in order. */
void poller_close(struct poller *poller, uint32_t chan_idx, int error, const char *reason);

#endif
