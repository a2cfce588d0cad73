# SPDX-License-Identifier: Apache-2.0
"""A real cluster for tests: made, started and stopped by the `sluice` command.

    with Workspace() as workspace:
        cluster = Cluster(Tree(workspace), segments=2)
        cluster.execute("create table t (a int)")
"""
import json
import os
import signal
import subprocess

from servers import Case, Skip, Timeout, Tree, Workspace, free_port, main, psycopg2, wait_until

__all__ = ["Case", "Cluster", "ClusterCase", "Skip", "Timeout", "Tree", "Workspace", "free_port",
           "main", "psycopg2", "wait_until"]

INIT_S = 300


def free_port_range(count):
    """The first of so many ports that follow each other, free a moment ago."""
    for _ in range(100):
        first = free_port()
        if first + count < 65000:
            return first
    raise Skip("no range of free ports")


class Cluster:
    """own_agents: an agent per segment, so that rows between them go through a driver.
    hosts: "TARGET=ADDRESS" of other hosts, reached by the command ssh; else all is on this
    one. prefix: of the `sluice` command, such as `ip netns exec`. mirrors: of all
    segments, and a standby. more: options of `sluice init`."""

    def __init__(self, tree, segments=2, name="cluster", own_agents=False, hosts=(), address=None,
                 ssh=None, prefix=(), mirrors=False, settings=None, more=()):
        self.tree = tree
        self.workspace = tree.workspace
        self.segments = segments * max(1, len(hosts))
        self.directory = self.workspace.path(name)
        self.command = [*prefix, os.path.join(tree.build, "cluster", "sluice")]
        arguments = ["init", "--directory", self.directory, "--segments", segments,
                     "--port", free_port_range(3 * self.segments + 3),
                     *self.programs(tree), "--arena-size", "192M"]
        arguments += ["--own-agents"] if own_agents else []
        arguments += ["--standby", "--mirrors"] if mirrors else []
        arguments += ["--address", address] if address else []
        arguments += ["--ssh", ssh] if ssh else []
        arguments += more
        for host in hosts:
            arguments += ["--host", host]
        # Told first: also an init that is cut off has started processes.
        self.workspace.at_end(" ".join(self.command) + f" stop -d {self.directory} -m immediate")
        self.sluice(*arguments)
        with open(os.path.join(self.directory, "cluster.json"), encoding="utf-8") as description:
            self.description = json.load(description)
        self.socket_directory = os.path.join(self.directory, "socket")
        # Processes are killed here, machines are not.
        for setting, value in {"fsync": "off", **(settings or {})}.items():
            self.sluice("config", "-d", self.directory, f"{setting}={value}")

    @staticmethod
    def programs(tree):
        """Options of `sluice init`: what it runs."""
        return ["--pg-bin", tree.bin, "--agent", tree.workspace.program(
            os.path.join(tree.build, "transport", "agent", "sluiced"))]

    def sluice(self, *arguments, check=True):
        """The `sluice` command; its output."""
        done = subprocess.run([*self.command, *map(str, arguments)], capture_output=True, text=True,
                              timeout=INIT_S, check=False)
        if check and done.returncode != 0:
            raise AssertionError(f"sluice {' '.join(map(str, arguments))}: status "
                                 f"{done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout + done.stderr

    def start(self):
        self.sluice("start", "-d", self.directory)

    def stop(self, mode="fast"):
        self.sluice("stop", "-d", self.directory, "-m", mode)

    def server(self, content):
        """Description of a primary: port, data_directory, ...; -1 is the coordinator."""
        return next(server for server in self.description["servers"]
                    if server["content"] == content and server["role"] == "p")

    def postmaster(self, content):
        """Process id of a server."""
        path = os.path.join(self.server(content)["data_directory"], "postmaster.pid")
        with open(path, encoding="ascii") as lines:
            return int(lines.readline())

    def agent(self, host=0):
        """Process id of a host's agent."""
        name = self.description["hosts"][host]["name"]
        with open(os.path.join(self.directory, f"agent-{name}", "pid"), encoding="ascii") as pid:
            return int(pid.read())

    def log(self, content):
        """All that a server has logged."""
        directory = os.path.join(self.server(content)["data_directory"], "log")
        text = ""
        for name in sorted(os.listdir(directory)):
            with open(os.path.join(directory, name), encoding="utf-8", errors="replace") as log:
                text += log.read()
        return text

    # ---- SQL ----

    def connect(self, dbname="postgres", content=-1, utility=False, **options):
        """A psycopg2 connection in autocommit mode."""
        if utility or content != -1:
            options.setdefault("options", "-c sluice.session_role=utility")
        connection = psycopg2.connect(**{"host": self.socket_directory,
                                         "port": self.server(content)["port"],
                                         "user": "postgres", "dbname": dbname,
                                         "connect_timeout": 20, **options})
        connection.autocommit = True
        return connection

    def query(self, sql, *values, **options):
        """All rows, over a connection of its own; None if the command has none."""
        connection = self.connect(**options)
        try:
            with connection.cursor() as cursor:
                cursor.execute(sql, values or None)
                return cursor.fetchall() if cursor.description else None
        finally:
            connection.close()

    execute = query

    def value(self, sql, *values, **options):
        rows = self.query(sql, *values, **options)
        return rows[0][0] if rows else None

    def kill(self, pid, number=signal.SIGKILL):
        os.kill(pid, number)


class ClusterCase(Case):
    """Tests with a cluster of two segments, self.cluster."""

    segments = 2

    @classmethod
    def prepare(cls):
        cls.cluster = Cluster(cls.tree, cls.segments)
