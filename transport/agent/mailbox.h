/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mailbox.h - letters from one thread to another, in order, for the control path
 * only: a mutex, a list, and a descriptor that says when there are some.
 */
#ifndef TRANSPORT_AGENT_MAILBOX_H
#define TRANSPORT_AGENT_MAILBOX_H

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/queue.h>

struct letter {
	STAILQ_ENTRY(letter) next;
	size_t size_bytes; /* of what the mailbox may bound */
};
STAILQ_HEAD(letter_list, letter);

struct mailbox {
	pthread_mutex_t mutex;
	struct letter_list letters;
	_Atomic size_t waiting_bytes;
	_Atomic int waiting; /* 1: there are letters; a hint without the mutex */
	int event_fd;        /* readable when there are */
};

int mailbox_init(struct mailbox *mailbox);  /* 0 or -errno */
void mailbox_fini(struct mailbox *mailbox); /* letters left in it are freed (free) */

/* Takes letter. */
void mailbox_post(struct mailbox *mailbox, struct letter *letter);

/* All letters, returned owned; none quickly if there are none. */
void mailbox_take(struct mailbox *mailbox, struct letter_list *ret_letters);

#endif
