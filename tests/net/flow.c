/* SPDX-License-Identifier: Apache-2.0 */
/* flow.c - see flow.h. */
#include "tests/net/flow.h"

#include "transport/clock.h"

#include <CUnit/CUnit.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>

#define MOVES_NS (20 * SLU_NS_PER_S)
#define WHOLE_NS (30 * SLU_NS_PER_S)
#define LOOK_MS  2

struct flow *flows_begin(void)
{
	struct flow *flows = mmap(NULL, FLOWS_MAX * sizeof(*flows), PROT_READ | PROT_WRITE,
	                          MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (flows == MAP_FAILED) {
		perror("flows");
		exit(2);
	}
	return flows;
}

static void actor_end(struct actor *actor)
{
	if (!actor->pid || actor->reaped)
		return;
	kill(actor->pid, SIGKILL);
	waitpid(actor->pid, &actor->status, 0);
	actor->reaped = true;
}

void flows_end(struct flow *flows)
{
	for (unsigned i = 0; i < FLOWS_MAX; i++) {
		actor_end(&flows[i].sender);
		actor_end(&flows[i].receiver);
	}
	munmap(flows, FLOWS_MAX * sizeof(*flows));
}

static uint64_t query_next(void)
{
	static uint64_t query;

	return ++query;
}

void flow_start_end(struct flow *flow, const struct hosts *hosts, unsigned from, unsigned to,
                    const struct flow_options *options, enum slu_direction end)
{
	struct actor *actor = end == SLU_SEND ? &flow->sender : &flow->receiver;
	unsigned host = end == SLU_SEND ? from : to, other = end == SLU_SEND ? to : from;
	struct actor_task *task = &actor->task;

	actor_end(actor);
	memset(actor, 0, sizeof(*actor));
	if (!flow->query)
		flow->query = query_next();
	*task = (struct actor_task){
	        .direction = end,
	        .key = {.cluster = ACTOR_CLUSTER, .motion = 1, .source = from, .destination = to},
	        .rows = options->rows,
	        .urgent = options->urgent,
	        .encrypted = options->encrypted,
	        .rendezvous_timeout_ns = options->rendezvous_timeout_ns,
	};
	task->key.query = task->seed = flow->query;
	memcpy(task->token.bytes, &task->key.query, sizeof(task->key.query));
	snprintf(task->socket_path, sizeof(task->socket_path), "%s",
	         agent_fixture_socket(&hosts->agents[host]));
	snprintf(task->peer, sizeof(task->peer), "%s", host_name(other));
	actor_start(actor);
}

void flow_start(struct flow *flow, const struct hosts *hosts, unsigned from, unsigned to,
                const struct flow_options *options)
{
	flow->query = query_next();
	flow_start_end(flow, hosts, from, to, options, SLU_SEND);
	flow_start_end(flow, hosts, from, to, options, SLU_RECV);
}

bool flow_moves(const struct flow *flow, uint64_t rows)
{
	uint64_t deadline_ns = clock_now_ns() + MOVES_NS;
	uint64_t wanted = atomic_load(&flow->receiver.moved_rows) + rows;

	while (atomic_load(&flow->receiver.moved_rows) < wanted) {
		if (clock_now_ns() > deadline_ns || atomic_load(&flow->receiver.ended_ns)) {
			fprintf(stderr,
			        "stuck at %llu rows: sender %d \"%s\", receiver %d \"%s\"\n",
			        (unsigned long long)flow->receiver.moved_rows, flow->sender.result,
			        flow->sender.reason, flow->receiver.result, flow->receiver.reason);
			return false;
		}
		poll(NULL, 0, LOOK_MS);
	}
	return true;
}

void flow_enough(struct flow *flow)
{
	atomic_store(&flow->sender.enough, true);
}

/* Whether it ended by then; if not it is killed. */
static bool actor_ended(struct actor *actor, uint64_t until_ns)
{
	while (!actor->reaped && waitpid(actor->pid, &actor->status, WNOHANG) != actor->pid) {
		if (clock_now_ns() > until_ns) {
			actor_end(actor);
			return false;
		}
		poll(NULL, 0, LOOK_MS);
	}
	actor->reaped = true;
	return atomic_load(&actor->ended_ns) != 0;
}

static void actor_print(const struct actor *actor)
{
	fprintf(stderr, "%s, host of peer %s: result %d after %llu rows, %llu bad, \"%s\"\n",
	        actor->task.direction == SLU_SEND ? "sender" : "receiver", actor->task.peer,
	        actor->result, (unsigned long long)actor->moved_rows,
	        (unsigned long long)actor->bad_rows, actor->reason);
}

void flow_check_whole(struct flow *flow)
{
	uint64_t until_ns = clock_now_ns() + WHOLE_NS;
	bool ended = actor_ended(&flow->sender, until_ns) && actor_ended(&flow->receiver, until_ns);
	bool whole = ended && flow->sender.result == SLU_OK && flow->receiver.result == SLU_OK &&
	             flow->sender.moved_rows == flow->receiver.moved_rows &&
	             flow->receiver.bad_rows == 0;

	if (!whole) {
		actor_print(&flow->sender);
		actor_print(&flow->receiver);
	}
	CU_ASSERT_TRUE(ended);
	CU_ASSERT_TRUE(whole);
}

void actor_check_told(struct actor *actor, uint64_t until_ns, int error, const char *text)
{
	/* A little longer than it may take: to say how late it was. */
	bool ended = actor_ended(actor, until_ns + 5 * SLU_NS_PER_S);
	bool in_time = ended && actor->ended_ns <= until_ns;
	bool told = ended && actor->result < 0 && (!error || actor->result == error) &&
	            strstr(actor->reason, text);

	if (!in_time || !told) {
		fprintf(stderr, "not told \"%s\" (%d) in time, but %.3f s %s: ", text, error,
		        (double)(int64_t)(actor->ended_ns - until_ns) / 1e9, "after it");
		actor_print(actor);
	}
	CU_ASSERT_TRUE(in_time);
	CU_ASSERT_TRUE(told);
	CU_ASSERT_EQUAL(actor->bad_rows, 0);
}
