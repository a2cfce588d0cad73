/* SPDX-License-Identifier: Apache-2.0 */
/*
 * identity.h - what nodes must have in common to serve one cluster: plans and rows
 * of one are read by the other. As lines `name: value`.
 */
#ifndef EXECUTOR_CATALOG_IDENTITY_H
#define EXECUTOR_CATALOG_IDENTITY_H

#include <postgres.h>

/* Of this node and database; in the current memory context. In a transaction. */
extern char *mpp_identity(void);

/* ERROR unless a segment's answer to `SELECT sluice.node_identity()` is this node's
 * own identity, and it is the segment with this content. segment names it. */
extern void mpp_identity_check(const char *segment, int content, const char *answer);

#endif
