/* SPDX-License-Identifier: Apache-2.0 */
/*
 * engine_fixture.h - hosts with an engine each, joined by the loop driver and a
 * control path that delivers when the test says, under a clock that the test
 * moves. The last host may be a stranger: a driver and no engine, for what a
 * sound engine would never send.
 */
#ifndef TESTS_UNIT_ENGINE_FIXTURE_H
#define TESTS_UNIT_ENGINE_FIXTURE_H

#include "drivers/loop/loop.h"
#include "transport/channel.h"
#include "transport/clock.h"
#include "transport/engine/engine.h"
#include "transport/engine/engine_wire.h"

#include <sys/queue.h>

#define HOSTS_MAX     3u
#define HOST_CHANNELS 8u
#define HOST_PROCESS  1u /* slot of the one process; 0 is the poller's */
#define HOST_DONE_MAX 64u

struct letter {
	STAILQ_ENTRY(letter) link;
	uint32_t from, to;
	size_t size_bytes;
	uint8_t bytes[WIRE_CONTROL_MAX];
};

struct host {
	struct hosts *hosts;
	uint32_t idx;
	struct arena *arena;
	struct port ports[2];
	struct engine *engine; /* NULL: a stranger */
	bool control_broken;   /* sends fail */
	bool stopped;          /* does nothing, for now */
	bool urgent;           /* so are channels that are opened from now on */
	bool done[HOST_CHANNELS];
	char error[ARENA_ERROR_BYTES]; /* of the last control message refused */
	int control_result;
	/* A stranger's driver, and what it last saw. */
	struct slu_driver *driver;
	struct slu_driver_host driver_host;
	struct slu_session *session;
	bool session_up, session_down;
	struct wire_control control; /* the last control message to a stranger */
	struct wire_small small;     /* the last small message to it */
	uint32_t frames_seen;
};

struct hosts_config {
	uint32_t count;
	uint32_t strangers; /* of them, the last ones: 0 or 1 */
	uint32_t receive_frames;
	uint32_t frames; /* beyond those that the arena needs; 0: 32 */
	uint64_t advertise_ns;
	bool crc32c;
	bool encrypted;                   /* ops can */
	const char *queue_frames;         /* that a session takes at once; NULL: the driver's 64 */
	const struct slu_driver_ops *ops; /* around those of loop; NULL: these */
};

struct hosts {
	struct hosts_config config;
	struct slu_loop *loop;
	uint64_t now_ns;
	struct host host[HOSTS_MAX];
	STAILQ_HEAD(, letter) letters;
};

/* Every pair up; a stranger's sessions are for the test to make. */
void hosts_start(struct hosts *hosts, const struct hosts_config *config);
void hosts_stop(struct hosts *hosts);

void hosts_peer_up(struct hosts *hosts, uint32_t a, uint32_t b);
void hosts_peer_down(struct hosts *hosts, uint32_t a, uint32_t b);

/* Until nobody has anything to do, without time passing. */
void hosts_settle(struct hosts *hosts);
/* Let time pass, in steps that miss no deadline by much. */
void hosts_pass(struct hosts *hosts, uint64_t ns);

/* A channel's key and token by number. */
struct slu_key host_key(uint32_t number);
struct slu_token host_token(uint32_t number);

/* Open the end of channel `number` in entry chan_idx; the result of the engine.
 * Then a chan_tx or chan_rx may be attached on ports[HOST_PROCESS]. */
int host_open(struct host *host, uint32_t chan_idx, uint32_t peer, enum slu_direction direction,
              uint32_t number, uint32_t token);
void host_close(struct host *host, uint32_t chan_idx, int error);

/* Publish a frame that holds the number; false: no credit. */
bool host_send(struct chan_tx *tx, uint32_t number);
/* Take a frame, check its number, give it back. */
int host_recv(struct chan_rx *rx, uint32_t *ret_number);

/* What a stranger says and does. */
void stranger_tell(struct host *stranger, uint32_t to, const void *message, size_t size_bytes);
/* Ask for session `index`, and connect with what was granted. */
void stranger_connect(struct host *stranger, uint32_t to, uint8_t index);
void stranger_connect_with(struct host *stranger, uint32_t to, const struct wire_hello *hello);
/* Send a frame with that header and a payload of header->size_bytes zeros. */
void stranger_send_frame(struct host *stranger, const struct frame_wire *header);
void stranger_send_small(struct host *stranger, const struct wire_small *small);

struct engine_stats host_stats(const struct host *host);
/* All frames free, cached or at home. */
bool host_full(const struct host *host);

#endif
