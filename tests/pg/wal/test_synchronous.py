#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A commit waits for what synchronous_commit and synchronous_standby_names say, no
less and no longer."""
import signal
import threading

from walcase import WalCase, main, psycopg2, stat_replication, wait_until

LEVELS = ("off", "local", "remote_write", "on", "remote_apply")


class Commit(threading.Thread):
    """One insert into t on a connection of its own."""

    def __init__(self, server, level, key):
        super().__init__(daemon=True)
        self.connection = server.connect()
        self.server = server
        self.level = level
        self.key = key
        self.error = None
        self.start()

    def run(self):
        try:
            with self.connection.cursor() as cursor:
                cursor.execute(f"set synchronous_commit = {self.level}")
                cursor.execute("insert into t values (%s, 'x')", (self.key,))
        except psycopg2.Error as error:
            self.error = error

    def done(self):
        return not self.is_alive()

    def waits(self):
        """Whether it waits for a standby."""
        return self.server.value("select wait_event from pg_stat_activity where pid = %s",
                                 self.connection.get_backend_pid()) == "SyncRep"

    def finish(self):
        self.join(60)
        assert self.done(), f"the commit of {self.key} with {self.level} hangs"
        self.connection.close()
        if self.error:
            raise self.error


class Synchronous(WalCase):
    @classmethod
    def prepare_servers(cls):
        cls.primary = cls.make_primary()
        cls.one = cls.make_standby(cls.primary, "one")
        cls.two = cls.make_standby(cls.primary, "two")
        cls.key = 0

    def setUp(self):
        self.name_standbys("")

    def name_standbys(self, names, **states):
        """Set synchronous_standby_names; wait until the states are as given."""
        self.primary.configure(synchronous_standby_names=names).reload()
        for name, state in states.items():
            wait_until(lambda name=name, state=state:
                       (stat_replication(self.primary, name, "streaming") or {})
                       .get("sync_state") == state, f"{name} is {state} with {names}")

    def commit(self, level="on"):
        type(self).key += 1
        return Commit(self.primary, level, self.key)

    def assert_waits(self, commit):
        wait_until(commit.waits, f"a commit with {commit.level} waits")
        self.assertFalse(commit.done())

    def assert_end(self):
        self.wait_streaming(self.primary, "one")
        self.wait_streaming(self.primary, "two")
        self.assert_over_sluice(self.primary, "one")
        self.assert_same_data(self.primary, self.one, self.two)

    def test_every_level_returns_when_a_standby_works(self):
        self.name_standbys("one", one="sync", two="async")
        for level in LEVELS:
            for _ in range(20):
                self.commit(level).finish()
        self.assert_end()

    def test_remote_apply_shows_the_row_on_the_standby_at_once(self):
        self.name_standbys("one", one="sync")
        for _ in range(60):
            self.commit("remote_apply").finish()
            self.assertEqual(self.one.value("select count(*) from t where a = %s", self.key), 1)

    def test_remote_apply_alone_waits_for_paused_replay(self):
        self.name_standbys("one", one="sync")
        self.one.execute("select pg_wal_replay_pause()")
        wait_until(lambda: self.one.value("select pg_get_wal_replay_pause_state()") == "paused"
                   or self.commit("local").finish(), "replay is paused")
        for level in ("remote_write", "on"):
            self.commit(level).finish()
        applied = self.commit("remote_apply")
        self.assert_waits(applied)
        self.one.execute("select pg_wal_replay_resume()")
        applied.finish()
        self.assert_end()

    def test_remote_levels_wait_for_a_stopped_walreceiver(self):
        self.name_standbys("one", one="sync")
        for level in ("remote_write", "on", "remote_apply"):
            self.one.signal("walreceiver", signal.SIGSTOP)
            self.commit("local").finish()
            commit = self.commit(level)
            self.assert_waits(commit)
            self.one.signal("walreceiver", signal.SIGCONT)
            commit.finish()
        self.assert_end()

    def test_a_commit_waits_until_the_standby_is_back(self):
        self.name_standbys("one", one="sync")
        for stop in (self.one.stop, self.one.kill):
            stop()
            commit = self.commit()
            self.assert_waits(commit)
            self.one.start()
            commit.finish()
        self.assert_end()

    def test_first_takes_standbys_by_their_order(self):
        self.name_standbys("FIRST 1 (one, two)", one="sync", two="potential")
        self.name_standbys("FIRST 1 (two, one)", one="potential", two="sync")
        self.name_standbys("FIRST 2 (one, two)", one="sync", two="sync")
        self.name_standbys("FIRST 1 (one, two)", one="sync", two="potential")
        self.one.stop()
        # The next in order takes over, so this does not wait for ever.
        self.commit().finish()
        self.assertEqual(stat_replication(self.primary, "two")["sync_state"], "sync")
        self.one.start()
        self.name_standbys("FIRST 1 (one, two)", one="sync", two="potential")
        self.assert_end()

    def test_any_takes_whichever_standby_is_there(self):
        self.name_standbys("ANY 1 (one, two)", one="quorum", two="quorum")
        for absent in (self.one, self.two):
            absent.stop()
            self.commit().finish()
            absent.start()
            self.name_standbys("ANY 1 (one, two)", one="quorum", two="quorum")
        self.name_standbys("ANY 2 (one, two)", one="quorum", two="quorum")
        self.commit().finish()
        self.two.stop()
        commit = self.commit()
        self.assert_waits(commit)
        self.two.start()
        commit.finish()
        self.assert_end()

    def test_all_standbys_by_a_star(self):
        self.name_standbys("*", one="sync", two="potential")
        self.commit().finish()

    def test_a_cancelled_wait_is_told_as_a_warning(self):
        self.name_standbys("one", one="sync")
        self.one.signal("walreceiver", signal.SIGSTOP)
        commit = self.commit()
        self.assert_waits(commit)
        self.primary.execute("select pg_cancel_backend(%s)", commit.connection.get_backend_pid())
        commit.finish()
        self.assertTrue(any("canceling wait for synchronous replication" in notice
                            for notice in commit.connection.notices), commit.connection.notices)
        self.one.signal("walreceiver", signal.SIGCONT)
        self.assert_end()

    def test_acknowledged_commits_survive_the_loss_of_the_primary(self):
        primary = self.make_primary("lost")
        standby = self.make_standby(primary, "heir")
        primary.configure(synchronous_standby_names="heir").reload()
        wait_until(lambda: stat_replication(primary, "heir")["sync_state"] == "sync", "it is sync")
        acknowledged = []

        def load():
            connection = primary.connect()
            try:
                with connection.cursor() as cursor:
                    for key in range(1, 1 << 30):
                        cursor.execute("insert into t values (%s, 'x')", (key,))
                        acknowledged.append(key)
            except psycopg2.Error:
                pass

        loader = threading.Thread(target=load, daemon=True)
        loader.start()
        wait_until(lambda: len(acknowledged) > 200, "two hundred commits are acknowledged")
        primary.kill()
        loader.join(30)
        standby.promote()
        self.assertGreaterEqual(standby.value("select count(*) from t"), len(acknowledged))
        self.assertEqual(standby.value("select count(*) from t where a = any(%s)", acknowledged),
                         len(acknowledged))
        standby.stop()


if __name__ == "__main__":
    main()
