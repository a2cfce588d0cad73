/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unit.c - runs a table of tests as one CUnit suite; see unit.h.
 */
#include "tests/unit/unit.h"

#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>

#include <CUnit/Basic.h>

/* Returns how many tests were added, or -1. */
static int unit_suite_fill(CU_pSuite suite, const struct unit_test *tests)
{
	const char *only = getenv("UNIT_ONLY");
	int count = 0;

	for (const struct unit_test *test = tests; test->name; test++) {
		if (only && *only && fnmatch(only, test->name, 0) != 0)
			continue;
		if (!CU_add_test(suite, test->name, test->run))
			return -1;
		count++;
	}
	return count;
}

static int unit_suite_run(const char *suite_name, const struct unit_test *tests)
{
	CU_pSuite suite = CU_add_suite(suite_name, NULL, NULL);
	int count = suite ? unit_suite_fill(suite, tests) : -1;

	if (count < 0) {
		fprintf(stderr, "%s: %s\n", suite_name, CU_get_error_msg());
		return 1;
	}
	if (count == 0) {
		printf("%s: no test matches UNIT_ONLY\n", suite_name);
		return UNIT_SKIPPED;
	}
	/* Verbose names each test before it starts: a log cut off by a crash or a
	 * timeout then ends with the test to look at. */
	CU_basic_set_mode(CU_BRM_VERBOSE);
	if (CU_basic_run_tests() != CUE_SUCCESS)
		return 1;
	return CU_get_number_of_failure_records() ? 1 : 0;
}

int unit_run(const char *suite_name, const struct unit_test *tests)
{
	int result;

	/* Nothing may be left in a buffer when a test crashes or forks. */
	setvbuf(stdout, NULL, _IONBF, 0);
	if (CU_initialize_registry() != CUE_SUCCESS) {
		fprintf(stderr, "%s: %s\n", suite_name, CU_get_error_msg());
		return 1;
	}
	result = unit_suite_run(suite_name, tests);
	CU_cleanup_registry();
	return result;
}
