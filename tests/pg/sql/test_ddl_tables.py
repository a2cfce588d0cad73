#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Distributed tables: where their rows are, what is known of them, and that they keep
them when the distribution changes or the database is dumped."""
import os
import sys
import threading

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from cluster import ClusterCase, main, psycopg2  # noqa: E402


def jump_hash(key, buckets):
    """Lamping, Veach: A Fast, Minimal Memory, Consistent Hash Algorithm."""
    bucket, after = -1, 0
    while after < buckets:
        bucket = after
        key = (key * 2862933555777941757 + 1) % 2**64
        after = int((bucket + 1) * (2**31 / ((key >> 33) + 1)))
    return bucket


class Tables(ClusterCase):
    def distribution(self, table):
        return self.cluster.query("select policy, keys from sluice.distribution"
                                  " where relation = %s::regclass", table)[0]

    def contents(self, table):
        """Sorted rows of each segment."""
        return [sorted(self.cluster.query(f"select * from {table}", content=content, utility=True))
                for content in range(self.segments)]

    def fails(self, sql, code):
        with self.assertRaises(psycopg2.Error) as caught:
            self.cluster.execute(sql)
        self.assertEqual(caught.exception.pgcode, code, str(caught.exception))

    def test_a_table_is_distributed_by_its_key_or_its_first_column_that_can_be(self):
        for definition, expected in [
                ("(a int, b int primary key)", ("hash", ["b"])),
                ("(a int, b int, c int, primary key (c, a))", ("hash", ["c", "a"])),
                ("(a int, b int primary key deferrable)", ("hash", ["b"])),
                ("(a int, b int unique)", ("hash", ["b"])),
                ("(a int, b int, c int, unique (a, b), primary key (c, b))", ("hash", ["b"])),
                ("(a point, b text)", ("hash", ["b"])),
                ("(a point)", ("random", None)),
                ("()", ("random", None)),
                ("(\"A b\" int, c int) with (distributed_by = '\"A b\", c')", ("hash", ["A b", "c"])),
                ("(random int) with (distributed_by = '\"random\"')", ("hash", ["random"])),
                ("(a int) with (distributed_by = 'REPLICATED')", ("replicated", None))]:
            with self.subTest(definition=definition):
                self.cluster.execute(f"create table chosen {definition}")
                self.assertEqual(self.distribution("chosen"), expected)
                self.cluster.execute("drop table chosen")

    def test_rows_are_where_the_hash_of_the_key_says(self):
        for kind, values in [("int", "generate_series(-500, 500)"),
                             ("bigint", "generate_series(-500, 500)::bigint"),
                             ("text", "generate_series(-500, 500)::text"),
                             ("numeric", "generate_series(-500, 500) / 7.0"),
                             ("date", "date '2026-01-01' + generate_series(-500, 500)"),
                             ("uuid", "md5(generate_series(-500, 500)::text)::uuid"),
                             ("float8", "generate_series(-500, 500) / 3.0::float8"),
                             ("int[]", "array[generate_series(-500, 500)]")]:
            with self.subTest(kind=kind):
                self.cluster.execute(f"create table placed (a {kind}) with (distributed_by = 'a')")
                self.cluster.execute(f"insert into placed select {values}")
                expected = self.cluster.query(
                    f"select sluice.hash_segment(v), count(*) from (select {values} as v) x"
                    " group by 1 order by 1")
                found = self.cluster.query("select content, rows from"
                                           " sluice.rows_per_segment('placed') order by 1")
                self.assertEqual(found, expected)
                self.assertGreater(min(count for _, count in found), 300)
                self.cluster.execute("drop table placed")

    def test_integers_of_any_width_are_on_the_same_segment(self):
        self.assertEqual(self.cluster.value(
            "select count(*) from generate_series(-300, 300) n where sluice.hash_segment(n)"
            " <> sluice.hash_segment(n::bigint) or sluice.hash_segment(n::smallint)"
            " <> sluice.hash_segment(n)"), 0)

    def test_integers_are_hashed_as_postgresql_hashes_them(self):
        for kind, function in (("int2", "hashint2extended"), ("int4", "hashint4extended"),
                               ("int8", "hashint8extended"), ("date", "hashint4extended")):
            values = {"int2": "(n * 311)::int2", "int4": "n * 20000003", "date": "date 'epoch' + n",
                      "int8": "n * n * n * 8000000000007"}[kind]
            argument = "x - date '2000-01-01'" if kind == "date" else "x"
            rows = self.cluster.query(
                f"select {function}({argument}, 0), sluice.hash_segment(x) from"
                f" (select {values} from generate_series(-100::{'int8' if kind == 'int8' else 'int'},"
                " 100) n) s(x)")
            self.assertEqual([segment for _, segment in rows],
                             [jump_hash(value % 2**64, self.segments) for value, _ in rows], kind)

    def test_rows_move_to_their_new_distribution(self):
        self.cluster.execute(
            "create table moving (a int generated always as identity, b text, c int,"
            " twice int generated always as (c * 2) stored, check (c >= 0)) with (distributed_by = 'b')")
        self.cluster.execute("insert into moving (b, c) select 'x' || n % 17, n"
                             " from generate_series(1, 1000) n")
        expected = sorted(self.cluster.query("select * from moving"))
        oid = self.cluster.value("select 'moving'::regclass::oid")
        for policy, count in [("a", 1000), ("random", 1000), ("replicated", 2000), ("b, c", 1000)]:
            self.cluster.execute(f"alter table moving set (distributed_by = '{policy}')")
            self.assertEqual(sorted(self.cluster.query("select * from moving")), expected)
            self.assertEqual(sum(map(len, self.contents("moving"))), count)
        self.assertEqual(self.distribution("moving"), ("hash", ["b", "c"]))
        self.assertEqual(self.cluster.value("select 'moving'::regclass::oid"), oid)
        self.assertEqual(self.cluster.value(
            "select count(*) from pg_class where relname ~ 'sluice_moved'"), 0)
        self.cluster.execute("insert into moving (b, c) values ('y', 5)")
        self.assertEqual(self.cluster.value("select a from moving where b = 'y'"), 1001)
        self.cluster.execute("drop table moving")

    def test_rows_that_policies_hide_from_the_owner_move_too(self):
        self.cluster.execute("create role mover; grant all on schema public to mover")
        for rows in ("hidden", "shown"):
            self.cluster.execute("create table screened (a int, b int) with (distributed_by = 'a');"
                                 "alter table screened owner to mover;"
                                 "alter table screened enable row level security;"
                                 "alter table screened force row level security;"
                                 f"create policy p on screened using ({'b > 5' if rows == 'shown' else 'false'})")
            self.cluster.execute("insert into screened select n, n % 10 from generate_series(1, 100) n")
            connection = self.cluster.connect()
            with connection.cursor() as cursor:
                cursor.execute("set role mover")
                cursor.execute("alter table screened set (distributed_by = 'b')")
                cursor.execute("select count(*) from screened")
                self.assertEqual(cursor.fetchone(), (40 if rows == "shown" else 0,))
            connection.close()
            self.assertEqual(self.cluster.query("select count(*), sum(a) from screened"), [(100, 5050)])
            for content, contents in enumerate(self.contents("screened")):
                for key in {b for _, b in contents}:
                    self.assertEqual(self.cluster.value(f"select sluice.hash_segment({key})"), content)
            self.cluster.execute("drop table screened")
        self.cluster.execute("drop owned by mover; drop role mover")

    def test_the_type_of_a_key_changes_only_where_its_hash_does_not(self):
        for old, new, keeps in (("int[]", "bigint[]", True), ("int[]", "numeric[]", False),
                                ("int", "bigint", True), ("varchar(9)[]", "text[]", True),
                                ("real[]", "float8[]", True), ("int[]", "float8[]", False)):
            with self.subTest(old=old, new=new):
                self.cluster.execute(f"create table typed (k {old}) with (distributed_by = 'k')")
                value = "array[n]" if "[" in old else "n"
                self.cluster.execute(f"insert into typed select {value}::{old} from generate_series(1, 50) n")
                sql = f"alter table typed alter column k type {new}"
                if keeps:
                    self.cluster.execute(sql)
                    value = value.replace("n", "7") + f"::{new}"
                    self.assertEqual(self.cluster.value(f"select count(*) from typed where k = {value}"), 1)
                else:
                    self.fails(sql, "0A000")
                self.cluster.execute("drop table typed")

    def test_a_change_of_distribution_that_is_rolled_back_moves_nothing(self):
        self.cluster.execute("create table staying as select n as a, n % 7 as b"
                             " from generate_series(1, 100) n")
        before = self.contents("staying")
        connection = self.cluster.connect()
        connection.autocommit = False
        cursor = connection.cursor()
        cursor.execute("alter table staying set (distributed_by = 'b')")
        cursor.execute("select count(*), count(distinct a) from staying")
        self.assertEqual(cursor.fetchone(), (100, 100))
        connection.rollback()
        cursor.execute("select count(*) from staying")
        self.assertEqual(cursor.fetchone(), (100,))
        connection.rollback()
        connection.close()
        self.assertEqual(self.contents("staying"), before)
        self.assertEqual(self.distribution("staying"), ("hash", ["a"]))
        self.cluster.execute("drop table staying")

    def test_partitions_follow_their_table(self):
        self.cluster.execute("create table whole (a int, b int) partition by range (b)")
        self.cluster.execute("create table low partition of whole for values from (0) to (50)")
        self.cluster.execute("create table high partition of whole for values from (50) to (100)"
                             " partition by list (a)")
        self.cluster.execute("create table rest partition of high default")
        self.cluster.execute("insert into whole select n, n % 100 from generate_series(1, 1000) n")
        self.cluster.execute("alter table whole set (distributed_by = 'b')")
        for table in ("whole", "low", "high", "rest"):
            self.assertEqual(self.distribution(table), ("hash", ["b"]))
        self.fails("alter table low set (distributed_by = 'a')", "42809")
        self.cluster.execute("alter table whole rename column b to key")
        self.assertEqual(self.distribution("rest"), ("hash", ["key"]))
        self.assertEqual(self.cluster.query("select count(*), sum(a) from whole"), [(1000, 500500)])
        self.cluster.execute("alter table whole detach partition low")
        self.assertEqual(self.cluster.value("select count(*) from whole"), 500)
        self.cluster.execute("alter table whole attach partition low for values from (0) to (50)")
        self.assertEqual(self.cluster.value("select count(*) from whole"), 1000)
        self.cluster.execute("analyze whole")
        self.assertEqual(self.cluster.query(
            "select relname, reltuples from pg_class where relname in ('whole', 'low', 'rest')"
            " order by 1"), [("low", 500), ("rest", 500), ("whole", 1000)])
        self.cluster.execute("drop table whole")

    def test_segments_enforce_the_keys(self):
        self.cluster.execute("create table parent (a int primary key)")
        self.cluster.execute("create table land (code text primary key)"
                             " with (distributed_by = 'replicated')")
        self.cluster.execute("create table child (a int references parent, n int, code text references"
                             " land, check (n > 0), unique (a, n)) with (distributed_by = 'a')")
        self.cluster.execute("insert into parent select generate_series(1, 20)")
        self.cluster.execute("insert into land values ('de'), ('fr')")
        self.cluster.execute("insert into child select n, n, 'de' from generate_series(1, 20) n")
        self.fails("insert into parent values (7)", "23505")
        self.fails("insert into child values (21, 1, 'de')", "23503")
        self.fails("insert into child values (2, 1, 'xx')", "23503")
        self.fails("insert into child values (2, 0, 'de')", "23514")
        self.fails("insert into child values (2, 2, 'de')", "23505")
        self.assertEqual(self.cluster.value("select count(*) from child"), 20)
        self.cluster.execute("create table late (a int) with (distributed_by = 'a')")
        self.cluster.execute("insert into late select generate_series(1, 21)")
        self.fails("alter table late add foreign key (a) references parent", "23503")
        self.fails("alter table late add check (a < 21)", "23514")
        self.cluster.execute("alter table late add foreign key (a) references parent not valid")
        self.fails("alter table late validate constraint late_a_fkey", "23503")
        self.cluster.execute("drop table late, child, parent, land")

    def test_analyze_knows_what_plain_postgresql_would(self):
        source = ("select n as id, n % 10 as digit, case when n % 4 = 0 then null else n::text end as name,"
                  " (n % 3)::numeric as three, repeat('x', n % 50) as pad from generate_series(1, 30000) n")
        self.cluster.execute(f"create temp table plain as {source}; analyze plain;"
                             f" create table known as {source};"
                             " create index known_digit on known (digit); analyze known;"
                             " create table public.plain_stats as select attname::text, null_frac,"
                             " avg_width, n_distinct, most_common_vals::text as common, correlation"
                             " from pg_stats where tablename = 'plain'")
        expected = {row[0]: row[1:] for row in self.cluster.query("select * from plain_stats")}
        found = {row[0]: row[1:] for row in self.cluster.query(
            "select attname::text, null_frac, avg_width, n_distinct, most_common_vals::text,"
            " correlation from pg_stats where tablename = 'known'")}
        self.assertEqual(set(found), set(expected))
        for column, (null_frac, width, distinct, common, correlation) in expected.items():
            with self.subTest(column=column):
                self.assertAlmostEqual(found[column][0], null_frac, delta=0.02)
                self.assertAlmostEqual(found[column][1], width, delta=1)
                self.assertAlmostEqual(found[column][2], distinct, delta=0.1 * abs(distinct))
                if common is not None:
                    self.assertEqual(sorted(found[column][3].strip("{}").split(",")),
                                     sorted(common.strip("{}").split(",")))
                if column == "id":
                    self.assertAlmostEqual(found[column][4], correlation, delta=0.1)
        rows = dict(self.cluster.query("select relname::text, reltuples::int from pg_class where"
                                       " relname in ('known', 'known_digit')"))
        self.assertEqual(rows, {"known": 30000, "known_digit": 30000})
        pages = self.cluster.value("select relpages from pg_class where relname = 'known'")
        self.assertEqual(pages, sum(
            self.cluster.value("select pg_relation_size('known') / 8192", content=content, utility=True)
            for content in range(self.segments)))
        self.cluster.execute("drop table known, plain_stats")

    def test_vacuum_cleans_the_segments(self):
        self.cluster.execute("create table dirty as select n from generate_series(1, 10000) n")
        connection = self.cluster.connect()
        connection.autocommit = False
        connection.cursor().execute("insert into dirty select generate_series(1, 10000)")
        connection.rollback()
        connection.close()
        before = self.cluster.value("select sluice.table_size('dirty')")
        self.cluster.execute("vacuum (full) dirty")
        self.assertLess(self.cluster.value("select sluice.table_size('dirty')"), 0.7 * before)
        self.cluster.execute("vacuum dirty")
        self.assertEqual(self.cluster.query(
            "select reltuples::int, relallvisible = relpages, relpages > 0 from pg_class"
            " where relname = 'dirty'"), [(10000, True, True)])
        self.fails("begin; vacuum dirty", "25001")
        self.fails("vacuum nothing_here", "42P01")
        self.cluster.execute("drop table dirty")

    def test_an_empty_shell_does_not_hold_back_the_horizon(self):
        self.cluster.execute("create table shell (a int primary key)")
        age = "select age(relfrozenxid) from pg_class where relname = 'shell'"
        connection = self.cluster.connect()
        for _ in range(20):
            connection.cursor().execute("select txid_current()")
        connection.close()
        before = self.cluster.value(age)
        self.cluster.execute("vacuum (freeze) shell")
        self.assertLess(self.cluster.value(age), before - 15)
        self.cluster.execute("drop table shell")

    def test_columns_added_to_rows_have_one_value(self):
        self.cluster.execute("create table wide as select n as a from generate_series(1, 100) n")
        self.cluster.execute("alter table wide add column b int default 7")
        self.assertEqual(self.cluster.query("select b, count(*) from wide group by b"), [(7, 100)])
        for column in ["c serial", "c int generated always as identity", "c timestamptz default now()"]:
            with self.subTest(column=column):
                self.fails(f"alter table wide add column {column}", "0A000")
        self.cluster.execute("truncate wide; alter table wide add column c serial")
        self.cluster.execute("insert into wide (a) select generate_series(1, 50)")
        self.assertEqual(self.cluster.query("select count(distinct c), max(c) from wide"), [(50, 50)])
        self.cluster.execute("drop table wide")

    def test_queries_make_tables(self):
        self.cluster.execute("create table source as select n, n % 3 as k from generate_series(1, 99) n")
        connection = self.cluster.connect()
        cursor = connection.cursor()
        cursor.execute("create table grouped (kind, total) with (distributed_by = 'kind') as"
                       " select k, count(*) from source where n > %s group by k order by k", (30,))
        self.assertEqual(cursor.statusmessage, "SELECT 3")
        cursor.execute("select kind, total into copied from grouped")
        cursor.execute("create table empty as select * from source with no data")
        cursor.execute("create table if not exists empty as select 1 as other")
        cursor.execute("create materialized view totals as select k, sum(n) as sum from source group by k")
        cursor.execute("insert into source values (1000, 0)")
        cursor.execute("create unique index on totals (k); refresh materialized view totals")
        cursor.execute("refresh materialized view concurrently totals")
        cursor.execute("select * from copied order by 1")
        self.assertEqual(cursor.fetchall(), [(0, 23), (1, 23), (2, 23)])
        cursor.execute("select sum from totals where k = 0")
        self.assertEqual(cursor.fetchone(), (2683,))
        cursor.execute("select count(*) from empty")
        self.assertEqual(cursor.fetchone(), (0,))
        connection.close()
        self.fails("create table grouped as select 1", "42P07")
        self.fails("create table bad (a, b) as select 1", "42601")
        self.fails("create table bad as select 1 / 0", "22012")
        self.assertIsNone(self.cluster.value("select to_regclass('bad')"))
        self.cluster.execute("drop materialized view totals; drop table source, grouped, copied, empty")

    def test_functions_make_tables_with_their_parameters(self):
        self.cluster.execute("create table numbers as select n from generate_series(1, 100) n")
        self.cluster.execute(
            "create function by_variable(v int) returns bigint language plpgsql as $$ begin"
            " create table made_1 as select * from numbers where n <= v;"
            " return (select count(*) from made_1); end $$;"
            " create function by_execute(v int) returns bigint language plpgsql as $$ begin"
            " execute 'create table made_2 as select * from numbers where n <= $1' using v;"
            " return (select count(*) from made_2); end $$;"
            " create function by_sql(int) returns void language sql as"
            " $$ create table made_3 as select * from numbers where n <= $1 $$")
        self.assertEqual(self.cluster.value("select by_variable(30)"), 30)
        self.assertEqual(self.cluster.value("select by_execute(40)"), 40)
        self.cluster.execute("select by_sql(50)")
        self.assertEqual(self.cluster.value("select count(*) from made_3"), 50)
        self.cluster.execute("drop table numbers, made_1, made_2, made_3;"
                             " drop function by_variable, by_execute, by_sql")

    def test_a_transaction_sees_what_it_has_made(self):
        connection = self.cluster.connect()
        connection.autocommit = False
        cursor = connection.cursor()

        def value(sql):
            cursor.execute(sql)
            return cursor.fetchone()[0]

        cursor.execute("create table mine as select n, n % 10 as k from generate_series(1, 1000) n")
        cursor.execute("create index on mine (k); analyze mine")
        self.assertEqual(value("select count(*) from mine where k = 3"), 100)
        cursor.execute("savepoint s; truncate mine")
        self.assertEqual(value("select count(*) from mine"), 0)
        cursor.execute("rollback to savepoint s; alter table mine add column c int default 4")
        self.assertEqual(value("select sum(c) from mine"), 4000)
        cursor.execute("alter table mine set (distributed_by = 'k')")
        self.assertEqual(value("select sum(c) from mine"), 4000)
        connection.commit()
        self.assertEqual(value("select count(*) from mine"), 1000)
        cursor.execute("drop table mine")
        connection.commit()
        connection.close()

    def test_sessions_that_define_at_once_do_not_disturb_each_other(self):
        errors = []

        def work(number):
            try:
                connection = self.cluster.connect()
                cursor = connection.cursor()
                for i in range(5):
                    name = f"own_{number}_{i}"
                    cursor.execute(f"create table {name} (a int primary key, b int)")
                    cursor.execute(f"insert into {name} select n, n from generate_series(1, 10) n")
                    cursor.execute(f"create index on {name} (b)")
                    cursor.execute(f"alter table {name} add column c int")
                    cursor.execute(f"select count(*) from {name}")
                    assert cursor.fetchone() == (10,)
                    cursor.execute(f"drop table {name}")
                connection.close()
            except Exception as error:  # pylint: disable=broad-except
                errors.append(error)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
        self.assertEqual(errors, [])
        self.assertEqual(self.cluster.value(
            "select count(*) from pg_class where relname like 'own\\_%'"), 0)

    def test_a_dump_restores_tables_with_their_distribution(self):
        for sql in ["create database dumped", "create database restored"]:
            self.cluster.execute(sql)
        for sql in ["create type color as enum ('red', 'blue')",
                    "create table ha (id serial primary key, c color, t text)",
                    "create table hb (a int, b int) with (distributed_by = 'b')",
                    "create table ra (x text) with (distributed_by = 'random')",
                    "create table re (k int primary key, v text) with (distributed_by = 'replicated')",
                    "create table pa (a int, d date) partition by range (d)",
                    "create table pa_1 partition of pa for values from ('2026-01-01') to ('2027-01-01')",
                    "alter table hb add foreign key (a) references re",
                    "create index on ha (t)", "create view vi as select * from ha",
                    "insert into ha (c, t) select case when n % 2 = 0 then 'red' else 'blue' end::color,"
                    " 'line' || n || E'\\\\\\n' from generate_series(1, 200) n",
                    "insert into re select n, 'v' from generate_series(0, 9) n",
                    "insert into hb select n % 10, n from generate_series(1, 100) n",
                    "insert into ra select 'r' || n from generate_series(1, 50) n",
                    "insert into pa select n, date '2026-01-01' + n from generate_series(1, 100) n"]:
            self.cluster.execute(sql, dbname="dumped")
        host = ["-h", self.cluster.socket_directory, "-p", self.cluster.server(-1)["port"],
                "-U", "postgres"]
        path = self.workspace.path("dump.sql")
        self.cluster.tree.run("pg_dump", *host, "-f", path, "dumped")
        self.cluster.tree.run("psql", *host, "-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", path,
                              "restored")
        for query in ["select relation::text, policy, keys from sluice.distribution order by 1",
                      "select * from ha order by id", "select * from hb order by b",
                      "select * from ra order by x", "select * from re order by k",
                      "select * from pa order by a", "select nextval('ha_id_seq')"]:
            with self.subTest(query=query):
                self.assertEqual(self.cluster.query(query, dbname="restored"),
                                 self.cluster.query(query, dbname="dumped"))
        for database in ("dumped", "restored"):
            self.cluster.execute(f"drop database {database}")


if __name__ == "__main__":
    main()
