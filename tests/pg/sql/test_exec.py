# SPDX-License-Identifier: Apache-2.0
"""Slices on the segments: what travels, what each statement sees, how motions are
explained, and that nothing is left of a statement that was ended early."""
import json
import os
import re
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.dirname(HERE), os.path.join(os.path.dirname(HERE), "differential")]

from cluster import ClusterCase, main, psycopg2, wait_until  # noqa: E402

from leaks import assert_none  # noqa: E402

ROWS = 6000


class Exec(ClusterCase):
    """Two segments; table t by its key, v by another column than it is joined by."""

    @classmethod
    def prepare(cls):
        super().prepare()
        cls.cluster.execute(f"""
            create table t (a int primary key, b text, c numeric);
            create table v (k int, g int, w text) with (distributed_by = 'k');
            insert into t select i, 'row ' || i, i * 1.5 from generate_series(1, 1000) i;
            insert into v select i, i % 100, 'v' || i from generate_series(1, {ROWS}) i;
            create type mood as enum ('sad', 'ok', 'happy');
            create type address as (street text, number int);
            analyze t; analyze v""")

    def setUp(self):
        self.connection = self.cluster.connect()
        self.addCleanup(self.connection.close)

    def rows(self, sql, *values):
        with self.connection.cursor() as cursor:
            cursor.execute(sql, values or None)
            return cursor.fetchall() if cursor.description else None

    def value(self, sql, *values):
        return self.rows(sql, *values)[0][0]

    def explain(self, sql, options=""):
        return "\n".join(line for line, in self.rows(f"explain ({options or 'costs off'}) {sql}"))

    def fails(self, sqlstate, sql, *values):
        with self.assertRaises(psycopg2.Error) as caught:
            self.rows(sql, *values)
        self.assertEqual(caught.exception.pgcode, sqlstate, caught.exception)
        return caught.exception

    # ---- rows and values ----

    def test_rows_of_every_width_arrive_as_they_were(self):
        self.rows("create table wide (id int, small text, large text, n numeric, z bytea)")
        self.rows("insert into wide select i, case when i % 3 > 0 then 'x' end,"
                  " repeat('y' || i, i * i * 7), i / 7.0, decode(repeat('ab', i * 1000), 'hex')"
                  " from generate_series(1, 60) i")
        for order in ("id", "large desc"):
            got = self.rows(f"select id, small, md5(large), n::text, length(z) from wide order by {order}")
            self.assertEqual(len(got), 60)
            for i, small, large, n, size in got:
                self.assertEqual(small, "x" if i % 3 else None)
                self.assertEqual(size, i * 1000)
        self.assertEqual(self.value("select count(*) from wide a join wide b on a.large = b.large"), 60)

    def test_rows_of_numbers_arrive_with_and_without_nulls(self):
        columns = [("i", "int", "n"), ("b", "bool", "n % 2 = 0"), ("s", "int2", "(n - 50)::int2"),
                   ("c", '"char"', "(n % 100)::\"char\""), ("l", "int8", "(n - 50) * 10000000000"),
                   ("d", "date", "date '2026-01-01' + n"), ("f", "float4", "(n / 7.0)::float4"),
                   ("g", "float8", "n / 3.0::float8"), ("t", "timestamptz", "to_timestamp(n * 1e6)"),
                   ("o", "oid", "n::oid")]
        for width in (1, 2, 5, 8, 9, 10):
            some = columns[:width]
            values = ", ".join(f"case when n % 7 <> {i + 1} then {value} end"
                               for i, (_, _, value) in enumerate(some))
            with self.subTest(width=width):
                self.rows("create table numbers (%s) with (distributed_by = 'random')"
                          % ", ".join(f"{name} {kind}" for name, kind, _ in some))
                self.rows(f"insert into numbers select {values} from generate_series(1, 200) n")
                expected = self.rows(f"select {values} from generate_series(1, 200) n")
                names = ", ".join(name for name, _, _ in some)
                counted = f"select {names}, count(*) over (partition by i) > 0 from numbers"
                self.assertIn("Redistribute", self.explain(counted))
                for sql, end in ((f"select {names} from numbers", ()), (counted, (True,))):
                    self.assertEqual(sorted(map(repr, self.rows(sql))),
                                     sorted(repr(row + end) for row in expected), sql)
                self.rows("drop table numbers")

    def test_values_stored_out_of_line_are_sent_whole(self):
        self.rows("create table big_values (id int, body text);"
                  "alter table big_values alter body set storage external")
        self.rows("insert into big_values values (1, repeat('abc', 100000)), (2, repeat('d', 70000))")
        self.assertEqual(self.rows("select id, length(body), md5(body) = md5(repeat("
                                   "case id when 1 then 'abc' else 'd' end, case id when 1 then 100000"
                                   " else 70000 end)) from big_values order by id"),
                         [(1, 300000, True), (2, 70000, True)])
        self.assertEqual(self.value("select sum(length(x.body)) from big_values x join big_values y"
                                    " on x.body = y.body"), 370000)

    def test_values_that_hold_oids_mean_the_same_everywhere(self):
        self.rows("create table odd (id int, m mood, ms mood[], a address, r regclass, d daterange)")
        self.rows("insert into odd values (1, 'sad', '{sad,ok}', row('x', 1), 't', '[2020-01-01,2020-02-01)'),"
                  "(2, 'happy', '{}', row('y, \"z\"', 2), 'v', 'empty'), (3, 'ok', null, null, null, null)")
        self.assertEqual(self.rows("select m::text, ms::text, a::text, r::text, d::text from odd order by id"),
                         [("sad", "{sad,ok}", "(x,1)", "t", "[2020-01-01,2020-02-01)"),
                          ("happy", "{}", '("y, ""z""",2)', "v", "empty"),
                          ("ok", None, None, None, None)])
        self.assertEqual(self.rows("select x::text from (select m from odd where m >= 'ok' order by m) s(x)"),
                         [("ok",), ("happy",)])
        self.assertEqual(self.rows("select id from odd where a = row('x', 1)::address"), [(1,)])
        self.assertEqual(self.rows("select id from odd where ms = '{sad,ok}'::mood[]"), [(1,)])
        self.assertEqual(self.rows("select id from odd where r = 't'::regclass"), [(1,)])
        self.assertEqual(self.rows("select (odd).a::text from odd where id = 1"), [("(x,1)",)])
        self.assertEqual(self.rows("select row(id, m, row(a))::text from odd where id = 1"),
                         [('(1,sad,"(""(x,1)"")")',)])
        self.assertEqual(self.rows("select x.id from odd x join v on x.id = v.g and x.m = 'sad'::mood"
                                   " group by 1"), [(1,)])
        self.rows("prepare by_mood(mood) as select id from odd where m = $1")
        for _ in range(7):
            self.assertEqual(self.rows("execute by_mood('happy')"), [(2,)])

    def test_user_objects_are_found_by_name(self):
        # Their OIDs differ: the coordinator has made objects that segments have not.
        self.rows("create temp table only_here (a int); drop table only_here")
        self.rows("create function twice(int) returns int language sql immutable as 'select $1 * 2';"
                  "create function same(address, address) returns bool language sql immutable as"
                  " 'select ($1).number = ($2).number';"
                  "create operator === (function = same, leftarg = address, rightarg = address);"
                  "create aggregate total(int) (sfunc = int4pl, stype = int, initcond = '0');"
                  "create collation backwards (provider = icu, locale = 'und-u-ks-level2', deterministic = false)")
        self.assertEqual(self.value("select count(*) from t where twice(a) = 84"), 1)
        self.assertEqual(self.value("select total(a) from t"), 500500)
        self.assertEqual(self.value("select count(*) from t where row(b, a)::address === row('', 7)::address"), 1)
        self.assertEqual(self.value("select count(*) from t where b = 'ROW 7' collate backwards"), 1)

    def test_values_that_name_objects_are_compared_by_what_they_name(self):
        self.rows("create role first_one; create table owned (id int, r regrole);"
                  "insert into owned values (1, 'first_one')")
        count = "select count(*) from owned where r = 'first_one'::regrole"
        self.assertEqual(self.value(count), 1)
        self.rows("create temp table numbers as select 'first_one'::regrole::oid as number")
        self.assertEqual(self.value("select count(*) from owned, numbers where r = number"), 1)
        self.assertEqual(self.rows("select r::oid::regrole::text from owned order by r"), [("first_one",)])
        self.rows("alter role first_one rename to second_one; create role first_one")
        self.assertEqual(self.value(count), 0)
        self.assertEqual(self.value(count.replace("first", "second")), 1)
        self.rows("create text search configuration plain (copy = simple)")
        found = "select count(*) from t where to_tsvector('plain'::regconfig, b) @@ '7'"
        self.assertEqual(self.value(found), 1)
        self.rows("alter text search configuration plain rename to plainer;"
                  "create text search configuration plain (copy = english)")
        self.assertEqual(self.value(found.replace("plain", "plainer")), 1)
        self.rows("drop table owned; drop table numbers; drop role first_one, second_one;"
                  "drop text search configuration plain, plainer")

    def test_settings_of_how_values_print_do_not_matter_between_nodes(self):
        for setting in ("bytea_output = escape", "datestyle = 'sql, dmy'", "extra_float_digits = -15",
                        "intervalstyle = sql_standard", "xmloption = document", "quote_all_identifiers = on",
                        "standard_conforming_strings = off", "timezone = 'Asia/Kathmandu'"):
            self.rows("set " + setting)
            self.assertEqual(self.value("select count(*) from t join v on t.a = v.g"), 60 * 99)
            self.assertEqual(self.value("select b from t where a = 7"), "row 7")

    # ---- what a statement sees ----

    def test_statements_see_the_loads_of_their_transaction_and_no_others(self):
        self.rows("create table own (a int, b int) with (distributed_by = 'a')")
        self.rows("begin")
        self.rows("insert into own select i, i % 10 from generate_series(1, 100) i")
        self.assertEqual(self.value("select count(*) from own"), 100)
        self.assertEqual(self.value("select count(*) from own x join v on x.b = v.g"), 100 * ROWS // 100)
        self.assertEqual(self.cluster.value("select count(*) from own"), 0)
        self.rows("savepoint s")
        self.rows("insert into own select a + 1000, b from own")
        self.assertEqual(self.value("select count(*) from own x join v on x.b = v.g"), 200 * ROWS // 100)
        self.rows("rollback to s")
        self.assertEqual(self.value("select count(*) from own x join v on x.b = v.g"), 100 * ROWS // 100)
        self.rows("rollback")
        self.assertEqual(self.value("select count(*) from own"), 0)

    def test_functions_see_what_their_statements_have_loaded(self):
        self.rows("create table seen (a int)")
        self.rows("create function load_and_count(n int) returns bigint language plpgsql as $$"
                  "declare r bigint; begin for i in 1..n loop insert into seen values (i); end loop;"
                  " select count(*) into r from seen; return r; end $$")
        self.assertEqual(self.value("select load_and_count(5)"), 5)
        self.assertEqual(self.value("select load_and_count(3)"), 8)

    def test_a_cursor_shows_what_was_there_when_it_was_opened(self):
        self.rows("create table watched (a int); insert into watched select generate_series(1, 20)")
        self.rows("begin; declare c cursor for select a from watched order by a")
        self.assertEqual(self.rows("fetch 3 from c"), [(1,), (2,), (3,)])
        self.rows("insert into watched values (0), (4), (100)")
        self.assertEqual(self.rows("fetch 2 from c"), [(4,), (5,)])
        self.assertEqual(len(self.rows("fetch all from c")), 15)
        self.assertEqual(self.value("select count(*) from watched"), 23)
        self.rows("rollback")

    def test_cursors_go_backwards_and_outlive_their_transaction(self):
        self.rows("begin; declare s scroll cursor for select a from t order by a")
        self.assertEqual(self.rows("fetch 2 from s"), [(1,), (2,)])
        self.assertEqual(self.rows("fetch last from s"), [(1000,)])
        self.assertEqual(self.rows("fetch backward 2 from s"), [(999,), (998,)])
        self.assertEqual(self.rows("fetch first from s"), [(1,)])
        self.rows("commit; begin; declare h cursor with hold for select a from t order by a")
        self.assertEqual(self.rows("fetch 1 from h"), [(1,)])
        self.rows("commit")
        self.assertEqual(self.rows("fetch 2 from h"), [(2,), (3,)])
        self.rows("close h")

    def test_several_open_cursors_take_turns(self):
        self.rows("begin")
        for name in "xyz":
            self.rows(f"declare {name} cursor for select t.a from t join v on t.a = v.g order by t.a, v.k")
        for i in range(3):
            for name in "xyz":
                self.assertEqual(self.rows(f"fetch 20 from {name}"), [(1,)] * 20, i)
        self.rows("rollback")

    def test_an_error_in_a_savepoint_leaves_open_cursors_whole(self):
        self.rows("begin; declare c cursor for select a from t order by a")
        self.assertEqual(self.rows("fetch 2 from c"), [(1,), (2,)])
        self.rows("savepoint s")
        self.fails("22012", "select 1 / (a - 500) from t")
        self.rows("rollback to s")
        self.assertEqual(self.rows("fetch 2 from c"), [(3,), (4,)])
        self.rows("rollback")

    def test_a_cursor_first_read_in_a_savepoint_that_is_undone_says_that_its_rows_are_gone(self):
        for sql in ("select a from t order by a", "select a from v join t on t.a = v.g"):
            self.rows(f"begin; declare c cursor for {sql}; savepoint s")
            self.assertEqual(len(self.rows("fetch 2 from c")), 2)
            self.rows("insert into t values (-1, 'x', 1)")
            self.rows("rollback to s")
            self.fails("24000", "fetch 2 from c")
            self.rows("rollback")
            self.rows(f"begin; declare c cursor for {sql}; savepoint s")
            self.assertEqual(len(self.rows("fetch 2 from c")), 2)
            self.rows("rollback to s; close c; commit")
            self.assertEqual(self.value("select count(*) from t"), 1000)

    # ---- parameters and subqueries ----

    def test_parameters_reach_the_slices(self):
        self.rows("prepare p(int, text) as select count(*) from t join v on t.a = v.g"
                  " where v.k <= $1 and v.w <> $2")
        for i in range(8):
            self.assertEqual(self.value("execute p(%s, %s)", 100 * i, "v1"), max(0, 99 * i - (i > 0)))
        self.rows("do $$ declare n bigint; begin for i in 1..8 loop select count(*) into n from t"
                  " join v on t.a = v.g where v.k <= i * 100;"
                  " if n <> i * 99 then raise 'got %', n; end if; end loop; end $$")

    def test_values_of_subqueries_reach_the_slices(self):
        self.assertEqual(self.rows("select a from t where a = (select max(g) from v)"), [(99,)])
        self.assertEqual(self.value("select count(*) from t join v on t.a = v.g"
                                    " where v.k < (select avg(a) from t)"), 495)
        self.assertEqual(self.rows("select a, (select count(*) from v where v.g = t.a) from t"
                                   " where a < 4 order by 1"), [(i, 60) for i in (1, 2, 3)])
        self.assertEqual(self.rows("select (select b from t where t.a = x.i) from generate_series(998, 1002) x(i)"),
                         [("row 998",), ("row 999",), ("row 1000",), (None,), (None,)])

    def test_a_motion_is_read_again_where_a_plan_asks_for_it(self):
        self.rows("set enable_hashjoin = off; set enable_mergejoin = off; set enable_material = off")
        self.assertEqual(self.value("select count(*) from v x, v y where x.g < y.k and x.k < 5 and y.k < 50"),
                         sum(1 for x in range(1, 5) for y in range(1, 50) if x < y))

    def test_a_replicated_table_is_counted_and_returned_once(self):
        self.rows("create table copied (x int, y text) with (distributed_by = 'replicated')")
        with self.connection.cursor() as cursor:
            cursor.execute("insert into copied values (1, 'a'), (2, 'b') returning x, y")
            self.assertEqual(sorted(cursor.fetchall()), [(1, "a"), (2, "b")])
            self.assertEqual(cursor.rowcount, 2)
            cursor.execute("insert into copied select a, b from t where a <= 10")
            self.assertEqual(cursor.rowcount, 10)
        for content in (0, 1):
            self.assertEqual(self.cluster.value("select count(*) from copied", content=content), 12)

    # ---- the end of a statement ----

    def test_an_error_of_a_slice_is_the_statements_with_its_cause(self):
        for sql in ("select 1 / (a - 500) from t",
                    "select sum(1 / (t.a - v.g)) from t join v on t.a = v.g",
                    "insert into t select 5000 + k + 0 / (k - 17), null, null from v",
                    "select * from t join (select g from v where 1 / (k - 3000) < 2) x on t.a = x.g"):
            error = self.fails("22012", sql)
            self.assertIn("segment", error.diag.context)
            self.assertIn("slice", error.diag.context)
        self.assertEqual(self.value("select count(*) from t"), 1000)

    def test_limit_stops_the_slices_below(self):
        self.rows("set statement_timeout = '20s'")
        for _ in range(3):
            self.assertEqual(len(self.rows("select x.k, y.k from v x join v y on x.g = y.g"
                                           " join v z on z.g = y.g limit 3")), 3)

    def test_a_join_that_asks_for_its_outer_side_first_does_not_wait_for_ever(self):
        # Skewed: all rows of one side go to one segment, of the other to the other one.
        self.rows("set statement_timeout = '60s'; set enable_mergejoin = off; set enable_nestloop = off;"
                  "create table left_side (id int, key int, pad text) with (distributed_by = 'id');"
                  "create table right_side (id int, key int, pad text) with (distributed_by = 'id');"
                  "insert into left_side select i, 1, repeat('l', 500) from generate_series(1, 6000) i;"
                  "insert into right_side select i, 2 + i % 3, repeat('r', 500) from generate_series(1, 6000) i")
        self.assertEqual(self.rows("select count(*), count(r.id), max(length(l.pad || coalesce(r.pad, '')))"
                                   " from left_side l left join right_side r on l.key = r.key"),
                         [(6000, 0, 500)])

    def test_rows_beyond_memory_are_spilled_and_within_the_limit(self):
        self.rows("create table thick (k int, w text); alter table thick alter w set storage external;"
                  "insert into thick select i, repeat('w', 1900) from generate_series(1, 12000) i")
        # A cursor's rows have to be taken in before the next statement can run.
        self.rows("begin; set local work_mem = '64kB'; declare c cursor for select k, w from thick")
        first = self.rows("fetch 1 from c")
        self.assertEqual(self.value("select count(*) from t"), 1000)
        rows = first + self.rows("fetch all from c")
        self.assertEqual(sorted(k for k, _ in rows), list(range(1, 12001)))
        self.assertEqual({w for _, w in rows}, {"w" * 1900})
        self.rows("rollback; begin; set local work_mem = '64kB'; set local temp_file_limit = '100kB'")
        self.rows("declare c cursor for select k, w from thick")
        self.rows("fetch 1 from c")
        self.fails("53400", "select count(*) from t")
        self.rows("rollback")
        self.assertEqual(self.value("select count(*) from t"), 1000)

    def test_only_the_coordinator_may_have_slices_executed(self):
        for content in (0, 1):
            with self.assertRaises(psycopg2.Error):
                self.cluster.query("select sluice.execute_slices('', '')", content=content)
        self.fails("42501", "select sluice.execute_slices('x', '')")

    def test_idle_readers_end_after_their_time(self):
        self.rows("set sluice.reader_idle_timeout = '200ms'")
        join = "select count(*) from t join v on t.a = v.g"
        self.assertEqual(self.value(join), 99 * ROWS // 100)
        readers = ("select count(*) from pg_stat_activity where backend_type = 'parallel worker'")
        for content in (0, 1):
            wait_until(lambda: self.cluster.value(readers, content=content) == 0, "the reader ends")
        self.assertEqual(self.value(join), 99 * ROWS // 100)

    def test_an_agent_that_was_started_anew_is_found_again(self):
        self.assertEqual(self.value("select count(*) from t"), 1000)
        self.cluster.kill(self.cluster.agent())
        self.cluster.start()

        def served():
            try:
                return self.value("select count(*) from t join v on t.a = v.g") == 99 * ROWS // 100
            except psycopg2.Error:
                return False
        wait_until(served, "the session is served again")

    # ---- EXPLAIN ----

    def test_motions_are_explained_in_the_words_of_greenplum(self):
        plan = self.explain("select t.a, v.k from t join v on t.a = v.g order by v.k desc")
        self.assertIn("Gather Motion 2:1  (slice1; segments: 2)", plan)
        self.assertIn("Merge Key: v.k DESC", plan)
        self.assertRegex(plan, r"(Redistribute|Broadcast) Motion 2:2  \(slice2; segments: 2\)")
        plan = self.explain("insert into v values (1, 2, 'x'), (3, 4, 'y')")
        self.assertIn("Redistribute Motion 1:2  (slice2; segments: 1)", plan)
        self.assertIn('Hash Key: "*VALUES*".column1', plan)

    def test_explain_analyze_tells_what_every_segment_did(self):
        plan = self.explain("select count(*) from v", "analyze, verbose, costs off")
        scan = re.search(r"Seq Scan on public.v \(actual time=\S+ rows=(\d+) loops=2\)", plan)
        self.assertEqual(int(scan[1]), ROWS // 2, plan)
        rows = [int(n) for n in re.findall(r"actual time=\S+ rows=(\d+) loops=1", plan.split("Seq Scan")[1])]
        self.assertEqual(len(rows), 2, plan)
        self.assertEqual(sum(rows), ROWS, plan)
        self.assertRegex(plan, r"Sent: rows=2 bytes=\d+ frames=2 stalls=\d+ blocked=\S+ ms")
        self.assertRegex(plan, r"Received: rows=2 bytes=\d+ frames=2 stalls=\d+ blocked=\S+ ms")

    def test_explain_analyze_tells_what_sorts_and_hashes_took(self):
        self.rows("set enable_mergejoin = off; set enable_nestloop = off")
        sorts = "select v.k, t.b from t join v on t.a = v.k order by v.w"
        plan = self.explain(sorts, "analyze, costs off")
        self.assertEqual(re.findall(r"Worker (\d):  Sort Method: quicksort  Memory: [1-9]\d*kB", plan),
                         ["0", "1"], plan)
        self.assertRegex(plan, r"Buckets: \d+  Batches: 1  Memory Usage: [1-9]\d*kB")
        plan = self.explain(sorts, "analyze, verbose, costs off")
        for worker in (0, 1):
            self.assertRegex(plan, rf"Worker {worker}:  .*\n *Sort Method: quicksort  Memory: [1-9]\d*kB")
        groups = "select w, count(*) from v group by w, k"
        self.rows("set enable_sort = off")
        self.assertRegex(self.explain(groups, "analyze, costs off"),
                         r"HashAggregate.*\n(.*\n)? *Batches: 1  Memory Usage: [1-9]\d*kB")
        self.rows("set work_mem = '64kB'; set hash_mem_multiplier = 1; reset enable_sort")
        plan = self.value("explain (analyze, format json) select v.k from t join v on t.a = v.k"
                          " order by repeat(t.b, 100)")
        spilled = [node for node in self.nodes(plan) if node["Node Type"] == "Sort"]
        self.assertEqual([worker["Sort Space Type"] for node in spilled for worker in node["Workers"]],
                         ["Disk", "Disk"], plan)

    def nodes(self, plan):
        """All nodes of an explained plan."""
        found = [plan] if isinstance(plan, dict) and "Node Type" in plan else []
        for value in plan.values() if isinstance(plan, dict) else plan if isinstance(plan, list) else ():
            found += self.nodes(value)
        return found

    def test_explain_analyze_knows_what_a_limit_cut_off(self):
        plan = self.explain("select t.a from t join v on t.a = v.g limit 5", "analyze, costs off")
        self.assertNotIn("never executed", plan)

    def test_explain_is_well_formed_in_every_format(self):
        sql = "select t.a, v.k from t join v on t.a = v.g where t.a > 3 order by 1"
        for options in ("format json", "analyze, buffers, format json"):
            top = self.rows(f"explain ({options}) {sql}")[0][0]
            top = top if isinstance(top, list) else json.loads(top)
            motion = top[0]["Plan"]
            self.assertEqual((motion["Node Type"], motion["Senders"], motion["Receivers"],
                              motion["Slice"]), ("Gather Motion", 2, 1, 1))
        self.assertEqual(motion["Sent"]["Rows"], ROWS * 96 // 100)
        self.assertIn('Node Type: "Gather Motion"', self.explain(sql, "format yaml"))
        self.assertIn("<Node-Type>Gather Motion</Node-Type>", self.explain(sql, "analyze, format xml"))

    def test_auto_explain_shows_the_slices(self):
        self.rows("load 'auto_explain'; set auto_explain.log_min_duration = 0; set client_min_messages = log")
        for analyze in ("off", "on"):
            self.rows(f"set auto_explain.log_analyze = {analyze}")
            del self.connection.notices[:]
            self.rows("select a from t where a < 4")
            notices = "".join(self.connection.notices)
            self.assertIn("Gather Motion 2:1", notices)
            self.assertRegex(notices, "Scan.* on t")

    def test_zz_nothing_is_left_behind(self):
        self.connection.close()
        assert_none(self, self.cluster)


if __name__ == "__main__":
    main()
