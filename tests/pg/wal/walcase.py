# SPDX-License-Identifier: Apache-2.0
"""What the tests of streaming replication share: primaries and standbys whose WAL goes
over Sluice, on one host ("local") or between two agents ("tcp") - or over PostgreSQL's
own connection ("stock"), which shows that a test asks of Sluice no more than of stock.

Programs take --over stock|local|tcp; what only Sluice has is skipped over stock.
"""
import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from agents import CLUSTER_ID  # noqa: E402,F401
import servers  # noqa: E402 (found by the line above)
from servers import (Case, Server, Skip, lsn_number, psycopg2,  # noqa: E402,F401
                     start_agents, wait_until)

TRANSPORTS = ("stock", "local", "tcp")
TABLES = """
    select quote_ident(n.nspname) || '.' || quote_ident(c.relname)
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where c.relkind = 'r' and c.relpersistence = 'p'
      and n.nspname not in ('pg_catalog', 'information_schema')
    order by 1"""


def over_sluice(test):
    """A test of what stock PostgreSQL does not have."""
    def run(self):
        if self.over == "stock":
            self.skipTest("not without Sluice")
        test(self)
    run.__name__, run.__doc__ = test.__name__, test.__doc__
    return run


class WalCase(Case):
    over = "stock"
    agent_settings = {}

    @classmethod
    def prepare(cls):
        cls.agents = []
        if cls.over != "stock":
            cls.agents = start_agents(cls.workspace, cls.tree.build, settings=cls.agent_settings,
                                      count=1 if cls.over == "local" else 2)
        cls.prepare_servers()

    @classmethod
    def prepare_servers(cls):
        """For servers that all tests of a class use."""

    # ---- servers whose WAL goes over Sluice ------------------------------------------

    @classmethod
    def sluice_settings(cls, node=0, mode="require"):
        """What a server on that node is given to stream over Sluice; mode: require, so
        that no test passes because the stream fell back."""
        if cls.over == "stock":
            return {}
        agent = cls.agents[node % len(cls.agents)]
        return {
            "shared_preload_libraries": "sluice_walstream",
            "dynamic_library_path": "$libdir/sluice:$libdir",
            "sluice.walstream": mode,
            "sluice.walstream_socket": agent.socket,
            "sluice.walstream_cluster_id": CLUSTER_ID,
        }

    @classmethod
    def make_primary(cls, name="primary", **settings):
        """Running, with a table t (a int primary key, b text)."""
        settings = {"wal_keep_size": "1GB", **cls.sluice_settings(0), **settings}
        primary = Server(cls.tree, name).init(**settings).start()
        primary.execute("create table t (a int primary key, b text)")
        if cls.over != "stock":
            primary.execute("create extension sluice_walstream")
        return primary

    @classmethod
    def make_standby(cls, primary, name="standby", node=1, start=True, **options):
        """Running, streaming from primary."""
        settings = {**cls.sluice_settings(node), "wal_retrieve_retry_interval": "20ms", **options}
        standby = primary.standby(name, **settings)
        if start:
            standby.start()
            cls.wait_streaming(primary, name)
        return standby

    # ---- what must be so -------------------------------------------------------------

    @staticmethod
    def wait_streaming(primary, name="standby", deadline_s=60):
        """Until the standby of that name streams; its row of pg_stat_replication."""
        return wait_until(lambda: stat_replication(primary, name, "streaming"),
                          f"{name} streams from {primary.name}", deadline_s, pause_s=0.05)

    @staticmethod
    def wait_replayed(primary, *standbys, deadline_s=120):
        """Until the standbys have replayed all that the primary has now."""
        end = lsn_number(flushed(primary))
        for standby in standbys:
            wait_until(lambda standby=standby: lsn_number(
                standby.value("select coalesce(pg_last_wal_replay_lsn(), '0/0')")) >= end,
                       f"{standby.name} has replayed what {primary.name} wrote", deadline_s)

    def assert_same_data(self, primary, *standbys):
        """Wait for replay, then compare the rows of all tables, by checksum."""
        self.wait_replayed(primary, *standbys)
        expected = checksums(primary)
        self.assertTrue(expected)
        for standby in standbys:
            self.assertEqual(checksums(standby), expected, standby.name)

    def assert_wal_clean(self, *stopped):
        """pg_waldump reads all WAL of stopped servers, page checksums are right."""
        for server in stopped:
            self.tree.run("pg_checksums", "--check", "--pgdata", server.data)
            wal = os.path.join(server.data, "pg_wal")
            timeline = int(server.control_data()["Latest checkpoint's TimeLineID"])
            names = sorted(name for name in os.listdir(wal)
                           if len(name) == 24 and int(name[:8], 16) == timeline)
            start = server.control_data()["Latest checkpoint's REDO location"]
            done = self.tree.run("pg_waldump", "--quiet", "--path", wal, "--timeline", timeline,
                                 "--start", start, check=False)
            # The log ends somewhere: that is the one error it may find.
            self.assertRegex(done.stderr, r"\A(pg_waldump: (error|fatal): (error in WAL record at|"
                             r"could not find a valid record|could not find file)[^\n]*\s*)?\Z",
                             f"{server.name}: {names}")

    def assert_over_sluice(self, primary, name="standby", same_node=False):
        """The stream of that standby does not go over the TCP connection."""
        if self.over == "stock":
            return
        driver = primary.value("select driver from sluice.stat_walstream join pg_stat_replication"
                               " using (pid) where application_name = %s", name)
        self.assertEqual(driver, "shm" if self.over == "local" or same_node else "network")


def flushed(server):
    """Where the log of all finished transactions ends, on a standby what it has replayed."""
    if server.value("select pg_is_in_recovery()"):
        return server.value("select pg_last_wal_replay_lsn()")
    # A commit flushes the log before it, asynchronous commits included.
    server.execute("begin; set local synchronous_commit = local;"
                   " select pg_logical_emit_message(true, 'test', ''); commit")
    return server.value("select pg_current_wal_flush_lsn()")


def stat_replication(primary, name, state=None):
    """The row of pg_stat_replication as a dictionary, or None."""
    connection = primary.connect()
    try:
        with connection.cursor() as cursor:
            cursor.execute("select * from pg_stat_replication where application_name = %s"
                           " and (%s is null or state = %s)", (name, state, state))
            row = cursor.fetchone()
            return dict(zip((column.name for column in cursor.description), row)) if row else None
    finally:
        connection.close()


def checksums(server, dbname="postgres"):
    """{table: (rows, checksum of them in any order)}"""
    found = {}
    for (table,) in server.query(TABLES, dbname=dbname):
        found[table] = server.query(
            f"select count(*), sum(('x' || left(md5(r::text), 15))::bit(60)::bigint) from {table} r",
            dbname=dbname)[0]
    return found


def insert(server, count, width=100, start=None):
    """Rows into t, in one transaction."""
    first = start if start is not None else server.value("select coalesce(max(a), 0) + 1 from t")
    server.execute("insert into t select g, repeat(md5(g::text), %s) from generate_series(%s, %s) g",
                   max(1, width // 32), first, first + count - 1)


def main():
    """As servers.main(), after taking --over from the command line."""
    arguments = sys.argv[1:]
    if "--over" in arguments:
        at = arguments.index("--over")
        WalCase.over = arguments[at + 1]
        del arguments[at:at + 2]
        if WalCase.over not in TRANSPORTS:
            sys.exit(f"--over is one of {', '.join(TRANSPORTS)}")
    unittest.TestCase.maxDiff = None
    servers.main(arguments)
