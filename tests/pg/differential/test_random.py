# SPDX-License-Identifier: Apache-2.0
"""Random queries over randomly distributed tables, on a cluster and on plain
PostgreSQL. SLUICE_SEED chooses others, SLUICE_QUERIES how many; a query that differs is
printed with its seed, the settings it ran under and the script of its tables. A query
that is an error on both sides tells nothing: how many were is printed, too."""
import collections
import os
import random
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))

from servers import Case, main  # noqa: E402

from compare import Pair, describe_difference, plain  # noqa: E402
from generator import Queries  # noqa: E402
from leaks import assert_none  # noqa: E402
from tables import SINK, TEMPORARY, Tables  # noqa: E402

SEED = int(os.environ.get("SLUICE_SEED") or random.SystemRandom().randrange(10**6))
QUERIES = int(os.environ.get("SLUICE_QUERIES", "5000"))
QUERIES_PER_TABLES = 500
QUERIES_PER_SETTINGS = 50
SEGMENTS = int(os.environ.get("SLUICE_SEGMENTS", "3"))
FAILURES_MAX = 12


class RandomQueries(Case):
    """Every few hundred queries the tables are made anew, with other distributions."""

    @classmethod
    def prepare(cls):
        cls.pair = Pair(cls.tree, SEGMENTS)

        cls.alike = collections.Counter()  # SQLSTATE -> errors of both sides

    def make_tables(self, seed):
        script = list(Tables(seed).script())
        self.pair.set_up(f"drop schema if exists random cascade; drop table if exists {TEMPORARY}; "
                         "create schema random; set search_path = random")
        self.pair.set_up(";\n".join(script))
        return script

    def ask(self, steps):
        """What differs, or None. A step that is an error on both sides is the last."""
        for step in steps:
            left, right = self.pair.left.run(step), self.pair.right.run(plain(step))
            difference = describe_difference(step, left, right)
            if difference:
                return f"{';'.join(steps[:steps.index(step)])}\n{difference}"
            if left.error:
                self.alike[left.error] += 1
                self.pair.both(steps[-1])
                break
        return None

    def ask_of_tables(self, first, differences):
        """Some hundred queries over the same tables. False: enough of it."""
        seed = f"{SEED}.{first}"
        script, queries = self.make_tables(seed), Queries(seed)
        before, settings, more = len(differences), [], True
        for number in range(first, min(first + QUERIES_PER_TABLES, QUERIES)):
            if number % QUERIES_PER_SETTINGS == 0:
                settings = queries.settings()
                self.pair.set_up(";".join(settings))
            difference = self.ask(queries.next())
            if not difference:
                continue
            differences.append(f"seed {SEED}, query {number}:\n{difference}\n"
                               f"  {'; '.join(settings)}")
            more = len(differences) < FAILURES_MAX and not self.pair.left.connection.closed
            if not more:
                break
            self.pair.set_up(";".join(["rollback", "deallocate all", f"truncate {SINK}",
                                       "set search_path = random"] + settings))
        if len(differences) > before:
            differences.append("their tables:\n" + ";\n".join(
                line for line in script if not line.startswith("insert")))
        return more

    def test_random_queries_agree(self):
        print(f"SLUICE_SEED={SEED} SLUICE_QUERIES={QUERIES}", flush=True)
        differences = []
        for first in range(0, QUERIES, QUERIES_PER_TABLES):
            if not self.ask_of_tables(first, differences):
                break
        useless = sum(self.alike.values())
        print(f"{QUERIES} queries asked, {len(differences)} reports, {useless} "
              f"({100 * useless / max(QUERIES, 1):.1f}%) errors on both sides: "
              f"{dict(self.alike.most_common())}", flush=True)
        if differences:
            self.fail("\n\n".join(differences))

    def test_zz_nothing_is_left_behind(self):
        self.pair.left.close()
        assert_none(self, self.pair.cluster)


if __name__ == "__main__":
    main()
