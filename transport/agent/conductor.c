/* SPDX-License-Identifier: Apache-2.0 */
/* conductor.c - see conductor.h. */
#include "transport/agent/conductor.h"

#include "transport/agent/clients.h"
#include "transport/agent/doorbells.h"
#include "transport/agent/metrics.h"
#include "transport/agent/remote.h"
#include "transport/agent/render.h"
#include "transport/agent/rendezvous.h"
#include "transport/clock.h"
#include "transport/log.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define CONDUCTOR_FAREWELL_NS (1 * SLU_NS_PER_S) /* for other hosts to be told of a stop */

struct conductor {
	const struct config *config;
	struct loop loop;
	struct arena *arena;
	struct doorbells doorbells;
	struct port port; /* to ring whoever has to look; not a member of the arena */
	struct entries entries;
	struct rendezvous rendezvous;
	struct reclaim reclaim;
	struct remote remote;
	struct clients clients;
	struct render render;
	struct metrics *metrics;
	struct loop_source signals;
	int signal_fd;
	bool has_remote, has_clients; /* and must be ended */
};

/* ---- between the parts ------------------------------------------------- */

static bool is_here(const struct conductor *conductor, const char *node)
{
	return node[0] == '\0' || strcmp(node, conductor->config->agent.node) == 0;
}

static int on_open(struct member *member, const struct client_open *open, struct entry **ret_entry,
                   char *error, void *ctx)
{
	struct conductor *conductor = ctx;

	if (is_here(conductor, open->peer))
		return agent_rendezvous_open(&conductor->rendezvous, member, open,
		                             conductor->loop.now_ns, ret_entry, error);
	return remote_open(&conductor->remote, member, open, ret_entry, error);
}

static void on_writable(struct member *member, void *ctx)
{
	struct conductor *conductor = ctx;

	agent_rendezvous_retry(&conductor->rendezvous, member);
	remote_retry(&conductor->remote, member);
}

static void on_settle(struct entry *entry, uint64_t now_ns, void *ctx)
{
	struct conductor *conductor = ctx;

	if (entry->far.state == ENTRY_LOCAL)
		agent_rendezvous_settle(&conductor->rendezvous, entry, now_ns);
	else
		remote_settle(&conductor->remote, entry);
}

static int on_introduce_member(struct member *to, const struct member *who, void *ctx)
{
	struct conductor *conductor = ctx;

	return clients_introduce(&conductor->clients, to, who->slot);
}

static int on_introduce_slot(struct member *member, uint32_t slot, void *ctx)
{
	struct conductor *conductor = ctx;

	return clients_introduce(&conductor->clients, member, slot);
}

static void on_opened(struct member *member, uint32_t request_id, int result,
                      const struct entry *entry, const char *error, void *ctx)
{
	struct conductor *conductor = ctx;

	clients_open_done(&conductor->clients, member, request_id, result, entry, error);
}

/* ---- signals ----------------------------------------------------------- */

static void on_signal(struct loop_source *source, uint32_t epoll_events)
{
	struct conductor *conductor =
	        (struct conductor *)(void *)((char *)source - offsetof(struct conductor, signals));
	struct signalfd_siginfo info;

	while (read(source->fd, &info, sizeof(info)) == sizeof(info)) {
		if (info.ssi_signo == SIGHUP) {
			log_event(LOG_LEVEL_INFO, "signal",
			          "name=SIGHUP note=\"the configuration is read at start\"");
			continue;
		}
		log_event(LOG_LEVEL_INFO, "signal", "name=%s pid=%u",
		          info.ssi_signo == SIGTERM ? "SIGTERM" : "SIGINT", info.ssi_pid);
		conductor->loop.stopped = true;
	}
}

static int signals_watch(struct conductor *conductor, char *error)
{
	sigset_t set;
	int result;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	conductor->signal_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	conductor->signals.ready = on_signal;
	result = conductor->signal_fd < 0 ? -errno
	                                  : loop_watch(&conductor->loop, &conductor->signals,
	                                               conductor->signal_fd, EPOLLIN);
	if (result < 0)
		snprintf(error, CONFIG_ERROR_MAX, "signals: %s", strerror(-result));
	return result;
}

/* ---- making ------------------------------------------------------------ */

/* A process costs three descriptors; the usual soft limit of 1024 is for programs
 * that use select(2). */
static void descriptors_raise(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

static int arena_make(struct conductor *conductor, char *error)
{
	const struct config_arena *arena = &conductor->config->arena;
	const struct config_agent *agent = &conductor->config->agent;
	struct arena_config config = {
	        .cluster = agent->cluster_id,
	        .node = agent->node,
	        .size_bytes = arena->size_bytes,
	        .frame_bytes = (uint32_t)arena->frame_size_bytes,
	        .max_channels = arena->max_channels,
	        .receive_frames = arena->receive_frames,
	        .max_processes = arena->max_processes + agent->poller_count,
	        .window_slots = arena->window_max_frames,
	        .pollers = agent->poller_count,
	        .hugepages = (enum arena_hugepages)arena->hugepages,
	        .numa_node = arena->numa_node,
	};
	char reason[ARENA_ERROR_BYTES] = "";
	int result;

	while (config.generation == 0)
		if (getrandom(&config.generation, sizeof(config.generation), 0) < 0 &&
		    errno != EINTR) {
			snprintf(error, CONFIG_ERROR_MAX, "getrandom: %s", strerror(errno));
			return -EIO;
		}
	result = arena_create(&config, reason, &conductor->arena);
	if (result < 0) {
		snprintf(error, CONFIG_ERROR_MAX, "arena: %s", reason);
		return result;
	}
	log_event(LOG_LEVEL_INFO, "arena",
	          "size_bytes=%zu frame_bytes=%u frames=%u channels=%u generation=%016" PRIx64
	          " note=\"%s\"",
	          conductor->arena->size_bytes, conductor->arena->frame_bytes,
	          conductor->arena->frame_count, conductor->arena->max_channels,
	          conductor->arena->generation, conductor->arena->note);
	return 0;
}

static int tables_make(struct conductor *conductor, char *error)
{
	struct agent_rendezvous_config rendezvous = {
	        .entries = &conductor->entries,
	        .deadlines = &conductor->loop.deadlines,
	        .node = conductor->config->agent.node,
	        .timeout_ns = conductor->config->agent.rendezvous_timeout_ns,
	        .tombstones_max = conductor->arena->max_channels,
	        .introduce = on_introduce_member,
	        .ctx = conductor,
	};
	/* Only to ring others: it has no slot of its own, and its rings count as those
	 * of the first poller. */
	int result = doorbells_init(&conductor->doorbells, conductor->arena->max_processes);

	if (result == 0)
		result = port_init(&conductor->port, conductor->arena, 0, -1, doorbells_find,
		                   &conductor->doorbells);

	conductor->port.slot = SLOT_NONE;
	if (result == 0)
		result = entries_init(&conductor->entries, conductor->arena, &conductor->port);
	if (result < 0) {
		snprintf(error, CONFIG_ERROR_MAX, "%s", strerror(-result));
		return result;
	}
	agent_rendezvous_init(&conductor->rendezvous, &rendezvous);
	conductor->reclaim = (struct reclaim){
	        .entries = &conductor->entries,
	        .node = conductor->config->agent.node,
	        .settle = on_settle,
	        .ctx = conductor,
	};
	return 0;
}

static int parts_make(struct conductor *conductor, char *error)
{
	const struct config *config = conductor->config;
	struct remote_config remote = {
	        .loop = &conductor->loop,
	        .entries = &conductor->entries,
	        .doorbells = &conductor->doorbells,
	        .arena = conductor->arena,
	        .config = config,
	        .introduce = on_introduce_slot,
	        .opened = on_opened,
	        .ctx = conductor,
	};
	struct clients_config clients = {
	        .loop = &conductor->loop,
	        .agent = &config->agent,
	        .arena = conductor->arena,
	        .doorbells = &conductor->doorbells,
	        .entries = &conductor->entries,
	        .reclaim = &conductor->reclaim,
	        .open = on_open,
	        .writable = on_writable,
	        .ctx = conductor,
	};
	int result = clients_init(&conductor->clients, &clients, error);

	if (result < 0)
		return result;
	conductor->has_clients = true;
	result = remote_init(&conductor->remote, &remote, error);
	if (result < 0)
		return result;
	conductor->has_remote = true;
	if (!config->agent.metrics_listen.host[0])
		return 0;
	conductor->render.arena = conductor->arena;
	return metrics_start(&config->agent.metrics_listen, render_metrics, &conductor->render,
	                     &conductor->metrics, error);
}

int conductor_create(const struct config *config, struct conductor **ret_conductor, char *error)
{
	struct conductor *conductor = calloc(1, sizeof(*conductor));
	int result;

	if (!conductor) {
		snprintf(error, CONFIG_ERROR_MAX, "%s", strerror(ENOMEM));
		return -ENOMEM;
	}
	conductor->config = config;
	conductor->signals.fd = conductor->signal_fd = -1;
	descriptors_raise();
	result = loop_init(&conductor->loop);
	if (result < 0)
		snprintf(error, CONFIG_ERROR_MAX, "epoll: %s", strerror(-result));
	else
		result = signals_watch(conductor, error);
	if (result == 0)
		result = arena_make(conductor, error);
	if (result == 0)
		result = tables_make(conductor, error);
	if (result == 0)
		result = parts_make(conductor, error);
	if (result < 0) {
		conductor_destroy(conductor);
		return result;
	}
	*ret_conductor = conductor;
	return 0;
}

void conductor_print_ready(const struct conductor *conductor, FILE *out)
{
	const struct peerlink *peerlink = conductor->remote.peerlink;

	fprintf(out, "sluiced ready node=%s socket=%s control=%s", conductor->config->agent.node,
	        conductor->config->agent.socket_path, peerlink ? peerlink_address(peerlink) : "");
	if (conductor->metrics)
		fprintf(out, " metrics=%u", metrics_port(conductor->metrics));
	fprintf(out, " pid=%d\n", (int)getpid());
	fflush(out);
}

/* ---- running ----------------------------------------------------------- */

static void conductor_round(struct conductor *conductor)
{
	remote_before_sleep(&conductor->remote);
	loop_round(&conductor->loop);
	clients_sweep(&conductor->clients);
}

static void farewell_expire(struct deadline *deadline, uint64_t now_ns)
{
	/* Its only use is to end the wait of the loop. */
}

/* Other hosts first, through the engines: they have a timeout to lose. */
static void conductor_tell_peers(struct conductor *conductor, const char *text)
{
	struct deadline farewell = {.expire = farewell_expire};
	uint64_t end_ns = clock_now_ns() + CONDUCTOR_FAREWELL_NS;

	for (uint32_t i = 0; i < conductor->arena->max_channels; i++) {
		struct entry *entry = conductor->entries.by_idx[i];

		if (entry && entry->far.state == ENTRY_ENGINE)
			remote_close(&conductor->remote, entry, ENOTCONN, text);
	}
	if (deadlines_set(&conductor->loop.deadlines, &farewell, end_ns) < 0)
		return;
	while (conductor->remote.engine_entries && clock_now_ns() < end_ns)
		conductor_round(conductor);
	deadlines_clear(&conductor->loop.deadlines, &farewell);
	/* and what the engines said about it */
	remote_before_sleep(&conductor->remote);
}

static void conductor_stop(struct conductor *conductor)
{
	char text[CHAN_REASON_BYTES];

	snprintf(text, sizeof(text), "the agent on %s is stopping", conductor->config->agent.node);
	clients_stop_listening(&conductor->clients);
	atomic_store_explicit(&conductor->arena->header->agent_stopped, 1, memory_order_release);
	conductor_tell_peers(conductor, text);
	remote_stop_pollers(&conductor->remote);
	for (uint32_t i = 0; i < conductor->arena->max_channels; i++)
		if (conductor->entries.by_idx[i])
			entry_reset(&conductor->entries, conductor->entries.by_idx[i], ENOTCONN,
			            text);
	log_event(LOG_LEVEL_INFO, "stopped", "node=%s processes=%u channels=%u",
	          conductor->config->agent.node, conductor->clients.member_count,
	          conductor->arena->max_channels - conductor->entries.free_count);
}

void conductor_run(struct conductor *conductor)
{
	while (!conductor->loop.stopped)
		conductor_round(conductor);
	conductor_stop(conductor);
}

void conductor_destroy(struct conductor *conductor)
{
	metrics_stop(conductor->metrics);
	if (conductor->has_remote)
		remote_fini(&conductor->remote);
	if (conductor->has_clients)
		clients_fini(&conductor->clients);
	agent_rendezvous_fini(&conductor->rendezvous);
	if (conductor->arena) {
		entries_fini(&conductor->entries);
		port_fini(&conductor->port);
		doorbells_fini(&conductor->doorbells);
	}
	loop_unwatch(&conductor->loop, &conductor->signals);
	if (conductor->signal_fd >= 0)
		close(conductor->signal_fd);
	loop_fini(&conductor->loop);
	arena_destroy(conductor->arena);
	free(conductor);
}
