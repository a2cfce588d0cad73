/* SPDX-License-Identifier: Apache-2.0 */
/* remote_internal.h - what remote.c, the channels, and remote_peers.c, the peers
 * and pollers, share. */
#ifndef TRANSPORT_AGENT_REMOTE_INTERNAL_H
#define TRANSPORT_AGENT_REMOTE_INTERNAL_H

#include "transport/agent/remote.h"

#include <stddef.h>

#define ENTRY_OF(pointer, field)                                                                   \
	((struct entry *)(void *)((char *)(pointer)-offsetof(struct entry, field)))
#define REMOTE_OF(pointer, field)                                                                  \
	((struct remote *)(void *)((char *)(pointer)-offsetof(struct remote, field)))

static inline const char *peer_name(const struct remote *remote, uint32_t peer)
{
	return remote->config.config->peers[peer].name;
}

/* ---- remote.c ---------------------------------------------------------- */

/* Hand the channel to an engine; POLLER_OPENED follows. On failure it is as
 * before. A local end that is closed already has left EOS or STOP to deliver. */
int entry_start(struct remote *remote, struct entry *entry);

/* The channel has waited for its peer and wants its data encrypted, which the link to
 * the peer is not: reset it. */
void entry_refuse_plain(struct remote *remote, struct entry *entry);

/* No engine has it any more. */
void entry_engine_done(struct remote *remote, struct entry *entry);

/* The engine's answer to an open. */
void entry_opened(struct remote *remote, struct entry *entry, int result);

#endif
