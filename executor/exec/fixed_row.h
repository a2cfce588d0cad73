/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fixed_row.h - rows of columns that are passed by value, as most that are moved by
 * the million: without NULLs their columns are at the same places in every row, and
 * a MinimalTuple of them is written and read without looking at the row type.
 */
#ifndef EXECUTOR_EXEC_FIXED_ROW_H
#define EXECUTOR_EXEC_FIXED_ROW_H

#include <postgres.h>

#include <access/htup_details.h>
#include <access/tupmacs.h>
#include <executor/tuptable.h>

#define MPP_FIXED_ROW_HEADER MAXALIGN(SizeofMinimalTupleHeader)

typedef struct MppFixedRow {
	uint32 size;
	int natts;
	char header[MPP_FIXED_ROW_HEADER]; /* of every row */
	struct {
		uint16 at;
		uint16 length;
	} columns[FLEXIBLE_ARRAY_MEMBER];
} MppFixedRow;

/* NULL: rows of this type are not such. In the current memory context. */
extern MppFixedRow *mpp_fixed_row_create(TupleDesc type);

/* Write the row of these values, fixed->size bytes; false: one is NULL, and what was
 * written is no row. */
static inline bool mpp_fixed_row_form(const MppFixedRow *fixed, const Datum *values,
                                      const bool *nulls, char *row)
{
	int i;

	memcpy(row, fixed->header, MPP_FIXED_ROW_HEADER);
	for (i = 0; i < fixed->natts; i++) {
		if (unlikely(nulls[i]))
			return false;
		store_att_byval(row + fixed->columns[i].at, values[i], fixed->columns[i].length);
	}
	return true;
}

/* Read all values of a row without NULLs. */
static inline void mpp_fixed_row_deform(const MppFixedRow *fixed, const char *row, Datum *values,
                                        bool *nulls)
{
	int i;

	for (i = 0; i < fixed->natts; i++) {
		values[i] = fetch_att(row + fixed->columns[i].at, true, fixed->columns[i].length);
		nulls[i] = false;
	}
}

/* Whether a MinimalTuple of the row type has its columns at these places. */
static inline bool mpp_fixed_row_is(const MppFixedRow *fixed, const MinimalTupleData *tuple)
{
	return tuple->t_len == fixed->size && !(tuple->t_infomask & HEAP_HASNULL);
}

#endif
