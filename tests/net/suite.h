/* SPDX-License-Identifier: Apache-2.0 */
/* suite.h - main() of the programs here: skips where there can be no network. */
#ifndef TESTS_NET_SUITE_H
#define TESTS_NET_SUITE_H

#include "tests/net/network.h"
#include "tests/unit/unit.h"

#include <stdio.h>

static inline int suite_run(const char *name, const struct unit_test *tests)
{
	char error[NETWORK_ERROR_BYTES];

	if (network_probe(error) < 0) {
		printf("skipped: hosts need network namespaces, veth and bridges: %s\n", error);
		return UNIT_SKIPPED;
	}
	return unit_run(name, tests);
}

#endif
