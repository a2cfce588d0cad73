/* SPDX-License-Identifier: Apache-2.0 */
/*
 * motion_plan.h - the Motion plan node, between planner and executor. It is a
 * CustomScan with one child, the top of the sending slice. The planner encodes a
 * MppMotion in it; everything an executor needs survives copyObject() and
 * nodeToString().
 *
 *   custom_plans       (child)
 *   custom_scan_tlist  copy of the child's target list, all resjunk = false
 *   custom_exprs       hash key expressions over the child's output (INDEX_VAR),
 *                      of MPP_MOTION_REDISTRIBUTE; else NIL
 *   custom_private     lists of integers and OIDs, by encode below
 *   scan.plan.qual     filter after receipt, evaluated by the receiver
 *
 * A slice is what lies between Motions. Slice 0 is the coordinator's top slice;
 * slice n is below the Motion with number n.
 */
#ifndef EXECUTOR_EXEC_MOTION_PLAN_H
#define EXECUTOR_EXEC_MOTION_PLAN_H

#include <postgres.h>

#include <nodes/extensible.h>
#include <nodes/plannodes.h>

typedef enum MppMotionKind {
	MPP_MOTION_GATHER = 1,   /* to one receiver */
	MPP_MOTION_ORDERED,      /* to one receiver, merged by the sort columns */
	MPP_MOTION_REDISTRIBUTE, /* by the hash of custom_exprs */
	MPP_MOTION_BROADCAST,    /* to every receiver */
	MPP_MOTION_RANDOM,       /* to the receivers in turn: random distribution */
} MppMotionKind;

typedef struct MppMotion {
	MppMotionKind kind;
	int number;            /* of the motion and of its sending slice, from 1; set by the
	                          planner's last pass */
	bool rescan;           /* may be read again from its start: below the inner side of a
	                          nested loop or in a SubPlan of its slice */
	bool made_first;       /* of rows of the coordinator: to make them may take dispatches,
	                          so they are made and kept before their receivers start */
	List *senders;         /* content ids (integers) of the processes of the sending slice;
	                          MPP_COORDINATOR alone: the QD itself runs it */
	List *receivers;       /* content ids; of both gathers one, mostly MPP_COORDINATOR */
	List *hash_types;      /* OIDs, as custom_exprs: the types to hash as */
	List *hash_collations; /* OIDs */
	/* MPP_MOTION_ORDERED: as in Sort. List of integers, OIDs, OIDs, integers. */
	List *sort_columns; /* attribute numbers of the child's target list */
	List *sort_operators;
	List *sort_collations;
	List *sort_nulls_first;
} MppMotion;

/* Name of the node in CustomName and EXPLAIN. */
#define MPP_MOTION_NAME "SluiceMotion"

extern const CustomScanMethods mpp_motion_scan_methods; /* registered by mpp_exec_init() */

extern bool mpp_is_motion(const Plan *plan);
extern void mpp_motion_encode(CustomScan *scan, const MppMotion *motion);
extern void mpp_motion_decode(const CustomScan *scan, MppMotion *ret_motion);

#endif
