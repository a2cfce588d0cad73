/* SPDX-License-Identifier: Apache-2.0 */
/*
 * network.h - hosts of a test: network namespaces on one switch (a bridge in a
 * namespace of its own), each with an IPv4 and an IPv6 address, whose cables can
 * be cut. The namespaces have no names: descriptors of the test program hold
 * them, so that the kernel removes everything when it ends, however it ends.
 */
#ifndef TESTS_NET_NETWORK_H
#define TESTS_NET_NETWORK_H

#include <stdbool.h>
#include <sys/socket.h>

#define NETWORK_HOSTS_MAX   3u
#define NETWORK_ERROR_BYTES 512

struct network {
	unsigned hosts;
	bool ipv6; /* network_address() is of that family */
	int switch_fd;
	int host_fds[NETWORK_HOSTS_MAX];
};

enum network_cut {
	NETWORK_CUT_SILENT, /* the switch drops all from and to the host */
	NETWORK_CUT_LINK,   /* the host sees that its link is down, its routes go */
};

/* Whether namespaces, veth and bridges can be made here: 0, or -1 and error
 * (NETWORK_ERROR_BYTES) says what is missing. */
int network_probe(char *error);

/* 0, or -1 with error. network_end() is owed in every case. */
int network_begin(struct network *network, unsigned hosts, bool ipv6, char *error);
void network_end(struct network *network);

/* 0, or -1; what failed is printed. */
int network_cut(const struct network *network, unsigned host, enum network_cut how);
int network_heal(const struct network *network, unsigned host, enum network_cut how);

/* "10.77.0.1" or "[fd77::1]"; shared, never freed. */
const char *network_address(const struct network *network, unsigned host);

/* As socket(2), in the network of that host, where it stays. */
int network_socket(const struct network *network, unsigned host, int domain, int type,
                   int protocol);

/* A TCP connection from one host to a port of another; -1: there is none. */
int network_connect(const struct network *network, unsigned from, unsigned to, unsigned port);

/* A TCP socket that listens on the host's address and that port; -1: errno. */
int network_listen(const struct network *network, unsigned host, unsigned port);
/* The next connection there, within 10 s; -1: none. */
int network_accept(int listen_fd);

#endif
