/* SPDX-License-Identifier: Apache-2.0 */
/*
 * choose.c - see choose.h. Distances come from hwloc, addresses from the GIDs of
 * RoCE (a GID of RoCE v2 is an IP address) and from the interfaces that IPoIB
 * makes of a port of InfiniBand.
 */
#include "drivers/verbs/choose.h"

#include <arpa/inet.h>
#include <errno.h>
#include <hwloc.h>
#include <hwloc/openfabrics-verbs.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define GIDS_MAX 256

struct listing {
	hwloc_topology_t topology;
	struct ifaddrs *interfaces;
	int near_node;
	struct verbs_port *ports;
	size_t count;
};

/* ---- NUMA ------------------------------------------------------------------- */

/* The node of a set of nodes; VERBS_NODE_UNKNOWN: it has more, or none. */
static int node_only(hwloc_const_nodeset_t nodes)
{
	return hwloc_bitmap_weight(nodes) == 1 ? hwloc_bitmap_first(nodes) : VERBS_NODE_UNKNOWN;
}

static hwloc_topology_t topology_load(void)
{
	hwloc_topology_t topology;

	if (hwloc_topology_init(&topology) < 0)
		return NULL;
	if (hwloc_topology_load(topology) == 0 &&
	    hwloc_get_nbobjs_by_type(topology, HWLOC_OBJ_NUMANODE) > 1)
		return topology;
	hwloc_topology_destroy(topology);
	return NULL;
}

int verbs_memory_node(const void *memory, size_t size_bytes)
{
	hwloc_topology_t topology = topology_load();
	hwloc_nodeset_t nodes;
	int node = VERBS_NODE_UNKNOWN;

	if (!topology)
		return VERBS_NODE_UNKNOWN;
	nodes = hwloc_bitmap_alloc();
	if (nodes && hwloc_get_area_memlocation(topology, memory, size_bytes, nodes,
	                                        HWLOC_MEMBIND_BYNODESET) == 0)
		node = node_only(nodes);
	hwloc_bitmap_free(nodes);
	hwloc_topology_destroy(topology);
	return node;
}

static int node_of_cpus(hwloc_topology_t topology, hwloc_const_cpuset_t cpus)
{
	hwloc_nodeset_t nodes = hwloc_bitmap_alloc();
	int node;

	if (!nodes)
		return VERBS_NODE_UNKNOWN;
	hwloc_cpuset_to_nodeset(topology, cpus, nodes);
	node = node_only(nodes);
	hwloc_bitmap_free(nodes);
	return node;
}

static int node_of_process(hwloc_topology_t topology)
{
	hwloc_cpuset_t cpus = hwloc_bitmap_alloc();
	int node = VERBS_NODE_UNKNOWN;

	if (cpus && hwloc_get_cpubind(topology, cpus, HWLOC_CPUBIND_PROCESS) == 0)
		node = node_of_cpus(topology, cpus);
	hwloc_bitmap_free(cpus);
	return node;
}

static int node_of_device(hwloc_topology_t topology, struct ibv_device *device)
{
	hwloc_cpuset_t cpus = hwloc_bitmap_alloc();
	int node = VERBS_NODE_UNKNOWN;

	if (cpus && hwloc_ibv_get_device_cpuset(topology, device, cpus) == 0)
		node = node_of_cpus(topology, cpus);
	hwloc_bitmap_free(cpus);
	return node;
}

/* ---- addresses ---------------------------------------------------------------- */

static void address_take(struct verbs_port *port, const struct ifaddrs *interface)
{
	snprintf(port->interface, sizeof port->interface, "%s", interface->ifa_name);
	memcpy(&port->address, interface->ifa_addr,
	       interface->ifa_addr->sa_family == AF_INET ? sizeof(struct sockaddr_in)
	                                                 : sizeof(struct sockaddr_in6));
}

static bool address_is_gid(const struct sockaddr *address, const union ibv_gid *gid)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

	if (address->sa_family == AF_INET)
		return memcmp(gid->raw, mapped, sizeof mapped) == 0 &&
		       memcmp(gid->raw + sizeof mapped,
		              &((const struct sockaddr_in *)address)->sin_addr, 4) == 0;
	return memcmp(gid->raw, &((const struct sockaddr_in6 *)address)->sin6_addr, 16) == 0;
}

/* Link-local addresses say nothing without the interface: not for other hosts. */
static bool address_fits(const struct ifaddrs *interface, int family)
{
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)interface->ifa_addr;

	if (!interface->ifa_addr || interface->ifa_addr->sa_family != family)
		return false;
	return family == AF_INET || !IN6_IS_ADDR_LINKLOCAL(&v6->sin6_addr);
}

static void address_find_roce(const struct listing *listing, struct ibv_context *verbs,
                              struct verbs_port *port, int family)
{
	struct ibv_gid_entry gids[GIDS_MAX];
	ssize_t count = ibv_query_gid_table(verbs, gids, GIDS_MAX, 0);
	const struct ifaddrs *i;

	for (ssize_t k = 0; k < count; k++) {
		if (gids[k].port_num != port->port || gids[k].gid_type != IBV_GID_TYPE_ROCE_V2)
			continue;
		for (i = listing->interfaces; i; i = i->ifa_next) {
			if (!address_fits(i, family) ||
			    if_nametoindex(i->ifa_name) != gids[k].ndev_ifindex ||
			    !address_is_gid(i->ifa_addr, &gids[k].gid))
				continue;
			address_take(port, i);
			port->gid_idx = (int)gids[k].gid_index;
			return;
		}
	}
}

/* IPoIB: the interfaces of the same bus device, of which dev_port says the port. */
static void address_find_ipoib(const struct listing *listing, const char *ibdev_path,
                               struct verbs_port *port, int family)
{
	const struct ifaddrs *i;
	char path[512], text[16];
	FILE *file;

	for (i = listing->interfaces; i; i = i->ifa_next) {
		if (!address_fits(i, family))
			continue;
		snprintf(path, sizeof path, "%s/device/net/%s/dev_port", ibdev_path, i->ifa_name);
		file = fopen(path, "re");
		if (!file)
			continue;
		if (fgets(text, sizeof text, file) && atoi(text) + 1 == port->port &&
		    port->address.ss_family == AF_UNSPEC)
			address_take(port, i);
		fclose(file);
	}
}

/* ---- ports -------------------------------------------------------------------- */

/* Per lane; IB specification, PortInfo LinkSpeedActive and LinkSpeedExtActive. */
static uint64_t rate_mbps(const struct ibv_port_attr *attr)
{
	static const struct {
		uint8_t code;
		uint32_t mbps;
	} speeds[] = {{1, 2500},   {2, 5000},   {4, 10000},  {8, 10000},
	              {16, 14000}, {32, 25000}, {64, 50000}, {128, 100000}};
	static const struct {
		uint8_t code, lanes;
	} widths[] = {{1, 1}, {2, 4}, {4, 8}, {8, 12}, {16, 2}};
	uint64_t speed = 0, lanes = 0;

	for (size_t i = 0; i < sizeof speeds / sizeof *speeds; i++)
		if (speeds[i].code == attr->active_speed)
			speed = speeds[i].mbps;
	for (size_t i = 0; i < sizeof widths / sizeof *widths; i++)
		if (widths[i].code == attr->active_width)
			lanes = widths[i].lanes;
	return speed * lanes;
}

static void port_judge(const struct listing *listing, struct verbs_port *port)
{
	char node[32] = "";

	port->near =
	        listing->near_node != VERBS_NODE_UNKNOWN && port->numa_node == listing->near_node;
	port->usable = port->state == IBV_PORT_ACTIVE && port->address.ss_family != AF_UNSPEC;
	if (port->state != IBV_PORT_ACTIVE) {
		snprintf(port->why, sizeof port->why, "the port is %s",
		         ibv_port_state_str(port->state));
		return;
	}
	if (port->address.ss_family == AF_UNSPEC) {
		snprintf(port->why, sizeof port->why, "no interface with an IP address");
		return;
	}
	if (port->numa_node != VERBS_NODE_UNKNOWN)
		snprintf(node, sizeof node, ", %sNUMA node %d", port->near ? "on our " : "",
		         port->numa_node);
	snprintf(port->why, sizeof port->why, "active, %llu Mb/s%s",
	         (unsigned long long)port->rate_mbps, node);
}

static void port_fill(const struct listing *listing, struct ibv_context *verbs, uint8_t number,
                      struct verbs_port *port)
{
	struct ibv_port_attr attr;

	*port = (struct verbs_port){.port = number, .numa_node = VERBS_NODE_UNKNOWN, .gid_idx = -1};
	snprintf(port->device, sizeof port->device, "%s", ibv_get_device_name(verbs->device));
	if (listing->topology)
		port->numa_node = node_of_device(listing->topology, verbs->device);
	if (ibv_query_port(verbs, number, &attr) == 0) {
		port->state = attr.state;
		port->infiniband = attr.link_layer != IBV_LINK_LAYER_ETHERNET;
		port->mtu_bytes = attr.active_mtu ? 128u << attr.active_mtu : 0;
		port->rate_mbps = rate_mbps(&attr);
	}
	for (int v6 = 0; v6 < 2 && port->address.ss_family == AF_UNSPEC; v6++) {
		int family = v6 ? AF_INET6 : AF_INET;

		if (port->infiniband)
			address_find_ipoib(listing, verbs->device->ibdev_path, port, family);
		else
			address_find_roce(listing, verbs, port, family);
	}
	port_judge(listing, port);
}

static int device_list(struct listing *listing, struct ibv_device *device)
{
	struct ibv_context *verbs = ibv_open_device(device);
	struct ibv_device_attr attr;
	struct verbs_port *ports;
	int r = 0;

	if (!verbs)
		return 0; /* goes away just now */
	if (ibv_query_device(verbs, &attr) == 0) {
		ports = reallocarray(listing->ports, listing->count + attr.phys_port_cnt,
		                     sizeof *ports);
		if (ports) {
			listing->ports = ports;
			for (unsigned i = 1; i <= attr.phys_port_cnt; i++)
				port_fill(listing, verbs, (uint8_t)i, &ports[listing->count++]);
		} else {
			r = -ENOMEM;
		}
	}
	ibv_close_device(verbs);
	return r;
}

static int port_compare(const void *a, const void *b)
{
	const struct verbs_port *left = a, *right = b;
	int by_name = strcmp(left->device, right->device);

	if (left->usable != right->usable)
		return left->usable ? -1 : 1;
	if (left->near != right->near)
		return left->near ? -1 : 1;
	if (left->rate_mbps != right->rate_mbps)
		return left->rate_mbps > right->rate_mbps ? -1 : 1;
	return by_name ? by_name : left->port - right->port;
}

int verbs_ports_list(int near_node, struct verbs_port **ret_ports)
{
	struct listing listing = {.near_node = near_node};
	struct ibv_device **devices;
	int count, r = 0;

	devices = ibv_get_device_list(&count);
	if (!devices)
		return -ENODEV;
	if (getifaddrs(&listing.interfaces) < 0)
		listing.interfaces = NULL;
	listing.topology = topology_load();
	if (listing.topology && near_node == VERBS_NODE_UNKNOWN)
		listing.near_node = node_of_process(listing.topology);
	for (int i = 0; i < count && r == 0; i++)
		r = device_list(&listing, devices[i]);
	if (listing.topology)
		hwloc_topology_destroy(listing.topology);
	freeifaddrs(listing.interfaces);
	ibv_free_device_list(devices);
	if (r < 0 || listing.count == 0) {
		free(listing.ports);
		return r < 0 ? r : -ENODEV;
	}
	qsort(listing.ports, listing.count, sizeof *listing.ports, port_compare);
	*ret_ports = listing.ports;
	return (int)listing.count;
}
