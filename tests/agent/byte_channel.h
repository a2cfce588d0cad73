/* SPDX-License-Identifier: Apache-2.0 */
/* byte_channel.h - channels whose frames hold one byte each, for tests that only ask
 * whether something arrives and how it ends. All wait as long as it takes. */
#ifndef TESTS_AGENT_BYTE_CHANNEL_H
#define TESTS_AGENT_BYTE_CHANNEL_H

#include <stdint.h>

#include <sluice/sluice.h>

/* 0, or what the sender was told. */
int send_byte(slu_channel *channel, uint8_t byte);
/* The byte of the next frame; SLU_EOS + 1000; or a negative result. */
int receive_byte(slu_channel *channel);
/* Send until the sender is told something else than to wait. */
int sender_result(slu_channel *channel);

/* A failed assertion, unless the words are in the reason for which it was reset. */
void assert_reason(slu_channel *channel, const char *words);

#endif
