/* SPDX-License-Identifier: Apache-2.0 */
/* unix_socket.c - see unix_socket.h. */
#include "transport/agent/unix_socket.h"

#include "transport/agent/config.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define UNIX_SOCKET_BACKLOG 256

__attribute__((format(printf, 3, 4))) static int unix_socket_fail(char *error, int result,
                                                                  const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(error, CONFIG_ERROR_MAX, format, args);
	va_end(args);
	return result;
}

/* Returns the descriptor of the lock, owned, or -errno. */
static int unix_socket_lock(const char *path, char *error)
{
	char lock_path[PATH_MAX];
	int fd, result;

	snprintf(lock_path, sizeof(lock_path), "%s.lock", path);
	fd = open(lock_path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return unix_socket_fail(error, -errno, "[agent] socket: cannot make %s: %s",
		                        lock_path, strerror(errno));
	if (flock(fd, LOCK_EX | LOCK_NB) == 0)
		return fd;
	result = errno == EWOULDBLOCK
	                 ? unix_socket_fail(error, -EADDRINUSE,
	                                    "[agent] socket: another agent serves %s", path)
	                 : unix_socket_fail(error, -errno, "[agent] socket: cannot lock %s: %s",
	                                    lock_path, strerror(errno));
	close(fd);
	return result;
}

/* We hold the lock, so a socket that is there is a dead agent's. */
static int unix_socket_remove_stale(const char *path, char *error)
{
	struct stat status;

	if (lstat(path, &status) < 0)
		return 0;
	if (!S_ISSOCK(status.st_mode))
		return unix_socket_fail(error, -EEXIST, "[agent] socket: %s is there and no socket",
		                        path);
	if (unlink(path) < 0)
		return unix_socket_fail(error, -errno,
		                        "[agent] socket: cannot remove the old %s: %s", path,
		                        strerror(errno));
	return 0;
}

static int unix_socket_bind(const struct sockaddr_un *address, uint32_t mode, char *error)
{
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	mode_t mask;
	int result = -1;

	if (fd < 0)
		return unix_socket_fail(error, -errno, "[agent] socket: %s", strerror(errno));
	/* Never wider than asked for, also not between bind and chmod. */
	mask = umask(0777 & ~mode);
	if (bind(fd, (const struct sockaddr *)address, sizeof(*address)) == 0 &&
	    chmod(address->sun_path, mode) == 0 && listen(fd, UNIX_SOCKET_BACKLOG) == 0)
		result = 0;
	else
		result = unix_socket_fail(error, -errno, "[agent] socket: cannot listen on %s: %s",
		                          address->sun_path, strerror(errno));
	umask(mask);
	if (result < 0) {
		close(fd);
		return result;
	}
	return fd;
}

int unix_socket_open(const char *path, uint32_t mode, int *ret_socket_fd, int *ret_lock_fd,
                     char *error)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int lock_fd, socket_fd, result;

	if (strlen(path) >= sizeof(address.sun_path))
		return unix_socket_fail(error, -ENAMETOOLONG,
		                        "[agent] socket: a path has at most %zu bytes: %s",
		                        sizeof(address.sun_path) - 1, path);
	strcpy(address.sun_path, path);
	lock_fd = unix_socket_lock(path, error);
	if (lock_fd < 0)
		return lock_fd;
	result = unix_socket_remove_stale(path, error);
	socket_fd = result < 0 ? result : unix_socket_bind(&address, mode, error);
	if (socket_fd < 0) {
		close(lock_fd);
		return socket_fd;
	}
	*ret_socket_fd = socket_fd;
	*ret_lock_fd = lock_fd;
	return 0;
}

void unix_socket_close(const char *path, int socket_fd)
{
	unlink(path);
	close(socket_fd);
}
