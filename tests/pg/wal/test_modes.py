#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""off, prefer and require; falling back and coming back; who may open a stream."""
import os
import re
import signal
import subprocess

from walcase import (CLUSTER_ID, WalCase, flushed, insert, main, psycopg2, stat_replication,
                     wait_until)

FELL_BACK = r"WARNING:  streaming WAL over TCP instead of Sluice: "
SETTINGS = ("shared_preload_libraries", "dynamic_library_path", "sluice.walstream",
            "sluice.walstream_socket", "sluice.walstream_cluster_id")


class ModesCase(WalCase):
    agent_settings = {"agent": {"peer_timeout": "2s", "keepalive": "200ms"}}

    @classmethod
    def prepare_servers(cls):
        cls.primary = cls.make_primary()
        retry = {"sluice.walstream_retry": "1s"} if cls.over != "stock" else {}
        cls.standby = cls.make_standby(cls.primary, **retry)

    def setUp(self):
        if self.over == "stock":
            self.skipTest("not without Sluice")

    def mode(self, mode, server=None):
        (server or self.standby).configure(**{"sluice.walstream": mode}).reload()

    def drivers(self):
        """(of the walsender, of the walreceiver); None: it does not stream over Sluice."""
        sender = self.primary.value("select driver from sluice.stat_walstream join pg_stat_replication"
                                    " using (pid) where state = 'streaming'")
        receiver = self.standby.value("select driver from sluice.stat_walstream join"
                                      " pg_stat_wal_receiver using (pid) where status = 'streaming'")
        return sender, receiver

    def receiver_stat(self, column):
        return self.standby.value(f"select {column} from sluice.stat_walstream where role = 'receiver'")

    def wait_stream(self, sender, receiver):
        self.wait_streaming(self.primary)
        wait_until(lambda: self.drivers() == (sender, receiver), f"the stream goes over {receiver}", 60,
                   pause_s=0.1)
        insert(self.primary, 50)
        self.assert_same_data(self.primary, self.standby)

    def wait_sluice(self):
        driver = "shm" if self.over == "local" else "network"
        self.wait_stream(driver, driver)

    def wait_libpq(self):
        self.wait_stream(None, "libpq")

    def reconnect(self):
        wait_until(lambda: self.standby.signal("walreceiver", signal.SIGTERM), "there is a walreceiver")


class Modes(ModesCase):
    def tearDown(self):
        for agent in self.agents:
            if not agent.running():
                agent.start()
        self.mode("require")
        self.wait_sluice()

    def test_off_streams_as_stock_does(self):
        self.mode("off")
        self.wait_stream(None, None)

    def test_prefer_uses_sluice_where_it_can(self):
        mark = self.standby.log_mark()
        self.mode("prefer")
        self.wait_sluice()
        self.assertNotRegex(self.standby.log(mark), FELL_BACK)

    def test_prefer_falls_back_with_one_warning_and_comes_back_by_itself(self):
        for agent in {self.agents[0], self.agents[-1]}:
            self.mode("prefer")
            self.wait_sluice()
            before = self.receiver_stat("fallbacks")
            mark = self.standby.log_mark()
            agent.kill()
            self.wait_libpq()
            for _ in range(3):
                self.reconnect()
                self.wait_libpq()
            self.assertEqual(len(re.findall(FELL_BACK, self.standby.log(mark))), 1)
            self.assertGreaterEqual(self.receiver_stat("fallbacks"), before + 1)
            self.assertTrue(self.receiver_stat("fallback_reason"))
            agent.start()
            self.wait_sluice()

    def test_a_link_is_tried_until_the_agents_know_each_other(self):
        if self.over != "tcp":
            self.skipTest("one agent has no link")
        self.agents[0].stop()
        self.agents[0].start()
        self.wait_sluice()

    def test_require_waits_for_the_agent_and_comes_back_by_itself(self):
        mark = self.standby.log_mark()
        self.agents[-1].kill()
        self.standby.wait_log("cannot stream WAL over Sluice: ", mark)
        self.assertIsNone(stat_replication(self.primary, "standby", "streaming"))
        self.assertNotRegex(self.standby.log(mark), FELL_BACK)
        insert(self.primary, 100)
        self.agents[-1].start()
        self.wait_sluice()

    def test_off_on_the_primary_refuses_new_streams(self):
        self.mode("off", self.primary)
        self.mode("prefer")
        mark = self.standby.log_mark()
        self.reconnect()
        self.standby.wait_log(FELL_BACK + "sluice.walstream is off on the primary", mark)
        self.wait_libpq()
        self.mode("require", self.primary)
        self.reconnect()
        self.wait_sluice()

    def test_a_primary_without_the_module_serves_a_standby_that_prefers(self):
        kept = {name: self.primary.settings[name] for name in SETTINGS}
        self.mode("prefer")
        mark = self.standby.log_mark()
        self.primary.configure(**dict.fromkeys(SETTINGS)).restart()
        self.standby.wait_log(FELL_BACK, mark)
        self.wait_streaming(self.primary)
        insert(self.primary, 100)
        self.assert_same_data(self.primary, self.standby)
        self.primary.configure(**kept).restart()
        self.wait_sluice()

    def test_another_cluster_is_refused(self):
        self.mode("prefer")
        self.standby.configure(**{"sluice.walstream_cluster_id": CLUSTER_ID + 1})
        mark = self.standby.log_mark()
        self.standby.restart()
        self.standby.wait_log(FELL_BACK, mark)
        self.standby.configure(**{"sluice.walstream_cluster_id": CLUSTER_ID}).restart()

    def test_changing_the_mode_loses_no_synchronous_commit(self):
        self.primary.configure(synchronous_standby_names="*").reload()
        for mode in ("off", "prefer", "require", "off", "require"):
            self.mode(mode)
            for _ in range(10):
                insert(self.primary, 1)
        self.primary.configure(synchronous_standby_names="").reload()

    def test_statistics_count_what_was_streamed(self):
        self.reconnect()
        self.wait_sluice()

        def numbers(server, role):
            return server.query("select bytes, frames, stalls, spins + sleeps, pid from"
                                " sluice.stat_walstream where role = %s", role)[0]
        before = [numbers(self.primary, "sender"), numbers(self.standby, "receiver")]
        start = flushed(self.primary)
        insert(self.primary, 20000, width=500)
        self.wait_replayed(self.primary, self.standby)
        written = int(self.primary.value("select %s::pg_lsn - %s::pg_lsn", flushed(self.primary), start))
        self.assertGreater(written, 5 << 20)
        self.wait_replayed(self.primary, self.standby)
        after = [numbers(self.primary, "sender"), numbers(self.standby, "receiver")]
        for old, new in zip(before, after):
            self.assertEqual(old[4], new[4])
            self.assertGreaterEqual(new[0] - old[0], written)
            self.assertLess(new[0] - old[0], written * 1.2)
            self.assertGreater(new[1], old[1])
            self.assertGreater(new[3], old[3])
        self.assertEqual(after[0][4], stat_replication(self.primary, "standby")["pid"])

    def test_users_without_the_right_see_no_statistics(self):
        self.primary.execute("create role nobody login")
        connection = self.primary.connect(user="nobody")
        with connection.cursor() as cursor, self.assertRaisesRegex(psycopg2.Error, "permission denied"):
            cursor.execute("select * from sluice.stat_walstream")
        connection.close()


class Security(ModesCase):
    """A stream is offered on a replication connection; SHOW is all that others can try."""

    def connection(self, wish=f"1:{CLUSTER_ID}:stranger", **more):
        node = self.agents[0].node
        options = f"-c sluice.walstream_standby={wish.replace('stranger', node)}"
        return self.primary.connect(host="127.0.0.1", replication="true", options=options, **more)

    @staticmethod
    def show(connection, name):
        with connection.cursor() as cursor:
            cursor.execute("SHOW sluice." + name)
            return cursor.fetchone()[0]

    def reader(self, stream, token):
        """wal-copy of examples/, which reads any stream that lets it in."""
        program, *_ = [self.workspace.program(os.path.join(self.tree.build, name)) for name in (
            "examples/wal-copy/wal-copy", "walstream/libsluicewal.so.0", "transport/libsluice.so.0")]
        copy = self.workspace.path("stolen")
        log = self.workspace.path("reader.log")
        process = self.workspace.spawn(
            [program, "receive", copy, "--token", token, "--stream", str(int(stream, 16)), "--cluster",
             str(CLUSTER_ID), "--socket", self.agents[0].socket], log,
            environment={"LD_LIBRARY_PATH": self.workspace.directory})
        return process, copy, log

    def offer(self, connection):
        fields = self.show(connection, "walstream_offer").split()
        self.assertEqual(fields[:2], ["ok", "1"], fields)
        return fields[2], fields[3]

    def stolen(self, stream, token, connection):
        """What a reader with that token is told, and the primary."""
        process, copy, log = self.reader(stream, token)
        answer = self.show(connection, "walstream_accept")
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            self.fail("the reader was neither let in nor refused")
        self.assertNotEqual(process.returncode, 0)
        self.assertFalse(os.path.exists(copy) and os.path.getsize(copy), "it has read WAL")
        with open(log, encoding="utf-8") as text:
            return text.read(), answer

    def test_without_the_token_nothing_is_read(self):
        connection = self.connection()
        stream, token = self.offer(connection)
        wrong = token[:-1] + ("0" if token[-1] != "0" else "1")
        told, answer = self.stolen(stream, wrong, connection)
        self.assertRegex(told, "(?i)token|denied")
        self.assertTrue(answer.startswith("no "), answer)
        connection.close()

    def test_with_the_token_another_database_is_refused(self):
        connection = self.connection()
        stream, token = self.offer(connection)
        told, _ = self.stolen(stream, token, connection)
        self.assertRegex(told, "(?i)another database|system")
        connection.close()

    def test_every_offer_has_a_stream_and_a_token_of_its_own(self):
        seen = set()
        for _ in range(10):
            connection = self.connection()
            seen.update(self.offer(connection))
            connection.close()
        self.assertEqual(len(seen), 20)

    def test_an_ordinary_session_is_offered_nothing(self):
        self.assertFalse((self.primary.value("show sluice.walstream_offer") or "").startswith("ok"))
        connection = self.primary.connect()
        self.assertFalse((self.show(connection, "walstream_accept") or "").startswith("ok"))
        connection.close()

    def test_another_version_is_refused_by_name(self):
        connection = self.connection(f"99:{CLUSTER_ID}:stranger")
        self.assertRegex(self.show(connection, "walstream_offer"), "no .*version 99")
        connection.close()

    def test_another_cluster_id_is_refused_by_name(self):
        connection = self.connection(f"1:{CLUSTER_ID + 1}:stranger")
        self.assertRegex(self.show(connection, "walstream_offer"), f"no .*{CLUSTER_ID + 1}")
        connection.close()

    def test_nonsense_is_refused(self):
        for wish in ("", "1", "1:", "1:x:y", "1:0:a", ":::::", "1:42:" + "n" * 200, "-1:42:a"):
            connection = self.connection(wish)
            answer = self.show(connection, "walstream_offer") or ""
            self.assertFalse(answer.startswith("ok"), (wish, answer))
            connection.close()

    def test_a_stream_that_runs_is_not_disturbed_by_strangers(self):
        pid = self.wait_streaming(self.primary)["pid"]
        for _ in range(5):
            connection = self.connection()
            stream, _ = self.offer(connection)
            self.stolen(stream, "00" * 16, connection)
            connection.close()
            insert(self.primary, 100)
        self.assertEqual(self.wait_streaming(self.primary)["pid"], pid)
        self.assert_same_data(self.primary, self.standby)

    def test_the_token_is_in_no_log_and_no_view(self):
        connection = self.connection()
        stream, token = self.offer(connection)
        connection.close()
        conninfo = self.standby.value("select conninfo from pg_stat_wal_receiver")
        self.assertNotIn(token, self.primary.log() + self.standby.log() + conninfo)
        for agent in self.agents:
            self.assertNotIn(token, agent.log())
        self.assertTrue(stream)


if __name__ == "__main__":
    main()
