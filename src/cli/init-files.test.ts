import assert from "node:assert/strict";
import { test } from "node:test";
import { parseEnv } from "node:util";
import type { CatalogueColumn, CatalogueTable } from "../capture/catalogue.ts";
import { appModule, environmentLine, packageJson, planInit } from "./init-files.ts";

function table(schema: string, name: string, columns: readonly string[], key: readonly string[]): CatalogueTable {
  return {
    oid: 1,
    schema,
    table: name,
    kind: "r",
    persistence: "permanent",
    identity: "default",
    rowsEstimated: 1,
    readable: true,
    publishable: true,
    owner: "shop",
    deferrableKey: false,
    keyCollations: {},
    columns: columns.map((column) => {
      const inKey = key.includes(column);
      return { name: column, identity: inKey, primaryKey: inKey, generated: false } as unknown as CatalogueColumn;
    }),
  };
}

test("app.ts captures tables with a key, lists the others with the reason, and has a view over a real table", () => {
  const plan = planInit("Web Shop", [
    table("public", "orders", ["id", "Total `Price` ${x}", "note"], ["id"]),
    table("audit", "events", ["a", "b", "c"], ["a", "b"]),
    table("public", "clicks", ["at"], []),
    { ...table("public", "secrets", ["id", "x"], ["id"]), readable: false },
  ]);
  assert.equal(
    appModule(plan),
    `import { postgres, sql, view } from "millrace";

export const web_shop = postgres("web_shop", {
  url: process.env.WEB_SHOP_URL ?? "", // in .env
  tables: [
    "orders",
    "audit.events",
    // "clicks", // no key: make it { name, appendOnly: true }, or give it replica identity full
    // "secrets", // this role cannot read it
  ],
});

// A query that is kept up to date: inner joins, union all, count, sum and avg are understood.
export const ordersSample = view(
  "orders_sample",
  sql\`
    select t.id, t."Total \\\`Price\\\` \\\${x}", t.note
    from \${web_shop.orders} t\`,
  { key: "id" },
);
`,
  );
});

test("a composite key and a table in another schema are written as they are", () => {
  const text = appModule(planInit("d", [table("audit", "events", ["a", "b", "c"], ["a", "b"])]));
  assert.match(text, /from \$\{d\["audit\.events"\]\} t/);
  assert.match(text, /\{ key: \["a", "b"\] \}/);
});

test("names that cannot be used get another form", () => {
  for (const [database, name] of [
    ["views", "views_db"],
    ["new", "new_db"],
    ["7up", "up"],
    ["日本", "source_db"],
  ] as const) {
    assert.equal(planInit(database, []).name, name);
  }
});

test("a table called like a property of a source is captured, but not the sample", () => {
  const plan = planInit("d", [table("public", "name", ["id", "x"], ["id"]), table("public", "t", ["id", "x"], ["id"])]);
  assert.equal(plan.captured.length, 2);
  assert.equal(plan.sample?.table, "t");
});

test("only so many tables are captured at first, and without a keyed one there is no sample", () => {
  const many = Array.from({ length: 30 }, (_, i) => table("public", `t${i}`, ["id", "x"], ["id"]));
  assert.equal(planInit("d", many).captured.length, 20);
  assert.match(appModule(planInit("d", many)), /\/\/ "t29", \/\/ not captured yet/);
  const full = { ...table("public", "t", ["x"], []), identity: "full" as const };
  assert.doesNotMatch(appModule(planInit("d", [full])), /view\(/);
});

test("an address is read back from .env as it was", () => {
  for (const url of ["postgres://a:p%23#x@h/d?a=b", `postgres://a:"'@h/d`.replace("'", ""), "postgres://a:it's@h/d"]) {
    assert.equal(parseEnv(environmentLine("A", url)).A, url);
  }
});

test("package.json names the folder, and never the package itself", () => {
  assert.equal(JSON.parse(packageJson("My App!", "^1.0.0")).name, "my-app");
  assert.equal(JSON.parse(packageJson("millrace", "^1.0.0")).name, "millrace-app");
});
