/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spin.h - whether to wait for news busily for a moment, or to sleep at once. A
 * wake-up by the scheduler costs more than the news takes when the other side is
 * awake on another core; but a spinner takes a core from who makes the news when
 * there is more work than cores. So: only where waits have lately been short, only
 * as long as spinning succeeds, and never while the host is crowded.
 */
#ifndef WALSTREAM_PG_SPIN_H
#define WALSTREAM_PG_SPIN_H

#include <stdbool.h>
#include <stdint.h>

/* One per kind of wait: those for an answer and those for work differ. */
struct spin {
	uint32_t long_share; /* of the last waits that were too long to spin, in 256ths */
	uint64_t start_ns;   /* of this wait */
	uint64_t limit_ns;   /* of this wait */
	uint64_t spins;      /* waits that ended while spinning */
	uint64_t sleeps;     /* the others */
	uint32_t failures;   /* in a row */
	uint32_t skips;      /* waits that sleep at once before the next try */
	bool spinning;
};

/* Whether there is more work than cores, as of now_ns. */
typedef bool spin_crowded(uint64_t now_ns);

/* A wait begins. Returns until when to spin: now_ns, for not at all. crowded is asked
 * only when everything else speaks for spinning. */
uint64_t spin_begin(struct spin *spin, uint64_t limit_ns, uint64_t now_ns, spin_crowded *crowded);

/* It was not news that ended the spinning; the wait goes on asleep. */
void spin_over(struct spin *spin);

/* The wait has ended with news. */
void spin_end(struct spin *spin, uint64_t now_ns);

/* In a loop of looks. */
static inline void spin_relax(void)
{
#if defined(__x86_64__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ __volatile__("yield");
#endif
}

#endif
