import assert from "node:assert/strict";
import { test } from "node:test";
import { MillraceError } from "../base/errors.ts";
import { VirtualClock } from "../base/virtual-clock.ts";
import type { SourceStatus } from "../capture/source.ts";
import type { PublicationInfo } from "../publish/publication-info.ts";
import type { Views } from "../views/view-info.ts";
import {
  collectGroups,
  collectProcess,
  collectPublishers,
  collectSources,
  collectViews,
  watchEventLoop,
} from "./collectors.ts";
import { MetricsRegistry } from "./metrics.ts";

const status: SourceStatus = {
  name: "shop",
  type: "postgres",
  state: { kind: "streaming" },
  url: "postgres://shop@db/shop",
  tables: [],
  changes: 12,
  transactions: 3,
  position: "0/16B3748",
  lagBytes: 512,
  lagMs: 1500,
  slot: "millrace_shop",
  reading: [],
  wal: { heldBytes: 4096, safeBytes: null, limitBytes: null, status: "reserved" },
  orphans: [],
  warnings: [],
};

test("a source's lag is told in bytes and seconds, and left out while it is not known", () => {
  const metrics = new MetricsRegistry();
  let current = status;
  collectSources(metrics, () => [current]);
  assert.match(metrics.render(), /millrace_source_lag_seconds\{source="shop"\} 1\.5\n/);
  assert.match(metrics.render(), /millrace_source_lag_bytes\{source="shop"\} 512\n/);
  assert.match(metrics.render(), /millrace_source_wal_held_bytes\{source="shop"\} 4096\n/);
  assert.doesNotMatch(metrics.render(), /millrace_source_wal_safe_bytes\{/);
  assert.match(metrics.render(), /millrace_source_state\{source="shop",state="streaming"\} 1\n/);
  assert.match(metrics.render(), /millrace_source_changes_total\{source="shop"\} 12\n/);
  current = { ...status, lagBytes: null, lagMs: null, state: { kind: "connecting" } };
  assert.doesNotMatch(metrics.render(), /lag_/);
  assert.match(metrics.render(), /state="connecting"/);
});

test("views tell their states, and their groups theirs and their batches", () => {
  const metrics = new MetricsRegistry();
  const views: Pick<Views, "list" | "rowCache"> = {
    list: () => [
      {
        name: "order_cards",
        sql: "select 1",
        class: "linear",
        columns: [],
        key: [],
        hash: "",
        state: { kind: "live" },
        watermarks: [
          { topic: "clicks", atMs: 1_500 },
          { topic: "silent", atMs: null },
        ],
        rowsEstimated: 7,
        changes: 9,
      },
      {
        name: "daily",
        group: "reports",
        sql: "select 1",
        class: "linear",
        columns: [],
        key: [],
        hash: "",
        state: { kind: "live" },
        rowsEstimated: 3,
        changes: 5,
      },
    ],
    rowCache: () => [{ view: "order_cards", hits: 7, misses: 2, bytes: 480 }],
  };
  collectViews(metrics, views as Views);
  const down = new MillraceError("STORE_UNAVAILABLE", "it does not answer");
  collectGroups(metrics, () => [
    { name: "main", condition: { kind: "running" }, position: { generation: 2, batch: 41 } },
    { name: "reports", condition: { kind: "waiting", error: down }, position: { generation: 1, batch: 7 } },
  ]);
  const text = metrics.render();
  assert.match(text, /millrace_view_state\{state="live",view="order_cards"\} 1/);
  assert.match(text, /millrace_view_changes_total\{view="order_cards"\} 9/);
  assert.match(text, /millrace_topic_watermark_seconds\{topic="clicks"\} 1\.5\n/);
  assert.doesNotMatch(text, /watermark_seconds\{topic="silent"/);
  assert.match(text, /millrace_view_row_hits_total\{view="order_cards"\} 7/);
  assert.match(text, /millrace_view_row_misses_total\{view="order_cards"\} 2/);
  assert.match(text, /millrace_view_row_bytes\{view="order_cards"\} 480/);
  assert.match(text, /millrace_views_batch\{group="main"\} 41/);
  assert.match(text, /millrace_views_generation\{group="main"\} 2/);
  assert.match(text, /millrace_view_rows\{group="reports",view="daily"\} 3/);
  assert.match(text, /millrace_views_batch\{group="reports"\} 7/);
  assert.match(text, /millrace_views_group_state\{group="main",state="running"\} 1/);
  assert.match(text, /millrace_views_group_state\{group="reports",state="waiting"\} 1/);
});

test("publishers tell their state, what they have written and what their topics lack", () => {
  const metrics = new MetricsRegistry();
  const figures = { view: "cards", topic: "cards-topic", position: null, batches: 4, records: 9 };
  const one: PublicationInfo = { ...figures, state: { kind: "publishing" }, behind: 3 };
  const other: PublicationInfo = { ...one, topic: "other", state: { kind: "comparing" }, behind: null };
  collectPublishers(metrics, { list: () => [one, other], of: () => one });
  const text = metrics.render();
  assert.match(text, /millrace_publisher_state\{state="publishing",topic="cards-topic",view="cards"\} 1/);
  assert.match(text, /millrace_publisher_behind_batches\{topic="cards-topic",view="cards"\} 3/);
  assert.match(text, /millrace_publisher_batches_total\{topic="other",view="cards"\} 4/);
  assert.match(text, /millrace_publisher_records_total\{topic="cards-topic",view="cards"\} 9/);
  assert.doesNotMatch(text, /behind_batches\{topic="other"/);
});

test("a stall of the event loop is seen as a late timer, and watching ends with close", async () => {
  const metrics = new MetricsRegistry();
  const clock = new VirtualClock();
  let stallMs = 0;
  // The timer fires when it is due, but the clock it then reads has gone on by the stall.
  const stalled = Object.assign(Object.create(clock), {
    monotonicMs: () => clock.monotonicMs() + stallMs,
    after: (delayMs: number, fn: () => void) => clock.after(delayMs, fn),
  });
  const watch = watchEventLoop(metrics, stalled);
  await clock.advance(250);
  stallMs = 700;
  await clock.advance(250);
  const text = metrics.render();
  assert.match(text, /delay_seconds_bucket\{le="0\.001"\} 1\n/);
  assert.match(text, /delay_seconds_bucket\{le="1"\} 2\n/);
  assert.match(text, /delay_seconds_bucket\{le="0\.25"\} 1\n/);
  watch.close();
  await clock.advance(1_000);
  assert.match(metrics.render(), /delay_seconds_count 2\n/);
});

test("the process tells its memory and age", async () => {
  const metrics = new MetricsRegistry();
  const clock = new VirtualClock();
  collectProcess(metrics, clock);
  await clock.advance(2_000);
  assert.match(metrics.render(), /millrace_process_uptime_seconds 2\n/);
  assert.match(metrics.render(), /millrace_process_resident_bytes \d+\n/);
});
