/* SPDX-License-Identifier: Apache-2.0 */
/* remote.c - see remote.h: the channels. */
#include "transport/agent/remote_internal.h"

#include "transport/clock.h"
#include "transport/log.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static struct entry_end *local_end(struct entry *entry)
{
	return &entry->ends[entry->far.local_end];
}

/* Both hosts must come to the same number: FNV-1a over the key as it is named,
 * not as it lies in this host's memory. */
static uint32_t key_hash(const struct slu_key *key)
{
	const uint64_t parts[] = {key->query, key->motion, key->source, key->destination};
	uint32_t hash = 2166136261u;

	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		for (unsigned shift = 0; shift < 64; shift += 8)
			hash = (hash ^ (uint32_t)(parts[i] >> shift & 0xff)) * 16777619u;
	return hash;
}

/* ---- channels ---------------------------------------------------------- */

static void entry_unlist(struct remote *remote, struct entry *entry)
{
	if (entry->far.listed)
		TAILQ_REMOVE(&remote->peers[entry->far.peer].waiting, entry, far.waiting);
	entry->far.listed = false;
	deadlines_clear(&remote->config.loop->deadlines, &entry->deadline);
}

int entry_start(struct remote *remote, struct entry *entry)
{
	struct remote_peer *peer = &remote->peers[entry->far.peer];
	struct entry_end *local = local_end(entry);
	uint32_t poller = key_hash(&entry->key) % peer->poller_count;
	bool sends = entry->far.local_end == END_SENDER;
	uint32_t local_slot = local->member ? local->member->slot : SLOT_NONE;
	struct engine_open open = {
	        .chan_idx = entry->chan_idx,
	        .peer = entry->far.peer,
	        .direction = sends ? SLU_SEND : SLU_RECV,
	        .key = entry->key,
	        .token = entry->token,
	        .urgent = entry->far.urgent,
	        .rendezvous_deadline_ns = remote->config.loop->now_ns + entry->timeout_ns,
	};
	int result = local->state == END_OPEN
	                     ? remote->config.introduce(local->member, poller, remote->config.ctx)
	                     : 0;

	if (result < 0)
		return result;
	if (entry->deadline.heap_pos)
		open.rendezvous_deadline_ns = entry->deadline.at_ns;
	entry_unlist(remote, entry);
	entry->far.state = ENTRY_OPENING;
	entry->far.poller = poller;
	entry_end_take(entry, !entry->far.local_end, NULL);
	entry_publish_slots(remote->config.entries, entry, sends ? local_slot : poller,
	                    sends ? poller : local_slot);
	remote->engine_entries++;
	poller_open(remote->pollers[poller], &open);
	return 0;
}

static void remote_expire(struct deadline *deadline, uint64_t now_ns)
{
	struct entry *entry = ENTRY_OF(deadline, deadline);
	struct remote *remote = entry->owner;
	char name[ENTRY_NAME_BYTES], text[CHAN_REASON_BYTES];
	struct peerlink_peer peer;

	peerlink_peer_get(remote->peerlink, entry->far.peer, &peer);
	entry_name(&entry->key, name);
	snprintf(text, sizeof(text), "%s is not connected to node %s%s%.150s%s; %s waited %.1f s",
	         remote->config.config->agent.node, peer_name(remote, entry->far.peer),
	         peer.reason[0] ? " (" : "", peer.reason, peer.reason[0] ? ")" : "", name,
	         (double)entry->timeout_ns / (double)SLU_NS_PER_S);
	log_event(LOG_LEVEL_WARNING, "channel_timeout", "reason=\"%s\"", text);
	entry_unlist(remote, entry);
	entry->far.state = ENTRY_DONE;
	entry_reset(remote->config.entries, entry, ETIMEDOUT, text);
	remote_settle(remote, entry);
}

static void plain_text(const struct remote *remote, uint32_t peer, char *ret_text, size_t bytes)
{
	snprintf(ret_text, bytes,
	         "what goes from %s to node %s is not encrypted ([driver] encrypt)",
	         remote->config.config->agent.node, peer_name(remote, peer));
}

void entry_refuse_plain(struct remote *remote, struct entry *entry)
{
	char text[CHAN_REASON_BYTES];

	plain_text(remote, entry->far.peer, text, sizeof(text));
	entry_unlist(remote, entry);
	entry->far.state = ENTRY_DONE;
	entry_reset(remote->config.entries, entry, ENOKEY, text);
	remote_settle(remote, entry);
}

/* The peer has to come first. */
static int entry_wait(struct remote *remote, struct entry *entry)
{
	int result = deadlines_set(&remote->config.loop->deadlines, &entry->deadline,
	                           remote->config.loop->now_ns + entry->timeout_ns);

	if (result < 0)
		return result;
	entry->far.state = ENTRY_WAITS;
	entry->far.listed = true;
	TAILQ_INSERT_TAIL(&remote->peers[entry->far.peer].waiting, entry, far.waiting);
	return 0;
}

static void entry_init(struct remote *remote, struct entry *entry, struct member *member,
                       const struct client_open *open, uint32_t peer)
{
	uint64_t timeout_ns = open->rendezvous_timeout_ns
	                              ? open->rendezvous_timeout_ns
	                              : remote->config.config->agent.rendezvous_timeout_ns;
	bool sends = open->direction == SLU_SEND;

	entry->owner = remote;
	entry->deadline.expire = remote_expire;
	entry->timeout_ns = timeout_ns > INT64_MAX ? INT64_MAX : timeout_ns;
	entry->far.peer = peer;
	entry->far.urgent = open->flags & CLIENT_OPEN_URGENT;
	entry->far.encrypted = open->flags & CLIENT_OPEN_ENCRYPTED;
	entry->far.local_end = sends ? END_SENDER : END_RECEIVER;
	entry->far.state = ENTRY_DONE;
	entry_end_take(entry, entry->far.local_end, member);
	entry_publish_slots(remote->config.entries, entry, sends ? member->slot : SLOT_NONE,
	                    sends ? SLOT_NONE : member->slot);
}

int remote_open(struct remote *remote, struct member *member, const struct client_open *open,
                struct entry **ret_entry, char *error)
{
	const char *node = remote->config.config->agent.node;
	int peer = remote->peerlink ? peerlink_peer_find(remote->peerlink, open->peer) : -ENOENT;
	struct entry *entry;
	int result;

	if (peer < 0) {
		snprintf(error, CLIENT_TEXT_BYTES, "the agent on %s has no peer '%s'", node,
		         open->peer);
		return -EHOSTUNREACH;
	}
	if (open->flags & CLIENT_OPEN_ENCRYPTED && remote->peers[peer].poller_count &&
	    !remote->peers[peer].encrypted) {
		plain_text(remote, (uint32_t)peer, error, CLIENT_TEXT_BYTES);
		return -ENOKEY;
	}
	result = entries_take(remote->config.entries, &open->key, &open->token, open->window_max,
	                      true, &entry);
	if (result < 0) {
		snprintf(error, CLIENT_TEXT_BYTES, "%s: %u channels are open on %s",
		         strerror(-result), remote->config.arena->header->channels_open, node);
		return result;
	}
	entry_init(remote, entry, member, open, (uint32_t)peer);
	if (remote->peers[peer].poller_count) {
		entry->far.request_id = open->request_id;
		result = entry_start(remote, entry);
		if (result == 0)
			return SLU_AGAIN;
	} else {
		result = entry_wait(remote, entry);
	}
	if (result < 0) {
		entry_end_drop(remote->config.entries, local_end(entry));
		entries_give(remote->config.entries, entry);
		snprintf(error, CLIENT_TEXT_BYTES, "%s", strerror(-result));
		return result;
	}
	*ret_entry = entry;
	return 0;
}

void remote_retry(struct remote *remote, struct member *member)
{
	struct entry_end *end;

	LIST_FOREACH (end, &member->ends, of_member) {
		struct entry *entry = end->entry;

		if (entry->far.state == ENTRY_WAITS && remote->peers[entry->far.peer].poller_count)
			entry_start(remote, entry);
	}
}

/* What the closed local end leaves for the peer, once it has come: frames and
 * EOS, or STOP. */
static bool entry_lingers(struct remote *remote, struct entry *entry)
{
	return entry->far.state == ENTRY_WAITS && entry->far.listed &&
	       !chan_reset_error(entry_shm(remote->config.entries, entry));
}

/* The engine is told once. */
void remote_close(struct remote *remote, struct entry *entry, int error, const char *text)
{
	if (entry->far.state != ENTRY_ENGINE || entry->far.close_sent)
		return;
	entry->far.close_sent = true;
	poller_close(remote->pollers[entry->far.poller], entry->chan_idx, error, text);
}

/* How the local end was closed. */
static void entry_tell_close(struct remote *remote, struct entry *entry)
{
	struct chan_shm *shm = entry_shm(remote->config.entries, entry);
	char text[CHAN_REASON_BYTES] = "";
	int error = entry->reset_error;

	if (error) {
		snprintf(text, sizeof(text), "%s", entry->reset_text ? entry->reset_text : "");
	} else {
		error = -chan_reset_error(shm);
		/* a client's words: bounded, whatever it wrote there */
		snprintf(text, sizeof(text), "%.*s", (int)sizeof(shm->tx_reset.text) - 1,
		         chan_reset_text(shm));
	}
	remote_close(remote, entry, error, text);
}

void remote_settle(struct remote *remote, struct entry *entry)
{
	struct entry_end *local = local_end(entry);

	if (!entry_end_is_closed(local) || entry_lingers(remote, entry))
		return;
	if (entry->far.state == ENTRY_ENGINE) {
		entry_tell_close(remote, entry);
	} else if (entry->far.state != ENTRY_OPENING && local->state == END_CLOSED) {
		entry_unlist(remote, entry);
		entries_give(remote->config.entries, entry);
	}
}

/* ---- what its engine says ---------------------------------------------- */

void entry_engine_done(struct remote *remote, struct entry *entry)
{
	remote->engine_entries--;
	entry->far.state = ENTRY_DONE;
	entry_end_drop(remote->config.entries, entry_end_other(local_end(entry)));
}

static void entry_open_failed(struct remote *remote, struct entry *entry, int error)
{
	struct entry_end *local = local_end(entry);
	char name[ENTRY_NAME_BYTES], text[CLIENT_TEXT_BYTES];

	entry_engine_done(remote, entry);
	entry_name(&entry->key, name);
	snprintf(text, sizeof(text), "%s to node %s: %s", name, peer_name(remote, entry->far.peer),
	         strerror(-error));
	if (entry->far.request_id && local->state == END_OPEN) {
		remote->config.opened(local->member, entry->far.request_id, error, NULL, text,
		                      remote->config.ctx);
		entry_end_drop(remote->config.entries, local);
	} else {
		entry_reset(remote->config.entries, entry, -error, text);
	}
	remote_settle(remote, entry);
}

void entry_opened(struct remote *remote, struct entry *entry, int result)
{
	struct entry_end *local = local_end(entry);

	if (result < 0) {
		entry_open_failed(remote, entry, result);
		return;
	}
	entry->far.state = ENTRY_ENGINE;
	if (entry->far.request_id && local->state == END_OPEN)
		remote->config.opened(local->member, entry->far.request_id, 0, entry, "",
		                      remote->config.ctx);
	entry->far.request_id = 0;
	remote_settle(remote, entry);
}
