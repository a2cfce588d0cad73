/* SPDX-License-Identifier: Apache-2.0 */
/* sim.c - the sim driver: the ops of instances in a simulated network. */
#include "drivers/sim/sim.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sluice/sluice.h>

#include "drivers/sim/net.h"

extern const struct slu_driver_ops slu_driver_sim;

static int sim_open(const struct slu_driver_config *config, const struct slu_driver_host *host,
                    struct slu_driver **ret_driver)
{
	static const char *const known[] = {"node", NULL};
	struct slu_sim *sim = config->environment;
	struct slu_driver *driver;
	uint64_t node;
	int r;

	r = slu_driver_options_check(config, known);
	if (r < 0)
		return r;
	if (!sim) {
		snprintf(config->error, SLU_DRIVER_ERROR_MAX,
		         "the sim driver joins a simulated network, for tests: it needs an "
		         "environment");
		return -EINVAL;
	}
	r = slu_driver_option_u64(config, "node", 0, SLU_SIM_NODES_MAX - 1, 0, &node);
	if (r < 0)
		return r;
	if (sim->nodes[node].dead) {
		snprintf(config->error, SLU_DRIVER_ERROR_MAX, "node %u is dead", (unsigned)node);
		return -ENETDOWN;
	}
	driver = sim_alloc(sizeof(*driver));
	r = slu_inbox_init(&driver->inbox, host);
	if (r < 0) {
		snprintf(config->error, SLU_DRIVER_ERROR_MAX, "eventfd: %s", strerror(-r));
		free(driver);
		return r;
	}
	driver->inbox.taken = sim_session_taken;
	driver->sim = sim;
	driver->host = host;
	driver->node = (uint32_t)node;
	driver->id = ++sim->last_instance_id;
	TAILQ_INIT(&driver->sessions);
	TAILQ_INSERT_TAIL(&sim->drivers, driver, link);
	*ret_driver = driver;
	return 0;
}

static void sim_close(struct slu_driver *driver)
{
	struct slu_session *session;

	while ((session = TAILQ_FIRST(&driver->sessions)))
		sim_session_leave(session);
	TAILQ_REMOVE(&driver->sim->drivers, driver, link);
	slu_inbox_fini(&driver->inbox);
	free(driver);
}

static int sim_address(struct slu_driver *driver, char *ret_address)
{
	snprintf(ret_address, SLU_DRIVER_ADDRESS_MAX, "sim:%u:%llu", driver->node,
	         (unsigned long long)driver->id);
	return 0;
}

/* Digits only, up to end_char. */
static const char *number_parse(const char *text, char end_char, uint64_t *ret_value)
{
	char *end;

	if (*text < '0' || *text > '9')
		return NULL;
	*ret_value = strtoull(text, &end, 10);
	return *end == end_char ? end : NULL;
}

static int address_parse(const char *address, uint32_t *ret_node, uint64_t *ret_id)
{
	uint64_t node;

	if (strncmp(address, "sim:", 4) != 0)
		return -EINVAL;
	address = number_parse(address + 4, ':', &node);
	if (!address || node >= SLU_SIM_NODES_MAX || !number_parse(address + 1, '\0', ret_id))
		return -EINVAL;
	*ret_node = (uint32_t)node;
	return 0;
}

static int sim_connect(struct slu_driver *driver, const char *address, const void *hello,
                       void *user, struct slu_session **ret_session)
{
	struct slu_session *session;
	uint32_t node;
	uint64_t id;

	if (address_parse(address, &node, &id) < 0)
		return -EINVAL;
	if (driver->dead)
		return -ENETUNREACH;
	session = sim_session_create(driver, node, user);
	sim_session_connect(session, id, hello);
	*ret_session = session;
	return 0;
}

static int sim_session_accept_op(struct slu_driver *driver, struct slu_session *session, void *user)
{
	session->inbox.user = user;
	sim_session_accept(session);
	return 0;
}

static void sim_session_close(struct slu_driver *driver, struct slu_session *session)
{
	sim_session_leave(session);
}

/* With what the receiver will get; the bytes come when they leave. */
static struct sim_message *message_create(struct slu_session *session, enum sim_message_kind kind,
                                          uint32_t size_bytes)
{
	struct sim_message *message = sim_alloc(sizeof(*message));

	message->kind = kind;
	message->size_bytes = size_bytes;
	message->item = slu_inbox_item_create(
	        kind == SIM_FRAME ? SLU_DRIVER_RECV_FRAME : SLU_DRIVER_RECV_SMALL, size_bytes);
	if (!message->item)
		abort(); /* as sim_alloc */
	session->driver->stats.messages_sent++;
	session->driver->stats.bytes_sent += size_bytes;
	return message;
}

static int sim_send(struct slu_driver *driver, struct slu_session *session, const void *message,
                    uint32_t size_bytes, uint64_t cookie)
{
	struct sim_message *sim_message;

	if (!session->up)
		return -ENOTCONN;
	if (size_bytes > driver->host->message_bytes_max)
		return -EMSGSIZE;
	if (session->outbound_bytes > 0 &&
	    session->outbound_bytes + size_bytes > driver->sim->params.queue_bytes_max) {
		session->wants_frame = true;
		driver->stats.again_count++;
		return SLU_AGAIN;
	}
	sim_message = message_create(session, SIM_FRAME, size_bytes);
	sim_message->frame = message;
	sim_message->cookie = cookie;
	sim_session_send(session, sim_message);
	return 0;
}

static int sim_send_small(struct slu_driver *driver, struct slu_session *session,
                          const void *message, uint32_t size_bytes)
{
	struct sim_message *sim_message;

	if (!session->up)
		return -ENOTCONN;
	if (size_bytes > SLU_DRIVER_SMALL_MAX)
		return -EMSGSIZE;
	if (session->small_count >= driver->sim->params.queue_small_max) {
		session->wants_small = true;
		driver->stats.again_count++;
		return SLU_AGAIN;
	}
	sim_message = message_create(session, SIM_SMALL, size_bytes);
	memcpy(sim_message->item->bytes, message, size_bytes);
	driver->stats.tx_copied_bytes += size_bytes;
	sim_session_send(session, sim_message);
	return 0;
}

static void sim_flush(struct slu_driver *driver)
{
	struct slu_session *session;

	TAILQ_FOREACH (session, &driver->sessions, link)
		sim_session_flush(session);
}

static int sim_poll(struct slu_driver *driver, struct slu_driver_event *ret_events, int count)
{
	return driver->dead ? 0 : slu_inbox_poll(&driver->inbox, ret_events, count);
}

static int sim_arm(struct slu_driver *driver)
{
	return driver->dead ? 0 : slu_inbox_arm(&driver->inbox);
}

static uint64_t sim_deadline(struct slu_driver *driver)
{
	uint64_t inbox_ns = slu_inbox_deadline(&driver->inbox);
	uint64_t next_ns = slu_sim_next_ns(driver->sim);

	if (driver->dead)
		return UINT64_MAX;
	return inbox_ns < next_ns ? inbox_ns : next_ns;
}

static void sim_stats(struct slu_driver *driver, struct slu_driver_stats *ret_stats)
{
	*ret_stats = driver->stats;
}

/* No fd: nobody sleeps while virtual time stands still. */
const struct slu_driver_ops slu_driver_sim = {
        .name = "sim",
        .caps = SLU_DRIVER_LINK_INTEGRITY | SLU_DRIVER_VIRTUAL_TIME,
        .open = sim_open,
        .close = sim_close,
        .address = sim_address,
        .connect = sim_connect,
        .session_accept = sim_session_accept_op,
        .session_close = sim_session_close,
        .send = sim_send,
        .send_small = sim_send_small,
        .flush = sim_flush,
        .poll = sim_poll,
        .arm = sim_arm,
        .deadline = sim_deadline,
        .stats = sim_stats,
};
