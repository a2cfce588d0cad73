/* SPDX-License-Identifier: Apache-2.0 */
/* probe_json.c - a probe as a JSON object; see probe.h. */
#include <errno.h>
#include <jansson.h>
#include <string.h>

#include "drivers/verbs/address.h"
#include "drivers/verbs/probe.h"
#include "drivers/verbs/verbs.h"

static json_t *json_gids(const struct probe_device *device, unsigned port)
{
	json_t *gids = json_array();

	for (size_t i = 0; i < device->gid_count; i++) {
		const struct probe_gid *gid = &device->gids[i];

		if (gid->port == port)
			json_array_append_new(gids,
			                      json_pack("{s:i, s:s, s:s, s:s}", "index",
			                                (int)gid->idx, "type", gid->type, "address",
			                                gid->address, "interface", gid->interface));
	}
	return gids;
}

static json_t *json_ports(const struct probe *probe, const struct probe_device *device)
{
	json_t *ports = json_array();

	for (size_t i = 0; i < probe->port_count; i++) {
		const struct verbs_port *port = &probe->ports[i];
		char address[VERBS_PEER_BYTES] = "";

		if (strcmp(port->device, device->name) != 0)
			continue;
		if (port->address.ss_family != AF_UNSPEC) {
			verbs_address_format((const struct sockaddr *)&port->address, address,
			                     sizeof address);
			*strrchr(address, ':') = '\0';
		}
		json_array_append_new(
		        ports,
		        json_pack("{s:i, s:s, s:s, s:I, s:i, s:i, s:s, s:s, s:i, s:b, s:s, s:o}",
		                  "port", (int)port->port, "state", ibv_port_state_str(port->state),
		                  "link_layer", port->infiniband ? "InfiniBand" : "Ethernet",
		                  "rate_mbps", (json_int_t)port->rate_mbps, "mtu_bytes",
		                  (int)port->mtu_bytes, "numa_node", port->numa_node, "interface",
		                  port->interface, "address", address, "gid_index", port->gid_idx,
		                  "usable", port->usable, "why", port->why, "gids",
		                  json_gids(device, port->port)));
	}
	return ports;
}

static json_t *json_device(const struct probe *probe, const struct probe_device *device)
{
	const struct ibv_device_attr *attr = &device->attr;

	if (device->error)
		return json_pack("{s:s, s:s}", "device", device->name, "error",
		                 strerrordesc_np(device->error));
	return json_pack("{s:s, s:s, s:{s:i, s:i, s:i, s:i, s:I}, s:o}", "device", device->name,
	                 "firmware", attr->fw_ver, "limits", "queue_pairs", attr->max_qp, "sends",
	                 attr->max_qp_wr, "shared_receives", attr->max_srq_wr, "completions",
	                 attr->max_cqe, "registration_bytes", (json_int_t)attr->max_mr_size,
	                 "ports", json_ports(probe, device));
}

int probe_write_json(const struct probe *probe, FILE *out)
{
	json_t *devices = json_array();
	json_t *object;
	int r = 0;

	for (size_t i = 0; i < probe->device_count; i++)
		json_array_append_new(devices, json_device(probe, &probe->devices[i]));
	object = json_pack(
	        "{s:o, s:s, s:I, s:b, s:s}", "devices", devices, "connection_manager",
	        probe->cm_error ? strerrordesc_np(probe->cm_error) : "there", "locked_bytes_max",
	        probe->locked_bytes > INT64_MAX ? (json_int_t)-1 : (json_int_t)probe->locked_bytes,
	        "usable", probe->usable, "would_use", probe->choice);
	if (!object)
		return -ENOMEM;
	if (json_dumpf(object, out, JSON_INDENT(1)) != 0)
		r = -EIO;
	json_decref(object);
	return r;
}
