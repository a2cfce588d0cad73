/* SPDX-License-Identifier: Apache-2.0 */
/*
 * process.c - what processes of a simulated host do: a sender writes frames that
 * say by their content which they are, a receiver checks every byte, and either
 * quits where its plan says so.
 */
#include "tests/sim/world.h"

#include <errno.h>
#include <string.h>

#define BURST 4 /* frames before others have their turn */

static struct node *end_node(struct world *world, const struct end *end)
{
	return &world->nodes[end->todo->node];
}

static void end_over(struct world *world, struct end *end, enum end_state state)
{
	end->state = state;
	end->over_ns = world_now(world);
}

static void end_close(struct world *world, struct end *end)
{
	conductor_close(end_node(world, end), end, 0, NULL);
	end_over(world, end, END_CLOSED);
}

static void end_reset_seen(struct world *world, struct end *end, int error)
{
	const char *text = chan_reset_text(arena_chan(end_node(world, end)->arena, end->chan_idx));

	if (!strstr(text, "channel ") || !strstr(text, "host node"))
		world_fail(world, "plan %u: the reason names no channel or host: \"%s\"",
		           end->plan->id, text);
	end->reset_error = error;
	end_close(world, end);
}

/* As slu_channel_reset() does, and then close, at once or when there is time. */
static void end_reset(struct world *world, struct end *end)
{
	struct node *node = end_node(world, end);
	struct chan_shm *shm = arena_chan(node->arena, end->chan_idx);
	bool sends = end->direction == SLU_SEND;

	chan_reset_write(sends ? &shm->tx_reset : &shm->rx_reset, ECANCELED,
	                 "the query was cancelled");
	port_notify(&node->ports[1 + end->todo->process], sends ? &shm->rx_slot : &shm->tx_slot,
	            end->chan_idx);
	if (!end->todo->reset_lingers) {
		end_close(world, end);
		return;
	}
	end->quits = true;
	end->act_ns = world_now(world) + 2 * SLU_NS_PER_MS;
}

/* ---- frames -------------------------------------------------------------- */

/* A frame of a plan is always the same, so that a second sending is too. */
static uint32_t frame_size(const struct plan *plan, uint32_t seq, uint32_t capacity)
{
	uint64_t draw = slu_random_mix((uint64_t)plan->id << 32 | seq);

	/* Mostly small, some full: a simulated byte costs as much as a real one. */
	return (uint32_t)(draw % 16 ? draw / 16 % 200 : draw / 16 % (capacity + 1));
}

static uint8_t frame_byte(const struct plan *plan, uint32_t seq, uint32_t i)
{
	return (uint8_t)(plan->id * 31 + seq * 7 + i * 13 + (i >> 8));
}

static void frame_fill(const struct plan *plan, uint32_t seq, struct frame_shm *frame,
                       uint32_t capacity)
{
	frame->wire.size_bytes = frame_size(plan, seq, capacity);
	frame->wire.tag = (uint16_t)(plan->id + seq);
	for (uint32_t i = 0; i < frame->wire.size_bytes; i++)
		frame->payload[i] = frame_byte(plan, seq, i);
}

static bool frame_is(const struct plan *plan, uint32_t seq, const struct frame_shm *frame,
                     uint32_t capacity)
{
	if (frame->wire.size_bytes != frame_size(plan, seq, capacity) ||
	    frame->wire.tag != (uint16_t)(plan->id + seq))
		return false;
	for (uint32_t i = 0; i < frame->wire.size_bytes; i++)
		if (frame->payload[i] != frame_byte(plan, seq, i))
			return false;
	return true;
}

/* ---- a sender ------------------------------------------------------------ */

static void sender_quit(struct world *world, struct end *end)
{
	end->reset_error = -ECANCELED;
	if (end->todo->quit_resets && !end->quits)
		end_reset(world, end);
	else
		end_close(world, end);
}

static void sender_close(struct world *world, struct end *end)
{
	chan_tx_eos(&end->tx);
	end->eos = true;
	end_close(world, end);
}

static void sender_act(struct world *world, struct end *end)
{
	struct arena *arena = end_node(world, end)->arena;

	for (int i = 0; i < BURST; i++) {
		uint32_t frame_idx;
		int r;

		if (end->frames == end->todo->quit_frames) {
			sender_quit(world, end);
			return;
		}
		if (end->frames == end->plan->frame_count) {
			sender_close(world, end);
			return;
		}
		r = chan_tx_acquire(&end->tx, &frame_idx);
		if (r < 0) {
			end_reset_seen(world, end, r);
			return;
		}
		if (r == SLU_STOPPED) {
			end->stopped = true;
			sender_close(world, end);
			return;
		}
		end->waits = r == SLU_AGAIN;
		if (end->waits)
			return;
		frame_fill(end->plan, end->frames, arena_frame(arena, frame_idx),
		           arena->frame_capacity);
		chan_tx_publish(&end->tx, frame_idx);
		end->frames++;
		if (end->todo->think_ns)
			break;
	}
	end->act_ns = world_now(world) + end->todo->think_ns;
}

/* ---- a receiver ---------------------------------------------------------- */

static void receiver_release(struct world *world, struct end *end)
{
	uint32_t pick = (uint32_t)slu_random_upto(&world->random, end->held_count - 1);
	uint32_t frame_idx = end->held[pick];

	end->held[pick] = end->held[--end->held_count];
	chan_rx_release(&end->rx, frame_idx);
}

static void receiver_close(struct world *world, struct end *end)
{
	while (end->held_count)
		receiver_release(world, end);
	if (!end->eos && !end->reset_error)
		chan_rx_stop(&end->rx);
	if (end->reset_error) {
		end_reset_seen(world, end, end->reset_error);
		return;
	}
	end_close(world, end);
}

/* Whether it goes on. */
static bool receiver_quit(struct world *world, struct end *end)
{
	if (end->quits) {
		end_close(world, end);
		return false;
	}
	if (end->stopped)
		return true;
	end->stopped = true;
	if (end->todo->quit_resets) {
		while (end->held_count)
			receiver_release(world, end);
		end_reset(world, end);
		return false;
	}
	chan_rx_stop(&end->rx);
	if (!end->todo->stop_lingers)
		receiver_close(world, end);
	return end->todo->stop_lingers;
}

static void receiver_take(struct world *world, struct end *end, uint32_t frame_idx)
{
	struct arena *arena = end_node(world, end)->arena;
	struct frame_shm *frame = arena_frame(arena, frame_idx);

	world->deliveries++;
	end->held[end->held_count++] = frame_idx;
	if (end->frames >= end->plan->frame_count ||
	    !frame_is(end->plan, end->frames, frame, arena->frame_capacity))
		world_fail(world, "plan %u: frame %u is not what was sent (tag %u, %u bytes)",
		           end->plan->id, end->frames, frame->wire.tag, frame->wire.size_bytes);
	end->frames++;
	if (end->held_count == end->todo->held_max)
		receiver_release(world, end);
}

static void receiver_act(struct world *world, struct end *end)
{
	for (int i = 0; i < BURST; i++) {
		uint32_t frame_idx;
		int r;

		if (end->frames >= end->todo->quit_frames && !receiver_quit(world, end))
			return;
		r = chan_rx_next(&end->rx, &frame_idx);
		if (r == SLU_OK) {
			receiver_take(world, end, frame_idx);
			if (end->todo->think_ns)
				break;
			continue;
		}
		if (r == SLU_AGAIN) {
			/* Who has nothing to do reads what it holds, then sleeps. */
			end->waits = !end->held_count;
			if (end->held_count)
				receiver_release(world, end);
			break;
		}
		end->eos = r == SLU_EOS;
		end->reset_error = r < 0 ? r : 0;
		receiver_close(world, end);
		return;
	}
	end->act_ns = world_now(world) + end->todo->think_ns;
}

/* ---- both ---------------------------------------------------------------- */

static void end_open(struct world *world, struct end *end)
{
	const struct plan *after = end->plan->after;
	int r;

	if (!end_node(world, end)->alive)
		return;
	if (after && (after->ends[0].state <= END_OPEN || after->ends[1].state <= END_OPEN))
		return;
	r = conductor_open(end_node(world, end), end);
	if (r < 0) {
		end->reset_error = r;
		end_over(world, end, END_REFUSED);
		return;
	}
	end->state = END_OPEN;
	end->act_ns = world_now(world);
}

void process_act(struct world *world, struct end *end)
{
	if (end->state == END_TO_COME && world_now(world) >= end->todo->open_ns)
		end_open(world, end);
	if (end->state != END_OPEN)
		return;
	if (end->waits ? !end_node(world, end)->ready[end->chan_idx]
	               : world_now(world) < end->act_ns)
		return;
	end->waits = false;
	end_node(world, end)->ready[end->chan_idx] = false;
	if (end->direction == SLU_SEND)
		sender_act(world, end);
	else
		receiver_act(world, end);
}
