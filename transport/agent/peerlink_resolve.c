/* SPDX-License-Identifier: Apache-2.0 */
/* peerlink_resolve.c - see peerlink_resolve.h. */
#include "transport/agent/peerlink_resolve.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

/*
 * Shared (refcount) by the conductor and the thread, as either may be done first.
 *
 * field      only writer  reader     ordering
 * list, rc   thread       conductor  write(fd) -> read readiness of fd
 * refs       both                    acq_rel: the last one frees
 */
struct resolve {
	_Atomic int refs;
	int fd; /* eventfd */
	struct config_address address;
	struct addrinfo *list;
	int rc;
};

static int resolve_address(const struct config_address *address, int flags,
                           struct addrinfo **ret_list)
{
	const struct addrinfo hints = {
	        .ai_family = AF_UNSPEC,
	        .ai_socktype = SOCK_STREAM,
	        .ai_flags = flags | AI_NUMERICSERV,
	};

	return getaddrinfo(address->host, address->port, &hints, ret_list);
}

int peerlink_resolve_numeric(const struct config_address *address, struct addrinfo **ret_list)
{
	return resolve_address(address, AI_NUMERICHOST, ret_list) ? -EINVAL : 0;
}

void peerlink_resolve_drop(struct resolve *resolve)
{
	if (!resolve || atomic_fetch_sub_explicit(&resolve->refs, 1, memory_order_acq_rel) > 1)
		return;
	if (resolve->list)
		freeaddrinfo(resolve->list);
	close(resolve->fd);
	free(resolve);
}

static void *resolve_run(void *ctx)
{
	struct resolve *resolve = ctx;

	resolve->rc = resolve_address(&resolve->address, AI_ADDRCONFIG, &resolve->list);
	eventfd_write(resolve->fd, 1);
	peerlink_resolve_drop(resolve);
	return NULL;
}

/* Signals are the conductor's business: none is delivered to the thread. */
static int resolve_thread(struct resolve *resolve)
{
	pthread_attr_t attr;
	pthread_t thread;
	sigset_t all, before;
	int rc;

	sigfillset(&all);
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	rc = pthread_create(&thread, &attr, resolve_run, resolve);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attr);
	return -rc;
}

int peerlink_resolve_start(const struct config_address *address, struct resolve **ret_resolve)
{
	struct resolve *resolve = calloc(1, sizeof(*resolve));
	int rc;

	if (!resolve)
		return -ENOMEM;
	resolve->address = *address;
	atomic_init(&resolve->refs, 2);
	resolve->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (resolve->fd < 0) {
		rc = -errno;
		goto err_free;
	}
	rc = resolve_thread(resolve);
	if (rc)
		goto err_close;
	*ret_resolve = resolve;
	return 0;

err_close:
	close(resolve->fd);
err_free:
	free(resolve);
	return rc;
}

int peerlink_resolve_fd(const struct resolve *resolve)
{
	return resolve->fd;
}

int peerlink_resolve_finish(struct resolve *resolve, struct addrinfo **ret_list)
{
	eventfd_t count;
	int rc;

	eventfd_read(resolve->fd, &count); /* pairs with the write in resolve_run */
	rc = resolve->rc;
	*ret_list = resolve->list;
	resolve->list = NULL;
	peerlink_resolve_drop(resolve);
	return rc;
}
