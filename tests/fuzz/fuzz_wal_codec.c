/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_wal_codec.c - any bytes as frames of a WAL stream, the first byte being the
 * frame's tag: a message is refused, or is the same when written again. */
#include "walstream/wal_codec.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t bytes[WAL_MESSAGE_MAX] = {0};
	char error[WAL_TEXT_MAX];
	struct wal_message message;
	size_t header_bytes;

	if (size == 0)
		return 0;
	if (wal_message_decode(data[0], data + 1, size - 1, &message, error)) {
		if (!memchr(error, '\0', sizeof(error)) || !error[0])
			abort();
		return 0;
	}
	header_bytes = wal_message_encode(&message, bytes);
	if (header_bytes > size - 1 || memcmp(bytes, data + 1, header_bytes) != 0)
		abort();
	if (message.type == WAL_DATA && message.data.size_bytes != size - 1 - header_bytes)
		abort();
	return 0;
}
