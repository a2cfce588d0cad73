/* SPDX-License-Identifier: Apache-2.0 */
/* test_registry.c - finding drivers and reading their options. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "tests/unit/unit.h"
#include "transport/driver.h"

static void has_every_op(const struct slu_driver_ops *ops)
{
	CU_ASSERT_FATAL(ops != NULL);
	CU_ASSERT(ops->open && ops->close && ops->address && ops->connect && ops->session_accept &&
	          ops->session_close && ops->send && ops->send_small && ops->flush && ops->poll &&
	          ops->fd && ops->arm && ops->deadline && ops->stats && ops->probe);
}

static void finds_every_driver_whole_and_behind_the_wrapper(void)
{
	const char *const *names = slu_driver_names();
	const struct slu_driver_ops *ops;
	char wrapped[64];

	CU_ASSERT(names[0] != NULL);
	for (; *names; names++) {
		ops = slu_driver_find(*names);
		has_every_op(ops);
		CU_ASSERT_STRING_EQUAL(ops->name, *names);
		CU_ASSERT(slu_driver_find(*names) == ops);
		snprintf(wrapped, sizeof(wrapped), "fault:%s", *names);
		ops = slu_driver_find(wrapped);
		has_every_op(ops);
		CU_ASSERT_STRING_EQUAL(ops->name, wrapped);
	}
}

static void finds_nothing_else(void)
{
	CU_ASSERT(slu_driver_find("") == NULL);
	CU_ASSERT(slu_driver_find("lo") == NULL);
	CU_ASSERT(slu_driver_find("fault") == NULL);
	CU_ASSERT(slu_driver_find("fault:") == NULL);
	CU_ASSERT(slu_driver_find("fault:none") == NULL);
	CU_ASSERT(slu_driver_find("fault:fault:loop") == NULL);
}

static void fills_what_a_driver_does_not_have(void)
{
	/* sim has no descriptor: nobody sleeps in virtual time. */
	CU_ASSERT(slu_driver_find("sim")->fd(NULL) == -1);
}

static const struct slu_driver_option options[] = {
        {"address", "a"},
        {"count", "12"},
        {"count", "13"},
        {"minus", "-1"},
        {"space", " 1"},
        {"empty", ""},
        {"tail", "12k"},
        {"zero", "0"},
        {"huge", "99999999999999999999999"},
        {"max", "18446744073709551615"},
};
static char error[SLU_DRIVER_ERROR_MAX];
static const struct slu_driver_config config = {
        .options = options,
        .option_count = sizeof(options) / sizeof(options[0]),
        .error = error,
};

static void reads_texts(void)
{
	CU_ASSERT_STRING_EQUAL(slu_driver_option(&config, "address", "b"), "a");
	CU_ASSERT_STRING_EQUAL(slu_driver_option(&config, "addres", "b"), "b");
	CU_ASSERT(slu_driver_option(&config, "other", NULL) == NULL);
	CU_ASSERT_STRING_EQUAL(slu_driver_option(&config, "count", NULL), "13");
}

static void reads_whole_numbers_and_nothing_else(void)
{
	static const char *const wrong[] = {"minus", "space", "empty", "tail", "huge", "address"};
	uint64_t value = 7;
	size_t idx;

	CU_ASSERT(slu_driver_option_u64(&config, "count", 13, 13, 0, &value) == 0 && value == 13);
	CU_ASSERT(slu_driver_option_u64(&config, "zero", 0, 9, 5, &value) == 0 && value == 0);
	CU_ASSERT(slu_driver_option_u64(&config, "max", 0, UINT64_MAX, 5, &value) == 0);
	CU_ASSERT(value == UINT64_MAX);
	CU_ASSERT(slu_driver_option_u64(&config, "other", 1, 9, 5, &value) == 0 && value == 5);
	for (idx = 0; idx < sizeof(wrong) / sizeof(wrong[0]); idx++) {
		error[0] = '\0';
		CU_ASSERT(slu_driver_option_u64(&config, wrong[idx], 0, UINT64_MAX, 5, &value) ==
		          -EINVAL);
		CU_ASSERT(value == 5);
		CU_ASSERT(strstr(error, wrong[idx]) != NULL);
	}
	CU_ASSERT(slu_driver_option_u64(&config, "count", 14, 20, 5, &value) == -EINVAL);
	CU_ASSERT(strstr(error, "from 14 to 20") != NULL);
}

static void names_the_option_that_it_does_not_know(void)
{
	static const char *const all[] = {"address", "count", "minus", "space", "empty",
	                                  "tail",    "zero",  "huge",  "max",   NULL};
	static const char *const some[] = {"address", "count", NULL};

	CU_ASSERT(slu_driver_options_check(&config, all) == 0);
	CU_ASSERT(slu_driver_options_check(&config, some) == -EINVAL);
	CU_ASSERT(strstr(error, "\"minus\"") != NULL);
}

int main(void)
{
	static const struct unit_test tests[] = {
	        UNIT_TEST(finds_every_driver_whole_and_behind_the_wrapper),
	        UNIT_TEST(finds_nothing_else),
	        UNIT_TEST(fills_what_a_driver_does_not_have),
	        UNIT_TEST(reads_texts),
	        UNIT_TEST(reads_whole_numbers_and_nothing_else),
	        UNIT_TEST(names_the_option_that_it_does_not_know),
	        {NULL, NULL},
	};

	return unit_run("registry", tests);
}
