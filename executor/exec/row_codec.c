/* SPDX-License-Identifier: Apache-2.0 */
/*
 * row_codec.c - columns that travel as text.
 */
#include "executor/exec/row_codec.h"

#include <access/htup_details.h>
#include <catalog/pg_type.h>
#include <utils/builtins.h>

#include "executor/exec/value_text.h"

struct MppRowCodec {
	TupleDesc type;
	TupleDesc wire_type;
	MppValueText **columns; /* [natts] NULL: as it is */
	Datum *values;          /* [natts] of the row being decoded */
	bool *nulls;
};

MppRowCodec *mpp_row_codec_create(TupleDesc type)
{
	MppRowCodec *codec = NULL;
	int i;

	for (i = 0; i < type->natts; i++) {
		Oid column_type = TupleDescAttr(type, i)->atttypid;

		if (!mpp_type_holds_oids(column_type))
			continue;
		if (!codec) {
			codec = palloc0(sizeof(*codec));
			codec->type = type;
			codec->wire_type = CreateTupleDescCopy(type);
			codec->columns = palloc0(sizeof(MppValueText *) * (Size)type->natts);
			codec->values = palloc(sizeof(Datum) * (Size)type->natts);
			codec->nulls = palloc(sizeof(bool) * (Size)type->natts);
		}
		codec->columns[i] = palloc0(sizeof(MppValueText));
		mpp_value_text_init(codec->columns[i], column_type);
		TupleDescInitEntry(codec->wire_type, (AttrNumber)(i + 1), NULL, TEXTOID, -1, 0);
	}
	return codec;
}

TupleDesc mpp_row_codec_wire_type(const MppRowCodec *codec)
{
	return codec->wire_type;
}

void mpp_row_codec_encode(MppRowCodec *codec, Datum *values, const bool *nulls)
{
	int i;

	for (i = 0; i < codec->type->natts; i++)
		if (codec->columns[i] && !nulls[i])
			values[i] = CStringGetTextDatum(
			        mpp_value_to_text(codec->columns[i], values[i]));
}

Datum mpp_row_codec_decode_column(MppRowCodec *codec, int column, Datum wire_value)
{
	if (!codec->columns[column])
		return wire_value;
	return mpp_value_from_text(codec->columns[column], TextDatumGetCString(wire_value));
}

MinimalTuple mpp_row_codec_decode(MppRowCodec *codec, const void *row)
{
	HeapTupleData tuple = {
	        .t_len = ((const MinimalTupleData *)row)->t_len + MINIMAL_TUPLE_OFFSET,
	        .t_data = (HeapTupleHeader)((uintptr_t)row - MINIMAL_TUPLE_OFFSET),
	};
	int i;

	heap_deform_tuple(&tuple, codec->wire_type, codec->values, codec->nulls);
	for (i = 0; i < codec->type->natts; i++)
		if (!codec->nulls[i])
			codec->values[i] = mpp_row_codec_decode_column(codec, i, codec->values[i]);
	return heap_form_minimal_tuple(codec->type, codec->values, codec->nulls);
}
