/* SPDX-License-Identifier: Apache-2.0 */
/* framing.c - the header encoder and the stream decoder; see framing.h. */
#include "drivers/tcp/framing.h"

#include <endian.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Any constant that text and zeros do not produce. */
#define CHECK_SEED 0xc53au

#define HEADER_BYTES TCP_WIRE_HEADER_BYTES

static uint16_t wire_check(uint32_t size_bytes, uint8_t kind, uint8_t version)
{
	return (uint16_t)(CHECK_SEED ^ size_bytes ^ (size_bytes >> 16) ^
	                  ((uint32_t)kind | (uint32_t)version << 8));
}

void tcp_header_encode(uint8_t *out, unsigned kind, uint32_t size_bytes)
{
	struct tcp_wire_header header = {
	        .size_bytes = htole32(size_bytes),
	        .kind = (uint8_t)kind,
	        .version = TCP_WIRE_VERSION,
	        .check = htole16(wire_check(size_bytes, (uint8_t)kind, TCP_WIRE_VERSION)),
	};

	memcpy(out, &header, sizeof header);
}

void tcp_hello_encode(uint8_t *out, unsigned kind_flag, const void *hello)
{
	struct tcp_wire_hello payload;

	memcpy(payload.magic, TCP_WIRE_MAGIC, TCP_WIRE_MAGIC_BYTES);
	memcpy(payload.hello, hello, SLU_DRIVER_HELLO_BYTES);
	tcp_header_encode(out, TCP_WIRE_HELLO | kind_flag, sizeof payload);
	memcpy(out + HEADER_BYTES, &payload, sizeof payload);
}

void tcp_stream_init(struct tcp_stream *stream, uint32_t message_bytes_max)
{
	/* Not the staging: 4 KiB that a quiet connection never touches. */
	memset(stream, 0, offsetof(struct tcp_stream, staging));
	stream->message_bytes_max = message_bytes_max;
}

void tcp_stream_rewind(struct tcp_stream *stream)
{
	uint32_t left = stream->end - stream->begin;

	if (left && stream->begin)
		memmove(stream->staging, stream->staging + stream->begin, left);
	stream->begin = 0;
	stream->end = left;
}

int tcp_stream_room(struct tcp_stream *stream, struct iovec ret_iov[2])
{
	int count = 0;

	/* A whole payload waits for its tag, which comes to the staging. */
	if (stream->frame && stream->frame_got < stream->frame_bytes) {
		ret_iov[count].iov_base = stream->frame + stream->frame_got;
		ret_iov[count++].iov_len = stream->frame_bytes - stream->frame_got;
	}
	if (stream->end < TCP_STAGING_BYTES) {
		ret_iov[count].iov_base = stream->staging + stream->end;
		ret_iov[count++].iov_len = TCP_STAGING_BYTES - stream->end;
	}
	return count;
}

void tcp_stream_filled(struct tcp_stream *stream, size_t count)
{
	if (stream->frame) {
		size_t rest = stream->frame_bytes - stream->frame_got;
		size_t direct = count < rest ? count : rest;

		stream->frame_got += (uint32_t)direct;
		count -= direct;
	}
	stream->end += (uint32_t)count;
}

static int stream_refuse(struct tcp_stream *stream, const char *format, ...)
        __attribute__((format(printf, 2, 3)));

static int stream_refuse(struct tcp_stream *stream, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(stream->reason, sizeof stream->reason, format, args);
	va_end(args);
	return -EPROTO;
}

static int header_check(struct tcp_stream *stream, const struct tcp_wire_header *header)
{
	unsigned kind = header->kind & ~TCP_WIRE_SEALED;
	uint32_t size_bytes = header->size_bytes;
	uint32_t size_bytes_max;

	if (header->check != wire_check(size_bytes, header->kind, header->version))
		return stream_refuse(stream, "bad magic: not Sluice's framing");
	if (header->version != TCP_WIRE_VERSION)
		return stream_refuse(stream, "version %u of the framing, this is %u",
		                     header->version, TCP_WIRE_VERSION);
	if (stream->cipher && !(header->kind & TCP_WIRE_SEALED))
		return stream_refuse(stream, "a message that is not encrypted");
	if (!stream->cipher && header->kind & TCP_WIRE_SEALED)
		return stream_refuse(stream, "an encrypted message, and there is no key for it");
	switch (kind) {
	case TCP_WIRE_HELLO:
		size_bytes_max = sizeof(struct tcp_wire_hello);
		break;
	case TCP_WIRE_FRAME:
		size_bytes_max = stream->message_bytes_max;
		break;
	case TCP_WIRE_SMALL:
		size_bytes_max = SLU_DRIVER_SMALL_MAX;
		break;
	default:
		return stream_refuse(stream, "unknown kind of message %u", kind);
	}
	if (size_bytes == 0)
		return stream_refuse(stream, "message of zero length");
	if (size_bytes > size_bytes_max)
		return stream_refuse(stream, "message of %u bytes exceeds %u", size_bytes,
		                     size_bytes_max);
	if ((kind == TCP_WIRE_HELLO) == stream->greeted)
		return stream_refuse(stream, stream->greeted ? "second hello" : "no hello first");
	return 0;
}

static uint32_t stream_tag_bytes(const struct tcp_stream *stream)
{
	return stream->cipher ? TCP_WIRE_TAG_BYTES : 0;
}

/* Decrypt a whole record in place. 0 too when there is nothing to decrypt. */
static int stream_open(struct tcp_stream *stream, const uint8_t *header, uint8_t *payload,
                       uint32_t size_bytes, const uint8_t *tag)
{
	if (!stream->cipher ||
	    tcp_cipher_open(stream->cipher, header, payload, size_bytes, tag) == 0)
		return 0;
	return stream_refuse(stream, "a record is not what the peer has encrypted, or not the "
	                             "next one");
}

/* The payload of a frame message is whole in frame. */
static int stream_frame(struct tcp_stream *stream, struct tcp_stream_message *ret_message)
{
	if (stream->end - stream->begin < stream_tag_bytes(stream))
		return TCP_STREAM_MORE;
	if (stream_open(stream, stream->frame_header, stream->frame, stream->frame_bytes,
	                stream->staging + stream->begin) < 0)
		return -EPROTO;
	stream->begin += stream_tag_bytes(stream);
	*ret_message = (struct tcp_stream_message){stream->frame, stream->frame_bytes};
	stream->frame = NULL;
	stream->frame_bytes = 0;
	return TCP_STREAM_FRAME;
}

/* A hello or small message that is whole in staging at begin. */
static int stream_take(struct tcp_stream *stream, const struct tcp_wire_header *header,
                       struct tcp_stream_message *ret_message)
{
	uint8_t *payload = stream->staging + stream->begin + HEADER_BYTES;
	uint32_t record_bytes = HEADER_BYTES + header->size_bytes + stream_tag_bytes(stream);

	if (stream_open(stream, payload - HEADER_BYTES, payload, header->size_bytes,
	                payload + header->size_bytes) < 0)
		return -EPROTO;
	if ((header->kind & ~TCP_WIRE_SEALED) == TCP_WIRE_SMALL) {
		stream->begin += record_bytes;
		*ret_message = (struct tcp_stream_message){payload, header->size_bytes};
		return TCP_STREAM_SMALL;
	}
	if (header->size_bytes != sizeof(struct tcp_wire_hello))
		return stream_refuse(stream, "hello of %u bytes", header->size_bytes);
	if (memcmp(payload, TCP_WIRE_MAGIC, TCP_WIRE_MAGIC_BYTES) != 0)
		return stream_refuse(stream, "bad magic in hello");
	stream->begin += record_bytes;
	stream->greeted = true;
	*ret_message =
	        (struct tcp_stream_message){payload + TCP_WIRE_MAGIC_BYTES, SLU_DRIVER_HELLO_BYTES};
	return TCP_STREAM_HELLO;
}

int tcp_stream_next(struct tcp_stream *stream, struct tcp_stream_message *ret_message)
{
	struct tcp_wire_header header;
	uint32_t staged = stream->end - stream->begin;
	int r;

	if (stream->reason[0])
		return -EPROTO;
	if (stream->frame_bytes) {
		if (!stream->frame)
			return TCP_STREAM_BUFFER;
		if (stream->frame_got < stream->frame_bytes)
			return TCP_STREAM_MORE;
		return stream_frame(stream, ret_message);
	}
	if (staged < HEADER_BYTES)
		return TCP_STREAM_MORE;
	memcpy(&header, stream->staging + stream->begin, sizeof header);
	header.size_bytes = le32toh(header.size_bytes);
	header.check = le16toh(header.check);
	r = header_check(stream, &header);
	if (r < 0)
		return r;
	if ((header.kind & ~TCP_WIRE_SEALED) == TCP_WIRE_FRAME) {
		memcpy(stream->frame_header, stream->staging + stream->begin, HEADER_BYTES);
		stream->begin += HEADER_BYTES;
		stream->frame_bytes = header.size_bytes;
		stream->frame_got = 0;
		return TCP_STREAM_BUFFER;
	}
	if (staged < HEADER_BYTES + header.size_bytes + stream_tag_bytes(stream))
		return TCP_STREAM_MORE;
	return stream_take(stream, &header, ret_message);
}

void tcp_stream_give(struct tcp_stream *stream, void *buffer)
{
	uint32_t staged = stream->end - stream->begin;
	uint32_t count = staged < stream->frame_bytes ? staged : stream->frame_bytes;

	memcpy(buffer, stream->staging + stream->begin, count);
	stream->begin += count;
	stream->frame = buffer;
	stream->frame_got = count;
	stream->copied_bytes += count;
}

void *tcp_stream_reclaim(struct tcp_stream *stream)
{
	void *buffer = stream->frame;

	stream->frame = NULL;
	return buffer;
}

int tcp_stream_finish(struct tcp_stream *stream)
{
	if (stream->reason[0])
		return -EPROTO;
	if (stream->frame_bytes)
		return stream_refuse(stream, "connection ended after %u of %u bytes of a message",
		                     stream->frame_got, stream->frame_bytes);
	if (stream->end != stream->begin)
		return stream_refuse(stream, "connection ended inside a message");
	return 0;
}
