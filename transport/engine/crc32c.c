/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crc32c.c - see crc32c.h. The tables are those of "slicing by 8" (Kounavis and
 * Berry, 2005), built before main() so that no first call races with another.
 */
#include "transport/engine/crc32c.h"

#include <endian.h>
#include <string.h>

#define CRC32C_POLYNOMIAL 0x82f63b78u /* reflected */

static uint32_t crc32c_tables[8][256];
static uint32_t (*crc32c_best)(uint32_t crc, const void *data, size_t size_bytes);

static uint64_t crc32c_load64(const uint8_t *bytes)
{
	uint64_t word;

	memcpy(&word, bytes, sizeof(word));
	return word;
}

uint32_t crc32c_portable(uint32_t crc, const void *data, size_t size_bytes)
{
	const uint8_t *bytes = data;

	crc = ~crc;
	for (; size_bytes >= 8; bytes += 8, size_bytes -= 8) {
		uint64_t word = le64toh(crc32c_load64(bytes)) ^ crc;

		crc = 0;
		for (unsigned i = 0; i < 8; i++)
			crc ^= crc32c_tables[7 - i][(word >> (8 * i)) & 0xff];
	}
	for (; size_bytes; size_bytes--)
		crc = (crc >> 8) ^ crc32c_tables[0][(crc ^ *bytes++) & 0xff];
	return ~crc;
}

#ifdef __x86_64__
#include <nmmintrin.h>

__attribute__((target("sse4.2"))) static uint32_t crc32c_sse42(uint32_t crc, const void *data,
                                                               size_t size_bytes)
{
	const uint8_t *bytes = data;
	uint64_t state = (uint32_t)~crc;

	for (; size_bytes >= 8; bytes += 8, size_bytes -= 8)
		state = _mm_crc32_u64(state, crc32c_load64(bytes));
	for (; size_bytes; size_bytes--)
		state = _mm_crc32_u8((uint32_t)state, *bytes++);
	return ~(uint32_t)state;
}
#endif

__attribute__((constructor)) static void crc32c_init(void)
{
	for (uint32_t i = 0; i < 256; i++) {
		uint32_t crc = i;

		for (unsigned bit = 0; bit < 8; bit++)
			crc = (crc >> 1) ^ (crc & 1 ? CRC32C_POLYNOMIAL : 0);
		crc32c_tables[0][i] = crc;
	}
	for (unsigned t = 1; t < 8; t++)
		for (uint32_t i = 0; i < 256; i++)
			crc32c_tables[t][i] = (crc32c_tables[t - 1][i] >> 8) ^
			                      crc32c_tables[0][crc32c_tables[t - 1][i] & 0xff];
	crc32c_best = crc32c_portable;
#ifdef __x86_64__
	__builtin_cpu_init();
	if (__builtin_cpu_supports("sse4.2"))
		crc32c_best = crc32c_sse42;
#endif
}

uint32_t crc32c(uint32_t crc, const void *data, size_t size_bytes)
{
	return crc32c_best(crc, data, size_bytes);
}
