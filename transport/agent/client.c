/* SPDX-License-Identifier: Apache-2.0 */
/* client.c - see client.h. */
#include "transport/agent/client.h"

#include "transport/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>

#define CLIENT_MESSAGES_BURST 32
#define CLIENTS_OBSERVERS_MAX 16u

static struct client *client_of(struct member *member)
{
	return CONTAINER_OF(member, struct client, member);
}

static bool bit_get(const uint64_t *bits, uint32_t i)
{
	return bits[i / 64] >> (i % 64) & 1;
}

static void bit_set(uint64_t *bits, uint32_t i, bool value)
{
	bits[i / 64] = (bits[i / 64] & ~(UINT64_C(1) << (i % 64))) | (uint64_t)value << (i % 64);
}

/* ---- sending ----------------------------------------------------------- */

/* A message that must not be lost: who does not take it is dropped. */
static void client_tell(struct client *client, const union client_message *message, const int *fds,
                        unsigned fd_count)
{
	int result = client->socket.fd < 0 || client->failing
	                     ? 0
	                     : client_send(client->socket.fd, message, fds, fd_count);

	if (result == -EAGAIN)
		client_fail(client, "it does not read what the agent sends");
	else if (result < 0 && result != -EPIPE && result != -ECONNRESET)
		client_fail(client, strerror(-result));
}

static void client_refuse(struct client *client, uint32_t request_id, int error, const char *text)
{
	union client_message message;

	client_message_init(&message, CLIENT_ERROR);
	message.error.request_id = request_id;
	message.error.error = (uint32_t)-error;
	snprintf(message.error.text, sizeof(message.error.text), "%s", text);
	client_tell(client, &message, NULL, 0);
}

void client_reject(struct client *client, int error, const char *text)
{
	struct clients *clients = client->clients;

	if (client->failing)
		return;
	log_event(LOG_LEVEL_WARNING, "client_refused", "name=\"%s\" pid=%u uid=%u reason=\"%s\"",
	          client->member.name, client->member.pid, (unsigned)client->uid, text);
	arena_count(clients->config.arena, ARENA_CLIENTS_REFUSED, 1);
	client_refuse(client, 0, error, text);
	client_fail(client, text);
}

static void client_block(struct client *client)
{
	if (!client->blocked)
		loop_rewatch(client->clients->config.loop, &client->socket, EPOLLIN | EPOLLOUT);
	client->blocked = true;
}

/* 0, -EAGAIN: blocked now, -ENOTCONN. */
static int client_send_neighbour(struct client *client, uint32_t slot)
{
	int fd = doorbells_find(slot, client->clients->config.doorbells);
	union client_message message;
	int result;

	if (client->socket.fd < 0 || client->failing)
		return -ENOTCONN;
	if (client->blocked)
		return -EAGAIN;
	client_message_init(&message, CLIENT_NEIGHBOUR);
	message.slot.slot = slot;
	result = client_send(client->socket.fd, &message, &fd, 1);
	if (result == -EAGAIN)
		client_block(client);
	else if (result < 0)
		result = -ENOTCONN; /* its end of the socket closes: we are about to hear */
	return result;
}

int clients_introduce(struct clients *clients, struct member *member, uint32_t slot)
{
	struct client *client = client_of(member);
	int result;

	if (bit_get(client->known, slot))
		return 0;
	result = client_send_neighbour(client, slot);
	if (result == 0)
		bit_set(client->known, slot, true);
	return result;
}

void clients_forget_slot(struct clients *clients, uint32_t slot)
{
	struct client *client;

	TAILQ_FOREACH (client, &clients->all, entry)
		if (client->known)
			bit_set(client->known, slot, false);
}

void clients_open_done(struct clients *clients, struct member *member, uint32_t request_id,
                       int result, const struct entry *entry, const char *error)
{
	union client_message message;

	if (result < 0) {
		client_refuse(client_of(member), request_id, result, error);
		return;
	}
	client_message_init(&message, CLIENT_OPENED);
	message.opened.request_id = request_id;
	message.opened.chan_idx = entry->chan_idx;
	message.opened.open_count = entry->open_count;
	client_tell(client_of(member), &message, NULL, 0);
}

/* ---- what clients say -------------------------------------------------- */

/* 0, or -errno where there is none for want of descriptors or memory. Another
 * failure is no failure: the process is dead already, as its socket will say, or
 * in a PID namespace that we do not see, where the socket has to do. */
static int client_process_open(struct client *client)
{
	if (client->member.pid == 0)
		return 0;
	client->process.fd = (int)syscall(SYS_pidfd_open, client->member.pid, 0);
	if (client->process.fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOMEM))
		return -errno;
	return 0;
}

static int member_make(struct client *client, char *error)
{
	struct clients *clients = client->clients;
	uint32_t words = (clients->config.arena->max_processes + 63) / 64;
	int result = client_process_open(client);

	if (result == 0) {
		client->known = calloc(words, sizeof(*client->known));
		result = client->known ? 0 : -ENOMEM;
	}
	if (result == 0) {
		client->member.slot = slots_take(&clients->slots);
		result = client->member.slot == SLOT_NONE ? -EUSERS : 0;
	}
	if (result == 0) {
		result = doorbells_make(clients->config.doorbells, client->member.slot);
		if (result >= 0)
			return 0;
		slots_give(&clients->slots, client->member.slot);
		client->member.slot = SLOT_NONE;
	}
	if (result == -EUSERS)
		snprintf(error, CLIENT_TEXT_BYTES,
		         "all %u process slots are taken ([arena] max_processes)",
		         clients->config.arena->max_processes - clients->config.arena->pollers);
	else
		snprintf(error, CLIENT_TEXT_BYTES, "the agent cannot take a process more: %s",
		         strerror(-result));
	return result;
}

static void client_send_attached(struct client *client, uint32_t slot, const int *fds,
                                 unsigned fd_count)
{
	const struct clients_config *config = &client->clients->config;
	union client_message message;

	client_message_init(&message, CLIENT_ATTACHED);
	message.attached.slot = slot;
	message.attached.pollers = config->arena->pollers;
	message.attached.generation = config->arena->generation;
	message.attached.cluster = config->agent->cluster_id;
	snprintf(message.attached.node, sizeof(message.attached.node), "%s", config->agent->node);
	client_tell(client, &message, fds, fd_count);
}

static void client_attach(struct client *client)
{
	struct clients *clients = client->clients;
	struct arena *arena = clients->config.arena;
	struct member *member = &client->member;
	char error[CLIENT_TEXT_BYTES];
	int fds[2];
	int result = member_make(client, error);

	if (result < 0) {
		client_reject(client, result, error);
		return;
	}
	client_uncount(client);
	client->state = CLIENT_MEMBER;
	deadlines_clear(&clients->config.loop->deadlines, &client->deadline);
	slot_attach(arena, member->slot, member->pid, client->uid, member->name);
	arena_count_set(arena, ARENA_PROCESSES_ATTACHED, ++clients->member_count);
	arena_count(arena, ARENA_PROCESSES_TOTAL, 1);
	log_event(LOG_LEVEL_DEBUG, "process_attached", "name=\"%s\" pid=%u slot=%u", member->name,
	          member->pid, member->slot);
	fds[0] = arena->fd;
	fds[1] = doorbells_find(member->slot, clients->config.doorbells);
	client_send_attached(client, member->slot, fds, 2);
	/* From the very first on: it may be dead already. */
	if (client->process.fd < 0)
		return;
	result = loop_watch(clients->config.loop, &client->process, client->process.fd, EPOLLIN);
	if (result < 0)
		client_reject(client, result, "the agent cannot watch the process");
}

static void client_observe(struct client *client)
{
	struct clients *clients = client->clients;

	if (clients->observer_arena_fd < 0) {
		client_reject(client, -ENOTSUP, "the agent could not open its arena for readers");
		return;
	}
	if (clients->observer_count >= CLIENTS_OBSERVERS_MAX) {
		client_reject(client, -EUSERS, "as many observe as may");
		return;
	}
	client_uncount(client);
	client->state = CLIENT_OBSERVING;
	clients->observer_count++;
	deadlines_clear(&clients->config.loop->deadlines, &client->deadline);
	client_send_attached(client, SLOT_NONE, &clients->observer_arena_fd, 1);
}

static void client_greeting(struct client *client, const struct client_attach *attach)
{
	const struct config_agent *agent = client->clients->config.agent;
	bool observe = attach->header.type == CLIENT_OBSERVE;
	char error[CLIENT_TEXT_BYTES];

	if (attach->name[0])
		memcpy(client->member.name, attach->name, sizeof(client->member.name));
	if (attach->layout_version != ARENA_LAYOUT_VERSION) {
		snprintf(error, sizeof(error), "arena layout version %u, the agent has %u",
		         attach->layout_version, ARENA_LAYOUT_VERSION);
		client_reject(client, -EPROTONOSUPPORT, error);
	} else if (attach->cluster != agent->cluster_id && !(observe && attach->cluster == 0)) {
		snprintf(error, sizeof(error), "cluster %llu, the agent serves cluster %llu",
		         (unsigned long long)attach->cluster,
		         (unsigned long long)agent->cluster_id);
		client_reject(client, -ESTALE, error);
	} else if (observe) {
		client_observe(client);
	} else {
		client_attach(client);
	}
}

static void client_open_channel(struct client *client, const struct client_open *open)
{
	struct clients *clients = client->clients;
	struct entry *entry = NULL;
	char error[CLIENT_TEXT_BYTES] = "";
	int result;

	if (open->key.cluster != clients->config.agent->cluster_id) {
		snprintf(error, sizeof(error), "channel of cluster %llu, the agent serves %llu",
		         (unsigned long long)open->key.cluster,
		         (unsigned long long)clients->config.agent->cluster_id);
		result = -ESTALE;
	} else {
		result = clients->config.open(&client->member, open, &entry, error,
		                              clients->config.ctx);
	}
	if (result != SLU_AGAIN)
		clients_open_done(clients, &client->member, open->request_id, result, entry, error);
}

static void client_close_end(struct client *client, const struct client_close *close_message)
{
	const struct clients_config *config = &client->clients->config;
	struct entry *entry =
	        entries_find(config->entries, close_message->chan_idx, close_message->open_count);
	struct entry_end *end = entry ? &entry->ends[close_message->direction - 1] : NULL;

	if (!end || end->member != &client->member) {
		client_reject(client, -EPROTO, "CLOSE of a channel that it has not open");
		return;
	}
	reclaim_end_close(config->reclaim, end, config->loop->now_ns);
}

static void client_detach(struct client *client)
{
	const struct clients_config *config = &client->clients->config;
	struct entry_end *end;

	while ((end = LIST_FIRST(&client->member.ends)))
		reclaim_end_close(config->reclaim, end, config->loop->now_ns);
	log_event(LOG_LEVEL_DEBUG, "process_detached", "name=\"%s\" pid=%u slot=%u",
	          client->member.name, client->member.pid, client->member.slot);
	client_gone(client, "detached");
}

static void client_handle(struct client *client, const union client_message *message)
{
	enum client_type type = (enum client_type)message->header.type;

	if (client->state == CLIENT_STRANGER) {
		client_reject(client, -EACCES,
		              "this user is not served here ([agent] allow_users)");
	} else if (client->state == CLIENT_GUEST) {
		if (type == CLIENT_ATTACH || type == CLIENT_OBSERVE)
			client_greeting(client, &message->attach);
		else
			client_reject(client, -EPROTO, "a message before ATTACH");
	} else if (client->state == CLIENT_OBSERVING) {
		client_reject(client, -EPROTO, "a message of an observer");
	} else if (type == CLIENT_OPEN) {
		client_open_channel(client, &message->open);
	} else if (type == CLIENT_CLOSE) {
		client_close_end(client, &message->close);
	} else if (type == CLIENT_DETACH) {
		client_detach(client);
	} else {
		client_reject(client, -EPROTO, "a second ATTACH");
	}
}

/* Returns whether there may be more. */
static bool client_receive(struct client *client)
{
	union client_message message;
	char error[CLIENT_TEXT_BYTES];
	int fds[CLIENT_FDS_MAX];
	unsigned fd_count;
	int result = client_recv(client->socket.fd, CLIENT_SIDE_PROCESS, &message, fds, &fd_count,
	                         error);

	switch (result) {
	case 0:
		client_handle(client, &message);
		return true;
	case -EAGAIN:
		return false;
	case -ECONNRESET:
		/* It closed with news of ours unread; the kernel says that first, and
		 * then gives us what it had sent. */
		return true;
	case -EPROTO:
	case -EPROTONOSUPPORT:
	case -EMFILE:
		client_reject(client, client->state == CLIENT_STRANGER ? -EACCES : result, error);
		return false;
	default:
		client_hangup(client);
		return false;
	}
}

static void client_hear(struct client *client, int message_count_max)
{
	while (message_count_max-- > 0 && !client->failing && client->state < CLIENT_DYING &&
	       client_receive(client))
		;
}

/* Bounded, because a child of the dead process may go on sending. */
void client_hear_out(struct client *client)
{
	client_hear(client, 1 << 16);
}

void client_socket_ready(struct loop_source *source, uint32_t epoll_events)
{
	struct client *client = CONTAINER_OF(source, struct client, socket);
	struct clients *clients = client->clients;

	if (client->state == CLIENT_LEFT) {
		client_hangup(client);
		return;
	}
	if ((epoll_events & EPOLLOUT) && client->blocked) {
		client->blocked = false;
		loop_rewatch(clients->config.loop, source, EPOLLIN);
		clients->config.writable(&client->member, clients->config.ctx);
	}
	client_hear(client, CLIENT_MESSAGES_BURST);
}
