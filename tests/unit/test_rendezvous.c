/* SPDX-License-Identifier: Apache-2.0 */
/* test_rendezvous.c - the rendezvous of one host and the reclaim of processes,
 * over an arena without processes and a clock that the test turns. */
#include "tests/unit/arena_fixture.h"
#include "tests/unit/unit.h"
#include "transport/agent/reclaim.h"
#include "transport/agent/rendezvous.h"
#include "transport/agent/slots.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define TIMEOUT_NS     UINT64_C(1000)
#define TOMBSTONES_MAX 3u

static struct arena_fixture fixture;
static struct deadlines deadlines;
static struct entries entries;
static struct rendezvous rendezvous;
static struct reclaim reclaim;
static struct member members[FIXTURE_PORTS];
static uint64_t now_ns;
static const struct member *deaf; /* takes no introduction now */
static unsigned introductions;
static char error[CLIENT_TEXT_BYTES];

static int on_introduce(struct member *to, const struct member *who, void *ctx)
{
	if (to == deaf)
		return -EAGAIN;
	introductions++;
	return 0;
}

static void on_settle(struct entry *entry, uint64_t settle_ns, void *ctx)
{
	agent_rendezvous_settle(&rendezvous, entry, settle_ns);
}

static void start(void)
{
	const struct arena_fixture_config config = {
	        .frame_bytes = 4096, .max_channels = 8, .shared_frames = 32, .window_slots = 16};
	struct agent_rendezvous_config rendezvous_config = {
	        .entries = &entries,
	        .deadlines = &deadlines,
	        .node = "here",
	        .timeout_ns = TIMEOUT_NS,
	        .tombstones_max = TOMBSTONES_MAX,
	        .introduce = on_introduce,
	};

	arena_fixture_start(&fixture, &config);
	deadlines_init(&deadlines);
	CU_ASSERT_EQUAL_FATAL(entries_init(&entries, fixture.arena, &fixture.ports[0]), 0);
	agent_rendezvous_init(&rendezvous, &rendezvous_config);
	reclaim = (struct reclaim){.entries = &entries, .node = "here", .settle = on_settle};
	for (unsigned i = 0; i < FIXTURE_PORTS; i++) {
		members[i] = (struct member){.slot = fixture.ports[i].slot, .pid = 100 + i};
		snprintf(members[i].name, sizeof(members[i].name), "member %u", i);
		LIST_INIT(&members[i].ends);
	}
	now_ns = 0;
	deaf = NULL;
	introductions = 0;
}

/* Nothing is left: no entry, no deadline, every frame. */
static void stop(void)
{
	/* An end that times out leaves a tombstone, which then has its own time. */
	for (int i = 0; i < 2; i++) {
		now_ns += 10 * TIMEOUT_NS;
		deadlines_run(&deadlines, now_ns);
	}
	CU_ASSERT_EQUAL(entries.free_count, 8);
	CU_ASSERT_EQUAL(deadlines_next_ns(&deadlines), UINT64_MAX);
	CU_ASSERT_EQUAL(rendezvous.tombstone_count, 0);
	CU_ASSERT_TRUE(arena_fixture_full(&fixture));
	agent_rendezvous_fini(&rendezvous);
	entries_fini(&entries);
	deadlines_fini(&deadlines);
	arena_fixture_stop(&fixture);
}

static int open_result(unsigned member, uint64_t query, enum slu_direction direction, uint8_t token,
                       struct entry **ret_entry)
{
	union client_message message = {.header = {0}};

	message.open.direction = direction;
	message.open.key.query = query;
	message.open.token.bytes[15] = token;
	return agent_rendezvous_open(&rendezvous, &members[member], &message.open, now_ns,
	                             ret_entry, error);
}

static struct entry *open_end(unsigned member, uint64_t query, enum slu_direction direction)
{
	struct entry *entry = NULL;

	CU_ASSERT_EQUAL_FATAL(open_result(member, query, direction, 1, &entry), 0);
	return entry;
}

static struct chan_shm *shm_of(const struct entry *entry)
{
	return entry_shm(&entries, entry);
}

static void close_end(struct entry *entry, enum slu_direction direction)
{
	reclaim_end_close(&reclaim, &entry->ends[direction - 1], now_ns);
}

/* As the process's channel end does. */
static void write_frames(struct entry *entry, unsigned member, unsigned count, bool eos)
{
	struct chan_tx tx;
	uint32_t frame_idx;

	chan_tx_init(&tx, &fixture.ports[member], entry->chan_idx);
	while (count-- > 0) {
		CU_ASSERT_EQUAL_FATAL(chan_tx_acquire(&tx, &frame_idx), SLU_OK);
		arena_frame(fixture.arena, frame_idx)->wire.size_bytes = 0;
		chan_tx_publish(&tx, frame_idx);
	}
	if (eos)
		chan_tx_eos(&tx);
}

static void lets_a_sender_write_before_the_receiver_comes(void)
{
	struct entry *entry;

	start();
	entry = open_end(1, 5, SLU_SEND);
	CU_ASSERT_EQUAL(atomic_load(&shm_of(entry)->limit_pos), CHAN_WINDOW_INITIAL);
	CU_ASSERT_EQUAL(atomic_load(&shm_of(entry)->rx_slot), SLOT_NONE);
	write_frames(entry, 1, CHAN_WINDOW_INITIAL, true);
	CU_ASSERT_PTR_EQUAL(open_end(2, 5, SLU_RECV), entry);
	CU_ASSERT_EQUAL(atomic_load(&shm_of(entry)->tx_slot), members[1].slot);
	CU_ASSERT_EQUAL(atomic_load(&shm_of(entry)->rx_slot), members[2].slot);
	CU_ASSERT_EQUAL(introductions, 2);
	close_end(entry, SLU_SEND);
	atomic_store(&shm_of(entry)->stop, 1);
	close_end(entry, SLU_RECV);
	stop();
}

static void names_no_slot_before_both_can_ring(void)
{
	struct entry *entry;

	start();
	entry = open_end(1, 5, SLU_RECV);
	deaf = &members[1];
	CU_ASSERT_PTR_EQUAL(open_end(2, 5, SLU_SEND), entry);
	CU_ASSERT_EQUAL(atomic_load(&shm_of(entry)->tx_slot), SLOT_NONE);
	deaf = NULL;
	agent_rendezvous_retry(&rendezvous, &members[1]);
	CU_ASSERT_EQUAL(atomic_load(&shm_of(entry)->tx_slot), members[2].slot);
	CU_ASSERT_EQUAL(atomic_load(&shm_of(entry)->rx_slot), members[1].slot);
	CU_ASSERT_EQUAL(deadlines_next_ns(&deadlines), UINT64_MAX);
	write_frames(entry, 2, 0, true);
	close_end(entry, SLU_SEND);
	close_end(entry, SLU_RECV);
	stop();
}

static void times_out_an_end_that_could_not_be_told_of_the_other(void)
{
	struct entry *entry;

	start();
	entry = open_end(1, 5, SLU_RECV);
	deaf = &members[1];
	open_end(2, 5, SLU_SEND);
	deadlines_run(&deadlines, TIMEOUT_NS);
	CU_ASSERT_EQUAL(chan_reset_error(shm_of(entry)), -ETIMEDOUT);
	close_end(entry, SLU_SEND);
	close_end(entry, SLU_RECV);
	stop();
}

static void keeps_a_whole_result_until_its_time_is_over(void)
{
	struct entry *entry;
	struct frame_pool_counts counts;

	start();
	entry = open_end(1, 5, SLU_SEND);
	write_frames(entry, 1, 3, true);
	close_end(entry, SLU_SEND);
	frame_pool_count(fixture.arena, &counts);
	CU_ASSERT_EQUAL(counts.queued, 3);
	CU_ASSERT_EQUAL(entries.free_count, 7);
	deadlines_run(&deadlines, TIMEOUT_NS - 1);
	CU_ASSERT_EQUAL(entries.free_count, 7);
	deadlines_run(&deadlines, TIMEOUT_NS);
	CU_ASSERT_EQUAL(entries.free_count, 8);
	/* and says so to who comes later still */
	now_ns = TIMEOUT_NS + 1;
	entry = open_end(2, 5, SLU_RECV);
	CU_ASSERT_EQUAL(chan_reset_error(shm_of(entry)), -ETIMEDOUT);
	close_end(entry, SLU_RECV);
	stop();
}

static void forgets_a_stop_in_time(void)
{
	struct entry *entry;

	start();
	close_end(open_end(1, 5, SLU_RECV), SLU_RECV);
	CU_ASSERT_EQUAL(rendezvous.tombstone_count, 1);
	now_ns = TIMEOUT_NS;
	deadlines_run(&deadlines, now_ns);
	CU_ASSERT_EQUAL(rendezvous.tombstone_count, 0);
	entry = open_end(2, 5, SLU_SEND);
	CU_ASSERT_EQUAL(atomic_load(&shm_of(entry)->stop), 0);
	write_frames(entry, 2, 0, true);
	close_end(entry, SLU_SEND);
	stop();
}

static void drops_the_oldest_tombstone_when_there_are_too_many(void)
{
	struct entry *entry;

	start();
	for (uint64_t query = 1; query <= TOMBSTONES_MAX + 1; query++)
		close_end(open_end(1, query, SLU_RECV), SLU_RECV);
	CU_ASSERT_EQUAL(rendezvous.tombstone_count, TOMBSTONES_MAX);
	entry = open_end(2, 1, SLU_SEND);
	CU_ASSERT_EQUAL(atomic_load(&shm_of(entry)->stop), 0);
	write_frames(entry, 2, 0, true);
	close_end(entry, SLU_SEND);
	entry = open_end(2, TOMBSTONES_MAX + 1, SLU_SEND);
	CU_ASSERT_EQUAL(atomic_load(&shm_of(entry)->stop), 1);
	CU_ASSERT_EQUAL(rendezvous.tombstone_count, TOMBSTONES_MAX - 1);
	close_end(entry, SLU_SEND);
	stop();
}

static void does_not_take_another_tokens_tombstone(void)
{
	struct entry *entry = NULL;

	start();
	close_end(open_end(1, 5, SLU_RECV), SLU_RECV);
	CU_ASSERT_EQUAL(open_result(2, 5, SLU_SEND, 9, &entry), 0);
	CU_ASSERT_EQUAL(atomic_load(&shm_of(entry)->stop), 0);
	write_frames(entry, 2, 0, true);
	close_end(entry, SLU_SEND);
	stop();
}

static void compares_every_byte_of_a_token(void)
{
	struct entry *entry, *none = NULL;

	start();
	entry = open_end(1, 5, SLU_SEND);
	CU_ASSERT_EQUAL(open_result(2, 5, SLU_RECV, 2, &none), -EACCES);
	CU_ASSERT_PTR_NULL(none);
	CU_ASSERT_EQUAL(chan_reset_error(shm_of(entry)), 0);
	write_frames(entry, 1, 0, true);
	close_end(entry, SLU_SEND);
	stop();
}

static void makes_a_used_entry_new(void)
{
	struct entry *entry;
	uint32_t open_count, chan_idx;

	start();
	entry = open_end(1, 5, SLU_SEND);
	open_end(2, 5, SLU_RECV);
	write_frames(entry, 1, 4, false);
	chan_idx = entry->chan_idx;
	open_count = entry->open_count;
	close_end(entry, SLU_SEND); /* without EOS: cut short */
	CU_ASSERT_EQUAL(chan_reset_error(shm_of(entry)), -ECANCELED);
	close_end(entry, SLU_RECV);
	CU_ASSERT_PTR_NULL(entries_find(&entries, chan_idx, open_count));
	entry = open_end(1, 6, SLU_SEND);
	CU_ASSERT_EQUAL(entry->chan_idx, chan_idx);
	CU_ASSERT_EQUAL(entry->open_count, open_count + 1);
	CU_ASSERT_EQUAL(chan_reset_error(shm_of(entry)), 0);
	CU_ASSERT_EQUAL(atomic_load(&shm_of(entry)->published_pos), 0);
	CU_ASSERT_EQUAL(atomic_load(&shm_of(entry)->slots[0]), 0);
	write_frames(entry, 1, 0, true);
	close_end(entry, SLU_SEND);
	stop();
}

/* ---- processes that leave and die --------------------------------------- */

static void tells_the_other_end_at_once_and_keeps_the_memory(void)
{
	struct entry *entry;

	start();
	CU_ASSERT_NOT_EQUAL(frame_pool_take(fixture.arena, members[1].slot), FRAME_NONE);
	entry = open_end(1, 5, SLU_SEND);
	open_end(2, 5, SLU_RECV);
	reclaim_member_left(&reclaim, &members[1], "left without detaching", now_ns);
	CU_ASSERT_EQUAL(chan_reset_error(shm_of(entry)), -ECONNRESET);
	CU_ASSERT_STRING_EQUAL(chan_reset_text(shm_of(entry)),
	                       "sender \"member 1\" (pid 101) on here left without detaching; "
	                       "channel 5/0 0->0");
	close_end(entry, SLU_RECV);
	CU_ASSERT_EQUAL(entries.free_count, 7);
	/* the name is free for others already */
	entry = open_end(2, 5, SLU_RECV);
	CU_ASSERT_EQUAL(chan_reset_error(shm_of(entry)), 0);
	close_end(entry, SLU_RECV);
	CU_ASSERT_EQUAL(reclaim_member_gone(&reclaim, &members[1], "died", now_ns), 1);
	stop();
}

static void does_not_reset_what_had_ended(void)
{
	struct entry *entry, *stopped;
	struct chan_rx rx;
	uint32_t frame_idx;

	start();
	entry = open_end(1, 5, SLU_SEND);
	stopped = open_end(1, 6, SLU_RECV);
	open_end(2, 5, SLU_RECV);
	open_end(2, 6, SLU_SEND);
	write_frames(entry, 1, 2, true);
	atomic_store(&shm_of(stopped)->stop, 1);
	reclaim_member_gone(&reclaim, &members[1], "died", now_ns);
	CU_ASSERT_EQUAL(chan_reset_error(shm_of(entry)), 0);
	CU_ASSERT_EQUAL(chan_reset_error(shm_of(stopped)), 0);
	chan_rx_init(&rx, &fixture.ports[2], entry->chan_idx, 0);
	for (int i = 0; i < 2; i++) {
		CU_ASSERT_EQUAL(chan_rx_next(&rx, &frame_idx), SLU_OK);
		chan_rx_release(&rx, frame_idx);
	}
	CU_ASSERT_EQUAL(chan_rx_next(&rx, &frame_idx), SLU_EOS);
	close_end(entry, SLU_RECV);
	write_frames(stopped, 2, 0, true);
	close_end(stopped, SLU_SEND);
	stop();
}

static void on_ready(uint32_t bit, void *ctx)
{
	/* only taken */
}

static void rings_whoever_shared_a_channel_with_the_dead(void)
{
	struct entry *entry;

	start();
	entry = open_end(1, 5, SLU_SEND);
	open_end(2, 5, SLU_RECV);
	while (!port_try_sleep(&fixture.ports[2]))
		readyset_take(&fixture.ports[2].ready, on_ready, NULL);
	/* as if the dead had been killed between clearing the flag and ringing */
	atomic_store(&fixture.ports[2].self->sleeping, 0);
	write_frames(entry, 1, 0, true);
	port_wake(&fixture.ports[2]);
	reclaim_member_gone(&reclaim, &members[1], "died", now_ns);
	CU_ASSERT_TRUE(readyset_any(&fixture.ports[2].ready));
	close_end(entry, SLU_RECV);
	stop();
}

static void takes_back_a_frame_that_was_queued_and_never_published(void)
{
	struct entry *entry;
	uint32_t frame_idx = FRAME_NONE;
	struct chan_tx tx;

	start();
	entry = open_end(1, 5, SLU_SEND);
	deaf = &members[1]; /* so that the entry never names the sender */
	open_end(2, 5, SLU_RECV);
	atomic_store(&shm_of(entry)->tx_slot, SLOT_NONE);
	chan_tx_init(&tx, &fixture.ports[1], entry->chan_idx);
	CU_ASSERT_EQUAL(chan_tx_acquire(&tx, &frame_idx), SLU_OK);
	atomic_store(&arena_frame(fixture.arena, frame_idx)->owner,
	             FRAME_OWNER(FRAME_QUEUED, entry->chan_idx));
	CU_ASSERT_EQUAL(reclaim_member_gone(&reclaim, &members[1], "died", now_ns), 1);
	close_end(entry, SLU_RECV);
	stop();
}

/* ---- slots ---------------------------------------------------------------- */

static void gives_the_slot_that_was_free_for_longest(void)
{
	struct slots slots;
	uint32_t first, second;

	start();
	CU_ASSERT_EQUAL_FATAL(slots_init(&slots, fixture.arena), 0);
	first = slots_take(&slots);
	second = slots_take(&slots);
	CU_ASSERT_TRUE(first >= fixture.arena->pollers);
	slots_give(&slots, second);
	slots_give(&slots, first);
	while (slots.free_count > 2)
		CU_ASSERT_NOT_EQUAL(slots_take(&slots), SLOT_NONE);
	CU_ASSERT_EQUAL(slots_take(&slots), second);
	CU_ASSERT_EQUAL(slots_take(&slots), first);
	CU_ASSERT_EQUAL(slots_take(&slots), SLOT_NONE);
	slots_fini(&slots);
	stop();
}

int main(void)
{
	static const struct unit_test tests[] = {
	        UNIT_TEST(lets_a_sender_write_before_the_receiver_comes),
	        UNIT_TEST(names_no_slot_before_both_can_ring),
	        UNIT_TEST(times_out_an_end_that_could_not_be_told_of_the_other),
	        UNIT_TEST(keeps_a_whole_result_until_its_time_is_over),
	        UNIT_TEST(forgets_a_stop_in_time),
	        UNIT_TEST(drops_the_oldest_tombstone_when_there_are_too_many),
	        UNIT_TEST(does_not_take_another_tokens_tombstone),
	        UNIT_TEST(compares_every_byte_of_a_token),
	        UNIT_TEST(makes_a_used_entry_new),
	        UNIT_TEST(tells_the_other_end_at_once_and_keeps_the_memory),
	        UNIT_TEST(does_not_reset_what_had_ended),
	        UNIT_TEST(rings_whoever_shared_a_channel_with_the_dead),
	        UNIT_TEST(takes_back_a_frame_that_was_queued_and_never_published),
	        UNIT_TEST(gives_the_slot_that_was_free_for_longest),
	        {NULL, NULL},
	};

	return unit_run("rendezvous", tests);
}
