/* SPDX-License-Identifier: Apache-2.0 */
/* jump_hash.c - from 64 bits of hash to a bucket, so that adding a bucket moves
 * as few as can be. */
#include <sluice/motion.h>

#define MULTIPLIER  UINT64_C(2862933555777941757)
#define FEW_BUCKETS 8u /* up to here, no branch is measured to be quicker */

/*
 * The same without a branch on what is drawn: processors guess wrong whether a row
 * moves, as nobody can, and then lose more time than the loop takes. The candidates
 * are tried in turn; having passed the ones before it, the draw is for this one when it
 * is not beyond it: (bucket + 1) * 2^31 / draw < next + 1. The quotient that is rounded
 * below gives the same, as no n / c * c with an n below 49 falls short of n.
 */
static uint32_t jump_few(uint64_t hash, uint32_t bucket_count)
{
	uint64_t bucket = 0;

	hash = hash * MULTIPLIER + 1;
	for (uint64_t next = 1; next < bucket_count; next++) {
		uint64_t draw = (hash >> 33) + 1;
		uint64_t moves = -(uint64_t)((bucket + 1) << 31 < (next + 1) * draw);

		bucket ^= (bucket ^ next) & moves;
		hash ^= (hash ^ (hash * MULTIPLIER + 1)) & moves;
	}
	return (uint32_t)bucket;
}

/*
 * Lamping, Veach: A Fast, Minimal Memory, Consistent Hash Algorithm (2014), the
 * figure of section 2. The key is the state of a generator whose draws are the
 * bucket counts at which it moves; the last one not above bucket_count is its
 * bucket. O(ln bucket_count). 2^31 and the high 33 bits are the paper's.
 */
uint32_t slu_motion_jump_hash(uint64_t hash, uint32_t bucket_count)
{
	uint64_t bucket = 0, next = 0;

	if (bucket_count <= FEW_BUCKETS)
		return jump_few(hash, bucket_count);
	while (next < bucket_count) {
		uint64_t draw;

		bucket = next;
		hash = hash * MULTIPLIER + 1;
		draw = (hash >> 33) + 1;
		/* That the next one is beyond can mostly be seen without the division: the
		 * quotient is then above bucket_count by 2^-31 or more, which no rounding
		 * makes up for while bucket_count has 16 bits. */
		if (bucket_count <= UINT16_MAX && (bucket + 1) << 31 > bucket_count * draw)
			break;
		next = (uint64_t)((double)(bucket + 1) *
		                  ((double)(UINT64_C(1) << 31) / (double)draw));
	}
	return (uint32_t)bucket;
}
