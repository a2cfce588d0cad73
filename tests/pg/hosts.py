# SPDX-License-Identifier: Apache-2.0
"""Hosts for a cluster's segments: network namespaces on a bridge in the coordinator's
namespace. What stands for ssh enters the namespace as the servers' user."""
import os
import subprocess

from workspace import Skip


def _ip(*arguments):
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise Skip(f"ip {' '.join(arguments)}: {done.stderr.strip()}")


class Hosts:
    """Arguments for Cluster: a coordinator's host and count others, 10.214.0.1 and on."""

    def __init__(self, workspace, count):
        if os.geteuid() != 0:
            raise Skip("network namespaces need root")
        own = f"sluice-{os.getpid()}"
        self.names = [f"{own}-{number}" for number in range(count)]
        for name in [own, *self.names]:
            workspace.at_end(f"ip netns del {name}")
            _ip("netns", "add", name)
            _ip("-n", name, "link", "set", "lo", "up")
        _ip("-n", own, "link", "add", "bridge", "type", "bridge")
        _ip("-n", own, "address", "add", "10.214.0.1/24", "dev", "bridge")
        _ip("-n", own, "link", "set", "bridge", "up")
        self.hosts = []
        for number, name in enumerate(self.names):
            address = f"10.214.0.{number + 2}"
            _ip("link", "add", f"port{number}", "netns", own, "type", "veth",
                "peer", "name", "net", "netns", name)
            _ip("-n", own, "link", "set", f"port{number}", "master", "bridge", "up")
            _ip("-n", name, "address", "add", f"{address}/24", "dev", "net")
            _ip("-n", name, "link", "set", "net", "up")
            self.hosts.append(f"{name}={address}")
        self.address = "10.214.0.1"
        self.prefix = ["ip", "netns", "exec", own]
        ssh = workspace.path("ssh")
        with open(ssh, "w", encoding="ascii") as script:
            script.write("#!/bin/sh\n# ssh TARGET COMMAND\n"
                         f'exec ip netns exec "$1" runuser -u {workspace.user.pw_name} -- '
                         'sh -c "cd / && $2"\n')
        os.chmod(ssh, 0o755)
        self.ssh = ssh

    def options(self):
        return {"hosts": self.hosts, "address": self.address, "prefix": self.prefix,
                "ssh": self.ssh}
