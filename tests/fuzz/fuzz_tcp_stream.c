/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_tcp_stream.c - any bytes as one direction of a tcp connection. The first
 * two bytes choose the largest message, whether all after the hello is encrypted,
 * and how reads cut the rest; what is decoded must not depend on the cuts, nor on
 * buffers that come late.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "drivers/tcp/framing.h"

/* What one decoding gave, for comparison with another. */
struct outcome {
	int result;
	uint64_t message_count;
	uint64_t digest; /* FNV-1a of kinds, sizes and contents */
};

static void digest_add(struct outcome *outcome, const void *data, size_t size)
{
	const uint8_t *bytes = data;

	for (size_t i = 0; i < size; i++)
		outcome->digest = (outcome->digest ^ bytes[i]) * UINT64_C(0x100000001b3);
}

/* Messages until there are no more; buffers are refused every other time if
 * starved. cipher: of all after the hello; NULL: plain. */
static int drain(struct tcp_stream *stream, struct outcome *outcome, uint32_t message_bytes_max,
                 bool starved, struct tcp_cipher *cipher)
{
	struct tcp_stream_message message;

	for (;;) {
		int r = tcp_stream_next(stream, &message);

		if (r == TCP_STREAM_BUFFER) {
			if (starved) {
				tcp_stream_rewind(stream);
				starved = false;
				continue;
			}
			/* Of its own: ASan sees a byte too many. */
			tcp_stream_give(stream, malloc(message_bytes_max));
			continue;
		}
		if (r < 0 || r == TCP_STREAM_MORE)
			return r;
		if (r == TCP_STREAM_HELLO)
			stream->cipher = cipher;
		outcome->message_count++;
		digest_add(outcome, &r, sizeof r);
		digest_add(outcome, &message.size_bytes, sizeof message.size_bytes);
		digest_add(outcome, message.data, message.size_bytes);
		if (r == TCP_STREAM_FRAME)
			free(message.data);
	}
}

static struct outcome decode(const uint8_t *data, size_t size, uint32_t message_bytes_max,
                             size_t cut, bool starved, bool encrypted)
{
	static const uint8_t key[SLU_DRIVER_KEY_BYTES];
	struct tcp_cipher cipher = {0};
	struct tcp_stream *stream = malloc(sizeof *stream);
	struct outcome outcome = {.digest = UINT64_C(0xcbf29ce484222325)};
	int r = TCP_STREAM_MORE;

	if (encrypted && tcp_cipher_init(&cipher, key, false) < 0)
		abort();
	tcp_stream_init(stream, message_bytes_max);
	while (size > 0 && r == TCP_STREAM_MORE) {
		struct iovec iov[2];
		size_t want = size < cut ? size : cut;
		int count;

		tcp_stream_rewind(stream);
		count = tcp_stream_room(stream, iov);
		if (count == 0)
			abort(); /* nothing is borrowed: there must be room */
		for (int i = 0; i < count && want > 0; i++) {
			size_t part = want < iov[i].iov_len ? want : iov[i].iov_len;

			memcpy(iov[i].iov_base, data, part);
			tcp_stream_filled(stream, part);
			data += part;
			size -= part;
			want -= part;
		}
		r = drain(stream, &outcome, message_bytes_max, starved, encrypted ? &cipher : NULL);
	}
	outcome.result = r < 0 ? r : tcp_stream_finish(stream);
	if (outcome.result < 0 && !stream->reason[0])
		abort();
	free(tcp_stream_reclaim(stream));
	free(stream);
	tcp_cipher_fini(&cipher);
	return outcome;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint32_t sizes[] = {1, 64, 1000, 4096, 10000, 65536};
	struct outcome whole, cut;
	bool encrypted = size >= 2 && data[0] & 0x80;
	uint32_t message_bytes_max;

	if (size < 2)
		return 0;
	message_bytes_max = sizes[data[0] % (sizeof sizes / sizeof sizes[0])];
	whole = decode(data + 2, size - 2, message_bytes_max, SIZE_MAX, false, encrypted);
	cut = decode(data + 2, size - 2, message_bytes_max, 1 + data[1] * 4u, true, encrypted);
	if (whole.result != cut.result || whole.message_count != cut.message_count ||
	    whole.digest != cut.digest)
		abort();
	return 0;
}
