/* SPDX-License-Identifier: Apache-2.0 */
/* engine_fixture.c - see engine_fixture.h. */
#include "tests/unit/engine_fixture.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FRAME_BYTES    4096u
#define FRAMES_DEFAULT 32u

static void die(const char *what)
{
	fprintf(stderr, "%s\n", what);
	abort();
}

/* ---- the control path ---------------------------------------------------- */

static void letter_post(struct hosts *hosts, uint32_t from, uint32_t to, const void *message,
                        size_t size_bytes)
{
	struct letter *letter = calloc(1, sizeof(*letter));

	if (!letter || size_bytes > sizeof(letter->bytes))
		die("a letter that cannot be");
	letter->from = from;
	letter->to = to;
	letter->size_bytes = size_bytes;
	memcpy(letter->bytes, message, size_bytes);
	STAILQ_INSERT_TAIL(&hosts->letters, letter, link);
}

static int on_control_send(uint32_t peer, const void *message, size_t size_bytes, void *ctx)
{
	struct host *host = ctx;

	if (host->control_broken)
		return -ENOTCONN;
	letter_post(host->hosts, host->idx, peer, message, size_bytes);
	return 0;
}

static void letter_deliver(struct hosts *hosts, const struct letter *letter)
{
	struct host *to = &hosts->host[letter->to];

	if (to->engine)
		to->control_result =
		        engine_control_message(to->engine, letter->from, letter->bytes,
		                               letter->size_bytes, hosts->now_ns, to->error);
	else if (wire_control_decode(letter->bytes, letter->size_bytes, &to->control))
		die("an engine sent a control message that is not one");
}

static bool letters_deliver(struct hosts *hosts)
{
	struct letter *letter;
	bool any = false;

	while ((letter = STAILQ_FIRST(&hosts->letters))) {
		STAILQ_REMOVE_HEAD(&hosts->letters, link);
		letter_deliver(hosts, letter);
		free(letter);
		any = true;
	}
	return any;
}

static void peer_up(struct host *host, const struct host *peer)
{
	char name[16], address[SLU_DRIVER_ADDRESS_MAX];

	if (!host->engine)
		return;
	snprintf(name, sizeof(name), "host%u", peer->idx);
	if (peer->engine)
		snprintf(address, sizeof(address), "%s", engine_address(peer->engine));
	else if (slu_driver_find("loop")->address(peer->driver, address) < 0)
		die("no address");
	engine_peer_up(host->engine, peer->idx, name, address,
	               peer->engine && host->idx < peer->idx, host->hosts->config.encrypted,
	               host->hosts->now_ns);
}

void hosts_peer_up(struct hosts *hosts, uint32_t a, uint32_t b)
{
	peer_up(&hosts->host[a], &hosts->host[b]);
	peer_up(&hosts->host[b], &hosts->host[a]);
}

void hosts_peer_down(struct hosts *hosts, uint32_t a, uint32_t b)
{
	struct letter *letter, *next;

	for (letter = STAILQ_FIRST(&hosts->letters); letter; letter = next) {
		next = STAILQ_NEXT(letter, link);
		if ((letter->from != a || letter->to != b) &&
		    (letter->from != b || letter->to != a))
			continue;
		STAILQ_REMOVE(&hosts->letters, letter, letter, link);
		free(letter);
	}
	if (hosts->host[a].engine)
		engine_peer_down(hosts->host[a].engine, b, hosts->now_ns);
	if (hosts->host[b].engine)
		engine_peer_down(hosts->host[b].engine, a, hosts->now_ns);
}

/* ---- hosts --------------------------------------------------------------- */

static void on_channel_done(uint32_t chan_idx, void *ctx)
{
	struct host *host = ctx;

	frame_pool_reclaim_channel(host->arena, chan_idx);
	host->done[chan_idx] = true;
}

static void host_arena(struct host *host, const struct hosts_config *hosts_config)
{
	struct arena_config config = {
	        .cluster = 7,
	        .generation = 1,
	        .node = "test",
	        .frame_bytes = FRAME_BYTES,
	        .max_channels = HOST_CHANNELS,
	        .receive_frames = hosts_config->receive_frames,
	        .max_processes = 2,
	        .window_slots = 16,
	        .pollers = 1,
	        .hugepages = ARENA_HUGEPAGES_NEVER,
	        .numa_node = ARENA_NUMA_OFF,
	};
	uint64_t frames = hosts_config->frames ? hosts_config->frames : FRAMES_DEFAULT;
	char error[ARENA_ERROR_BYTES];

	config.size_bytes = arena_size_min(&config) + frames * FRAME_BYTES;
	if (arena_create(&config, error, &host->arena) < 0)
		die(error);
	for (uint32_t i = 0; i < 2; i++)
		if (port_init(&host->ports[i], host->arena, i, -1, NULL, NULL) < 0)
			die("no memory");
	snprintf(arena_proc(host->arena, HOST_PROCESS)->name, PROC_NAME_BYTES, "seg%u slice1",
	         host->idx);
}

static void host_engine(struct host *host)
{
	struct hosts *hosts = host->hosts;
	struct slu_driver_option queue = {"queue_frames", hosts->config.queue_frames};
	struct slu_driver_config driver = {
	        .options = &queue, .option_count = queue.value ? 1 : 0, .environment = hosts->loop};
	struct engine_callbacks callbacks = {on_control_send, on_channel_done, host};
	char name[16], error[ARENA_ERROR_BYTES];
	struct engine_config config = {
	        .port = &host->ports[0],
	        .ops = hosts->config.ops ? hosts->config.ops : slu_driver_find("loop"),
	        .driver = &driver,
	        .node = name,
	        .bulk_sessions = 2,
	        .crc32c = hosts->config.crc32c,
	        .session_retry_ns = 10 * SLU_NS_PER_MS,
	        .peer_timeout_ns = 2 * SLU_NS_PER_S,
	        .advertise_ns = hosts->config.advertise_ns,
	        .seed = 1 + host->idx,
	};

	snprintf(name, sizeof(name), "host%u", host->idx);
	if (engine_create(&config, &callbacks, hosts->now_ns, error, &host->engine) < 0)
		die(error);
}

static void *stranger_rx_get(void *ctx)
{
	struct host *host = ctx;
	uint32_t frame_idx = frame_pool_take_receive(host->arena, 0);

	return frame_idx == FRAME_NONE ? NULL : &arena_frame(host->arena, frame_idx)->wire;
}

static void stranger_rx_put(void *ctx, void *buffer)
{
	struct host *host = ctx;

	frame_pool_give(host->arena, 0, arena_frame_idx(host->arena, buffer));
}

static uint64_t stranger_now(void *ctx)
{
	const struct host *host = ctx;

	return host->hosts->now_ns;
}

static void host_stranger(struct host *host)
{
	char error[SLU_DRIVER_ERROR_MAX];
	struct slu_driver_config config = {.environment = host->hosts->loop, .error = error};

	host->driver_host = (struct slu_driver_host){
	        .ctx = host,
	        .arena = host->arena->base,
	        .arena_bytes = host->arena->size_bytes,
	        .message_bytes_max = FRAME_BYTES - 8,
	        .rx_get = stranger_rx_get,
	        .rx_put = stranger_rx_put,
	        .now_ns = stranger_now,
	};
	if (slu_driver_find("loop")->open(&config, &host->driver_host, &host->driver) < 0)
		die(error);
}

void hosts_start(struct hosts *hosts, const struct hosts_config *config)
{
	memset(hosts, 0, sizeof(*hosts));
	STAILQ_INIT(&hosts->letters);
	hosts->config = *config;
	hosts->now_ns = SLU_NS_PER_S;
	hosts->loop = slu_loop_create();
	for (uint32_t i = 0; i < config->count; i++) {
		struct host *host = &hosts->host[i];

		host->hosts = hosts;
		host->idx = i;
		host_arena(host, config);
		if (i < config->count - config->strangers)
			host_engine(host);
		else
			host_stranger(host);
	}
	for (uint32_t a = 0; a < config->count; a++)
		for (uint32_t b = a + 1; b < config->count; b++)
			hosts_peer_up(hosts, a, b);
	hosts_settle(hosts);
}

void hosts_stop(struct hosts *hosts)
{
	struct letter *letter;

	for (uint32_t i = 0; i < hosts->config.count; i++) {
		struct host *host = &hosts->host[i];

		if (host->engine)
			engine_destroy(host->engine);
		else
			slu_driver_find("loop")->close(host->driver);
		for (uint32_t p = 0; p < 2; p++)
			port_fini(&host->ports[p]);
		arena_destroy(host->arena);
	}
	while ((letter = STAILQ_FIRST(&hosts->letters))) {
		STAILQ_REMOVE_HEAD(&hosts->letters, link);
		free(letter);
	}
	slu_loop_destroy(hosts->loop);
}

static bool stranger_poll(struct host *host)
{
	struct slu_driver_event events[16];
	int count = slu_driver_find("loop")->poll(host->driver, events, 16);

	for (int i = 0; i < count; i++) {
		host->session_up |= events[i].type == SLU_DRIVER_UP;
		host->session_down |= events[i].type == SLU_DRIVER_DOWN;
		if (events[i].type == SLU_DRIVER_RECV_FRAME) {
			host->frames_seen++;
			stranger_rx_put(host, (void *)(uintptr_t)events[i].message);
		}
		if (events[i].type == SLU_DRIVER_RECV_SMALL &&
		    wire_small_decode(events[i].message, events[i].size_bytes, &host->small))
			die("an engine sent a small message that is not one");
	}
	slu_driver_find("loop")->flush(host->driver);
	return count > 0;
}

void hosts_settle(struct hosts *hosts)
{
	/* What the last of a round flushes, the first polls in the next. */
	for (int idle = 0; idle < 2; idle++) {
		if (letters_deliver(hosts))
			idle = -1;
		for (uint32_t i = 0; i < hosts->config.count; i++) {
			struct host *host = &hosts->host[i];

			if (host->stopped)
				continue;
			if (host->engine ? engine_poll(host->engine, hosts->now_ns) > 0
			                 : stranger_poll(host))
				idle = -1;
		}
	}
}

void hosts_pass(struct hosts *hosts, uint64_t ns)
{
	uint64_t until_ns = hosts->now_ns + ns;

	while (hosts->now_ns < until_ns) {
		uint64_t next_ns = until_ns;

		hosts_settle(hosts);
		for (uint32_t i = 0; i < hosts->config.count; i++) {
			const struct engine *engine = hosts->host[i].engine;

			if (engine && !hosts->host[i].stopped && engine_deadline(engine) < next_ns)
				next_ns = engine_deadline(engine);
		}
		hosts->now_ns = next_ns > hosts->now_ns ? next_ns : hosts->now_ns + 1;
	}
	hosts_settle(hosts);
}

/* ---- channels ------------------------------------------------------------ */

struct slu_key host_key(uint32_t number)
{
	return (struct slu_key){.cluster = 7, .query = 4, .motion = number, .destination = 3};
}

struct slu_token host_token(uint32_t number)
{
	struct slu_token token = {{0}};

	memcpy(token.bytes, &number, sizeof(number));
	return token;
}

int host_open(struct host *host, uint32_t chan_idx, uint32_t peer, enum slu_direction direction,
              uint32_t number, uint32_t token)
{
	struct chan_shm *shm = arena_chan(host->arena, chan_idx);
	struct engine_open open = {
	        .chan_idx = chan_idx,
	        .peer = peer,
	        .direction = direction,
	        .key = host_key(number),
	        .token = host_token(token),
	        .urgent = host->urgent,
	        .rendezvous_deadline_ns = host->hosts->now_ns + 5 * SLU_NS_PER_S,
	};

	memset(shm, 0, host->arena->chan_stride_bytes);
	shm->window_max = host->arena->window_slots;
	atomic_store(&shm->limit_pos, CHAN_WINDOW_INITIAL);
	atomic_store(&shm->tx_slot, direction == SLU_SEND ? HOST_PROCESS : 0);
	atomic_store(&shm->rx_slot, direction == SLU_SEND ? 0 : HOST_PROCESS);
	atomic_store(&shm->state, CHAN_OPEN);
	host->done[chan_idx] = false;
	return engine_channel_open(host->engine, &open, host->hosts->now_ns);
}

void host_close(struct host *host, uint32_t chan_idx, int error)
{
	engine_channel_close(host->engine, chan_idx, error, error ? "it died" : NULL,
	                     host->hosts->now_ns);
}

bool host_send(struct chan_tx *tx, uint32_t number)
{
	struct frame_shm *frame;
	uint32_t frame_idx;

	if (chan_tx_acquire(tx, &frame_idx) != SLU_OK)
		return false;
	frame = arena_frame(tx->port->arena, frame_idx);
	frame->wire.size_bytes = sizeof(number);
	frame->wire.tag = (uint16_t)~number;
	memcpy(frame->payload, &number, sizeof(number));
	chan_tx_publish(tx, frame_idx);
	return true;
}

int host_recv(struct chan_rx *rx, uint32_t *ret_number)
{
	struct frame_shm *frame;
	uint32_t frame_idx;
	int r = chan_rx_next(rx, &frame_idx);

	if (r != SLU_OK)
		return r;
	frame = arena_frame(rx->port->arena, frame_idx);
	memcpy(ret_number, frame->payload, sizeof(*ret_number));
	if (frame->wire.size_bytes != sizeof(*ret_number) ||
	    frame->wire.tag != (uint16_t) ~*ret_number)
		r = -EBADMSG;
	chan_rx_release(rx, frame_idx);
	return r;
}

/* ---- strangers ----------------------------------------------------------- */

void stranger_tell(struct host *stranger, uint32_t to, const void *message, size_t size_bytes)
{
	letter_post(stranger->hosts, stranger->idx, to, message, size_bytes);
	hosts_settle(stranger->hosts);
}

void stranger_connect_with(struct host *stranger, uint32_t to, const struct wire_hello *hello)
{
	uint8_t message[SLU_DRIVER_HELLO_BYTES];

	wire_hello_encode(message, hello);
	stranger->session_up = stranger->session_down = false;
	if (slu_driver_find("loop")->connect(stranger->driver,
	                                     engine_address(stranger->hosts->host[to].engine),
	                                     message, stranger, &stranger->session) < 0)
		die("cannot connect");
	hosts_settle(stranger->hosts);
}

void stranger_connect(struct host *stranger, uint32_t to, uint8_t index)
{
	const struct wire_session_grant *grant = &stranger->control.session_grant;
	uint8_t message[WIRE_CONTROL_MAX];
	struct wire_hello hello = {.index = index};

	stranger_tell(stranger, to, message, wire_session_request_encode(message, index));
	if (stranger->control.type != WIRE_SESSION_GRANT)
		die("no session was granted");
	hello.peer = grant->peer;
	memcpy(hello.secret, grant->secret, sizeof(hello.secret));
	stranger_connect_with(stranger, to, &hello);
}

void stranger_send_frame(struct host *stranger, const struct frame_wire *header)
{
	const struct slu_driver_ops *ops = slu_driver_find("loop");
	uint32_t frame_idx = frame_pool_take(stranger->arena, 0);
	struct frame_shm *frame = arena_frame(stranger->arena, frame_idx);

	memset(frame->payload, 0, header->size_bytes);
	wire_data_encode(&frame->wire, header);
	if (ops->send(stranger->driver, stranger->session, &frame->wire,
	              header->size_bytes + (uint32_t)sizeof(frame->wire), 0) != SLU_OK)
		die("cannot send");
	hosts_settle(stranger->hosts);
	frame_pool_give(stranger->arena, 0, frame_idx);
}

void stranger_send_small(struct host *stranger, const struct wire_small *small)
{
	uint8_t message[sizeof(*small)];

	wire_small_encode(message, small);
	if (slu_driver_find("loop")->send_small(stranger->driver, stranger->session, message,
	                                        sizeof(message)) != SLU_OK)
		die("cannot send");
	hosts_settle(stranger->hosts);
}

/* ---- looking ------------------------------------------------------------- */

struct engine_stats host_stats(const struct host *host)
{
	struct engine_stats stats;

	engine_stats(host->engine, &stats);
	return stats;
}

bool host_full(const struct host *host)
{
	struct frame_pool_counts counts;

	frame_pool_count(host->arena, &counts);
	return counts.held == 0 && counts.queued == 0 && counts.home == HOST_CHANNELS;
}
