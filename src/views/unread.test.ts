import assert from "node:assert/strict";
import { test } from "node:test";
import { silentDiagnostics } from "../base/diagnostics.ts";
import { seededRandom } from "../base/random.ts";
import { SimulatedDisk } from "../base/simulated-disk.ts";
import { VirtualClock } from "../base/virtual-clock.ts";
import { group, sql, topic, view } from "../catalog/definitions.ts";
import { openEmbeddedEngine } from "../engine/embedded/embedded-engine.ts";
import type { Engine, RetentionHolder } from "../engine/engine.ts";
import { encodeBatch } from "../records/batch-builder.ts";
import { GroupsFixture, isLive, untilGroups } from "./groups-fixture.ts";
import { tableOf } from "./topics-fixture.ts";
import { Unread } from "./unread.ts";

const hourMs = 3_600_000;

const clicks = topic("clicks", { retention: "7d" });
const other = topic("other", { retention: "7d" });
const kept = { history: "store" } as const;
const here = view("here", sql`select _partition, _offset from ${clicks}`, kept);
const beside = view("beside", sql`select _partition, _offset from ${clicks}`, { ...kept, group: group("reports") });

/** Who holds records back in the engine from now on, by name. */
function holdersOf(engine: Engine): ReadonlyMap<string, RetentionHolder> {
  const holders = new Map<string, RetentionHolder>();
  const holdRetention = (holder: RetentionHolder) => {
    holders.set(holder.name, holder);
    return () => holders.delete(holder.name);
  };
  Object.assign(engine, { holdRetention });
  return holders;
}

test("the log keeps what a group has not read, while its store is away and before it was ever there", async () => {
  await using fixture = await GroupsFixture.open();
  for (const name of ["clicks", "other"]) await fixture.engine.createTopic(name);
  const publish = (value: string) =>
    fixture.engine.append({
      topic: "clicks",
      partition: 0,
      batch: encodeBatch([{ key: null, value: Buffer.from(JSON.stringify(value)) }], Date.now()),
    });
  await publish("first");
  const holders = holdersOf(fixture.engine);
  fixture.down.add("reports");
  const work = fixture.work([clicks, other, here, beside, group("reports")], [clicks, other].map(tableOf));
  const groups = await fixture.groups([], { work });
  await untilGroups(groups, () => isLive(groups, "here"));
  const next = (name: string, of = "clicks") => holders.get(`views of group "${name}"`)?.nextOffset(of, 0);
  assert.deepEqual([next("main"), next("reports"), next("main", "other")], [1, 0, null]);

  fixture.back("reports");
  await untilGroups(groups, () => isLive(groups, "beside"));
  assert.deepEqual([next("reports"), next("reports", "other")], [1, null]);

  fixture.goDown("reports");
  await publish("second");
  await untilGroups(groups, () => next("main") === 2);
  assert.equal(next("reports"), 1);
  fixture.back("reports");
  await untilGroups(groups, () => next("reports") === 2);

  await groups.stop();
  assert.equal(holders.size, 0);
});

test("who is late is told once, while half of the time of its next record is left, and again after it had caught up", async () => {
  const clock = new VirtualClock();
  const disk = new SimulatedDisk(seededRandom(1));
  const tools = { clock, random: seededRandom(1), diagnostics: silentDiagnostics };
  const engine = await openEmbeddedEngine({ ...tools, disk, directory: "/log" });
  await engine.createTopic("clicks", { retentionMs: 8 * hourMs });
  const warnings: unknown[] = [];
  const diagnostics = { ...silentDiagnostics, warn: (_: string, details?: object) => warnings.push(details) };
  const unread = new Unread({ engine, clock, diagnostics });
  let next: number | null = 0;
  unread.hold(
    "main",
    () => ({ nextOffset: () => next }),
    () => [tableOf(clicks), tableOf(other)],
  );
  const publish = () =>
    engine.append({ topic: "clicks", partition: 0, batch: encodeBatch([{ key: null, value: null }], clock.now()) });
  const after = async (hours: number) => {
    await clock.advance(hours * hourMs);
    await unread.look();
    return warnings.splice(0).map((one) => (one as { hoursLeft: number }).hoursLeft);
  };
  assert.deepEqual(await after(5), []);
  await publish();
  assert.deepEqual(await after(3), []);
  assert.deepEqual(await after(1.5), [4]);
  assert.deepEqual(await after(1), []);
  next = 1;
  assert.deepEqual(await after(10), []);
  await publish();
  assert.deepEqual(await after(6), [4]);
  next = null;
  assert.deepEqual(await after(1), []);
  await unread.close();
  await engine.close();
});
