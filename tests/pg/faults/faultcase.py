# SPDX-License-Identifier: Apache-2.0
"""What tests of faults share: a cluster with one larger table, and statements that run
while something is done to it."""
import os
import random
import sys
import threading

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.dirname(HERE), os.path.join(os.path.dirname(HERE), "differential")]

from cluster import ClusterCase, psycopg2  # noqa: E402

SEED = int(os.environ.get("SLUICE_SEED") or random.SystemRandom().randrange(10**6))
ROWS = 20000
JOIN = "select count(*) from big a join big b on a.id = b.grp"


class Statement(threading.Thread):
    """A statement in a session, of its own if none is given; its error, or None."""

    def __init__(self, cluster, sql, connection=None):
        super().__init__(daemon=True)
        self.connection = connection or cluster.connect()
        self.sql, self.error, self.rows = sql, None, None
        self.start()

    def run(self):
        try:
            with self.connection.cursor() as cursor:
                cursor.execute(self.sql)
                self.rows = cursor.fetchall() if cursor.description else None
        except psycopg2.Error as error:
            self.error = error

    def end(self, deadline_s=60):
        """Wait for its end; closes the session."""
        self.join(deadline_s)
        if self.is_alive():
            self.connection.cancel()
            raise AssertionError(f"still running after {deadline_s} s: {self.sql}")
        self.connection.close()
        return self


class FaultCase(ClusterCase):
    """A cluster of two segments with one larger table; every test leaves it whole."""

    note_bytes = 100

    @classmethod
    def prepare(cls):
        super().prepare()
        cls.random = random.Random(SEED)
        print(f"SLUICE_SEED={SEED}", flush=True)
        cls.cluster.execute("create table big (id int, grp int, note text) with (distributed_by = 'id')")
        cls.cluster.execute("create table sink (id int, grp int) with (distributed_by = 'grp')")
        cls.cluster.execute(f"insert into big select i, i % 40, repeat('x', {cls.note_bytes}) "
                            f"from generate_series(1, {ROWS}) i")
        cls.cluster.execute("analyze big")

    def tearDown(self):
        self.assert_serves()

    def assert_serves(self):
        """A new session's first statements, at once."""
        self.assertEqual(self.cluster.value("select count(*) from big"), ROWS)
        self.assertEqual(self.cluster.value(JOIN), ROWS - ROWS // 40)
