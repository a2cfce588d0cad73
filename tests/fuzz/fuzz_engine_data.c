/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_engine_data.c - what a peer may send on sessions: hellos, small messages,
 * frames, to an engine with one channel for receiving and one for sending. An
 * input is a row of steps: a byte that says what it is and whether to put the
 * right checksum, a byte of length, so many bytes.
 */
#include "tests/unit/engine_fixture.h"
#include "transport/log.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct hosts hosts;
static struct host *const engine = &hosts.host[0];
static struct host *const stranger = &hosts.host[1];
static struct chan_tx tx;
static struct chan_rx rx;

static void world_open(bool crc32c)
{
	hosts_start(&hosts, &(struct hosts_config){.count = 2,
	                                           .strangers = 1,
	                                           .receive_frames = 16,
	                                           .advertise_ns = SLU_NS_PER_S,
	                                           .crc32c = crc32c});
	if (host_open(engine, 0, 1, SLU_RECV, 0, 0) != 0 ||
	    host_open(engine, 1, 1, SLU_SEND, 1, 1) != 0)
		abort();
	chan_rx_init(&rx, &engine->ports[HOST_PROCESS], 0, 0);
	chan_tx_init(&tx, &engine->ports[HOST_PROCESS], 1);
}

/* The stranger's ends of both, so that the channels are joined. */
static void world_join(void)
{
	struct wire_open open = {
	        .direction = SLU_SEND, .lane = LANE(1, 5), .peer_lane = LANE(1, 0)};
	struct slu_key keys[] = {host_key(0), host_key(1)};
	struct slu_token token = host_token(1);
	uint8_t message[WIRE_CONTROL_MAX];

	stranger_tell(stranger, 0, message, wire_open_encode(message, &open, &keys[0]));
	open = (struct wire_open){.direction = SLU_RECV, .lane = LANE(1, 6), .limit_pos = 2};
	memcpy(open.token, token.bytes, sizeof(open.token));
	stranger_tell(stranger, 0, message, wire_open_encode(message, &open, &keys[1]));
	host_send(&tx, 0);
	host_send(&tx, 1);
	stranger_connect(stranger, 0, 1);
}

static void step_small(const uint8_t *bytes, size_t size_bytes, bool seal)
{
	struct wire_small small;
	uint8_t raw[SLU_DRIVER_SMALL_MAX] = {0};

	size_bytes = size_bytes < sizeof(raw) ? size_bytes : sizeof(raw);
	memcpy(raw, bytes, size_bytes);
	if (seal) {
		memcpy(&small, raw, sizeof(small));
		wire_small_encode(raw, &small);
		size_bytes = sizeof(small);
	}
	if (size_bytes)
		slu_driver_find("loop")->send_small(stranger->driver, stranger->session, raw,
		                                    (uint32_t)size_bytes);
}

static void step_frame(const uint8_t *bytes, size_t size_bytes, bool seal)
{
	uint32_t frame_idx = frame_pool_take(stranger->arena, 0);
	struct frame_shm *frame = arena_frame(stranger->arena, frame_idx);
	struct frame_wire header = {0};

	memset(frame->payload, 0, stranger->arena->frame_capacity);
	memcpy(&frame->wire, bytes, size_bytes);
	memcpy(&header, &frame->wire, sizeof(header));
	if (seal) {
		header.size_bytes %= stranger->arena->frame_capacity + 1;
		size_bytes = sizeof(header) + header.size_bytes;
		wire_data_encode(&frame->wire, &header);
	}
	if (size_bytes)
		slu_driver_find("loop")->send(stranger->driver, stranger->session, &frame->wire,
		                              (uint32_t)size_bytes, 0);
	hosts_settle(&hosts);
	frame_pool_give(stranger->arena, 0, frame_idx);
}

static void step(uint8_t what, const uint8_t *bytes, size_t size_bytes)
{
	struct wire_hello hello;
	uint8_t raw[SLU_DRIVER_HELLO_BYTES] = {0};
	uint32_t number;
	uint64_t pos;

	switch (what % 5) {
	case 0:
	case 1:
		step_small(bytes, size_bytes, what % 5 == 1);
		break;
	case 2:
	case 3:
		step_frame(bytes, size_bytes, what % 5 == 3);
		break;
	default:
		memcpy(raw, bytes, size_bytes < sizeof(raw) ? size_bytes : sizeof(raw));
		if (!wire_hello_decode(raw, &hello))
			stranger_connect_with(stranger, 0, &hello);
		break;
	}
	hosts_settle(&hosts);
	do {
		pos = rx.pos;
		host_recv(&rx, &number);
	} while (rx.pos > pos);
}

/* Nothing of the peer's may be left, nor a frame be lost. */
static void world_close(void)
{
	struct engine_stats stats;

	engine_peer_dead(engine->engine, 1, 104, "dead", hosts.now_ns);
	host_close(engine, 0, 0);
	host_close(engine, 1, 0);
	stats = host_stats(engine);
	if (stats.channels || stats.receive_frames_promised || !host_full(engine))
		abort();
	hosts_stop(&hosts);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 1)
		return 0;
	log_set_level(LOG_LEVEL_ERROR + 1);
	world_open(data[0] & 1);
	world_join();
	for (data++, size--; size >= 2;) {
		size_t step_bytes = data[1] < size - 2 ? data[1] : size - 2;

		if (stranger->session_down)
			break;
		step(data[0], data + 2, step_bytes);
		data += 2 + step_bytes;
		size -= 2 + step_bytes;
	}
	world_close();
	return 0;
}
