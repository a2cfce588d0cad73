# SPDX-License-Identifier: Apache-2.0
"""Whatever plan is chosen, the answer is the same. Random queries are planned under
random costs and switches, so that plans are tried that small tables would never get, and
their answers compared with those of a plan that only gathers the tables' rows.
SLUICE_SEED chooses others, SLUICE_QUERIES how many; what differs is printed with both."""
import os
import random
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.dirname(HERE), os.path.join(os.path.dirname(HERE), "differential")]

from cluster import ClusterCase, main, psycopg2  # noqa: E402

from compare import Result, same  # noqa: E402
from generator import Queries  # noqa: E402
from tables import TEMPORARY, Tables  # noqa: E402

SEED = int(os.environ.get("SLUICE_SEED") or random.SystemRandom().randrange(10**6))
QUERIES = int(os.environ.get("SLUICE_QUERIES", "60"))
QUERIES_PER_TABLES = 30
SETTINGS_PER_QUERY = 3
FAILURES_MAX = 8

SWITCHES = ("enable_hashjoin", "enable_mergejoin", "enable_nestloop", "enable_hashagg",
            "enable_sort", "enable_indexscan", "enable_seqscan", "enable_material",
            "enable_memoize", "sluice.enable_two_stage_agg", "sluice.enable_direct_dispatch",
            "sluice.enable_decorrelation")


class PlanChoices(ClusterCase):
    """Three segments, to have rows with neither the sender nor the first receiver."""

    segments = 3

    def setUp(self):
        self.connection = self.cluster.connect()
        self.addCleanup(self.connection.close)

    def run_sql(self, sql):
        """A Result, which may be an error."""
        try:
            with self.connection.cursor() as cursor:
                cursor.execute(sql)
                if cursor.description is None:
                    return Result(count=cursor.rowcount)
                return Result([column.name for column in cursor.description], cursor.fetchall())
        except psycopg2.Error as error:
            if self.connection.closed:
                raise AssertionError(f"seed {SEED}: the server died of\n{sql}\n"
                                     f"{self.cluster.log(-1)[-3000:]}") from error
            return Result(error=error.pgcode, message=str(error))

    def settings(self, chooser):
        """Costs under which moving rows is free, dear, or as always; and a few ways less."""
        tuple_cost, setup_cost = chooser.choice([(0, 0), (0, 0), (0.0001, 0), (10, 0), (0.015, 20)])
        off = chooser.sample(SWITCHES, chooser.randint(0, 3))
        return [f"sluice.motion_tuple_cost = {tuple_cost}", f"sluice.motion_setup_cost = {setup_cost}",
                f"geqo_threshold = {chooser.choice([2, 3, 12])}"] + [f"{name} = off" for name in off]

    def explanation(self, query):
        with self.connection.cursor() as cursor:
            cursor.execute("explain (costs off) " + query)
            return "\n".join(line for line, in cursor.fetchall())

    def try_query(self, query, chooser):
        """What differs under some settings; None if nothing does."""
        self.run_sql("set sluice.enable_distributed_plans = off")
        expected = self.run_sql(query)
        self.run_sql("set sluice.enable_distributed_plans = on")
        for _ in range(SETTINGS_PER_QUERY):
            settings = self.settings(chooser)
            for setting in settings:
                self.run_sql("set " + setting)
            found = self.run_sql(query)
            report = same(found, expected)
            if report:
                report = (f"{query}\nunder {'; '.join(settings)}\n{report}\nexpected "
                          f"{expected.describe()}\nfound {found.describe()}\n"
                          f"{self.explanation(query)}")
            self.run_sql("reset all")
            self.run_sql("set search_path = random")
            if report:
                return report
        return None

    def make_tables(self, seed):
        self.run_sql("drop schema if exists random cascade")
        self.run_sql(f"drop table if exists {TEMPORARY}")
        self.run_sql("create schema random")
        self.run_sql("set search_path = random")
        for statement in Tables(seed).script():
            with self.connection.cursor() as cursor:
                cursor.execute(statement)

    def test_every_choice_of_a_plan_gives_the_same_rows(self):
        print(f"SLUICE_SEED={SEED} SLUICE_QUERIES={QUERIES}", flush=True)
        differences = []
        chooser = random.Random(f"settings {SEED}")
        for first in range(0, QUERIES, QUERIES_PER_TABLES):
            seed = f"{SEED}.{first}"
            self.make_tables(seed)
            queries = Queries(seed)
            for number in range(first, min(first + QUERIES_PER_TABLES, QUERIES)):
                report = self.try_query(queries.single(), chooser)
                if report:
                    differences.append(f"seed {SEED}, query {number}:\n{report}")
                if len(differences) >= FAILURES_MAX:
                    self.fail("\n\n".join(differences))
        if differences:
            self.fail("\n\n".join(differences))


if __name__ == "__main__":
    main()
