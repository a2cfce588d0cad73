#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Cascades, promotion, new timelines, the way back for an old primary, and the archive."""
import os

from walcase import WalCase, insert, lsn_number, main, stat_replication, wait_until


def streams_on(standby, number):
    """Whether it receives that timeline."""
    return standby.value("select received_tli from pg_stat_wal_receiver where status = 'streaming'") == number


class Topology(WalCase):
    def setUp(self):
        self.running = []

    def tearDown(self):
        for server in reversed(self.running):
            server.stop("immediate")

    def primary(self, name, **settings):
        server = self.make_primary(name, **settings)
        self.running.append(server)
        return server

    def standby(self, upstream, name, node=1, **settings):
        server = self.make_standby(upstream, name, node, **settings)
        self.running.append(server)
        return server

    def test_a_standby_of_a_standby_gets_all(self):
        top = self.primary("casc1")
        middle = self.standby(top, "casc2")
        bottom = self.standby(middle, "casc3", node=0)
        insert(top, 2000)
        self.assert_same_data(top, middle, bottom)
        self.assert_over_sluice(top, "casc2")
        self.assert_over_sluice(middle, "casc3")
        middle.kill()
        insert(top, 2000)
        middle.start()
        self.wait_streaming(middle, "casc3")
        self.assert_same_data(top, middle, bottom)

    def test_a_cascade_follows_the_promoted_standby_to_its_timeline(self):
        top = self.primary("prom1")
        middle = self.standby(top, "prom2")
        bottom = self.standby(middle, "prom3", node=0)
        insert(top, 1000)
        self.wait_replayed(top, middle, bottom)
        top.stop("immediate")
        middle.promote()
        insert(middle, 1000)
        wait_until(lambda: streams_on(bottom, 2), "the cascade streams timeline 2")
        self.assert_same_data(middle, bottom)
        self.assert_over_sluice(middle, "prom3")
        # And once more, with the standby that followed.
        last = self.standby(bottom, "prom4")
        middle.stop()
        bottom.promote()
        insert(bottom, 1000)
        wait_until(lambda: streams_on(last, 3), "it streams timeline 3")
        self.assert_same_data(bottom, last)

    def test_after_a_clean_switchover_the_old_primary_follows(self):
        old = self.primary("sw1")
        new = self.standby(old, "sw2")
        for name_old, name_new in (("sw1", "sw2"), ("sw2", "sw1")):
            insert(old, 1000)
            old.stop("fast")
            checkpoint = lsn_number(old.control_data()["Latest checkpoint location"])
            wait_until(lambda: lsn_number(new.value("select pg_last_wal_receive_lsn()")) > checkpoint,
                       f"{name_new} has the shutdown checkpoint")
            new.promote()
            insert(new, 1000)
            old.follow(new).start()
            self.wait_streaming(new, name_old)
            self.assert_same_data(new, old)
            self.assert_over_sluice(new, name_old)
            old, new = new, old

    def test_a_diverged_primary_comes_back_by_pg_rewind(self):
        old = self.primary("rew1", wal_log_hints="on")
        new = self.standby(old, "rew2")
        insert(old, 1000)
        self.wait_replayed(old, new)
        new.promote()
        insert(old, 500, start=100000)  # nobody will miss these
        insert(new, 700, start=200000)
        old.stop("fast")
        new.execute("checkpoint")
        settings = old.settings
        done = self.tree.run("pg_rewind", "--target-pgdata", old.data, "--source-server",
                             new.conninfo("pg_rewind") + " dbname=postgres")
        self.assertIn("Done!", done.stdout + done.stderr)
        old.configure(**settings).follow(new).start()
        self.wait_streaming(new, "rew1")
        self.assertEqual(old.value("select count(*) from t where a between 100000 and 199999"), 0)
        self.assert_same_data(new, old)
        self.assert_over_sluice(new, "rew1")
        new.stop()
        old.stop()
        self.assert_wal_clean(old, new)

    def test_a_prepared_transaction_can_be_committed_after_promotion(self):
        old = self.primary("prep1", max_prepared_transactions=10)
        new = self.standby(old, "prep2")
        old.execute("begin; insert into t values (1, 'prepared'); prepare transaction 'kept'")
        self.wait_replayed(old, new)
        old.kill()
        new.promote()
        self.assertEqual(new.value("select count(*) from t"), 0)
        new.execute("commit prepared 'kept'")
        self.assertEqual(new.value("select b from t where a = 1"), "prepared")

    def test_a_standby_goes_to_the_archive_and_back_to_the_stream(self):
        archive = self.workspace.make_directory("archive")
        old = self.primary("arch1", archive_mode="on", wal_keep_size="0", max_wal_size="64MB",
                           min_wal_size="32MB", archive_command=f"cp %p {archive}/%f")
        new = self.standby(old, "arch2", restore_command=f"cp {archive}/%f %p 2>/dev/null")
        for _ in range(2):
            new.stop()
            start = old.value("select pg_walfile_name(pg_current_wal_lsn())")
            for _ in range(4):
                insert(old, 2000, width=3000)
                old.execute("select pg_switch_wal(); checkpoint")
            wait_until(lambda start=start: old.execute("checkpoint") or not os.path.exists(
                os.path.join(old.data, "pg_wal", start)),
                       "what the standby misses is in the archive alone", pause_s=0.1)
            mark = new.log_mark()
            new.start()
            self.wait_streaming(old, "arch2")
            new.wait_log('restored log file "[0-9A-F]+" from archive', mark)
            insert(old, 100)
            self.assert_same_data(old, new)
            self.assert_over_sluice(old, "arch2")

    def test_a_standby_of_another_system_is_refused(self):
        one = self.primary("sys1")
        other = self.primary("sys2")
        stranger = self.standby(one, "sys3")
        stranger.stop()
        stranger.follow(other)
        mark = stranger.log_mark()
        stranger.start()
        stranger.wait_log("database system identifier differs between the primary and standby", mark)
        self.assertIsNone(stat_replication(other, "sys3", "streaming"))

    def test_a_standby_that_is_ahead_on_another_timeline_is_refused(self):
        old = self.primary("tli1")
        new = self.standby(old, "tli2")
        insert(old, 100)
        self.wait_replayed(old, new)
        new.promote()
        insert(old, 3000)
        old.stop("fast")
        mark = old.log_mark()
        old.follow(new).launch()
        old.wait_log(r"new timeline 2 forked off current database system timeline 1 before current"
                     r" recovery point", mark)
        self.assertIsNone(stat_replication(new, "tli1", "streaming"))

    def test_a_standby_can_change_its_upstream_by_a_reload(self):
        top = self.primary("chg1")
        middle = self.standby(top, "chg2")
        bottom = self.standby(middle, "chg3", node=0)
        bottom.configure(primary_conninfo=top.conninfo("chg3")).reload()
        self.wait_streaming(top, "chg3")
        insert(top, 500)
        self.assert_same_data(top, middle, bottom)
        self.assert_over_sluice(top, "chg3", same_node=True)

    def test_the_old_recovery_conf_is_refused(self):
        old = self.primary("conf1")
        new = self.standby(old, "conf2")
        new.stop()
        self.workspace.write(os.path.join(new.data, "recovery.conf"), "standby_mode = on\n")
        new.launch()
        new.process.wait(30)
        self.assertIn('using recovery command file "recovery.conf" is not supported', new.log())


if __name__ == "__main__":
    main()
