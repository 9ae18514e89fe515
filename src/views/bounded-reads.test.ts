/** One changed row costs what it touches, however many rows there are: no class of view reads a table whole. */
import assert from "node:assert/strict";
import { test } from "node:test";
import pg from "pg";
import { testDatabase } from "../../test/support/postgres.ts";
import { sql, view } from "../catalog/definitions.ts";
import { compileView } from "./compile.ts";
import { type CompiledView, type MirrorBinding, weightColumn } from "./compiled-view.ts";

const rows = process.env.MILLRACE_SOAK ? 1_000_000 : 100_000;
/** What a view may read of mirrors and state for one changed row: a customer has 20 orders, and its orders are read. */
const tuplesMax = 400;

const cases: readonly { readonly about: string; readonly text: string; readonly is: CompiledView["class"] }[] = [
  {
    about: "a join",
    is: "linear",
    text: "select o.id, o.n, c.name from orders o join customers c on c.id = o.customer_id",
  },
  {
    about: "sums over a join",
    is: "additive",
    text: "select c.region, count(*) as n, sum(o.n) as s from orders o join customers c on c.id = o.customer_id group by c.region",
  },
  {
    about: "a rollup over a join",
    is: "additive",
    text: "select c.region, c.id, count(*) as n, sum(o.n) as s from orders o join customers c on c.id = o.customer_id group by rollup (c.region, c.id)",
  },
  { about: "distinct", is: "additive", text: "select distinct o.customer_id from orders o" },
  { about: "a union", is: "additive", text: "select customer_id from orders union select id from customers" },
  {
    about: "extremes by group",
    is: "keyed",
    text: "select customer_id, min(n) as lo, max(n) as hi, count(distinct n) as ns from orders group by customer_id",
  },
  {
    about: "extremes over a join",
    is: "keyed",
    text: "select c.id, c.name, max(o.n) as hi from orders o join customers c on c.id = o.customer_id group by c.id, c.name",
  },
  {
    about: "a left join",
    is: "keyed",
    text: "select c.id, o.id as order_id, o.n from customers c left join orders o on o.customer_id = c.id",
  },
  {
    about: "a natural left join",
    is: "keyed",
    text: "select * from (select id as customer_id, name from customers) c natural left join (select customer_id, id, n from orders) o",
  },
  {
    about: "exists",
    is: "keyed",
    text: "select c.id from customers c where exists (select from orders o where o.customer_id = c.id and o.n > 50)",
  },
  {
    about: "in",
    is: "keyed",
    text: "select c.id from customers c where c.id in (select o.customer_id from orders o where o.n > 50)",
  },
  {
    about: "a correlated subquery",
    is: "keyed",
    text: "select c.id, (select max(o.n) from orders o where o.customer_id = c.id) as hi from customers c",
  },
  {
    about: "the first rows of each group",
    is: "keyed",
    text: "select * from (select id, customer_id, row_number() over (partition by customer_id order by n desc, id) as rn from orders) q where rn <= 3",
  },
  {
    about: "ranks by a column that is not shown",
    is: "keyed",
    text: "select id, row_number() over (partition by customer_id order by n desc, id) as rn from orders",
  },
  {
    about: "distinct on",
    is: "keyed",
    text: "select distinct on (customer_id) customer_id, id, n from orders order by customer_id, n desc, id",
  },
  {
    about: "lateral",
    is: "keyed",
    text: "select c.id, l.id as last from customers c left join lateral (select o.id from orders o where o.customer_id = c.id order by o.id desc limit 1) l on true",
  },
  { about: "intersect", is: "keyed", text: "select id from customers intersect select customer_id from orders" },
  { about: "except", is: "keyed", text: "select id from customers except select customer_id from orders where n > 50" },
  {
    about: "a group joined with its rows",
    is: "keyed",
    text: "select o.id, o.customer_id, o.n, s.a from orders o join (select customer_id, avg(n) as a from orders group by customer_id) s on s.customer_id = o.customer_id where o.n > s.a",
  },
  {
    about: "a CTE of groups, read twice",
    is: "keyed",
    text: "with g as (select customer_id, max(n) as hi from orders group by customer_id) select c.id, g.hi, p.hi as again from customers c left join g on g.customer_id = c.id left join g p on p.customer_id = c.id",
  },
  { about: "a column of which many rows have the same value", is: "linear", text: "select n from orders" },
  {
    about: "a join without its keys",
    is: "linear",
    text: "select c.region, o.n from orders o join customers c on c.id = o.customer_id",
  },
  {
    about: "counts without what they are grouped by",
    is: "additive",
    text: "select count(*) as c, sum(n) as s from orders group by customer_id",
  },
  {
    about: "a left join without its keys",
    is: "keyed",
    text: "select c.region, o.n from customers c left join orders o on o.customer_id = c.id",
  },
  {
    about: "extremes without what they are of",
    is: "keyed",
    text: "select max(n) as hi from orders group by customer_id",
  },
  {
    about: "grouping sets of extremes over a join",
    is: "keyed",
    text: "select c.id, c.name, o.n, grouping(c.name, o.n) as level, max(o.id) as last from orders o join customers c on c.id = o.customer_id group by c.id, rollup (c.name, o.n)",
  },
  {
    about: "groups of groups by an aggregate",
    is: "keyed",
    text: "select last, count(*) as n from (select customer_id, max(id) as last from orders group by customer_id) m group by last",
  },
  {
    about: "groups by an aggregate and a column of a join",
    is: "keyed",
    text: "select m.last, c.region, count(*) as n from (select customer_id, max(id) as last from orders group by customer_id) m join customers c on c.id = m.customer_id group by m.last, c.region",
  },
  {
    about: "extremes by an aggregate of a join",
    is: "keyed",
    text: "select m.last, max(c.name) as name from (select customer_id, max(id) as last from orders group by customer_id) m left join customers c on c.id = m.customer_id where m.last > 0 group by m.last",
  },
  {
    about: "the number and the sum of groups",
    is: "keyed",
    text: "select count(*) as n, sum(hi) as s from (select customer_id, max(n) as hi from orders group by customer_id) m",
  },
  {
    about: "ranks among groups by an aggregate",
    is: "keyed",
    text: "select customer_id, rank() over (partition by last order by hi) as place from (select customer_id, max(id) as last, max(n) as hi from orders group by customer_id) m",
  },
  {
    about: "groups of groups of groups",
    is: "keyed",
    text: "select n, count(*) as times, max(last) as latest from (select last, count(*) as n from (select customer_id, max(id) as last from orders group by customer_id) m group by last having count(*) < 5) g where last < 100000000 group by last, n",
  },
];

const orders: MirrorBinding = { id: 1, shape: shape("orders", ["id", "customer_id", "n"]) };
const customers: MirrorBinding = { id: 2, shape: shape("customers", ["id", "name", "region"]) };

function shape(table: string, columns: readonly string[]): MirrorBinding["shape"] {
  return {
    source: "shop",
    schema: "public",
    table,
    topic: `shop.public.${table}`,
    columns: columns.map((name) => {
      const storeType = name === "name" ? "text" : "integer";
      return { name, sourceType: storeType, storeType, nullable: false, carriedAsText: false };
    }),
    key: ["id"],
    appendOnly: false,
  };
}

test(`a changed row among ${rows} reads at most ${tuplesMax} rows, whatever the class`, async () => {
  await using database = await testDatabase();
  const client = new pg.Client({ connectionString: database.url });
  await client.connect();
  try {
    await fill(client);
    for (const { about, text, is } of cases) {
      const compiled = await compileView({
        view: view("v", { ...sql``, text }),
        mirrors: [orders, customers],
        version: 1,
      });
      assert.equal(compiled.class, is, about);
      await create(client, compiled);
      for (const change of ["order", "customer"] as const) {
        const read = await readFor(client, compiled, change);
        assert.ok(
          read <= tuplesMax,
          `${about}: a changed ${change} read ${read} rows\n${compiled.recompute.join("\n")}`,
        );
      }
      for (const statement of [
        `drop view views.v`,
        ...compiled.drop,
        ...compiled.connect.map((sql) => `drop table pg_temp.${/ if not exists ("(?:[^"]|"")+")/.exec(sql)?.[1]}`),
      ])
        await client.query(statement);
    }
  } finally {
    await client.end();
  }
});

async function fill(client: pg.Client): Promise<void> {
  const statements = [
    "set jit = off",
    "create schema shop; create schema millrace; create schema views",
    "create table shop.orders (id integer primary key, customer_id integer not null, n integer not null)",
    "create table shop.customers (id integer primary key, name text not null, region integer not null)",
    `insert into shop.orders select i, i % ${rows / 20}, (i::bigint * 7919) % 101 from generate_series(1, ${rows}) i`,
    `insert into shop.customers select i, 'c' || i, i % 50 from generate_series(0, ${rows / 20 - 1}) i`,
    `create temp table d_1 (${weightColumn} integer not null, id integer, customer_id integer, n integer)`,
    `create temp table d_2 (${weightColumn} integer not null, id integer, name text, region integer)`,
  ];
  for (const statement of statements) await client.query(statement);
}

async function create(client: pg.Client, compiled: CompiledView): Promise<void> {
  for (const { mirrorId, columns } of compiled.mirrorIndexes)
    await client.query(
      `create index if not exists m_${mirrorId}_${columns.join("_")} on shop.${mirrorId === 1 ? "orders" : "customers"} (${columns.join(", ")})`,
    );
  for (const statement of [...compiled.create, compiled.fill, compiled.publicView, ...compiled.connect])
    await client.query(statement);
  await client.query(
    `analyze shop.orders; analyze shop.customers; analyze ${[compiled.stateTable, ...(compiled.innerTables ?? [])].join(", ")}`,
  );
}

/** Rows that one batch read of the mirrors and of the view's state. */
async function readFor(client: pg.Client, compiled: CompiledView, change: "order" | "customer"): Promise<number> {
  const [id, table, update] =
    change === "order" ? [1, "orders", "n = n + 1"] : [2, "customers", "name = name || '!', region = region + 1"];
  const columns = change === "order" ? "id, customer_id, n" : "id, name, region";
  await client.query("begin");
  const run = async (statement: string) => void (await client.query(statement));
  await run("set local join_collapse_limit = 1");
  await run("set local enable_hashjoin = off");
  await run("set local enable_mergejoin = off");
  for (const statement of [...compiled.clear, "delete from pg_temp.d_1", "delete from pg_temp.d_2"])
    await run(statement);
  await run(`insert into pg_temp.d_${id} select -1, ${columns} from shop.${table} where id = 77`);
  for (const term of compiled.terms) if (term.mirrorId === id && term.place === "before") await run(term.sql);
  await run(`update shop.${table} set ${update} where id = 77`);
  await run(`insert into pg_temp.d_${id} select 1, ${columns} from shop.${table} where id = 77`);
  const before = await tuples(client);
  const terms = compiled.terms.filter((term) => term.mirrorId === id);
  const rows = terms.length === 1 ? terms[0]?.rows : undefined;
  if (rows !== undefined && compiled.mergeRows !== undefined) await run(compiled.mergeRows("1", rows));
  else {
    for (const term of terms) if (term.place === "after") await run(term.sql);
    const planner = (on: boolean) => [
      `set local join_collapse_limit = ${on ? 8 : 1}`,
      `set local enable_hashjoin = ${on}`,
      `set local enable_mergejoin = ${on}`,
    ];
    for (const statement of [...planner(true), ...compiled.recompute, ...planner(false)]) await run(statement);
    await run(compiled.merge("1"));
  }
  const read = (await tuples(client)) - before;
  await client.query("commit");
  return read;
}

async function tuples(client: pg.Client): Promise<number> {
  const { rows: found } = await client.query<{ n: string }>(
    "select sum(seq_tup_read + coalesce(idx_tup_fetch, 0))::text as n from pg_stat_xact_user_tables where schemaname in ('shop', 'millrace')",
  );
  return Number(found[0]?.n ?? 0);
}
