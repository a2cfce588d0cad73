/* SPDX-License-Identifier: Apache-2.0 */
/*
 * catalog.h - what the files of this folder and of executor/ddl/ share.
 */
#ifndef EXECUTOR_CATALOG_CATALOG_H
#define EXECUTOR_CATALOG_CATALOG_H

#include <postgres.h>

#include <nodes/plannodes.h>

/* Access method of all distributed tables, on every node. */
#define MPP_TABLE_AM_NAME "sluice"

/* Schema of the extension's objects. */
#define MPP_SCHEMA_NAME "sluice"

/* Provider of the security labels that hold the distribution. */
#define MPP_LABEL_PROVIDER "sluice"

/* Each installs what its file needs in every server; by mpp_catalog_init(). */
extern void mpp_node_init(void);
extern void mpp_cluster_init(void);
extern void mpp_distribution_init(void);

/* Whether this database has the extension. In a transaction. */
extern bool mpp_installed(void);

/* ERROR when a client's session on a segment would write. */
extern void mpp_forbid_segment_writes(const PlannedStmt *statement);

#endif
