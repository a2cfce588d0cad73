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

/*
 * The instruction takes three cycles and a new one can begin in each: so three
 * stripes are computed side by side, and joined by what STRIPE_BYTES zeros do to
 * a checksum, which is linear (Adler, crc32c.c, 2013).
 */
#define STRIPE_BYTES 512u

static uint32_t stripe_tables[4][256]; /* a checksum, byte by byte, STRIPE_BYTES later */

static void stripe_init(void)
{
	uint32_t bits[32];

	for (unsigned i = 0; i < 32; i++) {
		bits[i] = UINT32_C(1) << i;
		for (unsigned n = 0; n < STRIPE_BYTES; n++)
			bits[i] = (bits[i] >> 8) ^ crc32c_tables[0][bits[i] & 0xff];
	}
	for (unsigned byte = 0; byte < 4; byte++)
		for (unsigned value = 0; value < 256; value++)
			for (unsigned i = 0; i < 8; i++)
				if (value >> i & 1)
					stripe_tables[byte][value] ^= bits[8 * byte + i];
}

static uint32_t stripe_later(uint32_t crc)
{
	return stripe_tables[0][crc & 0xff] ^ stripe_tables[1][crc >> 8 & 0xff] ^
	       stripe_tables[2][crc >> 16 & 0xff] ^ stripe_tables[3][crc >> 24];
}

__attribute__((target("sse4.2"))) static uint32_t stripes_sse42(uint32_t crc, const uint8_t *bytes)
{
	uint64_t first = crc, second = 0, third = 0;

	for (unsigned i = 0; i < STRIPE_BYTES; i += 8) {
		first = _mm_crc32_u64(first, crc32c_load64(bytes + i));
		second = _mm_crc32_u64(second, crc32c_load64(bytes + STRIPE_BYTES + i));
		third = _mm_crc32_u64(third, crc32c_load64(bytes + 2 * STRIPE_BYTES + i));
	}
	crc = stripe_later((uint32_t)first) ^ (uint32_t)second;
	return stripe_later(crc) ^ (uint32_t)third;
}

__attribute__((target("sse4.2"))) static uint32_t crc32c_sse42(uint32_t crc, const void *data,
                                                               size_t size_bytes)
{
	const uint8_t *bytes = data;
	uint64_t state;

	crc = ~crc;
	for (; size_bytes >= 3 * STRIPE_BYTES; size_bytes -= 3 * STRIPE_BYTES) {
		crc = stripes_sse42(crc, bytes);
		bytes += 3 * STRIPE_BYTES;
	}
	state = crc;
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
	stripe_init();
	__builtin_cpu_init();
	if (__builtin_cpu_supports("sse4.2"))
		crc32c_best = crc32c_sse42;
#endif
}

uint32_t crc32c(uint32_t crc, const void *data, size_t size_bytes)
{
	return crc32c_best(crc, data, size_bytes);
}
