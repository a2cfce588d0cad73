/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_tcp_cipher.c - records of an encrypted tcp session: what was sealed opens once,
 * in its place, and nothing else does; alone, and as the decoder finds them in a
 * stream of bytes.
 */
#include <errno.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "drivers/tcp/cipher.h"
#include "drivers/tcp/framing.h"
#include "tests/unit/unit.h"

#define FRAME_BYTES_MAX 9000u

static const uint8_t key[SLU_DRIVER_KEY_BYTES] = "a key of thirty-two bytes ......";
static const uint8_t hello[SLU_DRIVER_HELLO_BYTES] = "a hello";
static const uint8_t other_key[SLU_DRIVER_KEY_BYTES] = "another key of as many bytes ...";

/* Both ends of a direction. */
struct ends {
	struct tcp_cipher sealer, opener;
};

static void ends_begin(struct ends *ends, const uint8_t *opener_key)
{
	CU_ASSERT_FATAL(tcp_cipher_init(&ends->sealer, key, true) == 0);
	CU_ASSERT_FATAL(tcp_cipher_init(&ends->opener, opener_key, false) == 0);
}

static void ends_end(struct ends *ends)
{
	tcp_cipher_fini(&ends->sealer);
	tcp_cipher_fini(&ends->opener);
}

/* A record of a frame message: header, payload, tag. */
struct record {
	uint32_t payload_bytes;
	uint8_t bytes[TCP_WIRE_HEADER_BYTES + FRAME_BYTES_MAX + TCP_WIRE_TAG_BYTES];
};

static uint8_t payload_byte(uint32_t i, uint32_t payload_bytes)
{
	return (uint8_t)(i * 7 + payload_bytes);
}

static void record_seal(struct ends *ends, struct record *record, uint32_t payload_bytes)
{
	uint8_t payload[FRAME_BYTES_MAX];

	for (uint32_t i = 0; i < payload_bytes; i++)
		payload[i] = payload_byte(i, payload_bytes);
	record->payload_bytes = payload_bytes;
	tcp_header_encode(record->bytes, TCP_WIRE_FRAME | TCP_WIRE_SEALED, payload_bytes);
	CU_ASSERT_FATAL(tcp_cipher_seal(&ends->sealer, record->bytes, payload, payload_bytes,
	                                record->bytes + TCP_WIRE_HEADER_BYTES) == 0);
}

/* Opens a copy; what was sealed must come out. */
static int record_open(struct ends *ends, const struct record *record)
{
	struct record copy = *record;
	uint8_t *payload = copy.bytes + TCP_WIRE_HEADER_BYTES;
	int r = tcp_cipher_open(&ends->opener, copy.bytes, payload, copy.payload_bytes,
	                        payload + copy.payload_bytes);

	for (uint32_t i = 0; r == 0 && i < copy.payload_bytes; i++)
		CU_ASSERT_FATAL(payload[i] == payload_byte(i, copy.payload_bytes));
	return r;
}

static void opens_what_was_sealed_whatever_its_size(void)
{
	static const uint32_t sizes[] = {1, 2, 15, 16, 17, 32, 64, 1000, 4096, FRAME_BYTES_MAX};
	struct record record;
	struct ends ends;

	ends_begin(&ends, key);
	for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
		record_seal(&ends, &record, sizes[i]);
		CU_ASSERT(record_open(&ends, &record) == 0);
	}
	ends_end(&ends);
}

/* As docs/wire-format.md has it: whoever reads it can write the other end. */
static void is_aes_256_gcm_with_the_number_of_the_record_as_nonce(void)
{
	EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
	uint8_t nonce[12] = {0}, expected[100 + TCP_WIRE_TAG_BYTES], payload[100];
	struct record record;
	struct ends ends;
	int written;

	ends_begin(&ends, key);
	for (uint32_t i = 0; i < sizeof payload; i++)
		payload[i] = payload_byte(i, sizeof payload);
	for (uint8_t number = 0; number < 3; number++) {
		record_seal(&ends, &record, sizeof payload);
		nonce[11] = number;
		CU_ASSERT(EVP_EncryptInit_ex(context, EVP_aes_256_gcm(), NULL, key, nonce) == 1);
		CU_ASSERT(EVP_EncryptUpdate(context, NULL, &written, record.bytes, 8) == 1);
		CU_ASSERT(EVP_EncryptUpdate(context, expected, &written, payload, 100) == 1);
		CU_ASSERT(EVP_EncryptFinal_ex(context, expected + 100, &written) == 1);
		CU_ASSERT(EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, 16, expected + 100) ==
		          1);
		CU_ASSERT(memcmp(record.bytes + 8, expected, sizeof expected) == 0);
	}
	EVP_CIPHER_CTX_free(context);
	ends_end(&ends);
}

static void refuses_a_record_of_which_any_bit_was_altered(void)
{
	struct record record;

	for (size_t i = 0; i < TCP_WIRE_HEADER_BYTES + 40 + TCP_WIRE_TAG_BYTES; i++) {
		struct ends ends;

		ends_begin(&ends, key);
		record_seal(&ends, &record, 40);
		record.bytes[i] ^= (uint8_t)(1u << (i % 8));
		CU_ASSERT(record_open(&ends, &record) == -EBADMSG);
		ends_end(&ends);
	}
}

static void refuses_a_record_that_was_cut_short(void)
{
	for (uint32_t bytes = 1; bytes < 40; bytes++) {
		struct record record;
		struct ends ends;

		ends_begin(&ends, key);
		record_seal(&ends, &record, 40);
		record.payload_bytes = bytes;
		CU_ASSERT(record_open(&ends, &record) == -EBADMSG);
		ends_end(&ends);
	}
}

static void refuses_a_record_that_is_not_the_next(void)
{
	struct record first, second;
	struct ends ends;

	ends_begin(&ends, key);
	record_seal(&ends, &first, 100);
	record_seal(&ends, &second, 100);
	CU_ASSERT(record_open(&ends, &second) == -EBADMSG); /* one left out */
	ends_end(&ends);

	ends_begin(&ends, key);
	record_seal(&ends, &first, 100);
	CU_ASSERT(record_open(&ends, &first) == 0);
	CU_ASSERT(record_open(&ends, &first) == -EBADMSG); /* repeated */
	ends_end(&ends);
}

static void refuses_a_record_of_another_key(void)
{
	struct record record;
	struct ends ends;

	ends_begin(&ends, other_key);
	record_seal(&ends, &record, 100);
	CU_ASSERT(record_open(&ends, &record) == -EBADMSG);
	ends_end(&ends);
}

static void changes_the_key_at_both_ends_before_it_is_worn_out(void)
{
	uint8_t keys[8][SLU_DRIVER_KEY_BYTES];
	struct record record;
	struct ends ends;
	int count = 0;

	ends_begin(&ends, key);
	CU_ASSERT(ends.sealer.blocks_max == UINT64_C(1) << 32);
	/* 4 records of 3 blocks and 2 besides */
	ends.sealer.blocks_max = ends.opener.blocks_max = 21;
	for (int i = 0; i < 29; i++) {
		record_seal(&ends, &record, 48);
		CU_ASSERT(record_open(&ends, &record) == 0);
		CU_ASSERT(ends.sealer.blocks <= 21);
		CU_ASSERT(memcmp(ends.sealer.key, ends.opener.key, sizeof key) == 0);
		if (i % 4 == 0)
			memcpy(keys[count++], ends.sealer.key, sizeof key);
		CU_ASSERT(memcmp(ends.sealer.key, keys[count - 1], sizeof key) == 0);
	}
	CU_ASSERT_FATAL(count == 8);
	for (int i = 0; i < count; i++)
		for (int k = 0; k < i; k++)
			CU_ASSERT(memcmp(keys[i], keys[k], sizeof key) != 0);
	/* One that is larger than the rest of the key, and one larger than all of one. */
	record_seal(&ends, &record, 5000);
	CU_ASSERT(record_open(&ends, &record) == 0);
	record_seal(&ends, &record, 1);
	CU_ASSERT(record_open(&ends, &record) == 0);
	ends.opener.blocks_max = 1000;
	record_seal(&ends, &record, 48);
	record_seal(&ends, &record, 5000);
	CU_ASSERT(record_open(&ends, &record) == -EBADMSG);
	ends_end(&ends);
}

static void wipes_the_key_at_the_end(void)
{
	static const struct tcp_cipher nothing;
	struct ends ends;

	ends_begin(&ends, key);
	ends_end(&ends);
	CU_ASSERT(memcmp(&ends.sealer, &nothing, sizeof nothing) == 0);
	tcp_cipher_fini(&ends.sealer); /* one that is not in use */
}

/* ---- in a stream ------------------------------------------------------------ */

/* What a sender wrote: a hello in clear, then records. */
struct wire {
	uint8_t bytes[65536];
	size_t count;
	size_t ends[8]; /* where messages end */
	int end_count;
};

static void wire_put(struct wire *wire, struct ends *ends, unsigned kind, uint32_t size_bytes)
{
	struct record record;

	if (kind == TCP_WIRE_HELLO) {
		tcp_hello_encode(wire->bytes, 0, hello);
		wire->count = TCP_WIRE_HEADER_BYTES + sizeof(struct tcp_wire_hello);
	} else {
		uint8_t payload[FRAME_BYTES_MAX];

		for (uint32_t i = 0; i < size_bytes; i++)
			payload[i] = payload_byte(i, size_bytes);
		tcp_header_encode(record.bytes, kind | TCP_WIRE_SEALED, size_bytes);
		CU_ASSERT(tcp_cipher_seal(&ends->sealer, record.bytes, payload, size_bytes,
		                          record.bytes + TCP_WIRE_HEADER_BYTES) == 0);
		size_bytes += TCP_WIRE_HEADER_BYTES + TCP_WIRE_TAG_BYTES;
		memcpy(wire->bytes + wire->count, record.bytes, size_bytes);
		wire->count += size_bytes;
	}
	wire->ends[wire->end_count++] = wire->count;
}

static void wire_make(struct wire *wire, struct ends *ends)
{
	wire->count = 0;
	wire->end_count = 0;
	wire_put(wire, ends, TCP_WIRE_HELLO, 0);
	wire_put(wire, ends, TCP_WIRE_SMALL, 32);
	wire_put(wire, ends, TCP_WIRE_FRAME, 200);
	wire_put(wire, ends, TCP_WIRE_FRAME, 1);
	wire_put(wire, ends, TCP_WIRE_SMALL, SLU_DRIVER_SMALL_MAX);
	wire_put(wire, ends, TCP_WIRE_FRAME, 5000);
	wire_put(wire, ends, TCP_WIRE_SMALL, 1);
}

/* A reader that has the keys once it has read the hello. */
struct reader {
	struct tcp_stream stream;
	struct tcp_cipher *opener;
	uint8_t buffer[FRAME_BYTES_MAX];
	int message_count; /* hello included */
};

static int reader_drain(struct reader *reader)
{
	struct tcp_stream_message message;

	for (;;) {
		int r = tcp_stream_next(&reader->stream, &message);

		if (r == TCP_STREAM_BUFFER) {
			tcp_stream_give(&reader->stream, reader->buffer);
			continue;
		}
		if (r < 0 || r == TCP_STREAM_MORE)
			return r;
		reader->message_count++;
		if (r == TCP_STREAM_HELLO) {
			reader->stream.cipher = reader->opener;
			continue;
		}
		for (uint32_t i = 0; i < message.size_bytes; i++)
			CU_ASSERT_FATAL(((uint8_t *)message.data)[i] ==
			                payload_byte(i, message.size_bytes));
	}
}

/* All bytes, at most cut at a time; the decoder's last answer, at the end that of
 * tcp_stream_finish. */
static int reader_feed(struct reader *reader, struct tcp_cipher *opener, const uint8_t *bytes,
                       size_t count, size_t cut)
{
	int r = TCP_STREAM_MORE;

	memset(reader, 0, sizeof *reader);
	tcp_stream_init(&reader->stream, FRAME_BYTES_MAX);
	reader->opener = opener;
	while (count > 0 && r == TCP_STREAM_MORE) {
		size_t left = count < cut ? count : cut, got = 0;
		struct iovec iov[2];
		int iov_count;

		tcp_stream_rewind(&reader->stream);
		iov_count = tcp_stream_room(&reader->stream, iov);
		CU_ASSERT_FATAL(iov_count > 0 && iov[0].iov_len > 0);
		for (int i = 0; i < iov_count; i++) {
			size_t part = left < iov[i].iov_len ? left : iov[i].iov_len;

			memcpy(iov[i].iov_base, bytes + got, part);
			got += part;
			left -= part;
		}
		bytes += got;
		count -= got;
		tcp_stream_filled(&reader->stream, got);
		r = reader_drain(reader);
	}
	return r < 0 ? r : tcp_stream_finish(&reader->stream);
}

static void gives_every_message_however_the_bytes_are_cut(void)
{
	static const size_t cuts[] = {1, 2, 7, 8, 15, 16, 17, 24, 100, 4095, 4096, 4097, 65536};
	struct wire *wire = calloc(1, sizeof *wire);
	struct reader *reader = calloc(1, sizeof *reader);

	for (size_t i = 0; i < sizeof cuts / sizeof cuts[0]; i++) {
		struct ends ends;

		ends_begin(&ends, key);
		wire_make(wire, &ends);
		CU_ASSERT(reader_feed(reader, &ends.opener, wire->bytes, wire->count, cuts[i]) ==
		          0);
		CU_ASSERT(reader->message_count == wire->end_count);
		ends_end(&ends);
	}
	free(reader);
	free(wire);
}

/* Messages before `pos` are as they were. */
static int messages_before(const struct wire *wire, size_t pos)
{
	int count = 0;

	while (count < wire->end_count && wire->ends[count] <= pos)
		count++;
	return count;
}

static void gives_nothing_of_a_stream_from_where_it_was_altered(void)
{
	struct wire *wire = calloc(1, sizeof *wire);
	struct reader *reader = calloc(1, sizeof *reader);

	for (size_t pos = TCP_WIRE_HEADER_BYTES + sizeof(struct tcp_wire_hello); pos < 700; pos++) {
		struct ends ends;

		ends_begin(&ends, key);
		wire_make(wire, &ends);
		wire->bytes[pos] ^= (uint8_t)(1u << (pos % 8));
		CU_ASSERT(reader_feed(reader, &ends.opener, wire->bytes, wire->count,
		                      1 + pos % 600) == -EPROTO);
		CU_ASSERT(reader->message_count == messages_before(wire, pos));
		CU_ASSERT(reader->stream.reason[0] != '\0');
		ends_end(&ends);
	}
	free(reader);
	free(wire);
}

static void knows_a_stream_that_ends_inside_a_record(void)
{
	struct wire *wire = calloc(1, sizeof *wire);
	struct reader *reader = calloc(1, sizeof *reader);

	for (size_t pos = 1; pos < 700; pos++) {
		struct ends ends;
		int whole, r;

		ends_begin(&ends, key);
		wire_make(wire, &ends);
		r = reader_feed(reader, &ends.opener, wire->bytes, pos, 1 + pos % 600);
		whole = messages_before(wire, pos);
		CU_ASSERT(reader->message_count == whole);
		CU_ASSERT(r == (whole > 0 && wire->ends[whole - 1] == pos ? 0 : -EPROTO));
		ends_end(&ends);
	}
	free(reader);
	free(wire);
}

static void refuses_what_is_not_encrypted_where_it_is_to_be_and_the_other_way_round(void)
{
	uint8_t bytes[200] = {0};
	struct reader *reader = calloc(1, sizeof *reader);
	size_t hello_bytes = TCP_WIRE_HEADER_BYTES + sizeof(struct tcp_wire_hello);
	struct ends ends;

	ends_begin(&ends, key);
	tcp_hello_encode(bytes, 0, hello);
	tcp_header_encode(bytes + hello_bytes, TCP_WIRE_SMALL, 10);
	CU_ASSERT(reader_feed(reader, &ends.opener, bytes, sizeof bytes, 50) == -EPROTO);
	CU_ASSERT_STRING_EQUAL(reader->stream.reason, "a message that is not encrypted");
	tcp_header_encode(bytes + hello_bytes, TCP_WIRE_SMALL | TCP_WIRE_SEALED, 10);
	CU_ASSERT(reader_feed(reader, NULL, bytes, sizeof bytes, 50) == -EPROTO);
	CU_ASSERT(strstr(reader->stream.reason, "no key for it") != NULL);
	tcp_hello_encode(bytes, TCP_WIRE_SEALED, hello);
	CU_ASSERT(reader_feed(reader, NULL, bytes, sizeof bytes, 50) == -EPROTO);
	CU_ASSERT(reader->message_count == 0);
	ends_end(&ends);
	free(reader);
}

int main(void)
{
	static const struct unit_test tests[] = {
	        UNIT_TEST(opens_what_was_sealed_whatever_its_size),
	        UNIT_TEST(is_aes_256_gcm_with_the_number_of_the_record_as_nonce),
	        UNIT_TEST(refuses_a_record_of_which_any_bit_was_altered),
	        UNIT_TEST(refuses_a_record_that_was_cut_short),
	        UNIT_TEST(refuses_a_record_that_is_not_the_next),
	        UNIT_TEST(refuses_a_record_of_another_key),
	        UNIT_TEST(changes_the_key_at_both_ends_before_it_is_worn_out),
	        UNIT_TEST(wipes_the_key_at_the_end),
	        UNIT_TEST(gives_every_message_however_the_bytes_are_cut),
	        UNIT_TEST(gives_nothing_of_a_stream_from_where_it_was_altered),
	        UNIT_TEST(knows_a_stream_that_ends_inside_a_record),
	        UNIT_TEST(refuses_what_is_not_encrypted_where_it_is_to_be_and_the_other_way_round),
	        {NULL, NULL},
	};

	return unit_run("tcp_cipher", tests);
}
