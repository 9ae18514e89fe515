import assert from "node:assert/strict";
import { test } from "node:test";
import { actionsOf, planAction, planTable, retriedSentence, rowsOf } from "./source-actions.ts";
import type { SourceStatus, SourceTable } from "./source-status.ts";

const orders: SourceTable = {
  schema: "public",
  table: "orders",
  topic: "shop.public.orders",
  key: ["id"],
  appendOnly: false,
  rowsEstimated: 1_200,
  columns: [],
};
const shop: SourceStatus = {
  name: "shop",
  type: "postgres",
  state: { kind: "streaming" },
  url: "postgres://shop@db/shop",
  tables: [orders, { ...orders, table: "lines", rowsEstimated: 34 }],
  changes: 0,
  transactions: 0,
  position: "0/16B3748",
  lagBytes: 0,
  lagMs: 0,
  slot: "millrace_shop_1",
  wal: { heldBytes: 3 * 1024 ** 2, safeBytes: null, limitBytes: null, status: "reserved" },
  orphans: [],
  warnings: [],
};
const said = (plan: ReturnType<typeof planAction>) =>
  [...plan.says, ...plan.ways.flatMap(({ says }) => says)].join(" ");
const failed = (code: string): SourceStatus["state"] => ({ kind: "failed", error: { code, message: "" } });

test("a source is asked for what fits its state, and adopting only where it answers the refusal", () => {
  assert.deepEqual(actionsOf(shop), ["pause", "resnapshot", "retry"]);
  assert.deepEqual(actionsOf({ ...shop, state: { kind: "paused" } }), ["resume", "resnapshot"]);
  assert.deepEqual(actionsOf({ ...shop, state: failed("SOURCE_SLOT_LOST") }), ["resnapshot", "adopt", "pause"]);
  assert.deepEqual(actionsOf({ ...shop, state: failed("SOURCE_NOT_PERMITTED") }), ["pause", "resnapshot"]);
  assert.deepEqual(actionsOf({ ...shop, type: "webhook" }), []);
  assert.deepEqual(actionsOf({ ...shop, state: { kind: "left" } }), ["remove"]);
});

test("a pause says what the server keeps by now, and what bounds it", () => {
  const plan = planAction("pause", shop);
  assert.deepEqual(
    plan.ways.map(({ path }) => path),
    ["pause?slot=keep", "pause?slot=drop"],
  );
  assert.match(said(plan), /3\.0 MB by now/);
  assert.match(said(plan), /Nothing bounds it/);
  assert.match(said(plan), /about 1,234 rows of 2 tables anew/);
  const bounded = { ...shop, walAllowance: { heldBytesMax: 1024 ** 3, whenFull: "drop-slot" } as const };
  assert.match(said(planAction("pause", bounded)), /Past 1\.0 GB .* drops the slot/);
  assert.doesNotMatch(said(planAction("pause", bounded)), /Nothing bounds/);
  const limited = { ...shop, wal: { heldBytes: 0, safeBytes: 1024, limitBytes: 4096, status: "reserved" } };
  assert.match(said(planAction("pause", limited)), /gives the slot up after another 1\.0 KB/);
});

test("a resume says whether it goes on or reads everything anew", () => {
  const paused = (slot: "kept" | "dropped") => planAction("resume", { ...shop, state: { kind: "paused", slot } });
  assert.match(said(paused("kept")), /nothing is missing: 3\.0 MB/);
  assert.match(said(paused("dropped")), /about 1,234 rows of 2 tables are read anew/);
});

test("a source that is in the module no more is removed with its slot, or left alone", () => {
  const plan = planAction("remove", { ...shop, state: { kind: "left" } });
  assert.deepEqual(
    plan.ways.map(({ path }) => path),
    ["remove?slot=drop", "remove?slot=keep"],
  );
  assert.match(said(plan), /holds its server's log without end/);
});

test("reading anew says how many rows, and adopting from where changes may be missing", () => {
  assert.match(said(planAction("resnapshot", shop)), /^About 1,234 rows of 2 tables/);
  assert.match(said(planAction("adopt", shop)), /between 0\/16B3748 and there may be missing/);
});

test("one table says its rows and its views, and whether others wait for it", () => {
  const plan = planTable(orders, ["order_cards"]);
  assert.equal(plan.ways[0]?.path, "resnapshot?table=public.orders");
  assert.match(said(plan), /^About 1,200 rows are read again\. The other tables go on\./);
  assert.match(said(plan), /order_cards/);
  assert.match(said(planTable({ ...orders, key: null }, [])), /other tables wait/);
});

test("rows that nobody has counted are all rows", () => {
  assert.equal(rowsOf([{ rowsEstimated: null }]), "all rows");
  assert.equal(rowsOf([{ rowsEstimated: null }, { rowsEstimated: 1 }]), "all rows of 2 tables");
  assert.equal(rowsOf([{ rowsEstimated: 1 }]), "about 1 row");
});

test("what became of a retry is told", () => {
  const none = { tried: 0, written: 0, superseded: 0, refused: 0, reasons: [], more: false };
  assert.equal(retriedSentence(none), "Nothing was set aside.");
  assert.match(retriedSentence({ ...none, tried: 3, written: 2, refused: 1, more: true }), /Of 3 .* 2 were .* more/);
});
