/* SPDX-License-Identifier: Apache-2.0 */
/*
 * inbox.h - the events of one driver instance that wait to be polled, for
 * drivers that make their events up instead of reading them from a kernel or a
 * NIC (loop, sim, fault). It keeps what transport/driver.h promises about
 * events: order within a session, nothing after DOWN or session_close, no DOWN
 * without the ACCEPT before it, borrowed messages that stay until the next
 * poll, and sessions that wait while rx_get has no buffer.
 */
#ifndef DRIVERS_INBOX_H
#define DRIVERS_INBOX_H

#include <sys/queue.h>

#include "transport/driver.h"

/* One RECV_* or SENT (or the hello of an ACCEPT). Made by slu_inbox_item_create, freed by whoever
 * has it. */
struct slu_inbox_item {
	STAILQ_ENTRY(slu_inbox_item) link;
	enum slu_driver_event_type type; /* RECV_FRAME, RECV_SMALL or SENT */
	uint32_t size_bytes;
	uint64_t cookie; /* SENT */
	/* RECV_FRAME: where its bytes are read from when it is polled. */
	const void *message;
	/* RECV_FRAME: message is itself from rx_get and handed on, not copied. */
	bool from_rx_get;
	uint8_t bytes[]; /* the message, where it was made with room for it */
};
STAILQ_HEAD(slu_inbox_items, slu_inbox_item);

/* The inbox's part of a driver's session. */
struct slu_inbox_session {
	TAILQ_ENTRY(slu_inbox_session) ready_link;
	struct slu_inbox_items rx; /* RECV_*, in order */
	struct slu_inbox_items tx; /* SENT, in order */
	void *user;
	/* Nothing received, nor ACCEPT, UP and DOWN, is delivered before the
	 * first; no SENT and WRITABLE before the second. */
	uint64_t rx_hold_until_ns, tx_hold_until_ns;
	bool ready;                   /* on the ready list */
	bool stalled;                 /* rx_get had nothing at the last poll */
	struct slu_inbox_item *hello; /* ACCEPT waits */
	bool up_waits, down_waits, writable_waits;
	bool down; /* DOWN was queued: takes no further event */
	int error;
	char text[SLU_DRIVER_ERROR_MAX];
};

struct slu_inbox {
	TAILQ_HEAD(, slu_inbox_session) ready; /* sessions with events */
	size_t ready_count;
	struct slu_inbox_items spent; /* the caller borrows their bytes until the next poll */
	const struct slu_driver_host *host;
	/* A RECV_* of the session was handed to the caller: there is room now. May
	 * push more events; must not end the session. NULL: nobody cares. */
	void (*taken)(struct slu_inbox_session *session, enum slu_driver_event_type type,
	              uint32_t size_bytes);
	int event_fd; /* readable while armed and ready */
	bool armed, signalled;
};

/* -EMFILE, -ENFILE, -ENOMEM. host is borrowed until fini. */
int slu_inbox_init(struct slu_inbox *inbox, const struct slu_driver_host *host);
/* Every session must have left. */
void slu_inbox_fini(struct slu_inbox *inbox);

void slu_inbox_session_init(struct slu_inbox_session *session);
/* Drop what is queued and forget the session. */
void slu_inbox_session_fini(struct slu_inbox *inbox, struct slu_inbox_session *session);

/* An item with room for size_bytes in bytes[], to which message then points.
 * Returned owned; NULL: no memory. */
struct slu_inbox_item *slu_inbox_item_create(enum slu_driver_event_type type, uint32_t size_bytes);

/* Queue an event. After DOWN they have no effect; push takes item always.
 * accept copies hello; -ENOMEM. */
int slu_inbox_accept(struct slu_inbox *inbox, struct slu_inbox_session *session, const void *hello);
void slu_inbox_up(struct slu_inbox *inbox, struct slu_inbox_session *session);
void slu_inbox_writable(struct slu_inbox *inbox, struct slu_inbox_session *session);
void slu_inbox_push(struct slu_inbox *inbox, struct slu_inbox_session *session,
                    struct slu_inbox_item *item);
/* Queue DOWN in place of everything that was queued. When the ACCEPT of the
 * session was not polled yet nobody knows it: returns true, queues nothing, and
 * the driver frees the session. */
bool slu_inbox_down(struct slu_inbox *inbox, struct slu_inbox_session *session, int error,
                    const char *format, ...) __attribute__((format(printf, 4, 5)));

/* The ops of the same names. */
int slu_inbox_poll(struct slu_inbox *inbox, struct slu_driver_event *ret_events, int count);
int slu_inbox_arm(struct slu_inbox *inbox);
/* UINT64_MAX: no event waits. Otherwise when the first may be delivered. */
uint64_t slu_inbox_deadline(const struct slu_inbox *inbox);

#endif
