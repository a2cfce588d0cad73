#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Slots, hot standby feedback and the limits on WAL senders, as with stock."""
import signal

from walcase import (WalCase, insert, lsn_number, main, psycopg2, stat_replication,
                     wait_until)


class Slots(WalCase):
    @classmethod
    def prepare_servers(cls):
        cls.primary = cls.make_primary(wal_keep_size="0", max_wal_senders=4, min_wal_size="32MB",
                                       max_wal_size="64MB")
        cls.standby = cls.make_standby(cls.primary, slot="kept",
                                       wal_receiver_status_interval="1s")

    def slot(self, column, name="kept"):
        return self.primary.value(f"select {column} from pg_replication_slots where slot_name = %s",
                                  name)

    def tearDown(self):
        self.wait_streaming(self.primary)
        self.assert_over_sluice(self.primary)
        self.assert_same_data(self.primary, self.standby)

    def test_a_slot_keeps_the_log_of_an_absent_standby(self):
        self.standby.stop()
        held = self.slot("restart_lsn")
        for _ in range(4):
            insert(self.primary, 2000, width=1000)
            self.primary.execute("select pg_switch_wal(); checkpoint")
        self.assertEqual(self.slot("restart_lsn"), held)
        self.assertEqual(self.slot("wal_status") in ("reserved", "extended"), True)
        self.standby.start()
        self.wait_streaming(self.primary)

    def test_a_slot_moves_to_what_the_standby_has_flushed(self):
        insert(self.primary, 1000)
        self.wait_replayed(self.primary, self.standby)
        wait_until(lambda: self.slot("restart_lsn") ==
                   stat_replication(self.primary, "standby")["flush_lsn"] ==
                   self.primary.value("select pg_current_wal_lsn()"), "the slot is at the end of the log")
        self.assertTrue(self.slot("active"))
        self.assertEqual(self.slot("active_pid"), stat_replication(self.primary, "standby")["pid"])

    def test_a_slot_survives_a_restart_of_the_primary(self):
        for mode in ("fast", "immediate"):
            self.primary.restart(mode)
            self.wait_streaming(self.primary)
            wait_until(lambda: self.slot("active"), "the slot is in use again")

    def test_feedback_of_a_hot_standby_holds_back_vacuum(self):
        self.standby.configure(hot_standby_feedback="on").reload()
        reader = self.standby.connect()
        reader.autocommit = False
        with reader.cursor() as cursor:
            cursor.execute("set transaction isolation level repeatable read")
            cursor.execute("select count(*) from t")
            wait_until(lambda: self.slot("xmin"), "the slot holds the standby's xmin")
            held = int(self.slot("xmin"))
            for _ in range(5):
                insert(self.primary, 1)
            self.assertEqual(int(self.slot("xmin")), held)
        reader.rollback()
        reader.close()
        wait_until(lambda: insert(self.primary, 1) or int(self.slot("xmin")) > held,
                   "xmin moves when the reader is gone", pause_s=0.2)
        self.standby.configure(hot_standby_feedback="off").reload()
        wait_until(lambda: self.slot("xmin") is None, "without feedback there is no xmin")

    def test_a_walreceiver_that_ends_gives_its_place_back(self):
        for _ in range(6):  # more often than there are places
            before = self.wait_streaming(self.primary)["pid"]
            self.standby.signal("walreceiver", signal.SIGTERM)
            wait_until(lambda before=before: (stat_replication(self.primary, "standby", "streaming")
                                              or {"pid": before})["pid"] != before, "it is back")

    def test_places_for_walsenders_are_limited(self):
        self.assertEqual(self.primary.value("show max_wal_senders"), "4")
        connections = []
        try:
            while True:
                connections.append(self.primary.connect(replication="true"))
        except psycopg2.OperationalError as error:
            self.assertIn("number of requested standby connections exceeds max_wal_senders", str(error))
        self.assertEqual(len(connections), 3)
        for connection in connections:
            connection.close()

    def test_a_slot_that_serves_one_standby_refuses_another(self):
        wait_until(lambda: self.slot("active"), "the slot is in use")
        other = self.make_standby(self.primary, "other", start=False, primary_slot_name="kept")
        other.start()
        other.wait_log('replication slot "kept" is active for PID')
        other.stop()

    def test_removed_log_is_told_to_the_standby(self):
        behind = self.make_standby(self.primary, "behind")
        behind.stop()
        start = lsn_number(self.primary.value("select pg_current_wal_lsn()"))
        while lsn_number(self.primary.value("select pg_current_wal_lsn()")) < start + (128 << 20):
            insert(self.primary, 3000, width=3000)
            self.wait_replayed(self.primary, self.standby)
            self.primary.execute("select pg_switch_wal(); checkpoint")
        mark = behind.log_mark()
        behind.start()
        behind.wait_log("requested WAL segment [0-9A-F]+ has already been removed", mark)
        behind.stop()


if __name__ == "__main__":
    main()
