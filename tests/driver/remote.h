/* SPDX-License-Identifier: Apache-2.0 */
/*
 * remote.h - driver instances in another process, also of another host: a table of
 * driver ops each of which is done there, over a TCP connection, so that the suite
 * speaks with a far instance as with one of its own. What the far driver asks its
 * host for, buffers, is asked here. Both processes are the same program on the same
 * kind of machine.
 */
#ifndef TESTS_DRIVER_REMOTE_H
#define TESTS_DRIVER_REMOTE_H

#include <netinet/in.h>

#include "transport/driver.h"

/* config->environment of an instance that remote_ops opens. */
struct remote_place {
	struct sockaddr_in address; /* where the far process listens */
	const char *driver;         /* what it opens */
};

/* The descriptor is that of the connection, the deadline of this host's clock. A
 * far process that ends is a fatal failure of the test. */
extern const struct slu_driver_ops remote_ops;

/* The frame holds nothing any more: overwrites the far copy too, which a driver
 * that still reads it would send. */
void remote_scribble(struct slu_driver *driver, const void *frame, uint32_t size_bytes);

/* In the near process, before any instance is opened: connects to the far process
 * and waits for it to listen. The descriptor is to be closed when all is done; the
 * far process ends then. -1: there is none, with a message. */
int remote_attach(const struct sockaddr_in *address);

/* A socket that listens at *address, whose port becomes the one it got when it was
 * 0. -1 with a message. */
int remote_listen(struct sockaddr_in *address);
/* The far process: a process for each instance, until the near one has closed what
 * it got of remote_attach. Takes listener; returns how many of them failed. */
int remote_serve(int listener);

#endif
