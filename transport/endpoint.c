/* SPDX-License-Identifier: Apache-2.0 */
/* endpoint.c - attach to the agent and talk with it; see endpoint.h, sluice.h. */
#include "transport/endpoint.h"

#include "transport/clock.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static _Thread_local char attach_error[CLIENT_TEXT_BYTES];

/* How often this process came out of a fork(): its endpoints are the parent's. */
static unsigned fork_count;

static void fork_in_child(void)
{
	fork_count++;
}

static void fork_watch(void)
{
	pthread_atfork(NULL, NULL, fork_in_child);
}

int endpoint_fail(slu_endpoint *endpoint, int error, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(endpoint->error, sizeof(endpoint->error), format, args);
	va_end(args);
	return error;
}

int endpoint_check(slu_endpoint *endpoint)
{
	if (endpoint->fork_count != fork_count)
		return -EPERM;
	return endpoint->agent_gone ? -ENOTCONN : 0;
}

/* ---- messages of the agent ---------------------------------------------- */

/* Everybody learns it from his own socket, but a neighbour that never sleeps
 * looks only at the arena. */
static void agent_lost(slu_endpoint *endpoint)
{
	slu_channel *channel;
	char text[CHAN_REASON_BYTES];

	if (endpoint->agent_gone)
		return;
	endpoint->agent_gone = true;
	snprintf(text, sizeof(text), "the agent on %s is gone; attach again",
	         endpoint->arena->header->node);
	endpoint_fail(endpoint, -ENOTCONN, "%s", text);
	LIST_FOREACH (channel, &endpoint->channels, endpoint_entry) {
		bool sends = channel->direction == SLU_SEND;
		struct chan_shm *shm = arena_chan(endpoint->arena, channel->chan_idx);

		chan_reset_write(sends ? &shm->tx_reset : &shm->rx_reset, ENOTCONN, text);
		port_notify(&endpoint->port, sends ? &shm->rx_slot : &shm->tx_slot,
		            channel->chan_idx);
		channel->event = true;
		set_enqueue(channel);
	}
}

/* Let go of the doorbells of processes that are gone. The agent has forgotten that we
 * have one before it says that the slot is free, and sends it again for the next. */
static void neighbours_sweep(slu_endpoint *endpoint)
{
	int *doorbells = endpoint->port.doorbells;

	for (uint32_t slot = 0; slot < endpoint->arena->max_processes; slot++) {
		struct proc_shm *proc = arena_proc(endpoint->arena, slot);

		if (doorbells[slot] < 0 ||
		    atomic_load_explicit(&proc->state, memory_order_acquire) != PROC_FREE)
			continue;
		close(doorbells[slot]);
		doorbells[slot] = -1;
	}
}

/* The doorbell may be known from the slot's last process: it is the same. */
static void neighbour_set(slu_endpoint *endpoint, uint32_t slot, int fd)
{
	if (slot >= endpoint->arena->max_processes || endpoint->port.doorbells[slot] >= 0)
		close(fd);
	else
		endpoint->port.doorbells[slot] = fd;
	neighbours_sweep(endpoint);
}

/* One message, if there is one: true and the message unless it was handled here. */
static bool message_next(slu_endpoint *endpoint, union client_message *ret_message,
                         bool *ret_handled)
{
	int fds[CLIENT_FDS_MAX];
	unsigned fd_count = 0;
	char error[CLIENT_TEXT_BYTES];
	int r = client_recv(endpoint->socket_fd, CLIENT_SIDE_AGENT, ret_message, fds, &fd_count,
	                    error);

	if (r == -EAGAIN || r == -EINTR)
		return false;
	if (r < 0) {
		agent_lost(endpoint);
		return false;
	}
	*ret_handled = true;
	if (ret_message->header.type == CLIENT_NEIGHBOUR)
		neighbour_set(endpoint, ret_message->slot.slot, fds[0]);
	else
		*ret_handled = false;
	return true;
}

void endpoint_agent_messages(slu_endpoint *endpoint)
{
	union client_message message;
	bool handled;

	while (!endpoint->agent_gone && message_next(endpoint, &message, &handled))
		/* an error of the connection, or an answer after its timeout */
		if (!handled && message.header.type == CLIENT_ERROR && !message.error.request_id)
			endpoint_fail(endpoint, -EPROTO, "agent: %s", message.error.text);
}

static int doorbell_find(uint32_t slot, void *ctx)
{
	slu_endpoint *endpoint = ctx;

	/* The agent sent it before it named the slot to us: it is in the socket. */
	endpoint_agent_messages(endpoint);
	return endpoint->port.doorbells[slot];
}

/* Wait until the socket is ready for events; 0, -ETIMEDOUT or -errno. */
static int socket_wait(int socket_fd, short events, uint64_t deadline_ns)
{
	for (;;) {
		struct pollfd pfd = {.fd = socket_fd, .events = events};
		uint64_t now = clock_now_ns();
		struct timespec left;
		int r;

		if (now >= deadline_ns)
			return -ETIMEDOUT;
		left.tv_sec = (time_t)((deadline_ns - now) / SLU_NS_PER_S);
		left.tv_nsec = (long)((deadline_ns - now) % SLU_NS_PER_S);
		r = ppoll(&pfd, 1, &left, NULL);
		if (r > 0)
			return 0;
		if (r < 0 && errno != EINTR)
			return -errno;
	}
}

static int send_wait(int socket_fd, const union client_message *message, uint64_t deadline_ns)
{
	int r;

	while ((r = client_send(socket_fd, message, NULL, 0)) == -EAGAIN) {
		r = socket_wait(socket_fd, POLLOUT, deadline_ns);
		if (r < 0)
			return r;
	}
	return r;
}

/* ---- attach -------------------------------------------------------------- */

static int attach_fail(int error, const char *text)
{
	snprintf(attach_error, sizeof(attach_error), "%s", text);
	return error;
}

static int socket_connect(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	char text[CLIENT_TEXT_BYTES];
	int fd, r;

	if (strlen(path) >= sizeof(address.sun_path))
		return attach_fail(-EINVAL, "the agent's socket path is too long");
	strcpy(address.sun_path, path);
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return attach_fail(-errno, strerror(errno));
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
		r = -errno;
		snprintf(text, sizeof(text), "agent at %.100s: %s", path, strerror(errno));
		close(fd);
		return attach_fail(r, text);
	}
	return fd;
}

/* Ask for a slot; on success fds has the arena and the doorbell. */
static int attach_ask(int socket_fd, const struct slu_attach_options *options, uint64_t deadline_ns,
                      union client_message *ret_answer, int *ret_fds)
{
	union client_message message;
	unsigned fd_count = 0;
	char error[CLIENT_TEXT_BYTES];
	int r;

	client_message_init(&message, CLIENT_ATTACH);
	message.attach.magic = CLIENT_MAGIC;
	message.attach.cluster = options->cluster;
	message.attach.layout_version = ARENA_LAYOUT_VERSION;
	if (options->name)
		snprintf(message.attach.name, sizeof(message.attach.name), "%s", options->name);
	r = send_wait(socket_fd, &message, deadline_ns);
	/* An agent that refuses at once has closed already; its words are here. */
	if (r < 0 && r != -EPIPE && r != -ECONNRESET)
		return attach_fail(r, strerror(-r));
	r = socket_wait(socket_fd, POLLIN, deadline_ns);
	if (r < 0)
		return attach_fail(r, "the agent does not answer");
	r = client_recv(socket_fd, CLIENT_SIDE_AGENT, ret_answer, ret_fds, &fd_count, error);
	if (r < 0)
		return attach_fail(r, r == -ENOTCONN || r == -ECONNRESET
		                              ? "the agent closed the connection"
		                              : error);
	if (ret_answer->header.type == CLIENT_ERROR)
		return attach_fail(-(int)ret_answer->error.error, ret_answer->error.text);
	if (ret_answer->header.type != CLIENT_ATTACHED || fd_count != 2) {
		for (unsigned i = 0; i < fd_count; i++)
			close(ret_fds[i]);
		return attach_fail(-EPROTO, "the agent answered with another message");
	}
	return 0;
}

static int epoll_make(int doorbell_fd, int socket_fd)
{
	struct epoll_event event = {.events = EPOLLIN};
	int fd = epoll_create1(EPOLL_CLOEXEC);

	if (fd >= 0 && (epoll_ctl(fd, EPOLL_CTL_ADD, doorbell_fd, &event) < 0 ||
	                epoll_ctl(fd, EPOLL_CTL_ADD, socket_fd, &event) < 0)) {
		close(fd);
		fd = -1;
	}
	return fd < 0 ? -errno : fd;
}

static void endpoint_free(slu_endpoint *endpoint)
{
	if (endpoint->port.doorbells)
		for (uint32_t i = 0; i < endpoint->arena->max_processes; i++)
			if (endpoint->port.doorbells[i] >= 0)
				close(endpoint->port.doorbells[i]);
	port_fini(&endpoint->port);
	arena_destroy(endpoint->arena);
	free(endpoint->senders);
	free(endpoint->receivers);
	if (endpoint->epoll_fd >= 0)
		close(endpoint->epoll_fd);
	if (endpoint->doorbell_fd >= 0)
		close(endpoint->doorbell_fd);
	close(endpoint->socket_fd);
	free(endpoint);
}

/* Takes doorbell_fd; borrows arena_fd. */
static int endpoint_build(slu_endpoint *endpoint, uint32_t slot, int arena_fd, int doorbell_fd)
{
	int r;

	endpoint->doorbell_fd = doorbell_fd;
	r = arena_map(arena_fd, true, &endpoint->arena);
	if (r < 0)
		return r;
	if (slot >= endpoint->arena->max_processes)
		return -EPROTO;
	endpoint->senders = calloc(endpoint->arena->max_channels, sizeof(*endpoint->senders));
	endpoint->receivers = calloc(endpoint->arena->max_channels, sizeof(*endpoint->receivers));
	if (!endpoint->senders || !endpoint->receivers)
		return -ENOMEM;
	r = port_init(&endpoint->port, endpoint->arena, slot, doorbell_fd, doorbell_find, endpoint);
	if (r < 0)
		return r;
	endpoint->epoll_fd = epoll_make(doorbell_fd, endpoint->socket_fd);
	return endpoint->epoll_fd < 0 ? endpoint->epoll_fd : 0;
}

int slu_endpoint_attach(const struct slu_attach_options *options, slu_endpoint **ret_endpoint)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	const char *path = options->socket_path ? options->socket_path : getenv("SLUICE_SOCKET");
	uint64_t timeout_ns = options->timeout_ns ? options->timeout_ns : ENDPOINT_TIMEOUT_NS;
	union client_message answer;
	slu_endpoint *endpoint;
	int fds[CLIENT_FDS_MAX];
	int r;

	pthread_once(&once, fork_watch);
	attach_error[0] = '\0';
	endpoint = calloc(1, sizeof(*endpoint));
	if (!endpoint)
		return attach_fail(-ENOMEM, strerror(ENOMEM));
	endpoint->doorbell_fd = endpoint->epoll_fd = -1;
	endpoint->fork_count = fork_count;
	endpoint->timeout_ns = timeout_ns;
	endpoint->spin_max_ns =
	        options->spin_ns_max ? options->spin_ns_max : ENDPOINT_SPIN_DEFAULT_NS;
	LIST_INIT(&endpoint->channels);
	LIST_INIT(&endpoint->sets);
	endpoint->socket_fd = socket_connect(path ? path : "/run/sluice/sluiced.sock");
	if (endpoint->socket_fd < 0) {
		r = endpoint->socket_fd;
		free(endpoint);
		return r;
	}
	r = attach_ask(endpoint->socket_fd, options, clock_now_ns() + timeout_ns, &answer, fds);
	if (r == 0) {
		r = endpoint_build(endpoint, answer.attached.slot, fds[0], fds[1]);
		close(fds[0]);
		if (r < 0)
			attach_fail(r, "the arena cannot be mapped");
	}
	if (r < 0) {
		endpoint_free(endpoint);
		return r;
	}
	*ret_endpoint = endpoint;
	return 0;
}

const char *slu_attach_error(void)
{
	return attach_error;
}

void slu_endpoint_detach(slu_endpoint *endpoint)
{
	union client_message message;
	slu_set *set;

	if (!endpoint)
		return;
	/* A child of fork() only lets go of its copies. */
	if (endpoint_check(endpoint) != -EPERM) {
		while (!LIST_EMPTY(&endpoint->channels))
			slu_channel_close(LIST_FIRST(&endpoint->channels));
		frame_pool_flush_cache(endpoint->arena, endpoint->port.slot);
		client_message_init(&message, CLIENT_DETACH);
		if (!endpoint->agent_gone)
			send_wait(endpoint->socket_fd, &message,
			          clock_now_ns() + endpoint->timeout_ns);
	}
	while ((set = LIST_FIRST(&endpoint->sets)))
		slu_set_destroy(set);
	endpoint_free(endpoint);
}

/* ---- open and close ------------------------------------------------------ */

static int open_ask(slu_endpoint *endpoint, union client_message *message)
{
	uint64_t deadline_ns = clock_now_ns() + endpoint->timeout_ns;
	uint32_t request_id = message->open.request_id;
	bool handled = false;
	int r = send_wait(endpoint->socket_fd, message, deadline_ns);

	while (r == 0) {
		while (message_next(endpoint, message, &handled)) {
			if (handled)
				continue;
			if (message->header.type == CLIENT_OPENED &&
			    message->opened.request_id == request_id)
				return 0;
			if (message->header.type == CLIENT_ERROR &&
			    (message->error.request_id == request_id || !message->error.request_id))
				return endpoint_fail(endpoint, -(int)message->error.error, "%s",
				                     message->error.text);
		}
		if (endpoint->agent_gone)
			return -ENOTCONN;
		r = socket_wait(endpoint->socket_fd, POLLIN, deadline_ns);
	}
	if (r == -EPIPE || r == -ECONNRESET) {
		agent_lost(endpoint);
		return -ENOTCONN;
	}
	return endpoint_fail(endpoint, r, "the agent does not answer: %s", strerror(-r));
}

int slu_channel_open(slu_endpoint *endpoint, const struct slu_open_options *options,
                     slu_channel **ret_channel)
{
	union client_message message;
	slu_channel *channel, **entry;
	int r = endpoint_check(endpoint);

	endpoint->error[0] = '\0';
	if (r < 0)
		return r;
	if ((options->direction != SLU_SEND && options->direction != SLU_RECV) ||
	    options->key.reserved || (options->peer && strlen(options->peer) >= ARENA_NODE_BYTES))
		return endpoint_fail(endpoint, -EINVAL,
		                     "open: direction, key or peer is not valid");
	channel = calloc(1, sizeof(*channel));
	if (!channel)
		return -ENOMEM;
	client_message_init(&message, CLIENT_OPEN);
	message.open.request_id =
	        ++endpoint->request_id ? endpoint->request_id : ++endpoint->request_id;
	message.open.direction = options->direction;
	message.open.key = options->key;
	message.open.token = options->token;
	message.open.rendezvous_timeout_ns = options->rendezvous_timeout_ns;
	message.open.window_max = options->window_frames_max;
	message.open.flags = (options->urgent ? CLIENT_OPEN_URGENT : 0) |
	                     (options->encrypted ? CLIENT_OPEN_ENCRYPTED : 0);
	if (options->peer)
		snprintf(message.open.peer, sizeof(message.open.peer), "%s", options->peer);
	r = open_ask(endpoint, &message);
	if (r == 0 && message.opened.chan_idx >= endpoint->arena->max_channels)
		r = endpoint_fail(endpoint, -EPROTO, "the agent named a channel that cannot be");
	if (r < 0) {
		free(channel);
		return r;
	}
	channel->endpoint = endpoint;
	channel->direction = options->direction;
	channel->chan_idx = message.opened.chan_idx;
	channel->open_count = message.opened.open_count;
	channel->frame_idx = FRAME_NONE;
	if (options->direction == SLU_SEND)
		chan_tx_init(&channel->tx, &endpoint->port, channel->chan_idx);
	else
		chan_rx_init(&channel->rx, &endpoint->port, channel->chan_idx,
		             arena_chan(endpoint->arena, channel->chan_idx)->window_max);
	entry = options->direction == SLU_SEND ? endpoint->senders : endpoint->receivers;
	entry[channel->chan_idx] = channel;
	LIST_INSERT_HEAD(&endpoint->channels, channel, endpoint_entry);
	*ret_channel = channel;
	return 0;
}

void endpoint_send_close(slu_endpoint *endpoint, const slu_channel *channel)
{
	union client_message message;
	int r;

	if (endpoint->agent_gone)
		return;
	client_message_init(&message, CLIENT_CLOSE);
	message.close.chan_idx = channel->chan_idx;
	message.close.open_count = channel->open_count;
	message.close.direction = channel->direction;
	r = send_wait(endpoint->socket_fd, &message, clock_now_ns() + endpoint->timeout_ns);
	/* An agent that does not take this in five seconds will not come back. */
	if (r < 0)
		agent_lost(endpoint);
}

/* ---- small things -------------------------------------------------------- */

int slu_endpoint_fd(const slu_endpoint *endpoint)
{
	return endpoint->epoll_fd;
}

const char *slu_endpoint_node(const slu_endpoint *endpoint)
{
	return endpoint->arena->header->node;
}

size_t slu_endpoint_frame_capacity(const slu_endpoint *endpoint)
{
	return endpoint->arena->frame_capacity;
}

const char *slu_endpoint_error(const slu_endpoint *endpoint)
{
	return endpoint->error;
}

void slu_endpoint_stats(const slu_endpoint *endpoint, struct slu_endpoint_stats *ret_stats)
{
	struct proc_shm *self = endpoint->port.self;
	uint64_t cached = 0;

	for (uint32_t i = 0; i < PROC_CACHE_FRAMES; i++)
		cached += atomic_load_explicit(&self->cache[i], memory_order_relaxed) != 0;
	*ret_stats = (struct slu_endpoint_stats){
	        .spins = atomic_load_explicit(&self->spins, memory_order_relaxed),
	        .sleeps = atomic_load_explicit(&self->sleeps, memory_order_relaxed),
	        .wakeups_sent = atomic_load_explicit(&self->wakeups_sent, memory_order_relaxed),
	        .frames_cached = cached,
	};
}

uint64_t slu_now_ns(void)
{
	return clock_now_ns();
}
