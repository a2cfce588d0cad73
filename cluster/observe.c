/* SPDX-License-Identifier: Apache-2.0 */
/* observe.c - see observe.h. */
#include "cluster/observe.h"

#include "transport/client_codec.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define OBSERVE_TIMEOUT_MS 5000
#define OBSERVE_MEMFD      "/memfd:sluice-arena" /* as /proc shows it */

__attribute__((format(printf, 3, 4))) static int observe_fail(char *error, int result,
                                                              const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(error, OBSERVE_ERROR_BYTES, format, args);
	va_end(args);
	return result;
}

/* Borrows fd. */
static int observe_map(int fd, struct observe *observe, char *error)
{
	int result = arena_map(fd, false, &observe->arena);

	if (result == -EPROTONOSUPPORT)
		return observe_fail(error, result, "the arena has another layout than version %u",
		                    ARENA_LAYOUT_VERSION);
	if (result < 0)
		return observe_fail(error, result, "cannot map the arena: %s", strerror(-result));
	return 0;
}

/* ---- from the agent ---------------------------------------------------- */

static int agent_connect(const char *socket_path, char *error)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd, result;

	if (strlen(socket_path) >= sizeof(address.sun_path))
		return observe_fail(error, -ENAMETOOLONG, "socket path too long: %s", socket_path);
	strcpy(address.sun_path, socket_path);
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
		return fd;
	result = observe_fail(error, -errno, "no agent answers at %s: %s", socket_path,
	                      strerror(errno));
	if (fd >= 0)
		close(fd);
	return result;
}

/* Returns the descriptor of the arena, owned, or -errno. */
static int agent_ask(int socket_fd, char *error)
{
	struct pollfd poll_fd = {.fd = socket_fd, .events = POLLIN};
	union client_message message;
	char text[CLIENT_TEXT_BYTES];
	int fds[CLIENT_FDS_MAX];
	unsigned fd_count = 0;
	int result;

	client_message_init(&message, CLIENT_OBSERVE);
	message.attach.magic = CLIENT_MAGIC;
	message.attach.layout_version = ARENA_LAYOUT_VERSION;
	snprintf(message.attach.name, sizeof(message.attach.name), "sluice top");
	/* An agent that refuses may have closed already: its words are there. */
	client_send(socket_fd, &message, NULL, 0);
	if (poll(&poll_fd, 1, OBSERVE_TIMEOUT_MS) <= 0)
		return observe_fail(error, -ETIMEDOUT,
		                    "the agent does not answer; --pid reads without it");
	result = client_recv(socket_fd, CLIENT_SIDE_AGENT, &message, fds, &fd_count, text);
	if (result < 0)
		return observe_fail(error, result, "agent: %s", text);
	if (message.header.type == CLIENT_ERROR)
		return observe_fail(error, -(int)message.error.error, "agent: %s",
		                    message.error.text);
	if (message.header.type == CLIENT_ATTACHED && fd_count == 1)
		return fds[0];
	for (unsigned i = 0; i < fd_count; i++)
		close(fds[i]);
	return observe_fail(error, -EPROTO, "the agent answered with another message");
}

int observe_agent(const char *socket_path, struct observe *ret_observe, char *error)
{
	struct observe observe = {.socket_fd = agent_connect(socket_path, error)};
	int arena_fd, result;

	if (observe.socket_fd < 0)
		return observe.socket_fd;
	arena_fd = agent_ask(observe.socket_fd, error);
	result = arena_fd < 0 ? arena_fd : observe_map(arena_fd, &observe, error);
	if (arena_fd >= 0)
		close(arena_fd);
	if (result < 0) {
		close(observe.socket_fd);
		return result;
	}
	*ret_observe = observe;
	return 0;
}

bool observe_agent_lives(const struct observe *observe)
{
	struct pollfd poll_fd = {.fd = observe->socket_fd, .events = POLLIN};

	return observe->socket_fd >= 0 && poll(&poll_fd, 1, 0) == 0;
}

/* ---- from a process ---------------------------------------------------- */

/* An open descriptor of the process that is an arena. -ENOENT: none is. */
static int process_open_fd(pid_t pid)
{
	char path[64], link[PATH_MAX], target[PATH_MAX];
	struct dirent *entry;
	DIR *directory;
	int fd = -ENOENT;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	directory = opendir(path);
	if (!directory)
		return -errno;
	while (fd == -ENOENT && (entry = readdir(directory))) {
		ssize_t size;

		snprintf(link, sizeof(link), "%s/%s", path, entry->d_name);
		size = readlink(link, target, sizeof(target) - 1);
		if (size <= 0)
			continue;
		target[size] = '\0';
		if (strncmp(target, OBSERVE_MEMFD, strlen(OBSERVE_MEMFD)) == 0)
			fd = open(link, O_RDONLY | O_CLOEXEC);
	}
	closedir(directory);
	return fd;
}

/* A mapping of the process that is an arena. */
static int process_open_mapping(pid_t pid)
{
	char path[64], line[PATH_MAX + 128], range[64];
	FILE *maps;
	int fd = -ENOENT;

	snprintf(path, sizeof(path), "/proc/%d/maps", (int)pid);
	maps = fopen(path, "re");
	if (!maps)
		return -errno;
	while (fd == -ENOENT && fgets(line, sizeof(line), maps)) {
		if (!strstr(line, OBSERVE_MEMFD) || sscanf(line, "%63s", range) != 1)
			continue;
		snprintf(line, sizeof(line), "/proc/%d/map_files/%s", (int)pid, range);
		fd = open(line, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			fd = -errno;
	}
	fclose(maps);
	return fd;
}

int observe_process(pid_t pid, struct observe *ret_observe, char *error)
{
	struct observe observe = {.socket_fd = -1};
	int fd = process_open_fd(pid);
	int result;

	if (fd < 0)
		fd = process_open_mapping(pid);
	if (fd == -EPERM || fd == -EACCES)
		return observe_fail(error, fd, "the arena of process %d can be read by root alone",
		                    (int)pid);
	if (fd == -ENOENT)
		return observe_fail(error, fd, "process %d has no arena, or is not there",
		                    (int)pid);
	if (fd < 0)
		return observe_fail(error, fd, "process %d: %s", (int)pid, strerror(-fd));
	result = observe_map(fd, &observe, error);
	close(fd);
	if (result == 0)
		*ret_observe = observe;
	return result;
}

void observe_end(struct observe *observe)
{
	arena_destroy(observe->arena);
	if (observe->socket_fd >= 0)
		close(observe->socket_fd);
}
