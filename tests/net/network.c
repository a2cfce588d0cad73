/* SPDX-License-Identifier: Apache-2.0 */
/* network.c - see network.h. ip(8) does the work. */
#include "tests/net/network.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#define COMMANDS_BYTES 1024

static const char *const addresses_v4[NETWORK_HOSTS_MAX] = {"10.77.0.1", "10.77.0.2", "10.77.0.3"};
static const char *const addresses_v6[NETWORK_HOSTS_MAX] = {"fd77::1", "fd77::2", "fd77::3"};
/* as sluiced.conf wants them before a port */
static const char *const brackets_v6[NETWORK_HOSTS_MAX] = {"[fd77::1]", "[fd77::2]", "[fd77::3]"};

/* ---- namespaces -------------------------------------------------------------- */

static int namespace_own(void)
{
	return open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
}

/* Takes own_fd; errno stays. */
static void namespace_back(int own_fd)
{
	int error = errno;

	if (setns(own_fd, CLONE_NEWNET) < 0) {
		perror("back to the own network namespace");
		exit(2);
	}
	close(own_fd);
	errno = error;
}

/* A new network namespace, held by the descriptor that is returned; -1: errno.
 * This program itself stays where it is. */
static int namespace_create(void)
{
	int own_fd = namespace_own();
	int fd;

	if (own_fd < 0)
		return -1;
	if (unshare(CLONE_NEWNET) < 0) {
		close(own_fd);
		return -1;
	}
	fd = namespace_own();
	namespace_back(own_fd);
	return fd;
}

static void write_setting(const char *path, const char *value)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	/* Without IPv6 the file is not there, and not needed. */
	if (fd >= 0 && write(fd, value, strlen(value)) < 0)
		perror(path);
	if (fd >= 0)
		close(fd);
}

static void ip_child(int namespace_fd, int input_fd, int output_fd)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (setns(namespace_fd, CLONE_NEWNET) < 0)
		_exit(126);
	/* An address outlives its link, as an IPv4 address does anyway. */
	write_setting("/proc/sys/net/ipv6/conf/all/keep_addr_on_down", "1");
	write_setting("/proc/sys/net/ipv6/conf/default/keep_addr_on_down", "1");
	dup2(input_fd, STDIN_FILENO);
	dup2(output_fd, STDOUT_FILENO);
	dup2(output_fd, STDERR_FILENO);
	execlp("ip", "ip", "-batch", "-", (char *)NULL);
	_exit(127);
}

/* ip(8) in a namespace, with commands, a line each. 0, or -1 with error. */
static int ip_run(int namespace_fd, const char *commands, char *error)
{
	int input_fd = memfd_create("ip-input", MFD_CLOEXEC);
	int output_fd = memfd_create("ip-output", MFD_CLOEXEC);
	ssize_t size = (ssize_t)strlen(commands), said;
	int status = -1;
	pid_t pid;

	if (input_fd < 0 || output_fd < 0 ||
	    pwrite(input_fd, commands, strlen(commands), 0) != size) {
		perror("memfd");
		exit(2);
	}
	pid = fork();
	if (pid == 0)
		ip_child(namespace_fd, input_fd, output_fd);
	if (pid > 0)
		waitpid(pid, &status, 0);
	said = pread(output_fd, error, NETWORK_ERROR_BYTES - 1, 0);
	error[said > 0 ? said : 0] = '\0';
	if (status >= 0 && WIFEXITED(status) && WEXITSTATUS(status) == 127)
		snprintf(error, NETWORK_ERROR_BYTES, "there is no ip(8): package iproute2");
	else if (status && !error[0])
		snprintf(error, NETWORK_ERROR_BYTES, "ip(8) ended with status %#x",
		         (unsigned)status);
	close(input_fd);
	close(output_fd);
	return status == 0 ? 0 : -1;
}

/* ---- hosts and cables -------------------------------------------------------- */

static int host_begin(struct network *network, unsigned host, char *error)
{
	char commands[COMMANDS_BYTES];

	network->host_fds[host] = namespace_create();
	if (network->host_fds[host] < 0) {
		snprintf(error, NETWORK_ERROR_BYTES, "network namespace: %s", strerror(errno));
		return -1;
	}
	snprintf(commands, sizeof(commands),
	         "link add port%u type veth peer name net0 netns /proc/%d/fd/%d\n"
	         "link set port%u master switch up\n",
	         host, (int)getpid(), network->host_fds[host], host);
	if (ip_run(network->switch_fd, commands, error) < 0)
		return -1;
	snprintf(commands, sizeof(commands),
	         "link set lo up\naddr add %s/24 dev net0\nlink set net0 up\n", addresses_v4[host]);
	if (ip_run(network->host_fds[host], commands, error) < 0)
		return -1;
	if (!network->ipv6)
		return 0;
	snprintf(commands, sizeof(commands), "addr add %s/64 dev net0 nodad\n", addresses_v6[host]);
	return ip_run(network->host_fds[host], commands, error);
}

int network_begin(struct network *network, unsigned hosts, bool ipv6, char *error)
{
	*network = (struct network){
	        .hosts = hosts,
	        .ipv6 = ipv6,
	        .switch_fd = -1,
	        .host_fds = {-1, -1, -1},
	};
	network->switch_fd = namespace_create();
	if (network->switch_fd < 0) {
		snprintf(error, NETWORK_ERROR_BYTES, "network namespace: %s", strerror(errno));
		return -1;
	}
	if (ip_run(network->switch_fd,
	           "link add switch type bridge mcast_snooping 0\nlink set switch up\n", error) < 0)
		return -1;
	for (unsigned host = 0; host < hosts; host++)
		if (host_begin(network, host, error) < 0)
			return -1;
	return 0;
}

void network_end(struct network *network)
{
	if (network->switch_fd >= 0)
		close(network->switch_fd);
	for (unsigned host = 0; host < NETWORK_HOSTS_MAX; host++)
		if (network->host_fds[host] >= 0)
			close(network->host_fds[host]);
	*network = (struct network){.switch_fd = -1, .host_fds = {-1, -1, -1}};
}

int network_probe(char *error)
{
	struct network network;
	int result = network_begin(&network, 1, false, error);

	network_end(&network);
	return result;
}

static int cable_set(const struct network *network, unsigned host, enum network_cut how,
                     const char *silent, const char *link)
{
	char commands[COMMANDS_BYTES], error[NETWORK_ERROR_BYTES];
	int fd = how == NETWORK_CUT_SILENT ? network->switch_fd : network->host_fds[host];
	int result;

	if (how == NETWORK_CUT_SILENT)
		snprintf(commands, sizeof(commands), "link set port%u %s\n", host, silent);
	else
		snprintf(commands, sizeof(commands), "link set net0 %s\n", link);
	result = ip_run(fd, commands, error);
	if (result < 0)
		fprintf(stderr, "ip %s: %s\n", commands, error);
	return result;
}

int network_cut(const struct network *network, unsigned host, enum network_cut how)
{
	return cable_set(network, host, how, "nomaster", "down");
}

int network_heal(const struct network *network, unsigned host, enum network_cut how)
{
	return cable_set(network, host, how, "master switch", "up");
}

/* ---- sockets ----------------------------------------------------------------- */

const char *network_address(const struct network *network, unsigned host)
{
	return network->ipv6 ? brackets_v6[host] : addresses_v4[host];
}

int network_socket(const struct network *network, unsigned host, int domain, int type, int protocol)
{
	int own_fd = namespace_own();
	int fd;

	if (own_fd < 0)
		return -1;
	if (setns(network->host_fds[host], CLONE_NEWNET) < 0) {
		close(own_fd);
		return -1;
	}
	fd = socket(domain, type | SOCK_CLOEXEC, protocol);
	namespace_back(own_fd);
	return fd;
}

static socklen_t host_sockaddr(const struct network *network, unsigned host, unsigned port,
                               struct sockaddr_storage *ret_address)
{
	struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};

	if (!network->ipv6) {
		inet_pton(AF_INET, addresses_v4[host], &v4.sin_addr);
		memcpy(ret_address, &v4, sizeof(v4));
		return sizeof(v4);
	}
	inet_pton(AF_INET6, addresses_v6[host], &v6.sin6_addr);
	memcpy(ret_address, &v6, sizeof(v6));
	return sizeof(v6);
}

/* Nothing that the test waits for takes longer. */
static void socket_be_patient(int fd)
{
	struct timeval timeout = {.tv_sec = 10};

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
}

int network_connect(const struct network *network, unsigned from, unsigned to, unsigned port)
{
	struct sockaddr_storage address;
	socklen_t size = host_sockaddr(network, to, port, &address);
	int fd = network_socket(network, from, address.ss_family, SOCK_STREAM, 0);

	if (fd < 0)
		return -1;
	socket_be_patient(fd);
	if (connect(fd, (struct sockaddr *)&address, size) == 0)
		return fd;
	close(fd);
	return -1;
}

int network_listen(const struct network *network, unsigned host, unsigned port)
{
	struct sockaddr_storage address;
	socklen_t size = host_sockaddr(network, host, port, &address);
	int fd = network_socket(network, host, address.ss_family, SOCK_STREAM, 0);

	if (fd < 0)
		return -1;
	socket_be_patient(fd);
	if (bind(fd, (struct sockaddr *)&address, size) == 0 && listen(fd, 1) == 0)
		return fd;
	close(fd);
	return -1;
}

int network_accept(int listen_fd)
{
	int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC);

	if (fd >= 0)
		socket_be_patient(fd);
	return fd;
}
