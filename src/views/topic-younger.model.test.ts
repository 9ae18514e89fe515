/** Views that take only what is younger than the retention: they are the same again when they are read from what the log has left. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type Random, seededRandom } from "../base/random.ts";
import { VirtualClock } from "../base/virtual-clock.ts";
import { topic } from "../catalog/definitions.ts";
import { topicRetentions } from "../catalog/topic-retentions.ts";
import { planRetention, type RetainedSegment } from "../log/cleaner/retention.ts";
import { byClock } from "./builds-fixture.ts";
import { ViewsFixture, viewOf } from "./group-fixture.ts";
import { refuseExpiring } from "./topic-retention.ts";
import { type Message, publish, settled, tableOf } from "./topics-fixture.ts";

const runs = Number(process.env.MILLRACE_MODEL_RUNS ?? 2);
const minuteMs = 60_000;
const retentionMs = 120 * minuteMs;
const schema = { properties: { k: { type: "string" }, n: { type: "integer" } } };
const definitions = [
  topic("events", { schema, retention: "2h" }),
  topic("states", { schema, retention: "2h", cleanup: "compact,delete" }),
];

const queries: Readonly<Record<string, string>> = {
  recent: "select _partition, _offset, k, n from topics.events where _time > now() - interval '2 hours'",
  today:
    "select _partition, _offset, n from topics.events e where e._time >= date_trunc('hour', now() - interval '1 hour')",
  sums: "select k, count(*) as c, sum(n) as s from topics.events where _time + interval '90 minutes' > now() group by k",
  extremes:
    "select k, max(n) as hi from topics.events where _time between now() - interval '2 hours' and now() group by k",
  last: "select a._partition, a._offset, a.k from topics.events a where a._time > now() - interval '1 hour' and not exists (select from topics.events b where b.k = a.k and b._offset > a._offset and b._time > now() - interval '2 hours')",
  joined:
    "select s._key, e._partition, e._offset from topics.states s left join topics.events e on e.k = s._key where e._time > now() - interval '2 hours' and s._time > now() - interval '110 minutes'",
  states: "select _key, n from topics.states where _time >= now() - interval '2 hours'",
};
/** What the log has let go is missed by a view that takes all of it. */
const all = "select _partition, _offset from topics.events";

function messages(random: Random, nowMs: number): Message[] {
  // Now and then a record is from long ago or from the future, and what is about to leave is near.
  const ages = [0, 5, 30, 59, 60, 61, 89, 91, 109, 111, 119, 120, 121, 150, 400, -30];
  return Array.from({ length: 60 }, (_, i) => {
    const drift = 5 * (i - 40) * minuteMs;
    const age = ages[random.below(ages.length)] as number;
    const timestamp = random.below(3) === 0 ? nowMs - age * minuteMs : nowMs + Math.min(drift, 0) - random.below(1_000);
    const key = `k${random.below(6)}`;
    return { key, timestamp, value: random.below(10) === 0 ? null : { k: key, n: random.below(100) } };
  });
}

/** The first offset that is left, by the log's own rules, of segments of a few records each. */
function leftBy(random: Random, published: readonly Message[], nowMs: number): number {
  const segments: RetainedSegment[] = [];
  for (let at = 0; at < published.length; ) {
    const end = Math.min(published.length, at + 1 + random.below(4));
    const maxTimestamp = Math.max(...published.slice(at, end).map(({ timestamp = -1 }) => timestamp));
    segments.push({ baseOffset: at, endOffset: end, sizeBytes: 1, maxTimestamp });
    at = end;
  }
  const settings = { cleanup: "delete", retentionMs, retentionBytes: null } as const;
  const state = { segments, settings, nowMs, logStart: 0, lastStable: published.length, heldFrom: null };
  return segments[planRetention(state).count]?.baseOffset ?? 0;
}

test("views over younger records are the same when they are read again from what the log has left", async () => {
  const kept = Object.entries(queries).map(([name, text]) => viewOf(name, text));
  await refuseExpiring(kept, topicRetentions({ topics: definitions, webhooks: [] }));
  await assert.rejects(refuseExpiring([viewOf("whole", all)], topicRetentions({ topics: definitions, webhooks: [] })));
  let missed = 0;
  for (let run = 1; run <= runs; run++) {
    const random = seededRandom(4_100 + run);
    await using fixture = await ViewsFixture.open();
    const clock = new VirtualClock();
    const nowMs = clock.now();
    const views = [...kept, viewOf("whole", all)];
    const names = definitions.map(({ name }) => name);
    const group = await fixture.group(views, { topics: definitions.map(tableOf), mode: "dev", clock });
    const left = new Map<string, number>();
    for (const name of names) {
      const published = messages(random, nowMs);
      await publish(fixture, name, ...published);
      left.set(name, leftBy(random, published, nowMs));
    }
    await settled(fixture, group, ...names);
    const rowsOf = async () => {
      const rows = new Map<string, string[]>();
      for (const { name } of views) rows.set(name, await fixture.rows(`select * from views.${name}`));
      return rows;
    };
    const before = await rowsOf();
    for (const [name, text] of Object.entries(queries)) {
      assert.deepEqual(before.get(name), await fixture.rows(byClock(text)), `${name} of seed ${run}`);
    }
    for (const [name, offset] of left) await fixture.engine.deleteRecords(name, 0, offset);
    await group.reload([]);
    await group.reload(views);
    await settled(fixture, group, ...names);
    const after = await rowsOf();
    for (const { name } of kept) assert.deepEqual(after.get(name), before.get(name), `${name} of seed ${run}`);
    missed += (before.get("whole")?.length ?? 0) - (after.get("whole")?.length ?? 0);
  }
  assert.ok(missed > 0);
});
