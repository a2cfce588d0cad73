#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The control connection decides who may replicate, as PostgreSQL's configuration says;
both timeouts hold; the statistics views tell the truth."""
import datetime
import os
import signal
import time
import unittest

from walcase import WalCase, flushed, insert, main, over_sluice, stat_replication, wait_until


def stat_receiver(standby):
    connection = standby.connect()
    try:
        with connection.cursor() as cursor:
            cursor.execute("select * from pg_stat_wal_receiver")
            row = cursor.fetchone()
            return dict(zip((column.name for column in cursor.description), row)) if row else None
    finally:
        connection.close()


class Authentication(WalCase):
    """links_encrypted: what the agents move between hosts is."""

    links_encrypted = False

    @classmethod
    def prepare_servers(cls):
        cls.primary = cls.make_primary(password_encryption="scram-sha-256")
        cls.primary.execute("create role streamer replication login password 'right'")
        cls.key, cls.certificate = (os.path.join(cls.primary.data, name)
                                    for name in ("test.key", "test.crt"))
        cls.workspace.run(["openssl", "req", "-new", "-x509", "-nodes", "-newkey", "ec", "-pkeyopt",
                           "ec_paramgen_curve:prime256v1", "-subj", "/CN=localhost",
                           "-addext", "subjectAltName=IP:127.0.0.1", "-days", "3650",
                           "-keyout", cls.key, "-out", cls.certificate])
        cls.standby = cls.primary.standby("standby", **{**cls.sluice_settings(1, "prefer"),
                                                        "wal_retrieve_retry_interval": "50ms"})
        cls.primary.configure(ssl="on", ssl_key_file=cls.key, ssl_cert_file=cls.certificate)

    def tearDown(self):
        self.standby.stop()

    def allow(self, kind, method):
        """Let replication in by that line of pg_hba.conf alone."""
        self.workspace.write(os.path.join(self.primary.data, "pg_hba.conf"),
                             f"local all all trust\n{kind} replication streamer 127.0.0.1/32 {method}\n")
        self.primary.reload()

    def connect_standby(self, more):
        self.standby.configure(primary_conninfo=f"host=127.0.0.1 port={self.primary.port} "
                               f"user=streamer application_name=standby {more}").start()

    def assert_streams(self, encrypted=False):
        self.wait_streaming(self.primary)
        insert(self.primary, 200)
        self.assert_same_data(self.primary, self.standby)
        if encrypted and self.over == "tcp" and not self.links_encrypted:
            # What must be encrypted stays on the connection.
            self.standby.wait_log("streaming WAL over TCP instead of Sluice: .*demands an encrypted")
            self.assertEqual(self.standby.value(
                "select driver from sluice.stat_walstream where role = 'receiver'"), "libpq")
        else:
            self.assert_over_sluice(self.primary)

    def test_a_password_is_asked_for_and_kept_secret(self):
        self.allow("hostnossl", "scram-sha-256")
        self.connect_standby("sslmode=disable password=right")
        self.assert_streams()
        conninfo = stat_receiver(self.standby)["conninfo"]
        self.assertIn("password=********", conninfo)
        self.assertNotIn("right", conninfo)

    def test_a_wrong_password_gets_no_stream(self):
        self.allow("host", "scram-sha-256")
        mark = self.standby.log_mark()
        self.connect_standby("password=wrong")
        self.standby.wait_log('password authentication failed for user "streamer"', mark)
        self.assertIsNone(stat_replication(self.primary, "standby"))

    def test_the_control_connection_can_be_encrypted(self):
        self.allow("hostssl", "scram-sha-256")
        root = self.workspace.write(self.workspace.path("root.crt"), open(
            self.certificate, encoding="ascii").read())
        self.connect_standby(f"password=right sslmode=verify-full sslrootcert={root}")
        self.assert_streams(encrypted=True)
        self.assertTrue(self.primary.value(
            "select ssl from pg_stat_ssl join pg_stat_replication using (pid)"))

    def test_an_encrypted_connection_survives_a_restart(self):
        self.allow("hostssl", "scram-sha-256")
        self.connect_standby("password=right sslmode=require")
        self.assert_streams(encrypted=True)
        self.primary.restart("immediate")
        self.assert_streams(encrypted=True)

    def test_a_line_that_demands_encryption_is_honoured_without_the_standby_asking(self):
        self.allow("hostssl", "scram-sha-256")
        self.connect_standby("password=right sslmode=prefer")
        self.assert_streams(encrypted=True)

    def test_a_role_without_the_right_to_replicate_gets_no_stream(self):
        self.allow("host", "trust")
        self.primary.execute("alter role streamer noreplication")
        mark = self.standby.log_mark()
        self.connect_standby("")
        self.standby.wait_log("must be superuser or replication role to start walsender", mark)
        self.primary.execute("alter role streamer replication")


    @over_sluice
    def test_a_standby_that_fell_back_is_not_disturbed_while_links_are_not_encrypted(self):
        if self.over != "tcp":
            self.skipTest("there is nothing to fall back for")
        self.allow("host", "scram-sha-256")
        self.primary.configure(log_replication_commands="on").reload()
        mark = self.primary.log_mark()
        self.standby.configure(**{"sluice.walstream_retry": "1s"})
        self.connect_standby("password=right sslmode=require")
        self.assert_streams(encrypted=True)
        wait_until(lambda: self.primary.log(mark).count("SHOW sluice.walstream_offer_encrypted") > 2,
                   "the standby has asked again", 60)
        self.assertEqual(self.standby.value("select fallbacks from sluice.stat_walstream"
                                            " where role = 'receiver'"), 1)


class AuthenticationBetweenAgentsThatEncrypt(Authentication):
    """What must be encrypted goes over Sluice, for that is."""

    agent_settings = {"driver": {"encrypt": "yes"}}
    links_encrypted = True
    # What has nothing to do with that.
    test_a_password_is_asked_for_and_kept_secret = None
    test_a_wrong_password_gets_no_stream = None
    test_a_role_without_the_right_to_replicate_gets_no_stream = None
    test_a_standby_that_fell_back_is_not_disturbed_while_links_are_not_encrypted = None

    @classmethod
    def setUpClass(cls):
        if cls.over != "tcp":
            raise unittest.SkipTest("it is about two agents")
        super().setUpClass()


class Timeouts(WalCase):
    @classmethod
    def prepare_servers(cls):
        cls.primary = cls.make_primary(wal_sender_timeout="1s")
        cls.standby = cls.make_standby(cls.primary, wal_receiver_timeout="1s")

    def tearDown(self):
        self.wait_streaming(self.primary)
        self.assert_same_data(self.primary, self.standby)
        self.assert_over_sluice(self.primary)

    def test_an_idle_stream_is_not_timed_out(self):
        row = self.wait_streaming(self.primary)
        later = row["reply_time"] + datetime.timedelta(seconds=4)
        wait_until(lambda: self.wait_streaming(self.primary)["reply_time"] > later,
                   "replies of four seconds came in")
        self.assertEqual(self.wait_streaming(self.primary)["pid"], row["pid"])

    def test_a_busy_stream_is_not_timed_out(self):
        pid = self.wait_streaming(self.primary)["pid"]
        end = time.monotonic() + 4
        while time.monotonic() < end:
            insert(self.primary, 200)
        self.assertEqual(self.wait_streaming(self.primary)["pid"], pid)

    def test_a_silent_walreceiver_is_given_up(self):
        mark = self.primary.log_mark()
        stopped = self.standby.processes("walreceiver")
        self.standby.signal("walreceiver", signal.SIGSTOP)
        self.primary.wait_log("terminating walsender process due to replication timeout", mark)
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)

    def test_a_silent_walsender_is_given_up(self):
        mark = self.standby.log_mark()
        stopped = self.primary.processes("walsender")
        self.primary.signal("walsender", signal.SIGSTOP)
        self.standby.wait_log("terminating walreceiver due to timeout", mark)
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)


class Statistics(WalCase):
    @classmethod
    def prepare_servers(cls):
        cls.primary = cls.make_primary()
        cls.standby = cls.make_standby(cls.primary, slot="counted", wal_receiver_status_interval="1s")

    def test_positions_are_exact_at_rest(self):
        insert(self.primary, 1000)
        end = flushed(self.primary)

        def all_at_end():
            row = stat_replication(self.primary, "standby")
            return {row[name] for name in ("sent_lsn", "write_lsn", "flush_lsn", "replay_lsn")} == {end}
        wait_until(all_at_end, f"all positions are {end}")
        row = stat_replication(self.primary, "standby")
        self.assertEqual((row["state"], row["sync_state"], row["sync_priority"]),
                         ("streaming", "async", 0))
        self.assertEqual((row["usename"], row["client_addr"], row["backend_xmin"]),
                         ("postgres", "127.0.0.1", None))
        self.assertGreater(row["client_port"], 0)
        # Within two status intervals without traffic, lags are unknown again.
        wait_until(lambda: all(stat_replication(self.primary, "standby")[name] is None for name in
                               ("write_lag", "flush_lag", "replay_lag")), "no lag is shown at rest")

    def test_lags_tell_how_long_each_step_takes(self):
        self.standby.configure(recovery_min_apply_delay="500ms").reload()

        def lags():
            insert(self.primary, 1)
            row = stat_replication(self.primary, "standby")
            return [row[name].total_seconds() if row[name] else 0
                    for name in ("write_lag", "flush_lag", "replay_lag")]
        wait_until(lambda: lags()[2] >= 0.4, "the delay shows as replay lag")
        write, flush, replay = lags()
        self.assertLessEqual(write, flush)
        self.assertLess(flush, replay)
        self.assertLess(replay, 60)
        self.standby.configure(recovery_min_apply_delay="0").reload()

    def test_replay_alone_stays_behind_while_it_is_paused(self):
        self.standby.execute("select pg_wal_replay_pause()")
        insert(self.primary, 1)
        wait_until(lambda: self.standby.value("select pg_get_wal_replay_pause_state()") == "paused",
                   "replay is paused")
        insert(self.primary, 1000)
        end = flushed(self.primary)
        wait_until(lambda: stat_replication(self.primary, "standby")["flush_lsn"] == end,
                   "the log is flushed")
        row = stat_replication(self.primary, "standby")
        self.assertNotEqual(row["replay_lsn"], end)
        self.assertEqual(row["write_lsn"], end)
        self.standby.execute("select pg_wal_replay_resume()")
        self.assert_same_data(self.primary, self.standby)

    def test_replies_come_at_the_status_interval(self):
        row = stat_replication(self.primary, "standby")
        wait_until(lambda: stat_replication(self.primary, "standby")["reply_time"] > row["reply_time"],
                   "a reply comes without traffic", 10)

    def test_the_receiver_shows_where_it_is_and_whom_it_hears(self):
        insert(self.primary, 1000)
        end = flushed(self.primary)
        wait_until(lambda: stat_receiver(self.standby)["latest_end_lsn"] == end,
                   "the receiver knows the end of the log")
        row = stat_receiver(self.standby)
        self.assertEqual({row["written_lsn"], row["flushed_lsn"]}, {end})
        self.assertEqual((row["status"], row["receive_start_tli"], row["received_tli"]),
                         ("streaming", 1, 1))
        self.assertEqual((row["sender_host"], row["sender_port"], row["slot_name"]),
                         ("127.0.0.1", self.primary.port, "counted"))
        self.assertIn("application_name=standby", row["conninfo"])
        self.assertLess(abs((row["last_msg_receipt_time"] - row["last_msg_send_time"]).total_seconds()), 5)
        pid = next(iter(self.standby.processes("walreceiver")))
        self.assertEqual(row["pid"], pid)
        wait_until(lambda: insert(self.primary, 1) or stat_receiver(self.standby)["last_msg_receipt_time"]
                   > row["last_msg_receipt_time"], "messages are counted as heard")

    def test_positions_never_go_beyond_the_log(self):
        for _ in range(50):
            insert(self.primary, 20)
            row = self.primary.query(
                "select replay_lsn <= flush_lsn, flush_lsn <= write_lsn, write_lsn <= sent_lsn,"
                " sent_lsn <= pg_current_wal_flush_lsn() from pg_stat_replication")[0]
            self.assertEqual(row, (True,) * 4)


if __name__ == "__main__":
    main()
