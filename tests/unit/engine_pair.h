/* SPDX-License-Identifier: Apache-2.0 */
/* engine_pair.h - for tests of engines: two hosts of engine_fixture.h, and a channel
 * between them. */
#ifndef TESTS_UNIT_ENGINE_PAIR_H
#define TESTS_UNIT_ENGINE_PAIR_H

#include "tests/unit/engine_fixture.h"

/* Of the test that runs. */
extern struct hosts hosts;
static struct host *const A = &hosts.host[0];
static struct host *const B = &hosts.host[1];

/* Nobody asks again: what is not said by itself is missed. */
void two_start(void);

/* A channel from A to B in entries 0, ends attached. */
void channel_open(struct chan_tx *tx, struct chan_rx *rx, uint32_t number);
/* Whether that channel still works: count more frames, whole and in order. */
void traffic_flows(struct chan_tx *tx, struct chan_rx *rx, uint32_t count);

/* Why the channel of that entry was reset; 0: it was not. */
int reset_error(const struct host *host, uint32_t chan_idx);
const char *reset_text(const struct host *host, uint32_t chan_idx);

#endif
