# SPDX-License-Identifier: Apache-2.0
"""What a cluster at rest must not have: open channels, busy frames, prepared
transactions, temporary files, processes and shared memory of sessions that ended."""
import json
import os

from cluster import wait_until

REST_S = 30


def channels(cluster):
    """Open channels of all agents, as `sluice top` sees them."""
    count = 0
    for host in cluster.description["hosts"]:
        socket = os.path.join(cluster.directory, f"agent-{host['name']}", "socket")
        report = json.loads(cluster.sluice("top", "--socket", socket, "--json"))
        count += len(report["channels"])
    return count


def temporary_files(cluster):
    found = []
    for server in cluster.description["servers"]:
        for directory, _, names in os.walk(os.path.join(server["data_directory"], "base")):
            if os.path.basename(directory).startswith("pgsql_tmp"):
                found += [os.path.join(directory, name) for name in names]
    return found


def prepared_transactions(cluster):
    return [row for content in range(-1, cluster.segments)
            for row in cluster.query("select gid from pg_prepared_xacts", content=content)]


def sessions(cluster):
    """Sessions of QDs on the segments, and parallel workers anywhere."""
    return [row for content in range(-1, cluster.segments) for row in cluster.query(
        "select backend_type, pid, application_name from pg_stat_activity where pid <> "
        "pg_backend_pid() and backend_type in ('client backend', 'parallel worker')",
        content=content)]


def shared_memory(cluster):
    """Dynamic shared memory segments of the servers: 1 each is the statistics'."""
    count = {}
    for content in range(-1, cluster.segments):
        pid = cluster.postmaster(content)
        with open(f"/proc/{pid}/maps", encoding="ascii") as maps:
            count[content] = sum("PostgreSQL." in line for line in maps)
    return count


def assert_none(test, cluster):
    """All sessions must have been closed by the caller."""
    for probe in (sessions, channels, prepared_transactions, temporary_files):
        try:
            wait_until(lambda: not probe(cluster), f"no {probe.__name__} left", REST_S)
        except AssertionError:
            test.fail(f"left in a cluster at rest: {probe.__name__}: {probe(cluster)}")
