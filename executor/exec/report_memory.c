/* SPDX-License-Identifier: Apache-2.0 */
/*
 * report_memory.c - see report_memory.h. Of hashes PostgreSQL shows the largest of
 * all processes; of sorts each one.
 */
#include "executor/exec/report_memory.h"

#include <utils/tuplesort.h>

bool mpp_memory_of(PlanState *node, MppMemoryUse *ret_use)
{
	memset(ret_use, 0, sizeof(*ret_use));
	if (IsA(node, SortState)) {
		SortState *sort = (SortState *)node;

		if (!sort->sort_Done || !sort->tuplesortstate)
			return false;
		tuplesort_get_stats(sort->tuplesortstate, &ret_use->sort);
		return true;
	}
	if (IsA(node, HashState) && ((HashState *)node)->hinstrument) {
		ret_use->hash = *((HashState *)node)->hinstrument;
		return true;
	}
	if (IsA(node, AggState) && ((AggState *)node)->hash_mem_peak > 0) {
		const AggState *agg = (const AggState *)node;

		ret_use->agg = (AggregateInstrumentation){
		        .hash_mem_peak = agg->hash_mem_peak,
		        .hash_disk_used = agg->hash_disk_used,
		        .hash_batches_used = agg->hash_batches_used,
		};
		return true;
	}
	return false;
}

/* ---- sorts ----------------------------------------------------------------- */

/* What is on disk is more than what is in memory. */
static bool is_more(const TuplesortInstrumentation *a, const TuplesortInstrumentation *b)
{
	if (b->sortMethod == SORT_TYPE_STILL_IN_PROGRESS)
		return true;
	if (a->spaceType != b->spaceType)
		return a->spaceType == SORT_SPACE_TYPE_DISK;
	return a->spaceUsed > b->spaceUsed;
}

static void add_sort(SortState *node, const TuplesortInstrumentation *sort, int content,
                     int segment_count)
{
	if (!node->shared_info) {
		node->shared_info = MemoryContextAllocZero(
		        node->ss.ps.state->es_query_cxt,
		        offsetof(SharedSortInfo, sinstrument) +
		                sizeof(TuplesortInstrumentation) * (Size)segment_count);
		node->shared_info->num_workers = segment_count;
	}
	if (content >= 0 && content < node->shared_info->num_workers &&
	    is_more(sort, &node->shared_info->sinstrument[content]))
		node->shared_info->sinstrument[content] = *sort;
}

/* ---- hashes ---------------------------------------------------------------- */

static void add_hash(HashState *node, const HashInstrumentation *hash)
{
	HashInstrumentation *sum = node->hinstrument;

	if (!sum)
		sum = node->hinstrument =
		        MemoryContextAllocZero(node->ps.state->es_query_cxt, sizeof(*sum));
	sum->nbuckets = Max(sum->nbuckets, hash->nbuckets);
	sum->nbuckets_original = Max(sum->nbuckets_original, hash->nbuckets_original);
	sum->nbatch = Max(sum->nbatch, hash->nbatch);
	sum->nbatch_original = Max(sum->nbatch_original, hash->nbatch_original);
	sum->space_peak = Max(sum->space_peak, hash->space_peak);
}

static void add_agg(AggState *node, const AggregateInstrumentation *agg)
{
	node->hash_mem_peak = Max(node->hash_mem_peak, agg->hash_mem_peak);
	node->hash_disk_used = Max(node->hash_disk_used, agg->hash_disk_used);
	node->hash_batches_used = Max(node->hash_batches_used, agg->hash_batches_used);
}

void mpp_memory_add(PlanState *node, const MppMemoryUse *use, int content, int segment_count)
{
	if (IsA(node, SortState))
		add_sort((SortState *)node, &use->sort, content, segment_count);
	else if (IsA(node, HashState))
		add_hash((HashState *)node, &use->hash);
	else if (IsA(node, AggState))
		add_agg((AggState *)node, &use->agg);
}
