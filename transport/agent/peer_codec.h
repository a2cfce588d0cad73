/* SPDX-License-Identifier: Apache-2.0 */
/*
 * peer_codec.h - between the bytes of peer_wire.h and C structs. Decoders take
 * any bytes: they refuse whatever is not exactly one message, with words.
 */
#ifndef TRANSPORT_AGENT_PEER_CODEC_H
#define TRANSPORT_AGENT_PEER_CODEC_H

#include "transport/agent/config.h"
#include "transport/agent/peer_wire.h"
#include "transport/driver.h"

#define PEER_RAILS_MAX    CONFIG_POLLERS_MAX
#define PEER_DRIVER_MAX   32u  /* bytes of a driver's name with its NUL */
#define PEER_TEXT_MAX     256u /* bytes of a reason with its NUL */
#define PEER_HEADER_BYTES sizeof(struct peer_header_wire)

/* Where one poller of an agent can be reached. */
struct peer_rail {
	char driver[PEER_DRIVER_MAX];
	char address[SLU_DRIVER_ADDRESS_MAX];
};

struct peer_hello {
	uint16_t version; /* read even where the rest is not understood */
	uint16_t poller_count;
	uint64_t cluster_id;
	uint64_t generation;
	uint64_t known_generation; /* 0: holds no state about the receiver */
	uint32_t frame_size_bytes;
	bool encrypt;
	char node[CONFIG_NAME_MAX];
	uint32_t rail_count;
	struct peer_rail rails[PEER_RAILS_MAX];
};

struct peer_refuse {
	uint16_t code;
	char text[PEER_TEXT_MAX]; /* printable ASCII only: it goes into logs */
};

/*
 * The header at the start of data. payload_max bounds what it may announce.
 *   0, SLU_AGAIN (fewer bytes than a header), -EPROTO with error (PEER_TEXT_MAX)
 */
int peer_header_decode(const void *data, size_t size_bytes, uint32_t payload_max,
                       uint16_t *ret_type, uint32_t *ret_payload_bytes, char *error);

/* Writes PEER_HEADER_BYTES. */
void peer_header_encode(uint16_t type, uint32_t payload_bytes, void *ret_data);

/* Payloads. Decoders: 0 or -EPROTO with error (PEER_TEXT_MAX bytes); hello also
 * -EPROTONOSUPPORT with ret_hello->version set. */
int peer_hello_decode(const void *data, size_t size_bytes, struct peer_hello *ret_hello,
                      char *error);
int peer_refuse_decode(const void *data, size_t size_bytes, struct peer_refuse *ret_refuse,
                       char *error);
int peer_ping_decode(const void *data, size_t size_bytes, uint64_t *ret_stamp, char *error);

/* Encoders return the bytes written; ret_data has PEER_PAYLOAD_HELLO_MAX. */
size_t peer_hello_encode(const struct peer_hello *hello, void *ret_data);
size_t peer_refuse_encode(uint16_t code, const char *text, void *ret_data);
size_t peer_ping_encode(uint64_t stamp, void *ret_data);

#endif
