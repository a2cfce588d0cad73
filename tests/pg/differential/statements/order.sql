-- SPDX-License-Identifier: Apache-2.0
-- Order, limits, windows, set operations, common table expressions.
-- ordered
select id, salary from emp order by salary desc, id limit 10;
-- ordered
select id from emp order by id;
-- ordered
select id, dept from emp order by dept nulls first, id desc;
-- ordered
select id, dept from emp order by dept desc nulls last, id limit 20 offset 30;
-- ordered
select name, id from emp order by name collate "C" desc, id limit 25;
-- ordered
select k, v from event order by k, v desc;
-- ordered
select id, f4 from wide order by f4 desc, id limit 7;
-- ordered
select id from emp order by salary + id, id limit 9;
-- ordered
select dept, sum(salary) s from emp group by dept order by s desc, dept limit 5;
-- ordered
select item, count(*) from sale group by item order by count(*) desc, item limit 10;
-- ordered
select e.id, s.id from emp e join sale s on s.emp_id = e.id order by s.price desc, s.id, e.id limit 12;
-- ordered
select distinct dept from emp order by dept;
-- ordered
select distinct salary, id from emp order by salary, id limit 5;
-- ordered
select day, id from part order by day, id limit 40;
-- ordered
select id from dept order by budget desc;
-- ordered
select id from emp order by id limit 0;
-- ordered
select id from emp order by id offset 295;
-- ordered
select id from emp order by id limit all;
-- ordered
select dept, id from emp order by 1, 2 fetch first 10 rows only;
-- ordered
select salary from emp order by salary fetch first 3 rows with ties;
select count(*) from (select * from emp limit 10) x;
select count(*) from (select * from sale limit 100 offset 20) x;
select id, row_number() over (order by id) from emp;
select id, rank() over (partition by dept order by salary) from emp;
select emp_id, id, sum(qty) over (partition by emp_id order by id) from sale;
select item, id, avg(price) over (partition by item) from sale;
select id, lag(salary) over (order by id), lead(salary, 2) over (order by id) from emp;
select id, dept, first_value(id) over w, last_value(id) over w, nth_value(id, 2) over w from emp window w as (partition by dept order by id);
select id, sum(salary) over (order by id rows between 3 preceding and 1 following) from emp;
select id, count(*) over (order by hired range between interval '1 month' preceding and current row) from emp;
select id, ntile(4) over (order by id), percent_rank() over (order by salary), cume_dist() over (order by salary) from emp;
select id, dense_rank() over (partition by active order by dept) from emp;
select dept, sum(sum(salary)) over (order by dept) from emp group by dept;
select * from (select id, dept, row_number() over (partition by dept order by salary desc, id) r from emp) x where r <= 2;
select x, y, z, max(z) over (partition by x, y) from two;
select x, z, max(z) over (partition by y, x order by z) from two;
select id, sum(qty) over (partition by emp_id, item) from sale where id < 400;
select id, count(*) filter (where qty > 3) over (partition by item) from sale where id < 300;
select id from emp where id < 20 union select item from sale;
select id from emp where id < 20 union all select item from sale where qty = 3;
select id from emp intersect select emp_id from sale;
select id from emp intersect all select emp_id::int from sale;
select id from emp except select emp_id from sale;
select item from sale except all select id from emp;
select id, name from emp where id < 5 union select id, name from dept union all select id, name from item where id < 3;
select dept from emp union select id from dept except select 3;
(select id from emp order by id limit 3) union all (select id from item order by id desc limit 3);
-- ordered
select id from emp where id < 9 union select id from item where id < 12 order by 1 desc;
select kind, n from (select kind, count(*) n from item group by kind union all select city, count(*) from dept group by city) x where n > 2;
select 'a' as w, count(*) from emp union all select 'b', count(*) from sale union all select 'c', count(*) from nothing;
select a from nothing union all select id from dept;
select x from (select id x from emp union all select emp_id from sale) u group by x having count(*) > 5;
select u.x, e.name from (select distinct item x from sale union select id from dept) u join emp e on e.id = u.x;
with d as (select dept, avg(salary) a from emp group by dept) select e.id from emp e join d on d.dept = e.dept where e.salary > d.a;
with a as (select * from emp where dept = 3), b as (select * from a where active) select a.id, b.id from a left join b using (id);
with a as materialized (select item, sum(qty) s from sale group by item) select * from a x join a y on x.s = y.s and x.item < y.item;
with a as not materialized (select * from sale where qty = 1) select count(*) from a x join a y on x.emp_id = y.emp_id;
with recursive t(n) as (select 1 union all select n + 1 from t where n < 50) select sum(n) from t;
with recursive c(id, boss, depth) as (select id, boss, 0 from emp where boss is null union all select e.id, e.boss, depth + 1 from emp e join c on e.boss = c.id) select depth, count(*) from c group by depth;
with recursive c as (select id, boss from emp where id = 250 union select e.id, e.boss from emp e join c on e.id = c.boss) select * from c;
with x as (select 1 as one) select one, e.id from x, emp e where e.id < 4;
with t as (select id from emp order by salary desc, id limit 10) select count(*) from sale where emp_id in (select id from t);
with s as (select emp_id, max(price) m from sale group by emp_id) select max(m), (select count(*) from s) from s;
select (with m as (select max(id) i from emp) select i from m) + id from dept;
select * from (select id, dept from emp where id < 40) x where exists (with s as (select emp_id from sale where qty = 2) select 1 from s where s.emp_id = x.id);
select id from emp where salary = (select max(salary) from emp);
select id from emp where (dept, salary) in (select dept, max(salary) from emp group by dept);
select id, (select array_agg(s.id order by s.id) from sale s where s.emp_id = emp.id and s.qty = 1) from emp where id < 12;
select coalesce((select id from emp where id = -5), 0);
select array(select id from emp where id < 5 order by id);
select case when exists (select 1 from sale where qty = 8) then 'yes' else 'no' end;
select e.id, x.c from emp e, lateral (select count(*) c from sale s where s.emp_id = e.id and s.qty > e.dept) x where e.id < 25;
select g, (select count(*) from emp where dept = g) from generate_series(1, 5) g;
select x.id, y.id from (select id from emp order by id limit 5) x cross join (select id from item order by id limit 4) y;
select * from (select dept, count(*) c from emp group by dept order by c desc, dept limit 3) x order by dept;
select max(c) from (select count(*) c from sale group by emp_id, item) x;
select row_number() over (order by dept), dept from (select distinct dept from emp) x;
select id from (select id, rank() over (order by salary desc) r from emp) x where r = 1;
select unnest(tags), count(*) from item group by 1;
select id, unnest(array[1, 2]) from dept;
select id, generate_series(1, id) from dept where id < 4;
select (jsonb_each_text(payload)).key, count(*) from event group by 1;
select k, e.key, e.value from event, jsonb_each_text(payload) e where n = 3;
select * from unnest(array[1, 2, 3], array['a', 'b', 'c']) with ordinality u(n, s, o) join dept d on d.id = u.n;
select sum(x) from (select sum(qty) x from sale group by rollup (item, emp_id)) y;
select * from (select 1 as a union all select 2) x where a in (select id from emp where id < 2);
