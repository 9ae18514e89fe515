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
  assert.deepEqual(Object.fromEntries([...retentions].map(([name, { told }]) => [name, told])), {
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
  assert.deepEqual([...all], [["silent", { told: "1m", youngerMs: 60_000 }]]);
  const compacted = { ...known, cleanup: "compact" } as const;
  assert.equal(topicRetentions({ topics: [topic("silent")], webhooks: [] }, () => compacted).size, 0);
});

test("a view over what the log lets go is refused at its place, with the ways out", async () => {
  await refuseExpiring([reads("forever"), reads("compacted"), reads("kept")], retentions);
  for (const [name, { told: retention, youngerMs }] of retentions) {
    await assert.rejects(refuseExpiring([reads("forever"), reads(name)], retentions), (error) => {
      assert.ok(MillraceError.is(error, "VIEW_TOPIC_RETENTION"));
      assert.ok(
        error.message.startsWith(`view "v": it reads topic "${name}", of which the log keeps ${retention}\nline 1: `),
      );
      assert.match(error.message, /\n {22}\^$/);
      assert.match(error.hint ?? "", /retention: "forever".*history: "store".*back the store up/);
      assert.equal(/where _time > now\(\) - interval '(7|30) days'/.test(error.hint ?? ""), youngerMs !== null);
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

test("what a view may take of younger records counts where the log lets go by time alone, each record for itself", () => {
  const time = { at: { type: "string", format: "date-time" } };
  const timed = topic("timed", { schema: { properties: time }, retention: "7d", watermark: { time: "at" } });
  const found = topicRetentions({ topics: [...topics, timed], webhooks: [stripe] });
  const day = 86_400_000;
  assert.deepEqual(Object.fromEntries([...found].map(([name, { youngerMs }]) => [name, youngerMs])), {
    week: 7 * day,
    small: null,
    both: null,
    "compacted.and.deleted": 7 * day,
    timed: null,
    stripe: 30 * day,
  });
});

const isKept = (text: string, options: Parameters<typeof view>[2] = {}) =>
  refuseExpiring([view("v", { ...sql``, text }, options)], retentions).then(
    () => true,
    (error) => {
      assert.ok(MillraceError.is(error, "VIEW_TOPIC_RETENTION"), text);
      return false;
    },
  );

test("a view that takes only records which the log still has needs no other way out", async () => {
  const week = "select * from topics.week";
  for (const condition of [
    "_time > now() - interval '7 days'",
    "week._time >= current_timestamp - '1 week'::interval",
    "now() - interval '1 hour' < _time and week.n > 3",
    "n > 3 and (m > 4 and now() <= _time)",
    "_time between now() - interval '1 day' and now()",
    "_time > now() + interval '5 minutes' - interval '7 days'",
    "_time + interval '3 days 4 hours' > pg_catalog.now()",
    "_time - interval '1 day' > now() - interval '7 days'",
    "_time > localtimestamp - interval '168 hours'",
    "_time::date >= current_date - 6",
    "date_trunc('day', _time) > date_trunc('day', now()) - interval '6 days'",
    "_time > date_trunc('week', now())",
    "_time > (now() - interval '5 days')::date",
    "_time > now() - interval '-1 day'",
    "_time > now() + interval '-7 days'",
    "_time > now() - interval '1 mon' and _time > now() - interval '1 day'",
  ]) {
    assert.equal(await isKept(`${week} where ${condition}`), true, condition);
  }
  const younger = "w._time > now() - interval '7 days'";
  for (const text of [
    `select kind, count(*) as n from topics.week w where ${younger} group by kind having count(*) > 1`,
    `select o.id from topics.forever o join topics.week w on w.id = o.id and ${younger}`,
    `select o.id from topics.forever o left join topics.week w on w.id = o.id where ${younger}`,
    `select o.id from topics.forever o left join (topics.forever p join topics.week w on ${younger}) on p.id = o.id`,
    `select o.id from topics.forever o where not exists (select from topics.week w where w.id = o.id and ${younger})`,
    `with r as (select * from topics.week as w where ${younger}) select x.id, y.id as other from r x join r y using (id)`,
    `select id from topics.week w where ${younger} union all select id from topics."compacted.and.deleted" w where ${younger}`,
    "select id from topics.stripe where _time > now() - interval '30 days'",
  ]) {
    assert.equal(await isKept(text), true, text);
  }
});

test("a condition that does not hold for every record, or reaches back too far, is no way out", async () => {
  const week = "select * from topics.week";
  for (const condition of [
    "_time > now() - interval '8 days'",
    "_time > now() - interval '7 days 1 second'",
    "_time < now() - interval '1 day'",
    "_time <= now()",
    "_time > now() - interval '1 day' or n > 3",
    "not _time > now() - interval '1 day'",
    "at > now() - interval '1 day'",
    "_watermark > now() - interval '1 day'",
    "_time > '2026-01-01'",
    "_time + interval '7 days 1 hour' > now()",
    "_time > now() - interval '1 mon'",
    "_time > date_trunc('month', now())",
    "_time >= current_date - 7",
    "_time > date_trunc('week', now()) - interval '1 day'",
    "date_trunc('week', _time) + interval '8 days' > now()",
    "_time > now() - n * interval '1 day'",
    "_time > now() - interval 'P1D'",
    "_time > now() - interval '1 day ago'",
    "_time > now() - interval '1' day",
    "_time > date_trunc('day', now(), 'Pacific/Auckland')",
    "_time between n and now()",
    "_time not between now() - interval '1 day' and now()",
  ]) {
    assert.equal(await isKept(`${week} where ${condition}`), false, condition);
  }
  const day = "> now() - interval '1 day'";
  for (const text of [
    `select * from topics.week a join topics.week b on a.id = b.id where a._time ${day}`,
    `select * from topics.week a join topics.forever b using (id) where _time ${day}`,
    `select * from topics.forever b left join topics.week w on w._time ${day}`,
    `select * from topics.week w (_partition, _offset, at, _time) where w._time ${day}`,
    `select * from (topics.week w join topics.forever f using (id)) as j where j._time ${day}`,
    `select * from (select * from topics.week) w where w._time ${day}`,
    `select * from topics.week w where exists (select from topics.forever w where w._time ${day})`,
    `select count(*) filter (where _time ${day}) as n from topics.week`,
    `select kind, max(_time) as t from topics.week group by kind having max(_time) ${day}`,
    `select * from topics.week where _time ${day} union all select * from topics.week`,
    `select * from topics.small where _time ${day}`,
    `select * from topics.both where _time ${day}`,
  ]) {
    assert.equal(await isKept(text), false, text);
  }
  const windows = `select _time as ends, count(*) as n from topics.week where _time ${day} group by 1`;
  assert.equal(await isKept(windows), true);
  assert.equal(await isKept(windows, { window: { ends: "ends" } }), false);
});

test("a topic anywhere in the query counts, and SQL that cannot be read is another matter", async () => {
  const text = "with w as (select * from topics.public.week) select (select count(*) from w) as n from topics.forever";
  await assert.rejects(refuseExpiring([view("v", { ...sql``, text })], retentions), /of which the log keeps 7d/);
  await refuseExpiring([view("v", { ...sql``, text: "selekt from topics.week" })], retentions);
});
