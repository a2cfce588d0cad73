#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A commit needs no timer to come through. All timers of replication are off here, so a
wake-up that is lost anywhere hangs the commits behind it for good, and is found."""
import threading

from walcase import WalCase, main, stat_replication, wait_until

CLIENTS = 8
COMMITS = 400  # of each client


class Wakeups(WalCase):
    @classmethod
    def prepare_servers(cls):
        # An interval of 0 would turn replies off, not the timer.
        timers = {"wal_receiver_status_interval": "1h", "wal_receiver_timeout": "0",
                  "wal_sender_timeout": "0"}
        cls.primary = cls.make_primary(**timers)
        cls.standby = cls.make_standby(cls.primary)
        cls.primary.configure(synchronous_standby_names="*").reload()
        wait_until(lambda: stat_replication(cls.primary, "standby")["sync_state"] == "sync", "it is sync")

    def commit_all(self, level, clients):
        """Each client commits its rows; returns when all are acknowledged."""
        failures, done = [], [0] * clients

        def client(number):
            try:
                connection = self.primary.connect()
                with connection.cursor() as cursor:
                    cursor.execute(f"set synchronous_commit = {level}")
                    for _ in range(COMMITS):
                        cursor.execute("insert into many values (%s)", (number,))
                        done[number] += 1
                connection.close()
            except Exception as error:  # pylint: disable=broad-except
                failures.append(error)

        threads = [threading.Thread(target=client, args=(number,), daemon=True)
                   for number in range(clients)]
        for thread in threads:
            thread.start()
        seen = 0
        while any(thread.is_alive() for thread in threads):
            # However slow the machine: in twenty seconds some commit comes through.
            wait_until(lambda seen=seen: sum(done) > seen or not any(t.is_alive() for t in threads),
                       f"commits come through with {level}, {clients} clients: {done}", 20)
            seen = sum(done)
        self.assertEqual(failures, [])
        self.assertEqual(done, [COMMITS] * clients)

    def test_no_commit_waits_for_a_timer(self):
        self.primary.execute("create table many (client int)")
        for level in ("remote_write", "on", "remote_apply"):
            for clients in (1, 2, CLIENTS):
                self.commit_all(level, clients)
        self.assert_over_sluice(self.primary)
        self.assert_same_data(self.primary, self.standby)

    def test_a_lone_record_after_a_pause_needs_no_timer(self):
        # Each end has gone to sleep by then: a client that thinks, a cluster at night.
        self.primary.execute("create table lone (a int)")
        for number in range(30):
            wait_until(lambda: self.primary.value(
                "select wait_event from pg_stat_activity where backend_type = 'walsender'"),
                       "the WAL sender waits")
            self.primary.execute("set synchronous_commit = remote_apply; insert into lone values (%s)",
                                 number)
            self.assertEqual(self.standby.value("select count(*) from lone"), number + 1)


if __name__ == "__main__":
    main()
