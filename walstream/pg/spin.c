/* SPDX-License-Identifier: Apache-2.0 */
/* spin.c - see spin.h. */
#include "walstream/pg/spin.h"

#define WHOLE        256u
#define SHARE_SHIFT  3u
#define FAILURES_MAX 7u
/* A wait that ended asleep looks longer than the news took, by a wake-up. */
#define AFTER_WAKE_TIMES 2u

uint64_t spin_begin(struct spin *spin, uint64_t limit_ns, uint64_t now_ns, spin_crowded *crowded)
{
	spin->start_ns = now_ns;
	spin->limit_ns = limit_ns;
	spin->spinning = false;
	/* Not an average of their lengths: a host with other work to do has outliers. */
	if (!limit_ns || spin->long_share > WHOLE / 2)
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

void spin_end(struct spin *spin, uint64_t now_ns)
{
	bool was_long = now_ns - spin->start_ns > AFTER_WAKE_TIMES * spin->limit_ns;

	spin->long_share -= spin->long_share >> SHARE_SHIFT;
	if (was_long)
		spin->long_share += WHOLE >> SHARE_SHIFT;
	if (spin->spinning) {
		spin->failures = 0;
		spin->spins++;
	} else {
		spin->sleeps++;
	}
	spin->spinning = false;
}
