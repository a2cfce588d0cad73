/* SPDX-License-Identifier: Apache-2.0 */
/*
 * channel.c - see channel.h; the fields and their ordering are in arena_shm.h.
 *
 * Positions run tx.pos <= limit_pos, limit_pos <= released_pos + ring. A slot
 * is written for position p only when p < limit_pos, so p - ring < released_pos:
 * what it held was taken long ago.
 */
#include "transport/channel.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* ---- reset ------------------------------------------------------------- */

void chan_reset_write(struct chan_reset *reset, int error, const char *text)
{
	if (atomic_load_explicit(&reset->error, memory_order_relaxed))
		return;
	snprintf(reset->text, sizeof(reset->text), "%s", text);
	/* pairs with the acquire in chan_reset_find: text before error */
	atomic_store_explicit(&reset->error, (uint32_t)(error < 0 ? -error : error),
	                      memory_order_release);
}

static const struct chan_reset *chan_reset_find(const struct chan_shm *shm)
{
	const struct chan_reset *const places[] = {&shm->agent_reset, &shm->tx_reset,
	                                           &shm->rx_reset};

	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++)
		if (atomic_load_explicit(&places[i]->error, memory_order_acquire))
			return places[i];
	return NULL;
}

int chan_reset_error(const struct chan_shm *shm)
{
	const struct chan_reset *reset = chan_reset_find(shm);
	uint32_t error;

	if (!reset)
		return 0;
	error = atomic_load_explicit(&reset->error, memory_order_relaxed);
	/* A client may have scribbled over it; errnos end at 4095. */
	return error < 4096 ? -(int)error : -EBADMSG;
}

const char *chan_reset_text(const struct chan_shm *shm)
{
	const struct chan_reset *reset = chan_reset_find(shm);

	return reset ? reset->text : "";
}

/* ---- sending ----------------------------------------------------------- */

void chan_tx_init(struct chan_tx *tx, struct port *port, uint32_t chan_idx)
{
	*tx = (struct chan_tx){
	        .port = port,
	        .shm = arena_chan(port->arena, chan_idx),
	        .chan_idx = chan_idx,
	        .slot_mask = port->arena->window_slots - 1,
	};
}

static int tx_state(const struct chan_tx *tx)
{
	int error = chan_reset_error(tx->shm);

	if (error)
		return error;
	/* R4 pairs with W4 in chan_rx_stop */
	if (atomic_load_explicit(&tx->shm->stop, memory_order_acquire))
		return SLU_STOPPED;
	return tx->eos_sent ? -EPIPE : SLU_OK;
}

static bool tx_has_credit(struct chan_tx *tx)
{
	if (tx->pos < tx->limit_pos)
		return true;
	/* R3 pairs with W3 in rx_publish_limit */
	tx->limit_pos = atomic_load_explicit(&tx->shm->limit_pos, memory_order_acquire);
	return tx->pos < tx->limit_pos;
}

/* Shared frames first: a home frame is the last resort, because who waits for
 * one costs the receiver a fence at its release. */
static uint32_t tx_take_frame(struct chan_tx *tx)
{
	struct arena *arena = tx->port->arena;
	uint32_t frame_idx = frame_pool_take(arena, tx->port->slot);

	if (frame_idx == FRAME_NONE && frame_pool_take_home(arena, tx->chan_idx, tx->port->slot))
		frame_idx = tx->chan_idx;
	return frame_idx;
}

static void tx_wait_set(struct chan_tx *tx, bool wait, uint64_t wake_pos)
{
	tx->waiting = wait;
	if (tx->watching)
		return;
	/* relaxed: the fence in tx_wait_begin orders it; clearing may be seen late,
	 * that is a wake-up too many */
	atomic_store_explicit(&tx->shm->tx_wake_pos, wake_pos, memory_order_relaxed);
	atomic_store_explicit(&tx->shm->tx_wait, wait, memory_order_relaxed);
}

/* Say that we wait, then look once more: the receiver publishes and then looks
 * whether we wait (rx_publish_limit, chan_rx_release), so one sees the other. */
static int tx_wait_begin(struct chan_tx *tx, uint32_t *ret_frame_idx)
{
	uint32_t window = atomic_load_explicit(&tx->shm->window, memory_order_relaxed);
	bool credit = tx_has_credit(tx);

	/* Without a frame any release helps; without credit a quarter window is
	 * worth a wake-up (the receiver wakes for less before it runs dry). */
	if (!tx->waiting)
		counter_add(&tx->shm->tx_stalls, 1);
	tx_wait_set(tx, true, credit ? 0 : tx->pos + (window > 4 ? window / 4 : 1));
	atomic_thread_fence(memory_order_seq_cst);
	if (tx_state(tx) != SLU_OK)
		return tx_state(tx);
	if (!tx_has_credit(tx))
		return SLU_AGAIN;
	*ret_frame_idx = tx_take_frame(tx);
	tx->frameless = *ret_frame_idx == FRAME_NONE;
	return tx->frameless ? SLU_AGAIN : SLU_OK;
}

int chan_tx_acquire(struct chan_tx *tx, uint32_t *ret_frame_idx)
{
	uint32_t frame_idx = FRAME_NONE;
	int r = tx_state(tx);

	if (r != SLU_OK)
		return r;
	if (tx_has_credit(tx))
		frame_idx = tx_take_frame(tx);
	if (frame_idx == FRAME_NONE) {
		r = tx_wait_begin(tx, &frame_idx);
		if (r != SLU_OK)
			return r;
	}
	if (tx->waiting)
		tx_wait_set(tx, false, 0);
	tx->frameless = false;
	*ret_frame_idx = frame_idx;
	return SLU_OK;
}

void chan_tx_publish(struct chan_tx *tx, uint32_t frame_idx)
{
	struct chan_shm *shm = tx->shm;
	struct frame_shm *frame = arena_frame(tx->port->arena, frame_idx);
	uint32_t size_bytes = frame->wire.size_bytes;
	uint64_t pos = tx->pos++;

	/* relaxed: the release below publishes it */
	atomic_store_explicit(&frame->owner, FRAME_OWNER(FRAME_QUEUED, tx->chan_idx),
	                      memory_order_relaxed);
	/* W1 pairs with R1 in chan_rx_next: the frame before its slot */
	atomic_store_explicit(&shm->slots[pos & tx->slot_mask],
	                      (uint64_t)(uint32_t)(pos + 1) << 32 | frame_idx,
	                      memory_order_release);
	atomic_store_explicit(&shm->published_pos, pos + 1, memory_order_relaxed);
	counter_add(&shm->tx_bytes, size_bytes);
	port_notify(tx->port, &shm->rx_slot, tx->chan_idx);
}

void chan_tx_eos(struct chan_tx *tx)
{
	if (tx->eos_sent)
		return;
	tx->eos_sent = true;
	/* W2 pairs with R2 in chan_rx_next: all slots before it */
	atomic_store_explicit(&tx->shm->eos_pos, tx->pos + 1, memory_order_release);
	port_notify(tx->port, &tx->shm->rx_slot, tx->chan_idx);
}

void chan_tx_watch(struct chan_tx *tx, bool watch)
{
	tx->watching = false;
	tx_wait_set(tx, watch, 0);
	tx->watching = watch;
	atomic_thread_fence(memory_order_seq_cst); /* before the caller's next look at the limit */
}

bool chan_tx_poll(const struct chan_tx *tx)
{
	const struct frame_shm *home = arena_frame(tx->port->arena, tx->chan_idx);

	/* Without a frame, credit is no news; the home frame coming home is. */
	if (tx->frameless)
		return FRAME_STATE(atomic_load_explicit(&home->owner, memory_order_relaxed)) ==
		               FRAME_HOME ||
		       tx_state(tx) != SLU_OK;
	return atomic_load_explicit(&tx->shm->limit_pos, memory_order_relaxed) > tx->pos ||
	       tx_state(tx) != SLU_OK;
}

/* ---- receiving --------------------------------------------------------- */

void chan_rx_init(struct chan_rx *rx, struct port *port, uint32_t chan_idx, uint32_t window_max)
{
	struct chan_shm *shm = arena_chan(port->arena, chan_idx);
	uint32_t ring = port->arena->window_slots;

	*rx = (struct chan_rx){
	        .port = port,
	        .shm = shm,
	        .chan_idx = chan_idx,
	        .slot_mask = ring - 1,
	        .window_max = window_max && window_max < ring ? window_max : ring,
	        /* what the agent let the sender write before we came */
	        .limit_pos = atomic_load_explicit(&shm->limit_pos, memory_order_relaxed),
	};
	rx->window = CHAN_WINDOW_INITIAL < rx->window_max ? CHAN_WINDOW_INITIAL : rx->window_max;
	rx->adapt_pos = rx->window;
	atomic_store_explicit(&shm->window, rx->window, memory_order_relaxed);
}

static uint32_t window_quantum(const struct chan_rx *rx)
{
	return rx->window > 4 ? rx->window / 4 : 1;
}

/* any: a sender that waits is woken at whatever limit. */
static void rx_publish_limit(struct chan_rx *rx, bool any)
{
	struct chan_shm *shm = rx->shm;

	/* A window that shrank takes nothing back: the limit only rises. */
	if (rx->released_pos + rx->window > rx->limit_pos)
		rx->limit_pos = rx->released_pos + rx->window;
	atomic_store_explicit(&shm->released_pos, rx->released_pos, memory_order_release);
	/* W3 pairs with R3 in tx_has_credit */
	atomic_store_explicit(&shm->limit_pos, rx->limit_pos, memory_order_release);
	atomic_thread_fence(memory_order_seq_cst); /* before the look at tx_wait: tx_wait_begin */
	if (atomic_load_explicit(&shm->tx_wait, memory_order_relaxed) &&
	    (any || rx->limit_pos >= atomic_load_explicit(&shm->tx_wake_pos, memory_order_relaxed)))
		port_notify(rx->port, &shm->tx_slot, rx->chan_idx);
}

/* A sender that watches (the engine) promises what was given back to another
 * host, perhaps a frame at a time: it wants to know of every frame. */
static bool rx_watched(const struct chan_rx *rx)
{
	const struct chan_shm *shm = rx->shm;

	return atomic_load_explicit(&shm->tx_wait, memory_order_relaxed) &&
	       !atomic_load_explicit(&shm->tx_wake_pos, memory_order_relaxed) &&
	       atomic_load_explicit(&shm->released_pos, memory_order_relaxed) != rx->released_pos;
}

/* Nothing to take: a sender that waits must not wait for credit we hold back. */
static void rx_before_empty(struct chan_rx *rx)
{
	struct chan_shm *shm = rx->shm;

	if ((rx->released_pos + rx->window > rx->limit_pos &&
	     rx->limit_pos - rx->pos <= rx->window / 2) ||
	    rx_watched(rx))
		rx_publish_limit(rx, true);
	if (rx->limit_pos > rx->pos && atomic_load_explicit(&shm->tx_wait, memory_order_relaxed) &&
	    atomic_load_explicit(&shm->tx_wake_pos, memory_order_relaxed) > rx->limit_pos)
		port_notify(rx->port, &shm->tx_slot, rx->chan_idx);
	rx->starved = true;
	rx->dry = true;
}

static bool rx_slot_filled(const struct chan_rx *rx, uint64_t *ret_entry)
{
	/* R1 pairs with W1 in chan_tx_publish */
	*ret_entry = atomic_load_explicit(&rx->shm->slots[rx->pos & rx->slot_mask],
	                                  memory_order_acquire);
	return (uint32_t)(*ret_entry >> 32) == (uint32_t)(rx->pos + 1);
}

static int rx_when_empty(struct chan_rx *rx, uint64_t *ret_entry)
{
	/* R2 pairs with W2 in chan_tx_eos */
	uint64_t eos_pos = atomic_load_explicit(&rx->shm->eos_pos, memory_order_acquire);
	int error;

	/* It may have come between our two looks. */
	if (rx_slot_filled(rx, ret_entry))
		return SLU_OK;
	if (eos_pos && rx->pos + 1 >= eos_pos)
		return SLU_EOS;
	error = chan_reset_error(rx->shm);
	if (error)
		return error;
	rx_before_empty(rx);
	return SLU_AGAIN;
}

int chan_rx_next(struct chan_rx *rx, uint32_t *ret_frame_idx)
{
	struct arena *arena = rx->port->arena;
	struct frame_shm *frame;
	uint64_t entry;
	uint32_t frame_idx;

	if (!rx_slot_filled(rx, &entry)) {
		int r = rx_when_empty(rx, &entry);

		if (r != SLU_OK)
			return r;
	}
	frame_idx = (uint32_t)entry;
	/* What lies in shared memory is the sender's word only. */
	if (frame_idx >= arena->frame_count)
		return -EBADMSG;
	frame = arena_frame(arena, frame_idx);
	if (frame->wire.size_bytes > arena->frame_capacity ||
	    atomic_load_explicit(&frame->owner, memory_order_relaxed) !=
	            FRAME_OWNER(FRAME_QUEUED, rx->chan_idx))
		return -EBADMSG;
	frame->holder = rx->chan_idx;
	/* relaxed: only this process touches it until release */
	atomic_store_explicit(&frame->owner, FRAME_OWNER(FRAME_HELD, rx->port->slot),
	                      memory_order_relaxed);
	rx->pos++;
	rx->dry = false;
	counter_add(&rx->shm->rx_frames, 1);
	counter_add(&rx->shm->rx_bytes, frame->wire.size_bytes);
	*ret_frame_idx = frame_idx;
	return SLU_OK;
}

/* A quiet channel uses none of its window, so windows may add up to more than
 * there is; and below this the ends wake each other for too little. */
#define WINDOW_OVERCOMMIT 4u
#define WINDOW_FAIR_MIN   4u

/* What each open channel may have: its part of the cache, if the shared frames
 * allow. Without any of these its home frame keeps it moving. */
static uint32_t window_fair(const struct arena *arena)
{
	uint32_t shared = arena->frame_count - arena->max_channels - arena->receive_frames;
	uint32_t open = atomic_load_explicit(&arena->header->channels_open, memory_order_relaxed);
	uint32_t cached, fair;

	open = open ? open : 1;
	cached = ARENA_CACHE_BYTES / arena->frame_bytes / open;
	fair = WINDOW_OVERCOMMIT * (shared / open);
	cached = cached < WINDOW_FAIR_MIN ? WINDOW_FAIR_MIN : cached;
	fair = fair < cached ? fair : cached;
	return fair ? fair : 1;
}

/* Once per window of frames: the sender stalled and we ran dry: both wait for
 * each other's news, so give it more; more channels than memory: give less. */
static void window_adapt(struct chan_rx *rx)
{
	uint64_t stalls = atomic_load_explicit(&rx->shm->tx_stalls, memory_order_relaxed);
	uint32_t fair = window_fair(rx->port->arena);

	if (stalls != rx->stalls_seen && rx->starved)
		rx->window *= 2;
	if (rx->window > fair)
		rx->window = fair;
	if (rx->window > rx->window_max)
		rx->window = rx->window_max;
	rx->stalls_seen = stalls;
	rx->starved = false;
	rx->adapt_pos = rx->released_pos + rx->window;
	atomic_store_explicit(&rx->shm->window, rx->window, memory_order_relaxed);
}

void chan_rx_release(struct chan_rx *rx, uint32_t frame_idx)
{
	bool home = frame_idx < rx->port->arena->max_channels;

	frame_pool_give(rx->port->arena, rx->port->slot, frame_idx);
	rx->released_pos++;
	if (rx->released_pos >= rx->adapt_pos)
		window_adapt(rx);
	/* A sender without any other frame may wait for its home frame; and who was
	 * told "empty" may sleep next, so nothing must be held back from here on. */
	if (home || rx->dry || rx->released_pos + rx->window >= rx->limit_pos + window_quantum(rx))
		rx_publish_limit(rx, home || rx->dry);
}

void chan_rx_stop(struct chan_rx *rx)
{
	if (rx->stopped)
		return;
	rx->stopped = true;
	/* W4 pairs with R4 in tx_state */
	atomic_store_explicit(&rx->shm->stop, 1, memory_order_release);
	port_notify(rx->port, &rx->shm->tx_slot, rx->chan_idx);
}

bool chan_rx_poll(const struct chan_rx *rx)
{
	uint64_t entry;

	if (rx_slot_filled(rx, &entry)) {
		/* its header is another miss; it goes while the caller returns */
		__builtin_prefetch(arena_frame(rx->port->arena, (uint32_t)entry));
		return true;
	}
	return atomic_load_explicit(&rx->shm->eos_pos, memory_order_relaxed) ||
	       chan_reset_error(rx->shm);
}
