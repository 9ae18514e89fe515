import assert from "node:assert/strict";
import { test } from "node:test";
import { group, sql, topic, view } from "../catalog/definitions.ts";
import type { Engine, RetentionHolder } from "../engine/engine.ts";
import { encodeBatch } from "../records/batch-builder.ts";
import { GroupsFixture, isLive, untilGroups } from "./groups-fixture.ts";
import { tableOf } from "./topics-fixture.ts";

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
