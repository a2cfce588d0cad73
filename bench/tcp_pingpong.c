/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tcp_pingpong.c - a record over a plain TCP connection of loopback and back a byte:
 * the floor that kernel sockets set for "append and hear that it was written". Two
 * processes, blocking calls, no Nagle. Prints the round trip's percentiles in ns.
 *
 *   tcp-pingpong SIZE_BYTES COUNT
 */
#include "bench/histogram.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SIZE_MAX_BYTES 65536u

static uint8_t record[SIZE_MAX_BYTES];

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static void no_delay(int fd)
{
	int on = 1;

	if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0)
		fail("TCP_NODELAY");
}

/* The other end: takes records, answers each with a byte, until end of stream. */
static void answer(int fd, size_t size_bytes)
{
	static uint8_t buffer[SIZE_MAX_BYTES];

	no_delay(fd);
	while (recv(fd, buffer, size_bytes, MSG_WAITALL) == (ssize_t)size_bytes)
		if (send(fd, buffer, 1, MSG_NOSIGNAL) != 1)
			fail("send");
}

/* Returns a connected socket; the child at its other end is *ret_child. */
static int connect_pair(size_t size_bytes, pid_t *ret_child)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
	                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t length = sizeof(address);
	int listener = socket(AF_INET, SOCK_STREAM, 0), fd = socket(AF_INET, SOCK_STREAM, 0);

	if (listener < 0 || fd < 0 ||
	    bind(listener, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    listen(listener, 1) < 0 ||
	    getsockname(listener, (struct sockaddr *)&address, &length) < 0)
		fail("listen");
	*ret_child = fork();
	if (*ret_child < 0)
		fail("fork");
	if (*ret_child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(fd);
		answer(accept(listener, NULL, NULL), size_bytes);
		_exit(0);
	}
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		fail("connect");
	close(listener);
	no_delay(fd);
	return fd;
}

int main(int argc, char **argv)
{
	size_t size_bytes = argc == 3 ? strtoul(argv[1], NULL, 10) : 0;
	uint64_t count = argc == 3 ? strtoull(argv[2], NULL, 10) : 0;
	struct bench_histogram *histogram = calloc(1, sizeof(*histogram));
	uint8_t acknowledgement;
	pid_t child;
	int fd;

	if (size_bytes < 1 || size_bytes > SIZE_MAX_BYTES || count < 10 || !histogram) {
		fprintf(stderr, "usage: tcp-pingpong SIZE_BYTES COUNT\n");
		return 2;
	}
	fd = connect_pair(size_bytes, &child);
	for (uint64_t i = 0; i < count; i++) {
		uint64_t before = now_ns();

		if (send(fd, record, size_bytes, MSG_NOSIGNAL) != (ssize_t)size_bytes ||
		    recv(fd, &acknowledgement, 1, MSG_WAITALL) != 1)
			fail("round trip");
		if (i >= count / 10) /* the first tenth warms up */
			bench_histogram_record(histogram, now_ns() - before, 1);
	}
	close(fd);
	waitpid(child, NULL, 0);
	printf("p50 %" PRIu64 " p99 %" PRIu64 "\n", bench_histogram_percentile(histogram, 50),
	       bench_histogram_percentile(histogram, 99));
	free(histogram);
	return 0;
}
