/* SPDX-License-Identifier: Apache-2.0 */
/* fixed_row.c - where the columns of a row without NULLs are. */
#include "executor/exec/fixed_row.h"

MppFixedRow *mpp_fixed_row_create(TupleDesc type)
{
	MinimalTupleData tuple = {0};
	Size size = MPP_FIXED_ROW_HEADER;
	MppFixedRow *fixed = palloc0(offsetof(MppFixedRow, columns) +
	                             sizeof(fixed->columns[0]) * (Size)Max(type->natts, 1));
	int i;

	for (i = 0; i < type->natts; i++) {
		Form_pg_attribute column = TupleDescAttr(type, i);

		if (!column->attbyval) {
			pfree(fixed);
			return NULL;
		}
		size = att_align_nominal(size, column->attalign);
		fixed->columns[i].at = (uint16)size;
		fixed->columns[i].length = (uint16)column->attlen;
		size += (Size)column->attlen;
	}
	fixed->size = (uint32)size;
	fixed->natts = type->natts;
	tuple.t_len = fixed->size;
	HeapTupleHeaderSetNatts(&tuple, type->natts);
	tuple.t_hoff = (uint8)(MPP_FIXED_ROW_HEADER + MINIMAL_TUPLE_OFFSET);
	memcpy(fixed->header, &tuple, SizeofMinimalTupleHeader);
	return fixed;
}
