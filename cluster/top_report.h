/* SPDX-License-Identifier: Apache-2.0 */
/* top_report.h - a snapshot as text or as JSON, for people and scripts. */
#ifndef CLUSTER_TOP_REPORT_H
#define CLUSTER_TOP_REPORT_H

#include "cluster/snapshot.h"

#include <stdio.h>

/* agent_lives: whether the agent answered. */
void top_report_text(const struct snapshot *snapshot, bool agent_lives, FILE *out);

/* One object with a newline behind it. -ENOMEM, -EIO. */
int top_report_json(const struct snapshot *snapshot, bool agent_lives, FILE *out);

/* "12.3M" of a count or of bytes (powers of 1000, of 1024); 16 bytes of text. */
void top_count_text(double value, char *ret_text);
void top_bytes_text(double value, char *ret_text);

/* How a channel is: "open", "eos", "stopped", "reset", "half" (one end there). */
const char *top_channel_state(const struct snapshot_channel *channel);

#endif
