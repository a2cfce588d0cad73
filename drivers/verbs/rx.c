/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rx.c - receiving: buffers of the host, posted to the shared receive queue. A
 * frame is handed on in exchange for a buffer that takes its place, so the queue
 * keeps what the windows of all sessions promise; small messages and words of
 * credit give their own buffer back.
 *
 * A queue pair that dies in the middle of a message to us may keep the receive it
 * was filling: no completion comes for it, and nobody tells. So each that is gone
 * is made up for by a spare receive, up to VERBS_SPARES_MAX; when the last session
 * of the rail is gone, a new queue brings all of them back.
 */
#include <arpa/inet.h>
#include <string.h>

#include "drivers/verbs/verbs.h"

#define POST_BATCH 32

static uint32_t slot_idx(const struct verbs_rail *rail, const struct verbs_slot *slot)
{
	return (uint32_t)(slot - rail->slots);
}

uint32_t verbs_rx_wanted(const struct verbs_rail *rail)
{
	uint32_t each = rail->driver->window + VERBS_CREDIT_SLOTS;

	return rail->session_count ? rail->session_count * each + rail->spare_count : 0;
}

/* Queue a slot with a buffer for the next refill; the message it held counts. */
static void slot_return(struct verbs_rail *rail, struct verbs_slot *slot)
{
	struct slu_session *session = slot->session;

	slot->session = NULL;
	STAILQ_INSERT_TAIL(&rail->slots_repost, slot, link);
	if (!session || slot->kind == VERBS_WIRE_CREDIT)
		return;
	session->returned_count++;
	verbs_tx_credit(session);
}

static void completed_message(struct slu_session *session, struct verbs_slot *slot,
                              const struct ibv_wc *wc)
{
	struct verbs_rail *rail = session->rail;
	uint32_t word = ntohl(wc->imm_data);

	slot->session = session;
	slot->size_bytes = wc->byte_len;
	slot->kind = (enum verbs_wire_kind)(word >> VERBS_WIRE_COUNT_BITS);
	if (!(wc->wc_flags & IBV_WC_WITH_IMM) || slot->kind == 0 ||
	    (slot->kind == VERBS_WIRE_CREDIT) != (slot->size_bytes == 0) ||
	    (slot->kind == VERBS_WIRE_SMALL && slot->size_bytes > SLU_DRIVER_SMALL_MAX)) {
		slot->session = NULL;
		slot_return(rail, slot);
		verbs_session_fail(session, -EPROTO, "the peer sent what is no message of ours");
		return;
	}
	verbs_tx_limit(session, word & VERBS_WIRE_COUNT_MASK);
	if (slot->kind == VERBS_WIRE_CREDIT) {
		slot_return(rail, slot);
		return;
	}
	STAILQ_INSERT_TAIL(&session->rx, slot, link);
	verbs_session_ready(session);
}

void verbs_rx_completed(struct verbs_rail *rail, const struct ibv_wc *wc)
{
	struct verbs_slot *slot = &rail->slots[wc->wr_id >> 1];
	uint32_t qp_num = wc->qp_num;
	struct slu_session *session;

	slot->posted = false;
	slot->session = NULL;
	HASH_FIND(hh, rail->by_qp_num, &qp_num, sizeof qp_num, session);
	if (session && session->state != VERBS_DOWN && wc->status == IBV_WC_SUCCESS) {
		completed_message(session, slot, wc);
		return;
	}
	slot_return(rail, slot);
	if (session && session->state == VERBS_UP && wc->status != IBV_WC_WR_FLUSH_ERR)
		verbs_session_fail(session, -EIO, "receive failed: %s (status %d)",
		                   ibv_wc_status_str(wc->status), wc->status);
}

void verbs_rx_release(struct verbs_rail *rail)
{
	struct verbs_slot *slot;

	while ((slot = STAILQ_FIRST(&rail->spent))) {
		STAILQ_REMOVE_HEAD(&rail->spent, link);
		slot_return(rail, slot);
	}
}

/* Slots for new sessions get buffers as the host has them. */
static void slots_fill(struct verbs_rail *rail)
{
	const struct slu_driver_host *host = rail->driver->host;
	uint32_t wanted = verbs_rx_wanted(rail);
	struct verbs_slot *slot;

	for (uint32_t held = rail->slots_held; held < wanted; held++) {
		slot = STAILQ_FIRST(&rail->slots_free);
		if (!slot)
			return;
		slot->buffer = host->rx_get(host->ctx);
		if (!slot->buffer)
			return;
		rail->slots_held++;
		STAILQ_REMOVE_HEAD(&rail->slots_free, link);
		STAILQ_INSERT_TAIL(&rail->slots_repost, slot, link);
	}
}

/* More than the sessions' windows: the host gets its buffers back. */
static void slots_trim(struct verbs_rail *rail)
{
	const struct slu_driver_host *host = rail->driver->host;
	uint32_t wanted = verbs_rx_wanted(rail);
	struct verbs_slot *slot;

	while (rail->slots_held > wanted && (slot = STAILQ_FIRST(&rail->slots_repost))) {
		STAILQ_REMOVE_HEAD(&rail->slots_repost, link);
		host->rx_put(host->ctx, slot->buffer);
		slot->buffer = NULL;
		rail->slots_held--;
		STAILQ_INSERT_HEAD(&rail->slots_free, slot, link);
	}
}

static void slots_post(struct verbs_rail *rail, struct ibv_recv_wr *first)
{
	struct ibv_recv_wr *bad;

	for (struct ibv_recv_wr *wr = first; wr; wr = wr->next)
		rail->slots[wr->wr_id >> 1].posted = true;
	if (ibv_post_srq_recv(rail->srq, first, &bad) == 0)
		return;
	/* The queue is as long as there are slots: only a device that is gone, or
	 * goes, refuses. */
	for (; bad; bad = bad->next) {
		struct verbs_slot *slot = &rail->slots[bad->wr_id >> 1];

		slot->posted = false;
		STAILQ_INSERT_TAIL(&rail->slots_repost, slot, link);
	}
	verbs_rail_lost(rail, -EIO, "the receive queue takes no more");
}

void verbs_rx_refill(struct verbs_rail *rail)
{
	struct ibv_recv_wr wrs[POST_BATCH];
	struct ibv_sge sges[POST_BATCH];
	struct verbs_slot *slot;
	int count;

	slots_fill(rail);
	slots_trim(rail);
	while (!STAILQ_EMPTY(&rail->slots_repost) &&
	       (rail->state == VERBS_RAIL_UP || rail->state == VERBS_RAIL_DOWN)) {
		for (count = 0; count < POST_BATCH && (slot = STAILQ_FIRST(&rail->slots_repost));
		     count++) {
			STAILQ_REMOVE_HEAD(&rail->slots_repost, link);
			sges[count] =
			        (struct ibv_sge){.addr = (uintptr_t)slot->buffer,
			                         .length = rail->driver->host->message_bytes_max,
			                         .lkey = rail->arena_mr->lkey};
			wrs[count] = (struct ibv_recv_wr){
			        .wr_id = (uint64_t)slot_idx(rail, slot) << 1 | 1,
			        .sg_list = &sges[count],
			        .num_sge = 1};
			if (count > 0)
				wrs[count - 1].next = &wrs[count];
		}
		slots_post(rail, wrs);
	}
}

void verbs_rx_unpost(struct verbs_rail *rail)
{
	rail->spare_count = 0;
	for (uint32_t i = 0; i < rail->slot_count; i++) {
		if (!rail->slots[i].posted)
			continue;
		rail->slots[i].posted = false;
		slot_return(rail, &rail->slots[i]);
	}
}

void verbs_rx_queue_pair_gone(struct verbs_rail *rail)
{
	if (rail->spare_count < VERBS_SPARES_MAX)
		rail->spare_count++;
	if (rail->session_count > 0 || rail->state == VERBS_RAIL_LEAVING)
		return;
	ibv_destroy_srq(rail->srq);
	verbs_rx_unpost(rail);
	if (verbs_device_srq(rail) < 0)
		verbs_rail_lost(rail, -EIO, "no shared receive queue");
}

bool verbs_rx_tell(struct slu_session *session, struct slu_driver_event *ret_event)
{
	struct slu_driver *driver = session->driver;
	struct verbs_rail *rail = session->rail;
	struct verbs_slot *slot = STAILQ_FIRST(&session->rx);
	void *buffer;

	session->starved = false;
	if (!slot)
		return false;
	ret_event->message = slot->buffer;
	ret_event->size_bytes = slot->size_bytes;
	driver->stats.messages_received++;
	driver->stats.bytes_received += slot->size_bytes;
	if (slot->kind == VERBS_WIRE_SMALL) {
		STAILQ_REMOVE_HEAD(&session->rx, link);
		ret_event->type = SLU_DRIVER_RECV_SMALL;
		STAILQ_INSERT_TAIL(&rail->spent, slot, link);
		return true;
	}
	buffer = driver->host->rx_get(driver->host->ctx);
	if (!buffer) {
		driver->stats.messages_received--;
		driver->stats.bytes_received -= slot->size_bytes;
		session->starved = true;
		return false;
	}
	STAILQ_REMOVE_HEAD(&session->rx, link);
	ret_event->type = SLU_DRIVER_RECV_FRAME;
	slot->buffer = buffer;
	slot_return(rail, slot);
	return true;
}

void verbs_rx_drop(struct slu_session *session)
{
	struct verbs_rail *rail = session->rail;
	struct verbs_slot *slot;

	while ((slot = STAILQ_FIRST(&session->rx))) {
		STAILQ_REMOVE_HEAD(&session->rx, link);
		slot->session = NULL;
		slot_return(rail, slot);
	}
	STAILQ_FOREACH (slot, &rail->spent, link) {
		if (slot->session == session)
			slot->session = NULL;
	}
}
