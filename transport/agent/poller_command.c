/* SPDX-License-Identifier: Apache-2.0 */
/* poller_command.c - the letters between conductor and poller; see poller.h. */
#include "transport/agent/poller_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define POLLER_OUT_BYTES_MAX (64u << 20)

enum command_type {
	COMMAND_PEER_UP,
	COMMAND_PEER_DOWN,
	COMMAND_PEER_DEAD,
	COMMAND_MESSAGE,
	COMMAND_OPEN,
	COMMAND_CLOSE,
	COMMAND_STOP,
};

struct command {
	struct letter letter; /* first */
	enum command_type type;
	uint32_t peer;
	uint32_t epoch;    /* PEER_UP */
	bool connects;     /* PEER_UP */
	bool encrypted;    /* PEER_UP */
	uint32_t chan_idx; /* CLOSE */
	int error;         /* CLOSE */
	struct engine_open open;
	uint32_t size_bytes; /* of bytes */
	const char *second;  /* PEER_UP: the address, in bytes */
	uint8_t bytes[];     /* message, reason, or name and address */
};

/* ---- what the engine says ---------------------------------------------- */

static struct poller_event *event_new(const struct poller *poller, enum poller_event_type type,
                                      size_t message_bytes)
{
	struct poller_event *event = calloc(1, sizeof(*event) + message_bytes);

	if (!event) /* a lost letter would leave the conductor waiting for good */
		abort();
	event->type = type;
	event->poller = poller->config.idx;
	event->size_bytes = (uint32_t)message_bytes;
	event->letter.size_bytes = message_bytes;
	return event;
}

static void event_drop(struct poller *poller, uint32_t peer, const char *text)
{
	struct poller_event *event = event_new(poller, POLLER_DROP, 0);

	event->peer = peer;
	event->epoch = poller->epochs[peer];
	snprintf(event->text, sizeof(event->text), "%s", text);
	mailbox_post(poller->config.out, &event->letter);
}

/* The peer's engines are told apart by the first byte. */
int poller_control_send(uint32_t peer, const void *message, size_t size_bytes, void *ctx)
{
	struct poller *poller = ctx;
	struct poller_event *event;

	/* relaxed: a bound, not a count */
	if (atomic_load_explicit(&poller->config.out->waiting_bytes, memory_order_relaxed) >
	    POLLER_OUT_BYTES_MAX) {
		event_drop(poller, peer, "too many messages wait for this peer");
		return -ENOBUFS;
	}
	event = event_new(poller, POLLER_CONTROL, size_bytes + 1);
	event->peer = peer;
	event->epoch = poller->epochs[peer];
	event->message[0] = (uint8_t)poller->config.idx;
	memcpy(event->message + 1, message, size_bytes);
	mailbox_post(poller->config.out, &event->letter);
	return 0;
}

void poller_channel_done(uint32_t chan_idx, void *ctx)
{
	struct poller *poller = ctx;
	struct poller_event *event = event_new(poller, POLLER_DONE, 0);

	event->chan_idx = chan_idx;
	mailbox_post(poller->config.out, &event->letter);
}

/* ---- what the conductor says ------------------------------------------- */

static void command_message(struct poller *poller, const struct command *command, uint64_t now_ns)
{
	char error[ARENA_ERROR_BYTES] = "";

	if (engine_control_message(poller->engine, command->peer, command->bytes,
	                           command->size_bytes, now_ns, error) < 0)
		event_drop(poller, command->peer, error);
}

static void command_open(struct poller *poller, const struct command *command, uint64_t now_ns)
{
	struct poller_event *event = event_new(poller, POLLER_OPENED, 0);

	event->chan_idx = command->open.chan_idx;
	event->result = engine_channel_open(poller->engine, &command->open, now_ns);
	mailbox_post(poller->config.out, &event->letter);
}

static void command_run(struct poller *poller, const struct command *command, uint64_t now_ns)
{
	const char *text = (const char *)command->bytes;

	switch (command->type) {
	case COMMAND_PEER_UP:
		poller->epochs[command->peer] = command->epoch;
		engine_peer_up(poller->engine, command->peer, text, command->second,
		               command->connects, command->encrypted, now_ns);
		break;
	case COMMAND_PEER_DOWN:
		engine_peer_down(poller->engine, command->peer, now_ns);
		break;
	case COMMAND_PEER_DEAD:
		engine_peer_dead(poller->engine, command->peer, EHOSTUNREACH, text, now_ns);
		break;
	case COMMAND_MESSAGE:
		command_message(poller, command, now_ns);
		break;
	case COMMAND_OPEN:
		command_open(poller, command, now_ns);
		break;
	case COMMAND_CLOSE:
		engine_channel_close(poller->engine, command->chan_idx, command->error, text,
		                     now_ns);
		break;
	case COMMAND_STOP:
		poller->stopping = true;
		break;
	}
}

uint32_t poller_commands(struct poller *poller, uint64_t now_ns)
{
	struct letter_list letters;
	struct letter *letter;
	uint32_t count = 0;

	mailbox_take(&poller->in, &letters);
	while ((letter = STAILQ_FIRST(&letters))) {
		STAILQ_REMOVE_HEAD(&letters, next);
		command_run(poller, (struct command *)(void *)letter, now_ns);
		free(letter);
		count++;
	}
	return count;
}

/* ---- for the conductor ------------------------------------------------- */

static struct command *command_new(enum command_type type, size_t size_bytes)
{
	struct command *command = calloc(1, sizeof(*command) + size_bytes);

	if (!command) /* neither side can go on without: see event_new */
		abort();
	command->type = type;
	command->size_bytes = (uint32_t)size_bytes;
	command->letter.size_bytes = size_bytes;
	return command;
}

static void poller_post(struct poller *poller, struct command *command)
{
	mailbox_post(&poller->in, &command->letter);
}

void poller_post_stop(struct poller *poller)
{
	poller_post(poller, command_new(COMMAND_STOP, 0));
}

void poller_commands_discard(struct poller *poller)
{
	struct letter_list letters;
	struct letter *letter;

	mailbox_take(&poller->in, &letters);
	while ((letter = STAILQ_FIRST(&letters))) {
		STAILQ_REMOVE_HEAD(&letters, next);
		free(letter);
	}
}

size_t poller_backlog_bytes(const struct poller *poller)
{
	/* relaxed: a bound, not a count */
	return atomic_load_explicit(&poller->in.waiting_bytes, memory_order_relaxed);
}

void poller_peer_up(struct poller *poller, uint32_t peer, uint32_t epoch, const char *name,
                    const char *address, bool connects, bool encrypted)
{
	size_t name_bytes = strlen(name) + 1, address_bytes = strlen(address) + 1;
	struct command *command = command_new(COMMAND_PEER_UP, name_bytes + address_bytes);

	command->peer = peer;
	command->epoch = epoch;
	command->connects = connects;
	command->encrypted = encrypted;
	memcpy(command->bytes, name, name_bytes);
	memcpy(command->bytes + name_bytes, address, address_bytes);
	command->second = (const char *)command->bytes + name_bytes;
	poller_post(poller, command);
}

void poller_peer_down(struct poller *poller, uint32_t peer)
{
	struct command *command = command_new(COMMAND_PEER_DOWN, 0);

	command->peer = peer;
	poller_post(poller, command);
}

void poller_peer_dead(struct poller *poller, uint32_t peer, const char *reason)
{
	struct command *command = command_new(COMMAND_PEER_DEAD, strlen(reason) + 1);

	command->peer = peer;
	strcpy((char *)command->bytes, reason);
	poller_post(poller, command);
}

void poller_message(struct poller *poller, uint32_t peer, const void *message, size_t size_bytes)
{
	struct command *command = command_new(COMMAND_MESSAGE, size_bytes);

	command->peer = peer;
	memcpy(command->bytes, message, size_bytes);
	poller_post(poller, command);
}

void poller_open(struct poller *poller, const struct engine_open *open)
{
	struct command *command = command_new(COMMAND_OPEN, 0);

	command->open = *open;
	poller_post(poller, command);
}

void poller_close(struct poller *poller, uint32_t chan_idx, int error, const char *reason)
{
	struct command *command = command_new(COMMAND_CLOSE, strlen(reason) + 1);

	command->chan_idx = chan_idx;
	command->error = error;
	strcpy((char *)command->bytes, reason);
	poller_post(poller, command);
}
