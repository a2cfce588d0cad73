/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tableam.c - the shell of a distributed table on the coordinator: heap's routine
 * with everything replaced that reads or writes rows.
 */
#include <postgres.h>

#include <access/heapam.h>
#include <access/multixact.h>
#include <access/tableam.h>
#include <commands/vacuum.h>
#include <fmgr.h>
#include <math.h>
#include <miscadmin.h>
#include <optimizer/plancat.h>
#include <utils/rel.h>
#include <utils/snapmgr.h>

#include "executor/catalog/catalog.h"
#include "executor/catalog/node.h"
#include "executor/catalog/tableam.h"
#include "executor/function.h"

MPP_FUNCTION(mpp_tableam_handler);

int mpp_shell_scans_allowed;
const MppSampleSource *mpp_sample_source;

static TableAmRoutine shell_routine;

/* A scan that finds nothing, or the rows of ANALYZE's sample. */
typedef struct ShellScan {
	TableScanDescData base;
	void *sample; /* of mpp_sample_source */
	bool has_sample;
} ShellScan;

static void pg_attribute_noreturn() reached(Relation relation)
{
	ereport(ERROR,
	        (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
	         errmsg("the rows of table \"%s\" are on the segments, and this access would look "
	                "for them on the coordinator",
	                RelationGetRelationName(relation))));
}

/* In utility mode a superuser looks at this server alone, and may see that a shell
 * is empty. */
static void check_access(Relation relation)
{
	if (mpp_shell_scans_allowed == 0 && mpp_session_role != MPP_SESSION_UTILITY)
		reached(relation);
}

static TableScanDesc shell_scan_begin(Relation relation, Snapshot snapshot, int key_count,
                                      struct ScanKeyData *key, ParallelTableScanDesc parallel_scan,
                                      uint32 flags)
{
	ShellScan *scan;

	if (!(flags & SO_TYPE_ANALYZE))
		check_access(relation);
	scan = palloc0(sizeof(*scan));
	scan->base.rs_rd = relation;
	scan->base.rs_snapshot = snapshot;
	scan->base.rs_nkeys = key_count;
	scan->base.rs_flags = flags;
	scan->base.rs_parallel = parallel_scan;
	RelationIncrementReferenceCount(relation);
	return &scan->base;
}

static void shell_scan_end(TableScanDesc scan)
{
	RelationDecrementReferenceCount(scan->rs_rd);
	if (scan->rs_flags & SO_TEMP_SNAPSHOT)
		UnregisterSnapshot(scan->rs_snapshot);
	pfree(scan);
}

static void shell_scan_rescan(TableScanDesc scan, struct ScanKeyData *key, bool set_params,
                              bool allow_strat, bool allow_sync, bool allow_pagemode)
{
}

static bool shell_scan_getnextslot(TableScanDesc scan, ScanDirection direction,
                                   TupleTableSlot *slot)
{
	ExecClearTuple(slot);
	return false;
}

static void shell_scan_set_tidrange(TableScanDesc scan, ItemPointer min, ItemPointer max)
{
}

static bool shell_scan_getnextslot_tidrange(TableScanDesc scan, ScanDirection direction,
                                            TupleTableSlot *slot)
{
	ExecClearTuple(slot);
	return false;
}

static Size shell_parallelscan_estimate(Relation relation)
{
	reached(relation);
}

static Size shell_parallelscan_initialize(Relation relation, ParallelTableScanDesc scan)
{
	reached(relation);
}

static struct IndexFetchTableData *shell_index_fetch_begin(Relation relation)
{
	reached(relation);
}

static bool shell_tuple_fetch_row_version(Relation relation, ItemPointer tid, Snapshot snapshot,
                                          TupleTableSlot *slot)
{
	reached(relation);
}

static void shell_tuple_insert(Relation relation, TupleTableSlot *slot, CommandId cid, int options,
                               struct BulkInsertStateData *state)
{
	reached(relation);
}

static void shell_tuple_insert_speculative(Relation relation, TupleTableSlot *slot, CommandId cid,
                                           int options, struct BulkInsertStateData *state,
                                           uint32 token)
{
	reached(relation);
}

static void shell_multi_insert(Relation relation, TupleTableSlot **slots, int slot_count,
                               CommandId cid, int options, struct BulkInsertStateData *state)
{
	reached(relation);
}

static TM_Result shell_tuple_delete(Relation relation, ItemPointer tid, CommandId cid,
                                    Snapshot snapshot, Snapshot crosscheck, bool wait,
                                    TM_FailureData *failure, bool changing_part)
{
	reached(relation);
}

static TM_Result shell_tuple_update(Relation relation, ItemPointer tid, TupleTableSlot *slot,
                                    CommandId cid, Snapshot snapshot, Snapshot crosscheck,
                                    bool wait, TM_FailureData *failure, LockTupleMode *mode,
                                    bool *update_indexes)
{
	reached(relation);
}

static TM_Result shell_tuple_lock(Relation relation, ItemPointer tid, Snapshot snapshot,
                                  TupleTableSlot *slot, CommandId cid, LockTupleMode mode,
                                  LockWaitPolicy policy, uint8 flags, TM_FailureData *failure)
{
	reached(relation);
}

static bool shell_scan_bitmap_next_block(TableScanDesc scan, struct TBMIterateResult *result)
{
	reached(scan->rs_rd);
}

static bool shell_scan_sample_next_block(TableScanDesc scan, struct SampleScanState *state)
{
	return false;
}

/* Of the pages that ANALYZE looks at, the first has all rows of the sample. */
static bool shell_scan_analyze_next_block(TableScanDesc base, BlockNumber block,
                                          BufferAccessStrategy strategy)
{
	ShellScan *scan = (ShellScan *)base;

	if (!scan->has_sample && mpp_is_qd() && mpp_sample_source != NULL)
		scan->sample = mpp_sample_source->begin(base->rs_rd);
	scan->has_sample = true;
	return true;
}

/* ANALYZE counts rows by page; each shall have the average. */
static bool shell_scan_analyze_next_tuple(TableScanDesc base, TransactionId oldest_xmin,
                                          double *live_rows, double *dead_rows,
                                          TupleTableSlot *slot)
{
	ShellScan *scan = (ShellScan *)base;
	Form_pg_class class = base->rs_rd->rd_rel;

	if (scan->sample != NULL && mpp_sample_source->next(scan->sample, slot))
		return true;
	*live_rows += Max(class->reltuples, 0) / Max(class->relpages, 1);
	ExecClearTuple(slot);
	return false;
}

/* Statistics of the rows on the segments stay as they are when an index is built
 * over the shell or the shell is rewritten. */
static double shell_index_build_range_scan(Relation table, Relation index,
                                           struct IndexInfo *index_info, bool allow_sync,
                                           bool anyvisible, bool progress, BlockNumber start,
                                           BlockNumber count, IndexBuildCallback callback,
                                           void *state, TableScanDesc scan)
{
	if (scan != NULL)
		table_endscan(scan);
	return table->rd_rel->reltuples;
}

static void shell_index_validate_scan(Relation table, Relation index, struct IndexInfo *index_info,
                                      Snapshot snapshot, struct ValidateIndexState *state)
{
}

static void shell_relation_copy_for_cluster(Relation old_table, Relation new_table,
                                            Relation old_index, bool use_sort,
                                            TransactionId oldest_xmin, TransactionId *xid_cutoff,
                                            MultiXactId *multi_cutoff, double *num_tuples,
                                            double *tups_vacuumed, double *tups_recently_dead)
{
	*num_tuples = Max(old_table->rd_rel->reltuples, 0);
	*tups_vacuumed = 0;
	*tups_recently_dead = 0;
}

/* There is nothing to clean, and nothing old: a shell must not hold back the
 * transaction horizon. */
static void shell_relation_vacuum(Relation relation, struct VacuumParams *params,
                                  BufferAccessStrategy strategy)
{
	TransactionId oldest_xmin;
	TransactionId freeze_limit;
	MultiXactId oldest_multi;
	MultiXactId multi_cutoff;
	Form_pg_class class = relation->rd_rel;

	vacuum_set_xid_limits(relation, params->freeze_min_age, params->freeze_table_age,
	                      params->multixact_freeze_min_age, params->multixact_freeze_table_age,
	                      &oldest_xmin, &oldest_multi, &freeze_limit, &multi_cutoff);
	vac_update_relstats(relation, class->relpages, class->reltuples, class->relallvisible,
	                    class->relhasindex, oldest_xmin, oldest_multi, NULL, NULL, false);
}

static uint64 shell_relation_size(Relation relation, ForkNumber fork)
{
	if (fork != MAIN_FORKNUM)
		return 0;
	return (uint64)relation->rd_rel->relpages * BLCKSZ;
}

static bool shell_relation_needs_toast_table(Relation relation)
{
	return false;
}

/* As of the last ANALYZE; a table that never was analyzed counts as PostgreSQL's
 * ten pages. */
static void shell_relation_estimate_size(Relation relation, int32 *attr_widths, BlockNumber *pages,
                                         double *tuples, double *allvisfrac)
{
	Form_pg_class class = relation->rd_rel;
	int32 width;

	*pages = class->relpages;
	*tuples = class->reltuples;
	*allvisfrac = class->relpages > 0 ? (double)class->relallvisible / class->relpages : 0;
	if (class->reltuples >= 0)
		return;
	*pages = Max(class->relpages, 10);
	width = get_rel_data_width(relation, attr_widths);
	width += MAXALIGN(SizeofHeapTupleHeader) + sizeof(ItemIdData);
	*tuples = rint((double)*pages * (BLCKSZ - SizeOfPageHeaderData) / width);
}

static const TupleTableSlotOps *shell_slot_callbacks(Relation relation)
{
	return &TTSOpsHeapTuple;
}

static void fill_shell_routine(void)
{
	shell_routine = *GetHeapamTableAmRoutine();
	shell_routine.slot_callbacks = shell_slot_callbacks;
	shell_routine.scan_begin = shell_scan_begin;
	shell_routine.scan_end = shell_scan_end;
	shell_routine.scan_rescan = shell_scan_rescan;
	shell_routine.scan_getnextslot = shell_scan_getnextslot;
	shell_routine.scan_set_tidrange = shell_scan_set_tidrange;
	shell_routine.scan_getnextslot_tidrange = shell_scan_getnextslot_tidrange;
	shell_routine.parallelscan_estimate = shell_parallelscan_estimate;
	shell_routine.parallelscan_initialize = shell_parallelscan_initialize;
	shell_routine.index_fetch_begin = shell_index_fetch_begin;
	shell_routine.tuple_fetch_row_version = shell_tuple_fetch_row_version;
	shell_routine.tuple_insert = shell_tuple_insert;
	shell_routine.tuple_insert_speculative = shell_tuple_insert_speculative;
	shell_routine.multi_insert = shell_multi_insert;
	shell_routine.tuple_delete = shell_tuple_delete;
	shell_routine.tuple_update = shell_tuple_update;
	shell_routine.tuple_lock = shell_tuple_lock;
	shell_routine.scan_bitmap_next_block = shell_scan_bitmap_next_block;
	shell_routine.scan_sample_next_block = shell_scan_sample_next_block;
	shell_routine.scan_analyze_next_block = shell_scan_analyze_next_block;
	shell_routine.scan_analyze_next_tuple = shell_scan_analyze_next_tuple;
	shell_routine.index_build_range_scan = shell_index_build_range_scan;
	shell_routine.index_validate_scan = shell_index_validate_scan;
	shell_routine.relation_copy_for_cluster = shell_relation_copy_for_cluster;
	shell_routine.relation_vacuum = shell_relation_vacuum;
	shell_routine.relation_size = shell_relation_size;
	shell_routine.relation_needs_toast_table = shell_relation_needs_toast_table;
	shell_routine.relation_estimate_size = shell_relation_estimate_size;
}

bool mpp_is_shell(Relation relation)
{
	return relation->rd_tableam == &shell_routine;
}

Datum mpp_tableam_handler(PG_FUNCTION_ARGS)
{
	if (mpp_role != MPP_ROLE_COORDINATOR)
		PG_RETURN_POINTER(GetHeapamTableAmRoutine());
	if (shell_routine.type == T_Invalid)
		fill_shell_routine();
	PG_RETURN_POINTER(&shell_routine);
}
