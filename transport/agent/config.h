/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config.h - the agent's configuration: what sluiced.conf says, with every
 * default filled in. docs/sluiced.conf.md describes each key; this struct has
 * the same names with their units.
 *
 * Reading is strict: an unknown section or key, a value out of range or a key
 * given twice is an error with file, line and reason, never a warning.
 */
#ifndef TRANSPORT_AGENT_CONFIG_H
#define TRANSPORT_AGENT_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "transport/driver.h"
#include "transport/log.h"

#define CONFIG_ERROR_MAX         512u /* bytes of an error text with its NUL */
#define CONFIG_NAME_MAX          64u  /* bytes of a node name with its NUL */
#define CONFIG_PEERS_MAX         4096u
#define CONFIG_POLLERS_MAX       16u
#define CONFIG_SHARED_FRAMES_MIN 64u /* frames beyond the guaranteed ones */
#define CONFIG_PSK_BYTES_MIN     32u
#define CONFIG_PSK_BYTES_MAX     4096u

enum config_hugepages { CONFIG_HUGEPAGES_AUTO, CONFIG_HUGEPAGES_ALWAYS, CONFIG_HUGEPAGES_NEVER };
enum config_auth { CONFIG_AUTH_NONE, CONFIG_AUTH_PSK, CONFIG_AUTH_CERT };
enum config_numa { CONFIG_NUMA_AUTO = -1, CONFIG_NUMA_OFF = -2 };

/* host:port; host is "" when the key was not given. */
struct config_address {
	char host[256]; /* numeric address or name, IPv6 without its brackets */
	char port[6];
};

struct config_agent {
	char *node;             /* name of this host in the cluster */
	uint64_t cluster_id;    /* never 0 */
	char *socket_path;      /* Unix socket for local processes */
	uint32_t socket_mode;   /* permission bits of the socket */
	uid_t *allow_uids;      /* who may attach */
	size_t allow_uid_count; /* at least 1 */
	uint32_t poller_count;  /* data threads, at most CONFIG_POLLERS_MAX */
	uint64_t spin_ns;       /* how long an idle poller polls before it sleeps */
	uint32_t log_level;     /* enum log_level */
	uint64_t rendezvous_timeout_ns;
	uint64_t peer_timeout_ns; /* a host not heard from that long is dead */
	uint64_t keepalive_ns;    /* between two signs of life on a quiet connection */
	struct config_address metrics_listen;
};

struct config_arena {
	uint64_t size_bytes;
	uint64_t frame_size_bytes; /* with the frame's header; a power of two */
	uint32_t max_channels;     /* each is guaranteed one frame */
	uint32_t receive_frames;   /* kept for what drivers receive */
	uint32_t max_processes;
	uint32_t window_max_frames; /* largest window of a channel; a power of two */
	uint32_t hugepages;         /* enum config_hugepages */
	int32_t numa_node;          /* a node number or enum config_numa */
};

struct config_control {
	struct config_address listen;
	uint32_t auth; /* enum config_auth */
	char *psk_file, *psk_identity;
	char *ca_file, *cert_file, *key_file;
	bool auth_none_anywhere;
};

struct config_driver {
	char *name;             /* "tcp", "fault:tcp" */
	uint32_t session_count; /* bulk sessions per peer and poller */
	bool crc32c;            /* check sum per frame */
	bool encrypt;           /* what it moves between hosts */
	/* Every other key of [driver]; the driver's open checks them. */
	struct slu_driver_option *options;
	size_t option_count;
};

struct config_peer {
	char name[CONFIG_NAME_MAX];
	struct config_address address; /* of that node's agent, [control] listen there */
};

struct config {
	struct config_agent agent;
	struct config_arena arena;
	struct config_control control;
	struct config_driver driver;
	/* Every other node. A [peer] section for this node itself is dropped, so
	 * that all hosts can share one file. */
	struct config_peer *peers;
	size_t peer_count;
};

/*
 * Read the file. *ret_config is returned owned; end it with config_free().
 * error: CONFIG_ERROR_MAX bytes, written on failure.
 *   -EINVAL (error says file:line), -ENOMEM, or the errno of reading the file
 */
int config_load(const char *path, struct config **ret_config, char *error);

/* As config_load() from an open stream; name stands for the file in errors. */
int config_read(FILE *stream, const char *name, struct config **ret_config, char *error);

/*
 * What no single key shows: sizes that must fit together, files that must be
 * there and private, authentication that must be on. Reads the file system,
 * changes nothing. 0 or -EINVAL with error (CONFIG_ERROR_MAX bytes).
 */
int config_check(const struct config *config, char *error);

/* Takes config; NULL is allowed. */
void config_free(struct config *config);

/* Whether text can be a node name: 1 to 63 of A-Z a-z 0-9 . _ -, and the first a
 * letter or a digit (a leading dot would match as a domain in certificates). */
bool config_name_valid(const char *text);

#endif
