/** A group's clock: rows of views come and go by time alone, whatever stops in between. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { eventually } from "../../test/support/program.ts";
import { seededRandom } from "../base/random.ts";
import { VirtualClock } from "../base/virtual-clock.ts";
import { sql, view } from "../catalog/definitions.ts";
import { byClock, Holds, LawWatch } from "./builds-fixture.ts";
import type { Group } from "./group.ts";
import { type ClockState, clockPace, decideClock } from "./group-clock.ts";
import { live, until, ViewsFixture, viewOf } from "./group-fixture.ts";
import { explainView } from "./reader-explain.ts";
import { type FixtureChange, type SourceFixture, tableShape } from "./source-fixture.ts";

const events = tableShape("shop", "events", ["id integer", "kind text", "at timestamp with time zone"]);
const minuteMs = 60_000;

const recent = "select id, kind, at from shop.events where at > now() - interval '1 hour'";
const perKind = "select kind, count(*) as n from shop.events where at > now() - interval '1 hour' group by kind";
const newest = "select kind, max(at) as last from shop.events where at <= now() group by kind";
const queries: Readonly<Record<string, string>> = { recent, per_kind: perKind, newest };
const views = Object.entries(queries).map(([name, text]) => viewOf(name, text));

interface World {
  readonly fixture: ViewsFixture;
  readonly shop: SourceFixture;
  readonly clock: VirtualClock;
  readonly beganMs: number;
}

/** An event so many minutes after the clock began. */
function event({ beganMs }: Pick<World, "beganMs">, id: number, minutes: number, kind = "a"): FixtureChange {
  return { table: events, insert: [`${id}`, kind, new Date(beganMs + minutes * minuteMs).toISOString()] };
}

async function opened(fixture: ViewsFixture, minutes: readonly number[]): Promise<World> {
  const clock = new VirtualClock();
  const shop = await fixture.source("shop", [events]);
  const world = { fixture, shop, clock, beganMs: clock.now() };
  await shop.snapshot(minutes.map((after, i) => event(world, i + 1, after, i % 2 === 0 ? "a" : "b")));
  return world;
}

const ids = async (fixture: ViewsFixture) =>
  (await fixture.pool.query("select array_agg(id order by id) as ids from views.recent")).rows[0].ids ?? [];

/** Goes on by so much; then the view has just these rows, as soon as the group has taken it in. */
async function passes({ fixture, clock }: World, ms: number, wanted: readonly number[]): Promise<void> {
  await clock.advance(ms);
  const dueMs = clock.now();
  await eventually(async () => {
    assert.ok(clock.now() - dueMs < 10_000, "it is long due");
    if (JSON.stringify(await ids(fixture)) === JSON.stringify(wanted)) return true;
    await clock.advance(10);
    return undefined;
  });
}

async function assertLaw(fixture: ViewsFixture): Promise<void> {
  for (const [name, text] of Object.entries(queries)) {
    assert.deepEqual(await fixture.rows(`select * from views.${name}`), await fixture.rows(byClock(text)), name);
  }
}

async function standsAt(fixture: ViewsFixture): Promise<string> {
  const { rows } = await fixture.pool.query("select at::text from millrace.clock");
  return rows[0].at;
}

const changesOf = async (fixture: ViewsFixture, group: Group, after: number) =>
  (
    await fixture.pool.query(
      `select w, id from ${group.readable("recent").logTable} where batch > $1 order by batch, w, id`,
      [after],
    )
  ).rows;

test("a row leaves a view by time alone, and another comes; change rows say so", async () => {
  await using fixture = await ViewsFixture.open();
  const world = await opened(fixture, [-50, -20, 5]);
  const group = await fixture.group(views, { clock: world.clock });
  await live(group);
  await using watch = await LawWatch.open(fixture);
  assert.deepEqual(await ids(fixture), [1, 2, 3]);
  await assertLaw(fixture);
  const { batch } = group.position();
  await passes(world, 10 * minuteMs, [2, 3]);
  await assertLaw(fixture);
  assert.deepEqual(await fixture.rows("select * from views.newest where kind = 'a'"), [
    JSON.stringify({
      kind: "a",
      last: (await fixture.rows("select at from shop.events where id = 3")).map((row) => JSON.parse(row).at)[0],
    }),
  ]);
  assert.deepEqual(await changesOf(fixture, group, batch), [{ w: -1, id: 1 }]);
  assert.ok(group.position().batch > batch);
  await passes(world, 30 * minuteMs, [3]);
  await assertLaw(fixture);
  await watch.end();
});

test("a batch takes the clock along, and is filtered by it", async () => {
  await using fixture = await ViewsFixture.open();
  const world = await opened(fixture, [-50, -40]);
  const { shop, clock } = world;
  const gapMsMax = 60 * minuteMs;
  const group = await fixture.group(views, { clock, clockPace: { ...clockPace, gapMsMax } });
  await live(group);
  const { batch } = group.position();
  await eventually(async () => {
    await clock.advance(clockPace.gapMsMin);
    return group.position().batch > batch || undefined;
  });
  const before = await standsAt(fixture);
  // Before the first row is due.
  await clock.advance(5 * minuteMs);
  assert.equal(await standsAt(fixture), before);
  await shop.commit(event(world, 7, 2), event(world, 8, 7), event(world, 9, -58), {
    table: events,
    update: ["2", "b", new Date(world.beganMs - 59 * minuteMs).toISOString()],
  });
  await fixture.settled(group);
  assert.notEqual(await standsAt(fixture), before);
  assert.deepEqual(await ids(fixture), [1, 7, 8]);
  await assertLaw(fixture);
});

test("after a long stop what is due goes in one batch, and a clock of the machine that jumps back moves nothing", async () => {
  await using fixture = await ViewsFixture.open();
  const world = await opened(fixture, [-50, -20, 5, 600]);
  const before = await fixture.group(views, { clock: world.clock });
  await live(before);
  await fixture.kill(before);
  await world.clock.advance(120 * minuteMs);
  const group = await fixture.group(views, { clock: world.clock });
  await live(group);
  await passes(world, 0, [4]);
  await assertLaw(fixture);
  const { rows } = await fixture.pool.query(
    `select count(distinct batch)::integer as batches from ${group.readable("recent").logTable} where w < 0`,
  );
  assert.deepEqual(rows, [{ batches: 1 }]);
  await fixture.kill(group);
  const at = await standsAt(fixture);
  const earlier = new VirtualClock(world.clock.now() - 30 * minuteMs);
  const again = await fixture.group(views, { clock: earlier });
  await live(again);
  await world.shop.commit(event(world, 20, 130));
  await fixture.settled(again);
  await earlier.advance(5 * minuteMs);
  assert.equal(await standsAt(fixture), at);
  await assertLaw(fixture);
});

test("the law holds in each snapshot, whatever is committed and whenever the group is killed and time passes", async () => {
  const random = seededRandom(3);
  await using fixture = await ViewsFixture.open();
  const world = await opened(fixture, [-59, -50, -20, 5, 600]);
  let group = await fixture.group(views, { clock: world.clock });
  await live(group);
  await using watch = await LawWatch.open(fixture);
  for (let step = 0; step < 12; step++) {
    const minutes = (world.clock.now() - world.beganMs) / minuteMs;
    const changes = [0, 1, 2].map((i) =>
      event(world, 100 + 3 * step + i, minutes + random.below(120) - 60, "ab"[i % 2]),
    );
    await world.shop.commit(...changes);
    await world.clock.advance(random.below(20) * minuteMs);
    if (step % 4 === 3) {
      await fixture.kill(group);
      await world.clock.advance(random.below(90) * minuteMs);
      group = await fixture.group(views, { clock: world.clock });
      await live(group);
    }
    await fixture.settled(group);
  }
  await watch.end();
  await assertLaw(fixture);
  const left = (await fixture.rows(byClock(recent))).map((row) => JSON.parse(row).id);
  assert.ok(left.length > 0 && left.length < 41, String(left));
});

test("a group without a view that filters by time leaves its clock alone", async () => {
  await using fixture = await ViewsFixture.open();
  const world = await opened(fixture, [-50]);
  const group = await fixture.group([viewOf("all_events", "select id, kind from shop.events")], { clock: world.clock });
  await live(group);
  const at = await standsAt(fixture);
  const { batch } = group.position();
  await world.clock.advance(10 * minuteMs);
  await world.shop.commit(event(world, 7, 2));
  await fixture.settled(group);
  assert.equal(await standsAt(fixture), at);
  assert.equal(group.position().batch, batch + 1);
});

test("a view that is added later is filled by the clock of then, and asked when its next row is due", async () => {
  await using fixture = await ViewsFixture.open();
  const world = await opened(fixture, [-50, 200, 110 + 1 / 6, 110 + 1 / 2]);
  const { clock } = world;
  const group = await fixture.group([viewOf("all_events", "select id from shop.events")], { clock });
  await live(group);
  await clock.advance(170 * minuteMs);
  await using holds = await Holds.open(fixture);
  await holds.hold("preparing");
  await holds.hold("filling");
  await group.reload([...views, viewOf("all_events", "select id from shop.events")]);
  // Time goes on while they are built: when rows of theirs are due is not known yet.
  for (let i = 0; i < 5; i++) {
    await clock.advance(1_000);
    await fixture.rows("select 1 as one");
  }
  await holds.release("preparing");
  await until(group, () => group.list().some(({ state }) => state.kind === "building" && /filled/.test(state.reason)));
  // A row is in the snapshot that it is filled from, and goes meanwhile.
  await clock.advance(6_000);
  await eventually(async () => {
    await clock.advance(10);
    return (await standsAt(fixture)).includes("02:50:1") || undefined;
  });
  await holds.release("filling");
  await live(group);
  await assertLaw(fixture);
  assert.deepEqual(await ids(fixture), [2, 4]);
  assert.deepEqual(await changesOf(fixture, group, 0), []);
  // The next one is due before the clock would move anyway.
  await passes(world, 20_000, [2]);
});

test("a view that is recomputed whole and asks the clock is computed anew although nothing has changed", async () => {
  await using fixture = await ViewsFixture.open();
  const world = await opened(fixture, [-50, 1, 2]);
  const next = view(
    "next",
    { ...sql``, text: "select id from shop.events where at > now() order by at limit 1" },
    { refresh: "30s" },
  );
  const group = await fixture.group([next], { clock: world.clock });
  await live(group);
  assert.deepEqual(await fixture.rows("select * from views.next"), ['{"id":2}']);
  await eventually(async () => {
    await world.clock.advance(5_000);
    return (await fixture.rows("select * from views.next"))[0] === '{"id":3}' || undefined;
  });
});

test("explain says what time does", async () => {
  await using fixture = await ViewsFixture.open();
  const world = await opened(fixture, [-50]);
  const group = await fixture.group(views, { clock: world.clock });
  await live(group);
  const text = explainView(group.info("recent"), group.compiled("recent"), await group.upkeep("recent"));
  assert.match(
    text,
    /rows come and go by time:\n *events\.at > \(now\(\) - .*1 hour.*\): found by an index of shop\.events on \(at\)/,
  );
  assert.match(text, /plan of what time lets in and out/);
});

test("the clock moves when a row comes or goes, not too often, and at least once a minute", () => {
  const state: ClockState = { atMs: 1_000_000, movedMs: 5_000, flipMs: undefined };
  const decide = (change: Partial<ClockState>, nowMs: number, monotonicMs: number) =>
    decideClock({ ...state, ...change }, nowMs, monotonicMs, clockPace);
  assert.deepEqual(decide({}, 1_000_100, 5_100), { kind: "wait", ms: 100 });
  assert.deepEqual(decide({}, 1_000_200, 5_200), { kind: "look" });
  assert.deepEqual(decide({ flipMs: 1_000_150 }, 1_000_200, 5_200), { kind: "move" });
  assert.deepEqual(decide({ flipMs: 1_007_000 }, 1_000_200, 5_200), { kind: "wait", ms: 6_800 });
  assert.deepEqual(decide({ flipMs: null }, 1_000_200, 5_200), { kind: "wait", ms: 59_800 });
  assert.deepEqual(decide({ flipMs: Number.POSITIVE_INFINITY }, 1_000_200, 5_200), { kind: "wait", ms: 59_800 });
  assert.deepEqual(decide({ flipMs: null }, 1_060_000, 65_000), { kind: "move" });
  assert.deepEqual(decide({ movedMs: Number.NEGATIVE_INFINITY }, 1_000_001, 0), { kind: "move" });
  // The machine's clock went back by an hour, or by a little.
  assert.deepEqual(decide({ flipMs: 900_000 }, 990_000, 500_000), { kind: "wait", ms: 10_000 });
  assert.deepEqual(decide({ flipMs: 900_000 }, 1_000_000, 500_000), { kind: "wait", ms: 200 });
});
