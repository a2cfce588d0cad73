/* SPDX-License-Identifier: Apache-2.0 */
/*
 * random.h - random numbers that depend on table and row alone, so that any part
 * of the data can be made without the rest. SplitMix64: Guy Steele, Doug Lea,
 * Christine Flood: Fast Splittable Pseudorandom Number Generators, OOPSLA 2014.
 */
#ifndef TPCH_RANDOM_H
#define TPCH_RANDOM_H

#include <stdint.h>

struct tpch_random {
	uint64_t state;
};

static inline uint64_t random_next(struct tpch_random *random)
{
	uint64_t z = (random->state += UINT64_C(0x9e3779b97f4a7c15));

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

static inline void random_start(struct tpch_random *random, uint64_t seed, uint64_t stream,
                                uint64_t row)
{
	random->state = seed ^ stream << 56;
	random->state = random_next(random) ^ row;
	random_next(random);
}

/* Uniform in [low, high]. */
static inline int64_t random_between(struct tpch_random *random, int64_t low, int64_t high)
{
	__uint128_t span = (__uint128_t)(uint64_t)(high - low) + 1;

	return low + (int64_t)(uint64_t)((span * random_next(random)) >> 64);
}

#endif
