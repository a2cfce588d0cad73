/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ddl.h - what the files of this folder share.
 */
#ifndef EXECUTOR_DDL_DDL_H
#define EXECUTOR_DDL_DDL_H

#include <postgres.h>

#include <nodes/parsenodes.h>

#include "executor/catalog/distribution.h"

/* ---- create_table.c ---- */

/* What CREATE TABLE was asked for, beyond PostgreSQL's own. */
typedef struct MppTableOption {
	bool is_given;
	MppPolicy policy;
	List *columns; /* of String */
} MppTableOption;

/* Take WITH (distributed_by = ...) out of the options of a statement. */
extern void mpp_take_table_option(List **options, MppTableOption *ret_option);

/* Whether the table that a statement makes is to be distributed. */
extern bool mpp_creates_distributed(const CreateStmt *statement);

/* Make CREATE TABLE create a distributed table; statement is changed. */
extern void mpp_prepare_create(CreateStmt *statement, MppTableOption *ret_option);

/* On the coordinator, after the table was made: choose its distribution, check that
 * it suits its keys, and label it. */
extern void mpp_finish_create(Oid relid, const CreateStmt *statement, const MppTableOption *option);

/* ERROR unless each unique index of the table contains its distribution key. */
extern void mpp_check_unique_keys(Oid relid, const MppDistribution *distribution);

#endif
