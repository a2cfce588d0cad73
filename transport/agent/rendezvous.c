/* SPDX-License-Identifier: Apache-2.0 */
/* rendezvous.c - see rendezvous.h. */
#include "transport/agent/rendezvous.h"

#include "transport/clock.h"
#include "transport/log.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What an end left behind that closed before the other came. */
struct tombstone {
	struct slu_key key;
	struct slu_token token;
	int end;   /* that closed */
	int error; /* positive: the channel was reset; 0: the receiver stopped it */
	char text[CHAN_REASON_BYTES];
	struct rendezvous *rendezvous;
	struct deadline deadline;
	UT_hash_handle by_key;
	TAILQ_ENTRY(tombstone) by_age;
};

static const char *const end_names[] = {"sender", "receiver"};

/* In time that does not tell how much of a guess was right. */
static bool token_equal(const struct slu_token *a, const struct slu_token *b)
{
	return CRYPTO_memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

void agent_rendezvous_init(struct rendezvous *rendezvous,
                           const struct agent_rendezvous_config *config)
{
	*rendezvous = (struct rendezvous){.config = *config};
	TAILQ_INIT(&rendezvous->tombstones_by_age);
}

/* ---- tombstones -------------------------------------------------------- */

static void tombstone_remove(struct tombstone *tombstone)
{
	struct rendezvous *rendezvous = tombstone->rendezvous;

	deadlines_clear(rendezvous->config.deadlines, &tombstone->deadline);
	HASH_DELETE(by_key, rendezvous->tombstones, tombstone);
	TAILQ_REMOVE(&rendezvous->tombstones_by_age, tombstone, by_age);
	rendezvous->tombstone_count--;
	free(tombstone);
}

static void tombstone_expire(struct deadline *deadline, uint64_t now_ns)
{
	char *base = (char *)deadline - offsetof(struct tombstone, deadline);

	tombstone_remove((struct tombstone *)(void *)base);
}

static struct tombstone *tombstone_find(struct rendezvous *rendezvous, const struct slu_key *key)
{
	struct tombstone *tombstone;

	HASH_FIND(by_key, rendezvous->tombstones, key, sizeof(*key), tombstone);
	return tombstone;
}

static void tombstone_add(struct rendezvous *rendezvous, const struct entry *entry, int end,
                          uint64_t now_ns)
{
	struct chan_shm *shm = entry_shm(rendezvous->config.entries, entry);
	struct tombstone *tombstone = tombstone_find(rendezvous, &entry->key);

	if (tombstone)
		tombstone_remove(tombstone);
	if (rendezvous->tombstone_count >= rendezvous->config.tombstones_max)
		tombstone_remove(TAILQ_FIRST(&rendezvous->tombstones_by_age));
	tombstone = calloc(1, sizeof(*tombstone));
	if (!tombstone)
		return; /* the late end then waits its time out: it is told, only later */
	tombstone->deadline.expire = tombstone_expire;
	if (deadlines_set(rendezvous->config.deadlines, &tombstone->deadline,
	                  now_ns + entry->timeout_ns) < 0) {
		free(tombstone);
		return;
	}
	tombstone->rendezvous = rendezvous;
	tombstone->key = entry->key;
	tombstone->token = entry->token;
	tombstone->end = end;
	tombstone->error = -chan_reset_error(shm);
	/* the text may be a client's: bounded, whatever it wrote there */
	snprintf(tombstone->text, sizeof(tombstone->text), "%.*s", (int)CHAN_REASON_BYTES - 5,
	         chan_reset_text(shm));
	HASH_ADD(by_key, rendezvous->tombstones, key, sizeof(tombstone->key), tombstone);
	TAILQ_INSERT_TAIL(&rendezvous->tombstones_by_age, tombstone, by_age);
	rendezvous->tombstone_count++;
}

void agent_rendezvous_fini(struct rendezvous *rendezvous)
{
	while (!TAILQ_EMPTY(&rendezvous->tombstones_by_age))
		tombstone_remove(TAILQ_FIRST(&rendezvous->tombstones_by_age));
	HASH_CLEAR(by_key, rendezvous->by_key);
}

/* ---- opening ----------------------------------------------------------- */

static void agent_rendezvous_expire(struct deadline *deadline, uint64_t now_ns)
{
	char *base = (char *)deadline - offsetof(struct entry, deadline);
	struct entry *entry = (struct entry *)(void *)base;
	struct rendezvous *rendezvous = entry->owner;
	int missing = entry->ends[END_SENDER].state == END_ABSENT ? END_SENDER : END_RECEIVER;
	char name[ENTRY_NAME_BYTES], text[CHAN_REASON_BYTES];

	entry_name(&entry->key, name);
	snprintf(text, sizeof(text), "no %s came for %s on %s within %.1f s", end_names[missing],
	         name, rendezvous->config.node, (double)entry->timeout_ns / (double)SLU_NS_PER_S);
	log_event(LOG_LEVEL_WARNING, "channel_timeout", "reason=\"%s\"", text);
	entry_reset(rendezvous->config.entries, entry, ETIMEDOUT, text);
	agent_rendezvous_settle(rendezvous, entry, now_ns);
}

static uint32_t end_slot(const struct entry_end *end)
{
	return end->state == END_OPEN ? end->member->slot : SLOT_NONE;
}

/* Both ends are there: let each ring the other. */
static void agent_rendezvous_join(struct rendezvous *rendezvous, struct entry *entry)
{
	struct entry_end *sender = &entry->ends[END_SENDER];
	struct entry_end *receiver = &entry->ends[END_RECEIVER];
	const struct agent_rendezvous_config *config = &rendezvous->config;

	if (sender->state == END_OPEN && receiver->state == END_OPEN &&
	    sender->member != receiver->member) {
		if (config->introduce(sender->member, receiver->member, config->ctx) ||
		    config->introduce(receiver->member, sender->member, config->ctx))
			return;
	}
	entry->joined = true;
	deadlines_clear(config->deadlines, &entry->deadline);
	entry_publish_slots(config->entries, entry, end_slot(sender), end_slot(receiver));
}

void agent_rendezvous_retry(struct rendezvous *rendezvous, struct member *member)
{
	struct entry_end *end;

	LIST_FOREACH (end, &member->ends, of_member)
		if (end->entry->keyed && !end->entry->joined && end->state == END_OPEN &&
		    entry_end_other(end)->state == END_OPEN)
			agent_rendezvous_join(rendezvous, end->entry);
}

static int open_second(struct rendezvous *rendezvous, struct member *member,
                       const struct client_open *open, struct entry *entry, char *error)
{
	int end = (int)open->direction - 1;
	struct chan_shm *shm = entry_shm(rendezvous->config.entries, entry);
	char name[ENTRY_NAME_BYTES];

	entry_name(&entry->key, name);
	if (!token_equal(&open->token, &entry->token)) {
		snprintf(error, CLIENT_TEXT_BYTES, "wrong token for %s on %s", name,
		         rendezvous->config.node);
		return -EACCES;
	}
	if (entry->ends[end].state != END_ABSENT) {
		snprintf(error, CLIENT_TEXT_BYTES, "%s has a %s on %s already", name,
		         end_names[end], rendezvous->config.node);
		return -EEXIST;
	}
	/* The smaller wish counts; what the sender may write already stays. */
	if (open->window_max && open->window_max < shm->window_max)
		while (shm->window_max > 1 && shm->window_max > open->window_max)
			shm->window_max /= 2;
	entry_end_take(entry, end, member);
	agent_rendezvous_join(rendezvous, entry);
	return 0;
}

/* The other end has been and gone: this one is told what it would have seen. */
static void open_after(struct rendezvous *rendezvous, struct entry *entry,
                       struct tombstone *tombstone)
{
	struct chan_shm *shm = entry_shm(rendezvous->config.entries, entry);

	entry->ends[tombstone->end].state = END_CLOSED;
	if (tombstone->error)
		entry_reset(rendezvous->config.entries, entry, tombstone->error, tombstone->text);
	else
		atomic_store_explicit(&shm->stop, 1, memory_order_release);
	tombstone_remove(tombstone);
}

static int open_first(struct rendezvous *rendezvous, struct member *member,
                      const struct client_open *open, uint64_t now_ns, struct entry **ret_entry,
                      char *error)
{
	const struct agent_rendezvous_config *config = &rendezvous->config;
	struct tombstone *tombstone = tombstone_find(rendezvous, &open->key);
	int end = (int)open->direction - 1;
	struct entry *entry;
	int result = entries_take(config->entries, &open->key, &open->token, open->window_max,
	                          false, &entry);

	if (result < 0) {
		snprintf(error, CLIENT_TEXT_BYTES, "%s: %u channels are open on %s",
		         strerror(-result), config->entries->arena->header->channels_open,
		         config->node);
		return result;
	}
	entry->owner = rendezvous;
	entry->deadline.expire = agent_rendezvous_expire;
	entry->timeout_ns =
	        open->rendezvous_timeout_ns ? open->rendezvous_timeout_ns : config->timeout_ns;
	/* The end of time is a long way off, and so is any sum near it. */
	if (entry->timeout_ns > INT64_MAX)
		entry->timeout_ns = INT64_MAX;
	if (deadlines_set(config->deadlines, &entry->deadline, now_ns + entry->timeout_ns) < 0) {
		entries_give(config->entries, entry);
		snprintf(error, CLIENT_TEXT_BYTES, "%s", strerror(ENOMEM));
		return -ENOMEM;
	}
	entry_end_take(entry, end, member);
	HASH_ADD(by_key, rendezvous->by_key, key, sizeof(entry->key), entry);
	entry->keyed = true;
	entry_publish_slots(config->entries, entry, end_slot(&entry->ends[END_SENDER]),
	                    end_slot(&entry->ends[END_RECEIVER]));
	/* Another token is another channel that used the key before; and an end that
	 * comes a second time begins anew. */
	if (tombstone && tombstone->end != end && token_equal(&tombstone->token, &open->token)) {
		deadlines_clear(config->deadlines, &entry->deadline);
		open_after(rendezvous, entry, tombstone);
	} else if (tombstone && tombstone->end == end) {
		tombstone_remove(tombstone);
	}
	*ret_entry = entry;
	return 0;
}

int agent_rendezvous_open(struct rendezvous *rendezvous, struct member *member,
                          const struct client_open *open, uint64_t now_ns, struct entry **ret_entry,
                          char *error)
{
	struct entry *entry;
	int result;

	HASH_FIND(by_key, rendezvous->by_key, &open->key, sizeof(open->key), entry);
	if (!entry)
		return open_first(rendezvous, member, open, now_ns, ret_entry, error);
	result = open_second(rendezvous, member, open, entry, error);
	if (result == 0)
		*ret_entry = entry;
	return result;
}

/* ---- closing ----------------------------------------------------------- */

/* A sender that wrote everything and left: its frames wait for the receiver. */
static bool entry_lingers(const struct rendezvous *rendezvous, const struct entry *entry)
{
	const struct chan_shm *shm = entry_shm(rendezvous->config.entries, entry);

	return entry->deadline.heap_pos && entry->ends[END_RECEIVER].state == END_ABSENT &&
	       entry_end_is_closed(&entry->ends[END_SENDER]) &&
	       atomic_load_explicit(&shm->eos_pos, memory_order_acquire) && !chan_reset_error(shm);
}

void agent_rendezvous_settle(struct rendezvous *rendezvous, struct entry *entry, uint64_t now_ns)
{
	struct entry_end *ends = entry->ends;
	bool over = ends[END_SENDER].state != END_OPEN && ends[END_RECEIVER].state != END_OPEN;

	if (!over || entry_lingers(rendezvous, entry))
		return;
	deadlines_clear(rendezvous->config.deadlines, &entry->deadline);
	if (entry->keyed) {
		entry->keyed = false;
		HASH_DELETE(by_key, rendezvous->by_key, entry);
		if (ends[END_SENDER].state == END_ABSENT)
			tombstone_add(rendezvous, entry, END_RECEIVER, now_ns);
		else if (ends[END_RECEIVER].state == END_ABSENT &&
		         chan_reset_error(entry_shm(rendezvous->config.entries, entry)))
			tombstone_add(rendezvous, entry, END_SENDER, now_ns);
	}
	if (!entry_end_holds_memory(&ends[END_SENDER]) &&
	    !entry_end_holds_memory(&ends[END_RECEIVER]))
		entries_give(rendezvous->config.entries, entry);
}
