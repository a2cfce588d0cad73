/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_wal_agents.c - a primary ships its log file to standbys, each a process of
 * its own, through real agents: on one host and between two.
 */
#include "tests/agent/agent_fixture.h"
#include "tests/kill/actors.h"
#include "tests/unit/unit.h"
#include "tests/walstream/log_actors.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define LOG_BYTES UINT64_C(2000000)

static struct agent_fixture agents[2];
static unsigned hosts;
static uint64_t stream_number;
static struct {
	struct log_actor primary;
	struct log_actor standbys[LOG_STANDBYS_MAX];
	struct actor bulk[2]; /* a sender and a receiver of rows */
} * cast;

static void prepare(unsigned standby_count, unsigned needed)
{
	memset(cast, 0, sizeof(*cast));
	stream_number++;
	cast->primary.system_id = 7;
	cast->primary.stream_count = standby_count;
	cast->primary.needed = needed;
	cast->primary.seed = stream_number;
	snprintf(cast->primary.socket_path, sizeof(cast->primary.socket_path), "%s",
	         agent_fixture_socket(&agents[0]));
	snprintf(cast->primary.path, sizeof(cast->primary.path), "%s/primary-%u",
	         agents[0].directory, (unsigned)stream_number);
	for (unsigned i = 0; i < standby_count; i++) {
		struct log_stream *stream = &cast->primary.streams[i];
		struct log_actor *standby = &cast->standbys[i];

		*stream = (struct log_stream){
		        .stream = stream_number, .destination = i, .token = 99 + i};
		standby->streams[0] = *stream;
		standby->stream_count = 1;
		standby->system_id = 7;
		if (hosts == 2) {
			snprintf(stream->peer, sizeof(stream->peer), "%s",
			         agent_fixture_node(&agents[1]));
			snprintf(standby->streams[0].peer, sizeof(stream->peer), "%s",
			         agent_fixture_node(&agents[0]));
		}
		snprintf(standby->socket_path, sizeof(standby->socket_path), "%s",
		         agent_fixture_socket(&agents[hosts - 1]));
		snprintf(standby->path, sizeof(standby->path), "%s/standby-%u-%u",
		         agents[0].directory, (unsigned)stream_number, i);
	}
}

/* Wait for what another process does; false after twenty seconds. */
static bool comes_to(_Atomic uint64_t *lsn, uint64_t wanted_lsn)
{
	struct timespec pause = {.tv_nsec = 200000};
	uint64_t deadline_ns = slu_now_ns() + UINT64_C(20000000000);

	while (atomic_load(lsn) < wanted_lsn && slu_now_ns() < deadline_ns)
		nanosleep(&pause, NULL);
	return atomic_load(lsn) >= wanted_lsn;
}

static void join(struct log_actor *actor, int result)
{
	CU_ASSERT_TRUE(log_actor_join(actor));
	CU_ASSERT_EQUAL(actor->result, result);
	if (actor->result != result)
		fprintf(stderr, "result %d: %s\n", actor->result, actor->reason);
}

static void remove_logs(void)
{
	unlink(cast->primary.path);
	for (unsigned i = 0; i < LOG_STANDBYS_MAX; i++)
		unlink(cast->standbys[i].path);
}

static void the_last_byte_is_there_when_both_have_ended(void)
{
	prepare(1, 1);
	atomic_store(&cast->primary.until_lsn, LOG_BYTES);
	atomic_store(&cast->primary.finish, true);
	log_primary_start(&cast->primary);
	log_standby_start(&cast->standbys[0]);
	join(&cast->primary, SLU_EOS);
	join(&cast->standbys[0], SLU_EOS);
	CU_ASSERT_EQUAL(log_file_check(cast->standbys[0].path), LOG_BYTES);
	CU_ASSERT_EQUAL(atomic_load(&cast->primary.acknowledged_lsn), LOG_BYTES);
	remove_logs();
}

static void a_level_stream_is_shipped_from_the_engines_hands(void)
{
	prepare(1, 1);
	log_primary_start(&cast->primary);
	log_standby_start(&cast->standbys[0]);
	for (uint64_t lsn = 1000; lsn <= 20000; lsn += 1000) {
		atomic_store(&cast->primary.until_lsn, lsn);
		CU_ASSERT_TRUE_FATAL(comes_to(&cast->primary.acknowledged_lsn, lsn));
	}
	atomic_store(&cast->primary.finish, true);
	join(&cast->primary, SLU_EOS);
	join(&cast->standbys[0], SLU_EOS);
	CU_ASSERT_TRUE(atomic_load(&cast->primary.appended_bytes) >= 19000);
	CU_ASSERT_EQUAL(log_file_check(cast->standbys[0].path), 20000);
	remove_logs();
}

static void a_standby_that_was_away_catches_up(void)
{
	prepare(2, 1);
	log_primary_start(&cast->primary);
	log_standby_start(&cast->standbys[0]); /* the other comes when all is written */
	atomic_store(&cast->primary.until_lsn, LOG_BYTES);
	CU_ASSERT_TRUE(comes_to(&cast->primary.acknowledged_lsn, LOG_BYTES));
	log_standby_start(&cast->standbys[1]);
	CU_ASSERT_TRUE(comes_to(&cast->standbys[1].written_lsn, LOG_BYTES));
	atomic_store(&cast->primary.finish, true);
	join(&cast->primary, SLU_EOS);
	for (unsigned i = 0; i < 2; i++) {
		join(&cast->standbys[i], SLU_EOS);
		CU_ASSERT_EQUAL(log_file_check(cast->standbys[i].path), LOG_BYTES);
	}
	remove_logs();
}

static void with_too_few_standbys_nothing_is_acknowledged(void)
{
	prepare(2, 2);
	log_primary_start(&cast->primary);
	log_standby_start(&cast->standbys[0]);
	atomic_store(&cast->primary.until_lsn, 5000);
	CU_ASSERT_TRUE(comes_to(&cast->standbys[0].written_lsn, 5000));
	CU_ASSERT_EQUAL(atomic_load(&cast->primary.acknowledged_lsn), 0);
	log_standby_start(&cast->standbys[1]);
	CU_ASSERT_TRUE(comes_to(&cast->primary.acknowledged_lsn, 5000));
	atomic_store(&cast->primary.finish, true);
	join(&cast->primary, SLU_EOS);
	join(&cast->standbys[0], SLU_EOS);
	join(&cast->standbys[1], SLU_EOS);
	remove_logs();
}

static void bulk_start(void)
{
	for (unsigned i = 0; i < 2; i++) {
		struct actor_task *task = &cast->bulk[i].task;

		task->direction = i == 0 ? SLU_SEND : SLU_RECV;
		task->key = (struct slu_key){
		        .cluster = ACTOR_CLUSTER, .query = 1000 + stream_number, .motion = 1};
		task->rows = UINT64_MAX;
		snprintf(task->socket_path, sizeof(task->socket_path), "%s",
		         agent_fixture_socket(&agents[i && hosts == 2]));
		if (hosts == 2)
			snprintf(task->peer, sizeof(task->peer), "%s",
			         agent_fixture_node(&agents[!i]));
		actor_start(&cast->bulk[i]);
	}
}

static void bulk_stop(void)
{
	atomic_store(&cast->bulk[0].enough, true);
	for (unsigned i = 0; i < 2; i++) {
		CU_ASSERT_EQUAL(waitpid(cast->bulk[i].pid, NULL, 0), cast->bulk[i].pid);
		CU_ASSERT_EQUAL(cast->bulk[i].result, SLU_OK);
	}
	CU_ASSERT_EQUAL(atomic_load(&cast->bulk[1].bad_rows), 0);
}

static void commits_go_on_beside_a_stream_of_rows(void)
{
	uint64_t rows_before;

	prepare(1, 1);
	bulk_start();
	CU_ASSERT_TRUE_FATAL(comes_to(&cast->bulk[1].moved_rows, 1));
	log_primary_start(&cast->primary);
	log_standby_start(&cast->standbys[0]);
	for (uint64_t lsn = 1000; lsn <= 20000; lsn += 1000) {
		atomic_store(&cast->primary.until_lsn, lsn);
		CU_ASSERT_TRUE(comes_to(&cast->primary.acknowledged_lsn, lsn));
	}
	rows_before = atomic_load(&cast->bulk[1].moved_rows);
	CU_ASSERT_TRUE(comes_to(&cast->bulk[1].moved_rows, rows_before + 1));
	bulk_stop();
	atomic_store(&cast->primary.finish, true);
	join(&cast->primary, SLU_EOS);
	join(&cast->standbys[0], SLU_EOS);
	CU_ASSERT_EQUAL(log_file_check(cast->standbys[0].path), 20000);
	remove_logs();
}

static void another_database_is_refused_with_words(void)
{
	prepare(1, 1);
	cast->standbys[0].system_id = 8;
	log_primary_start(&cast->primary);
	log_standby_start(&cast->standbys[0]);
	join(&cast->primary, -EXDEV);
	join(&cast->standbys[0], -EXDEV);
	CU_ASSERT_PTR_NOT_NULL(strstr(cast->standbys[0].reason, "receiver's system is 8"));
	remove_logs();
}

static void without_the_token_nobody_reads_the_log(void)
{
	prepare(1, 1);
	cast->standbys[0].streams[0].token++;
	atomic_store(&cast->primary.until_lsn, 5000);
	log_primary_start(&cast->primary);
	CU_ASSERT_TRUE(comes_to(&cast->primary.written_lsn, 5000));
	log_standby_start(&cast->standbys[0]);
	CU_ASSERT_TRUE(log_actor_join(&cast->standbys[0]));
	CU_ASSERT_EQUAL(cast->standbys[0].result, -EACCES);
	CU_ASSERT_EQUAL(log_file_check(cast->standbys[0].path), 0);
	log_actor_kill(&cast->primary);
	remove_logs();
}

int main(void)
{
	static const struct unit_test tests[] = {
	        UNIT_TEST(the_last_byte_is_there_when_both_have_ended),
	        UNIT_TEST(a_level_stream_is_shipped_from_the_engines_hands),
	        UNIT_TEST(a_standby_that_was_away_catches_up),
	        UNIT_TEST(with_too_few_standbys_nothing_is_acknowledged),
	        UNIT_TEST(commits_go_on_beside_a_stream_of_rows),
	        UNIT_TEST(another_database_is_refused_with_words),
	        UNIT_TEST(without_the_token_nobody_reads_the_log),
	        {NULL, NULL},
	};
	struct agent_fixture_options options = {0};
	int r, result = 0;

	cast = mmap(NULL, sizeof(*cast), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (cast == MAP_FAILED)
		return 1;
	for (hosts = 1; hosts <= 2 && result == 0; hosts++) {
		r = hosts == 1 ? agent_fixture_start(&agents[0], &options)
		               : agent_fixture_start_pair(agents, &options);
		result = r == 0 ? unit_run(hosts == 1 ? "wal on one host" : "wal between hosts",
		                           tests)
		                : 1;
		for (unsigned i = 0; i < hosts; i++)
			agent_fixture_end(&agents[i]);
	}
	munmap(cast, sizeof(*cast));
	return result;
}
