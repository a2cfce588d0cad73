/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sender.c - rows into frames. A MinimalTuple is what travels: a heap tuple
 * becomes one by a copy of all but its header, anything else is formed from its
 * values. Values stored out of line are fetched first: their pointers mean
 * nothing elsewhere.
 */
#include "executor/exec/sender.h"

#include <access/detoast.h>
#include <access/htup_details.h>
#include <executor/executor.h>
#include <executor/tuptable.h>
#include <utils/memutils.h>

#include "executor/catalog/distribution.h"
#include "executor/exec/fixed_row.h"
#include "executor/exec/row_codec.h"

struct MppSender {
	DestReceiver dest; /* first */
	MppRun *run;
	MppMotion motion;
	slu_motion_sender *channels;
	uint32 destination_count;
	uint32 next;  /* of MPP_MOTION_RANDOM */
	bool stopped; /* no destination wants more rows */

	/* of MPP_MOTION_REDISTRIBUTE */
	MppHash hash;
	List *key_exprs;
	AttrNumber *key_columns; /* [key_count] when all keys are columns, else NULL */
	ExprState **keys;        /* [key_count] when they are not */
	ExprContext *expr_context;
	Datum *key_values;
	bool *key_nulls;

	/* rows */
	MppRowCodec *codec; /* NULL: rows travel as they are */
	bool has_varlena;   /* a column is of variable length */
	Datum *values;      /* [natts] with values fetched from out of line */
	MemoryContext row_memory;
	MppFixedRow *fixed; /* NULL: rows are not such */
};

/* ---- whom to send to ------------------------------------------------------- */

static Oid *oid_array(const List *list)
{
	Oid *array = palloc(sizeof(Oid) * (Size)Max(list_length(list), 1));
	ListCell *cell;

	foreach (cell, list)
		array[foreach_current_index(cell)] = lfirst_oid(cell);
	return array;
}

static AttrNumber *columns_of(const List *exprs)
{
	AttrNumber *columns = palloc(sizeof(AttrNumber) * (Size)Max(list_length(exprs), 1));
	ListCell *cell;

	foreach (cell, exprs) {
		const Var *var = lfirst(cell);

		if (!IsA(var, Var) || var->varattno <= 0)
			return NULL;
		columns[foreach_current_index(cell)] = var->varattno;
	}
	return columns;
}

static void init_keys(MppSender *sender, const CustomScan *scan)
{
	int count = list_length(scan->custom_exprs);

	mpp_hash_init(&sender->hash, count, oid_array(sender->motion.hash_types),
	              oid_array(sender->motion.hash_collations));
	sender->key_exprs = scan->custom_exprs;
	sender->key_columns = columns_of(scan->custom_exprs);
	sender->key_values = palloc(sizeof(Datum) * (Size)Max(count, 1));
	sender->key_nulls = palloc(sizeof(bool) * (Size)Max(count, 1));
}

void mpp_sender_set_estate(MppSender *sender, EState *estate)
{
	ListCell *cell;

	if (sender->motion.kind != MPP_MOTION_REDISTRIBUTE || sender->key_columns)
		return;
	sender->expr_context = CreateExprContext(estate);
	sender->keys = palloc(sizeof(ExprState *) * (Size)sender->hash.key_count);
	foreach (cell, sender->key_exprs)
		sender->keys[foreach_current_index(cell)] = ExecInitExpr(lfirst(cell), NULL);
}

static uint32 hash_destination(MppSender *sender, TupleTableSlot *slot)
{
	int i;

	if (sender->key_columns) {
		for (i = 0; i < sender->hash.key_count; i++)
			sender->key_values[i] =
			        slot_getattr(slot, sender->key_columns[i], &sender->key_nulls[i]);
	} else {
		ResetExprContext(sender->expr_context);
		sender->expr_context->ecxt_scantuple = slot;
		for (i = 0; i < sender->hash.key_count; i++)
			sender->key_values[i] = ExecEvalExprSwitchContext(
			        sender->keys[i], sender->expr_context, &sender->key_nulls[i]);
	}
	return (uint32)mpp_hash_segment(
	        mpp_hash_row(&sender->hash, sender->key_values, sender->key_nulls),
	        (int)sender->destination_count);
}

static uint32 destination_of(MppSender *sender, TupleTableSlot *slot)
{
	switch (sender->motion.kind) {
	case MPP_MOTION_REDISTRIBUTE:
		return hash_destination(sender, slot);
	case MPP_MOTION_BROADCAST:
		return SLU_MOTION_ALL;
	case MPP_MOTION_RANDOM:
		sender->next = sender->next + 1 < sender->destination_count ? sender->next + 1 : 0;
		return sender->next;
	case MPP_MOTION_GATHER:
	case MPP_MOTION_ORDERED:
		break;
	}
	return 0;
}

/* ---- forming the row ------------------------------------------------------- */

/* What slu_motion_reserve() said when there was no room at hand. */
static pg_noinline bool reserve_after(MppSender *sender, uint32 destination, Size size,
                                      void **ret_row, int r)
{
	for (;;) {
		if (r == SLU_OK)
			return true;
		if (r == SLU_STOPPED) {
			sender->stopped = slu_motion_stopped(sender->channels);
			return false;
		}
		if (r == -EMSGSIZE)
			ereport(ERROR,
			        (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
			         errmsg("a row of %zu bytes is too long to be moved", size)));
		mpp_run_wait(sender->run, r);
		r = slu_motion_reserve(sender->channels, destination, size, ret_row);
	}
}

/* Room for a row; false: the destination wants none. */
static inline bool reserve(MppSender *sender, uint32 destination, Size size, void **ret_row)
{
	int r = slu_motion_reserve(sender->channels, destination, size, ret_row);

	return likely(r == SLU_OK) || reserve_after(sender, destination, size, ret_row, r);
}

static void send_copy(MppSender *sender, uint32 destination, const char *tuple, Size size)
{
	void *row;

	if (reserve(sender, destination, size, &row)) {
		memcpy(row, tuple, size);
		slu_motion_append(sender->channels, destination, size);
	}
}

/* The values of the slot; those stored out of line fetched. */
static Datum *flat_values(MppSender *sender, TupleTableSlot *slot)
{
	TupleDesc type = slot->tts_tupleDescriptor;
	Datum *values = slot->tts_values;
	int i;

	for (i = 0; i < type->natts; i++) {
		struct varlena *value = (struct varlena *)DatumGetPointer(slot->tts_values[i]);
		MemoryContext old;

		if (slot->tts_isnull[i] || TupleDescAttr(type, i)->attlen != -1 ||
		    !VARATT_IS_EXTERNAL(value))
			continue;
		if (values == slot->tts_values)
			values = memcpy(sender->values, values, sizeof(Datum) * (Size)type->natts);
		old = MemoryContextSwitchTo(sender->row_memory);
		values[i] = PointerGetDatum(detoast_external_attr(value));
		MemoryContextSwitchTo(old);
	}
	return values;
}

static bool any_null(const bool *nulls, int count)
{
	bool any = false;
	int i;

	for (i = 0; i < count; i++)
		any |= nulls[i];
	return any;
}

/* As heap_form_minimal_tuple(), but where the row travels. */
static void send_formed(MppSender *sender, uint32 destination, TupleDesc type, Datum *values,
                        bool *nulls)
{
	bool has_null = any_null(nulls, type->natts);
	Size header = MAXALIGN(SizeofMinimalTupleHeader + (has_null ? BITMAPLEN(type->natts) : 0));
	Size data_size = heap_compute_data_size(type, values, nulls);
	void *row;
	MinimalTuple tuple;

	if (!reserve(sender, destination, header + data_size, &row))
		return;
	tuple = row;
	/* Bytes between columns are zero, by which one with a long header is known from one
	 * with a short header; with columns of fixed length nobody looks. */
	memset(tuple, 0, sender->has_varlena ? header + data_size : header);
	HeapTupleHeaderSetNatts(tuple, type->natts);
	tuple->t_hoff = (uint8)(header + MINIMAL_TUPLE_OFFSET);
	heap_fill_tuple(type, values, nulls, (char *)tuple + header, data_size, &tuple->t_infomask,
	                has_null ? tuple->t_bits : NULL);
	slu_motion_append(sender->channels, destination, header + data_size);
}

/* false: a column is NULL, and nothing is sent. */
static bool send_fixed(MppSender *sender, uint32 destination, const TupleTableSlot *slot)
{
	const MppFixedRow *fixed = sender->fixed;
	void *row;

	if (!reserve(sender, destination, fixed->size, &row))
		return true;
	if (unlikely(!mpp_fixed_row_form(fixed, slot->tts_values, slot->tts_isnull, row)))
		return false;
	slu_motion_append(sender->channels, destination, fixed->size);
	return true;
}

static void send_values(MppSender *sender, uint32 destination, TupleTableSlot *slot)
{
	Datum *values;

	slot_getallattrs(slot);
	if (sender->fixed && likely(send_fixed(sender, destination, slot)))
		return;
	values = sender->has_varlena ? flat_values(sender, slot) : slot->tts_values;
	send_formed(sender, destination, slot->tts_tupleDescriptor, values, slot->tts_isnull);
	if (values != slot->tts_values)
		MemoryContextReset(sender->row_memory);
}

static void send_encoded(MppSender *sender, uint32 destination, TupleTableSlot *slot)
{
	MemoryContext old = MemoryContextSwitchTo(sender->row_memory);
	int natts = slot->tts_tupleDescriptor->natts;
	Datum *values;

	slot_getallattrs(slot);
	values = flat_values(sender, slot);
	if (values == slot->tts_values)
		values = memcpy(sender->values, values, sizeof(Datum) * (Size)natts);
	mpp_row_codec_encode(sender->codec, values, slot->tts_isnull);
	send_formed(sender, destination, mpp_row_codec_wire_type(sender->codec), values,
	            slot->tts_isnull);
	MemoryContextSwitchTo(old);
	MemoryContextReset(sender->row_memory);
}

/* A whole heap tuple of this very row type, with nothing out of line. */
static bool is_copyable(HeapTupleHeader header, int natts)
{
	return HeapTupleHeaderGetNatts(header) == natts && !(header->t_infomask & HEAP_HASEXTERNAL);
}

static void send_slot(MppSender *sender, uint32 destination, TupleTableSlot *slot)
{
	int natts = slot->tts_tupleDescriptor->natts;

	if (unlikely(sender->codec)) {
		send_encoded(sender, destination, slot);
		return;
	}
	if (TTS_IS_BUFFERTUPLE(slot) || TTS_IS_HEAPTUPLE(slot)) {
		HeapTuple tuple = ((HeapTupleTableSlot *)slot)->tuple;

		if (tuple && is_copyable(tuple->t_data, natts)) {
			send_copy(sender, destination,
			          (const char *)tuple->t_data + MINIMAL_TUPLE_OFFSET,
			          tuple->t_len - MINIMAL_TUPLE_OFFSET);
			return;
		}
	} else if (TTS_IS_MINIMALTUPLE(slot)) {
		MinimalTuple tuple = ((MinimalTupleTableSlot *)slot)->mintuple;

		if (tuple && HeapTupleHeaderGetNatts(tuple) == natts &&
		    !(tuple->t_infomask & HEAP_HASEXTERNAL)) {
			send_copy(sender, destination, (const char *)tuple, tuple->t_len);
			return;
		}
	}
	send_values(sender, destination, slot);
}

/* ---- DestReceiver ---------------------------------------------------------- */

static bool receive_slot(TupleTableSlot *slot, DestReceiver *self)
{
	MppSender *sender = (MppSender *)self;

	send_slot(sender, destination_of(sender, slot), slot);
	return !sender->stopped;
}

static void startup(DestReceiver *self, int operation, TupleDesc type)
{
	MppSender *sender = (MppSender *)self;
	MemoryContext old = MemoryContextSwitchTo(sender->run->memory);
	int i;

	sender->codec = mpp_row_codec_create(type);
	sender->fixed = mpp_fixed_row_create(type);
	MemoryContextSwitchTo(old);
	sender->values =
	        MemoryContextAlloc(sender->run->memory, sizeof(Datum) * (Size)Max(type->natts, 1));
	for (i = 0; i < type->natts; i++)
		sender->has_varlena |= TupleDescAttr(type, i)->attlen == -1;
	sender->has_varlena |= sender->codec != NULL;
}

static void nothing(DestReceiver *self)
{
}

MppSender *mpp_sender_create(MppRun *run, const CustomScan *motion)
{
	MppSender *sender = palloc0(sizeof(*sender));

	sender->dest.receiveSlot = receive_slot;
	sender->dest.rStartup = startup;
	sender->dest.rShutdown = nothing;
	sender->dest.rDestroy = nothing;
	sender->dest.mydest = DestNone;
	sender->run = run;
	mpp_motion_decode(motion, &sender->motion);
	sender->destination_count = (uint32)list_length(sender->motion.receivers);
	if (sender->motion.kind == MPP_MOTION_REDISTRIBUTE)
		init_keys(sender, motion);
	sender->row_memory =
	        AllocSetContextCreate(run->memory, "sluice row", ALLOCSET_DEFAULT_SIZES);
	sender->channels = mpp_run_open_sender(run, &sender->motion);
	return sender;
}

DestReceiver *mpp_sender_dest(MppSender *sender)
{
	return &sender->dest;
}

const slu_motion_sender *mpp_sender_motion(const MppSender *sender)
{
	return sender->channels;
}

int mpp_sender_number(const MppSender *sender)
{
	return sender->motion.number;
}

void mpp_sender_finish(MppSender *sender)
{
	int r;

	while ((r = slu_motion_eos(sender->channels)) != SLU_OK)
		mpp_run_wait(sender->run, r);
}
