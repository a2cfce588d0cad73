/* SPDX-License-Identifier: Apache-2.0 */
/* test_deadlines.c - the conductor's heap of deadlines, against a plain array. */
#include "tests/unit/unit.h"
#include "transport/agent/deadlines.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#define COUNT 200

struct timer {
	struct deadline deadline;
	bool set;
	uint64_t at_ns;
	unsigned expired;
};

static struct timer timers[COUNT];
static uint64_t last_ns;

static void on_expire(struct deadline *deadline, uint64_t now_ns)
{
	struct timer *timer = (struct timer *)deadline; /* first member */

	CU_ASSERT_TRUE(timer->set);
	CU_ASSERT_TRUE(timer->at_ns <= now_ns);
	CU_ASSERT_TRUE(timer->at_ns >= last_ns);
	last_ns = timer->at_ns;
	timer->set = false;
	timer->expired++;
}

static uint64_t earliest(void)
{
	uint64_t at_ns = UINT64_MAX;

	for (int i = 0; i < COUNT; i++)
		if (timers[i].set && timers[i].at_ns < at_ns)
			at_ns = timers[i].at_ns;
	return at_ns;
}

static void expires_in_order_whatever_is_set_moved_and_cleared(void)
{
	struct deadlines deadlines;
	unsigned seed = 20240611;
	unsigned before = CU_get_number_of_failures();

	deadlines_init(&deadlines);
	for (int i = 0; i < COUNT; i++)
		timers[i] = (struct timer){.deadline.expire = on_expire};
	for (uint64_t now_ns = 0; now_ns < 20000; now_ns++) {
		struct timer *timer = &timers[(unsigned)rand_r(&seed) % COUNT];

		if (rand_r(&seed) % 3 == 0) {
			deadlines_clear(&deadlines, &timer->deadline);
			timer->set = false;
		} else {
			timer->at_ns = now_ns + (unsigned)rand_r(&seed) % 300;
			timer->set = true;
			CU_ASSERT_EQUAL(deadlines_set(&deadlines, &timer->deadline, timer->at_ns),
			                0);
		}
		CU_ASSERT_EQUAL(deadlines_next_ns(&deadlines), earliest());
		last_ns = 0;
		deadlines_run(&deadlines, now_ns);
		CU_ASSERT_TRUE(earliest() > now_ns);
	}
	if (CU_get_number_of_failures() != before)
		fprintf(stderr, "\nseed 20240611\n");
	deadlines_fini(&deadlines);
}

static struct deadlines again_deadlines;

static void on_expire_again(struct deadline *deadline, uint64_t now_ns)
{
	struct timer *timer = (struct timer *)deadline;

	if (++timer->expired < 3)
		deadlines_set(&again_deadlines, deadline, now_ns + 10);
}

static void can_be_set_again_as_it_expires(void)
{
	struct timer timer = {.deadline.expire = on_expire_again};

	deadlines_init(&again_deadlines);
	deadlines_set(&again_deadlines, &timer.deadline, 5);
	for (uint64_t now_ns = 0; now_ns < 100; now_ns++)
		deadlines_run(&again_deadlines, now_ns);
	CU_ASSERT_EQUAL(timer.expired, 3);
	CU_ASSERT_EQUAL(deadlines_next_ns(&again_deadlines), UINT64_MAX);
	deadlines_fini(&again_deadlines);
}

int main(void)
{
	static const struct unit_test tests[] = {
	        UNIT_TEST(expires_in_order_whatever_is_set_moved_and_cleared),
	        UNIT_TEST(can_be_set_again_as_it_expires),
	        {NULL, NULL},
	};

	return unit_run("deadlines", tests);
}
