/* SPDX-License-Identifier: Apache-2.0 */
/* poller.c - see poller.h: the thread. */
#include "transport/agent/poller_internal.h"
#include "transport/agent/slots.h"
#include "transport/clock.h"

#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define POLLER_SESSION_RETRY_NS  (50 * SLU_NS_PER_MS)
#define POLLER_ADVERTISE_NS      (200 * SLU_NS_PER_MS)
#define POLLER_SPIN_FAILURES_MAX 8u /* a spin in vain for every 256 sleeps costs nothing */

/* ---- the loop ---------------------------------------------------------- */

static int timeout_ms(uint64_t now_ns, uint64_t deadline_ns)
{
	uint64_t ms;

	if (deadline_ns == UINT64_MAX)
		return -1;
	ms = (deadline_ns - now_ns + SLU_NS_PER_MS - 1) / SLU_NS_PER_MS;
	return ms > INT_MAX ? INT_MAX : (int)ms;
}

/* Until something rings, the driver has events, a letter comes, or the engine's
 * next deadline. */
static void poller_sleep(struct poller *poller, uint64_t now_ns)
{
	struct epoll_event events[3]; /* for each descriptor there is */
	uint64_t deadline_ns = engine_deadline(poller->engine);
	bool rung = false;
	int count = 0;

	if (deadline_ns <= now_ns || !port_try_sleep(&poller->port))
		return;
	if (engine_arm(poller->engine) == 0) {
		counter_add(&poller->port.self->sleeps, 1);
		if (poller->config.idx == 0)
			arena_count(poller->config.arena, ARENA_POLLER_SLEEPS, 1);
		count = epoll_wait(poller->epoll_fd, events, 3, timeout_ms(now_ns, deadline_ns));
	}
	for (int i = 0; i < count; i++)
		rung |= events[i].data.fd == poller->doorbell_fd;
	if (rung)
		port_wake(&poller->port);
	else
		port_wake_unrung(&poller->port);
}

/* Whether to spin before this sleep. Spinning pays when it ends in work; when it did
 * not, the next 2, 4, ... times sleep at once. */
static bool poller_spins(struct poller *poller)
{
	if (!poller->spin_skips)
		return poller->config.config->agent.spin_ns > 0;
	poller->spin_skips--;
	return false;
}

static void poller_spun(struct poller *poller, bool in_vain)
{
	if (!in_vain)
		poller->spin_failures = 0;
	else if (poller->spin_failures < POLLER_SPIN_FAILURES_MAX)
		poller->spin_failures++;
	poller->spin_skips = in_vain ? 1u << poller->spin_failures : 0;
}

/* While spinning each look gives the CPU to whoever wants it, for that may be the
 * executor we wait for. */
static void poller_loop(struct poller *poller)
{
	uint64_t spin_ns = poller->config.config->agent.spin_ns;
	uint64_t spin_from_ns = 0; /* 0: does not spin */

	while (!poller->stopping) {
		uint64_t now_ns = clock_now_ns();
		uint32_t done = poller_commands(poller, now_ns);

		done += engine_poll(poller->engine, now_ns);
		if (poller->config.idx == 0)
			arena_count(poller->config.arena, ARENA_POLLER_LOOPS, 1);
		if (done) {
			if (spin_from_ns)
				poller_spun(poller, false);
			spin_from_ns = 0;
		} else if (!spin_from_ns && poller_spins(poller)) {
			spin_from_ns = now_ns;
		} else if (spin_from_ns && now_ns - spin_from_ns < spin_ns) {
			sched_yield();
		} else {
			if (spin_from_ns)
				poller_spun(poller, true);
			spin_from_ns = 0;
			poller_sleep(poller, now_ns);
		}
	}
}

/* ---- making and ending ------------------------------------------------- */

static int poller_watch(struct poller *poller, int fd)
{
	struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};

	return fd >= 0 && epoll_ctl(poller->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

/* On the thread, because a driver instance belongs to the thread that opens it. */
static int poller_start(struct poller *poller)
{
	const struct config *config = poller->config.config;
	const struct slu_driver_config driver = {
	        .options = config->driver.options,
	        .option_count = config->driver.option_count,
	};
	const struct engine_config engine = {
	        .port = &poller->port,
	        .ops = poller->ops,
	        .driver = &driver,
	        .node = config->agent.node,
	        .bulk_sessions = config->driver.session_count,
	        .crc32c = config->driver.crc32c,
	        .session_retry_ns = POLLER_SESSION_RETRY_NS,
	        .peer_timeout_ns = config->agent.peer_timeout_ns,
	        .advertise_ns = POLLER_ADVERTISE_NS,
	};
	const struct engine_callbacks callbacks = {
	        .control_send = poller_control_send,
	        .channel_done = poller_channel_done,
	        .ctx = poller,
	};
	int result = engine_create(&engine, &callbacks, clock_now_ns(), poller->start_error,
	                           &poller->engine);

	if (result < 0)
		return result;
	result = poller_watch(poller, engine_fd(poller->engine));
	if (result == 0)
		result = poller_watch(poller, poller->doorbell_fd);
	if (result == 0)
		result = poller_watch(poller, poller->in.event_fd);
	if (result < 0) {
		snprintf(poller->start_error, sizeof(poller->start_error), "epoll: %s",
		         strerror(-result));
		engine_destroy(poller->engine);
	}
	return result;
}

static void *poller_main(void *ctx)
{
	struct poller *poller = ctx;

	poller->start_result = poller_start(poller);
	sem_post(&poller->started);
	if (poller->start_result < 0)
		return NULL;
	poller_loop(poller);
	engine_destroy(poller->engine);
	return NULL;
}

static void poller_free(struct poller *poller)
{
	port_fini(&poller->port);
	slot_detach(poller->config.arena, poller->config.idx);
	if (poller->epoll_fd >= 0)
		close(poller->epoll_fd);
	if (poller->in.event_fd >= 0)
		mailbox_fini(&poller->in);
	sem_destroy(&poller->started);
	free(poller->epochs);
	free(poller);
}

/* What does not need the thread. 0 or -errno. */
static int poller_prepare(struct poller *poller)
{
	uint32_t peer_count = poller->config.peer_count;

	snprintf(poller->name, sizeof(poller->name), "sluiced poller %u", poller->config.idx);
	slot_attach(poller->config.arena, poller->config.idx, (uint32_t)getpid(), geteuid(),
	            poller->name);
	poller->epochs = calloc(peer_count ? peer_count : 1, sizeof(*poller->epochs));
	poller->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	poller->doorbell_fd = doorbells_make(poller->config.doorbells, poller->config.idx);
	if (!poller->epochs)
		return -ENOMEM;
	if (poller->epoll_fd < 0)
		return -errno;
	if (poller->doorbell_fd < 0)
		return poller->doorbell_fd;
	return port_init(&poller->port, poller->config.arena, poller->config.idx,
	                 poller->doorbell_fd, doorbells_find, poller->config.doorbells);
}

int poller_config_check(const struct config *config, char *error)
{
	const struct slu_driver_ops *ops = slu_driver_find(config->driver.name);

	if (!config->peer_count && !config->control.listen.host[0])
		return 0;
	if (!ops) {
		snprintf(error, CONFIG_ERROR_MAX, "[driver] name: this build has no driver '%s'",
		         config->driver.name);
		return -EINVAL;
	}
	if (config->driver.encrypt && !(ops->caps & SLU_DRIVER_ENCRYPTION)) {
		snprintf(error, CONFIG_ERROR_MAX,
		         "[driver] encrypt = yes, and driver '%s' does not encrypt",
		         config->driver.name);
		return -EINVAL;
	}
	return 0;
}

int poller_create(const struct poller_config *config, struct poller **ret_poller, char *error)
{
	struct poller *poller = calloc(1, sizeof(*poller));
	int result;

	if (!poller) {
		snprintf(error, CONFIG_ERROR_MAX, "%s", strerror(ENOMEM));
		return -ENOMEM;
	}
	poller->config = *config;
	poller->in.event_fd = poller->epoll_fd = poller->doorbell_fd = -1;
	sem_init(&poller->started, 0, 0);
	result = poller_config_check(config->config, error);
	if (result < 0) {
		poller_free(poller);
		return result;
	}
	poller->ops = slu_driver_find(config->config->driver.name);
	result = mailbox_init(&poller->in);
	if (result == 0)
		result = poller_prepare(poller);
	if (result == 0)
		result = -pthread_create(&poller->thread, NULL, poller_main, poller);
	if (result < 0) {
		snprintf(error, CONFIG_ERROR_MAX, "poller: %s", strerror(-result));
		poller_free(poller);
		return result;
	}
	while (sem_wait(&poller->started) < 0)
		;
	result = poller->start_result;
	if (result < 0) {
		pthread_join(poller->thread, NULL);
		snprintf(error, CONFIG_ERROR_MAX, "%s", poller->start_error);
		poller_free(poller);
		return result;
	}
	*ret_poller = poller;
	return 0;
}

void poller_destroy(struct poller *poller)
{
	poller_post_stop(poller);
	pthread_join(poller->thread, NULL);
	poller_commands_discard(poller);
	poller_free(poller);
}

const char *poller_address(const struct poller *poller)
{
	return engine_address(poller->engine);
}
