/* SPDX-License-Identifier: Apache-2.0 */
/* rig.c - see rig.h: instances, sending, and the passing of time. The monitor's
 * view of events is in rig_events.c. */
#include "tests/driver/rig.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <CUnit/CUnit.h>
#include <sluice/sluice.h>

#include "tests/driver/rig_internal.h"
#include "transport/clock.h"

/* A wait for something that must happen ends here at the latest, in real time.
 * Long, because a whole soak is one wait: ThreadSanitizer on a busy machine was
 * seen to need over 20 s. */
#define UNTIL_NS_MAX     (100 * SLU_NS_PER_S)
#define UNTIL_FAR_NS_MAX (300 * SLU_NS_PER_S) /* two emulated guests on a busy host */
/* In real time instances count as quiet after this long without an event: in one
 * process, and in two, which wait for each other's turn on a processor. */
#define SETTLE_NS     (20 * SLU_NS_PER_MS)
#define SETTLE_FAR_NS (100 * SLU_NS_PER_MS)

/* splitmix64 (Steele, Lea, Flood 2014; the constants of Vigna's version). */
static uint64_t splitmix64(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

uint64_t rig_random(struct rig *rig)
{
	return splitmix64(&rig->random);
}

void rig_fill(uint8_t *bytes, uint32_t size_bytes, uint64_t seed)
{
	uint32_t pos = 0;
	uint64_t word;

	for (; pos + sizeof(word) <= size_bytes; pos += sizeof(word)) {
		word = splitmix64(&seed);
		memcpy(bytes + pos, &word, sizeof(word));
	}
	word = splitmix64(&seed);
	memcpy(bytes + pos, &word, size_bytes - pos);
}

static uint8_t *rx_buffer(struct rig_instance *instance, size_t idx)
{
	return instance->arena + (RIG_FRAMES + idx) * RIG_MESSAGE_BYTES_MAX;
}

static void *host_rx_get(void *ctx)
{
	struct rig_instance *instance = ctx;
	size_t idx;

	for (idx = 0; !instance->starved && idx < RIG_FRAMES; idx++) {
		if (!instance->rx_busy[idx]) {
			instance->rx_busy[idx] = true;
			return rx_buffer(instance, idx);
		}
	}
	return NULL;
}

void rig_rx_release(void *ctx, void *buffer)
{
	struct rig_instance *instance = ctx;
	size_t offset = (size_t)((uint8_t *)buffer - rx_buffer(instance, 0));
	size_t idx = offset / RIG_MESSAGE_BYTES_MAX;

	CU_ASSERT_FATAL(idx < RIG_FRAMES && offset % RIG_MESSAGE_BYTES_MAX == 0);
	CU_ASSERT(instance->rx_busy[idx]); /* else it was never lent, or given back twice */
	instance->rx_busy[idx] = false;
}

static uint64_t host_now_ns(void *ctx)
{
	struct rig_instance *instance = ctx;

	return instance->rig->fixture->now_ns(instance->rig->environment);
}

size_t rig_options(const struct conformance_fixture *fixture, int idx,
                   struct slu_driver_option *ret_options, size_t room)
{
	size_t count = 0;

	CU_ASSERT_FATAL(fixture->option_count + CONFORMANCE_INSTANCE_OPTIONS_MAX <= room);
	for (; count < fixture->option_count; count++)
		ret_options[count] = fixture->options[count];
	if (fixture->instance_options)
		count += fixture->instance_options(idx, ret_options + count);
	return count;
}

static void instance_open(struct rig *rig, int idx)
{
	struct rig_instance *instance = &rig->instances[idx];
	struct slu_driver_option options[16];
	char error[SLU_DRIVER_ERROR_MAX] = "";
	struct slu_driver_config config = {
	        .options = options, .environment = rig->environment->network, .error = error};
	struct remote_place place;
	int r;

	config.option_count = rig_options(rig->fixture, idx, options, 16);
	instance->rig = rig;
	instance->ops = slu_driver_find(rig->fixture->driver);
	CU_ASSERT_FATAL(instance->ops != NULL);
	if (rig->far && idx % 2 == rig->far->parity) {
		place = rig->far->place;
		config.environment = &place;
		instance->ops = &remote_ops;
	}
	TAILQ_INIT(&instance->sides);
	instance->tx_free_count = RIG_FRAMES;
	instance->host.ctx = instance;
	instance->host.arena_bytes = (size_t)2 * RIG_FRAMES * RIG_MESSAGE_BYTES_MAX;
	instance->arena = aligned_alloc(4096, instance->host.arena_bytes);
	CU_ASSERT_FATAL(instance->arena != NULL);
	instance->host.arena = instance->arena;
	instance->host.message_bytes_max = RIG_MESSAGE_BYTES_MAX;
	instance->host.rx_get = host_rx_get;
	instance->host.rx_put = rig_rx_release;
	instance->host.now_ns = host_now_ns;
	r = instance->ops->open(&config, &instance->host, &instance->driver);
	if (r < 0)
		fprintf(stderr, "open of %s: %s: %s\n", rig->fixture->name, strerror(-r), error);
	CU_ASSERT_FATAL(r == 0);
	CU_ASSERT_FATAL(instance->ops->address(instance->driver, instance->address) == 0);
	CU_ASSERT(strlen(instance->address) > 0);
	CU_ASSERT(strcspn(instance->address, " \t\r\n") == strlen(instance->address));
}

struct rig *rig_create(const struct conformance_fixture *fixture, const struct conformance_far *far,
                       int instance_count, uint64_t seed)
{
	struct rig *rig = calloc(1, sizeof(*rig));
	int idx;

	CU_ASSERT_FATAL(rig != NULL && instance_count <= RIG_INSTANCES_MAX);
	rig->fixture = fixture;
	rig->far = far;
	rig->random = seed;
	rig->environment = fixture->environment_create(seed);
	CU_ASSERT_FATAL(rig->environment != NULL);
	rig->instance_count = instance_count;
	for (idx = 0; idx < instance_count; idx++)
		instance_open(rig, idx);
	return rig;
}

void rig_instance_close(struct rig_instance *instance)
{
	struct rig_side *side;
	size_t idx;

	instance->ops->close(instance->driver);
	instance->driver = NULL;
	TAILQ_FOREACH (side, &instance->sides, link) {
		if (side->state != RIG_CLOSED)
			rig_side_end(side, RIG_CLOSED);
	}
	for (idx = 0; idx < RIG_FRAMES; idx++)
		CU_ASSERT(!instance->rx_busy[idx]);
	CU_ASSERT(instance->tx_free_count == RIG_FRAMES);
}

void rig_destroy(struct rig *rig)
{
	struct rig_instance *instance;
	struct rig_side *side;
	int idx;

	for (idx = 0; idx < rig->instance_count; idx++) {
		if (rig->instances[idx].driver)
			rig_instance_close(&rig->instances[idx]);
	}
	for (idx = 0; idx < rig->instance_count; idx++) {
		instance = &rig->instances[idx];
		while ((side = TAILQ_FIRST(&instance->sides))) {
			TAILQ_REMOVE(&instance->sides, side, link);
			free(side->records);
			free(side->cookie_frame);
			free(side);
		}
		free(instance->arena);
	}
	rig->fixture->environment_destroy(rig->environment);
	free(rig);
}

/* Any of the addresses of an instance: it has one for each rail. */
static void address_pick(struct rig *rig, const char *addresses, char *ret_address)
{
	uint64_t count = 1;

	for (const char *comma = addresses; (comma = strchr(comma, ',')); comma++)
		count++;
	for (uint64_t skip = count > 1 ? rig_random(rig) % count : 0; skip > 0; skip--)
		addresses = strchr(addresses, ',') + 1;
	snprintf(ret_address, SLU_DRIVER_ADDRESS_MAX, "%.*s", (int)strcspn(addresses, ","),
	         addresses);
}

/* Both ends come to the same keys, of the hello. */
static void side_protect(struct rig_side *side, const uint8_t *hello, bool connects)
{
	struct rig_instance *instance = side->instance;
	struct slu_driver_keys keys;
	uint64_t seed = 0;

	if (!instance->rig->fixture->protect)
		return;
	for (size_t idx = 0; idx < SLU_DRIVER_HELLO_BYTES; idx++)
		seed = seed * 31 + hello[idx];
	rig_fill(connects ? keys.send : keys.receive, SLU_DRIVER_KEY_BYTES, seed);
	rig_fill(connects ? keys.receive : keys.send, SLU_DRIVER_KEY_BYTES, ~seed);
	CU_ASSERT(instance->ops->session_protect(instance->driver, side->session, &keys) == 0);
	memset(&keys, 0xdd, sizeof(keys)); /* they were copied */
}

static struct rig_side *side_connect(struct rig_side *side, const char *address, int *ret_error)
{
	struct rig_instance *from = side->instance;
	char one[SLU_DRIVER_ADDRESS_MAX];
	int r;

	address_pick(from->rig, address, one);
	r = from->ops->connect(from->driver, one, side->hello, side, &side->session);
	if (r == 0) {
		side_protect(side, side->hello, true);
		return side;
	}
	*ret_error = r;
	TAILQ_REMOVE(&from->sides, side, link);
	free(side);
	return NULL;
}

struct rig_side *rig_connect(struct rig_instance *from, const char *address, int *ret_error)
{
	struct rig_side *side = rig_side_create(from);

	side->id = ++from->rig->last_id;
	rig_hello_fill(side);
	return side_connect(side, address, ret_error);
}

struct rig_side *rig_connect_hello(struct rig_instance *from, const char *address, const char *text)
{
	struct rig_side *side = rig_side_create(from);
	int error = 0;

	snprintf((char *)side->hello, sizeof(side->hello), "%s", text);
	return side_connect(side, address, &error);
}

static bool is_up_or_down(void *ctx)
{
	return rig_side_is_up(ctx) || rig_side_is_down(ctx);
}

struct rig_side *rig_session(struct rig *rig, int from, int to, struct rig_side **ret_acceptor)
{
	struct rig_side *side;
	int error = 0;

	side = rig_connect(&rig->instances[from], rig->instances[to].address, &error);
	CU_ASSERT_FATAL(side != NULL);
	CU_ASSERT_FATAL(rig_until(rig, is_up_or_down, side));
	if (side->state != RIG_UP)
		fprintf(stderr, "a session did not come up: %s\n", side->down_text);
	CU_ASSERT_FATAL(side->state == RIG_UP);
	CU_ASSERT_FATAL(side->other && rig_until(rig, rig_side_is_up, side->other));
	if (ret_acceptor)
		*ret_acceptor = side->other;
	return side;
}

void rig_accept(struct rig_side *side)
{
	struct rig_instance *instance = side->instance;

	side->state = RIG_ACCEPTED;
	side_protect(side, side->other->hello, false);
	CU_ASSERT(instance->ops->session_accept(instance->driver, side->session, side) == 0);
}

void rig_close(struct rig_side *side)
{
	struct rig_instance *instance = side->instance;

	CU_ASSERT_FATAL(side->state != RIG_CLOSED);
	instance->ops->session_close(instance->driver, side->session);
	rig_side_end(side, RIG_CLOSED);
}

static struct rig_record *record_add(struct rig_side *side, uint32_t size_bytes, bool small)
{
	struct rig_record *record;

	if (side->record_count == side->record_room) {
		side->record_room = side->record_room ? 2 * side->record_room : 64;
		side->records = realloc(side->records, side->record_room * sizeof(*side->records));
		CU_ASSERT_FATAL(side->records != NULL);
	}
	record = &side->records[side->record_count];
	record->seed = rig_random(side->instance->rig);
	record->size_bytes = size_bytes;
	record->small = small;
	return record;
}

/* Whether a result of a send is one that the contract allows. */
static void send_result(struct rig_side *side, int r)
{
	CU_ASSERT(r == 0 || r == SLU_AGAIN || r == -ENOTCONN || r == -EMSGSIZE);
	if (r == SLU_AGAIN) {
		side->wants_writable = true;
		side->again_count++;
		side->instance->again_count++;
	}
	if (r == 0) {
		CU_ASSERT(side->state == RIG_UP);
		side->record_count++;
	}
}

int rig_send(struct rig_side *side, uint32_t size_bytes)
{
	struct rig_instance *instance = side->instance;
	struct rig_record *record;
	uint8_t *message;
	uint32_t frame;
	int r;

	if (instance->tx_free_count == 0)
		return SLU_AGAIN;
	for (frame = 0; instance->tx_busy[frame];)
		frame++;
	if (side->cookie_next == side->cookie_room) {
		side->cookie_room = side->cookie_room ? 2 * side->cookie_room : 64;
		side->cookie_frame = realloc(side->cookie_frame,
		                             side->cookie_room * sizeof(*side->cookie_frame));
		CU_ASSERT_FATAL(side->cookie_frame != NULL);
	}
	record = record_add(side, size_bytes, false);
	message = instance->arena + (size_t)frame * RIG_MESSAGE_BYTES_MAX;
	rig_fill(message, size_bytes <= RIG_MESSAGE_BYTES_MAX ? size_bytes : 0, record->seed);
	r = instance->ops->send(instance->driver, side->session, message, size_bytes,
	                        side->cookie_next);
	send_result(side, r);
	if (r == 0) {
		instance->tx_busy[frame] = true;
		instance->tx_free_count--;
		side->cookie_frame[side->cookie_next++] = frame;
	}
	return r;
}

int rig_send_small(struct rig_side *side, uint32_t size_bytes)
{
	struct rig_instance *instance = side->instance;
	struct rig_record *record = record_add(side, size_bytes, true);
	uint8_t message[SLU_DRIVER_SMALL_MAX + 1];
	int r;

	rig_fill(message, size_bytes, record->seed);
	r = instance->ops->send_small(instance->driver, side->session, message, size_bytes);
	memset(message, 0xee, sizeof(message)); /* it was copied */
	send_result(side, r);
	return r;
}

int rig_send_any(struct rig_side *side)
{
	struct rig *rig = side->instance->rig;
	uint64_t random = rig_random(rig);

	if (random % 3 == 0)
		return rig_send_small(side, (uint32_t)(1 + (random >> 8) % SLU_DRIVER_SMALL_MAX));
	/* Mostly short ones, so that many fit in what the network takes at once. */
	if (random % 3 == 1)
		return rig_send(side, (uint32_t)(1 + (random >> 8) % 2048));
	return rig_send(side, (uint32_t)(1 + (random >> 8) % RIG_MESSAGE_BYTES_MAX));
}

struct put {
	struct rig_side *side;
	int (*send)(struct rig_side *side, uint32_t size_bytes);
	uint32_t size_bytes;
	int result;
};

static bool put_is_taken(void *ctx)
{
	struct put *put = ctx;

	put->result = put->send(put->side, put->size_bytes);
	return put->result != SLU_AGAIN;
}

int rig_put(struct rig_side *side, uint32_t size_bytes)
{
	struct put put = {.side = side, .send = rig_send, .size_bytes = size_bytes};

	rig_until(side->instance->rig, put_is_taken, &put);
	return put.result;
}

int rig_put_small(struct rig_side *side, uint32_t size_bytes)
{
	struct put put = {.side = side, .send = rig_send_small, .size_bytes = size_bytes};

	rig_until(side->instance->rig, put_is_taken, &put);
	return put.result;
}

int rig_round(struct rig *rig)
{
	struct rig_instance *instance;
	int idx, count = 0;

	for (idx = 0; idx < rig->instance_count; idx++) {
		instance = &rig->instances[idx];
		if (!instance->driver)
			continue;
		instance->ops->flush(instance->driver);
		count += rig_poll(instance);
	}
	return count;
}

bool rig_wait(struct rig *rig, uint64_t timeout_ns)
{
	uint64_t deadline_ns = UINT64_MAX, own_ns;
	struct rig_instance *instance;
	int fds[RIG_INSTANCES_MAX];
	int idx, fd_count = 0;

	if (timeout_ns != UINT64_MAX)
		deadline_ns = rig->fixture->now_ns(rig->environment) + timeout_ns;
	for (idx = 0; idx < rig->instance_count; idx++) {
		instance = &rig->instances[idx];
		if (!instance->driver)
			continue;
		if (instance->ops->arm(instance->driver) == SLU_AGAIN)
			return true;
		own_ns = instance->ops->deadline(instance->driver);
		if (own_ns < deadline_ns)
			deadline_ns = own_ns;
		fds[fd_count] = instance->ops->fd(instance->driver);
		if (fds[fd_count] >= 0)
			fd_count++;
	}
	return rig->fixture->wait(rig->environment, deadline_ns, fds, fd_count);
}

bool rig_until(struct rig *rig, bool (*done)(void *ctx), void *ctx)
{
	uint64_t give_up_ns = clock_now_ns() + (rig->far ? UNTIL_FAR_NS_MAX : UNTIL_NS_MAX);

	while (!done(ctx)) {
		if (clock_now_ns() > give_up_ns)
			return false;
		if (rig_round(rig) == 0 && !rig_wait(rig, UINT64_MAX))
			return done(ctx);
	}
	return true;
}

void rig_settle(struct rig *rig)
{
	uint64_t settle_ns = rig->far ? SETTLE_FAR_NS : SETTLE_NS;
	uint64_t quiet_ns = rig->fixture->now_ns(rig->environment);

	while (rig->fixture->now_ns(rig->environment) < quiet_ns + settle_ns) {
		if (rig_round(rig) > 0)
			quiet_ns = rig->fixture->now_ns(rig->environment);
		else if (!rig_wait(rig, settle_ns))
			return;
	}
}
