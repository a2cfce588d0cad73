/* SPDX-License-Identifier: Apache-2.0 */
/* rows.c - see rows.h. */
#include "motion/rows.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void rows_init(struct rows *rows, uint32_t row_bytes_max)
{
	*rows = (struct rows){.row_bytes_max = row_bytes_max ? row_bytes_max : ROWS_BYTES_DEFAULT};
}

void rows_fini(struct rows *rows)
{
	free(rows->large);
	rows->large = NULL;
}

static void rows_set(struct slu_motion_rows *rows, const void *data, size_t size_bytes)
{
	rows->next = data;
	rows->end = rows->next + size_bytes;
}

static int large_begin(struct rows *rows, const uint8_t *data, uint32_t size_bytes)
{
	uint32_t length;
	size_t room;

	if (rows->large_bytes || size_bytes < ROWS_LENGTH_BYTES)
		return -EBADMSG;
	memcpy(&length, data, sizeof(length));
	if (length <= size_bytes) /* it would have been whole */
		return -EBADMSG;
	if (length > rows->row_bytes_max)
		return -EMSGSIZE;
	room = slu_motion_row_room(length);
	if (room > rows->large_room) {
		free(rows->large);
		rows->large_room = 0;
		rows->large = malloc(room);
		if (!rows->large)
			return -ENOMEM;
		rows->large_room = room;
	}
	memcpy(rows->large, data, size_bytes);
	rows->large_bytes = length;
	rows->large_have = size_bytes;
	return SLU_AGAIN;
}

static int large_continue(struct rows *rows, const uint8_t *data, uint32_t size_bytes,
                          struct slu_motion_rows *ret_rows)
{
	if (!rows->large_bytes || size_bytes == 0 ||
	    size_bytes > rows->large_bytes - rows->large_have)
		return -EBADMSG;
	memcpy(rows->large + rows->large_have, data, size_bytes);
	rows->large_have += size_bytes;
	if (rows->large_have < rows->large_bytes)
		return SLU_AGAIN;
	memset(rows->large + rows->large_bytes, 0,
	       slu_motion_row_room(rows->large_bytes) - rows->large_bytes);
	rows_set(ret_rows, rows->large, slu_motion_row_room(rows->large_bytes));
	rows->large_bytes = 0;
	return SLU_OK;
}

int rows_take(struct rows *rows, uint16_t tag, const void *data, uint32_t size_bytes,
              struct slu_motion_rows *ret_rows)
{
	switch (tag) {
	case ROWS_TAG_ROWS:
		if (rows->large_bytes || size_bytes % ROWS_ALIGN_BYTES)
			return -EBADMSG;
		rows_set(ret_rows, data, size_bytes);
		return SLU_OK;
	case ROWS_TAG_FIRST:
		return large_begin(rows, data, size_bytes);
	case ROWS_TAG_MORE:
		return large_continue(rows, data, size_bytes, ret_rows);
	default:
		return -EBADMSG;
	}
}

bool rows_complete(const struct rows *rows)
{
	return rows->large_bytes == 0;
}

int rows_next(struct slu_motion_rows *rows, const void **ret_row)
{
	size_t left = (size_t)(rows->end - rows->next);
	uint32_t length;

	if (left == 0)
		return SLU_AGAIN;
	memcpy(&length, rows->next, sizeof(length));
	if (length < ROWS_LENGTH_BYTES || length > left)
		return -EBADMSG;
	*ret_row = rows->next;
	rows->next += slu_motion_row_room(length);
	rows->count++;
	return SLU_OK;
}
