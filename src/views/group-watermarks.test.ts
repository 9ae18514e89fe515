import assert from "node:assert/strict";
import { test } from "node:test";
import { topic, view } from "../catalog/definitions.ts";
import { live, ViewsFixture } from "./group-fixture.ts";
import { planIdle } from "./group-watermarks.ts";
import { settled, tableOf } from "./topics-fixture.ts";
import { click, clicks, perMinute, SkewedClock, untilRows, windowed } from "./windows-fixture.ts";

async function rows(fixture: ViewsFixture): Promise<string[]> {
  return await fixture.rows("select to_char(ends at time zone 'UTC', 'MI') as m, c from views.per_minute");
}

test("a window is shown when the watermark of every partition has passed its end, and never before", async () => {
  await using fixture = await ViewsFixture.open();
  await fixture.engine.createTopic("clicks", { partitions: 2 });
  const group = await fixture.group(windowed(), { topics: [clicks(2)] });
  await live(group);
  await click(fixture, 0, "00:30");
  await click(fixture, 0, "02:30");
  await settled(fixture, group, "clicks");
  assert.deepEqual(await rows(fixture), []);
  await click(fixture, 1, "01:09");
  await settled(fixture, group, "clicks");
  assert.deepEqual(await rows(fixture), [], "10:01 is over for the one at 10:01:10");
  await click(fixture, 1, "01:10");
  await settled(fixture, group, "clicks");
  assert.deepEqual(await rows(fixture), ['{"m":"01","c":1}']);
  await click(fixture, 1, "00:59");
  await click(fixture, 0, "00:59");
  await settled(fixture, group, "clicks");
  assert.deepEqual(await rows(fixture), ['{"m":"01","c":1}']);
  assert.equal((await fixture.rows(`select at, _ends from views."per_minute.late"`)).length, 2);
  const [mark] = await fixture.rows("select millrace.watermark('clicks') as w");
  assert.equal(mark, '{"w":"2025-03-01T10:01:00+00:00"}');
});

test("with updates a late event corrects its window until the grace is over, and is a row of the late ones then", async () => {
  await using fixture = await ViewsFixture.open();
  await fixture.engine.createTopic("clicks", { partitions: 1 });
  const options = { window: { ends: "ends", grace: "1m" }, emit: "updates" as const };
  const group = await fixture.group(windowed(perMinute, options), { topics: [clicks(1)] });
  await live(group);
  for (const at of ["00:30", "01:50", "00:31", "02:10", "00:32"]) await click(fixture, 0, at);
  await settled(fixture, group, "clicks");
  assert.deepEqual(await rows(fixture), ['{"m":"01","c":2}', '{"m":"02","c":1}', '{"m":"03","c":1}']);
  const late = await fixture.rows(`select _offset, n, _ends from views."per_minute.late"`);
  assert.deepEqual(late, ['{"_offset":4,"n":1,"_ends":"2025-03-01T10:01:00+00:00"}']);
});

test("what is recomputed by key, and what is not grouped, is shown when its window is over", async () => {
  await using fixture = await ViewsFixture.open();
  await fixture.engine.createTopic("clicks", { partitions: 1 });
  const most =
    "select date_trunc('minute', at) + interval '1 minute' as ends, max(at) as last from topics.clicks group by 1";
  const each = "select c._offset, c.at + interval '1 minute' as ends from topics.clicks c";
  const busy = `${perMinute} having count(*) > 1`;
  const defined = [
    ["per_minute", most],
    ["each_click", each],
    ["busy", busy],
  ] as const;
  const views = defined.flatMap(([name, query]) => windowed(query, {}, name));
  const group = await fixture.group(views, { topics: [clicks(1)] });
  await live(group);
  for (const at of ["00:10", "00:40", "01:05", "01:10", "00:50"]) await click(fixture, 0, at);
  await settled(fixture, group, "clicks");
  const minutes = (of: string) => fixture.rows(`select to_char(${of} at time zone 'UTC', 'MI:SS') as t`);
  assert.deepEqual(await minutes("(select last from views.per_minute)"), ['{"t":"00:40"}']);
  assert.deepEqual(await fixture.rows("select _offset from views.each_click"), []);
  assert.deepEqual(await fixture.rows("select c from views.busy"), ['{"c":2}']);
  assert.deepEqual(await fixture.rows(`select _offset from views."per_minute.late"`), ['{"_offset":4}']);
  assert.deepEqual(await fixture.rows(`select _offset from views."each_click.late"`), []);
  await click(fixture, 0, "01:50");
  await settled(fixture, group, "clicks");
  assert.deepEqual(await fixture.rows("select _offset from views.each_click"), ['{"_offset":0}', '{"_offset":1}']);
});

test("a view over one with a window reads what that shows", async () => {
  await using fixture = await ViewsFixture.open();
  await fixture.engine.createTopic("clicks", { partitions: 1 });
  const total = view("total", {
    kind: "sql",
    text: "select date_trunc('hour', ends) as h, sum(c) as c from views.per_minute group by 1",
    references: [],
  });
  const group = await fixture.group([...windowed(), total], { topics: [clicks(1)] });
  await live(group);
  for (const at of ["00:10", "00:40", "02:30", "00:20"]) await click(fixture, 0, at);
  await settled(fixture, group, "clicks");
  assert.deepEqual(await fixture.rows("select c from views.total"), ['{"c":2}']);
});

test("a producer that says how far it is ends windows before the next event does", async () => {
  await using fixture = await ViewsFixture.open();
  await fixture.engine.createTopic("clicks", { partitions: 1 });
  const group = await fixture.group(windowed(), { topics: [clicks(1)] });
  await live(group);
  await click(fixture, 0, "00:30");
  await click(fixture, 0, null, "soon");
  await click(fixture, 0, null, "9".repeat(15));
  await settled(fixture, group, "clicks");
  const now = await fixture.rows("select millrace.watermark('clicks') <= now() as ok");
  assert.deepEqual(now, ['{"ok":true}'], "not past when it was written");
  assert.deepEqual(await rows(fixture), ['{"m":"01","c":1}']);
  await click(fixture, 0, "00:40");
  await settled(fixture, group, "clicks");
  assert.equal((await fixture.rows(`select from views."per_minute.late"`)).length, 1);
});

test("a partition that is idle does not hold back the others, and what it brings later is late, also for who reads all again", async () => {
  await using fixture = await ViewsFixture.open();
  await fixture.engine.createTopic("clicks", { partitions: 2 });
  const clock = new SkewedClock();
  const options = { topics: [clicks(2, "1m")], clock };
  let group = await fixture.group(windowed(), options);
  await live(group);
  await click(fixture, 1, "00:20");
  await click(fixture, 0, "00:30");
  await settled(fixture, group, "clicks");
  clock.skewMs += 61_000;
  await click(fixture, 0, "03:30");
  await untilRows(fixture, group, "select c from views.per_minute", ['{"c":2}']);
  await click(fixture, 1, "00:40");
  await click(fixture, 1, "03:40");
  await settled(fixture, group, "clicks");
  const all = `select (select jsonb_agg(v order by ends) from views.per_minute v) as v, (select jsonb_agg(l order by _partition, _offset) from views."per_minute.late" l) as l`;
  const before = await fixture.rows(all);
  assert.match(before.join(), /00:40Z/);
  await fixture.kill(group);
  await fixture.pool.query("drop schema millrace, views, topics cascade");
  group = await fixture.group(windowed(), options);
  await settled(fixture, group, "clicks");
  await untilRows(fixture, group, all, before);
});

test("while all partitions are idle the watermark stands", async () => {
  await using fixture = await ViewsFixture.open();
  await fixture.engine.createTopic("clicks", { partitions: 2 });
  const clock = new SkewedClock();
  const group = await fixture.group(windowed(), { topics: [clicks(2, "1m")], clock });
  await live(group);
  await click(fixture, 0, "05:00");
  await click(fixture, 1, "00:30");
  await settled(fixture, group, "clicks");
  clock.skewMs += 3_600_000;
  await group.reload(windowed());
  assert.deepEqual(await rows(fixture), []);
});

test("a partition that is added begins at the watermark", async () => {
  await using fixture = await ViewsFixture.open();
  await fixture.engine.createTopic("clicks", { partitions: 1 });
  const group = await fixture.group(windowed(), { topics: [clicks(1, "never")] });
  await live(group);
  await click(fixture, 0, "00:30");
  await click(fixture, 0, "01:10");
  await settled(fixture, group, "clicks");
  assert.deepEqual(await rows(fixture), ['{"m":"01","c":1}']);
  await fixture.engine.alterTopic("clicks", { partitions: 2 });
  await click(fixture, 1, "00:40");
  await click(fixture, 0, "01:11");
  await settled(fixture, group, "clicks");
  assert.deepEqual(await rows(fixture), ['{"m":"01","c":1}']);
  const late = await fixture.rows(`select _partition, _watermark from views."per_minute.late"`);
  assert.deepEqual(late, ['{"_partition":1,"_watermark":"2025-03-01T10:01:00+00:00"}']);
});

test("a view that waits for two topics is right whichever of their watermarks moves", async () => {
  await using fixture = await ViewsFixture.open();
  const each = (of: string) => `select _partition, _offset, '${of}' as of, at as ends from topics.${of}`;
  const names = ["clicks", "taps"];
  for (const name of names) await fixture.engine.createTopic(name, { partitions: 1 });
  const both = "select of, _offset from views.clicks_over union all select of, _offset from views.taps_over";
  const views = [
    ...names.flatMap((name) => windowed(each(name), {}, `${name}_over`)),
    view("both", { kind: "sql", text: both, references: [] }),
  ];
  const group = await fixture.group(views, { topics: names.map((name) => clicks(1, "never", name)) });
  await live(group);
  for (const [to, at] of [
    ["clicks", "00:10"],
    ["clicks", "00:30"],
    ["taps", "00:10"],
    ["taps", "00:30"],
    ["clicks", "00:50"],
  ] as const) {
    await click(fixture, 0, at, undefined, to);
    await settled(fixture, group, to);
  }
  assert.deepEqual(await fixture.rows("select * from views.both"), [
    '{"of":"clicks","_offset":0}',
    '{"of":"clicks","_offset":1}',
    '{"of":"taps","_offset":0}',
  ]);
});

test("a view that asks the clock and waits for a watermark is right whichever of them moves", async () => {
  await using fixture = await ViewsFixture.open();
  await fixture.engine.createTopic("clicks", { partitions: 1 });
  const each = windowed("select _partition, _offset, at as ends from topics.clicks", {}, "each_click");
  const text = "select _partition, _offset, ends from views.each_click where ends > now() - interval '1000 years'";
  const clock = new SkewedClock();
  const group = await fixture.group([...each, view("recent", { kind: "sql", text, references: [] })], {
    topics: [clicks(1)],
    clock,
  });
  await live(group);
  for (const at of ["00:10", "00:30", "00:15", "00:45"]) {
    await click(fixture, 0, at);
    await settled(fixture, group, "clicks");
    clock.skewMs += 1_000;
  }
  assert.deepEqual(await fixture.rows("select _offset from views.recent"), ['{"_offset":0}', '{"_offset":1}']);
});

test("people whose role sees views alone can ask for a watermark", async () => {
  await using fixture = await ViewsFixture.open();
  await fixture.engine.createTopic("clicks", { partitions: 1 });
  const group = await fixture.group(windowed(), { topics: [clicks(1)] });
  await live(group);
  await click(fixture, 0, "00:30");
  await settled(fixture, group, "clicks");
  const client = await fixture.pool.connect();
  const role = `reads_watermarks_${process.pid}`;
  try {
    await client.query(`create role ${role}; grant usage on schema views to ${role}; set role ${role}`);
    const { rows: told } = await client.query("select views.watermark('clicks')::text as w, views.watermark('x') as x");
    assert.deepEqual(told, [{ w: "2025-03-01 10:00:20+00", x: null }]);
    await assert.rejects(client.query("select from millrace.watermarks"), { code: "42501" });
  } finally {
    await client.query(`reset role; drop owned by ${role}; drop role ${role}`);
    client.release();
  }
});

test("the watermark begins anew with a topic that was made again", async () => {
  await using fixture = await ViewsFixture.open();
  await fixture.engine.createTopic("clicks", { partitions: 1 });
  const group = await fixture.group(windowed(), { topics: [clicks(1)] });
  await live(group);
  for (const at of ["00:30", "05:10"]) await click(fixture, 0, at);
  await settled(fixture, group, "clicks");
  await fixture.engine.deleteTopic("clicks");
  await fixture.engine.createTopic("clicks", { partitions: 1 });
  await click(fixture, 0, "00:40");
  await group.reload(windowed());
  await settled(fixture, group, "clicks");
  assert.deepEqual(await rows(fixture), []);
  assert.deepEqual(await fixture.rows(`select from views."per_minute.late"`), []);
});

test("which partitions are left out follows from how long each was quiet and how far each has come", () => {
  const cases: readonly (readonly [
    reaches: readonly (readonly [number | null, number])[],
    partitions: number[],
    toMs: number,
    afterMs: number | null,
  ])[] = [
    [
      [
        [5, 0],
        [9, 0],
      ],
      [],
      5,
      60,
    ],
    [
      [
        [5, 60],
        [9, 0],
      ],
      [0],
      9,
      null,
    ],
    [
      [
        [null, 60],
        [9, 10],
        [7, 20],
      ],
      [0],
      7,
      40,
    ],
    [
      [
        [9, 60],
        [5, 0],
      ],
      [],
      5,
      60,
    ],
    [
      [
        [5, 60],
        [9, 60],
      ],
      [],
      0,
      null,
    ],
    [
      [
        [5, 60],
        [null, 0],
      ],
      [],
      0,
      60,
    ],
  ];
  for (const [reaches, partitions, toMs, afterMs] of cases) {
    const plan = planIdle(
      reaches.map(([ms, quietMs]) => ({ ms, quietMs })),
      60,
    );
    assert.deepEqual(plan, { partitions, toMs, afterMs }, JSON.stringify(reaches));
  }
});

test("a change of when a partition is idle leaves the mirror as it is", async () => {
  await using fixture = await ViewsFixture.open();
  await fixture.engine.createTopic("clicks", { partitions: 1 });
  const group = await fixture.group(windowed(), { topics: [clicks(1)] });
  await live(group);
  await click(fixture, 0, "00:30");
  await settled(fixture, group, "clicks");
  const table = () => fixture.rows("select 'topics.clicks'::regclass::oid as o");
  const before = await table();
  await group.reload(windowed(), undefined, [clicks(1, "never")]);
  assert.deepEqual(await table(), before);
  const other = tableOf(topic("clicks", { watermark: { time: "at", lateness: "20s" } }));
  await group.reload(windowed(), undefined, [other]);
});
