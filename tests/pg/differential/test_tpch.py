# SPDX-License-Identifier: Apache-2.0
"""The 22 queries of TPC-H on generated data, on a cluster and on plain PostgreSQL."""
import glob
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))

from servers import ROOT, Case, main  # noqa: E402

from compare import Pair  # noqa: E402
from leaks import assert_none  # noqa: E402

SEGMENTS = int(os.environ.get("SLUICE_SEGMENTS", "2"))
SCALE = os.environ.get("SLUICE_SCALE", "0.01")
TPCH = os.path.join(ROOT, "bench", "tpch")
TABLES = ("region", "nation", "supplier", "part", "partsupp", "customer", "orders", "lineitem")


def queries():
    """(number, text) of each query."""
    for path in sorted(glob.glob(os.path.join(TPCH, "queries", "*.sql"))):
        with open(path, encoding="utf-8") as query:
            yield os.path.basename(path)[:2], query.read().rstrip().rstrip(";")


class Tpch(Case):
    """A pair with the tables at a small scale factor."""

    @classmethod
    def prepare(cls):
        cls.pair = Pair(cls.tree, SEGMENTS)
        with open(os.path.join(TPCH, "schema.sql"), encoding="utf-8") as schema:
            cls.pair.set_up(schema.read())
        generate = os.path.join(cls.tree.build, "bench", "tpch", "tpch-generate")
        for table in TABLES:
            made = subprocess.run([generate, "--scale", SCALE, "--table", table], check=True,
                                  capture_output=True).stdout.replace(b"|\n", b"\n")
            path = cls.workspace.path(table + ".tbl")
            with open(path, "wb") as out:
                out.write(made)
            for side in (cls.pair.left, cls.pair.right):
                with open(path, "rb") as rows, side.connection.cursor() as cursor:
                    cursor.copy_expert(f"copy {table} from stdin (delimiter '|')", rows)
        cls.pair.set_up("analyze")

    def test_every_table_was_loaded_whole(self):
        for table in TABLES:
            difference = self.pair.difference(f"select count(*) from {table}")
            self.assertIsNone(difference)

    def test_all_22_queries_agree(self):
        differences = []
        for number, query in queries():
            difference = self.pair.difference(query)
            if difference:
                differences.append(f"query {number}:\n{difference}")
        self.assertEqual(len(list(queries())), 22)
        if differences:
            self.fail("\n\n".join(differences))

    def test_zz_nothing_is_left_behind(self):
        self.pair.left.close()
        assert_none(self, self.pair.cluster)


if __name__ == "__main__":
    main()
