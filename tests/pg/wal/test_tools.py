#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What is not a physical standby goes on as ever: PostgreSQL's own tools and logical
replication, beside a stream over Sluice."""
import os
import signal

from walcase import (Server, WalCase, checksums, flushed, insert, lsn_number, main,
                     stat_replication, wait_until)


class Tools(WalCase):
    @classmethod
    def prepare_servers(cls):
        cls.primary = cls.make_primary(wal_level="logical")
        cls.standby = cls.make_standby(cls.primary)

    def tearDown(self):
        self.wait_streaming(self.primary)
        self.assert_over_sluice(self.primary)
        self.assert_same_data(self.primary, self.standby)

    def connection(self, server, application):
        return ("--dbname", server.conninfo(application))

    def test_a_base_backup_of_either_server_verifies(self):
        for server in (self.primary, self.standby):
            insert(self.primary, 2000)
            self.wait_replayed(self.primary, self.standby)
            for wal in ("stream", "fetch"):
                target = self.workspace.path(f"backup-{server.name}-{wal}")
                self.tree.run("pg_basebackup", "--pgdata", target, "--wal-method", wal,
                              "--checkpoint", "fast", "--no-sync",
                              *self.connection(server, "pg_basebackup"))
                self.tree.run("pg_verifybackup", target)

    def test_a_base_backup_becomes_a_standby(self):
        other = self.make_standby(self.primary, "other", slot="other")
        insert(self.primary, 500)
        self.assert_same_data(self.primary, other)
        other.stop()
        self.primary.execute("select pg_drop_replication_slot('other')")

    def receivewal(self, server, target, *arguments):
        return self.workspace.spawn(
            [self.tree.program("pg_receivewal"), "--directory", target, "--no-loop", "--verbose",
             *self.connection(server, "pg_receivewal"), *arguments],
            self.workspace.path("pg_receivewal.log"))

    def test_pg_receivewal_receives_over_plain_libpq(self):
        for server, arguments in ((self.primary, ("--synchronous",)), (self.standby, ())):
            target = self.workspace.make_directory("received-" + server.name)
            process = self.receivewal(server, target, *arguments)
            wait_until(lambda server=server: stat_replication(server, "pg_receivewal", "streaming"),
                       f"pg_receivewal streams from {server.name}")
            start = self.primary.value("select pg_walfile_name(pg_current_wal_lsn())")
            insert(self.primary, 3000, width=1000)
            self.primary.execute("select pg_switch_wal()")
            insert(self.primary, 10)
            path = os.path.join(target, start)
            wait_until(lambda path=path: os.path.exists(path), f"{start} is complete")
            process.send_signal(signal.SIGINT)
            self.assertEqual(process.wait(30), 0)
            with open(path, "rb") as ours, open(os.path.join(server.data, "pg_wal", start), "rb") as its:
                self.assertEqual(ours.read(), its.read(), start)

    def test_pg_receivewal_can_be_the_synchronous_standby(self):
        target = self.workspace.make_directory("received-sync")
        process = self.receivewal(self.primary, target, "--synchronous")
        self.primary.configure(synchronous_standby_names="pg_receivewal").reload()
        wait_until(lambda: (stat_replication(self.primary, "pg_receivewal", "streaming") or {})
                   .get("sync_state") == "sync", "pg_receivewal is synchronous")
        for _ in range(10):
            insert(self.primary, 1)
        self.primary.configure(synchronous_standby_names="").reload()
        process.send_signal(signal.SIGINT)
        process.wait(30)

    def test_the_standby_holds_log_that_pg_waldump_reads(self):
        start = flushed(self.primary)
        insert(self.primary, 1000)
        self.wait_replayed(self.primary, self.standby)
        end = flushed(self.primary)
        self.wait_replayed(self.primary, self.standby)
        texts = [self.tree.run("pg_waldump", "--path", os.path.join(server.data, "pg_wal"),
                               "--start", start, "--end", end).stdout
                 for server in (self.primary, self.standby)]
        self.assertIn("Transaction", texts[0])
        self.assertEqual(texts[0], texts[1])

    def test_a_subscription_works_between_servers_that_have_the_modules(self):
        subscriber = Server(self.tree, "subscriber").init(
            **{**self.sluice_settings(1), "wal_level": "logical"}).start()
        self.primary.execute("create table published (a int primary key, b text)")
        self.primary.execute("insert into published select g, 'before' from generate_series(1, 500) g")
        self.primary.execute("create publication p for table published")
        subscriber.execute("create table published (a int primary key, b text)")
        subscriber.execute(f"create subscription s connection '{self.primary.conninfo('s')} "
                           "dbname=postgres' publication p")
        self.primary.execute("insert into published select g, 'after' from generate_series(501, 900) g")
        self.primary.execute("update published set b = 'changed' where a % 7 = 0")
        self.primary.execute("delete from published where a % 11 = 0")
        expected = checksums(self.primary)["public.published"]
        wait_until(lambda: checksums(subscriber).get("public.published") == expected,
                   "the subscriber has the same rows", 60, pause_s=0.2)
        subscriber.signal("logical replication worker", signal.SIGTERM)
        self.primary.execute("insert into published values (-1, 'again')")
        wait_until(lambda: subscriber.value("select count(*) from published where a = -1"),
                   "it goes on after its worker ended")
        self.assertEqual(stat_replication(self.primary, "s", "streaming")["state"], "streaming")
        subscriber.execute("drop subscription s")
        self.primary.execute("drop publication p")
        subscriber.stop()

    def test_pg_recvlogical_decodes(self):
        out = self.workspace.path("decoded")
        base = ["pg_recvlogical", "--slot", "decoded",
                "--dbname", self.primary.conninfo("pg_recvlogical") + " dbname=postgres"]
        self.tree.run(*base, "--create-slot", "--plugin", "test_decoding")
        insert(self.primary, 3, start=7000001)
        end = flushed(self.primary)
        self.tree.run(*base, "--start", "--endpos", end, "--no-loop", "--file", out)
        with open(out, encoding="utf-8") as decoded:
            self.assertEqual(decoded.read().count("table public.t: INSERT"), 3)
        self.tree.run(*base, "--drop-slot")

    def test_logical_decoding_on_a_promoted_standby_works(self):
        other = self.make_standby(self.primary, "heir")
        self.wait_replayed(self.primary, other)
        other.promote()
        other.execute("select pg_create_logical_replication_slot('d', 'test_decoding')")
        other.execute("insert into t values (8000001, 'x')")
        changes = other.query("select data from pg_logical_slot_get_changes('d', null, null)")
        self.assertTrue(any("INSERT" in line for (line,) in changes))
        other.stop()

    def test_a_replication_connection_answers_commands(self):
        identity = self.psql_replication("IDENTIFY_SYSTEM").split("|")
        self.assertEqual(identity[0], str(self.primary.value(
            "select system_identifier from pg_control_system()")))
        self.assertEqual(identity[1], "1")
        self.assertLessEqual(lsn_number(identity[2]), lsn_number(flushed(self.primary)))
        self.psql_replication("CREATE_REPLICATION_SLOT by_hand PHYSICAL")
        self.psql_replication("DROP_REPLICATION_SLOT by_hand")
        self.assertEqual(self.psql_replication("SHOW wal_segment_size"), "16MB")

    def psql_replication(self, command):
        return self.tree.run("psql", "-XAt", "-d", self.primary.conninfo("psql") + " replication=true",
                             "-c", command).stdout.strip()


if __name__ == "__main__":
    main()
