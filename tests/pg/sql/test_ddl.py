#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Statements that define things: on all nodes or on none, and refused where a cluster
could not do them right."""
import os
import random
import sys
import threading

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from cluster import ClusterCase, main, psycopg2, wait_until  # noqa: E402

SEED = int(os.environ.get("SLUICE_SEED") or random.SystemRandom().randrange(10**6))
FINGERPRINT = "select * from sluice.catalog_fingerprint()"

# One of everything, each after what it needs.
EVERYTHING = [
    "create schema shop",
    "create role clerk login",
    "create role manager in role clerk",
    "grant usage on schema shop to clerk",
    "create type shop.state as enum ('new', 'paid')",
    "alter type shop.state add value 'packed' before 'paid'",
    "alter type shop.state rename value 'new' to 'open'",
    "create type shop.pair as (a int, b text)",
    "create domain shop.amount as numeric check (value >= 0)",
    "create type shop.span as range (subtype = float8)",
    "create sequence shop.numbers increment 10",
    "create table shop.item (id bigserial primary key, name text not null, price shop.amount,"
    " kind shop.state default 'open', unique (id, name))",
    "create table shop.line (item bigint references shop.item, n int check (n > 0),"
    " at timestamptz default now()) with (distributed_by = 'item')",
    "create table shop.country (code text primary key) with (distributed_by = 'replicated')",
    "create table shop.log (message text) with (distributed_by = 'random', fillfactor = 50)",
    "create table shop.of_pair of shop.pair",
    "create table shop.copy (like shop.item including all)",
    "create table shop.event (id int, day date) partition by range (day)",
    "create table shop.event_1 partition of shop.event"
    " for values from ('2026-01-01') to ('2026-02-01')",
    "create table shop.event_2 (id int, day date) with (distributed_by = 'id')",
    "alter table shop.event attach partition shop.event_2"
    " for values from ('2026-02-01') to ('2026-03-01')",
    "create index on shop.event (day)",
    "alter table shop.event detach partition shop.event_2",
    "alter table shop.item add column note text default 'none'",
    "alter table shop.item alter column note set not null, add check (price < 1000)",
    "alter table shop.item rename column name to title",
    "alter table shop.item rename column id to number",
    "alter table shop.log set schema public",
    "alter table public.log rename to logbook",
    "create index title_index on shop.item (lower(title)) where price > 1",
    "create view shop.cheap as select * from shop.item where price < 10",
    "create materialized view shop.totals as select 1 as one",
    "create function shop.twice(n int) returns int language sql immutable as 'select 2 * n'",
    "create or replace function shop.twice(n int) returns int language sql immutable strict"
    " as 'select n + n'",
    "create procedure shop.nothing() language sql as 'select 1'",
    "create aggregate shop.add_up(int) (sfunc = int4pl, stype = int, initcond = 0)",
    "create operator shop.=== (function = int4eq, leftarg = int, rightarg = int)",
    "create cast (shop.pair as text) with inout",
    "create collation shop.plain (locale = 'C')",
    "create statistics shop.both on title, price from shop.item",
    "create rule forget as on delete to shop.logless do instead nothing",
    "create policy own on shop.item using (price > 0)",
    "alter table shop.item enable row level security",
    "create extension pgcrypto",
    "grant select, insert on shop.item to clerk",
    "grant select (title) on shop.item to manager",
    "revoke insert on shop.item from clerk",
    "alter default privileges in schema shop grant select on tables to clerk",
    "comment on table shop.item is 'what we sell'",
    "comment on column shop.item.title is 'its name'",
    "alter table shop.item owner to manager",
    "alter sequence shop.numbers restart 5 increment 7",
    "truncate shop.item, shop.line",
    "reindex table shop.item",
    "cluster shop.item using item_pkey",
    "select 1 as one, 'x'::varchar(5) as two into shop.selected",
    "create table shop.made as select number, title from shop.item",
    "create foreign data wrapper nowhere",
    "create server far foreign data wrapper nowhere",
    "create foreign table shop.foreign_item (id int) server far",
    "alter role clerk connection limit 5",
    "alter database postgres set work_mem = '5MB'",
    "alter function shop.twice(int) cost 5",
    "create type shop.triple as (a int, b int)",
    "alter type shop.triple add attribute c int",
    "alter domain shop.amount set default 1",
    "do $$ begin execute 'create table shop.by_do (a int primary key)'; end $$",
    "create function shop.make() returns void language plpgsql as"
    " $$ begin create table shop.by_function (a int primary key); end $$",
    "select shop.make()",
]


class Everywhere(ClusterCase):
    def node(self, content):
        return self.cluster.query(FINGERPRINT, content=content, utility=True)

    def assert_same(self):
        """All nodes have the same dictionary."""
        expected = self.node(-1)
        for content in range(self.segments):
            self.assertEqual(sorted(set(self.node(content)) ^ set(expected)), [])
        return expected

    def refused(self, sql, text, code=None, **options):
        """The statement fails so, and the coordinator has not changed."""
        before = self.node(-1)
        with self.assertRaises(psycopg2.Error) as caught:
            self.cluster.execute(sql, **options)
        self.assertIn(text, str(caught.exception))
        if code is not None:
            self.assertEqual(caught.exception.pgcode, code)
        self.assertEqual(self.node(-1), before)

    def test_1_all_nodes_have_what_any_statement_defines(self):
        self.cluster.execute("create table logless (a int primary key)")
        for sql in EVERYTHING:
            with self.subTest(sql=sql):
                self.cluster.execute(sql.replace("shop.logless", "logless"))
        kinds = {kind for kind, _, _ in self.assert_same()}
        self.assertLessEqual({"table", "index", "view", "function", "type", "role", "policy",
                              "comment", "extension", "sequence", "constraint"}, kinds)

    def test_2_what_is_dropped_is_dropped_on_all_nodes(self):
        for sql in ["drop view shop.cheap", "drop index shop.title_index",
                    "drop function shop.twice(int)", "drop extension pgcrypto",
                    "alter table shop.item drop column note", "drop owned by clerk",
                    "drop type shop.pair cascade", "reassign owned by manager to postgres",
                    "drop schema shop cascade", "drop table logbook, logless",
                    "drop role manager, clerk", "drop server far", "drop foreign data wrapper nowhere",
                    "alter database postgres reset work_mem"]:
            with self.subTest(sql=sql):
                self.cluster.execute(sql)
        names = [name for _, name, _ in self.assert_same()]
        self.assertEqual([name for name in names if "shop" in name or "clerk" in name], [])

    def test_a_statement_that_is_rolled_back_has_been_nowhere(self):
        before = self.assert_same()
        connection = self.cluster.connect()
        connection.autocommit = False
        cursor = connection.cursor()
        cursor.execute("create table rolled (a int primary key)")
        cursor.execute("insert into rolled values (1), (2), (3)")
        cursor.execute("savepoint s")
        cursor.execute("alter table rolled add column b int")
        cursor.execute("create index on rolled (b)")
        cursor.execute("rollback to savepoint s")
        cursor.execute("select count(*) from rolled")
        self.assertEqual(cursor.fetchone(), (3,))
        connection.rollback()
        connection.close()
        self.assertEqual(self.assert_same(), before)

    def test_an_error_of_one_segment_undoes_the_statement_on_all(self):
        self.cluster.execute("create table half (a int primary key)")
        self.cluster.execute("create table stray (a int)", content=1, utility=True)
        try:
            with self.assertRaises(psycopg2.Error) as caught:
                self.cluster.execute("create table stray (a int primary key)")
            self.assertEqual(caught.exception.pgcode, "42P07")
            self.assertIn("segment 1", str(caught.exception))
        finally:
            self.cluster.execute("drop table stray", content=1, utility=True)
        self.assert_same()
        self.cluster.execute("drop table half")

    def test_an_injected_difference_is_seen(self):
        self.cluster.execute("create table drift (a int primary key, b int)")
        self.cluster.execute("alter table drift alter b set default 5", content=0, utility=True)
        differ = set(self.node(0)) ^ set(self.node(-1))
        self.assertEqual({name for _, name, _ in differ}, {"public.drift"})
        self.cluster.execute("drop table drift")
        self.assert_same()

    def test_several_statements_in_one_string_are_one_transaction(self):
        before = self.assert_same()
        with self.assertRaises(psycopg2.Error):
            self.cluster.execute("create table m1 (a int primary key); create index on m1 (a);"
                                 " select 1 / 0")
        self.assertEqual(self.assert_same(), before)
        self.cluster.execute("create table m1 (a int primary key) ; /* x */ create index on m1 (a);"
                             " -- end\n drop table m1;")
        self.assertEqual(self.assert_same(), before)

    def test_temporary_objects_are_of_the_coordinator(self):
        before = self.assert_same()
        connection = self.cluster.connect()
        cursor = connection.cursor()
        for sql in ["create temp table scratch (a serial primary key, b text)",
                    "insert into scratch (b) values ('x'), ('y')",
                    "update scratch set b = 'z' where a = 1", "create index on scratch (b)",
                    "alter table scratch add column c int default 3",
                    "create view seen as select * from scratch",
                    "create temp table other as select * from scratch", "truncate other",
                    "comment on table scratch is 'x'", "analyze scratch", "vacuum scratch",
                    "create function pg_temp.one() returns int language sql as 'select 1'",
                    "drop function pg_temp.one()", "create type pg_temp.pair as (a int)",
                    "set default_table_access_method = sluice", "create temp table third (a int)",
                    "insert into third values (1)", "create temp table fourth as table third",
                    "reset default_table_access_method",
                    "create temp table sixth (a int, b int) with (distributed_by = 'b')",
                    "insert into sixth values (1, 2)", "set search_path = pg_temp, public",
                    "create table fifth (a int)", "insert into fifth values (1)",
                    "create function two() returns int language sql as 'select 2'",
                    "reset search_path"]:
            cursor.execute(sql)
        cursor.execute("select b, c from seen order by 1")
        self.assertEqual(cursor.fetchall(), [("y", 3), ("z", 3)])
        self.assertEqual(self.assert_same(), before)
        connection.close()

    def test_an_error_within_a_statement_that_goes_on_is_not_sent(self):
        """An event trigger runs statements of its own, one of which it survives."""
        self.cluster.execute(
            "create function follow() returns event_trigger language plpgsql as $$ begin"
            " if tg_tag = 'CREATE TABLE' then"
            "  create sequence kept_follower;"
            "  begin create sequence lost_follower; perform 1 / 0;"
            "  exception when division_by_zero then null; end;"
            " end if; end $$;"
            " create event trigger followed on ddl_command_end execute function follow();"
            " comment on event trigger followed is 'x'; alter event trigger followed rename to follow")
        self.cluster.execute("create table followed (a int primary key)")
        names = {name for _, name, _ in self.assert_same()}
        self.assertIn("public.kept_follower", names)
        self.assertNotIn("public.lost_follower", names)
        self.cluster.execute("drop event trigger follow; drop function follow();"
                             " drop sequence kept_follower; drop table followed")
        self.assert_same()

    def test_a_temporary_table_does_not_hide_the_new_one(self):
        connection = self.cluster.connect()
        cursor = connection.cursor()
        cursor.execute("create temp table twin (a int)")
        cursor.execute("create table public.twin (a int primary key)")
        cursor.execute("select policy from sluice.distribution where relation = 'public.twin'::regclass")
        self.assertEqual(cursor.fetchall(), [("hash",)])
        cursor.execute("drop table public.twin")
        connection.close()
        self.assert_same()

    def test_databases_are_on_all_nodes_or_none(self):
        databases = "select datname from pg_database order by 1"
        self.cluster.execute("create database books")
        self.cluster.execute("create table t as select generate_series(1, 10) as a", dbname="books")
        self.assertEqual(self.cluster.value("select count(*) from t", dbname="books"), 10)
        for content in range(-1, self.segments):
            self.assertIn(("books",), self.cluster.query(databases, content=content, utility=True))
        self.cluster.execute("drop database books")
        self.cluster.execute("create database orphan", content=1, utility=True)
        with self.assertRaises(psycopg2.Error) as caught:
            self.cluster.execute("create database orphan")
        self.assertEqual(caught.exception.pgcode, "42P04")
        for content in (-1, 0):
            self.assertNotIn(("orphan",),
                             self.cluster.query(databases, content=content, utility=True))
        self.cluster.execute("drop database orphan", content=1, utility=True)

    def test_the_extension_can_be_added_to_a_database(self):
        self.cluster.execute("create database bare template template0")
        self.cluster.execute("create extension sluice", dbname="bare")
        self.cluster.execute("create table t as select generate_series(1, 10) as a", dbname="bare")
        self.assertEqual(self.cluster.value("select count(*) from t", dbname="bare"), 10)
        self.cluster.execute("drop database bare")

    def test_a_definer_owns_what_its_function_creates(self):
        for sql in ["create role maker", "create schema made authorization maker",
                    "create function made.make() returns void language plpgsql security definer as"
                    " $$ begin create table made.t (a int primary key); end $$",
                    "alter function made.make() owner to maker", "select made.make()"]:
            self.cluster.execute(sql)
        for content in range(-1, self.segments):
            self.assertEqual(self.cluster.value(
                "select relowner::regrole::text from pg_class where oid = 'made.t'::regclass",
                content=content, utility=True), "maker")
        self.cluster.execute("drop schema made cascade; drop role maker")

    def test_what_cannot_be_right_is_refused(self):
        self.cluster.execute("create table base (a int primary key, b int)")
        for sql, text in [
                ("create unique index on base (b)", "must contain the distribution key"),
                ("alter table base add unique (b)", "must contain the distribution key"),
                ("alter table base add exclude (b with =)", "must compare the distribution key"),
                ("create table bad (a int, b int unique) with (distributed_by = 'a')",
                 "must contain the distribution key"),
                ("create table bad (a int unique) with (distributed_by = 'random')",
                 "distributed randomly"),
                ("create table bad (a int) with (distributed_by = 'nope')", "does not exist"),
                ("create table bad (a int) with (distributed_by = 'a, a')", "twice"),
                ("create table bad (a point) with (distributed_by = 'a')", "cannot be hashed"),
                ("create table bad (a int generated always as (1) stored, b int)"
                 " with (distributed_by = 'a')", "generated column"),
                ("create table bad (a int) with (distributed_by = 'a', distributed_by = 'a')",
                 "twice"),
                ("create table bad (a int, b int references base)", "cannot be enforced"),
                ("create table bad (a int primary key references base (a), c int)"
                 " with (distributed_by = 'replicated')", "cannot be enforced"),
                ("alter table base drop column a", "cannot be dropped"),
                ("alter table base alter column a type text", "cannot be changed so"),
                ("alter table base alter column a type numeric", "cannot be changed so"),
                ("alter table base set (distributed_by = 'b')", "must contain"),
                ("alter table base set (distributed_by = 'a', fillfactor = 10)",
                 "in a statement of its own"),
                ("alter table base set access method heap", "not supported"),
                ("create trigger t before insert on base for each row"
                 " execute function suppress_redundant_updates_trigger()", "not supported"),
                ("create index concurrently on base (b)", "not supported"),
                ("create publication p for all tables", "not supported"),
                ("create tablespace x location '/tmp'", "not supported"),
                ("drop extension sluice cascade", "not supported"),
                ("reindex table concurrently base", "not supported"),
                ("explain analyze create table bad as select 1", "not supported"),
                ("create table bad partition of base for values in (1)", "not partitioned"),
                ("security label for sluice on table base is 'sometimes'", "invalid distribution"),
                ("security label for sluice on table base is null", "cannot be removed"),
                ("create table bad (a int, d date) partition by range (d);"
                 " create table bad_1 partition of bad for values from (current_date) to (maxvalue)",
                 "must be a constant"),
        ]:
            with self.subTest(sql=sql):
                self.refused(sql, text)
        self.assert_same()
        self.cluster.execute("drop table base")

    def test_a_segment_takes_no_changes_from_clients(self):
        self.cluster.execute("create table guarded (a int primary key)")
        plain = {"content": 0, "options": "-c sluice.session_role=client"}
        for sql in ["insert into guarded values (1)", "create table mine (a int)",
                    "delete from guarded", "truncate guarded", "drop table guarded",
                    "create temp table mine (a int)", "select * from guarded for update",
                    "set transaction read write; create role mine",
                    "do $$ begin insert into guarded values (1); end $$",
                    "with x as (insert into guarded values (1) returning a) select * from x"]:
            with self.subTest(sql=sql), self.assertRaises(psycopg2.Error) as caught:
                self.cluster.execute(sql, **plain)
            self.assertEqual(caught.exception.pgcode, "25006", sql)
        self.assertEqual(self.cluster.value("select count(*) from guarded", **plain), 0)
        self.cluster.execute("drop table guarded")
        self.assert_same()

    def test_a_sample_of_rows_is_for_the_owner_of_the_table(self):
        self.cluster.execute("create role reader login; create table screened (a int);"
                             "insert into screened select generate_series(1, 100);"
                             "grant select on screened to reader;"
                             "alter table screened enable row level security")
        as_reader = {"content": 0, "user": "reader", "options": "-c sluice.session_role=client"}
        self.assertEqual(self.cluster.value("select count(*) from screened", **as_reader), 0)
        with self.assertRaises(psycopg2.errors.InsufficientPrivilege):
            self.cluster.query("select * from sluice.sample_rows('screened', 100) as x (a int)",
                               **as_reader)
        self.cluster.execute("analyze screened")
        self.assertEqual(self.cluster.value("select reltuples from pg_class where relname = 'screened'"), 100)
        self.cluster.execute("drop table screened; drop role reader")

    def test_all_nodes_agree_after_a_segment_has_crashed_among_statements(self):
        random.seed(SEED)
        print("SLUICE_SEED=%d" % SEED, end=" ")

        def define(count):
            connection = self.cluster.connect()
            try:
                cursor = connection.cursor()
                for i in range(count):
                    cursor.execute(f"create table crashing_{i} (a int primary key, b int)")
                    cursor.execute(f"create index on crashing_{i} (b)")
                    cursor.execute(f"alter table crashing_{i} add column c int default 1")
            except psycopg2.Error:
                pass
            finally:
                connection.close()

        def settled():
            try:
                return not any(self.cluster.query("select gid from pg_prepared_xacts",
                                                  content=content, utility=True)
                               for content in range(self.segments))
            except psycopg2.OperationalError:
                return False

        for _ in range(3):
            thread = threading.Thread(target=define, args=(200,))
            thread.start()
            target = f"crashing_{random.randrange(1, 8)}"
            wait_until(lambda name=target: self.cluster.value(
                "select to_regclass(%s) is not null", name), "the statements are under way")
            victims = self.cluster.query(
                "select pid from pg_stat_activity where application_name = 'sluice'",
                content=1, utility=True)
            self.cluster.kill(random.choice(victims)[0])
            thread.join(120)
            self.assertFalse(thread.is_alive())
            wait_until(settled, "the crashed segment has no transaction in doubt", 60)
            names = [name for kind, name, _ in self.assert_same() if kind == "table"]
            drop = ", ".join(name for name in names if "crashing" in name)
            self.assertTrue(drop)
            self.cluster.execute(f"drop table {drop}")

    def test_a_segment_that_does_not_fit_is_refused(self):
        version = self.cluster.value("select extversion from pg_extension where extname = 'sluice'")
        update = "update pg_extension set extversion = %s where extname = 'sluice'"
        self.cluster.execute(update, "0.0.1", content=1, utility=True)
        try:
            with self.assertRaises(psycopg2.Error) as caught:
                self.cluster.execute("create table refused (a int primary key)")
            self.assertEqual(caught.exception.pgcode, "55000")
            self.assertIn("segment 1", str(caught.exception))
            self.assertIn("extension sluice: 0.0.1", str(caught.exception))
        finally:
            self.cluster.execute(update, version, content=1, utility=True)
        port = "update sluice.segment_configuration set port = %s where content = 1 and role = 'p'"
        self.cluster.execute(port, self.cluster.server(0)["port"])
        try:
            with self.assertRaises(psycopg2.Error) as caught:
                self.cluster.execute("create table refused (a int primary key)")
            self.assertIn("should be segment 1", str(caught.exception))
        finally:
            self.cluster.execute(port, self.cluster.server(1)["port"])
        self.cluster.execute("create table refused (a int primary key); drop table refused")
        self.assert_same()

    def test_utility_mode_is_for_superusers(self):
        self.cluster.execute("create role plain login")
        for content in (-1, 0):
            with self.assertRaises(psycopg2.Error) as caught:
                self.cluster.connect(content=content, user="plain",
                                     options="-c sluice.session_role=utility")
            self.assertIn("only superusers", str(caught.exception))
        self.cluster.execute("drop role plain")
        with self.assertRaises(psycopg2.Error) as caught:
            self.cluster.connect(options="-c sluice.session_role=execute")
        self.assertIn("only segments execute", str(caught.exception))


if __name__ == "__main__":
    main()
