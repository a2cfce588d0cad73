#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The fixtures themselves: what every other test here stands on."""
import os
import signal
import subprocess
import sys
import unittest

from servers import Case, Server, Timeout, Workspace, lsn_number, main, start_agents, wait_until


class Fixtures(Case):
    def test_a_server_starts_answers_and_stops_in_each_mode(self):
        server = Server(self.tree, "modes").init()
        for mode in ("smart", "fast", "immediate"):
            server.start()
            self.assertEqual(server.value("select %s + 1", 41), 42)
            self.assertEqual(server.psql("select 'x'"), "x")
            server.stop(mode)
            self.assertFalse(server.running())
        self.assertEqual(server.control_data()["Data page checksum version"], "1")

    def test_a_server_survives_the_death_of_all_its_processes(self):
        server = Server(self.tree, "killed").init().start()
        server.execute("create table t as select 1 as a")
        server.kill()
        server.start()
        self.assertEqual(server.value("select a from t"), 1)
        server.stop()

    def test_a_standby_follows_its_primary(self):
        primary = Server(self.tree, "upstream").init().start()
        standby = primary.standby("downstream", slot="downstream").start()
        primary.execute("create table t as select generate_series(1, 100) as a")
        position = primary.value("select pg_current_wal_lsn()")
        wait_until(lambda: lsn_number(standby.value("select pg_last_wal_replay_lsn()"))
                   >= lsn_number(position), "the standby has replayed it")
        self.assertEqual(standby.value("select count(*) from t"), 100)
        self.assertEqual(len(standby.processes("walreceiver")), 1)
        self.assertEqual(standby.signal("walreceiver", signal.SIGTERM), 1)
        standby.stop()
        primary.stop()

    def test_settings_change_by_a_reload(self):
        server = Server(self.tree, "settings").init(work_mem="1MB").start()
        self.assertEqual(server.value("show work_mem"), "1MB")
        server.configure(work_mem="2MB").reload()
        wait_until(lambda: server.value("show work_mem") == "2MB", "the setting is in force")
        server.stop()

    def test_a_condition_that_does_not_come_true_is_named(self):
        with self.assertRaisesRegex(Timeout, "pigs fly"):
            wait_until(lambda: False, "pigs fly", deadline_s=0.05)

    def test_two_agents_know_each_other_by_a_shared_key(self):
        agents = start_agents(self.workspace, self.tree.build, count=2)
        agents[0].kill()
        agents[0].start()
        wait_until(lambda: agents[1].log().count("event=peer_up ") == 2, "they found each other again")
        for agent in agents:
            agent.stop()
            self.assertEqual(agent.process.returncode, 0)


class Janitor(unittest.TestCase):
    def test_a_killed_test_leaves_neither_files_nor_processes(self):
        program = ("import sys, time; from workspace import Workspace\n"
                   "w = Workspace(); p = w.spawn(['sleep', '600'], w.path('log'))\n"
                   "print(w.directory, p.pid, flush=True); time.sleep(600)")
        with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True,
                              cwd=os.path.dirname(os.path.abspath(__file__))) as test:
            directory, pid = test.stdout.readline().split()
            self.assertTrue(os.path.isdir(directory))
            test.kill()
        wait_until(lambda: not os.path.exists(directory) and not os.path.exists(f"/proc/{pid}"),
                   "the janitor has cleaned up")

    def test_a_workspace_is_gone_when_it_is_closed(self):
        with Workspace() as workspace:
            sleeper = workspace.spawn(["sleep", "600"], workspace.path("log"))
        self.assertFalse(os.path.exists(workspace.directory))
        self.assertEqual(sleeper.wait(), -signal.SIGQUIT)


if __name__ == "__main__":
    main()
