/* SPDX-License-Identifier: Apache-2.0 */
/* probe.h - sluiced --probe: what the drivers of this build find on this machine. */
#ifndef TRANSPORT_AGENT_PROBE_H
#define TRANSPORT_AGENT_PROBE_H

#include "transport/agent/config.h"

/*
 * config: the driver it names is asked with its options; NULL: every driver without
 * any. Writes text, or one JSON object with a member per driver. The exit status: 0
 * if one of those asked can be used, else 1.
 */
int probe_run(const struct config *config, bool json, FILE *out);

#endif
