/* SPDX-License-Identifier: Apache-2.0 */
/* clock.h - units of time, and the monotonic clock for the places where time
 * enters; everything below them takes it as an argument. */
#ifndef TRANSPORT_CLOCK_H
#define TRANSPORT_CLOCK_H

#include <stdint.h>
#include <time.h>

#define SLU_NS_PER_US UINT64_C(1000)
#define SLU_NS_PER_MS UINT64_C(1000000)
#define SLU_NS_PER_S  UINT64_C(1000000000)

/* CLOCK_MONOTONIC in ns. */
static inline uint64_t clock_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * SLU_NS_PER_S + (uint64_t)now.tv_nsec;
}

#endif
