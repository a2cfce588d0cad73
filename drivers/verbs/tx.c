/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tx.c - sending: a ring of sends per session, posted in one list per flush,
 * frames straight from the arena, small messages inline. No send is posted that
 * the peer has no receive for. Frames leave VERBS_SMALL_CREDITS of the peer's
 * window to small messages; the order is that of the sends all the same.
 */
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include <sluice/sluice.h>

#include "drivers/verbs/limits.h"
#include "drivers/verbs/verbs.h"

#define POST_BATCH 32

int verbs_tx_init(struct slu_session *session)
{
	struct verbs_tx *tx = &session->tx;
	uint32_t slots = verbs_limits_sends(session->driver->window);

	tx->slots = calloc(slots, sizeof *tx->slots);
	if (!tx->slots)
		return -ENOMEM;
	tx->mask = slots - 1;
	if (!session->rail->inline_small) {
		tx->small_mr =
		        ibv_reg_mr(session->rail->pd, tx->slots, slots * sizeof *tx->slots, 0);
		if (!tx->small_mr)
			return -errno;
	}
	return 0;
}

void verbs_tx_fini(struct slu_session *session)
{
	if (session->tx.small_mr)
		ibv_dereg_mr(session->tx.small_mr);
	free(session->tx.slots);
	session->tx.small_mr = NULL;
	session->tx.slots = NULL;
}

/* Credit and a place in the ring, of which words of credit have some apart. */
static bool tx_has_room(const struct verbs_tx *tx, bool frame)
{
	uint32_t kept = frame ? VERBS_SMALL_CREDITS : 0;

	return (int32_t)(tx->limit_count - tx->sent_count) > (int32_t)kept &&
	       tx->tail - tx->told + VERBS_CREDIT_SLOTS + kept <= tx->mask;
}

static struct verbs_tx_slot *tx_slot_add(struct slu_session *session, enum verbs_wire_kind kind,
                                         uint32_t size_bytes)
{
	struct verbs_tx *tx = &session->tx;
	struct verbs_tx_slot *slot = &tx->slots[tx->tail++ & tx->mask];

	if (!tx->dirty) {
		tx->dirty = true;
		TAILQ_INSERT_TAIL(&session->driver->dirty, session, dirty_link);
	}
	slot->kind = kind;
	slot->size_bytes = size_bytes;
	slot->message = NULL;
	slot->signalled = false;
	if (kind != VERBS_WIRE_CREDIT) {
		tx->sent_count++;
		session->driver->stats.messages_sent++;
		session->driver->stats.bytes_sent += size_bytes;
	}
	return slot;
}

int verbs_tx_frame(struct slu_session *session, const void *message, uint32_t size_bytes,
                   uint64_t cookie)
{
	struct verbs_tx_slot *slot;

	if (session->state != VERBS_UP)
		return -ENOTCONN;
	if (size_bytes == 0 || size_bytes > session->driver->host->message_bytes_max)
		return -EMSGSIZE;
	if (!tx_has_room(&session->tx, true)) {
		session->tx.wants_frame = true;
		session->driver->stats.again_count++;
		return SLU_AGAIN;
	}
	slot = tx_slot_add(session, VERBS_WIRE_FRAME, size_bytes);
	slot->message = message;
	slot->cookie = cookie;
	return 0;
}

int verbs_tx_small(struct slu_session *session, const void *message, uint32_t size_bytes)
{
	struct verbs_tx_slot *slot;

	if (session->state != VERBS_UP)
		return -ENOTCONN;
	if (size_bytes == 0 || size_bytes > SLU_DRIVER_SMALL_MAX)
		return -EMSGSIZE;
	if (!tx_has_room(&session->tx, false)) {
		session->tx.wants_small = true;
		session->driver->stats.again_count++;
		return SLU_AGAIN;
	}
	slot = tx_slot_add(session, VERBS_WIRE_SMALL, size_bytes);
	memcpy(slot->bytes, message, size_bytes);
	return 0;
}

void verbs_tx_credit(struct slu_session *session)
{
	struct verbs_tx *tx = &session->tx;

	/* Every message says the count: the word is for who has none to send. */
	if (session->state == VERBS_UP && tx->posted == tx->tail &&
	    session->returned_count - session->advertised_count >= session->driver->window / 2 &&
	    tx->tail - tx->told <= tx->mask)
		tx_slot_add(session, VERBS_WIRE_CREDIT, 0);
}

static void wr_fill(struct slu_session *session, struct verbs_tx_slot *slot,
                    struct ibv_send_wr *ret_wr, struct ibv_sge *ret_sge)
{
	uint32_t word = (uint32_t)slot->kind << VERBS_WIRE_COUNT_BITS |
	                (session->returned_count & VERBS_WIRE_COUNT_MASK);
	bool small = slot->kind == VERBS_WIRE_SMALL;

	*ret_sge = (struct ibv_sge){
	        .addr = (uintptr_t)(small ? slot->bytes : slot->message),
	        .length = slot->size_bytes,
	        .lkey = !small                 ? session->rail->arena_mr->lkey
	                : session->tx.small_mr ? session->tx.small_mr->lkey
	                                       : 0,
	};
	*ret_wr = (struct ibv_send_wr){
	        .wr_id = (uintptr_t)session,
	        .sg_list = ret_sge,
	        .num_sge = slot->kind == VERBS_WIRE_CREDIT ? 0 : 1,
	        .opcode = IBV_WR_SEND_WITH_IMM,
	        .imm_data = htonl(word),
	};
	if (small && !session->tx.small_mr)
		ret_wr->send_flags |= IBV_SEND_INLINE;
}

/* Completions cost: only some sends ask for one, the last always does, else
 * the SENT of its predecessors would wait for the next flush. */
static void wr_signal(struct verbs_tx *tx, struct verbs_tx_slot *slot, bool last,
                      struct ibv_send_wr *wr)
{
	if (++tx->unsignalled < VERBS_SIGNAL_EVERY && !last)
		return;
	tx->unsignalled = 0;
	slot->signalled = true;
	wr->send_flags |= IBV_SEND_SIGNALED;
}

void verbs_tx_post(struct slu_session *session)
{
	struct ibv_send_wr wrs[POST_BATCH], *bad = NULL;
	struct ibv_sge sges[POST_BATCH];
	struct verbs_tx *tx = &session->tx;
	int r;

	if (tx->dirty)
		TAILQ_REMOVE(&session->driver->dirty, session, dirty_link);
	tx->dirty = false;
	while (session->qp && tx->posted != tx->tail) {
		int count = 0;

		/* A receiver may post for what it was told: tell it no more than
		 * what the device got. */
		for (; count < POST_BATCH && tx->posted != tx->tail; count++, tx->posted++) {
			struct verbs_tx_slot *slot = &tx->slots[tx->posted & tx->mask];

			wr_fill(session, slot, &wrs[count], &sges[count]);
			wr_signal(tx, slot, tx->posted + 1 == tx->tail, &wrs[count]);
			if (count > 0)
				wrs[count - 1].next = &wrs[count];
		}
		session->advertised_count = session->returned_count;
		r = ibv_post_send(session->qp, wrs, &bad);
		if (r != 0)
			verbs_session_fail(session, -EIO, "cannot post a send: %s",
			                   strerrordesc_np(r));
	}
}

void verbs_tx_completed(struct slu_session *session)
{
	struct verbs_tx *tx = &session->tx;

	while (tx->done != tx->posted) {
		if (tx->slots[tx->done++ & tx->mask].signalled)
			break;
	}
	verbs_session_ready(session);
}

void verbs_tx_limit(struct slu_session *session, uint32_t returned_count)
{
	struct verbs_tx *tx = &session->tx;
	/* The count wraps at 30 bits, ours does not: how far ahead of the limit. */
	uint32_t ahead = (returned_count + tx->window - tx->limit_count) & VERBS_WIRE_COUNT_MASK;

	if (ahead == 0 || ahead > tx->window)
		return;
	tx->limit_count += ahead;
	if (tx->wants_frame || tx->wants_small)
		verbs_session_ready(session);
}

/* A send was refused, and would not be now. */
static bool tx_is_writable(const struct verbs_tx *tx)
{
	return (tx->wants_frame && tx_has_room(tx, true)) ||
	       (tx->wants_small && tx_has_room(tx, false));
}

bool verbs_tx_has_events(const struct slu_session *session)
{
	return session->tx.told != session->tx.done || tx_is_writable(&session->tx);
}

bool verbs_tx_tell(struct slu_session *session, struct slu_driver_event *ret_event)
{
	struct verbs_tx *tx = &session->tx;

	while (tx->told != tx->done) {
		const struct verbs_tx_slot *slot = &tx->slots[tx->told++ & tx->mask];

		if (slot->kind != VERBS_WIRE_FRAME)
			continue;
		ret_event->type = SLU_DRIVER_SENT;
		ret_event->cookie = slot->cookie;
		return true;
	}
	if (tx_is_writable(tx)) {
		tx->wants_frame = tx->wants_small = false;
		ret_event->type = SLU_DRIVER_WRITABLE;
		return true;
	}
	return false;
}
