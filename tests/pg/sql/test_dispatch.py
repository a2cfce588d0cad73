# SPDX-License-Identifier: Apache-2.0
"""The coordinator and its segments as one session and one transaction: settings, errors,
cancel, savepoints, two-phase commit and what crashes leave of it; statements of one segment."""
import contextlib
import os
import random
import signal
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from cluster import ClusterCase, main, psycopg2, wait_until  # noqa: E402

SEGMENTS = (0, 1)
SEED = int(os.environ.get("SLUICE_SEED") or random.SystemRandom().randrange(10**6))
ENDINGS = int(os.environ.get("SLUICE_ENDINGS", "50"))


class DispatchCase(ClusterCase):
    def on_segments(self, connection, sql):
        with connection.cursor() as cursor:
            cursor.execute("select sluice.run_on_segments(%s)", (sql,))
            return cursor.fetchone()[0]

    def run_sql(self, connection, sql, *values):
        with connection.cursor() as cursor:
            cursor.execute(sql, values or None)
            return cursor.fetchall() if cursor.description else None

    def segment_count(self, table, content):
        return self.cluster.value(f"select count(*) from {table}", content=content)

    def prepared(self):
        return sum(self.cluster.value("select count(*) from pg_prepared_xacts", content=content)
                   for content in SEGMENTS)

    def wait_until_nothing_is_prepared(self):
        wait_until(lambda: self.prepared() == 0, "nothing is left prepared", 60)

    def wait_until_served(self):
        def served():
            try:
                return self.cluster.value("select sluice.run_on_segments('select 1')") == 2
            except psycopg2.Error:
                return False
        wait_until(served, "the cluster serves again", 60)


class Sessions(DispatchCase):
    @classmethod
    def prepare(cls):
        super().prepare()
        cls.cluster.execute("create table t (a int primary key, b text)"
                            " with (distributed_by = 'a')")
        cls.cluster.execute("insert into t select i, 'row ' || i from generate_series(1, 1000) i")

    def setting_on_segments(self, connection, name, value):
        """Fails unless every segment has the value."""
        self.on_segments(connection, f"""do 'begin if current_setting(''{name}'') <> ''{value}''
            then raise exception ''it is %%'', current_setting(''{name}''); end if; end'"""
                         .replace("%%", "%"))

    def test_settings_follow_the_session_and_end_with_their_transaction(self):
        connection = self.cluster.connect()
        self.on_segments(connection, "select 1")
        self.run_sql(connection, "set work_mem = '7MB'; set search_path = x, public")
        self.setting_on_segments(connection, "work_mem", "7MB")
        self.setting_on_segments(connection, "search_path", "x, public")
        self.run_sql(connection, "begin")
        self.run_sql(connection, "set local work_mem = '8MB'")
        self.setting_on_segments(connection, "work_mem", "8MB")
        self.run_sql(connection, "savepoint s")
        self.run_sql(connection, "set local work_mem = '9MB'")
        self.setting_on_segments(connection, "work_mem", "9MB")
        self.run_sql(connection, "rollback to s")
        self.setting_on_segments(connection, "work_mem", "8MB")
        self.run_sql(connection, "commit")
        self.setting_on_segments(connection, "work_mem", "7MB")
        self.run_sql(connection, "reset work_mem")
        self.setting_on_segments(connection, "work_mem",
                                 self.run_sql(connection, "show work_mem")[0][0])
        self.run_sql(connection, "set my.own = 'value'")
        self.setting_on_segments(connection, "my.own", "value")
        connection.close()

    def test_a_setting_given_before_its_library_was_loaded_is_sent(self):
        connection = self.cluster.connect()
        self.run_sql(connection, "set plpgsql.extra_errors = 'too_many_rows'")
        self.assertEqual(self.on_segments(connection, "select 1"), 2)
        self.run_sql(connection, "do 'begin end'")  # puts a variable in the place of the name
        self.setting_on_segments(connection, "plpgsql.extra_errors", "too_many_rows")
        self.run_sql(connection, "set plpgsql.extra_errors = 'none'")
        self.setting_on_segments(connection, "plpgsql.extra_errors", "none")
        connection.close()

    def test_the_user_of_a_segment_is_the_current_user_of_the_coordinator(self):
        self.cluster.execute("create role reader")
        connection = self.cluster.connect()
        self.run_sql(connection, "grant execute on function sluice.run_on_segments(text) to reader")
        check = ("do 'begin if current_user <> ''%s'' then raise exception ''it is %%'', "
                 "current_user; end if; end'")
        self.run_sql(connection, "set role reader")
        self.on_segments(connection, check.replace("%s", "reader").replace("%%", "%"))
        self.run_sql(connection, "reset role")
        self.on_segments(connection, check.replace("%s", "postgres").replace("%%", "%"))
        self.run_sql(connection, "set session authorization reader")
        with self.assertRaises(psycopg2.errors.InsufficientPrivilege):
            self.on_segments(connection, "select * from t")
        self.run_sql(connection, "reset session authorization")
        self.on_segments(connection, "select * from t")
        connection.close()

    def test_functions_between_coordinator_and_segment_are_closed_to_users(self):
        connection = self.cluster.connect()
        with self.assertRaises(psycopg2.errors.InsufficientPrivilege):
            self.on_segments(connection,
                             "select sluice.qe_settings('', 'postgres', 'postgres', 0, '{}')")
        with self.assertRaises(psycopg2.errors.InsufficientPrivilege):
            self.run_sql(connection,
                         "select sluice.qe_settings('', 'postgres', 'postgres', 0, '{}')")
        connection.close()

    def test_an_error_of_a_segment_arrives_with_all_its_fields(self):
        connection = self.cluster.connect()
        with self.assertRaises(psycopg2.errors.UniqueViolation) as caught:
            self.run_sql(connection, "insert into t values (1, 'again')")
        diagnostics = caught.exception.diag
        self.assertEqual(diagnostics.constraint_name, "t_pkey")
        self.assertEqual(diagnostics.table_name, "t")
        self.assertEqual(diagnostics.message_detail, "Key (a)=(1) already exists.")
        self.assertIn("segment ", diagnostics.context)
        connection.close()

    def test_a_warning_of_all_segments_is_shown_once(self):
        connection = self.cluster.connect()
        self.on_segments(connection, "do 'begin raise warning ''mind''; raise notice ''n''; end'")
        self.assertEqual([notice for notice in connection.notices if "mind" in notice],
                         connection.notices)
        self.assertEqual(len(connection.notices), 1)
        connection.close()

    def test_a_timeout_ends_what_runs_on_the_segments(self):
        connection = self.cluster.connect()
        self.run_sql(connection, "set statement_timeout = 300")
        with self.assertRaises(psycopg2.errors.QueryCanceled):
            self.on_segments(connection, "select pg_sleep(600)")
        for content in SEGMENTS:
            wait_until(lambda: self.cluster.value(
                "select count(*) from pg_stat_activity where query ~ 'pg_sleep' and"
                " state = 'active' and pid <> pg_backend_pid()", content=content) == 0,
                "the sleepers are gone")
        self.assertEqual(self.on_segments(connection, "select 1"), 2)
        connection.close()

    def test_a_cancelled_client_leaves_nothing_running(self):
        connection = self.cluster.connect()
        timer = threading.Timer(0.3, connection.cancel)
        timer.start()
        with self.assertRaises(psycopg2.errors.QueryCanceled):
            self.on_segments(connection, "select pg_sleep(600)")
        self.assertEqual(self.on_segments(connection, "select 1"), 2)
        connection.close()

    def test_segments_that_lost_their_coordinator_stop(self):
        connection = self.cluster.connect()
        pid = connection.info.backend_pid
        failed = []

        def sleep():
            try:
                self.on_segments(connection, "select pg_sleep(601)")
            except psycopg2.Error as error:
                failed.append(error)
        thread = threading.Thread(target=sleep)
        thread.start()
        sleepers = ("select count(*) from pg_stat_activity where query ~ 'pg_sleep.601' and"
                    " state = 'active' and pid <> pg_backend_pid()")
        wait_until(lambda: self.cluster.value(sleepers, content=1) == 1, "it sleeps")
        self.cluster.kill(pid, signal.SIGTERM)
        thread.join()
        wait_until(lambda: self.cluster.value(sleepers, content=1) == 0, "the sleeper is gone")
        self.assertEqual(len(failed), 1)

    def test_an_idle_session_does_not_notice_that_its_segment_processes_ended(self):
        connection = self.cluster.connect()
        for ending in ("pg_terminate_backend(pid, 5000)", "true"):
            self.run_sql(connection, "select count(*) from t")
            ended = self.cluster.query(f"select pid, {ending} from pg_stat_activity where"
                                       " application_name = 'sluice'", content=0)
            if ending == "true":
                self.cluster.kill(ended[0][0])  # the segment recovers from that
                wait_until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid, _ in ended),
                           "it and those it takes with it are gone")
            self.assertEqual(self.run_sql(connection, "select count(*) from t where a <= 1000"),
                             [(1000,)])
        connection.close()

    def test_a_session_that_was_stopped_for_a_while_notices_that_segment_processes_ended(self):
        connection = self.cluster.connect()
        self.run_sql(connection, "set statement_timeout = '20s'")
        self.run_sql(connection, "select count(*) from t")
        self.cluster.query("select pg_terminate_backend(pid, 5000) from pg_stat_activity where"
                           " application_name = 'sluice'", content=0)
        for number in (signal.SIGSTOP, signal.SIGCONT):
            os.kill(connection.info.backend_pid, number)
        self.assertEqual(self.run_sql(connection, "select count(*) from t where a <= 1000"),
                         [(1000,)])
        connection.close()

    def test_segment_processes_ended_at_any_moment_between_statements_are_replaced(self):
        self.cluster.execute("create table beside (a int, b int) with (distributed_by = 'b');"
                             "insert into beside select i, i * 7 from generate_series(1, 500) i")
        join = "select count(*) from t join beside on t.a = beside.a"
        statements = ("select count(*) from t where a = 7", join, "explain analyze " + join,
                      "insert into beside values (0, 1), (0, 2)", "select b from beside limit 1",
                      "copy (select * from beside) to '/dev/null'", "copy beside from program 'echo 0,1' (format csv)",
                      "insert into beside select a, 0 from t where a < 0 and a > 100",
                      "begin; declare c cursor for select a from t; fetch 3 from c; commit",
                      "create table made (a int); drop table made")
        connection, ender = self.cluster.connect(), {
            content: self.cluster.connect(content=content) for content in SEGMENTS}
        chance = random.Random(SEED)
        for number in range(ENDINGS):
            self.run_sql(connection, statements[number % len(statements)])
            pids = [(content, pid) for content in SEGMENTS for pid, in self.run_sql(
                ender[content], "select pid from pg_stat_activity where application_name = 'sluice'")]
            for content, pid in pids:
                if chance.random() < 0.7:
                    with contextlib.suppress(ProcessLookupError):  # a reader of one that has gone
                        os.kill(pid, signal.SIGTERM)
            time.sleep(chance.choice((0, 0, 0.0002, 0.001, 0.005)))  # the point in time is random
            try:
                self.run_sql(connection, chance.choice(statements))
            except psycopg2.Error as error:
                self.fail(f"SLUICE_SEED={SEED}, ending {number}: {error}")
        for other in (connection, *ender.values()):
            other.close()
        self.cluster.execute("drop table beside")

    def test_loops_over_rows_run_statements_on_the_same_segments(self):
        connection = self.cluster.connect()
        self.run_sql(connection, "create table many (a int, b text) with (distributed_by = 'a')")
        self.run_sql(connection, "insert into many select i, repeat('x', 200) from"
                                 " generate_series(1, 50000) i")
        self.run_sql(connection, """do $$ declare r record; caught int := 0; begin
            for r in select a from many loop
                if r.a <= 200 then perform b from t where a = r.a; end if;
                begin perform 1 / (r.a % 2); exception when division_by_zero then
                    caught := caught + 1; end;
            end loop;
            if caught <> 25000 then raise exception 'caught %', caught; end if; end $$""")
        self.run_sql(connection, "begin")
        self.run_sql(connection, "declare c cursor for select a from many")
        self.run_sql(connection, "fetch 1 from c")
        self.assertEqual(self.run_sql(connection, "select b from t where a = 3"), [("row 3",)])
        self.run_sql(connection, "copy many from program 'seq 50001 50010 | sed s/$/,x/'"
                                 " (format csv)")
        self.assertEqual(len(self.run_sql(connection, "fetch all from c")), 49999)
        self.run_sql(connection, "commit")
        self.run_sql(connection, "drop table many")
        connection.close()

    def test_a_lost_segment_process_fails_the_whole_transaction(self):
        connection = self.cluster.connect()
        self.run_sql(connection, "begin")
        self.run_sql(connection, "insert into t select i, 'x' from generate_series(5001, 5100) i")
        self.cluster.execute("select pg_terminate_backend(pid) from pg_stat_activity where"
                             " application_name = 'sluice' and state = 'idle in transaction'",
                             content=1)
        with self.assertRaises(psycopg2.Error):
            self.run_sql(connection, "insert into t select i, 'x' from generate_series(6001, 6100) i")
            self.run_sql(connection, "commit")
        self.run_sql(connection, "rollback")
        self.assertEqual(self.run_sql(connection, "select count(*) from t where a > 5000"), [(0,)])
        connection.close()

    def test_savepoints_undo_on_the_segments_what_they_undo_here(self):
        connection = self.cluster.connect()
        for statement in ("begin", "insert into t select i, 'x' from generate_series(7001, 7010) i",
                          "savepoint a",
                          "insert into t select i, 'x' from generate_series(7011, 7020) i",
                          "savepoint b",
                          "insert into t select i, 'x' from generate_series(7021, 7030) i",
                          "release b", "rollback to a",
                          "insert into t select i, 'x' from generate_series(7031, 7040) i"):
            self.run_sql(connection, statement)
        with self.assertRaises(psycopg2.errors.UniqueViolation):
            self.run_sql(connection, "insert into t values (1, 'again')")
        self.run_sql(connection, "rollback to a")
        self.run_sql(connection, "commit")
        self.assertEqual(self.run_sql(connection, "select count(*), max(a) from t where a > 7000"),
                         [(10, 7010)])
        self.run_sql(connection, """do $$ begin
            begin
                insert into t values (8001, 'x'); insert into t values (1, 'again');
            exception when unique_violation then insert into t values (8002, 'x');
            end; end $$""")
        self.assertEqual(self.run_sql(connection, "select a from t where a > 8000"), [(8002,)])
        connection.close()

    def test_transactions_of_users_cannot_be_prepared(self):
        connection = self.cluster.connect()
        self.run_sql(connection, "begin")
        self.run_sql(connection, "insert into t values (9001, 'x')")
        with self.assertRaises(psycopg2.errors.FeatureNotSupported):
            self.run_sql(connection, "prepare transaction 'mine'")
        self.run_sql(connection, "rollback")
        self.assertEqual(self.prepared(), 0)
        connection.close()

    def test_a_segment_that_is_away_is_named(self):
        self.cluster.kill(self.cluster.postmaster(1))
        connection = self.cluster.connect()
        with self.assertRaises(psycopg2.Error) as caught:
            self.run_sql(connection, "select count(*) from t")
        self.assertIn("segment 1", str(caught.exception))
        connection.close()
        self.cluster.start()
        self.assertEqual(self.cluster.value("select count(*) from t where a <= 1000"), 1000)


class Commits(DispatchCase):
    """kill -9 at each step of a commit: all rows or none, and nothing stays prepared."""

    ROWS = 100

    @classmethod
    def prepare(cls):
        super().prepare()
        cls.cluster.execute("create table t (a int primary key, step text)"
                            " with (distributed_by = 'a')")
        cls.cluster.execute("insert into t select i, 'before' from generate_series(1, 10) i")

    def commit_with_fault(self, fault, begin="begin"):
        """Whether the client was told that it is committed."""
        connection = self.cluster.connect()
        try:
            self.run_sql(connection, begin)
            self.run_sql(connection, "set local sluice.fault_point = %s", fault)
            self.run_sql(connection, "insert into t select i, %s from generate_series(%s, %s) i",
                         fault, self.first, self.first + self.ROWS - 1)
            self.run_sql(connection, "commit")
            return True
        except psycopg2.Error:
            return False
        finally:
            connection.close()

    def check_fault(self, fault, expected):
        """expected: rows that must be there in the end; None: all or none."""
        self.first = self.cluster.value("select max(a) + 1 from t")
        told = self.commit_with_fault(fault)
        self.cluster.start()  # what was killed with its postmaster
        self.wait_until_served()
        self.wait_until_nothing_is_prepared()
        there = self.cluster.value("select count(*) from t where a >= %s", self.first)
        self.assertIn(there, (0, self.ROWS), fault)
        if told:
            self.assertEqual(there, self.ROWS, fault)
        if expected is not None:
            self.assertEqual(there, expected, fault)

    def test_an_error_before_any_segment_has_prepared_undoes_all(self):
        self.check_fault("before_prepare", 0)

    def test_an_error_after_all_segments_have_prepared_undoes_all(self):
        self.check_fault("after_prepare", 0)

    def test_an_error_of_one_segment_in_its_prepare_undoes_all(self):
        self.check_fault("qe_before_prepare@1", 0)

    def test_a_segment_process_killed_before_it_prepares_undoes_all(self):
        self.check_fault("qe_before_prepare@0:kill", 0)

    def test_a_segment_process_killed_after_it_has_prepared_undoes_all(self):
        self.check_fault("qe_after_prepare@0:kill", 0)

    def test_a_segment_killed_after_it_has_prepared_undoes_all(self):
        self.check_fault("qe_after_prepare@1:postmaster", 0)

    def test_the_coordinator_process_killed_after_the_prepares_undoes_all(self):
        self.check_fault("after_prepare:kill", 0)

    def test_the_coordinator_killed_after_the_prepares_undoes_all(self):
        self.check_fault("after_prepare:postmaster", 0)

    def test_the_coordinator_process_killed_after_its_commit_commits_all(self):
        self.check_fault("after_commit:kill", self.ROWS)

    def test_the_coordinator_killed_after_its_commit_commits_all(self):
        self.check_fault("after_commit:postmaster", self.ROWS)

    def test_decisions_are_forgotten_when_nobody_can_ask_for_them(self):
        self.check_fault("after_commit:kill", self.ROWS)
        old = self.cluster.query("select gid from sluice.dtx_decision", utility=True)
        self.check_fault("qe_after_prepare@0:kill", 0)  # wakes the recovery
        wait_until(lambda: not set(old) & set(self.cluster.query(
            "select gid from sluice.dtx_decision", utility=True)), "old decisions are gone", 60)

    def test_a_commit_whose_answer_is_lost_is_said_to_be_open(self):
        row = self.cluster.value("select max(a) + 1 from t")
        connection = self.cluster.connect()
        self.run_sql(connection, "begin")
        self.run_sql(connection, "set local sluice.fault_point = 'qe_after_commit:kill'")
        self.run_sql(connection, "insert into t values (%s, 'alone')", row)
        with self.assertRaises(psycopg2.errors.TransactionResolutionUnknown):
            self.run_sql(connection, "commit")
        connection.close()
        self.wait_until_served()
        self.assertEqual(self.cluster.value("select count(*) from t where a = %s", row), 1)

    def test_recovery_works_where_transactions_are_read_only_and_repeatable_read_by_default(self):
        by_default = {"default_transaction_read_only": "on",
                      "default_transaction_isolation": "repeatable read"}
        first = self.cluster.value("select max(a) + 1 from t")

        def decisions():
            try:
                return self.cluster.query("select gid from sluice.dtx_decision", utility=True)
            except psycopg2.Error:
                return None  # the coordinator recovers from the kill
        for name, value in by_default.items():
            self.cluster.sluice("config", "-d", self.cluster.directory, f"{name}={value}")
        try:
            self.first = first
            self.commit_with_fault("after_commit:kill", "begin read write, isolation level read committed")
            wait_until(lambda: decisions() == [], "decisions are carried out and forgotten", 60)
        finally:
            for name in by_default:
                self.cluster.sluice("config", "-d", self.cluster.directory, "--reset", name)
        self.assertEqual(self.cluster.value("select count(*) from t where a >= %s", first), self.ROWS)
        self.assertEqual(self.prepared(), 0)

    def test_one_segment_that_wrote_alone_needs_no_two_phases(self):
        connection = self.cluster.connect()
        self.run_sql(connection, "set sluice.fault_point = 'before_prepare'")
        self.run_sql(connection, "insert into t values (1000001, 'alone')")
        with self.assertRaises(psycopg2.errors.InternalError_):
            self.run_sql(connection, "insert into t select i, 'many' from"
                                     " generate_series(1000002, 1000050) i")
        connection.close()
        self.assertEqual(self.cluster.value("select count(*) from t where a > 1000000"), 1)
        self.cluster.execute("set sluice.fault_point = ''; select 1")


if __name__ == "__main__":
    main()
