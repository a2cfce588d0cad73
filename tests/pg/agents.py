# SPDX-License-Identifier: Apache-2.0
"""Real sluiced processes: one, or several that are nodes of one cluster on loopback.

    agents = start_agents(workspace, build, count=2)   # "a" and "b", with a pre-shared key
    agents[0].socket                                   # what a process attaches to
"""
import os
import secrets
import signal
import subprocess

from workspace import Skip, free_port, wait_until

CLUSTER_ID = 42
START_S = 60
STOP_S = 30
ARENA = {"size": "64M", "frame_size": "64k", "max_channels": "128", "receive_frames": "256",
         "max_processes": "64", "hugepages": "never", "numa": "off"}


def sections_text(sections):
    """{"agent": {"node": "a"}} as the text of a configuration."""
    return "".join(f"[{name}]\n" + "".join(f"{key} = {value}\n" for key, value in keys.items())
                   for name, keys in sections.items())


class Agent:
    """One sluiced. Made by start_agents()."""

    def __init__(self, workspace, program, node, sections, prefix=()):
        self.workspace = workspace
        self.node = node
        self.process = None
        self._program = program
        self._prefix = prefix
        directory = workspace.make_directory("agent-" + node)
        os.chmod(directory, 0o755)
        self.socket = os.path.join(directory, "sock")
        self.log_path = os.path.join(directory, "log")
        sections["agent"]["socket"] = self.socket
        self.config_path = workspace.write(os.path.join(directory, "conf"), sections_text(sections))
        workspace.add_log("agent " + node, self.log_path)

    def start(self):
        """Returns when it serves."""
        self.process = self.workspace.spawn([self._program, "--config", self.config_path],
                                            self.log_path, self._prefix, stdout=subprocess.PIPE)
        self._wait_ready()
        return self

    def _wait_ready(self):
        with self.process.stdout as output:
            os.set_blocking(output.fileno(), False)
            text = bytearray()

            def said():
                text.extend(output.read() or b"")
                return b"sluiced ready " in text or self.process.poll() is not None

            wait_until(said, f"agent {self.node} is ready", START_S)
        if self.process.poll() is not None:
            raise AssertionError(f"agent {self.node} ended with status {self.process.returncode}:\n"
                                 + self.log()[-2000:])

    def running(self):
        return self.process is not None and self.process.poll() is None

    def _end(self, number):
        if not self.running():
            return
        self.process.send_signal(number)
        self.process.wait(STOP_S)

    def stop(self):
        """SIGTERM, in order."""
        self._end(signal.SIGTERM)

    def kill(self):
        self._end(signal.SIGKILL)

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as log:
            return log.read()


def start_agents(workspace, build, count=1, driver="tcp", settings=None, prefixes=None, hosts=None):
    """Agents "a", "b", ... of one cluster, running and connected with each other. settings:
    {"agent": {"keepalive": "1s"}} for all of them. prefixes, hosts: for each a command to run it under, and the address
    that it has there (loopback)."""
    program = workspace.program(os.path.join(build, "transport", "agent", "sluiced"))
    hosts = hosts or ["127.0.0.1"] * count
    nodes = [chr(ord("a") + number) for number in range(count)]
    addresses = [f"{host}:{free_port()}" for host in hosts]
    key = workspace.write(workspace.path("psk"), secrets.token_hex(32) + "\n")
    agents = []
    for number, node in enumerate(nodes):
        sections = {
            "agent": {"node": node, "cluster_id": CLUSTER_ID,
                      "allow_users": ",".join(sorted({"0", str(workspace.user.pw_uid)}))},
            "arena": dict(ARENA),
        }
        if count > 1:
            sections["control"] = {"listen": addresses[number], "auth": "psk", "psk_file": key}
            sections["driver"] = {"name": driver}
            if driver.endswith("tcp"):
                sections["driver"]["listen"] = hosts[number] + ":0"
            sections.update({f"peer {peer}": {"address": address}
                             for peer, address in zip(nodes, addresses)})
        for name, keys in (settings or {}).items():
            sections.setdefault(name, {}).update(keys)
        agents.append(Agent(workspace, program, node, sections,
                            prefixes[number] if prefixes else ()))
    for agent in agents:
        agent.start()
    for agent in agents:
        wait_until(lambda agent=agent: agent.log().count("event=peer_up ") >= count - 1,
                   f"agent {agent.node} knows its peers", START_S)
    return agents


def build_directory():
    """The meson build that is tested: $SLUICE_BUILD."""
    build = os.environ.get("SLUICE_BUILD")
    if not build:
        raise Skip("SLUICE_BUILD does not name a build directory")
    return os.path.abspath(build)
