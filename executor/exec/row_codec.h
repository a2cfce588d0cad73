/* SPDX-License-Identifier: Apache-2.0 */
/*
 * row_codec.h - rows with columns that hold OIDs (value_text.h): on the wire these
 * columns are text. Most row types have none, and no codec.
 */
#ifndef EXECUTOR_EXEC_ROW_CODEC_H
#define EXECUTOR_EXEC_ROW_CODEC_H

#include <postgres.h>

#include <access/htup.h>
#include <access/tupdesc.h>

typedef struct MppRowCodec MppRowCodec;

/* NULL when rows of this type travel as they are. In the current memory context. */
extern MppRowCodec *mpp_row_codec_create(TupleDesc type);

/* The type of the row on the wire. */
extern TupleDesc mpp_row_codec_wire_type(const MppRowCodec *codec);

/* values becomes what travels; the new ones are in the current memory context. */
extern void mpp_row_codec_encode(MppRowCodec *codec, Datum *values, const bool *nulls);

/* The row, in the current memory context, from one as it travelled. */
extern MinimalTuple mpp_row_codec_decode(MppRowCodec *codec, const void *row);

/* One column of it. */
extern Datum mpp_row_codec_decode_column(MppRowCodec *codec, int column, Datum wire_value);

#endif
