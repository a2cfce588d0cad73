/* SPDX-License-Identifier: Apache-2.0 */
/* config_check.c - config_check() of config.h: the checks across keys, and of the
 * files that keys name. */
#include "transport/agent/config.h"

#include "transport/agent/config_value.h"
#include "transport/arena.h"
#include "transport/clock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

__attribute__((format(printf, 2, 3))) static int check_fail(char *error, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(error, CONFIG_ERROR_MAX, format, args);
	va_end(args);
	return -EINVAL;
}

static bool check_power_of_two(uint64_t value)
{
	return value && !(value & (value - 1));
}

static int check_arena(const struct config *config, char *error)
{
	const struct config_arena *arena = &config->arena;
	struct arena_config layout = {
	        .frame_bytes = (uint32_t)arena->frame_size_bytes,
	        .max_channels = arena->max_channels,
	        .receive_frames = arena->receive_frames,
	        .max_processes = arena->max_processes + config->agent.poller_count,
	        .window_slots = arena->window_max_frames,
	        .pollers = config->agent.poller_count,
	};
	uint64_t needed_bytes;
	char size[24];

	if (!check_power_of_two(arena->frame_size_bytes))
		return check_fail(error, "[arena] frame_size is not a power of two");
	if (!check_power_of_two(arena->window_max_frames))
		return check_fail(error, "[arena] window_max is not a power of two");
	needed_bytes = arena_size_min(&layout) +
	               (uint64_t)CONFIG_SHARED_FRAMES_MIN * arena->frame_size_bytes;
	if (arena->size_bytes >= needed_bytes)
		return 0;
	config_value_size_text(arena->size_bytes, size);
	return check_fail(error,
	                  "[arena] size is %s, but %u channels, %u receive_frames and %u shared "
	                  "frames of %llu bytes need %llu bytes: raise size or lower the others",
	                  size, arena->max_channels, arena->receive_frames,
	                  CONFIG_SHARED_FRAMES_MIN, (unsigned long long)arena->frame_size_bytes,
	                  (unsigned long long)needed_bytes);
}

/* A name other than localhost is not looked up: what it means may change. */
static bool check_is_loopback(const struct config_address *address)
{
	struct in_addr v4;
	struct in6_addr v6;

	if (inet_pton(AF_INET, address->host, &v4) == 1)
		return ntohl(v4.s_addr) >> 24 == 127;
	if (inet_pton(AF_INET6, address->host, &v6) == 1)
		return IN6_IS_ADDR_LOOPBACK(&v6);
	return strcmp(address->host, "localhost") == 0;
}

static int check_auth_none(const struct config *config, char *error)
{
	const struct config_address *listen = &config->control.listen;

	if (config->control.auth_none_anywhere)
		return 0;
	if (listen->host[0] && !check_is_loopback(listen))
		return check_fail(error,
		                  "[control] auth = none and listen = %s, which is not loopback: "
		                  "anyone who reaches it could join the cluster. Use auth = psk or "
		                  "cert, or set auth_none_anywhere = yes",
		                  listen->host);
	for (size_t i = 0; i < config->peer_count; i++)
		if (config->peers[i].address.host[0] &&
		    !check_is_loopback(&config->peers[i].address))
			return check_fail(error,
			                  "[control] auth = none and peer '%s' is at %s, which is "
			                  "not loopback. Use auth = psk or cert, or set "
			                  "auth_none_anywhere = yes",
			                  config->peers[i].name, config->peers[i].address.host);
	return 0;
}

static int check_file(const char *key, const char *path, bool secret, struct stat *ret_status,
                      char *error)
{
	if (!path)
		return check_fail(error, "[control] auth needs %s", key);
	if (stat(path, ret_status) || access(path, R_OK))
		return check_fail(error, "[control] %s: %.255s: %s", key, path, strerror(errno));
	if (!S_ISREG(ret_status->st_mode))
		return check_fail(error, "[control] %s: %.255s is not a file", key, path);
	if (secret && (ret_status->st_mode & 077))
		return check_fail(error,
		                  "[control] %s: %.255s has mode %04o: others than its owner may "
		                  "use it; chmod 0600",
		                  key, path, (unsigned)ret_status->st_mode & 07777);
	return 0;
}

static int check_psk(const struct config_control *control, char *error)
{
	struct stat status;

	if (check_file("psk_file", control->psk_file, true, &status, error))
		return -EINVAL;
	if (status.st_size < (off_t)CONFIG_PSK_BYTES_MIN ||
	    status.st_size > (off_t)CONFIG_PSK_BYTES_MAX)
		return check_fail(error,
		                  "[control] psk_file: %.255s has %lld bytes; a key has %u to %u, "
		                  "e.g. from: openssl rand -hex 32",
		                  control->psk_file, (long long)status.st_size,
		                  CONFIG_PSK_BYTES_MIN, CONFIG_PSK_BYTES_MAX);
	return 0;
}

static int check_control(const struct config *config, char *error)
{
	const struct config_control *control = &config->control;
	struct stat status;

	if (config->driver.encrypt && control->auth == CONFIG_AUTH_NONE)
		return check_fail(error,
		                  "[driver] encrypt = yes and [control] auth = none: there would "
		                  "be no secret to make keys of. Use auth = psk or cert");
	if (!control->listen.host[0] && !config->peer_count)
		return 0; /* a cluster of one host: nobody to talk to */
	switch (control->auth) {
	case CONFIG_AUTH_NONE:
		return check_auth_none(config, error);
	case CONFIG_AUTH_PSK:
		return check_psk(control, error);
	default:
		if (check_file("ca_file", control->ca_file, false, &status, error) ||
		    check_file("cert_file", control->cert_file, false, &status, error) ||
		    check_file("key_file", control->key_file, true, &status, error))
			return -EINVAL;
		return 0;
	}
}

/* Of two nodes the one whose name compares lower connects: it needs the other's
 * address, and the other has to listen. */
static int check_peers(const struct config *config, char *error)
{
	for (size_t i = 0; i < config->peer_count; i++) {
		const struct config_peer *peer = &config->peers[i];
		bool connects = strcmp(config->agent.node, peer->name) < 0;

		if (connects && !peer->address.host[0])
			return check_fail(
			        error,
			        "[peer %s] has no address; this node ('%s') connects to it, "
			        "because its own name compares lower",
			        peer->name, config->agent.node);
		if (connects && strcmp(peer->address.port, "0") == 0)
			return check_fail(error, "[peer %s] address has port 0", peer->name);
		if (!connects && !config->control.listen.host[0])
			return check_fail(error,
			                  "[control] listen is not given; peer '%s' connects to "
			                  "this node ('%s'), because its name compares lower",
			                  peer->name, config->agent.node);
		for (size_t k = 0; k < i; k++)
			if (strcasecmp(config->peers[k].name, peer->name) == 0)
				return check_fail(error, "peer '%s' is there twice", peer->name);
	}
	return 0;
}

int config_check(const struct config *config, char *error)
{
	const struct config_agent *agent = &config->agent;

	if (check_arena(config, error) || check_control(config, error) ||
	    check_peers(config, error))
		return -EINVAL;
	if (agent->peer_timeout_ns < 2 * agent->keepalive_ns)
		return check_fail(error,
		                  "[agent] peer_timeout is less than twice keepalive: one late "
		                  "sign of life would count as a dead host");
	return 0;
}
