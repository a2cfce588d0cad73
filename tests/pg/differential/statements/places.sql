-- SPDX-License-Identifier: Apache-2.0
-- What could be done in several places, while moving rows costs nothing: NULLs, duplicates
-- and empty tables on both sides.
set sluice.motion_setup_cost = 0;
set sluice.motion_tuple_cost = 0;
-- NOT IN
create table some (a int, b int, t text) with (distributed_by = 'a');
insert into some values (1, 1, 'a'), (2, 2, 'b'), (2, 2, 'b'), (3, null, null), (null, 4, 'name 3'), (null, null, 'name 5');
select * from some where b not in (select dept from emp);
select * from some where b not in (select dept from emp where dept is not null);
select * from some where b not in (select dept from emp where dept > 2);
select * from some where b not in (select dept from emp where dept > 200);
select * from some where b not in (select a from nothing);
select * from some where a not in (select b from some);
select * from some where a not in (select b from some where b is not null);
select * from some where a not in (select b from some where b is null);
select * from some where t not in (select name from emp);
select * from some where b + 1 not in (select dept + 1 from emp where id < 14);
select * from some where b not in (select id from emp);
select * from some where b not in (select id from dept);
select * from some where b not in (select id from emp union all select a from some);
select * from some where b not in (select max(dept) from emp group by boss);
select * from some where b not in (select dept from emp order by id limit 3);
select * from some where b not in (values (1), (4));
select * from some where b not in (values (1), (null));
select * from some where (a, b) not in (select id, dept from emp);
select * from some where (a, b) not in (select id, null::int from emp);
select * from some where b not in (select e.dept from emp e where e.id = some.a);
select * from some where b not in (select dept from emp where dept is not null) or a = 1;
select * from some where not (b in (select dept from emp where dept is not null)) and t not in (select name from emp where id < 4);
select s.*, x.a from some s left join some x on s.a = x.b where x.a not in (select dept from emp where dept is not null);
select count(*) from sale where item not in (select id from item);
select count(*) from sale where emp_id not in (select dept from emp where dept is not null);
select count(*) from emp where dept not in (select item from sale where item < 7);
select dept, count(*) from emp where boss not in (select item from sale where item is not null) group by dept having count(*) not in (select a from some where a is not null);
select id, (select count(*) from some where b not in (select boss from emp where emp.id = dept.id)) from dept;
with w as (select a from some) select * from some where b not in (select a from w where a is not null);
select * from some where 7 not in (select dept from emp where dept is not null);
select * from some where null::int not in (select a from nothing);
drop table some;
reset all;
