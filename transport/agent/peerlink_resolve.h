/* SPDX-License-Identifier: Apache-2.0 */
/*
 * peerlink_resolve.h - host names to addresses. getaddrinfo() can block for many
 * seconds, so a name is looked up by a thread of its own, which the conductor
 * never waits for; a numeric address needs no thread.
 */
#ifndef TRANSPORT_AGENT_PEERLINK_RESOLVE_H
#define TRANSPORT_AGENT_PEERLINK_RESOLVE_H

#include "transport/agent/config.h"

#include <netdb.h>

struct resolve;

/* A numeric address, at once: 0 with *ret_list returned owned (freeaddrinfo), or
 * -EINVAL: it is a name. */
int peerlink_resolve_numeric(const struct config_address *address, struct addrinfo **ret_list);

/* Start looking up a name. *ret_resolve is returned owned; end it with
 * peerlink_resolve_finish() or peerlink_resolve_drop(). -ENOMEM, -EAGAIN, -EMFILE. */
int peerlink_resolve_start(const struct config_address *address, struct resolve **ret_resolve);

/* Becomes readable when the answer is there. Borrowed until finish or drop. */
int peerlink_resolve_fd(const struct resolve *resolve);

/* Takes resolve, whose descriptor is readable. 0 with *ret_list returned owned, or
 * a code for gai_strerror(). */
int peerlink_resolve_finish(struct resolve *resolve, struct addrinfo **ret_list);

/* Takes resolve, answered or not; NULL is allowed. Does not wait. */
void peerlink_resolve_drop(struct resolve *resolve);

#endif
