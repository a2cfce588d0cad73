/* SPDX-License-Identifier: Apache-2.0 */
/* jump_hash.c - from 64 bits of hash to a bucket, so that adding a bucket moves
 * as few as can be. */
#include <sluice/motion.h>

/*
 * Lamping, Veach: A Fast, Minimal Memory, Consistent Hash Algorithm (2014), the
 * figure of section 2. The key is the state of a generator whose draws are the
 * bucket counts at which it moves; the last one not above bucket_count is its
 * bucket. O(ln bucket_count). 2^31 and the high 33 bits are the paper's.
 */
uint32_t slu_motion_jump_hash(uint64_t hash, uint32_t bucket_count)
{
	uint64_t bucket = 0, next = 0;

	while (next < bucket_count) {
		uint64_t draw;

		bucket = next;
		hash = hash * UINT64_C(2862933555777941757) + 1;
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
