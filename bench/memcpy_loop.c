/* SPDX-License-Identifier: Apache-2.0 */
/*
 * memcpy_loop.c - how fast one core copies blocks in memory: the yardstick of
 * compare-transport. Blocks of 64 KiB are copied through a working set, by
 * default larger than a core's own caches.
 *
 *	memcpy-loop [BLOCK_BYTES [WORKING_SET_BYTES [MILLISECONDS]]]
 *
 * Prints GB/s (10^9 bytes copied per second, each byte counted once).
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static double now_s(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static size_t argument(int argc, char **argv, int idx, size_t fallback)
{
	return argc > idx ? strtoull(argv[idx], NULL, 0) : fallback;
}

int main(int argc, char **argv)
{
	size_t block_bytes = argument(argc, argv, 1, 65536);
	size_t set_bytes = argument(argc, argv, 2, 16 << 20);
	double seconds = (double)argument(argc, argv, 3, 500) / 1000;
	size_t block_count = block_bytes ? set_bytes / 2 / block_bytes : 0;
	uint8_t *from, *to;
	uint64_t copied = 0;
	double begin, end;

	if (!block_count) {
		fprintf(stderr, "memcpy-loop: the working set holds two blocks at least\n");
		return 2;
	}
	from = malloc(block_count * block_bytes);
	to = malloc(block_count * block_bytes);
	if (!from || !to) {
		fprintf(stderr, "memcpy-loop: out of memory\n");
		return 1;
	}
	/* Every page exists before the clock runs. */
	memset(from, 1, block_count * block_bytes);
	memset(to, 2, block_count * block_bytes);
	begin = now_s();
	do {
		for (size_t i = 0; i < block_count; i++) {
			memcpy(to + i * block_bytes, from + i * block_bytes, block_bytes);
			/* The copy is not used, and must be made all the same. */
			__asm__ volatile("" ::: "memory");
		}
		copied += block_count * block_bytes;
		end = now_s();
	} while (end - begin < seconds);
	printf("%.3f\n", (double)copied / 1e9 / (end - begin));
	free(from);
	free(to);
	return 0;
}
