# SPDX-License-Identifier: Apache-2.0
"""Further processes of a segment for the slices of one statement: those that stay, and
those of the statement alone. What they say, how they fail, and that they leave nothing."""
import os
import random
import sys
import threading

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.dirname(HERE), os.path.join(os.path.dirname(HERE), "differential")]

from cluster import ClusterCase, main, psycopg2, wait_until  # noqa: E402

from leaks import assert_none, shared_memory  # noqa: E402

SEED = int(os.environ.get("SLUICE_SEED") or random.SystemRandom().randrange(10**6))
ROWS = 4000
JOIN = "select count(*) from t a join t b on a.g = b.id join t c on b.g = c.id"
JOINED = ROWS
# The rows of the first join are sent on by readers, for many seconds.
LONG = "select count(*) from t a join t b on a.g % 3 = b.g % 3 join t c on a.id + b.id = c.g"
WORKERS = "select pid from pg_stat_activity where backend_type = 'parallel worker'"


class Readers(ClusterCase):
    """Two segments; a table that is not distributed by what it is joined by."""

    @classmethod
    def prepare(cls):
        super().prepare()
        cls.random = random.Random(SEED)
        print(f"SLUICE_SEED={SEED}", flush=True)
        cls.cluster.execute(f"""
            create table t (id int, g int, note text) with (distributed_by = 'note');
            create table copy (id int, g int) with (distributed_by = 'g');
            insert into t select i, 1 + i * 7 % {ROWS}, 'n' || i from generate_series(1, {ROWS}) i;
            create function say(level text, i int) returns int language plpgsql immutable parallel safe as $$
                begin
                    if level = 'notice' then raise notice 'row %', i;
                    elsif level = 'warning' then raise warning 'row %', i using hint = 'a hint';
                    end if;
                    return i;
                end $$;
            analyze t""")

    def session(self, mode, **options):
        connection = self.cluster.connect(**options)
        self.addCleanup(connection.close)
        self.run_in(connection, f"set sluice.sticky_readers = {mode}; set sluice.enable_two_stage_agg = off;"
                                "set enable_mergejoin = off")
        return connection

    def run_in(self, connection, sql):
        with connection.cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetchall() if cursor.description else None

    def workers(self, content=0):
        return [pid for pid, in self.cluster.query(WORKERS, content=content)]

    def both(self):
        """A session of each kind, the one after the other."""
        for mode in ("on", "off"):
            with self.subTest(sticky_readers=mode):
                session = self.session(mode)
                yield mode, session
                session.close()
                for content in (0, 1):
                    wait_until(lambda content=content: not self.workers(content), "no worker is left")

    def test_statements_of_several_slices_give_their_rows(self):
        for mode, session in self.both():
            for _ in range(5):
                self.assertEqual(self.run_in(session, JOIN), [(JOINED,)])
            self.assertEqual(bool(self.workers()), mode == "on")

    def test_they_see_what_their_transaction_has_written(self):
        for mode, session in self.both():
            self.run_in(session, "begin isolation level repeatable read")
            self.run_in(session, "insert into copy select id, g from t")
            self.run_in(session, "savepoint s")
            self.run_in(session, "insert into copy select id + 100000, g from copy")
            count = "select count(*) from copy a join t b on a.id = b.g join t c on b.id = c.g"
            self.assertEqual(self.run_in(session, count), [(ROWS,)])
            self.assertEqual(self.run_in(session, "select count(*) from copy a join copy b on a.id = b.id"),
                             [(2 * ROWS,)])
            self.run_in(session, "rollback")
            self.assertEqual(self.run_in(session, "select count(*) from copy"), [(0,)])

    def test_a_dispatch_that_writes_has_those_that_stay(self):
        session = self.session("off")
        self.run_in(session, "insert into copy select a.id, b.g from t a join t b on a.g = b.id")
        self.assertTrue(self.workers())
        self.assertEqual(self.run_in(session, "select count(*) from copy"), [(ROWS,)])
        self.assertEqual(self.run_in(session, JOIN), [(JOINED,)])
        self.run_in(session, "truncate copy")
        session.close()

    def test_prepared_statements_and_cursors_use_them(self):
        for _, session in self.both():
            self.run_in(session, f"prepare p(int) as {JOIN} where a.id > $1")
            for _ in range(7):
                self.assertEqual(self.run_in(session, "execute p(0)"), [(JOINED,)])
            self.run_in(session, "begin")
            self.run_in(session, f"declare c cursor for {JOIN.replace('count(*)', 'a.id')}")
            self.assertEqual(len(self.run_in(session, "fetch 10 from c")), 10)
            self.assertEqual(self.run_in(session, JOIN), [(JOINED,)])
            self.assertEqual(len(self.run_in(session, "fetch all from c")), JOINED - 10)
            self.run_in(session, "commit")

    # ---- failures ----

    def test_an_error_of_one_is_the_statements(self):
        for _, session in self.both():
            for sql in (JOIN.replace("a.g = b.id", "a.g / (a.id - 5) + a.g = b.id"),
                        JOIN.replace("b.g = c.id", "b.g = c.id / (c.id - 7)")):
                with self.assertRaises(psycopg2.errors.DivisionByZero) as caught:
                    self.run_in(session, sql)
                self.assertIn("segment", str(caught.exception.diag.context))
                self.assertEqual(self.run_in(session, JOIN), [(JOINED,)])

    def test_too_few_worker_slots_are_a_clear_error(self):
        for _, session in self.both():
            self.run_in(session, "set max_parallel_workers = 0")
            with self.assertRaises(psycopg2.errors.InsufficientResources) as caught:
                self.run_in(session, JOIN)
            self.assertIn("max_parallel_workers", caught.exception.diag.message_hint)
            self.run_in(session, "reset max_parallel_workers")
            self.assertEqual(self.run_in(session, JOIN), [(JOINED,)])

    def test_cancelled_statements_end_and_the_session_goes_on(self):
        for _, session in self.both():
            for _ in range(10):
                timer = threading.Timer(self.random.random() * 0.2, session.cancel)
                timer.start()
                with self.assertRaises(psycopg2.errors.QueryCanceled):
                    self.run_in(session, LONG)
                timer.join()
                self.assertEqual(self.run_in(session, JOIN), [(JOINED,)])
            self.run_in(session, "set statement_timeout = '100ms'")
            with self.assertRaises(psycopg2.errors.QueryCanceled):
                self.run_in(session, LONG)

    def test_a_killed_one_fails_its_statement_and_nothing_else(self):
        for _, session in self.both():
            error = []

            def run(session=session, error=error):
                try:
                    self.run_in(session, LONG)
                except psycopg2.Error as caught:
                    error.append(caught)

            thread = threading.Thread(target=run, daemon=True)
            thread.start()
            pids = wait_until(lambda: [pid for pid, in self.cluster.query(
                WORKERS + " and state = 'active'", content=0)], "one works")
            self.cluster.kill(pids[0])
            thread.join(60)
            self.assertFalse(thread.is_alive())
            self.assertEqual(len(error), 1)
            self.assertEqual(self.run_in(session, JOIN), [(JOINED,)])

    def test_ones_that_are_ended_while_idle_are_replaced_without_an_error(self):
        session = self.session("on")
        for number in range(50):
            self.run_in(session, JOIN)
            for pid in self.workers(number % 2):
                self.cluster.kill(pid, 15)
            self.assertEqual(self.run_in(session, JOIN), [(JOINED,)], f"time {number}")
        session.close()

    # ---- what they say ----

    def said(self, mode, level, sql):
        """Messages with their context lines, as psql shows them."""
        return self.cluster.sluice(
            "psql", "-d", self.cluster.directory, "--", "-X", "-v", "SHOW_CONTEXT=always",
            "-c", f"set sluice.sticky_readers = {mode}", "-c", f"set client_min_messages = {level}",
            "-c", sql)

    def test_their_notices_and_warnings_reach_the_client_with_the_segments_name(self):
        for mode in ("on", "off"):
            for level in ("notice", "warning"):
                # The inner side is read, filtered and sent by a slice of its own.
                sql = ("select count(*) from t a join t b on a.g = b.id join t c on b.g = c.id"
                       f" where say('{level}', a.id) <= 10 and a.id <= 10 and say('{level}', c.id) > 0 and c.id < 50")
                text = self.said(mode, "notice", sql)
                self.assertIn(f"{level.upper()}:  row 10\n", text)
                self.assertIn(f"{level.upper()}:  row 49\n", text)
                self.assertRegex(text, r"slice [23]\n(parallel worker\n)?segment [01] \(")
                self.assertEqual("HINT:  a hint" in text, level == "warning")
                self.assertNotIn("row 10\n", self.said(mode, "error", sql))

    def test_many_notices_do_not_stand_in_the_way_of_rows(self):
        for mode, session in self.both():
            del session.notices[:]
            self.assertEqual(self.run_in(session, JOIN + " where say('notice', a.id) > 0 and"
                                         " say('notice', c.id) > 0"), [(JOINED,)])
            self.assertEqual(len(session.notices), 50)  # psycopg2 keeps the last of them

    def test_zz_nothing_is_left_behind(self):
        before = shared_memory(self.cluster)
        for _, session in self.both():
            for _ in range(3):
                self.run_in(session, JOIN)
        wait_until(lambda: shared_memory(self.cluster) == before, "no shared memory is left")
        assert_none(self, self.cluster)


if __name__ == "__main__":
    main()
