-- SPDX-License-Identifier: Apache-2.0
-- Tables of every distribution for the statements, small enough for thousands of them,
-- with NULLs, duplicates, skew, empty tables, and keys of several types.
create table emp (id int primary key, name text, dept int, boss int, salary numeric(10,2),
	hired date, score float8, active bool) with (distributed_by = 'id');
create table dept (id int primary key, name varchar(20), city text, budget bigint)
	with (distributed_by = 'replicated');
create table sale (id bigint, emp_id int, item int, qty int, price numeric(8,2), at timestamp,
	note text) with (distributed_by = 'emp_id');
create table item (id int, name text, kind char(3), price numeric(8,2), tags text[])
	with (distributed_by = 'random');
create table event (k text, n int, v float8, payload jsonb) with (distributed_by = 'k');
create table skew (a int, b int, c text) with (distributed_by = 'a');
create table nothing (a int, b text) with (distributed_by = 'a');
create table two (x int, y int, z int) with (distributed_by = 'x, y');
create table wide (id int8, n2 int2, n4 int4, num numeric, f4 float4, t text, vc varchar(12),
	ch char(6), d date, ts timestamptz, iv interval, u uuid, b bytea, ok bool)
	with (distributed_by = 'id');
create table part (id int, day date, amount int) partition by range (day)
	with (distributed_by = 'id');
create table part_1 partition of part for values from ('2020-01-01') to ('2020-04-01');
create table part_2 partition of part for values from ('2020-04-01') to ('2020-07-01');
create table part_3 partition of part for values from ('2020-07-01') to ('2021-01-01');
create index sale_item on sale (item);
create index emp_dept on emp (dept);

insert into dept select i, 'dept ' || i, (array['Oslo', 'Bern', 'Rome'])[i % 3 + 1], i * 1000
	from generate_series(1, 12) i;
insert into emp select i, 'name ' || i % 150, nullif(i % 14, 13), nullif(i / 7, 0),
	(i * 37 % 1000) + 0.25, date '2010-01-01' + i * 11 % 3000, i / 7.0,
	case i % 5 when 0 then null when 1 then false else true end
	from generate_series(1, 300) i;
insert into sale select i, i * 7 % 320, nullif(i * 13 % 60, 59), i % 9, (i % 90) + 0.5,
	timestamp '2021-03-01' + i * interval '7 minutes', case when i % 4 = 0 then null else 'note ' || i % 30 end
	from generate_series(1, 1500) i;
insert into item select i, 'item ' || i, (array['aaa', 'bb', 'c'])[i % 3 + 1], i * 1.5,
	array['t' || i % 4, 't' || i % 6] from generate_series(1, 55) i;
insert into event select 'key ' || i % 40, nullif(i % 25, 24), sqrt(i),
	jsonb_build_object('a', i % 5, 'b', 'text ' || i % 3) from generate_series(1, 400) i;
insert into skew select case when i % 10 < 8 then 1 else i end, i % 20, 'c' || i % 3
	from generate_series(1, 500) i;
insert into two select i % 12, nullif(i % 7, 6), i from generate_series(1, 260) i;
insert into wide select i, i % 100, i % 50, i * 1.125, i / 4.0, 'text ' || i % 60, 'vc' || i % 25,
	'c' || i % 9, date '2000-01-01' + i, timestamptz '2000-01-01 00:00+00' + i * interval '1 hour',
	i * interval '1 minute', md5(i::text)::uuid, decode(md5(i::text), 'hex'), i % 3 = 0
	from generate_series(1, 200) i;
insert into part select i, date '2020-01-01' + i % 366, i % 17 from generate_series(1, 700) i;
analyze;
