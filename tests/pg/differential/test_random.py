# SPDX-License-Identifier: Apache-2.0
"""Random queries over randomly distributed tables, on a cluster and on plain
PostgreSQL. SLUICE_SEED chooses others, SLUICE_QUERIES how many; a query that differs is
printed with its seed and the script of its tables."""
import os
import random
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))

from servers import Case, main  # noqa: E402

from compare import Pair  # noqa: E402
from generator import Queries, Tables  # noqa: E402
from leaks import assert_none  # noqa: E402

SEED = int(os.environ.get("SLUICE_SEED") or random.SystemRandom().randrange(10**6))
QUERIES = int(os.environ.get("SLUICE_QUERIES", "5000"))
QUERIES_PER_TABLES = 500
SEGMENTS = int(os.environ.get("SLUICE_SEGMENTS", "3"))
FAILURES_MAX = 12


class RandomQueries(Case):
    """Every few hundred queries the tables are made anew, with other distributions."""

    @classmethod
    def prepare(cls):
        cls.pair = Pair(cls.tree, SEGMENTS)

    def make_tables(self, seed):
        script = list(Tables(seed).script())
        self.pair.set_up("drop schema if exists random cascade; create schema random; "
                         "set search_path = random")
        self.pair.set_up(";\n".join(script))
        return script

    def test_random_queries_agree(self):
        print(f"SLUICE_SEED={SEED} SLUICE_QUERIES={QUERIES}", flush=True)
        differences = []
        for first in range(0, QUERIES, QUERIES_PER_TABLES):
            seed = f"{SEED}.{first}"
            script, queries = self.make_tables(seed), Queries(seed)
            before = len(differences)
            for number in range(first, min(first + QUERIES_PER_TABLES, QUERIES)):
                query = queries.next()
                difference = self.pair.difference(query)
                if difference:
                    differences.append(f"seed {SEED}, query {number}:\n{difference}")
                    self.pair.left.run("set search_path = random")
                    if len(differences) >= FAILURES_MAX:
                        break
            if len(differences) > before:
                differences.append("their tables:\n" + ";\n".join(
                    line for line in script if not line.startswith("insert")))
            if len(differences) >= FAILURES_MAX:
                break
        print(f"{QUERIES} queries asked, {len(differences)} reports", flush=True)
        if differences:
            self.fail("\n\n".join(differences))

    def test_zz_nothing_is_left_behind(self):
        self.pair.left.close()
        assert_none(self, self.pair.cluster)


if __name__ == "__main__":
    main()
