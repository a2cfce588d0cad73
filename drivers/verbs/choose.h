/* SPDX-License-Identifier: Apache-2.0 */
/*
 * choose.h - which RDMA port to use when nobody says: every port of every device
 * with what speaks for and against it, the best first. What the driver takes and
 * what a probe shows come from here, so that they agree.
 */
#ifndef DRIVERS_VERBS_CHOOSE_H
#define DRIVERS_VERBS_CHOOSE_H

#include <infiniband/verbs.h>
#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#define VERBS_NODE_UNKNOWN (-1)

struct verbs_port {
	char device[64]; /* as in ibv_devices */
	uint8_t port;    /* from 1 */
	bool infiniband; /* the link layer; else Ethernet: RoCE */
	enum ibv_port_state state;
	uint32_t mtu_bytes; /* active */
	uint64_t rate_mbps; /* of the link, all lanes; 0: unknown */
	int numa_node;      /* VERBS_NODE_UNKNOWN: one node, or not told */
	bool near;          /* its node is that which was asked for */

	/* The address by which the connection manager finds the port. */
	char interface[IF_NAMESIZE];     /* "": none */
	struct sockaddr_storage address; /* port 0; ss_family AF_UNSPEC: none */
	int gid_idx;                     /* of that address, RoCE v2; -1: none, InfiniBand */

	bool usable;  /* active, and has an address */
	char why[96]; /* in words: what speaks for it, or why it is not usable */
};

/*
 * Every port of this machine: usable ones first, then near ones, then the
 * fastest, then by name. near_node: of the memory or the CPUs that use it;
 * VERBS_NODE_UNKNOWN: that of the CPUs this process may run on, where they are of
 * one node. *ret_ports is returned owned, for free(). Returns how many; -ENOMEM;
 * -ENODEV: no RDMA devices. Opens devices for a moment; never on the data path.
 */
int verbs_ports_list(int near_node, struct verbs_port **ret_ports);

/* The one NUMA node where that memory lies; VERBS_NODE_UNKNOWN: on several, or
 * the machine has one. */
int verbs_memory_node(const void *memory, size_t size_bytes);

#endif
