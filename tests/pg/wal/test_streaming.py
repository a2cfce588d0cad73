#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A standby gets all WAL and keeps getting it, whatever stops, dies or comes back."""
import os
import shutil
import signal

from walcase import WalCase, flushed, insert, main, stat_replication, lsn_number, wait_until


class Streaming(WalCase):
    @classmethod
    def prepare_servers(cls):
        cls.primary = cls.make_primary()
        cls.standby = cls.make_standby(cls.primary)

    def tearDown(self):
        # Each test leaves a pair that streams.
        self.wait_streaming(self.primary)
        self.assert_over_sluice(self.primary)
        self.assert_same_data(self.primary, self.standby)

    def test_rows_reach_the_standby(self):
        insert(self.primary, 1000)
        self.assert_same_data(self.primary, self.standby)

    def test_large_transactions_reach_the_standby(self):
        self.primary.execute("create table large as select g as a, repeat(md5(g::text), 30) as b"
                             " from generate_series(1, 60000) g")
        self.assert_same_data(self.primary, self.standby)
        self.primary.execute("drop table large")

    def test_many_small_transactions_reach_the_standby(self):
        connection = self.primary.connect()
        with connection.cursor() as cursor:
            cursor.execute("create table small (a int)")
            for number in range(500):
                cursor.execute("insert into small values (%s)", (number,))
        connection.close()
        self.assert_same_data(self.primary, self.standby)

    def test_an_asynchronous_commit_reaches_the_standby_by_itself(self):
        self.primary.execute("set synchronous_commit = off; insert into t values (-1, 'later')")
        wait_until(lambda: self.standby.value("select count(*) from t where a = -1") == 1,
                   "the WAL writer wrote and the standby replayed it")
        self.primary.execute("delete from t where a = -1")

    def test_a_standby_catches_up_after_a_pause(self):
        for mode in ("fast", "immediate"):
            self.standby.stop(mode)
            insert(self.primary, 20000, width=500)
            self.standby.start()
            self.wait_streaming(self.primary)
            self.assert_same_data(self.primary, self.standby)

    def test_a_standby_with_an_empty_wal_directory_streams_what_it_needs(self):
        self.primary.execute("checkpoint")
        self.wait_replayed(self.primary, self.standby)
        self.standby.execute("checkpoint")
        self.standby.stop()
        wal = os.path.join(self.standby.data, "pg_wal")
        for name in os.listdir(wal):
            if len(name) == 24:
                os.unlink(os.path.join(wal, name))
        insert(self.primary, 1000)
        self.standby.start()
        self.wait_streaming(self.primary)

    def test_the_standby_follows_a_primary_that_restarts(self):
        for mode in ("fast", "immediate"):
            insert(self.primary, 500)
            self.primary.restart(mode)
            insert(self.primary, 500)
            self.wait_streaming(self.primary)
            self.assert_same_data(self.primary, self.standby)

    def test_either_server_can_be_killed(self):
        for server in (self.primary, self.standby):
            insert(self.primary, 2000)
            server.kill()
            server.start()
            insert(self.primary, 500)
            self.wait_streaming(self.primary)
            self.assert_same_data(self.primary, self.standby)

    def test_either_process_can_be_ended_or_killed(self):
        for server, kind in ((self.primary, "walsender"), (self.standby, "walreceiver")):
            for number in (signal.SIGTERM, signal.SIGKILL):
                self.wait_streaming(self.primary)
                before = stat_replication(self.primary, "standby")["pid"]
                self.assertEqual(server.signal(kind, number), 1, kind)
                # After kill -9 of one of its processes a server restarts all of them.
                wait_until(lambda: self.streams_anew(before), f"it streams again after {number} of {kind}",
                           60, pause_s=0.1)
                insert(self.primary, 500)
                self.assert_same_data(self.primary, self.standby)

    def streams_anew(self, before):
        try:
            row = stat_replication(self.primary, "standby", "streaming")
            self.standby.value("select 1")
        except Exception:  # pylint: disable=broad-except
            return False
        return row and row["pid"] != before

    def test_a_walreceiver_can_be_ended_a_hundred_times(self):
        for _ in range(100):
            insert(self.primary, 10)
            wait_until(lambda: self.standby.signal("walreceiver", signal.SIGTERM),
                       "there is a walreceiver")
        self.assert_same_data(self.primary, self.standby)

    def test_a_fast_shutdown_ships_the_shutdown_checkpoint(self):
        insert(self.primary, 3000)
        self.primary.stop("fast")
        control = self.primary.control_data()
        self.assertEqual(control["Database cluster state"], "shut down")
        checkpoint = control["Latest checkpoint location"]
        self.standby.stop("fast")
        shown = self.tree.run("pg_waldump", "--path", os.path.join(self.standby.data, "pg_wal"),
                              "--start", checkpoint, "--limit", "1").stdout
        self.assertIn("CHECKPOINT_SHUTDOWN", shown)
        self.assert_wal_clean(self.primary, self.standby)
        self.primary.start()
        self.standby.start()

    def test_a_fast_shutdown_in_the_middle_of_a_load_ships_all(self):
        loader = self.primary.connect()
        mark = lsn_number(flushed(self.primary))
        process = self.workspace.spawn(
            [self.tree.program("psql"), "-X", "-h", self.primary.socket_directory, "-p",
             str(self.primary.port), "-U", "postgres", "-c",
             "create table load (a int, b text)", "-c",
             "do $$ begin loop insert into load select g, repeat('x', 500) from"
             " generate_series(1, 1000) g; commit; end loop; end $$"], self.workspace.path("load.log"))
        wait_until(lambda: lsn_number(self.primary.value("select pg_current_wal_lsn()"))
                   > mark + (20 << 20), "20 MiB of log are written")
        loader.close()
        self.primary.stop("fast")
        process.wait(30)
        checkpoint = self.primary.control_data()["Latest checkpoint location"]
        wait_until(lambda: lsn_number(self.standby.value("select pg_last_wal_receive_lsn()"))
                   > lsn_number(checkpoint), "the standby has the shutdown checkpoint")
        self.primary.start()
        self.assert_same_data(self.primary, self.standby)
        self.primary.execute("drop table load")


class Fresh(WalCase):
    def test_a_new_standby_has_the_checksums_of_its_primary(self):
        primary = self.make_primary()
        insert(primary, 5000)
        standby = self.make_standby(primary)
        self.assert_same_data(primary, standby)
        self.assert_over_sluice(primary)
        primary.stop()
        standby.stop()
        self.assert_wal_clean(primary, standby)
        shutil.rmtree(standby.data)


if __name__ == "__main__":
    main()
