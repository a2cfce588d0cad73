/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rows.c - one end of a channel, for scripts in guests: sends or receives rows
 * through the public interface, checks each, and says how it ended.
 *
 *   vm-rows SOCKET PEER send|recv NUMBER ROWS|- [PAUSE_MS]
 *
 * NUMBER names the channel: the other end has the same. "-": rows until SIGTERM
 * tells the sender that it is enough. PAUSE_MS: a receiver rests that long once,
 * after its first rows. SIGUSR1: kill -9 to the process that moves the rows. Prints
 *   rows send|recv NUMBER: RESULT, MOVED rows, BAD bad, quiet MS ms: REASON
 * where quiet is how long before its end it last moved a row. Exit status 0 when
 * every row and the end arrived, 3 when it was told of an end before that with a
 * reason, else 1.
 */
#include "tests/kill/actors.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define LOOK_NS (5 * 1000 * 1000)

static struct actor *actor;

static void on_enough(int number)
{
	atomic_store(&actor->enough, true);
}

static void on_kill(int number)
{
	kill(actor->pid, SIGKILL);
}

static int usage(void)
{
	fprintf(stderr, "vm-rows SOCKET PEER send|recv NUMBER ROWS|- [PAUSE_MS]\n");
	return 2;
}

static void task_fill(struct actor_task *task, char **arguments)
{
	uint64_t number = strtoull(arguments[4], NULL, 10);

	snprintf(task->socket_path, sizeof(task->socket_path), "%s", arguments[1]);
	snprintf(task->peer, sizeof(task->peer), "%s", arguments[2]);
	task->direction = strcmp(arguments[3], "send") == 0 ? SLU_SEND : SLU_RECV;
	task->key = (struct slu_key){.cluster = ACTOR_CLUSTER, .query = number, .motion = 1};
	memcpy(task->token.bytes, &number, sizeof(number));
	task->seed = number;
	task->rows = strcmp(arguments[5], "-") == 0 ? UINT64_MAX : strtoull(arguments[5], NULL, 10);
	if (arguments[6])
		task->pause_ns = strtoull(arguments[6], NULL, 10) * 1000 * 1000;
}

/* Until the actor ends; returns when it last moved a row. */
static uint64_t watch(void)
{
	const struct timespec look = {.tv_nsec = LOOK_NS};
	uint64_t moved = 0, moved_ns = slu_now_ns();

	while (waitpid(actor->pid, &actor->status, WNOHANG) == 0) {
		uint64_t now = atomic_load(&actor->moved_rows);

		if (now != moved)
			moved_ns = slu_now_ns();
		moved = now;
		nanosleep(&look, NULL);
	}
	return moved_ns;
}

int main(int argc, char **argv)
{
	uint64_t moved_ns, ended_ns;

	if (argc < 6 || argc > 7)
		return usage();
	actor = mmap(NULL, sizeof(*actor), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
	             0);
	if (actor == MAP_FAILED)
		return 1;
	task_fill(&actor->task, argv);
	actor_start(actor);
	signal(SIGTERM, on_enough);
	signal(SIGUSR1, on_kill);
	moved_ns = watch();
	ended_ns = atomic_load(&actor->ended_ns);
	printf("rows %s %s: %s%d, %llu rows, %llu bad, quiet %lld ms: %s\n", argv[3], argv[4],
	       ended_ns ? "" : "killed, ", actor->result, (unsigned long long)actor->moved_rows,
	       (unsigned long long)actor->bad_rows,
	       (long long)(ended_ns - moved_ns) / (1000 * 1000), actor->reason);
	if (!ended_ns || actor->bad_rows)
		return 1;
	if (actor->result == SLU_OK)
		return 0;
	return actor->result == SLU_STOPPED || actor->reason[0] ? 3 : 1;
}
