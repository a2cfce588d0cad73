/* SPDX-License-Identifier: Apache-2.0 */
/*
 * label.h - the text of a distribution, as the security label of a table holds it:
 * 'hash(a, "B")', 'random' or 'replicated'. Identifiers as in SQL.
 */
#ifndef EXECUTOR_CATALOG_LABEL_H
#define EXECUTOR_CATALOG_LABEL_H

#include <postgres.h>

#include <nodes/pg_list.h>

#include "executor/catalog/distribution.h"

/* columns: List of String, NIL unless MPP_POLICY_HASH. ERROR: not such a text. */
extern void mpp_label_parse(const char *label, MppPolicy *ret_policy, List **ret_columns);
extern char *mpp_label_format(MppPolicy policy, const List *columns);

/* The columns alone: 'a, "B"'. */
extern char *mpp_label_columns(const List *columns);

/* The value of WITH (distributed_by = ...): 'a, b', 'random' or 'replicated'. A
 * column of such a name is written in double quotes. */
extern void mpp_label_parse_option(const char *option, MppPolicy *ret_policy, List **ret_columns);

/* Write the label of a table; NULL removes it. */
extern void mpp_label_set(Oid relid, const char *label);

extern void mpp_label_init(void);

/* ---- distribution.c, hash.c ---- */

/* Resolve column names. ERROR: no such column, or its type cannot be hashed. */
extern void mpp_distribution_of_columns(Oid relid, MppPolicy policy, List *columns,
                                        MppDistribution *ret_distribution);
extern bool mpp_type_has_hash(Oid type);
/* Whether what is equal in one type is in the other, and has the same hash: integers of all
 * sizes, text and varchar, but not text and bpchar. */
extern bool mpp_hash_alike(Oid type, Oid other);

#endif
