/* SPDX-License-Identifier: Apache-2.0 */
/* remote_peers.c - see remote.h: the peers, and the pollers that serve them. */
#include "transport/agent/remote_internal.h"
#include "transport/clock.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>

#define REMOTE_BACKLOG_BYTES_MAX (64u << 20) /* of a peer's messages, in one poller */

/* ---- what pollers say -------------------------------------------------- */

static void on_poller_event(struct remote *remote, const struct poller_event *event)
{
	struct entry *entry = remote->config.entries->by_idx[event->chan_idx];

	switch (event->type) {
	case POLLER_OPENED:
		entry_opened(remote, entry, event->result);
		break;
	case POLLER_DONE:
		entry_engine_done(remote, entry);
		remote_settle(remote, entry);
		break;
	case POLLER_CONTROL:
		/* What was meant for a connection that is over is not for the next. */
		if (remote->peers[event->peer].epoch == event->epoch)
			peerlink_send(remote->peerlink, event->peer, event->message,
			              event->size_bytes);
		break;
	case POLLER_DROP:
		if (remote->peers[event->peer].epoch == event->epoch)
			peerlink_drop(remote->peerlink, event->peer, event->text);
		break;
	}
}

static void on_mailbox(struct loop_source *source, uint32_t epoll_events)
{
	struct remote *remote = REMOTE_OF(source, mailbox_source);
	struct letter_list letters;
	struct letter *letter;

	mailbox_take(&remote->mailbox, &letters);
	while ((letter = STAILQ_FIRST(&letters))) {
		STAILQ_REMOVE_HEAD(&letters, next);
		on_poller_event(remote, (struct poller_event *)(void *)letter);
		free(letter);
	}
}

/* ---- what peers say ---------------------------------------------------- */

static void on_peer_up(uint32_t peer_idx, const struct peer_hello *hello, bool resumed, void *ctx)
{
	struct remote *remote = ctx;
	struct remote_peer *peer = &remote->peers[peer_idx];
	uint32_t count =
	        hello->rail_count < remote->poller_count ? hello->rail_count : remote->poller_count;
	struct peerlink_peer link;
	struct entry *entry, *next;

	peer->epoch++;
	if (count == 0) {
		peerlink_drop(remote->peerlink, peer_idx, "it says of no driver where to reach it");
		return;
	}
	/* The count stays for as long as the engines know the peer: its rails are
	 * those of one start of that agent. */
	peer->poller_count = count;
	peer->up = true;
	peerlink_peer_get(remote->peerlink, peer_idx, &link);
	peer->encrypted = link.encrypted;
	remote->encrypted_count += link.encrypted;
	arena_count_set(remote->config.arena, ARENA_PEERS_UP, ++remote->up_count);
	arena_count_set(remote->config.arena, ARENA_PEERS_ENCRYPTED, remote->encrypted_count);
	for (uint32_t i = 0; i < count; i++)
		poller_peer_up(remote->pollers[i], peer_idx, peer->epoch,
		               peer_name(remote, peer_idx), hello->rails[i].address,
		               peerlink_connects(remote->peerlink, peer_idx), peer->encrypted);
	for (entry = TAILQ_FIRST(&peer->waiting); entry; entry = next) {
		next = TAILQ_NEXT(entry, far.waiting);
		if (entry->far.encrypted && !peer->encrypted)
			entry_refuse_plain(remote, entry);
		else
			entry_start(remote, entry);
	}
}

static void peer_not_up(struct remote *remote, struct remote_peer *peer)
{
	peer->epoch++;
	if (!peer->up)
		return;
	peer->up = false;
	remote->encrypted_count -= peer->encrypted;
	arena_count_set(remote->config.arena, ARENA_PEERS_UP, --remote->up_count);
	arena_count_set(remote->config.arena, ARENA_PEERS_ENCRYPTED, remote->encrypted_count);
	arena_count(remote->config.arena, ARENA_PEERS_LOST, 1);
}

static void on_peer_down(uint32_t peer_idx, const char *reason, void *ctx)
{
	struct remote *remote = ctx;
	struct remote_peer *peer = &remote->peers[peer_idx];

	peer_not_up(remote, peer);
	for (uint32_t i = 0; i < peer->poller_count; i++)
		poller_peer_down(remote->pollers[i], peer_idx);
}

static void on_peer_dead(uint32_t peer_idx, const char *reason, void *ctx)
{
	struct remote *remote = ctx;
	struct remote_peer *peer = &remote->peers[peer_idx];

	peer_not_up(remote, peer);
	for (uint32_t i = 0; i < peer->poller_count; i++)
		poller_peer_dead(remote->pollers[i], peer_idx, reason);
	peer->poller_count = 0;
}

/* The first byte of a message is the number of the poller it is for. */
static void on_peer_message(uint32_t peer_idx, const void *data, size_t size_bytes, void *ctx)
{
	struct remote *remote = ctx;
	struct remote_peer *peer = &remote->peers[peer_idx];
	const uint8_t *bytes = data;

	if (size_bytes < 1 || bytes[0] >= peer->poller_count) {
		peerlink_drop(remote->peerlink, peer_idx,
		              "a message for a poller that is not there");
		return;
	}
	if (poller_backlog_bytes(remote->pollers[bytes[0]]) > REMOTE_BACKLOG_BYTES_MAX) {
		peerlink_drop(remote->peerlink, peer_idx, "more messages than the poller takes");
		return;
	}
	poller_message(remote->pollers[bytes[0]], peer_idx, bytes + 1, size_bytes - 1);
}

static void on_peerlink_ready(struct loop_source *source, uint32_t epoll_events)
{
	struct remote *remote = REMOTE_OF(source, peerlink_source);

	peerlink_process(remote->peerlink, remote->config.loop->now_ns);
}

static void on_peerlink_deadline(struct deadline *deadline, uint64_t now_ns)
{
	struct remote *remote = REMOTE_OF(deadline, peerlink_deadline);

	peerlink_process(remote->peerlink, now_ns);
}

void remote_before_sleep(struct remote *remote)
{
	struct deadlines *deadlines = &remote->config.loop->deadlines;
	uint64_t at_ns;

	if (!remote->peerlink)
		return;
	if (peerlink_deadline(remote->peerlink) == 0)
		peerlink_process(remote->peerlink, remote->config.loop->now_ns);
	at_ns = peerlink_deadline(remote->peerlink);
	/* Without memory for a deadline: as if it came at once. */
	if (at_ns == UINT64_MAX)
		deadlines_clear(deadlines, &remote->peerlink_deadline);
	else if (deadlines_set(deadlines, &remote->peerlink_deadline, at_ns) < 0)
		peerlink_process(remote->peerlink, remote->config.loop->now_ns);
}

/* ---- making and ending ------------------------------------------------- */

static int remote_pollers_start(struct remote *remote, struct peer_rail *rails, char *error)
{
	const struct config *config = remote->config.config;

	for (uint32_t i = 0; i < config->agent.poller_count; i++) {
		const struct poller_config poller = {
		        .idx = i,
		        .peer_count = (uint32_t)config->peer_count,
		        .arena = remote->config.arena,
		        .config = config,
		        .doorbells = remote->config.doorbells,
		        .out = &remote->mailbox,
		};
		int result = poller_create(&poller, &remote->pollers[i], error);

		if (result < 0)
			return result;
		remote->poller_count++;
		snprintf(rails[i].driver, sizeof(rails[i].driver), "%s", config->driver.name);
		snprintf(rails[i].address, sizeof(rails[i].address), "%s",
		         poller_address(remote->pollers[i]));
	}
	return 0;
}

static int remote_peerlink_start(struct remote *remote, const struct peer_rail *rails, char *error)
{
	const struct peerlink_options options = {
	        .config = remote->config.config,
	        .generation = remote->config.arena->generation,
	        .rails = rails,
	        .rail_count = remote->poller_count,
	};
	const struct peerlink_callbacks callbacks = {
	        .peer_up = on_peer_up,
	        .peer_down = on_peer_down,
	        .peer_dead = on_peer_dead,
	        .message = on_peer_message,
	        .ctx = remote,
	};
	struct loop *loop = remote->config.loop;
	/* The loop has not turned yet: its time is of before the arena was made. */
	int result =
	        peerlink_create(&options, &callbacks, clock_now_ns(), &remote->peerlink, error);

	if (result < 0)
		return result;
	result = loop_watch(loop, &remote->peerlink_source, peerlink_fd(remote->peerlink), EPOLLIN);
	if (result < 0)
		snprintf(error, CONFIG_ERROR_MAX, "epoll: %s", strerror(-result));
	return result;
}

int remote_init(struct remote *remote, const struct remote_config *config, char *error)
{
	struct peer_rail *rails;
	int result;

	*remote = (struct remote){
	        .config = *config,
	        .peerlink_source = {.fd = -1, .ready = on_peerlink_ready},
	        .peerlink_deadline = {.expire = on_peerlink_deadline},
	        .mailbox_source = {.fd = -1, .ready = on_mailbox},
	        .mailbox = {.event_fd = -1},
	};
	/* A cluster of one host has nobody to talk to. */
	if (config->config->peer_count == 0 && !config->config->control.listen.host[0])
		return 0;
	rails = calloc(config->config->agent.poller_count, sizeof(*rails));
	remote->peers = calloc(config->config->peer_count + 1, sizeof(*remote->peers));
	result = rails && remote->peers ? mailbox_init(&remote->mailbox) : -ENOMEM;
	if (result == 0)
		result = loop_watch(config->loop, &remote->mailbox_source, remote->mailbox.event_fd,
		                    EPOLLIN);
	if (result < 0)
		snprintf(error, CONFIG_ERROR_MAX, "start of the pollers: %s", strerror(-result));
	else
		result = remote_pollers_start(remote, rails, error);
	if (result == 0) {
		for (size_t i = 0; i < config->config->peer_count; i++)
			TAILQ_INIT(&remote->peers[i].waiting);
		result = remote_peerlink_start(remote, rails, error);
	}
	free(rails);
	if (result < 0)
		remote_fini(remote);
	return result;
}

void remote_stop_pollers(struct remote *remote)
{
	struct entries *entries = remote->config.entries;

	for (uint32_t i = 0; i < remote->poller_count; i++)
		poller_destroy(remote->pollers[i]);
	remote->poller_count = 0;
	for (uint32_t i = 0; i < remote->config.arena->max_channels; i++) {
		struct entry *entry = entries->by_idx[i];

		if (entry &&
		    (entry->far.state == ENTRY_OPENING || entry->far.state == ENTRY_ENGINE))
			entry_engine_done(remote, entry);
	}
}

void remote_fini(struct remote *remote)
{
	remote_stop_pollers(remote);
	loop_unwatch(remote->config.loop, &remote->peerlink_source);
	deadlines_clear(&remote->config.loop->deadlines, &remote->peerlink_deadline);
	peerlink_destroy(remote->peerlink);
	remote->peerlink = NULL;
	loop_unwatch(remote->config.loop, &remote->mailbox_source);
	if (remote->mailbox.event_fd >= 0)
		mailbox_fini(&remote->mailbox);
	remote->mailbox.event_fd = -1;
	free(remote->peers);
}
