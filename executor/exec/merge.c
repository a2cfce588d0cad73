/* SPDX-License-Identifier: Apache-2.0 */
/*
 * merge.c - comparison of MinimalTuples by sort columns.
 */
#include "executor/exec/merge.h"

#include <access/htup_details.h>
#include <utils/memutils.h>
#include <utils/sortsupport.h>

struct MppMerge {
	TupleDesc type; /* of rows as they travel */
	MppRowCodec *codec;
	MemoryContext memory; /* of one comparison of values that travel as text */
	int key_count;
	SortSupport keys; /* [key_count] */
};

MppMerge *mpp_merge_create(const MppMotion *motion, TupleDesc type, MppRowCodec *codec)
{
	MppMerge *merge = palloc0(sizeof(*merge));
	int i;

	merge->type = codec ? mpp_row_codec_wire_type(codec) : type;
	merge->codec = codec;
	if (codec)
		merge->memory = AllocSetContextCreate(CurrentMemoryContext, "sluice merge",
		                                      ALLOCSET_SMALL_SIZES);
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

static Datum key_value(const MppMerge *merge, int key, HeapTuple tuple, bool *ret_null)
{
	AttrNumber column = merge->keys[key].ssup_attno;
	Datum value = heap_getattr(tuple, column, merge->type, ret_null);

	if (merge->codec && !*ret_null)
		return mpp_row_codec_decode_column(merge->codec, column - 1, value);
	return value;
}

static int compare(const MppMerge *merge, HeapTuple left, HeapTuple right)
{
	int i;

	for (i = 0; i < merge->key_count; i++) {
		bool left_null, right_null;
		Datum left_value = key_value(merge, i, left, &left_null);
		Datum right_value = key_value(merge, i, right, &right_null);
		int order = ApplySortComparator(left_value, left_null, right_value, right_null,
		                                &merge->keys[i]);

		if (order != 0)
			return order;
	}
	return 0;
}

int mpp_merge_compare(const void *left, const void *right, void *ctx)
{
	const MppMerge *merge = ctx;
	HeapTupleData left_tuple = as_heap_tuple(left);
	HeapTupleData right_tuple = as_heap_tuple(right);
	MemoryContext old;
	int order;

	if (!merge->codec)
		return compare(merge, &left_tuple, &right_tuple);
	old = MemoryContextSwitchTo(merge->memory);
	order = compare(merge, &left_tuple, &right_tuple);
	MemoryContextSwitchTo(old);
	MemoryContextReset(merge->memory);
	return order;
}
