/* SPDX-License-Identifier: Apache-2.0 */
/*
 * upper.h - between the files that add paths above scans and joins. Each function is
 * called when core has made its own paths of a stage, from the input's variants.
 */
#ifndef EXECUTOR_PLAN_UPPER_H
#define EXECUTOR_PLAN_UPPER_H

#include "executor/plan/plan.h"

/* ---- stages ---- */

extern void mpp_group_paths(PlannerInfo *root, RelOptInfo *input_rel, RelOptInfo *grouped_rel,
                            const GroupPathExtraData *extra); /* group.c */
extern void mpp_grouping_sets_paths(PlannerInfo *root, RelOptInfo *input_rel,
                                    RelOptInfo *grouped_rel,
                                    const GroupPathExtraData *extra); /* grouping_sets.c */
extern void mpp_window_paths(PlannerInfo *root, RelOptInfo *input_rel,
                             RelOptInfo *window_rel); /* window.c */
extern void mpp_distinct_paths(PlannerInfo *root, RelOptInfo *input_rel,
                               RelOptInfo *distinct_rel); /* distinct.c */
extern void mpp_ordered_paths(PlannerInfo *root, RelOptInfo *input_rel,
                              RelOptInfo *ordered_rel); /* order.c */
extern void mpp_final_paths(PlannerInfo *root, RelOptInfo *input_rel, RelOptInfo *final_rel,
                            const FinalPathExtraData *extra); /* order.c */
extern void mpp_insert_paths(PlannerInfo *root, RelOptInfo *input_rel,
                             RelOptInfo *final_rel); /* insert.c */

/* ---- common to them (upper.c) ---- */

/* Variants of input_rel whose paths put out exactly its target; those that cannot
 * compute it on a segment are left out. */
extern List *mpp_upper_inputs(PlannerInfo *root, RelOptInfo *input_rel);
/* The path with this target, projected when it has another. */
extern Path *mpp_project(PlannerInfo *root, RelOptInfo *rel, Path *path, PathTarget *target);
/* The cheaper of sorting and having the order already. */
extern Path *mpp_sort(PlannerInfo *root, RelOptInfo *rel, Path *path, List *pathkeys,
                      double limit_tuples);
/* Expressions of grouping clauses by which rows can be hashed to segments. */
extern List *mpp_hashable_exprs(PlannerInfo *root, List *clauses);
/* The rows hashed to all segments by these expressions; ret_locus is where they are then. */
extern Path *mpp_hash_move(RelOptInfo *rel, Path *path, const MppLocus *from, List *exprs,
                           MppLocus *ret_locus);
/* What the first of two stages of aggregation puts out: the keys, and partial results for
 * all aggregates of the target and HAVING (group.c). */
extern PathTarget *mpp_partial_target(PlannerInfo *root, const PathTarget *target, Node *having);
/* A set returning function makes rows after the stage, or changes their number. */
extern bool mpp_target_has_sets(const PathTarget *target);

#endif
