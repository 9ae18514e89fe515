import assert from "node:assert/strict";
import { test } from "node:test";
import { postgres, sql, topic, view } from "../catalog/definitions.ts";
import type { TableShape } from "../schema/table-shape.ts";
import { checkViews, knowsTables } from "./check-views.ts";

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

test("a view with a window that is refused is refused once, not also as the view of its late events", async () => {
  const schema = { type: "object", properties: { at: { type: "string", format: "date-time" } } };
  const events = topic("events", { schema, watermark: { time: "at", lateness: "1s" } });
  const windowed = (name: string, ends: string) =>
    view(name, sql`select _partition, _offset, at as ends from ${events}`, { window: { ends } });
  const checked = await checkViews([events, windowed("wrong", "end"), windowed("right", "ends")], []);
  const told = checked.map(({ view, error }) => [view, error?.code]);
  assert.deepEqual(told, [
    ["wrong", "VIEW_WINDOW_INVALID"],
    ["right", undefined],
    ["right.late", undefined],
  ]);
});
