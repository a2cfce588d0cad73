/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rows.h - the decoder of one sender's frames: where the rows are, and rows
 * larger than a frame put together. The rows of a frame are checked one by one
 * as they are read (rows_next(), slu_motion_receive()): no second pass.
 */
#ifndef MOTION_ROWS_H
#define MOTION_ROWS_H

#include "motion/rows_wire.h"

#include <sluice/motion.h>

struct rows {
	uint32_t row_bytes_max;
	uint8_t *large;       /* owned; a row being put together, or the last one */
	size_t large_room;    /* bytes of it */
	uint32_t large_bytes; /* its length; 0: none is being put together */
	uint32_t large_have;  /* so many of these are there */
};

void rows_init(struct rows *rows, uint32_t row_bytes_max);
void rows_fini(struct rows *rows);

/*
 * A frame: data is 8-byte aligned and borrowed as long as its rows are read.
 *   SLU_OK     its rows are in *ret_rows; may point to memory of rows, which is
 *              borrowed until the next call
 *   SLU_AGAIN  it was a piece of a row
 *   -EBADMSG   not what rows_wire.h says
 *   -EMSGSIZE  a row longer than row_bytes_max      -ENOMEM
 */
int rows_take(struct rows *rows, uint16_t tag, const void *data, uint32_t size_bytes,
              struct slu_motion_rows *ret_rows);

/* Whether the stream may end here: no row is half there. */
bool rows_complete(const struct rows *rows);

/* The next row of a frame; SLU_AGAIN: it has no more; -EBADMSG. */
int rows_next(struct slu_motion_rows *rows, const void **ret_row);

#endif
