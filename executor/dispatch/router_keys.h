/* SPDX-License-Identifier: Apache-2.0 */
/*
 * router_keys.h - whether a query lives on one segment, private to dispatch/.
 */
#ifndef EXECUTOR_DISPATCH_ROUTER_KEYS_H
#define EXECUTOR_DISPATCH_ROUTER_KEYS_H

#include <postgres.h>

#include <nodes/parsenodes.h>

#include "executor/catalog/distribution.h"

/* The values that the distribution key of all tables of the query is fixed to. */
typedef struct RouterKeys {
	List *values;     /* of Expr without Vars */
	List *types;      /* OIDs to hash them as */
	List *collations; /* OIDs */
	bool any_hashed;  /* else all tables are replicated */
	bool any_replicated;
} RouterKeys;

/* For a SELECT, at any depth. False: not of one segment, or not known to be. */
extern bool router_keys_find(Query *query, RouterKeys *ret_keys);

/* For INSERT of one row into a table with this distribution. */
extern bool router_keys_of_row(const Query *query, const MppDistribution *distribution,
                               RouterKeys *ret_keys);

/* The segment, when values are Consts or Datums. */
extern int router_keys_segment(const RouterKeys *keys, const Datum *values, const bool *nulls);

/* No Vars, nothing that only a query can evaluate. */
extern bool router_is_value(Node *node);

/* A system column or whole row: not the same thing on another node. */
extern bool router_is_special(Node *node);

/* The type, if values of it hash as those of the family do; else InvalidOid. */
extern Oid router_hash_type(Node *value, Oid opfamily);

#endif
