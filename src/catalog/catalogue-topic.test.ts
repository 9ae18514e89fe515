import assert from "node:assert/strict";
import { test } from "node:test";
import { silentDiagnostics } from "../base/diagnostics.ts";
import { MillraceError } from "../base/errors.ts";
import { seededRandom } from "../base/random.ts";
import { SimulatedDisk } from "../base/simulated-disk.ts";
import { VirtualClock } from "../base/virtual-clock.ts";
import { openEmbeddedEngine } from "../engine/embedded/embedded-engine.ts";
import type { Engine } from "../engine/engine.ts";
import { encodeBatch } from "../records/batch-builder.ts";
import { type CatalogueChange, catalogueTopicName } from "./catalogue-records.ts";
import { CatalogueTopic } from "./catalogue-topic.ts";

const clock = new VirtualClock();
let starts = 0;

function engineOn(disk: SimulatedDisk): Promise<Engine> {
  return openEmbeddedEngine({
    disk,
    directory: "/data/log",
    clock,
    random: seededRandom(++starts),
    diagnostics: silentDiagnostics,
    limits: { journalFileBytes: 64 * 1024, diskReserveBytes: 0 },
  });
}

async function withCatalogue(body: (catalogue: CatalogueTopic, engine: Engine) => Promise<void>): Promise<void> {
  const engine = await engineOn(new SimulatedDisk(seededRandom(1)));
  const catalogue = await CatalogueTopic.open({ engine, clock });
  await body(catalogue, engine);
  await catalogue.close();
  await engine.close();
}

const entriesOf = (catalogue: CatalogueTopic, kind: string) => Object.fromEntries(catalogue.list(kind));

test("what was put is there when put resolves, and what was removed is not", async () => {
  await withCatalogue(async (catalogue) => {
    await catalogue.put("grant", "a", { to: ["x"] });
    await catalogue.put("grant", "b/c", 2);
    await catalogue.put("key", "a", "other kind");
    assert.deepEqual(catalogue.get("grant", "a"), { to: ["x"] });
    await catalogue.put("grant", "a", 3);
    assert.deepEqual(entriesOf(catalogue, "grant"), { a: 3, "b/c": 2 });
    await catalogue.remove("grant", "a");
    assert.equal(catalogue.get("grant", "a"), undefined);
    assert.deepEqual(entriesOf(catalogue, "nothing"), {});
  });
});

test("a table follows what another one writes, and tells of each change", async () => {
  await withCatalogue(async (catalogue, engine) => {
    const other = await CatalogueTopic.open({ engine, clock });
    const told: CatalogueChange[] = [];
    const arrived = Promise.withResolvers<void>();
    const stop = catalogue.onChange("grant", (change) => {
      told.push(change);
      if (change.key === "last") arrived.resolve();
    });
    await other.change([
      { kind: "grant", key: "a", value: 1 },
      { kind: "key", key: "a", value: 1 },
    ]);
    await other.remove("grant", "a");
    await other.put("grant", "last", true);
    await arrived.promise;
    assert.deepEqual(told, [
      { kind: "grant", key: "a", value: 1 },
      { kind: "grant", key: "a", value: undefined },
      { kind: "grant", key: "last", value: true },
    ]);
    stop();
    await catalogue.put("grant", "b", 1);
    assert.equal(told.length, 3);
    await other.close();
  });
});

test("a listener that fails keeps neither the table nor others from a change", async () => {
  await withCatalogue(async (catalogue) => {
    let heard = 0;
    catalogue.onChange("grant", () => {
      throw new Error("mine");
    });
    catalogue.onChange("grant", () => heard++);
    await catalogue.put("grant", "a", 1);
    assert.equal(heard, 1);
    assert.equal(catalogue.get("grant", "a"), 1);
  });
});

test("records that are no entries, or of a later version, are left alone", async () => {
  await withCatalogue(async (catalogue, engine) => {
    const foreign: [string, string][] = [
      ["noslash", "{}"],
      ["/x", "{}"],
      ["grant/json", "{"],
      ["grant/null", "null"],
      ["grant/later", '{"version":2,"value":1}'],
    ];
    const records = foreign.map(([key, value]) => ({ key: Buffer.from(key), value: Buffer.from(value) }));
    await engine.append({ topic: catalogueTopicName, partition: 0, batch: encodeBatch(records, 0) });
    await catalogue.put("grant", "a", 1);
    assert.deepEqual(entriesOf(catalogue, "grant"), { a: 1 });
  });
});

test("text that cannot be a place is refused before anything is written", async () => {
  await withCatalogue(async (catalogue) => {
    for (const [kind, key] of [
      ["", "a"],
      ["a/b", "c"],
      ["grant", "\ud800"],
    ] as const) {
      await assert.rejects(catalogue.put(kind, key, 1), (error) => MillraceError.is(error, "REQUEST_INVALID"));
    }
  });
});

test("doors refuse writes to the topic", async () => {
  await withCatalogue(async (_catalogue, engine) => {
    assert.equal(engine.topic(catalogueTopicName)?.readOnly, true);
  });
});

test("after a power cut the catalogue has all that was told, and changes of one call together", async () => {
  const run = async (disk: SimulatedDisk): Promise<number> => {
    let told = 0;
    try {
      const engine = await engineOn(disk);
      const catalogue = await CatalogueTopic.open({ engine, clock });
      for (let round = 1; round <= 4; round++) {
        await catalogue.change([
          { kind: "left", key: "round", value: round },
          { kind: "right", key: "round", value: round },
          { kind: "gone", key: `${round}`, value: true },
          { kind: "gone", key: `${round - 1}`, value: undefined },
        ]);
        told = round;
      }
      await catalogue.close();
      await engine.close();
    } catch (error) {
      if (!disk.isOff) throw error;
    }
    return told;
  };
  const whole = new SimulatedDisk(seededRandom(0));
  await run(whole);
  for (let cut = 0; cut <= whole.operations; cut++) {
    const disk = new SimulatedDisk(seededRandom(cut));
    disk.cutAfter(cut);
    const told = await run(disk);
    const engine = await engineOn(disk.survivor());
    const catalogue = await CatalogueTopic.open({ engine, clock });
    const reached = (catalogue.get("left", "round") as number | undefined) ?? 0;
    assert.ok(reached === told || reached === told + 1, `cut ${cut}: ${reached} after ${told}`);
    assert.equal(catalogue.get("right", "round") ?? 0, reached);
    assert.deepEqual([...catalogue.list("gone").keys()], reached === 0 ? [] : [`${reached}`]);
    await catalogue.put("left", "round", 99);
    assert.equal(catalogue.get("left", "round"), 99);
    await catalogue.close();
    await engine.close();
  }
});
