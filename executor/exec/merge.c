/* SPDX-License-Identifier: Apache-2.0 */
/*
 * merge.c - comparison of MinimalTuples by sort columns. The first column is
 * enough for most comparisons and is fetched alone.
 */
#include "executor/exec/merge.h"

#include <access/htup_details.h>
#include <utils/sortsupport.h>

struct MppMerge {
	TupleDesc type;
	int key_count;
	SortSupport keys; /* [key_count] */
};

MppMerge *mpp_merge_create(const MppMotion *motion, TupleDesc type)
{
	MppMerge *merge = palloc0(sizeof(*merge));
	int i;

	merge->type = type;
	merge->key_count = list_length(motion->sort_columns);
	merge->keys = palloc0(sizeof(SortSupportData) * (Size)Max(merge->key_count, 1));
	for (i = 0; i < merge->key_count; i++) {
		SortSupport key = &merge->keys[i];

		key->ssup_cxt = CurrentMemoryContext;
		key->ssup_collation = list_nth_oid(motion->sort_collations, i);
		key->ssup_nulls_first = list_nth_int(motion->sort_nulls_first, i) != 0;
		key->ssup_attno = (AttrNumber)list_nth_int(motion->sort_columns, i);
		PrepareSortSupportFromOrderingOp(list_nth_oid(motion->sort_operators, i), key);
	}
	return merge;
}

/* A heap tuple over the same bytes; read only. */
static HeapTupleData as_heap_tuple(const void *row)
{
	HeapTupleData tuple = {
	        .t_len = ((const MinimalTupleData *)row)->t_len + MINIMAL_TUPLE_OFFSET,
	        .t_data = (HeapTupleHeader)((uintptr_t)row - MINIMAL_TUPLE_OFFSET),
	};

	return tuple;
}

int mpp_merge_compare(const void *left, const void *right, void *ctx)
{
	const MppMerge *merge = ctx;
	HeapTupleData left_tuple = as_heap_tuple(left);
	HeapTupleData right_tuple = as_heap_tuple(right);
	int i;

	for (i = 0; i < merge->key_count; i++) {
		SortSupport key = &merge->keys[i];
		bool left_null, right_null;
		Datum left_value =
		        heap_getattr(&left_tuple, key->ssup_attno, merge->type, &left_null);
		Datum right_value =
		        heap_getattr(&right_tuple, key->ssup_attno, merge->type, &right_null);
		int order =
		        ApplySortComparator(left_value, left_null, right_value, right_null, key);

		if (order != 0)
			return order;
	}
	return 0;
}
