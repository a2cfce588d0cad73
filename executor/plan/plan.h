/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plan.h - private to executor/plan/: what the hooks of one planner run share.
 *
 * Core keeps one list of paths per RelOptInfo. Beside it stands here a small set
 * of variants: the same rows, left where they are on the segments. A variant is a
 * locus, which says where, and a scratch copy of the RelOptInfo with paths of its
 * own, so that core's path builders can be called on it. The real list holds what
 * runs on the coordinator: Motions to it, and what stands on them.
 */
#ifndef EXECUTOR_PLAN_PLAN_H
#define EXECUTOR_PLAN_PLAN_H

#include <postgres.h>

#include <nodes/extensible.h>
#include <nodes/pathnodes.h>
#include <nodes/plannodes.h>
#include <utils/hsearch.h>

#include "executor/exec/motion_plan.h"

typedef enum MppLocusKind {
	MPP_LOCUS_HASHED = 1, /* each row on one segment, found by its keys */
	MPP_LOCUS_STREWN,     /* each row on one segment, any */
	MPP_LOCUS_REPLICATED, /* all rows on every segment */
	MPP_LOCUS_GENERAL,    /* computed from nothing stored: the same wherever it runs */
} MppLocusKind;

typedef struct MppLocusKey {
	Expr *expr; /* without RelabelTypes that change nothing of what is equal */
	Oid opfamily;
	Oid collation;
} MppLocusKey;

typedef struct MppLocus {
	MppLocusKind kind;
	List *keys; /* of MppLocusKey, MPP_LOCUS_HASHED */
	int single; /* content id when all rows are there and nothing below moves; else
	               MPP_NOT_SINGLE. MPP_COORDINATOR: they can be moved and no more */
	bool fed;   /* a Motion may be below, in the same slice, which so runs everywhere */
} MppLocus;

#define MPP_NOT_SINGLE (-2)

typedef struct MppVariant {
	MppLocus locus;
	RelOptInfo *rel;
} MppVariant;

/* One run of standard_planner(). */
typedef struct MppPlanState {
	struct MppPlanState *outer;
	HTAB *variants; /* RelOptInfo * -> List of MppVariant */
	MemoryContext context;
	int segment_count;
	bool searching_scratch; /* core was called on scratch rels: join hook keeps out */
	List *returning;        /* of an INSERT whose ModifyTable is in a slice */
} MppPlanState;

extern MppPlanState *mpp_plan_state; /* NULL: this planner run is not of a QD */

/* ---- settings (init.c) ---- */

extern bool mpp_enable_distributed_plans;
extern bool mpp_enable_distributed_joins;
extern bool mpp_enable_two_stage_agg;
extern bool mpp_enable_direct_dispatch;
extern bool mpp_enable_decorrelation;
extern double mpp_motion_tuple_cost;
extern double mpp_motion_setup_cost;

/* ---- variants (variant.c) ---- */

extern List *mpp_variants_get(const RelOptInfo *rel);
extern void mpp_variants_set(const RelOptInfo *rel, List *variants);
/* Keeps it unless a kept one has the same locus and is no dearer; drops those it beats. */
extern void mpp_variants_add(const RelOptInfo *rel, const MppLocus *locus, RelOptInfo *scratch);
/* A copy to hang paths on: path lists empty, caches dropped, nothing parallel. */
extern RelOptInfo *mpp_scratch_rel(const RelOptInfo *rel);
/* A path that another table's rows drive is run once for each of them: never with a
 * Motion below. Drops those of a scratch rel. */
extern void mpp_drop_driven_motions(RelOptInfo *rel);
/* Whether it has a path that nothing drives. */
extern bool mpp_has_plain_path(const RelOptInfo *rel);
/* Adds Motions to the coordinator over every variant to rel's own paths. */
extern void mpp_variants_gather(PlannerInfo *root, RelOptInfo *rel);

/* ---- locus (locus.c) ---- */

extern bool mpp_locus_partitioned(const MppLocus *locus);
extern MppLocusKey *mpp_locus_key(Expr *expr, Oid opfamily, Oid collation);
/* Content ids of the processes that run a slice on this locus. */
extern List *mpp_locus_senders(const MppLocus *locus);
extern List *mpp_all_segments(void);
/* Whether rows equal under these grouping expressions are on one segment. */
extern bool mpp_locus_groups_in_place(PlannerInfo *root, const MppLocus *locus, List *exprs);
extern bool mpp_same_value(PlannerInfo *root, Expr *left, Expr *right);
extern bool mpp_same_collation_hash(Oid left, Oid right);
/* The operator family by which a value of the expression is hashed to a segment;
 * InvalidOid: it cannot be. */
extern Oid mpp_hash_family(Expr *expr);

/* ---- what may run on a segment (shippable.c) ---- */

extern bool mpp_shippable(PlannerInfo *root, Node *node);
/* Also: reads no relation but these. */
extern bool mpp_shippable_within(PlannerInfo *root, Node *node, Relids relids);

/* Types whose values name a catalog row by its OID, which differs between nodes. */
extern bool mpp_names_catalog_row(Oid type);
/* The same without those that are no more than numbers and names (oid, name). */
extern bool mpp_means_another_row(Oid type);
/* Whether a parameter is a value by the time a slice is sent: the client's, or computed
 * by an InitPlan. */
extern bool mpp_param_is_value(PlannerInfo *root, const Param *param);

/* ---- rows of the coordinator (here.c) ---- */

/* The rows of a relation no segment can make, to be sent to segments; single is
 * MPP_COORDINATOR. NULL: they cannot be. */
extern MppVariant *mpp_coordinator_variant(PlannerInfo *root, const RelOptInfo *rel);
/* Whether all rows of a query can be made while others of the statement are, by a plan
 * of their own. */
extern bool mpp_query_alone(PlannerInfo *root);

/* ---- Motion (motion_path.c) ---- */

/* To the coordinator; pathkeys of the path are kept when ordered. upper_quals: clauses
 * evaluated after receipt. target: what the receiver puts out. */
extern Path *mpp_gather_path(PlannerInfo *root, RelOptInfo *rel, Path *subpath,
                             const MppLocus *locus, bool ordered);
extern CustomPath *mpp_motion_path(RelOptInfo *rel, Path *subpath, MppMotionKind kind,
                                   List *senders, List *receivers, double rows);
extern void mpp_motion_path_keys(CustomPath *path, List *exprs);
extern void mpp_motion_path_key_columns(CustomPath *path, List *columns, List *collations);
extern void mpp_motion_path_upper_quals(PlannerInfo *root, CustomPath *path, List *clauses,
                                        PathTarget *target);
extern void mpp_motion_path_returning(CustomPath *path, List *tlist);
/* The path is over a GroupingSetsPath whose input are partial results. */
extern void mpp_motion_path_combines(CustomPath *path);
/* Rows of the coordinator: see MppMotion. */
extern void mpp_motion_path_made_first(CustomPath *path);
/* Of a finished plan: hash keys given as columns become Vars. */
extern void mpp_motion_resolve_columns(CustomScan *scan);
extern bool mpp_path_is_motion(const Path *path);
/* Whether a Motion is anywhere below, in the path's own slice. */
extern bool mpp_path_has_motion(Path *path);

/* ---- hooks ---- */

extern void mpp_base_init(void);    /* base.c: statistics, scans */
extern void mpp_rels_init(void);    /* rels.c */
extern void mpp_join_init(void);    /* join.c */
extern void mpp_upper_init(void);   /* upper.c */
extern void mpp_planner_init(void); /* planner.c */

struct MppDistribution;
extern void mpp_base_pathlist(PlannerInfo *root, RelOptInfo *rel, RangeTblEntry *rte);
/* direct.c: content id of the only segment that can have rows of rel, or MPP_NOT_SINGLE. */
extern int mpp_single_segment(const RelOptInfo *rel, const struct MppDistribution *distribution);

/* ---- before and after core ---- */

/* refuse.c: ERROR for what cannot be done to distributed tables. */
extern void mpp_refuse_query(Query *query);
/* last_pass.c: numbers Motions, hoists initPlans, ERROR for a plan that would read
 * a distributed table on the coordinator. */
extern void mpp_last_pass(PlannedStmt *plan, List *returning);

#endif
