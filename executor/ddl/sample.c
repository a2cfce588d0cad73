/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sample.c - rows for ANALYZE. A segment draws a sample as PostgreSQL's ANALYZE
 * does, by blocks and then by rows; the coordinator's shell feeds the samples of all
 * segments to its own ANALYZE, which makes one set of statistics of them.
 */
#include <postgres.h>

#include <access/table.h>
#include <access/tableam.h>
#include <commands/vacuum.h>
#include <common/pg_prng.h>
#include <executor/tuptable.h>
#include <funcapi.h>
#include <lib/stringinfo.h>
#include <math.h>
#include <miscadmin.h>
#include <statistics/statistics.h>
#include <storage/bufmgr.h>
#include <storage/procarray.h>
#include <utils/acl.h>
#include <utils/builtins.h>
#include <utils/lsyscache.h>
#include <utils/memutils.h>
#include <utils/rel.h>
#include <utils/sampling.h>

#include "executor/catalog/cluster.h"
#include "executor/catalog/distribution.h"
#include "executor/catalog/tableam.h"
#include "executor/ddl/ddl.h"
#include "executor/dispatch/dtx.h"
#include "executor/dispatch/gang.h"
#include "executor/function.h"

MPP_FUNCTION(mpp_sample_rows);

/* ---- on a segment ---- */

static int compare_places(const void *left, const void *right)
{
	return ItemPointerCompare(&(*(HeapTuple *)left)->t_self, &(*(HeapTuple *)right)->t_self);
}

/* The algorithm of Vitter, as PostgreSQL uses it. Returns how many rows it has
 * stored, in the order of the table. */
static int draw_sample(Relation table, HeapTuple *rows, int target)
{
	TransactionId oldest_xmin = GetOldestNonRemovableTransactionId(table);
	TableScanDesc scan = table_beginscan_analyze(table);
	TupleTableSlot *slot = table_slot_create(table, NULL);
	ReservoirStateData reservoir;
	BlockSamplerData blocks;
	double seen = 0, live = 0, dead = 0;
	double to_skip = -1;
	int count = 0;

	BlockSampler_Init(&blocks, RelationGetNumberOfBlocks(table), target,
	                  pg_prng_uint32(&pg_global_prng_state));
	reservoir_init_selection_state(&reservoir, target);
	while (BlockSampler_HasMore(&blocks)) {
		vacuum_delay_point();
		if (!table_scan_analyze_next_block(scan, BlockSampler_Next(&blocks), NULL))
			continue;
		while (table_scan_analyze_next_tuple(scan, oldest_xmin, &live, &dead, slot)) {
			if (count < target) {
				rows[count++] = ExecCopySlotHeapTuple(slot);
			} else {
				if (to_skip < 0)
					to_skip = reservoir_get_next_S(&reservoir, seen, target);
				if (to_skip <= 0) {
					int place = (int)(target * sampler_random_fract(
					                                   &reservoir.randstate));

					heap_freetuple(rows[place]);
					rows[place] = ExecCopySlotHeapTuple(slot);
				}
				to_skip -= 1;
			}
			seen += 1;
		}
	}
	ExecDropSingleTupleTableSlot(slot);
	table_endscan(scan);
	qsort(rows, count, sizeof(*rows), compare_places);
	return count;
}

/* The columns that are not dropped. */
static void put_row(ReturnSetInfo *result, TupleDesc descriptor, HeapTuple row)
{
	Datum *values = palloc(sizeof(Datum) * descriptor->natts);
	bool *nulls = palloc(sizeof(bool) * descriptor->natts);
	int count = 0;

	heap_deform_tuple(row, descriptor, values, nulls);
	for (int i = 0; i < descriptor->natts; i++) {
		if (TupleDescAttr(descriptor, i)->attisdropped)
			continue;
		values[count] = values[i];
		nulls[count] = nulls[i];
		count++;
	}
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	pfree(values);
	pfree(nulls);
}

static void check_columns(Relation table, TupleDesc wanted)
{
	TupleDesc descriptor = RelationGetDescr(table);
	bool suits = true;
	int count = 0;

	for (int i = 0; i < descriptor->natts && suits; i++) {
		if (TupleDescAttr(descriptor, i)->attisdropped)
			continue;
		suits = count < wanted->natts && TupleDescAttr(wanted, count)->atttypid ==
		                                         TupleDescAttr(descriptor, i)->atttypid;
		count++;
	}
	if (!suits || count != wanted->natts)
		ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH),
		                errmsg("the columns of table \"%s\" are others",
		                       RelationGetRelationName(table))));
}

/* sluice.sample_rows(table, count) AS (columns). */
Datum mpp_sample_rows(PG_FUNCTION_ARGS)
{
	Oid relid = PG_GETARG_OID(0);
	int target = Max(PG_GETARG_INT32(1), 1);
	ReturnSetInfo *result = (ReturnSetInfo *)fcinfo->resultinfo;
	HeapTuple *rows;
	Relation table;
	int count;

	/* As whom ANALYZE reads; others may not see all rows. */
	if (!pg_class_ownercheck(relid, GetUserId()))
		aclcheck_error(ACLCHECK_NOT_OWNER, OBJECT_TABLE, get_rel_name(relid));
	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	table = table_open(relid, AccessShareLock);
	if (table->rd_rel->relkind != RELKIND_RELATION || mpp_is_shell(table))
		ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE),
		                errmsg("\"%s\" has no rows here", RelationGetRelationName(table))));
	check_columns(table, result->setDesc);
	rows = palloc(sizeof(*rows) * target);
	count = draw_sample(table, rows, target);
	for (int i = 0; i < count; i++)
		put_row(result, RelationGetDescr(table), rows[i]);
	table_close(table, NoLock);
	return (Datum)0;
}

/* ---- on the coordinator ---- */

typedef struct SegmentSample {
	PGresult *result; /* owned */
	int next;
} SegmentSample;

typedef struct Sample {
	AttInMetadata *input;
	int *columns; /* [natts] of the result; -1: dropped */
	char **values;
	int segment_count;
	int64 row_count; /* returned so far */
	MemoryContext row_context;
	MemoryContextCallback release;
	SegmentSample segments[FLEXIBLE_ARRAY_MEMBER];
} Sample;

static void release_sample(void *argument)
{
	Sample *sample = argument;

	for (int i = 0; i < sample->segment_count; i++)
		PQclear(sample->segments[i].result);
}

static void keep_result(int content, const PGresult *result, void *ctx)
{
	Sample *sample = ctx;

	PQclear(sample->segments[content].result);
	sample->segments[content].result =
	        PQcopyResult(result, PG_COPYRES_ATTRS | PG_COPYRES_TUPLES);
}

/* As many rows as ANALYZE takes for a table with these statistics targets. */
static int target_rows(TupleDesc descriptor)
{
	int target = default_statistics_target;

	for (int i = 0; i < descriptor->natts; i++)
		target = Max(target, TupleDescAttr(descriptor, i)->attstattarget);
	return 300 * target;
}

static char *sample_command(Relation relation, int target)
{
	TupleDesc descriptor = RelationGetDescr(relation);
	StringInfoData text;
	char *name = mpp_qualified_name(RelationGetRelid(relation));
	int count = 0;

	initStringInfo(&text);
	appendStringInfo(&text, "SELECT * FROM sluice.sample_rows(%s::regclass, %d) AS rows (",
	                 quote_literal_cstr(name), target);
	for (int i = 0; i < descriptor->natts; i++) {
		Form_pg_attribute column = TupleDescAttr(descriptor, i);

		if (column->attisdropped)
			continue;
		appendStringInfo(
		        &text, "%sc%d %s", count == 0 ? "" : ", ", count + 1,
		        format_type_extended(column->atttypid, -1, FORMAT_TYPE_FORCE_QUALIFY));
		count++;
	}
	appendStringInfoChar(&text, ')');
	return count > 0 ? text.data : NULL;
}

static Bitmapset *sampled_segments(Oid relid)
{
	const MppDistribution *distribution = mpp_distribution_get(relid);

	return distribution != NULL && distribution->policy == MPP_POLICY_REPLICATED
	               ? bms_make_singleton(0)
	               : mpp_gang_all();
}

/* Each segment is asked for the same share of the rows: what one has more than the
 * others is drawn less often, by at most the skew of the table. To be exact, shares
 * follow the number of rows there. */
static int share_of(double rows, double total, int target)
{
	return total > 0 ? (int)ceil(target * (rows / total)) : target;
}

static void *begin_sample(Relation relation)
{
	TupleDesc descriptor = RelationGetDescr(relation);
	int segments = mpp_segment_count();
	Bitmapset *contents = sampled_segments(RelationGetRelid(relation));
	int target = target_rows(descriptor);
	Sample *sample;
	double *rows;
	double total = 0;
	int content = -1;
	int column = 0;

	sample = palloc0(offsetof(Sample, segments) + sizeof(SegmentSample) * segments);
	sample->input = TupleDescGetAttInMetadata(descriptor);
	sample->columns = palloc(sizeof(int) * descriptor->natts);
	sample->values = palloc0(sizeof(char *) * descriptor->natts);
	for (int i = 0; i < descriptor->natts; i++)
		sample->columns[i] = TupleDescAttr(descriptor, i)->attisdropped ? -1 : column++;
	sample->row_context = AllocSetContextCreate(CurrentMemoryContext, "sluice sample",
	                                            ALLOCSET_DEFAULT_SIZES);
	sample->release = (MemoryContextCallback){release_sample, sample, NULL};
	MemoryContextRegisterResetCallback(CurrentMemoryContext, &sample->release);
	sample->segment_count = segments;
	if (column == 0)
		return sample;

	rows = mpp_segment_rows(RelationGetRelid(relation));
	while ((content = bms_next_member(contents, content)) >= 0)
		total += rows[content];
	content = -1;
	mpp_dtx_join(contents, false);
	while ((content = bms_next_member(contents, content)) >= 0)
		mpp_gang_send(content,
		              sample_command(relation, share_of(rows[content], total, target)), 0,
		              NULL, keep_result, sample);
	mpp_gang_wait(contents, NULL, NULL);
	return sample;
}

/* The segments by turns in proportion to their samples, so that places in the sample
 * are like places in a segment's table: correlation is of the same kind. */
static SegmentSample *next_segment(Sample *sample)
{
	SegmentSample *chosen = NULL;
	double least = 1;

	for (int i = 0; i < sample->segment_count; i++) {
		SegmentSample *segment = &sample->segments[i];
		int count = segment->result != NULL ? PQntuples(segment->result) : 0;

		if (segment->next < count && (double)segment->next / count < least) {
			least = (double)segment->next / count;
			chosen = segment;
		}
	}
	return chosen;
}

static bool next_sample(void *state, TupleTableSlot *slot)
{
	/* As many fit a page; ANALYZE only compares places. */
	const int rows_per_page = 100;
	Sample *sample = state;
	SegmentSample *segment = next_segment(sample);
	MemoryContext previous;
	HeapTuple row;

	if (segment == NULL)
		return false;
	MemoryContextReset(sample->row_context);
	previous = MemoryContextSwitchTo(sample->row_context);
	for (int i = 0; i < sample->input->tupdesc->natts; i++) {
		int column = sample->columns[i];

		sample->values[i] =
		        column < 0 || PQgetisnull(segment->result, segment->next, column)
		                ? NULL
		                : PQgetvalue(segment->result, segment->next, column);
	}
	row = BuildTupleFromCStrings(sample->input, sample->values);
	MemoryContextSwitchTo(previous);
	ItemPointerSet(&row->t_self, sample->row_count / rows_per_page,
	               sample->row_count % rows_per_page + 1);
	ExecForceStoreHeapTuple(row, slot, false);
	sample->row_count++;
	segment->next++;
	return true;
}

static const MppSampleSource source = {.begin = begin_sample, .next = next_sample};

void mpp_sample_init(void)
{
	mpp_sample_source = &source;
}
