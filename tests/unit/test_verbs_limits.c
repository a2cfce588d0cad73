/* SPDX-License-Identifier: Apache-2.0 */
/* test_verbs_limits.c - what verbs asks of devices that are small in one way each. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "drivers/verbs/limits.h"
#include "drivers/verbs/verbs.h"
#include "tests/unit/unit.h"

#define WINDOW   32u
#define RECEIVES (WINDOW + VERBS_CREDIT_SLOTS)
#define SENDS    128u

static const struct verbs_wants wants = {.window = WINDOW,
                                         .sessions_max = 64,
                                         .message_bytes = 65536,
                                         .arena_bytes = (size_t)1 << 30};

/* Large in every way. */
static const struct ibv_device_attr large = {.max_mr_size = UINT64_MAX,
                                             .max_qp = 1 << 18,
                                             .max_qp_wr = 1 << 15,
                                             .max_sge = 30,
                                             .max_cqe = 1 << 22,
                                             .max_mr = 1 << 24,
                                             .max_srq = 1 << 16,
                                             .max_srq_wr = 1 << 15};
static const struct ibv_port_attr port = {.max_msg_sz = 1u << 30};

static char error[SLU_DRIVER_ERROR_MAX];

/* Sessions that fit, or the negative errno. */
static int fit(const struct ibv_device_attr *device)
{
	uint32_t sessions = 0;
	int r = verbs_limits_fit(&wants, device, &port, &sessions, error);

	if (r < 0)
		CU_ASSERT_EQUAL(sessions, 0);
	return r < 0 ? r : (int)sessions;
}

static void a_large_device_takes_what_is_configured(void)
{
	CU_ASSERT_EQUAL(fit(&large), 64);
}

static void fewer_of_one_thing_are_fewer_sessions(void)
{
	struct ibv_device_attr device = large;

	device.max_qp = 10;
	CU_ASSERT_EQUAL(fit(&device), 10);
	device = large;
	device.max_mr = 8; /* the arena's, and one per session that sends nothing inline */
	CU_ASSERT_EQUAL(fit(&device), 7);
	device = large;
	device.max_srq_wr = (int)(VERBS_SPARES_MAX + 5 * RECEIVES + RECEIVES - 1);
	CU_ASSERT_EQUAL(fit(&device), 5);
	device = large;
	device.max_cqe = (int)(VERBS_SPARES_MAX + 3 * (SENDS + RECEIVES));
	CU_ASSERT_EQUAL(fit(&device), 3);
	device.max_cqe--;
	CU_ASSERT_EQUAL(fit(&device), 2);
}

/* What is asked for then must be within what was checked. */
static void what_is_made_is_within_the_limits(void)
{
	struct ibv_device_attr device = large;

	for (int window = 16; window <= 4096; window *= 2) {
		struct verbs_wants wide = wants;
		uint32_t sessions;

		wide.window = (uint32_t)window;
		wide.sessions_max = 4096;
		CU_ASSERT_EQUAL_FATAL(verbs_limits_fit(&wide, &device, &port, &sessions, error), 0);
		CU_ASSERT(verbs_limits_receives(wide.window, sessions) <=
		          (uint32_t)device.max_srq_wr);
		CU_ASSERT(verbs_limits_completions(wide.window, sessions) <=
		          (uint32_t)device.max_cqe);
		CU_ASSERT(verbs_limits_sends(wide.window) <= (uint32_t)device.max_qp_wr);
		CU_ASSERT(verbs_limits_sends(wide.window) >=
		          2 * verbs_limits_session_receives(wide.window));
		/* One more would not have fitted. */
		CU_ASSERT(verbs_limits_receives(wide.window, sessions + 1) >
		          (uint32_t)device.max_srq_wr);
	}
}

static void a_send_queue_that_is_too_short_is_refused(void)
{
	struct ibv_device_attr device = large;

	/* Long enough for two windows, not for the power of two that holds them. */
	device.max_qp_wr = 100;
	CU_ASSERT_EQUAL(fit(&device), -ENODEV);
	CU_ASSERT_PTR_NOT_NULL(strstr(error, "queue pairs of 100 sends"));
	device.max_qp_wr = SENDS;
	CU_ASSERT_EQUAL(fit(&device), 64);
}

static void devices_without_what_is_needed_are_refused_in_words(void)
{
	struct ibv_device_attr device = large;

	device.max_srq = 0;
	CU_ASSERT_EQUAL(fit(&device), -ENODEV);
	device = large;
	device.max_sge = 0;
	CU_ASSERT_EQUAL(fit(&device), -ENODEV);
	device = large;
	device.max_srq_wr = -1;
	CU_ASSERT_EQUAL(fit(&device), -ENODEV);
	CU_ASSERT_PTR_NOT_NULL(strstr(error, "too small for a window of 32"));
	device = large;
	device.max_cqe = 10;
	CU_ASSERT_EQUAL(fit(&device), -ENODEV);
	CU_ASSERT_PTR_NOT_NULL(strstr(error, "10 completions"));
}

static void an_arena_or_a_frame_that_is_too_large_is_refused(void)
{
	struct ibv_device_attr device = large;
	struct ibv_port_attr narrow = {.max_msg_sz = 65535};
	uint32_t sessions;

	device.max_mr_size = wants.arena_bytes - 1;
	CU_ASSERT_EQUAL(fit(&device), -ENOMEM);
	CU_ASSERT_PTR_NOT_NULL(strstr(error, "registers at most 1073741823 bytes"));
	device.max_mr_size++;
	CU_ASSERT_EQUAL(fit(&device), 64);
	CU_ASSERT_EQUAL(verbs_limits_fit(&wants, &large, &narrow, &sessions, error), -EMSGSIZE);
	CU_ASSERT_PTR_NOT_NULL(strstr(error, "takes messages of 65535 bytes, not 65536"));
}

int main(void)
{
	static const struct unit_test tests[] = {
	        UNIT_TEST(a_large_device_takes_what_is_configured),
	        UNIT_TEST(fewer_of_one_thing_are_fewer_sessions),
	        UNIT_TEST(what_is_made_is_within_the_limits),
	        UNIT_TEST(a_send_queue_that_is_too_short_is_refused),
	        UNIT_TEST(devices_without_what_is_needed_are_refused_in_words),
	        UNIT_TEST(an_arena_or_a_frame_that_is_too_large_is_refused),
	        {NULL, NULL},
	};

	return unit_run("verbs_limits", tests);
}
