/* SPDX-License-Identifier: Apache-2.0 */
/* rig_events.c - the monitor: takes the events of an instance and checks each
 * against what the contract allows in the state its session is in. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <CUnit/CUnit.h>

#include "tests/driver/rig_internal.h"

#define BATCH_MAX   32
#define HELLO_MAGIC "rig hello"

struct rig_side *rig_side_create(struct rig_instance *instance)
{
	struct rig_side *side = calloc(1, sizeof(*side));

	CU_ASSERT_FATAL(side != NULL);
	side->instance = instance;
	TAILQ_INSERT_TAIL(&instance->sides, side, link);
	return side;
}

void rig_hello_fill(struct rig_side *side)
{
	rig_fill(side->hello, sizeof(side->hello), side->id);
	memcpy(side->hello, HELLO_MAGIC, sizeof(HELLO_MAGIC));
	memcpy(side->hello + sizeof(HELLO_MAGIC), &side->id, sizeof(side->id));
}

/* The driver must not read the frame any more. If it does, its peer gets this. */
static void frame_scribble(struct rig_instance *instance, uint32_t frame)
{
	uint8_t *bytes = instance->arena + (size_t)frame * RIG_MESSAGE_BYTES_MAX;

	CU_ASSERT(instance->tx_busy[frame]);
	memset(bytes, 0xdd, RIG_MESSAGE_BYTES_MAX);
	if (instance->ops == &remote_ops && instance->driver)
		remote_scribble(instance->driver, bytes, RIG_MESSAGE_BYTES_MAX);
	instance->tx_busy[frame] = false;
	instance->tx_free_count++;
}

void rig_side_end(struct rig_side *side, enum rig_state state)
{
	while (side->cookie_sent < side->cookie_next)
		frame_scribble(side->instance, side->cookie_frame[side->cookie_sent++]);
	side->state = state;
	side->closed_in_batch = state == RIG_CLOSED;
}

static struct rig_side *side_find(struct rig_instance *instance, const struct slu_session *session)
{
	struct rig_side *side, *stale = NULL;

	TAILQ_FOREACH (side, &instance->sides, link) {
		if (side->session != session)
			continue;
		if (side->state != RIG_CLOSED)
			return side;
		if (side->closed_in_batch)
			stale = side;
	}
	return stale;
}

static struct rig_side *initiator_find(struct rig *rig, const uint8_t *hello)
{
	struct rig_side *side;
	int idx;

	for (idx = 0; idx < rig->instance_count; idx++) {
		TAILQ_FOREACH (side, &rig->instances[idx].sides, link) {
			if (memcmp(side->hello, hello, sizeof(side->hello)) == 0)
				return side;
		}
	}
	return NULL;
}

static void on_accept(struct rig_instance *instance, const struct slu_driver_event *event)
{
	struct rig_side *initiator, *side;

	CU_ASSERT(event->user == NULL);
	CU_ASSERT_FATAL(event->size_bytes == SLU_DRIVER_HELLO_BYTES);
	if (memcmp(event->message, HELLO_MAGIC, sizeof(HELLO_MAGIC)) != 0) {
		instance->stranger_count++;
		instance->ops->session_close(instance->driver, event->session);
		return;
	}
	initiator = initiator_find(instance->rig, event->message);
	CU_ASSERT_FATAL(initiator != NULL);
	CU_ASSERT(initiator->other == NULL); /* offered once */
	side = rig_side_create(instance);
	side->session = event->session;
	side->id = initiator->id;
	side->state = RIG_OFFERED;
	side->other = initiator;
	initiator->other = side;
	if (instance->policy == RIG_ACCEPT)
		rig_accept(side);
	else if (instance->policy == RIG_REFUSE)
		rig_close(side);
}

void rig_message_check(struct rig_side *side, const struct slu_driver_event *event)
{
	struct rig_instance *instance = side->instance;
	bool small = event->type == SLU_DRIVER_RECV_SMALL;
	const struct rig_record *record;
	uint8_t *expected;

	CU_ASSERT(side->state == RIG_UP);
	CU_ASSERT_FATAL(side->other != NULL);
	CU_ASSERT_FATAL(side->received < side->other->record_count);
	record = &side->other->records[side->received++];
	CU_ASSERT(record->small == small);
	CU_ASSERT_FATAL(record->size_bytes == event->size_bytes);
	expected = malloc(event->size_bytes);
	CU_ASSERT_FATAL(expected != NULL);
	rig_fill(expected, event->size_bytes, record->seed);
	CU_ASSERT(memcmp(expected, event->message, event->size_bytes) == 0);
	free(expected);
	if (!small)
		rig_rx_release(instance, (void *)(uintptr_t)event->message);
}

static void on_sent(struct rig_side *side, const struct slu_driver_event *event)
{
	CU_ASSERT(side->state == RIG_UP);
	CU_ASSERT_FATAL(side->cookie_sent < side->cookie_next);
	CU_ASSERT(event->cookie == side->cookie_sent);
	frame_scribble(side->instance, side->cookie_frame[side->cookie_sent++]);
}

static void on_down(struct rig_side *side, const struct slu_driver_event *event)
{
	CU_ASSERT(side->state != RIG_DOWN);
	CU_ASSERT(event->error <= 0);
	CU_ASSERT_FATAL(event->text != NULL);
	CU_ASSERT(event->text[0] != '\0');
	side->down_error = event->error;
	snprintf(side->down_text, sizeof(side->down_text), "%s", event->text);
	rig_side_end(side, RIG_DOWN);
}

static void on_event(struct rig_instance *instance, const struct slu_driver_event *event)
{
	struct rig_side *side;

	if (event->type == SLU_DRIVER_ACCEPT) {
		on_accept(instance, event);
		return;
	}
	side = side_find(instance, event->session);
	CU_ASSERT_FATAL(side != NULL); /* an event after session_close */
	if (side->state == RIG_CLOSED) {
		/* It was in the same batch as what made the rig close the session. */
		if (event->type == SLU_DRIVER_RECV_FRAME)
			rig_rx_release(instance, (void *)(uintptr_t)event->message);
		return;
	}
	CU_ASSERT(event->user == (side->state == RIG_OFFERED ? NULL : side));
	switch (event->type) {
	case SLU_DRIVER_UP:
		CU_ASSERT(side->state == RIG_CONNECTING || side->state == RIG_ACCEPTED);
		side->state = RIG_UP;
		break;
	case SLU_DRIVER_DOWN:
		on_down(side, event);
		break;
	case SLU_DRIVER_RECV_FRAME:
	case SLU_DRIVER_RECV_SMALL:
		rig_message_check(side, event);
		break;
	case SLU_DRIVER_SENT:
		on_sent(side, event);
		break;
	case SLU_DRIVER_WRITABLE:
		CU_ASSERT(side->state == RIG_UP);
		side->wants_writable = false;
		CU_ASSERT(++side->writable_count <= side->again_count);
		break;
	default:
		CU_FAIL_FATAL("an event of unknown type");
	}
}

int rig_poll(struct rig_instance *instance)
{
	struct slu_driver_event events[BATCH_MAX];
	int room = instance->batch;
	struct rig_side *side;
	int idx, count;

	if (room == 0)
		room = (int)(1 + rig_random(instance->rig) % BATCH_MAX);
	TAILQ_FOREACH (side, &instance->sides, link)
		side->closed_in_batch = false;
	count = instance->ops->poll(instance->driver, events, room);
	CU_ASSERT_FATAL(count >= 0 && count <= room);
	for (idx = 0; idx < count; idx++)
		on_event(instance, &events[idx]);
	return count;
}

bool rig_side_is_up(void *ctx)
{
	struct rig_side *side = ctx;

	return side->state == RIG_UP;
}

bool rig_side_is_down(void *ctx)
{
	struct rig_side *side = ctx;

	return side->state == RIG_DOWN;
}

bool rig_side_has_all(void *ctx)
{
	struct rig_side *side = ctx;

	return side->received == side->other->record_count &&
	       side->other->cookie_sent == side->other->cookie_next;
}
