/* SPDX-License-Identifier: Apache-2.0 */
/*
 * engine.c - create and destroy an engine, and its loop: what the driver says,
 * what local processes did, what is due, and what follows from it, each channel
 * in turn.
 */
#include "transport/engine/engine_state.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define ENGINE_EVENTS 64
/* Sent between two looks at what else there is: an urgent message comes after so many. */
#define ENGINE_ROUND_MESSAGES 16u
/* Frames kept back from promises beside one per session, in which the driver
 * receives what is sent again and will be dropped. */
#define ENGINE_RESERVE_MIN 2u
/* Timers are looked at no more often than this part of session_retry_ns, the
 * shortest time there is: with many channels a look is not for nothing. */
#define ENGINE_TICK_PART 4u

/* ---- what everybody needs ------------------------------------------------ */

void engine_timer_at(struct engine *engine, uint64_t at_ns)
{
	if (at_ns < engine->timer_ns)
		engine->timer_ns = at_ns;
}

/* splitmix64 (Steele, Lea and Flood, 2014): secrets need not be secret there. */
static uint64_t engine_random_seeded(struct engine *engine)
{
	uint64_t z = engine->random_state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

void engine_random(struct engine *engine, void *bytes, size_t size_bytes)
{
	uint8_t *out = bytes;

	if (!engine->random_state) {
		/* Up to 256 bytes it neither fails nor comes short, since Linux 3.17. */
		if (getrandom(bytes, size_bytes, 0) != (ssize_t)size_bytes)
			abort();
		return;
	}
	for (size_t i = 0; i < size_bytes; i++)
		out[i] = (uint8_t)(engine_random_seeded(engine) >> 32);
}

bool engine_secret_equal(const void *a, const void *b, size_t size_bytes)
{
	const uint8_t *left = a;
	const uint8_t *right = b;
	uint32_t difference = 0;

	for (size_t i = 0; i < size_bytes; i++)
		difference |= left[i] ^ right[i];
	return difference == 0;
}

void engine_reserve(struct engine *engine)
{
	/* The driver comes after the budget. */
	uint32_t posted = engine->driver ? engine->ops->rx_posted(engine->driver) : 0;

	receive_budget_reserve(&engine->budget, ENGINE_RESERVE_MIN + engine->sessions_up + posted);
}

void engine_reap(struct engine *engine)
{
	struct lane *lane;

	while ((lane = TAILQ_FIRST(&engine->done))) {
		uint32_t chan_idx = lane->chan_idx;

		lane_free(lane);
		engine->callbacks.channel_done(chan_idx, engine->callbacks.ctx);
	}
}

/* ---- host of the driver -------------------------------------------------- */

static void *engine_rx_get(void *ctx)
{
	struct engine *engine = ctx;
	uint32_t frame_idx = frame_pool_take_receive(engine->arena, engine->port->slot);

	return frame_idx == FRAME_NONE ? NULL : &arena_frame(engine->arena, frame_idx)->wire;
}

static void engine_rx_put(void *ctx, void *buffer)
{
	struct engine *engine = ctx;

	frame_pool_give(engine->arena, engine->port->slot, arena_frame_idx(engine->arena, buffer));
}

static uint64_t engine_now(void *ctx)
{
	const struct engine *engine = ctx;

	return engine->now_ns;
}

/* ---- create -------------------------------------------------------------- */

static int engine_driver_open(struct engine *engine, const struct engine_config *config,
                              char *error)
{
	struct slu_driver_config driver_config = *config->driver;
	char words[SLU_DRIVER_ERROR_MAX] = "";
	int r;

	driver_config.error = words;
	engine->host = (struct slu_driver_host){
	        .ctx = engine,
	        .arena = engine->arena->base,
	        .arena_bytes = engine->arena->size_bytes,
	        .message_bytes_max =
	                engine->arena->frame_capacity + (uint32_t)sizeof(struct frame_wire),
	        .rx_get = engine_rx_get,
	        .rx_put = engine_rx_put,
	        .now_ns = engine_now,
	};
	r = engine->ops->open(&driver_config, &engine->host, &engine->driver);
	if (r < 0) {
		snprintf(error, ARENA_ERROR_BYTES, "driver %s: %s", engine->ops->name,
		         words[0] ? words : strerror(-r));
		return r;
	}
	r = engine->ops->address(engine->driver, engine->address);
	if (r < 0) {
		snprintf(error, ARENA_ERROR_BYTES, "driver %s cannot accept sessions: %s",
		         engine->ops->name, strerror(-r));
		engine->ops->close(engine->driver);
	}
	return r;
}

static int engine_check(const struct engine_config *config, char *error)
{
	if (config->port->arena->max_channels > LANE_INDEX(UINT32_MAX)) {
		snprintf(error, ARENA_ERROR_BYTES, "max_channels %u: at most %u with peers",
		         config->port->arena->max_channels, LANE_INDEX(UINT32_MAX));
		return -EINVAL;
	}
	if (config->bulk_sessions < 1 || config->bulk_sessions > ENGINE_SESSIONS_MAX - 1) {
		snprintf(error, ARENA_ERROR_BYTES, "bulk_sessions %u: must be 1 to %u",
		         config->bulk_sessions, ENGINE_SESSIONS_MAX - 1);
		return -EINVAL;
	}
	return 0;
}

static void engine_free(struct engine *engine)
{
	free(engine->lanes);
	free(engine->epochs);
	free(engine->peers);
	free(engine);
}

/* Returned owned; NULL: no memory. */
static struct engine *engine_alloc(const struct engine_config *config)
{
	struct engine *engine = calloc(1, sizeof(*engine));
	struct arena *arena = config->port->arena;

	if (!engine)
		return NULL;
	engine->lanes = calloc(arena->max_channels, sizeof(*engine->lanes));
	engine->epochs = calloc(arena->max_channels, sizeof(*engine->epochs));
	if (!engine->lanes || !engine->epochs) {
		engine_free(engine);
		return NULL;
	}
	engine->port = config->port;
	engine->arena = arena;
	engine->ops = config->ops;
	engine->bulk_sessions = config->bulk_sessions;
	engine->crc32c = config->crc32c || !(config->ops->caps & SLU_DRIVER_LINK_INTEGRITY);
	engine->session_retry_ns = config->session_retry_ns;
	engine->peer_timeout_ns = config->peer_timeout_ns;
	engine->advertise_ns = config->advertise_ns;
	engine->random_state = config->seed;
	engine->timer_ns = ENGINE_NEVER;
	engine->late_ns = ENGINE_NEVER;
	snprintf(engine->node, sizeof(engine->node), "%s", config->node);
	TAILQ_INIT(&engine->runnable);
	TAILQ_INIT(&engine->credits);
	TAILQ_INIT(&engine->timed);
	TAILQ_INIT(&engine->done);
	receive_budget_init(&engine->budget, arena->receive_frames / arena->pollers);
	engine_reserve(engine);
	return engine;
}

int engine_create(const struct engine_config *config, const struct engine_callbacks *callbacks,
                  uint64_t now_ns, char *error, struct engine **ret_engine)
{
	struct engine *engine;
	int r = engine_check(config, error);

	if (r < 0)
		return r;
	engine = engine_alloc(config);
	if (!engine) {
		snprintf(error, ARENA_ERROR_BYTES, "no memory");
		return -ENOMEM;
	}
	engine->callbacks = *callbacks;
	engine->now_ns = now_ns;
	r = engine_driver_open(engine, config, error);
	if (r < 0) {
		engine_free(engine);
		return r;
	}
	*ret_engine = engine;
	return 0;
}

void engine_destroy(struct engine *engine)
{
	engine->ops->close(engine->driver);
	for (uint32_t i = 0; i < engine->peer_room; i++)
		if (engine->peers[i])
			peer_destroy(engine->peers[i]);
	engine_free(engine);
}

const char *engine_address(const struct engine *engine)
{
	return engine->address;
}

/* ---- the loop ------------------------------------------------------------ */

static uint32_t engine_events(struct engine *engine)
{
	struct slu_driver_event events[ENGINE_EVENTS];
	int count = engine->ops->poll(engine->driver, events, ENGINE_EVENTS);

	for (int i = 0; i < count; i++)
		session_event(engine, &events[i]);
	return count > 0 ? (uint32_t)count : 0;
}

static void engine_ready(uint32_t chan_idx, void *ctx)
{
	struct engine *engine = ctx;
	struct lane *lane = chan_idx < engine->arena->max_channels ? engine->lanes[chan_idx] : NULL;

	if (!lane)
		return;
	if (lane_sends(lane))
		outgoing_wake(lane);
	else
		incoming_ready(lane);
}

static void engine_timers(struct engine *engine)
{
	uint64_t tick_ns = engine->session_retry_ns / ENGINE_TICK_PART;
	struct lane *next;

	if (engine->now_ns < engine->timer_ns)
		return;
	engine->timer_ns = ENGINE_NEVER;
	for (uint32_t i = 0; i < engine->peer_room; i++)
		if (engine->peers[i])
			peer_timers(engine->peers[i], engine->now_ns);
	for (struct lane *lane = TAILQ_FIRST(&engine->timed); lane; lane = next) {
		uint64_t at_ns = lane_timers(lane, engine->now_ns);

		next = TAILQ_NEXT(lane, timed_link);
		if (at_ns == ENGINE_NEVER) {
			TAILQ_REMOVE(&engine->timed, lane, timed_link);
			lane->timed = false;
		} else {
			engine_timer_at(engine, at_ns);
		}
	}
	if (engine->timer_ns < engine->now_ns + tick_ns)
		engine->timer_ns = engine->now_ns + tick_ns;
}

/* Every sender that may send has its turn once, or as many as a round has messages. */
static uint32_t engine_senders(struct engine *engine)
{
	uint32_t turns = engine->runnable_count;
	uint32_t sent = 0;

	for (; turns && engine->runnable_count && sent < ENGINE_ROUND_MESSAGES; turns--)
		sent += outgoing_run(TAILQ_FIRST(&engine->runnable));
	return sent;
}

static void engine_credits(struct engine *engine)
{
	struct lane *lane;

	while ((lane = TAILQ_FIRST(&engine->credits)))
		incoming_credit_send(lane);
}

static void engine_count(const struct engine *engine, enum arena_counter counter, uint64_t now,
                         uint64_t told)
{
	/* The pollers add to the same counters. relaxed: only a sum */
	if (now != told)
		atomic_fetch_add_explicit(&engine->arena->header->counters[counter], now - told,
		                          memory_order_relaxed);
}

/* What the driver copied, when it has moved anything. */
static void engine_copied(struct engine *engine)
{
	struct slu_driver_stats now = {0};
	struct slu_driver_stats *told = &engine->driver_told;

	if (engine->stats.tx_frames == engine->stats_told.tx_frames &&
	    engine->stats.rx_frames == engine->stats_told.rx_frames)
		return;
	engine->ops->stats(engine->driver, &now);
	engine_count(engine, ARENA_TX_COPIED_BYTES, now.tx_copied_bytes, told->tx_copied_bytes);
	engine_count(engine, ARENA_RX_COPIED_BYTES, now.rx_copied_bytes, told->rx_copied_bytes);
	*told = now;
}

static void engine_counters(struct engine *engine)
{
	const struct engine_stats *now = &engine->stats;
	const struct engine_stats *told = &engine->stats_told;

	engine_copied(engine);
	engine_count(engine, ARENA_TX_FRAMES, now->tx_frames, told->tx_frames);
	engine_count(engine, ARENA_TX_BYTES, now->tx_bytes, told->tx_bytes);
	engine_count(engine, ARENA_RX_FRAMES, now->rx_frames, told->rx_frames);
	engine_count(engine, ARENA_RX_BYTES, now->rx_bytes, told->rx_bytes);
	engine_count(engine, ARENA_TX_RESENT_FRAMES, now->resent_frames, told->resent_frames);
	engine_count(engine, ARENA_RX_DUPLICATE_FRAMES, now->duplicate_frames,
	             told->duplicate_frames);
	engine_count(engine, ARENA_CRC_ERRORS, now->crc_errors, told->crc_errors);
	engine_count(engine, ARENA_SESSIONS_LOST, now->sessions_lost, told->sessions_lost);
	engine_count(engine, ARENA_SESSIONS_UP, engine->sessions_up, engine->sessions_up_told);
	engine->stats_told = engine->stats;
	engine->sessions_up_told = engine->sessions_up;
}

uint32_t engine_poll(struct engine *engine, uint64_t now_ns)
{
	uint32_t work;

	engine->now_ns = now_ns;
	work = engine_events(engine);
	work += readyset_take(&engine->port->ready, engine_ready, engine);
	engine_timers(engine);
	work += engine_senders(engine);
	incoming_credits_late(engine);
	engine_credits(engine);
	engine->ops->flush(engine->driver);
	engine_counters(engine);
	engine_reap(engine);
	return work;
}

uint64_t engine_deadline(const struct engine *engine)
{
	uint64_t driver_ns = engine->ops->deadline(engine->driver);
	uint64_t own_ns = engine->timer_ns < engine->late_ns ? engine->timer_ns : engine->late_ns;

	if (!TAILQ_EMPTY(&engine->runnable))
		return engine->now_ns;
	return driver_ns < own_ns ? driver_ns : own_ns;
}

int engine_fd(const struct engine *engine)
{
	return engine->ops->fd(engine->driver);
}

int engine_arm(struct engine *engine)
{
	if (!TAILQ_EMPTY(&engine->runnable) || !TAILQ_EMPTY(&engine->credits))
		return SLU_AGAIN;
	return engine->ops->arm(engine->driver);
}

void engine_stats(const struct engine *engine, struct engine_stats *ret_stats)
{
	*ret_stats = engine->stats;
	ret_stats->receive_frames_promised = engine->budget.promised;
	ret_stats->ends_waiting = HASH_COUNT(engine->pendings);
}
