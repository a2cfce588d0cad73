/* SPDX-License-Identifier: Apache-2.0 */
/* byte_channel.c - see byte_channel.h. */
#include "tests/agent/byte_channel.h"

#include <stdio.h>
#include <string.h>

#include "tests/unit/unit.h"

int send_byte(slu_channel *channel, uint8_t byte)
{
	void *data;
	size_t room;
	int result;

	while ((result = slu_channel_acquire(channel, &data, &room)) == SLU_AGAIN)
		slu_channel_wait(channel, UINT64_MAX, -1);
	if (result != SLU_OK)
		return result;
	*(uint8_t *)data = byte;
	return slu_channel_commit(channel, 1, 0);
}

int receive_byte(slu_channel *channel)
{
	struct slu_frame frame;
	int result;

	while ((result = slu_channel_recv(channel, &frame)) == SLU_AGAIN)
		slu_channel_wait(channel, UINT64_MAX, -1);
	if (result != SLU_OK)
		return result < 0 ? result : result + 1000;
	result = *(const uint8_t *)frame.data;
	slu_frame_release(&frame);
	return result;
}

int sender_result(slu_channel *channel)
{
	int result = SLU_OK;

	while (result == SLU_OK)
		result = send_byte(channel, 0);
	return result;
}

void assert_reason(slu_channel *channel, const char *words)
{
	if (!strstr(slu_channel_reason(channel), words))
		fprintf(stderr, "\nnot \"%s\" in \"%s\"\n", words, slu_channel_reason(channel));
	CU_ASSERT_PTR_NOT_NULL(strstr(slu_channel_reason(channel), words));
}
