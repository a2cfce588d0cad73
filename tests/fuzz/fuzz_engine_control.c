/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_engine_control.c - control messages from a peer's engine, between opens
 * and closes of local processes. An input is a row of steps: a byte that says
 * what to do, a byte of length, so many bytes. Whatever the peer said, when it
 * is dead and the local ends are closed nothing may be left of it.
 */
#include "tests/unit/engine_fixture.h"
#include "transport/log.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct hosts hosts;
static bool used[HOST_CHANNELS];

/* What decodes must come back the same when it is written again. */
static void check_round_trip(const uint8_t *message, size_t size_bytes)
{
	struct wire_control control;
	uint8_t again[WIRE_CONTROL_MAX];
	size_t again_bytes = 0;

	if (wire_control_decode(message, size_bytes, &control))
		return;
	if (control.type == WIRE_OPEN)
		again_bytes = wire_open_encode(again, &control.open, &control.key);
	else if (control.type == WIRE_END && strlen(control.text) == control.end.text_bytes)
		again_bytes = wire_end_encode(again, &control.end, &control.key, control.text);
	if (again_bytes &&
	    (again_bytes != size_bytes || memcmp(again, message, sizeof(struct wire_end)) != 0))
		abort();
}

static void step_open(uint32_t entry, uint8_t choice)
{
	if (used[entry])
		return;
	used[entry] = host_open(&hosts.host[0], entry, 1, choice & 1 ? SLU_SEND : SLU_RECV,
	                        choice >> 1 & 3, choice >> 3 & 1) == 0;
}

static void step_close(uint32_t entry, uint8_t choice)
{
	if (!used[entry])
		return;
	if (choice & 1)
		atomic_store(&arena_chan(hosts.host[0].arena, entry)->eos_pos, 1);
	host_close(&hosts.host[0], entry, choice & 2 ? 104 : 0);
	used[entry] = false;
}

static void step(uint8_t what, const uint8_t *bytes, size_t size_bytes)
{
	uint8_t choice = size_bytes ? bytes[0] : 0;
	uint32_t entry = (choice >> 4) % HOST_CHANNELS;

	switch (what % 6) {
	case 0:
		step_open(entry, choice);
		break;
	case 1:
		step_close(entry, choice);
		break;
	case 2:
		hosts_pass(&hosts, choice * 50 * SLU_NS_PER_MS);
		break;
	case 3:
		hosts_peer_down(&hosts, 0, 1);
		if (choice & 1)
			hosts_peer_up(&hosts, 0, 1);
		break;
	default:
		check_round_trip(bytes, size_bytes);
		if (size_bytes <= WIRE_CONTROL_MAX)
			stranger_tell(&hosts.host[1], 0, bytes, size_bytes);
		break;
	}
}

static void check_nothing_left(void)
{
	struct engine_stats stats;

	engine_peer_dead(hosts.host[0].engine, 1, 104, "dead", hosts.now_ns);
	for (uint32_t i = 0; i < HOST_CHANNELS; i++)
		step_close(i, 0);
	stats = host_stats(&hosts.host[0]);
	if (stats.channels || stats.ends_waiting || stats.receive_frames_promised ||
	    !host_full(&hosts.host[0]))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	log_set_level(LOG_LEVEL_ERROR + 1);
	memset(used, 0, sizeof(used));
	hosts_start(&hosts, &(struct hosts_config){.count = 2,
	                                           .strangers = 1,
	                                           .receive_frames = 16,
	                                           .advertise_ns = SLU_NS_PER_S});
	while (size >= 2) {
		size_t step_bytes = data[1] < size - 2 ? data[1] : size - 2;

		step(data[0], data + 2, step_bytes);
		data += 2 + step_bytes;
		size -= 2 + step_bytes;
	}
	check_nothing_left();
	hosts_stop(&hosts);
	return 0;
}
