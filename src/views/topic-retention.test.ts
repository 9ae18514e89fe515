import assert from "node:assert/strict";
import { test } from "node:test";
import { MillraceError } from "../base/errors.ts";
import { sql, topic, type ViewDefinition, view, webhook } from "../catalog/definitions.ts";
import { topicRetentions } from "../catalog/topic-retentions.ts";
import { topicTables } from "../catalog/topic-table.ts";
import { defaultTopicSettings } from "../engine/engine.ts";
import { checkDefinitions } from "./check.ts";
import { refuseExpiring } from "./topic-retention.ts";

const stripe = webhook("stripe", { verify: { kind: "verifier", keepHeaders: [] } as never });
const kept = webhook("kept", { verify: { kind: "verifier", keepHeaders: [] } as never, retention: "forever" });
const topics = [
  topic("forever"),
  topic("week", { retention: "7d" }),
  topic("small", { retentionSize: "10GB" }),
  topic("both", { retention: "36h", retentionSize: "1MB" }),
  topic("compacted", { cleanup: "compact", retention: "7d" }),
  topic("compacted.and.deleted", { cleanup: "compact,delete", retention: "7d" }),
];
const definitions = { topics, webhooks: [stripe, kept] };
const retentions = topicRetentions(definitions);

function reads(name: string, options: Parameters<typeof view>[2] = {}): ViewDefinition {
  return view("v", { ...sql``, text: `select * from topics."${name}"` }, options);
}

test("what the log keeps of a topic is what its definition says; the last value of each key is for ever", () => {
  assert.deepEqual(Object.fromEntries(retentions), {
    week: "7d",
    small: "10GB in each partition",
    both: "36h, 1MB in each partition",
    "compacted.and.deleted": "7d",
    stripe: "30d",
  });
});

test("what a definition leaves out is as the log has it", () => {
  const known = { ...defaultTopicSettings, retentionMs: 60_000 };
  const all = topicRetentions(
    { topics: [topic("silent"), topic("said", { retention: "forever" })], webhooks: [] },
    () => known,
  );
  assert.deepEqual([...all], [["silent", "1m"]]);
  const compacted = { ...known, cleanup: "compact" } as const;
  assert.equal(topicRetentions({ topics: [topic("silent")], webhooks: [] }, () => compacted).size, 0);
});

test("a view over what the log lets go is refused at its place, with the ways out", async () => {
  await refuseExpiring([reads("forever"), reads("compacted"), reads("kept")], retentions);
  for (const [name, retention] of retentions) {
    await assert.rejects(refuseExpiring([reads("forever"), reads(name)], retentions), (error) => {
      assert.ok(MillraceError.is(error, "VIEW_TOPIC_RETENTION"));
      assert.ok(
        error.message.startsWith(`view "v": it reads topic "${name}", of which the log keeps ${retention}\nline 1: `),
      );
      assert.match(error.message, /\n {22}\^$/);
      assert.match(error.hint ?? "", /retention: "forever".*history: "store".*back the store up/);
      assert.deepEqual(error.details, { view: "v", line: 1, character: 15, topic: name, retention });
      return true;
    });
  }
});

test("a view that says that the store is its history is kept, also by those that read it", async () => {
  const week = reads("week", { history: "store" });
  const above = view("above", sql`select * from ${week}`);
  await refuseExpiring([week, above], retentions);
  const checked = await checkDefinitions([week, above], topicTables(definitions), retentions);
  assert.deepEqual(
    checked.map(({ error }) => error),
    [null, null],
  );
  const silent = await checkDefinitions(
    [reads("week"), view("w", sql`select 1`)],
    topicTables(definitions),
    retentions,
  );
  assert.equal(silent[0]?.error?.code, "VIEW_TOPIC_RETENTION");
});

test("a topic anywhere in the query counts, and SQL that cannot be read is another matter", async () => {
  const text = "with w as (select * from topics.public.week) select (select count(*) from w) as n from topics.forever";
  await assert.rejects(refuseExpiring([view("v", { ...sql``, text })], retentions), /of which the log keeps 7d/);
  await refuseExpiring([view("v", { ...sql``, text: "selekt from topics.week" })], retentions);
});
