# SPDX-License-Identifier: Apache-2.0
"""Processes that are killed, statements that are cancelled, while rows move: a clear
error for that statement, nothing half loaded, and the next statement is served."""
import os
import threading
import time
import unittest

from faultcase import JOIN, ROWS, FaultCase, Statement

from cluster import main, psycopg2, wait_until
from leaks import assert_none

CANCELS = int(os.environ.get("SLUICE_CANCELS", "500"))
KILLS = int(os.environ.get("SLUICE_KILLS", "12"))

# Each runs for many seconds if nothing ends it.
LONG = {
    "scan": "select count(*) from big a, big b where a.id + b.id < 0",
    "redistribute": "select count(*) from big a join big b on a.grp = b.grp join big c on b.grp = c.grp",
    "load": "insert into sink select a.id, b.grp from big a join big b on a.grp = b.grp",
    "gather": "select a.id, b.id from big a join big b on a.grp = b.grp",
}
# Takes about as long as the wait for a cancel, so that some cancels meet its commit.
SHORT_LOAD = "insert into sink select id, grp from big where id <= 1000"

# A QE that is killed before it has got its slices is replaced, and nobody notices.
RUNS_SLICES = "state = 'active' and query like '%execute_slices%'"


class Canceller(threading.Thread):
    """Cancels what a session runs after a while, and again: the first may come before it starts."""

    def __init__(self, session, delay_s):
        super().__init__(daemon=True)
        self.session, self.delay_s, self.ended = session, delay_s, threading.Event()
        self.start()

    def run(self):
        while not self.ended.wait(self.delay_s):
            self.session.cancel()
            self.delay_s = 0.2

    def end(self):
        self.ended.set()
        self.join()


class Faults(FaultCase):
    """Processes of every kind are killed, statements cancelled at random points."""

    def backends(self, content, condition="state = 'active'"):
        """Process ids of QEs and readers that work on a segment."""
        return [pid for pid, in self.cluster.query(
            f"select pid from pg_stat_activity where pid <> pg_backend_pid() and backend_type in "
            f"('client backend', 'parallel worker') and {condition}", content=content)]

    def wait_active(self, content=0, condition=RUNS_SLICES):
        return wait_until(lambda: self.backends(content, condition), "a QE works")

    def assert_failed(self, statement, *words):
        self.assertIsNotNone(statement.error, "it should have failed")
        text = str(statement.error)
        self.assertTrue(any(word in text for word in words), text)

    # ---- killed processes ----

    def kill_qe_during(self, kind):
        statement = Statement(self.cluster, LONG[kind])
        self.cluster.kill(self.wait_active()[0])
        statement.end()
        self.assert_failed(statement, "segment 0", "terminated", "connection", "crash")

    def test_a_killed_qe_fails_its_scan(self):
        self.kill_qe_during("scan")

    def test_a_killed_qe_fails_its_redistribution(self):
        self.kill_qe_during("redistribute")

    def test_a_killed_qe_fails_its_gather(self):
        self.kill_qe_during("gather")

    def test_a_killed_qe_fails_its_load_and_no_row_is_there(self):
        self.kill_qe_during("load")
        self.assertEqual(self.cluster.value("select count(*) from sink"), 0)

    def test_a_killed_reader_fails_its_query(self):
        statement = Statement(self.cluster, LONG["redistribute"])
        readers = self.wait_active(1, "backend_type = 'parallel worker' and state = 'active'")
        self.cluster.kill(readers[0])
        statement.end()
        self.assertIsNotNone(statement.error)

    def test_a_killed_postmaster_is_a_clear_error_until_it_is_started_again(self):
        statement = Statement(self.cluster, LONG["redistribute"])
        self.wait_active(1)
        self.cluster.kill(self.cluster.postmaster(1))
        self.cluster.kill(self.wait_active(0)[0], 15)  # its own QEs may live on a while
        statement.end()
        self.assertIsNotNone(statement.error)
        with self.assertRaises(psycopg2.Error) as raised:
            self.cluster.query("select count(*) from big")
        self.assertIn("segment 1", str(raised.exception))
        self.cluster.start()

    def test_a_killed_agent_fails_what_runs_and_serves_again_when_started(self):
        session = self.cluster.connect()
        statement = Statement(self.cluster, LONG["redistribute"])
        self.wait_active()
        self.cluster.kill(self.cluster.agent())
        statement.end()
        self.assertIsNotNone(statement.error)
        self.cluster.start()
        with session.cursor() as cursor:  # a session from before attaches anew
            cursor.execute(JOIN)
            self.assertEqual(cursor.fetchone()[0], ROWS - ROWS // 40)
        session.close()

    def test_a_killed_qd_leaves_nothing_running_on_the_segments(self):
        statement = Statement(self.cluster, LONG["redistribute"])
        self.wait_active()
        self.cluster.kill(statement.connection.info.backend_pid)
        statement.end()
        self.assertIsNotNone(statement.error)
        for content in (0, 1):
            wait_until(lambda content=content: not self.backends(content, "true"),
                       "its QEs are gone", 60)
        wait_until(self.coordinator_is_up, "the coordinator has recovered", 60)

    def coordinator_is_up(self):
        try:
            return self.cluster.value("select 1") == 1
        except psycopg2.Error:
            return False

    def test_loads_interrupted_anywhere_are_there_whole_or_not_at_all(self):
        load = f"insert into sink select id, grp from big where id <= {ROWS // 2}"
        for number in range(KILLS):
            self.cluster.execute("truncate sink")
            statement = Statement(self.cluster, load)
            time.sleep(self.random.random() * 0.08)
            content = self.random.randrange(2)
            for pid in self.backends(content, "backend_type = 'client backend'")[:1]:
                self.cluster.kill(pid)
            statement.end()
            wait_until(self.no_prepared_transactions, "no prepared transaction stays", 60)
            count = self.cluster.value("select count(*) from sink")
            wanted = (0, ROWS // 2) if statement.error else (ROWS // 2,)
            self.assertIn(count, wanted, f"kill {number}, {statement.error}")
        self.cluster.execute("truncate sink")

    def no_prepared_transactions(self):
        try:
            return not any(self.cluster.value("select count(*) from pg_prepared_xacts", content=content)
                           for content in (0, 1))
        except psycopg2.Error:
            return False  # a segment that recovers

    # ---- cancelled statements ----

    def test_cancels_at_random_points_end_the_statement_and_nothing_else(self):
        session = self.cluster.connect()
        done = cancelled = loaded = 0
        for _ in range(CANCELS):
            sql = self.random.choice([*LONG.values(), SHORT_LOAD, "select count(*) from big"])
            canceller = Canceller(session, self.random.random() * 0.03)
            try:
                with session.cursor() as cursor:
                    cursor.execute(sql)
                    done += 1
                    loaded += cursor.rowcount if sql.startswith("insert") else 0
            except psycopg2.errors.QueryCanceled:
                cancelled += 1
            canceller.end()
            self.quieten(session)
        print(f"{CANCELS} cancels: {cancelled} statements cancelled, {done} had ended, "
              f"{loaded} rows loaded by those", flush=True)
        with session.cursor() as cursor:
            cursor.execute("select count(*) from sink")
            self.assertEqual(cursor.fetchone()[0], loaded)
            cursor.execute("truncate sink")
        self.assertTrue(self.no_prepared_transactions())
        session.close()

    def quieten(self, session):
        """A cancel that came late hits the next statement: let it be this one."""
        try:
            with session.cursor() as cursor:
                cursor.execute("select 1")
        except psycopg2.errors.QueryCanceled:
            pass

    def test_statement_timeout_ends_the_segments_work_too(self):
        session = self.cluster.connect()
        with session.cursor() as cursor:
            cursor.execute("set statement_timeout = '300ms'")
            with self.assertRaises(psycopg2.errors.QueryCanceled):
                cursor.execute(LONG["redistribute"])
        for content in (0, 1):
            wait_until(lambda content=content: not self.backends(content), "the QEs are idle")
        session.close()

    def test_limit_over_a_big_redistribution_stops_its_senders(self):
        rows = self.cluster.query("select a.id from big a join big b on a.grp = b.grp limit 5")
        self.assertEqual(len(rows), 5)
        for content in (0, 1):
            wait_until(lambda content=content: not self.backends(content), "the QEs are idle")

    def test_a_client_that_goes_away_leaves_nothing_running(self):
        statement = Statement(self.cluster, LONG["gather"])
        self.wait_active()
        os.close(os.dup(statement.connection.fileno()))
        self.cluster.value(f"select pg_terminate_backend({statement.connection.info.backend_pid})")
        statement.end()
        for content in (0, 1):
            wait_until(lambda content=content: not self.backends(content, "true"), "its QEs are gone")

    def test_zz_nothing_is_left_behind(self):
        assert_none(self, self.cluster)


if __name__ == "__main__":
    unittest.installHandler()
    main()
