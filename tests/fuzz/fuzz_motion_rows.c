/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_motion_rows.c - the frames of one sender of a motion: each a tag, a size
 * and its bytes. Every row that is found must lie in what was given, or be one
 * that was put together, and be no longer than allowed. */
#include "motion/rows.h"

#include <stdlib.h>
#include <string.h>

#define ROW_BYTES_MAX 4096u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_row(const void *row, const uint8_t *end)
{
	uint32_t length;

	if ((uintptr_t)row % ROWS_ALIGN_BYTES)
		abort();
	memcpy(&length, row, sizeof(length));
	if (length < ROWS_LENGTH_BYTES || length > (size_t)(end - (const uint8_t *)row))
		abort();
	/* touch its last byte: ASan knows where memory ends */
	if (((const volatile uint8_t *)row)[length - 1] == 0 && length == 0)
		abort();
}

/* One frame, in memory of exactly its size. Whether the stream may go on. */
static int take_frame(struct rows *rows, uint16_t tag, const uint8_t *data, uint32_t size)
{
	struct slu_motion_rows cursor = {0};
	void *frame = aligned_alloc(32, size ? (size + 31u) & ~31u : 32);
	const void *row;
	int r;

	if (!frame)
		abort();
	memcpy(frame, data, size);
	r = rows_take(rows, tag, frame, size, &cursor);
	if (r == SLU_OK) {
		while ((r = rows_next(&cursor, &row)) == SLU_OK)
			check_row(row, cursor.end);
		if (r == SLU_AGAIN && cursor.next != cursor.end)
			abort();
	}
	free(frame);
	return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct rows rows;
	int r = SLU_AGAIN;

	rows_init(&rows, ROW_BYTES_MAX);
	while (size >= 3 && r == SLU_AGAIN) {
		uint16_t tag = data[0];
		uint32_t bytes = (uint32_t)data[1] | (uint32_t)data[2] << 8;

		data += 3;
		size -= 3;
		if (bytes > size)
			bytes = (uint32_t)size;
		r = take_frame(&rows, tag, data, bytes);
		data += bytes;
		size -= bytes;
	}
	rows_fini(&rows);
	return 0;
}
