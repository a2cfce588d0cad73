/* SPDX-License-Identifier: Apache-2.0 */
/* clients.c - see clients.h: how clients come, how they end. What is said to and
 * by one is in client.c. */
#include "transport/agent/client.h"
#include "transport/agent/unix_socket.h"
#include "transport/clock.h"
#include "transport/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define CLIENTS_GUESTS_MAX      128u                 /* connections that have not greeted yet */
#define CLIENTS_STRANGERS_MAX   16u                  /* of users whom the agent does not serve */
#define CLIENT_GREETING_NS      (5 * SLU_NS_PER_S)   /* to say ATTACH or OBSERVE */
#define CLIENT_DYING_NS         (50 * SLU_NS_PER_MS) /* between socket and process end */
#define CLIENTS_ACCEPT_AGAIN_NS (200 * SLU_NS_PER_MS)
#define CLIENTS_ACCEPT_BURST    16

/* ---- ends of clients --------------------------------------------------- */

void client_fail(struct client *client, const char *text)
{
	if (client->failing || client->state >= CLIENT_DYING)
		return;
	client->failing = true;
	snprintf(client->failure, sizeof(client->failure), "%s", text);
	TAILQ_INSERT_TAIL(&client->clients->failed, client, failed_entry);
}

static void client_socket_close(struct client *client)
{
	int fd = client->socket.fd;

	loop_unwatch(client->clients->config.loop, &client->socket);
	if (fd >= 0)
		close(fd);
}

void client_uncount(struct client *client)
{
	struct clients *clients = client->clients;

	switch (client->state) {
	case CLIENT_STRANGER:
		clients->stranger_count--;
		break;
	case CLIENT_GUEST:
		clients->guest_count--;
		if (clients->accept_full)
			loop_rewatch(clients->config.loop, &clients->listener, EPOLLIN);
		clients->accept_full = false;
		break;
	case CLIENT_OBSERVING:
		clients->observer_count--;
		break;
	case CLIENT_MEMBER:
	case CLIENT_DYING:
	case CLIENT_LEFT:
		arena_count_set(clients->config.arena, ARENA_PROCESSES_ATTACHED,
		                --clients->member_count);
		break;
	case CLIENT_DEAD:
		break;
	}
}

/* Nothing of it is left but the struct, until the end of the round. */
static void client_end(struct client *client)
{
	struct clients *clients = client->clients;
	int process_fd = client->process.fd;

	client_uncount(client);
	client->state = CLIENT_DEAD;
	client_socket_close(client);
	loop_unwatch(clients->config.loop, &client->process);
	if (process_fd >= 0)
		close(process_fd);
	deadlines_clear(&clients->config.loop->deadlines, &client->deadline);
	TAILQ_REMOVE(&clients->all, client, entry);
	TAILQ_INSERT_TAIL(&clients->dead, client, entry);
}

void client_gone(struct client *client, const char *how)
{
	struct clients *clients = client->clients;
	uint32_t frame_count = reclaim_member_gone(clients->config.reclaim, &client->member, how,
	                                           clients->config.loop->now_ns);

	arena_count(clients->config.arena, ARENA_FRAMES_RECLAIMED, frame_count);
	clients_forget_slot(clients, client->member.slot);
	slot_detach(clients->config.arena, client->member.slot);
	slots_give(&clients->slots, client->member.slot);
	client_end(client);
}

static void client_died(struct client *client, const char *how)
{
	log_event(LOG_LEVEL_WARNING, "process_gone", "name=\"%s\" pid=%u slot=%u how=\"%s\"",
	          client->member.name, client->member.pid, client->member.slot, how);
	if (client->state != CLIENT_LEFT)
		arena_count(client->clients->config.arena, ARENA_PROCESSES_KILLED, 1);
	client_gone(client, how);
	port_ring_all(client->clients->config.entries->port);
}

static void client_left(struct client *client, const char *how)
{
	struct clients *clients = client->clients;

	log_event(LOG_LEVEL_WARNING, "process_left", "name=\"%s\" pid=%u slot=%u how=\"%s\"",
	          client->member.name, client->member.pid, client->member.slot, how);
	arena_count(clients->config.arena, ARENA_PROCESSES_KILLED, 1);
	client->state = CLIENT_LEFT;
	reclaim_member_left(clients->config.reclaim, &client->member, how,
	                    clients->config.loop->now_ns);
}

void client_process_ready(struct loop_source *source, uint32_t epoll_events)
{
	struct client *client = CONTAINER_OF(source, struct client, process);

	/* Its last words may say that it ended in order. */
	client_hear_out(client);
	if (client->state != CLIENT_DEAD)
		client_died(client, "died");
}

static void client_expire(struct deadline *deadline, uint64_t now_ns)
{
	struct client *client = CONTAINER_OF(deadline, struct client, deadline);

	if (client->state == CLIENT_DYING)
		client_left(client, "left without detaching");
	else
		client_fail(client, "no ATTACH or OBSERVE within 5 s");
}

void client_hangup(struct client *client)
{
	struct clients *clients = client->clients;

	if (client->state < CLIENT_MEMBER) {
		client_end(client);
		return;
	}
	client_socket_close(client);
	if (client->process.fd < 0) {
		client_died(client, "ended its connection");
		return;
	}
	if (client->state == CLIENT_LEFT)
		return;
	/* A process that ends closes its files a moment before it is dead. */
	client->state = CLIENT_DYING;
	if (deadlines_set(&clients->config.loop->deadlines, &client->deadline,
	                  clients->config.loop->now_ns + CLIENT_DYING_NS) < 0)
		client_left(client, "left without detaching");
}

/* Drop a client that failed: it is told, if it listens. */
static void client_drop(struct client *client)
{
	struct clients *clients = client->clients;
	union client_message unread;
	char how[CLIENT_TEXT_BYTES + 32];

	/* Closing a socket with messages unread would hide our words from it. */
	while (recv(client->socket.fd, &unread, sizeof(unread), MSG_DONTWAIT) > 0)
		;
	if (client->state < CLIENT_MEMBER) {
		client_end(client);
		return;
	}
	snprintf(how, sizeof(how), "was dropped (%s)", client->failure);
	client_left(client, how);
	if (client->process.fd >= 0) {
		client_socket_close(client);
		return;
	}
	/* Only the socket can tell when it ends: keep our half of it. */
	shutdown(client->socket.fd, SHUT_WR);
	loop_rewatch(clients->config.loop, &client->socket, EPOLLRDHUP);
}

void clients_sweep(struct clients *clients)
{
	struct client *client;

	while ((client = TAILQ_FIRST(&clients->failed))) {
		TAILQ_REMOVE(&clients->failed, client, failed_entry);
		/* It may have ended since by itself. */
		if (client->state < CLIENT_DYING)
			client_drop(client);
	}
	while ((client = TAILQ_FIRST(&clients->dead))) {
		TAILQ_REMOVE(&clients->dead, client, entry);
		free(client->known);
		free(client);
	}
}

/* ---- arriving ---------------------------------------------------------- */

static bool user_is_served(const struct config_agent *agent, uid_t uid)
{
	for (size_t i = 0; i < agent->allow_uid_count; i++)
		if (agent->allow_uids[i] == uid)
			return true;
	return false;
}

/* Takes socket_fd. */
static void client_arrive(struct clients *clients, int socket_fd)
{
	struct loop *loop = clients->config.loop;
	struct ucred peer = {0};
	socklen_t size = sizeof(peer);
	struct client *client = calloc(1, sizeof(*client));
	bool served;

	if (!client || getsockopt(socket_fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
		goto err_close;
	served = user_is_served(clients->config.agent, peer.uid);
	if (!served && clients->stranger_count >= CLIENTS_STRANGERS_MAX)
		goto err_close;
	client->clients = clients;
	client->uid = peer.uid;
	client->state = served ? CLIENT_GUEST : CLIENT_STRANGER;
	client->member.slot = SLOT_NONE;
	client->member.pid = (uint32_t)peer.pid;
	snprintf(client->member.name, sizeof(client->member.name), "pid %u", client->member.pid);
	LIST_INIT(&client->member.ends);
	client->socket.ready = client_socket_ready;
	client->process.ready = client_process_ready;
	client->process.fd = -1;
	client->deadline.expire = client_expire;
	if (deadlines_set(&loop->deadlines, &client->deadline, loop->now_ns + CLIENT_GREETING_NS) <
	            0 ||
	    loop_watch(loop, &client->socket, socket_fd, EPOLLIN) < 0)
		goto err_deadline;
	*(served ? &clients->guest_count : &clients->stranger_count) += 1;
	TAILQ_INSERT_TAIL(&clients->all, client, entry);
	return;

err_deadline:
	deadlines_clear(&loop->deadlines, &client->deadline);
err_close:
	free(client);
	close(socket_fd);
}

static void clients_accept_again(struct deadline *deadline, uint64_t now_ns)
{
	struct clients *clients = CONTAINER_OF(deadline, struct clients, accept_again);

	loop_rewatch(clients->config.loop, &clients->listener, EPOLLIN);
}

static int spare_open(void)
{
	return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

/* Take the connection with the descriptor kept for this, and say why it cannot stay. */
static bool clients_refuse_with_spare(struct clients *clients, int error)
{
	union client_message message;
	int fd;

	if (clients->spare_fd < 0)
		return false;
	close(clients->spare_fd);
	fd = accept4(clients->listener.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd >= 0) {
		/* A message left unread would reach the process as a reset connection,
		 * ahead of our words. */
		while (recv(fd, &message, sizeof(message), MSG_DONTWAIT) > 0)
			;
		client_message_init(&message, CLIENT_ERROR);
		message.error.error = (uint32_t)error;
		snprintf(message.error.text, sizeof(message.error.text),
		         "the agent on %s has no descriptor for another process: %s",
		         clients->config.agent->node, strerror(error));
		client_send(fd, &message, NULL, 0);
		close(fd);
		arena_count(clients->config.arena, ARENA_CLIENTS_REFUSED, 1);
	}
	clients->spare_fd = spare_open();
	return fd >= 0;
}

/* Without descriptors the connection stays in the queue and the socket readable:
 * look away for a while instead of spinning. */
static void clients_accept_pause(struct clients *clients, int error)
{
	struct loop *loop = clients->config.loop;

	if (!clients->accept_failed)
		log_event(LOG_LEVEL_ERROR, "accept_failed", "socket=\"%s\" error=\"%s\" clients=%u",
		          clients->socket_path, strerror(error), clients->member_count);
	clients->accept_failed = true;
	if ((error == EMFILE || error == ENFILE) && clients_refuse_with_spare(clients, error))
		return;
	if (deadlines_set(&loop->deadlines, &clients->accept_again,
	                  loop->now_ns + CLIENTS_ACCEPT_AGAIN_NS) == 0)
		loop_rewatch(loop, &clients->listener, 0);
}

static void clients_accept(struct loop_source *source, uint32_t epoll_events)
{
	struct clients *clients = CONTAINER_OF(source, struct clients, listener);

	for (int i = 0; i < CLIENTS_ACCEPT_BURST; i++) {
		int fd;

		if (clients->guest_count >= CLIENTS_GUESTS_MAX) {
			/* A crowd waits in the queue of the socket; nobody is sent away. */
			clients->accept_full = true;
			loop_rewatch(clients->config.loop, source, 0);
			return;
		}
		fd = accept4(source->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd >= 0) {
			clients->accept_failed = false;
			client_arrive(clients, fd);
		} else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM ||
		           errno == ENOBUFS) {
			clients_accept_pause(clients, errno);
			return;
		} else if (errno != ECONNABORTED && errno != EINTR) {
			return;
		}
	}
}

int clients_init(struct clients *clients, const struct clients_config *config, char *error)
{
	char path[64];
	int socket_fd = -1;
	int result;

	*clients = (struct clients){
	        .config = *config, .listener = {.fd = -1}, .lock_fd = -1, .spare_fd = spare_open()};
	TAILQ_INIT(&clients->all);
	TAILQ_INIT(&clients->failed);
	TAILQ_INIT(&clients->dead);
	clients->accept_again.expire = clients_accept_again;
	clients->listener.ready = clients_accept;
	/* Opened anew, because only then an observer's descriptor cannot write. */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", config->arena->fd);
	clients->observer_arena_fd = open(path, O_RDONLY | O_CLOEXEC);
	if (clients->observer_arena_fd < 0)
		log_event(LOG_LEVEL_WARNING, "observers_off", "file=%s error=\"%s\"", path,
		          strerror(errno));
	clients->socket_path = strdup(config->agent->socket_path);
	result = clients->socket_path ? slots_init(&clients->slots, config->arena) : -ENOMEM;
	if (result < 0)
		snprintf(error, CONFIG_ERROR_MAX, "%s", strerror(-result));
	else
		result = unix_socket_open(clients->socket_path, config->agent->socket_mode,
		                          &socket_fd, &clients->lock_fd, error);
	if (result == 0) {
		result = loop_watch(config->loop, &clients->listener, socket_fd, EPOLLIN);
		if (result < 0) {
			snprintf(error, CONFIG_ERROR_MAX, "epoll: %s", strerror(-result));
			close(socket_fd);
		}
	}
	if (result < 0)
		clients_fini(clients);
	return result;
}

void clients_stop_listening(struct clients *clients)
{
	int socket_fd = clients->listener.fd;

	if (socket_fd < 0)
		return;
	loop_unwatch(clients->config.loop, &clients->listener);
	deadlines_clear(&clients->config.loop->deadlines, &clients->accept_again);
	unix_socket_close(clients->socket_path, socket_fd);
}

void clients_fini(struct clients *clients)
{
	struct client *client, *next;

	clients_stop_listening(clients);
	for (client = TAILQ_FIRST(&clients->all); client; client = next) {
		next = TAILQ_NEXT(client, entry);
		client_end(client);
	}
	TAILQ_INIT(&clients->failed);
	clients_sweep(clients);
	slots_fini(&clients->slots);
	if (clients->observer_arena_fd >= 0)
		close(clients->observer_arena_fd);
	if (clients->spare_fd >= 0)
		close(clients->spare_fd);
	if (clients->lock_fd >= 0)
		close(clients->lock_fd);
	free(clients->socket_path);
}
