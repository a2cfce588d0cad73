# SPDX-License-Identifier: Apache-2.0
"""A directory and the processes of one test program, both gone when it ends.

Whatever ends the program - success, failure, a signal, kill -9 - a janitor, forked
at the start, sees its pipe close, ends the processes it was told of and removes the
directory. PostgreSQL refuses to run as root, so as root everything is started as
the user postgres, who owns the directory.
"""
import os
import pwd
import random
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

SKIPPED = 77  # exit status that meson takes for a skipped test
USER = "postgres"


class Skip(Exception):
    """What this machine does not have, in words."""


class Timeout(AssertionError):
    """Something that should have come true did not, in words."""


def wait_until(condition, what, deadline_s=30.0, pause_s=0.02):
    """Returns the first true value of condition(); asks at most every pause_s."""
    deadline = time.monotonic() + deadline_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise Timeout(f"not within {deadline_s:g} s: {what}")
        time.sleep(pause_s)


def free_port():
    """A TCP port of 127.0.0.1 that nobody uses, below those the kernel gives to
    connections, so that it is still free when a server that left it comes back."""
    for _ in range(1000):
        port = random.SystemRandom().randrange(10240, 32768)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                pass
    raise Skip("no free TCP port")


class _Janitor:
    """Cleans up after this process; knows what by lines in a pipe."""

    def __init__(self, directory):
        reading, self._writing = os.pipe()
        sys.stdout.flush()
        sys.stderr.flush()
        self._pid = os.fork()
        if self._pid == 0:
            os.close(self._writing)
            try:
                self._wait_and_clean(reading, directory)
            finally:
                os._exit(0)
        os.close(reading)

    def tell(self, line):
        os.write(self._writing, (line + "\n").encode())

    def finish(self):
        """Let it clean up now. Returns when that is done."""
        os.close(self._writing)
        os.waitpid(self._pid, 0)

    @staticmethod
    def _wait_and_clean(reading, directory):
        os.setsid()  # a signal for the test's process group is not for us
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        processes, commands = [], []
        with os.fdopen(reading) as lines:
            for line in lines:
                word, rest = line.rstrip("\n").split(" ", 1)
                if word == "process":
                    try:  # the descriptor stays right when the number is used again
                        processes.append(os.pidfd_open(int(rest)))
                    except OSError:
                        pass  # it has ended already
                else:
                    commands.append(rest)
        # SIGQUIT stops a server at once, with its children and shared memory.
        for number, patience_s in ((signal.SIGCONT, 0), (signal.SIGQUIT, 10), (signal.SIGKILL, 10)):
            for process in processes:
                try:
                    signal.pidfd_send_signal(process, number)
                except OSError:
                    pass
            deadline = time.monotonic() + patience_s
            processes = [process for process in processes
                         if not select.select([process], [], [],
                                              max(0, deadline - time.monotonic()))[0]]
        for command in reversed(commands):  # what came later may need what came before
            subprocess.run(command, shell=True, check=False, stdin=subprocess.DEVNULL,
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        shutil.rmtree(directory, ignore_errors=True)


class Workspace:
    """A temporary directory and what runs in it. base: where it is made ($TMPDIR,
    else /tmp). Also a context manager."""

    def __init__(self, base=None):
        try:
            self.user = pwd.getpwnam(USER) if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
        except KeyError as error:
            raise Skip(f"there is no user {USER} to run servers as") from error
        # A shell's background job ignores it, and so would all that is started here.
        if signal.getsignal(signal.SIGQUIT) == signal.SIG_IGN:
            signal.signal(signal.SIGQUIT, signal.SIG_DFL)
        base = base or os.environ.get("TMPDIR", "/tmp")
        # Sockets lie in it: their paths have at most 107 bytes.
        self.directory = tempfile.mkdtemp(prefix="sluice-pg-", dir=base if len(base) < 40 else "/tmp")
        os.chmod(self.directory, 0o755)
        os.chown(self.directory, self.user.pw_uid, self.user.pw_gid)
        self._janitor = _Janitor(self.directory)
        self._logs = {}

    def close(self):
        if self._janitor:
            self._janitor.finish()
            self._janitor = None

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind and not issubclass(kind, (Skip, KeyboardInterrupt)):
            self.print_logs()
        self.close()

    def path(self, *names):
        return os.path.join(self.directory, *names)

    def own(self, path):
        """Give a file or directory to the servers' user."""
        os.chown(path, self.user.pw_uid, self.user.pw_gid)
        return path

    def make_directory(self, *names):
        path = self.path(*names)
        os.makedirs(path, mode=0o700, exist_ok=True)
        return self.own(path)

    def write(self, path, text, mode=0o600):
        """A whole file of the servers' user, replaced at once."""
        with open(path + ".new", "w", encoding="utf-8") as out:
            os.chmod(path + ".new", mode)
            out.write(text)
        self.own(path + ".new")
        os.replace(path + ".new", path)
        return path

    def program(self, source):
        """Path of a copy that the servers' user can run, wherever the build is."""
        if not os.access(source, os.X_OK):
            raise Skip(f"no program {source}")
        target = self.path(os.path.basename(source))
        if not os.path.exists(target):
            shutil.copy(source, target)
            os.chmod(target, 0o755)
        return target

    def _as_user(self):
        if os.geteuid() != 0:
            return {}
        return {"user": self.user.pw_uid, "group": self.user.pw_gid, "extra_groups": []}

    def environment(self, **more):
        """What the processes get: nothing of the caller's that PostgreSQL would heed."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
        return {**kept, "LC_ALL": "C", "TZ": "UTC", "HOME": self.directory, **more}

    def spawn(self, command, log, prefix=(), environment=None, **options):
        """Start a process as the servers' user, its output appended to the file log.
        prefix: a command run before that, as we are (such as nsenter)."""
        if prefix and os.geteuid() == 0:
            command = [*prefix, "setpriv", f"--reuid={self.user.pw_uid}",
                       f"--regid={self.user.pw_gid}", "--clear-groups", "--", *command]
            identity = {}
        else:
            identity = self._as_user()
        with open(log, "ab") as out:
            self.own(log)
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=options.pop("stdout", out), stderr=out,
                cwd=self.directory, start_new_session=True, env=self.environment(**(environment or {})),
                **identity, **options)
        self._janitor.tell(f"process {process.pid}")
        return process

    def run(self, command, timeout_s=120, check=True, **environment):
        """Run a command to its end as the servers' user; the CompletedProcess, output as text."""
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
            timeout=timeout_s, cwd=self.directory, env=self.environment(**environment),
            **self._as_user())
        if check and done.returncode:
            raise AssertionError(f"{' '.join(command)}: status {done.returncode}\n"
                                 f"{done.stdout[-2000:]}{done.stderr[-4000:]}")
        return done

    def at_end(self, command):
        """A shell command to run when everything has ended; the last one given first."""
        self._janitor.tell("command " + command)

    def add_log(self, name, path):
        """A log to show when a test fails."""
        self._logs[name] = [path, 0]

    def mark_logs(self):
        """Show from now on only what comes after this."""
        for log in self._logs.values():
            log[1] = os.path.getsize(log[0]) if os.path.exists(log[0]) else 0

    def print_logs(self, lines=80):
        for name, (path, mark) in self._logs.items():
            try:
                with open(path, encoding="utf-8", errors="replace") as log:
                    log.seek(mark)
                    tail = log.readlines()[-lines:]
            except OSError as error:
                tail = [f"{error}\n"]
            if tail:
                print(f"---- end of the log of {name}", *(line.rstrip("\n") for line in tail),
                      sep="\n", file=sys.stderr)
        sys.stderr.flush()
