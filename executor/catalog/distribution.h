/* SPDX-License-Identifier: Apache-2.0 */
/*
 * distribution.h - where the rows of a table are, and the hash that decides it.
 *
 * The segment of a row is slu_motion_jump_hash() of a 64-bit hash of its
 * distribution key. The hash of a column is PostgreSQL's extended hash function
 * of the type's default hash operator class, under the column's collation, with
 * seed 0; NULL hashes to 0. Types of one operator family (int2, int4, int8) give
 * equal hashes for equal values, so tables can be joined in place across them.
 */
#ifndef EXECUTOR_CATALOG_DISTRIBUTION_H
#define EXECUTOR_CATALOG_DISTRIBUTION_H

#include <postgres.h>

#include <access/attnum.h>
#include <fmgr.h>

typedef enum MppPolicy {
	MPP_POLICY_HASH = 1,
	MPP_POLICY_RANDOM,
	MPP_POLICY_REPLICATED, /* all rows on every segment */
} MppPolicy;

typedef struct MppDistribution {
	MppPolicy policy;
	int key_count;    /* 0 but for MPP_POLICY_HASH */
	AttrNumber *keys; /* [key_count] */
	Oid *types;       /* [key_count] of the columns; domains resolved to their base */
	Oid *collations;  /* [key_count] */
	Oid *opfamilies;  /* [key_count] default hash operator family of the type */
} MppDistribution;

/* NULL: the table is not distributed (system catalogs, temporary tables, views,
 * anything of the coordinator alone). Borrowed until the next command; copy what
 * must last longer. A partition has the distribution of its root. */
extern const MppDistribution *mpp_distribution_get(Oid relid);

/* ---- hash ---- */

/* Integers are hashed here: the way to PostgreSQL's function takes longer than it. */
typedef enum MppHashKind {
	MPP_HASH_FUNCTION,
	MPP_HASH_INT4,
	MPP_HASH_INT8,
} MppHashKind;

typedef struct MppHash {
	int key_count;
	MppHashKind *kinds;
	FmgrInfo *functions;
	Oid *collations;
} MppHash;

/* Allocates in the current memory context. ERROR: a type without extended hash. */
extern void mpp_hash_init(MppHash *hash, int key_count, const Oid *types, const Oid *collations);
extern uint64 mpp_hash_row(const MppHash *hash, const Datum *values, const bool *nulls);

/* Content id of the segment for a hash. */
extern int mpp_hash_segment(uint64 hash, int segment_count);

#endif
