/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wait.c - sets of channels, and waiting: spin while that has been paying, then
 * sleep on the doorbell (port.h says why no wake-up is lost).
 */
#include "transport/clock.h"
#include "transport/endpoint.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>

/* Up to so many members, looking at each beats keeping the ready set. */
#define SET_SMALL            8u
#define SPIN_FAILURES_MAX    8u /* a failed spin for every 256 waits costs nothing */
#define SPIN_SLICE_NS        (4 * SLU_NS_PER_US)
#define SPIN_SLICES_PER_LOOK 16u
#define SPINS_PER_CLOCK      32u
#define AGENT_LOOK_NS        SLU_NS_PER_MS

static inline void cpu_relax(void)
{
#if defined(__x86_64__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ __volatile__("yield");
#endif
}

/* ---- sets ---------------------------------------------------------------- */

void set_enqueue(slu_channel *channel)
{
	if (!channel->set || channel->queued || channel->ended)
		return;
	channel->queued = true;
	TAILQ_INSERT_TAIL(&channel->set->queue, channel, queue_entry);
}

void set_dequeue(slu_channel *channel)
{
	if (!channel->queued)
		return;
	channel->queued = false;
	TAILQ_REMOVE(&channel->set->queue, channel, queue_entry);
}

void set_forget(slu_channel *channel)
{
	if (!channel->set)
		return;
	set_dequeue(channel);
	LIST_REMOVE(channel, set_entry);
	channel->set->member_count--;
	channel->set = NULL;
}

int slu_set_create(slu_endpoint *endpoint, slu_set **ret_set)
{
	slu_set *set = calloc(1, sizeof(*set));

	if (!set)
		return -ENOMEM;
	set->endpoint = endpoint;
	LIST_INIT(&set->members);
	TAILQ_INIT(&set->queue);
	LIST_INSERT_HEAD(&endpoint->sets, set, endpoint_entry);
	*ret_set = set;
	return 0;
}

void slu_set_destroy(slu_set *set)
{
	if (!set)
		return;
	while (!LIST_EMPTY(&set->members))
		set_forget(LIST_FIRST(&set->members));
	LIST_REMOVE(set, endpoint_entry);
	free(set);
}

int slu_set_add(slu_set *set, slu_channel *channel)
{
	if (channel->set)
		return -EBUSY;
	if (channel->endpoint != set->endpoint)
		return -EINVAL;
	channel->set = set;
	LIST_INSERT_HEAD(&set->members, channel, set_entry);
	set->member_count++;
	set_enqueue(channel); /* it may have news from before */
	return 0;
}

int slu_set_remove(slu_set *set, slu_channel *channel)
{
	if (channel->set != set)
		return -EINVAL;
	set_forget(channel);
	return 0;
}

static bool channel_poll(const slu_channel *channel)
{
	if (channel->ended)
		return false;
	return channel->direction == SLU_SEND ? channel->stalled && chan_tx_poll(&channel->tx)
	                                      : chan_rx_poll(&channel->rx);
}

/* Put members with news in the queue without the ready set: its line of the
 * cache stays with the publishers then, and news is one miss away. */
static void set_look(slu_set *set)
{
	slu_channel *channel;

	LIST_FOREACH (channel, &set->members, set_entry) {
		if (!channel->queued && channel_poll(channel))
			set_enqueue(channel);
	}
}

static void collect_bit(uint32_t bit, void *ctx)
{
	slu_endpoint *endpoint = ctx;
	slu_channel *const ends[] = {endpoint->senders[bit], endpoint->receivers[bit]};

	for (size_t i = 0; i < 2; i++) {
		if (!ends[i])
			continue;
		ends[i]->event = true;
		set_enqueue(ends[i]);
	}
}

void endpoint_collect(slu_endpoint *endpoint)
{
	readyset_take(&endpoint->port.ready, collect_bit, endpoint);
}

/* The first receiver in the queue, or NULL. */
static slu_channel *next_receiver(slu_set *set)
{
	slu_channel *channel;

	TAILQ_FOREACH (channel, &set->queue, queue_entry) {
		if (channel->direction == SLU_RECV)
			return channel;
	}
	return NULL;
}

/* From the receivers in the queue, in turn. */
static int recv_queued(slu_set *set, struct slu_frame *ret_frame)
{
	slu_channel *channel;

	while ((channel = next_receiver(set))) {
		int r = slu_channel_recv(channel, ret_frame);

		if (r == SLU_AGAIN)
			continue; /* recv took it out of the queue, as at an end */
		if (r == SLU_OK) {
			set_dequeue(channel);
			set_enqueue(channel); /* last in the queue: others first */
		}
		ret_frame->channel = channel;
		return r;
	}
	return SLU_AGAIN;
}

int slu_set_recv(slu_set *set, struct slu_frame *ret_frame)
{
	int r = endpoint_check(set->endpoint);

	if (r == -EPERM)
		return r;
	r = recv_queued(set, ret_frame);
	if (r != SLU_AGAIN)
		return r;
	if (set->member_count <= SET_SMALL)
		set_look(set);
	else
		endpoint_collect(set->endpoint);
	return recv_queued(set, ret_frame);
}

/* ---- waiting ------------------------------------------------------------- */

/* What is waited for: one channel, or a set. */
struct waiting {
	slu_endpoint *endpoint;
	slu_channel *channel;
	slu_set *set;
};

/* An end, or a sender that has not been refused, need not wait. */
static bool channel_ready(const slu_channel *channel)
{
	return channel->event || channel->ended ||
	       (channel->direction == SLU_SEND && !channel->stalled) || channel_poll(channel);
}

/* Cheap enough to call in a loop. */
static bool waiting_poll(const struct waiting *waiting)
{
	slu_set *set = waiting->set;

	if (waiting->channel)
		return channel_ready(waiting->channel);
	if (!TAILQ_EMPTY(&set->queue))
		return true;
	if (set->member_count <= SET_SMALL)
		set_look(set);
	else
		endpoint_collect(set->endpoint);
	return !TAILQ_EMPTY(&set->queue);
}

/* Look in full: also at what a loop of cheap looks may have left in the ready set. */
static bool waiting_look(const struct waiting *waiting)
{
	endpoint_collect(waiting->endpoint);
	return waiting_poll(waiting);
}

/* One look after the other for about a microsecond. */
static bool spin_briefly(const struct waiting *waiting)
{
	for (unsigned i = 0; i < SPINS_PER_CLOCK; i++) {
		if (waiting_poll(waiting)) {
			counter_add(&waiting->endpoint->port.self->spins, 1);
			return true;
		}
		cpu_relax();
	}
	return false;
}

static bool spin_until(const struct waiting *waiting, uint64_t end_ns)
{
	do {
		if (spin_briefly(waiting))
			return true;
	} while (clock_now_ns() < end_ns);
	return false;
}

/*
 * Spinning pays when it ends in news. When it did not, the next 2, 4, ... waits
 * sleep after a first moment: on a host with more processes than cores the
 * core goes to whoever has the data. Then it is tried again: two processes that
 * answer each other from two cores soon spin, and stay with it.
 */
static bool spin(const struct waiting *waiting, uint64_t start_ns, uint64_t deadline_ns)
{
	slu_endpoint *endpoint = waiting->endpoint;
	uint64_t end_ns = start_ns + endpoint->spin_max_ns;

	if (endpoint->spin_skips) {
		endpoint->spin_skips--;
		return false;
	}
	if (spin_until(waiting, end_ns < deadline_ns ? end_ns : deadline_ns)) {
		endpoint->spin_failures = 0;
		return true;
	}
	if (endpoint->spin_failures < SPIN_FAILURES_MAX)
		endpoint->spin_failures++;
	endpoint->spin_skips = 1u << endpoint->spin_failures;
	return false;
}

/* Block until the doorbell, the agent's socket or foreign_fd; SLU_OK, SLU_TIMEOUT,
 * SLU_FOREIGN or -errno. */
static int block(slu_endpoint *endpoint, uint64_t deadline_ns, int foreign_fd)
{
	struct pollfd pfds[3] = {
	        {.fd = endpoint->doorbell_fd, .events = POLLIN},
	        {.fd = endpoint->socket_fd, .events = POLLIN},
	        {.fd = foreign_fd, .events = POLLIN},
	};
	struct timespec left = {0};
	int r;

	if (deadline_ns != UINT64_MAX) {
		uint64_t now = clock_now_ns();
		uint64_t left_ns = deadline_ns > now ? deadline_ns - now : 0;

		left.tv_sec = (time_t)(left_ns / SLU_NS_PER_S);
		left.tv_nsec = (long)(left_ns % SLU_NS_PER_S);
	}
	r = ppoll(pfds, 3, deadline_ns == UINT64_MAX ? NULL : &left, NULL);
	if (r < 0)
		return -errno;
	if (pfds[1].revents)
		endpoint_agent_messages(endpoint);
	if (pfds[2].revents)
		return SLU_FOREIGN;
	return r == 0 ? SLU_TIMEOUT : SLU_OK;
}

static int sleep_until_news(const struct waiting *waiting, uint64_t deadline_ns, int foreign_fd)
{
	slu_endpoint *endpoint = waiting->endpoint;

	for (;;) {
		int r = SLU_OK;

		if (waiting_look(waiting))
			return SLU_OK;
		if (endpoint->agent_gone)
			return -ENOTCONN;
		if (port_try_sleep(&endpoint->port)) {
			counter_add(&endpoint->port.self->sleeps, 1);
			r = block(endpoint, deadline_ns, foreign_fd);
			port_wake(&endpoint->port);
		}
		/* news that came together with the other thing goes first */
		if (r != SLU_OK)
			return waiting_look(waiting) ? SLU_OK : r;
	}
}

/* Never sleep; but every few microseconds let another process of this core run,
 * who may be the one waited for, and now and then look at what only the kernel
 * knows. */
static int spin_always(const struct waiting *waiting, uint64_t deadline_ns, int foreign_fd)
{
	for (unsigned slice = 1;; slice++) {
		uint64_t end_ns = clock_now_ns() + SPIN_SLICE_NS;
		int r;

		if (spin_until(waiting, end_ns < deadline_ns ? end_ns : deadline_ns))
			return SLU_OK;
		sched_yield();
		if (slice % SPIN_SLICES_PER_LOOK && end_ns < deadline_ns)
			continue;
		r = block(waiting->endpoint, 0, foreign_fd);
		if (waiting_look(waiting))
			return SLU_OK;
		if (waiting->endpoint->agent_gone)
			return -ENOTCONN;
		if (r < 0 || r == SLU_FOREIGN || clock_now_ns() >= deadline_ns)
			return r;
	}
}

/* News of senders is told once; receivers stay queued until they run dry. */
static void senders_told(slu_set *set)
{
	slu_channel *channel, *next;

	for (channel = TAILQ_FIRST(&set->queue); channel; channel = next) {
		next = TAILQ_NEXT(channel, queue_entry);
		if (channel->direction == SLU_SEND) {
			channel->event = false;
			set_dequeue(channel);
		}
	}
}

/* The time goes to the channels whose news ended it. */
static void charge(const struct waiting *waiting, uint64_t blocked_ns)
{
	slu_channel *channel =
	        waiting->channel ? waiting->channel : TAILQ_FIRST(&waiting->set->queue);
	struct chan_shm *shm;

	if (!channel)
		return;
	shm = arena_chan(channel->endpoint->arena, channel->chan_idx);
	counter_add(channel->direction == SLU_SEND ? &shm->tx_blocked_ns : &shm->rx_blocked_ns,
	            blocked_ns);
}

static int wait_long(const struct waiting *waiting, uint64_t deadline_ns, int foreign_fd)
{
	uint64_t spin_max_ns = waiting->endpoint->spin_max_ns;
	uint64_t start_ns = clock_now_ns();
	int r = SLU_OK;

	if (spin_max_ns == SLU_SPIN_ALWAYS)
		r = spin_always(waiting, deadline_ns, foreign_fd);
	else if (spin_max_ns == SLU_SPIN_NEVER || !spin(waiting, start_ns, deadline_ns))
		r = sleep_until_news(waiting, deadline_ns, foreign_fd);
	charge(waiting, clock_now_ns() - start_ns);
	return r;
}

static int wait_for(const struct waiting *waiting, uint64_t deadline_ns, int foreign_fd)
{
	slu_endpoint *endpoint = waiting->endpoint;
	int r = endpoint_check(endpoint);

	if (r == -EPERM)
		return r;
	if (!waiting_poll(waiting)) {
		if (r < 0)
			return r;
		/* The clock costs as much as news from another core: not at first. */
		if (endpoint->spin_max_ns == SLU_SPIN_NEVER || !spin_briefly(waiting))
			r = wait_long(waiting, deadline_ns, foreign_fd);
	}
	if (r < 0)
		return waiting_poll(waiting) ? SLU_OK : r;
	if (waiting->channel)
		waiting->channel->event = false;
	else
		senders_told(waiting->set);
	return r;
}

int slu_set_wait(slu_set *set, uint64_t deadline_ns, int foreign_fd)
{
	struct waiting waiting = {.endpoint = set->endpoint, .set = set};

	return wait_for(&waiting, deadline_ns, foreign_fd);
}

int slu_channel_wait(slu_channel *channel, uint64_t deadline_ns, int foreign_fd)
{
	struct waiting waiting = {.endpoint = channel->endpoint, .channel = channel};

	return wait_for(&waiting, deadline_ns, foreign_fd);
}

/* ---- event loops --------------------------------------------------------- */

int slu_endpoint_arm(slu_endpoint *endpoint)
{
	int r = endpoint_check(endpoint);

	if (r < 0)
		return r;
	if (readyset_any(&endpoint->port.ready)) {
		endpoint_collect(endpoint);
		return SLU_AGAIN;
	}
	return port_try_sleep(&endpoint->port) ? 0 : SLU_AGAIN;
}

void slu_endpoint_disarm(slu_endpoint *endpoint)
{
	uint64_t now_ns;

	if (endpoint_check(endpoint) < 0)
		return;
	port_wake(&endpoint->port);
	/* What wakes a loop is hardly ever the agent, and to look costs a system call. A
	 * message that waits meanwhile ends the next sleep at once. */
	now_ns = clock_now_ns();
	if (now_ns - endpoint->agent_looked_ns >= AGENT_LOOK_NS) {
		endpoint->agent_looked_ns = now_ns;
		endpoint_agent_messages(endpoint);
	}
	endpoint_collect(endpoint);
}
