/* SPDX-License-Identifier: Apache-2.0 */
/* reclaim.c - see reclaim.h. */
#include "transport/agent/reclaim.h"

#include <errno.h>
#include <stdio.h>

/* Whether the shared part says for itself how this end ended. */
static bool end_has_ended(const struct chan_shm *shm, int end)
{
	if (chan_reset_error(shm))
		return true;
	if (end == END_SENDER)
		return atomic_load_explicit(&shm->eos_pos, memory_order_acquire) != 0;
	return atomic_load_explicit(&shm->stop, memory_order_acquire) != 0;
}

static void end_reset(const struct reclaim *reclaim, struct entry_end *end, int error,
                      const char *how)
{
	int direction = entry_end_direction(end);
	char name[ENTRY_NAME_BYTES], text[CHAN_REASON_BYTES];

	entry_name(&end->entry->key, name);
	snprintf(text, sizeof(text), "%s \"%s\" (pid %u) on %s %s; %s",
	         direction == END_SENDER ? "sender" : "receiver", end->member->name,
	         end->member->pid, reclaim->node, how, name);
	entry_reset(reclaim->entries, end->entry, error, text);
}

void reclaim_end_close(const struct reclaim *reclaim, struct entry_end *end, uint64_t now_ns)
{
	struct entry *entry = end->entry;
	struct chan_shm *shm = entry_shm(reclaim->entries, entry);
	int direction = entry_end_direction(end);

	if (!end_has_ended(shm, direction)) {
		if (direction == END_SENDER)
			end_reset(reclaim, end, ECANCELED, "closed before the end");
		else /* the receiver, its only writer, is gone */
			atomic_store_explicit(&shm->stop, 1, memory_order_release);
	}
	entry_end_drop(reclaim->entries, end);
	entry_notify(reclaim->entries, entry);
	reclaim->settle(entry, now_ns, reclaim->ctx);
}

void reclaim_member_left(const struct reclaim *reclaim, struct member *member, const char *how,
                         uint64_t now_ns)
{
	struct entry_end *end, *next;

	for (end = LIST_FIRST(&member->ends); end; end = next) {
		struct entry *entry = end->entry;

		next = LIST_NEXT(end, of_member);
		if (end->state != END_OPEN)
			continue;
		if (!end_has_ended(entry_shm(reclaim->entries, entry), entry_end_direction(end)))
			end_reset(reclaim, end, ECONNRESET, how);
		end->state = END_LEFT;
		/* Whatever it was about to tell the other end, it may not have. */
		entry_notify(reclaim->entries, entry);
		reclaim->settle(entry, now_ns, reclaim->ctx);
	}
}

uint32_t reclaim_member_gone(const struct reclaim *reclaim, struct member *member, const char *how,
                             uint64_t now_ns)
{
	struct arena *arena = reclaim->entries->arena;
	struct entry_end *end;
	uint32_t frame_count;

	reclaim_member_left(reclaim, member, how, now_ns);
	/* A frame that was marked as queued and never published is found by the slot
	 * of the sender, which an entry that was not joined may not have. */
	LIST_FOREACH (end, &member->ends, of_member)
		if (entry_end_direction(end) == END_SENDER)
			atomic_store(&entry_shm(reclaim->entries, end->entry)->tx_slot,
			             member->slot);
	frame_count = frame_pool_reclaim_process(arena, member->slot);
	while ((end = LIST_FIRST(&member->ends))) {
		struct entry *entry = end->entry;

		entry_end_drop(reclaim->entries, end);
		reclaim->settle(entry, now_ns, reclaim->ctx);
	}
	return frame_count;
}
