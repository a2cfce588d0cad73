# SPDX-License-Identifier: Apache-2.0
"""Two network namespaces with a cable between them that can be cut: agents run in
them, the servers outside, so that a cut hits the stream over Sluice alone."""
import os
import subprocess

from walcase import Skip

HOSTS = ("10.213.0.1", "10.213.0.2")


def _ip(*arguments):
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise Skip(f"ip {' '.join(arguments)}: {done.stderr.strip()}")


class Cable:
    """prefixes[i] runs a command in host i; hosts[i] is its address there."""

    hosts = HOSTS

    def __init__(self, workspace):
        if os.geteuid() != 0:
            raise Skip("network namespaces need root")
        self._names = [f"sluice-{os.getpid()}-{end}" for end in "ab"]
        for name in self._names:
            workspace.at_end(f"ip netns del {name}")
            _ip("netns", "add", name)
            _ip("-n", name, "link", "set", "lo", "up")
        _ip("link", "add", "cable", "netns", self._names[0], "type", "veth",
            "peer", "name", "cable", "netns", self._names[1])
        for name, host in zip(self._names, HOSTS):
            _ip("-n", name, "address", "add", host + "/24", "dev", "cable")
            _ip("-n", name, "link", "set", "cable", "up")
        self.prefixes = [["nsenter", f"--net=/run/netns/{name}"] for name in self._names]

    def cut(self):
        _ip("-n", self._names[0], "link", "set", "cable", "down")

    def join(self):
        _ip("-n", self._names[0], "link", "set", "cable", "up")
