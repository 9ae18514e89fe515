import assert from "node:assert/strict";
import { test } from "node:test";
import { postgres } from "../catalog/definitions.ts";
import type { TableShape } from "../schema/table-shape.ts";
import { knowsTables } from "./check-views.ts";

const shape = (schema: string, table: string): TableShape => ({
  ...{ source: "shop", schema, table, topic: `shop.${schema}.${table}`, columns: [], key: null, appendOnly: false },
});
const shop = (...tables: string[]) => [postgres("shop", { url: "postgres://u@h/d", tables })];

test("a schema file knows a source when it has every table that is named, whatever its patterns stand for", () => {
  const orders = [shape("public", "orders")];
  assert.equal(knowsTables(orders, shop("orders")), true);
  assert.equal(knowsTables(orders, shop("orders", "lines")), false);
  assert.equal(knowsTables(orders, shop("orders", "audit.*")), true);
  assert.equal(knowsTables(orders, shop("public.o*")), true);
  assert.equal(knowsTables([], shop("audit.*")), false);
  assert.equal(knowsTables([{ ...shape("audit", "a"), source: "other" }], shop("audit.*")), false);
});
