# SPDX-License-Identifier: Apache-2.0
"""Hundreds of statements, over every construct, on a cluster and on plain PostgreSQL.

SLUICE_TOPOLOGY says where the segments are: "one" host and agent; "agents", one agent
per segment, so that rows go through the tcp driver; "hosts", network namespaces."""
import os
import re
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))

from hosts import Hosts  # noqa: E402
from servers import Case, main  # noqa: E402

from compare import Pair, split  # noqa: E402
from leaks import assert_none  # noqa: E402

SEGMENTS = int(os.environ.get("SLUICE_SEGMENTS", "2"))
TOPOLOGY = os.environ.get("SLUICE_TOPOLOGY", "one")
ORDERED = re.compile(r"^-- ordered$", re.M)

# Tables that join with each other in every way a plan may have to: on both keys, one
# key, none; replicated, random, partitioned, empty; keys of different types.
SIDES = {"emp": "id", "sale": "emp_id", "sale s2": "item", "item": "id", "dept": "id", "skew": "a",
         "nothing": "a", "two": "x", "wide": "n2", "wide w2": "id", "part": "amount"}
JOINS = ("join", "left join", "full join")


def matrix():
    """Every pair of tables with every kind of join, and semi and anti joins."""
    for left, left_key in SIDES.items():
        for right, right_key in SIDES.items():
            one, other = f"l.{left_key}", f"r.{right_key}"
            tables = left.split()[0], right.split()[0]
            for join in JOINS:
                yield (f"select count(*), count({one}), count({other}), sum({one} + {other}) "
                       f"from {tables[0]} l {join} {tables[1]} r on {one} = {other}")
            yield (f"select count(*), sum({one}) from {tables[0]} l where "
                   f"{'not ' if (len(left) + len(right)) % 2 else ''}exists "
                   f"(select 1 from {tables[1]} r where {one} = {other})")


class Statements(Case):
    """One pair for all tests; session.sql makes its own tables and drops them."""

    @classmethod
    def prepare(cls):
        options = {"own_agents": TOPOLOGY == "agents"}
        if TOPOLOGY == "hosts":
            options = Hosts(cls.workspace, SEGMENTS).options()
        cls.pair = Pair(cls.tree, 1 if TOPOLOGY == "hosts" else SEGMENTS, **options)
        with open(os.path.join(HERE, "tables.sql"), encoding="utf-8") as script:
            cls.pair.set_up(script.read())

    def compare_all(self, statements):
        count, differences = 0, []
        for statement in statements:
            ordered = ORDERED.search(statement) is not None
            difference = self.pair.difference(ORDERED.sub("", statement).strip(), ordered)
            count += 1
            if difference:
                differences.append(difference)
        print(f"{count} statements, {len(differences)} differ", flush=True)
        if differences:
            self.fail(f"{len(differences)} of {count} statements differ:\n\n"
                      + "\n\n".join(differences[:60]))

    def compare_file(self, name):
        with open(os.path.join(HERE, "statements", name + ".sql"), encoding="utf-8") as script:
            self.compare_all(split(script.read()))

    def test_scans_and_expressions_agree(self):
        self.compare_file("scan")

    def test_joins_and_subqueries_agree(self):
        self.compare_file("join")

    def test_aggregates_agree(self):
        self.compare_file("aggregate")

    def test_orders_windows_set_operations_and_ctes_agree(self):
        self.compare_file("order")

    def test_loading_transactions_ddl_and_functions_agree(self):
        self.compare_file("session")

    def test_what_could_be_done_in_several_places_agrees(self):
        self.compare_file("places")

    def test_insertions_agree(self):
        self.compare_file("insert")

    def test_aggregates_of_a_row_outside_agree(self):
        self.compare_file("apply")

    def test_every_pair_of_tables_joins_in_every_way(self):
        self.compare_all(matrix())

    def test_zz_nothing_is_left_behind(self):
        self.pair.left.close()
        assert_none(self, self.pair.cluster)


if __name__ == "__main__":
    unittest.installHandler()
    main()
