/* SPDX-License-Identifier: Apache-2.0 */
/* rig_internal.h - between rig.c and rig_events.c. */
#ifndef TESTS_DRIVER_RIG_INTERNAL_H
#define TESTS_DRIVER_RIG_INTERNAL_H

#include "tests/driver/rig.h"

void rig_fill(uint8_t *bytes, uint32_t size_bytes, uint64_t seed);
/* The rx_put of the host; also ends the receiver's use of a buffer. */
void rig_rx_release(void *instance, void *buffer);

/* A side of the instance, in its list. */
struct rig_side *rig_side_create(struct rig_instance *instance);
/* Down or closed: the frames it sent are the rig's again. */
void rig_side_end(struct rig_side *side, enum rig_state state);
void rig_hello_fill(struct rig_side *side);

#endif
