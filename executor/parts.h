/* SPDX-License-Identifier: Apache-2.0 */
/*
 * parts.h - the parts of the extension, in the order in which they start. Each
 * defines its GUCs and installs its hooks; called once, by the postmaster.
 */
#ifndef EXECUTOR_PARTS_H
#define EXECUTOR_PARTS_H

void mpp_catalog_init(void);  /* nodes, distribution, the shell table access method */
void mpp_dispatch_init(void); /* connections to segments, distributed transactions */
void mpp_ddl_init(void);      /* utility statements on all nodes */
void mpp_load_init(void);     /* COPY, sequences */
void mpp_plan_init(void);     /* the distributed planner */
void mpp_exec_init(void);     /* slices, motion nodes, EXPLAIN */

#endif
