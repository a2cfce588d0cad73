/* SPDX-License-Identifier: Apache-2.0 */
/* test_wire.c - the datagram network of the simulator. */
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "drivers/sim/wire.h"
#include "tests/unit/unit.h"

#define PACKETS 20000u
#define SEED    42u

/* Packets carry their number, so that what happened to each can be told. */
struct outcome {
	unsigned arrived[PACKETS];
	uint64_t at_ns[PACKETS];
	unsigned total, garbled, overtaken;
	uint64_t hash;
};

static struct outcome outcome;

static void outcome_add(const struct slu_wire_packet *packet, uint64_t now_ns, uint32_t *last)
{
	uint32_t words[4];

	CU_ASSERT_FATAL(packet->size_bytes == sizeof(words));
	memcpy(words, packet->bytes, sizeof(words));
	outcome.total++;
	outcome.hash = outcome.hash * 31 + now_ns + words[0];
	if (words[0] >= PACKETS || words[1] != ~words[0] || words[2] != 0 || words[3] != 0) {
		outcome.garbled++;
		return;
	}
	outcome.arrived[words[0]]++;
	outcome.at_ns[words[0]] = now_ns;
	if (words[0] < *last)
		outcome.overtaken++;
	*last = words[0];
}

/* Send all at 1 us from each other, 3 to 5; receive them as they arrive. */
static void run(const struct slu_wire_params *params, uint64_t seed)
{
	struct slu_wire *wire = slu_wire_create(params, seed);
	const struct slu_wire_packet *packet;
	struct slu_wire_stats stats;
	uint32_t idx, last = 0;
	uint64_t now_ns;

	memset(&outcome, 0, sizeof(outcome));
	for (idx = 0; idx < PACKETS; idx++) {
		uint32_t words[4] = {idx, ~idx, 0, 0};

		CU_ASSERT(slu_wire_send(wire, idx * 1000, 3, 5, words, sizeof(words)) == 0);
	}
	while ((now_ns = slu_wire_next_ns(wire)) != UINT64_MAX) {
		CU_ASSERT(slu_wire_receive(wire, now_ns - 1) == NULL);
		packet = slu_wire_receive(wire, now_ns);
		CU_ASSERT_FATAL(packet != NULL);
		CU_ASSERT(packet->from == 3 && packet->to == 5);
		outcome_add(packet, now_ns, &last);
	}
	slu_wire_stats(wire, &stats);
	CU_ASSERT(stats.sent == PACKETS);
	CU_ASSERT(stats.delivered == outcome.total);
	CU_ASSERT(stats.delivered == stats.sent - stats.lost + stats.duplicated);
	CU_ASSERT(stats.corrupted == outcome.garbled);
	slu_wire_destroy(wire);
}

static const struct slu_wire_params quiet = {
        .delay_ns_min = 10000, .delay_ns_max = 50000, .packet_bytes_max = 100};

static void delivers_everything_in_order_when_nothing_is_wrong(void)
{
	uint32_t idx;

	run(&quiet, SEED);
	CU_ASSERT(outcome.total == PACKETS && outcome.garbled == 0 && outcome.overtaken == 0);
	for (idx = 0; idx < PACKETS; idx++) {
		CU_ASSERT(outcome.arrived[idx] == 1);
		CU_ASSERT(outcome.at_ns[idx] >= idx * 1000 + quiet.delay_ns_min);
		CU_ASSERT(outcome.at_ns[idx] <= idx * 1000 + quiet.delay_ns_max);
	}
}

/* Within a fifth of the rate: more than ten standard deviations. */
static bool is_about(unsigned count, unsigned expected)
{
	return count > expected - expected / 5 && count < expected + expected / 5;
}

static void loses_as_many_as_it_is_told(void)
{
	struct slu_wire_params params = quiet;

	params.loss_per_million = 200000;
	run(&params, SEED);
	CU_ASSERT(is_about(PACKETS - outcome.total, PACKETS / 5));
	CU_ASSERT(outcome.overtaken == 0);
}

static void duplicates_as_many_as_it_is_told(void)
{
	struct slu_wire_params params = quiet;
	unsigned twice = 0;
	uint32_t idx;

	params.duplicate_per_million = 200000;
	run(&params, SEED);
	for (idx = 0; idx < PACKETS; idx++)
		twice += outcome.arrived[idx] == 2;
	CU_ASSERT(is_about(twice, PACKETS / 5));
	CU_ASSERT(outcome.total == PACKETS + twice);
}

static void garbles_one_bit_of_as_many_as_it_is_told(void)
{
	struct slu_wire_params params = quiet;

	params.corrupt_per_million = 200000;
	run(&params, SEED);
	CU_ASSERT(is_about(outcome.garbled, PACKETS / 5));
	CU_ASSERT(outcome.total == PACKETS);
}

static void lets_as_many_be_overtaken_as_it_is_told(void)
{
	struct slu_wire_params params = quiet;

	params.reorder_per_million = 100000;
	params.reorder_ns_max = 200000;
	run(&params, SEED);
	CU_ASSERT(outcome.total == PACKETS);
	CU_ASSERT(outcome.overtaken > PACKETS / 20 && outcome.overtaken < PACKETS / 5);
}

static void does_the_same_for_the_same_seed(void)
{
	struct slu_wire_params params = {.delay_ns_min = 1000,
	                                 .delay_ns_max = 90000,
	                                 .loss_per_million = 50000,
	                                 .duplicate_per_million = 50000,
	                                 .corrupt_per_million = 50000,
	                                 .reorder_per_million = 50000,
	                                 .reorder_ns_max = 300000,
	                                 .packet_bytes_max = 16};
	uint64_t hash;

	run(&params, 7);
	hash = outcome.hash;
	run(&params, 7);
	CU_ASSERT(outcome.hash == hash);
	run(&params, 8);
	CU_ASSERT(outcome.hash != hash);
}

static void refuses_a_packet_that_is_too_long(void)
{
	struct slu_wire *wire = slu_wire_create(&quiet, SEED);
	uint8_t bytes[101] = {0};

	CU_ASSERT(slu_wire_send(wire, 0, 0, 1, bytes, 101) == -EMSGSIZE);
	CU_ASSERT(slu_wire_next_ns(wire) == UINT64_MAX);
	CU_ASSERT(slu_wire_send(wire, 0, 0, 1, bytes, 100) == 0);
	slu_wire_destroy(wire); /* with a packet under way */
}

int main(void)
{
	static const struct unit_test tests[] = {
	        UNIT_TEST(delivers_everything_in_order_when_nothing_is_wrong),
	        UNIT_TEST(loses_as_many_as_it_is_told),
	        UNIT_TEST(duplicates_as_many_as_it_is_told),
	        UNIT_TEST(garbles_one_bit_of_as_many_as_it_is_told),
	        UNIT_TEST(lets_as_many_be_overtaken_as_it_is_told),
	        UNIT_TEST(does_the_same_for_the_same_seed),
	        UNIT_TEST(refuses_a_packet_that_is_too_long),
	        {NULL, NULL},
	};

	return unit_run("wire", tests);
}
