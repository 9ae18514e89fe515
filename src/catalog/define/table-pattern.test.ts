import assert from "node:assert/strict";
import { test } from "node:test";
import { MillraceError } from "../../base/errors.ts";
import { postgres } from "../definitions.ts";
import { patternOf, splitName } from "./table-pattern.ts";

const url = "postgres://shop@127.0.0.1/shop";

function refused(message: RegExp, act: () => unknown): void {
  assert.throws(act, (error) => MillraceError.is(error, "DEFINITION_INVALID") && message.test(error.message));
}

const matched: readonly [patterns: readonly string[], names: readonly string[], others: readonly string[]][] = [
  [["audit.*"], ["audit.events", "audit.a.b"], ["orders", "audits.events", "xaudit.events"]],
  [["order_*"], ["order_lines", "order_", "public.order_1"], ["orders", "audit.order_lines", "an_order_1"]],
  [["order_?"], ["order_1"], ["order_", "order_12"]],
  [["*"], ["a", "public.b"], ["audit.a"]],
  [["*.*"], ["a", "audit.a"], []],
  [["*.events"], ["events", "audit.events"], ["audit.events_1"]],
  [["*_a*b_*"], ["x_aab_b_", "_ab_"], ["x_ab"]],
  [["audit.*", "!audit.tmp_*", "!audit.x"], ["audit.a"], ["audit.tmp_1", "audit.x"]],
  [["!order_archive", "order_*"], ["order_1"], ["order_archive"]],
  [["weird?name"], ["weird*name", "weird?name"], ["weirdname"]],
];

for (const [patterns, names, others] of matched) {
  test(`${patterns.join(" and ")} stands for its tables and for no others`, () => {
    const definition = postgres("shop", { url, tables: patterns });
    for (const name of names) assert.ok(patternOf(definition.patterns, splitName(name)), name);
    for (const name of others) assert.equal(patternOf(definition.patterns, splitName(name)), null, name);
  });
}

test("a pattern of many stars is tried in no more time than it is long", () => {
  const { patterns } = postgres("shop", { url, tables: [`${"*a".repeat(200)}*b`] });
  assert.equal(patternOf(patterns, { schema: "public", table: "a".repeat(2_000) }), null);
});

test("a table by its name stands beside patterns, and has what is declared of it", () => {
  const shop = postgres("shop", { url, tables: ["audit.*", { name: "log.*", appendOnly: true }, "orders"] });
  assert.deepEqual(
    shop.tables.map(({ table }) => table),
    ["orders"],
  );
  assert.equal(patternOf(shop.patterns, { schema: "log", table: "x" })?.appendOnly, true);
  assert.equal(shop.orders.table, "orders");
});

test("a table that a pattern stands for has a reference as well", () => {
  const shop = postgres("shop", { url, tables: ["audit.*", "!audit.tmp", "orders"] });
  assert.deepEqual(shop.table("audit.events"), { kind: "table", source: "shop", schema: "audit", table: "events" });
  assert.equal(shop.table("orders"), shop.orders);
  refused(/neither names nor matches a table "audit.tmp"/, () => shop.table("audit.tmp"));
});

test("what a pattern cannot say is refused where it is written", () => {
  refused(/names nothing/, () => postgres("shop", { url, tables: ["a", "!"] }));
  refused(/names nothing/, () => postgres("shop", { url, tables: ["audit.*", ".*"] }));
  refused(/names no tables/, () => postgres("shop", { url, tables: ["!audit.*"] }));
  refused(/"topic"/, () => postgres("shop", { url, tables: [{ name: "audit.*", topic: "x" }] }));
  refused(/"columns"/, () => postgres("shop", { url, tables: [{ name: "audit.*", columns: ["id"] }] }));
  refused(/"appendOnly"/, () => postgres("shop", { url, tables: ["a", { name: "!audit.*", appendOnly: true }] }));
});
