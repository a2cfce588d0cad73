# SPDX-License-Identifier: Apache-2.0
"""The `sluice` command: init, start, stop, state, config, psql on a real cluster."""
import json
import os
import re
import subprocess

from cluster import ClusterCase, main, wait_until


class ClusterCommand(ClusterCase):
    """One cluster of two segments for all tests; each leaves it running."""

    def state(self):
        return json.loads(self.cluster.sluice("state", "-d", self.cluster.directory, "--json",
                                              check=False))

    def test_init_makes_a_coordinator_segments_and_an_agent_that_serve(self):
        state = self.state()
        self.assertTrue(state["all_up"])
        self.assertEqual([server["content"] for server in state["servers"]], [-1, 0, 1])
        self.assertEqual(len(state["agents"]), 1)
        rows = self.cluster.query("select content, port from sluice.segment_configuration order by 1")
        self.assertEqual(rows, [(server["content"], server["port"])
                                for server in state["servers"]])

    def test_no_server_runs_as_root(self):
        for content in (-1, 0, 1):
            self.assertNotEqual(os.stat(f"/proc/{self.cluster.postmaster(content)}").st_uid, 0)
        self.assertNotEqual(os.stat(f"/proc/{self.cluster.agent()}").st_uid, 0)

    def test_init_refuses_a_directory_that_is_not_empty(self):
        output = self.cluster.sluice("init", "-d", self.cluster.directory, check=False)
        self.assertIn("not empty", output)
        self.assertTrue(self.state()["all_up"])

    def test_init_refuses_ports_that_are_taken(self):
        directory = self.workspace.path("other")
        output = self.cluster.sluice("init", "-d", directory, "--port",
                                     self.cluster.server(-1)["port"], check=False)
        self.assertIn("in use", output)

    def test_start_and_stop_can_be_repeated(self):
        self.cluster.stop()
        self.assertFalse(self.state()["all_up"])
        self.cluster.stop()
        self.cluster.start()
        self.cluster.start()
        self.assertTrue(self.state()["all_up"])
        self.assertEqual(self.cluster.value("select 1"), 1)

    def test_start_brings_back_what_was_killed(self):
        self.cluster.kill(self.cluster.postmaster(1))
        self.cluster.kill(self.cluster.agent())
        wait_until(lambda: not self.state()["all_up"], "the loss is seen")
        down = self.cluster.sluice("state", "-d", self.cluster.directory, "--errors", check=False)
        self.assertIn("segment 1", down)
        self.assertNotIn("segment 0", down)
        self.cluster.start()
        self.assertTrue(self.state()["all_up"], self.state())

    def test_config_shows_and_changes_a_setting_everywhere(self):
        directory = self.cluster.directory
        self.cluster.sluice("config", "-d", directory, "work_mem=7MB")
        rows = json.loads(self.cluster.sluice("config", "-d", directory, "--json", "work_mem"))
        self.assertEqual([row["value"] for row in rows], ["7MB"] * 3)
        self.cluster.sluice("config", "-d", directory, "--segments", "work_mem=8MB")
        rows = json.loads(self.cluster.sluice("config", "-d", directory, "--json", "work_mem"))
        self.assertEqual([row["value"] for row in rows], ["7MB", "8MB", "8MB"])
        self.cluster.sluice("config", "-d", directory, "--reset", "work_mem")
        rows = json.loads(self.cluster.sluice("config", "-d", directory, "--json", "work_mem"))
        self.assertEqual([row["value"] for row in rows], ["4MB"] * 3)

    def test_config_refuses_a_bad_value_and_changes_nothing(self):
        output = self.cluster.sluice("config", "-d", self.cluster.directory, "work_mem=red",
                                     check=False)
        self.assertIn("invalid value", output)
        self.assertIn("4MB", self.cluster.sluice("config", "-d", self.cluster.directory, "work_mem"))

    def test_config_takes_lists(self):
        directory = self.cluster.directory
        for value, shown in (("a, b", "a, b"), ('"A b",c', '"A b", c'), ("one", "one"), ("", '""')):
            self.cluster.sluice("config", "-d", directory, f"search_path={value}")
            rows = json.loads(self.cluster.sluice("config", "-d", directory, "--json", "search_path"))
            self.assertEqual([row["value"] for row in rows], [shown] * 3, value)
        self.cluster.sluice("config", "-d", directory, "--reset", "search_path")

    def test_servers_and_agents_hold_no_files_of_the_command_that_started_them(self):
        for pid in (self.cluster.postmaster(-1), self.cluster.postmaster(1), self.cluster.agent()):
            files = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
            self.assertEqual([file for file in files if "(deleted)" in file and "memfd" not in file], [])

    def test_config_tells_what_waits_for_a_restart(self):
        output = self.cluster.sluice("config", "-d", self.cluster.directory, "max_wal_senders=9")
        self.assertIn("restart", output)
        self.cluster.sluice("config", "-d", self.cluster.directory, "--reset", "max_wal_senders")

    def test_psql_reaches_the_coordinator_and_one_segment(self):
        directory = self.cluster.directory
        self.assertEqual(self.cluster.sluice("psql", "-d", directory, "--", "-XAtc",
                                             "show sluice.content").strip(), "-1")
        self.assertEqual(self.cluster.sluice("psql", "-d", directory, "-c", "1", "--", "-XAtc",
                                             "show sluice.content").strip(), "1")

    def test_check_finds_what_a_segment_knows_otherwise(self):
        directory = self.cluster.directory
        self.cluster.execute("create table known (a int primary key) with (distributed_by = 'a')")
        self.assertIn("agree", self.cluster.sluice("check", "-d", directory))
        self.cluster.execute("alter table known add column b int", content=1)
        self.cluster.execute("create table unknown (a int)", content=0)
        output = self.cluster.sluice("check", "-d", directory, check=False)
        self.assertIn("segment 1, database postgres: table public.known: is another", output)
        self.assertIn("segment 0, database postgres: table public.unknown: is not on the coordinator",
                      output)
        differences = json.loads(self.cluster.sluice("check", "-d", directory, "--json", check=False))
        self.assertEqual({row["content"] for row in differences}, {0, 1})
        self.cluster.execute("alter table known drop column b", content=1)
        self.cluster.execute("drop table unknown", content=0)

    def test_demo_makes_a_cluster_to_look_at_and_takes_it_away(self):
        directory = self.workspace.path("demo")
        self.workspace.at_end(" ".join(self.cluster.command) + f" demo --stop -d {directory}")
        demo = ["demo", "-d", directory, "--scale", "0.01", "--segments", "2", "--arena-size", "192M",
                *self.cluster.programs(self.cluster.tree)]
        for _ in ("made", "made anew"):
            output = self.cluster.sluice(*demo)
            self.assertRegex(output, "(Redistribute|Broadcast) Motion 2:2")
            self.assertIn("The cluster runs", output)
        connect = re.search(r"psql -h \S+ -p \d+ -U postgres postgres", output).group().split()
        rows = subprocess.run([self.cluster.tree.program("psql"), *connect[1:], "-XAtc",
                               "select count(*) from orders"], capture_output=True, check=True)
        self.assertEqual(int(rows.stdout), 15000)
        self.cluster.sluice("demo", "--stop", "-d", directory)
        self.assertFalse(os.path.exists(directory))

    def test_demo_touches_no_other_cluster(self):
        for demo in (["demo"], ["demo", "--stop"]):
            output = self.cluster.sluice(*demo, "-d", self.cluster.directory, check=False)
            self.assertRegex(output, "not empty|no demo is in")
        self.assertTrue(self.state()["all_up"])

    def test_bad_usage_is_refused_with_status_2(self):
        for arguments in (["stop", "-m", "gently"], ["config"], ["init"], ["nothing"],
                          ["state", "--unknown"], ["init", "-d", "x", "-n", "0"]):
            done = subprocess.run([*self.cluster.command, *arguments], capture_output=True,
                                  check=False)
            self.assertEqual(done.returncode, 2, arguments)

    def test_an_unreadable_cluster_is_an_error_that_names_the_file(self):
        output = self.cluster.sluice("state", "-d", self.workspace.path("nowhere"), check=False)
        self.assertIn("nowhere/cluster.json", output)


if __name__ == "__main__":
    main()
