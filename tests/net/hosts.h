/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hosts.h - up to three hosts "a", "b", "c" on one network, each with its own
 * sluiced, all peers of each other.
 */
#ifndef TESTS_NET_HOSTS_H
#define TESTS_NET_HOSTS_H

#include "tests/agent/agent_fixture.h"
#include "tests/net/network.h"

#define HOSTS_CONTROL_PORT 7400u
#define HOSTS_DATA_PORT    7401u /* where one was asked for */

struct host_options {
	const char *auth;   /* lines of [control] but listen; NULL: none, anywhere */
	const char *driver; /* lines of [driver] but listen; NULL: name = tcp */
	const char *agent;  /* lines of [agent]; NULL: dead after 2 s, signs of life every 200 ms */
	const char *arena;  /* lines of [arena]; NULL: the fixture's */
	uint64_t cluster_id; /* 0: AGENT_FIXTURE_CLUSTER */
	unsigned data_port;  /* 0: any */
	unsigned descriptors_max;
};

struct hosts {
	struct network network;
	struct agent_fixture agents[NETWORK_HOSTS_MAX];
};

/* Make the hosts, without agents. Where there is no IPv6 it becomes IPv4, with a
 * note. false: what failed is printed. hosts_end() is owed in every case. */
bool hosts_begin(struct hosts *hosts, unsigned count, bool ipv6);
/* Start the agent of a host that has none, as agent_fixture_start(). */
int host_start(struct hosts *hosts, unsigned host, const struct host_options *options);
/* Both, with the same options everywhere. */
bool hosts_start(struct hosts *hosts, unsigned count, bool ipv6,
                 const struct host_options *options);
void hosts_end(struct hosts *hosts);

/* Whether the agent's log has the text, within 10 s; else it prints the log. */
bool host_logs(const struct hosts *hosts, unsigned host, const char *text);

const char *host_name(unsigned host);

#endif
