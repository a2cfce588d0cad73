# SPDX-License-Identifier: Apache-2.0
"""Statements that live on one segment go there as SQL, and only those."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from cluster import ClusterCase, main, psycopg2  # noqa: E402


class Router(ClusterCase):
    @classmethod
    def prepare(cls):
        super().prepare()
        for sql in ("create table h (a int primary key, b text, c timestamptz default now(),"
                    " s serial) with (distributed_by = 'a')",
                    "create table h2 (x bigint, k int, primary key (x, k))"
                    " with (distributed_by = 'x')",
                    "create table v (name varchar(20), n int) with (distributed_by = 'name')",
                    "create table r (x int, y text) with (distributed_by = 'replicated')",
                    "create table q (x int) with (distributed_by = 'random')",
                    "insert into h (a, b) select i, 'row ' || i from generate_series(1, 100) i",
                    "insert into h2 select i, j from generate_series(1, 100) i,"
                    " generate_series(1, 2) j",
                    "insert into v select 'name ' || i, i from generate_series(1, 100) i",
                    "insert into r select i, 'r' || i from generate_series(1, 100) i",
                    "create function slow_one() returns int stable language plpgsql as"
                    " 'begin return (select count(*) from h where a <= 100); end'"):
            cls.cluster.execute(sql)

    def is_routed(self, sql):
        plan = "\n".join(row[0] for row in self.cluster.query("explain (verbose) " + sql))
        return "Segment SQL" in plan

    def test_equality_of_the_key_with_a_value_routes(self):
        for sql in ("select * from h where a = 7", "select * from h where 7 = a",
                    "select * from h where a = 7::bigint", "select * from h where a = 3 + 4",
                    "select * from v where name = 'name 7'",
                    "select count(*), max(b) from h where a = 7 and b > 'a' group by s",
                    "select * from h join h2 on a = x where a = 7",
                    "select * from h, h2 where a = x and x = 7",
                    "select * from h left join h2 on a = x where a = 7",
                    "select * from h, r where a = 7 and r.x = h.s",
                    "select * from h where a = 7 and exists (select 1 from h2 where x = a)",
                    "select * from (select * from h where a = 7) z",
                    "with w as (select * from h where a = 7) select * from w",
                    "select 1 from h where a = 7 union all select 2 from h2 where x = 7",
                    "select * from r", "select count(*) from r where x < 10",
                    "select case when x is null then 0 when x < 5 then 1 else 2 end from r",
                    "select * from h where a = 7 for update",
                    "select *, now() from h where a = 7 and c < now() + interval '1 day'"):
            self.assertTrue(self.is_routed(sql), sql)

    def test_anything_else_does_not_route(self):
        for sql in ("select * from h", "select * from h where a > 7", "select * from q",
                    "select * from h where a = 7 or a = 8", "select * from h where b = 'x'",
                    "select * from h, h2 where a = 7", "select * from h full join h2 on a = x"
                    " and a = 7", "select * from h left join h2 on a = 7 and x = 7",
                    "select *, random() from h where a = 7",
                    "select * from h where a = 7 and exists (select 1 from h2)",
                    "select (select count(*) from h2) from h where a = 7",
                    "select h from h where a = 7", "select relname from pg_class",
                    "select 1 from h where a = 7 union all select 2 from h2"):
            self.assertFalse(self.is_routed(sql), sql)

    def test_answers_are_those_of_the_table(self):
        cluster = self.cluster
        self.assertEqual(cluster.query("select a, b from h where a = 7"), [(7, "row 7")])
        self.assertEqual(cluster.query("select a, b from h where a = 1000"), [])
        self.assertEqual(cluster.query("select a, b from h where a = null"), [])
        self.assertEqual(cluster.query("select a, k from h left join h2 on a = x and k = 2"
                                       " where a = 9"), [(9, 2)])
        self.assertEqual(cluster.query("select n from v where name = 'name 42'"), [(42,)])
        self.assertEqual(cluster.query("select count(*), sum(x) from r"), [(100, 5050)])
        for key in range(1, 101):
            self.assertEqual(cluster.value(f"select count(*) from h2 where x = {key}"), 2)

    def test_functions_that_read_tables_see_the_whole_table(self):
        self.assertEqual(self.cluster.query("select a, slow_one() from h where a = 7"), [(7, 100)])
        self.assertEqual(self.cluster.query("select a from h where a = 7 and slow_one() = 100"),
                         [(7,)])

    def test_prepared_statements_find_the_segment_of_each_execution(self):
        connection = self.cluster.connect()
        with connection.cursor() as cursor:
            cursor.execute("prepare p (int) as select b from h where a = $1")
            for key in list(range(1, 101)) + [1000]:
                cursor.execute("execute p (%s)", (key,))
                self.assertEqual(cursor.fetchall(), [(f"row {key}",)] if key <= 100 else [])
            cursor.execute("execute p (null)")
            self.assertEqual(cursor.fetchall(), [])
        connection.close()

    def test_more_statements_than_a_segment_keeps_prepared_begin_transactions_of_any_kind(self):
        connection = self.cluster.connect()
        with connection.cursor() as cursor:
            for number in range(600):
                cursor.execute("begin isolation level repeatable read")
                cursor.execute(f"select a as c{number} from h where a = 7")
                self.assertEqual(cursor.fetchall(), [(7,)])
                cursor.execute("commit")
        connection.close()

    def test_keys_of_several_types_are_explained_in_one_session(self):
        connection = self.cluster.connect()
        with connection.cursor() as cursor:
            for key in ("7", "7::bigint", "7::smallint"):
                cursor.execute(f"explain select * from h2 where x = {key}")
                self.assertIn("Gather Motion 1:1", cursor.fetchone()[0])
        connection.close()

    def test_a_changed_table_is_seen_by_prepared_statements(self):
        connection = self.cluster.connect()
        with connection.cursor() as cursor:
            cursor.execute("create table w (a int primary key, b int) with (distributed_by = 'a')")
            cursor.execute("insert into w values (1, 2)")
            cursor.execute("prepare w as select b from w where a = 1")
            for _ in range(8):
                cursor.execute("execute w")
            cursor.execute("select b from w where a = 1")
            cursor.execute("alter table w alter b type text")
            cursor.execute("select b from w where a = 1")
            self.assertEqual(cursor.fetchall(), [("2",)])
            cursor.execute("drop table w")
            cursor.execute("create table w (a int primary key, b int) with (distributed_by = 'a')")
            cursor.execute("select b from w where a = 1")
            self.assertEqual(cursor.fetchall(), [])
        connection.close()

    def test_a_cursor_is_not_in_the_way_of_other_statements(self):
        connection = self.cluster.connect()
        with connection.cursor() as cursor:
            cursor.execute("begin")
            cursor.execute("declare c scroll cursor for select x from r order by x")
            cursor.execute("fetch 2 from c")
            self.assertEqual(cursor.fetchall(), [(1,), (2,)])
            cursor.execute("select count(*) from h")
            cursor.execute("select b from h where a = 3")
            cursor.execute("fetch 1 from c")
            self.assertEqual(cursor.fetchall(), [(3,)])
            cursor.execute("fetch backward 1 from c")
            self.assertEqual(cursor.fetchall(), [(2,)])
            cursor.execute("commit")
        connection.close()

    def test_a_row_is_inserted_with_defaults_of_the_cluster(self):
        cluster = self.cluster
        rows = cluster.query("insert into h (a, b) values (2001, 'x') returning a, b, s, c = now()")
        self.assertEqual(rows[0][:2] + rows[0][3:], (2001, "x", True))
        serial = cluster.value("insert into h (a) values (2002) returning s")
        self.assertEqual(serial, rows[0][2] + 1)
        with self.assertRaises(psycopg2.errors.UniqueViolation):
            cluster.execute("insert into h (a) values (2001)")
        self.assertEqual(cluster.query("insert into h (a, b) values (2001, 'y') on conflict (a)"
                                       " do update set b = excluded.b || '!' returning b"),
                         [("y!",)])
        self.assertIsNone(cluster.query("insert into h (a) values (2001) on conflict do nothing"))
        cluster.execute("insert into q values (1)")
        self.assertEqual(cluster.value("select count(*) from q"), 1)

    def test_an_insert_that_fails_later_is_undone(self):
        connection = self.cluster.connect()
        with connection.cursor() as cursor:
            with self.assertRaises(psycopg2.errors.RaiseException):
                cursor.execute("do $$ begin insert into h (a) values (3001);"
                               " raise exception 'no'; end $$")
            cursor.execute("select count(*) from h where a = 3001")
            self.assertEqual(cursor.fetchall(), [(0,)])
        connection.close()

    def test_the_permissions_of_the_user_hold(self):
        self.cluster.execute("create role nobody")
        connection = self.cluster.connect()
        with connection.cursor() as cursor:
            cursor.execute("set role nobody")
            with self.assertRaises(psycopg2.errors.InsufficientPrivilege):
                cursor.execute("select * from h where a = 7")
            cursor.execute("reset role")
            cursor.execute("create view seven as select b from h where a = 7")
            cursor.execute("grant select on seven to nobody")
            cursor.execute("set role nobody")
            cursor.execute("select * from seven")
            self.assertEqual(cursor.fetchall(), [("row 7",)])
        connection.close()


if __name__ == "__main__":
    main()
