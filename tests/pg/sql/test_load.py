# SPDX-License-Identifier: Apache-2.0
"""COPY of distributed tables: every row once on its segment, whole or not at all."""
import io
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from cluster import ClusterCase, main, psycopg2, wait_until  # noqa: E402


class Lines(io.RawIOBase):
    """A file of rows made as it is read; at(number) is called before that row."""

    def __init__(self, count, at=lambda number: None):
        super().__init__()
        self.count, self.at, self.number, self.rest = count, at, 0, b""

    def read(self, size=-1):
        while len(self.rest) < size and self.number < self.count:
            self.number += 1
            self.at(self.number)
            self.rest += b"%d\trow %d\n" % (self.number, self.number)
        part, self.rest = self.rest[:size], self.rest[size:]
        return part


class Load(ClusterCase):
    def setUp(self):
        super().setUp()
        self.connection = self.cluster.connect()
        self.run_sql("drop table if exists t")
        self.run_sql("create table t (a int primary key, b text) with (distributed_by = 'a')")

    def tearDown(self):
        self.connection.close()
        super().tearDown()

    def run_sql(self, sql):
        with self.connection.cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetchall() if cursor.description else None

    def copy(self, sql, data):
        source = data if hasattr(data, "read") else io.StringIO(data)
        with self.connection.cursor() as cursor:
            cursor.copy_expert(sql, source)
            return cursor.rowcount

    def copy_out(self, sql):
        target = io.StringIO()
        with self.connection.cursor() as cursor:
            cursor.copy_expert(sql, target)
        return target.getvalue()

    def count(self):
        return self.run_sql("select count(*) from t")[0][0]

    def assert_all_in_place(self):
        """Every row is where its key is looked for."""
        for content in (0, 1):
            keys = self.cluster.query("select a from t", content=content)
            self.assertGreater(len(keys), 0)
            self.assertEqual(self.run_sql(
                "select count(*) from unnest(array[%s]) a where sluice.hash_segment(a) <> %d"
                % (",".join(str(key) for key, in keys), content)), [(0,)])

    def test_many_rows_go_each_to_its_segment(self):
        self.assertEqual(self.copy("copy t from stdin", Lines(50000)), 50000)
        self.assertEqual(self.run_sql("select count(*), sum(a), count(distinct b) from t"),
                         [(50000, 50000 * 50001 // 2, 50000)])
        self.assert_all_in_place()

    def test_csv_with_header_quotes_and_line_ends_in_values(self):
        self.copy("copy t (b, a) from stdin (format csv, header)",
                  'b,a\n"two\nlines",1\n"a ""quote""",2\n,3\n"",4\n')
        self.assertEqual(self.run_sql("select a, b from t order by a"),
                         [(1, "two\nlines"), (2, 'a "quote"'), (3, None), (4, "")])
        self.assertEqual(sorted(self.copy_out("copy t to stdout (format csv)")
                                .replace("two\nlines", "two lines").split("\n")),
                         ["", '1,"two lines"', '2,"a ""quote"""', "3,", '4,""'])

    def test_text_with_escapes_and_nulls(self):
        self.copy("copy t from stdin", "1\ta\\tb\\\\c\n2\t\\N\n3\t\\\\N\n")
        self.assertEqual(self.run_sql("select a, b from t order by a"),
                         [(1, "a\tb\\c"), (2, None), (3, "\\N")])
        self.assertEqual(sorted(self.copy_out("copy t to stdout").split("\n")),
                         ["", "1\ta\\tb\\\\c", "2\t\\N", "3\t\\\\N"])

    def test_the_encoding_of_the_file_is_converted(self):
        with self.connection.cursor() as cursor:
            cursor.copy_expert("copy t from stdin (encoding 'latin1')",
                               io.BytesIO("1\tgr\u00fcn\n".encode("latin1")))
            self.assertEqual(self.run_sql("select b from t"), [("gr\u00fcn",)])
            target = io.BytesIO()
            cursor.copy_expert("copy t to stdout (encoding 'latin1')", target)
        self.assertEqual(target.getvalue(), "1\tgr\u00fcn\n".encode("latin1"))

    def test_binary_format_goes_round(self):
        self.copy("copy t from stdin", Lines(3000))
        target = io.BytesIO()
        with self.connection.cursor() as cursor:
            cursor.copy_expert("copy t to stdout (format binary)", target)
            self.run_sql("truncate t")
            target.seek(0)
            cursor.copy_expert("copy t from stdin (format binary)", target)
        self.assertEqual(self.run_sql("select count(*), sum(a), max(b) from t"),
                         [(3000, 3000 * 3001 // 2, "row 999")])
        self.assert_all_in_place()

    def test_defaults_are_those_of_the_cluster(self):
        self.run_sql("drop table t")
        self.run_sql("create table t (a int, s serial, i int generated always as identity,"
                     " at timestamptz default now(), five int default 5, primary key (s))"
                     " with (distributed_by = 's')")
        self.copy("copy t (a) from stdin", "".join(f"{i}\n" for i in range(1, 2001)))
        self.copy("copy t (a) from stdin (format csv) where a % 2 = 0",
                  "".join(f"{i}\n" for i in range(1, 2001)))
        self.assertEqual(self.run_sql("select count(*), count(distinct s), count(distinct i),"
                                      " sum(five) from t"), [(3000, 3000, 3000, 15000)])
        self.assertLessEqual(self.run_sql("select count(distinct at) from t")[0][0], 2)
        self.assertEqual(self.run_sql("select count(*) from (select s from t where s <= 2000) z"),
                         [(2000,)])

    def test_a_default_that_looks_like_null_in_the_file_is_none(self):
        self.run_sql("drop table t")
        self.run_sql("create table t (a int, s serial, b text default current_user)"
                     " with (distributed_by = 'a')")
        for null in ("1", "postgres"):
            self.copy(f"copy t (a) from stdin (null '{null}')", "7\n8\n")
            self.copy(f"copy t (a) from stdin (format csv, null '{null}')", "9\n10\n")
        self.assertEqual(self.run_sql("select count(a), count(s), count(b) from t"), [(8, 8, 8)])

    def test_where_keeps_rows_out(self):
        self.assertEqual(self.copy("copy t from stdin where a > 10 and b <> 'row 11'", Lines(20)), 9)
        self.assertEqual(self.run_sql("select min(a), count(*) from t"), [(12, 9)])

    def test_replicated_tables_get_all_rows_everywhere(self):
        self.run_sql("drop table t")
        self.run_sql("create table t (a int, b text) with (distributed_by = 'replicated')")
        self.assertEqual(self.copy("copy t from stdin", Lines(1000)), 1000)
        for content in (0, 1):
            self.assertEqual(self.cluster.value("select sum(a) from t", content=content), 500500)
        self.assertEqual(self.copy_out("copy t to stdout").count("\n"), 1000)

    def test_random_tables_get_rows_on_all_segments(self):
        self.run_sql("drop table t")
        self.run_sql("create table t (a int, b text) with (distributed_by = 'random')")
        self.copy("copy t from stdin", Lines(1000))
        for content in (0, 1):
            self.assertEqual(self.cluster.value("select count(*) from t", content=content), 500)

    def test_partitioned_tables_are_routed_on_the_segments(self):
        self.run_sql("drop table t")
        self.run_sql("create table t (a int, b text) partition by range (a)"
                     " with (distributed_by = 'a')")
        self.run_sql("create table t1 partition of t for values from (0) to (500)")
        self.run_sql("create table t2 partition of t for values from (500) to (5000)")
        self.copy("copy t from stdin", Lines(1000))
        self.assertEqual(self.run_sql("select (select count(*) from t1), count(*) from t"),
                         [(499, 1000)])
        with self.assertRaises(psycopg2.errors.WrongObjectType):
            self.copy_out("copy t to stdout")

    def test_errors_of_segments_name_the_line_of_the_file(self):
        lines = [f"{i}\trow" for i in range(1, 20001)]
        lines[15000] = "7\tagain"
        with self.assertRaises(psycopg2.errors.UniqueViolation) as caught:
            self.copy("copy t from stdin", "\n".join(lines) + "\n")
        self.assertIn("line 15001", caught.exception.diag.context)
        self.assertIn("segment ", caught.exception.diag.context)
        lines[15000] = "15001"
        with self.assertRaises(psycopg2.errors.BadCopyFileFormat) as caught:
            self.copy("copy t from stdin", "\n".join(lines) + "\n")
        self.assertIn("line 15001", caught.exception.diag.context)
        self.run_sql("drop table t")
        self.run_sql("create table t (a int, n int) with (distributed_by = 'a')")
        rows = ['%d,"1"' % i for i in range(5000)]
        rows[10] = '10,"\n2\n"'
        rows[4000] = '4000,zz'
        with self.assertRaises(psycopg2.errors.InvalidTextRepresentation) as caught:
            self.copy("copy t from stdin (format csv)", "\n".join(rows) + "\n")
        self.assertIn("line 4003, column n", caught.exception.diag.context)
        self.assertEqual(self.count(), 0)

    def test_a_failed_load_can_be_undone_alone(self):
        self.run_sql("begin")
        self.copy("copy t from stdin", Lines(1000))
        self.run_sql("savepoint s")
        with self.assertRaises(psycopg2.errors.UniqueViolation):
            self.copy("copy t from stdin", Lines(10))
        self.run_sql("rollback to s")
        self.assertEqual(self.count(), 1000)
        self.run_sql("commit")
        self.assertEqual(self.count(), 1000)

    def test_a_query_is_copied_out(self):
        self.copy("copy t from stdin", Lines(1000))
        self.assertEqual(self.copy_out("copy (select a from t where a < 4 order by a) to stdout"),
                         "1\n2\n3\n")

    def test_only_who_may_insert_may_load(self):
        self.run_sql("create role loader")
        self.run_sql("set role loader")
        with self.assertRaises(psycopg2.errors.InsufficientPrivilege):
            self.copy("copy t from stdin", "1\ta\n")
        with self.assertRaises(psycopg2.errors.InsufficientPrivilege):
            self.copy_out("copy t to stdout")
        with self.assertRaises(psycopg2.errors.InsufficientPrivilege):
            self.run_sql("copy t from '/etc/passwd'")
        self.run_sql("reset role")

    def test_a_load_whose_segment_process_is_killed_leaves_nothing(self):
        def kill(number):
            if number == 200000:
                self.cluster.kill(self.cluster.value(
                    "select pid from pg_stat_activity where application_name = 'sluice' and"
                    " query ~* 'copy' and pid <> pg_backend_pid()", content=1))
        with self.assertRaises(psycopg2.Error):
            self.copy("copy t from stdin", Lines(400000, kill))
        self.assert_nothing_stays()

    def test_a_cancelled_load_leaves_nothing(self):
        def cancel(number):
            if number == 100000:
                self.connection.cancel()
        with self.assertRaises(psycopg2.errors.QueryCanceled):
            self.copy("copy t from stdin", Lines(2000000, cancel))
        self.assertEqual(self.count(), 0)
        self.assert_nothing_stays()

    def test_a_load_whose_coordinator_is_killed_leaves_nothing(self):
        def kill(number):
            if number == 200000:
                self.cluster.kill(self.connection.info.backend_pid)
        with self.assertRaises(psycopg2.Error):
            self.copy("copy t from stdin", Lines(400000, kill))
        self.assert_nothing_stays()

    def assert_nothing_stays(self):
        def empty():
            try:
                return self.cluster.value("select count(*) from t") == 0
            except psycopg2.Error:
                return False
        wait_until(empty, "the cluster serves again", 60)
        for content in (0, 1):
            self.assertEqual(self.cluster.value("select count(*) from pg_prepared_xacts",
                                                content=content), 0)
        self.connection.close()
        self.connection = self.cluster.connect()


if __name__ == "__main__":
    main()
