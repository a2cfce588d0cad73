# SPDX-License-Identifier: Apache-2.0
"""Real PostgreSQL servers for tests, with the modules of a build in them.

    with Workspace() as workspace:
        tree = Tree(workspace)
        primary = Server(tree, "primary").init(shared_buffers="32MB").start()
        standby = primary.standby("standby").start()
        primary.execute("create table t (a int)")

Servers listen on a free port of loopback and on a socket in the workspace, have data
checksums, trust local connections, and end with the workspace.
"""
import os
import re
import signal
import subprocess
import sys
import unittest

from agents import Agent, build_directory, start_agents
from workspace import SKIPPED, Skip, Timeout, Workspace, free_port, wait_until

try:
    import psycopg2
except ImportError:
    psycopg2 = None

__all__ = ["Agent", "Case", "Server", "Skip", "Timeout", "Tree", "Workspace", "build_directory",
           "free_port", "lsn_number", "main", "psycopg2", "start_agents", "wait_until"]

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PG_CONFIG = "/usr/lib/postgresql/15/bin/pg_config"
START_S = 90
STOP_S = 90
STOPS = {"smart": signal.SIGTERM, "fast": signal.SIGINT, "immediate": signal.SIGQUIT}

# Processes are killed here, machines are not: what the kernel has is as good as on
# disk, and tests need not wait for the disk. bench/ and tests of crashes of hosts
# set fsync themselves.
DEFAULTS = {"fsync": "off", "shared_buffers": "32MB", "max_connections": 60,
            "log_line_prefix": "%m [%p] %b ", "log_min_messages": "info",
            "log_replication_commands": "on", "autovacuum": "off"}


def quoted(value):
    """A value for a configuration file or connection string."""
    return "'" + str(value).replace("\\", "\\\\").replace("'", "\\'") + "'"


def lsn_number(text):
    """'1/2A' as a number."""
    high, low = text.split("/")
    return (int(high, 16) << 32) + int(low, 16)


def _stat(pid):
    """State and parent of a process; None if there is none."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stat:
            fields = stat.read().rpartition(")")[2].split()
        return fields[0], int(fields[1])
    except OSError:
        return None


def _alive(pid):
    """A zombie whom nobody has buried yet holds nothing."""
    stat = _stat(pid)
    return stat is not None and stat[0] not in "ZX"


class Tree:
    """A private copy of the installed PostgreSQL 15 with the modules of a build."""

    def __init__(self, workspace, build=None):
        if not os.access(PG_CONFIG, os.X_OK):
            raise Skip("PostgreSQL 15 with its server headers is not installed")
        if psycopg2 is None:
            raise Skip("Python's psycopg2 is not installed (package python3-psycopg2)")
        self.workspace = workspace
        self.build = build or build_directory()
        done = subprocess.run([os.path.join(ROOT, "tools", "pg-tree"), workspace.path("pg"), self.build],
                              capture_output=True, text=True, check=True)
        self.bin = done.stdout.strip()
        self.library = os.path.join(os.path.dirname(self.bin), "lib")

    def program(self, name):
        return os.path.join(self.bin, name)

    def run(self, name, *arguments, **options):
        """Run one of PostgreSQL's programs as the servers' user; see Workspace.run()."""
        return self.workspace.run([self.program(name), *map(str, arguments)], **options)

    def has_module(self, name):
        return os.path.exists(os.path.join(self.library, name + ".so"))


class Server:
    """One data directory and the postmaster that serves it, or not.

    base: where the data directory lies, if not in the workspace."""

    def __init__(self, tree, name, base=None):
        self.tree = tree
        self.workspace = tree.workspace
        self.name = name
        self.port = free_port()
        self.socket_directory = self.workspace.make_directory("sockets")
        self.data = os.path.join(base or self.workspace.directory, name)
        self.log_path = self.workspace.path(name + ".log")
        self.process = None
        self._settings = {}
        self.workspace.add_log("server " + name, self.log_path)

    # ---- the data directory ------------------------------------------------------

    def init(self, **settings):
        self.tree.run("initdb", "--pgdata", self.data, "--data-checksums", "--no-sync",
                      "--auth", "trust", "--username", "postgres", "--encoding", "UTF8",
                      "--locale", "C")
        return self._adopt({**DEFAULTS, **settings})

    def basebackup(self, source, *arguments, **settings):
        """Fill the data directory with a copy of that server, and with its settings."""
        self.tree.run("pg_basebackup", "--pgdata", self.data, "--checkpoint", "fast", "--no-sync",
                      "--host", source.socket_directory, "--port", source.port,
                      "--username", "postgres", *arguments)
        return self._adopt({**source.settings, **settings})

    def standby(self, name, slot=None, conninfo="", base=None, **settings):
        """Another server, cloned from this one and set to stream from it; not started.
        conninfo: more for primary_conninfo."""
        server = Server(self.tree, name, base)
        arguments = ["--create-slot", "--slot", slot] if slot else []
        server.basebackup(self, *arguments)
        return server.follow(self, slot, conninfo, **settings)

    def follow(self, source, slot=None, conninfo="", **settings):
        """Be a standby of that server from the next start on."""
        self.configure(**{"primary_conninfo": f"{source.conninfo(self.name)} {conninfo}".strip(),
                          "primary_slot_name": slot or "", **settings})
        self.workspace.write(os.path.join(self.data, "standby.signal"), "")
        return self

    def conninfo(self, application="test"):
        """How replication reaches this server: by TCP."""
        return f"host=127.0.0.1 port={self.port} user=postgres application_name={application}"

    def _adopt(self, settings):
        # Programs that look into a data directory (pg_rewind) read postgresql.conf.
        with open(os.path.join(self.data, "postgresql.conf"), "a", encoding="utf-8") as conf:
            conf.write("include 'test.conf'\n")
        return self.configure(**settings)

    @property
    def settings(self):
        return dict(self._settings)

    def configure(self, **settings):
        """Change settings; None takes one away. In force after reload() or start().
        A name with a dot is given as {"a.b": value} with **."""
        self._settings.update(settings)
        self._settings.update(listen_addresses="127.0.0.1", port=self.port,
                              unix_socket_directories=self.socket_directory)
        self._settings = {name: value for name, value in self._settings.items() if value is not None}
        self.workspace.write(os.path.join(self.data, "test.conf"), "".join(
            f"{name} = {quoted(value)}\n" for name, value in self._settings.items()))
        return self

    def reload(self):
        """Returns when the postmaster has read its configuration."""
        mark = self.log_mark()
        self.process.send_signal(signal.SIGHUP)
        self.wait_log("received SIGHUP, reloading configuration files", mark)
        return self

    def control_data(self):
        """pg_controldata's lines as a dictionary."""
        text = self.tree.run("pg_controldata", self.data).stdout
        pairs = (line.partition(":") for line in text.splitlines())
        return {name: value.strip() for name, _, value in pairs}

    # ---- the postmaster ----------------------------------------------------------

    def launch(self):
        """Start the postmaster and return at once."""
        self.process = self.workspace.spawn([self.tree.program("postgres"), "-D", self.data],
                                            self.log_path)
        return self

    def start(self, deadline_s=START_S):
        """Returns when it accepts connections."""
        self.launch()
        wait_until(self.ready, f"server {self.name} is ready", deadline_s)
        return self

    def ready(self):
        """Whether it accepts connections; raises when it has ended."""
        if self.process.poll() is not None:
            raise AssertionError(f"server {self.name} ended with status {self.process.returncode}:\n"
                                 + self.log()[-3000:])
        return self._status() == (str(self.process.pid), "ready")

    def _status(self):
        try:
            with open(os.path.join(self.data, "postmaster.pid"), encoding="ascii") as lines:
                fields = lines.read().splitlines()
            return fields[0], fields[7].strip()
        except (OSError, IndexError):
            return None

    def running(self):
        return self.process is not None and self.process.poll() is None

    def stop(self, mode="fast", deadline_s=STOP_S):
        """smart, fast or immediate, as pg_ctl does. Returns when it has ended."""
        if self.running():
            self.process.send_signal(STOPS[mode])
            try:
                self.process.wait(deadline_s)
            except subprocess.TimeoutExpired as expired:
                raise Timeout(f"server {self.name}: no end of its {mode} shutdown within "
                              f"{deadline_s} s; left: {self.processes()}") from expired
        return self

    def restart(self, mode="fast"):
        self.stop(mode)
        return self.start()

    def promote(self, deadline_s=60):
        """Returns when it is no standby any more."""
        self.execute("select pg_promote(false)")
        wait_until(lambda: not self.value("select pg_is_in_recovery()"),
                   f"{self.name} is promoted", deadline_s)
        return self

    def processes(self, kind=""):
        """{pid: title} of the postmaster's children whose title has that word, such as
        'walsender', 'walreceiver', 'startup', 'checkpointer'. No connection needed."""
        found = {}
        for name in filter(str.isdigit, os.listdir("/proc")):
            stat = _stat(name)
            if not stat or not self.process or stat[1] != self.process.pid:
                continue
            try:
                with open(f"/proc/{name}/cmdline", encoding="utf-8", errors="replace") as line:
                    title = line.read().replace("\0", " ").strip()
            except OSError:
                continue  # ended meanwhile
            if kind in title:
                found[int(name)] = title
        return found

    def signal(self, kind, number=signal.SIGKILL):
        """Send a signal to all processes of that kind; how many there were."""
        pids = self.processes(kind)
        for pid in pids:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass
        return len(pids)

    def kill(self):
        """kill -9 of the postmaster and of all its children, as if the power failed.
        Returns when none is left."""
        if not self.running():
            return self
        self.process.send_signal(signal.SIGSTOP)  # or it would start new ones meanwhile
        children = self.processes()
        self.process.kill()
        for pid in children:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.process.wait()
        wait_until(lambda: not any(map(_alive, children)), f"the processes of {self.name} are gone")
        return self

    # ---- SQL ---------------------------------------------------------------------

    def connect(self, dbname="postgres", **options):
        """A psycopg2 connection in autocommit mode, over the Unix socket."""
        connection = psycopg2.connect(**{"host": self.socket_directory, "port": self.port,
                                         "user": "postgres", "dbname": dbname,
                                         "connect_timeout": 20, **options})
        connection.autocommit = True
        return connection

    def query(self, sql, *values, dbname="postgres"):
        """All rows, over a connection of its own; None if the command has none."""
        connection = self.connect(dbname)
        try:
            with connection.cursor() as cursor:
                cursor.execute(sql, values or None)
                return cursor.fetchall() if cursor.description else None
        finally:
            connection.close()

    execute = query

    def value(self, sql, *values, dbname="postgres"):
        """The first column of the first row; None if there is none."""
        rows = self.query(sql, *values, dbname=dbname)
        return rows[0][0] if rows else None

    def psql(self, sql, *arguments, **options):
        """Output of psql -XAt, which must succeed. For what psycopg2 cannot do."""
        return self.tree.run("psql", "-XAt", "-v", "ON_ERROR_STOP=1", "-h", self.socket_directory,
                             "-p", self.port, "-U", "postgres", *arguments, "-c", sql,
                             **options).stdout.strip()

    # ---- its log -----------------------------------------------------------------

    def log_mark(self):
        """Now, as a place in the log."""
        return os.path.getsize(self.log_path) if os.path.exists(self.log_path) else 0

    def log(self, since=0):
        try:
            with open(self.log_path, "rb") as log:
                log.seek(since)
                return log.read().decode("utf-8", "replace")
        except FileNotFoundError:
            return ""

    def wait_log(self, pattern, since=0, deadline_s=30):
        """The match of a regular expression in what was logged since a mark."""
        return wait_until(lambda: re.search(pattern, self.log(since)),
                          f"{self.name} logs {pattern!r}", deadline_s)


class Case(unittest.TestCase):
    """Tests with a workspace: one for all tests of the class, self.workspace, and a
    tree, self.tree. When a test fails, what was logged during it is printed, the last
    lines of each log."""

    @classmethod
    def setUpClass(cls):
        cls.workspace = Workspace()
        try:
            cls.tree = Tree(cls.workspace)
            cls.prepare()
        except BaseException as error:
            if isinstance(error, Exception) and not isinstance(error, Skip):
                cls.workspace.print_logs()
            cls.workspace.close()
            raise

    @classmethod
    def prepare(cls):
        """For what all tests of a class need."""

    @classmethod
    def tearDownClass(cls):
        cls.workspace.close()

    def run(self, result=None):
        def bad():
            return len(result.failures) + len(result.errors)
        before = bad() if result else 0
        self.workspace.mark_logs()
        super().run(result)
        if result and bad() > before:
            self.workspace.print_logs()
        return result


def main(arguments=None):
    """Run the tests of the calling program: names of tests as arguments, -k PATTERN, -f.
    Exit status 77 if this machine lacks something."""
    argv = [sys.argv[0], *(sys.argv[1:] if arguments is None else arguments)]
    # Python would warn of servers that are left to the janitor.
    program = unittest.main(module="__main__", argv=argv, exit=False, verbosity=2,
                            warnings="ignore")
    result = program.result
    skips = [error for _, error in result.errors if re.search(r"^workspace\.Skip: ", error, re.M)]
    if skips and len(skips) == len(result.errors) and not result.failures:
        print("skipped:", skips[0].strip().splitlines()[-1], file=sys.stderr)
        sys.exit(SKIPPED)
    sys.exit(0 if result.wasSuccessful() else 1)
