/* SPDX-License-Identifier: Apache-2.0 */
/* test_crc32c.c - both ways to compute CRC-32C, against RFC 3720 and each other. */
#include "tests/unit/unit.h"
#include "transport/engine/crc32c.h"

#include <string.h>

static void agrees_with_rfc_3720(void)
{
	/* Appendix B.4 */
	static const uint8_t read_command[48] = {
	        0x01, 0xc0, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
	        0x00, 0x00, 0x00, 0x00, 0x14, 0x00, 0x00, 0x00, 0x00, 0x00, 0x04, 0x00,
	        0x00, 0x00, 0x00, 0x14, 0x00, 0x00, 0x00, 0x18, 0x28, 0x00, 0x00, 0x00,
	        0x00, 0x00, 0x00, 0x00, 0x02, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
	};
	uint8_t bytes[4][32];

	memset(bytes[0], 0, 32);
	memset(bytes[1], 0xff, 32);
	for (uint8_t i = 0; i < 32; i++) {
		bytes[2][i] = i;
		bytes[3][i] = 31 - i;
	}
	CU_ASSERT_EQUAL(crc32c(0, bytes[0], 32), 0x8a9136aau);
	CU_ASSERT_EQUAL(crc32c(0, bytes[1], 32), 0x62a8ab43u);
	CU_ASSERT_EQUAL(crc32c(0, bytes[2], 32), 0x46dd794eu);
	CU_ASSERT_EQUAL(crc32c(0, bytes[3], 32), 0x113fdb5cu);
	CU_ASSERT_EQUAL(crc32c(0, read_command, 48), 0xd9963a56u);
	CU_ASSERT_EQUAL(crc32c(0, "123456789", 9), 0xe3069283u);
	CU_ASSERT_EQUAL(crc32c(0, "", 0), 0);
}

static void is_the_same_by_tables_at_every_size_and_alignment(void)
{
	uint8_t bytes[300];

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 167 + (i >> 3));
	for (size_t from = 0; from < 9; from++)
		for (size_t size = 0; size + from <= sizeof(bytes); size++)
			CU_ASSERT_EQUAL(crc32c(0, bytes + from, size),
			                crc32c_portable(0, bytes + from, size));
}

/* Long ones are computed in stripes. */
static void is_the_same_by_tables_for_whole_frames(void)
{
	static uint8_t bytes[20000];
	uint32_t seed = 1;

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)((seed = seed * 1103515245 + 12345) >> 16);
	for (size_t size = 1400; size <= sizeof(bytes); size += 61)
		CU_ASSERT_EQUAL(crc32c((uint32_t)size, bytes, size),
		                crc32c_portable((uint32_t)size, bytes, size));
}

static void goes_on_where_it_stopped(void)
{
	static const char text[] = "no row is lost and none comes twice";
	uint32_t whole = crc32c(0, text, sizeof(text));

	for (size_t cut = 0; cut <= sizeof(text); cut++) {
		CU_ASSERT_EQUAL(crc32c(crc32c(0, text, cut), text + cut, sizeof(text) - cut),
		                whole);
		CU_ASSERT_EQUAL(
		        crc32c_portable(crc32c(0, text, cut), text + cut, sizeof(text) - cut),
		        whole);
	}
}

int main(void)
{
	static const struct unit_test tests[] = {
	        UNIT_TEST(agrees_with_rfc_3720),
	        UNIT_TEST(is_the_same_by_tables_at_every_size_and_alignment),
	        UNIT_TEST(is_the_same_by_tables_for_whole_frames),
	        UNIT_TEST(goes_on_where_it_stopped),
	        {NULL, NULL},
	};

	return unit_run("crc32c", tests);
}
