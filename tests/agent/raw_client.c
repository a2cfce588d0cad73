/* SPDX-License-Identifier: Apache-2.0 */
/* raw_client.c - see raw_client.h. */
#include "tests/agent/raw_client.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define RAW_TIMEOUT_MS 20000

int raw_connect(const struct agent_fixture *fixture)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	int result;

	strcpy(address.sun_path, fixture->socket_path);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
		return fd;
	result = -errno;
	if (fd >= 0)
		close(fd);
	return result;
}

int raw_receive(int socket_fd, union client_message *ret_message)
{
	struct pollfd poll_fd = {.fd = socket_fd, .events = POLLIN};
	char error[CLIENT_TEXT_BYTES];
	int fds[CLIENT_FDS_MAX];
	unsigned fd_count = 0;
	int result;

	if (poll(&poll_fd, 1, RAW_TIMEOUT_MS) <= 0)
		return -ETIMEDOUT;
	result = client_recv(socket_fd, CLIENT_SIDE_AGENT, ret_message, fds, &fd_count, error);
	while (fd_count > 0)
		close(fds[--fd_count]);
	return result;
}

bool raw_is_closed(int socket_fd)
{
	union client_message message;
	int result;

	while ((result = raw_receive(socket_fd, &message)) == 0)
		;
	return result == -ENOTCONN || result == -ECONNRESET;
}

union client_message raw_attach_message(const char *name)
{
	union client_message message;

	client_message_init(&message, CLIENT_ATTACH);
	message.attach.magic = CLIENT_MAGIC;
	message.attach.cluster = AGENT_FIXTURE_CLUSTER;
	message.attach.layout_version = ARENA_LAYOUT_VERSION;
	snprintf(message.attach.name, sizeof(message.attach.name), "%s", name);
	return message;
}

union client_message raw_open_message(uint64_t query, enum slu_direction direction)
{
	union client_message message;

	client_message_init(&message, CLIENT_OPEN);
	message.open.request_id = 1;
	message.open.direction = direction;
	message.open.key = (struct slu_key){.cluster = AGENT_FIXTURE_CLUSTER, .query = query};
	return message;
}

int raw_send(int socket_fd, const union client_message *message)
{
	struct pollfd poll_fd = {.fd = socket_fd, .events = POLLOUT};

	if (poll(&poll_fd, 1, RAW_TIMEOUT_MS) <= 0)
		return -ETIMEDOUT;
	return client_send(socket_fd, message, NULL, 0);
}

int raw_attach(const struct agent_fixture *fixture, const char *name,
               union client_message *ret_answer)
{
	union client_message message = raw_attach_message(name);
	int fd = raw_connect(fixture);
	int result;

	if (fd < 0)
		return fd;
	result = raw_send(fd, &message);
	/* Who is refused at once finds the words, though the socket is closed. */
	if (result == 0 || result == -EPIPE)
		result = raw_receive(fd, ret_answer);
	if (result == 0)
		return fd;
	close(fd);
	return result;
}

/* The answer is that refusal, and the end follows. */
static bool refusal_follows(int socket_fd, int error, const char *words)
{
	union client_message message = {.header = {0}};
	int result;

	do
		result = raw_receive(socket_fd, &message);
	while (result == 0 && message.header.type != CLIENT_ERROR);
	if (result == 0 && message.error.error == (uint32_t)error &&
	    strstr(message.error.text, words))
		return raw_is_closed(socket_fd);
	if (result < 0)
		fprintf(stderr, "\nno refusal: %s\n", strerror(-result));
	else
		fprintf(stderr, "\nrefused with %s, \"%s\"\n", strerror((int)message.error.error),
		        message.error.text);
	return false;
}

bool raw_says_refused(int socket_fd, const void *bytes, size_t size_bytes, int error,
                      const char *words)
{
	bool refused = send(socket_fd, bytes, size_bytes, MSG_NOSIGNAL) == (ssize_t)size_bytes &&
	               refusal_follows(socket_fd, error, words);

	close(socket_fd);
	return refused;
}

bool raw_is_refused(const struct agent_fixture *fixture, const void *bytes, size_t size_bytes,
                    int error, const char *words)
{
	int fd = raw_connect(fixture);

	return fd >= 0 && raw_says_refused(fd, bytes, size_bytes, error, words);
}
