/* SPDX-License-Identifier: Apache-2.0 */
/* wal_codec.c - see wal_codec.h. */
#include "walstream/wal_codec.h"

#include <endian.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static_assert(sizeof(((struct wal_start_wire *)0)->name) == SLU_WAL_NAME_MAX, "a name fits");

__attribute__((format(printf, 2, 3))) static int codec_fail(char *error, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(error, WAL_TEXT_MAX, format, args);
	va_end(args);
	return -EPROTO;
}

static bool is_printable(const char *text, size_t size_bytes)
{
	for (size_t i = 0; i < size_bytes; i++)
		if (text[i] < ' ' || text[i] > '~')
			return false;
	return true;
}

/* Another process may write to the frame while it is read: every message is
 * copied once and only the copy is looked at. */
static int take(void *wire, size_t wire_bytes, const void *data, size_t size_bytes,
                const char *name, char *error)
{
	if (size_bytes != wire_bytes)
		return codec_fail(error, "a %s of %zu bytes", name, size_bytes);
	memcpy(wire, data, wire_bytes);
	return 0;
}

static int start_decode(const void *data, size_t size_bytes, struct wal_start *ret_start,
                        char *error)
{
	struct wal_start_wire wire;
	size_t length;

	if (size_bytes < offsetof(struct wal_start_wire, reserved))
		return codec_fail(error, "a START of %zu bytes", size_bytes);
	memcpy(&wire, data, offsetof(struct wal_start_wire, reserved));
	if (le32toh(wire.magic) != WAL_MAGIC)
		return codec_fail(error, "not a WAL stream");
	ret_start->version = le16toh(wire.version);
	if (ret_start->version != WAL_PROTOCOL_VERSION) {
		codec_fail(error, "the receiver speaks version %u of the WAL stream, this is %u",
		           ret_start->version, WAL_PROTOCOL_VERSION);
		return -EPROTONOSUPPORT;
	}
	if (take(&wire, sizeof(wire), data, size_bytes, "START", error))
		return -EPROTO;
	length = strnlen(wire.name, sizeof(wire.name));
	if (wire.reserved || wire.reserved2 || length == sizeof(wire.name) ||
	    !is_printable(wire.name, length))
		return codec_fail(error, "a malformed START");
	for (size_t i = length; i < sizeof(wire.name); i++)
		if (wire.name[i])
			return codec_fail(error, "a malformed START");
	memcpy(ret_start->name, wire.name, sizeof(wire.name));
	ret_start->system_id = le64toh(wire.system_id);
	ret_start->start_lsn = le64toh(wire.start_lsn);
	ret_start->timeline = le32toh(wire.timeline);
	return 0;
}

static int status_decode(const void *data, size_t size_bytes, struct wal_status *ret_status,
                         char *error)
{
	struct wal_status_wire wire;

	if (take(&wire, sizeof(wire), data, size_bytes, "STATUS", error))
		return -EPROTO;
	*ret_status = (struct wal_status){
	        .positions = {.write_lsn = le64toh(wire.write_lsn),
	                      .flush_lsn = le64toh(wire.flush_lsn),
	                      .apply_lsn = le64toh(wire.apply_lsn)},
	        .echo_stamp_ns = le64toh(wire.echo_stamp_ns),
	        .hold_ns = le64toh(wire.hold_ns),
	        .wall_ns = (int64_t)le64toh((uint64_t)wire.wall_ns),
	        .flags = le32toh(wire.flags),
	};
	if (wire.reserved || ret_status->flags & ~WAL_FLAG_REPLY)
		return codec_fail(error, "a malformed STATUS");
	return 0;
}

static int welcome_decode(const void *data, size_t size_bytes, struct wal_welcome *ret_welcome,
                          char *error)
{
	struct wal_welcome_wire wire;

	if (take(&wire, sizeof(wire), data, size_bytes, "WELCOME", error))
		return -EPROTO;
	*ret_welcome = (struct wal_welcome){
	        .system_id = le64toh(wire.system_id),
	        .start_lsn = le64toh(wire.start_lsn),
	        .end_lsn = le64toh(wire.end_lsn),
	        .stamp_ns = le64toh(wire.stamp_ns),
	        .wall_offset_ns = le64toh(wire.wall_offset_ns),
	        .timeline = le32toh(wire.timeline),
	};
	if (wire.reserved || ret_welcome->start_lsn > ret_welcome->end_lsn)
		return codec_fail(error, "a malformed WELCOME");
	return 0;
}

static int data_decode(const void *data, size_t size_bytes, struct wal_data *ret_data, char *error)
{
	struct wal_data_wire wire;

	if (size_bytes <= sizeof(wire))
		return codec_fail(error, "DATA of %zu bytes", size_bytes);
	memcpy(&wire, data, sizeof(wire));
	*ret_data = (struct wal_data){
	        .lsn = le64toh(wire.lsn),
	        .end_lsn = le64toh(wire.end_lsn),
	        .stamp_ns = le64toh(wire.stamp_ns),
	        .timeline = le32toh(wire.timeline),
	        .bytes = (const uint8_t *)data + sizeof(wire),
	        .size_bytes = size_bytes - sizeof(wire),
	};
	if (wire.reserved || ret_data->lsn > ret_data->end_lsn ||
	    ret_data->size_bytes > ret_data->end_lsn - ret_data->lsn)
		return codec_fail(error, "malformed DATA");
	return 0;
}

static int keepalive_decode(const void *data, size_t size_bytes,
                            struct wal_keepalive *ret_keepalive, char *error)
{
	struct wal_keepalive_wire wire;

	if (take(&wire, sizeof(wire), data, size_bytes, "KEEPALIVE", error))
		return -EPROTO;
	*ret_keepalive = (struct wal_keepalive){
	        .sent_lsn = le64toh(wire.sent_lsn),
	        .end_lsn = le64toh(wire.end_lsn),
	        .stamp_ns = le64toh(wire.stamp_ns),
	        .timeline = le32toh(wire.timeline),
	        .flags = le32toh(wire.flags),
	};
	if (ret_keepalive->flags & ~WAL_FLAG_REPLY)
		return codec_fail(error, "a malformed KEEPALIVE");
	return 0;
}

static int timeline_end_decode(const void *data, size_t size_bytes,
                               struct wal_timeline_end *ret_end, char *error)
{
	struct wal_timeline_end_wire wire;

	if (take(&wire, sizeof(wire), data, size_bytes, "TIMELINE_END", error))
		return -EPROTO;
	*ret_end = (struct wal_timeline_end){
	        .end_lsn = le64toh(wire.end_lsn),
	        .timeline = le32toh(wire.timeline),
	        .next_timeline = le32toh(wire.next_timeline),
	};
	return 0;
}

static int finish_decode(const void *data, size_t size_bytes, struct wal_finish *ret_finish,
                         char *error)
{
	struct wal_finish_wire wire;

	if (take(&wire, sizeof(wire), data, size_bytes, "FINISH", error))
		return -EPROTO;
	*ret_finish = (struct wal_finish){
	        .end_lsn = le64toh(wire.end_lsn),
	        .timeline = le32toh(wire.timeline),
	};
	return wire.reserved ? codec_fail(error, "a malformed FINISH") : 0;
}

int wal_message_decode(uint16_t type, const void *data, size_t size_bytes,
                       struct wal_message *ret_message, char *error)
{
	ret_message->type = type;
	switch (type) {
	case WAL_START:
		return start_decode(data, size_bytes, &ret_message->start, error);
	case WAL_STATUS:
		return status_decode(data, size_bytes, &ret_message->status, error);
	case WAL_WELCOME:
		return welcome_decode(data, size_bytes, &ret_message->welcome, error);
	case WAL_DATA:
		return data_decode(data, size_bytes, &ret_message->data, error);
	case WAL_KEEPALIVE:
		return keepalive_decode(data, size_bytes, &ret_message->keepalive, error);
	case WAL_TIMELINE_END:
		return timeline_end_decode(data, size_bytes, &ret_message->timeline_end, error);
	case WAL_FINISH:
		return finish_decode(data, size_bytes, &ret_message->finish, error);
	default:
		return codec_fail(error, "a message of type %u", type);
	}
}

/* ---- encoding -------------------------------------------------------------- */

static size_t put(void *ret_data, const void *wire, size_t wire_bytes)
{
	memcpy(ret_data, wire, wire_bytes);
	return wire_bytes;
}

static size_t start_encode(const struct wal_start *start, void *ret_data)
{
	struct wal_start_wire wire = {
	        .magic = htole32(WAL_MAGIC),
	        .version = htole16(WAL_PROTOCOL_VERSION),
	        .system_id = htole64(start->system_id),
	        .start_lsn = htole64(start->start_lsn),
	        .timeline = htole32(start->timeline),
	};

	memcpy(wire.name, start->name, strnlen(start->name, sizeof(wire.name) - 1));
	return put(ret_data, &wire, sizeof(wire));
}

static size_t status_encode(const struct wal_status *status, void *ret_data)
{
	struct wal_status_wire wire = {
	        .write_lsn = htole64(status->positions.write_lsn),
	        .flush_lsn = htole64(status->positions.flush_lsn),
	        .apply_lsn = htole64(status->positions.apply_lsn),
	        .echo_stamp_ns = htole64(status->echo_stamp_ns),
	        .hold_ns = htole64(status->hold_ns),
	        .wall_ns = (int64_t)htole64((uint64_t)status->wall_ns),
	        .flags = htole32(status->flags),
	};

	return put(ret_data, &wire, sizeof(wire));
}

static size_t welcome_encode(const struct wal_welcome *welcome, void *ret_data)
{
	struct wal_welcome_wire wire = {
	        .system_id = htole64(welcome->system_id),
	        .start_lsn = htole64(welcome->start_lsn),
	        .end_lsn = htole64(welcome->end_lsn),
	        .stamp_ns = htole64(welcome->stamp_ns),
	        .wall_offset_ns = htole64(welcome->wall_offset_ns),
	        .timeline = htole32(welcome->timeline),
	};

	return put(ret_data, &wire, sizeof(wire));
}

static size_t data_encode(const struct wal_data *data, void *ret_data)
{
	struct wal_data_wire wire = {
	        .lsn = htole64(data->lsn),
	        .end_lsn = htole64(data->end_lsn),
	        .stamp_ns = htole64(data->stamp_ns),
	        .timeline = htole32(data->timeline),
	};

	return put(ret_data, &wire, sizeof(wire));
}

static size_t keepalive_encode(const struct wal_keepalive *keepalive, void *ret_data)
{
	struct wal_keepalive_wire wire = {
	        .sent_lsn = htole64(keepalive->sent_lsn),
	        .end_lsn = htole64(keepalive->end_lsn),
	        .stamp_ns = htole64(keepalive->stamp_ns),
	        .timeline = htole32(keepalive->timeline),
	        .flags = htole32(keepalive->flags),
	};

	return put(ret_data, &wire, sizeof(wire));
}

size_t wal_message_encode(const struct wal_message *message, void *ret_data)
{
	switch (message->type) {
	case WAL_START:
		return start_encode(&message->start, ret_data);
	case WAL_STATUS:
		return status_encode(&message->status, ret_data);
	case WAL_WELCOME:
		return welcome_encode(&message->welcome, ret_data);
	case WAL_DATA:
		return data_encode(&message->data, ret_data);
	case WAL_KEEPALIVE:
		return keepalive_encode(&message->keepalive, ret_data);
	case WAL_TIMELINE_END: {
		struct wal_timeline_end_wire wire = {
		        .end_lsn = htole64(message->timeline_end.end_lsn),
		        .timeline = htole32(message->timeline_end.timeline),
		        .next_timeline = htole32(message->timeline_end.next_timeline),
		};

		return put(ret_data, &wire, sizeof(wire));
	}
	default: {
		struct wal_finish_wire wire = {
		        .end_lsn = htole64(message->finish.end_lsn),
		        .timeline = htole32(message->finish.timeline),
		};

		return put(ret_data, &wire, sizeof(wire));
	}
	}
}
