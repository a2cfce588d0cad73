/* SPDX-License-Identifier: Apache-2.0 */
/* remote_wire.c - see remote_wire.h; and the sockets of remote.h. */
#include "tests/driver/remote_wire.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/driver/remote.h"
#include "transport/clock.h"

/* Two guests do not boot in the same moment. */
#define ATTACH_NS_MAX (60 * SLU_NS_PER_S)

bool remote_put(int fd, const struct remote_head *head, const void *bytes)
{
	int more = head->size_bytes > 0 ? MSG_MORE : 0;

	return send(fd, head, sizeof(*head), MSG_NOSIGNAL | more) == (ssize_t)sizeof(*head) &&
	       (!more ||
	        send(fd, bytes, head->size_bytes, MSG_NOSIGNAL) == (ssize_t)head->size_bytes);
}

bool remote_get(int fd, void *bytes, size_t size_bytes)
{
	return size_bytes == 0 || recv(fd, bytes, size_bytes, MSG_WAITALL) == (ssize_t)size_bytes;
}

int remote_attach(const struct sockaddr_in *address)
{
	static const struct timespec pause = {.tv_nsec = 20 * (long)SLU_NS_PER_MS};
	uint64_t give_up_ns = clock_now_ns() + ATTACH_NS_MAX;
	int fd;

	for (;;) {
		fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (fd >= 0 && connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0)
			return fd;
		if (fd < 0 || clock_now_ns() > give_up_ns)
			break;
		close(fd);
		nanosleep(&pause, NULL);
	}
	fprintf(stderr, "no far process: %s\n", strerror(errno));
	if (fd >= 0)
		close(fd);
	return -1;
}

int remote_listen(struct sockaddr_in *address)
{
	socklen_t size_bytes = sizeof(*address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

	if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 &&
	    bind(fd, (const struct sockaddr *)address, size_bytes) == 0 && listen(fd, 8) == 0 &&
	    getsockname(fd, (struct sockaddr *)address, &size_bytes) == 0)
		return fd;
	fprintf(stderr, "cannot listen for tests: %s\n", strerror(errno));
	if (fd >= 0)
		close(fd);
	return -1;
}
