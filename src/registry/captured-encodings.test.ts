/** Captured tables in the encodings of registries, with the registry itself. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { VirtualClock } from "../base/virtual-clock.ts";
import { PostgresFixture, until } from "../capture/postgres-fixture.ts";
import { Replay, rowText } from "../capture/replay.fixture.ts";
import type { SchemaHouse } from "../capture/table-encodings.ts";
import type { StoredRecord } from "../records/record.ts";
import { validatePayload } from "../schema/registry/payload.ts";
import { readWire } from "../schema/registry/wire.ts";
import { CapturedSchemas } from "./captured-schemas.ts";
import { liveVersions } from "./registry-decisions.ts";
import { SchemaRegistry } from "./schema-registry.ts";

const large = "repeat(md5(random()::text), 200)";

/** Rows come, change, go, move, and leave out large values; the table changes its shape both ways. */
const workload = [
  `insert into t values (2, 'b', ${large}, 0.1), (3, null, null, '-0')`,
  "update t set name = 'c' where id = 1",
  "update t set id = 9 where id = 2",
  "delete from t where id = 3",
  "alter table t add column total numeric(10, 2)",
  "insert into t values (4, 'd', null, 'NaN', 5.25)",
  "alter table t drop column name",
  "insert into t (id, ratio) values (5, 1e20)",
  "truncate u",
  "insert into u values ('x'), ('x')",
];

function idOf(bytes: Buffer): number {
  const wire = readWire(bytes);
  assert.ok(wire, `the wire format of ${bytes.toString("latin1", 0, 40)}`);
  return wire.id;
}

const decodedWith = (wire: SchemaHouse["wire"]) => (bytes: Buffer) => {
  const reading = wire.read(bytes);
  assert.ok(reading?.ok, JSON.stringify(reading));
  return Buffer.from(reading.json);
};

for (const encoding of ["avro", "json-schema"] as const) {
  test(`${encoding}: every record names its schema, which is there before it; replayed, the topics are the source`, async () => {
    await using fixture = await PostgresFixture.open(
      `create table t (id int primary key, name text, doc text, ratio real); alter table t alter doc set storage external;
       create table u (v text); alter table u replica identity full; insert into t values (1, 'a', ${large}, 1.5); insert into u values ('y')`,
    );
    const registry = await SchemaRegistry.open({ engine: fixture.engine, clock: new VirtualClock() });
    const schemas = new CapturedSchemas({ registry });
    const source = fixture.source(["t", "u"], { encoding, schemas });
    await fixture.caughtUp(source);
    for (const sql of workload) {
      await fixture.sql(sql);
      await fixture.caughtUp(source);
    }
    const decoded = decodedWith(schemas.wire);
    const topics = new Map<string, StoredRecord[]>();
    for (const topic of ["shop.public.t", "shop.public.u"]) {
      const records = await fixture.stored(topic);
      const versions = liveVersions(registry.state, `${topic}-value`).map(({ id }) => id);
      const written = [...new Set(records.flatMap(({ value }) => (value === null ? [] : [idOf(value)])))];
      assert.deepEqual(written, versions, "each version is registered with the first row of it, in order");
      for (const { key, value } of records) {
        if (value !== null) assert.deepEqual(problemsOf(registry, value), []);
        if (key === null) continue;
        assert.deepEqual(problemsOf(registry, key), []);
        assert.ok(registry.state.placesOf(idOf(key)).some(({ subject }) => subject === `${topic}-key`));
      }
      topics.set(
        topic,
        records.map((record) => ({
          ...record,
          key: record.key && decoded(record.key),
          value: record.value && decoded(record.value),
        })),
      );
    }
    assert.equal(liveVersions(registry.state, "shop.public.t-value").length, 3);
    const replay = new Replay(topics);
    for (const event of await fixture.events()) replay.step(event);
    for (const table of ["t", "u"]) {
      const rows = (await fixture.sql(`select to_jsonb(${table}) as row from ${table}`)).map(({ row }) => {
        const texts = Object.entries(row as object).map(([name, value]) => [
          name,
          value === null ? null : String(value),
        ]);
        return rowText(Object.fromEntries(texts));
      });
      const told = replay.rowsOf(`shop.public.${table}`);
      // Numbers of the client's own are printed otherwise: what is compared is what they are.
      assert.deepEqual(numbered(told ?? []), numbered(rows.sort()), table);
    }
    await registry.close();
  });
}

function problemsOf(registry: SchemaRegistry, bytes: Buffer): unknown {
  const wire = readWire(bytes);
  const parsed = wire && registry.parsed(wire.id);
  assert.ok(parsed);
  return validatePayload(parsed, wire.payload);
}

function numbered(rows: readonly string[]): string[] {
  return rows.map((row) =>
    JSON.stringify(JSON.parse(row, (_, one) => (Number.isNaN(Number(one)) ? one : Number(one)))),
  );
}

test("a source waits for a registry that takes nothing, says so, and loses nothing", async () => {
  await using fixture = await PostgresFixture.open("create table t (id int primary key); insert into t values (1)");
  const registry = await SchemaRegistry.open({ engine: fixture.engine, clock: new VirtualClock() });
  const schemas = new CapturedSchemas({ registry });
  await registry.change(() => ({ answer: null, changes: [{ kind: "mode", subject: null, mode: "READONLY" }] }));
  const source = fixture.source(["t"], { encoding: "avro", schemas });
  await until(source, (state) => state === "waiting");
  const { state } = source.status();
  assert.equal(state.kind === "waiting" && state.error.code, "SOURCE_SCHEMA_UNREGISTERED");
  assert.match(state.kind === "waiting" ? state.error.message : "", /topic "shop\.public\.t"/);
  assert.deepEqual(await fixture.stored("shop.public.t"), []);
  await registry.change(() => ({ answer: null, changes: [{ kind: "mode", subject: null, mode: "READWRITE" }] }));
  await fixture.sql("insert into t values (2)");
  await fixture.caughtUp(source);
  assert.equal((await fixture.stored("shop.public.t")).length, 2);
  await registry.close();
});

test("an encoding is changed without a new snapshot: records before and after it are read alike, and retried in their order", async () => {
  await using fixture = await PostgresFixture.open("create table t (id real primary key, v text)");
  const strict = { settings: { eventBytesMax: 3_000 } };
  await fixture.running(["t"], strict);
  await fixture.sql("insert into t values (1e20, repeat('x', 2800)), (2, repeat('x', 2800))");
  await fixture.sql("insert into t values (3, 'a')");
  const json = await fixture.running(["t"], strict);
  await json.stop();
  await fixture.restart();
  const avro = await fixture.running(["t"], { encoding: "avro" });
  await fixture.sql("update t set v = 'b' where id > 2");
  await fixture.caughtUp(avro);
  const told = async () => (await fixture.values("shop.public.t")).map((event) => `${event.op} ${event.after?.id}`);
  assert.deepEqual(await told(), ["c 3", "u 100000000000000000000", "u 3"]);
  const { tried, written, superseded } = await avro.retry();
  assert.deepEqual(
    [tried, written, superseded],
    [2, 1, 1],
    "the update of the one is newer, under a key of other bytes",
  );
  assert.deepEqual((await told()).at(-1), "c 2");
  assert.equal((await fixture.events()).filter(({ status }) => status === "SNAPSHOT_BEGIN").length, 1);
});
