# SPDX-License-Identifier: Apache-2.0
"""A standby of the coordinator and a mirror of each segment, as `sluice init` makes them:
they stream over Sluice, and have what their primaries have."""
import json

from cluster import Case, Cluster, main, wait_until


class Mirrors(Case):
    """driver: over what the mirrors stream; own_agents sends WAL from agent to agent."""

    own_agents = False
    driver = "shm"

    @classmethod
    def prepare(cls):
        cls.cluster = Cluster(cls.tree, 2, own_agents=cls.own_agents, mirrors=True)

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
    own_agents = True
    driver = "network"


if __name__ == "__main__":
    main()
