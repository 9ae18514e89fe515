/** One event per id, also across stops, kills, lost checkpoints, failures of the log and owners that come and go. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { seededRandom } from "../../base/random.ts";
import { SimulatedDisk } from "../../base/simulated-disk.ts";
import { VirtualClock } from "../../base/virtual-clock.ts";
import type { Engine } from "../../engine/engine.ts";
import { becomeOwner, unitOfHook } from "../../ownership/become-owner.ts";
import { hasErrorCode } from "./error-code.fixture.ts";
import { headersOf, openHouse, recordsOf, send, signed, turn } from "./webhooks.fixture.ts";

const dayMs = 86_400_000;

test("after a stop a copy is answered with the first one's place, and only what came since is read", async () => {
  const disk = new SimulatedDisk(seededRandom(1));
  const clock = new VirtualClock();
  const definitions = [signed("vendor", { partitions: 3, key: (e) => e.k })];
  const first = await openHouse({ disk, clock, definitions });
  const hook = await first.serving("vendor");
  const places = await Promise.all(
    Array.from({ length: 40 }, (_, i) => send(hook, { id: `${i}`, body: `{"k":"${i % 7}"}` })),
  );
  await first.close();
  const second = await openHouse({ disk, clock, definitions });
  const again = await second.serving("vendor");
  assert.equal(again.recordsRead, 0);
  for (const [i, place] of places.entries()) {
    assert.deepEqual(await send(again, { id: `${i}` }), { ...place, duplicate: true });
  }
  assert.equal((await recordsOf(second.engine, "vendor")).length, 40);
  await second.close();
});

test("after a kill a copy is answered with the first one's place", async () => {
  const disk = new SimulatedDisk(seededRandom(1));
  const clock = new VirtualClock();
  const first = await openHouse({ disk, clock });
  const hook = await first.serving("vendor");
  const places = await Promise.all(Array.from({ length: 10 }, (_, i) => send(hook, { id: `${i}` })));
  // Nothing is closed.
  const second = await openHouse({ disk: disk.afterKill(), clock });
  const again = await second.serving("vendor");
  for (const [i, place] of places.entries()) {
    assert.deepEqual(await send(again, { id: `${i}` }), { ...place, duplicate: true });
  }
  assert.equal(again.recordsRead, 10);
  await second.close();
});

test("a checkpoint that is damaged, or whose chunk is missing, is thrown away and the topic read", async () => {
  for (const damage of ["checkpoint", "ids-0-3"]) {
    for (const how of ["corrupt", "remove"] as const) {
      const disk = new SimulatedDisk(seededRandom(1));
      const clock = new VirtualClock();
      const first = await openHouse({ disk, clock });
      const hook = await first.serving("vendor");
      for (const id of ["a", "b", "c"]) await send(hook, { id });
      await first.close();
      const path = `/data/hooks/vendor/${damage}`;
      if (how === "remove") await disk.remove(path);
      else disk.corrupt(path, disk.contents(path).length - 3);
      const second = await openHouse({ disk, clock });
      const again = await second.serving("vendor");
      assert.equal((await send(again, { id: "b" })).duplicate, true);
      assert.equal(again.recordsRead, 3);
      await second.close();
    }
  }
});

test("a checkpoint of a topic that was made anew is thrown away", async () => {
  const disk = new SimulatedDisk(seededRandom(1));
  const clock = new VirtualClock();
  const first = await openHouse({ disk, clock });
  await send(await first.serving("vendor"), { id: "a" });
  await first.hooks.close();
  await first.engine.deleteTopic("vendor");
  await first.close();
  const second = await openHouse({ disk, clock });
  assert.equal((await send(await second.serving("vendor"), { id: "a" })).duplicate, false);
  await second.close();
});

test("checkpoints are written while events come in, full chunks once, and a start reads the rest", async () => {
  const disk = new SimulatedDisk(seededRandom(1));
  const clock = new VirtualClock();
  const hooks = { checkpointEvery: 10 };
  const first = await openHouse({ disk, clock, hooks });
  const hook = await first.serving("vendor");
  for (let i = 0; i < 25; i++) await send(hook, { id: `${i}` });
  for (let i = 0; i < 50; i++) await turn();
  const second = await openHouse({ disk: disk.afterKill(), clock, hooks });
  const again = await second.serving("vendor");
  assert.ok(again.recordsRead <= 10, `${again.recordsRead} records were read`);
  for (let i = 0; i < 25; i++) assert.equal((await send(again, { id: `${i}` })).duplicate, true);
  await second.close();
});

test("an id is remembered for its window, whatever the wall clock does, and let go after it", async () => {
  const clock = new VirtualClock();
  const house = await openHouse({ clock });
  const hook = await house.serving("vendor");
  await send(hook, { id: "a" });
  clock.jump(30 * dayMs);
  await send(hook, { id: "b" });
  assert.equal((await send(hook, { id: "a" })).duplicate, true, "the wall clock jumped");
  clock.jump(-30 * dayMs);
  await clock.advance(7 * dayMs - 2_000);
  await send(hook, { id: "c" });
  assert.equal((await send(hook, { id: "a" })).duplicate, true, "just inside the window");
  await clock.advance(10_000);
  await send(hook, { id: "d" });
  assert.equal((await send(hook, { id: "a" })).duplicate, false, "behind the window");
  assert.equal(hook.status().hook.ids.evicted, 0);
  await house.close();
});

test("past the largest count of ids the oldest go, are counted and are warned of", async () => {
  const house = await openHouse({ definitions: [signed("vendor", { dedupe: { idsMax: 3 } })] });
  const hook = await house.serving("vendor");
  for (const id of ["a", "b", "c", "d", "e"]) await send(hook, { id });
  const { ids } = hook.status().hook;
  assert.deepEqual({ held: ids.held, max: ids.max, evicted: ids.evicted }, { held: 3, max: 3, evicted: 2 });
  assert.match(hook.status().warnings.join(), /dedupe\.idsMax/);
  assert.equal((await send(hook, { id: "e" })).duplicate, true);
  assert.equal((await send(hook, { id: "a" })).duplicate, false);
  await house.close();
});

test("a source whose ids are read back from several partitions lets the oldest go first", async () => {
  const disk = new SimulatedDisk(seededRandom(1));
  const clock = new VirtualClock();
  const definitions = [signed("vendor", { partitions: 2, key: (e) => e.k })];
  const first = await openHouse({ disk, clock, definitions });
  const hook = await first.serving("vendor");
  for (let i = 0; i < 8; i++) {
    await send(hook, { id: `${i}`, body: `{"k":"${i % 5}"}` });
    await clock.advance(dayMs / 2);
  }
  await first.close();
  await disk.removeDirectory("/data/hooks");
  await clock.advance(4 * dayMs);
  const second = await openHouse({ disk, clock, definitions });
  const again = await second.serving("vendor");
  // Now is day 8: what came on day 1 or later is in the window.
  for (let i = 3; i < 8; i++) assert.equal((await send(again, { id: `${i}` })).duplicate, true, `id ${i}`);
  await second.close();
});

test("when a commit fails after the log has it, the event is answered as a copy and is there once", async () => {
  let failures = 0;
  const house = await openHouse({ wrap: (engine) => failing(engine, "committed", () => failures-- > 0) });
  const hook = await house.serving("vendor");
  await send(hook, { id: "before" });
  failures = 1;
  await assert.rejects(send(hook, { id: "a" }), hasErrorCode("UNIT_MOVING"));
  while (hook.status().state.kind !== "streaming") await turn();
  const copy = await send(hook, { id: "a" });
  assert.equal(copy.duplicate, true);
  const records = await recordsOf(house.engine, "vendor");
  assert.deepEqual(
    records.map((record) => headersOf(record)["millrace.id"]),
    ["before", "a"],
  );
  assert.equal(records[1]?.offset, copy.offset);
  assert.equal(hook.status().hook.refused.unavailable, 1);
  await house.close();
});

test("when a commit fails and the log has nothing of it, the event is kept when it comes again", async () => {
  let failures = 0;
  const house = await openHouse({ wrap: (engine) => failing(engine, "given up", () => failures-- > 0) });
  const hook = await house.serving("vendor");
  await send(hook, { id: "before" });
  failures = 1;
  await assert.rejects(send(hook, { id: "a" }), hasErrorCode("UNIT_MOVING"));
  while (hook.status().state.kind !== "streaming") await turn();
  const again = await send(hook, { id: "a" });
  assert.equal(again.duplicate, false);
  const records = await recordsOf(house.engine, "vendor");
  assert.deepEqual(
    records.map((record) => headersOf(record)["millrace.id"]),
    ["before", "a"],
  );
  assert.equal(records[1]?.offset, again.offset);
  await house.close();
});

test("who was fenced commits nothing, and knows what its successor has kept when it takes over again", async () => {
  const house = await openHouse();
  const hook = await house.serving("vendor");
  await send(hook, { id: "a" });
  const other = await becomeOwner(house.engine, unitOfHook("vendor"), { progress: house.progress });
  assert.ok(other.epoch > 0);
  await assert.rejects(send(hook, { id: "b" }), hasErrorCode("UNIT_MOVING"));
  while (hook.status().state.kind !== "streaming") await turn();
  assert.equal((await send(hook, { id: "b" })).duplicate, false);
  assert.equal((await recordsOf(house.engine, "vendor")).length, 2);
  await house.close();
});

test("while the log fails calls are refused, and it is tried again with growing pauses", async () => {
  let down = true;
  const house = await openHouse({ wrap: (engine) => withoutProducers(engine, () => down), definitions: [] });
  await house.hooks.apply([signed("vendor")]);
  const hook = await house.serving("vendor");
  assert.equal(hook.status().state.kind, "waiting");
  await assert.rejects(send(hook, { id: "a" }), hasErrorCode("PARTITION_FAILED"));
  down = false;
  await house.clock.advance(60_000);
  while (hook.status().state.kind !== "streaming") await turn();
  assert.equal((await send(hook, { id: "a" })).duplicate, false);
  await house.close();
});

/** Says that it could not commit: what the log has then is one or the other. */
function failing(engine: Engine, transaction: "committed" | "given up", fails: () => boolean): Engine {
  return wrapProducer(engine, (commit) => async () => {
    const isFailing = fails();
    if (!isFailing || transaction === "committed") await commit();
    if (isFailing) throw new Error("the answer was lost");
  });
}

function wrapProducer(engine: Engine, wrap: (commit: () => Promise<void>) => () => Promise<void>): Engine {
  return proxy(engine, {
    async initProducer(...args: Parameters<Engine["initProducer"]>) {
      const producer = await engine.initProducer(...args);
      if (!args[0].includes("hooks/")) return producer;
      return proxy(producer, {
        begin() {
          const transaction = producer.begin();
          return proxy(transaction, { commit: wrap(() => transaction.commit()) });
        },
      });
    },
  });
}

function withoutProducers(engine: Engine, isDown: () => boolean): Engine {
  return proxy(engine, {
    async initProducer(...args: Parameters<Engine["initProducer"]>) {
      const { MillraceError } = await import("../../base/errors.ts");
      if (isDown()) throw new MillraceError("PARTITION_FAILED", "the disk is gone");
      return await engine.initProducer(...args);
    },
  });
}

function proxy<T extends object>(target: T, methods: Partial<T>): T {
  return new Proxy(target, {
    get(_, property) {
      if (property in methods) return methods[property as keyof T];
      const value = target[property as keyof T];
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}
