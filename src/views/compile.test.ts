import assert from "node:assert/strict";
import { test } from "node:test";
import type { ErrorCode } from "../base/error-codes.ts";
import { MillraceError } from "../base/errors.ts";
import { postgres, sql, type ViewDefinition, view } from "../catalog/definitions.ts";
import { compileView, compileViewSync, loadParser } from "./compile.ts";
import type { MirrorBinding } from "./compiled-view.ts";

await loadParser();

type ColumnInput = readonly [name: string, type: string, nullable?: boolean];

function mirror(
  id: number,
  source: string,
  table: string,
  columns: readonly ColumnInput[],
  key: readonly string[] | null,
  schema = "public",
): MirrorBinding {
  return {
    id,
    shape: {
      source,
      schema,
      table,
      topic: `${source}.${schema}.${table}`,
      columns: columns.map(([name, type, nullable = false]) => ({
        name,
        sourceType: type,
        storeType: type,
        nullable,
        carriedAsText: false,
      })),
      key,
      appendOnly: key === null,
    },
  };
}

const mirrors: readonly MirrorBinding[] = [
  mirror(
    1,
    "shop",
    "orders",
    [
      ["id", "bigint"],
      ["customer_id", "bigint"],
      ["status", "text"],
      ["placed_at", "timestamp with time zone"],
      ["note", "text", true],
    ],
    ["id"],
  ),
  mirror(
    2,
    "shop",
    "lines",
    [
      ["order_id", "bigint"],
      ["line", "integer"],
      ["quantity", "integer"],
      ["price", "numeric(10,2)"],
      ["weight", "double precision"],
      ["doc", "jsonb", true],
    ],
    ["order_id", "line"],
  ),
  mirror(
    3,
    "crm",
    "customers",
    [
      ["id", "bigint"],
      ["name", "text"],
      ["region", "text", true],
    ],
    ["id"],
  ),
  mirror(
    4,
    "shop",
    "events",
    [
      ["kind", "text", true],
      ["at", "timestamp without time zone", true],
      ["Mixed Case", "integer", true],
    ],
    null,
    "audit",
  ),
  mirror(
    5,
    "shop",
    "customers",
    [
      ["id", "bigint"],
      ["vip", "boolean"],
    ],
    ["id"],
  ),
];

function define(text: string, key: readonly string[] | null = null): ViewDefinition {
  return { ...view("v", { ...sql``, text }), key };
}

function compile(text: string, key: readonly string[] | null = null) {
  return compileViewSync({ view: define(text, key), mirrors, version: 1 });
}

function refusal(text: string, key: readonly string[] | null = null): MillraceError {
  try {
    compile(text, key);
  } catch (error) {
    assert.ok(MillraceError.is(error), `not a MillraceError: ${error}`);
    return error;
  }
  assert.fail(`it compiled: ${text}`);
}

function refused(code: ErrorCode, text: string, says: RegExp, key: readonly string[] | null = null): MillraceError {
  const error = refusal(text, key);
  assert.equal(error.code, code, error.message);
  assert.match(`${error.message}\n${error.hint ?? ""}`, says);
  return error;
}

test("SQL that does not parse is refused with the line and a caret under the place", () => {
  const error = refused("VIEW_SQL_INVALID", "select o.id,\n  é o.status frm\nfrom shop.orders o", /syntax error/);
  assert.deepEqual([error.details.line, error.details.character], [2, 6]);
  assert.match(error.message, /\nline 2: {3}é o\.status frm\n {13}\^$/);
  refused("VIEW_SQL_INVALID", "", /empty/);
  refused("VIEW_SQL_INVALID", "select 'unclosed", /unterminated/);
});

test("only one SELECT is a view", () => {
  refused("VIEW_UNSUPPORTED", "delete from shop.orders", /not a SELECT/);
  refused("VIEW_UNSUPPORTED", "select id from orders; drop table x", /more than one statement/);
  refused("VIEW_UNSUPPORTED", "with d as (delete from orders returning id) select id from d", /only reads/);
  refused("VIEW_UNSUPPORTED", "select id into t from orders", /writes nothing/);
  compile("select id from orders;  -- a comment");
});

test("tables are found by source and name, by schema, with quotes, and alone when only one has the name", () => {
  for (const name of ["shop.orders", "shop.public.orders", '"shop"."orders"', "orders", "shop.ORDERS"]) {
    assert.deepEqual(compile(`select id from ${name}`).uses, [{ mirrorId: 1, columns: ["id"] }], name);
  }
  for (const name of ['shop."audit.events"', "shop.audit.events", "audit.events", "events"]) {
    assert.deepEqual(
      compile(`select kind, count(*) as n from ${name} group by kind`).uses,
      [{ mirrorId: 4, columns: ["kind"] }],
      name,
    );
  }
  refused("VIEW_UNKNOWN_TABLE", "select 1 as x from customers", /crm\.customers or shop\.customers/);
  refused("VIEW_UNKNOWN_TABLE", "select 1 as x from pg_catalog.pg_class", /no source captures/);
});

test("an unknown table is refused with the nearest name", () => {
  const error = refused("VIEW_UNKNOWN_TABLE", "select o.id from shop.ordres o", /Did you mean "shop\.orders"/);
  assert.equal(error.details.nearest, "shop.orders");
  assert.match(error.message, /\^$/);
  refused("VIEW_UNKNOWN_TABLE", "select 1 as x from shop.invoices", /Add it to the tables of source "shop"/);
});

test("an unknown column is refused with the nearest name and its place", () => {
  const error = refused(
    "VIEW_UNKNOWN_COLUMN",
    "select o.id, o.statsu from shop.orders o",
    /not in "shop\.orders"[\s\S]*Did you mean "status"/,
  );
  assert.deepEqual([error.details.line, error.details.character, error.details.nearest], [1, 14, "status"]);
  refused("VIEW_UNKNOWN_COLUMN", "select id from orders where total > 1", /there is no column "total"/);
  refused("VIEW_UNKNOWN_COLUMN", "select x.b from (select id as a from orders) x", /"b"/);
  refused("VIEW_UNKNOWN_COLUMN", "select o.id from orders o join lines l using (id)", /"id" of using/);
  refused("VIEW_UNKNOWN_TABLE", "select orders.id from shop.orders o", /"orders" is not in FROM/);
  refused("VIEW_UNKNOWN_COLUMN", "select id from orders group by id having totl > 1", /"totl"/);
});

test("a column name that fits two tables is refused until it says which", () => {
  refused(
    "VIEW_COLUMN_AMBIGUOUS",
    "select id from orders o join crm.customers c on c.id = o.customer_id",
    /o and c[\s\S]*o\.id/,
  );
  refused("VIEW_SQL_INVALID", "select o.id from orders o, lines o", /"o" stands in FROM twice/);
});

test("what cannot be kept up to date is refused, saying what would help", () => {
  const cases: readonly (readonly [string, RegExp])[] = [
    ["select id from orders order by id", /order by[\s\S]*when reading/],
    ["select id from orders limit 3", /limit/],
    [
      "select id, row_number() over (order by id) as r from orders",
      /row_number\(\) goes over all of them[\s\S]*Partition/,
    ],
    ["select sum(weight) as w8 from lines", /float8[\s\S]*Cast to numeric/],
    ["select stddev(quantity) as w8 from lines", /stddev/],
    ["select id, now() as at from orders", /function now/],
    ["select id, random() as r from orders", /function random/],
    ["select id, gen_random_uuid() as r from orders", /gen_random_uuid/],
    ["select id, current_date as d from orders", /current date/],
    ["select id from orders where placed_at > 'now'", /a moment that moves[\s\S]*'now'::text/],
    ["select id, 'today'::date as d from orders", /a moment that moves/],
    ["select id, status::timestamptz as d from orders", /to_timestamp/],
    ["select id, my_function(id) as d from orders", /my_function/],
    ["select id, other.lower(status) as d from orders", /other\.lower/],
    ["select id, id operator(other.+) id as d from orders", /operator other\.\+/],
    ["select id, note::timestamptz[] as d from orders", /could be the word/],
    ["select id, note::tstzrange as d from orders", /could be the word/],
    ["select id, '[2024-01-01,now)'::tstzrange as d from orders", /a moment that moves/],
    ["select id, '{yesterday}'::date[] as d from orders", /a moment that moves/],
    ["select id, id operator(other.@@@) id as d from orders", /operator other\.@@@/],
    ["select * from generate_series(1, 3) g", /functions in FROM/],
    ["select * from (values (1)) x (a)", /VALUES/],
    ["with recursive t as (select 1 as a union all select a from t) select a from t", /recursive/],
    ["select o from orders o", /whole rows/],
    ["select id from orders where id = $1", /no parameters/],
    ["select id, (1, 2) as r from orders", /row values/],
    ["select id from orders for update", /locks nothing/],
    ["select id from orders tablesample system (10)", /sample/],
    ["select 1 as x", /reads no table/],
    ["select id, id + 1 from orders", /has no name/],
    ["select id, status as id from orders", /two columns .*"id"/],
    ["select id, status as w from orders", /cannot be called "w"/],
    ["select id, status as _millrace_n from orders", /cannot be called/],
    ["select sum(doc -> 'a') as s from lines", /jsonb/],
    [
      "select sum(width_bucket) as s from (select coalesce(doc, doc) -> 'x' as width_bucket from lines) x",
      /sum over jsonb/,
    ],
    ['select status from orders group by status collate "de_DE"', /collation/],
    ["select id, status::order_status as s from orders", /order_status/],
    ["select weight::text as t, count(*) as n from lines group by weight", /several ways[\s\S]*GROUP BY/],
  ];
  for (const text of [
    "select id, 'now'::text as t from orders",
    "select id, 'know' as t from orders",
    "select id, '2024-01-01'::date as t from orders",
  ])
    compile(text);
  for (const [text, says] of cases) {
    const error = refused("VIEW_UNSUPPORTED", text, says);
    assert.ok((error.hint ?? "").length > 0, `no hint: ${text}`);
  }
});

test("what cannot be added up is recomputed by the key that a change reaches", () => {
  const cases: readonly (readonly [string, string])[] = [
    ["select o.id, c.name from orders o left join crm.customers c on c.id = o.customer_id", "id"],
    ["select o.id, l.order_id, l.line from orders o full join lines l on l.order_id = o.id", "id"],
    ["select status, min(id) as m from orders group by status", "status"],
    ["select status, count(distinct customer_id) as m from orders group by status", "status"],
    ["select id from orders where id in (select order_id from lines)", "id"],
    ["select id from orders o where exists (select from lines l where l.order_id = o.id)", "id"],
    ["select id, row_number() over (partition by customer_id order by id) as r, customer_id as c from orders", "c"],
    ["with c as (select status from orders group by status) select status from c", "status"],
    ["select id from orders intersect select id from crm.customers", "id"],
    ["select o.id, x.n from orders o, lateral (select count(*) as n from lines l where l.order_id = o.id) x", "id"],
  ];
  for (const [text, by] of cases) {
    const compiled = compile(text);
    assert.equal(compiled.class, "keyed", text);
    assert.match(compiled.explanation, new RegExp(`run again for each ${by} that`), text);
    assert.deepEqual(compiled.scans, [], text);
  }
});

test("DISTINCT and UNION are groups", () => {
  for (const text of ["select distinct status from orders", "select id from orders union select id from crm.customers"])
    assert.equal(compile(text).class, "additive", text);
});

test("CTEs that read each other twice are not bound without end", () => {
  const ctes = Array.from({ length: 40 }, (_, i) => `c${i + 1} as (select x.a from c${i} x, c${i} y)`);
  refused("VIEW_UNSUPPORTED", `with c0 (a) as (values (1)), ${ctes.join(", ")} select a from c40`, /VALUES/);
});

test("a column outside GROUP BY is refused as PostgreSQL would", () => {
  refused(
    "VIEW_SQL_INVALID",
    "select status, id, count(*) as n from orders group by status",
    /"id" must stand in GROUP BY/,
  );
  refused("VIEW_SQL_INVALID", "select id, count(*) as n from orders", /"id" must stand in GROUP BY/);
  refused("VIEW_SQL_INVALID", "select count(*) as n from orders group by 2", /names no column/);
  refused("VIEW_UNSUPPORTED", "select count(*) as n from orders group by 1", /count\(\) cannot stand here/);
  refused("VIEW_UNSUPPORTED", "select id from orders where count(*) > 1", /cannot stand here/);
  refused("VIEW_SQL_INVALID", "select id from orders union all select order_id, line from lines", /1 and 2 columns/);
});

test("a key is derived from primary keys, equalities, constants and groups", () => {
  const cases: readonly (readonly [string, readonly string[]])[] = [
    ["select id, status from orders", ["id"]],
    ["select status, id from orders", ["id"]],
    ["select o.id, c.name from orders o join crm.customers c on c.id = o.customer_id", ["id"]],
    ["select o.id, c.id as customer from orders o join crm.customers c on c.id = o.customer_id", ["id"]],
    ["select l.order_id, l.line, o.status from lines l join orders o on o.id = l.order_id", ["order_id", "line"]],
    ["select l.line, l.price from lines l where l.order_id = 7", ["line"]],
    ["select o.id as a, p.id as b from orders o join orders p on p.customer_id = o.customer_id", ["a", "b"]],
    ["select 'x' as kind, id from orders union all select 'y', id from crm.customers", ["kind", "id"]],
    ["select status, count(*) as n from orders group by status", ["status"]],
    [
      "select o.id, o.status, c.name, count(*) as n from orders o join crm.customers c on c.id = o.customer_id join lines l on l.order_id = o.id group by o.id, o.status, c.name",
      ["id"],
    ],
    ["select id, upper(status) as s, count(*) as n from orders group by id, status", ["id"]],
    [
      "select bid, count(*) as n from (select id as bid from orders union all select order_id from lines) x group by bid",
      ["bid"],
    ],
    ["select count(*) as n from orders", []],
  ];
  for (const [text, key] of cases) assert.deepEqual(compile(text).key, key, text);
});

test("a key that does not determine the row is refused, and one that does is taken", () => {
  refused("VIEW_KEY_NOT_UNIQUE", "select id, status from orders", /status/, ["status"]);
  refused(
    "VIEW_KEY_NOT_UNIQUE",
    "select o.id, l.line from orders o join lines l on l.order_id = o.id",
    /primary key of "shop\.lines"/,
    ["id"],
  );
  refused("VIEW_KEY_NOT_UNIQUE", "select status from orders", /primary key of "shop\.orders": id/, ["status"]);
  refused("VIEW_KEY_NOT_UNIQUE", "select kind, at from events", /no primary key[\s\S]*count\(\*\)/, ["kind"]);
  const union = "select id from orders union all select id from crm.customers";
  refused("VIEW_KEY_NOT_UNIQUE", union, /constant column[\s\S]*Without a key/, ["id"]);
  const half = "select customer_id, count(*) as n from orders group by status, customer_id";
  refused("VIEW_KEY_NOT_UNIQUE", half, /GROUP BY to the select list/, ["customer_id"]);
  refused(
    "VIEW_KEY_NOT_UNIQUE",
    "select status, customer_id, count(*) as n from orders group by 1, 2",
    /status, customer_id/,
    ["status"],
  );
  refused("VIEW_KEY_INVALID", "select id, status from orders", /Did you mean "status"/, ["statsu"]);
  refused("VIEW_KEY_INVALID", "select status, count(*) as n from orders group by status", /computed from aggregates/, [
    "n",
  ]);
  refused("VIEW_KEY_INVALID", "select count(*) as n from orders", /one row/, ["n"]);
  refused("VIEW_KEY_INVALID", "select id from orders", /names no column/, []);
  refused("VIEW_KEY_INVALID", "select id from orders", /twice/, ["id", "id"]);
  assert.deepEqual(compile("select status, id from orders", ["status", "id"]).key, ["status", "id"]);
});

test("the query over the mirrors keeps the author's text, with tables and stars written out", () => {
  const { query } = compile(
    "select o.*, /* the\nline */ l.line -- and\nfrom shop.public.orders o join lines l on l.order_id = o.id where shop.lines.line > 0;".replace(
      "shop.lines.line",
      "l.line",
    ),
  );
  assert.equal(
    query.replaceAll(/\s+/g, " "),
    'select "o"."id", "o"."customer_id", "o"."status", "o"."placed_at", "o"."note", l.line from "shop"."orders" o join "shop"."lines" as "lines" l on l.order_id = o.id where l.line > 0'.replace(
      ' as "lines" l',
      " l",
    ),
  );
  assert.equal(
    compile("select shop.orders.id from shop.orders").query,
    'select "orders"."id" from "shop"."orders" as "orders"',
  );
  const star = compile("select kind, count(*) as n from (select * from events) e group by kind").query;
  assert.doesNotMatch(star, /_millrace|\*\s*from "/);
  assert.match(star, /"events"\."Mixed Case"/);
});

test("a quoted constant is text where a subquery ends", () => {
  refused("VIEW_UNSUPPORTED", "select sum(k) as s from (select '1' as k from orders) x", /sum over text/);
  assert.match(
    compile("select id, k from (select id, 'x' as k from orders) x").fill,
    /\('x'::pg_catalog\.text\) as "k"/,
  );
});

test("each occurrence of a table has its term, and an index where the primary key does not serve", () => {
  const { terms, mirrorIndexes, uses } = compile(
    "select o.id, c.name from orders o join crm.customers c on c.id = o.customer_id",
  );
  assert.deepEqual(
    terms.map(({ mirrorId, place }) => [mirrorId, place]),
    [
      [1, "after"],
      [3, "after"],
    ],
  );
  assert.deepEqual(mirrorIndexes, [{ mirrorId: 1, columns: ["customer_id"] }]);
  assert.deepEqual(uses, [
    { mirrorId: 1, columns: ["id", "customer_id"] },
    { mirrorId: 3, columns: ["id", "name"] },
  ]);
  const self = compile(
    "select o.id as a, p.id as b, q.id as c from orders o, orders p, orders q where p.id = o.customer_id and q.id = p.customer_id",
  );
  assert.deepEqual(
    self.terms.map((term) => term.place),
    ["before", "after", "after"],
  );
  assert.match(self.terms[1]?.sql ?? "", /union all select -"_millrace_w"/);
});

test("a join that no index serves is named", () => {
  assert.deepEqual(compile("select o.id, c.id as c from orders o join crm.customers c on c.id > o.customer_id").scans, [
    { changed: "shop.orders", read: "crm.customers" },
    { changed: "crm.customers", read: "shop.orders" },
  ]);
  assert.match(
    compile("select o.id, c.id as c from orders o join crm.customers c on c.id = o.customer_id").explanation,
    /shop\.orders as o, then crm\.customers as c by its primary key; after/,
  );
});

test("the hash changes with the meaning, and not with spaces, comments or other tables", () => {
  const hash = (text: string, key: readonly string[] | null = null, tables = mirrors) =>
    compileViewSync({ view: define(text, key), mirrors: tables, version: 9 }).hash;
  const base = hash("select id, status from orders");
  assert.match(base, /^[0-9a-f]{64}$/);
  assert.equal(hash("select id,\n status -- x\nfrom orders"), base);
  assert.equal(
    hash(
      "select id, status from orders",
      null,
      mirrors.filter((one) => one.id !== 3),
    ),
    base,
  );
  assert.notEqual(hash("select id, status as s from orders"), base);
  assert.notEqual(hash("select id, status from orders", ["id"]), base);
  const changed = mirrors.map((one) =>
    one.id === 1
      ? {
          ...one,
          shape: {
            ...one.shape,
            columns: one.shape.columns.map((column) =>
              column.name === "status" ? { ...column, storeType: "bytea" } : column,
            ),
          },
        }
      : one,
  );
  assert.notEqual(hash("select id, status from orders", null, changed), base);
});

test("references from an editor compile as the names they stand for", async () => {
  const shop = postgres("shop", { url: "postgres://x", tables: ["orders", "audit.events"] });
  const compiled = await compileView({
    view: view("v", sql`select count(*) as n from ${shop["audit.events"]} e, ${shop.orders} o`),
    mirrors,
    version: 1,
  });
  assert.equal(compiled.query, 'select count(*) as n from "shop"."audit.events" e, "shop"."orders" o');
});

test("SQL that is too long or too deep is refused, and the next definition compiles", () => {
  refused("VIEW_UNSUPPORTED", `select ${"1 + ".repeat(20_000)}1 as x from orders`, /65536/);
  refused("VIEW_UNSUPPORTED", `select ${"1+".repeat(9_000)}1 as x from orders`, /nested too deeply/);
  refused("VIEW_UNSUPPORTED", `select ${"1+".repeat(20_000)}1 as x from orders`, /nested too deeply/);
  refused(
    "VIEW_UNSUPPORTED",
    `select id from ${"(select id from ".repeat(60)}orders${") x".repeat(60)}`,
    /nested too deeply/,
  );
  refused(
    "VIEW_UNSUPPORTED",
    `select count(*) as n from ${Array.from({ length: 8 }, (_, i) => `(select id from orders union all select id from crm.customers) x${i}`).join(", ")}`,
    /more than 64/,
  );
  const doubled = (times: number): string =>
    times === 0 ? "select id as a from orders" : `select a + a as a from (${doubled(times - 1)}) x${times}`;
  refused("VIEW_UNSUPPORTED", doubled(20), /too large/);
  const ctes = Array.from({ length: 30 }, (_, i) => `c${i + 1} as (select x.a from c${i} x join c${i} y on x.a = y.a)`);
  refused(
    "VIEW_UNSUPPORTED",
    `with c0 as (select id as a from orders), ${ctes.join(", ")} select a from c30`,
    /more than 64 tables/,
  );
  assert.equal(refusal(`select ${"(".repeat(30_000)}1${")".repeat(30_000)} as x from orders`).code, "VIEW_SQL_INVALID");
  compile("select id from orders");
});

test("two columns of one name in a subquery are told apart by nothing, and refused where they are meant", () => {
  const twice = "(select o.id, c.id from orders o join crm.customers c on c.id = o.customer_id) x";
  refused("VIEW_COLUMN_AMBIGUOUS", `select x.id from ${twice}`, /"x" has two columns "id"/);
  refused(
    "VIEW_COLUMN_AMBIGUOUS",
    `select y.a, y.b from (select * from ${twice}) y (a, b)`,
    /"x" has two columns "id"/,
  );
  refused("VIEW_COLUMN_AMBIGUOUS", `select y.a, y.b from (select x.* from ${twice}) y (a, b)`, /two columns "id"/);
});

test("the alias of a table renames its columns from the first one on", () => {
  const { key, uses } = compile("select o.one, o.status from orders o (one)", null);
  assert.deepEqual([key, uses], [["one"], [{ mirrorId: 1, columns: ["id", "status"] }]]);
  refused("VIEW_UNKNOWN_COLUMN", "select o.id from orders o (one)", /no column "id"/);
  refused("VIEW_SQL_INVALID", "select o.a from orders o (a, b, c, d, e, f)", /has 5 columns, and its alias names 6/);
});
