/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rows.h - the rows that sluice-perf sends: their content follows from their
 * sequence number, so the reader compares every byte without being told.
 *
 * A row is row_bytes long and padded to 8 bytes. Its 64-bit words are
 *   word 0      u32 length (row_bytes), u32 low half of the sequence
 *   word i > 0  mix(sequence) + i
 * where the sequence holds the lane (which channel) in its upper bits and the
 * row's number on that lane in the lower ones. The padding belongs to the last
 * word; it is written and compared too but not counted as data.
 *
 * A sum and a compare per word vectorise, so what is measured is the transport
 * and the memory, not the generator.
 */
#ifndef BENCH_ROWS_H
#define BENCH_ROWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <sluice/sluice.h>

#define BENCH_ROW_BYTES_MIN  8u
#define BENCH_ROW_LANE_SHIFT 40u /* 2^40 rows per lane */

/* One way of rows: the next row to write or to expect. */
struct bench_rows {
	uint64_t sequence; /* of the next row */
	uint32_t row_bytes;
	uint32_t word_count; /* 64-bit words of a row with its padding */
	bool stream;         /* more rows follow at once: fetch their lines ahead */
};

/* Rows of a lane, from the first. stream: frames are filled with them. */
void bench_rows_init(struct bench_rows *rows, uint32_t row_bytes, uint32_t lane, bool stream);

/* Rows written, or expected and received, so far. */
static inline uint64_t bench_rows_count(const struct bench_rows *rows)
{
	return rows->sequence & ((UINT64_C(1) << BENCH_ROW_LANE_SHIFT) - 1);
}

static inline uint32_t bench_rows_stride(const struct bench_rows *rows)
{
	return rows->word_count * 8;
}

/*
 * Write up to row_count rows into the channel's frames, one reserve and append
 * each. *ret_written (always written) counts what went in. Returns SLU_OK when
 * it is row_count, else what slu_channel_reserve() said.
 */
int bench_rows_write(struct bench_rows *rows, slu_channel *channel, uint64_t row_count,
                     uint64_t *ret_written);

/*
 * Compare size_bytes at data with the rows expected next and go on behind them.
 * Returns the number of rows that differ; a frame that is not a whole number of
 * rows counts one more. *ret_rows: rows the data holds.
 */
uint64_t bench_rows_check(struct bench_rows *rows, const void *data, size_t size_bytes,
                          uint64_t *ret_rows);

/* Fill row_count rows at data without a channel. For tests. */
void bench_rows_fill(struct bench_rows *rows, void *data, uint64_t row_count);

/* Which instructions the loops use: "avx2" or "baseline". */
const char *bench_rows_isa(void);

#endif
