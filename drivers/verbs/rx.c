/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rx.c - receiving: buffers of the host, posted to the shared receive queue. A
 * frame is handed on in exchange for a buffer that takes its place, so the queue
 * keeps what the windows of all sessions promise; small messages and words of
 * credit give their own buffer back.
 */
#include <arpa/inet.h>
#include <string.h>

#include "drivers/verbs/verbs.h"

#define POST_BATCH 32

static uint32_t slot_idx(const struct slu_driver *driver, const struct verbs_slot *slot)
{
	return (uint32_t)(slot - driver->slots);
}

/* Queue a slot with a buffer for the next refill; the message it held counts. */
static void slot_return(struct slu_driver *driver, struct verbs_slot *slot)
{
	struct slu_session *session = slot->session;

	slot->session = NULL;
	STAILQ_INSERT_TAIL(&driver->slots_repost, slot, link);
	if (!session || slot->kind == VERBS_WIRE_CREDIT)
		return;
	session->returned_count++;
	verbs_tx_credit(session);
}

static void completed_message(struct slu_session *session, struct verbs_slot *slot,
                              const struct ibv_wc *wc)
{
	struct slu_driver *driver = session->driver;
	uint32_t word = ntohl(wc->imm_data);

	slot->session = session;
	slot->size_bytes = wc->byte_len;
	slot->kind = (enum verbs_wire_kind)(word >> VERBS_WIRE_COUNT_BITS);
	if (!(wc->wc_flags & IBV_WC_WITH_IMM) || slot->kind == 0 ||
	    (slot->kind == VERBS_WIRE_CREDIT) != (slot->size_bytes == 0) ||
	    (slot->kind == VERBS_WIRE_SMALL && slot->size_bytes > SLU_DRIVER_SMALL_MAX)) {
		slot->session = NULL;
		slot_return(driver, slot);
		verbs_session_fail(session, -EPROTO, "the peer sent what is no message of ours");
		return;
	}
	verbs_tx_limit(session, word & VERBS_WIRE_COUNT_MASK);
	if (slot->kind == VERBS_WIRE_CREDIT) {
		slot_return(driver, slot);
		return;
	}
	STAILQ_INSERT_TAIL(&session->rx, slot, link);
	verbs_session_ready(session);
}

void verbs_rx_completed(struct slu_driver *driver, const struct ibv_wc *wc)
{
	struct verbs_slot *slot = &driver->slots[wc->wr_id >> 1];
	uint32_t qp_num = wc->qp_num;
	struct slu_session *session;

	driver->posted_count--;
	slot->session = NULL;
	HASH_FIND(hh, driver->by_qp_num, &qp_num, sizeof qp_num, session);
	if (session && session->state != VERBS_DOWN && wc->status == IBV_WC_SUCCESS) {
		completed_message(session, slot, wc);
		return;
	}
	slot_return(driver, slot);
	if (session && session->state == VERBS_UP && wc->status != IBV_WC_WR_FLUSH_ERR)
		verbs_session_fail(session, -EIO, "receive failed: %s (status %d)",
		                   ibv_wc_status_str(wc->status), wc->status);
}

void verbs_rx_release(struct slu_driver *driver)
{
	struct verbs_slot *slot;

	while ((slot = STAILQ_FIRST(&driver->spent))) {
		STAILQ_REMOVE_HEAD(&driver->spent, link);
		slot_return(driver, slot);
	}
}

/* Slots for new sessions get buffers as the host has them. */
static void slots_fill(struct slu_driver *driver)
{
	uint32_t wanted = driver->session_count * (driver->window + VERBS_CREDIT_SLOTS);
	const struct slu_driver_host *host = driver->host;
	struct verbs_slot *slot;

	for (uint32_t held = driver->slots_held; held < wanted; held++) {
		slot = STAILQ_FIRST(&driver->slots_free);
		if (!slot)
			return;
		slot->buffer = host->rx_get(host->ctx);
		if (!slot->buffer)
			return;
		driver->slots_held++;
		STAILQ_REMOVE_HEAD(&driver->slots_free, link);
		STAILQ_INSERT_TAIL(&driver->slots_repost, slot, link);
	}
}

/* More than the sessions' windows: the host gets its buffer back. */
static bool slot_surplus(struct slu_driver *driver, struct verbs_slot *slot)
{
	uint32_t wanted = driver->session_count * (driver->window + VERBS_CREDIT_SLOTS);

	if (driver->slots_held <= wanted)
		return false;
	driver->host->rx_put(driver->host->ctx, slot->buffer);
	slot->buffer = NULL;
	driver->slots_held--;
	STAILQ_INSERT_HEAD(&driver->slots_free, slot, link);
	return true;
}

void verbs_rx_refill(struct slu_driver *driver)
{
	struct ibv_recv_wr wrs[POST_BATCH], *bad;
	struct ibv_sge sges[POST_BATCH];
	struct verbs_slot *slot;
	int count;

	slots_fill(driver);
	while (!STAILQ_EMPTY(&driver->slots_repost) && !driver->gone) {
		for (count = 0;
		     count < POST_BATCH && (slot = STAILQ_FIRST(&driver->slots_repost));) {
			STAILQ_REMOVE_HEAD(&driver->slots_repost, link);
			if (slot_surplus(driver, slot))
				continue;
			sges[count] = (struct ibv_sge){.addr = (uintptr_t)slot->buffer,
			                               .length = driver->host->message_bytes_max,
			                               .lkey = driver->arena_mr->lkey};
			wrs[count] = (struct ibv_recv_wr){
			        .wr_id = (uint64_t)slot_idx(driver, slot) << 1 | 1,
			        .sg_list = &sges[count],
			        .num_sge = 1};
			if (count > 0)
				wrs[count - 1].next = &wrs[count];
			count++;
		}
		if (count == 0)
			return;
		driver->posted_count += (uint32_t)count;
		if (ibv_post_srq_recv(driver->srq, wrs, &bad) != 0) {
			/* The queue is as long as there are slots: only a device that
			 * is gone refuses. Sessions hear of that by themselves. */
			for (; bad; bad = bad->next) {
				driver->posted_count--;
				STAILQ_INSERT_TAIL(&driver->slots_repost,
				                   &driver->slots[bad->wr_id >> 1], link);
			}
			return;
		}
	}
}

bool verbs_rx_tell(struct slu_session *session, struct slu_driver_event *ret_event)
{
	struct slu_driver *driver = session->driver;
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
		STAILQ_INSERT_TAIL(&driver->spent, slot, link);
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
	slot_return(driver, slot);
	return true;
}

void verbs_rx_drop(struct slu_session *session)
{
	struct slu_driver *driver = session->driver;
	struct verbs_slot *slot;

	while ((slot = STAILQ_FIRST(&session->rx))) {
		STAILQ_REMOVE_HEAD(&session->rx, link);
		slot->session = NULL;
		slot_return(driver, slot);
	}
	STAILQ_FOREACH (slot, &driver->spent, link) {
		if (slot->session == session)
			slot->session = NULL;
	}
}
