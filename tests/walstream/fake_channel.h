/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fake_channel.h - the calls of sluice.h that a WAL stream uses, inside one thread
 * and without agent, arena and time: a test links it in place of libsluice. Both
 * ends of a channel find each other by the motion of its key.
 */
#ifndef TESTS_WALSTREAM_FAKE_CHANNEL_H
#define TESTS_WALSTREAM_FAKE_CHANNEL_H

#include <sluice/sluice.h>

#include <stdbool.h>

#define FAKE_FRAME_BYTES 512u

/* Forget all channels. Fails the program when one is still open. */
void fake_start_over(void);

/* Frames that a sender may have under way on channels of that motion (8). */
void fake_window_set(uint32_t motion, unsigned frames);

/* What stands in for an endpoint. */
slu_endpoint *fake_endpoint(void);

/* Put a frame on the channel of that motion as its sender would. */
void fake_inject(uint32_t motion, uint16_t tag, const void *data, size_t size_bytes);

/* The other end of the motion's channel dies: both its ends see the error. */
void fake_break(uint32_t motion, int error);

/* Frames that were published, and not yet received. */
unsigned fake_waiting(uint32_t motion);

/* Whether every channel was opened as urgent. */
bool fake_all_urgent(void);

#endif
