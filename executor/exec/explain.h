/* SPDX-License-Identifier: Apache-2.0 */
/*
 * explain.h - Greenplum's words for nodes of EXPLAIN, for all that moves rows.
 */
#ifndef EXECUTOR_EXEC_EXPLAIN_H
#define EXECUTOR_EXEC_EXPLAIN_H

#include <postgres.h>

#include <commands/explain.h>

/* From ExplainCustomScan of a node: its title "Custom Scan (custom_name)", printed
 * just before, becomes "name senders:receivers  (slice; segments: senders)". */
extern void mpp_explain_title(const char *custom_name, const char *name, int senders, int receivers,
                              int slice, ExplainState *es);

#endif
