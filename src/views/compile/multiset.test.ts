import assert from "node:assert/strict";
import { test } from "node:test";
import { compiled, table } from "./compile-fixture.ts";

const orders = table(1, "orders", ["id bigint", "customer_id bigint?", "status text"], ["id"]);
const customers = table(2, "customers", ["id bigint", "name text"], ["id"]);
const events = table(3, "events", ["kind text", "n numeric"], null);
const mirrors = [orders, customers, events];

test("a view of which no columns identify a row has no key, in each class", () => {
  const cases: readonly (readonly [text: string, is: string])[] = [
    ["select status from orders", "linear"],
    ["select kind, n from events", "linear"],
    ["select id from orders union all select id from customers", "linear"],
    ["select count(*) as n from orders group by status", "additive"],
    ["select count(*) as n from orders group by grouping sets ((), ())", "additive"],
    ["select o.status, c.name from orders o left join customers c on c.id = o.customer_id", "keyed"],
    ["select max(id) as last from orders group by status", "keyed"],
  ];
  for (const [text, is] of cases) {
    const view = compiled(text, mirrors);
    assert.deepEqual([view.key, view.class], [null, is], text);
    assert.match(view.explanation, /\nkey: none, each row as often as it is there\n/);
    assert.ok(view.publicColumns.every((column) => !column.startsWith("_millrace_")));
  }
});

test("what has a key still has it, and a group that is computed from what equal values may be spelt like is refused", () => {
  assert.deepEqual(compiled("select id, status from orders", mirrors).key, ["id"]);
  assert.deepEqual(compiled("select count(*) as n from orders", mirrors).key, []);
  const spelt = "select n::text as t, max(kind) as last from events group by n";
  assert.throws(() => compiled(spelt, mirrors), { code: "VIEW_UNSUPPORTED" });
});
