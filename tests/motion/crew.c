/* SPDX-License-Identifier: Apache-2.0 */
/* crew.c - see crew.h. */
#include "tests/motion/crew.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define WAIT_MS_MAX 60000

static const char *const arena = "size = 24M\n"
                                 "frame_size = 16k\n"
                                 "max_channels = 128\n"
                                 "receive_frames = 128\n"
                                 "max_processes = 24\n"
                                 "window_max = 16\n"
                                 "hugepages = never\n"
                                 "numa = off\n";

uint64_t crew_mix(uint64_t value)
{
	value += UINT64_C(0x9e3779b97f4a7c15);
	value = (value ^ (value >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	value = (value ^ (value >> 27)) * UINT64_C(0x94d049bb133111eb);
	return value ^ (value >> 31);
}

bool crew_begin(struct crew *crew, uint32_t hosts)
{
	struct agent_fixture_options options = {.arena = arena};
	int r;

	*crew = (struct crew){.hosts = hosts, .seed = 1};
	crew->members = mmap(NULL, CREW_MEMBERS_MAX * sizeof(struct member), PROT_READ | PROT_WRITE,
	                     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (crew->members == MAP_FAILED)
		return false;
	r = hosts == 1 ? agent_fixture_start(&crew->agents[0], &options)
	               : agent_fixture_start_pair(crew->agents, &options);
	if (r != 0)
		fprintf(stderr, "the agents do not start\n");
	return r == 0;
}

void crew_end(struct crew *crew)
{
	for (uint32_t i = 0; i < crew->hosts; i++)
		agent_fixture_end(&crew->agents[i]);
	if (crew->members != MAP_FAILED)
		munmap(crew->members, CREW_MEMBERS_MAX * sizeof(struct member));
}

void crew_query(struct crew *crew)
{
	crew->query++;
	memset(crew->members, 0, CREW_MEMBERS_MAX * sizeof(struct member));
	for (uint32_t i = 0; i < CREW_MEMBERS_MAX; i++)
		crew->members[i] = (struct member){.crew = crew, .idx = i};
}

struct member *crew_member(struct crew *crew, uint32_t idx)
{
	return &crew->members[idx];
}

static uint32_t host_of(const struct crew *crew, uint32_t idx)
{
	return idx % crew->hosts;
}

static int member_begin(struct member *member)
{
	struct crew *crew = member->crew;
	char name[32];
	struct slu_attach_options attach = {
	        .socket_path = agent_fixture_socket(&crew->agents[host_of(crew, member->idx)]),
	        .cluster = AGENT_FIXTURE_CLUSTER,
	        .name = name,
	};
	int r;

	snprintf(name, sizeof(name), "member %u", member->idx);
	r = slu_endpoint_attach(&attach, &member->endpoint);
	if (r < 0) {
		snprintf(member->reason, sizeof(member->reason), "attach: %s", slu_attach_error());
		return r;
	}
	r = slu_motion_context_create(member->endpoint, &member->options, &member->context);
	if (r == 0 && member->deadline_ns)
		slu_motion_set_wait(member->context, member->deadline_ns, -1);
	return r;
}

static void member_end(struct member *member)
{
	member->error = *slu_motion_error(member->context);
	slu_motion_context_stats(member->context, &member->context_stats);
	slu_motion_context_destroy(member->context);
	slu_endpoint_detach(member->endpoint);
}

void crew_launch(struct member *member, int (*run)(struct member *))
{
	pid_t pid = fork();

	if (pid != 0) {
		member->pid = pid;
		return;
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	member->result = member_begin(member);
	if (member->result == 0) {
		member->result = run(member);
		member_end(member);
	}
	_exit(0);
}

struct member *crew_start(struct crew *crew, uint32_t idx, int (*run)(struct member *))
{
	struct member *member = crew_member(crew, idx);

	crew_launch(member, run);
	return member;
}

bool crew_wait(struct member *member)
{
	struct pollfd ended = {.events = POLLIN};
	int status = 0;
	bool in_order;

	if (member->pid <= 0)
		return false;
	ended.fd = pidfd_open(member->pid, 0);
	in_order = ended.fd >= 0 && poll(&ended, 1, WAIT_MS_MAX) == 1;
	if (!in_order) {
		fprintf(stderr, "member %u did not end\n", member->idx);
		kill(member->pid, SIGKILL);
	}
	if (waitpid(member->pid, &status, 0) == member->pid &&
	    !(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) && status != 0) {
		fprintf(stderr, "member %u ended with status %#x\n", member->idx, status);
		in_order = false;
	}
	close(ended.fd);
	member->pid = 0;
	return in_order;
}

bool crew_wait_all(struct crew *crew, uint32_t count)
{
	bool all = true;

	for (uint32_t i = 0; i < count; i++)
		if (crew->members[i].pid)
			all &= crew_wait(&crew->members[i]);
	return all;
}

struct slu_motion_options member_options(struct member *member, enum slu_motion_kind kind,
                                         uint32_t motion, uint32_t self, uint32_t first,
                                         uint32_t count, const char **nodes)
{
	struct crew *crew = member->crew;
	struct slu_motion_options options = {
	        .kind = kind,
	        .self = self,
	        .cluster = AGENT_FIXTURE_CLUSTER,
	        .query = crew->query,
	        .motion = motion,
	        .peer_count = count,
	        .peer_nodes = nodes,
	        .rendezvous_timeout_ns = UINT64_C(20000000000),
	};

	memcpy(options.token.bytes, &crew->query, sizeof(crew->query));
	for (uint32_t i = 0; i < count; i++)
		nodes[i] = agent_fixture_node(&crew->agents[host_of(crew, first + i)]);
	return options;
}

static void opened(struct member *member, int result)
{
	if (result == 0)
		return;
	member->result = result;
	snprintf(member->reason, sizeof(member->reason), "open: %s",
	         slu_endpoint_error(member->endpoint));
	member_end(member);
	_exit(0);
}

slu_motion_sender *member_sender(struct member *member, enum slu_motion_kind kind, uint32_t motion,
                                 uint32_t self, uint32_t first, uint32_t count)
{
	const char *nodes[CREW_MEMBERS_MAX];
	struct slu_motion_options options =
	        member_options(member, kind, motion, self, first, count, nodes);
	slu_motion_sender *sender = NULL;

	opened(member, slu_motion_open_sender(member->context, &options, &sender));
	return sender;
}

static int compare_numbers(const void *left, const void *right, void *ctx)
{
	const struct crew_row *a = left, *b = right;

	return (a->number > b->number) - (a->number < b->number);
}

slu_motion_receiver *member_receiver(struct member *member, enum slu_motion_kind kind,
                                     uint32_t motion, uint32_t self, uint32_t first, uint32_t count)
{
	const char *nodes[CREW_MEMBERS_MAX];
	struct slu_motion_options options =
	        member_options(member, kind, motion, self, first, count, nodes);
	slu_motion_receiver *receiver = NULL;

	if (kind == SLU_MOTION_ORDERED_GATHER)
		options.compare = compare_numbers;
	opened(member, slu_motion_open_receiver(member->context, &options, &receiver));
	return receiver;
}

/* ---- rows ------------------------------------------------------------------ */

static void row_write(struct crew_row *row, uint32_t source, uint64_t number, size_t size_bytes)
{
	size_t words = (size_bytes - sizeof(*row)) / 8;

	row->source = source;
	row->number = number;
	for (size_t i = 0; i < words; i++)
		row->words[i] = crew_mix(number) + i;
	/* the bytes that are no whole word */
	memset((uint8_t *)&row->words[words], 0x5a, (size_bytes - sizeof(*row)) % 8);
}

int crew_send(slu_motion_sender *sender, uint32_t destination, uint32_t source, uint64_t number,
              size_t size_bytes)
{
	void *row;
	int r = slu_motion_reserve(sender, destination, size_bytes, &row);

	if (r != SLU_OK)
		return r;
	row_write(row, source, number, size_bytes);
	slu_motion_append(sender, destination, size_bytes);
	return SLU_OK;
}

bool crew_row_is_good(const struct crew_row *row)
{
	size_t words;
	const uint8_t *rest;

	if (row->length < sizeof(*row) || (uintptr_t)row % 8)
		return false;
	words = (row->length - sizeof(*row)) / 8;
	rest = (const uint8_t *)&row->words[words];
	for (size_t i = 0; i < words; i++)
		if (row->words[i] != crew_mix(row->number) + i)
			return false;
	for (size_t i = 0; i < (row->length - sizeof(*row)) % 8; i++)
		if (rest[i] != 0x5a)
			return false;
	return true;
}

int crew_receive_all(struct member *member, slu_motion_receiver *receiver)
{
	uint64_t next[CREW_MEMBERS_MAX] = {0};
	const void *data;
	int r;

	while ((r = slu_motion_receive(receiver, &data)) == SLU_OK) {
		const struct crew_row *row = data;

		if (!crew_row_is_good(row) || row->source != slu_motion_source(receiver) ||
		    row->number < next[row->source]) {
			member->bad_rows++;
			continue;
		}
		next[row->source] = row->number + 1;
		member->counts[row->source]++;
		atomic_fetch_add(&member->progress, 1);
	}
	slu_motion_receiver_stats(receiver, SLU_MOTION_ALL, &member->stats);
	return r;
}
