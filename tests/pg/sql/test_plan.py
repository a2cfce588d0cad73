# SPDX-License-Identifier: Apache-2.0
"""What plans look like: where the work is done, what is refused, and what a statement
sees of the session it is asked in."""
import glob
import json
import os
import re
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))

from cluster import ClusterCase, main, psycopg2  # noqa: E402

TPCH = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(HERE))), "bench", "tpch")
# Rows and pages of scale factor 1, as if it had been analyzed.
SIZES = {"lineitem": (6001215, 112000), "orders": (1500000, 26000), "customer": (150000, 3600),
         "part": (200000, 4100), "partsupp": (800000, 17500), "supplier": (10000, 220),
         "nation": (25, 1), "region": (5, 1)}
# Gathered tables that are not worth more: Q15 and Q20 end with a sort of few suppliers.
SMALL = ("supplier", "nation", "region")


class Plan(ClusterCase):
    """Two segments; small tables that are told to be large."""

    @classmethod
    def prepare(cls):
        super().prepare()
        with open(os.path.join(TPCH, "schema.sql"), encoding="ascii") as schema:
            cls.cluster.execute(schema.read())
        for table, (rows, pages) in SIZES.items():
            cls.cluster.execute("update pg_class set reltuples = %s, relpages = %s"
                                " where relname = %s", rows, pages, table)
        cls.cluster.execute("""
            create table t (a int, b int, c text) with (distributed_by = 'a');
            create table u (a int, b int, c text) with (distributed_by = 'a');
            create table same (id int, x int) with (distributed_by = 'replicated');
            create table p (k int, d date) partition by range (d) with (distributed_by = 'k');
            create table p1 partition of p for values from ('2020-01-01') to ('2021-01-01');
            create table p2 partition of p for values from ('2021-01-01') to ('2022-01-01');
            insert into t select i, i % 10, 'c' || i % 7 from generate_series(1, 1000) i;
            insert into u select i, i % 20, 'c' || i % 9 from generate_series(1, 1000) i;
            insert into same select i, i from generate_series(1, 20) i;
            insert into p select i, date '2020-01-01' + i from generate_series(1, 700) i;
            analyze t; analyze u; analyze same; analyze p""")

    def setUp(self):
        self.connection = self.cluster.connect()
        self.addCleanup(self.connection.close)

    def rows(self, sql):
        with self.connection.cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetchall() if cursor.description else None

    def explain(self, sql):
        return "\n".join(line for line, in self.rows("explain (costs off) " + sql))

    def count(self, words, sql):
        return len(re.findall(words, self.explain(sql)))

    def move_for_nothing(self):
        self.rows("set sluice.motion_setup_cost = 0; set sluice.motion_tuple_cost = 0")

    def fails(self, sqlstate, sql):
        with self.assertRaises(psycopg2.Error) as caught:
            self.rows(sql)
        self.assertEqual(caught.exception.pgcode, sqlstate, caught.exception)
        return str(caught.exception)

    # ---- joins ----

    def test_tables_distributed_alike_are_joined_where_they_are(self):
        self.assertEqual(self.count("Motion", "select * from t join u using (a)"), 1)

    def test_a_replicated_table_is_joined_where_the_other_is(self):
        self.assertEqual(self.count("Motion", "select * from t join same on t.b = same.id"), 1)

    def test_a_replicated_table_on_the_outside_is_not_joined_once_per_segment(self):
        sql = "select count(*) from same left join t on same.x = t.a + 5000"
        self.assertEqual(self.rows(sql), [(20,)])

    def test_only_the_side_that_is_elsewhere_moves(self):
        sql = "select * from t join u on t.a = u.b"
        self.assertEqual(self.count("Redistribute|Broadcast", sql), 1)

    def test_a_constant_key_asks_one_segment(self):
        sql = "select t.b, count(*) from t join u using (a) where t.a = 7 group by t.b"
        self.assertNotRegex(self.explain(sql), "segments: 2")

    def test_rows_of_the_coordinator_are_sent_to_the_table_they_join(self):
        self.move_for_nothing()
        self.rows("create temp table mine as select i as a from generate_series(1, 5) i")
        for source in ("mine", "(select a from u order by c, a limit 5)"):
            plan = self.explain(f"select count(*) from t join {source} m on m.a = t.a")
            self.assertRegex(plan, r"(?s)Gather Motion.*Join.*(Redistribute|Broadcast) Motion 1:2")
        self.assertRegex(self.explain("select count(*) from t join pg_class c on c.relname = t.c"),
                         "(Redistribute|Broadcast) Motion 1:2")
        for sql in ("with w as materialized (select * from mine) select * from t join w using (a)",
                    "select t.a, mine from t join mine using (a)",
                    "update mine set a = t.b from t where t.a = mine.a"):
            self.assertNotIn("Motion 1:2", self.explain(sql), "has state, or no type there")

    def test_what_is_equal_as_another_type_or_collation_may_be_on_several_segments(self):
        self.rows("create collation caseless (provider = icu, locale = 'und-u-ks-level2',"
                  " deterministic = false);"
                  "create table words (k text) with (distributed_by = 'k');"
                  "create table names (k text) with (distributed_by = 'k');"
                  "insert into words select chr(64 + i) from generate_series(1, 20) i;"
                  "insert into names select chr(96 + i) from generate_series(1, 20) i;"
                  "create table padded (k text) with (distributed_by = 'k');"
                  "insert into padded select k || ' ' from words; analyze words; analyze names; analyze padded")
        self.addCleanup(self.rows, "drop table words, names, padded; drop collation caseless")
        for join in ("words w join padded n on w.k::bpchar = n.k::bpchar",
                     "words w join names n on w.k collate caseless = n.k",
                     "names w join words n on w.k = n.k collate caseless"):
            self.assertEqual(self.rows("select count(*) from " + join), [(20,)], join)
            self.assertEqual(self.rows("select count(*), sum(n) from (select count(*) n from "
                                       f"{join} group by n.k) x"), [(20, 20)], join)
        both = "(select k from words union all select k from padded)"
        for group in (f"select k::bpchar from {both} x group by 1",
                      f"select distinct k::bpchar from {both} x",
                      "select k::bpchar from words union select k::bpchar from padded"):
            self.assertEqual(self.rows(f"select count(*) from ({group}) x"), [(20,)], group)
        self.rows("insert into words select k || ' ' from words")
        self.assertEqual(self.rows("select count(*) from (select k::bpchar from words group by 1) x"), [(20,)])
        self.assertEqual(self.rows("select max(n) from (select count(*) over (partition by k::bpchar) n from words) x"), [(2,)])

    def test_functions_of_a_row_are_called_where_it_is(self):
        self.move_for_nothing()
        for source in ("generate_series(1, t.b) x", "lateral (values (t.a), (t.b)) x"):
            self.assertRegex(self.explain("select * from t, " + source),
                             r"(?s)^Gather Motion.*Nested Loop.*(Function|Values) Scan")

    def test_many_tables_are_joined_without_trying_every_order(self):
        tables = ", ".join(f"t t{i}" for i in range(14))
        joins = " and ".join(f"t{i}.a = t{i + 1}.a" for i in range(13))
        sql = f"select count(*) from {tables} where {joins}"
        self.assertEqual(self.count("Motion", sql), 1)
        self.assertEqual(self.rows(sql), [(1000,)])

    # ---- above joins ----

    def test_groups_by_the_key_are_made_in_one_stage(self):
        plan = self.explain("select a, count(*) from t group by a")
        self.assertNotIn("Partial", plan)
        self.assertEqual(plan.count("Motion"), 1)

    def test_other_groups_are_made_in_two_stages(self):
        self.assertIn("Partial", self.explain("select b, sum(a) from t group by b"))

    def test_grouping_sets_with_the_whole_are_made_of_partial_results(self):
        self.move_for_nothing()
        plan = self.explain("select b, c, sum(a), grouping(b) from t group by rollup (b, c)")
        self.assertRegex(plan, r"(?s)^Gather Motion 1:1.*Finalize .*Aggregate.*Gather Motion 2:1"
                               r".*Partial HashAggregate")
        self.assertNotIn("Finalize", self.explain("select b, c, array_agg(a) from t group by"
                                                  " rollup (b, c)"), "cannot be combined")

    def test_limits_are_applied_on_segments_first(self):
        plan = self.explain("select * from t order by c limit 3")
        self.assertEqual(plan.count("Limit"), 2)
        self.assertIn("Merge Key", plan)

    def test_limits_of_any_size_are_taken(self):
        for limit, count in (("9223372036854775807 offset 990", 10), ("null offset 990", 10),
                             ("5 offset null", 5), ("0", 0), ("all", 1000)):
            self.assertEqual(self.rows(f"select count(*) from (select a from t order by a"
                                       f" limit {limit}) x"), [(count,)])
        self.assertEqual(len(self.rows("select b from t order by b fetch first 3 rows with ties")),
                         100)

    def test_conversions_from_text_are_made_on_segments(self):
        plan = self.explain("select ('2020-01-0' || (1 + b % 9))::date d, count(*) from t"
                            " group by 1")
        self.assertRegex(plan, r"(?s)Gather Motion.*Aggregate")
        self.assertEqual(self.rows("select count(*) from t where (c || '')::regtype is null"
                                   " and a < 0"), [(0,)])

    def test_windows_are_evaluated_where_their_partitions_are(self):
        plan = self.explain("select a, rank() over (partition by a order by b) from t")
        self.assertRegex(plan, r"(?s)Gather Motion.*WindowAgg")
        self.assertNotIn("Redistribute", plan)

    def test_a_union_removes_duplicates_on_segments(self):
        plan = self.explain("select a from t union select a from u")
        self.assertRegex(plan, r"(?s)Gather Motion.*HashAggregate|Gather Motion.*Unique")

    def test_duplicates_are_counted_on_segments(self):
        self.move_for_nothing()
        for operation, count in (("intersect all", 500), ("except all", 500)):
            sql = f"select b from t {operation} select b from u"
            self.assertRegex(self.explain(sql), r"(?s)^Gather Motion.*ProjectSet.*Aggregate")
            self.assertEqual(self.rows(f"select count(*) from ({sql}) x"), [(count,)])

    def test_functions_that_return_sets_are_evaluated_on_segments(self):
        self.move_for_nothing()
        for sql in ("select a, generate_series(1, b) from t",
                    "select generate_series(1, b) g, count(*) from t group by 1",
                    "select distinct c, generate_series(1, b) from t"):
            self.assertRegex(self.explain(sql), r"(?s)^Gather Motion.*ProjectSet")
        self.assertRegex(self.explain("select generate_series(1, (random() * 9)::int) from t"),
                         r"(?s)^ProjectSet.*Gather Motion")

    def test_partitions_are_read_by_one_motion_and_pruned(self):
        self.assertEqual(self.count("Motion", "select * from p"), 1)
        self.assertNotIn("p1", self.explain("select * from p where d > '2021-06-01'"))

    # ---- rewrites ----

    def test_a_correlated_aggregate_becomes_a_join(self):
        sql = "select count(*) from t where b < (select avg(b) from u where u.a = t.a)"
        self.assertNotIn("SubPlan", self.explain(sql))
        expected = sum(i % 10 < i % 20 for i in range(1, 1001))
        self.assertEqual(self.rows(sql), [(expected,)])

    def test_a_correlated_count_is_zero_where_nothing_belongs(self):
        self.assertEqual(self.rows(
            "select count(*) from t where 0 = (select count(*) from u where u.a = t.a + 990)"),
            [(990,)])

    def test_not_in_knows_nulls(self):
        self.rows("create table n (a int) with (distributed_by = 'a'); insert into n values"
                  " (1), (null)")
        self.assertEqual(self.rows("select count(*) from t where a not in (select a from n)"),
                         [(0,)])
        self.rows("truncate n; insert into n values (1)")
        self.assertEqual(self.rows("select count(*) from t where a not in (select a from n)"),
                         [(999,)])

    def test_not_in_with_nulls_is_a_join_on_segments(self):
        self.move_for_nothing()
        plan = self.explain("select count(*) from t where b not in (select b from u)")
        self.assertRegex(plan, r"(?s)Gather Motion.*Anti Join.*(Redistribute|Broadcast) Motion")
        self.assertNotIn("SubPlan", plan)
        self.assertEqual(self.count("SubPlan", "select * from t where b not in"
                                    " (select b from u limit 2)"), 2, "asked once, it may vary")

    def test_aggregates_of_a_row_outside_are_joined_as_groups(self):
        self.move_for_nothing()
        for query in ("select a, (select count(*) from u where u.a = t.a) from t",
                      "select a from t where (select count(*) from u where u.b = t.b) < 3",
                      "select a, x.* from t, lateral (select count(*), max(c) from u"
                      " where u.a = t.a) x",
                      "select a, x.n from t left join lateral (select count(*) n from u"
                      " where u.a = t.b) x on true"):
            plan = self.explain(query)
            self.assertRegex(plan, r"(?s)\AGather Motion.*Hash.*Aggregate", query)
            self.assertNotIn("SubPlan", plan)
        self.rows("set sluice.enable_decorrelation = off")
        self.assertEqual(self.count("SubPlan", "select (select count(*) from u where u.a = t.a)"
                                    " from t"), 1)

    def test_a_with_query_with_a_limit_is_evaluated_once(self):
        self.assertEqual(self.rows("with w as (select a from t limit 5) select count(*) from w x"
                                   " join w y using (a)"), [(5,)])

    # ---- the session ----

    def test_the_time_of_the_transaction_is_the_same_on_all_segments(self):
        self.rows("begin")
        self.addCleanup(self.rows, "rollback")
        self.assertEqual(self.rows("select count(distinct now()), bool_and(now() ="
                                   " transaction_timestamp()) from t"), [(1, True)])
        self.assertEqual(self.rows("select count(*) from t where now() >="
                                   " transaction_timestamp() and now() <= now()"), [(1000,)])

    def test_the_session_is_the_one_of_the_client(self):
        self.assertEqual(self.rows("select distinct pg_backend_pid(), current_user from t"),
                         self.rows("select pg_backend_pid(), current_user"))

    def test_tableoid_names_the_table_of_the_coordinator(self):
        self.assertEqual(self.rows("select distinct tableoid::regclass::text from p order by 1"),
                         [("p1",), ("p2",)])
        # On segments the number is that of another table, made later.
        self.rows("create temp table one (a text); create temp table two (a text)")
        for year in range(2022, 2028):
            self.rows(f"create table p{year} partition of p for values from ('{year}-01-01') to ('{year + 1}-01-01')")
            self.addCleanup(self.rows, f"drop table p{year}")
        self.rows("insert into p values (7, '2022-02-02')")
        self.assertEqual(self.rows("select tableoid::regclass, count(*) from p where k = 7 group by 1 order by 2, 1"),
                         [("p1", 1), ("p2022", 1)])
        self.assertEqual(self.rows("select count(*) from p where tableoid = 'p2022'::regclass"), [(1,)])

    def test_a_volatile_function_is_called_once_for_each_row(self):
        self.rows("create sequence s")
        self.assertEqual(self.rows("select count(distinct n) from (select nextval('s') n from t"
                                   " offset 0) x"), [(1000,)])

    def test_a_prepared_plan_keeps_its_parameters(self):
        self.rows("set plan_cache_mode = force_generic_plan")
        self.rows("prepare by_b (int) as select count(*) from t join u using (a) where t.b = $1")
        for _ in range(7):
            self.assertEqual(self.rows("execute by_b (3)"), [(100,)])

    # ---- changes ----

    def test_what_is_inserted_from_segments_is_where_it_belongs(self):
        sources = {"select a, b from t": 1000, "select b, a from t": 1000,
                   "select t.a, u.b from t join u on t.b = u.a": 900,
                   "select b, count(*) from t group by b": 10, "select id, x from same": 20,
                   "select distinct b, b % 3 from u": 20,
                   "select a, row_number() over (partition by b) from t": 1000,
                   "select k, k from p union all select a, b from u": 1700}
        targets = ("distributed_by = 'x'", "distributed_by = 'y'", "distributed_by = 'y, x'",
                   "distributed_by = 'random'", "distributed_by = 'replicated'")
        for target in targets:
            for source, count in sources.items():
                with self.subTest(target=target, source=source):
                    self.insert_and_look(target, source, count)

    def insert_and_look(self, target, source, count):
        """Asked by its key a segment alone answers: it must have the row."""
        self.rows(f"drop table if exists w; create table w (x int, y bigint) with ({target})")
        self.rows("insert into w " + source)
        self.assertEqual(self.rows("select count(*) from w"), [(count,)])
        found = self.rows("select x, y, count(*) from w group by x, y order by x, y limit 5")
        for x, y, rows in found:
            self.assertEqual(self.rows(f"select count(*) from w where x = {x} and y = {y}"),
                             [(rows,)])

    def test_rows_of_the_coordinator_are_inserted_by_what_subqueries_say(self):
        self.rows("create table kept (a int) with (distributed_by = 'a'); create temp table l"
                  " (a int); insert into l select generate_series(1, 100)")
        for source, count in (("l where a > (select max(a) from l) - 5", 5),
                              ("l where a > (select max(a) - 910 from t)", 10),
                              ("(select a from t where a > (select max(a) from u) - 5 limit 9) x",
                               5)):
            self.rows("truncate kept; insert into kept select a from " + source)
            self.assertEqual(self.rows("select count(*) from kept"), [(count,)], source)

    def test_returning_has_its_own_names_and_values(self):
        self.rows("create table named (id int, t text) with (distributed_by = 'id')")
        with self.connection.cursor() as cursor:
            cursor.execute("insert into named select a, c from t where a <= 3 returning"
                           " t || '!' as shout, id, random() < 2 as sure")
            self.assertEqual([column.name for column in cursor.description],
                             ["shout", "id", "sure"])
            self.assertEqual(sorted(cursor.fetchall(), key=lambda row: row[1]),
                             [("c1!", 1, True), ("c2!", 2, True), ("c3!", 3, True)])

    def test_a_check_that_segments_cannot_make_is_named(self):
        self.rows("create view ours as select * from t where c = current_user with check option;"
                  "create role someone; grant all on t to someone; alter table t enable row level security;"
                  "create policy own on t using (true) with check (c = current_user)")
        self.addCleanup(self.rows, "reset role; drop view ours; drop policy own on t;"
                        "alter table t disable row level security; drop owned by someone; drop role someone")
        self.assertIn('view "ours"', self.fails("0A000", "insert into ours values (1, 1, 'x')"))
        self.rows("set role someone")
        self.assertIn('policy of table "t"', self.fails("0A000", "insert into t values (1, 1, 'someone')"))

    def test_what_cannot_be_done_is_refused_and_changes_nothing(self):
        before = self.rows("select count(*), sum(b) from t")
        for sql in ("update t set b = 0", "delete from t where b > 2",
                    "merge into t using u on t.a = u.a when matched then delete",
                    "select * from t join u using (a) for update",
                    "select * from (select * from same for update) x",
                    "with w as (select * from same where id = 1 for share) select * from w",
                    "select * from t where a = 1 and exists (select from same where id = t.a for update)",
                    "with gone as (delete from t returning a) select * from gone",
                    "with new as (insert into t values (1) returning a) select * from new"):
            self.fails("0A000", sql)
        self.assertEqual(self.rows("select count(*), sum(b) from t"), before)

    # ---- TPC-H ----

    def bare_gathers(self, node, joined=False):
        """Large tables whose rows go to the coordinator to be joined there."""
        found = []
        below_join = joined or "Join" in node["Node Type"] or "Loop" in node["Node Type"]
        for child in node.get("Plans", []):
            table = child.get("Relation Name")
            if "Gather" in node["Node Type"] and joined and table in SIZES and table not in SMALL:
                found.append(table)
            found += self.bare_gathers(child, below_join)
        return found

    def test_no_tpch_query_gathers_a_large_table_to_join_it(self):
        paths = sorted(glob.glob(os.path.join(TPCH, "queries", "*.sql")))
        self.assertEqual(len(paths), 22)
        for path in paths:
            with open(path, encoding="ascii") as script:
                statements = [text for text in script.read().split(";") if text.strip()]
            for text in statements:
                if re.search(r"\b(create|drop)\s+view\b", text, re.I):
                    self.rows(text)
                    continue
                plan = self.rows("explain (format json) " + text)[0][0]
                plan = plan if isinstance(plan, list) else json.loads(plan)
                with self.subTest(query=os.path.basename(path)):
                    self.assertEqual(self.bare_gathers(plan[0]["Plan"]), [])
                    self.assertNotIn("SubPlan", json.dumps(plan[0]["Plan"]))


if __name__ == "__main__":
    main()
