/* SPDX-License-Identifier: Apache-2.0 */
/*
 * random.h - repeatable random numbers for sim and fault: splitmix64 by Steele,
 * Lea and Flood, "Fast Splittable Pseudorandom Number Generators" (OOPSLA 2014),
 * with the constants of Sebastiano Vigna's public-domain splitmix64.c (2015).
 * Not for secrets.
 */
#ifndef DRIVERS_RANDOM_H
#define DRIVERS_RANDOM_H

#include <stdbool.h>
#include <stdint.h>

struct slu_random {
	uint64_t state; /* any seed */
};

/* The mixing step alone, also good as a hash of 64 bits. */
static inline uint64_t slu_random_mix(uint64_t z)
{
	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

static inline uint64_t slu_random_next(struct slu_random *random)
{
	random->state += UINT64_C(0x9e3779b97f4a7c15);
	return slu_random_mix(random->state);
}

/* In [0, bound]. The bias of the remainder does not matter for what it is for. */
static inline uint64_t slu_random_upto(struct slu_random *random, uint64_t bound)
{
	uint64_t value = slu_random_next(random);

	return bound == UINT64_MAX ? value : value % (bound + 1);
}

/* Draws nothing when it cannot be: a fault that is off changes no other. */
static inline bool slu_random_chance(struct slu_random *random, uint64_t per_million)
{
	return per_million > 0 && slu_random_upto(random, 999999) < per_million;
}

#endif
