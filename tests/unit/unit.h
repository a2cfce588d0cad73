/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unit.h - the few lines around CUnit that every test program shares: a table
 * of tests becomes one suite, and main() returns what meson wants to see.
 *
 *	static void resends_once_on_nak(void) { ... CU_ASSERT_EQUAL(a, b); }
 *
 *	int main(void)
 *	{
 *		static const struct unit_test tests[] = {
 *			UNIT_TEST(resends_once_on_nak),
 *			{NULL, NULL},
 *		};
 *		return unit_run("session", tests);
 *	}
 */
#ifndef TESTS_UNIT_UNIT_H
#define TESTS_UNIT_UNIT_H

#include <CUnit/CUnit.h>

struct unit_test {
	const char *name; /* a sentence: what holds when the test passes */
	void (*run)(void);
};

/* clang-format off */
#define UNIT_TEST(fn) {#fn, fn}
/* clang-format on */

/* What meson takes for "skipped": nothing ran, and the output says why. */
#define UNIT_SKIPPED 77

/*
 * Run the tests, an array that ends with {NULL, NULL}, and print every failure
 * with its file and line. The environment variable UNIT_ONLY holds a shell
 * pattern: only tests whose names match it run.
 *   0             all passed
 *   1             one failed, or the suite could not be set up
 *   UNIT_SKIPPED  UNIT_ONLY names no test of this suite
 */
int unit_run(const char *suite_name, const struct unit_test *tests);

#endif
