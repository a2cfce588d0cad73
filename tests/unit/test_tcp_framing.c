/* SPDX-License-Identifier: Apache-2.0 */
/* test_tcp_framing.c - the tcp driver's decoder: every message whole however
 * the bytes are cut, and a reason for everything that is not one. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "drivers/tcp/framing.h"
#include "tests/unit/unit.h"

#define MESSAGE_BYTES_MAX 9000u
#define HEADER_BYTES      sizeof(struct tcp_wire_header)

/* What a sender wrote. */
struct wire {
	uint8_t bytes[65536];
	size_t count;
};

static const uint8_t hello[SLU_DRIVER_HELLO_BYTES] = "hello";

static void put_hello(struct wire *wire)
{
	tcp_hello_encode(wire->bytes + wire->count, 0, hello);
	wire->count += HEADER_BYTES + sizeof(struct tcp_wire_hello);
}

static void put(struct wire *wire, enum tcp_wire_kind kind, uint32_t size_bytes)
{
	tcp_header_encode(wire->bytes + wire->count, kind, size_bytes);
	wire->count += HEADER_BYTES;
	for (uint32_t i = 0; i < size_bytes; i++)
		wire->bytes[wire->count++] = (uint8_t)(i * 7 + size_bytes);
}

/* A reader: what came of the wire's bytes. */
struct reader {
	struct tcp_stream stream;
	uint8_t buffer[MESSAGE_BYTES_MAX]; /* the one that is given */
	bool starved;
	int hello_count, small_count, frame_count;
	uint32_t last_bytes;
};

static struct reader *reader_create(void)
{
	struct reader *reader = calloc(1, sizeof *reader);

	tcp_stream_init(&reader->stream, MESSAGE_BYTES_MAX);
	return reader;
}

static void payload_check(const uint8_t *data, uint32_t size_bytes)
{
	bool same = true;

	for (uint32_t i = 0; i < size_bytes; i++)
		same = same && data[i] == (uint8_t)(i * 7 + size_bytes);
	CU_ASSERT(same);
}

/* Take all messages that are there; the decoder's last answer. */
static int reader_drain(struct reader *reader)
{
	struct tcp_stream_message message;

	for (;;) {
		int r = tcp_stream_next(&reader->stream, &message);

		if (r == TCP_STREAM_BUFFER && !reader->starved) {
			tcp_stream_give(&reader->stream, reader->buffer);
			continue;
		}
		if (r < 0 || r == TCP_STREAM_MORE || r == TCP_STREAM_BUFFER)
			return r;
		reader->hello_count += r == TCP_STREAM_HELLO;
		reader->small_count += r == TCP_STREAM_SMALL;
		reader->frame_count += r == TCP_STREAM_FRAME;
		reader->last_bytes = message.size_bytes;
		if (r == TCP_STREAM_HELLO) {
			CU_ASSERT(memcmp(message.data, hello, sizeof hello) == 0);
		} else {
			payload_check(message.data, message.size_bytes);
		}
	}
}

/* As read(2) would, at most cut bytes at a time; the decoder's last answer. */
static int reader_feed(struct reader *reader, const struct wire *wire, size_t cut)
{
	size_t pos = 0;
	int r = reader_drain(reader);

	while (pos < wire->count && r == TCP_STREAM_MORE) {
		struct iovec iov[2];
		size_t left = wire->count - pos < cut ? wire->count - pos : cut;
		size_t got = 0;
		int count;

		tcp_stream_rewind(&reader->stream);
		count = tcp_stream_room(&reader->stream, iov);
		CU_ASSERT_FATAL(count > 0);
		for (int i = 0; i < count; i++) {
			size_t part = left < iov[i].iov_len ? left : iov[i].iov_len;

			memcpy(iov[i].iov_base, wire->bytes + pos + got, part);
			got += part;
			left -= part;
		}
		pos += got;
		tcp_stream_filled(&reader->stream, got);
		r = reader_drain(reader);
	}
	return r;
}

static void gives_every_message_however_the_bytes_are_cut(void)
{
	static const size_t cuts[] = {1, 2, 7, 8, 9, 63, 64, 65, 4095, 4096, 4097, 20000, 65536};
	struct wire *wire = calloc(1, sizeof *wire);

	put_hello(wire);
	for (uint32_t i = 1; i <= SLU_DRIVER_SMALL_MAX; i++)
		put(wire, TCP_WIRE_SMALL, i);
	put(wire, TCP_WIRE_FRAME, 1);
	put(wire, TCP_WIRE_FRAME, TCP_STAGING_BYTES - 8);
	put(wire, TCP_WIRE_FRAME, MESSAGE_BYTES_MAX);
	put(wire, TCP_WIRE_SMALL, 3);
	put(wire, TCP_WIRE_FRAME, MESSAGE_BYTES_MAX);
	put(wire, TCP_WIRE_FRAME, 5000);
	for (size_t i = 0; i < sizeof cuts / sizeof cuts[0]; i++) {
		struct reader *reader = reader_create();

		CU_ASSERT(reader_feed(reader, wire, cuts[i]) == TCP_STREAM_MORE);
		CU_ASSERT(reader->hello_count == 1);
		CU_ASSERT(reader->small_count == SLU_DRIVER_SMALL_MAX + 1);
		CU_ASSERT(reader->frame_count == 5);
		CU_ASSERT(reader->last_bytes == 5000);
		CU_ASSERT(tcp_stream_finish(&reader->stream) == 0);
		free(reader);
	}
	free(wire);
}

static void reads_a_long_payload_to_its_place(void)
{
	struct wire *wire = calloc(1, sizeof *wire);
	struct reader *reader = reader_create();

	put_hello(wire);
	for (int i = 0; i < 7; i++)
		put(wire, TCP_WIRE_FRAME, MESSAGE_BYTES_MAX);
	CU_ASSERT(reader_feed(reader, wire, 65536) == TCP_STREAM_MORE);
	CU_ASSERT(reader->frame_count == 7);
	/* At most what one staging holds, of each. */
	CU_ASSERT(reader->stream.copied_bytes <= 7 * TCP_STAGING_BYTES);
	free(reader);
	free(wire);
}

static void waits_for_a_buffer_and_loses_nothing(void)
{
	struct wire *wire = calloc(1, sizeof *wire);
	struct reader *reader = reader_create();

	put_hello(wire);
	put(wire, TCP_WIRE_SMALL, 10);
	put(wire, TCP_WIRE_FRAME, 500);
	put(wire, TCP_WIRE_SMALL, 11);
	reader->starved = true;
	CU_ASSERT(reader_feed(reader, wire, 65536) == TCP_STREAM_BUFFER);
	CU_ASSERT(reader_drain(reader) == TCP_STREAM_BUFFER);
	CU_ASSERT(reader->small_count == 1 && reader->frame_count == 0);
	tcp_stream_rewind(&reader->stream);
	reader->starved = false;
	CU_ASSERT(reader_drain(reader) == TCP_STREAM_MORE);
	CU_ASSERT(reader->small_count == 2 && reader->frame_count == 1);
	free(reader);
	free(wire);
}

static void gives_an_unfinished_buffer_back(void)
{
	struct wire *wire = calloc(1, sizeof *wire);
	struct reader *reader = reader_create();

	put_hello(wire);
	put(wire, TCP_WIRE_FRAME, 500);
	wire->count -= 1;
	CU_ASSERT(reader_feed(reader, wire, 65536) == TCP_STREAM_MORE);
	CU_ASSERT(tcp_stream_reclaim(&reader->stream) == reader->buffer);
	CU_ASSERT(tcp_stream_reclaim(&reader->stream) == NULL);
	free(reader);
	free(wire);
}

/* After a good hello, or without, these bytes are refused, for that reason. */
static void refused(bool greeted, const uint8_t *bytes, size_t count, const char *reason)
{
	static const size_t cuts[] = {1, 65536};

	for (int i = 0; i < 2; i++) {
		struct wire *wire = calloc(1, sizeof *wire);
		struct reader *reader = reader_create();

		if (greeted)
			put_hello(wire);
		memcpy(wire->bytes + wire->count, bytes, count);
		wire->count += count;
		CU_ASSERT(reader_feed(reader, wire, cuts[i]) == -EPROTO);
		CU_ASSERT(strstr(reader->stream.reason, reason) != NULL);
		CU_ASSERT(reader_drain(reader) == -EPROTO);
		CU_ASSERT(tcp_stream_finish(&reader->stream) == -EPROTO);
		CU_ASSERT(reader->small_count == 0 && reader->frame_count == 0);
		free(reader);
		free(wire);
	}
}

static void header_refused(bool greeted, uint32_t kind, uint32_t size_bytes, const char *reason)
{
	uint8_t header[HEADER_BYTES];

	tcp_header_encode(header, kind, size_bytes);
	refused(greeted, header, sizeof header, reason);
}

static void refuses_headers_that_cannot_be(void)
{
	header_refused(true, 0, 10, "unknown kind of message 0");
	header_refused(true, 77, 10, "unknown kind of message 77");
	header_refused(true, TCP_WIRE_FRAME, 0, "zero length");
	header_refused(true, TCP_WIRE_SMALL, 0, "zero length");
	header_refused(true, TCP_WIRE_FRAME, MESSAGE_BYTES_MAX + 1, "9001 bytes exceeds 9000");
	header_refused(true, TCP_WIRE_FRAME, UINT32_MAX, "exceeds");
	header_refused(true, TCP_WIRE_SMALL, SLU_DRIVER_SMALL_MAX + 1, "exceeds 64");
	header_refused(true, TCP_WIRE_HELLO, sizeof(struct tcp_wire_hello), "second hello");
	header_refused(false, TCP_WIRE_FRAME, 10, "no hello first");
	header_refused(false, TCP_WIRE_SMALL, 10, "no hello first");
	header_refused(false, TCP_WIRE_HELLO, sizeof(struct tcp_wire_hello) + 1, "exceeds 56");
}

static void refuses_what_is_not_its_framing(void)
{
	uint8_t bytes[HEADER_BYTES + sizeof(struct tcp_wire_hello)];

	refused(false, (const uint8_t *)"GET / HTTP/1.1\r\n", 16, "bad magic");
	refused(true, (const uint8_t *)"\0\0\0\0\0\0\0\0", 8, "bad magic");
	for (size_t i = 0; i < HEADER_BYTES; i++)
		for (int bit = 0; bit < 8; bit++) {
			tcp_header_encode(bytes, TCP_WIRE_FRAME, 1000);
			bytes[i] ^= (uint8_t)(1 << bit);
			refused(true, bytes, HEADER_BYTES, "bad magic");
		}
	tcp_hello_encode(bytes, 0, hello);
	bytes[HEADER_BYTES] ^= 1;
	refused(false, bytes, sizeof bytes, "bad magic in hello");
	memset(bytes, 0, sizeof bytes);
	tcp_header_encode(bytes, TCP_WIRE_HELLO, 20);
	refused(false, bytes, sizeof bytes, "hello of 20 bytes");
}

static void names_both_versions(void)
{
	uint8_t header[HEADER_BYTES];

	tcp_header_encode(header, TCP_WIRE_SMALL, 10);
	header[offsetof(struct tcp_wire_header, version)] = TCP_WIRE_VERSION + 1;
	header[offsetof(struct tcp_wire_header, check) + 1] ^=
	        TCP_WIRE_VERSION ^ (TCP_WIRE_VERSION + 1);
	refused(true, header, sizeof header, "version 2 of the framing, this is 1");
}

static void tells_an_end_inside_a_message(void)
{
	struct wire *wire = calloc(1, sizeof *wire);

	put_hello(wire);
	put(wire, TCP_WIRE_SMALL, 20);
	put(wire, TCP_WIRE_FRAME, 5000);
	for (size_t whole = wire->count; wire->count > 0; wire->count--) {
		struct reader *reader = reader_create();
		bool between = wire->count == whole || wire->count == whole - 5008 ||
		               wire->count == whole - 5008 - 28;

		CU_ASSERT(reader_feed(reader, wire, 65536) == TCP_STREAM_MORE);
		CU_ASSERT(tcp_stream_finish(&reader->stream) == (between ? 0 : -EPROTO));
		CU_ASSERT(between || strstr(reader->stream.reason, "ended") != NULL);
		free(reader);
	}
	free(wire);
}

int main(void)
{
	static const struct unit_test tests[] = {
	        UNIT_TEST(gives_every_message_however_the_bytes_are_cut),
	        UNIT_TEST(reads_a_long_payload_to_its_place),
	        UNIT_TEST(waits_for_a_buffer_and_loses_nothing),
	        UNIT_TEST(gives_an_unfinished_buffer_back),
	        UNIT_TEST(refuses_headers_that_cannot_be),
	        UNIT_TEST(refuses_what_is_not_its_framing),
	        UNIT_TEST(names_both_versions),
	        UNIT_TEST(tells_an_end_inside_a_message),
	        {NULL, NULL},
	};

	return unit_run("tcp_framing", tests);
}
