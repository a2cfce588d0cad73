/* SPDX-License-Identifier: Apache-2.0 */
/*
 * probe.c - looks at every RDMA device of this machine and says what an instance
 * would choose, by the same list and the same connection manager as one that opens.
 * Opens devices for a moment and makes nothing on them.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <rdma/rdma_cma.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "drivers/verbs/address.h"
#include "drivers/verbs/probe.h"
#include "drivers/verbs/verbs.h"

#define GIDS_MAX 1024

/* ---- looking -------------------------------------------------------------------- */

static void gid_fill(const struct ibv_gid_entry *entry, struct probe_gid *ret_gid)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
	bool v4 = memcmp(entry->gid.raw, mapped, sizeof mapped) == 0;

	*ret_gid = (struct probe_gid){
	        .port = entry->port_num,
	        .idx = entry->gid_index,
	        .type = entry->gid_type == IBV_GID_TYPE_ROCE_V2   ? "RoCE v2"
	                : entry->gid_type == IBV_GID_TYPE_ROCE_V1 ? "RoCE v1"
	                : entry->gid_type == IBV_GID_TYPE_IB      ? "InfiniBand"
	                                                          : "?",
	};
	inet_ntop(v4 ? AF_INET : AF_INET6, v4 ? entry->gid.raw + sizeof mapped : entry->gid.raw,
	          ret_gid->address, sizeof ret_gid->address);
	if (entry->ndev_ifindex && !if_indextoname(entry->ndev_ifindex, ret_gid->interface))
		ret_gid->interface[0] = '\0';
}

static int gids_look(struct ibv_context *verbs, struct probe_device *device)
{
	struct ibv_gid_entry *entries = calloc(GIDS_MAX, sizeof *entries);
	ssize_t count = entries ? ibv_query_gid_table(verbs, entries, GIDS_MAX, 0) : 0;

	if (count > 0)
		device->gids = calloc((size_t)count, sizeof *device->gids);
	if (!entries || (count > 0 && !device->gids)) {
		free(entries);
		return -ENOMEM;
	}
	for (ssize_t i = 0; i < count; i++)
		gid_fill(&entries[i], &device->gids[device->gid_count++]);
	free(entries);
	return 0;
}

/* Of opening that file. The libraries look in other places when the first does not
 * open, and tell the last reason, not the one that counts. */
static int open_error(const char *file, int error)
{
	char path[128];

	snprintf(path, sizeof path, "/dev/infiniband/%s", file);
	if (access(path, R_OK | W_OK) < 0 && errno != ENOENT)
		return errno;
	return error ? error : ENODEV;
}

static int device_look(struct ibv_device *found, struct probe_device *device)
{
	struct ibv_context *verbs;
	int r = 0;

	snprintf(device->name, sizeof device->name, "%s", ibv_get_device_name(found));
	verbs = ibv_open_device(found);
	if (!verbs) {
		device->error = open_error(found->dev_name, errno);
		return 0;
	}
	device->error = ibv_query_device(verbs, &device->attr);
	if (device->error == 0)
		r = gids_look(verbs, device);
	ibv_close_device(verbs);
	return r;
}

static int devices_look(struct probe *probe)
{
	int count = 0, r = 0;
	/* NULL also where the kernel has no RDMA at all. */
	struct ibv_device **found = ibv_get_device_list(&count);

	if (!found || count == 0) {
		if (found)
			ibv_free_device_list(found);
		return 0;
	}
	probe->devices = calloc((size_t)count, sizeof *probe->devices);
	if (!probe->devices)
		r = -ENOMEM;
	for (int i = 0; i < count && r == 0; i++)
		r = device_look(found[i], &probe->devices[probe->device_count++]);
	ibv_free_device_list(found);
	return r;
}

static void surroundings_look(struct probe *probe)
{
	struct rlimit limit = {RLIM_INFINITY, RLIM_INFINITY};
	struct rdma_event_channel *channel;

	getrlimit(RLIMIT_MEMLOCK, &limit);
	probe->locked_bytes = limit.rlim_cur == RLIM_INFINITY ? UINT64_MAX : limit.rlim_cur;
	channel = rdma_create_event_channel();
	if (channel)
		rdma_destroy_event_channel(channel);
	else
		probe->cm_error = open_error("rdma_cm", errno);
}

/* ---- choosing -------------------------------------------------------------------- */

static void __attribute__((format(printf, 3, 4)))
choice_say(struct probe *probe, bool usable, const char *format, ...)
{
	va_list args;

	probe->usable = usable;
	va_start(args, format);
	vsnprintf(probe->choice, sizeof probe->choice, format, args);
	va_end(args);
}

/* Where the connection manager finds that address: as an instance asks. */
static int address_find(const char *text, char *ret_device, size_t size, unsigned *ret_port)
{
	struct rdma_event_channel *channel = rdma_create_event_channel();
	struct sockaddr_storage address;
	struct rdma_cm_id *id = NULL;
	int r = channel ? verbs_address_parse(text, &address) : -errno;

	if (r == 0)
		verbs_address_port_set(&address, 0);
	if (r == 0 && (rdma_create_id(channel, &id, NULL, RDMA_PS_TCP) != 0 ||
	               rdma_bind_addr(id, (struct sockaddr *)&address) != 0))
		r = -errno;
	if (r == 0 && !id->verbs)
		r = -ENODEV;
	if (r == 0) {
		snprintf(ret_device, size, "%s", ibv_get_device_name(id->verbs->device));
		*ret_port = id->port_num;
	}
	if (id)
		rdma_destroy_id(id);
	if (channel)
		rdma_destroy_event_channel(channel);
	return r;
}

static const struct verbs_port *port_find(const struct probe *probe, const char *device,
                                          unsigned port)
{
	for (size_t i = 0; i < probe->port_count; i++) {
		if (strcmp(probe->ports[i].device, device) == 0 && probe->ports[i].port == port)
			return &probe->ports[i];
	}
	return NULL;
}

/* The options name addresses: each is a rail. */
static void choose_by_address(struct probe *probe, const char *listen)
{
	char text[SLU_DRIVER_ADDRESS_MAX], device[64], *rest = text, *address;
	size_t used = 0;
	unsigned number = 0;

	snprintf(text, sizeof text, "%s", listen);
	while ((address = strsep(&rest, ","))) {
		int r = address_find(address, device, sizeof device, &number);
		const struct verbs_port *port;

		if (r < 0) {
			choice_say(probe, false, "nothing: listen = %.80s: %s", address,
			           r == -EINVAL                          ? "not HOST:PORT"
			           : r == -ENODEV || r == -EADDRNOTAVAIL ? "not the address of "
			                                                   "an RDMA port"
			                                                 : strerrordesc_np(-r));
			return;
		}
		port = port_find(probe, device, number);
		probe->usable |= port && port->state == IBV_PORT_ACTIVE;
		if (used < sizeof probe->choice)
			used += (size_t)snprintf(
			        probe->choice + used, sizeof probe->choice - used,
			        "%s%s port %u, because listen = %.80s%s", used ? "; " : "", device,
			        number, address,
			        port && port->state == IBV_PORT_ACTIVE ? "" : " (not active)");
	}
}

static void choose_by_order(struct probe *probe, uint64_t rails)
{
	char address[VERBS_PEER_BYTES];
	size_t used = 0, count = 0;

	for (; count < probe->port_count && count < rails && probe->ports[count].usable; count++) {
		const struct verbs_port *port = &probe->ports[count];

		verbs_address_format((const struct sockaddr *)&port->address, address,
		                     sizeof address);
		if (used < sizeof probe->choice)
			used += (size_t)snprintf(probe->choice + used, sizeof probe->choice - used,
			                         "%s%s port %u, %.*s: %s", used ? "; " : "",
			                         port->device, port->port,
			                         (int)(strrchr(address, ':') - address), address,
			                         port->why);
	}
	if (count == rails)
		probe->usable = true;
	else if (count > 0)
		choice_say(probe, false, "nothing: %" PRIu64 " rails wanted, %zu ports usable",
		           rails, count);
	else
		choice_say(probe, false, "nothing: no port is active and has an address");
}

static int probe_choose(struct probe *probe, const struct slu_driver_config *config)
{
	const char *listen = slu_driver_option(config, "listen", "");
	bool refused = false;
	uint64_t rails;
	int r = slu_driver_option_u64(config, "rails", 1, VERBS_RAILS_MAX, 1, &rails);

	if (r < 0)
		return r;
	for (size_t i = 0; i < probe->device_count; i++)
		refused |= probe->devices[i].error == EACCES || probe->devices[i].error == EPERM;
	if (probe->device_count == 0)
		choice_say(probe, false, "nothing: there is no RDMA device");
	else if (refused && probe->port_count == 0)
		choice_say(probe, false,
		           "nothing: no permission for the devices (/dev/infiniband/uverbs*)");
	else if (probe->cm_error)
		choice_say(probe, false, "nothing: no connection manager: %s%s",
		           strerrordesc_np(probe->cm_error),
		           probe->cm_error == EACCES ? " (/dev/infiniband/rdma_cm)"
		                                     : " (is rdma_ucm loaded?)");
	else if (*listen)
		choose_by_address(probe, listen);
	else
		choose_by_order(probe, rails);
	return 0;
}

/* ---- telling ---------------------------------------------------------------------- */

const char *probe_link_text(const struct verbs_port *port)
{
	return port->infiniband ? "InfiniBand" : "Ethernet (RoCE)";
}

static void port_write(const struct probe_device *device, const struct verbs_port *port, FILE *out)
{
	fprintf(out, "    port %u: %s, %s, %" PRIu64 " Mb/s, MTU %u%s%s; %s%s\n", port->port,
	        ibv_port_state_str(port->state), probe_link_text(port), port->rate_mbps,
	        port->mtu_bytes, *port->interface ? ", interface " : "", port->interface,
	        port->usable ? "usable" : "not usable: ", port->usable ? "" : port->why);
	for (size_t i = 0; i < device->gid_count; i++) {
		const struct probe_gid *gid = &device->gids[i];

		if (gid->port == port->port)
			fprintf(out, "      GID %-3u %-10s %s%s%s%s\n", gid->idx, gid->type,
			        gid->address, *gid->interface ? " on " : "", gid->interface,
			        port->gid_idx == (int)gid->idx ? ", the one to connect by" : "");
	}
}

static void device_write(const struct probe *probe, const struct probe_device *device, FILE *out)
{
	int node = VERBS_NODE_UNKNOWN;

	if (device->error) {
		fprintf(out, "  device %s: cannot be opened: %s\n", device->name,
		        strerrordesc_np(device->error));
		return;
	}
	for (size_t i = 0; i < probe->port_count; i++) {
		if (strcmp(probe->ports[i].device, device->name) == 0)
			node = probe->ports[i].numa_node;
	}
	fprintf(out, "  device %s: firmware %s, ", device->name,
	        *device->attr.fw_ver ? device->attr.fw_ver : "unknown");
	if (node == VERBS_NODE_UNKNOWN)
		fputs("NUMA node unknown or the only one\n", out);
	else
		fprintf(out, "NUMA node %d\n", node);
	fprintf(out,
	        "    limits: %d queue pairs of %d sends, %d receives in a shared queue, "
	        "%d completions in a queue, %" PRIu64 " MiB in a registration\n",
	        device->attr.max_qp, device->attr.max_qp_wr, device->attr.max_srq_wr,
	        device->attr.max_cqe, (uint64_t)device->attr.max_mr_size >> 20);
	for (size_t i = 0; i < probe->port_count; i++) {
		if (strcmp(probe->ports[i].device, device->name) == 0)
			port_write(device, &probe->ports[i], out);
	}
}

static void probe_write(const struct probe *probe, FILE *out)
{
	if (probe->device_count == 0)
		fputs("  no RDMA device\n", out);
	for (size_t i = 0; i < probe->device_count; i++)
		device_write(probe, &probe->devices[i], out);
	fprintf(out, "  connection manager: %s\n",
	        probe->cm_error ? strerrordesc_np(probe->cm_error) : "there");
	if (probe->locked_bytes == UINT64_MAX)
		fputs("  locked memory: no limit\n", out);
	else
		fprintf(out, "  locked memory: at most %" PRIu64 " KiB; the arena must fit\n",
		        probe->locked_bytes >> 10);
	fprintf(out, "  would use %s\n", probe->choice);
}

static void probe_free(struct probe *probe)
{
	for (size_t i = 0; i < probe->device_count; i++)
		free(probe->devices[i].gids);
	free(probe->devices);
	free(probe->ports);
}

int verbs_probe(const struct slu_driver_config *config, bool json, FILE *out)
{
	struct probe probe = {0};
	int r = devices_look(&probe);
	int count = r == 0 ? verbs_ports_list(VERBS_NODE_UNKNOWN, &probe.ports) : r;

	if (count == -ENOMEM)
		r = count;
	if (count > 0)
		probe.port_count = (size_t)count;
	surroundings_look(&probe);
	if (r == 0)
		r = probe_choose(&probe, config);
	if (r == 0 && json)
		r = probe_write_json(&probe, out);
	else if (r == 0)
		probe_write(&probe, out);
	if (r == 0 && !probe.usable)
		r = -ENODEV;
	probe_free(&probe);
	return r;
}
