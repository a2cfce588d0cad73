/* SPDX-License-Identifier: Apache-2.0 */
/* peer_codec.c - see peer_codec.h. */
#include "transport/agent/peer_codec.h"

#include <sluice/sluice.h>

#include <endian.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static_assert(sizeof(struct peer_hello_wire) + CONFIG_NAME_MAX +
                              PEER_RAILS_MAX *
                                      (sizeof(struct peer_rail_wire) + sizeof(struct peer_rail)) <=
                      PEER_PAYLOAD_HELLO_MAX,
              "the largest HELLO fits");

struct reader {
	const uint8_t *next;
	size_t left_bytes;
};

__attribute__((format(printf, 2, 3))) static int codec_fail(char *error, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(error, PEER_TEXT_MAX, format, args);
	va_end(args);
	return -EPROTO;
}

static int reader_take(struct reader *reader, void *ret_data, size_t size_bytes)
{
	if (reader->left_bytes < size_bytes)
		return -EPROTO;
	memcpy(ret_data, reader->next, size_bytes);
	reader->next += size_bytes;
	reader->left_bytes -= size_bytes;
	return 0;
}

/* A word of size_bytes without white space; ret_text has room for max with NUL. */
static int reader_word(struct reader *reader, char *ret_text, size_t size_bytes, size_t max)
{
	if (size_bytes == 0 || size_bytes >= max || reader_take(reader, ret_text, size_bytes))
		return -EPROTO;
	ret_text[size_bytes] = '\0';
	for (size_t i = 0; i < size_bytes; i++)
		if (ret_text[i] <= ' ' || ret_text[i] > '~')
			return -EPROTO;
	return 0;
}

int peer_header_decode(const void *data, size_t size_bytes, uint32_t payload_max,
                       uint16_t *ret_type, uint32_t *ret_payload_bytes, char *error)
{
	struct peer_header_wire wire;
	uint32_t payload_bytes;

	if (size_bytes < sizeof(wire))
		return SLU_AGAIN;
	memcpy(&wire, data, sizeof(wire));
	payload_bytes = le32toh(wire.size_bytes);
	if (wire.reserved)
		return codec_fail(error, "not a message header");
	if (payload_bytes > payload_max)
		return codec_fail(error, "a message of %u bytes; at most %u here", payload_bytes,
		                  payload_max);
	*ret_type = le16toh(wire.type);
	*ret_payload_bytes = payload_bytes;
	return 0;
}

void peer_header_encode(uint16_t type, uint32_t payload_bytes, void *ret_data)
{
	struct peer_header_wire wire = {
	        .size_bytes = htole32(payload_bytes),
	        .type = htole16(type),
	};

	memcpy(ret_data, &wire, sizeof(wire));
}

static int hello_rails_decode(struct reader *reader, struct peer_hello *hello, char *error)
{
	for (uint32_t i = 0; i < hello->rail_count; i++) {
		struct peer_rail *rail = &hello->rails[i];
		struct peer_rail_wire wire;

		if (reader_take(reader, &wire, sizeof(wire)) || wire.reserved ||
		    reader_word(reader, rail->driver, wire.driver_size, sizeof(rail->driver)) ||
		    reader_word(reader, rail->address, le16toh(wire.address_size),
		                sizeof(rail->address)))
			return codec_fail(error, "HELLO: rail %u is malformed", i);
	}
	return 0;
}

int peer_hello_decode(const void *data, size_t size_bytes, struct peer_hello *ret_hello,
                      char *error)
{
	struct reader reader = {data, size_bytes};
	struct peer_hello_wire wire;
	struct peer_hello hello = {0};

	memset(&wire, 0, sizeof(wire));
	/* Only magic and version are where they are for every version. */
	memcpy(&wire, data, size_bytes < sizeof(wire) ? size_bytes : sizeof(wire));
	if (size_bytes < offsetof(struct peer_hello_wire, poller_count) ||
	    le32toh(wire.magic) != PEER_MAGIC)
		return codec_fail(error, "not the HELLO of a Sluice agent");
	hello.version = le16toh(wire.version);
	if (hello.version != PEER_PROTOCOL_VERSION) {
		ret_hello->version = hello.version;
		codec_fail(error, "protocol version %u; this agent speaks %u", hello.version,
		           PEER_PROTOCOL_VERSION);
		return -EPROTONOSUPPORT;
	}
	if (reader_take(&reader, &wire, sizeof(wire)))
		return codec_fail(error, "HELLO is cut short");
	hello.poller_count = le16toh(wire.poller_count);
	hello.cluster_id = le64toh(wire.cluster_id);
	hello.generation = le64toh(wire.generation);
	hello.known_generation = le64toh(wire.known_generation);
	hello.frame_size_bytes = le32toh(wire.frame_size_bytes);
	hello.rail_count = wire.rail_count;
	hello.encrypt = le16toh(wire.flags) & PEER_HELLO_ENCRYPT;
	if (le16toh(wire.flags) & ~PEER_HELLO_ENCRYPT || !hello.generation ||
	    hello.rail_count > PEER_RAILS_MAX)
		return codec_fail(error, "HELLO is malformed");
	if (reader_word(&reader, hello.node, wire.name_size, sizeof(hello.node)) ||
	    !config_name_valid(hello.node))
		return codec_fail(error, "HELLO has no valid node name");
	if (hello_rails_decode(&reader, &hello, error))
		return -EPROTO;
	if (reader.left_bytes)
		return codec_fail(error, "HELLO has %zu bytes too many", reader.left_bytes);
	*ret_hello = hello;
	return 0;
}

size_t peer_hello_encode(const struct peer_hello *hello, void *ret_data)
{
	uint8_t *next = ret_data;
	struct peer_hello_wire wire = {
	        .magic = htole32(PEER_MAGIC),
	        .version = htole16(hello->version),
	        .poller_count = htole16(hello->poller_count),
	        .cluster_id = htole64(hello->cluster_id),
	        .generation = htole64(hello->generation),
	        .known_generation = htole64(hello->known_generation),
	        .frame_size_bytes = htole32(hello->frame_size_bytes),
	        .name_size = (uint8_t)strlen(hello->node),
	        .rail_count = (uint8_t)hello->rail_count,
	        .flags = htole16(hello->encrypt ? PEER_HELLO_ENCRYPT : 0),
	};

	next = mempcpy(next, &wire, sizeof(wire));
	next = mempcpy(next, hello->node, wire.name_size);
	for (uint32_t i = 0; i < hello->rail_count; i++) {
		const struct peer_rail *rail = &hello->rails[i];
		size_t driver_size = strlen(rail->driver);
		size_t address_size = strlen(rail->address);
		struct peer_rail_wire rail_wire = {
		        .driver_size = (uint8_t)driver_size,
		        .address_size = htole16((uint16_t)address_size),
		};

		next = mempcpy(next, &rail_wire, sizeof(rail_wire));
		next = mempcpy(next, rail->driver, driver_size);
		next = mempcpy(next, rail->address, address_size);
	}
	return (size_t)(next - (uint8_t *)ret_data);
}

int peer_refuse_decode(const void *data, size_t size_bytes, struct peer_refuse *ret_refuse,
                       char *error)
{
	struct reader reader = {data, size_bytes};
	struct peer_refuse_wire wire;
	struct peer_refuse refuse = {0};
	size_t text_size;

	if (reader_take(&reader, &wire, sizeof(wire)))
		return codec_fail(error, "REFUSE is cut short");
	text_size = le16toh(wire.text_size);
	if (text_size != reader.left_bytes || text_size >= sizeof(refuse.text))
		return codec_fail(error, "REFUSE is malformed");
	refuse.code = le16toh(wire.code);
	memcpy(refuse.text, reader.next, text_size);
	for (size_t i = 0; i < text_size; i++)
		if (refuse.text[i] < ' ' || refuse.text[i] > '~' || refuse.text[i] == '"')
			refuse.text[i] = '?';
	*ret_refuse = refuse;
	return 0;
}

size_t peer_refuse_encode(uint16_t code, const char *text, void *ret_data)
{
	size_t text_size = strnlen(text, PEER_TEXT_MAX - 1);
	struct peer_refuse_wire wire = {
	        .code = htole16(code),
	        .text_size = htole16((uint16_t)text_size),
	};

	memcpy(mempcpy(ret_data, &wire, sizeof(wire)), text, text_size);
	return sizeof(wire) + text_size;
}

int peer_ping_decode(const void *data, size_t size_bytes, uint64_t *ret_stamp, char *error)
{
	struct peer_ping_wire wire;

	if (size_bytes != sizeof(wire))
		return codec_fail(error, "a PING or PONG of %zu bytes", size_bytes);
	memcpy(&wire, data, sizeof(wire));
	*ret_stamp = le64toh(wire.stamp);
	return 0;
}

size_t peer_ping_encode(uint64_t stamp, void *ret_data)
{
	struct peer_ping_wire wire = {.stamp = htole64(stamp)};

	memcpy(ret_data, &wire, sizeof(wire));
	return sizeof(wire);
}
