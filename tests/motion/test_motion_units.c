/* SPDX-License-Identifier: Apache-2.0 */
/* test_motion_units.c - the parts of a motion alone: decoder, merge, hash,
 * backlog and its file, errors as text. */
#include "motion/backlog.h"
#include "motion/context.h"
#include "motion/merge.h"
#include "motion/rows.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- decoder --------------------------------------------------------------- */

static void rows_of_a_frame_are_found(void)
{
	_Alignas(8) uint32_t frame[] = {4, 0, 9, 1, 2, 0, 8, 3};
	struct slu_motion_rows cursor = {0};
	struct rows rows;
	const void *row;

	rows_init(&rows, 0);
	CU_ASSERT_EQUAL(rows_take(&rows, ROWS_TAG_ROWS, frame, sizeof(frame), &cursor), SLU_OK);
	for (size_t i = 0; i < 3; i++) {
		static const size_t at[] = {0, 2, 6};

		CU_ASSERT_EQUAL(rows_next(&cursor, &row), SLU_OK);
		CU_ASSERT_PTR_EQUAL(row, &frame[at[i]]);
	}
	CU_ASSERT_EQUAL(rows_next(&cursor, &row), SLU_AGAIN);
	CU_ASSERT_EQUAL(cursor.count, 3);
	CU_ASSERT_TRUE(rows_complete(&rows));
	rows_fini(&rows);
}

static void lengths_that_cannot_be_are_refused(void)
{
	static const uint32_t lengths[] = {0, 3, 17, UINT32_MAX};

	for (size_t i = 0; i < 4; i++) {
		_Alignas(8) uint32_t frame[4] = {lengths[i]};
		struct slu_motion_rows cursor = {0};
		struct rows rows;
		const void *row;

		rows_init(&rows, 0);
		CU_ASSERT_EQUAL(rows_take(&rows, ROWS_TAG_ROWS, frame, 16, &cursor), SLU_OK);
		CU_ASSERT_EQUAL(rows_next(&cursor, &row), -EBADMSG);
		CU_ASSERT_EQUAL(rows_take(&rows, ROWS_TAG_ROWS, frame, 12, &cursor), -EBADMSG);
		CU_ASSERT_EQUAL(rows_take(&rows, 77, frame, 16, &cursor), -EBADMSG);
		rows_fini(&rows);
	}
}

static void large_row_is_put_together(void)
{
	_Alignas(8) uint8_t large[104];
	const uint32_t length = 101;
	struct slu_motion_rows cursor = {0};
	struct rows rows;
	const void *row;

	for (size_t i = 0; i < sizeof(large); i++)
		large[i] = (uint8_t)i;
	memcpy(large, &length, sizeof(length));
	rows_init(&rows, 1000);
	for (int twice = 0; twice < 2; twice++) {
		CU_ASSERT_EQUAL(rows_take(&rows, ROWS_TAG_FIRST, large, 40, &cursor), SLU_AGAIN);
		CU_ASSERT_FALSE(rows_complete(&rows));
		CU_ASSERT_EQUAL(rows_take(&rows, ROWS_TAG_MORE, large + 40, 40, &cursor),
		                SLU_AGAIN);
		CU_ASSERT_EQUAL(rows_take(&rows, ROWS_TAG_MORE, large + 80, 21, &cursor), SLU_OK);
		CU_ASSERT_EQUAL(rows_next(&cursor, &row), SLU_OK);
		CU_ASSERT_EQUAL(memcmp(row, large, length), 0);
		CU_ASSERT_EQUAL(rows_next(&cursor, &row), SLU_AGAIN);
	}
	rows_fini(&rows);
}

static void pieces_out_of_place_are_refused(void)
{
	_Alignas(8) uint8_t frame[64] = {100}; /* little-endian, as all hosts of a cluster */
	struct slu_motion_rows cursor = {0};
	struct rows rows;
	const uint32_t length = 100;

	memcpy(frame, &length, sizeof(length));
	rows_init(&rows, 1000);
	CU_ASSERT_EQUAL(rows_take(&rows, ROWS_TAG_MORE, frame, 64, &cursor), -EBADMSG);
	CU_ASSERT_EQUAL(rows_take(&rows, ROWS_TAG_FIRST, frame, 3, &cursor), -EBADMSG);
	CU_ASSERT_EQUAL(rows_take(&rows, ROWS_TAG_FIRST, frame, 64, &cursor), SLU_AGAIN);
	CU_ASSERT_EQUAL(rows_take(&rows, ROWS_TAG_FIRST, frame, 64, &cursor), -EBADMSG);
	CU_ASSERT_EQUAL(rows_take(&rows, ROWS_TAG_ROWS, frame, 64, &cursor), -EBADMSG);
	CU_ASSERT_EQUAL(rows_take(&rows, ROWS_TAG_MORE, frame, 37, &cursor), -EBADMSG);
	CU_ASSERT_EQUAL(rows_take(&rows, ROWS_TAG_MORE, frame, 0, &cursor), -EBADMSG);
	rows_fini(&rows);
	rows_init(&rows, 99);
	CU_ASSERT_EQUAL(rows_take(&rows, ROWS_TAG_FIRST, frame, 64, &cursor), -EMSGSIZE);
	rows_fini(&rows);
}

/* ---- merge and hash ---------------------------------------------------------- */

static int compare_ints(const void *left, const void *right, void *ctx)
{
	++*(int *)ctx;
	return *(const int *)left - *(const int *)right;
}

static void merge_gives_rows_in_order_and_equal_ones_by_input(void)
{
	static const int inputs[4][4] = {{1, 5, 5, 9}, {5, 6, 7, 8}, {0, 5, 9, 9}, {2, 2, 2, 2}};
	size_t next[4] = {0};
	int compared = 0, last = -1;
	uint32_t last_input = 0;
	struct merge merge;

	CU_ASSERT_EQUAL_FATAL(merge_init(&merge, 4, compare_ints, &compared), 0);
	for (uint32_t i = 4; i-- > 0;)
		merge_push(&merge, i, &inputs[i][next[i]++]);
	for (int n = 0; n < 16; n++) {
		const struct merge_input top = *merge_top(&merge);
		int value = *(const int *)top.row;

		CU_ASSERT(value > last || (value == last && top.input >= last_input));
		last = value;
		last_input = top.input;
		merge_replace_top(
		        &merge, next[top.input] < 4 ? &inputs[top.input][next[top.input]++] : NULL);
	}
	CU_ASSERT_EQUAL(merge.count, 0);
	CU_ASSERT(compared < 16 * 5);
	merge_fini(&merge);
}

/* Values of other implementations of the same paper. */
static void jump_hash_is_the_published_one(void)
{
	CU_ASSERT_EQUAL(slu_motion_jump_hash(1, 1), 0);
	CU_ASSERT_EQUAL(slu_motion_jump_hash(42, 57), 43);
	CU_ASSERT_EQUAL(slu_motion_jump_hash(0xDEAD10CC, 1), 0);
	CU_ASSERT_EQUAL(slu_motion_jump_hash(0xDEAD10CC, 666), 361);
	CU_ASSERT_EQUAL(slu_motion_jump_hash(256, 1024), 520);
	CU_ASSERT_EQUAL(slu_motion_jump_hash(7, 0), 0);
	CU_ASSERT(slu_motion_jump_hash(UINT64_MAX, UINT32_MAX) < UINT32_MAX);
}

/* The figure of the paper, as it is printed there. */
static uint32_t published_jump_hash(uint64_t key, int32_t num_buckets)
{
	int64_t b = -1, j = 0;

	while (j < num_buckets) {
		b = j;
		key = key * UINT64_C(2862933555777941757) + 1;
		j = (int64_t)((double)(b + 1) *
		              ((double)(INT64_C(1) << 31) / (double)((key >> 33) + 1)));
	}
	return (uint32_t)b;
}

/* A hash whose draw number n of the paper's generator is that one. */
static uint64_t hash_with_draw(uint64_t draw, unsigned n, uint64_t low)
{
	uint64_t key = (draw - 1) << 33 | low >> 31;

	while (n--) /* its inverse: the reciprocal of the multiplier modulo 2^64 */
		key = (key - 1) * UINT64_C(0xdfe66807999cec55);
	return key;
}

static void jump_hash_is_that_of_the_paper_also_at_the_edges_of_buckets(void)
{
	unsigned differ = 0;

	for (uint32_t count = 1; count <= 70; count++)
		for (uint64_t i = 0; i < 20000; i++) {
			uint64_t any = i * UINT64_C(0x9e3779b97f4a7c15);
			uint64_t edge = (UINT64_C(1) << 31) * (i % 10 + 1) / (i / 10 % 10 + 1);
			uint64_t draw = edge + i / 100 % 5 - 2;
			bool drawn = i % 2 && draw >= 1 && draw <= UINT64_C(1) << 31;
			uint64_t hash = drawn ? hash_with_draw(draw, 1 + i / 500 % 4, any) : any;

			differ += slu_motion_jump_hash(hash, count) !=
			          published_jump_hash(hash, (int32_t)count);
		}
	CU_ASSERT_EQUAL(differ, 0);
}

static void jump_hash_moves_only_to_the_new_bucket(void)
{
	unsigned moved = 0;

	for (uint64_t i = 0; i < 10000; i++) {
		uint64_t hash = i * UINT64_C(0x9e3779b97f4a7c15);
		uint32_t before = slu_motion_jump_hash(hash, 9);
		uint32_t after = slu_motion_jump_hash(hash, 10);

		CU_ASSERT(before < 9);
		CU_ASSERT(after == before || after == 9);
		moved += after != before;
	}
	CU_ASSERT(moved > 850 && moved < 1150);
}

/* ---- backlog ------------------------------------------------------------------ */

static void backlog_keeps_order_over_memory_and_file(void)
{
	struct backlog_store store = {.memory_bytes_max = 2000};
	uint8_t data[1000];
	struct backlog backlog;

	CU_ASSERT_EQUAL_FATAL(spill_init(&store.spill, NULL, sizeof(data), 0), 0);
	backlog_init(&backlog);
	for (unsigned round = 0; round < 2; round++) {
		for (unsigned i = 0; i < 20; i++) {
			struct slu_frame frame = {
			        .data = data, .size_bytes = i * 50, .tag = (uint16_t)i};

			memset(data, (int)i, sizeof(data));
			CU_ASSERT_EQUAL(backlog_push(&backlog, &store, &frame), 0);
		}
		for (unsigned i = 0; i < 20; i++) {
			struct backlog_frame *frame = NULL;

			CU_ASSERT_EQUAL_FATAL(backlog_pop(&backlog, &store, &frame), 0);
			CU_ASSERT_EQUAL(frame->tag, i);
			CU_ASSERT_EQUAL(frame->size_bytes, i * 50);
			for (unsigned b = 0; b < frame->size_bytes; b++)
				CU_ASSERT_EQUAL(frame->data[b], i);
			backlog_frame_free(frame, &store);
		}
		CU_ASSERT_TRUE(backlog_empty(&backlog));
		CU_ASSERT_EQUAL(store.stats.memory_bytes, 0);
	}
	CU_ASSERT(store.stats.spilled_frames > 10);
	/* the second round found the blocks of the first */
	CU_ASSERT(spill_file_bytes(&store.spill) <= 20 * 4096);
	backlog_clear(&backlog, &store);
	spill_fini(&store.spill);
}

static void cleared_backlog_gives_everything_back(void)
{
	struct backlog_store store = {.memory_bytes_max = 500};
	uint8_t data[400] = {0};
	struct slu_frame frame = {.data = data, .size_bytes = sizeof(data)};
	struct backlog backlog;

	CU_ASSERT_EQUAL_FATAL(spill_init(&store.spill, NULL, sizeof(data), 3 * 4096), 0);
	backlog_init(&backlog);
	for (int i = 0; i < 4; i++)
		CU_ASSERT_EQUAL(backlog_push(&backlog, &store, &frame), 0);
	CU_ASSERT_EQUAL(backlog_push(&backlog, &store, &frame), -EDQUOT);
	backlog_clear(&backlog, &store);
	CU_ASSERT_EQUAL(store.stats.memory_bytes, 0);
	CU_ASSERT_EQUAL(store.spill.free_count, 3);
	spill_fini(&store.spill);
}

static void spill_file_has_no_name(void)
{
	char directory[] = "/tmp/sluice-spill-test-XXXXXX";
	struct spill spill;
	struct stat stat_buffer;
	uint64_t block;

	CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(directory));
	CU_ASSERT_EQUAL_FATAL(spill_init(&spill, directory, 4096, 0), 0);
	CU_ASSERT_EQUAL(spill_write(&spill, "12345678", 8, &block), 0);
	CU_ASSERT_EQUAL(fstat(spill.fd, &stat_buffer), 0);
	CU_ASSERT_EQUAL(stat_buffer.st_nlink, 0);
	CU_ASSERT_EQUAL(ftruncate(spill.fd, 0), 0);
	CU_ASSERT_EQUAL(spill_read(&spill, block, &stat_buffer, 8), -EIO);
	spill_fini(&spill);
	CU_ASSERT_EQUAL(rmdir(directory), 0);
}

/* ---- errors -------------------------------------------------------------------- */

static void error_survives_the_text_of_a_reset(void)
{
	struct slu_motion_error error;
	char text[FAILURE_TEXT_BYTES], relay[FAILURE_TEXT_BYTES], reason[400];

	failure_encode(text, "22012", "division by zero; channel of thought");
	snprintf(reason, sizeof(reason), "sender \"a: [x] b\" (pid 1) on n: %s; channel 1/2 3->4",
	         text);
	failure_decode(reason, -ECANCELED, &error, relay);
	CU_ASSERT_EQUAL(error.error, -ECANCELED);
	CU_ASSERT_STRING_EQUAL(error.sqlstate, "22012");
	CU_ASSERT_STRING_EQUAL(error.text, "sender \"a: [x] b\" (pid 1) on n: division by zero; "
	                                   "channel of thought; channel 1/2 3->4");
	CU_ASSERT_STRING_EQUAL(relay, text);
}

static void reset_without_sqlstate_gets_one(void)
{
	struct slu_motion_error error;
	char relay[FAILURE_TEXT_BYTES];

	failure_decode("process \"x\" died", -ECONNRESET, &error, relay);
	CU_ASSERT_STRING_EQUAL(error.sqlstate, "08006");
	CU_ASSERT_STRING_EQUAL(relay, "[08006] process \"x\" died");
	failure_decode("", -ECANCELED, &error, relay);
	CU_ASSERT_STRING_EQUAL(error.sqlstate, "57014");
	CU_ASSERT_STRING_EQUAL(error.text, strerror(ECANCELED));
}

static void long_text_is_cut_between_characters(void)
{
	char text[300] = "x", encoded[FAILURE_TEXT_BYTES];

	for (size_t i = 1; i + 2 < sizeof(text); i += 2)
		memcpy(text + i, "\xc3\xa4", 3);
	failure_encode(encoded, "XX000", text);
	CU_ASSERT(strlen(encoded) >= FAILURE_TEXT_BYTES - 3);
	CU_ASSERT_EQUAL((unsigned char)encoded[strlen(encoded) - 1], 0xa4);
	CU_ASSERT_TRUE(failure_sqlstate_valid("XX000"));
	CU_ASSERT_FALSE(failure_sqlstate_valid("XX00"));
	CU_ASSERT_FALSE(failure_sqlstate_valid("xx000"));
}

int main(void)
{
	static const struct unit_test tests[] = {
	        UNIT_TEST(rows_of_a_frame_are_found),
	        UNIT_TEST(lengths_that_cannot_be_are_refused),
	        UNIT_TEST(large_row_is_put_together),
	        UNIT_TEST(pieces_out_of_place_are_refused),
	        UNIT_TEST(merge_gives_rows_in_order_and_equal_ones_by_input),
	        UNIT_TEST(jump_hash_is_the_published_one),
	        UNIT_TEST(jump_hash_is_that_of_the_paper_also_at_the_edges_of_buckets),
	        UNIT_TEST(jump_hash_moves_only_to_the_new_bucket),
	        UNIT_TEST(backlog_keeps_order_over_memory_and_file),
	        UNIT_TEST(cleared_backlog_gives_everything_back),
	        UNIT_TEST(spill_file_has_no_name),
	        UNIT_TEST(error_survives_the_text_of_a_reset),
	        UNIT_TEST(reset_without_sqlstate_gets_one),
	        UNIT_TEST(long_text_is_cut_between_characters),
	        {NULL, NULL},
	};

	return unit_run("motion units", tests);
}
