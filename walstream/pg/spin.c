/* SPDX-License-Identifier: Apache-2.0 */
/* spin.c - see spin.h. */
#include "walstream/pg/spin.h"

#define WAIT_NS_MAX   UINT64_C(1000000)
#define AVERAGE_SHIFT 3u
#define FAILURES_MAX  7u
/* A wait that ended asleep looks longer than the news took, by a wake-up. */
#define AFTER_WAKE_TIMES 2u

uint64_t spin_begin(struct spin *spin, uint64_t limit_ns, uint64_t now_ns, spin_crowded *crowded)
{
	spin->start_ns = now_ns;
	spin->spinning = false;
	if (!limit_ns || spin->average_ns > AFTER_WAKE_TIMES * limit_ns)
		return now_ns;
	if (spin->skips) {
		spin->skips--;
		return now_ns;
	}
	if (crowded(now_ns))
		return now_ns;
	spin->spinning = true;
	return now_ns + limit_ns;
}

void spin_over(struct spin *spin)
{
	if (!spin->spinning)
		return;
	spin->spinning = false;
	if (spin->failures < FAILURES_MAX)
		spin->failures++;
	spin->skips = 1u << spin->failures;
}

void spin_end(struct spin *spin, bool news, uint64_t now_ns)
{
	uint64_t wait_ns = now_ns - spin->start_ns;

	if (!news && wait_ns < spin->average_ns)
		return; /* cut short: says nothing */
	if (wait_ns > WAIT_NS_MAX)
		wait_ns = WAIT_NS_MAX;
	spin->average_ns += (wait_ns >> AVERAGE_SHIFT) - (spin->average_ns >> AVERAGE_SHIFT);
	if (!news)
		return;
	if (spin->spinning) {
		spin->failures = 0;
		spin->spins++;
	} else {
		spin->sleeps++;
	}
	spin->spinning = false;
}
