/** What is recomputed whole, what is not, and what is said of it. */
import assert from "node:assert/strict";
import { before, test } from "node:test";
import { MillraceError } from "../base/errors.ts";
import { sql, type ViewDefinition, type ViewOptions, view } from "../catalog/definitions.ts";
import { checkDefinitions } from "./check.ts";
import { compileViewSync, loadParser } from "./compile.ts";
import { tableShape } from "./source-fixture.ts";

const shapes = [
  tableShape("shop", "orders", ["id integer", "status text", "amount numeric"]),
  tableShape("shop", "nodes", ["id integer", "parent integer"]),
];
const mirrors = shapes.map((shape, i) => ({ id: i + 1, shape }));
const top = "select id, amount from shop.orders order by amount desc limit 3";

before(loadParser);

function definition(name: string, text: string, options: ViewOptions = {}): ViewDefinition {
  return view(name, { ...sql``, text }, options);
}

const refreshed: ViewOptions = { refresh: "30s" };

function compiled(text: string, options: ViewOptions = refreshed, views: readonly ViewDefinition[] = []) {
  return compileViewSync({ view: definition("v", text, options), mirrors, views, version: 1 });
}

function refused(text: string, options: ViewOptions = refreshed, views: readonly ViewDefinition[] = []): MillraceError {
  try {
    compiled(text, options, views);
  } catch (error) {
    return MillraceError.from(error);
  }
  assert.fail(`"${text}" is not refused`);
}

test("a query that cannot be kept is refused with the option that lets it be, and taken with it", () => {
  for (const text of [
    top,
    "select max(amount) as most from shop.orders",
    "select id, rank() over (order by amount) as place from shop.orders",
    "with recursive t as (select id from shop.nodes where parent is null union select n.id from shop.nodes n join t on n.parent = t.id) select id from t",
  ]) {
    const { code, hint } = refused(text, {});
    assert.equal(code, "VIEW_UNSUPPORTED");
    assert.match(hint ?? "", /Or let it be run again as a whole: view\("v", …, \{ refresh: "30s" \}\)\.$/);
    const whole = compiled(text);
    assert.equal(whole.class, "whole");
    assert.match(whole.explanation, /every 30s at most/);
  }
});

test("what cannot be run again either is refused without that way out", () => {
  for (const text of ["select id, random() as r from shop.orders", "select id from shop.orders order by id"]) {
    for (const options of [{}, refreshed]) {
      const { code, hint } = refused(text, options);
      assert.equal(code, "VIEW_UNSUPPORTED");
      assert.doesNotMatch(hint ?? "", /refresh/);
    }
  }
  assert.equal(refused("select 1 as one limit 1").code, "VIEW_UNSUPPORTED");
});

test("a query that can be kept with each change is, whatever its refresh says, and that is told", async () => {
  const text = "select id, status from shop.orders";
  const kept = compiled(text);
  assert.equal(kept.class, "linear");
  assert.equal(kept.hash, compiled(text, {}).hash);
  assert.match(kept.explanation, /refresh is not needed/);
  const [checked] = await checkDefinitions([definition("v", text, refreshed)], shapes);
  assert.deepEqual(checked?.warnings, ["refresh is not needed: it is kept with each change"]);
  const [whole] = await checkDefinitions([definition("v", top, refreshed)], shapes);
  assert.deepEqual(whole?.warnings, []);
});

test("how often it is recomputed is no reason to build it anew", () => {
  assert.equal(compiled(top).hash, compiled(top, { refresh: "5m" }).hash);
  assert.equal(compiled(top, { refresh: "5m" }).whole?.everyMs, 300_000);
});

test("a view over one that is recomputed whole needs a refresh of its own, and says so", () => {
  const views = [definition("best", top, refreshed)];
  const text = "select b.id from views.best b";
  assert.match(
    refused(text, {}, views).hint ?? "",
    /It reads views\.best, which is run again as a whole, and so needs a refresh of its own/,
  );
  const whole = compiled(text, refreshed, views);
  assert.deepEqual([whole.class, whole.uses.length], ["whole", 1]);
  // What joins it with a table can be kept for the rows of that table.
  const joined = "select b.id, o.status from views.best b join shop.orders o on o.id = b.id";
  assert.equal(compiled(joined, {}, views).class, "keyed");
});

test("a key may be named that follows from nothing, and is derived where it follows", () => {
  assert.deepEqual(compiled(top).key, ["id"]);
  assert.deepEqual(compiled(top, { ...refreshed, key: "amount" }).key, ["amount"]);
  assert.equal(compiled("select status from shop.orders order by amount limit 3").key, null);
  assert.deepEqual(compiled("select max(amount) as most from shop.orders").key, []);
  assert.equal(refused(top, { ...refreshed, key: "ident" }).code, "VIEW_KEY_INVALID");
});

test("a column of a join is never NULL only where it is in each of the join's rows", () => {
  const text =
    "select l.k, p.id, n.id as node from (select null::integer as a, 1 as k) l full join shop.orders p on l.a = p.id join shop.nodes n on true order by n.id limit 5";
  const required = compiled(text).create.filter((statement) => statement.includes("set not null"))[0];
  assert.match(required ?? "", /alter column "node" set not null/);
  assert.doesNotMatch(required ?? "", /"(k|id)" set not null/);
});

test("only columns that the query uses are read, and a table that is only counted", () => {
  const uses = (text: string) => compiled(text).uses;
  assert.deepEqual(uses(top), [{ mirrorId: 1, columns: ["id", "amount"] }]);
  assert.deepEqual(
    uses(
      "select max(o.amount) as most, (select count(*) from shop.nodes) as n from shop.orders o left join shop.nodes p on p.id = o.id",
    ),
    [
      { mirrorId: 1, columns: ["id", "amount"] },
      { mirrorId: 2, columns: ["id"] },
    ],
  );
  assert.deepEqual(uses("select (select count(*) from shop.nodes) as n, max(id) as id from shop.orders"), [
    { mirrorId: 1, columns: ["id"] },
    { mirrorId: 2, columns: [] },
  ]);
});

const start = "select id, parent from shop.nodes where parent is null";
const step = "select n.id, n.parent from shop.nodes n join t on n.parent = t.id";

test("a recursive query is bound: its names, types and what PostgreSQL would refuse of it", () => {
  const cases: Readonly<Record<string, readonly [text: string, code: string, message: RegExp]>> = {
    "a column that is not there": [
      `with recursive t as (${start} union ${step}) select up from t`,
      "VIEW_UNKNOWN_COLUMN",
      /column "up"/,
    ],
    "parts of different width": [
      `with recursive t as (${start} union select n.id from shop.nodes n join t on true) select id from t`,
      "VIEW_SQL_INVALID",
      /the parts of "t" have 2 and 1 columns/,
    ],
    "a type that grows": [
      "with recursive t as (select 1 as n union select t.n + 0.5 from t, shop.nodes) select n from t",
      "VIEW_SQL_INVALID",
      /column "n" of "t" is int4 in its first part and numeric in its second/,
    ],
    "recursion in the first part": [
      `with recursive t as (${step} union ${start}) select id from t`,
      "VIEW_SQL_INVALID",
      /"t" reads itself in another place/,
    ],
    "recursion without union": [`with recursive t as (${step}) select id from t`, "VIEW_SQL_INVALID", /reads itself/],
    "a search by what is not there": [
      `with recursive t as (${start} union all ${step}) search depth first by up set o select id from t`,
      "VIEW_UNKNOWN_COLUMN",
      /column "up" of SEARCH or CYCLE/,
    ],
    "a path that is kept": [
      `with recursive t as (${start} union all ${step}) cycle id set c using path select id, path from t`,
      "VIEW_UNSUPPORTED",
      /column "path" is a record/,
    ],
  };
  for (const [about, [text, code, message]] of Object.entries(cases)) {
    const error = refused(text);
    assert.equal(error.code, code, about);
    assert.match(error.message, message, about);
  }
  const named = compiled(
    `with recursive t (a, b) as (${start} union ${step.replace("t.id", "t.a")}), u as (select a from t) select u.a, t.b from t join u using (a)`,
  );
  assert.deepEqual(named.publicColumns, ["a", "b"]);
  const shadowed = compiled(
    `with recursive t as (${start} union ${step}) select id from (with t as (select id from shop.orders) select id from t) q`,
  );
  assert.deepEqual(
    shadowed.uses.map((use) => use.mirrorId),
    [1, 2],
  );
});

test("a refresh is a duration from a second to a day", () => {
  for (const refresh of ["999ms", "25h", "30", "soon", "-1s", 30 as unknown as string, null as unknown as string]) {
    assert.throws(() => definition("v", top, { refresh }), {
      code: "DEFINITION_INVALID",
      details: { view: "v", option: "refresh" },
    });
  }
  assert.equal(definition("v", top, { refresh: "1.5s" }).refreshMs, 1_500);
  assert.equal(definition("v", top, { refresh: "1d" }).refreshMs, 86_400_000);
});
