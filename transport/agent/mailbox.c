/* SPDX-License-Identifier: Apache-2.0 */
/* mailbox.c - see mailbox.h. */
#include "transport/agent/mailbox.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

int mailbox_init(struct mailbox *mailbox)
{
	*mailbox = (struct mailbox){.event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)};
	STAILQ_INIT(&mailbox->letters);
	if (mailbox->event_fd < 0)
		return -errno;
	pthread_mutex_init(&mailbox->mutex, NULL);
	return 0;
}

void mailbox_fini(struct mailbox *mailbox)
{
	struct letter *letter;

	while ((letter = STAILQ_FIRST(&mailbox->letters))) {
		STAILQ_REMOVE_HEAD(&mailbox->letters, next);
		free(letter);
	}
	pthread_mutex_destroy(&mailbox->mutex);
	close(mailbox->event_fd);
}

/* The descriptor is written and read under the mutex: it is readable exactly while
 * there are letters, and never wakes anybody for nothing. */
void mailbox_post(struct mailbox *mailbox, struct letter *letter)
{
	uint64_t one = 1;

	atomic_fetch_add_explicit(&mailbox->waiting_bytes, letter->size_bytes,
	                          memory_order_relaxed);
	pthread_mutex_lock(&mailbox->mutex);
	if (STAILQ_EMPTY(&mailbox->letters) &&
	    write(mailbox->event_fd, &one, sizeof(one)) != sizeof(one))
		abort(); /* it counts to 2^64 - 2, and was 0 */
	STAILQ_INSERT_TAIL(&mailbox->letters, letter, next);
	atomic_store_explicit(&mailbox->waiting, 1, memory_order_relaxed);
	pthread_mutex_unlock(&mailbox->mutex);
}

void mailbox_take(struct mailbox *mailbox, struct letter_list *ret_letters)
{
	struct letter *letter;
	uint64_t count;

	STAILQ_INIT(ret_letters);
	/* relaxed: a post that we miss has made the descriptor readable */
	if (!atomic_load_explicit(&mailbox->waiting, memory_order_relaxed))
		return;
	pthread_mutex_lock(&mailbox->mutex);
	if (read(mailbox->event_fd, &count, sizeof(count)) != sizeof(count))
		abort();
	STAILQ_CONCAT(ret_letters, &mailbox->letters);
	atomic_store_explicit(&mailbox->waiting, 0, memory_order_relaxed);
	pthread_mutex_unlock(&mailbox->mutex);
	STAILQ_FOREACH (letter, ret_letters, next)
		atomic_fetch_sub_explicit(&mailbox->waiting_bytes, letter->size_bytes,
		                          memory_order_relaxed);
}
