/** For tests: one query per feature of view SQL, over the tables of `makeTables`. */

import { sql, type ViewDefinition, view } from "../catalog/definitions.ts";

/** Of the tables that the queries read. */
export const lawSeed = 7;

export interface LawFeature {
  readonly about: string;
  readonly text: string;
  readonly key?: readonly string[];
}

/** Views that features read, as `views.<name>`. */
export const featureViews: readonly ViewDefinition[] = Object.entries({
  flagged: "select id, a, t, n from t0 where f is not false",
  per_a: "select a, count(*) as rows, sum(n) as total, max(t) as last from t0 group by a",
  recent: "select id, t, until from t0 where at > now() - interval '1 day'",
  pairs: "select f.id, p.rows, p.total from views.flagged f left join views.per_a p on p.a = f.a",
}).map(([name, text]) => view(name, { ...sql``, text }));

/** Rows that no columns identify, over the same tables. */
export const multisetFeatures: readonly LawFeature[] = [
  { about: "some columns, each row as often as it is there", text: "select a, t from t0 where f is not false" },
  { about: "a table without a key", text: "select * from t3" },
  { about: "a join by columns that are no key", text: "select x.t, y.n from t0 x join t3 y on x.a = y.a" },
  { about: "a union of all", text: "select a, t from t0 union all select a, t from t3 union all select id, t from t0" },
  {
    about: "columns that are called like those of statements",
    text: "select a as i, t as d, n as c, f as v, b as h, m as q from t3",
  },
  { about: "a constant for each row", text: "select 1 as one from t0 x, t2 y where x.a = y.a" },
  { about: "counts without what they are grouped by", text: "select count(*) as n, sum(m) as s from t3 group by a, t" },
  {
    about: "half of what is grouped by, with having",
    text: "select t, count(*) as n from t3 group by a, t having count(*) > 1",
  },
  {
    about: "a rollup in which a NULL may be one of the table",
    text: "select a, t, count(*) as n from t3 group by rollup (a, t)",
  },
  {
    about: "grouping sets that are there twice",
    text: "select a, count(*) as n from t3 group by grouping sets (a, a, (), ())",
  },
  {
    about: "a rollup of extremes in which a NULL may be one of the table",
    text: "select a, t, max(n) as hi, count(*) as n from t3 group by rollup (a, t)",
  },
  {
    about: "grouping sets of extremes that are there twice, without what they are of",
    text: "select max(n) as hi, count(*) as n, sum(b) as s from t3 group by grouping sets (a, a, (), ())",
  },
  {
    about: "groups of groups without what they are of",
    text: "select count(*) as groups, max(a) as last from (select a, max(t) as hi from t3 group by a) g group by hi",
  },
  { about: "a left join without its keys", text: "select o.t, r.n from t0 o left join t2 r on r.a = o.a" },
  { about: "a left join of a table without a key", text: "select o.a, r.t from t3 o left join t3 r on r.a = o.b" },
  { about: "rows that are in another table", text: "select o.t, o.n from t0 o where o.a in (select r.a from t3 r)" },
  { about: "extremes without what they are of", text: "select max(n) as hi, min(m) as lo from t3 group by a" },
  { about: "ranks alone", text: "select row_number() over (partition by a order by id) as rn from t0" },
  { about: "what a function makes", text: "select x from t0 o, unnest(array[o.a, o.b, 7]) as x" },
  { about: "intersect all", text: "select a, t from t0 intersect all select a, t from t3" },
  {
    about: "parts of several kinds",
    text: "select a, t from t3 union all (select o.a, r.t from t0 o left join t2 r on r.id = o.a) union all (select max(a), t from t3 group by t)",
  },
  {
    about: "a view over a view without its key",
    text: "select p.total, f.t from views.pairs p join views.flagged f on f.a = p.rows",
  },
  {
    about: "groups of rows without a key",
    text: "select t, count(*) as n from (select t from views.flagged union all select t from t3) u group by t",
  },
];

/** Over `t0 (id, a, b, n, m, t, f)`, `audit.t1 (k, "K 2", …)`, `t2 (id, …)` and the keyless `t3`. */
export const features: readonly LawFeature[] = [
  { about: "one table, whole", text: "select * from t0" },
  { about: "a composite key", text: 'select k, "K 2", t from crm.audit.t1 where a > 0' },
  {
    about: "a self join",
    text: "select x.id, y.id as other, x.t || y.t as both from t0 x join t0 y on x.a = y.a and x.id < y.id",
  },
  {
    about: "three of one table",
    text: "select x.id as a, y.id as b, z.id as c, x.n + z.n as n from t0 x, t0 y, t0 z where x.a = y.b and y.a = z.a",
  },
  {
    about: "four of two tables",
    text: "select count(*) as n, sum(z.a) as s from t0 w join t2 x on w.a = x.a join t0 y on x.b = y.a join t0 z on z.a = y.a",
  },
  {
    about: "using, with integers of two sizes",
    text: "select id, l.t as lt, r.t as rt, l.a + r.a as s from t0 l join t2 r using (id)",
  },
  { about: "a star over using", text: "select l.*, r.id as other from t0 l join t2 r using (id)" },
  {
    about: "a natural join",
    text: "select * from t0 natural join (select a, id as other, t as rt from t2 where f) r",
  },
  {
    about: "a natural join of a keyless table with itself",
    text: "select t, f, count(*) as n from (select t, f, a from t3) x natural join t3 y group by t, f",
  },
  {
    about: "parts told apart by a constant",
    text: "select 'a' as kind, id, t from t0 union all select 'b', id, t from t2",
    key: ["id", "kind"],
  },
  {
    about: "a view over a view",
    text: "select flagged.id, flagged.t || '!' as t from views.flagged where views.flagged.a > 0",
  },
  { about: "groups of a view", text: "select a, count(*) as n, sum(n) as s from views.flagged as v group by a" },
  {
    about: "a CTE read twice",
    text: "with c as (select id, a, t from t0 where f is not false) select p.id, q.id as other from c p join c q on p.a = q.id",
  },
  {
    about: "grouping by nothing",
    text: "select count(*) as n, sum(a) as s, avg(n) as m, count(t) filter (where f) as c, 'x' as kind from t3",
  },
  {
    about: "grouping by a constant",
    text: "select count(*) as n, sum(a) as s from (select a, true as f from t0 where b > 0) q group by f",
  },
  { about: "grouping by nothing, with having", text: "select count(*) as n from t3 having count(*) > 5" },
  { about: "groups with NULLs in their key", text: "select t, f, count(*) as n, sum(n) as s from t3 group by t, f" },
  {
    about: "a description that follows from the key",
    text: "select o.id, o.t, o.n, l.t as other, count(*) as n_rows, sum(r.m) as s from t0 o join t2 l on l.id = o.a join t3 r on r.a = o.id group by o.id, o.t, o.n, l.t",
    key: ["id"],
  },
  {
    about: "a primary key in GROUP BY gives the table's columns",
    text: "select o.id, o.t, upper(o.t) as u, count(*) as c from t0 o join t3 r on r.a = o.id group by o.id",
  },
  {
    about: "sums and averages with NaN and infinities",
    text: "select a, sum(n) as s, avg(n) as v, sum(m) as sm, avg(m) as vm, sum(n + m) as both from t3 group by a",
  },
  {
    about: "sums of each integer type",
    text: "select f, sum(a) as sa, sum(b) as sb, avg(a) as va, avg(b) as vb, sum(a::smallint) filter (where a > 0) as small from t3 group by f",
  },
  {
    about: "expressions over aggregates",
    text: "select f, coalesce(sum(a), 0) as s, sum(m) / nullif(count(m), 0) as share, case when count(*) > 3 then 'many' else 'few' end as size from t3 group by f having count(*) > 1",
  },
  {
    about: "a join with a union",
    text: "select o.t, count(*) as c, sum(u.v) as s from t0 o join (select a as k, n as v from t2 union all select (b % 5)::int, m from t3 union all select 1, 2) u on u.k = o.a group by o.t",
  },
  {
    about: "nested unions and subqueries",
    text: "select k, sum(v) as s from (select k, v + 1 as v from (select a as k, 1 as v from t0 union all select a, b from t2) p where v is not null union all select id, a from t0) q group by 1",
  },
  { about: "a theta join", text: "select x.id, y.id as other from t0 x join t2 y on x.a < y.a and x.f" },
  { about: "a cross join", text: "select x.t, count(*) as n from t0 x cross join t2 y group by x.t" },
  { about: "a filter by a constant key", text: "select id, t from t0 where id = 3" },
  { about: "distinct", text: "select distinct a % 2 as odd, t from t3 where f is not false" },
  { about: "a union", text: "select a, t from t0 union select (b % 5)::integer, t from t3 where f" },
  {
    about: "GROUP BY an expression, its name and its place",
    text: "select coalesce(t, 'none') as tag, a % 2 as odd, b, count(*) as n from t3 group by tag, 2, b",
  },
  {
    about: "grouping sets, with the row of all rows",
    text: "select a, t, grouping(a, t) as level, count(*) as n, sum(m) as s, avg(n) as v from t3 group by grouping sets ((a, t), (t), ())",
  },
  {
    about: "a rollup of what is never NULL",
    text: "select coalesce(t, 'none') as tag, f is true as yes, count(*) as n from t3 group by rollup (tag, yes)",
  },
  {
    about: "a cube over a join, with having",
    text: "select o.t, r.f, grouping(r.f, o.t) as level, count(*) as n, sum(r.b) as s from t0 o join t2 r on r.a = o.a group by cube (o.t, r.f) having count(*) > 1 or grouping(o.t) = 1",
  },
  {
    about: "a rollup of a union, and columns computed from what it leaves out",
    text: "select k, grouping(k) as level, coalesce(k::text, 'all') as label, case when grouping(k) = 1 then sum(v) end as everything, sum(v) / count(*) as share from (select a as k, m as v from t0 union all select a, b from t2) u group by rollup (k)",
  },
  {
    about: "sets that are multiplied, each once",
    text: "select a % 2 as odd, f, t, grouping(f, t) as level, count(*) as n from t3 group by distinct odd, rollup (f), rollup ((f, t))",
  },
  {
    about: "columns of a table whose primary key is in each set",
    text: "select o.id, o.t, r.f, grouping(r.f) as level, count(*) as n from t0 o join t3 r on r.a = o.id group by o.id, rollup (r.f)",
  },
];

/** Those whose query is run again for the keys that a batch reaches. */
export const keyedFeatures: readonly LawFeature[] = [
  {
    about: "min and max by group",
    text: "select a, min(n) as lo, max(m) as hi, count(distinct t) as ts from t3 group by a",
  },
  {
    about: "ordered aggregates over a join",
    text: "select o.a, string_agg(o.t, ',' order by o.id, r._x) as list, array_agg(r.m order by o.id, r._x, r.m) as ms from t0 o join (select a as k, m, id as _x from t2) r on r.k = o.a group by o.a",
  },
  {
    about: "floating-point sums and deviations",
    text: "select f, sum(a::double precision) as s, stddev(a) as d, bool_and(f) as every from t3 group by f",
  },
  {
    about: "a left join",
    text: "select o.id, o.t, r.id as other, r.t as rt from t0 o left join t2 r on r.a = o.id",
    key: ["id", "other"],
  },
  {
    about: "a left join to a primary key",
    text: "select o.id, o.t, r.t as rt from t0 o left join t2 r on r.id = o.a and o.f",
  },
  { about: "a right join", text: "select o.id, r.id as rid, o.t from t0 o right join t2 r on o.a = r.id and r.a > 0" },
  { about: "a full join", text: "select o.id, r.id as rid, o.n, r.n as rn from t0 o full join t2 r on o.a = r.id" },
  {
    about: "natural left and right joins",
    text: "select id, other, t, n from t0 natural left join (select a, t, id as other from t2) r natural right join (select id as other, n as rn from t2) s",
    key: ["id", "other"],
  },
  {
    about: "a natural full join",
    text: "select id, lt, rt from (select id, t as lt from t0) l natural full join (select id, t as rt from t2) r",
  },
  { about: "a full join using", text: "select id, o.t, r.t as rt from t0 o full join t2 r using (id)" },
  {
    about: "left joins in a row",
    text: "select o.id, x.t as xt, y.t as yt from t0 o left join t2 x on x.id = o.a left join audit.t1 y on y.k = x.a and y.\"K 2\" = 'a'",
  },
  {
    about: "groups over a left join, by a column of the side that may be missing",
    text: "select r.a as g, count(*) as n, max(o.n) as hi from t0 o left join t2 r on r.id = o.a group by r.a",
  },
  { about: "exists", text: "select o.id, o.t from t0 o where exists (select from t2 r where r.a = o.id and r.f)" },
  { about: "not exists", text: "select o.id, o.t from t0 o where not exists (select from t3 r where r.a = o.a)" },
  { about: "in", text: "select o.id from t0 o where o.a in (select r.a from t2 r where r.b > 0)" },
  { about: "not in", text: "select o.id from t0 o where o.a not in (select r.a from t2 r)" },
  { about: "in as a value", text: "select o.id, o.a in (select r.a from t2 r) as there from t0 o" },
  {
    about: "scalar subqueries, correlated and not",
    text: "select o.id, (select max(r.n) from t2 r where r.a = o.a) as hi, (select count(*) from t3 x where x.a = o.id and x.n > (select min(y.n) from t2 y where y.id = o.id)) as c from t0 o",
  },
  {
    about: "a scalar subquery over a whole table",
    text: "select o.id, o.n - (select avg(r.m) from t2 r) as d from t0 o",
  },
  {
    about: "array of a subquery",
    text: "select o.id, array(select r.id from t2 r where r.a = o.a order by r.id) as ids from t0 o",
  },
  { about: "a row in a subquery", text: "select o.id from t0 o where (o.a, o.t) in (select r.a, r.t from t2 r)" },
  { about: "all", text: "select o.id from t0 o where o.a >= all (select r.a from t2 r where r.t = o.t)" },
  {
    about: "the last rows of each group",
    text: "select id, a, rn from (select id, a, row_number() over (partition by a order by n desc nulls last, id) as rn from t0) q where rn <= 2",
  },
  {
    about: "windows that share a partition",
    text: "select id, t, a, sum(b) over w as run, lag(id) over w as before, count(*) over (partition by t) as n from t0 window w as (partition by t order by id)",
  },
  {
    about: "ranks by a column that is not shown",
    text: "select id, row_number() over w as rn, sum(b) over w as run from t0 window w as (partition by a order by n desc nulls last, id)",
  },
  {
    about: "ranks of groups by a column that is not shown",
    text: "select o.id, sum(r.b) as s, rank() over (partition by o.a order by sum(r.b)) as place from t0 o join t2 r on r.a = o.b group by o.id, o.a",
  },
  {
    about: "the first of each, without what they are the first of",
    text: "select distinct on (o.a) r.id, o.id as other, o.t is distinct from r.t as unlike from t0 o join t2 r on r.a = o.a order by o.a, o.n, o.id, r.id",
  },
  {
    about: "the last rows of each group, without the group",
    text: "with w as (select id, a, t, row_number() over (partition by a, t order by n desc nulls last, id) as rn from t0) select q.id, q.rn from w q where rn <= 2",
  },
  { about: "distinct on", text: "select distinct on (a) a, id, t from t0 order by a, n desc nulls last, id" },
  {
    about: "lateral",
    text: "select o.id, l.id as last, l.m from t0 o left join lateral (select r.id, r.m from t2 r where r.a = o.a order by r.id desc limit 1) l on true",
  },
  { about: "unnest", text: "select o.id, x, ord from t0 o, unnest(array[o.a, o.id, 7]) with ordinality as u (x, ord)" },
  {
    about: "groups by what a function makes",
    text: "select x, count(*) as n, min(o.n) as lo from t0 o cross join lateral unnest(array[o.a, o.a + 1]) as x group by x",
  },
  {
    about: "generate_series",
    text: "select o.id, g from t0 o, generate_series(0, least(o.a, 3)) with ordinality as s (g, i)",
    key: ["id", "g"],
  },
  { about: "intersect", text: "select a, t from t0 intersect select a, t from t2" },
  { about: "except", text: "select a, t from t0 except select a, t from t2" },
  {
    about: "except in a row, in parentheses",
    text: "(select a from t0 union select a from t3) except (select a from t2 except select id from t0)",
  },
  { about: "except all", text: "select id, a from t0 except all select id::integer, a from t2" },
  {
    about: "a CTE read twice",
    text: "with g as (select a, count(*) as n, max(n) as hi from t0 group by a) select o.id, g.n, p.hi from t2 o left join g on g.a = o.a left join g p on p.a = o.b",
  },
  {
    about: "a group joined with its rows",
    text: "select o.id, o.n, s.avg from t0 o join (select a, avg(n) as avg from t0 group by a) s on s.a = o.a where o.n > s.avg",
  },
  {
    about: "a rollup beside rows, with its greatest",
    text: "select r.id, s.level, s.a as sum_of, s.n, s.hi from t2 r left join (select a, grouping(a) as level, count(*) as n, max(b) as hi from t0 group by rollup (a)) s on s.a = r.a or s.level = 1",
    key: ["id", "sum_of", "level"],
  },
  {
    about: "grouping sets of any aggregate",
    text: "select a, t, grouping(a, t) as level, max(n) as hi, array_agg(distinct b) as bs, stddev(m) as sd from t0 group by grouping sets ((a, t), (t))",
  },
  {
    about: "a rollup of extremes, with the row of all rows",
    text: "select k, grouping(k) as level, max(v) as hi, min(v) as lo, count(*) as n, sum(c) as s, bool_or(v > 0) as up from (select a as k, m as v, b as c from t0 union all select a, n, b from t2) u group by rollup (k)",
  },
  {
    about: "a cube over a left join, by names and numbers of the select list",
    text: "select coalesce(o.t, 'none') as tag, r.a as g, grouping(coalesce(o.t, 'none'), r.a) as level, coalesce(r.a::text, 'all') as label, max(o.n) as hi from t0 o left join t2 r on r.id = o.a where o.f is not false group by cube (tag, 2)",
  },
  {
    about: "groups of groups by an aggregate",
    text: "select hi, count(*) as groups, sum(a) as s from (select a, max(b) as hi from t0 group by a) g group by hi",
  },
  {
    about: "extremes of groups, by an aggregate of theirs",
    text: "select rows, max(hi) as hi, string_agg(t, ',' order by t) as ts from (select t, count(*) as rows, max(n) as hi from t3 group by t) g where hi is not null group by rows",
  },
  {
    about: "the number of groups, and the sum of what they have",
    text: "with g as (select a, t, sum(b) as total from t0 group by a, t having count(*) > 1) select count(*) as n, sum(total) as s, avg(total) as mean from g",
  },
  {
    about: "how many there are of each rank",
    text: "with r as (select id, a, n, rank() over (partition by a order by n) as place from t0), g (p, k) as (select place, id from r) select p, count(*) as n, min(k) as first from g group by p",
  },
  {
    about: "ranks among groups that share an aggregate",
    text: "select a, last, row_number() over (partition by last order by hi nulls first, a nulls first) as place from (select a, max(t) as last, min(n) as hi from t0 group by a) g",
  },
  { about: "each aggregate once", text: "select distinct last from (select a, max(t) as last from t3 group by a) g" },
  {
    about: "the first group of each aggregate",
    text: "select distinct on (rows) rows, a, hi from (select a, count(*) as rows, max(n) as hi from t3 group by a) g order by rows, a nulls last",
  },
  {
    about: "groups of groups of groups",
    text: "select groups, count(*) as times, max(hi) as hi from (select hi, count(*) as groups from (select a, max(t) as hi from t0 group by a) g group by hi) h where groups < 9 group by groups",
  },
  {
    about: "groups by an aggregate that is joined with rows",
    text: "select hi, max(t) as t, count(*) as n from (select g.hi, r.t from (select a, max(b) as hi from t0 group by a) g join t2 r on r.id = g.a) x group by hi",
  },
  {
    about: "groups of a join by an aggregate",
    text: "select g.hi, max(r.t) as t, count(*) as n from (select a, max(b) as hi from t0 group by a) g left join t2 r on r.id = g.a where r.f is not true group by g.hi",
  },
  {
    about: "groups by the aggregates of two subqueries",
    text: "with g as (select a, max(b) as hi from t0 group by a), h as (select a, count(*) as rows from t3 group by a) select hi, rows, count(*) as n from g join h on h.a = g.a group by hi, rows",
  },
  {
    about: "groups by an aggregate and a column beside it",
    text: "select r.t, g.hi, count(distinct g.a) as n from t2 r join (select a, max(b) as hi from t0 group by a) g on g.a = r.id group by r.t, g.hi",
  },
  {
    about: "a rollup by an aggregate",
    text: "select last, f, grouping(last, f) as level, count(*) as n, max(a) as hi from (select a, max(t) as last, bool_or(f) as f from t0 group by a) g group by rollup (last, f)",
  },
  {
    about: "values",
    text: "select o.id, v.name from t0 o left join (values (1, 'one'), (2, 'two')) v (id, name) on v.id = o.a",
    key: ["id", "name"],
  },
  {
    about: "an outer join of tables whose columns their aliases rename",
    text: "select x.one, y.three, y.n from t0 x (one, two) left join t2 y (three) on y.three = x.two",
  },
  {
    about: "a view over a group and a table",
    text: "select o.id, p.rows, p.last from t2 o left join views.per_a p on p.a = o.a",
  },
  {
    about: "a view over views over views",
    text: "select x.id, x.total, y.t from views.pairs x join views.flagged y using (id)",
  },
];
