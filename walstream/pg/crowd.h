/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crowd.h - whether this host has more runnable processes than cores. One look is a
 * snapshot of a few microseconds and says little: it is an average of the last looks
 * that counts.
 */
#ifndef WALSTREAM_PG_CROWD_H
#define WALSTREAM_PG_CROWD_H

#include <stdbool.h>
#include <stdint.h>

struct crowd {
	uint32_t average; /* of runnable processes, in 256ths; 0: never looked */
	uint64_t looked_ns;
};

/* One more look. */
void crowd_note(struct crowd *crowd, unsigned running);

/* Whether on average there is no core for a spinner beside those who have work. */
bool crowd_exceeds(const struct crowd *crowd, unsigned cores);

/* Of this host, looked at every few milliseconds at most. For spin_begin(). */
bool crowd_is_here(uint64_t now_ns);

#endif
