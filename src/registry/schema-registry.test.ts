import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { MillraceError } from "../base/errors.ts";
import { seededRandom } from "../base/random.ts";
import { SimulatedDisk } from "../base/simulated-disk.ts";
import { nextTurn } from "../base/turn.ts";
import { VirtualClock } from "../base/virtual-clock.ts";
import type { Engine } from "../engine/engine.ts";
import { becomeOwner } from "../ownership/become-owner.ts";
import { encodeBatch } from "../records/batch-builder.ts";
import { avro, json, openRegistry } from "./registry.fixture.ts";
import { decideConfig, decideDeleteSubject, decideDeleteVersion, decideMode } from "./registry-decisions.ts";
import { decodeRegistryRecord, encodeRegistryChanges, schemasTopicName } from "./registry-records.ts";
import { SchemaRegistry } from "./schema-registry.ts";

const hasCode = (code: string) => (error: unknown) => (error as { code?: string }).code === code;

function deleteSubject(registry: SchemaRegistry, subject: string, permanent = false) {
  return registry.change((state) => decideDeleteSubject(state, subject, { permanent }));
}

describe("registering", () => {
  test("a schema has one id wherever it is registered, and a version per subject", async () => {
    await using open = await openRegistry();
    const { registry } = open;
    assert.deepEqual(await registry.register("a-value", avro("id")), { id: 1, version: 1 });
    assert.deepEqual(await registry.register("b-value", avro("id")), { id: 1, version: 1 });
    assert.deepEqual(await registry.register("a-value", avro("id", "name?")), { id: 2, version: 2 });
    assert.deepEqual(await registry.register("a-value", avro("id")), { id: 1, version: 1 });
    assert.deepEqual(
      registry.state.placesOf(1).map(({ subject, version }) => [subject, version]),
      [
        ["a-value", 1],
        ["b-value", 1],
      ],
    );
  });

  test("a change that earlier data cannot be read with is refused, and nothing is written", async () => {
    await using open = await openRegistry();
    const { registry, engine } = open;
    await registry.register("a-value", avro("id"));
    const before = engine.offsets(schemasTopicName, 0).highWatermark;
    await assert.rejects(registry.register("a-value", avro("id", "name")), (error: never) => {
      const { code, message, details } = error as { code: string; message: string; details: Record<string, unknown> };
      assert.equal(code, "SCHEMA_INCOMPATIBLE");
      assert.match(message, /version 1 of subject "a-value"/);
      const [problem] = details.problems as [{ kind: string; version: number }];
      assert.equal(problem.kind, "READER_FIELD_MISSING_DEFAULT_VALUE");
      assert.equal(problem.version, 1);
      return true;
    });
    assert.equal(engine.offsets(schemasTopicName, 0).highWatermark, before);
    await registry.register("a-value", avro("id", "name"), { translated: new Set([1]) });
    assert.equal(registry.state.versions("a-value").size, 2);
  });

  test("many at once are decided one after the other: equal ones get one id, and no id is given twice", async () => {
    await using open = await openRegistry();
    const { registry } = open;
    const answers = await Promise.all(
      Array.from({ length: 40 }, (_, i) => registry.register(`s${i % 20}-value`, avro(`f${i % 10}`))),
    );
    assert.equal(new Set(answers.map(({ id }) => id)).size, 10);
    for (const [i, answer] of answers.entries()) assert.deepEqual(answer, answers[i % 10]);
    assert.equal(registry.state.lastId, 10);
  });

  test("a schema is built on others, which then cannot be deleted", async () => {
    await using open = await openRegistry();
    const { registry } = open;
    await registry.register("customer", json({ type: "object", properties: { id: { type: "string" } } }));
    const order = {
      ...json({ type: "object", properties: { customer: { $ref: "customer.json" } } }),
      references: [{ name: "customer.json", subject: "customer", version: -1 }],
    };
    const { id } = await registry.register("order", order);
    assert.deepEqual(registry.state.schema(id)?.references, [
      { name: "customer.json", subject: "customer", version: 1 },
    ]);
    assert.deepEqual(registry.state.referrersOf("customer", 1), [id]);
    await assert.rejects(deleteSubject(registry, "customer"), hasCode("SCHEMA_REFERENCED"));
    const unknown = { ...order, references: [{ name: "x", subject: "nobody", version: 1 }] };
    await assert.rejects(registry.register("order", unknown), hasCode("SCHEMA_INVALID"));
    await deleteSubject(registry, "order");
    await deleteSubject(registry, "customer");
    await assert.rejects(deleteSubject(registry, "customer", true), hasCode("SCHEMA_REFERENCED"));
  });

  test("what is hostile is refused and stops nothing", async () => {
    await using open = await openRegistry(undefined, { limits: { versionsMax: 2, schemasMax: 3 } });
    const { registry } = open;
    for (const subject of ["", ":.other:a", ":*:a", "a\nb", "x".repeat(2_000), "\ud800"]) {
      await assert.rejects(registry.register(subject, avro("id")), hasCode("SUBJECT_INVALID"), subject);
    }
    const large = json({ description: "x".repeat(2 * 1024 * 1024) });
    await assert.rejects(registry.register("a", large), hasCode("SCHEMA_TOO_LARGE"));
    await assert.rejects(registry.register("a", { ...avro(), text: "{" }), hasCode("SCHEMA_INVALID"));
    await assert.rejects(registry.register("a", { ...avro(), type: "XML" as never }), hasCode("SCHEMA_INVALID"));
    await registry.register("a", avro("a?"));
    await registry.register("a", avro("a?", "b?"));
    await assert.rejects(registry.register("a", avro("a?", "b?", "c?")), hasCode("REGISTRY_FULL"));
    await registry.register("b", avro("c?"));
    await assert.rejects(registry.register("c", avro("d?")), hasCode("REGISTRY_FULL"));
    assert.deepEqual(await registry.register("c", avro("a?")), { id: 1, version: 1 });
  });

  test("one schema below ever more subjects, and settings of subjects that are nobody's, have an end", async () => {
    await using open = await openRegistry(undefined, { limits: { placesMax: 2, settingsMax: 1 } });
    const { registry } = open;
    const set = (subject: string | null, compatibility: string) =>
      registry.change((state) => decideConfig(state, subject, { compatibility }, registry.limits));
    const setMode = (subject: string | null) =>
      registry.change((state) => decideMode(state, subject, "READWRITE", { force: false }, registry.limits));
    await registry.register("a", avro("id"));
    await registry.register("b", avro("id"));
    await assert.rejects(registry.register("c", avro("id")), hasCode("REGISTRY_FULL"));
    assert.deepEqual(await registry.register("a", avro("id")), { id: 1, version: 1 });
    await deleteSubject(registry, "b");
    await deleteSubject(registry, "b", true);
    assert.deepEqual(await registry.register("c", avro("id")), { id: 1, version: 1 });
    await set("x", "FULL");
    await setMode("x");
    await assert.rejects(set("y", "FULL"), hasCode("REGISTRY_FULL"));
    await assert.rejects(setMode("y"), hasCode("REGISTRY_FULL"));
    // What has a setting may change it, and the one of all subjects is not among them.
    await set("x", "NONE");
    await setMode("x");
    await set(null, "NONE");
    await setMode(null);
  });
});

describe("deleting", () => {
  test("is hiding first, and for good only what is hidden", async () => {
    await using open = await openRegistry();
    const { registry } = open;
    await registry.register("a", avro("id"));
    await registry.register("a", avro("id", "b?"));
    await assert.rejects(deleteSubject(registry, "a", true), hasCode("SUBJECT_NOT_DELETED"));
    assert.deepEqual(await deleteSubject(registry, "a"), [1, 2]);
    await assert.rejects(deleteSubject(registry, "a"), hasCode("SUBJECT_DELETED"));
    assert.ok(registry.state.schema(1), "who has the id can still read it");
    assert.deepEqual(await registry.register("a", avro("id")), { id: 1, version: 3 });
    await deleteSubject(registry, "a");
    assert.deepEqual(await deleteSubject(registry, "a", true), [1, 2, 3]);
    assert.equal(registry.state.schema(1), undefined);
    await assert.rejects(deleteSubject(registry, "a"), hasCode("SUBJECT_UNKNOWN"));
  });

  test("an id is never given to another schema, also after all is deleted and the topic read again", async () => {
    const disk = new SimulatedDisk(seededRandom(1));
    {
      await using open = await openRegistry(disk);
      const { registry } = open;
      assert.equal((await registry.register("a", avro("id"))).id, 1);
      await deleteSubject(registry, "a");
      await deleteSubject(registry, "a", true);
      assert.equal(registry.state.schemaCount, 0);
    }
    await using open = await openRegistry(disk);
    assert.equal((await open.registry.register("a", avro("other"))).id, 2);
    assert.equal((await open.registry.register("a", avro("other", "id?"))).id, 3);
  });

  test("one version leaves the others", async () => {
    await using open = await openRegistry();
    const { registry } = open;
    await registry.register("a", avro("id"));
    await registry.register("a", avro("id", "b?"));
    const at = (version: number) => registry.state.versions("a").get(version) as never;
    const remove = (version: number, permanent: boolean) =>
      registry.change((state) => decideDeleteVersion(state, at(version), { permanent }));
    await assert.rejects(remove(1, true), hasCode("SUBJECT_NOT_DELETED"));
    assert.equal(await remove(1, false), 1);
    await assert.rejects(remove(1, false), hasCode("SUBJECT_DELETED"));
    assert.equal(await remove(1, true), 1);
    assert.deepEqual([...registry.state.versions("a").keys()], [2]);
    assert.equal(registry.state.schema(1), undefined);
  });
});

test("imported schemas keep their ids, and new ones come after them", async () => {
  await using open = await openRegistry();
  const { registry } = open;
  const mode = (subject: string | null, to: string) =>
    registry.change((state) => decideMode(state, subject, to, { force: false }));
  await assert.rejects(registry.register("a", avro("id"), { id: 40 }), hasCode("REGISTRY_READ_ONLY"));
  await mode("a", "IMPORT");
  assert.deepEqual(await registry.register("a", avro("id"), { id: 40, version: 7 }), { id: 40, version: 7 });
  await assert.rejects(registry.register("a", avro("other"), { id: 40 }), hasCode("SCHEMA_ID_TAKEN"));
  await assert.rejects(registry.register("a", avro("other")), hasCode("REGISTRY_READ_ONLY"));
  await mode("a", "READWRITE");
  assert.deepEqual(await registry.register("a", avro("id", "b?")), { id: 41, version: 8 });
  await assert.rejects(mode("a", "IMPORT"), hasCode("REGISTRY_READ_ONLY"));
  await mode("a", "READONLY");
  await assert.rejects(registry.register("a", avro("id", "c?")), hasCode("REGISTRY_READ_ONLY"));
  await assert.rejects(deleteSubject(registry, "a"), hasCode("REGISTRY_READ_ONLY"));
});

describe("durability", () => {
  test("what was acknowledged is there after the power is cut at any operation, with its ids, and no id means two schemas", async () => {
    const { from, to } = await operationsOfHistory();
    assert.ok(to - from > 5);
    for (let cut = from; cut <= to; cut++) assert.deepEqual(await lostAfter(cut), [], `cut ${cut}`);
  });

  test("a disk that forgets what it has synced is caught by the same history", async () => {
    const { to } = await operationsOfHistory();
    const forget = (disk: SimulatedDisk) => disk.ignoreSyncs((_operation, path) => path.endsWith(".journal"));
    // Either the schemas are gone, or the log finds that its journal has holes, and does not open.
    const found = await lostAfter(to, forget).catch((error) => [(error as { code: string }).code]);
    assert.notDeepEqual(found, []);
  });

  test("two owners take turns: who was fenced takes over again, and decides on what the other wrote", async () => {
    await using open = await openRegistry();
    const [one, two] = [open.registry, await open.another()];
    const ids: number[] = [];
    for (let i = 0; i < 6; i++) {
      const registry = i % 2 === 0 ? one : two;
      ids.push((await registry.register("a", avro(...Array.from({ length: i + 1 }, (_, n) => `f${n}?`)))).id);
    }
    assert.deepEqual(ids, [1, 2, 3, 4, 5, 6]);
    await one.readToEnd();
    await two.readToEnd();
    assert.deepEqual([...one.state.versions("a")], [...two.state.versions("a")]);
  });

  test("both at once: every answer is one that both see", async () => {
    await using open = await openRegistry();
    const registries = [open.registry, await open.another()];
    const answers = await Promise.allSettled(
      Array.from({ length: 12 }, (_, i) => (registries[i % 2] as SchemaRegistry).register(`s${i}`, avro(`f${i}`))),
    );
    for (const registry of registries) await registry.readToEnd();
    const ids = new Set<number>();
    for (const [i, answer] of answers.entries()) {
      if (answer.status === "rejected") {
        assert.ok(hasCode("PRODUCER_FENCED")(answer.reason), answer.reason);
        continue;
      }
      ids.add(answer.value.id);
      for (const { state } of registries) assert.equal(state.versions(`s${i}`).get(1)?.id, answer.value.id);
    }
    const done = answers.filter(({ status }) => status === "fulfilled").length;
    assert.ok(done >= 1);
    assert.equal(ids.size, done);
  });

  test("what a fenced owner had open is not there", async () => {
    await using open = await openRegistry();
    const { registry, engine } = open;
    await registry.register("a", avro("id"));
    const ownership = await becomeOwner(engine, "schemas");
    const transaction = ownership.begin();
    const batch = encodeRegistryChanges([{ kind: "ids", lastId: 900 }], 0);
    await transaction.append({ topic: schemasTopicName, partition: 0, batch });
    assert.equal((await registry.register("b", avro("b"))).id, 2);
    await assert.rejects(transaction.commit(), hasCode("PRODUCER_FENCED"));
  });

  test("a registration that could not be read back is not decided over: its id is not given again", async () => {
    await using open = await openRegistry();
    const fault = { isOn: false };
    const engine = failingReads(open.engine, fault);
    const registry = await SchemaRegistry.open({ engine, clock: new VirtualClock() });
    await registry.register("a", avro("a"));
    fault.isOn = true;
    await assert.rejects(registry.register("b", avro("b")), hasCode("LOG_CLOSED"));
    fault.isOn = false;
    assert.equal((await registry.register("c", avro("c"))).id, 3);
    assert.equal(registry.state.versions("b").get(1)?.id, 2, "it was written all the same");
    await registry.close();
  });

  test("another process follows what is registered", async () => {
    await using open = await openRegistry();
    const other = await open.another();
    await open.registry.register("a", avro("id"));
    // Nobody asks it to read: the test runner's own limit ends what never comes.
    while (other.state.versions("a").size === 0) await nextTurn();
    assert.equal(other.state.versions("a").get(1)?.id, 1);
    assert.equal(other.parsed(1)?.type, "AVRO");
    assert.equal(other.parsed(2), undefined);
  });
});

test("records of others in the topic are passed over", async () => {
  await using open = await openRegistry();
  const strange = [
    ["schema/1", "{"],
    ["schema/1", '{"version":2,"value":{}}'],
    ["schema/0", '{"version":1,"value":{}}'],
    ["schema/1", '{"version":1,"value":{"type":"XML"}}'],
    ["version/1/a", '{"version":1,"value":{"id":"x","deleted":false}}'],
    ["version/x/a", '{"version":1,"value":{"id":1,"deleted":false}}'],
    ["ids", '{"version":1,"value":{"lastId":-4}}'],
    ["config/a", '{"version":1,"value":5}'],
    ["mode/a", '{"version":1,"value":{}}'],
    ["", "{}"],
    ["other", '{"version":1,"value":1}'],
  ] as const;
  for (const [key, value] of strange) {
    assert.equal(decodeRegistryRecord(Buffer.from(key), Buffer.from(value)), undefined, key);
    const batch = encodeBatch([{ key: Buffer.from(key), value: Buffer.from(value) }], 0);
    await open.engine.append({ topic: schemasTopicName, partition: 0, batch });
  }
  assert.deepEqual(await open.registry.register("a", avro("id")), { id: 1, version: 1 });
});

function failingReads(engine: Engine, fault: { readonly isOn: boolean }): Engine {
  return new Proxy(engine, {
    get(target, property) {
      const value = target[property as keyof Engine] as unknown;
      if (property === "read" && fault.isOn) {
        return () => Promise.reject(new MillraceError("LOG_CLOSED", "the log cannot be read"));
      }
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}

/** What an acknowledged registration has lost, or shares, when the power is cut at an operation of the history. */
async function lostAfter(cut: number, prepare: (disk: SimulatedDisk) => void = () => undefined): Promise<string[]> {
  const disk = new SimulatedDisk(seededRandom(cut));
  prepare(disk);
  disk.cutAfter(cut);
  const acknowledged = new Map<string, number>();
  await runHistory(disk, acknowledged).catch(() => undefined);
  await using open = await openRegistry(disk.survivor());
  const { registry } = open;
  const lost = [...acknowledged].flatMap(([subject, id]) => {
    const isThere = registry.state.versions(subject).get(1)?.id === id && registry.state.schema(id) !== undefined;
    return isThere ? [] : [subject];
  });
  const next = await registry.register("next", avro("next"));
  return [...acknowledged.values()].includes(next.id) ? [...lost, `id ${next.id} is given twice`] : lost;
}

/** Registers below a few subjects, one after the other; answers how many operations there were by then. */
async function runHistory(disk: SimulatedDisk, acknowledged: Map<string, number>): Promise<number> {
  const open = await openRegistry(disk);
  const { registry } = open;
  for (const name of ["one", "two"]) {
    const { id } = await registry.register(name, avro(name));
    acknowledged.set(name, id);
  }
  const { operations } = disk;
  await open[Symbol.asyncDispose]();
  return operations;
}

/** Those that happen while it registers. */
async function operationsOfHistory(): Promise<{ from: number; to: number }> {
  const empty = new SimulatedDisk(seededRandom(1));
  const open = await openRegistry(empty);
  const from = empty.operations;
  await open[Symbol.asyncDispose]();
  return { from, to: await runHistory(new SimulatedDisk(seededRandom(1)), new Map()) };
}
