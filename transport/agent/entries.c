/* SPDX-License-Identifier: Apache-2.0 */
/* entries.c - see entries.h. */
#include "transport/agent/entries.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void entry_free(struct entry *entry)
{
	if (entry)
		free(entry->reset_text);
	free(entry);
}

int entries_init(struct entries *entries, struct arena *arena, struct port *port)
{
	uint32_t count = arena->max_channels;

	*entries = (struct entries){
	        .arena = arena,
	        .port = port,
	        .by_idx = calloc(count, sizeof(*entries->by_idx)),
	        .open_counts = calloc(count, sizeof(*entries->open_counts)),
	        .free_idx = calloc(count, sizeof(*entries->free_idx)),
	};
	if (!entries->by_idx || !entries->open_counts || !entries->free_idx) {
		entries_fini(entries);
		return -ENOMEM;
	}
	while (count-- > 0)
		entries->free_idx[entries->free_count++] = count;
	return 0;
}

void entries_fini(struct entries *entries)
{
	if (entries->by_idx)
		for (uint32_t i = 0; i < entries->arena->max_channels; i++)
			entry_free(entries->by_idx[i]);
	free(entries->by_idx);
	free(entries->open_counts);
	free(entries->free_idx);
	*entries = (struct entries){0};
}

struct chan_shm *entry_shm(const struct entries *entries, const struct entry *entry)
{
	return arena_chan(entries->arena, entry->chan_idx);
}

static uint32_t window_round(uint32_t window_max, uint32_t ring)
{
	uint32_t window = 1;

	if (window_max == 0 || window_max >= ring)
		return ring;
	while (2 * window <= window_max)
		window *= 2;
	return window;
}

/* Nobody else looks at the entry: state is CHAN_FREE, and the last holders of
 * its ends are gone. */
static void entry_shm_init(const struct entries *entries, const struct entry *entry,
                           uint32_t window_max, bool remote)
{
	struct chan_shm *shm = entry_shm(entries, entry);
	uint32_t window = window_round(window_max, entries->arena->window_slots);

	memset(shm, 0, entries->arena->chan_stride_bytes);
	atomic_init(&shm->tx_slot, SLOT_NONE);
	atomic_init(&shm->rx_slot, SLOT_NONE);
	shm->remote = remote;
	shm->window_max = window;
	shm->open_count = entry->open_count;
	shm->query = entry->key.query;
	shm->motion = entry->key.motion;
	shm->source = entry->key.source;
	shm->destination = entry->key.destination;
	atomic_init(&shm->limit_pos, window < CHAN_WINDOW_INITIAL ? window : CHAN_WINDOW_INITIAL);
	/* pairs with the acquire of whoever walks the channels for statistics */
	atomic_store_explicit(&shm->state, CHAN_OPEN, memory_order_release);
}

static void entries_count(const struct entries *entries)
{
	uint32_t open = entries->arena->max_channels - entries->free_count;

	/* relaxed: sizes fair windows and is shown; nothing hangs on its order */
	atomic_store_explicit(&entries->arena->header->channels_open, open, memory_order_relaxed);
	arena_count_set(entries->arena, ARENA_CHANNELS_OPEN, open);
}

int entries_take(struct entries *entries, const struct slu_key *key, const struct slu_token *token,
                 uint32_t window_max, bool remote, struct entry **ret_entry)
{
	struct entry *entry;

	if (entries->free_count == 0)
		return -ENOSPC;
	entry = calloc(1, sizeof(*entry));
	if (!entry)
		return -ENOMEM;
	entry->chan_idx = entries->free_idx[--entries->free_count];
	entry->open_count = ++entries->open_counts[entry->chan_idx];
	entry->key = *key;
	entry->token = *token;
	entry->ends[END_SENDER].entry = entry;
	entry->ends[END_RECEIVER].entry = entry;
	entries->by_idx[entry->chan_idx] = entry;
	entry_shm_init(entries, entry, window_max, remote);
	entries_count(entries);
	arena_count(entries->arena, ARENA_CHANNELS_TOTAL, 1);
	*ret_entry = entry;
	return 0;
}

void entries_give(struct entries *entries, struct entry *entry)
{
	frame_pool_reclaim_channel(entries->arena, entry->chan_idx);
	atomic_store_explicit(&entry_shm(entries, entry)->state, CHAN_FREE, memory_order_release);
	entries->by_idx[entry->chan_idx] = NULL;
	entries->free_idx[entries->free_count++] = entry->chan_idx;
	entries_count(entries);
	entry_free(entry);
}

struct entry *entries_find(const struct entries *entries, uint32_t chan_idx, uint32_t open_count)
{
	struct entry *entry =
	        chan_idx < entries->arena->max_channels ? entries->by_idx[chan_idx] : NULL;

	return entry && entry->open_count == open_count ? entry : NULL;
}

void entry_end_take(struct entry *entry, int end, struct member *member)
{
	struct entry_end *taken = &entry->ends[end];

	taken->state = END_OPEN;
	taken->member = member;
	if (member)
		LIST_INSERT_HEAD(&member->ends, taken, of_member);
}

void entry_end_drop(struct entries *entries, struct entry_end *end)
{
	struct chan_shm *shm = entry_shm(entries, end->entry);

	if (end->member)
		LIST_REMOVE(end, of_member);
	end->member = NULL;
	end->state = END_CLOSED;
	atomic_store(entry_end_direction(end) == END_SENDER ? &shm->tx_slot : &shm->rx_slot,
	             SLOT_NONE);
}

void entry_publish_slots(struct entries *entries, struct entry *entry, uint32_t sender_slot,
                         uint32_t receiver_slot)
{
	struct chan_shm *shm = entry_shm(entries, entry);

	/* seq_cst, and the fence of port_notify_always after it: an end that
	 * published while it saw SLOT_NONE rang nobody, so both are told to look
	 * again once the slots can be seen. */
	atomic_store(&shm->tx_slot, sender_slot);
	atomic_store(&shm->rx_slot, receiver_slot);
	entry_notify(entries, entry);
}

void entry_notify(struct entries *entries, struct entry *entry)
{
	for (int end = 0; end < 2; end++) {
		const struct entry_end *told = &entry->ends[end];

		if (told->state == END_OPEN)
			port_notify_always(entries->port,
			                   told->member ? told->member->slot : entry->far.poller,
			                   entry->chan_idx);
	}
}

void entry_reset(struct entries *entries, struct entry *entry, int error, const char *text)
{
	bool of_engine = entry->far.state == ENTRY_OPENING || entry->far.state == ENTRY_ENGINE;

	if (!entry->reset_error) {
		entry->reset_error = error;
		if (of_engine)
			entry->reset_text = strdup(text);
		else
			chan_reset_write(&entry_shm(entries, entry)->agent_reset, error, text);
		arena_count(entries->arena, ARENA_CHANNELS_RESET, 1);
	}
	entry_notify(entries, entry);
}

void entry_name(const struct slu_key *key, char *ret_name)
{
	snprintf(ret_name, ENTRY_NAME_BYTES, "channel %" PRIu64 "/%u %u->%u", key->query,
	         key->motion, key->source, key->destination);
}
