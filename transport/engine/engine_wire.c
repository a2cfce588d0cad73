/* SPDX-License-Identifier: Apache-2.0 */
/*
 * engine_wire.c - see engine_wire.h. A decoder trusts nothing but its sizes:
 * every field is checked against what the protocol allows before anyone acts
 * on it; whether it fits the state of the channel is for the caller.
 */
#include "transport/engine/engine_wire.h"

#include "transport/engine/crc32c.h"

#include <endian.h>
#include <string.h>

#define WIRE_RENDEZVOUS_MS_MAX (24u * 3600 * 1000)

/* ---- control ------------------------------------------------------------- */

static struct wire_key wire_key_encode(const struct slu_key *key)
{
	return (struct wire_key){
	        .cluster = htole64(key->cluster),
	        .query = htole64(key->query),
	        .motion = htole32(key->motion),
	        .source = htole32(key->source),
	        .destination = htole32(key->destination),
	};
}

static struct slu_key wire_key_decode(const struct wire_key *key)
{
	return (struct slu_key){
	        .cluster = le64toh(key->cluster),
	        .query = le64toh(key->query),
	        .motion = le32toh(key->motion),
	        .source = le32toh(key->source),
	        .destination = le32toh(key->destination),
	};
}

size_t wire_open_encode(void *message, const struct wire_open *open, const struct slu_key *key)
{
	struct wire_open wire = *open;

	wire.type = WIRE_OPEN;
	wire.reserved = 0;
	wire.lane = htole32(open->lane);
	wire.peer_lane = htole32(open->peer_lane);
	wire.rendezvous_ms =
	        htole32(open->rendezvous_ms < WIRE_RENDEZVOUS_MS_MAX ? open->rendezvous_ms
	                                                             : WIRE_RENDEZVOUS_MS_MAX);
	wire.limit_pos = htole64(open->limit_pos);
	wire.key = wire_key_encode(key);
	memcpy(message, &wire, sizeof(wire));
	return sizeof(wire);
}

size_t wire_end_encode(void *message, const struct wire_end *end, const struct slu_key *key,
                       const char *text)
{
	struct wire_end wire = *end;
	size_t text_bytes = strnlen(text, WIRE_TEXT_MAX);

	wire.type = WIRE_END;
	wire.text_bytes = (uint8_t)text_bytes;
	wire.lane = htole32(end->lane);
	wire.peer_lane = htole32(end->peer_lane);
	wire.error = htole32(end->error);
	wire.key = wire_key_encode(key);
	memcpy(message, &wire, sizeof(wire));
	memcpy((uint8_t *)message + sizeof(wire), text, text_bytes);
	return sizeof(wire) + text_bytes;
}

size_t wire_end_ack_encode(void *message, uint32_t lane)
{
	struct wire_end_ack wire = {.type = WIRE_END_ACK, .lane = htole32(lane)};

	memcpy(message, &wire, sizeof(wire));
	return sizeof(wire);
}

size_t wire_session_request_encode(void *message, uint8_t index)
{
	struct wire_session_request wire = {.type = WIRE_SESSION_REQUEST, .index = index};

	memcpy(message, &wire, sizeof(wire));
	return sizeof(wire);
}

size_t wire_session_grant_encode(void *message, const struct wire_session_grant *grant)
{
	struct wire_session_grant wire = *grant;

	wire.type = WIRE_SESSION_GRANT;
	wire.reserved = 0;
	wire.peer = htole32(grant->peer);
	memcpy(message, &wire, sizeof(wire));
	return sizeof(wire);
}

static const char *wire_open_decode(const void *message, size_t size_bytes,
                                    struct wire_control *control)
{
	struct wire_open *open = &control->open;

	if (size_bytes != sizeof(*open))
		return "OPEN of a wrong size";
	memcpy(open, message, sizeof(*open));
	open->lane = le32toh(open->lane);
	open->peer_lane = le32toh(open->peer_lane);
	open->rendezvous_ms = le32toh(open->rendezvous_ms);
	open->limit_pos = le64toh(open->limit_pos);
	control->key = wire_key_decode(&open->key);
	if (open->direction != SLU_SEND && open->direction != SLU_RECV)
		return "OPEN with a direction that does not exist";
	if (open->flags & ~WIRE_OPEN_URGENT || open->reserved || open->key.reserved)
		return "OPEN with unknown flags";
	if (!LANE_EPOCH(open->lane))
		return "OPEN without a lane";
	if (open->peer_lane && !LANE_EPOCH(open->peer_lane))
		return "OPEN to a lane that cannot be";
	if (open->rendezvous_ms > WIRE_RENDEZVOUS_MS_MAX)
		return "OPEN with a rendezvous time beyond a day";
	return NULL;
}

static const char *wire_end_text_decode(const struct wire_end *end, const char *bytes, char *text)
{
	/* It ends in logs and in users' error messages. */
	for (unsigned i = 0; i < end->text_bytes; i++)
		text[i] = (unsigned char)bytes[i] < ' ' || bytes[i] == 0x7f ? '?' : bytes[i];
	text[end->text_bytes] = '\0';
	return NULL;
}

static const char *wire_end_decode(const void *message, size_t size_bytes,
                                   struct wire_control *control)
{
	struct wire_end *end = &control->end;

	if (size_bytes < sizeof(*end))
		return "END cut short";
	memcpy(end, message, sizeof(*end));
	end->lane = le32toh(end->lane);
	end->peer_lane = le32toh(end->peer_lane);
	end->error = le32toh(end->error);
	control->key = wire_key_decode(&end->key);
	if (size_bytes != sizeof(*end) + end->text_bytes || end->text_bytes > WIRE_TEXT_MAX)
		return "END of a wrong size";
	if (end->direction != SLU_SEND && end->direction != SLU_RECV)
		return "END with a direction that does not exist";
	if (end->error > 4095 || end->key.reserved)
		return "END with an error that does not exist";
	if (end->error ? end->flags != 0
	               : end->flags != WIRE_END_COMPLETE && end->flags != WIRE_END_STOPPED)
		return "END for no reason";
	if (end->lane ? !LANE_EPOCH(end->lane) : !end->peer_lane || !end->error)
		return "END of no lane";
	if (end->peer_lane && !LANE_EPOCH(end->peer_lane))
		return "END to a lane that cannot be";
	return wire_end_text_decode(end, (const char *)message + sizeof(*end), control->text);
}

static const char *wire_end_ack_decode(const void *message, size_t size_bytes,
                                       struct wire_control *control)
{
	struct wire_end_ack *ack = &control->end_ack;

	if (size_bytes != sizeof(*ack))
		return "END_ACK of a wrong size";
	memcpy(ack, message, sizeof(*ack));
	ack->lane = le32toh(ack->lane);
	return LANE_EPOCH(ack->lane) ? NULL : "END_ACK of no lane";
}

static const char *wire_session_request_decode(const void *message, size_t size_bytes,
                                               struct wire_control *control)
{
	if (size_bytes != sizeof(control->session_request))
		return "SESSION_REQUEST of a wrong size";
	memcpy(&control->session_request, message, sizeof(control->session_request));
	return NULL;
}

static const char *wire_session_grant_decode(const void *message, size_t size_bytes,
                                             struct wire_control *control)
{
	struct wire_session_grant *grant = &control->session_grant;

	if (size_bytes != sizeof(*grant))
		return "SESSION_GRANT of a wrong size";
	memcpy(grant, message, sizeof(*grant));
	grant->peer = le32toh(grant->peer);
	return grant->flags & ~WIRE_SESSION_CRC32C ? "SESSION_GRANT with unknown flags" : NULL;
}

const char *wire_control_decode(const void *message, size_t size_bytes,
                                struct wire_control *ret_control)
{
	uint8_t type;

	if (size_bytes < 1)
		return "an empty control message";
	memcpy(&type, message, 1);
	ret_control->type = (enum wire_control_type)type;
	switch (type) {
	case WIRE_OPEN:
		return wire_open_decode(message, size_bytes, ret_control);
	case WIRE_END:
		return wire_end_decode(message, size_bytes, ret_control);
	case WIRE_END_ACK:
		return wire_end_ack_decode(message, size_bytes, ret_control);
	case WIRE_SESSION_REQUEST:
		return wire_session_request_decode(message, size_bytes, ret_control);
	case WIRE_SESSION_GRANT:
		return wire_session_grant_decode(message, size_bytes, ret_control);
	default:
		return "a control message of an unknown type";
	}
}

/* ---- sessions ------------------------------------------------------------ */

void wire_hello_encode(void *message, const struct wire_hello *hello)
{
	struct wire_hello wire = *hello;

	wire.magic = htole32(WIRE_MAGIC);
	wire.version = htole16(WIRE_VERSION);
	wire.peer = htole32(hello->peer);
	wire.reserved = 0;
	memcpy(message, &wire, sizeof(wire));
}

const char *wire_hello_decode(const void *message, struct wire_hello *ret_hello)
{
	memcpy(ret_hello, message, sizeof(*ret_hello));
	ret_hello->magic = le32toh(ret_hello->magic);
	ret_hello->version = le16toh(ret_hello->version);
	ret_hello->peer = le32toh(ret_hello->peer);
	if (ret_hello->magic != WIRE_MAGIC)
		return "a hello of another protocol";
	if (ret_hello->version != WIRE_VERSION)
		return "a hello of another version";
	if (ret_hello->flags & ~WIRE_SESSION_CRC32C || ret_hello->reserved)
		return "a hello with unknown flags";
	return NULL;
}

void wire_small_encode(void *message, const struct wire_small *small)
{
	struct wire_small wire = {
	        .lane = htole32(small->lane),
	        .type = small->type,
	        .flags = small->flags,
	        .limit_pos = htole64(small->limit_pos),
	        .pos = htole64(small->pos),
	};

	wire.crc32c = htole32(crc32c(0, &wire, offsetof(struct wire_small, crc32c)));
	memcpy(message, &wire, sizeof(wire));
}

const char *wire_small_decode(const void *message, size_t size_bytes, struct wire_small *ret_small)
{
	struct wire_small *small = ret_small;

	if (size_bytes != sizeof(*small))
		return "a small message of a wrong size";
	memcpy(small, message, sizeof(*small));
	if (le32toh(small->crc32c) != crc32c(0, message, offsetof(struct wire_small, crc32c)))
		return "a small message with a wrong checksum";
	small->lane = le32toh(small->lane);
	small->limit_pos = le64toh(small->limit_pos);
	small->pos = le64toh(small->pos);
	if (small->type < WIRE_CREDIT || small->type > WIRE_PROBE)
		return "a small message of an unknown type";
	if (small->flags & ~(small->type == WIRE_CREDIT ? WIRE_CREDIT_STOP : 0))
		return "a small message with unknown flags";
	if (!LANE_EPOCH(small->lane))
		return "a small message to no lane";
	return NULL;
}

/* crc32c of the message as it lies there, with 0 in the checksum's place. */
static uint32_t wire_data_crc32c(const struct frame_wire *wire, uint32_t size_bytes)
{
	struct frame_wire header = *wire;

	header.crc32c = 0;
	return crc32c(crc32c(0, &header, sizeof(header)), wire + 1, size_bytes);
}

void wire_data_encode(struct frame_wire *wire, const struct frame_wire *header)
{
	*wire = (struct frame_wire){
	        .channel = htole32(header->channel),
	        .size_bytes = htole32(header->size_bytes),
	        .pos = htole64(header->pos),
	        .tag = htole16(header->tag),
	        .type = WIRE_DATA,
	        .flags = header->flags,
	};
	if (header->flags & WIRE_DATA_CRC32C)
		wire->crc32c = htole32(wire_data_crc32c(wire, header->size_bytes));
}

const char *wire_data_decode(struct frame_wire *wire, uint32_t size_bytes, bool crc_needed,
                             bool *ret_corrupt)
{
	*ret_corrupt = false;
	if (size_bytes < sizeof(*wire))
		return "a frame shorter than its header";
	if (crc_needed) {
		*ret_corrupt = true;
		if (!(wire->flags & WIRE_DATA_CRC32C))
			return "a frame without the checksum that was agreed";
		if (le32toh(wire->crc32c) !=
		    wire_data_crc32c(wire, size_bytes - (uint32_t)sizeof(*wire)))
			return "a frame with a wrong checksum";
		*ret_corrupt = false;
	}
	wire->channel = le32toh(wire->channel);
	wire->size_bytes = le32toh(wire->size_bytes);
	wire->pos = le64toh(wire->pos);
	wire->tag = le16toh(wire->tag);
	if (wire->type != WIRE_DATA)
		return "a frame of an unknown type";
	if (wire->flags & ~(WIRE_DATA_CRC32C | WIRE_DATA_ACK | WIRE_DATA_MORE))
		return "a frame with unknown flags";
	if (wire->size_bytes != size_bytes - sizeof(*wire))
		return "a frame that is not as long as its header says";
	if (!LANE_EPOCH(wire->channel))
		return "a frame to no lane";
	return NULL;
}
