/* SPDX-License-Identifier: Apache-2.0 */
/* test_receive_budget.c - what is promised is there, whatever channels do. */
#include "drivers/random.h"
#include "tests/unit/unit.h"
#include "transport/engine/receive_budget.h"

#include <stdio.h>
#include <string.h>

#define CHANNELS   24u
#define WINDOW_MAX 64u

/* A channel: its peer sends whatever it may, its receiver gives back at leisure. */
struct model {
	struct receive_share share;
	bool open;
	uint64_t sent_pos, released_pos, limit_pos;
};

static uint64_t settle(struct receive_budget *budget, struct model *model, bool wants_more)
{
	uint64_t before_pos = model->limit_pos;

	model->limit_pos =
	        receive_budget_settle(budget, &model->share, model->released_pos, model->limit_pos,
	                              model->released_pos + WINDOW_MAX, WINDOW_MAX, wants_more);
	CU_ASSERT_TRUE(model->limit_pos >= before_pos);
	CU_ASSERT_TRUE(model->limit_pos > model->released_pos);
	return model->limit_pos - before_pos;
}

static void admit(struct receive_budget *budget, struct model *model)
{
	memset(model, 0, sizeof(*model));
	model->open = receive_budget_admit(budget, &model->share, WINDOW_MAX);
	if (model->open)
		settle(budget, model, false);
}

static void guarantees_every_channel_a_frame_or_refuses_it(void)
{
	struct receive_budget budget;
	struct model models[10];

	receive_budget_init(&budget, 10);
	receive_budget_reserve(&budget, 2);
	for (int i = 0; i < 10; i++)
		admit(&budget, &models[i]);
	CU_ASSERT_TRUE(models[0].open);
	CU_ASSERT_FALSE(models[9].open);
	CU_ASSERT_TRUE(budget.promised <= 8);
	for (int i = 0; i < 10; i++)
		if (models[i].open)
			CU_ASSERT_TRUE(models[i].limit_pos >= 1);
	for (int i = 0; i < 10; i++)
		if (models[i].open)
			receive_budget_leave(&budget, &models[i].share);
	CU_ASSERT_EQUAL(budget.promised, 0);
	CU_ASSERT_EQUAL(budget.channels, 0);
}

static void lets_one_busy_channel_grow_but_keeps_a_part_for_others(void)
{
	struct receive_budget budget;
	struct model busy, late;

	receive_budget_init(&budget, 100);
	admit(&budget, &busy);
	for (int i = 0; i < 100; i++) {
		busy.sent_pos = busy.released_pos = busy.limit_pos;
		settle(&budget, &busy, true);
	}
	CU_ASSERT_EQUAL(busy.share.window, WINDOW_MAX);
	CU_ASSERT_TRUE(budget.promised <= 75);
	for (int i = 0; i < 25; i++) {
		admit(&budget, &late);
		CU_ASSERT_TRUE(late.open);
	}
}

static void does_not_grow_for_who_has_nothing_to_send(void)
{
	struct receive_budget budget;
	struct model quiet;

	receive_budget_init(&budget, 100);
	admit(&budget, &quiet);
	for (int i = 0; i < 10; i++) {
		quiet.released_pos = quiet.limit_pos;
		settle(&budget, &quiet, false);
	}
	CU_ASSERT_EQUAL(quiet.share.window, 4);
}

static void takes_windows_back_when_memory_is_short(void)
{
	struct receive_budget budget;
	struct model busy, others[20];

	receive_budget_init(&budget, 64);
	admit(&budget, &busy);
	for (int i = 0; i < 100; i++) {
		busy.released_pos = busy.limit_pos;
		settle(&budget, &busy, true);
	}
	CU_ASSERT_TRUE(busy.share.window > 30);
	for (int i = 0; i < 16; i++) {
		admit(&budget, &others[i]);
		CU_ASSERT_TRUE(others[i].open);
	}
	/* As its receiver gives back, it shrinks; what was told stays. */
	settle(&budget, &busy, true);
	CU_ASSERT_TRUE(busy.share.charge > 30);
	busy.released_pos = busy.limit_pos;
	settle(&budget, &busy, true);
	CU_ASSERT_TRUE(busy.share.window < 8);
	CU_ASSERT_TRUE(budget.promised < 40);
}

static void respects_the_local_ring(void)
{
	struct receive_budget budget;
	struct receive_share share = {0};

	receive_budget_init(&budget, 100);
	CU_ASSERT_TRUE(receive_budget_admit(&budget, &share, WINDOW_MAX));
	CU_ASSERT_EQUAL(receive_budget_settle(&budget, &share, 0, 0, 2, WINDOW_MAX, true), 2);
	CU_ASSERT_EQUAL(receive_budget_settle(&budget, &share, 0, 2, 1, WINDOW_MAX, true), 2);
	CU_ASSERT_EQUAL(receive_budget_settle(&budget, &share, 1, 2, 3, WINDOW_MAX, true), 3);
}

/* One step of a random life. */
static void live(struct receive_budget *budget, struct model *model, struct slu_random *random)
{
	if (!model->open) {
		admit(budget, model);
	} else if (slu_random_chance(random, 20000)) {
		receive_budget_leave(budget, &model->share);
		model->open = false;
	} else {
		model->sent_pos += slu_random_upto(random, model->limit_pos - model->sent_pos);
		model->released_pos +=
		        slu_random_upto(random, model->sent_pos - model->released_pos);
		settle(budget, model, slu_random_chance(random, 500000));
	}
}

static void never_promises_more_than_there_is(void)
{
	for (uint64_t seed = 1; seed <= 50; seed++) {
		struct slu_random random = {seed};
		struct receive_budget budget;
		struct model models[CHANNELS] = {0};
		uint32_t frames = 4 + (uint32_t)slu_random_upto(&random, 200);

		receive_budget_init(&budget, frames);
		receive_budget_reserve(&budget, 3);
		for (int step = 0; step < 2000; step++) {
			uint64_t out = 0;

			live(&budget, &models[slu_random_upto(&random, CHANNELS - 1)], &random);
			for (uint32_t i = 0; i < CHANNELS; i++)
				if (models[i].open)
					out += models[i].limit_pos - models[i].released_pos;
			if (out > budget.promised || budget.promised > frames - 3) {
				printf("seed %llu step %d\n", (unsigned long long)seed, step);
				CU_FAIL_FATAL("more is promised than there is");
			}
		}
	}
}

int main(void)
{
	static const struct unit_test tests[] = {
	        UNIT_TEST(guarantees_every_channel_a_frame_or_refuses_it),
	        UNIT_TEST(lets_one_busy_channel_grow_but_keeps_a_part_for_others),
	        UNIT_TEST(does_not_grow_for_who_has_nothing_to_send),
	        UNIT_TEST(takes_windows_back_when_memory_is_short),
	        UNIT_TEST(respects_the_local_ring),
	        UNIT_TEST(never_promises_more_than_there_is),
	        {NULL, NULL},
	};

	return unit_run("receive_budget", tests);
}
