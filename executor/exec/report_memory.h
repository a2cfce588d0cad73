/* SPDX-License-Identifier: Apache-2.0 */
/*
 * report_memory.h - how much memory and disk the nodes of a slice took to sort and
 * to hash, as PostgreSQL's EXPLAIN shows it for parallel workers.
 */
#ifndef EXECUTOR_EXEC_REPORT_MEMORY_H
#define EXECUTOR_EXEC_REPORT_MEMORY_H

#include <postgres.h>

#include <nodes/execnodes.h>

/* Of a Sort, a Hash or an Agg. */
typedef union MppMemoryUse {
	TuplesortInstrumentation sort;
	HashInstrumentation hash;
	AggregateInstrumentation agg;
} MppMemoryUse;

/* Whether a node that has run has something to tell. */
extern bool mpp_memory_of(PlanState *node, MppMemoryUse *ret_use);

/* Add what the node of a segment told to the one shown here, which has not run. */
extern void mpp_memory_add(PlanState *node, const MppMemoryUse *use, int content,
                           int segment_count);

#endif
