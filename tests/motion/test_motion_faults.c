/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_motion_faults.c - circles of waits, spilling, errors and deaths, on one
 * host and between two.
 */
#include "tests/motion/crew.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mount.h>
#include <unistd.h>

static struct crew crews[2]; /* on one host, on two */

/* ---- a join that wants an outer row first ---------------------------------------- */

/*
 * Members 0 and 1 join; 2 sends the outer side, 3 the inner side, each to both.
 * The join takes one outer row, then the whole inner side, then the rest: what a
 * hash join of PostgreSQL does. The outer sender serves join 1 first, the inner
 * one join 0: both fill up, and join 0 waits for its outer row, join 1 for the
 * end of its inner side.
 */
enum { OUTER = 1, INNER = 2, SKEWED_ROWS = 3000 };

static int join(struct member *member)
{
	slu_motion_receiver *outer =
	        member_receiver(member, SLU_MOTION_REDISTRIBUTE, OUTER, member->idx, 2, 1);
	slu_motion_receiver *inner =
	        member_receiver(member, SLU_MOTION_REDISTRIBUTE, INNER, member->idx, 3, 1);
	const void *row;
	int r = slu_motion_receive(outer, &row);

	if (r != SLU_OK)
		return r;
	while ((r = slu_motion_receive(inner, &row)) == SLU_OK)
		member->counts[1] += crew_row_is_good(row);
	if (r != SLU_EOS)
		return r;
	for (member->counts[0] = 1; (r = slu_motion_receive(outer, &row)) == SLU_OK;)
		member->counts[0] += crew_row_is_good(row);
	return r;
}

static int send_one_then_other(struct member *member, uint32_t motion, uint32_t first)
{
	slu_motion_sender *sender = member_sender(member, SLU_MOTION_REDISTRIBUTE, motion, 0, 0, 2);
	int r = SLU_OK;

	for (uint64_t i = 0; i < SKEWED_ROWS && r == SLU_OK; i++)
		r = crew_send(sender, first, 0, i, 1000);
	if (r == SLU_OK)
		r = crew_send(sender, !first, 0, 0, 1000);
	return r == SLU_OK ? slu_motion_eos(sender) : r;
}

static int send_outer(struct member *member)
{
	return send_one_then_other(member, OUTER, 1);
}

static int send_inner(struct member *member)
{
	return send_one_then_other(member, INNER, 0);
}

static void run_join(struct crew *crew, const struct slu_motion_context_options *options,
                     uint64_t deadline_ns)
{
	int (*const roles[])(struct member *) = {join, join, send_outer, send_inner};

	crew_query(crew);
	for (uint32_t i = 0; i < 4; i++) {
		crew_member(crew, i)->options = *options;
		crew_member(crew, i)->deadline_ns = deadline_ns;
		crew_start(crew, i, roles[i]);
	}
	CU_ASSERT_TRUE(crew_wait_all(crew, 4));
}

static void expect_joined(struct crew *crew)
{
	for (uint32_t i = 0; i < 4; i++)
		CU_ASSERT_EQUAL(crew_member(crew, i)->result, i < 2 ? SLU_EOS : SLU_OK);
	CU_ASSERT_EQUAL(crew_member(crew, 0)->counts[0], 1);
	CU_ASSERT_EQUAL(crew_member(crew, 0)->counts[1], SKEWED_ROWS);
	CU_ASSERT_EQUAL(crew_member(crew, 1)->counts[0], SKEWED_ROWS);
	CU_ASSERT_EQUAL(crew_member(crew, 1)->counts[1], 1);
}

/* The counter-proof: this is how it hangs. */
static void skewed_join_hangs_when_waits_do_not_drain(void)
{
	struct slu_motion_context_options options = {.receive_drain_after_ns = SLU_MOTION_NEVER,
	                                             .send_drain_after_ns = SLU_MOTION_NEVER};

	for (size_t c = 0; c < 2; c++) {
		unsigned timeouts = 0;

		run_join(&crews[c], &options, slu_now_ns() + UINT64_C(1500000000));
		for (uint32_t i = 0; i < 4; i++) {
			int result = crew_member(&crews[c], i)->result;

			/* who gives up first ends the others by STOP or reset */
			CU_ASSERT_NOT_EQUAL(result, i < 2 ? SLU_EOS : SLU_OK);
			timeouts += result == SLU_TIMEOUT;
		}
		CU_ASSERT(timeouts > 0);
	}
}

static void skewed_join_ends_because_waits_drain(void)
{
	struct slu_motion_context_options options = {0};

	for (size_t c = 0; c < 2; c++) {
		run_join(&crews[c], &options, 0);
		expect_joined(&crews[c]);
		/* either breaks the circle */
		CU_ASSERT(crew_member(&crews[c], 0)->context_stats.drained_frames +
		                  crew_member(&crews[c], 1)->context_stats.drained_frames >
		          0);
		CU_ASSERT_EQUAL(crew_member(&crews[c], 0)->context_stats.spilled_frames, 0);
		CU_ASSERT_EQUAL(crew_member(&crews[c], 0)->context_stats.memory_bytes, 0);
	}
}

static void receive_waits_alone_suffice_for_a_tree(void)
{
	struct slu_motion_context_options options = {.send_drain_after_ns = SLU_MOTION_NEVER};

	run_join(&crews[0], &options, 0);
	expect_joined(&crews[0]);
}

static void what_exceeds_memory_is_spilled_and_comes_back_in_order(void)
{
	struct slu_motion_context_options options = {.memory_bytes_max = 100000};

	for (size_t c = 0; c < 2; c++) {
		uint64_t spilled_frames = 0;

		run_join(&crews[c], &options, 0);
		expect_joined(&crews[c]);
		for (uint32_t i = 0; i < 2; i++) {
			const struct slu_motion_context_stats *stats =
			        &crew_member(&crews[c], i)->context_stats;

			spilled_frames += stats->spilled_frames;
			CU_ASSERT_EQUAL(stats->spill_file_bytes > 0, stats->spilled_frames > 0);
			/* the one that is being read back may exceed it */
			CU_ASSERT(stats->memory_bytes_max <= 100000 + 20000);
			CU_ASSERT_EQUAL(stats->memory_bytes, 0);
		}
		CU_ASSERT(spilled_frames > 0);
	}
}

static void spill_limit_fails_every_participant(void)
{
	struct slu_motion_context_options options = {.memory_bytes_max = 1,
	                                             .spill_bytes_max = 200000};

	run_join(&crews[0], &options, 0);
	for (uint32_t i = 0; i < 4; i++) {
		CU_ASSERT(crew_member(&crews[0], i)->result < 0);
		CU_ASSERT_STRING_EQUAL(crew_member(&crews[0], i)->error.sqlstate, "53400");
	}
}

/* ---- a full disk ---------------------------------------------------------------- */

static char full_directory[] = "/tmp/sluice-full-XXXXXX";

static void full_disk_is_told_to_every_participant(void)
{
	struct slu_motion_context_options options = {.memory_bytes_max = 1,
	                                             .spill_directory = full_directory};

	if (!mkdtemp(full_directory) ||
	    mount("none", full_directory, "tmpfs", MS_NOSUID | MS_NODEV, "size=256k") < 0) {
		fprintf(stderr, "left out: cannot mount a small tmpfs: %s\n", strerror(errno));
		rmdir(full_directory);
		return;
	}
	for (size_t c = 0; c < 2; c++) {
		run_join(&crews[c], &options, 0);
		for (uint32_t i = 0; i < 4; i++) {
			struct member *member = crew_member(&crews[c], i);

			CU_ASSERT(member->result < 0);
			CU_ASSERT_STRING_EQUAL(member->error.sqlstate, "53100");
			CU_ASSERT_PTR_NOT_NULL(strstr(member->error.text, "No space left"));
			CU_ASSERT_PTR_NOT_NULL(strstr(member->error.text, full_directory));
		}
	}
	umount(full_directory);
	rmdir(full_directory);
}

static void missing_spill_directory_is_an_error_with_its_name(void)
{
	struct slu_motion_context_options options = {.memory_bytes_max = 1,
	                                             .spill_directory = "/nonexistent/sluice"};

	run_join(&crews[0], &options, 0);
	CU_ASSERT_STRING_EQUAL(crew_member(&crews[0], 2)->error.sqlstate, "58030");
	CU_ASSERT_PTR_NOT_NULL(
	        strstr(crew_member(&crews[0], 2)->error.text, "/nonexistent/sluice"));
}

/* ---- two that send to each other before they receive ------------------------------- */

static int send_then_receive(struct member *member)
{
	uint32_t other = !member->idx;
	slu_motion_sender *sender =
	        member_sender(member, SLU_MOTION_REDISTRIBUTE, member->idx, 0, other, 1);
	slu_motion_receiver *receiver =
	        member_receiver(member, SLU_MOTION_REDISTRIBUTE, other, 0, other, 1);
	const void *row;
	int r = SLU_OK;

	for (uint64_t i = 0; i < SKEWED_ROWS && r == SLU_OK; i++)
		r = crew_send(sender, 0, 0, i, i % 1000 == 7 ? 70000 : 1000);
	if (r == SLU_OK)
		r = slu_motion_eos(sender);
	if (r != SLU_OK)
		return r;
	while ((r = slu_motion_receive(receiver, &row)) == SLU_OK)
		member->counts[0] += crew_row_is_good(row);
	return r;
}

static void two_may_send_to_each_other_before_they_receive(void)
{
	for (size_t c = 0; c < 2; c++) {
		crew_query(&crews[c]);
		crew_start(&crews[c], 0, send_then_receive);
		crew_start(&crews[c], 1, send_then_receive);
		CU_ASSERT_TRUE(crew_wait_all(&crews[c], 2));
		for (uint32_t i = 0; i < 2; i++) {
			CU_ASSERT_EQUAL(crew_member(&crews[c], i)->result, SLU_EOS);
			CU_ASSERT_EQUAL(crew_member(&crews[c], i)->counts[0], SKEWED_ROWS);
		}
	}
}

/* ---- failures ------------------------------------------------------------------------ */

/* A chain 0 -> 1 -> 2, and 3 -> 1 besides. */
static int chain_send(struct member *member)
{
	slu_motion_sender *sender =
	        member_sender(member, SLU_MOTION_REDISTRIBUTE, 1, member->idx == 3, 1, 1);
	int r = SLU_OK;

	for (uint64_t i = 0; r == SLU_OK; i++) {
		r = crew_send(sender, 0, member->idx == 3, i, 100);
		atomic_fetch_add(&member->progress, 1);
	}
	return r;
}

static int chain_pass_on(struct member *member)
{
	const char *nodes[2];
	struct slu_motion_options options =
	        member_options(member, SLU_MOTION_REDISTRIBUTE, 1, 0, 0, 2, nodes);
	slu_motion_sender *sender = member_sender(member, SLU_MOTION_GATHER, 2, 0, 2, 1);
	slu_motion_receiver *receiver;
	const void *row;
	int r;

	nodes[0] = agent_fixture_node(&member->crew->agents[0]);
	nodes[1] = agent_fixture_node(&member->crew->agents[3 % member->crew->hosts]);
	r = slu_motion_open_receiver(member->context, &options, &receiver);
	while (r == SLU_OK) {
		r = slu_motion_receive(receiver, &row);
		if (r == SLU_OK)
			r = slu_motion_send(sender, 0, row, *(const uint32_t *)row);
	}
	return r;
}

static int chain_receive(struct member *member, uint64_t rows, bool then_fail)
{
	slu_motion_receiver *receiver = member_receiver(member, SLU_MOTION_GATHER, 2, 0, 1, 1);
	const void *row;
	int r = SLU_OK;

	for (uint64_t i = 0; i < rows && r == SLU_OK; i++) {
		r = slu_motion_receive(receiver, &row);
		atomic_fetch_add(&member->progress, 1);
	}
	if (then_fail && r == SLU_OK) {
		slu_motion_fail(member->context, 0, "22012", "division by zero");
		r = slu_motion_receive(receiver, &row);
	}
	return r;
}

static int chain_receive_and_fail(struct member *member)
{
	return chain_receive(member, 1000, true);
}

static int chain_receive_on(struct member *member)
{
	return chain_receive(member, UINT64_MAX, false);
}

static void chain_start(struct crew *crew, int (*last)(struct member *))
{
	crew_query(crew);
	crew_start(crew, 0, chain_send);
	crew_start(crew, 1, chain_pass_on);
	crew_start(crew, 2, last);
	crew_start(crew, 3, chain_send);
}

static void failure_reaches_every_participant_with_sqlstate_and_text(void)
{
	for (size_t c = 0; c < 2; c++) {
		chain_start(&crews[c], chain_receive_and_fail);
		CU_ASSERT_TRUE(crew_wait_all(&crews[c], 4));
		for (uint32_t i = 0; i < 4; i++) {
			struct member *member = crew_member(&crews[c], i);

			CU_ASSERT_EQUAL(member->result, -ECANCELED);
			CU_ASSERT_STRING_EQUAL(member->error.sqlstate, "22012");
			CU_ASSERT_PTR_NOT_NULL(strstr(member->error.text, "division by zero"));
		}
	}
}

static void wait_for_progress(struct member *member, uint64_t rows)
{
	while (atomic_load(&member->progress) < rows && kill(member->pid, 0) == 0)
		poll(NULL, 0, 1);
}

static void killed_member_is_told_to_all_others(void)
{
	for (size_t c = 0; c < 2; c++) {
		for (uint32_t victim = 0; victim < 4; victim++) {
			chain_start(&crews[c], chain_receive_on);
			wait_for_progress(crew_member(&crews[c], 0), 1);
			wait_for_progress(crew_member(&crews[c], 3), 1);
			wait_for_progress(crew_member(&crews[c], 2), 500);
			kill(crew_member(&crews[c], victim)->pid, SIGKILL);
			CU_ASSERT_TRUE(crew_wait_all(&crews[c], 4));
			for (uint32_t i = 0; i < 4; i++) {
				struct member *member = crew_member(&crews[c], i);

				if (i == victim)
					continue;
				CU_ASSERT(member->result < 0);
				CU_ASSERT_STRING_EQUAL(member->error.sqlstate, "08006");
				CU_ASSERT_PTR_NOT_NULL(strstr(member->error.text, "member"));
			}
		}
	}
}

/* ---- other ends of a wait ---------------------------------------------------------------- */

static int wait_with_foreign(struct member *member)
{
	slu_motion_receiver *receiver = member_receiver(member, SLU_MOTION_GATHER, 1, 0, 1, 1);
	int fd = eventfd(1, EFD_CLOEXEC);
	const void *row;
	uint64_t start_ns = slu_now_ns();
	int r;

	slu_motion_set_wait(member->context, UINT64_MAX, fd);
	r = slu_motion_receive(receiver, &row);
	if (r != SLU_FOREIGN)
		return 100 + r;
	slu_motion_set_wait(member->context, start_ns + 20000000, -1);
	r = slu_motion_receive(receiver, &row);
	if (r != SLU_TIMEOUT || slu_now_ns() < start_ns + 20000000)
		return 200 + r;
	slu_motion_set_wait(member->context, 0, -1);
	r = slu_motion_receive(receiver, &row);
	close(fd);
	return r;
}

static void waits_end_by_deadline_and_foreign_descriptor(void)
{
	crew_query(&crews[0]);
	CU_ASSERT_TRUE(crew_wait(crew_start(&crews[0], 0, wait_with_foreign)));
	CU_ASSERT_EQUAL(crew_member(&crews[0], 0)->result, SLU_TIMEOUT);
}

int main(void)
{
	static const struct unit_test tests[] = {
	        UNIT_TEST(skewed_join_hangs_when_waits_do_not_drain),
	        UNIT_TEST(skewed_join_ends_because_waits_drain),
	        UNIT_TEST(receive_waits_alone_suffice_for_a_tree),
	        UNIT_TEST(what_exceeds_memory_is_spilled_and_comes_back_in_order),
	        UNIT_TEST(spill_limit_fails_every_participant),
	        UNIT_TEST(full_disk_is_told_to_every_participant),
	        UNIT_TEST(missing_spill_directory_is_an_error_with_its_name),
	        UNIT_TEST(two_may_send_to_each_other_before_they_receive),
	        UNIT_TEST(failure_reaches_every_participant_with_sqlstate_and_text),
	        UNIT_TEST(killed_member_is_told_to_all_others),
	        UNIT_TEST(waits_end_by_deadline_and_foreign_descriptor),
	        {NULL, NULL},
	};
	bool own_mounts =
	        unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
	bool one_host = crew_begin(&crews[0], 1), two_hosts = crew_begin(&crews[1], 2);
	int status = 1;

	if (!own_mounts)
		fprintf(stderr, "no mount namespace of its own: %s\n", strerror(errno));
	if (one_host && two_hosts)
		status = unit_run("motion faults", tests);
	crew_end(&crews[0]);
	crew_end(&crews[1]);
	return status;
}
