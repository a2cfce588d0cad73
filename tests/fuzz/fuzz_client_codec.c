/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_client_codec.c - packets of the agent's Unix socket, from either side. The
 * first byte chooses the side and the number of descriptors. What passes must
 * keep what client_codec.h promises. */
#include "transport/client_codec.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_text(const char *text, size_t room)
{
	size_t length = strnlen(text, room);

	if (length == room)
		abort();
	for (size_t i = 0; i < length; i++)
		if ((unsigned char)text[i] < 0x20)
			abort();
}

static void check(const union client_message *message)
{
	switch (message->header.type) {
	case CLIENT_ATTACH:
	case CLIENT_OBSERVE:
		check_text(message->attach.name, sizeof(message->attach.name));
		break;
	case CLIENT_OPEN:
		check_text(message->open.peer, sizeof(message->open.peer));
		if (message->open.direction < 1 || message->open.direction > 2)
			abort();
		break;
	case CLIENT_CLOSE:
		if (message->close.direction < 1 || message->close.direction > 2)
			abort();
		break;
	case CLIENT_ATTACHED:
		check_text(message->attached.node, sizeof(message->attached.node));
		break;
	case CLIENT_ERROR:
		check_text(message->error.text, sizeof(message->error.text));
		break;
	default:
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	union client_message message;
	char error[CLIENT_TEXT_BYTES];
	enum client_side from;
	int result;

	if (size < 1)
		return 0;
	from = data[0] & 1 ? CLIENT_SIDE_AGENT : CLIENT_SIDE_PROCESS;
	memset(error, 'x', sizeof(error));
	result = client_decode(data + 1, size - 1, data[0] >> 1 & 3, from, &message, error);
	if (result == 0)
		check(&message);
	else
		check_text(error, sizeof(error));
	return 0;
}
