/* SPDX-License-Identifier: Apache-2.0 */
/* test_agent_channels.c - channels within one host as the agent arranges them:
 * who comes when, who leaves how, and what the other end is told. Through the
 * public interface; each end in an endpoint of its own. */
#include "tests/agent/byte_channel.h"
#include "tests/agent/raw_client.h"
#include "tests/unit/unit.h"
#include "transport/endpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static struct agent_fixture fixture;
static slu_endpoint *sender, *receiver;
static uint64_t query;

static slu_endpoint *attach(const char *name)
{
	struct slu_attach_options options = {
	        .socket_path = fixture.socket_path, .cluster = AGENT_FIXTURE_CLUSTER, .name = name};
	slu_endpoint *endpoint = NULL;

	CU_ASSERT_EQUAL_FATAL(slu_endpoint_attach(&options, &endpoint), 0);
	return endpoint;
}

static void start(const struct agent_fixture_options *options)
{
	CU_ASSERT_EQUAL_FATAL(agent_fixture_start(&fixture, options), 0);
	sender = attach("the sender");
	receiver = attach("the receiver");
	query++;
}

static void start_plain(void)
{
	start(&(struct agent_fixture_options){.node = "here"});
}

/* A third party sees that nothing is left over, as soon as the agent has done all
 * that was asked of it. */
static void assert_clean(void)
{
	slu_endpoint *auditor = attach("auditor");
	struct arena *arena = auditor->arena;
	uint64_t deadline_ns = slu_now_ns() + UINT64_C(10000000000);
	struct frame_pool_counts counts = {0};
	uint32_t open = 1;
	bool clean = false;

	while (!clean && slu_now_ns() < deadline_ns) {
		open = atomic_load(&arena->header->channels_open);
		frame_pool_count(arena, &counts);
		clean = open == 0 && counts.held == 0 && counts.queued == 0 &&
		        counts.home == arena->max_channels &&
		        counts.free + counts.cached + counts.home == arena->frame_count;
		sched_yield();
	}
	if (!clean)
		fprintf(stderr, "\n%u channels open; frames: %u held, %u queued, %u at home\n",
		        open, counts.held, counts.queued, counts.home);
	CU_ASSERT_TRUE(clean);
	slu_endpoint_detach(auditor);
}

static void stop(void)
{
	slu_endpoint_detach(sender);
	slu_endpoint_detach(receiver);
	assert_clean();
	CU_ASSERT_EQUAL(agent_fixture_stop(&fixture), 0);
	agent_fixture_end(&fixture);
}

static void an_endpoint_knows_the_name_of_its_node(void)
{
	start_plain();
	CU_ASSERT_STRING_EQUAL(slu_endpoint_node(sender), "here");
	stop();
}

static int open_with(slu_endpoint *endpoint, enum slu_direction direction, uint8_t token,
                     uint64_t timeout_ns, slu_channel **ret_channel)
{
	struct slu_open_options options = {
	        .key = {.cluster = AGENT_FIXTURE_CLUSTER,
	                .query = query,
	                .motion = 1,
	                .source = 2,
	                .destination = 3},
	        .token = {.bytes = {token}},
	        .direction = direction,
	        .rendezvous_timeout_ns = timeout_ns,
	};

	return slu_channel_open(endpoint, &options, ret_channel);
}

static slu_channel *open_end(slu_endpoint *endpoint, enum slu_direction direction)
{
	slu_channel *channel = NULL;

	CU_ASSERT_EQUAL_FATAL(open_with(endpoint, direction, 1, 0, &channel), 0);
	return channel;
}

/* ---- coming ------------------------------------------------------------ */

static void delivers_when_the_sender_comes_first(void)
{
	slu_channel *tx, *rx;

	start_plain();
	tx = open_end(sender, SLU_SEND);
	CU_ASSERT_EQUAL(send_byte(tx, 5), 0);
	rx = open_end(receiver, SLU_RECV);
	CU_ASSERT_EQUAL(receive_byte(rx), 5);
	CU_ASSERT_EQUAL(slu_channel_eos(tx), 0);
	CU_ASSERT_EQUAL(receive_byte(rx), 1000 + SLU_EOS);
	stop();
}

static void delivers_when_the_receiver_comes_first(void)
{
	slu_channel *tx, *rx;

	start_plain();
	rx = open_end(receiver, SLU_RECV);
	tx = open_end(sender, SLU_SEND);
	CU_ASSERT_EQUAL(send_byte(tx, 5), 0);
	CU_ASSERT_EQUAL(receive_byte(rx), 5);
	CU_ASSERT_EQUAL(slu_channel_eos(tx), 0);
	CU_ASSERT_EQUAL(receive_byte(rx), 1000 + SLU_EOS);
	stop();
}

static void delivers_within_one_process(void)
{
	slu_channel *tx, *rx;

	start_plain();
	rx = open_end(sender, SLU_RECV);
	tx = open_end(sender, SLU_SEND);
	CU_ASSERT_EQUAL(send_byte(tx, 5), 0);
	CU_ASSERT_EQUAL(slu_channel_eos(tx), 0);
	CU_ASSERT_EQUAL(receive_byte(rx), 5);
	CU_ASSERT_EQUAL(receive_byte(rx), 1000 + SLU_EOS);
	stop();
}

static void knows_its_own_node_by_name(void)
{
	struct slu_open_options options = {.key = {.cluster = AGENT_FIXTURE_CLUSTER, .query = 1},
	                                   .direction = SLU_SEND,
	                                   .peer = "here"};
	slu_channel *channel;

	start_plain();
	CU_ASSERT_EQUAL(slu_channel_open(sender, &options, &channel), 0);
	options.peer = "nowhere";
	CU_ASSERT_EQUAL(slu_channel_open(sender, &options, &channel), -EHOSTUNREACH);
	CU_ASSERT_PTR_NOT_NULL(strstr(slu_endpoint_error(sender), "nowhere"));
	stop();
}

static void refuses_a_wrong_token_and_leaves_the_first_alone(void)
{
	slu_channel *tx, *rx;

	start_plain();
	tx = open_end(sender, SLU_SEND);
	CU_ASSERT_EQUAL(open_with(receiver, SLU_RECV, 2, 0, &rx), -EACCES);
	CU_ASSERT_PTR_NOT_NULL(strstr(slu_endpoint_error(receiver), "wrong token"));
	CU_ASSERT_EQUAL(send_byte(tx, 5), 0);
	rx = open_end(receiver, SLU_RECV);
	CU_ASSERT_EQUAL(receive_byte(rx), 5);
	stop();
}

static void refuses_the_same_end_twice(void)
{
	slu_channel *tx, *rx;

	start_plain();
	tx = open_end(sender, SLU_SEND);
	CU_ASSERT_EQUAL(open_with(receiver, SLU_SEND, 1, 0, &rx), -EEXIST);
	CU_ASSERT_EQUAL(send_byte(tx, 1), 0);
	rx = open_end(receiver, SLU_RECV);
	CU_ASSERT_EQUAL(open_with(sender, SLU_RECV, 1, 0, &tx), -EEXIST);
	CU_ASSERT_EQUAL(receive_byte(rx), 1);
	stop();
}

static void refuses_another_cluster(void)
{
	struct slu_open_options options = {.key = {.cluster = 1}, .direction = SLU_SEND};
	slu_channel *channel;

	start_plain();
	CU_ASSERT_EQUAL(slu_channel_open(sender, &options, &channel), -ESTALE);
	stop();
}

static void says_when_all_channels_are_open(void)
{
	slu_channel *channel, *last = NULL;

	start_plain();
	for (uint32_t i = 0; i < sender->arena->max_channels; i++, query++)
		last = open_end(sender, SLU_SEND);
	CU_ASSERT_EQUAL(open_with(sender, SLU_SEND, 1, 0, &channel), -ENOSPC);
	CU_ASSERT_PTR_NOT_NULL(strstr(slu_endpoint_error(sender), "64 channels are open"));
	slu_channel_close(last);
	query++;
	CU_ASSERT_EQUAL(open_with(sender, SLU_SEND, 1, 0, &channel), 0);
	stop();
}

static void gives_up_waiting_with_words(void)
{
	slu_channel *tx, *rx;

	start_plain();
	CU_ASSERT_EQUAL(open_with(sender, SLU_SEND, 1, 50000000, &tx), 0);
	CU_ASSERT_EQUAL(sender_result(tx), -ETIMEDOUT);
	assert_reason(tx, "no receiver came for channel");
	query++;
	CU_ASSERT_EQUAL(open_with(receiver, SLU_RECV, 1, 50000000, &rx), 0);
	CU_ASSERT_EQUAL(receive_byte(rx), -ETIMEDOUT);
	assert_reason(rx, "no sender came for channel");
	stop();
}

/* ---- leaving in order --------------------------------------------------- */

static void keeps_what_a_sender_left_for_a_late_receiver(void)
{
	slu_channel *tx, *rx;

	start_plain();
	tx = open_end(sender, SLU_SEND);
	CU_ASSERT_EQUAL(send_byte(tx, 5), 0);
	CU_ASSERT_EQUAL(send_byte(tx, 6), 0);
	CU_ASSERT_EQUAL(slu_channel_eos(tx), 0);
	slu_channel_close(tx);
	rx = open_end(receiver, SLU_RECV);
	CU_ASSERT_EQUAL(receive_byte(rx), 5);
	CU_ASSERT_EQUAL(receive_byte(rx), 6);
	CU_ASSERT_EQUAL(receive_byte(rx), 1000 + SLU_EOS);
	stop();
}

static void drops_what_nobody_comes_for(void)
{
	slu_channel *tx, *rx;

	start_plain();
	CU_ASSERT_EQUAL(open_with(sender, SLU_SEND, 1, 50000000, &tx), 0);
	CU_ASSERT_EQUAL(send_byte(tx, 5), 0);
	CU_ASSERT_EQUAL(slu_channel_eos(tx), 0);
	slu_channel_close(tx);
	/* Another channel that times out later says that this one has. */
	query++;
	CU_ASSERT_EQUAL(open_with(receiver, SLU_RECV, 1, 60000000, &rx), 0);
	CU_ASSERT_EQUAL(receive_byte(rx), -ETIMEDOUT);
	slu_channel_close(rx);
	assert_clean();
	stop();
}

static void tells_a_late_sender_that_it_is_stopped(void)
{
	slu_channel *tx, *rx;

	start_plain();
	rx = open_end(receiver, SLU_RECV);
	slu_channel_close(rx);
	tx = open_end(sender, SLU_SEND);
	CU_ASSERT_EQUAL(sender_result(tx), SLU_STOPPED);
	stop();
}

static void tells_a_late_receiver_that_the_sender_gave_up(void)
{
	slu_channel *tx, *rx;

	start_plain();
	tx = open_end(sender, SLU_SEND);
	CU_ASSERT_EQUAL(send_byte(tx, 5), 0);
	slu_channel_close(tx);
	rx = open_end(receiver, SLU_RECV);
	CU_ASSERT_EQUAL(receive_byte(rx), -ECANCELED);
	stop();
}

static void tells_a_late_end_why_the_other_reset_the_channel(void)
{
	slu_channel *tx, *rx;

	start_plain();
	rx = open_end(receiver, SLU_RECV);
	CU_ASSERT_EQUAL(slu_channel_reset(rx, EDQUOT, "the disk of seg2 is full"), 0);
	slu_channel_close(rx);
	tx = open_end(sender, SLU_SEND);
	CU_ASSERT_EQUAL(sender_result(tx), -EDQUOT);
	assert_reason(tx, "the disk of seg2 is full");
	stop();
}

static void can_use_a_name_again(void)
{
	start_plain();
	for (int i = 0; i < 300; i++) {
		slu_channel *tx = open_end(sender, SLU_SEND), *rx;

		CU_ASSERT_EQUAL(send_byte(tx, (uint8_t)i), 0);
		CU_ASSERT_EQUAL(slu_channel_eos(tx), 0);
		rx = open_end(receiver, SLU_RECV);
		CU_ASSERT_EQUAL_FATAL(receive_byte(rx), i & 0xff);
		CU_ASSERT_EQUAL_FATAL(receive_byte(rx), 1000 + SLU_EOS);
		slu_channel_close(rx);
		slu_channel_close(tx);
		/* The agent hears both before it hears this. */
		assert_clean();
	}
	stop();
}

/* ---- leaving otherwise -------------------------------------------------- */

/* Fork a process that opens an end, sends `count` bytes and waits to be killed;
 * returns when it has done so. */
static pid_t start_doomed(enum slu_direction direction, unsigned count, bool eos)
{
	int pipe_fds[2];
	char byte;
	pid_t pid;

	CU_ASSERT_EQUAL_FATAL(pipe(pipe_fds), 0);
	pid = fork();
	if (pid == 0) {
		slu_channel *channel = open_end(attach("the doomed"), direction);

		while (count-- > 0)
			send_byte(channel, (uint8_t)count);
		if (eos)
			slu_channel_eos(channel);
		if (write(pipe_fds[1], "x", 1) == 1)
			pause();
		_exit(0);
	}
	close(pipe_fds[1]);
	CU_ASSERT_EQUAL_FATAL(read(pipe_fds[0], &byte, 1), 1);
	close(pipe_fds[0]);
	return pid;
}

static void end_doomed(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static void tells_a_receiver_that_its_sender_died(void)
{
	slu_channel *rx;
	pid_t pid;

	start_plain();
	rx = open_end(receiver, SLU_RECV);
	pid = start_doomed(SLU_SEND, 1, false);
	CU_ASSERT_EQUAL(receive_byte(rx), 0);
	end_doomed(pid);
	CU_ASSERT_EQUAL(receive_byte(rx), -ECONNRESET);
	assert_reason(rx, "sender \"the doomed\"");
	assert_reason(rx, "on here died; channel");
	stop();
}

static void tells_a_sender_that_its_receiver_died(void)
{
	slu_channel *tx;
	pid_t pid;

	start_plain();
	tx = open_end(sender, SLU_SEND);
	pid = start_doomed(SLU_RECV, 0, false);
	CU_ASSERT_EQUAL(send_byte(tx, 1), 0);
	end_doomed(pid);
	CU_ASSERT_EQUAL(sender_result(tx), -ECONNRESET);
	assert_reason(tx, "receiver \"the doomed\"");
	assert_reason(tx, "died; channel");
	stop();
}

static void tells_a_late_receiver_that_its_sender_died(void)
{
	slu_channel *rx;

	start_plain();
	end_doomed(start_doomed(SLU_SEND, 3, false));
	/* It may not be seen dead yet: then the two meet, and part the same way. */
	rx = open_end(receiver, SLU_RECV);
	while (receive_byte(rx) >= 0)
		;
	CU_ASSERT_EQUAL(receive_byte(rx), -ECONNRESET);
	assert_reason(rx, "died");
	stop();
}

static void keeps_what_a_sender_finished_before_it_died(void)
{
	slu_channel *rx;

	start_plain();
	end_doomed(start_doomed(SLU_SEND, 3, true));
	rx = open_end(receiver, SLU_RECV);
	CU_ASSERT_EQUAL(receive_byte(rx), 2);
	CU_ASSERT_EQUAL(receive_byte(rx), 1);
	CU_ASSERT_EQUAL(receive_byte(rx), 0);
	CU_ASSERT_EQUAL(receive_byte(rx), 1000 + SLU_EOS);
	stop();
}

/* A process that lost its connection may still write into its frames: it keeps
 * them, and its slot, until it is dead. Here it is this process, by way of a
 * message that the agent must not like. */
static void quarantines_a_process_that_lives_on(void)
{
	union client_message nonsense = raw_attach_message("again");
	slu_endpoint *rogue;
	struct arena *arena;
	slu_channel *tx, *rx;
	uint32_t slot;
	void *data;
	size_t room;

	start_plain();
	rogue = attach("the rogue");
	arena = rogue->arena;
	slot = rogue->port.slot;
	rx = open_end(receiver, SLU_RECV);
	tx = open_end(rogue, SLU_SEND);
	CU_ASSERT_EQUAL(slu_channel_acquire(tx, &data, &room), 0);
	CU_ASSERT_EQUAL(raw_send(rogue->socket_fd, &nonsense), 0);
	CU_ASSERT_EQUAL(receive_byte(rx), -ECONNRESET);
	assert_reason(rx, "was dropped (a second ATTACH)");
	slu_channel_close(rx);
	CU_ASSERT_EQUAL(atomic_load(&arena_proc(arena, slot)->state), PROC_ATTACHED);
	CU_ASSERT_EQUAL(atomic_load(&arena->header->channels_open), 1);
	*(uint8_t *)data = 1; /* harms nobody */
	slu_endpoint_detach(sender);
	slu_endpoint_detach(receiver);
	slu_endpoint_detach(rogue);
	/* not clean before this process ends; the agent does stop, though */
	CU_ASSERT_EQUAL(agent_fixture_stop(&fixture), 0);
	agent_fixture_end(&fixture);
}

static void takes_the_end_of_a_process_for_its_death_though_a_child_holds_its_socket(void)
{
	slu_channel *rx;
	int pipe_fds[2];
	pid_t pid;
	char byte;

	start_plain();
	rx = open_end(receiver, SLU_RECV);
	CU_ASSERT_EQUAL_FATAL(pipe(pipe_fds), 0);
	pid = fork();
	if (pid == 0) {
		open_end(attach("the parent"), SLU_SEND);
		/* until the test closes its end of the pipe */
		if (fork() == 0) {
			close(pipe_fds[1]);
			_exit((int)read(pipe_fds[0], &byte, 1));
		}
		_exit(0);
	}
	waitpid(pid, NULL, 0);
	CU_ASSERT_EQUAL(receive_byte(rx), -ECONNRESET);
	assert_reason(rx, "sender \"the parent\"");
	assert_reason(rx, "died");
	close(pipe_fds[0]);
	close(pipe_fds[1]);
	stop();
}

static void tells_everybody_that_it_stops(void)
{
	slu_channel *tx, *rx, *half;

	start_plain();
	tx = open_end(sender, SLU_SEND);
	rx = open_end(receiver, SLU_RECV);
	query++;
	half = open_end(receiver, SLU_RECV);
	CU_ASSERT_EQUAL(agent_fixture_stop(&fixture), 0);
	CU_ASSERT_EQUAL(receive_byte(rx), -ENOTCONN);
	CU_ASSERT_EQUAL(sender_result(tx), -ENOTCONN);
	CU_ASSERT_EQUAL(receive_byte(half), -ENOTCONN);
	assert_reason(tx, "here");
	slu_endpoint_detach(sender);
	slu_endpoint_detach(receiver);
	agent_fixture_end(&fixture);
}

static int descriptor_count(void)
{
	int count = 0;

	for (int fd = 0; fd < 1024; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

/* In more processes than there are slots, so that those who come later are in the
 * slots of those whose doorbells were let go, and ring and are rung. */
static void lets_go_of_the_doorbells_of_those_who_died(void)
{
	int count = 0;

	start_plain();
	for (int round = 0; round < 60; round++) {
		slu_channel *rx = open_end(receiver, SLU_RECV);
		slu_channel *tx;

		end_doomed(start_doomed(SLU_SEND, 1, true));
		CU_ASSERT_EQUAL(receive_byte(rx), 0);
		CU_ASSERT_EQUAL(receive_byte(rx), 1000 + SLU_EOS);
		slu_channel_close(rx);
		/* one that lives is met each time and keeps its doorbell */
		query++;
		rx = open_end(receiver, SLU_RECV);
		tx = open_end(sender, SLU_SEND);
		CU_ASSERT_EQUAL(send_byte(tx, 7), 0);
		CU_ASSERT_EQUAL(receive_byte(rx), 7);
		slu_channel_close(tx);
		slu_channel_close(rx);
		query++;
		if (round == 2)
			count = descriptor_count();
	}
	/* one that was not yet seen dead when the next came may be kept a round longer */
	CU_ASSERT_TRUE(descriptor_count() <= count + 3);
	stop();
}

/* ---- sluice top --------------------------------------------------------- */

/* Returns owned output of the sluice command. */
static char *sluice(const char *arguments)
{
	char command[512];
	char *text = calloc(1, 65536);
	FILE *pipe_file;

	snprintf(command, sizeof(command), "%s %s 2>&1", getenv("SLUICE"), arguments);
	pipe_file = popen(command, "r");
	CU_ASSERT_PTR_NOT_NULL_FATAL(pipe_file);
	CU_ASSERT_TRUE(fread(text, 1, 65535, pipe_file) > 0);
	pclose(pipe_file);
	return text;
}

static void assert_top_has(const char *arguments, const char *const *words)
{
	char *text = sluice(arguments);

	for (size_t i = 0; words[i]; i++) {
		if (!strstr(text, words[i]))
			fprintf(stderr, "\nnot '%s' in:\n%s\n", words[i], text);
		CU_ASSERT_PTR_NOT_NULL(strstr(text, words[i]));
	}
	free(text);
}

static void shows_itself_in_sluice_top(void)
{
	static const char *const json[] = {
	        "\"name\": \"the sender\"", "\"channels_open\": 1", "\"frames\": 3",
	        "\"agent_alive\": true",    "\"state\": \"eos\"",   NULL};
	static const char *const text[] = {"the receiver", "processes_attached", "eos", NULL};
	char arguments[256];
	slu_channel *tx;

	start_plain();
	tx = open_end(sender, SLU_SEND);
	open_end(receiver, SLU_RECV);
	for (int i = 0; i < 3; i++)
		CU_ASSERT_EQUAL(send_byte(tx, 1), 0);
	CU_ASSERT_EQUAL(slu_channel_eos(tx), 0);
	snprintf(arguments, sizeof(arguments), "top --json --socket %s", fixture.socket_path);
	assert_top_has(arguments, json);
	snprintf(arguments, sizeof(arguments), "top --once --socket %s", fixture.socket_path);
	assert_top_has(arguments, text);
	stop();
}

static void can_be_read_after_the_agent_was_killed(void)
{
	static const char *const words[] = {"\"name\": \"the sender\"", "\"agent_alive\": false",
	                                    "\"frames\": 2", NULL};
	static const char *const refused[] = {"no agent answers at", NULL};
	char arguments[256];
	slu_channel *tx;

	if (geteuid() != 0) {
		fprintf(stderr, "skipped: needs root to open what a process maps\n");
		return;
	}
	start_plain();
	tx = open_end(sender, SLU_SEND);
	CU_ASSERT_EQUAL(send_byte(tx, 1), 0);
	CU_ASSERT_EQUAL(send_byte(tx, 1), 0);
	agent_fixture_kill(&fixture);
	snprintf(arguments, sizeof(arguments), "top --json --pid %d", (int)getpid());
	assert_top_has(arguments, words);
	snprintf(arguments, sizeof(arguments), "top --json --socket %s", fixture.socket_path);
	assert_top_has(arguments, refused);
	slu_endpoint_detach(sender);
	slu_endpoint_detach(receiver);
	agent_fixture_end(&fixture);
}

int main(void)
{
	static const struct unit_test tests[] = {
	        UNIT_TEST(an_endpoint_knows_the_name_of_its_node),
	        UNIT_TEST(delivers_when_the_sender_comes_first),
	        UNIT_TEST(delivers_when_the_receiver_comes_first),
	        UNIT_TEST(delivers_within_one_process),
	        UNIT_TEST(knows_its_own_node_by_name),
	        UNIT_TEST(refuses_a_wrong_token_and_leaves_the_first_alone),
	        UNIT_TEST(refuses_the_same_end_twice),
	        UNIT_TEST(refuses_another_cluster),
	        UNIT_TEST(says_when_all_channels_are_open),
	        UNIT_TEST(gives_up_waiting_with_words),
	        UNIT_TEST(keeps_what_a_sender_left_for_a_late_receiver),
	        UNIT_TEST(drops_what_nobody_comes_for),
	        UNIT_TEST(tells_a_late_sender_that_it_is_stopped),
	        UNIT_TEST(tells_a_late_receiver_that_the_sender_gave_up),
	        UNIT_TEST(tells_a_late_end_why_the_other_reset_the_channel),
	        UNIT_TEST(can_use_a_name_again),
	        UNIT_TEST(tells_a_receiver_that_its_sender_died),
	        UNIT_TEST(tells_a_sender_that_its_receiver_died),
	        UNIT_TEST(tells_a_late_receiver_that_its_sender_died),
	        UNIT_TEST(keeps_what_a_sender_finished_before_it_died),
	        UNIT_TEST(quarantines_a_process_that_lives_on),
	        UNIT_TEST(takes_the_end_of_a_process_for_its_death_though_a_child_holds_its_socket),
	        UNIT_TEST(lets_go_of_the_doorbells_of_those_who_died),
	        UNIT_TEST(tells_everybody_that_it_stops),
	        UNIT_TEST(shows_itself_in_sluice_top),
	        UNIT_TEST(can_be_read_after_the_agent_was_killed),
	        {NULL, NULL},
	};

	return unit_run("agent_channels", tests);
}
