import assert from "node:assert/strict";
import { before, test } from "node:test";
import { MillraceError } from "../../base/errors.ts";
import { topic } from "../../catalog/definitions.ts";
import { topicTables } from "../../catalog/topic-table.ts";
import type { TableShape } from "../../schema/table-shape.ts";
import { compileViewSync, loadParser } from "../compile.ts";
import { viewOf } from "../group-fixture.ts";

const schema = { properties: { amount: { type: "number" }, customer: { type: "integer" } } };
const topics = topicTables({
  topics: [topic("payments", { schema }), topic("shop.events"), topic("orders")],
  webhooks: [],
});
const id = { name: "id", sourceType: "integer", storeType: "integer", nullable: false, carriedAsText: false };
const orders: TableShape = {
  ...{ source: "shop", schema: "public", table: "orders", topic: "shop.public.orders" },
  ...{ columns: [id], key: ["id"], appendOnly: false },
};
const mirrors = [orders, ...topics].map((shape, i) => ({ id: i + 1, shape }));

before(loadParser);

function compiled(text: string) {
  return compileViewSync({ view: viewOf("v", text), mirrors, version: 1 });
}

function refusal(text: string): { code: string; message: string; hint: string | undefined } {
  try {
    compiled(text);
  } catch (error) {
    const { code, message, hint } = MillraceError.from(error);
    return { code, message, hint };
  }
  return assert.fail("it compiles");
}

test("a topic is read by its name in schema topics, and joined with tables", () => {
  const { uses, query, key } = compiled(
    "select p._partition, p._offset, p.amount from topics.payments p join shop.orders o on o.id = p.customer",
  );
  assert.deepEqual(
    uses.map(({ mirrorId }) => mirrorId),
    [1, 2],
  );
  assert.deepEqual(key, ["_partition", "_offset"]);
  assert.match(query, /"topics"\."payments"/);
  assert.equal(compiled('select _partition, _offset from topics."shop.events"').uses[0]?.mirrorId, 3);
  assert.equal(compiled("select _partition, _offset from topics.public.payments").uses[0]?.mirrorId, 2);
});

test("a name alone is never a topic, so that a new topic changes no view", () => {
  assert.equal(compiled("select id from orders").uses[0]?.mirrorId, 1);
  const { code, hint } = refusal("select amount from payments");
  assert.deepEqual([code, hint], ["VIEW_UNKNOWN_TABLE", 'Did you mean "topics.payments"?']);
});

test("a topic that is not defined is refused with the nearest one, at its place", () => {
  const misspelt = refusal("select amount from topics.paymnts p");
  assert.equal(misspelt.code, "VIEW_UNKNOWN_TABLE");
  assert.match(misspelt.message, /no topic "paymnts" is defined\nline 1: .*\n {27}\^$/);
  assert.equal(misspelt.hint, 'Did you mean topics."payments"?');
  const other = refusal(`select 1 from topics."${"x".repeat(70)}"`);
  assert.match(other.hint ?? "", /exports, payments, shop\.events, orders, if their names have at most 63 bytes/);
});

test("a column that a topic's schema does not have is refused with the nearest one", () => {
  const { code, hint } = refusal("select p.amuont from topics.payments p");
  assert.deepEqual([code, hint], ["VIEW_UNKNOWN_COLUMN", 'Did you mean "amount"?']);
});
