/* SPDX-License-Identifier: Apache-2.0 */
/* hosts.c - see hosts.h. */
#include "tests/net/hosts.h"

#include "transport/clock.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define LOGS_NS (10 * SLU_NS_PER_S)

const char *host_name(unsigned host)
{
	static const char *const names[NETWORK_HOSTS_MAX] = {"a", "b", "c"};

	return names[host];
}

bool hosts_begin(struct hosts *hosts, unsigned count, bool ipv6)
{
	char error[NETWORK_ERROR_BYTES];

	*hosts = (struct hosts){.network = {.switch_fd = -1, .host_fds = {-1, -1, -1}}};
	if (ipv6 && access("/proc/net/if_inet6", F_OK) < 0) {
		printf("(no IPv6 in this kernel: over IPv4) ");
		ipv6 = false;
	}
	if (network_begin(&hosts->network, count, ipv6, error) == 0)
		return true;
	fprintf(stderr, "network: %s\n", error);
	return false;
}

int host_start(struct hosts *hosts, unsigned host, const struct host_options *options)
{
	const char *address = network_address(&hosts->network, host);
	char control[1024], driver[1024], peers[512];
	struct agent_fixture_options fixture = {
	        .node = host_name(host),
	        .cluster_id = options->cluster_id,
	        .agent = options->agent ? options->agent : "peer_timeout = 2s\nkeepalive = 200ms\n",
	        .arena = options->arena,
	        .control = control,
	        .driver = driver,
	        .peers = peers,
	        .descriptors_max = options->descriptors_max,
	        .network_fd = hosts->network.host_fds[host],
	};
	size_t used = 0;
	int result;

	snprintf(control, sizeof(control), "listen = %s:%u\n%s\n", address, HOSTS_CONTROL_PORT,
	         options->auth ? options->auth : "auth = none\nauth_none_anywhere = yes");
	snprintf(driver, sizeof(driver), "%s\nlisten = %s:%u\n",
	         options->driver ? options->driver : "name = tcp", address, options->data_port);
	for (unsigned peer = 0; peer < hosts->network.hosts; peer++)
		used += (size_t)snprintf(peers + used, sizeof(peers) - used,
		                         "[peer %s]\naddress = %s:%u\n", host_name(peer),
		                         network_address(&hosts->network, peer),
		                         HOSTS_CONTROL_PORT);
	result = agent_fixture_start(&hosts->agents[host], &fixture);
	/* they are ours; a restart finds them in the file */
	hosts->agents[host].options.control = NULL;
	hosts->agents[host].options.driver = NULL;
	hosts->agents[host].options.peers = NULL;
	return result;
}

bool hosts_start(struct hosts *hosts, unsigned count, bool ipv6, const struct host_options *options)
{
	if (!hosts_begin(hosts, count, ipv6))
		return false;
	for (unsigned host = 0; host < count; host++) {
		if (host_start(hosts, host, options) != 0) {
			char *log = agent_fixture_log(&hosts->agents[host]);

			fprintf(stderr, "host %s does not start: %s\n", host_name(host), log);
			free(log);
			return false;
		}
	}
	return true;
}

void hosts_end(struct hosts *hosts)
{
	for (unsigned host = 0; host < NETWORK_HOSTS_MAX; host++)
		agent_fixture_end(&hosts->agents[host]);
	network_end(&hosts->network);
}

bool host_logs(const struct hosts *hosts, unsigned host, const char *text)
{
	const struct agent_fixture *agent = &hosts->agents[host];
	uint64_t deadline_ns = clock_now_ns() + LOGS_NS;
	char *log;

	while (clock_now_ns() < deadline_ns) {
		if (agent_fixture_logged(agent, text))
			return true;
		poll(NULL, 0, 5);
	}
	log = agent_fixture_log(agent);
	fprintf(stderr, "host %s does not log \"%s\", but\n%s\n", host_name(host), text, log);
	free(log);
	return false;
}
