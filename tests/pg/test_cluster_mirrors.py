# SPDX-License-Identifier: Apache-2.0
"""A standby of the coordinator and a mirror of each segment, as `sluice init` makes them:
they stream over Sluice, and have what their primaries have."""
import json
import os

from cluster import Case, Cluster, main, wait_until
from hosts import Hosts


class Mirrors(Case):
    """driver: over what the mirrors stream; options: of the cluster."""

    segments = 2
    driver = "shm"

    @classmethod
    def options(cls):
        return {}

    @classmethod
    def prepare(cls):
        cls.cluster = Cluster(cls.tree, cls.segments, mirrors=True, **cls.options())

    def mirrors(self):
        state = json.loads(self.cluster.sluice("state", "-d", self.cluster.directory, "--json",
                                               check=False))
        return [server for server in state["servers"] if server["role"] == "m"]

    def all_stream(self):
        return all(f"streams over {self.driver}" in mirror["replication"]
                   for mirror in self.mirrors())

    def contents(self, port):
        connection = self.cluster.connect(options="-c sluice.session_role=utility", port=port)
        with connection.cursor() as cursor:
            cursor.execute("select count(*), sum(hashtext(t::text)) from t")
            rows = cursor.fetchone()
        connection.close()
        return rows

    def assert_mirrors_have_all(self):
        for mirror in self.mirrors():
            if mirror["content"] != -1:
                primary = self.cluster.server(mirror["content"])
                wait_until(lambda mirror=mirror, primary=primary:
                           self.contents(mirror["port"]) == self.contents(primary["port"]),
                           f"mirror {mirror['content']} has what its primary has")

    def test_a_mirror_per_segment_and_a_standby_stream_over_sluice(self):
        self.assertEqual([mirror["content"] for mirror in self.mirrors()], [-1, 0, 1])
        wait_until(self.all_stream, "all stream over Sluice")

    def test_mirrors_have_what_their_primaries_have(self):
        self.cluster.execute("create table t as select i, repeat('x', i % 100) s "
                             "from generate_series(1, 20000) i")
        self.assert_mirrors_have_all()
        self.cluster.execute("insert into t select i, 'y' from generate_series(1, 1000) i")
        self.assert_mirrors_have_all()
        self.cluster.stop()
        self.cluster.start()
        wait_until(self.all_stream, "all stream again")
        self.assertEqual(self.cluster.value("select count(*) from t"), 21000)
        self.assert_mirrors_have_all()


class MirrorsOfOtherAgents(Mirrors):
    """WAL goes from agent to agent, as between hosts."""

    driver = "network"
    test_mirrors_have_what_their_primaries_have = None  # MirrorsOnOtherHosts has it

    @classmethod
    def options(cls):
        return {"own_agents": True}


class MirrorsOnOtherHosts(Mirrors):
    """Servers let each other in over TLS alone: the agents encrypt, so WAL is theirs."""

    segments = 1
    driver = "network"

    @classmethod
    def options(cls):
        return Hosts(cls.workspace, 2).options()

    def test_agents_encrypt_what_goes_between_hosts(self):
        for host in self.cluster.description["hosts"]:
            directory = os.path.join(self.cluster.directory, f"agent-{host['name']}")
            with open(os.path.join(directory, "log"), encoding="utf-8") as log:
                peers = [line for line in log if "event=peer_up" in line]
            self.assertTrue(peers)
            for line in peers:
                self.assertIn("encrypted=yes", line)


if __name__ == "__main__":
    main()
