/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_peer_codec.c - any bytes as what arrives on a control connection: messages
 * are decoded or refused, and a HELLO survives being written again. */
#include "transport/agent/peer_codec.h"

#include <stdlib.h>
#include <string.h>

static void hello_again(const void *data, size_t size)
{
	static uint8_t bytes[PEER_PAYLOAD_HELLO_MAX];
	static struct peer_hello hello, again;
	char error[PEER_TEXT_MAX];

	if (peer_hello_decode(data, size, &hello, error))
		return;
	if (peer_hello_encode(&hello, bytes) != size || memcmp(bytes, data, size) != 0 ||
	    peer_hello_decode(bytes, size, &again, error))
		abort();
}

static void refuse_printable(const void *data, size_t size)
{
	struct peer_refuse refuse;
	char error[PEER_TEXT_MAX];

	if (peer_refuse_decode(data, size, &refuse, error))
		return;
	for (const char *next = refuse.text; *next; next++)
		if (*next < ' ' || *next > '~')
			abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char error[PEER_TEXT_MAX];
	uint32_t payload_bytes;
	uint64_t stamp;
	uint16_t type;

	while (peer_header_decode(data, size, PEER_PAYLOAD_MAX, &type, &payload_bytes, error) ==
	       0) {
		data += PEER_HEADER_BYTES;
		size -= PEER_HEADER_BYTES;
		if (payload_bytes > size)
			return 0;
		if (type == PEER_HELLO)
			hello_again(data, payload_bytes);
		else if (type == PEER_REFUSE)
			refuse_printable(data, payload_bytes);
		else
			peer_ping_decode(data, payload_bytes, &stamp, error);
		data += payload_bytes;
		size -= payload_bytes;
	}
	return 0;
}
